/* SPDX-License-Identifier: MIT
 *
 * lease_step_test.c - killed between any two instructions
 *
 * A child leases and gives back, one instruction at a time (ptrace). After each instruction the
 * pool's file is looked at; each content it ever had is one that a kill could leave behind. When
 * the child is dead, the pool is brought to each of these in turn, and all ports must be there,
 * once each. Where the folder is changed, too (making a pool, building a damaged one anew), the
 * child is really killed, before and after each system call.
 *
 * plain: built without sanitizers, whose own instructions would be stepped through as well
 */
#include "lease_fixture.h"

#include <sys/mman.h>

static struct tcpwhy_lease leases[PORTS + 1];

/* --------------------------------------------------------------------- each content of the file */

/* What changed against the content before: few words each time. */
struct change {
	size_t word;
	uint64_t value;
	bool last; /* of one instruction */
};

enum { CHANGES_MAX = 200000 };

static struct change changes[CHANGES_MAX];
static size_t changes_n;

static uint64_t *file_words(void)
{
	return (uint64_t *)(void *)((char *)fix.pool->at.shared - LAYOUT_SHARED_AT);
}

static void note_changes(uint64_t *before)
{
	const uint64_t *now = file_words();
	size_t n = fix.pool->at.bytes / 8, page = 64;

	for (size_t at = 0; at < n; at += page) {
		size_t end = at + page < n ? at + page : n;

		if (!memcmp(&before[at], &now[at], (end - at) * 8))
			continue;
		for (size_t i = at; i < end; i++) {
			if (before[i] == now[i])
				continue;
			assert_true(changes_n < CHANGES_MAX);
			before[i] = now[i];
			changes[changes_n++] = (struct change){.word = i, .value = now[i]};
		}
	}
	if (changes_n)
		changes[changes_n - 1].last = true;
}

/* Lets the child run to its end, and notes. */
static unsigned long step_through(pid_t pid, const uint64_t *start)
{
	uint64_t *before = malloc(fix.pool->at.bytes);
	unsigned long steps = 0;

	assert_non_null(before);
	memcpy(before, start, fix.pool->at.bytes);
	changes_n = 0;
	for (; child_step(pid, PTRACE_SINGLESTEP); steps++)
		note_changes(before);
	free(before);
	return steps;
}

/* The contents in turn, each with the dead child's traces in it. */
static void kill_everywhere(int (*fn)(void), void (*check)(void))
{
	size_t bytes = fix.pool->at.bytes;
	uint64_t *content = malloc(bytes);
	unsigned long steps, contents = 0;
	pid_t pid;

	/* Our own entry first, and a sweep, so that neither comes in between. */
	assert_nothing_lost();
	assert_non_null(content);
	memcpy(content, file_words(), bytes);
	pid = child_stopped(fn);
	steps = step_through(pid, content);
	for (size_t i = 0; i < changes_n; i++) {
		content[changes[i].word] = changes[i].value;
		if (!changes[i].last)
			continue;
		memcpy(file_words(), content, bytes);
		check();
		contents++;
	}
	free(content);
	printf("# %lu instructions, %lu contents of the file\n", steps, contents);
	assert_true(contents > 10);
}

static int lease_and_release(void)
{
	return tcpwhy_lease(fix.pool, NULL, leases, 5) != 5 ||
	       tcpwhy_lease_release(fix.pool, leases, 5) != 5;
}

static void test_lease_and_release(void **state)
{
	(void)state;
	FIXTURE_NEEDED();
	kill_everywhere(lease_and_release, assert_nothing_lost);
}

/* All, so that it also sweeps for what is astray. */
static int lease_too_many(void)
{
	return tcpwhy_lease(fix.pool, NULL, leases, PORTS + 1) != PORTS;
}

static void test_lease_all(void **state)
{
	(void)state;
	FIXTURE_NEEDED();
	kill_everywhere(lease_too_many, assert_nothing_lost);
}

static int lease_timed(void)
{
	const struct tcpwhy_lease_wish wish = {.ttl_s = 1000};

	return tcpwhy_lease(fix.pool, &wish, leases, 2) != 2 ||
	       tcpwhy_lease_assign(fix.pool, &leases[0], getppid(), 0);
}

static int count_ours(void *ctx, const struct tcpwhy_port *p)
{
	unsigned *n = ctx;

	*n += p->state == TCPWHY_PORT_LEASED;
	assert_true(p->state != TCPWHY_PORT_LEASED || p->pid == getpid());
	return 0;
}

/* What was assigned to us is ours; nothing else may be left of the child. */
static void check_assigned(void)
{
	unsigned n = 0;

	tcpwhy_pool_recover(fix.pool);
	assert_int_equal(tcpwhy_pool_list(fix.pool, count_ours, &n), 0);
	assert_in_range(n, 0, 1);
	for (uint16_t port = LOW; port <= HIGH; port++)
		tcpwhy_lease_revoke(fix.pool, port);
	assert_nothing_lost();
}

static void test_assign(void **state)
{
	(void)state;
	FIXTURE_NEEDED();
	kill_everywhere(lease_timed, check_assigned);
}

/* --------------------------------------------------------------------- each border of a system
 * call */

static void kill_at_each_call(int (*fn)(void), void (*check)(void))
{
	unsigned long n = 0;
	bool ended = false;

	while (!ended) {
		pid_t pid = child_stopped(fn);

		for (unsigned long i = 0; i <= n && !ended; i++)
			ended = !child_step(pid, PTRACE_SYSCALL);
		if (!ended)
			child_kill(pid);
		check();
		n++;
	}
	printf("# killed at %lu borders of system calls\n", n - 1);
	assert_true(n > 40);
}

static int make_pool(void)
{
	return fixture_create(LOW, HIGH) != 0;
}

static void empty_folder(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -f %s/*", fix.folder);
	assert_int_equal(system(command), 0);
}

/* Either there is no pool, or a whole one. */
static void check_made(void)
{
	int error;

	tcpwhy_pool_close(fix.pool);
	fix.pool = NULL;
	error = fixture_open();
	if (error) {
		assert_int_equal(error, -ENOENT);
		assert_int_equal(fixture_create(LOW, HIGH), 0);
		assert_int_equal(fixture_open(), 0);
	}
	assert_string_equal(fix.why.text, "");
	assert_nothing_lost();
	empty_folder();
}

static void test_make(void **state)
{
	(void)state;
	FIXTURE_NEEDED();
	empty_folder();
	kill_at_each_call(make_pool, check_made);
}

static int rebuild_pool(void)
{
	struct tcpwhy_pool *pool;

	return tcpwhy_pool_open(fix.folder, false, &pool, NULL) != 0;
}

/* The lease of the handle that is open all along stands; then the header is damaged again. */
static void check_rebuilt(void)
{
	struct tcpwhy_lease others[PORTS];
	struct tcpwhy_pool *pool;
	int fd;

	assert_int_equal(tcpwhy_pool_open(fix.folder, false, &pool, &fix.why), 0);
	assert_int_equal(tcpwhy_lease(pool, NULL, others, PORTS), PORTS - 1);
	for (unsigned i = 0; i < PORTS - 1; i++)
		assert_int_not_equal(others[i].port, leases[0].port);
	tcpwhy_pool_close(pool);
	fd = fixture_file(O_WRONLY);
	assert_int_equal(pwrite(fd, "nonsense", 8, 0), 8);
	close(fd);
}

static void test_rebuild(void **state)
{
	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, leases, 1), 1);
	check_rebuilt();
	kill_at_each_call(rebuild_pool, check_rebuilt);
}

static bool shifted;

static int change_range(void)
{
	return fixture_create(shifted ? LOW : LOW + 1, shifted ? HIGH : HIGH + 1) != 0;
}

/* One range or the other, and the lease that both have stands. */
static void check_range(void)
{
	struct tcpwhy_lease others[PORTS];
	struct tcpwhy_pool_state s;
	struct tcpwhy_pool *pool;

	assert_int_equal(tcpwhy_pool_open(fix.folder, false, &pool, &fix.why), 0);
	tcpwhy_pool_look(pool, &s);
	assert_int_equal(s.high - s.low, PORTS - 1);
	assert_in_range(s.low, LOW, LOW + 1);
	shifted = s.low != LOW;
	assert_int_equal(tcpwhy_lease(pool, NULL, others, PORTS), PORTS - 1);
	for (unsigned i = 0; i < PORTS - 1; i++)
		assert_int_not_equal(others[i].port, leases[0].port);
	tcpwhy_pool_close(pool);
}

static void test_change_range(void **state)
{
	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, leases, 2), 2);
	assert_int_equal(tcpwhy_lease_release(fix.pool, leases, 1), 1);
	leases[0] = leases[1];
	kill_at_each_call(change_range, check_range);
}

int main(void)
{
#define POOL_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		POOL_TEST(test_lease_and_release),
		POOL_TEST(test_lease_all),
		POOL_TEST(test_assign),
		POOL_TEST(test_make),
		POOL_TEST(test_rebuild),
		POOL_TEST(test_change_range),
	};

	return unit_run("lease_step", tests);
}
