/* SPDX-License-Identifier: MIT
 *
 * connect(), the 4-tuple, and what the close leaves behind
 */
#include "engine_fixture.h"

#define MS UINT64_C(1000000)

static tcpwhy_sock listener_at(struct tcpwhy_engine *e, const char *addr, uint16_t port,
			       unsigned flags)
{
	tcpwhy_sock l = sock4(e, flags);

	assert_int_equal(do_bind(e, l, addr, port), 0);
	assert_int_equal(do_listen(e, l), 0);
	return l;
}

static void test_even_first_and_per_destination(void **state)
{
	struct tcpwhy_engine *e = *state;
	uint16_t got[4];

	sysctl_set(e, 20000, 20003);
	for (unsigned i = 0; i < 4; i++) {
		struct tcpwhy_verdict v =
			connect_verdict(e, sock4(e, 0), "10.0.0.1", 80, "10.0.0.2");
		assert_int_equal(v.error, 0);
		got[i] = v.port;
	}
	assert_int_equal(got[0] % 2 + got[1] % 2, 0);
	assert_int_equal(got[2] % 2 + got[3] % 2, 2);
	struct tcpwhy_verdict v = connect_verdict(e, sock4(e, 0), "10.0.0.1", 80, "10.0.0.2");
	assert_int_equal(v.error, EADDRNOTAVAIL);
	assert_int_equal(v.rule, TCPWHY_RULE_CONNECT_RANGE_EXHAUSTED);
	assert_int_equal(do_connect(e, sock4(e, 0), "10.0.0.1", 81, "10.0.0.2"), 0);
}

/* An explicit bind anywhere takes the port from every connect(); 6.18 gives it back when the owner
 * leaves. */
static void test_bound_port_is_passed_over(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock owner = sock4(e, REUSE);
	enum tcpwhy_sent sent;

	sysctl_set(e, 20000, 20000);
	assert_int_equal(do_connect(e, sock4(e, REUSE), "10.0.0.1", 80, "10.0.0.2"), 0);
	assert_int_equal(do_bind(e, owner, "127.0.0.1", 20000), 0);
	assert_int_equal(do_connect(e, sock4(e, 0), "10.0.0.1", 81, "10.0.0.2"), EADDRNOTAVAIL);
	assert_int_equal(tcpwhy_close(e, owner, &sent), 0);
	assert_int_equal(do_connect(e, sock4(e, 0), "10.0.0.1", 81, "10.0.0.2"), 0);
}

static void test_tuple_taken(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock a = sock4(e, REUSE), b = sock4(e, REUSE);

	assert_int_equal(do_bind(e, a, "10.0.0.2", 5000), 0);
	assert_int_equal(do_bind(e, b, "10.0.0.2", 5000), 0);
	assert_int_equal(do_connect(e, a, "10.0.0.1", 80, "10.0.0.2"), 0);
	struct tcpwhy_verdict v = connect_verdict(e, b, "10.0.0.1", 80, "10.0.0.2");
	assert_int_equal(v.error, EADDRNOTAVAIL);
	assert_int_equal(v.rule, TCPWHY_RULE_CONNECT_TUPLE_TAKEN);
	assert_int_equal(do_connect(e, b, "10.0.0.1", 81, "10.0.0.2"), 0);
	assert_int_equal(do_connect(e, b, "10.0.0.1", 82, "10.0.0.2"), EALREADY);
}

/* A failed connect() gives back a port that bind(0) chose, not one that was asked for. */
static void test_failed_connect_and_port(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock a = sock4(e, REUSE), asked = sock4(e, REUSE), any = sock4(e, REUSE);

	sysctl_set(e, 20000, 20000);
	tcpwhy_setsockopt(e, any, TCPWHY_IP_FREEBIND, 1);
	assert_int_equal(do_bind(e, any, "10.0.0.2", 0), 0);
	assert_int_equal(do_bind(e, a, "10.0.0.2", 20000), 0);
	assert_int_equal(do_bind(e, asked, "10.0.0.2", 20000), 0);
	assert_int_equal(do_connect(e, a, "10.0.0.1", 80, "10.0.0.2"), 0);
	assert_int_equal(do_connect(e, asked, "10.0.0.1", 80, "10.0.0.2"), EADDRNOTAVAIL);
	assert_int_equal(do_connect(e, any, "10.0.0.1", 80, "10.0.0.2"), EADDRNOTAVAIL);
	assert_int_equal(port_of(e, asked), 20000);
	assert_int_equal(port_of(e, any), 0);
}

struct reuse_row {
	uint8_t tw_reuse;
	const char *server;
	uint64_t wait_ms;
	int error;
};

/* Range of one port, client closes first; may the next connect() take the TIME_WAIT over? */
static void test_timewait_reuse(void **state)
{
	static const struct reuse_row rows[] = {
		{1, "10.0.0.1", 1001, 0},
		{1, "10.0.0.1", 1000, EADDRNOTAVAIL},
		{2, "10.0.0.1", 5000, EADDRNOTAVAIL},
		{2, "127.0.0.1", 1001, 0},
		{0, "127.0.0.1", 5000, EADDRNOTAVAIL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tcpwhy_engine *e = fixture_engine(0);
		struct tcpwhy_sysctls s = *tcpwhy_sysctls(e);
		s.tw_reuse = rows[i].tw_reuse;
		s.port_low = s.port_high = 20000;
		tcpwhy_set_sysctls(e, &s);
		tcpwhy_sock l = listener_at(e, rows[i].server, 80, 0), c = sock4(e, 0);
		part(e, c, join(e, c, l, rows[i].server, 80, "10.0.0.2"));
		tcpwhy_advance(e, rows[i].wait_ms * MS);
		if (do_connect(e, sock4(e, 0), rows[i].server, 80, "10.0.0.2") != rows[i].error)
			fail_msg("row %zu", i);
		tcpwhy_engine_free(e);
	}
}

/* A bound port needs timestamps only, at any tcp_tw_reuse and age. */
static void test_timewait_bound_port(void **state)
{
	for (uint8_t timestamps = 0; timestamps < 2; timestamps++) {
		struct tcpwhy_engine *e = fixture_engine(0);
		struct tcpwhy_sysctls s = *tcpwhy_sysctls(e);
		s.tw_reuse = 0;
		s.timestamps = timestamps;
		tcpwhy_set_sysctls(e, &s);
		tcpwhy_sock l = listener_at(e, "10.0.0.1", 80, 0), c = sock4(e, REUSE),
			    d = sock4(e, REUSE);
		assert_int_equal(do_bind(e, c, "10.0.0.2", 5000), 0);
		part(e, c, join(e, c, l, "10.0.0.1", 80, "10.0.0.2"));
		assert_int_equal(do_bind(e, d, "10.0.0.2", 5000), 0);
		assert_int_equal(do_connect(e, d, "10.0.0.1", 80, "10.0.0.2"),
				 timestamps ? 0 : EADDRNOTAVAIL);
		tcpwhy_engine_free(e);
	}
	(void)state;
}

static void test_timewait_lasts_sixty_seconds(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock l = listener_at(e, "10.0.0.1", 80, 0), c = sock4(e, 0);
	tcpwhy_sock tw = part(e, join(e, c, l, "10.0.0.1", 80, "10.0.0.2"), c);

	tcpwhy_advance(e, 59999 * MS);
	assert_int_equal(state_of(e, tw), TCPWHY_TIME_WAIT);
	tcpwhy_advance(e, 60000 * MS);
	assert_int_equal(state_of(e, tw), 0);
}

/* tcp_fin_timeout ends the orphan's FIN_WAIT2, not TIME_WAIT; the FIN makes it a fresh 60 s. */
static void test_orphan_fin_wait2(void **state)
{
	struct tcpwhy_engine *e = *state;
	struct tcpwhy_sysctls s = *tcpwhy_sysctls(e);
	tcpwhy_sock l = listener_at(e, "10.0.0.1", 80, 0);
	enum tcpwhy_sent sent;
	struct tcpwhy_owner o;

	s.fin_timeout_s = 3;
	tcpwhy_set_sysctls(e, &s);
	for (unsigned fin = 0; fin < 2; fin++) {
		tcpwhy_sock c = sock4(e, 0), child = join(e, c, l, "10.0.0.1", 80, "10.0.0.2");
		assert_int_equal(tcpwhy_get(e, child, &o), 0);
		tcpwhy_close(e, child, &sent);
		tcpwhy_fin_in(e, c);
		tcpwhy_fin_acked(e, child, NULL);
		tcpwhy_sock mini = tcpwhy_find_tuple(e, &o.local, 80, &o.peer, o.peer_port, 0);
		assert_int_equal(state_of(e, mini), TCPWHY_FIN_WAIT2);
		uint64_t start = tcpwhy_now(e);
		tcpwhy_advance(e, start + 2900 * MS);
		if (fin)
			assert_int_equal(tcpwhy_fin_in(e, mini), 0);
		tcpwhy_advance(e, start + 3100 * MS);
		assert_int_equal(state_of(e, mini), fin ? TCPWHY_TIME_WAIT : 0);
	}
}

/* Who does not ask what is sent need not; and what the handle of an orphan tells afterwards. */
static void test_handle_of_an_orphan(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock l = listener_at(e, "10.0.0.1", 80, 0), c = sock4(e, 0);
	tcpwhy_sock child = join(e, c, l, "10.0.0.1", 80, "10.0.0.2");

	assert_int_equal(tcpwhy_shutdown(e, child, TCPWHY_SHUT_WR, NULL), 0);
	assert_int_equal(tcpwhy_close(e, child, NULL), 0);
	assert_int_equal(state_of(e, child), TCPWHY_FIN_WAIT1);
	assert_int_equal(tcpwhy_fin_acked(e, child, NULL), 0);
	assert_int_equal(state_of(e, child), 0);
	assert_int_equal(tcpwhy_fin_in(e, child), -EBADF);
	assert_int_equal(tcpwhy_close(e, l, NULL), 0);
	assert_int_equal(state_of(e, l), 0);
}

static void test_max_tw_buckets(void **state)
{
	struct tcpwhy_engine *e = *state;
	struct tcpwhy_sysctls s = *tcpwhy_sysctls(e);
	enum tcpwhy_sent sent;
	tcpwhy_sock l = listener_at(e, "10.0.0.1", 80, 0), c = sock4(e, 0);
	tcpwhy_sock child = join(e, c, l, "10.0.0.1", 80, "10.0.0.2");

	s.max_tw_buckets = 0;
	tcpwhy_set_sysctls(e, &s);
	tcpwhy_close(e, child, &sent);
	tcpwhy_fin_in(e, c);
	assert_int_equal(tcpwhy_fin_acked(e, child, NULL), 0);
	tcpwhy_close(e, l, &sent);
	assert_int_equal(do_bind(e, sock4(e, 0), "10.0.0.1", 80), 0);
}

/* shutdown() then FIN: the mini-socket and the socket that the process still holds both own a bound
 * port. */
static void test_half_closed_socket_keeps_bound_port(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock l = listener_at(e, "10.0.0.1", 80, 0), c = sock4(e, 0), d = sock4(e, 0);
	enum tcpwhy_sent sent;

	assert_int_equal(do_bind(e, c, "10.0.0.2", 5000), 0);
	tcpwhy_sock child = join(e, c, l, "10.0.0.1", 80, "10.0.0.2");
	tcpwhy_sock child2 = join(e, d, l, "10.0.0.1", 80, "10.0.0.2");
	tcpwhy_sock pairs[2][2] = {{c, child}, {d, child2}};
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(tcpwhy_shutdown(e, pairs[i][0], TCPWHY_SHUT_WR, &sent), 0);
		assert_int_equal(sent, TCPWHY_SENT_FIN);
		tcpwhy_fin_in(e, pairs[i][1]);
		tcpwhy_fin_acked(e, pairs[i][0], NULL);
		tcpwhy_close(e, pairs[i][1], &sent);
		tcpwhy_fin_in(e, pairs[i][0]);
		tcpwhy_fin_acked(e, pairs[i][1], NULL);
	}
	assert_int_equal(state_of(e, c), TCPWHY_BOUND); /* asked for: stays until close() */
	assert_int_equal(port_of(e, c), 5000);
	assert_int_equal(state_of(e, d), TCPWHY_CLOSE); /* chosen by connect(): given back */
	assert_int_equal(do_connect(e, d, "10.0.0.1", 80, "10.0.0.2"), EISCONN);
}

static void test_listener_close_resets_pending(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock l = listener_at(e, "10.0.0.1", 80, 0), c = sock4(e, 0), child;
	struct tcpwhy_addr to = at("10.0.0.1"), from = at("10.0.0.2");
	enum tcpwhy_sent sent;

	assert_int_equal(do_connect(e, c, "10.0.0.1", 80, "10.0.0.2"), 0);
	assert_int_equal(tcpwhy_incoming(e, l, &to, &from, port_of(e, c), &child), 0);
	assert_int_equal(tcpwhy_incoming(e, l, &to, &from, port_of(e, c), &child), -EEXIST);
	assert_int_equal(tcpwhy_close(e, child, &sent), -EBADF); /* nobody has it yet */
	tcpwhy_close(e, l, &sent);
	assert_int_equal(sent, TCPWHY_SENT_RST);
	assert_int_equal(state_of(e, child), 0);
	assert_int_equal(do_bind(e, sock4(e, 0), "10.0.0.1", 80), 0);
}

static void test_refused_connect_gives_back(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock c = sock4(e, 0);
	struct tcpwhy_owner o;

	assert_int_equal(do_connect(e, c, "10.0.0.1", 80, "10.0.0.2"), 0);
	assert_int_equal(tcpwhy_reset_in(e, c), 0);
	assert_int_equal(tcpwhy_get(e, c, &o), 0);
	assert_int_equal(o.port, 0);
	assert_true(address_is_any(&o.local));
	assert_int_equal(do_connect(e, c, "10.0.0.1", 81, "10.0.0.2"), 0);
}

static void test_families(void **state)
{
	struct tcpwhy_engine *e = *state;

	assert_int_equal(do_connect(e, sock4(e, 0), "::1", 80, "::1"), EAFNOSUPPORT);
	assert_int_equal(
		do_connect(e, sock6(e, TCPWHY_IPV6, V6ONLY, 0), "127.0.0.1", 80, "127.0.0.1"),
		ENETUNREACH);
	assert_int_equal(do_connect(e, sock6(e, TCPWHY_IPV6, 0, 0), "127.0.0.1", 80, "127.0.0.1"),
			 0);
	assert_int_equal(do_connect(e, sock6(e, TCPWHY_IPV6, 0, 0), "::1", 80, "::1"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		engine_test(test_even_first_and_per_destination),
		engine_test(test_bound_port_is_passed_over),
		engine_test(test_tuple_taken),
		engine_test(test_failed_connect_and_port),
		cmocka_unit_test(test_timewait_reuse),
		cmocka_unit_test(test_timewait_bound_port),
		engine_test(test_timewait_lasts_sixty_seconds),
		engine_test(test_orphan_fin_wait2),
		engine_test(test_handle_of_an_orphan),
		engine_test(test_max_tw_buckets),
		engine_test(test_half_closed_socket_keeps_bound_port),
		engine_test(test_listener_close_resets_pending),
		engine_test(test_refused_connect_gives_back),
		engine_test(test_families),
	};

	return unit_run("connect", tests);
}
