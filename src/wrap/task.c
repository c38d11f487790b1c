/* SPDX-License-Identifier: MIT */
#include "wrap/task.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIDFD_OF_THREAD O_EXCL /* PIDFD_THREAD, 6.9 */

/* A line of /proc/TID/status, which everyone may read: the number after its name, skipping some. */
static long status_number(pid_t tid, const char *name, int skip)
{
	char path[64], line[128];
	long n = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		char *at = line + strlen(name);

		if (strncmp(line, name, strlen(name)))
			continue;
		for (int i = 0; i <= skip; i++)
			n = strtol(at, &at, 10);
		break;
	}
	if (f)
		fclose(f);
	return n;
}

/* Only of a process's first thread there is a pidfd without PIDFD_THREAD: cheaper than to read. */
pid_t task_process(pid_t tid)
{
	int fd = (int)syscall(SYS_pidfd_open, tid, 0);

	if (fd >= 0) {
		close(fd);
		return tid;
	}
	return (pid_t)status_number(tid, "Tgid:", 0);
}

/* Before 6.9 a pidfd is always a whole process: then of the thread's, which may be wrong only for a
 * thread with descriptors of its own. */
static int open_pidfd(struct task_kept *kept, pid_t tid)
{
	int fd = (int)syscall(SYS_pidfd_open, tid, PIDFD_OF_THREAD);

	kept->tid = tid;
	if (fd < 0 && errno == EINVAL) {
		pid_t group = task_process(tid);

		if (group <= 0)
			return -ESRCH;
		/* The id of a thread may become another's while its process lives. */
		if (group != tid)
			kept->tid = 0;
		fd = (int)syscall(SYS_pidfd_open, group, 0);
	}
	return fd < 0 ? -errno : fd;
}

/* A pidfd stays its task's: when the id has become another's, pidfd_getfd() says ESRCH. */
int task_borrow(struct task_kept *kept, pid_t tid, int fd)
{
	for (int again = 0;; again++) {
		bool known = kept->pidfd >= 0 && kept->tid == tid;
		long copy;

		if (!known) {
			if (kept->pidfd >= 0)
				close(kept->pidfd);
			kept->pidfd = open_pidfd(kept, tid);
			if (kept->pidfd < 0)
				return kept->pidfd;
		}
		copy = syscall(SYS_pidfd_getfd, kept->pidfd, fd, 0);
		if (copy >= 0)
			return (int)copy;
		if (!known || errno != ESRCH || again)
			return -errno;
		kept->tid = 0;
	}
}

int task_read(pid_t tid, uint64_t at, void *out, size_t n)
{
	struct iovec mine = {out, n}, theirs = {(void *)(uintptr_t)at, n};
	ssize_t got = process_vm_readv(tid, &mine, 1, &theirs, 1, 0);

	if (got < 0)
		return -errno;
	return (size_t)got == n ? 0 : -EFAULT;
}

/* Each network namespace has inodes of its own below /proc/PID/net, and they may be looked at where
 * /proc/PID/ns may not. */
bool task_shares_netns(pid_t tid)
{
	char path[64];
	struct stat its, ours;

	snprintf(path, sizeof(path), "/proc/%d/net/tcp", (int)tid);
	return !stat(path, &its) && !stat("/proc/self/net/tcp", &ours) &&
	       its.st_ino == ours.st_ino && its.st_dev == ours.st_dev;
}

/* The filesystem uid is the one that a new socket gets (sock_alloc()). */
bool task_shares_user(pid_t tid)
{
	return status_number(tid, "Uid:", 3) == (long)geteuid();
}
