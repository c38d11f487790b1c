/* SPDX-License-Identifier: MIT
 *
 * The probes on the running kernel: they leave the caller where it was, and find what the row of an
 * exactly known kernel says
 */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live/probe.h"
#include "load/load.h"

static struct utsname kernel(void)
{
	struct utsname name;

	assert_int_equal(uname(&name), 0);
	return name;
}

static void check_bits(uint32_t asked, uint32_t found, uint32_t row, bool packets)
{
	for (size_t i = 0; tcpwhy_feature_at(i); i++) {
		const struct tcpwhy_feature_info *f = tcpwhy_feature_at(i);
		uint32_t bit = packets ? f->packet : f->feature;
		if ((bit & asked) && !(bit & found) != !(bit & row))
			fail_msg("%s: found %s", f->id, bit & found ? "there" : "missing");
	}
}

static void test_agrees_with_the_row(void **state)
{
	const struct utsname name = kernel();
	const struct tcpwhy_row *row = load_row_for(name.release);
	struct probe p;

	(void)state;
	probe_kernel(&p);
	if (!load_row_is_exact(name.release))
		unit_skip("the running kernel is not one that a row was made from");
	check_bits(p.asked, p.found, row->features, false);
	check_bits(p.packets_asked, p.packets_found, row->packets, true);
	/* What decides answers of bind() and connect() and can be seen within milliseconds. */
	const uint32_t behaviour = TCPWHY_F_FASTREUSE_DEAD | TCPWHY_F_REUSEPORT_STRICT |
				   TCPWHY_F_FAST_NOTED | TCPWHY_F_REUSEPORT_ASKED |
				   TCPWHY_F_BIND_ANY_APART | TCPWHY_F_BIND_ANY_PARITY |
				   TCPWHY_F_CONNECT_PARITY | TCPWHY_F_SOCK_RANGE_WHOLE |
				   TCPWHY_F_BUCKET_RELAXES | TCPWHY_F_TW_HIDDEN;
	if (p.unseen[0])
		unit_skip("no network namespace can be made");
	assert_int_equal(p.asked & behaviour, behaviour);
	assert_int_equal(p.found & ~p.asked, 0);
	assert_int_equal(p.packets_found & ~p.packets_asked, 0);
}

static uint64_t namespace_of(void)
{
	struct stat st;

	assert_int_equal(stat("/proc/self/ns/net", &st), 0);
	return st.st_ino;
}

static unsigned open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void test_leaves_nothing(void **state)
{
	const uint64_t ns = namespace_of();
	const unsigned files = open_files();
	struct probe p;

	(void)state;
	probe_kernel(&p);
	assert_int_equal(namespace_of(), ns);
	assert_int_equal(open_files(), files);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* Without a process to try in nothing is claimed, and it is said. */
static void test_says_what_could_not_be_tried(void **state)
{
	struct rlimit files, few;
	struct probe p;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	few = files;
	few.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	probe_kernel(&p);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	assert_int_equal(p.asked | p.found | p.packets_asked | p.packets_found, 0);
	assert_true(p.unseen[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agrees_with_the_row),
		cmocka_unit_test(test_leaves_nothing),
		cmocka_unit_test(test_says_what_could_not_be_tried),
	};

	return unit_run("probe", tests);
}
