/* SPDX-License-Identifier: MIT
 *
 * Programs in a host: children of ours, in its network namespace, that do not outlive us
 */
#include "case/kernel_state.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct program {
	int pid;
	int output; /* what it writes; -1 */
};

/* A directory that may not be searched says nothing of a program. */
static bool is_about_it(const char *path, int error)
{
	struct stat unused;

	return error != ENOENT && error != ENOTDIR &&
	       (error != EACCES || !stat(path, &unused) || errno != EACCES);
}

/* As execvpe() looks for it, but what the kernel cannot execute (ENOEXEC) is given to no shell. */
static void execute(const char *file, const char *const argv[], char *const environment[])
{
	const char *folder = environment[0] + strlen("PATH="); /* kernel_mounts.c puts it there */
	const size_t length = strlen(file);
	int error = ENOENT;
	char path[PATH_MAX];

	if (!length || strchr(file, '/')) {
		execve(file, (char *const *)argv, environment);
		return;
	}
	for (const char *end; folder; folder = *end ? end + 1 : NULL) {
		end = strchrnul(folder, ':');
		const size_t n = (size_t)(end - folder);
		if (!n || n + 1 + length + 1 > sizeof(path))
			continue;
		memcpy(path, folder, n);
		path[n] = '/';
		memcpy(path + n + 1, file, length + 1);
		execve(path, (char *const *)argv, environment);
		const int why = errno;
		if (is_about_it(path, why))
			error = why;
		if (error == ENOEXEC)
			break;
	}
	errno = error;
}

/* In the child: only what may be called between fork() and exec() of a process with threads. The
 * errno of what failed goes through the pipe. */
static _Noreturn void become(const struct kernel_stage *k, int host, const char *const argv[],
			     int output, int trouble)
{
	const struct kernel_node *node = &k->nodes[host];
	const int ns = stage_kernel_netns(k->scene, host)->fd;
	const char *file = strcmp(argv[0], "tcpwhy") ? argv[0] : k->exe;
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (!prctl(PR_SET_PDEATHSIG, SIGKILL) && !setpgid(0, 0) &&
	    (!node->cgroup[0] || write(node->cgroup_procs, "0", 1) == 1) &&
	    !setns(ns, CLONE_NEWNET) && !setns(k->mounts, CLONE_NEWNS) &&
	    dup2(open("/dev/null", O_RDONLY), 0) >= 0 && dup2(output, 1) >= 0 &&
	    dup2(output, 2) >= 0)
		execute(file, argv, k->environment);
	const int error = errno;
	const ssize_t n = write(trouble, &error, sizeof(error));
	_exit(n == sizeof(error) ? 127 : 126);
}

/* 0, or the errno of what failed before the program began: its end of the pipe closes by exec(). */
static int wait_for_exec(int trouble)
{
	int error = 0;
	ssize_t n;

	do
		n = read(trouble, &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	return n == sizeof(error) ? error : 0;
}

/* What this machine has too few of says nothing of the program. */
static int fail(struct err *err, int error, const char *program)
{
	kernel_fail(err, error, program);
	return kernel_is_short(error) ? STAGE_CANNOT : error;
}

static int begin(struct kernel_stage *k, int host, const char *const argv[], int output, int *pid,
		 struct err *err)
{
	int trouble[2], rc = kernel_mounts_make(k, err);

	if (rc)
		return rc;
	if (pipe2(trouble, O_CLOEXEC))
		return fail(err, -errno, argv[0]);
	*pid = fork();
	if (!*pid)
		become(k, host, argv, output, trouble[1]);
	rc = *pid < 0 ? -errno : 0;
	close(trouble[1]);
	if (!rc) {
		rc = -wait_for_exec(trouble[0]);
		if (rc)
			waitpid(*pid, NULL, 0);
	}
	close(trouble[0]);
	return rc ? fail(err, rc, argv[0]) : 0;
}

/* ------------------------------------------------------------------------------------- to its end
 */

static void take_output(int fd, char *out, size_t size, size_t *used)
{
	char rest[4096];
	ssize_t n;

	while ((n = read(fd, rest, sizeof(rest))) > 0)
		for (ssize_t i = 0; i < n && *used + 1 < size; i++)
			out[(*used)++] = rest[i];
}

/* Until it ended or the limit, reading what it writes. */
static int listen_to(int pidfd, int output, uint64_t limit, char *out, size_t size)
{
	size_t used = 0;

	for (;;) {
		const uint64_t now = kernel_clock(), left = limit > now ? limit - now : 0;
		struct pollfd p[] = {{pidfd, POLLIN, 0}, {output, POLLIN, 0}};
		const struct timespec t = {(time_t)(left / 1000000000), (long)(left % 1000000000)};

		const int n = ppoll(p, 2, &t, NULL);
		take_output(output, out, size, &used);
		if (size)
			out[used] = '\0';
		if (n > 0 && p[0].revents)
			return 0;
		if (!left)
			return -ETIMEDOUT;
		/* its output may end before it does: then only its end is waited for */
		if (n > 0 && p[1].revents & POLLHUP)
			output = -1;
	}
}

static int status_of(int pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int kernel_run(struct stage *st, int host, const char *const argv[], uint64_t limit_ns, char *out,
	       size_t size, struct err *err)
{
	const uint64_t now = kernel_clock();
	const uint64_t limit = limit_ns < UINT64_MAX - now ? now + limit_ns : UINT64_MAX;
	int output[2], pid;

	if (pipe2(output, O_CLOEXEC | O_NONBLOCK))
		return fail(err, -errno, argv[0]);
	/* the program's end blocks as usual */
	fcntl(output[1], F_SETFL, 0);
	int rc = begin(kernel_of(st), host, argv, output[1], &pid, err);
	close(output[1]);
	if (!rc) {
		const int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		rc = pidfd < 0 ? fail(err, -errno, argv[0])
			       : listen_to(pidfd, output[0], limit, out, out ? size : 0);
		if (rc)
			kill(-pid, SIGKILL);
		if (rc && rc != STAGE_CANNOT)
			kernel_fail(err, rc, argv[0]);
		const int status = status_of(pid);
		rc = rc ? rc : status;
		if (pidfd >= 0)
			close(pidfd);
	}
	close(output[0]);
	return rc;
}

/* ---------------------------------------------------------------------------------- in background
 */

int kernel_spawn(struct stage *st, int host, const char *const argv[], struct err *err)
{
	struct kernel_stage *k = kernel_of(st);
	int *programs = kernel_grow(k->programs, k->n_programs, sizeof(*programs));
	int pid;

	if (!programs)
		return kernel_fail(err, -ENOMEM, argv[0]);
	k->programs = programs;
	const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0)
		return fail(err, -errno, "/dev/null");
	const int rc = begin(k, host, argv, null, &pid, err);
	close(null);
	if (rc)
		return rc;
	k->programs[k->n_programs++] = pid;
	return pid;
}

int kernel_stop(struct stage *st, int pid, struct err *err)
{
	struct kernel_stage *k = kernel_of(st);

	for (size_t i = 0; i < k->n_programs; i++) {
		if (k->programs[i] != pid)
			continue;
		k->programs[i] = k->programs[--k->n_programs];
		kill(-pid, SIGKILL);
		status_of(pid);
		return 0;
	}
	return kernel_fail(err, -ESRCH, "a program that was not started here");
}

void kernel_programs_end(struct kernel_stage *k)
{
	struct err err;

	while (k->n_programs)
		kernel_stop(&k->base, k->programs[0], &err);
}
