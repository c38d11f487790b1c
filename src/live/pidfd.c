/* SPDX-License-Identifier: MIT */
#include "live/pidfd.h"

#include "live/owners.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct want {
	uint32_t inode;
	size_t owner;
};

struct asking {
	struct snapshot *snap;
	const struct want *wants;
	size_t n;
	int pid, pidfd; /* of the process asked last, -1 none */
	long filled;
};

static int compare(const void *a, const void *b)
{
	const struct want *x = a, *y = b;

	return (x->inode > y->inode) - (x->inode < y->inode);
}

static bool ask(int fd, int level, int name, int *value)
{
	socklen_t len = sizeof(*value);

	return getsockopt(fd, level, name, value, &len) == 0;
}

static bool read_options(int fd, struct tcpwhy_owner *o)
{
	int reuse, reuseport, v6only = 0;

	if (!ask(fd, SOL_SOCKET, SO_REUSEADDR, &reuse) ||
	    !ask(fd, SOL_SOCKET, SO_REUSEPORT, &reuseport))
		return false;
	if (o->family == TCPWHY_IPV6 && !ask(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only))
		return false;
	o->reuse = reuse == 2 ? TCPWHY_REUSE_FORCE : reuse ? TCPWHY_REUSE_CAN : TCPWHY_REUSE_NO;
	o->reuseport = reuseport ? TCPWHY_YES : TCPWHY_NO;
	o->v6only = v6only ? TCPWHY_YES : TCPWHY_NO;
	return true;
}

/* One process's descriptors come in a row, so its pidfd is kept for the next. */
static int borrow(struct asking *a, int pid, int fd)
{
	if (a->pid != pid) {
		if (a->pidfd >= 0)
			close(a->pidfd);
		a->pid = pid;
		a->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	}
	return a->pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, a->pidfd, fd, 0);
}

static int found(size_t i, int pid, int fd, void *ctx)
{
	struct asking *a = ctx;
	struct tcpwhy_owner *o = &a->snap->owners[a->wants[i].owner].o;
	struct stat st;
	int copy;

	if (o->reuse != TCPWHY_REUSE_UNKNOWN)
		return 0;
	copy = borrow(a, pid, fd);
	if (copy < 0)
		return 0;
	/* The descriptor may be another socket by now. */
	if (fstat(copy, &st) == 0 && st.st_ino == a->wants[i].inode && read_options(copy, o))
		a->filled++;
	close(copy);
	return 0;
}

static size_t collect_wants(const struct snapshot *snap, struct want *wants)
{
	size_t n = 0;

	for (size_t i = 0; i < snap->owners_n; i++) {
		const struct snapshot_owner *s = &snap->owners[i];

		if (s->inode && s->o.reuse == TCPWHY_REUSE_UNKNOWN)
			wants[n++] = (struct want){s->inode, i};
	}
	qsort(wants, n, sizeof(*wants), compare);
	return n;
}

long pidfd_fill(struct snapshot *snap)
{
	struct want *wants = malloc((snap->owners_n + 1) * sizeof(*wants));
	uint32_t *inodes = malloc((snap->owners_n + 1) * sizeof(*inodes));
	struct asking a = {.snap = snap, .wants = wants, .pidfd = -1};
	bool unseen = false;

	if (wants && inodes)
		a.n = collect_wants(snap, wants);
	for (size_t i = 0; i < a.n; i++)
		inodes[i] = wants[i].inode;
	if (a.n)
		owners_walk(inodes, a.n, found, &a, &unseen);
	if (a.pidfd >= 0)
		close(a.pidfd);
	free(wants);
	free(inodes);
	return wants && inodes ? a.filled : -ENOMEM;
}
