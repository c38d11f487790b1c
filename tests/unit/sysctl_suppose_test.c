/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "cure/sysctl_suppose.h"

static void suppose(struct snapshot *snap, const char *key, const char *value)
{
	const struct sysctl_supposed s = {.key = sysctl_key_find(key), .value = value};

	assert_non_null(s.key);
	sysctl_suppose(snap, &s);
}

static void test_each(void **state)
{
	static struct snapshot snap;
	struct tcpwhy_sysctls *s = &snap.sysctls;

	(void)state;
	snap.sysctls_unknown = UINT32_MAX;
	suppose(&snap, "net.ipv4.ip_local_port_range", "1024 65000");
	assert_int_equal(s->port_low, 1024);
	assert_int_equal(s->port_high, 65000);
	assert_false(snap.sysctls_unknown & SNAPSHOT_S_PORT_RANGE);
	suppose(&snap, "net.ipv4.ip_local_reserved_ports", "8080,9000-9001");
	assert_int_equal(snap.reserved[8080 / 32] >> 8080 % 32 & 1, 1);
	assert_int_equal(snap.reserved[9001 / 32] >> 9001 % 32 & 1, 1);
	assert_int_equal(snap.reserved[9002 / 32] >> 9002 % 32 & 1, 0);
	suppose(&snap, "net.ipv4.ip_local_reserved_ports", "");
	assert_int_equal(snap.reserved[8080 / 32], 0);
	suppose(&snap, "net.ipv4.ip_unprivileged_port_start", "65536");
	assert_int_equal(s->unprivileged_port_start, UINT16_MAX);
	suppose(&snap, "net.ipv4.ip_unprivileged_port_start", "80");
	assert_int_equal(s->unprivileged_port_start, 80);
	suppose(&snap, "net.ipv4.ip_autobind_reuse", "1");
	assert_true(s->autobind_reuse);
	suppose(&snap, "net.ipv4.ip_nonlocal_bind", "1");
	assert_true(s->nonlocal_bind);
	assert_false(s->nonlocal_bind6);
	suppose(&snap, "net.ipv6.ip_nonlocal_bind", "1");
	assert_true(s->nonlocal_bind6);
	suppose(&snap, "net.ipv4.tcp_l3mdev_accept", "1");
	assert_true(s->l3mdev_accept);
	suppose(&snap, "net.ipv4.tcp_tw_reuse", "2");
	assert_int_equal(s->tw_reuse, 2);
	suppose(&snap, "net.ipv4.tcp_tw_reuse_delay", "5000");
	assert_int_equal(s->tw_reuse_delay_ms, 5000);
	suppose(&snap, "net.ipv6.bindv6only", "1");
	assert_true(s->bindv6only);
}

/* What decides nothing changes nothing; and whatever the table of keys holds can be supposed. */
static void test_the_others(void **state)
{
	static struct snapshot snap, before;
	size_t decide = 0;

	(void)state;
	for (size_t i = 0; sysctl_key_at(i); i++) {
		const struct sysctl_key *key = sysctl_key_at(i);

		decide += sysctl_decides(key);
		if (sysctl_decides(key))
			continue;
		memcpy(&before, &snap, sizeof(snap));
		suppose(&snap, key->name, "1");
		assert_memory_equal(&before, &snap, sizeof(snap));
	}
	assert_int_equal(decide, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each),
		cmocka_unit_test(test_the_others),
	};

	return unit_run("sysctl_suppose", tests);
}
