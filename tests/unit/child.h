/* SPDX-License-Identifier: MIT
 *
 * child.h - a child process: for a namespace of its own, to be killed, or to be stepped through its
 * work and killed on the way
 */
#ifndef TCPWHY_TESTS_CHILD_H
#define TCPWHY_TESTS_CHILD_H

#include "unit.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* fn() in a child: a namespace that it enters is its own. It returned 0. */
static inline void child_run(int (*fn)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* A child that stands before fn(), which returns its status. */
static inline pid_t child_stopped(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(2);
		raise(SIGSTOP);
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSTOPPED(status))
		unit_skip("ptrace is not allowed");
	return pid;
}

/* One instruction (PTRACE_SINGLESTEP), or up to the next border of a system call (PTRACE_SYSCALL).
 * False: it ended, as it should. */
static inline bool child_step(pid_t pid, enum __ptrace_request request)
{
	int status;

	assert_int_equal(ptrace(request, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSTOPPED(status))
		return true;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	return false;
}

static inline void child_kill(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

#endif
