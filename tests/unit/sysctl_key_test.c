/* SPDX-License-Identifier: MIT */
#include "cure/sysctl_key.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct sysctl_key *key(const char *name)
{
	const struct sysctl_key *k = sysctl_key_find(name);

	if (!k)
		fail_msg("%s is not in the table", name);
	return k;
}

static void test_names(void **state)
{
	static const struct {
		const char *name, *found; /* NULL: none */
	} cases[] = {
		{"net.ipv4.tcp_tw_reuse", "net.ipv4.tcp_tw_reuse"},
		{"tcp_tw_reuse", "net.ipv4.tcp_tw_reuse"},
		{"ipv4.tcp_tw_reuse", "net.ipv4.tcp_tw_reuse"},
		{"net/ipv4/tcp_tw_reuse", "net.ipv4.tcp_tw_reuse"},
		{"/proc/sys/net/ipv4/tcp_tw_reuse", "net.ipv4.tcp_tw_reuse"},
		{"ip_nonlocal_bind", "net.ipv4.ip_nonlocal_bind"},
		{"ipv6.ip_nonlocal_bind", "net.ipv6.ip_nonlocal_bind"},
		{"bindv6only", "net.ipv6.bindv6only"},
		{"somaxconn", "net.core.somaxconn"},
		{"tw_reuse", NULL},
		{"net.ipv4.tcp_tw_reuse.", NULL},
		{"net.ipv4", NULL},
		{"", NULL},
		{"../../kernel/core_pattern", NULL},
		{"net.ipv4.tcp_tw_reusenet.ipv4.tcp_tw_reusenet.ipv4.tcp_tw_reusenet.ipv4.tcp_tw",
		 NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct sysctl_key *k = sysctl_key_find(cases[i].name);
		if (!k != !cases[i].found || (k && strcmp(k->name, cases[i].found)))
			fail_msg("%s: %s", cases[i].name, k ? k->name : "none");
	}
}

static void test_near(void **state)
{
	static const struct {
		const char *typed, *meant; /* NULL: nothing is near */
	} cases[] = {
		{"tcp_tw_resue", "net.ipv4.tcp_tw_reuse"},
		{"net.ipv4.ip_local_port_ranges", "net.ipv4.ip_local_port_range"},
		{"tw_reuse", "net.ipv4.tcp_tw_reuse"},
		{"net.core.somaxcon", "net.core.somaxconn"},
		{"fin_timeout", "net.ipv4.tcp_fin_timeout"},
		{"vm.swappiness", NULL},
		{"x", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct sysctl_key *near[3];
		size_t n = sysctl_key_near(cases[i].typed, near, 3);

		assert_true(n <= 3);
		if (!n != !cases[i].meant || (n && strcmp(near[0]->name, cases[i].meant)))
			fail_msg("%s: %s", cases[i].typed, n ? near[0]->name : "none");
	}
}

static void test_values(void **state)
{
	static const struct {
		const char *name, *text, *normal; /* NULL: refused */
	} cases[] = {
		{"tcp_tw_reuse", "1", "1"},
		{"tcp_tw_reuse", " 02\n", "2"},
		{"tcp_tw_reuse", "3", NULL},
		{"tcp_tw_reuse", "", NULL},
		{"tcp_tw_reuse", "-1", NULL},
		{"tcp_tw_reuse", "1 1", NULL},
		{"tcp_tw_reuse", "1x", NULL},
		{"tcp_syn_retries", "0", NULL},
		{"somaxconn", "2147483647", "2147483647"},
		{"somaxconn", "2147483648", NULL},
		{"somaxconn", "99999999999999999999999", NULL},
		{"ip_local_port_range", "32768\t60999\n", "32768 60999"},
		{"ip_local_port_range", "  1 65535", "1 65535"},
		{"ip_local_port_range", "7 7", "7 7"},
		{"ip_local_port_range", "32768", NULL},
		{"ip_local_port_range", "60999 32768", NULL},
		{"ip_local_port_range", "0 1000", NULL},
		{"ip_local_port_range", "1000 65536", NULL},
		{"ip_local_port_range", "1000-2000", NULL},
		{"ip_local_port_range", "1 2 3", NULL},
		{"ip_local_reserved_ports", "", ""},
		{"ip_local_reserved_ports", "\n", ""},
		{"ip_local_reserved_ports", "9000-9002,80,9001-9005,81", "80-81,9000-9005"},
		{"ip_local_reserved_ports", "0,65535", "0,65535"},
		{"ip_local_reserved_ports", "80,", NULL},
		{"ip_local_reserved_ports", ",80", NULL},
		{"ip_local_reserved_ports", "80, 81", NULL},
		{"ip_local_reserved_ports", "80-", NULL},
		{"ip_local_reserved_ports", "81-80", NULL},
		{"ip_local_reserved_ports", "65536", NULL},
		{"ip_local_reserved_ports", "1-4294967299", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[SYSCTL_VALUE_MAX] = "as it was";
		const char *wrong =
			sysctl_key_value(key(cases[i].name), cases[i].text, out, sizeof(out));
		const char *wanted = cases[i].normal ? cases[i].normal : "as it was";

		if (!wrong != !!cases[i].normal || strcmp(out, wanted))
			fail_msg("%s=%s: %s (%s)", cases[i].name, cases[i].text, out,
				 wrong ? wrong : "taken");
	}
}

static void test_no_room(void **state)
{
	char out[8] = "as is";

	(void)state;
	assert_non_null(
		sysctl_key_value(key("ip_local_port_range"), "32768 60999", out, sizeof(out)));
	assert_non_null(sysctl_key_value(key("somaxconn"), "12345678", out, sizeof(out)));
	assert_non_null(
		sysctl_key_value(key("ip_local_reserved_ports"), "1,3,5,77", out, sizeof(out)));
	assert_string_equal(out, "as is");
	assert_null(sysctl_key_value(key("ip_local_reserved_ports"), "1,3,5,7", out, sizeof(out)));
	assert_string_equal(out, "1,3,5,7");
	assert_false(sysctl_key_path(key("somaxconn"), out, sizeof(out)));
}

static void test_same(void **state)
{
	static const struct {
		const char *name, *written, *seen;
		bool same;
	} cases[] = {
		{"ip_local_port_range", "32768 60999", "32768\t60999\n", true},
		{"ip_local_port_range", "32768 60999", "32768\t6099\n", false},
		{"ip_local_port_range", "32768 60999", "32768\t609990\n", false},
		{"ip_local_reserved_ports", "81,80", "80-81\n", true},
		{"ip_local_reserved_ports", "", "\n", true},
		{"ip_local_reserved_ports", "80", "\n", false},
		{"tcp_invalid_ratelimit", "501", "504\n", true},
		{"tcp_invalid_ratelimit", "501", "500\n", false},
		{"tcp_invalid_ratelimit", "501", "511\n", false},
		{"tcp_fin_timeout", "-1", "-1\n", true}, /* out of range, but the same */
		{"tcp_fin_timeout", "60", "61\n", false},
		{"tcp_fin_timeout", "60", "", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (sysctl_key_same(key(cases[i].name), cases[i].written, cases[i].seen) !=
		    cases[i].same)
			fail_msg("%s: \"%s\" and \"%s\"", cases[i].name, cases[i].written,
				 cases[i].seen);
	}
}

static void test_releases(void **state)
{
	(void)state;
	assert_int_equal(sysctl_release_parse("6.18.44-generic"), SYSCTL_RELEASE(6, 18));
	assert_int_equal(sysctl_release_parse("v1.29.3"), SYSCTL_RELEASE(1, 29));
	assert_int_equal(sysctl_release_parse("1.29"), SYSCTL_RELEASE(1, 29));
	assert_int_equal(sysctl_release_parse("1.29+"), SYSCTL_RELEASE(1, 29));
	assert_int_equal(sysctl_release_parse("1.x"), 0);
	assert_int_equal(sysctl_release_parse("1"), 0);
	assert_int_equal(sysctl_release_parse("1.29x"), 0);
	assert_int_equal(sysctl_release_parse("300.1"), 0);
	assert_int_equal(sysctl_release_parse(""), 0);
	assert_true(sysctl_key_exists(key("tcp_tw_recycle"), SYSCTL_RELEASE(4, 11)));
	assert_false(sysctl_key_exists(key("tcp_tw_recycle"), SYSCTL_RELEASE(4, 12)));
	assert_false(sysctl_key_exists(key("ip_autobind_reuse"), SYSCTL_RELEASE(5, 6)));
	assert_true(sysctl_key_exists(key("ip_autobind_reuse"), SYSCTL_RELEASE(5, 7)));
	assert_false(sysctl_key_per_netns(key("tcp_max_orphans"), SYSCTL_RELEASE(6, 18)));
	assert_false(sysctl_key_per_netns(key("ip_local_port_range"), SYSCTL_RELEASE(3, 10)));
	assert_true(sysctl_key_per_netns(key("somaxconn"), SYSCTL_RELEASE(3, 10)));
}

/* The table tells nothing twice and leaves nothing out. */
static void test_table(void **state)
{
	const struct sysctl_key *k;

	(void)state;
	for (size_t i = 0; (k = sysctl_key_at(i)); i++) {
		char least[32], out[SYSCTL_VALUE_MAX];

		assert_ptr_equal(sysctl_key_find(k->name), k);
		assert_true(k->means[0] && k->least <= k->greatest);
		assert_false(k->since && k->netns_since && k->since > k->netns_since);
		assert_false(k->until && k->until <= k->since);
		snprintf(least, sizeof(least), k->form == SYSCTL_RANGE ? "%u %u" : "%u", k->least,
			 k->least);
		assert_null(sysctl_key_value(k, least, out, sizeof(out)));
		assert_string_equal(out, least);
	}
	assert_true(sysctl_key_at(0) != NULL);
}

/* ------------------------------------------------------------------------------- the manual page
 */

static size_t add_release(char *out, const char *before, uint16_t release)
{
	return (size_t)sprintf(out, "%s%u.%u", before, release >> 8, release & 255);
}

/* Its entry: the name, the meaning, and the line of what can be told in numbers. */
static void entry_of(const struct sysctl_key *k, char *out)
{
	out += sprintf(out, ".It Va %s\n%s.\n(", k->name, k->means);
	if (k->form == SYSCTL_NUMBER)
		out += sprintf(out, "%u to %u", k->least, k->greatest);
	else
		out += sprintf(out, k->form == SYSCTL_RANGE ? "two ports" : "a list of ports");
	if (k->since)
		out += add_release(out, "; since ", k->since);
	if (k->until)
		out += add_release(out, "; until ", k->until);
	if (k->netns_since == SYSCTL_NEVER)
		out += sprintf(out, "; one for the machine");
	else if (k->netns_since)
		out += add_release(out,
				   k->netns_unread ? "; of each namespace since about "
						   : "; of each namespace since ",
				   k->netns_since);
	if (k->kube_since != SYSCTL_NEVER)
		out += sprintf(out, "; safe in a pod");
	if (k->kube_since != SYSCTL_NEVER && k->kube_since)
		out += add_release(out, " since ", k->kube_since);
	strcpy(out, ")\n");
}

static void test_manual(void **state)
{
	static char page[1 << 18];
	const struct sysctl_key *k;
	FILE *f = fopen("man/tcpwhy.1", "re");

	(void)state;
	assert_non_null(f); /* tests run in the root of the tree */
	size_t n = fread(page, 1, sizeof(page) - 1, f);
	assert_true(n && n < sizeof(page) - 1);
	fclose(f);
	for (size_t i = 0; (k = sysctl_key_at(i)); i++) {
		char entry[1024];
		entry_of(k, entry);
		if (!strstr(page, entry))
			fail_msg("the manual page lacks\n%s", entry);
	}
}

/* ------------------------------------------------------------------------------------ the kernel
 */

static int put(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int rc = fd < 0 || write(fd, value, strlen(value)) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return rc;
}

static bool get(const char *path, char out[static 256])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, 255);

	if (fd >= 0)
		close(fd);
	out[n < 0 ? 0 : n] = '\0';
	return n >= 0;
}

static const char *pair_or_number(const struct sysctl_key *k, int64_t v, char out[static 48])
{
	if (k->form == SYSCTL_RANGE)
		snprintf(out, 48, "%lld %lld", (long long)v, (long long)v);
	else
		snprintf(out, 48, "%lld", (long long)v);
	return out;
}

/* What is read back is what was written, in this namespace and not in the other. */
static bool taken(const struct sysctl_key *k, const char *path, const char *value, int other,
		  int own)
{
	char before[256], seen[256], beside[256];

	if (setns(other, CLONE_NEWNET) || !get(path, before) || setns(own, CLONE_NEWNET))
		return false;
	int rc = put(path, value);
	bool ok = !rc && get(path, seen) && sysctl_key_same(k, value, seen);
	if (!ok)
		printf("# %s=%s: %s, reads %s\n", k->name, value, strerror(-rc), seen);
	if (setns(other, CLONE_NEWNET) || !get(path, beside) || setns(own, CLONE_NEWNET))
		return false;
	if (strcmp(before, beside))
		printf("# %s=%s is seen in another namespace\n", k->name, value);
	return ok && !strcmp(before, beside);
}

static bool refused(const struct sysctl_key *k, const char *path, int64_t v)
{
	char value[48];
	int rc = put(path, pair_or_number(k, v, value));

	if (rc != -EINVAL)
		printf("# %s=%s is not refused: %d\n", k->name, value, rc);
	return rc == -EINVAL;
}

static bool row_holds(const struct sysctl_key *k, uint16_t release, int other, int own)
{
	char path[128], value[48], seen[256];
	bool there = sysctl_key_exists(k, release) && sysctl_key_per_netns(k, release);

	if (!sysctl_key_path(k, path, sizeof(path)))
		return false;
	if (get(path, seen) != there) {
		printf("# %s is %s\n", k->name, there ? "missing" : "there");
		return false;
	}
	if (!there)
		return true;
	return taken(k, path, pair_or_number(k, k->greatest, value), other, own) &&
	       (!k->refuses_more || refused(k, path, (int64_t)k->greatest + 1)) &&
	       taken(k, path, pair_or_number(k, k->least, value), other, own) &&
	       (!k->refuses_less || refused(k, path, (int64_t)k->least - 1));
}

/* Which port may be the first depends on the other sysctl: ports have no privilege here while the
 * range is tried, and the range is high while the privilege is. */
static bool ports_open(const struct sysctl_key *k)
{
	const char *start = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
	const char *range = "/proc/sys/net/ipv4/ip_local_port_range";

	if (k == sysctl_key_find("ip_local_port_range"))
		return !put(start, "0");
	return k != sysctl_key_find("ip_unprivileged_port_start") || !put(range, "65535 65535");
}

static int kernel_rows(uint16_t release)
{
	const struct sysctl_key *k;
	int wrong = 0;

	if (unshare(CLONE_NEWNET))
		return 77;
	int other = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (other < 0 || unshare(CLONE_NEWNET))
		return 77;
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0 || put("/proc/sys/net/core/somaxconn", "4095"))
		return 77;
	for (size_t i = 0; (k = sysctl_key_at(i)); i++)
		wrong += !ports_open(k) || !row_holds(k, release, other, own);
	fflush(stdout);
	return wrong ? 1 : 0;
}

/* Bounds are those of the newest rows: before 5.19 the kernel let most numbers pass. */
static void test_kernel(void **state)
{
	struct utsname name;
	int status;

	(void)state;
	assert_int_equal(uname(&name), 0);
	uint16_t release = sysctl_release_parse(name.release);
	if (release < SYSCTL_RELEASE(5, 19))
		unit_skip("the kernel is older than the bounds of the table");
	fflush(stdout);
	pid_t child = fork();
	if (child == 0)
		_exit(kernel_rows(release));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		unit_skip("no network namespace whose sysctls may be written: not root");
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Machine-wide: the first namespace shows it. Since 6.18 its inode is the same on every machine. */
static void test_machine_wide(void **state)
{
	const char *path = "/proc/sys/net/ipv4/tcp_max_orphans";
	char seen[256];
	struct stat own;

	(void)state;
	if (stat("/proc/self/ns/net", &own) || own.st_ino != 0xeffffff9)
		unit_skip("not in the machine's first network namespace, or that cannot be told");
	assert_true(get(path, seen));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),  cmocka_unit_test(test_near),
		cmocka_unit_test(test_values), cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_same),   cmocka_unit_test(test_releases),
		cmocka_unit_test(test_table),  cmocka_unit_test(test_manual),
		cmocka_unit_test(test_kernel), cmocka_unit_test(test_machine_wide),
	};

	return unit_run("sysctl_key", tests);
}
