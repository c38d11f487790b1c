/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/address.h"
#include "cure/plan.h"
#include "scene.h"

static struct plan_place place(const char *text, bool v6only)
{
	struct plan_place p = {.v6only = v6only};
	enum tcpwhy_family family;

	assert_null(endpoint_parse(text, &p.addr, &family, &p.port));
	p.family = (uint8_t)family;
	return p;
}

static struct snapshot_owner owner(const char *local, enum tcpwhy_state state, bool timewait)
{
	struct snapshot_owner s = {.o = {.state = (uint8_t)state, .timewait = timewait},
				   .cookie = 1};
	enum tcpwhy_family family;

	assert_null(endpoint_parse(local, &s.o.local, &family, &s.o.port));
	s.o.family = (uint8_t)family;
	s.o.v6only = TCPWHY_NO;
	return s;
}

static enum plan_fate fate_of(const struct plan_place *p, struct snapshot_owner *o)
{
	struct snapshot snap = {.owners = o, .owners_n = 1};
	enum plan_fate fate;
	struct plan plan;

	assert_int_equal(plan_make(p, &snap, &heap_memory, &plan), 0);
	fate = (enum plan_fate)plan.fates[0];
	assert_int_equal(plan.by_fate[fate], 1);
	plan_free(&plan, &heap_memory);
	return fate;
}

/* Place asked for, v6only of the asker, local end of the owner, v6only of the owner, overlap. The
 * same table as inet_rcv_saddr_equal() with wildcards matched: to 0.0.0.0 a native IPv6 address is
 * 127.0.0.6 (LOOPBACK4_IPV6), unless it is v6only. */
static void test_overlap(void **state)
{
	static const struct {
		const char *place;
		bool place_v6only;
		const char *local;
		uint8_t v6only;
		bool overlaps;
	} rows[] = {
		{"10.0.0.5:80", false, "10.0.0.5:80", TCPWHY_NO, true},
		{"10.0.0.5:80", false, "10.0.0.5:81", TCPWHY_NO, false},
		{"10.0.0.5:80", false, "10.0.0.6:80", TCPWHY_NO, false},
		{"0.0.0.0:80", false, "10.0.0.6:80", TCPWHY_NO, true},
		{"10.0.0.5:80", false, "0.0.0.0:80", TCPWHY_NO, true},
		{"0.0.0.0:80", false, "[2001:db8::1]:80", TCPWHY_NO, true},
		{"0.0.0.0:80", false, "[2001:db8::1]:80", TCPWHY_YES, false},
		{"0.0.0.0:80", false, "[2001:db8::1]:80", TCPWHY_UNKNOWN, true},
		{"10.0.0.5:80", false, "[2001:db8::1]:80", TCPWHY_NO, false},
		{"0.0.0.0:80", false, "[::ffff:10.0.0.6]:80", TCPWHY_NO, true},
		{"0.0.0.0:80", false, "[::]:80", TCPWHY_NO, true},
		{"0.0.0.0:80", false, "[::]:80", TCPWHY_YES, false},
		{"10.0.0.5:80", false, "[::]:80", TCPWHY_NO, true},
		{"10.0.0.5:80", false, "[::]:80", TCPWHY_YES, false},
		{"[::]:80", false, "10.0.0.6:80", TCPWHY_NO, true},
		{"[::]:80", true, "10.0.0.6:80", TCPWHY_NO, false},
		{"[::]:80", true, "[::ffff:10.0.0.6]:80", TCPWHY_NO, false},
		{"[::]:80", true, "[2001:db8::1]:80", TCPWHY_NO, true},
		{"[::]:80", false, "[2001:db8::1]:80", TCPWHY_YES, true},
		{"[::]:80", true, "[::]:80", TCPWHY_YES, true},
		{"[::]:80", false, "0.0.0.0:80", TCPWHY_NO, true},
		{"[2001:db8::1]:80", false, "[2001:db8::1]:80", TCPWHY_NO, true},
		{"[2001:db8::1]:80", false, "[2001:db8::2]:80", TCPWHY_NO, false},
		{"[2001:db8::1]:80", false, "[::]:80", TCPWHY_YES, true},
		{"[2001:db8::1]:80", false, "0.0.0.0:80", TCPWHY_NO, false},
		{"[::ffff:10.0.0.6]:80", false, "10.0.0.6:80", TCPWHY_NO, true},
		{"[::ffff:10.0.0.6]:80", false, "10.0.0.7:80", TCPWHY_NO, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct plan_place p = place(rows[i].place, rows[i].place_v6only);
		struct snapshot_owner o = owner(rows[i].local, TCPWHY_TIME_WAIT, true);

		o.o.v6only = rows[i].v6only;
		if ((fate_of(&p, &o) == PLAN_DESTROY) != rows[i].overlaps)
			fail_msg("row %zu: %s meets %s", i, rows[i].place, rows[i].local);
	}
}

/* Every state, as a mini-socket and as a socket: only two of them may be touched. */
static void test_only_mini_sockets(void **state)
{
	struct plan_place p = place("0.0.0.0:80", false);

	(void)state;
	for (int s = TCPWHY_ESTABLISHED; s <= TCPWHY_BOUND; s++) {
		struct snapshot_owner living = owner("10.0.0.5:80", (enum tcpwhy_state)s, false);
		struct snapshot_owner mini = owner("10.0.0.5:80", (enum tcpwhy_state)s, true);
		bool ours = s == TCPWHY_TIME_WAIT || s == TCPWHY_FIN_WAIT2;

		assert_int_not_equal(fate_of(&p, &living), PLAN_DESTROY);
		assert_int_equal(fate_of(&p, &mini) == PLAN_DESTROY, ours);
	}
}

static void test_doubt_spares(void **state)
{
	struct plan_place p = place("0.0.0.0:80", false);
	struct snapshot_owner o = owner("10.0.0.5:80", TCPWHY_TIME_WAIT, true);

	(void)state;
	o.cookie = 0;
	assert_int_equal(fate_of(&p, &o), PLAN_NAMELESS);
	/* A mini-socket has no inode: what has one is a socket, whatever else was read. */
	o.cookie = 1;
	o.inode = 77;
	assert_int_equal(fate_of(&p, &o), PLAN_LIVING);
}

static void test_counts_and_cookies(void **state)
{
	struct plan_place p = place("0.0.0.0:80", false);
	struct snapshot_owner owners[] = {
		owner("10.0.0.5:80", TCPWHY_TIME_WAIT, true),
		owner("10.0.0.5:80", TCPWHY_FIN_WAIT2, true),
		owner("10.0.0.5:80", TCPWHY_ESTABLISHED, false),
		owner("10.0.0.5:81", TCPWHY_TIME_WAIT, true),
		owner("0.0.0.0:80", TCPWHY_LISTEN, false),
		owner("10.0.0.6:80", TCPWHY_TIME_WAIT, true),
	};
	struct snapshot snap = {.owners = owners, .owners_n = 6, .taken_ns = 100 * SECOND};
	struct plan plan;

	(void)state;
	owners[0].cookie = 30;
	owners[1].cookie = 10;
	owners[2].cookie = 40;
	owners[3].cookie = 50;
	owners[4].cookie = 60;
	owners[5].cookie = 20;
	owners[0].o.expires_ns = 103 * SECOND;
	owners[1].o.expires_ns = 99 * SECOND;
	owners[5].o.expires_ns = 158 * SECOND;
	assert_int_equal(plan_make(&p, &snap, &heap_memory, &plan), 0);
	assert_int_equal(plan.by_fate[PLAN_DESTROY], 3);
	assert_int_equal(plan.by_fate[PLAN_LIVING], 2);
	assert_int_equal(plan.by_fate[PLAN_ELSEWHERE], 1);
	assert_int_equal(plan.by_fate[PLAN_NAMELESS], 0);
	assert_int_equal(plan.fin_wait2, 1);
	assert_int_equal(plan.longest_ns, 58 * SECOND);
	for (uint64_t c = 0; c <= 70; c += 5)
		assert_int_equal(plan_has(&plan, c), c == 10 || c == 20 || c == 30);
	plan_free(&plan, &heap_memory);
	assert_false(plan_has(&plan, 10));
}

static void test_empty(void **state)
{
	struct plan_place p = place("0.0.0.0:80", false);
	struct snapshot snap = {0};
	struct plan plan;

	(void)state;
	assert_int_equal(plan_make(&p, &snap, &heap_memory, &plan), 0);
	for (int f = 0; f < PLAN_FATES; f++)
		assert_int_equal(plan.by_fate[f], 0);
	assert_false(plan_has(&plan, 0));
	plan_free(&plan, &heap_memory);
}

/* A server bound to a device meets what has none, or the same one. */
static void test_device(void **state)
{
	struct plan_place p = place("0.0.0.0:80", false);
	struct snapshot_owner o = owner("10.0.0.5:80", TCPWHY_TIME_WAIT, true);

	(void)state;
	p.device = 2;
	assert_int_equal(fate_of(&p, &o), PLAN_DESTROY);
	o.o.device = 2;
	assert_int_equal(fate_of(&p, &o), PLAN_DESTROY);
	o.o.device = 3;
	assert_int_equal(fate_of(&p, &o), PLAN_ELSEWHERE);
}

/* Towards a destination the peer decides, whatever bind() would say; and only mini-sockets go. */
static void test_towards(void **state)
{
	static const struct {
		const char *from, *to, *local, *peer;
		bool meets;
	} rows[] = {
		{NULL, "10.0.0.9:80", "10.0.0.5:40000", "10.0.0.9:80", true},
		{NULL, "10.0.0.9:80", "10.0.0.6:40001", "10.0.0.9:80", true},
		{NULL, "10.0.0.9:80", "10.0.0.5:40000", "10.0.0.9:81", false},
		{NULL, "10.0.0.9:80", "10.0.0.5:40000", "10.0.0.8:80", false},
		{NULL, "10.0.0.9:80", "10.0.0.9:80", "10.0.0.5:40000", false},
		{"10.0.0.5:1", "10.0.0.9:80", "10.0.0.5:40000", "10.0.0.9:80", true},
		{"10.0.0.6:1", "10.0.0.9:80", "10.0.0.5:40000", "10.0.0.9:80", false},
		{NULL, "10.0.0.9:80", "[::ffff:10.0.0.5]:40000", "[::ffff:10.0.0.9]:80", true},
		{NULL, "[2001:db8::9]:80", "[2001:db8::5]:40000", "[2001:db8::9]:80", true},
		{NULL, "[2001:db8::9]:80", "[2001:db8::5]:40000", "[2001:db8:1::9]:80", false},
		{"[::]:1", "[2001:db8::9]:80", "[2001:db8::5]:40000", "[2001:db8::9]:80", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct plan_place p = {.outgoing = true};
		struct snapshot_owner o = owner(rows[i].local, TCPWHY_TIME_WAIT, true);
		enum tcpwhy_family family;
		uint16_t port;

		assert_null(endpoint_parse(rows[i].to, &p.peer, &family, &p.peer_port));
		assert_null(endpoint_parse(rows[i].peer, &o.o.peer, &family, &o.o.peer_port));
		if (rows[i].from)
			assert_null(endpoint_parse(rows[i].from, &p.addr, &family, &port));
		if ((fate_of(&p, &o) == PLAN_DESTROY) != rows[i].meets)
			fail_msg("row %zu: %s meets %s", i, rows[i].to, rows[i].peer);
		o.o.state = TCPWHY_ESTABLISHED;
		o.o.timewait = false;
		assert_int_equal(fate_of(&p, &o), rows[i].meets ? PLAN_LIVING : PLAN_ELSEWHERE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overlap),      cmocka_unit_test(test_only_mini_sockets),
		cmocka_unit_test(test_doubt_spares), cmocka_unit_test(test_counts_and_cookies),
		cmocka_unit_test(test_empty),        cmocka_unit_test(test_device),
		cmocka_unit_test(test_towards),
	};

	return unit_run("cure_plan", tests);
}
