/* SPDX-License-Identifier: MIT
 *
 * A connect() explained: for each way it is refused the rule, the cures that are proven and those
 * that are not offered, the names of the JSON and the first line of the screen.
 */
#include "unit.h"

#include <errno.h>
#include <jansson.h>

#include "explain/explain.h"
#include "report/report.h"
#include "scene.h"

enum { LOW = 40000, PORTS = 4 };

/* A range of four ports, all of them in use towards 10.0.0.17:80 from 10.0.0.5 in that state. */
static struct scene *full(enum tcpwhy_state state, bool timestamps, uint64_t age_ns)
{
	struct scene *s = scene_new();

	s->snap.sysctls.port_low = LOW;
	s->snap.sysctls.port_high = LOW + PORTS - 1;
	for (uint16_t i = 0; i < PORTS; i++) {
		struct snapshot_owner *o =
			state == TCPWHY_TIME_WAIT
				? scene_mini(s, state, "10.0.0.5", (uint16_t)(LOW + i),
					     60 * SECOND - age_ns - i * SECOND)
				: scene_owner(s, state, "10.0.0.5", (uint16_t)(LOW + i));
		scene_peer(o, "10.0.0.17", 80);
		o->o.connect_bind = TCPWHY_YES;
		o->o.timestamps = timestamps;
	}
	return s;
}

/* connect()'s own buckets, as the kernel keeps them. */
static void own_buckets(struct scene *s)
{
	scene_buckets(s);
	for (size_t i = 0; i < s->snap.buckets_n; i++)
		if (s->owners[i].o.connect_bind == TCPWHY_YES)
			s->buckets[i].fastreuse = s->buckets[i].fastreuseport = -1;
}

static struct explain_connect question(void)
{
	return (struct explain_connect){
		.before = {.bind = {.family = TCPWHY_IPV4,
				    .addr = scene_addr("0.0.0.0"),
				    .uid = 1000,
				    .may_bind_low = TCPWHY_NO}},
		.connect = {.peer = scene_addr("10.0.0.17"),
			    .source = scene_addr("10.0.0.5"),
			    .peer_port = 80,
			    .family = TCPWHY_IPV4},
	};
}

static void ask(struct scene *s, const struct explain_connect *q, struct result *r)
{
	own_buckets(s);
	assert_int_equal(explain_connect(&s->snap, tcpwhy_row_find("6.18.y"), q, &heap_memory, r),
			 0);
	assert_int_equal(r->call, TCPWHY_CALL_CONNECT);
}

static const struct cure *cure_of(const struct result *r, const char *id)
{
	for (size_t i = 0; i < r->cures_n; i++)
		if (!strcmp(r->cures[i].id, id))
			return &r->cures[i];
	return NULL;
}

static bool is_no_help(const struct result *r, const char *what)
{
	for (size_t i = 0; i < r->no_help_n; i++)
		if (!strcmp(r->no_help[i].what, what))
			return true;
	return false;
}

struct expected {
	enum tcpwhy_answer answer;
	int error;
	enum tcpwhy_call at;
	const char *rule;
	const char *cures[6], *without[4], *no_help[4];
};

static void check(const struct result *r, const struct expected *e)
{
	assert_int_equal(r->verdict.answer, e->answer);
	assert_int_equal(r->verdict.error, e->error);
	if (e->answer != TCPWHY_OK)
		assert_int_equal(r->verdict.at, e->at);
	if (e->rule)
		assert_string_equal(r->rule->id, e->rule);
	else
		assert_null(r->rule);
	for (const char *const *id = e->cures; *id; id++) {
		const struct cure *c = cure_of(r, *id);
		if (!c || !c->proven)
			fail_msg("%s: %s", *id, c ? "not proven" : "not offered");
	}
	for (const char *const *id = e->without; *id; id++)
		if (cure_of(r, *id))
			fail_msg("%s is offered", *id);
	for (const char *const *what = e->no_help; *what; what++)
		if (!is_no_help(r, *what))
			fail_msg("%s is not called useless", *what);
}

#define EXHAUSTED                                                                                  \
	TCPWHY_REFUSED, EADDRNOTAVAIL, TCPWHY_CALL_CONNECT, "connect.no-port-for-destination"

static void run(struct scene *s, const struct explain_connect *q, const struct expected *e)
{
	struct result r;

	ask(s, q, &r);
	check(&r, e);
	result_free(&r, &heap_memory);
	free(s);
}

static void test_exhausted(void **state)
{
	const struct explain_connect q = question();
	const uint64_t old = 30 * SECOND, young = SECOND / 2;

	(void)state;
	run(full(TCPWHY_ESTABLISHED, true, 0), &q,
	    &(struct expected){EXHAUSTED,
			       {"widen-range", "more-destinations"},
			       {"wait", "tw-reuse", "keep-alive", "timestamps-on"},
			       {"net.ipv4.tcp_tw_reuse", "SO_REUSEADDR"}});
	run(full(TCPWHY_TIME_WAIT, true, old), &q,
	    &(struct expected){EXHAUSTED,
			       {"wait", "keep-alive", "tw-reuse", "widen-range"},
			       {"timestamps-on", "bind-address-no-port"},
			       {"net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_tw_recycle"}});
	run(full(TCPWHY_TIME_WAIT, false, old), &q,
	    &(struct expected){EXHAUSTED,
			       {"wait", "keep-alive", "timestamps-on"},
			       {"tw-reuse"},
			       {"net.ipv4.tcp_tw_reuse"}});
	struct scene *s = full(TCPWHY_TIME_WAIT, true, old);
	s->snap.sysctls.tw_reuse = 1;
	run(s, &q, &(struct expected){TCPWHY_OK, 0, 0, NULL, {0}, {0}, {0}});
	/* Three are old enough. */
	s = full(TCPWHY_TIME_WAIT, true, young);
	s->snap.sysctls.tw_reuse = 1;
	run(s, &q, &(struct expected){TCPWHY_OK, 0, 0, NULL, {0}, {0}, {0}});
}

/* A cure that acts only after a while says so. */
static void test_reuse_needs_a_second(void **state)
{
	struct scene *s = full(TCPWHY_TIME_WAIT, true, 0);
	const struct explain_connect q = question();
	struct result r;

	(void)state;
	for (unsigned i = 0; i < PORTS; i++)
		s->owners[i].o.expires_ns = s->snap.taken_ns + 60 * SECOND - SECOND / 10;
	ask(s, &q, &r);
	const struct cure *c = cure_of(&r, "tw-reuse");
	assert_non_null(c);
	assert_memory_equal(c->costs, "in 1 s, ", 7);
	assert_int_equal(r.verdict.tw_kept[TCPWHY_TW_LOOPBACK_ONLY], PORTS);
	result_free(&r, &heap_memory);
	s->snap.sysctls.tw_reuse = 1;
	ask(s, &q, &r);
	assert_int_equal(r.verdict.tw_kept[TCPWHY_TW_TOO_YOUNG], PORTS);
	assert_non_null(cure_of(&r, "wait"));
	assert_null(cure_of(&r, "tw-reuse"));
	result_free(&r, &heap_memory);
	free(s);
}

static const char *command_of(struct result *r, const char *id)
{
	const struct cure *c = cure_of(r, id);

	if (!c)
		fail_msg("no cure %s", id);
	return c->command;
}

static void test_commands(void **state)
{
	struct scene *s = full(TCPWHY_TIME_WAIT, true, 30 * SECOND);
	struct explain_connect q = question();
	struct result r;

	(void)state;
	scene_local(s, "10.0.0.6", 128, 2);
	scene_local(s, "10.0.0.7", 128, 2);
	/* A local prefix whose second address is there by itself, too: named once. */
	scene_local(s, "10.0.0.4", 126, 2);
	q.before.netns = "blue";
	ask(s, &q, &r);
	assert_string_equal(command_of(&r, "tw-reuse"),
			    "tcpwhy fix sysctl --netns blue net.ipv4.tcp_tw_reuse=1");
	assert_string_equal(command_of(&r, "destroy-time-wait"),
			    "tcpwhy fix destroy-time-wait --netns blue --to 10.0.0.17:80 "
			    "--from 10.0.0.5");
	assert_memory_equal(cure_of(&r, "destroy-time-wait")->costs, "now: 4 ports; ", 14);
	assert_string_equal(command_of(&r, "widen-range"),
			    "tcpwhy fix sysctl --netns blue "
			    "net.ipv4.ip_local_port_range='40000 65535'");
	assert_string_equal(command_of(&r, "more-sources"),
			    "tcpwhy fix hook --netns blue --cgroup CGROUP "
			    "spread=10.0.0.6,10.0.0.7");
	result_free(&r, &heap_memory);
	/* Who binds an address is passed over by the hook. */
	q.from = FROM_ADDRESS;
	q.before.bind.addr = q.connect.source;
	ask(s, &q, &r);
	assert_string_equal(command_of(&r, "more-sources"), "");
	result_free(&r, &heap_memory);
	free(s);
}

static void test_timestamp_commands(void **state)
{
	struct scene *s = full(TCPWHY_TIME_WAIT, false, 30 * SECOND);
	const struct explain_connect q = question();
	struct result r;

	(void)state;
	/* It is the other side that does not use them. */
	ask(s, &q, &r);
	assert_string_equal(command_of(&r, "timestamps-on"), "");
	result_free(&r, &heap_memory);
	s->snap.sysctls.timestamps = false;
	ask(s, &q, &r);
	assert_string_equal(command_of(&r, "timestamps-on"),
			    "tcpwhy fix sysctl net.ipv4.tcp_timestamps=1 && "
			    "tcpwhy fix sysctl net.ipv4.tcp_tw_reuse=1");
	result_free(&r, &heap_memory);
	s->snap.sysctls.tw_reuse = 1;
	ask(s, &q, &r);
	assert_string_equal(command_of(&r, "timestamps-on"),
			    "tcpwhy fix sysctl net.ipv4.tcp_timestamps=1");
	result_free(&r, &heap_memory);
	free(s);
}

static void test_more_sources(void **state)
{
	struct scene *s = full(TCPWHY_ESTABLISHED, true, 0);
	const struct explain_connect q = question();
	struct result r;

	(void)state;
	/* The other addresses of the scene are loopback, or of the other family. */
	ask(s, &q, &r);
	assert_null(cure_of(&r, "more-sources"));
	result_free(&r, &heap_memory);
	scene_local(s, "10.0.0.6", 128, 2);
	ask(s, &q, &r);
	assert_non_null(strstr(cure_of(&r, "more-sources")->does, "10.0.0.6"));
	assert_memory_equal(cure_of(&r, "more-sources")->costs, "4 ports", 7);
	result_free(&r, &heap_memory);
	/* Who chose their ports is not seen without privilege. */
	for (unsigned i = 0; i < PORTS; i++)
		s->owners[i].o.connect_bind = TCPWHY_UNKNOWN;
	s->snap.buckets_n = 0;
	assert_int_equal(explain_connect(&s->snap, tcpwhy_row_find("6.18.y"), &q, &heap_memory, &r),
			 0);
	assert_memory_equal(cure_of(&r, "more-sources")->costs, "up to 4 ports", 13);
	assert_memory_equal(cure_of(&r, "more-destinations")->costs, "up to 4 ports", 13);
	result_free(&r, &heap_memory);
	free(s);
}

static void test_owned_by_bind(void **state)
{
	struct scene *s = full(TCPWHY_ESTABLISHED, true, 0);
	struct explain_connect q = question();

	(void)state;
	for (unsigned i = 0; i < PORTS; i++)
		s->owners[i].o.connect_bind = TCPWHY_NO;
	q.connect.peer_port = 81;
	run(s, &q,
	    &(struct expected){EXHAUSTED, {"bind-address-no-port"}, {"more-destinations"}, {0}});
	/* A listener needs its port. */
	s = full(TCPWHY_LISTEN, true, 0);
	for (unsigned i = 0; i < PORTS; i++)
		s->owners[i].o.connect_bind = TCPWHY_NO;
	run(s, &q, &(struct expected){EXHAUSTED, {"widen-range"}, {"bind-address-no-port"}, {0}});
}

static void test_reserved(void **state)
{
	struct scene *s = full(TCPWHY_ESTABLISHED, true, 0);
	struct explain_connect q = question();

	(void)state;
	q.connect.peer_port = 81;
	for (unsigned port = LOW; port < LOW + PORTS; port++)
		s->snap.reserved[port / 32] |= 1u << port % 32;
	run(s, &q,
	    &(struct expected){
		    EXHAUSTED, {"unreserve-ports", "widen-range"}, {"more-destinations"}, {0}});
}

static void test_bind_comes_first(void **state)
{
	struct explain_connect q = question();

	(void)state;
	q.connect.peer_port = 81;
	q.before.bind.addr = q.connect.source;
	q.from = FROM_BIND_FIRST;
	run(full(TCPWHY_ESTABLISHED, true, 0), &q,
	    &(struct expected){TCPWHY_REFUSED,
			       EADDRINUSE,
			       TCPWHY_CALL_BIND,
			       "bind.range-exhausted",
			       {"bind-address-no-port"},
			       {"lease-port"},
			       {0}});
	q.from = FROM_ADDRESS;
	run(full(TCPWHY_ESTABLISHED, true, 0), &q,
	    &(struct expected){TCPWHY_OK, 0, 0, NULL, {0}, {0}, {0}});
	q.before.bind.addr = scene_addr("10.0.0.77");
	run(full(TCPWHY_ESTABLISHED, true, 0), &q,
	    &(struct expected){TCPWHY_REFUSED,
			       EADDRNOTAVAIL,
			       TCPWHY_CALL_BIND,
			       "bind.address-not-local",
			       {"other-address"},
			       {0},
			       {0}});
}

/* With ip_autobind_reuse bind(0) shares a port only when it finds none that is free. */
static void test_bind_first_may_share(void **state)
{
	struct explain_connect q = question();
	struct scene *s = full(TCPWHY_ESTABLISHED, true, 0);
	struct result r;

	(void)state;
	q.from = FROM_BIND_FIRST;
	q.before.bind.addr = q.connect.source;
	q.before.bind.reuse = TCPWHY_REUSE_CAN;
	s->snap.sysctls.autobind_reuse = true;
	for (unsigned i = 0; i < PORTS; i++) {
		s->owners[i].o.reuse = TCPWHY_REUSE_CAN;
		s->owners[i].o.connect_bind = TCPWHY_NO;
	}
	scene_buckets(s);
	for (unsigned i = 0; i < PORTS; i++)
		s->buckets[i].fastreuse = 1;
	assert_int_equal(explain_connect(&s->snap, tcpwhy_row_find("6.18.y"), &q, &heap_memory, &r),
			 0);
	assert_int_equal(r.verdict.answer, TCPWHY_DEPENDS);
	assert_int_equal(r.verdict.missing, TCPWHY_MISSING_SHARED);
	assert_null(strstr(r.because, "odd-sized"));
	assert_non_null(strstr(r.because, "share"));
	assert_null(cure_of(&r, "end-owner"));
	result_free(&r, &heap_memory);
	/* Two more ports, free ones. */
	s->snap.sysctls.port_high += 2;
	assert_int_equal(explain_connect(&s->snap, tcpwhy_row_find("6.18.y"), &q, &heap_memory, &r),
			 0);
	assert_int_equal(r.verdict.answer, TCPWHY_OK);
	result_free(&r, &heap_memory);
	free(s);
}

static void test_tuple_taken(void **state)
{
	struct scene *s = full(TCPWHY_TIME_WAIT, false, 0);
	struct explain_connect q = question();

	(void)state;
	q.from = FROM_PORT;
	q.before.bind.addr = q.connect.source;
	q.before.bind.port = q.connect.port = LOW;
	q.before.bind.reuse = TCPWHY_REUSE_CAN;
	s->owners[0].o.reuse = TCPWHY_REUSE_CAN;
	s->owners[0].o.connect_bind = TCPWHY_NO;
	s->snap.sysctls.port_high += 4;
	run(s, &q,
	    &(struct expected){TCPWHY_REFUSED,
			       EADDRNOTAVAIL,
			       TCPWHY_CALL_CONNECT,
			       "connect.tuple-taken",
			       {"wait", "destroy-time-wait", "bind-address-no-port"},
			       {"more-destinations", "keep-alive"},
			       {"SO_REUSEADDR"}});
}

/* What cures the bind() before is proven only if the connect() after it would work, too. */
static void test_bind_cures_are_doubted(void **state)
{
	static const struct {
		uint16_t peer_port;
		int route_error;
		bool proven;
	} table[] = {{80, 0, false}, {81, 0, true}, {81, ENETUNREACH, false}};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct scene *s = full(TCPWHY_ESTABLISHED, false, 0);
		struct explain_connect q = question();
		struct result r;

		q.from = FROM_PORT;
		q.before.bind.addr = q.connect.source;
		q.before.bind.port = q.connect.port = LOW;
		s->owners[0].o.connect_bind = TCPWHY_NO;
		q.connect.peer_port = table[i].peer_port;
		q.route_error = table[i].route_error;
		ask(s, &q, &r);
		assert_int_equal(r.verdict.at, TCPWHY_CALL_BIND);
		assert_non_null(cure_of(&r, "reuseaddr-both"));
		assert_int_equal(cure_of(&r, "reuseaddr-both")->proven, table[i].proven);
		result_free(&r, &heap_memory);
		free(s);
	}
}

static void test_routes(void **state)
{
	static const struct {
		int error;
		const char *peer, *rule;
	} table[] = {
		{ENETUNREACH, "10.9.9.9", "connect.no-route"},
		{ENETUNREACH, "224.0.0.1", "connect.to-many"},
		{ENETUNREACH, "10.0.0.255", "connect.to-many"},
		{EHOSTUNREACH, "10.9.9.9", "connect.unreachable-route"},
		{EACCES, "10.9.9.9", "connect.prohibit-route"},
		{EINVAL, "10.9.9.9", "connect.blackhole-route"},
		{EINVAL, "fe80::1", "connect.link-local-without-device"},
		{EADDRNOTAVAIL, "2001:db8::9", "connect.no-source-address"},
		{EPERM, "10.9.9.9", "connect.route"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct scene *s = scene_new();
		struct explain_connect q = question();
		q.route_error = table[i].error;
		q.connect.peer = scene_addr(table[i].peer);
		scene_local(s, "10.0.0.255", 128, 2);
		s->locals[s->snap.locals_n - 1].kind = TCPWHY_LOCAL_BROADCAST;
		run(s, &q,
		    &(struct expected){TCPWHY_REFUSED,
				       table[i].error,
				       TCPWHY_CALL_CONNECT,
				       table[i].rule,
				       {0},
				       {0},
				       {0}});
	}
}

static void test_loopback_source(void **state)
{
	struct explain_connect q = question();

	(void)state;
	q.route_error = EINVAL;
	q.from = FROM_ADDRESS;
	q.before.bind.addr = scene_addr("127.0.0.1");
	q.connect.peer = scene_addr("10.9.9.9");
	run(scene_new(), &q,
	    &(struct expected){TCPWHY_REFUSED,
			       EINVAL,
			       TCPWHY_CALL_CONNECT,
			       "connect.source-unusable",
			       {0},
			       {0},
			       {0}});
}

static void test_depends(void **state)
{
	struct scene *s = full(TCPWHY_TIME_WAIT, true, 30 * SECOND);
	const struct explain_connect q = question();
	struct result r;

	(void)state;
	s->snap.sysctls.tw_reuse = 1;
	for (unsigned i = 0; i < PORTS; i++)
		s->owners[i].o.timestamps = TCPWHY_UNKNOWN;
	ask(s, &q, &r);
	assert_int_equal(r.verdict.answer, TCPWHY_DEPENDS);
	assert_int_equal(r.verdict.missing, TCPWHY_MISSING_TIMESTAMPS);
	assert_int_equal(r.unknown_n, 1);
	result_free(&r, &heap_memory);
	free(s);
}

/* -------------------------------------------------------------------------------------- reports */

static char *text_of(const struct result *r, bool json)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	if (json)
		assert_true(report_json(r, f));
	else
		report_screen(r, false, f);
	fclose(f);
	return text;
}

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in:\n%s", part, text);
}

static void test_screen(void **state)
{
	struct scene *s = full(TCPWHY_TIME_WAIT, true, 59 * SECOND - SECOND / 2);
	const struct explain_connect q = question();
	struct result r;

	(void)state;
	for (unsigned i = 0; i < PORTS; i++)
		s->owners[i].o.expires_ns = s->snap.taken_ns + SECOND / 2 + i * SECOND;
	ask(s, &q, &r);
	char *text = text_of(&r, false);
	const char *first = "REFUSED   connect(10.0.0.17:80) fails now with EADDRNOTAVAIL; a port";
	assert_memory_equal(text, first, strlen(first));
	has(text, "0.5 s, 4 within 10 s\n");
	has(text, "\nports     from 10.0.0.5  0 free");
	has(text, "4 TIME_WAIT");
	has(text, "reusable is 0 because net.ipv4.tcp_tw_reuse=2 covers loopback only\n");
	has(text, "\nno help   ");
	free(text);
	result_free(&r, &heap_memory);
	free(s);
}

static void test_json(void **state)
{
	static const char *const names[] = {"low",           "high",     "total",
					    "free",          "taken",    "reserved",
					    "owned_by_bind", "reusable", "unknown"};
	struct scene *s = full(TCPWHY_TIME_WAIT, true, 30 * SECOND);
	const struct explain_connect q = question();
	struct result r;

	(void)state;
	ask(s, &q, &r);
	char *text = text_of(&r, true);
	json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	const json_t *ports = json_object_get(j, "ports"), *asked = json_object_get(j, "question");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_true(json_is_integer(json_object_get(ports, names[i])));
	assert_int_equal(json_integer_value(json_object_get(ports, "taken")), PORTS);
	assert_true(json_is_real(json_object_get(ports, "next_free_s")));
	assert_string_equal(json_string_value(json_object_get(asked, "call")), "connect");
	assert_string_equal(json_string_value(json_object_get(asked, "source")), "10.0.0.5");
	assert_true(json_is_null(json_object_get(asked, "from")));
	assert_string_equal(json_string_value(json_object_get(j, "at")), "connect");
	json_decref(j);
	free(text);
	result_free(&r, &heap_memory);
	free(s);
}

static void *short_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	unsigned *allowed = ctx;

	if (new_size && !(*allowed)--) {
		*allowed = 0;
		return NULL;
	}
	return heap_resize(NULL, old, old_size, new_size);
}

/* Either there is no answer, or a complete one that says what it lacks. */
static void test_memory_runs_out(void **state)
{
	struct scene *s = full(TCPWHY_TIME_WAIT, false, 30 * SECOND);
	struct explain_connect q = question();
	int failed = -ENOMEM;

	(void)state;
	own_buckets(s);
	for (unsigned n = 0; n < 400; n++) {
		unsigned allowed = n;
		struct tcpwhy_memory memory = {.resize = short_resize, .ctx = &allowed};
		struct result r;
		failed = explain_connect(&s->snap, tcpwhy_row_find("6.18.y"), &q, &memory, &r);
		assert_true(!failed || failed == -ENOMEM);
		if (!failed)
			result_free(&r, &memory);
	}
	assert_int_equal(failed, 0);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exhausted),
		cmocka_unit_test(test_reuse_needs_a_second),
		cmocka_unit_test(test_more_sources),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_timestamp_commands),
		cmocka_unit_test(test_owned_by_bind),
		cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_bind_comes_first),
		cmocka_unit_test(test_tuple_taken),
		cmocka_unit_test(test_bind_cures_are_doubted),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_loopback_source),
		cmocka_unit_test(test_depends),
		cmocka_unit_test(test_screen),
		cmocka_unit_test(test_bind_first_may_share),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_memory_runs_out),
	};

	return unit_run("connect_explain", tests);
}
