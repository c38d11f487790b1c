/* SPDX-License-Identifier: MIT */
#include "wrap/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wrap/answer.h"

#define NO_KEEPER_MS 100 /* then it is tried again */

/* In memory that both processes see. asked is where the kernel writes the question and is all zero
 * when there is none: whoever takes over finds the one that was not answered. */
struct shared {
	union notification asked;
	unsigned said;
};

struct supervisor {
	struct server server;
	struct shared *shared;
	int first;    /* pidfd of the program's first process, -1 once it has ended */
	int other;    /* pidfd of the keeper, or in the keeper of the supervisor; -1 none */
	pid_t keeper; /* our child */
};

/* -------------------------------------------------------------------------------- a quiet place */

static void blank_arguments(const struct wrap_plan *plan)
{
	for (int i = 1; i < plan->argc; i++)
		memset(plan->argv[i], 0, strlen(plan->argv[i]));
	prctl(PR_SET_NAME, "tcpwhy-run");
}

/* Nothing of the caller's is held but its standard error: neither its session, nor its directory,
 * nor a pipe's end. Both descriptors given are above 2 and stay. */
static int withdraw(int keep, int first)
{
	int low = keep < first ? keep : first, high = keep < first ? first : keep;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	if (null < 0 || chdir("/"))
		return -errno;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	/* O_PATH: it was closed, and only its number is kept (main.c). */
	if (fcntl(STDERR_FILENO, F_GETFL) < 0 || fcntl(STDERR_FILENO, F_GETFL) & O_PATH)
		dup2(null, STDERR_FILENO);
	if (low > 3 && close_range(3, (unsigned)low - 1, 0))
		return -errno;
	if (high > low + 1 && close_range((unsigned)low + 1, (unsigned)high - 1, 0))
		return -errno;
	return close_range((unsigned)high + 1, ~0u, 0) ? -errno : 0;
}

static void first_ended(struct supervisor *s)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	close(s->first);
	s->first = -1;
	s->server.tell.by_stderr = false;
	if (null < 0)
		close(STDERR_FILENO);
	else if (null != STDERR_FILENO) {
		dup2(null, STDERR_FILENO);
		close(null);
	}
}

/* --------------------------------------------------------------------------- supervisor and keeper
 */

/* Returns when the supervisor has died; leaves when the program has. */
static void keep(struct supervisor *s)
{
	for (;;) {
		struct pollfd p[] = {{.fd = s->server.listener},
				     {.fd = s->other, .events = POLLIN},
				     {.fd = s->first, .events = POLLIN}};

		if (poll(p, 3, -1) < 0)
			continue;
		if (p[0].revents & (POLLHUP | POLLNVAL))
			_exit(0);
		if (p[2].revents)
			first_ended(s);
		if (p[1].revents)
			return;
	}
}

/* In the child this returns when it is the supervisor. */
static void start_keeper(struct supervisor *s)
{
	/* Before the fork, so that it is our pidfd whatever happens to us. */
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	pid_t pid = self < 0 ? -1 : fork();

	if (pid == 0) {
		s->other = self;
		keep(s);
		close(self);
		s->other = -1;
		s->server.task.tid = 0;
		return;
	}
	if (self >= 0)
		close(self);
	if (pid < 0)
		return;
	s->keeper = pid;
	s->other = (int)syscall(SYS_pidfd_open, pid, 0);
}

static void keeper_ended(struct supervisor *s)
{
	close(s->other);
	s->other = -1;
	waitpid(s->keeper, NULL, WNOHANG);
}

static void finish_question(struct supervisor *s)
{
	if (s->shared->asked.n.id)
		server_answer(&s->server, &s->shared->asked.n);
	memset(&s->shared->asked, 0, sizeof(s->shared->asked));
}

_Noreturn static void serve(struct supervisor *s)
{
	for (;;) {
		if (s->other < 0)
			start_keeper(s);
		finish_question(s);

		struct pollfd p[] = {{.fd = s->server.listener, .events = POLLIN},
				     {.fd = s->other, .events = POLLIN},
				     {.fd = s->first, .events = POLLIN}};
		if (poll(p, 3, s->other < 0 ? NO_KEEPER_MS : -1) <= 0)
			continue;
		if (p[0].revents & POLLIN)
			listener_receive(s->server.listener, &s->shared->asked);
		else if (p[0].revents & (POLLHUP | POLLNVAL))
			_exit(0);
		if (p[1].revents)
			keeper_ended(s);
		if (p[2].revents)
			first_ended(s);
	}
}

/* ---------------------------------------------------------------------------------- the beginning
 */

static void say(int channel, int error, bool reachable, const char *what)
{
	struct supervisor_report r = {.error = error, .reachable = reachable};

	if (error)
		snprintf(r.err.text, sizeof(r.err.text), "%s: %s", what, strerror(error));
	/* If nobody listens, the caller has died, and the filter with it. */
	send(channel, &r, sizeof(r), MSG_NOSIGNAL);
}

_Noreturn static void give_up(int channel, int error, const char *what)
{
	say(channel, error, false, what);
	_exit(1);
}

/* By trying: the caller is as reachable as the program will be, unless that changes itself. */
static bool can_reach(const struct supervisor_channel *c, const struct wrap_plan *plan)
{
	struct task_kept kept = {0, -1};
	int fd = task_borrow(&kept, c->first, c->other_fd);
	struct wrap_plan copy;

	if (kept.pidfd >= 0)
		close(kept.pidfd);
	if (fd < 0)
		return false;
	close(fd);
	return task_read(c->first, (uintptr_t)plan, &copy, sizeof(copy)) == 0;
}

/* Above 2, as all that stays open; see withdraw(). */
static int open_first(pid_t first)
{
	int fd = (int)syscall(SYS_pidfd_open, first, 0);

	return fd < 0 || fd > STDERR_FILENO ? fd : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

static int receive_listener(int channel)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec data = {&byte, 1};
	struct msghdr m = {.msg_iov = &data,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	int fd;

	if (recvmsg(channel, &m, MSG_CMSG_CLOEXEC) <= 0)
		return -ECONNRESET;
	c = CMSG_FIRSTHDR(&m);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* A port can be given to a socket only if it can be borrowed. */
static void open_pool(struct supervisor *s, int channel, const struct wrap_plan *plan)
{
	struct supervisor_report r = {0};

	if (!plan->cure.lease)
		return;
	if (s->server.prepared)
		give_up(channel, EPERM, "--lease has to look into the program, and may not");
	r.error = -leased_open(&s->server.leased, &r.err);
	if (!r.error)
		return;
	send(channel, &r, sizeof(r), MSG_NOSIGNAL);
	_exit(1);
}

_Noreturn void supervisor_live(const struct supervisor_channel *channel,
			       const struct wrap_plan *plan)
{
	struct supervisor s = {.other = -1, .server = {.cure = plan->cure, .task = {0, -1}}};
	bool reachable = can_reach(channel, plan);
	int failed;

	s.first = open_first(channel->first);
	if (s.first < 0)
		give_up(channel->fd, errno, "pidfd_open()");
	failed = withdraw(channel->fd, s.first);
	if (failed)
		give_up(channel->fd, -failed, "the supervisor");
	s.shared = mmap(NULL, sizeof(*s.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (s.shared == MAP_FAILED)
		give_up(channel->fd, errno, "the supervisor's memory");
	s.server.prepared = plan->prepared || !reachable;
	open_pool(&s, channel->fd, plan);
	s.server.tell = (struct tell){.by_stderr = true, .said = &s.shared->said};
	blank_arguments(plan);

	say(channel->fd, 0, reachable, NULL);
	s.server.listener = receive_listener(channel->fd);
	if (s.server.listener < 0)
		_exit(1);
	failed = listener_check(s.server.listener);
	if (failed)
		give_up(channel->fd, -failed, "seccomp user notification of Linux 5.9");
	listener_wake_here(s.server.listener);
	say(channel->fd, 0, reachable, NULL);
	close(channel->fd);
	serve(&s);
}
