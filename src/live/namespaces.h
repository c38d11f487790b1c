/* SPDX-License-Identifier: MIT
 *
 * namespaces.h - the network namespaces of this host, once each
 *
 * Those of processes, those with a name under /run/netns, and those that are only mounted (nsfs in
 * our own mount namespace). One that is held by nothing but an open descriptor or a socket of
 * another process has no path, and is not found.
 */
#ifndef TCPWHY_LIVE_NAMESPACES_H
#define TCPWHY_LIVE_NAMESPACES_H

#include "facts/overview.h"

#define NAMESPACES_MAX 65536

struct namespace_place {
	uint64_t inode;
	char name[OVERVIEW_NAME_MAX]; /* for people: "blue", "pid 12 (nginx)", a path */
	char path[160];               /* opens it */
};

struct namespaces {
	struct namespace_place *all; /* our own first, then as found */
	size_t n, room;
	bool unseen; /* processes of others could not be looked into */
	bool full;   /* more than NAMESPACES_MAX */
};

/* 0 or -ENOMEM. What cannot be read is left out. */
int namespaces_find(struct namespaces *list);
void namespaces_free(struct namespaces *list);

/* A line of mountinfo: whether it is a network namespace that is mounted, its inode, and the path,
 * unescaped. path has size bytes; a longer path is not taken. */
bool namespaces_mount(const char *line, uint64_t *inode, char *path, size_t size);

#endif
