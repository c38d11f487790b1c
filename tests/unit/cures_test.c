/* SPDX-License-Identifier: MIT
 *
 * The commands of cures, and the processes that they name.
 */
#include "explain_fixture.h"

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

static const struct {
	void (*scene)(struct scene *s);
	struct asks asks;
	const char *netns, *cure, *command;
} commands[] = {
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
	{connection_reserved_unseen, {.addr = "0.0.0.0", .port = 40000}, NULL, "reserve-port", ""},
	{connection_reserved_many, {.addr = "0.0.0.0", .port = 40000}, NULL, "reserve-port", ""},
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

static void test_cure_commands(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct scene *s = scene_new();
		struct explain_question q = question_of(&commands[i].asks);
		struct result r;

		q.netns = commands[i].netns;
		commands[i].scene(s);
		ask(s, &q, &r);
		const struct cure *c = cure_of(&r, commands[i].cure);
		assert_string_equal(c->command, commands[i].command);
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
static void test_ending_leaves_time_wait(void **state)
{
	struct explain_question q = question_of(&(struct asks){.addr = "0.0.0.0", .port = 8080});
	struct scene *s = scene_new();
	struct result r;

	(void)state;
	connection(s);
	ask(s, &q, &r);
	assert_non_null(strstr(cure_of(&r, "end-owner")->costs, "TIME_WAIT"));
	result_free(&r, &heap_memory);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands_can_be_typed),
		cmocka_unit_test(test_cure_commands),
		cmocka_unit_test(test_living_server),
		cmocka_unit_test(test_no_need_of_a_living_server),
		cmocka_unit_test(test_ending_leaves_time_wait),
		cmocka_unit_test(test_owners_are_named_once),
	};

	return unit_run("cures", tests);
}
