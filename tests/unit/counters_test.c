/* SPDX-License-Identifier: MIT */
#include "stage.h"

#include "case/counters.h"

static const char text[] = "Ip: Forwarding InDiscards\n"
			   "Ip: 1 7\n"
			   "TcpExt: SyncookiesSent ListenDrops ListenOverflows\n"
			   "TcpExt: 0 18446744073709551615 12\n"
			   "Tcp: MaxConn AttemptFails\n"
			   "Tcp: -1 3\n";

static void names_are_found(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		bool found;
		uint64_t value;
	} table[] = {
		{"ListenOverflows", true, 12},
		{"TcpExtListenOverflows", true, 12},
		{"ListenDrops", true, UINT64_MAX},
		{"AttemptFails", true, 3},
		{"TcpAttemptFails", true, 3},
		{"IpInDiscards", true, 7},
		{"InDiscards", false, 0}, /* not TCP's: many groups have one */
		{"TcpListenOverflows", false, 0},
		{"ListenOverflow", false, 0},
		{"ListenOverflowsX", false, 0},
		{"", false, 0},
		{"TcpExt:", false, 0},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint64_t value = 0;
		assert_int_equal(counters_find(text, table[i].name, &value), table[i].found);
		assert_int_equal(value, table[i].value);
	}
}

/* The lines of other groups come and go: IcmpMsg has a column for each type that was seen. */
static void many_are_found_at_once(void **state)
{
	(void)state;
	static const char *const names[] = {"AttemptFails", "ListenOverflows", "NoSuchCounter"};
	static const char later[] = "Ip: Forwarding InDiscards\n"
				    "Ip: 1 7\n"
				    "IcmpMsg: InType3 OutType3\n"
				    "IcmpMsg: 1 2\n"
				    "Tcp: MaxConn AttemptFails\n"
				    "Tcp: -1 4\n"
				    "TcpExt: SyncookiesSent ListenDrops ListenOverflows\n"
				    "TcpExt: 0 1 18446744073709551615";
	struct counters_plan plan = {0};
	uint64_t values[3] = {9, 9, 9};

	counters_learn_text(text, names, 3, &plan);
	counters_find_all(text, &plan, values);
	assert_int_equal(values[0], 3);
	assert_int_equal(values[1], 12);
	assert_int_equal(values[2], 9);
	counters_find_all(later, &plan, values);
	assert_int_equal(values[0], 4);
	assert_int_equal(values[1], UINT64_MAX);
	counters_find_all("Tcp: MaxConn\n", &plan, values);
	counters_find_all("", &plan, values);
	assert_int_equal(values[0], 4);
}

static void broken_texts_hold_nothing(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"",
		"\n",
		"Tcp: A\n",
		"Tcp: A",
		"Tcp:\nTcp:\n",
		"Tcp",
		"Tcp: A\nTcp:\n",
		"\n\nTcp: A\n",
		"Tcp: B\nTcp: 1\nTcp: A\n",
	};
	uint64_t value = 5;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(counters_find(texts[i], "A", &value));
	assert_int_equal(value, 5);
}

/* Those of the namespace, from a thread that is not in it. */
static void counters_are_a_hosts_own(void **state)
{
	(void)state;
	struct netns ns;
	struct counters c;
	struct err err;
	uint64_t value = 5;

	STAGE_DO(hostns_new(&ns, &err));
	STAGE_DO(counters_open_in(&ns, &c, &err));
	assert_int_equal(counters_read(&c, "TcpActiveOpens", &value), 0);
	assert_int_equal(value, 0);
	const int fd = hostns_socket(&ns, AF_INET, SOCK_STREAM, 0, &err);
	const struct tcpwhy_addr lo = stage_addr("127.0.0.1");
	struct sockaddr_storage to;
	assert_int_equal(connect(fd, (struct sockaddr *)&to, stage_sockaddr(&to, &lo, 9)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	assert_int_equal(counters_read(&c, "ActiveOpens", &value), 0);
	assert_int_equal(value, 1);
	assert_int_equal(counters_read(&c, "NoSuchCounter", &value), -ENOENT);
	close(fd);
	counters_close(&c);
	netns_close(&ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_found),
		cmocka_unit_test(many_are_found_at_once),
		cmocka_unit_test(broken_texts_hold_nothing),
		cmocka_unit_test(counters_are_a_hosts_own),
	};

	stage_permit();
	return unit_run("counters", tests);
}
