/* SPDX-License-Identifier: MIT
 *
 * The sets against a plain transcription of the probe-by-probe search: for random histories both
 * choose the same port, from every start.
 */
#include "engine_fixture.h"

#include <string.h>

#define MS UINT64_C(1000000)

enum { SOURCES = 3, PEERS = 3, KEPT = 256 };

struct world {
	struct tcpwhy_engine *e;
	uint64_t x;
	bool reserved[65536];
	tcpwhy_sock kept[KEPT], child[KEPT];
	unsigned n;
	tcpwhy_sock listener[PEERS];
};

static const char *const sources[SOURCES] = {"10.0.0.2", "127.0.0.1", "fd00::1"};
static const char *const peers[PEERS] = {"10.0.0.1", "127.0.0.1", "::1"};

/* ------------------------------------------------------------------------------ transcription */

struct probe {
	struct tcpwhy_addr source, peer;
	uint16_t peer_port;
	uint32_t device, range;
};

static bool is_loopback(const struct tcpwhy_owner *o)
{
	return o->device == 1 || address_is_loopback(&o->local) || address_is_loopback(&o->peer);
}

/* tcp_twsk_unique(), from what the engine reports of the owner. */
static bool may_take_over(const struct world *w, const struct tcpwhy_owner *o)
{
	const struct tcpwhy_sysctls *s = tcpwhy_sysctls(w->e);
	uint64_t entered_ms = (o->expires_ns - 60000 * MS) / MS;

	if (!o->timewait || o->state != TCPWHY_TIME_WAIT || o->timestamps != TCPWHY_YES)
		return false;
	if (s->tw_reuse == 0 || (s->tw_reuse == 2 && !is_loopback(o)))
		return false;
	return tcpwhy_now(w->e) / MS > entered_ms + s->tw_reuse_delay_ms;
}

static bool can_have(const struct world *w, const struct probe *p, uint16_t port)
{
	struct tcpwhy_bucket b;
	struct tcpwhy_owner o;

	if (w->reserved[port])
		return false;
	if (!tcpwhy_get_bucket(w->e, port, 0, &b))
		return true;
	if (b.fastreuse >= 0 || b.fastreuseport >= 0)
		return false;
	tcpwhy_sock s =
		tcpwhy_find_tuple(w->e, &p->source, port, &p->peer, p->peer_port, p->device);
	return !s || (!tcpwhy_get(w->e, s, &o) && may_take_over(w, &o));
}

/* __inet_hash_connect() as the kernel does it: candidate by candidate. */
static uint16_t probe_by_probe(const struct world *w, const struct probe *p, uint32_t start)
{
	const struct tcpwhy_sysctls *s = tcpwhy_sysctls(w->e);
	uint32_t low = s->port_low, high = s->port_high, step = p->range ? 1 : 2;

	if (p->range) {
		low = p->range & 0xffff;
		high = p->range >> 16;
	}
	uint32_t end = high + 1, remaining = end - low;
	if (step == 2 && remaining > 1)
		remaining &= ~1u;
	uint32_t offset = start % remaining & ~(step - 1);
	for (uint32_t pass = 0; pass < step; pass++) {
		uint32_t port = low + offset + pass;
		for (uint32_t i = 0; i < remaining; i += step, port += step) {
			if (port >= end)
				port -= remaining;
			if (can_have(w, p, (uint16_t)port))
				return (uint16_t)port;
		}
	}
	return 0;
}

/* ---------------------------------------------------------------------------------- histories */

static uint32_t below(struct world *w, uint32_t n)
{
	return (uint32_t)(unit_random(&w->x) % n);
}

static void keep(struct world *w, tcpwhy_sock s, tcpwhy_sock child)
{
	enum tcpwhy_sent sent;
	unsigned at = w->n < KEPT ? w->n++ : below(w, KEPT);

	if (w->n == KEPT && w->kept[at]) {
		tcpwhy_reset_in(w->e, w->kept[at]);
		tcpwhy_close(w->e, w->kept[at], &sent);
	}
	w->kept[at] = s;
	w->child[at] = child;
}

static tcpwhy_sock new_socket(struct world *w, unsigned where, const struct probe *p)
{
	tcpwhy_sock s = sock6(w->e, where == 2 ? TCPWHY_IPV6 : TCPWHY_IPV4, REUSE, 0);

	if (p->device)
		assert_int_equal(tcpwhy_setsockopt(w->e, s, TCPWHY_SO_BINDTODEVICE, p->device), 0);
	if (p->range)
		assert_int_equal(tcpwhy_setsockopt(w->e, s, TCPWHY_IP_LOCAL_PORT_RANGE, p->range),
				 0);
	return s;
}

static void step_connect(struct world *w)
{
	unsigned where = below(w, 3);
	const struct tcpwhy_sysctls *sysctls = tcpwhy_sysctls(w->e);
	struct probe p = {.source = at(sources[where == 2 ? 2 : below(w, 2)]),
			  .peer = at(peers[where]),
			  .peer_port = (uint16_t)(80 + below(w, 2)),
			  .device = below(w, 6) ? 0 : 1 + below(w, 3)};
	uint32_t start = below(w, 100000),
		 count = (uint32_t)(sysctls->port_high - sysctls->port_low + 1);

	if (!below(w, 8)) {
		uint32_t low = sysctls->port_low + below(w, count);
		p.range = low | (low + below(w, sysctls->port_high - low + 1)) << 16;
	}
	struct tcpwhy_choice drawn = {.draw = fixture_draw, .ctx = &(uint32_t){start}};
	tcpwhy_sock s = new_socket(w, where, &p), child = 0;
	uint16_t expected = probe_by_probe(w, &p, start);
	struct tcpwhy_verdict v;
	assert_int_equal(tcpwhy_connect(w->e, s, &p.peer, p.peer_port, &p.source, &drawn, &v), 0);
	if (v.port != expected)
		fail_msg("the sets find %u, the probes %u", v.port, expected);
	assert_int_equal(v.error, expected ? 0 : EADDRNOTAVAIL);
	if (!expected)
		return;
	if (!p.device && p.peer_port == 80 && below(w, 2)) {
		assert_int_equal(tcpwhy_established(w->e, s), 0);
		if (tcpwhy_incoming(w->e, w->listener[where], &p.peer, &p.source, expected, &child))
			child = 0;
	}
	keep(w, s, child);
}

/* The client closes first, and its TIME_WAIT stays; or a reset takes it all away. */
static void step_end(struct world *w)
{
	unsigned k = w->n ? below(w, w->n) : 0;
	enum tcpwhy_sent sent;
	struct tcpwhy_owner o;

	if (!w->n || !w->kept[k] || tcpwhy_get(w->e, w->kept[k], &o))
		return;
	if (w->child[k] && below(w, 4)) {
		tcpwhy_close(w->e, w->kept[k], &sent);
		tcpwhy_fin_in(w->e, w->child[k]);
		tcpwhy_fin_acked(w->e, w->kept[k], NULL);
		tcpwhy_sock mini =
			tcpwhy_find_tuple(w->e, &o.local, o.port, &o.peer, o.peer_port, o.device);
		if (below(w, 4))
			tcpwhy_fin_in(w->e, mini);
	} else {
		tcpwhy_reset_in(w->e, w->kept[k]);
		tcpwhy_close(w->e, w->kept[k], &sent);
	}
	if (w->child[k])
		tcpwhy_reset_in(w->e, w->child[k]);
	w->kept[k] = w->child[k] = 0;
}

static void step_sysctl(struct world *w)
{
	struct tcpwhy_sysctls s = *tcpwhy_sysctls(w->e);

	switch (below(w, 4)) {
	case 0:
		s.tw_reuse = (uint8_t)below(w, 3);
		break;
	case 1:
		s.tw_reuse_delay_ms = 1 + below(w, 3000);
		break;
	case 2:
		s.timestamps = (uint8_t)below(w, 4);
		break;
	default:
		s.port_low = (uint16_t)(20000 + below(w, 8));
		s.port_high = (uint16_t)(s.port_low + below(w, 3) * below(w, 90));
	}
	assert_int_equal(tcpwhy_set_sysctls(w->e, &s), 0);
}

static void step(struct world *w)
{
	uint16_t port = (uint16_t)(20000 + below(w, 100));
	uint32_t dice = below(w, 100);
	tcpwhy_sock s;

	if (dice < 70) {
		step_connect(w);
	} else if (dice < 85) {
		step_end(w);
	} else if (dice < 90) {
		tcpwhy_advance(w->e, tcpwhy_now(w->e) + below(w, below(w, 10) ? 900 : 60000) * MS);
	} else if (dice < 93) {
		step_sysctl(w);
	} else if (dice < 96) {
		w->reserved[port] = !w->reserved[port];
		assert_int_equal(tcpwhy_reserve_port(w->e, port, w->reserved[port]), 0);
	} else {
		s = sock4(w->e, REUSE);
		do_bind(w->e, s, sources[below(w, 2)], port);
		keep(w, s, 0);
	}
}

static void run_history(uint64_t seed, unsigned steps)
{
	static struct world w;

	memset(&w, 0, sizeof(w));
	w.e = fixture_engine(0);
	w.x = seed;
	sysctl_set(w.e, 20000, 20063);
	for (unsigned i = 0; i < PEERS; i++) {
		w.listener[i] = sock6(w.e, i == 2 ? TCPWHY_IPV6 : TCPWHY_IPV4, 0, 0);
		assert_int_equal(do_bind(w.e, w.listener[i], peers[i], 80), 0);
		assert_int_equal(do_listen(w.e, w.listener[i]), 0);
	}
	for (unsigned i = 0; i < steps; i++)
		step(&w);
	tcpwhy_engine_free(w.e);
}

static void test_random_histories(void **state)
{
	uint64_t x = unit_seed();

	(void)state;
	for (int i = 0; i < 150; i++)
		run_history(unit_random(&x), 600);
}

/* ------------------------------------------------------------------------------------- imports */

/* Imported TIME_WAITs, in any order, age as if they had been made here. */
static void test_imported_ages(void **state)
{
	struct tcpwhy_engine *e = *state;
	struct tcpwhy_owner o = {.local = at("10.0.0.2"),
				 .peer = at("10.0.0.1"),
				 .peer_port = 80,
				 .family = TCPWHY_IPV4,
				 .state = TCPWHY_TIME_WAIT,
				 .timewait = true,
				 .timestamps = TCPWHY_YES,
				 .connect_bind = TCPWHY_YES};
	struct tcpwhy_bucket b = {
		.known = true, .fastreuse = -1, .fastreuseport = -1, .fast_family = 4};
	static const uint64_t left_ms[] = {30000, 59900, 100, 45000};

	sysctl_set(e, 20000, 20003);
	struct tcpwhy_sysctls s = *tcpwhy_sysctls(e);
	s.tw_reuse = 1;
	tcpwhy_set_sysctls(e, &s);
	tcpwhy_advance(e, 100000 * MS);
	for (uint16_t i = 0; i < 4; i++) {
		b.port = o.port = (uint16_t)(20000 + i);
		o.expires_ns = tcpwhy_now(e) + left_ms[i] * MS;
		assert_int_equal(tcpwhy_import_owner(e, &o, NULL), 0);
		assert_int_equal(tcpwhy_import_bucket(e, &b), 0);
	}
	/* 20001 is 100 ms old: even ones first, then 20003, then nothing. */
	assert_int_equal(connect_verdict(e, sock4(e, 0), "10.0.0.1", 80, "10.0.0.2").port, 20000);
	assert_int_equal(connect_verdict(e, sock4(e, 0), "10.0.0.1", 80, "10.0.0.2").port, 20002);
	assert_int_equal(connect_verdict(e, sock4(e, 0), "10.0.0.1", 80, "10.0.0.2").port, 20003);
	assert_int_equal(do_connect(e, sock4(e, 0), "10.0.0.1", 80, "10.0.0.2"), EADDRNOTAVAIL);
	tcpwhy_advance(e, tcpwhy_now(e) + 901 * MS);
	assert_int_equal(connect_verdict(e, sock4(e, 0), "10.0.0.1", 80, "10.0.0.2").port, 20001);
}

/* SO_BINDTODEVICE after connect(): the port is that device's, and comes back at close(). */
static void test_device_changes(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock s = sock4(e, 0);
	enum tcpwhy_sent sent;

	sysctl_set(e, 20000, 20000);
	assert_int_equal(do_connect(e, s, "10.0.0.1", 80, "10.0.0.2"), 0);
	assert_int_equal(do_connect(e, sock4(e, 0), "10.0.0.1", 80, "10.0.0.2"), EADDRNOTAVAIL);
	assert_int_equal(tcpwhy_setsockopt(e, s, TCPWHY_SO_BINDTODEVICE, ETH1), 0);
	tcpwhy_sock there = sock4(e, 0), here = sock4(e, 0);
	assert_int_equal(tcpwhy_setsockopt(e, there, TCPWHY_SO_BINDTODEVICE, ETH1), 0);
	assert_int_equal(do_connect(e, there, "10.0.0.1", 80, "10.0.0.2"), EADDRNOTAVAIL);
	assert_int_equal(do_connect(e, here, "10.0.0.1", 80, "10.0.0.2"), 0);
	assert_int_equal(tcpwhy_close(e, here, &sent), 0);
	assert_int_equal(tcpwhy_close(e, s, &sent), 0);
	assert_int_equal(do_connect(e, there, "10.0.0.1", 80, "10.0.0.2"), 0);
}

/* With too little memory a connect may fail with ENOMEM, and nothing is left half done. */
static void test_little_memory(void **state)
{
	(void)state;
	for (size_t limit = 22000; limit < 80000; limit += 1500) {
		struct tcpwhy_engine *e = fixture_engine(limit);
		unsigned made = 0;
		sysctl_set(e, 20000, 20999);
		for (unsigned i = 0; i < 1000; i++) {
			tcpwhy_sock s;
			if (tcpwhy_socket(e, TCPWHY_IPV4, 0, true, &s))
				break;
			struct tcpwhy_verdict v = connect_verdict(e, s, "10.0.0.1", 80, "10.0.0.2");
			assert_true(v.error == 0 || v.error == ENOMEM);
			made += v.error == 0;
		}
		assert_true(made > 0);
		assert_true(tcpwhy_engine_bytes(e) <= limit);
		tcpwhy_engine_free(e);
	}
}

static void *refusing_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	return *(bool *)ctx && new_size > old_size ? NULL
						   : heap_resize(NULL, old, old_size, new_size);
}

/* A TIME_WAIT whose end cannot be moved keeps it, its 4-tuple and its port. */
static void test_end_that_cannot_move(void **state)
{
	bool refuses = false;
	struct tcpwhy_memory memory = {.resize = refusing_resize, .ctx = &refuses};
	struct tcpwhy_engine *e = tcpwhy_engine_new(tcpwhy_row_find("6.18.y"), &memory);
	tcpwhy_sock l = sock4(e, REUSE), client = sock4(e, 0);
	struct tcpwhy_owner o;
	enum tcpwhy_sent sent;

	(void)state;
	sysctl_set(e, 20000, 20000);
	tcpwhy_advance(e, 1000 * MS);
	assert_int_equal(do_bind(e, l, "10.0.0.1", 80), 0);
	assert_int_equal(do_listen(e, l), 0);
	tcpwhy_sock child = join(e, client, l, "10.0.0.1", 80, "10.0.0.2");
	/* Both FINs cross, so that there is no FIN_WAIT2 to make room among the deadlines. */
	assert_int_equal(tcpwhy_close(e, client, &sent), 0);
	assert_int_equal(tcpwhy_fin_in(e, client), 0);
	assert_int_equal(tcpwhy_fin_acked(e, client, NULL), 0);
	struct tcpwhy_addr local = at("10.0.0.2"), peer = at("10.0.0.1");
	tcpwhy_sock tw = tcpwhy_find_tuple(e, &local, 20000, &peer, 80, 0);
	assert_int_equal(state_of(e, tw), TCPWHY_TIME_WAIT);
	refuses = true;
	assert_int_equal(tcpwhy_timewait_end(e, tw, 5000 * MS, false), -ENOMEM);
	assert_int_equal(tcpwhy_get(e, tw, &o), 0);
	assert_int_equal(o.expires_ns, 61000 * MS);
	assert_int_equal(tcpwhy_find_tuple(e, &local, 20000, &peer, 80, 0), tw);
	refuses = false;
	assert_int_equal(tcpwhy_timewait_end(e, tw, 5000 * MS, false), 0);
	tcpwhy_advance(e, 5000 * MS);
	assert_int_equal(tcpwhy_get(e, tw, &o), -EBADF);
	assert_int_equal(state_of(e, child), TCPWHY_ESTABLISHED);
	tcpwhy_engine_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_histories),
		engine_test(test_imported_ages),
		engine_test(test_device_changes),
		cmocka_unit_test(test_end_that_cannot_move),
		cmocka_unit_test(test_little_memory),
	};

	return unit_run("portset", tests);
}
