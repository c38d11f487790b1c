/* SPDX-License-Identifier: MIT
 *
 * lease_file_test.c - the pool's file: damaged, truncated, newer, old, not to be trusted, another
 * range
 */
#include "lease_fixture.h"

#include <sys/file.h>

#include "lease/holder.h"
#include "lease/place.h"
#include "lease/sweep.h"

static struct tcpwhy_lease leases[2 * PORTS];

static void overwrite(off_t at, const void *bytes, size_t n)
{
	int fd = fixture_file(O_WRONLY);

	assert_int_equal(pwrite(fd, bytes, n, at), n);
	close(fd);
}

static void cut(off_t size)
{
	int fd = fixture_file(O_WRONLY);

	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static int entries_with(const char *part)
{
	DIR *dir = opendir(fix.folder);
	struct dirent *entry;
	int n = 0;

	while ((entry = readdir(dir)))
		n += strstr(entry->d_name, part) != NULL;
	closedir(dir);
	return n;
}

/* Opens the pool anew, which must have been built anew, with a message; the old handle must say
 * that it is no longer the pool. */
static struct tcpwhy_pool *expect_rebuilt(void)
{
	struct tcpwhy_pool *old = fix.pool;
	struct tcpwhy_lease one;

	assert_int_equal(fixture_open(), 0);
	assert_non_null(strstr(fix.why.text, "damaged"));
	assert_int_equal(entries_with(".damaged-"), 1);
	assert_int_equal(entries_with(".new"), 0);
	assert_int_equal(tcpwhy_lease(old, NULL, &one, 1), -ESTALE);
	return old;
}

static void test_again_changes_nothing(void **state)
{
	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, leases, 5), 5);
	assert_int_equal(fixture_create(LOW, HIGH), 0);
	assert_int_equal(tcpwhy_lease_release(fix.pool, leases, 5), 5);
}

/* Living leases of a file with a damaged header stay, and are released with the pool opened anew.
 */
static void test_damaged_header(void **state)
{
	struct tcpwhy_pool *old;

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, leases, 5), 5);
	overwrite(20, "\xff\xff", 2);
	old = expect_rebuilt();
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, &leases[5], PORTS), PORTS - 5);
	assert_int_equal(tcpwhy_lease_release(old, leases, 5), -ESTALE);
	assert_int_equal(tcpwhy_lease_release(fix.pool, leases, PORTS), PORTS);
	assert_nothing_lost();
	tcpwhy_pool_close(old);
	assert_nothing_lost();
}

static void lease_all(void *ctx)
{
	(void)ctx;
	if (tcpwhy_lease(fix.pool, NULL, leases, PORTS) != PORTS)
		_exit(1);
}

static void test_damaged_header_and_holder_dies(void **state)
{
	struct tcpwhy_lease one;
	pid_t pid;

	(void)state;
	FIXTURE_NEEDED();
	pid = child_start(lease_all, NULL);
	overwrite(0, "nonsense", 8);
	tcpwhy_pool_close(expect_rebuilt());
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, &one, 1), -ENOSPC);
	child_kill(pid);
	assert_nothing_lost();
}

static void test_truncated(void **state)
{
	static const off_t sizes[] = {0, 5, 79, 4096, 8192, LAYOUT_SLOTS_AT + 33};
	struct tcpwhy_lease one;

	(void)state;
	FIXTURE_NEEDED();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		cut(sizes[i]);
		/* Noticed before a page that is gone is touched. */
		assert_int_equal(tcpwhy_lease(fix.pool, NULL, &one, 1), -ESTALE);
		assert_int_equal(tcpwhy_pool_recover(fix.pool), -ESTALE);
		tcpwhy_pool_close(fix.pool);
		assert_int_equal(fixture_open(), 0);
		assert_int_equal(entries_with(".damaged-"), i + 1);
		/* What was cut off was perhaps leased. */
		assert_true(tcpwhy_lease(fix.pool, NULL, leases, PORTS) <= 2);
		tcpwhy_pool_close(fix.pool);
		assert_int_equal(tcpwhy_pool_open(fix.folder, false, &fix.pool, NULL), 0);
	}
}

static void test_newer(void **state)
{
	const uint32_t version = LAYOUT_VERSION + 1;
	struct tcpwhy_pool *pool;

	(void)state;
	FIXTURE_NEEDED();
	overwrite(offsetof(struct layout_header, version), &version, sizeof(version));
	assert_int_equal(tcpwhy_pool_open(fix.folder, false, &pool, &fix.why), -EPROTO);
	assert_non_null(strstr(fix.why.text, "newer"));
	assert_int_equal(fixture_create(LOW, HIGH), -EPROTO);
	assert_int_equal(entries_with(".damaged-"), 0);
	/* Who has it open is not disturbed. */
	assert_nothing_lost();
}

/* Of the boot before: nobody lives, and it is no damage. */
static void test_older_boot(void **state)
{
	struct layout_header h;
	int fd;

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, leases, 5), 5);
	fd = fixture_file(O_RDONLY);
	assert_int_equal(pread(fd, &h, sizeof(h), 0), sizeof(h));
	close(fd);
	h.boot_id[3] ^= 1;
	layout_seal(&h);
	overwrite(0, &h, sizeof(h));
	tcpwhy_pool_close(fix.pool);
	assert_int_equal(fixture_open(), 0);
	assert_string_equal(fix.why.text, "");
	assert_nothing_lost();
}

static void test_range_unknown(void **state)
{
	struct tcpwhy_pool *pool;
	char command[128];

	(void)state;
	FIXTURE_NEEDED();
	snprintf(command, sizeof(command), "rm %s/*.range", fix.folder);
	assert_int_equal(system(command), 0);
	overwrite(0, "nonsense", 8);
	assert_int_equal(tcpwhy_pool_open(fix.folder, false, &pool, &fix.why), -EUCLEAN);
	assert_int_equal(fixture_create(LOW, HIGH), 0);
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, leases, 1), -ESTALE);
	tcpwhy_pool_close(fix.pool);
	assert_int_equal(fixture_open(), 0);
	assert_nothing_lost();
}

/* Killed between the two files, or the pool's was removed by hand. */
static void test_pool_gone(void **state)
{
	char command[128];

	(void)state;
	FIXTURE_NEEDED();
	snprintf(command, sizeof(command), "find %s -name 'ports-*' ! -name '*.range' -delete",
		 fix.folder);
	assert_int_equal(system(command), 0);
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, leases, 1), -ESTALE);
	tcpwhy_pool_close(fix.pool);
	assert_int_equal(fixture_open(), 0);
	assert_nothing_lost();
}

/* ------------------------------------------------------------------------------------ damaged
 * words */

static void test_damaged_slot(void **state)
{
	struct tcpwhy_pool_state s;
	uint64_t now = pool_now_ns();

	(void)state;
	FIXTURE_NEEDED();
	atomic_store(&fix.pool->at.slots[3].word, 0);
	atomic_store(&fix.pool->at.slots[4].word, UINT64_MAX);
	tcpwhy_pool_look(fix.pool, &s);
	assert_int_equal(s.damaged, 2);
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, leases, PORTS), PORTS - 2);
	tcpwhy_pool_look(fix.pool, &s);
	assert_int_equal(s.damaged, 0);
	assert_int_equal(s.withheld, 2);
	assert_int_equal(s.leased, PORTS - 2);
	assert_int_equal(tcpwhy_lease_release(fix.pool, leases, PORTS - 2), PORTS - 2);
	assert_int_equal(sweep_all(fix.pool, now), 0);
	assert_int_equal(sweep_all(fix.pool, now + 2 * SWEEP_WITHHELD_NS), 2);
	assert_nothing_lost();
}

/* The holder cannot be made out any more: its ports are withheld, and then come back; so does its
 * place in the table. */
static void test_damaged_holder(void **state)
{
	struct tcpwhy_pool_state s;
	uint64_t now = pool_now_ns();
	uint64_t ref;

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, leases, 10), 10);
	assert_int_equal(holder_me(fix.pool, &ref), 0);
	atomic_fetch_add(&fix.pool->at.holders[holder_ref_index(ref)].start, 1);
	assert_int_equal(sweep_all(fix.pool, now), 0);
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, &leases[10], PORTS), PORTS - 10);
	assert_int_equal(tcpwhy_lease_release(fix.pool, leases, PORTS), PORTS - 10);
	tcpwhy_pool_look(fix.pool, &s);
	assert_int_equal(s.withheld, 10);
	assert_int_equal(sweep_all(fix.pool, now + 2 * SWEEP_WITHHELD_NS), 10);
	assert_nothing_lost();
	tcpwhy_pool_look(fix.pool, &s);
	assert_int_equal(s.holders, 1);
}

/* Everything that is not the header, at random: it ends, and no port is outside the range. */
static void test_random_damage(void **state)
{
	uint64_t seed = unit_seed();

	(void)state;
	FIXTURE_NEEDED();
	for (int round = 0; round < 200; round++) {
		int got;

		for (int i = 0; i < 200; i++) {
			uint64_t r = unit_random(&seed);
			uint64_t *words = (uint64_t *)(void *)fix.pool->at.shared;
			size_t n = (fix.pool->at.bytes - LAYOUT_SHARED_AT) / 8;
			size_t at = r & 1   ? (r >> 8) % 24
				    : r & 2 ? (LAYOUT_SLOTS_AT - LAYOUT_SHARED_AT) / 8 +
						      (r >> 8) % (PORTS * 4)
					    : (r >> 8) % n;

			words[at] ^= UINT64_C(1) << (r >> 58);
		}
		atomic_store(&fix.pool->at.shared->retired, 0);
		got = tcpwhy_lease(fix.pool, NULL, leases, PORTS);
		assert_in_range(got == -ENOSPC ? 0 : got, 0, PORTS);
		for (int i = 0; i < got; i++)
			assert_in_range(leases[i].port, LOW, HIGH);
		if (got > 0)
			assert_in_range(tcpwhy_lease_release(fix.pool, leases, (unsigned)got), 0,
					got);
	}
	sweep_all(fix.pool, pool_now_ns());
	for (uint32_t i = 0; i < PORTS; i++)
		atomic_store(&fix.pool->at.slots[i].expires_ns, 0);
	sweep_all(fix.pool, pool_now_ns());
	assert_nothing_lost();
}

/* ---------------------------------------------------------------------------------------- the
 * range */

static void test_other_range(void **state)
{
	struct tcpwhy_pool *old = fix.pool;

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, leases, 5), 5);
	assert_int_equal(fixture_create(LOW + 3, HIGH + 3), -EBUSY);
	assert_int_equal(tcpwhy_lease_release(old, leases, 3), 3);
	assert_int_equal(fixture_create(LOW + 3, HIGH + 3), 0);
	assert_int_equal(tcpwhy_lease(old, NULL, leases, 1), -ESTALE);
	assert_int_equal(fixture_open(), 0);
	/* The two that are leased moved to other slots with their tokens. */
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, &leases[5], PORTS), PORTS - 2);
	assert_int_equal(tcpwhy_lease_release(fix.pool, &leases[3], 2), 2);
	tcpwhy_pool_close(old);
}

static void test_bad_ranges(void **state)
{
	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(fixture_create(0, 10), -EINVAL);
	assert_int_equal(fixture_create(11, 10), -EINVAL);
	assert_int_equal(fixture_create(1, 65535), -EINVAL);
}

static void test_range_text(void **state)
{
	static const char *const bad[] = {
		"",        "-",    "1",    "1-",    "-2",   "0-5",         "5-4",
		"1-65536", "1-2 ", " 1-2", "1-2-3", "1--2", "65536-65537", "99999999999999-5",
		"0x1-0x2"};
	uint16_t low = 7, high = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(place_parse_range(bad[i], &low, &high));
	assert_int_equal(low + high, 14);
	assert_true(place_parse_range("1-65535", &low, &high));
	assert_int_equal(low, 1);
	assert_int_equal(high, 65535);
}

/* --------------------------------------------------------------------------------- not to be
 * trusted */

static void test_read_only(void **state)
{
	struct tcpwhy_pool_state s;
	struct tcpwhy_pool *pool;

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, leases, 5), 5);
	assert_int_equal(tcpwhy_pool_open(fix.folder, true, &pool, &fix.why), 0);
	tcpwhy_pool_look(pool, &s);
	assert_int_equal(s.leased, 5);
	assert_int_equal(tcpwhy_lease(pool, NULL, &leases[5], 1), -EROFS);
	assert_int_equal(tcpwhy_lease_release(pool, leases, 1), -EROFS);
	assert_int_equal(tcpwhy_lease_revoke(pool, LOW), -EROFS);
	assert_int_equal(tcpwhy_pool_recover(pool), -EROFS);
	tcpwhy_pool_close(pool);
	overwrite(0, "nonsense", 8);
	assert_int_equal(tcpwhy_pool_open(fix.folder, true, &pool, &fix.why), -EUCLEAN);
}

static void replace_by(const char *format)
{
	char command[512], name[64];
	struct place place;

	assert_int_equal(place_open(&place, fix.folder, false), 0);
	snprintf(name, sizeof(name), "%s", place.name);
	place_close(&place);
	snprintf(command, sizeof(command), "cd %s && mv %s real && %s %s", fix.folder, name, format,
		 name);
	assert_int_equal(system(command), 0);
}

static void test_link_and_fifo(void **state)
{
	struct tcpwhy_pool *pool;
	char command[160];

	(void)state;
	FIXTURE_NEEDED();
	replace_by("ln -s real");
	assert_int_equal(tcpwhy_pool_open(fix.folder, false, &pool, &fix.why), -EINVAL);
	snprintf(command, sizeof(command), "cd %s && mv real $(find . -type l)", fix.folder);
	assert_int_equal(system(command), 0);
	replace_by("mkfifo");
	assert_int_equal(tcpwhy_pool_open(fix.folder, false, &pool, &fix.why), -EINVAL);
}

static void test_folder_of_others(void **state)
{
	struct tcpwhy_pool *pool;
	char link[80];

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(chmod(fix.folder, 0777), 0);
	assert_int_equal(tcpwhy_pool_open(fix.folder, false, &pool, &fix.why), -EPERM);
	assert_int_equal(chmod(fix.folder, 0755), 0);
	snprintf(link, sizeof(link), "%s.link", fix.folder);
	assert_int_equal(symlink(fix.folder, link), 0);
	assert_int_not_equal(tcpwhy_pool_open(link, false, &pool, &fix.why), 0);
	assert_int_equal(unlink(link), 0);
	if (geteuid())
		unit_skip("only root can make a file another user's");
	assert_int_equal(fchown(fix.pool->fd, 1234, (gid_t)-1), 0);
	assert_int_equal(tcpwhy_pool_open(fix.folder, false, &pool, &fix.why), -EPERM);
}

static mode_t mode_of_lock(void)
{
	struct place place;
	struct stat st;

	assert_int_equal(place_open(&place, fix.folder, false), 0);
	assert_int_equal(fstatat(place.folder, place.gate, &st, 0), 0);
	place_close(&place);
	return st.st_mode & 07777;
}

/* Whoever may look into the folder can lock it: that holds nobody up. What is locked instead can be
 * opened by the users of the pool only. */
static void test_locked_by_others(void **state)
{
	const struct tcpwhy_pool_plan shared = {LOW, HIGH + 1, fix.folder, getegid()};
	int folder;

	(void)state;
	FIXTURE_NEEDED();
	folder = open(fix.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(folder, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(fixture_create(LOW, HIGH + 1), 0);
	assert_int_equal(mode_of_lock(), 0600);
	tcpwhy_pool_close(fix.pool);
	assert_int_equal(fixture_open(), 0);
	overwrite(0, "nonsense", 8);
	tcpwhy_pool_close(expect_rebuilt());
	assert_int_equal(tcpwhy_pool_create(&shared, &fix.why), 0);
	assert_int_equal(mode_of_lock(), 0660);
	close(folder);
}

static void test_no_pool(void **state)
{
	struct tcpwhy_pool *pool;

	(void)state;
	assert_int_equal(tcpwhy_pool_open("/nowhere/at/all", false, &pool, &fix.why), -ENOENT);
	assert_int_equal(tcpwhy_pool_open("/tmp", false, &pool, NULL), -EPERM);
}

int main(void)
{
#define POOL_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		POOL_TEST(test_again_changes_nothing),
		POOL_TEST(test_damaged_header),
		POOL_TEST(test_damaged_header_and_holder_dies),
		POOL_TEST(test_truncated),
		POOL_TEST(test_newer),
		POOL_TEST(test_older_boot),
		POOL_TEST(test_range_unknown),
		POOL_TEST(test_pool_gone),
		POOL_TEST(test_damaged_slot),
		POOL_TEST(test_damaged_holder),
		POOL_TEST(test_locked_by_others),
		POOL_TEST(test_random_damage),
		POOL_TEST(test_other_range),
		POOL_TEST(test_bad_ranges),
		cmocka_unit_test(test_range_text),
		POOL_TEST(test_read_only),
		POOL_TEST(test_link_and_fifo),
		POOL_TEST(test_folder_of_others),
		cmocka_unit_test(test_no_pool),
	};

	return unit_run("lease_file", tests);
}
