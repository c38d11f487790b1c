/* SPDX-License-Identifier: MIT
 *
 * The question about a destination against the deed: what is foretold is what connect() then does.
 */
#include "engine_fixture.h"

#define MS UINT64_C(1000000)

static struct tcpwhy_connect_request asks(const char *peer, uint16_t peer_port, const char *source)
{
	return (struct tcpwhy_connect_request){.peer = at(peer),
					       .source = at(source),
					       .peer_port = peer_port,
					       .family = TCPWHY_IPV4};
}

static struct tcpwhy_verdict would(struct tcpwhy_engine *e, struct tcpwhy_connect_request q)
{
	struct tcpwhy_verdict v;

	tcpwhy_would_connect(e, &q, &v);
	assert_int_equal(v.range_total, v.range_free + v.range_reusable + v.range_reserved +
						v.range_owned + v.range_taken + v.range_unknown);
	return v;
}

static tcpwhy_sock listener_at(struct tcpwhy_engine *e, const char *addr, uint16_t port)
{
	tcpwhy_sock l = sock4(e, 0);

	assert_int_equal(do_bind(e, l, addr, port), 0);
	assert_int_equal(do_listen(e, l), 0);
	return l;
}

static void test_fates(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock l = listener_at(e, "10.0.0.1", 80), c = sock4(e, 0);
	struct tcpwhy_sysctls s = *tcpwhy_sysctls(e);

	sysctl_set(e, 20000, 20005);
	tcpwhy_reserve_port(e, 20005, true);
	assert_int_equal(do_bind(e, sock4(e, 0), "127.0.0.1", 20004), 0);
	part(e, c, join(e, c, l, "10.0.0.1", 80, "10.0.0.2"));
	assert_int_equal(do_connect(e, sock4(e, 0), "10.0.0.1", 80, "10.0.0.2"), 0);
	struct tcpwhy_verdict v = would(e, asks("10.0.0.1", 80, "10.0.0.2"));
	assert_int_equal(v.answer, TCPWHY_OK);
	assert_int_equal(v.range_total, 6);
	assert_int_equal(v.range_reserved, 1);
	assert_int_equal(v.range_owned, 1);
	assert_int_equal(v.range_taken, 2);
	assert_int_equal(v.range_free, 2);
	assert_int_equal(v.tw_kept[TCPWHY_TW_LOOPBACK_ONLY], 1);
	assert_true(v.next_free_ns == 60000 * MS);
	/* Other destinations, and other sources, are not affected. */
	assert_int_equal(would(e, asks("10.0.0.1", 81, "10.0.0.2")).range_free, 4);
	assert_int_equal(would(e, asks("10.0.0.1", 80, "127.0.0.1")).range_free, 4);
	s = *tcpwhy_sysctls(e);
	s.tw_reuse = 1;
	tcpwhy_set_sysctls(e, &s);
	v = would(e, asks("10.0.0.1", 80, "10.0.0.2"));
	assert_int_equal(v.tw_kept[TCPWHY_TW_TOO_YOUNG], 1);
	assert_true(v.next_free_ns == 1001 * MS);
	assert_int_equal(v.free_within_10s, 1);
	tcpwhy_advance(e, 1001 * MS);
	assert_int_equal(would(e, asks("10.0.0.1", 80, "10.0.0.2")).range_reusable, 1);
}

static void test_bound(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock a = sock4(e, REUSE);
	struct tcpwhy_connect_request q = asks("10.0.0.1", 80, "10.0.0.2");

	assert_int_equal(do_bind(e, a, "10.0.0.2", 5000), 0);
	assert_int_equal(do_connect(e, a, "10.0.0.1", 80, "10.0.0.2"), 0);
	q.port = 5000;
	struct tcpwhy_verdict v;
	tcpwhy_would_connect(e, &q, &v);
	assert_int_equal(v.rule, TCPWHY_RULE_CONNECT_TUPLE_TAKEN);
	assert_int_equal(v.first, a);
	q.peer_port = 81;
	tcpwhy_would_connect(e, &q, &v);
	assert_int_equal(v.answer, TCPWHY_OK);
}

/* Without the bucket's fields an owner of unknown making leaves the port unknown. */
static void test_unknown_buckets(void **state)
{
	struct tcpwhy_engine *e = *state;
	struct tcpwhy_owner o = {.local = at("10.0.0.2"),
				 .peer = at("10.0.0.9"),
				 .port = 20000,
				 .peer_port = 80,
				 .family = TCPWHY_IPV4,
				 .state = TCPWHY_ESTABLISHED,
				 .reuse = TCPWHY_REUSE_UNKNOWN,
				 .connect_bind = TCPWHY_UNKNOWN};

	sysctl_set(e, 20000, 20000);
	assert_int_equal(tcpwhy_import_owner(e, &o, NULL), 0);
	struct tcpwhy_verdict v = would(e, asks("10.0.0.1", 80, "10.0.0.2"));
	assert_int_equal(v.answer, TCPWHY_DEPENDS);
	assert_int_equal(v.missing, TCPWHY_MISSING_CONNECT_BIND);
	v = would(e, asks("10.0.0.9", 80, "10.0.0.2"));
	assert_int_equal(v.answer, TCPWHY_REFUSED); /* its 4-tuple is taken either way */
	assert_int_equal(v.range_taken, 1);
	o.port = 20001;
	o.connect_bind = TCPWHY_YES;
	sysctl_set(e, 20001, 20001);
	assert_int_equal(tcpwhy_import_owner(e, &o, NULL), 0);
	assert_int_equal(would(e, asks("10.0.0.1", 80, "10.0.0.2")).answer, TCPWHY_OK);
}

static void test_unseen_owners(void **state)
{
	struct tcpwhy_engine *e = *state;

	sysctl_set(e, 20000, 20003);
	tcpwhy_import_blind(e, true);
	struct tcpwhy_verdict v = would(e, asks("10.0.0.1", 80, "10.0.0.2"));
	assert_int_equal(v.answer, TCPWHY_DEPENDS);
	assert_int_equal(v.missing, TCPWHY_MISSING_OWNERS);
	assert_int_equal(v.range_unknown, 4);
}

/* One 4-tuple twice, with and without a device: the kernel obeys the one it meets first. */
static void test_two_with_one_tuple(void **state)
{
	struct tcpwhy_engine *e = *state;
	struct tcpwhy_owner o = {.local = at("10.0.0.2"),
				 .peer = at("10.0.0.1"),
				 .port = 20000,
				 .peer_port = 80,
				 .family = TCPWHY_IPV4,
				 .state = TCPWHY_ESTABLISHED,
				 .connect_bind = TCPWHY_YES};
	struct tcpwhy_bucket b = {.port = 20000,
				  .known = true,
				  .fastreuse = -1,
				  .fastreuseport = -1,
				  .fast_family = 4};
	struct tcpwhy_connect_request q = asks("10.0.0.1", 80, "10.0.0.2");
	struct tcpwhy_sysctls s;

	sysctl_set(e, 20000, 20000);
	s = *tcpwhy_sysctls(e);
	s.tw_reuse = 1;
	tcpwhy_set_sysctls(e, &s);
	tcpwhy_advance(e, 100000 * MS);
	assert_int_equal(tcpwhy_import_owner(e, &o, NULL), 0);
	o.device = ETH0;
	o.state = TCPWHY_TIME_WAIT;
	o.timewait = true;
	o.timestamps = TCPWHY_YES;
	o.expires_ns = 110000 * MS;
	assert_int_equal(tcpwhy_import_owner(e, &o, NULL), 0);
	assert_int_equal(tcpwhy_import_bucket(e, &b), 0);
	assert_int_equal(would(e, q).answer, TCPWHY_REFUSED); /* sees no device's socket only */
	q.device = ETH0;
	struct tcpwhy_verdict v = would(e, q);
	assert_int_equal(v.answer, TCPWHY_DEPENDS);
	assert_int_equal(v.missing, TCPWHY_MISSING_ORDER);
}

/* ---------------------------------------------------------------------------- random histories */

static const char *const sources[] = {"10.0.0.2", "127.0.0.1"};

static tcpwhy_sock random_step(struct tcpwhy_engine *e, uint64_t *x, tcpwhy_sock l, tcpwhy_sock old)
{
	const char *source = sources[unit_random(x) % 2];
	enum tcpwhy_sent sent;
	tcpwhy_sock s = sock4(e, REUSE);
	uint16_t port = (uint16_t)(20000 + unit_random(x) % 8);

	switch (unit_random(x) % 6) {
	case 0:
		do_bind(e, s, source, port);
		return s;
	case 1:
		if (old)
			tcpwhy_close(e, old, &sent);
		return 0;
	case 2:
		tcpwhy_advance(e, tcpwhy_now(e) + unit_random(x) % 3000 * MS);
		return 0;
	case 3:
		if (would(e, asks("10.0.0.1", 80, source)).answer == TCPWHY_OK)
			part(e, s, join(e, s, l, "10.0.0.1", 80, source));
		return 0;
	default:
		do_connect(e, s, "10.0.0.1", 80, source);
		return s;
	}
}

/* The deed in a copy of the history is impossible, so the ways are tried on sockets that then let
 * go. */
static void judge(struct tcpwhy_engine *e, const char *source)
{
	struct tcpwhy_verdict v = would(e, asks("10.0.0.1", 80, source)), done;
	struct tcpwhy_addr peer = at("10.0.0.1"), from = at(source);
	struct tcpwhy_choice none = {.none = true};
	tcpwhy_sock s = sock4(e, 0);
	enum tcpwhy_sent sent;

	/* A connect that cannot be avoided takes a port: only asked where it changes nothing. */
	if (v.answer == TCPWHY_OK)
		return;
	assert_int_equal(tcpwhy_connect(e, s, &peer, 80, &from, &none, &done), 0);
	assert_int_equal(done.error, EADDRNOTAVAIL);
	for (uint32_t port = 19999; port <= 20010 && v.answer == TCPWHY_REFUSED; port++) {
		struct tcpwhy_choice follow = {.follow = (uint16_t)port};
		assert_int_equal(tcpwhy_connect(e, s, &peer, 80, &from, &follow, &done), 0);
		assert_int_equal(done.error, EADDRNOTAVAIL);
	}
	tcpwhy_close(e, s, &sent);
}

static void test_random_histories(void **state)
{
	uint64_t x = unit_seed();

	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct tcpwhy_engine *e = fixture_engine(0);
		struct tcpwhy_sysctls s = *tcpwhy_sysctls(e);
		tcpwhy_sock l = listener_at(e, "10.0.0.1", 80), last = 0;
		s.port_low = 20000;
		s.port_high = (uint16_t)(20000 + unit_random(&x) % 8);
		s.tw_reuse = (uint8_t)(unit_random(&x) % 3);
		tcpwhy_set_sysctls(e, &s);
		for (int i = 0; i < 24; i++) {
			last = random_step(e, &x, l, last);
			judge(e, sources[i % 2]);
			/* An "ok" is tried for real: whatever the start, a port is found. */
			struct tcpwhy_verdict v = would(e, asks("10.0.0.1", 80, sources[i % 2]));
			uint32_t start = (uint32_t)(unit_random(&x) % 100);
			struct tcpwhy_choice drawn = {.draw = fixture_draw, .ctx = &start};
			struct tcpwhy_addr peer = at("10.0.0.1"), from = at(sources[i % 2]);
			struct tcpwhy_verdict done;
			if (v.answer != TCPWHY_OK)
				continue;
			assert_int_equal(
				tcpwhy_connect(e, sock4(e, 0), &peer, 80, &from, &drawn, &done), 0);
			assert_int_equal(done.error, 0);
			if (v.port)
				assert_int_equal(done.port, v.port);
		}
		tcpwhy_engine_free(e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		engine_test(test_fates),
		engine_test(test_bound),
		engine_test(test_unknown_buckets),
		engine_test(test_unseen_owners),
		engine_test(test_two_with_one_tuple),
		cmocka_unit_test(test_random_histories),
	};

	return unit_run("destination", tests);
}
