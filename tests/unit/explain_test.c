/* SPDX-License-Identifier: MIT
 *
 * A table of scenes: what stands on the port, what is asked, and what must be said. Beside each
 * scene in which a rule fires stands one in which it nearly does.
 */
#include "unit.h"

#include <errno.h>

#include "explain/explain.h"
#include "load/load.h"
#include "scene.h"

struct asks {
	const char *addr;
	uint16_t port;
	bool reuse, reuseport, v6only, low_denied;
	uint32_t uid;
};

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

static void empty(struct scene *s)
{
	(void)s;
}

static void time_wait(struct scene *s)
{
	scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", 8080, 58 * SECOND);
	scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", 8080, 41 * SECOND);
}

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

static void fin_wait2(struct scene *s)
{
	scene_mini(s, TCPWHY_FIN_WAIT2, "10.0.0.5", 8080, 30 * SECOND);
}

static void listener(struct scene *s)
{
	scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", 8080);
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

static void connection(struct scene *s)
{
	scene_peer(scene_owner(s, TCPWHY_ESTABLISHED, "10.0.0.5", 8080), "10.0.0.9", 5);
}

static void half_closed(struct scene *s)
{
	scene_peer(scene_owner(s, TCPWHY_CLOSE_WAIT, "10.0.0.5", 8080), "10.0.0.9", 5);
}

static void orphan_closing(struct scene *s)
{
	scene_peer(scene_owner(s, TCPWHY_FIN_WAIT1, "10.0.0.5", 8080), "10.0.0.9", 5)->inode = 0;
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

static void listener_and_time_wait(struct scene *s)
{
	listener(s);
	time_wait(s);
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

static void tiny_range_taken(struct scene *s)
{
	s->snap.sysctls.port_low = 50000;
	s->snap.sysctls.port_high = 50001;
	scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", 50000);
	scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", 50001);
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

static struct explain_question question_of(const struct asks *a)
{
	struct explain_question q = {
		.bind =
			{
				.port = a->port,
				.reuse = a->reuse ? TCPWHY_REUSE_CAN : TCPWHY_REUSE_NO,
				.reuseport = a->reuseport,
				.v6only = a->v6only,
				.uid = a->uid,
				.listen = true,
				.may_bind_low = a->low_denied ? TCPWHY_NO : TCPWHY_YES,
			},
	};
	enum tcpwhy_family family;

	assert_true(address_parse(a->addr, &q.bind.addr, &family));
	q.bind.family = (uint8_t)family;
	return q;
}

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
	assert_int_equal(explain_bind(&s->snap, tcpwhy_row_find("6.18.y"), &q, &scene_memory, &r),
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
	result_free(&r, &scene_memory);
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

/* ----------------------------------------------------------------------------------------- details
 */

static void ask(struct scene *s, const struct explain_question *q, struct result *r)
{
	assert_int_equal(explain_bind(&s->snap, tcpwhy_row_find("6.18.y"), q, &scene_memory, r), 0);
}

static const struct cure *cure_of(const struct result *r, const char *id)
{
	for (size_t i = 0; i < r->cures_n; i++)
		if (!strcmp(r->cures[i].id, id))
			return &r->cures[i];
	fail_msg("no cure %s", id);
	return NULL;
}

static void done(struct scene *s, struct result *r)
{
	result_free(r, &scene_memory);
	free(s);
}

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
	result_free(&r, &scene_memory);
	q.all_holders = true;
	ask(s, &q, &r);
	assert_int_equal(r.holders_n, 251);
	for (size_t i = 1; i < r.holders_n; i++) {
		assert_true(r.holders[i].seen.o.expires_ns <= last);
		last = r.holders[i].seen.o.expires_ns;
	}
	done(s, &r);
}

static void test_commands_can_be_typed(void **state)
{
	static const struct {
		const char *addr, *netns;
		int pid;
		const char *command;
	} cases[] = {
		{"0.0.0.0", NULL, 0, "tcpwhy fix destroy-time-wait 0.0.0.0:8080"},
		{"::", NULL, 0, "tcpwhy fix destroy-time-wait '[::]:8080'"},
		{"::ffff:10.0.0.5", NULL, 12,
		 "tcpwhy fix destroy-time-wait --pid 12 '[::ffff:10.0.0.5]:8080'"},
		{"10.0.0.5", "blue", 0, "tcpwhy fix destroy-time-wait --netns blue 10.0.0.5:8080"},
		{"10.0.0.5", "/run/my ns; it's", 0,
		 "tcpwhy fix destroy-time-wait --netns '/run/my ns; it'\\''s' 10.0.0.5:8080"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct scene *s = scene_new();
		struct explain_question q =
			question_of(&(struct asks){.addr = cases[i].addr, .port = 8080});
		struct result r;
		q.netns = cases[i].netns;
		q.pid = cases[i].pid;
		time_wait(s);
		ask(s, &q, &r);
		assert_string_equal(cure_of(&r, "destroy-time-wait")->command, cases[i].command);
		assert_string_equal(cure_of(&r, "wait")->does, "wait 58 s");
		assert_string_equal(cure_of(&r, "wait")->command, "");
		assert_string_equal(cure_of(&r, "reuseaddr-both")->command,
				    "tcpwhy run --reuseaddr -- CMD");
		assert_string_equal(cure_of(&r, "reuseport-both")->command,
				    "tcpwhy run --reuseport -- CMD");
		done(s, &r);
	}
}

static void connection_reserved(struct scene *s)
{
	struct snapshot_owner *o = scene_owner(s, TCPWHY_ESTABLISHED, "10.0.0.5", 40000);

	scene_peer(o, "10.0.0.17", 80);
	o->o.connect_bind = TCPWHY_YES;
	for (unsigned port = 8000; port <= 8009; port++)
		s->snap.reserved[port / 32] |= 1u << port % 32;
	s->snap.reserved[0] |= 1u << 7;
}

static void connection_reserved_unseen(struct scene *s)
{
	connection_reserved(s);
	s->snap.sysctls_unknown |= SNAPSHOT_S_RESERVED;
}

/* Every second port: a list that no command has room for. */
static void connection_reserved_many(struct scene *s)
{
	connection_reserved(s);
	for (unsigned port = 1; port < 2000; port += 2)
		s->snap.reserved[port / 32] |= 1u << port % 32;
}

static void tiny_range_sharable(struct scene *s)
{
	s->snap.sysctls.port_low = 50000;
	s->snap.sysctls.port_high = 50001;
	for (uint16_t port = 50000; port <= 50001; port++) {
		struct snapshot_owner *o = scene_owner(s, TCPWHY_ESTABLISHED, "10.0.0.5", port);
		scene_peer(o, "10.0.0.17", 80);
		o->o.reuse = TCPWHY_REUSE_CAN;
	}
}

static void tiny_range_on_top(struct scene *s)
{
	tiny_range_taken(s);
	for (size_t i = 0; i < 2; i++)
		s->owners[i].o.port = (uint16_t)(65534 + i);
	s->snap.sysctls.port_low = 65534;
	s->snap.sysctls.port_high = 65535;
}

/* Below the range there is no room for a pool. */
static void tiny_range_low(struct scene *s)
{
	tiny_range_taken(s);
	for (size_t i = 0; i < 2; i++)
		s->owners[i].o.port = (uint16_t)(10000 + i);
	s->snap.sysctls.port_low = 10000;
	s->snap.sysctls.port_high = 10001;
}

#define SYSCTL "tcpwhy fix sysctl "

static void test_cure_commands(void **state)
{
	static const struct {
		void (*scene)(struct scene *s);
		struct asks asks;
		const char *netns, *cure, *command;
	} cases[] = {
		{fin_wait2,
		 {.addr = "0.0.0.0", .port = 8080},
		 "blue",
		 "fin-timeout",
		 SYSCTL "--netns blue net.ipv4.tcp_fin_timeout=1"},
		{connection_reserved,
		 {.addr = "0.0.0.0", .port = 40000},
		 NULL,
		 "reserve-port",
		 SYSCTL "net.ipv4.ip_local_reserved_ports=7,8000-8009,40000"},
		{connection_reserved_unseen,
		 {.addr = "0.0.0.0", .port = 40000},
		 NULL,
		 "reserve-port",
		 ""},
		{connection_reserved_many,
		 {.addr = "0.0.0.0", .port = 40000},
		 NULL,
		 "reserve-port",
		 ""},
		{empty,
		 {.addr = "0.0.0.0", .port = 80, .low_denied = true},
		 NULL,
		 "unprivileged-port-start",
		 SYSCTL "net.ipv4.ip_unprivileged_port_start=80"},
		{empty,
		 {.addr = "10.0.0.99", .port = 8080},
		 NULL,
		 "nonlocal-bind",
		 SYSCTL "net.ipv4.ip_nonlocal_bind=1"},
		{empty,
		 {.addr = "2001:db8::99", .port = 8080},
		 NULL,
		 "nonlocal-bind",
		 SYSCTL "net.ipv6.ip_nonlocal_bind=1"},
		{tiny_range_sharable,
		 {.addr = "10.0.0.5", .reuse = true},
		 NULL,
		 "autobind-reuse",
		 SYSCTL "net.ipv4.ip_autobind_reuse=1"},
		{tiny_range_sharable,
		 {.addr = "10.0.0.5"},
		 NULL,
		 "autobind-reuse",
		 SYSCTL "net.ipv4.ip_autobind_reuse=1 && tcpwhy run --reuseaddr --prepared -- CMD"},
		/* Sockets that are prepared are of the namespace in which they are. */
		{tiny_range_sharable, {.addr = "10.0.0.5"}, "blue", "autobind-reuse", ""},
		{tiny_range_sharable,
		 {.addr = "10.0.0.5", .reuse = true},
		 "blue",
		 "autobind-reuse",
		 "tcpwhy fix sysctl --netns blue net.ipv4.ip_autobind_reuse=1"},
		{tiny_range_taken,
		 {.addr = "0.0.0.0"},
		 NULL,
		 "widen-range",
		 SYSCTL "net.ipv4.ip_local_port_range='50000 65535'"},
		{tiny_range_on_top,
		 {.addr = "0.0.0.0"},
		 NULL,
		 "widen-range",
		 SYSCTL "net.ipv4.ip_local_port_range='10000 65535'"},
		{tiny_range_taken,
		 {.addr = "0.0.0.0"},
		 NULL,
		 "lease-port",
		 "tcpwhy port init 49000-49999 && tcpwhy run --lease -- CMD"},
		{tiny_range_low,
		 {.addr = "0.0.0.0"},
		 NULL,
		 "lease-port",
		 "tcpwhy port init 10002-11001 && tcpwhy run --lease -- CMD"},
		{tiny_range_taken, {.addr = "0.0.0.0"}, "blue", "lease-port", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct scene *s = scene_new();
		struct explain_question q = question_of(&cases[i].asks);
		struct result r;

		q.netns = cases[i].netns;
		cases[i].scene(s);
		ask(s, &q, &r);
		const struct cure *c = cure_of(&r, cases[i].cure);
		assert_string_equal(c->command, cases[i].command);
		assert_true(c->proven);
		done(s, &r);
	}
}

static void give_owner(struct result *r, size_t holder, int pid)
{
	r->holders[holder].owners[0] = (struct result_owner){.pid = pid, .comm = "server"};
	r->holders[holder].owners_n = 1;
}

static void two_connections(struct scene *s)
{
	for (uint16_t i = 0; i < 2; i++)
		scene_peer(scene_owner(s, TCPWHY_ESTABLISHED, "10.0.0.5", 8080), "10.0.0.17",
			   (uint16_t)(5000 + i));
}

static void connections_and_time_wait(struct scene *s)
{
	two_connections(s);
	scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", 8080, 58 * SECOND);
}

static void server(struct scene *s)
{
	listener(s);
	two_connections(s);
}

#define LIVING "tcpwhy fix reuseaddr --pid 7 --port 8080"
#define RUN    "tcpwhy run --reuseaddr -- CMD"

/* The option is set on the sockets of whoever lives: if that is enough, and it is one server. */
static void test_living_server(void **state)
{
	static const struct {
		void (*scene)(struct scene *s);
		bool reuse;
		int pids[3];
		const char *command;
	} cases[] = {
		{two_connections, true, {7, 7}, LIVING},
		{two_connections, false, {7, 7}, LIVING " && " RUN},
		{two_connections, true, {7, 8}, RUN},
		{two_connections, true, {7, 0}, RUN},
		{connections_and_time_wait, true, {7, 7, 0}, RUN},
		{time_wait, true, {0, 0}, RUN},
		{server, true, {7, 7, 7}, LIVING},
		{server, false, {7, 8, 9}, LIVING},
		{server, false, {0, 7, 7}, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct scene *s = scene_new();
		struct explain_question q = question_of(
			&(struct asks){.addr = "0.0.0.0", .port = 8080, .reuse = cases[i].reuse});
		struct result r;

		cases[i].scene(s);
		ask(s, &q, &r);
		for (size_t k = 0; k < r.holders_n; k++)
			if (cases[i].pids[k])
				give_owner(&r, k, cases[i].pids[k]);
		explain_name_owners(&r);
		const struct cure *c = cure_of(&r, "reuseaddr-both");
		assert_string_equal(c->command, cases[i].command);
		assert_true(c->proven);
		done(s, &r);
	}
}

/* A restart that TIME_WAIT would not hinder needs no option; one that it hinders already gets none.
 */
static void test_no_need_of_a_living_server(void **state)
{
	static void (*const scenes[])(struct scene * s) = {listener, listener_and_time_wait};

	(void)state;
	for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		struct scene *s = scene_new();
		struct explain_question q =
			question_of(&(struct asks){.addr = "0.0.0.0", .port = 8080, .reuse = true});
		struct result r;

		scenes[i](s);
		ask(s, &q, &r);
		for (size_t k = 0; k < r.cures_n; k++)
			assert_string_not_equal(r.cures[k].id, "reuseaddr-both");
		done(s, &r);
	}
}

/* What the processes leave behind is part of the cure. */
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

static void test_ending_leaves_time_wait(void **state)
{
	struct explain_question q = question_of(&(struct asks){.addr = "0.0.0.0", .port = 8080});
	struct scene *s = scene_new();
	struct result r;

	(void)state;
	connection(s);
	ask(s, &q, &r);
	assert_non_null(strstr(cure_of(&r, "end-owner")->costs, "TIME_WAIT"));
	result_free(&r, &scene_memory);
	s->owners[0].o.state = TCPWHY_CLOSE_WAIT;
	ask(s, &q, &r);
	assert_null(strstr(cure_of(&r, "end-owner")->costs, "TIME_WAIT"));
	done(s, &r);
}

static void test_owners_are_named_once(void **state)
{
	struct explain_question q = question_of(&(struct asks){.addr = "0.0.0.0", .port = 8080});
	struct scene *s = scene_new();
	struct result r;

	(void)state;
	listener(s);
	connection(s);
	ask(s, &q, &r);
	explain_name_owners(&r);
	assert_string_equal(cure_of(&r, "end-owner")->does,
			    "stop the processes that have these sockets open");
	for (size_t i = 0; i < r.holders_n; i++) {
		r.holders[i].owners[0] = (struct result_owner){4711, "java", "web.service"};
		r.holders[i].owners_n = 1;
	}
	explain_name_owners(&r);
	assert_string_equal(cure_of(&r, "end-owner")->does, "stop java[4711] of web.service");
	done(s, &r);
}

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
	result_free(&r, &scene_memory);

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
	result_free(&r, &scene_memory);
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
	result_free(&r, &scene_memory);
	ask(s, &q6, &r);
	assert_int_equal(r.verdict.answer, TCPWHY_OK);
	result_free(&r, &scene_memory);
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
	return scene_resize(NULL, old, old_size, new_size);
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
	return scene_resize(NULL, old, old_size, new_size);
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
		assert_int_equal(load_engine(&s->snap, row, NULL, &scene_memory, &e), 0);
		tcpwhy_would_bind(e, &q.bind, &v);
		tcpwhy_engine_free(e);
		assert_int_equal(explain_bind(&s->snap, row, &q, &scene_memory, &r), 0);
		assert_int_equal(r.verdict.holders, v.holders);
		assert_memory_equal(r.verdict.by_class, v.by_class, sizeof(v.by_class));
		assert_int_equal(r.holders_n, v.holders);
		result_free(&r, &scene_memory);
		free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plays),
		cmocka_unit_test(test_holders_are_ranked),
		cmocka_unit_test(test_alike_holders_are_all_counted),
		cmocka_unit_test(test_commands_can_be_typed),
		cmocka_unit_test(test_cure_commands),
		cmocka_unit_test(test_living_server),
		cmocka_unit_test(test_no_need_of_a_living_server),
		cmocka_unit_test(test_ending_leaves_time_wait),
		cmocka_unit_test(test_connections_by_stage),
		cmocka_unit_test(test_mixed_stages),
		cmocka_unit_test(test_owners_are_named_once),
		cmocka_unit_test(test_unknown_options),
		cmocka_unit_test(test_blind),
		cmocka_unit_test(test_unknown_is_listed),
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_memory_comes_back),
		cmocka_unit_test(test_memory_runs_out),
	};

	return unit_run("explain", tests);
}
