/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <arpa/inet.h>

#include "base/address.h"

static struct tcpwhy_addr parsed(const char *s)
{
	struct tcpwhy_addr a;
	enum tcpwhy_family f;

	assert_true(address_parse(s, &a, &f));
	return a;
}

/* libc is the judge: the same texts are addresses, and they mean the same bytes. */
static void agrees_with_libc(const char *s)
{
	struct tcpwhy_addr a;
	enum tcpwhy_family f;
	struct in_addr v4;
	struct in6_addr v6;
	bool ours = address_parse(s, &a, &f);

	if (inet_pton(AF_INET, s, &v4) == 1) {
		assert_true(ours);
		assert_int_equal(f, TCPWHY_IPV4);
		assert_memory_equal(a.b + 12, &v4, 4);
	} else if (inet_pton(AF_INET6, s, &v6) == 1) {
		char want[INET6_ADDRSTRLEN], got[ADDRESS_TEXT_MAX];
		assert_true(ours);
		assert_int_equal(f, TCPWHY_IPV6);
		assert_memory_equal(a.b, &v6, 16);
		if (!address_is_v4(&a) && a.b[0])
			assert_string_equal(address_format(&a, got),
					    inet_ntop(AF_INET6, &v6, want, sizeof(want)));
	} else {
		if (ours)
			fail_msg("\"%s\" is no address for libc", s);
	}
}

static void test_parse_table(void **state)
{
	static const char *const texts[] = {
		"0.0.0.0",
		"127.0.0.1",
		"255.255.255.255",
		"256.1.1.1",
		"1.2.3",
		"1.2.3.4.5",
		"01.2.3.4",
		"",
		"::",
		"::1",
		"1::",
		"2001:db8::1",
		"1:2:3:4:5:6:7:8",
		"1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9",
		"1::2::3",
		":1",
		"1:",
		":::",
		"1:::2",
		"::ffff:1.2.3.4",
		"::ffff:1.2.3",
		"::1.2.3.4",
		"1:2:3:4:5:6:1.2.3.4",
		"1:2:3:4:5:6:7:1.2.3.4",
		"12345::",
		"g::",
		"fe80::1%lo",
		"1:2:3:4:5:6:7::",
		"::2:3:4:5:6:7:8",
		"1::3:4:5:6:7:8",
		"2001:0:0:1:0:0:0:1",
		"1.2.3.4:80",
		"2001:db8:0:1:1:1:1:1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		agrees_with_libc(texts[i]);
}

static void test_parse_random(void **state)
{
	static const char letters[] = "0123:::..f";
	uint64_t x = unit_seed();

	(void)state;
	for (int i = 0; i < 200000; i++) {
		char s[20];
		size_t n = unit_random(&x) % (sizeof(s) - 1);
		for (size_t j = 0; j < n; j++)
			s[j] = letters[unit_random(&x) % (sizeof(letters) - 1)];
		s[n] = '\0';
		agrees_with_libc(s);
	}
}

static void test_format_random(void **state)
{
	uint64_t x = unit_seed();

	(void)state;
	for (int i = 0; i < 100000; i++) {
		struct tcpwhy_addr a;
		char want[INET6_ADDRSTRLEN], got[ADDRESS_TEXT_MAX];
		uint64_t zeros = unit_random(&x);
		for (int j = 0; j < 16; j++)
			a.b[j] = zeros >> (j / 2) & 1 ? 0 : (uint8_t)unit_random(&x);
		a.b[0] |= 1; /* libc writes ::/96 with dots, we do not */
		assert_string_equal(address_format(&a, got),
				    inet_ntop(AF_INET6, a.b, want, sizeof(want)));
	}
}

static void test_endpoint(void **state)
{
	struct tcpwhy_addr a;
	enum tcpwhy_family f;
	uint16_t port;
	char text[ENDPOINT_TEXT_MAX];
	static const char *const good[][2] = {
		{"127.0.0.1:80", "127.0.0.1:80"},
		{"[::1]:65535", "[::1]:65535"},
		{":8080", "0.0.0.0:8080"},
		{"*:0", "0.0.0.0:0"},
		{"[::]:1", "[::]:1"},
		{"[2001:db8::1]:443", "[2001:db8::1]:443"},
	};
	static const char *const bad[] = {"",
					  "80",
					  "127.0.0.1",
					  "127.0.0.1:",
					  "127.0.0.1:65536",
					  "::1:80",
					  "[::1]",
					  "[::1]80",
					  "[::1:80",
					  "[127.0.0.1]:80",
					  "host:80",
					  "1.2.3.4:-1",
					  "1.2.3.4: 80",
					  "1.2.3.4:080",
					  "[]:80",
					  "1.2.3.4:80x",
					  "[:80",
					  "]:80",
					  "1.2.3.4:99999999999999999999"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_null(endpoint_parse(good[i][0], &a, &f, &port));
		assert_string_equal(endpoint_format(&a, port, false, text), good[i][1]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!endpoint_parse(bad[i], &a, &f, &port))
			fail_msg("\"%s\" was taken", bad[i]);
	a = parsed("::ffff:10.0.0.1");
	assert_string_equal(endpoint_format(&a, 5, true, text), "[::ffff:10.0.0.1]:5");
}

static void test_kinds(void **state)
{
	struct tcpwhy_addr any4 = parsed("0.0.0.0"), any6 = parsed("::"), lo = parsed("127.9.9.9");
	struct tcpwhy_addr net = parsed("10.1.0.0"), in = parsed("10.1.255.3"),
			   out = parsed("10.2.0.0");

	(void)state;
	assert_true(address_is_any(&any4) && address_is_any(&any6));
	assert_true(address_is_any6(&any6) && !address_is_any6(&any4));
	assert_true(address_is_loopback(&lo) && !address_is_loopback(&net));
	assert_true(address_in_prefix(&in, &net, 112) && !address_in_prefix(&out, &net, 112));
	assert_true(address_in_prefix(&out, &net, 96 + 14) &&
		    !address_in_prefix(&out, &net, 96 + 15));
	assert_true(address_in_prefix(&any6, &any6, 128) && address_in_prefix(&any6, &net, 0));
}

static void test_zone(void **state)
{
	enum tcpwhy_family family;
	struct tcpwhy_addr a;
	uint16_t port;
	char zone[ZONE_TEXT_MAX];

	(void)state;
	assert_null(endpoint_parse_zone("[fe80::1%lo]:80", &a, &family, &port, zone));
	assert_string_equal(zone, "lo");
	assert_true(address_is_link_local6(&a));
	assert_null(endpoint_parse_zone("[fe80::1]:80", &a, &family, &port, zone));
	assert_string_equal(zone, "");
	assert_non_null(endpoint_parse("[fe80::1%lo]:80", &a, &family, &port));
	assert_non_null(endpoint_parse_zone("[::1%lo]:80", &a, &family, &port, zone));
	assert_non_null(endpoint_parse_zone("127.0.0.1%lo:80", &a, &family, &port, zone));
	assert_non_null(
		endpoint_parse_zone("[fe80::1%a-name-of-16-byt]:80", &a, &family, &port, zone));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zone),         cmocka_unit_test(test_parse_table),
		cmocka_unit_test(test_parse_random), cmocka_unit_test(test_format_random),
		cmocka_unit_test(test_endpoint),     cmocka_unit_test(test_kinds),
	};

	return unit_run("address", tests);
}
