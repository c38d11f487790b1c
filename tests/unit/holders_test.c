/* SPDX-License-Identifier: MIT
 *
 * Who holds the port: in which order, all of them, and by what name.
 */
#include "explain_fixture.h"

#include "load/load.h"

static void test_holders_are_ranked(void **state)
{
	struct scene *s = scene_new();
	struct explain_question q = question_of(&(struct asks){.addr = "0.0.0.0", .port = 8080});
	uint64_t seed = unit_seed(), last = UINT64_MAX;
	struct result r;

	(void)state;
	for (unsigned i = 0; i < 250; i++)
		scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", 8080,
			   (1 + unit_random(&seed) % 6000) * SECOND / 100);
	listener(s);
	ask(s, &q, &r);
	assert_int_equal(r.verdict.holders, 251);
	assert_int_equal(r.holders_n, EXPLAIN_HOLDERS);
	assert_int_equal(r.holders[0].seen.o.state, TCPWHY_LISTEN);
	assert_int_equal(r.holders[0].seen.inode, s->owners[250].inode);
	result_free(&r, &heap_memory);
	q.all_holders = true;
	ask(s, &q, &r);
	assert_int_equal(r.holders_n, 251);
	for (size_t i = 1; i < r.holders_n; i++) {
		assert_true(r.holders[i].seen.o.expires_ns <= last);
		last = r.holders[i].seen.o.expires_ns;
	}
	done(s, &r);
}

/* What the words call a connection, by its state and whether a process has it. */
static void test_connections_by_stage(void **state)
{
	static const struct {
		enum tcpwhy_state state;
		bool has_process;
		const char *words;
	} rows[] = {
		{TCPWHY_ESTABLISHED, true, "A living connection (10.0.0.5:8080) holds"},
		{TCPWHY_ESTABLISHED, false, "A living connection (10.0.0.5:8080) holds"},
		{TCPWHY_FIN_WAIT2, true, "A living connection (10.0.0.5:8080) holds"},
		{TCPWHY_SYN_SENT, true, "An outgoing connection that is still being opened ("},
		{TCPWHY_FIN_WAIT1, false, "A connection that its process has closed ("},
		{TCPWHY_CLOSING, false, "A connection that its process has closed ("},
		{TCPWHY_LAST_ACK, false, "A connection that its process has closed ("},
		{TCPWHY_FIN_WAIT2, false, "An orphaned connection in FIN_WAIT2 ("},
	};
	struct explain_question q = question_of(&(struct asks){.addr = "0.0.0.0", .port = 8080});

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct scene *s = scene_new();
		struct snapshot_owner *o = scene_owner(s, rows[i].state, "10.0.0.5", 8080);
		struct result r;

		scene_peer(o, "10.0.0.9", 5);
		if (!rows[i].has_process)
			o->inode = 0;
		ask(s, &q, &r);
		if (strncmp(r.because, rows[i].words, strlen(rows[i].words)) != 0)
			fail_msg("row %zu: %s", i, r.because);
		done(s, &r);
	}
}

/* Two of them in different stages are only connections. */
static void test_mixed_stages(void **state)
{
	struct scene *s = scene_new();
	struct explain_question q = question_of(&(struct asks){.addr = "0.0.0.0", .port = 8080});
	struct result r;

	(void)state;
	orphan_closing(s);
	connection(s);
	ask(s, &q, &r);
	assert_non_null(strstr(r.because, "2 connections hold port"));
	done(s, &r);
}

/* The engine is given one owner of each kind; what is said counts them all. */
static void test_alike_holders_are_all_counted(void **state)
{
	static const enum tcpwhy_state states[] = {TCPWHY_TIME_WAIT, TCPWHY_ESTABLISHED,
						   TCPWHY_BOUND, TCPWHY_LISTEN};
	const struct tcpwhy_row *row = tcpwhy_row_find("6.18.y");
	uint64_t seed = unit_seed();

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct scene *s = scene_new();
		struct explain_question q = {.bind = {.addr = scene_addr("10.0.0.5"),
						      .port = 80,
						      .family = TCPWHY_IPV4,
						      .reuse = round & 1,
						      .listen = round & 2,
						      .uid = 1000,
						      .may_bind_low = TCPWHY_YES}};
		struct tcpwhy_engine *e;
		struct tcpwhy_verdict v;
		struct result r;

		for (unsigned i = 0; i < 1 + round % 50; i++) {
			enum tcpwhy_state st = states[unit_random(&seed) % (1 + round % 4)];
			struct snapshot_owner *o =
				st == TCPWHY_TIME_WAIT
					? scene_mini(s, st, "10.0.0.5", 80, SECOND * (1 + i))
					: scene_owner(s, st, "0.0.0.0", 80);
			o->o.reuse =
				unit_random(&seed) % 3 ? TCPWHY_REUSE_CAN : TCPWHY_REUSE_UNKNOWN;
		}
		assert_int_equal(load_engine(&s->snap, row, NULL, &heap_memory, &e), 0);
		tcpwhy_would_bind(e, &q.bind, &v);
		tcpwhy_engine_free(e);
		assert_int_equal(explain_bind(&s->snap, row, &q, &heap_memory, &r), 0);
		assert_int_equal(r.verdict.holders, v.holders);
		assert_memory_equal(r.verdict.by_class, v.by_class, sizeof(v.by_class));
		assert_int_equal(r.holders_n, v.holders);
		result_free(&r, &heap_memory);
		free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holders_are_ranked),
		cmocka_unit_test(test_connections_by_stage),
		cmocka_unit_test(test_mixed_stages),
		cmocka_unit_test(test_alike_holders_are_all_counted),
	};

	return unit_run("holders", tests);
}
