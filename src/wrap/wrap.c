/* SPDX-License-Identifier: MIT */
#include "wrap/wrap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "wrap/filter.h"
#include "wrap/supervisor.h"

bool wrap_gives_up_privileges(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return false;
	return syscall(SYS_capget, &header, data) ||
	       !(data[CAP_SYS_ADMIN / 32].effective & 1u << CAP_SYS_ADMIN % 32);
}

__attribute__((format(printf, 3, 4))) static int fail(int error, struct err *err,
						      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return error;
}

/* Above 2: the program may have been started without some of the first three. */
static int open_channel(int ends[2])
{
	int low[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, low))
		return -errno;
	for (int i = 0; i < 2; i++) {
		ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		close(low[i]);
	}
	return ends[0] < 0 || ends[1] < 0 ? -EMFILE : 0;
}

static bool child_signal_pending(void)
{
	sigset_t pending;

	return !sigpending(&pending) && sigismember(&pending, SIGCHLD) == 1;
}

/* Where SIGCHLD is blocked it would wait for the program, which has no child. */
static void reap(pid_t pid, bool was_pending)
{
	sigset_t child;

	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	if (!was_pending && child_signal_pending())
		sigtimedwait(&child, NULL, &(struct timespec){0});
}

/* Process 1 is the parent of all who lost theirs, so there is no way out of its wait(). But a child
 * with no signal for its end is passed over by it (eligible_child()). */
static int start_below_init(const struct supervisor_channel *channel, const struct wrap_plan *plan)
{
	long pid = syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);

	if (pid < 0)
		return -errno;
	if (pid > 0)
		return 0;
	setsid();
	supervisor_live(channel, plan);
}

/* By way of a child that ends at once: the supervisor is not a child of the program, which may wait
 * for all it has, and stands in a session of its own. */
static int start_supervisor(const int ends[2], const struct wrap_plan *plan)
{
	struct supervisor_channel channel = {.fd = ends[1], .other_fd = ends[0], .first = getpid()};
	bool was_pending = child_signal_pending();
	pid_t pid;

	if (channel.first == 1)
		return start_below_init(&channel, plan);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		setsid();
		if (fork() == 0)
			supervisor_live(&channel, plan);
		_exit(0);
	}
	reap(pid, was_pending);
	return 0;
}

static int hear(int channel, bool *reachable, struct err *err)
{
	struct supervisor_report r;

	if (recv(channel, &r, sizeof(r), 0) != sizeof(r))
		return fail(-ECHILD, err, "the supervisor did not start, or was killed");
	*reachable = r.reachable;
	if (r.error)
		*err = r.err;
	return -r.error;
}

static int hand_over(int channel, int listener)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS}};
	char byte = 0;
	struct iovec data = {&byte, 1};
	struct msghdr m = {.msg_iov = &data,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.header), &listener, sizeof(listener));
	return sendmsg(channel, &m, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* Without PR_SET_NO_NEW_PRIVS if we may: it would be the program's for ever. */
static int take_filter(const struct filter *filter, struct err *err)
{
	int fd = filter_load(filter);

	if (fd == -EACCES && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fd = filter_load(filter);
	if (fd == -EBUSY)
		return fail(fd, err,
			    "there is a seccomp listener already (of a container engine, or "
			    "another tcpwhy run), and Linux allows one (EBUSY)");
	if (fd < 0)
		return fail(fd, err, "seccomp user notification: %s", strerror(-fd));
	return fd;
}

static int wrap_here(int channel, const struct wrap_plan *plan, struct err *err)
{
	struct filter filter;
	bool reachable;
	int failed = hear(channel, &reachable, err), listener;

	if (!failed)
		failed = filter_make(&plan->cure, plan->prepared || !reachable, &filter, err);
	if (failed)
		return failed;
	listener = take_filter(&filter, err);
	if (listener < 0)
		return listener;
	failed = hand_over(channel, listener);
	close(listener);
	if (failed)
		return fail(failed, err, "the supervisor was killed: %s", strerror(-failed));
	return hear(channel, &reachable, err);
}

int wrap_start(const struct wrap_plan *plan, struct err *err)
{
	int ends[2] = {-1, -1}, failed = open_channel(ends);

	if (failed)
		return fail(failed, err, "a channel to the supervisor: %s", strerror(-failed));
	failed = start_supervisor(ends, plan);
	close(ends[1]);
	if (failed)
		fail(failed, err, "the supervisor: %s", strerror(-failed));
	else
		failed = wrap_here(ends[0], plan, err);
	close(ends[0]);
	return failed;
}
