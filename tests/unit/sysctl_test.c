/* SPDX-License-Identifier: MIT */
#include "live/sysctl.h"
#include "child.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>

static bool has(const uint32_t *bitmap, unsigned port)
{
	return bitmap[port / 32] >> port % 32 & 1;
}

static unsigned count(const uint32_t *bitmap)
{
	unsigned n = 0;

	for (unsigned port = 0; port < 65536; port++)
		n += has(bitmap, port);
	return n;
}

static void test_port_lists(void **state)
{
	static const struct {
		const char *text;
		int ports; /* -1: refused */
	} cases[] = {
		{"\n", 0},           {"", 0},          {"80\n", 1},        {"80,81", 2},
		{"80-85\n", 6},      {"1-3,2-4\n", 4}, {"0-65535", 65536}, {"65535\n", 1},
		{"65536\n", -1},     {"80-79\n", -1},  {"80,\n", -1},      {",80\n", -1},
		{"80-\n", -1},       {"-80\n", -1},    {"80 81\n", -1},    {"x\n", -1},
		{"99999999999", -1}, {"8 0", -1},      {"1-2-3", -1},      {"80,,81", -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t bitmap[2048] = {0};
		bool ok = sysctl_parse_ports(cases[i].text, bitmap);

		if (ok != (cases[i].ports >= 0) || (ok && (int)count(bitmap) != cases[i].ports))
			fail_msg("\"%s\": %d ports", cases[i].text, ok ? (int)count(bitmap) : -1);
		if (!ok)
			assert_int_equal(count(bitmap), 0);
	}
}

static bool put(const char *name, const char *value)
{
	char path[128];
	int fd;
	bool ok;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ok = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
	if (fd >= 0)
		close(fd);
	return ok;
}

/* In a namespace of its own: what is written is what is read. */
static int read_back(void)
{
	static struct snapshot snap;
	struct tcpwhy_sysctls *s = &snap.sysctls;

	if (unshare(CLONE_NEWNET) || !put("ipv4/ip_local_port_range", "20000 20099") ||
	    !put("ipv4/ip_local_reserved_ports", "20010-20012") ||
	    !put("ipv4/ip_unprivileged_port_start", "600") || !put("ipv4/tcp_tw_reuse", "1") ||
	    !put("ipv4/tcp_fin_timeout", "17") || !put("ipv4/ip_nonlocal_bind", "1") ||
	    !put("ipv4/tcp_timestamps", "0"))
		return 2;
	sysctl_read(&snap);
	return snap.sysctls_unknown == 0 && s->port_low == 20000 && s->port_high == 20099 &&
			       s->unprivileged_port_start == 600 && s->tw_reuse == 1 &&
			       s->fin_timeout_s == 17 && s->nonlocal_bind && !s->nonlocal_bind6 &&
			       !s->timestamps && s->max_tw_buckets > 0 &&
			       count(snap.reserved) == 3 && has(snap.reserved, 20011)
		       ? 0
		       : 1;
}

static void test_read_back(void **state)
{
	(void)state;
	if (geteuid() != 0)
		unit_skip("needs root for a namespace of its own");
	child_run(read_back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_port_lists),
		cmocka_unit_test(test_read_back),
	};

	return unit_run("sysctl", tests);
}
