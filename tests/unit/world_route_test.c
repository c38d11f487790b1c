/* SPDX-License-Identifier: MIT */
#include "world_fixture.h"

static int setup(void **state)
{
	(void)state;
	world_open("6.18.y", 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close();
	return 0;
}

static struct tcpwhy_addr source_of(int s)
{
	struct tcpwhy_addr a;
	uint16_t port;

	assert_int_equal(on->sockname(st, s, &a, &port), 0);
	return a;
}

static void assert_address(struct tcpwhy_addr a, const char *text)
{
	char got[ADDRESS_TEXT_MAX];

	assert_string_equal(address_format(&a, got), text);
}

static void loopback_needs_no_link(void **state)
{
	(void)state;
	int host = machine("host", NULL, 0);

	begin();
	listener(host, "127.0.0.1", 1);
	assert_address(source_of(connected(host, "127.0.0.1")), "127.0.0.1");
	assert_address(source_of(connected(host, "0.0.0.0")), "127.0.0.1");
	assert_int_equal(connect_sock(sock(host), "127.0.0.2", S), -ECONNREFUSED);
	assert_int_equal(connect_sock(sock(host), "10.9.9.9", S), -ENETUNREACH);
}

static void an_own_address_is_reached_from_itself(void **state)
{
	(void)state;
	int host = machine("host", NULL, 0), other = machine("other", NULL, 0);
	int link = cable(host, "10.0.0.1", other, "10.0.0.2");

	begin();
	listener(host, "10.0.0.1", 1);
	assert_address(source_of(connected(host, "10.0.0.1")), "10.0.0.1");
	assert_int_equal(crossings(link, LINE_FROM_0, 0), 0);
}

static void segments_pass_boxes_by_the_shortest_way(void **state)
{
	(void)state;
	int a = machine("a", NULL, 0), b = machine("b", NULL, 0);
	int near = box("near"), far = box("far"), farther = box("farther");
	int long_way = cable(a, "10.0.0.9", far, "");

	cable(far, "", farther, "");
	cable(farther, "", b, "");
	int first = cable(a, "10.0.0.1", near, ""), second = cable(near, "", b, "10.0.0.2");
	begin();
	listener(b, "10.0.0.2", 1);
	assert_address(source_of(connected(a, "10.0.0.2")), "10.0.0.1");
	assert_int_equal(crossings(first, LINE_FROM_0, SEGMENT_SYN), 1);
	assert_int_equal(crossings(second, LINE_FROM_0, SEGMENT_SYN), 1);
	assert_int_equal(crossings(long_way, LINE_FROM_0, 0), 0);
}

static void hosts_do_not_forward(void **state)
{
	(void)state;
	int a = machine("a", NULL, 0), b = machine("b", NULL, 0), c = machine("c", NULL, 0);

	cable(a, "10.0.0.1", b, "10.0.0.2");
	cable(b, "10.0.1.2", c, "10.0.1.3");
	begin();
	listener(b, "0.0.0.0", 4);
	assert_int_equal(connect_sock(sock(a), "10.0.1.3", S), -ENETUNREACH);
	/* but take a segment for any of their addresses, through any device */
	connected(a, "10.0.1.2");
}

static void each_device_has_its_link_and_source(void **state)
{
	(void)state;
	int a = machine("a", NULL, 0), b = machine("b", NULL, 0);
	int one = cable(a, "10.0.0.1", b, "10.0.0.2"), two = cable(a, "10.0.1.1", b, "10.0.1.2");

	begin();
	listener(b, "0.0.0.0", 4);
	assert_address(source_of(connected(a, "10.0.1.2")), "10.0.1.1");
	assert_int_equal(crossings(two, LINE_FROM_0, SEGMENT_SYN), 1);
	assert_int_equal(on->device(st, a, one), 2);
	assert_int_equal(on->device(st, a, two), 3);
	int s = sock(a);
	assert_int_equal(on->setsockopt(st, s, TCPWHY_SO_BINDTODEVICE, 3), 0);
	assert_int_equal(connect_sock(s, "10.0.0.2", S), 0);
	assert_address(source_of(s), "10.0.1.1");
	assert_int_equal(crossings(two, LINE_FROM_0, SEGMENT_SYN), 2);
}

static void listeners_share_a_port_on_two_devices(void **state)
{
	(void)state;
	int a = machine("a", NULL, 0), b = machine("b", NULL, 0);
	struct tcpwhy_addr any = at("0.0.0.0");
	int link[2] = {cable(a, "10.0.0.1", b, "10.0.0.2"), cable(a, "10.0.1.1", b, "10.0.1.2")};
	int s[2];

	begin();
	for (unsigned i = 0; i < 2; i++) {
		s[i] = sock(b);
		on->setsockopt(st, s[i], TCPWHY_SO_BINDTODEVICE, on->device(st, b, link[i]));
		assert_int_equal(on->bind(st, s[i], &any, PORT), 0);
		assert_int_equal(on->listen(st, s[i], 1), 0);
	}
	connected(a, "10.0.1.2");
	wait_for(5 * MS);
	assert_int_equal(on->accept(st, s[0]), -EAGAIN);
	assert_true(on->accept(st, s[1]) >= 0);
}

/* IP_TRANSPARENT: the local route makes the answers one's own, the other's route brings them. */
static void connect_from(const char *source, const char *to, int host, int result)
{
	struct tcpwhy_addr a = at(source);
	int s = sock(host);

	assert_int_equal(on->setsockopt(st, s, TCPWHY_IP_TRANSPARENT, 1), 0);
	assert_int_equal(on->bind(st, s, &a, 0), 0);
	assert_int_equal(connect_sock(s, to, 3 * S), result);
}

static void foreign_sources_need_both_routes(void **state)
{
	(void)state;
	int proxy = machine("proxy", NULL, 0), server = machine("server", NULL, 0);
	static const struct {
		const char *prefix;
		bool local, routed;
	} ways[] = {{"192.0.2.0", true, true},
		    {"198.51.100.0", true, false},
		    {"203.0.113.0", false, true}};

	cable(proxy, "10.0.0.1", server, "10.0.0.2");
	for (unsigned i = 0; i < 3; i++) {
		struct stage_prefix p = {at(ways[i].prefix), 120, ways[i].local, ways[i].routed};
		assert_int_equal(on->add_prefix(st, proxy, &p, &err), 0);
	}
	begin();
	listener(server, "10.0.0.2", 8);
	connect_from("192.0.2.77", "10.0.0.2", proxy, 0);
	connect_from("198.51.100.77", "10.0.0.2", proxy, -ETIMEDOUT);
	connect_from("203.0.113.77", "10.0.0.2", proxy, -ETIMEDOUT);
}

static void both_families_are_routed(void **state)
{
	(void)state;
	int a = machine("a", NULL, 0), b = machine("b", NULL, 0);
	struct tcpwhy_addr addrs[2][2] = {{at("10.0.0.1"), at("fd00::1")},
					  {at("10.0.0.2"), at("fd00::2")}};
	struct stage_link l = {.ends = {{a, addrs[0], 2}, {b, addrs[1], 2}}};

	assert_true(on->add_link(st, &l, &err) >= 0);
	begin();
	int s = on->socket(st, b, TCPWHY_IPV6, 0), c = on->socket(st, a, TCPWHY_IPV6, 0);
	struct tcpwhy_addr any = at("::");
	assert_int_equal(on->bind(st, s, &any, PORT), 0);
	assert_int_equal(on->listen(st, s, 4), 0);
	assert_int_equal(connect_sock(c, "fd00::2", S), 0);
	assert_address(source_of(c), "fd00::1");
	assert_address(source_of(connected(a, "10.0.0.2")), "10.0.0.1");
}

static void an_address_is_one_ends_alone(void **state)
{
	(void)state;
	int a = machine("a", NULL, 0), b = machine("b", NULL, 0);
	struct tcpwhy_addr same = at("10.0.0.1");
	struct stage_link l = {.ends = {{a, &same, 1}, {b, &same, 1}}};

	assert_int_equal(on->add_link(st, &l, &err), -EINVAL);
	assert_string_equal(err.text, "another end has that address");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(loopback_needs_no_link),
		TEST(an_own_address_is_reached_from_itself),
		TEST(segments_pass_boxes_by_the_shortest_way),
		TEST(hosts_do_not_forward),
		TEST(each_device_has_its_link_and_source),
		TEST(listeners_share_a_port_on_two_devices),
		TEST(foreign_sources_need_both_routes),
		TEST(both_families_are_routed),
		TEST(an_address_is_one_ends_alone),
	};

	return unit_run("world_route", tests);
}
