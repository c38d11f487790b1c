/* SPDX-License-Identifier: MIT */
#include "live/netns_id.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "live/namespaces.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define LOOKS_MAX 2

static int ask_cookie(void *ctx)
{
	uint64_t *cookie = ctx;
	socklen_t size = sizeof(*cookie);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &size) || size != sizeof(*cookie))
		*cookie = 0;
	close(fd);
	return 0;
}

int netns_id_of(const struct netns *ns, struct netns_id *id, struct err *err)
{
	struct netns_id found = {.inode = ns->inode};
	int rc = netns_run(ns, false, ask_cookie, &found.cookie, err);

	if (!rc)
		*id = found;
	return rc;
}

/* 0 with *ns open, 1 it is another one, or -errno: it may be. */
static int try_path(const struct netns_id *id, const char *path, struct netns *ns, struct err *err)
{
	struct netns_id found;
	struct netns there;
	int rc = netns_open(path, 0, &there, err);

	if (rc)
		return rc;
	if (there.inode != id->inode)
		rc = 1;
	else
		rc = netns_id_of(&there, &found, err);
	if (!rc && id->cookie && found.cookie && found.cookie != id->cookie)
		rc = 1;
	if (rc)
		netns_close(&there);
	else
		*ns = there;
	return rc;
}

/* From a PID namespace of a container, processes of others are not shown at all. The first one has
 * this number on every kernel from 3.8 (PROC_PID_INIT_INO). */
static bool sees_all_processes(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 && st.st_ino == 0xEFFFFFFCu;
}

static int tell_gone(const struct netns_id *id, struct err *err)
{
	snprintf(err->text, sizeof(err->text),
		 "network namespace %llu is gone: it has no process and no name any more",
		 (unsigned long long)id->inode);
	return -ENOENT;
}

/* The list shows one path of each inode. */
static int search(const struct netns_id *id, struct netns *ns, struct err *err)
{
	struct namespaces list;
	bool unseen;
	int rc = namespaces_find(&list);

	if (rc) {
		snprintf(err->text, sizeof(err->text), "no memory");
		return rc;
	}
	rc = 1;
	for (size_t i = 0; i < list.n && rc == 1; i++)
		if (list.all[i].inode == id->inode)
			rc = try_path(id, list.all[i].path, ns, err);
	unseen = list.unseen || list.full || !sees_all_processes();
	namespaces_free(&list);
	if (rc == 1 && unseen) {
		snprintf(err->text, sizeof(err->text),
			 "network namespace %llu is gone, or cannot be seen from here: not every "
			 "process may be looked into (CAP_SYS_PTRACE, on the host)",
			 (unsigned long long)id->inode);
		return -EPERM;
	}
	return rc == 1 ? tell_gone(id, err) : rc;
}

int netns_id_open(const struct netns_id *id, struct netns *ns, struct err *err)
{
	int rc = try_path(id, "/proc/thread-self/ns/net", ns, err);

	/* The process that led there may have ended meanwhile; another may lead there too. */
	for (int i = 0; rc && i < LOOKS_MAX; i++) {
		rc = search(id, ns, err);
		if (rc != -ENOENT)
			break;
	}
	return rc;
}
