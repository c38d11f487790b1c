/* SPDX-License-Identifier: MIT
 *
 * reuse_kill_test.c - SO_REUSEADDR on this test's own sockets, set and set back by a child that is
 * killed at every system call that matters
 *
 * Those are the ones that write the journal, borrow a socket or set the option: before and after
 * each. Either no socket is changed, or the journal's record says how it stands, and undoes it.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cure/kind.h"
#include "cure/reuse.h"

enum { CONNECTIONS = 1, SOCKETS = 1 + CONNECTIONS, BORDERS_MAX = 400 };

static struct fixture {
	char dir[64], journal[80];
	int sockets[SOCKETS]; /* the listener first */
	int clients[CONNECTIONS];
	uint16_t port;
} fix;

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	(void)ctx;
	(void)old_size;
	if (new_size)
		return realloc(old, new_size);
	free(old);
	return NULL;
}

static const struct tcpwhy_memory heap = {.resize = resize};

/* ---------------------------------------------------------------------------- what is killed
 */

/* In a child that has none of the sockets itself. */
static int set(pid_t server)
{
	const struct change_how how = {.journal = fix.journal};
	const struct reuse_ask ask = {.pid = server, .port = fix.port};
	struct reuse_report *report = calloc(1, sizeof(*report));
	struct err err;
	int rc;

	if (!report || reuse_apply(&ask, &how, &heap, report, &err))
		return 1;
	rc = report->end != CHANGE_DONE;
	reuse_report_free(report);
	free(report);
	return rc;
}

/* Every change of the journal, the newest first. */
static int undo(pid_t server)
{
	struct journal_entries entries;
	struct journal journal;
	struct kind_look after = {0};
	struct err err;
	int rc = journal_open(&journal, fix.journal, &err);

	(void)server;
	if (rc)
		return 1;
	rc = journal_read(&journal, &entries, &err);
	for (size_t i = rc ? 0 : entries.n; i-- > 0 && !rc;) {
		const struct journal_entry *e = &entries.all[i];

		rc = reuse_kind.undo(e->change, false, &after, &err) || after.state != KIND_BACK ||
		     journal_after(&journal, e->id, json_pack("{s:s}", "result", "undone"), &err);
	}
	journal_entries_free(&entries);
	journal_close(&journal);
	return rc;
}

static pid_t start(int (*what)(pid_t), bool traced)
{
	pid_t server = getpid(), pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	close_range(3, ~0u, 0);
	if (traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(2);
	if (traced)
		raise(SIGSTOP);
	_exit(what(server));
}

static void run(int (*what)(pid_t))
{
	int status;
	pid_t pid = start(what, false);

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
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
	struct kind_look look = {.state = KIND_FINAL};
	struct journal_entries entries;
	struct journal journal;
	struct err err;

	assert_int_equal(journal_open_read(&journal, fix.journal, &err), 0);
	assert_int_equal(journal_read(&journal, &entries, &err), 0);
	if (entries.n)
		reuse_kind.look(entries.all[entries.n - 1].change, &look);
	journal_entries_free(&entries);
	journal_close(&journal);
	return look.state;
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
		run(undo);
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
	return (last == SYS_setsockopt || last == SYS_pidfd_getfd) && !stat(fix.journal, &st) &&
	       st.st_size;
}

/* False: it ended before, and well. */
static bool kill_at(int (*what)(pid_t), int n)
{
	pid_t pid = start(what, true);
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSTOPPED(status))
		unit_skip("ptrace is not allowed");
	/* Else the kernel does not tell which call it is. */
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD), 0);
	for (int met = 0; met <= n;) {
		assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status)) {
			assert_true(WIFEXITED(status));
			assert_int_equal(WEXITSTATUS(status), 0);
			return false;
		}
		met += matters(pid);
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return true;
}

static void test_set(void **state)
{
	int n, by_set[SOCKETS + 1] = {0};

	(void)state;
	for (n = 0; n < BORDERS_MAX && kill_at(set, n); n++) {
		by_set[check()]++;
		unlink(fix.journal);
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
		unlink(fix.journal);
		run(set);
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
	snprintf(fix.dir, sizeof(fix.dir), "%s/tcpwhy-reuse.XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(fix.dir))
		return -1;
	snprintf(fix.journal, sizeof(fix.journal), "%s/journal", fix.dir);
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
	unlink(fix.journal);
	return rmdir(fix.dir);
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
