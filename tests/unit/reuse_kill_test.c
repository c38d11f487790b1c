/* SPDX-License-Identifier: MIT
 *
 * reuse_kill_test.c - SO_REUSEADDR on this test's own sockets, set and set back by a child that is
 * killed at every system call that matters
 *
 * Those are the ones that write the journal, borrow a socket or set the option: before and after
 * each. Either no socket is changed, or the journal's record says how it stands, and undoes it.
 */
#include "killed_change.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "cure/reuse.h"
#include "live/heap.h"

enum { CONNECTIONS = 1, SOCKETS = 1 + CONNECTIONS, BORDERS_MAX = 400 };

static struct fixture {
	struct killed killed;
	int sockets[SOCKETS]; /* the listener first */
	int clients[CONNECTIONS];
	uint16_t port;
} fix;

/* ---------------------------------------------------------------------------- what is killed
 */

/* In a child that has none of the sockets itself. */
static int set(void)
{
	const struct change_how how = {.journal = fix.killed.journal};
	const struct reuse_ask ask = {.pid = getppid(), .port = fix.port};
	struct reuse_report *report = calloc(1, sizeof(*report));
	struct err err;
	int rc;

	close_range(3, ~0u, 0);
	if (!report || reuse_apply(&ask, &how, &heap_memory, report, &err))
		return 1;
	rc = report->end != CHANGE_DONE;
	reuse_report_free(report);
	free(report);
	return rc;
}

/* Every change of the journal, the newest first. */
static int undo(void)
{
	close_range(3, ~0u, 0);
	return killed_undo(&fix.killed, &reuse_kind, SIZE_MAX);
}

/* ------------------------------------------------------------------------------- what must be so
 */

static size_t count_set(void)
{
	size_t n = 0;

	for (size_t i = 0; i < SOCKETS; i++) {
		socklen_t len = sizeof(int);
		int on = 0;

		assert_int_equal(getsockopt(fix.sockets[i], SOL_SOCKET, SO_REUSEADDR, &on, &len),
				 0);
		n += on != 0;
	}
	return n;
}

static enum kind_state newest(void)
{
	return killed_newest(&fix.killed, &reuse_kind);
}

/* How many sockets have the option; the record agrees, and takes it back. */
static size_t check(void)
{
	size_t n = count_set();
	enum kind_state state = newest();

	if (n == 0)
		assert_true(state == KIND_BACK || state == KIND_FINAL);
	else
		assert_int_equal(state, n == SOCKETS ? KIND_IN_FORCE : KIND_PARTLY);
	if (n) {
		child_run(undo);
		assert_int_equal(newest(), KIND_BACK);
	}
	assert_int_equal(count_set(), 0);
	return n;
}

/* --------------------------------------------------------------------------------- the tracer */

static bool matters(pid_t pid)
{
	struct __ptrace_syscall_info info = {0};
	static unsigned long last;
	struct stat st;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) <= 0)
		return false;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		last = (unsigned long)info.entry.nr;
	if (last == SYS_write || last == SYS_fsync)
		return true;
	/* Before the journal has a line these only look. */
	return (last == SYS_setsockopt || last == SYS_pidfd_getfd) &&
	       !stat(fix.killed.journal, &st) && st.st_size;
}

/* False: it ended before, and well. */
static bool kill_at(int (*what)(void), int n)
{
	pid_t pid = child_stopped(what);

	/* Else the kernel does not tell which call it is. */
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD), 0);
	for (int met = 0; met <= n; met += matters(pid))
		if (!child_step(pid, PTRACE_SYSCALL))
			return false;
	child_kill(pid);
	return true;
}

static void test_set(void **state)
{
	int n, by_set[SOCKETS + 1] = {0};

	(void)state;
	for (n = 0; n < BORDERS_MAX && kill_at(set, n); n++) {
		by_set[check()]++;
		unlink(fix.killed.journal);
	}
	printf("# killed %d times while it was set\n", n);
	assert_in_range(n, 2 * SOCKETS, BORDERS_MAX - 1);
	/* The middle was met: after the listener, and after each connection. */
	for (size_t i = 0; i <= SOCKETS; i++)
		assert_true(by_set[i] > 0);
	assert_int_equal(check(), SOCKETS);
}

static void test_undo(void **state)
{
	int n, partly = 0;

	(void)state;
	for (n = 0; n < BORDERS_MAX; n++) {
		unlink(fix.killed.journal);
		child_run(set);
		if (!kill_at(undo, n))
			break;
		size_t set_still = check();
		partly += set_still > 0 && set_still < SOCKETS;
	}
	printf("# killed %d times while it was undone\n", n);
	assert_in_range(n, 2 * SOCKETS, BORDERS_MAX - 1);
	assert_true(partly > 0);
	assert_int_equal(count_set(), 0);
}

/* ---------------------------------------------------------------------------------------- fixture
 */

static int setup(void **state)
{
	struct sockaddr_in here = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(here);

	(void)state;
	if (killed_init(&fix.killed))
		return -1;
	fix.sockets[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(fix.sockets[0], (struct sockaddr *)&here, len) || listen(fix.sockets[0], 8) ||
	    getsockname(fix.sockets[0], (struct sockaddr *)&here, &len))
		return -1;
	fix.port = ntohs(here.sin_port);
	for (int i = 0; i < CONNECTIONS; i++) {
		fix.clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fix.clients[i], (struct sockaddr *)&here, len))
			return -1;
		fix.sockets[1 + i] = accept4(fix.sockets[0], NULL, NULL, SOCK_CLOEXEC);
		if (fix.sockets[1 + i] < 0)
			return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < CONNECTIONS; i++)
		close(fix.clients[i]);
	for (int i = 0; i < SOCKETS; i++)
		close(fix.sockets[i]);
	return killed_fini(&fix.killed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_undo),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("reuse_kill", tests, setup, teardown);
}
