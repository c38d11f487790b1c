/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cure/journal.h"
#include "cure/journal_fold.h"

static char dir[64], path[80];

/* ---------------------------------------------------------------------------------------- folding
 */

static struct journal_entries folded(const char *text, uint64_t *last)
{
	struct journal_entries entries;

	assert_int_equal(journal_fold(text, strlen(text), &entries, last), 0);
	return entries;
}

#define BEFORE(id) "{\"schema\":2,\"id\":" #id ",\"step\":\"before\",\"action\":\"sysctl\"}\n"
#define AFTER(id, result)                                                                          \
	"{\"schema\":2,\"id\":" #id ",\"step\":\"after\",\"result\":\"" result "\"}\n"

static void test_fold(void **state)
{
	static const struct {
		const char *text;
		size_t n, skipped;
		uint64_t last;
		const char *results; /* of the entries, joined */
	} rows[] = {
		{"", 0, 0, 0, ""},
		{"\n\n\n", 0, 0, 0, ""},
		{BEFORE(1), 1, 0, 1, "begun "},
		{BEFORE(1) AFTER(1, "done"), 1, 0, 1, "done "},
		{BEFORE(1) AFTER(1, "done") AFTER(1, "undone"), 1, 0, 1, "undone "},
		{BEFORE(1) BEFORE(2) AFTER(1, "left"), 2, 0, 2, "left begun "},
		/* Ids only grow: what comes again is not ours. */
		{BEFORE(2) BEFORE(1) BEFORE(2), 1, 2, 2, "begun "},
		{BEFORE(1) AFTER(2, "done"), 1, 1, 1, "begun "},
		{BEFORE(0) BEFORE(-1), 0, 2, 0, ""},
		{BEFORE(9223372036854775807), 0, 1, 0, ""},
		/* Torn at the end, torn and ended by the next who wrote, torn but whole. */
		{BEFORE(1) "{\"schema\":2,\"id\":2,\"st", 1, 1, 1, "begun "},
		{"{\"schema\":2,\"id\":1,\"st\n" BEFORE(1), 1, 1, 1, "begun "},
		{"{\"schema\":2,\"id\":1,\"step\":\"before\",\"action\":\"x\"}", 1, 0, 1, "begun "},
		/* Foreign. */
		{"[1]\n5\nnull\n\"x\"\n{}\nhello\n", 0, 6, 0, ""},
		{"{\"schema\":0,\"id\":1,\"step\":\"before\",\"action\":\"x\"}\n", 0, 1, 0, ""},
		/* Of a newer release: counted apart. */
		{BEFORE(1) "{\"schema\":3,\"id\":2,\"step\":\"before\",\"action\":\"x\"}\n", 1, 0,
		 1, "begun "},
		{"{\"schema\":2,\"id\":1,\"step\":\"before\"}\n", 0, 1, 0, ""},
		{"{\"schema\":2,\"id\":1,\"step\":\"between\",\"action\":\"x\"}\n", 0, 1, 0, ""},
		{"{\"schema\":2,\"id\":\"1\",\"step\":\"before\",\"action\":\"x\"}\n", 0, 1, 0, ""},
		{BEFORE(1) "{\"schema\":2,\"id\":1,\"step\":\"after\"}\n", 1, 1, 1, "begun "},
		{"{\"schema\":2,\"id\":1,\"id\":2,\"step\":\"before\",\"action\":\"x\"}\n", 0, 1, 0,
		 ""},
		/* Of the version that gave no ids: the pid ties the two lines. */
		{"{\"schema\":1,\"action\":\"x\",\"pid\":7}\n"
		 "{\"schema\":1,\"action\":\"x\",\"pid\":7,\"result\":\"done\"}\n"
		 "{\"schema\":1,\"action\":\"x\",\"pid\":8}\n" BEFORE(1),
		 3, 0, 1, "done begun begun "},
		{"{\"schema\":1,\"action\":\"x\",\"pid\":7,\"result\":\"done\"}\n", 0, 1, 0, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t last;
		struct journal_entries e = folded(rows[i].text, &last);
		char results[256] = "";

		for (size_t k = 0; k < e.n; k++) {
			strcat(results, journal_result(&e.all[k]));
			strcat(results, " ");
		}
		if (e.n != rows[i].n || e.skipped != rows[i].skipped || last != rows[i].last ||
		    strcmp(results, rows[i].results) != 0)
			fail_msg("row %zu: %zu entries, %zu skipped, last %llu, %s", i, e.n,
				 e.skipped, (unsigned long long)last, results);
		journal_entries_free(&e);
	}
}

/* A file is known by its first line; one of ours may be torn there too. */
static void test_first_line(void **state)
{
	static const struct {
		const char *text;
		bool foreign;
		size_t newer;
	} rows[] = {
		{"", false, 0},
		{BEFORE(1), false, 0},
		{"\n" BEFORE(1) "hello\n", false, 0},
		{AFTER(1, "done"), false, 0},
		{"{\"sch", false, 0},
		{"{\"schema\":2,\"id\":1,\"st\n" BEFORE(1), false, 0},
		{"{\"schema\":1,\"action\":\"x\",\"pid\":7}\n", false, 0},
		{"{\"schema\":3,\"id\":1,\"step\":\"x\"}\n" BEFORE(2), false, 1},
		{"hello\n" BEFORE(1), true, 0},
		{"{\"schema\":2}\n", true, 0},
		{"{\"key\":\"value\"}\n", true, 0},
		{"[Section]\nkey=value\n", true, 0},
		{"{", false, 0},
		{"{}\n", true, 0},
		{"{ \"schema\": ", true, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t last;
		struct journal_entries e = folded(rows[i].text, &last);

		if (e.foreign != rows[i].foreign || e.newer != rows[i].newer)
			fail_msg("row %zu: foreign %d, newer %zu", i, e.foreign, e.newer);
		journal_entries_free(&e);
	}
}

/* Cut anywhere, the lines before the cut are read, and at most one is counted as torn. */
static void test_cut_anywhere(void **state)
{
	static const char text[] = BEFORE(1) AFTER(1, "done") BEFORE(2) AFTER(2, "undone");

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		struct journal_entries e;
		uint64_t last;

		assert_int_equal(journal_fold(text, n, &e, &last), 0);
		assert_true(e.skipped <= 1);
		assert_true(n < strlen(BEFORE(1)) - 1 ? e.n == 0 : e.n >= 1);
		journal_entries_free(&e);
	}
}

/* ------------------------------------------------------------------------------------- on a file
 */

static uint64_t begin(struct journal *journal)
{
	uint64_t id = 0;
	struct err err;

	assert_int_equal(journal_before(journal, json_pack("{s:s}", "action", "x"), &id, &err), 0);
	return id;
}

static size_t count(size_t *skipped)
{
	struct journal_entries entries;
	struct journal journal;
	struct err err;
	size_t n;

	assert_int_equal(journal_open_read(&journal, path, &err), 0);
	assert_int_equal(journal_read(&journal, &entries, &err), 0);
	n = entries.n;
	*skipped = entries.skipped;
	journal_entries_free(&entries);
	journal_close(&journal);
	return n;
}

static void append(const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void test_ids(void **state)
{
	struct journal journal;
	struct err err;
	size_t skipped;

	(void)state;
	unlink(path);
	assert_int_equal(count(&skipped), 0);
	assert_int_equal(journal_open(&journal, path, &err), 0);
	assert_int_equal(begin(&journal), 1);
	assert_int_equal(begin(&journal), 2);
	assert_int_equal(journal_after(&journal, 1, json_pack("{s:s}", "result", "done"), &err), 0);
	journal_close(&journal);
	assert_int_equal(journal_open(&journal, path, &err), 0);
	assert_int_equal(begin(&journal), 3);
	journal_close(&journal);
	assert_int_equal(count(&skipped), 3);
	assert_int_equal(skipped, 0);
}

static void test_torn_is_ended(void **state)
{
	struct journal journal;
	struct err err;
	size_t skipped;

	(void)state;
	unlink(path);
	append(BEFORE(1) "{\"schema\":2,\"id\":2,");
	assert_int_equal(journal_open(&journal, path, &err), 0);
	assert_true(journal.torn);
	assert_int_equal(begin(&journal), 2);
	assert_false(journal.torn);
	assert_int_equal(begin(&journal), 3);
	journal_close(&journal);
	assert_int_equal(count(&skipped), 3);
	assert_int_equal(skipped, 1);
}

/* A disk that is full in the middle of a line: the change may not be made, and no half line stays.
 */
static void test_full(void **state)
{
	struct journal journal;
	struct err err;
	uint64_t id = 77;
	int status;
	pid_t pid;

	(void)state;
	unlink(path);
	append(BEFORE(1));
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		const struct rlimit small = {.rlim_cur = strlen(BEFORE(1)) + 10,
					     .rlim_max = strlen(BEFORE(1)) + 10};
		struct stat st;

		signal(SIGXFSZ, SIG_IGN);
		if (setrlimit(RLIMIT_FSIZE, &small) || journal_open(&journal, path, &err))
			_exit(2);
		if (!journal_before(&journal, json_pack("{s:s}", "action", "x"), &id, &err))
			_exit(3);
		if (id != 77 || !strstr(err.text, "cannot append"))
			_exit(4);
		_exit(stat(path, &st) || (size_t)st.st_size != strlen(BEFORE(1)) ? 5 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_lock(void **state)
{
	struct journal journal;
	struct err err;
	int fd;

	(void)state;
	unlink(path);
	assert_int_equal(journal_open(&journal, path, &err), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_not_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	/* Reading needs no lock. */
	struct journal reader;
	assert_int_equal(journal_open_read(&reader, path, &err), 0);
	journal_close(&reader);
	journal_close(&journal);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
}

/* Who is killed holds nothing any more. */
static void test_lock_of_the_dead(void **state)
{
	struct journal journal;
	int ready[2];
	struct err err;
	pid_t pid;
	char c;

	(void)state;
	unlink(path);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (journal_open(&journal, path, &err) || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(journal_open(&journal, path, &err), 0);
	journal_close(&journal);
	close(ready[0]);
	close(ready[1]);
}

/* The lock is worth nothing on a file that was moved away while it was waited for. */
static void test_moved(void **state)
{
	struct journal first, second;
	char moved[96];
	struct stat st, there;
	struct err err;
	pid_t pid;
	int status;

	(void)state;
	unlink(path);
	snprintf(moved, sizeof(moved), "%s.old", path);
	assert_int_equal(journal_open(&first, path, &err), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		journal_close(&first);
		if (journal_open(&second, path, &err) || fstat(second.fd, &st) ||
		    stat(path, &there))
			_exit(1);
		_exit(st.st_ino == there.st_ino ? 0 : 2);
	}
	assert_int_equal(rename(path, moved), 0);
	append(BEFORE(1));
	journal_close(&first);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	unlink(moved);
}

static void test_strange_files(void **state)
{
	struct journal journal;
	struct err err;

	(void)state;
	unlink(path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(journal_open(&journal, path, &err), -ELOOP);
	assert_int_equal(journal_open_read(&journal, path, &err), -ELOOP);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_true(journal_open(&journal, path, &err) < 0);
	assert_true(journal_open_read(&journal, path, &err) < 0);
	assert_non_null(strstr(err.text, "no plain file"));
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(journal_open(&journal, path, &err) < 0);
	rmdir(path);
	if (geteuid() != 0)
		unit_skip("only root can make a file of another user");
	append(BEFORE(1));
	assert_int_equal(chown(path, 65534, (gid_t)-1), 0);
	assert_int_equal(journal_open(&journal, path, &err), -EPERM);
	assert_int_equal(journal_open_read(&journal, path, &err), -EPERM);
	assert_non_null(strstr(err.text, "another user"));
}

/* Neither is a file of another kind added to, nor what a newer release wrote. */
static void test_not_ours_to_write(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"[Section]\nkey=value\n", "no journal"},
		{"\x7f"
		 "ELF\x02\x01",
		 "no journal"},
		{BEFORE(1) "{\"schema\":3,\"id\":2,\"step\":\"before\",\"action\":\"x\"}\n",
		 "newer release"},
	};
	struct journal journal;
	struct stat st;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unlink(path);
		append(rows[i].text);
		assert_true(journal_open(&journal, path, &err) < 0);
		assert_non_null(strstr(err.text, rows[i].says));
		assert_true(journal_check(path, &err) < 0);
		assert_non_null(strstr(err.text, rows[i].says));
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, strlen(rows[i].text));
	}
	assert_int_equal(journal_open(&journal, "/proc/self/mem", &err), -EINVAL);
	assert_int_equal(journal_open(&journal, "/proc/self/oom_score_adj", &err), -EINVAL);
}

/* What others could write, or what has another name. */
static void test_not_ours_alone(void **state)
{
	struct journal journal;
	char other[96];
	struct err err;

	(void)state;
	unlink(path);
	append(BEFORE(1));
	for (mode_t mode = 0602; mode <= 0620; mode += 016) {
		assert_int_equal(chmod(path, mode), 0);
		assert_int_equal(journal_open(&journal, path, &err), -EPERM);
		assert_non_null(strstr(err.text, "others may write"));
		assert_int_equal(journal_open_read(&journal, path, &err), -EPERM);
		assert_int_equal(journal_check(path, &err), -EPERM);
	}
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(journal_check(path, &err), 0);
	snprintf(other, sizeof(other), "%s.other", path);
	assert_int_equal(link(path, other), 0);
	assert_int_equal(journal_open(&journal, path, &err), -EPERM);
	assert_non_null(strstr(err.text, "hard link"));
	unlink(other);
}

/* What a dry run foresees: nothing is made. */
static void test_check(void **state)
{
	char below[128];
	struct err err;

	(void)state;
	unlink(path);
	assert_int_equal(journal_check(path, &err), 0);
	assert_int_not_equal(access(path, F_OK), 0);
	snprintf(below, sizeof(below), "%s/none/journal", dir);
	assert_true(journal_check(below, &err) < 0);
	assert_non_null(strstr(err.text, "--journal FILE"));
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/tcpwhy-journal.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/journal", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fold),
		cmocka_unit_test(test_first_line),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_torn_is_ended),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_lock_of_the_dead),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_strange_files),
		cmocka_unit_test(test_not_ours_to_write),
		cmocka_unit_test(test_not_ours_alone),
		cmocka_unit_test(test_check),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("journal", tests, setup, teardown);
}
