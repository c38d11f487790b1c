/* SPDX-License-Identifier: MIT
 *
 * cure_kill_test.c - a change, killed at every system call of it, and at random moments
 *
 * After each kill the journal must be readable, and the sysctl either as it was before, or wanted
 * (or, of a list that is longer than a page, in between) with a line in the journal that says so
 * and by which it is set back. KILLS (60) is how many random moments are tried; make check-fixes
 * asks for more.
 */
#include "killed_change.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "cure/sysctl.h"
#include "live/netns.h"

enum { BORDERS_MAX = 5000, LONG_PORTS = 9000, JOURNAL_KILLS = 25 };

static struct fixture {
	struct killed killed;
	char list[LONG_PORTS * 6 + 1]; /* longer than ten pages */
	struct netns ns;
	const struct sysctl_key *key;
	const char *old, *new;
	unsigned checked;
	bool ready;
} fix;

/* ----------------------------------------------------------------------------------- what is
 * killed
 */

static int set(void)
{
	const struct sysctl_change change = {
		.key = fix.key, .value = fix.new, .where = "here", .journal = fix.killed.journal};
	struct sysctl_report report;
	struct err err;

	if (sysctl_set(&fix.ns, &change, &report, &err))
		return 1;
	sysctl_report_free(&report);
	return report.end != CHANGE_DONE;
}

static int undo(void)
{
	return killed_undo(&fix.killed, &sysctl_kind, 1);
}

/* --------------------------------------------------------------------------------- what must be so
 */

static bool is_now(const char *value)
{
	struct sysctl_state state;
	struct err err;
	bool same;

	assert_int_equal(sysctl_look(&fix.ns, fix.key, &state, &err), 0);
	same = sysctl_key_same(fix.key, value, state.value);
	free(state.value);
	return same;
}

static enum kind_state newest(void)
{
	return killed_newest(&fix.killed, &sysctl_kind);
}

/* Either nothing is changed, or it is known what, and can be undone; and then all works as before.
 */
static void check(void)
{
	enum kind_state state = newest();

	if (is_now(fix.old)) {
		assert_true(state == KIND_BACK || state == KIND_FINAL);
	} else {
		assert_int_equal(state, is_now(fix.new) ? KIND_IN_FORCE : KIND_PARTLY);
		assert_int_equal(undo(), 0);
		assert_true(is_now(fix.old));
		assert_int_equal(newest(), KIND_BACK);
	}
	if (fix.checked++ % 4)
		return;
	assert_int_equal(set(), 0);
	assert_int_equal(newest(), KIND_IN_FORCE);
	assert_int_equal(undo(), 0);
	assert_true(is_now(fix.old));
}

/* ------------------------------------------------------------------------ at every system call */

/* Kills before (or after: every second border) system call n / 2. False: it ended before. */
static bool kill_at(int (*what)(void), int n)
{
	pid_t pid = child_stopped(what);

	for (int i = 0; i < n; i++)
		if (!child_step(pid, PTRACE_SYSCALL))
			return false;
	child_kill(pid);
	return true;
}

static void use(const char *key, const char *old, const char *new)
{
	struct err err;
	int error;

	if (!fix.ready)
		unit_skip("no network namespace can be made");
	fix.key = sysctl_key_find(key);
	fix.old = old;
	fix.new = new;
	assert_non_null(fix.key);
	assert_int_equal(sysctl_restore(&fix.ns, fix.key, old, &error, &err), 0);
	assert_int_equal(error, 0);
	unlink(fix.killed.journal);
}

/* Both ways; how many kills there were at each border of a system call. */
static void kill_everywhere(const char *key, const char *old, const char *new)
{
	int n, partly = 0;

	use(key, old, new);
	for (n = 0; n < BORDERS_MAX && kill_at(set, n); n++) {
		check();
		unlink(fix.killed.journal);
	}
	assert_in_range(n, 20, BORDERS_MAX - 1);
	printf("# %s: set, killed %d times\n", key, n);
	assert_int_equal(undo(), 0);
	for (n = 0; n < BORDERS_MAX; n++) {
		unlink(fix.killed.journal);
		assert_int_equal(set(), 0);
		if (!kill_at(undo, n))
			break;
		partly += newest() == KIND_PARTLY;
		check();
	}
	assert_in_range(n, 20, BORDERS_MAX - 1);
	printf("# %s: undone, killed %d times, %d of them in the middle of the value\n", key, n,
	       partly);
	/* A test that never met the middle would not have tried what is said of it. */
	assert_int_equal(partly > 0, strlen(old) > 4096);
}

static void test_each_call(void **state)
{
	(void)state;
	kill_everywhere("net.ipv4.tcp_tw_reuse", "2", "0");
}

static void test_each_call_of_a_long_list(void **state)
{
	(void)state;
	kill_everywhere("net.ipv4.ip_local_reserved_ports", fix.list, "8080,9000-9010");
}

/* ----------------------------------------------------------------------------- at random moments
 */

/* In a thread that goes to the namespace, as in any other than our own. */
static void loop(void)
{
	fix.ns.own = false;
	for (;;)
		if (set() || undo())
			_exit(1);
}

static void kill_at_random(int kills, uint64_t *x)
{
	for (int i = 0; i < kills; i++) {
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (!pid)
			loop();
		usleep((useconds_t)(unit_random(x) % 12000));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		/* It never ended by itself: neither change nor undoing it ever failed. */
		assert_true(WIFSIGNALED(status));
		check();
		/* A journal is read whole for each change: what many left is not carried on for
		 * ever. */
		if (i % JOURNAL_KILLS == JOURNAL_KILLS - 1)
			unlink(fix.killed.journal);
	}
}

/* With what others that were killed left in the journal. */
static void test_random(void **state)
{
	const char *text = getenv("KILLS");
	int kills = text ? atoi(text) : 60;
	uint64_t x = unit_seed();

	(void)state;
	use("net.ipv4.tcp_rfc1337", "0", "1");
	kill_at_random(kills / 2, &x);
	use("net.ipv4.ip_local_reserved_ports", fix.list, "8080");
	kill_at_random(kills - kills / 2, &x);
}

/* ---------------------------------------------------------------------------------------- fixture
 */

static int setup(void **state)
{
	struct err err;
	size_t used = 0;

	(void)state;
	if (killed_init(&fix.killed))
		return -1;
	for (int i = 0; i < LONG_PORTS; i++)
		used += (size_t)snprintf(fix.list + used, sizeof(fix.list) - used, "%s%d",
					 i ? "," : "", 20001 + 2 * i);
	fix.ready = (!unshare(CLONE_NEWNET) || !unshare(CLONE_NEWUSER | CLONE_NEWNET)) &&
		    !netns_open(NULL, 0, &fix.ns, &err);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (fix.ready)
		netns_close(&fix.ns);
	return killed_fini(&fix.killed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_call),
		cmocka_unit_test(test_each_call_of_a_long_list),
		cmocka_unit_test(test_random),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("cure_kill", tests, setup, teardown);
}
