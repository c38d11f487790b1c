/* SPDX-License-Identifier: MIT
 *
 * bind(0): order, parity, halves, reserved ports, the lost last port, autobind_reuse
 */
#include "engine_fixture.h"

enum { LOW = 20000 };

/* Binds port 0 until it fails; the ports in order. */
static unsigned bind_all(struct tcpwhy_engine *e, const char *addr, unsigned flags,
			 uint16_t ports[64])
{
	for (unsigned n = 0; n < 64; n++) {
		struct tcpwhy_verdict v = bind_verdict(e, sock4(e, flags), addr, 0);
		if (v.answer != TCPWHY_OK) {
			assert_int_equal(v.error, EADDRINUSE);
			assert_int_equal(v.rule, TCPWHY_RULE_BIND_RANGE_EXHAUSTED);
			return n;
		}
		ports[n] = v.port;
	}
	fail_msg("64 ports and no end");
	return 0;
}

static void test_odd_offsets_first(void **state)
{
	uint16_t ports[64];

	sysctl_set(*state, LOW, LOW + 7);
	assert_int_equal(bind_all(*state, "0.0.0.0", 0, ports), 8);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal((ports[i] - LOW) % 2, i < 4);
}

/* "odd" is relative to the low end. */
static void test_parity_is_relative(void **state)
{
	uint16_t ports[64];

	sysctl_set(*state, LOW + 1, LOW + 8);
	assert_int_equal(bind_all(*state, "0.0.0.0", 0, ports), 8);
	assert_int_equal(ports[0] % 2, 0);
	assert_int_equal(ports[7] % 2, 1);
}

static void test_odd_range_loses_last(void **state)
{
	uint16_t ports[64];

	sysctl_set(*state, LOW, LOW + 2);
	assert_int_equal(bind_all(*state, "0.0.0.0", 0, ports), 2);
	assert_int_equal(ports[0], LOW + 1);
	assert_int_equal(ports[1], LOW);
}

static void test_range_of_one(void **state)
{
	uint16_t ports[64];

	sysctl_set(*state, LOW, LOW);
	assert_int_equal(bind_all(*state, "0.0.0.0", 0, ports), 1);
	assert_int_equal(ports[0], LOW);
}

static void test_halves_with_reuseaddr(void **state)
{
	uint16_t ports[64];

	sysctl_set(*state, LOW, LOW + 15);
	assert_int_equal(bind_all(*state, "0.0.0.0", REUSE, ports), 16);
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(ports[i] >= LOW + 8, i >= 8);
		assert_int_equal((ports[i] - LOW) % 2, i % 8 < 4);
	}
}

static void test_reserved(void **state)
{
	uint16_t ports[64];

	sysctl_set(*state, LOW, LOW + 3);
	assert_int_equal(tcpwhy_reserve_port(*state, LOW + 1, true), 0);
	assert_int_equal(bind_all(*state, "0.0.0.0", 0, ports), 3);
	/* Only the automatic choice is kept away. */
	assert_int_equal(do_bind(*state, sock4(*state, 0), "127.0.0.1", LOW + 1), 0);
}

static void test_other_address_shares(void **state)
{
	uint16_t ports[64];

	sysctl_set(*state, LOW, LOW + 3);
	assert_int_equal(bind_all(*state, "127.0.0.1", 0, ports), 4);
	assert_int_equal(bind_all(*state, "10.0.0.1", 0, ports), 4);
	assert_int_equal(bind_all(*state, "0.0.0.0", 0, ports), 0);
}

/* Since 4.11 an exhausted range is shared among SO_REUSEADDR sockets only with ip_autobind_reuse.
 */
static void test_autobind_reuse(void **state)
{
	struct tcpwhy_engine *e = *state;
	uint16_t ports[64];

	sysctl_set(e, LOW, LOW + 3);
	assert_int_equal(bind_all(e, "0.0.0.0", REUSE, ports), 4);
	struct tcpwhy_sysctls s = *tcpwhy_sysctls(e);
	s.autobind_reuse = true;
	tcpwhy_set_sysctls(e, &s);
	assert_int_equal(do_bind(e, sock4(e, 0), "0.0.0.0", 0), EADDRINUSE);
	assert_int_equal(do_bind(e, sock4(e, REUSE), "0.0.0.0", 0), 0);
}

static void test_socket_range(void **state)
{
	struct tcpwhy_engine *e = *state;

	sysctl_set(e, LOW, LOW + 9);
	for (unsigned i = 0; i < 2; i++) {
		tcpwhy_sock s = sock4(e, 0);
		assert_int_equal(tcpwhy_setsockopt(e, s, TCPWHY_IP_LOCAL_PORT_RANGE,
						   (LOW + 4) | (uint64_t)(LOW + 5) << 16),
				 0);
		assert_int_equal(do_bind(e, s, "0.0.0.0", 0), 0);
		assert_in_range(port_of(e, s), LOW + 4, LOW + 5);
	}
	tcpwhy_sock s = sock4(e, 0);
	assert_int_equal(tcpwhy_setsockopt(e, s, TCPWHY_IP_LOCAL_PORT_RANGE, 9 | 8u << 16), EINVAL);
	/* Halves outside the sysctl's range are ignored. */
	assert_int_equal(tcpwhy_setsockopt(e, s, TCPWHY_IP_LOCAL_PORT_RANGE, 5 | 9u << 16), 0);
	assert_int_equal(do_bind(e, s, "0.0.0.0", 0), 0);
	assert_in_range(port_of(e, s), LOW, LOW + 9);
}

static void test_no_port_option(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock s = sock4(e, 0);

	tcpwhy_setsockopt(e, s, TCPWHY_IP_BIND_ADDRESS_NO_PORT, 1);
	assert_int_equal(do_bind(e, s, "127.0.0.1", 0), 0);
	assert_int_equal(port_of(e, s), 0);
	assert_int_equal(do_bind(e, s, "10.0.0.1", 80), 0);
}

/* Every admissible port and no other is accepted from the kernel, whatever the draw was. */
static void test_follow(void **state)
{
	struct tcpwhy_engine *e = *state;
	struct tcpwhy_addr any = at("0.0.0.0");
	struct tcpwhy_verdict v;

	sysctl_set(e, LOW, LOW + 3);
	for (uint16_t port = LOW - 1; port <= LOW + 4; port++) {
		struct tcpwhy_choice follow = {.follow = port};
		enum tcpwhy_sent sent;
		tcpwhy_sock s = sock4(e, 0);
		assert_int_equal(tcpwhy_bind(e, s, &any, 0, &follow, &v), 0);
		assert_int_equal(v.answer == TCPWHY_OK, port == LOW + 1 || port == LOW + 3);
		tcpwhy_close(e, s, &sent);
	}
}

static const struct tcpwhy_row *any_row(uint64_t *x)
{
	size_t rows = 0;

	while (tcpwhy_row_at(rows))
		rows++;
	return tcpwhy_row_at(unit_random(x) % rows);
}

/* What the question says before the call holds for it. */
static void check_question(const struct tcpwhy_verdict *asked, const struct tcpwhy_verdict *v)
{
	if (asked->answer != TCPWHY_DEPENDS)
		assert_int_equal(asked->answer, v->answer);
	if (asked->answer == TCPWHY_OK && asked->port)
		assert_int_equal(asked->port, v->port);
}

/* One bind(0) by a draw, and by following what that found; some sockets take SO_REUSEADDR back. */
static void check_draw(struct tcpwhy_engine *e, struct tcpwhy_engine *twin, uint64_t *x)
{
	unsigned flags = (unsigned)unit_random(x) % 4;
	uint32_t start = (uint32_t)(unit_random(x) % 1000);
	struct tcpwhy_addr a = at(unit_random(x) % 3 ? "0.0.0.0" : "127.0.0.1");
	struct tcpwhy_choice drawn = {.draw = fixture_draw, .ctx = &start};
	struct tcpwhy_bind_request q = {.addr = a,
					.family = TCPWHY_IPV4,
					.reuse = flags & REUSE ? TCPWHY_REUSE_CAN : TCPWHY_REUSE_NO,
					.reuseport = flags & PORT};
	tcpwhy_sock s = sock4(e, flags), t = sock4(twin, flags);
	struct tcpwhy_verdict asked, v, w;

	tcpwhy_would_bind(e, &q, &asked);
	assert_int_equal(tcpwhy_bind(e, s, &a, 0, &drawn, &v), 0);
	struct tcpwhy_choice follow = {.follow = v.port, .none = !v.port};
	assert_int_equal(tcpwhy_bind(twin, t, &a, 0, &follow, &w), 0);
	assert_int_equal(v.answer, w.answer);
	assert_int_equal(v.port, w.port);
	check_question(&asked, &v);
	if (unit_random(x) % 4 == 0) {
		assert_int_equal(tcpwhy_setsockopt(e, s, TCPWHY_SO_REUSEADDR, 0), 0);
		assert_int_equal(tcpwhy_setsockopt(twin, t, TCPWHY_SO_REUSEADDR, 0), 0);
	}
}

/* Any draw gives a port of the followed set, on every row: the two ways of asking agree. */
static void test_draw_is_admissible(void **state)
{
	uint64_t x = unit_seed();

	(void)state;
	for (int round = 0; round < 4000; round++) {
		const char *row = any_row(&x)->name;
		struct tcpwhy_engine *e = fixture_row(row, 0), *twin = fixture_row(row, 0);
		uint16_t high = (uint16_t)(LOW + unit_random(&x) % 9);
		sysctl_set(e, LOW, high);
		sysctl_set(twin, LOW, high);
		for (int i = 0; i < 16; i++)
			check_draw(e, twin, &x);
		tcpwhy_engine_free(e);
		tcpwhy_engine_free(twin);
	}
}

static void test_counts_in_question(void **state)
{
	struct tcpwhy_engine *e = *state;
	struct tcpwhy_bind_request q = {
		.addr = at("0.0.0.0"), .family = TCPWHY_IPV4, .may_bind_low = TCPWHY_YES};
	struct tcpwhy_verdict v;

	sysctl_set(e, LOW, LOW + 4);
	tcpwhy_reserve_port(e, LOW, true);
	assert_int_equal(do_bind(e, sock4(e, 0), "127.0.0.1", LOW + 1), 0);
	tcpwhy_would_bind(e, &q, &v);
	assert_int_equal(v.answer, TCPWHY_OK);
	assert_int_equal(v.range_total, 5);
	assert_int_equal(v.range_reserved, 1);
	assert_int_equal(v.range_taken, 1);
	assert_int_equal(v.range_free, 3);
	assert_int_equal(v.port, LOW + 3); /* alone in the odd pass: the port is certain */
	assert_int_equal(do_bind(e, sock4(e, 0), "0.0.0.0", LOW + 3), 0);
	assert_int_equal(do_bind(e, sock4(e, 0), "0.0.0.0", LOW + 2), 0);
	assert_int_equal(do_bind(e, sock4(e, 0), "0.0.0.0", LOW + 4), 0);
	tcpwhy_would_bind(e, &q, &v);
	assert_int_equal(v.answer, TCPWHY_REFUSED);
	assert_int_equal(v.error, EADDRINUSE);
}

/* Five ports: the even pass sees the first or the last of them, by its start. */
static void test_last_port_of_odd_range(void **state)
{
	struct tcpwhy_engine *e = *state;
	struct tcpwhy_bind_request q = {
		.addr = at("0.0.0.0"), .family = TCPWHY_IPV4, .may_bind_low = TCPWHY_YES};
	struct tcpwhy_choice last = {.follow = LOW + 4};
	struct tcpwhy_addr any = at("0.0.0.0");
	struct tcpwhy_verdict v;

	sysctl_set(e, LOW, LOW + 4);
	for (uint16_t offset = 0; offset < 4; offset++) {
		assert_int_equal(tcpwhy_bind(e, sock4(e, 0), &any, 0, &last, &v), 0);
		assert_int_equal(v.error, EADDRINUSE);
		assert_int_equal(do_bind(e, sock4(e, 0), "0.0.0.0", (uint16_t)(LOW + offset)), 0);
	}
	tcpwhy_would_bind(e, &q, &v);
	assert_int_equal(v.answer, TCPWHY_DEPENDS);
	assert_int_equal(v.missing, TCPWHY_MISSING_DRAW);
	assert_int_equal(v.rule, TCPWHY_RULE_BIND_RANGE_EXHAUSTED);
	for (uint32_t start = 0; start < 4; start++) {
		struct tcpwhy_choice drawn = {.draw = fixture_draw, .ctx = &start};
		uint32_t was = start;
		enum tcpwhy_sent sent;
		tcpwhy_sock s = sock4(e, 0);
		assert_int_equal(tcpwhy_bind(e, s, &any, 0, &drawn, &v), 0);
		assert_int_equal(v.port, was < 2 ? 0 : LOW + 4);
		tcpwhy_close(e, s, &sent);
		start = was;
	}
	assert_int_equal(tcpwhy_bind(e, sock4(e, 0), &any, 0, &last, &v), 0);
	assert_int_equal(v.error, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		engine_test(test_odd_offsets_first),
		engine_test(test_parity_is_relative),
		engine_test(test_odd_range_loses_last),
		engine_test(test_range_of_one),
		engine_test(test_halves_with_reuseaddr),
		engine_test(test_reserved),
		engine_test(test_other_address_shares),
		engine_test(test_autobind_reuse),
		engine_test(test_socket_range),
		engine_test(test_no_port_option),
		engine_test(test_follow),
		cmocka_unit_test(test_draw_is_admissible),
		engine_test(test_counts_in_question),
		engine_test(test_last_port_of_odd_range),
	};

	return unit_run("portsearch", tests);
}
