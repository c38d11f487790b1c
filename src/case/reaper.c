/* SPDX-License-Identifier: MIT */
#include "case/reaper.h"

#include "case/diag.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	CHANNEL,     /* the reaper's end */
	FIRST_SPACE, /* namespaces follow it: what is received takes the lowest free number */
	ROUNDS = 100,
	QUIET_ROUNDS =
		2, /* without a socket, and it is done: a helper of the scene may die later */
	ROUND_NS = 20000000,
	BATCH = 256,
	FOLDERS = 16,
};

struct folders {
	char all[FOLDERS][512];
	unsigned n;
};

/* ------------------------------------------------------------------------------------ the reaper
 */

static bool holds_its_namespace(const struct diag_sock *s)
{
	return !s->timewait;
}

/* How many there were in the namespace of the calling thread, up to BATCH. */
static size_t destroy_all(void)
{
	static struct diag_sock socks[BATCH];
	struct diag d;
	size_t n = 0, left = 0;

	if (diag_open(&d))
		return 0;
	if (diag_dump(&d, socks, BATCH, &n))
		n = 0;
	for (size_t i = 0; i < n && i < BATCH; i++) {
		if (!holds_its_namespace(&socks[i]))
			continue;
		left++;
		diag_destroy(&d, &socks[i]);
	}
	diag_close(&d);
	return left;
}

/* Where SOCK_DESTROY is missing the kernel gives up at the next retransmission. */
static void lose_patience(void)
{
	const int fd = open("/proc/sys/net/ipv4/tcp_orphan_retries", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	/* refused or not: nobody is left to be told */
	const ssize_t n = write(fd, "1", 1);
	(void)n;
	close(fd);
}

/* How many are not empty yet: a process of the scene's may just end. */
static size_t remove_all(const struct folders *folders)
{
	size_t left = 0;

	for (unsigned i = 0; i < folders->n; i++)
		left += rmdir(folders->all[i]) && errno == EBUSY;
	return left;
}

static bool is_told(const struct stat *ns, int end)
{
	struct stat told;

	for (int fd = FIRST_SPACE; fd < end; fd++)
		if (!fstat(fd, &told) && told.st_dev == ns->st_dev && told.st_ino == ns->st_ino)
			return true;
	return false;
}

/* The descriptor names the process, whoever has its number by then. */
static size_t kill_if_within(pid_t pid, int end)
{
	const int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	char path[64];
	struct stat ns;
	bool within = false;

	if (pidfd < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	if (!stat(path, &ns) && is_told(&ns, end))
		within = !syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	close(pidfd);
	return within;
}

/* How many there were. Who told us is spared, dead or not. */
static size_t kill_all(int end, pid_t spared)
{
	DIR *proc = opendir("/proc");
	size_t n = 0;

	if (!proc)
		return 0;
	for (const struct dirent *entry; (entry = readdir(proc));) {
		const pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		if (pid > 0 && pid != spared && pid != getpid())
			n += kill_if_within(pid, end);
	}
	closedir(proc);
	return n;
}

static void reap(int end, const struct folders *folders, pid_t spared)
{
	unsigned quiet = 0;

	for (unsigned round = 0; round < ROUNDS && quiet < QUIET_ROUNDS; round++) {
		size_t left = remove_all(folders) + kill_all(end, spared);
		for (int fd = FIRST_SPACE; fd < end; fd++) {
			if (setns(fd, CLONE_NEWNET))
				continue;
			if (!round)
				lose_patience();
			left += destroy_all();
		}
		quiet = left ? 0 : quiet + 1;
		nanosleep(&(struct timespec){0, ROUND_NS}, NULL);
	}
}

/* The number of the last namespace, plus one. A message without one is a folder's name. */
static int listen_till_the_end(struct folders *folders)
{
	int end = FIRST_SPACE;

	for (;;) {
		char name[sizeof(folders->all[0])] = "";
		union {
			struct cmsghdr align;
			char bytes[CMSG_SPACE(sizeof(int))];
		} control;
		struct iovec text = {name, sizeof(name) - 1};
		struct msghdr m = {.msg_iov = &text,
				   .msg_iovlen = 1,
				   .msg_control = &control,
				   .msg_controllen = sizeof(control)};

		const ssize_t n = recvmsg(CHANNEL, &m, MSG_CMSG_CLOEXEC);
		if (n == 0 || (n < 0 && errno != EINTR))
			return end;
		if (n > 0 && CMSG_FIRSTHDR(&m))
			end++;
		else if (n > 0 && folders->n < FOLDERS)
			strcpy(folders->all[folders->n++], name);
	}
}

static _Noreturn void be_the_reaper(int channel, pid_t scene)
{
	if (setsid() < 0 || dup2(channel, CHANNEL) < 0 || close_range(FIRST_SPACE, ~0u, 0))
		_exit(1);
	static struct folders folders;
	prctl(PR_SET_NAME, "tcpwhy-reaper");
	const int end = listen_till_the_end(&folders);
	reap(end, &folders, scene);
	_exit(0);
}

/* ------------------------------------------------------------------------------------- the scene
 */

/* A grandchild, so that our wait() never meets it. No signal reaches it but the deadly one. */
static int leave_a_grandchild(int channel)
{
	const pid_t scene = getpid();
	sigset_t all, before;
	int status;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	const pid_t pid = fork();
	if (!pid) {
		const pid_t reaper = fork();
		if (!reaper)
			be_the_reaper(channel, scene);
		_exit(reaper < 0);
	}
	const int rc = pid < 0 ? -errno : 0;
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (rc)
		return rc;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 0; /* somebody else waits for all children; it has forked */
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EAGAIN;
}

static int fail(struct err *err, int rc)
{
	snprintf(err->text, sizeof(err->text), "a process that cleans up behind us: %s",
		 strerror(-rc));
	return rc;
}

int reaper_start(struct reaper *r, struct err *err)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return fail(err, -errno);
	const int rc = leave_a_grandchild(ends[1]);
	close(ends[1]);
	if (rc) {
		close(ends[0]);
		return fail(err, rc);
	}
	r->fd = ends[0];
	return 0;
}

int reaper_add(const struct reaper *r, const struct netns *ns, struct err *err)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec text = {"", 1};
	struct msghdr m = {.msg_iov = &text,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &ns->fd, sizeof(int));
	while (sendmsg(r->fd, &m, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return fail(err, -errno);
	return 0;
}

int reaper_add_folder(const struct reaper *r, const char *folder, struct err *err)
{
	const size_t n = strlen(folder);

	if (n >= sizeof(((struct folders *)0)->all[0]))
		return fail(err, -ENAMETOOLONG);
	while (send(r->fd, folder, n, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return fail(err, -errno);
	return 0;
}

void reaper_end(struct reaper *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}
