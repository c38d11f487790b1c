/* SPDX-License-Identifier: MIT
 *
 * cgroup2.h - one cgroup of version 2, found by its name and known by its id
 *
 * Not for version 1, whose folders take no BPF program. The id is the kernel's (kernfs): it is the
 * folder's inode number, and what BPF links name; a folder that is removed and made again has
 * another.
 */
#ifndef TCPWHY_LIVE_CGROUP2_H
#define TCPWHY_LIVE_CGROUP2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define CGROUP2_PATH_MAX 1024

struct cgroup2 {
	int fd; /* O_CLOEXEC, O_DIRECTORY */
	char path[CGROUP2_PATH_MAX];
	uint64_t id;
	bool root; /* the machine's: every process is in it */
};

/* Where the whole tree of version 2 is mounted; false if that cannot be seen. */
bool cgroup2_tree(char *out, size_t size);
/* The same, or else a part of the tree. */
bool cgroup2_mount(char *out, size_t size);

/* name is a folder of that tree, or a path below its mount ("system.slice/nginx.service", with or
 * without a slash before it). 0, or -errno with err->text: -ENOENT no such cgroup, -EMEDIUMTYPE
 * something else of that name, -ENODEV no tree. */
int cgroup2_open(const char *name, struct cgroup2 *out, struct err *err);
void cgroup2_close(struct cgroup2 *cgroup);

/* A process in it, or in a cgroup below; 0 if there is none, or none was found among the first
 * thousands of cgroups. */
int cgroup2_process(const struct cgroup2 *cgroup);

#endif
