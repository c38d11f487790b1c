/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>

#include "load/load.h"
#include "scene.h"

static const struct tcpwhy_row *row(void)
{
	return tcpwhy_row_find("6.18.y");
}

static struct tcpwhy_engine *loaded(const struct snapshot *snap, const struct load_change *change)
{
	struct tcpwhy_engine *e = NULL;

	assert_int_equal(load_engine(snap, row(), change, &heap_memory, &e), 0);
	return e;
}

static size_t owners_in(struct tcpwhy_engine *e)
{
	struct tcpwhy_cursor c = {0};
	struct tcpwhy_owner o;
	tcpwhy_sock s;
	size_t n = 0;

	while (tcpwhy_next_owner(e, &c, &s, &o))
		n++;
	return n;
}

/* Owners left after a change; the engine is freed. */
static size_t left_by(const struct snapshot *snap, const struct load_change *change)
{
	struct tcpwhy_engine *e = loaded(snap, change);
	size_t n = owners_in(e);

	tcpwhy_engine_free(e);
	return n;
}

static void test_row_for(void **state)
{
	(void)state;
	assert_ptr_equal(load_row_for("6.18.44-generic"), row());
	static const struct {
		const char *kernel, *row;
		bool own;
	} table[] = {
		{"2.6.32-754.el6", "3.10", false},
		{"3.10.0-1160.el7.x86_64", "3.10", true},
		{"4.4.302", "3.10", false},
		{"4.9.0", "4.9.0", true},
		{"4.9.0-19-amd64", "4.9.y", true},
		{"4.9.1", "4.9.y", true},
		{"4.10.17", "4.9.y", false},
		{"4.18.0-553.el8", "4.11", false},
		{"4.19.325", "4.19.y", true},
		{"5.10.0-28-amd64", "5.10.y", true},
		{"5.15.0-105-generic", "5.10.y", false},
		{"6.1.1", "6.1.4", true},
		{"6.1.4", "6.1.4", true},
		{"6.1.5", "6.1.y", true},
		{"6.1.0-18-amd64", "6.1.y", true},
		{"6.1.128+rpt-rpi-v8", "6.1.y", true},
		{"6.6.87-microsoft", "6.1.y", false},
		{"6.12.9+bpo-amd64", "6.12.y", true},
		{"6.17.3", "6.12.y", false},
		{"6.18.0-rc1", "6.18.y", true},
		{"6.19.1", "6.18.y", false},
		{"7.0.12", "6.18.y", false},
		{"7.2.13+deb14-cloud-amd64", "7.2.y", true},
		{"7.3.1", "7.2.y", false},
		{"99.1", "7.2.y", false},
		{"", "7.2.y", false},
		{"not a release", "7.2.y", false},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct tcpwhy_row *found = load_row_for(table[i].kernel);
		assert_string_equal(found->name, table[i].row);
		assert_int_equal(load_row_is_of(found, table[i].kernel), table[i].own);
	}
	assert_false(load_row_is_of(tcpwhy_row_find("6.1.4"), "6.1.90"));
	assert_true(load_row_is_of(row(), "6.18.0-rc1"));
	assert_false(load_row_is_of(row(), "6.1.18"));
	assert_false(load_row_is_of(row(), "6.180.1"));
}

static void test_row_is_exact(void **state)
{
	static const struct {
		const char *kernel;
		bool exact;
	} table[] = {
		{"6.18.44", true},          {"6.18.44-generic", true}, {"6.18.43", false},
		{"6.19.44", false},         {"6.12.117", true},        {"6.12.116", false},
		{"6.1.192", true},          {"6.1.191", false},        {"5.10.262", true},
		{"5.10.261", false},        {"6.1.4", true},           {"6.1.3", false},
		{"6.1.0-18-amd64", false},  {"5.10.200", false},       {"4.9.0", true},
		{"3.10.0-1160.el7", false}, {"6.18", false},           {"not a release", false},
		{"7.2.13", true},           {"7.2.12", false},         {"7.3.20", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (load_row_is_exact(table[i].kernel) != table[i].exact)
			fail_msg("%s", table[i].kernel);
}

/* Probes that agree change nothing but what is doubtful. */
static void test_settle_agreeing(void **state)
{
	const struct tcpwhy_row *nearest = tcpwhy_row_find("6.1.y");
	struct probe p = {.asked = TCPWHY_F_SOCK_RANGE_WHOLE | TCPWHY_F_SOCK_PORT_RANGE,
			  .found = TCPWHY_F_SOCK_PORT_RANGE};
	struct load_settled s;

	(void)state;
	load_settle("6.1.50", &p, &s);
	assert_string_equal(s.row.name, "6.1.y");
	assert_int_equal(s.row.features, nearest->features);
	assert_int_equal(s.row.packets, nearest->packets);
	assert_int_equal(s.asked, 2);
	assert_int_equal(s.otherwise, 0);
	/* Of the next row and not asked; of the one before and not asked; asked. */
	assert_true(s.row.unverified & TCPWHY_F_FASTREUSE_DEAD);
	assert_true(s.row.unverified & TCPWHY_F_TW_REUSE_NO_FW2);
	assert_false(s.row.unverified & (TCPWHY_F_SOCK_RANGE_WHOLE | TCPWHY_F_SOCK_PORT_RANGE));
	assert_true(load_row_is_of(&s.row, "6.1.50"));
	assert_false(load_row_is_of(&s.row, "6.6.1"));
}

/* A 6.6 that has got something of 6.12 and lacks something of 6.1.y. */
static void test_settle_otherwise(void **state)
{
	const struct tcpwhy_row *nearest = tcpwhy_row_find("6.1.y");
	struct probe p = {.asked = TCPWHY_F_SOCK_RANGE_WHOLE | TCPWHY_F_SOCK_PORT_RANGE |
				   TCPWHY_F_TW_HIDDEN,
			  .found = TCPWHY_F_SOCK_RANGE_WHOLE,
			  .packets_asked = TCPWHY_P_SYN_LINEAR,
			  .packets_found = TCPWHY_P_SYN_LINEAR};
	struct load_settled s;

	(void)state;
	load_settle("6.6.87", &p, &s);
	assert_string_equal(s.row.name, "6.1.y+3");
	assert_int_equal(s.row.features, (nearest->features | TCPWHY_F_SOCK_RANGE_WHOLE) &
						 ~(uint32_t)TCPWHY_F_SOCK_PORT_RANGE);
	assert_int_equal(s.row.packets, nearest->packets | TCPWHY_P_SYN_LINEAR);
	assert_int_equal(s.asked, 4);
	assert_int_equal(s.otherwise, 3);
	assert_int_equal(s.row.defaults.port_high, nearest->defaults.port_high);
	assert_false(load_row_is_of(&s.row, "6.6.87"));
}

/* Nothing could be tried: the row as it is, and all that may be otherwise is doubtful. Of an exact
 * kernel only what its row says to be. */
static void test_settle_without_probes(void **state)
{
	struct probe none = {.unseen = "not allowed"};
	struct load_settled s;

	(void)state;
	load_settle("6.17.1", &none, &s);
	assert_string_equal(s.row.name, "6.12.y");
	assert_int_equal(s.row.features, tcpwhy_row_find("6.12.y")->features);
	assert_true(s.row.unverified & TCPWHY_F_BUCKET_RELAXES);
	assert_true(s.row.packets_unverified & TCPWHY_P_SYN_LINEAR);
	load_settle("6.18.44", &none, &s);
	assert_int_equal(s.row.unverified, 0);
	load_settle("4.9.0", &none, &s);
	assert_int_equal(s.row.unverified, tcpwhy_row_find("4.9.0")->unverified);
}

static void test_everything_arrives(void **state)
{
	struct scene *s = scene_new();
	struct tcpwhy_cursor c = {0};
	struct tcpwhy_owner o;
	tcpwhy_sock sock;

	(void)state;
	scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", 80);
	scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", 80, 41 * SECOND)->o.tag = 77;
	s->snap.sysctls.port_low = 1234;
	struct tcpwhy_engine *e = loaded(&s->snap, NULL);
	assert_int_equal(tcpwhy_now(e), s->snap.taken_ns);
	assert_int_equal(tcpwhy_sysctls(e)->port_low, 1234);
	for (size_t i = 0; i < 2; i++) {
		assert_true(tcpwhy_next_owner(e, &c, &sock, &o));
		assert_memory_equal(&o.local, &s->owners[o.tag].o.local, sizeof(o.local));
		assert_int_equal(o.expires_ns, s->owners[o.tag].o.expires_ns);
		assert_int_equal(o.state, s->owners[o.tag].o.state);
	}
	assert_false(tcpwhy_next_owner(e, &c, &sock, &o));
	tcpwhy_engine_free(e);
	free(s);
}

static void test_bucket_arrives_unless_its_owners_left(void **state)
{
	struct scene *s = scene_new();
	struct tcpwhy_bucket seen[] = {
		{.port = 80, .known = true, .fastreuse = 1, .fast_family = TCPWHY_IPV4},
	};
	const struct load_change destroy = {.destroy_time_wait = true};
	struct tcpwhy_bucket b;

	(void)state;
	scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", 80, SECOND);
	s->snap.buckets = seen;
	s->snap.buckets_n = 1;
	struct tcpwhy_engine *e = loaded(&s->snap, NULL);
	assert_true(tcpwhy_get_bucket(e, 80, 0, &b));
	assert_true(b.known);
	assert_int_equal(b.fastreuse, 1);
	tcpwhy_engine_free(e);
	e = loaded(&s->snap, &destroy);
	assert_false(tcpwhy_get_bucket(e, 80, 0, &b));
	tcpwhy_engine_free(e);
	free(s);
}

static void test_unknown_sysctls_are_the_rows(void **state)
{
	struct scene *s = scene_new();

	(void)state;
	s->snap.sysctls.unprivileged_port_start = 7;
	s->snap.sysctls.port_low = 50000;
	s->snap.sysctls.port_high = 40000; /* a torn read: no range */
	struct tcpwhy_sysctls got = load_sysctls(&s->snap, row());
	assert_int_equal(got.unprivileged_port_start, 7);
	assert_int_equal(got.port_low, row()->defaults.port_low);
	s->snap.sysctls_unknown = SNAPSHOT_S_UNPRIVILEGED;
	got = load_sysctls(&s->snap, row());
	assert_int_equal(got.unprivileged_port_start, row()->defaults.unprivileged_port_start);
	free(s);
}

static void test_changes(void **state)
{
	struct scene *s = scene_new();
	const uint64_t now = s->snap.taken_ns;

	(void)state;
	scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", 80, 10 * SECOND);
	scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", 80, 20 * SECOND);
	scene_mini(s, TCPWHY_FIN_WAIT2, "10.0.0.5", 80, 30 * SECOND);
	scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", 80, 0)->o.expires_ns = 0;
	scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", 80);
	scene_owner(s, TCPWHY_BOUND, "0.0.0.0", 80);
	scene_peer(scene_owner(s, TCPWHY_ESTABLISHED, "10.0.0.5", 80), "10.0.0.9", 1);
	scene_peer(scene_owner(s, TCPWHY_CLOSE_WAIT, "10.0.0.5", 80), "10.0.0.9", 2);
	scene_peer(scene_owner(s, TCPWHY_ESTABLISHED, "10.0.0.5", 80), "10.0.0.9", 3)
		->o.connect_bind = TCPWHY_YES;
	assert_int_equal(left_by(&s->snap, NULL), 9);
	assert_int_equal(left_by(&s->snap, &(struct load_change){.destroy_time_wait = true}), 6);
	assert_int_equal(left_by(&s->snap, &(struct load_change){.destroy_fin_wait2 = true}), 8);
	assert_int_equal(
		left_by(&s->snap, &(struct load_change){.wait_until_ns = now + 20 * SECOND}), 7);
	assert_int_equal(
		left_by(&s->snap, &(struct load_change){.wait_until_ns = now + 20 * SECOND - 1}),
		8);
	/* Listener, bound socket and the half-closed connection go; two connections leave
	 * TIME_WAIT. */
	assert_int_equal(left_by(&s->snap, &(struct load_change){.end_living = true}), 6);
	assert_int_equal(left_by(&s->snap, &(struct load_change){.reserve = 80}), 8);
	assert_int_equal(left_by(&s->snap, &(struct load_change){.reserve = 81}), 9);
	free(s);
}

static void test_options_from_the_start(void **state)
{
	struct scene *s = scene_new();
	const struct load_change change = {.reuse = true, .reuseport = true};
	struct tcpwhy_cursor c = {0};
	struct tcpwhy_owner o;
	tcpwhy_sock sock;

	(void)state;
	scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", 80, 10 * SECOND);
	struct tcpwhy_engine *e = loaded(&s->snap, &change);
	assert_true(tcpwhy_next_owner(e, &c, &sock, &o));
	assert_int_equal(o.reuse, TCPWHY_REUSE_CAN);
	assert_int_equal(o.reuseport, TCPWHY_YES);
	tcpwhy_engine_free(e);
	free(s);
}

static enum tcpwhy_answer would(struct scene *s, const char *addr, uint16_t port)
{
	struct tcpwhy_bind_request q = {
		.addr = scene_addr(addr),
		.port = port,
		.family = TCPWHY_IPV4,
		.listen = true,
		.may_bind_low = TCPWHY_YES,
	};
	struct tcpwhy_engine *e = loaded(&s->snap, NULL);
	struct tcpwhy_verdict v;

	tcpwhy_would_bind(e, &q, &v);
	tcpwhy_engine_free(e);
	return v.answer;
}

static void test_no_address_at_all_is_known(void **state)
{
	struct scene *s = scene_new();

	(void)state;
	s->snap.locals_n = 0;
	assert_int_equal(would(s, "127.0.0.1", 80), TCPWHY_REFUSED);
	assert_int_equal(would(s, "0.0.0.0", 80), TCPWHY_OK);
	s->snap.locals_known = false;
	assert_int_equal(would(s, "127.0.0.1", 80), TCPWHY_DEPENDS);
	free(s);
}

static void test_what_is_strange_makes_blind(void **state)
{
	struct scene *s = scene_new();

	(void)state;
	assert_int_equal(would(s, "0.0.0.0", 80), TCPWHY_OK);
	scene_owner(s, (enum tcpwhy_state)12, "0.0.0.0", 80);
	assert_int_equal(would(s, "0.0.0.0", 80), TCPWHY_DEPENDS);
	s->snap.owners_n = 0;
	s->snap.truncated = true;
	assert_int_equal(would(s, "0.0.0.0", 80), TCPWHY_DEPENDS);
	free(s);
}

/* The same answer from one of each kind as from all: random crowds, random requests. */
static void test_distinct_answers_alike(void **state)
{
	static const enum tcpwhy_state states[] = {TCPWHY_TIME_WAIT, TCPWHY_ESTABLISHED,
						   TCPWHY_LISTEN, TCPWHY_BOUND, TCPWHY_FIN_WAIT2};
	static const char *const locals[] = {"0.0.0.0", "10.0.0.5", "127.0.0.1"};
	uint64_t seed = unit_seed();

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct scene *s = scene_new();
		struct load_distinct few;
		for (unsigned i = 0; i < 60; i++) {
			enum tcpwhy_state st = states[unit_random(&seed) % (1 + round % 5)];
			const char *local = locals[unit_random(&seed) % 3];
			bool mini = st == TCPWHY_TIME_WAIT || st == TCPWHY_FIN_WAIT2;
			struct snapshot_owner *o =
				mini ? scene_mini(s, st, local, 80, SECOND * (1 + i))
				     : scene_owner(s, st, local, 80);
			o->o.reuse = unit_random(&seed) % 3 ? TCPWHY_REUSE_CAN : TCPWHY_REUSE_NO;
			o->o.reuseport = unit_random(&seed) % 4 == 0;
		}
		assert_int_equal(load_distinct(&s->snap, &heap_memory, &few), 0);
		assert_true(few.snap.owners_n <= 60);
		struct tcpwhy_engine *all = loaded(&s->snap, NULL), *some = loaded(&few.snap, NULL);
		for (unsigned bits = 0; bits < 8; bits++) {
			struct tcpwhy_bind_request q = {
				.addr = scene_addr(locals[bits % 3]),
				.port = 80,
				.family = TCPWHY_IPV4,
				.reuse = bits & 1,
				.reuseport = bits & 2,
				.listen = bits & 4,
				.uid = 1000,
				.may_bind_low = TCPWHY_YES,
			};
			struct tcpwhy_verdict a, b;
			tcpwhy_would_bind(all, &q, &a);
			tcpwhy_would_bind(some, &q, &b);
			assert_int_equal(a.answer, b.answer);
			assert_int_equal(a.rule, b.rule);
			assert_int_equal(a.last_expiry_ns, b.last_expiry_ns);
		}
		tcpwhy_engine_free(all);
		tcpwhy_engine_free(some);
		load_distinct_free(&few, &heap_memory);
		free(s);
	}
}

/* Every allocation fails once: an error or a full engine, never half of one. */
struct short_memory {
	unsigned left;
};

static void *short_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	struct short_memory *m = ctx;

	if (new_size && m->left-- == 0) {
		m->left = 0;
		return NULL;
	}
	return heap_resize(NULL, old, old_size, new_size);
}

static void test_no_memory(void **state)
{
	struct scene *s = scene_new();

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", (uint16_t)(80 + i), SECOND);
	for (unsigned allowed = 0; allowed < 400; allowed++) {
		struct short_memory m = {allowed};
		struct tcpwhy_memory memory = {.resize = short_resize, .ctx = &m};
		struct tcpwhy_engine *e = NULL;
		struct load_distinct few;
		int r = load_engine(&s->snap, row(), NULL, &memory, &e);
		assert_int_equal(r, e ? 0 : -ENOMEM);
		if (e) {
			assert_int_equal(owners_in(e), 100);
			tcpwhy_engine_free(e);
		}
		m.left = allowed;
		r = load_distinct(&s->snap, &memory, &few);
		if (!r)
			load_distinct_free(&few, &memory);
		else
			assert_int_equal(r, -ENOMEM);
	}
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_row_for),
		cmocka_unit_test(test_row_is_exact),
		cmocka_unit_test(test_settle_agreeing),
		cmocka_unit_test(test_settle_otherwise),
		cmocka_unit_test(test_settle_without_probes),
		cmocka_unit_test(test_everything_arrives),
		cmocka_unit_test(test_bucket_arrives_unless_its_owners_left),
		cmocka_unit_test(test_unknown_sysctls_are_the_rows),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_options_from_the_start),
		cmocka_unit_test(test_no_address_at_all_is_known),
		cmocka_unit_test(test_what_is_strange_makes_blind),
		cmocka_unit_test(test_distinct_answers_alike),
		cmocka_unit_test(test_no_memory),
	};

	return unit_run("load", tests);
}
