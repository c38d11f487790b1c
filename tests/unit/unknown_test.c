/* SPDX-License-Identifier: MIT
 *
 * What could not be seen is never claimed: neither that it is there nor that it is not.
 */
#include "explain_fixture.h"

#include <errno.h>

/* An option that could not be seen: never claimed, neither present nor absent. */
static void test_unknown_options(void **state)
{
	struct asks asks = {.addr = "0.0.0.0", .port = 8080};
	struct explain_question q = question_of(&asks);
	struct scene *s = scene_new();
	struct result r;

	(void)state;
	time_wait(s);
	s->owners[0].o.reuse = s->owners[1].o.reuse = TCPWHY_REUSE_UNKNOWN;
	s->owners[0].o.reuseport = s->owners[1].o.reuseport = TCPWHY_UNKNOWN;
	ask(s, &q, &r);
	assert_int_equal(r.verdict.answer, TCPWHY_REFUSED);
	assert_null(strstr(r.because, "had not"));
	assert_non_null(strstr(r.because, "cannot be seen"));
	assert_int_equal(r.unknown_n, 1);
	result_free(&r, &heap_memory);

	asks.reuse = true;
	q = question_of(&asks);
	ask(s, &q, &r);
	assert_int_equal(r.verdict.answer, TCPWHY_DEPENDS);
	assert_non_null(strstr(r.because, "whether a holder has SO_REUSEADDR"));
	assert_true(cure_of(&r, "wait")->proven);
	assert_true(cure_of(&r, "destroy-time-wait")->proven);
	done(s, &r);
}

/* Blind for sockets that only bound: an ok depends, and a cure is shown but not called proven. */
static void test_blind(void **state)
{
	struct explain_question q = question_of(&(struct asks){.addr = "0.0.0.0", .port = 8080});
	struct scene *s = scene_new();
	struct result r;

	(void)state;
	s->snap.bound_unseen = true;
	ask(s, &q, &r);
	assert_int_equal(r.verdict.answer, TCPWHY_DEPENDS);
	assert_int_equal(r.cures_n, 0);
	assert_int_equal(r.no_help_n, 0);
	result_free(&r, &heap_memory);
	time_wait(s);
	ask(s, &q, &r);
	assert_int_equal(r.verdict.answer, TCPWHY_REFUSED);
	assert_false(cure_of(&r, "wait")->proven);
	done(s, &r);
}

/* A BPF program that is asked at the bind() of IPv4 sockets: ok becomes depends, refused stays, and
 * a cure that the program has nothing to do with is still offered. */
static void test_programs(void **state)
{
	struct scene *s = scene_new();
	struct explain_question q = question_of(&(struct asks){.addr = "0.0.0.0", .port = 8080});
	struct explain_question q6 = question_of(&(struct asks){.addr = "::", .port = 8081});
	struct result r;

	(void)state;
	s->snap.bind_programs4 = true;
	ask(s, &q, &r);
	assert_int_equal(r.verdict.answer, TCPWHY_DEPENDS);
	assert_int_equal(r.verdict.error, EPERM);
	assert_int_equal(r.verdict.missing, TCPWHY_MISSING_PROGRAM);
	assert_int_equal(r.cures_n, 0);
	result_free(&r, &heap_memory);
	ask(s, &q6, &r);
	assert_int_equal(r.verdict.answer, TCPWHY_OK);
	result_free(&r, &heap_memory);
	time_wait(s);
	ask(s, &q, &r);
	assert_int_equal(r.verdict.answer, TCPWHY_REFUSED);
	assert_false(cure_of(&r, "destroy-time-wait")->proven);
	done(s, &r);
}

static void test_unknown_is_listed(void **state)
{
	struct explain_question q = question_of(&(struct asks){.addr = "0.0.0.0", .port = 8080});
	struct scene *s = scene_new();
	struct result r;

	(void)state;
	strcpy(s->snap.kernel, "5.10.0-28-amd64");
	strcpy(s->snap.missing[0], "the bind hash: not permitted");
	s->snap.missing_n = 1;
	s->snap.sysctls_unknown = SNAPSHOT_S_UNPRIVILEGED;
	ask(s, &q, &r);
	assert_int_equal(r.unknown_n, 3);
	assert_string_equal(r.unknown[0], "the bind hash: not permitted");
	assert_non_null(strstr(r.unknown[1], "ip_unprivileged_port_start"));
	assert_non_null(strstr(r.unknown[2], "5.10.0-28-amd64"));
	done(s, &r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown_options),
		cmocka_unit_test(test_blind),
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_unknown_is_listed),
	};

	return unit_run("unknown", tests);
}
