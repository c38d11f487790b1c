/* SPDX-License-Identifier: MIT
 *
 * A table of scenes: what stands on the port, what is asked, and what must be said. Beside each
 * scene in which a rule fires stands one in which it nearly does.
 */
#include "explain_fixture.h"

#include <errno.h>

struct want {
	const char *rule;    /* NULL: ok */
	const char *cures;   /* identifiers in their order */
	const char *no_help; /* in their order; what, to the first space or all of an option */
};

struct play {
	const char *name;
	void (*scene)(struct scene *s);
	struct asks asks;
	struct want want;
};

/* ----------------------------------------------------------------------------------------- scenes
 */

static void time_wait_reuse(struct scene *s)
{
	time_wait(s);
	for (size_t i = 0; i < s->snap.owners_n; i++)
		s->owners[i].o.reuse = TCPWHY_REUSE_CAN;
}

static void time_wait_reuseport(struct scene *s)
{
	time_wait(s);
	for (size_t i = 0; i < s->snap.owners_n; i++)
		s->owners[i].o.reuseport = TCPWHY_YES;
}

static void time_wait_without_timer(struct scene *s)
{
	time_wait(s);
	s->owners[1].o.expires_ns = 0;
}

static void time_wait_other_port(struct scene *s)
{
	scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", 8081, 58 * SECOND);
}

static void listener_reuseport(struct scene *s)
{
	scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", 8080)->o.reuseport = TCPWHY_YES;
}

static void listener_elsewhere(struct scene *s)
{
	scene_owner(s, TCPWHY_LISTEN, "127.0.0.1", 8080);
}

static void bound(struct scene *s)
{
	scene_owner(s, TCPWHY_BOUND, "10.0.0.5", 8080);
}

static void bound_reuse(struct scene *s)
{
	scene_owner(s, TCPWHY_BOUND, "10.0.0.5", 8080)->o.reuse = TCPWHY_REUSE_CAN;
}

static void bound_reuseport(struct scene *s)
{
	scene_owner(s, TCPWHY_BOUND, "10.0.0.5", 8080)->o.reuseport = TCPWHY_YES;
}

static void half_closed(struct scene *s)
{
	scene_peer(scene_owner(s, TCPWHY_CLOSE_WAIT, "10.0.0.5", 8080), "10.0.0.9", 5);
}

/* tcp_fin_timeout is above 60 s: not a mini-socket yet. */
static void orphan_waiting(struct scene *s)
{
	scene_peer(scene_owner(s, TCPWHY_FIN_WAIT2, "10.0.0.5", 8080), "10.0.0.9", 5)->inode = 0;
}

static void outgoing(struct scene *s)
{
	scene_peer(scene_owner(s, TCPWHY_ESTABLISHED, "10.0.0.5", 40000), "10.0.0.9", 5)
		->o.connect_bind = TCPWHY_YES;
}

static void outgoing_reserved(struct scene *s)
{
	outgoing(s);
	s->snap.reserved[40000 / 32] |= 1u << 40000 % 32;
}

static void nonlocal(struct scene *s)
{
	s->snap.sysctls.nonlocal_bind = true;
}

static void listener_low(struct scene *s)
{
	scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", 80);
}

static void low_ports_free(struct scene *s)
{
	s->snap.sysctls.unprivileged_port_start = 80;
}

static void tiny_range(struct scene *s)
{
	tiny_range_taken(s);
	s->snap.owners_n = 1;
}

#define TW_NO_HELP "net.ipv4.tcp_tw_reuse net.ipv4.tcp_fin_timeout"
#define ADDR_ALONE "SO_REUSEADDR on the new socket alone"
#define PORT_ALONE "SO_REUSEPORT on the new socket alone"

static const struct play plays[] = {
	{"nothing there", empty, {.addr = "0.0.0.0", .port = 8080}, {NULL, "", ""}},
	{"TIME_WAIT without the option",
	 time_wait,
	 {.addr = "0.0.0.0", .port = 8080},
	 {"bind.time-wait-without-reuseaddr",
	  "wait destroy-time-wait reuseaddr-both reuseport-both other-address",
	  TW_NO_HELP " " ADDR_ALONE " " PORT_ALONE}},
	{"the same, asked with the option",
	 time_wait,
	 {.addr = "10.0.0.5", .port = 8080, .reuse = true},
	 {"bind.time-wait-without-reuseaddr",
	  "wait destroy-time-wait reuseaddr-both reuseport-both other-address",
	  TW_NO_HELP " " PORT_ALONE}},
	{"TIME_WAIT that had it: the new socket alone is enough",
	 time_wait_reuse,
	 {.addr = "0.0.0.0", .port = 8080},
	 {"bind.time-wait-needs-reuseaddr",
	  "wait destroy-time-wait reuseaddr-both reuseport-both other-address",
	  TW_NO_HELP " " PORT_ALONE}},
	{"both have it",
	 time_wait_reuse,
	 {.addr = "0.0.0.0", .port = 8080, .reuse = true},
	 {NULL, "", ""}},
	{"reuseport on both, another uid: TIME_WAIT has none",
	 time_wait_reuseport,
	 {.addr = "0.0.0.0", .port = 8080, .reuseport = true, .uid = 7},
	 {NULL, "", ""}},
	{"a timer that cannot be seen: no promise to wait",
	 time_wait_without_timer,
	 {.addr = "0.0.0.0", .port = 8080},
	 {"bind.time-wait-without-reuseaddr",
	  "destroy-time-wait reuseaddr-both reuseport-both other-address",
	  TW_NO_HELP " " ADDR_ALONE " " PORT_ALONE}},
	{"TIME_WAIT of another port",
	 time_wait_other_port,
	 {.addr = "0.0.0.0", .port = 8080},
	 {NULL, "", ""}},
	{"TIME_WAIT of another address",
	 time_wait,
	 {.addr = "127.0.0.1", .port = 8080},
	 {NULL, "", ""}},
	{"TIME_WAIT of IPv4 and a v6only socket",
	 time_wait,
	 {.addr = "::", .port = 8080, .v6only = true},
	 {NULL, "", ""}},
	{"TIME_WAIT of IPv4 and a dual-stack socket",
	 time_wait,
	 {.addr = "::", .port = 8080},
	 {"bind.time-wait-without-reuseaddr",
	  "wait destroy-time-wait v6only-on other-address reuseaddr-both reuseport-both",
	  TW_NO_HELP " " ADDR_ALONE " " PORT_ALONE}},
	{"an orphan in FIN_WAIT2: there tcp_fin_timeout does help",
	 fin_wait2,
	 {.addr = "0.0.0.0", .port = 8080},
	 {"bind.fin-wait2-without-reuseaddr",
	  "wait destroy-time-wait reuseaddr-both reuseport-both other-address fin-timeout",
	  ADDR_ALONE " " PORT_ALONE}},
	{"a listener",
	 listener,
	 {.addr = "10.0.0.5", .port = 8080, .uid = 1000},
	 {"bind.listener", "end-owner reuseport-both", ADDR_ALONE " " PORT_ALONE}},
	{"a listener and SO_REUSEADDR",
	 listener,
	 {.addr = "0.0.0.0", .port = 8080, .reuse = true, .uid = 1000},
	 {"bind.listener", "end-owner reuseport-both", PORT_ALONE}},
	{"a listener with SO_REUSEPORT: the new socket alone is enough",
	 listener_reuseport,
	 {.addr = "0.0.0.0", .port = 8080, .uid = 1000},
	 {"bind.listener", "end-owner reuseport-both", ADDR_ALONE}},
	{"the same of another uid",
	 listener_reuseport,
	 {.addr = "0.0.0.0", .port = 8080, .reuseport = true, .uid = 7},
	 {"bind.listener-reuseport-other-uid", "end-owner", ADDR_ALONE}},
	{"the same of the same uid",
	 listener_reuseport,
	 {.addr = "0.0.0.0", .port = 8080, .reuseport = true, .uid = 1000},
	 {NULL, "", ""}},
	{"a listener on another address",
	 listener_elsewhere,
	 {.addr = "10.0.0.5", .port = 8080},
	 {NULL, "", ""}},
	{"a socket that only bound",
	 bound,
	 {.addr = "0.0.0.0", .port = 8080, .uid = 7},
	 {"bind.bound-without-reuseaddr", "end-owner reuseaddr-both other-address",
	  ADDR_ALONE " " PORT_ALONE}},
	{"a socket that only bound, with the option",
	 bound_reuse,
	 {.addr = "0.0.0.0", .port = 8080, .uid = 7},
	 {"bind.bound-needs-reuseaddr", "reuseaddr-both end-owner other-address", PORT_ALONE}},
	{"both bound with the option",
	 bound_reuse,
	 {.addr = "0.0.0.0", .port = 8080, .reuse = true},
	 {NULL, "", ""}},
	{"only bound, SO_REUSEPORT, another uid",
	 bound_reuseport,
	 {.addr = "0.0.0.0", .port = 8080, .reuseport = true, .uid = 7},
	 {"bind.reuseport-other-uid", "end-owner reuseaddr-both other-address", ADDR_ALONE}},
	{"a connection: whoever closes it first leaves TIME_WAIT",
	 connection,
	 {.addr = "0.0.0.0", .port = 8080, .uid = 7},
	 {"bind.connection-without-reuseaddr", "end-owner reuseaddr-both other-address",
	  ADDR_ALONE " " PORT_ALONE}},
	{"a connection that the peer has closed",
	 half_closed,
	 {.addr = "0.0.0.0", .port = 8080, .uid = 7},
	 {"bind.connection-without-reuseaddr", "end-owner reuseaddr-both other-address",
	  ADDR_ALONE " " PORT_ALONE}},
	{"a connection that its process has closed: no process can end it",
	 orphan_closing,
	 {.addr = "0.0.0.0", .port = 8080, .uid = 7},
	 {"bind.connection-without-reuseaddr", "reuseaddr-both other-address",
	  ADDR_ALONE " " PORT_ALONE}},
	{"an orphan in FIN_WAIT2 that is no mini-socket yet",
	 orphan_waiting,
	 {.addr = "0.0.0.0", .port = 8080, .uid = 7},
	 {"bind.connection-without-reuseaddr", "reuseaddr-both other-address fin-timeout",
	  ADDR_ALONE " " PORT_ALONE}},
	{"connect() took the port",
	 outgoing,
	 {.addr = "0.0.0.0", .port = 40000, .uid = 7},
	 {"bind.outgoing-without-reuseaddr", "end-owner reuseaddr-both other-address reserve-port",
	  ADDR_ALONE " " PORT_ALONE}},
	{"it is reserved by now",
	 outgoing_reserved,
	 {.addr = "0.0.0.0", .port = 40000, .uid = 7},
	 {"bind.outgoing-without-reuseaddr", "end-owner reuseaddr-both other-address",
	  ADDR_ALONE " " PORT_ALONE}},
	{"a listener and its TIME_WAIT: the listener weighs more, destroying is not enough",
	 listener_and_time_wait,
	 {.addr = "0.0.0.0", .port = 8080, .uid = 7},
	 {"bind.listener", "end-owner", TW_NO_HELP " " ADDR_ALONE " " PORT_ALONE}},
	{"an address of somebody else",
	 empty,
	 {.addr = "10.0.0.6", .port = 8080},
	 {"bind.address-not-local", "other-address freebind nonlocal-bind", ""}},
	{"with ip_nonlocal_bind", nonlocal, {.addr = "10.0.0.6", .port = 8080}, {NULL, "", ""}},
	{"an address of somebody else, and a listener behind that refusal",
	 listener,
	 {.addr = "10.0.0.6", .port = 8080},
	 {"bind.address-not-local", "", "IP_FREEBIND alone"}},
	{"a low port",
	 empty,
	 {.addr = "0.0.0.0", .port = 80, .low_denied = true},
	 {"bind.privileged-port", "net-bind-service unprivileged-port-start", ""}},
	{"a low port, and a listener behind that refusal",
	 listener_low,
	 {.addr = "0.0.0.0", .port = 80, .low_denied = true},
	 {"bind.privileged-port", "", "CAP_NET_BIND_SERVICE alone"}},
	{"a low port that everybody may bind",
	 low_ports_free,
	 {.addr = "0.0.0.0", .port = 80, .low_denied = true},
	 {NULL, "", ""}},
	{"one port more",
	 low_ports_free,
	 {.addr = "0.0.0.0", .port = 79, .low_denied = true},
	 {"bind.privileged-port", "net-bind-service unprivileged-port-start", ""}},
	{"a v4-mapped address on a v6only socket",
	 empty,
	 {.addr = "::ffff:127.0.0.1", .port = 8080, .v6only = true},
	 {"bind.mapped-on-v6only", "v6only-off", ""}},
	{"a link-local address without its device",
	 empty,
	 {.addr = "fe80::1", .port = 8080},
	 {"bind.link-local-needs-device", "", ""}},
	{"bind(0) with nothing left",
	 tiny_range_taken,
	 {.addr = "0.0.0.0", .port = 0},
	 {"bind.range-exhausted", "lease-port widen-range", ""}},
	{"bind(0) with one left", tiny_range, {.addr = "0.0.0.0", .port = 0}, {NULL, "", ""}},
};

/* ------------------------------------------------------------------------------------------ player
 */

static void join(char *out, size_t size, const char *word)
{
	size_t n = strlen(out);

	snprintf(out + n, size - n, "%s%s", n ? " " : "", word);
}

static bool plays_well(const struct play *p)
{
	struct scene *s = scene_new();
	struct explain_question q = question_of(&p->asks);
	char cures[512] = "", no_help[512] = "";
	struct result r;

	p->scene(s);
	scene_buckets(s);
	assert_int_equal(explain_bind(&s->snap, tcpwhy_row_find("6.18.y"), &q, &heap_memory, &r),
			 0);
	for (size_t i = 0; i < r.cures_n; i++) {
		join(cures, sizeof(cures), r.cures[i].id);
		assert_true(r.cures[i].proven);
		assert_true(r.cures[i].does[0] && r.cures[i].costs[0]);
	}
	for (size_t i = 0; i < r.no_help_n; i++)
		join(no_help, sizeof(no_help), r.no_help[i].what);
	const char *rule = r.rule ? r.rule->id : "ok", *want = p->want.rule ? p->want.rule : "ok";
	bool good = !strcmp(rule, want) && !strcmp(cures, p->want.cures) &&
		    !strcmp(no_help, p->want.no_help) && r.because[0] && !r.unknown_n;
	if (!good)
		print_error("%s:\n  rule    %s\n  wanted  %s\n  cures   %s\n  wanted  %s\n"
			    "  no help %s\n  wanted  %s\n  because %s\n  unknown %s\n",
			    p->name, rule, want, cures, p->want.cures, no_help, p->want.no_help,
			    r.because, r.unknown_n ? r.unknown[0] : "-");
	result_free(&r, &heap_memory);
	free(s);
	return good;
}

static void test_plays(void **state)
{
	unsigned bad = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(plays) / sizeof(plays[0]); i++)
		bad += !plays_well(&plays[i]);
	assert_int_equal(bad, 0);
}

/* ----------------------------------------------------------------------------------------- memory
 */

/* A crowd costs proofs no more than one: the time is not measured, the bytes are. */
struct counted {
	size_t now, most;
};

static void *counted_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	struct counted *c = ctx;

	c->now += new_size - old_size;
	if (c->now > c->most)
		c->most = c->now;
	return heap_resize(NULL, old, old_size, new_size);
}

static void test_memory_comes_back(void **state)
{
	struct explain_question q = question_of(&(struct asks){.addr = "0.0.0.0", .port = 8080});
	struct counted count = {0};
	struct tcpwhy_memory memory = {.resize = counted_resize, .ctx = &count};
	struct scene *s = scene_new();
	struct result r;

	(void)state;
	for (unsigned i = 0; i < 400; i++)
		scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", 8080, (1 + i) * SECOND / 10);
	assert_int_equal(explain_bind(&s->snap, tcpwhy_row_find("6.18.y"), &q, &memory, &r), 0);
	assert_int_equal(r.verdict.holders, 400);
	result_free(&r, &memory);
	assert_int_equal(count.now, 0);
	free(s);
}

struct short_memory {
	unsigned left;
};

static void *short_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	struct short_memory *m = ctx;

	if (new_size && !m->left)
		return NULL;
	m->left -= new_size != 0;
	return heap_resize(NULL, old, old_size, new_size);
}

/* Memory runs out after any number of allocations: no answer, or one that says what it could not
 * try. */
static void test_memory_runs_out(void **state)
{
	struct explain_question q = question_of(&(struct asks){.addr = "0.0.0.0", .port = 8080});
	struct scene *s = scene_new();
	bool complete = false, failed = false, partial = false;

	(void)state;
	time_wait(s);
	for (unsigned allowed = 0; allowed < 2000 && !complete; allowed++) {
		struct short_memory m = {allowed};
		struct tcpwhy_memory memory = {.resize = short_resize, .ctx = &m};
		struct result r;
		int e = explain_bind(&s->snap, tcpwhy_row_find("6.18.y"), &q, &memory, &r);
		if (e) {
			assert_int_equal(e, -ENOMEM);
			failed = true;
			continue;
		}
		assert_int_equal(r.verdict.answer, TCPWHY_REFUSED);
		complete = r.unknown_n == 0;
		partial |= !complete;
		result_free(&r, &memory);
	}
	assert_true(complete && failed && partial);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plays),
		cmocka_unit_test(test_memory_comes_back),
		cmocka_unit_test(test_memory_runs_out),
	};

	return unit_run("explain", tests);
}
