/* SPDX-License-Identifier: MIT
 *
 * Sockets counted while they are read: what is counted where, and what is lost when the table is
 * full. The counts of a destination are held against the engine's answer to connect() there.
 */
#include "live/overview.h"

#include "load/load.h"
#include "scene.h"

#define LOW  10000
#define HIGH 10099

static struct overview out;

static const struct overview_port by_connect = {TCPWHY_NO, TCPWHY_NO};
static const struct overview_port by_bind = {TCPWHY_YES, TCPWHY_YES};

static struct scene *scene(void)
{
	struct scene *s = scene_new();

	s->snap.sysctls.port_low = LOW;
	s->snap.sysctls.port_high = HIGH;
	s->snap.sysctls.tw_reuse_delay_ms = 1000;
	return s;
}

static void reserve(struct scene *s, uint16_t port)
{
	s->snap.reserved[port / 32] |= 1u << port % 32;
}

/* As the bind hash gives them: the port is owned unless connect() chose it. */
static void count_all(const struct scene *s)
{
	struct overview_count *c = overview_begin(&s->snap);

	assert_non_null(c);
	for (size_t i = 0; i < s->snap.owners_n; i++)
		overview_socket(c, &s->owners[i],
				s->owners[i].o.connect_bind == TCPWHY_YES ? by_connect : by_bind);
	overview_end(c, &out);
}

static struct snapshot_owner *outgoing(struct scene *s, uint16_t port, uint16_t peer_port)
{
	struct snapshot_owner *o = scene_owner(s, TCPWHY_ESTABLISHED, "10.0.0.5", port);

	o->o.connect_bind = TCPWHY_YES;
	return scene_peer(o, "10.0.0.9", peer_port);
}

/* The last of three ports is never met, an end of five by chance (engine/portwalk.h). */
static void test_odd_ranges(void **state)
{
	struct scene *s = scene();

	(void)state;
	s->snap.sysctls.port_high = LOW + 2;
	outgoing(s, LOW, 80);
	outgoing(s, LOW + 1, 80);
	outgoing(s, LOW + 2, 80);
	count_all(s);
	assert_int_equal(out.range_total, 3);
	assert_int_equal(out.range_reserved, 0);
	assert_int_equal(out.range_unmet, 1);
	assert_int_equal(out.range_held, 2);
	assert_int_equal(out.destinations[0].living, 2);
	s->snap.sysctls.port_high = LOW + 4;
	count_all(s);
	assert_int_equal(out.range_unmet, 0);
	assert_false(out.bind0_by_chance);
	outgoing(s, LOW + 3, 80);
	count_all(s);
	assert_true(out.bind0_by_chance);
	assert_false(out.connect_by_chance);
	reserve(s, LOW + 4);
	count_all(s);
	assert_false(out.bind0_by_chance);
	free(s);
}

static void test_states_and_ports(void **state)
{
	struct scene *s = scene();

	(void)state;
	reserve(s, LOW + 7);
	outgoing(s, LOW, 80);
	outgoing(s, LOW, 81);
	outgoing(s, LOW + 7, 80);  /* reserved: nobody's port */
	outgoing(s, HIGH + 1, 80); /* beyond the range */
	scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", LOW + 1);
	scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", LOW + 1); /* one service */
	scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", LOW + 7);
	scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", LOW - 1);
	scene_owner(s, TCPWHY_BOUND, "::", LOW + 2)->o.v6only = TCPWHY_YES;
	scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", LOW + 3)->o.l3mdev = 9;
	count_all(s);
	assert_int_equal(out.sockets, 10);
	assert_int_equal(out.by_state[TCPWHY_ESTABLISHED], 4);
	assert_int_equal(out.by_state[TCPWHY_LISTEN], 5);
	assert_int_equal(out.in_vrf, 1);
	assert_int_equal(out.range_total, 100);
	assert_int_equal(out.range_reserved, 1);
	assert_int_equal(out.range_owned, 2);
	assert_int_equal(out.range_held, 2); /* v6only is not in the way of 0.0.0.0 */
	assert_int_equal(out.listeners_n, 1);
	assert_int_equal(out.listeners_total, 1);
	assert_int_equal(out.destinations_n, 2);
	assert_int_equal(out.destinations_seen, 2);
	free(s);
}

static void test_a_port_that_bind0_drew_is_nobodys_service(void **state)
{
	const struct overview_port drawn = {TCPWHY_YES, TCPWHY_NO},
				   unseen = {TCPWHY_UNKNOWN, TCPWHY_UNKNOWN};
	struct scene *s = scene();
	struct overview_count *c = overview_begin(&s->snap);

	(void)state;
	overview_socket(c, scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", LOW), drawn);
	overview_socket(c, scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", LOW + 1), unseen);
	overview_end(c, &out);
	assert_int_equal(out.listeners_n, 1);
	assert_int_equal(out.listeners[0].who.seen.o.port, LOW + 1);
	assert_int_equal(out.listeners[0].named, TCPWHY_UNKNOWN);
	assert_true(out.owned_unseen);
	free(s);
}

static void test_waits_by_what_connect_asks(void **state)
{
	struct scene *s = scene();

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		/* Ends in 59.5 s: half a second old; in 58: two seconds. */
		struct snapshot_owner *o =
			scene_mini(s, i == 4 ? TCPWHY_FIN_WAIT2 : TCPWHY_TIME_WAIT, "10.0.0.5",
				   (uint16_t)(LOW + i), i == 0 ? 119 * SECOND / 2 : 58 * SECOND);
		scene_peer(o, "10.0.0.9", 80);
		o->o.connect_bind = TCPWHY_YES;
		o->o.timestamps = i == 2 ? TCPWHY_NO : i == 3 ? TCPWHY_UNKNOWN : TCPWHY_YES;
	}
	count_all(s);
	assert_int_equal(out.destinations_n, 1);
	assert_int_equal(out.destinations[0].living, 0);
	for (unsigned i = 0; i < OVERVIEW_WAITS; i++)
		assert_int_equal(out.destinations[0].waiting[i], 1);
	free(s);
}

/* A busy one is never lost among many that are met once, and its count is a lower bound. */
static void test_a_full_table_keeps_the_busiest(void **state)
{
	const uint32_t strangers = 200000, every = 64, friends = strangers / every;
	struct scene *s = scene();
	struct overview_count *c = overview_begin(&s->snap);
	struct snapshot_owner busy = *outgoing(s, LOW, 443), other = busy;

	(void)state;
	for (uint32_t i = 0; i < strangers; i++) {
		other.o.peer.b[13] = (uint8_t)(i >> 16);
		other.o.peer.b[14] = (uint8_t)(i >> 8);
		other.o.peer.b[15] = (uint8_t)i;
		other.o.peer_port = 80;
		overview_socket(c, &other, by_connect);
		if (i % every == 0)
			overview_socket(c, &busy, by_connect);
	}
	overview_end(c, &out);
	assert_true(out.destinations_pushed > 0);
	assert_int_equal(out.destinations[0].peer_port, 443);
	uint32_t least = out.destinations[0].living, most = least + out.destinations[0].maybe_more;
	assert_true(least <= friends && friends <= most);
	assert_int_equal(out.destinations_n, OVERVIEW_DESTINATIONS);
	free(s);
}

static void test_again_forgets(void **state)
{
	struct scene *s = scene();
	struct overview_count *c = overview_begin(&s->snap);
	struct snapshot_owner *o = outgoing(s, LOW, 80);

	(void)state;
	overview_socket(c, o, by_connect);
	overview_again(c);
	overview_socket(c, o, by_connect);
	overview_end(c, &out);
	assert_int_equal(out.sockets, 1);
	assert_int_equal(out.range_held, 1);
	assert_int_equal(out.destinations[0].living, 1);
	free(s);
}

/* Random namespaces: of each destination, the engine finds as many ports taken or reusable, owned
 * and reserved as were counted. */
static void test_the_engine_counts_the_same(void **state)
{
	const struct tcpwhy_row *row = tcpwhy_row_find("6.18.y");
	uint64_t seed = unit_seed();

	(void)state;
	for (unsigned round = 0; round < 100; round++) {
		struct scene *s = scene();
		struct tcpwhy_engine *e;

		for (uint16_t port = LOW; port <= HIGH; port++) {
			uint64_t kind = unit_random(&seed) % 6;

			if (unit_random(&seed) % 10 == 0)
				reserve(s, port);
			if (kind == 0)
				scene_owner(s, TCPWHY_BOUND, "0.0.0.0", port);
			for (uint16_t to = 80; kind > 2 && to < 83; to++)
				if (unit_random(&seed) % 2)
					outgoing(s, port, to);
		}
		scene_buckets(s);
		for (size_t i = 0; i < s->snap.buckets_n; i++)
			if (s->owners[i].o.connect_bind == TCPWHY_YES)
				s->buckets[i].fastreuse = s->buckets[i].fastreuseport = -1;
		count_all(s);
		assert_int_equal(load_engine(&s->snap, row, NULL, &heap_memory, &e), 0);
		for (size_t i = 0; i < out.destinations_n; i++) {
			const struct overview_destination *d = &out.destinations[i];
			struct tcpwhy_connect_request q = {.source = d->local,
							   .peer = d->peer,
							   .peer_port = d->peer_port,
							   .family = d->family};
			struct tcpwhy_verdict v;

			tcpwhy_would_connect(e, &q, &v);
			assert_int_equal(v.range_total, out.range_total);
			assert_int_equal(v.range_reserved, out.range_reserved);
			assert_int_equal(v.range_owned, out.range_owned);
			assert_int_equal(v.range_taken + v.range_reusable, d->living);
		}
		tcpwhy_engine_free(e);
		free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states_and_ports),
		cmocka_unit_test(test_odd_ranges),
		cmocka_unit_test(test_a_port_that_bind0_drew_is_nobodys_service),
		cmocka_unit_test(test_waits_by_what_connect_asks),
		cmocka_unit_test(test_a_full_table_keeps_the_busiest),
		cmocka_unit_test(test_again_forgets),
		cmocka_unit_test(test_the_engine_counts_the_same),
	};

	return unit_run("overview", tests);
}
