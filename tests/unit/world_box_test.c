/* SPDX-License-Identifier: MIT */
#include "world_fixture.h"

/* Two clients inside, a server outside, a box between them: 192.168.0.1 inside, 10.0.0.1 outside.
 */
static int phone[2], server, second, gate, inside[2], outside, listening;

static int setup(void **state)
{
	(void)state;
	world_open("6.18.y", 1);
	phone[0] = machine("phone", NULL, 0);
	phone[1] = machine("tablet", NULL, 0);
	server = machine("server", NULL, 0);
	second = machine("second", NULL, 0);
	gate = box("gate");
	inside[0] = cable(phone[0], "192.168.0.10", gate, "192.168.0.1");
	inside[1] = cable(phone[1], "192.168.0.11", gate, "");
	outside = cable(gate, "10.0.0.1", server, "10.0.0.2");
	cable(gate, "", second, "10.0.0.3");
	begin();
	listening = listener(server, "10.0.0.2", 16);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close();
	return 0;
}

static struct rule snat(void)
{
	return (struct rule){.action = RULE_SNAT,
			     .from = at("192.168.0.0"),
			     .from_len = 120,
			     .to = {at("10.0.0.1")},
			     .n_to = 1};
}

/* 10.0.0.1:8080 is the server, and the second one if it is two. */
static struct rule service(enum rule_action action, uint8_t n)
{
	return (struct rule){.action = action,
			     .at = at("10.0.0.1"),
			     .at_len = 128,
			     .port = PORT,
			     .to = {at("10.0.0.2"), at("10.0.0.3")},
			     .n_to = n};
}

static void a_box_without_rules_forwards(void **state)
{
	(void)state;
	connected(phone[0], "10.0.0.2");
	struct tcpwhy_addr from = seen(accepted(listening)).peer;
	struct tcpwhy_addr expected = at("192.168.0.10");
	assert_true(address_equal(&from, &expected));
	/* and has no TCP of its own */
	assert_int_equal(connect_sock(sock(phone[0]), "192.168.0.1", S), -ECONNREFUSED);
}

static void snat_hides_the_source_and_keeps_a_free_port(void **state)
{
	(void)state;
	struct rule r = snat();
	struct tcpwhy_addr own = at("192.168.0.10"), own2 = at("192.168.0.11"),
			   gate_addr = at("10.0.0.1");
	struct stage_sock k[2];

	rules(gate, &r, 1);
	for (unsigned i = 0; i < 2; i++) {
		int s = sock(phone[i]);
		assert_int_equal(on->bind(st, s, i ? &own2 : &own, 5000), 0);
		assert_int_equal(connect_sock(s, "10.0.0.2", S), 0);
		k[i] = seen(accepted(listening));
		assert_true(address_equal(&k[i].peer, &gate_addr));
	}
	assert_int_equal(k[0].peer_port, 5000);
	assert_int_not_equal(k[1].peer_port, 5000);
	struct session all[4];
	assert_int_equal(on->sessions(st, gate, all, 4, &err), 2);
	assert_true(address_equal(&all[0].client, &own));
	assert_int_equal(all[1].as_client_port, k[1].peer_port);
}

static void dnat_leads_to_the_server_inside(void **state)
{
	(void)state;
	struct rule r = service(RULE_DNAT, 1);

	rules(gate, &r, 1);
	int c = connected(phone[0], "10.0.0.1"), s = accepted(listening);
	struct tcpwhy_addr real = at("192.168.0.10"), shown = at("10.0.0.1");
	struct stage_sock at_server = seen(s), at_client = seen(c);
	assert_true(address_equal(&at_server.peer, &real));
	assert_true(address_equal(&at_client.peer, &shown));
	assert_int_equal(on->send(st, s, 10), 10);
	wait_for(5 * MS);
	assert_int_equal(on->recv(st, c, 100), 10);
}

static void a_balancer_takes_turns_and_keeps_sessions(void **state)
{
	(void)state;
	struct rule r = service(RULE_BALANCE, 2);
	int other = listener(second, "10.0.0.3", 16);

	rules(gate, &r, 1);
	int c = connected(phone[0], "10.0.0.1"), d = connected(phone[0], "10.0.0.1");
	int s = accepted(listening), t = accepted(other);
	on->send(st, c, 10);
	on->send(st, d, 20);
	wait_for(10 * MS);
	assert_int_equal(on->recv(st, s, 100), 10);
	assert_int_equal(on->recv(st, t, 100), 20);
	assert_int_equal(on->accept(st, listening), -EAGAIN);
}

static void an_idle_session_ends_and_data_is_dropped_or_reset(void **state)
{
	(void)state;
	for (unsigned resets = 0; resets < 2; resets++) {
		struct rule r = service(RULE_BALANCE, 1);
		struct session one;
		r.balancer = (struct balancer){.idle_ns = 30 * S, .resets_strays = resets};
		rules(gate, &r, 1);
		int c = connected(phone[0], "10.0.0.1");
		accepted(listening);
		assert_int_equal(on->sessions(st, gate, &one, 1, &err), 1);
		assert_in_range(one.ends_ns - on->now(st), 29 * S, 30 * S);
		wait_for(31 * S);
		assert_int_equal(on->sessions(st, gate, &one, 1, &err), 0);
		assert_int_equal(state_of(c), TCPWHY_ESTABLISHED);
		on->send(st, c, 10);
		wait_for(10 * MS);
		assert_int_equal(on->recv(st, c, 10), resets ? -ECONNRESET : -EAGAIN);
		on->close(st, c);
		wait_for(10 * MS);
	}
}

static void traffic_keeps_a_session(void **state)
{
	(void)state;
	struct rule r = service(RULE_BALANCE, 1);

	r.balancer.idle_ns = 30 * S;
	rules(gate, &r, 1);
	int c = connected(phone[0], "10.0.0.1"), s = accepted(listening);
	for (unsigned i = 0; i < 3; i++) {
		wait_for(20 * S);
		on->send(st, c, 10);
	}
	wait_for(5 * MS);
	assert_int_equal(on->recv(st, s, 100), 30);
}

static void a_session_that_ends_may_reset_both_sides(void **state)
{
	(void)state;
	struct rule r = service(RULE_BALANCE, 1);

	r.balancer = (struct balancer){.idle_ns = 30 * S, .resets_at_end = true};
	rules(gate, &r, 1);
	int c = connected(phone[0], "10.0.0.1"), s = accepted(listening);
	wait_for(31 * S);
	assert_int_equal(on->recv(st, c, 1), -ECONNRESET);
	assert_int_equal(on->recv(st, s, 1), -ECONNRESET);
}

static void both_fins_close_a_session_and_a_syn_opens_it(void **state)
{
	(void)state;
	struct rule r = service(RULE_BALANCE, 1);
	struct tcpwhy_addr own = at("192.168.0.10");
	struct session one;

	r.balancer = (struct balancer){.idle_ns = 3600 * S, .closed_ns = 20 * S};
	rules(gate, &r, 1);
	int c = sock(phone[0]);
	on->bind(st, c, &own, 5000);
	assert_int_equal(connect_sock(c, "10.0.0.1", S), 0);
	int s = accepted(listening);
	on->close(st, s);
	wait_for(10 * MS);
	on->sessions(st, gate, &one, 1, &err);
	assert_int_equal(one.state, SESSION_OPEN);
	on->close(st, c);
	wait_for(10 * MS);
	on->sessions(st, gate, &one, 1, &err);
	assert_int_equal(one.state, SESSION_CLOSING);
	wait_for(2 * S);
	c = sock(phone[0]);
	assert_int_equal(on->bind(st, c, &own, 5000), 0);
	assert_int_equal(connect_sock(c, "10.0.0.1", S), 0); /* over the server's TIME_WAIT */
	on->sessions(st, gate, &one, 1, &err);
	assert_int_equal(one.state, SESSION_OPEN);
}

static void filters_drop_and_reject(void **state)
{
	(void)state;
	struct rule r = {.action = RULE_DROP, .at = at("10.0.0.2"), .at_len = 128, .port = PORT};

	rules(gate, &r, 1);
	assert_int_equal(connect_sock(sock(phone[0]), "10.0.0.2", 2 * S), -ETIMEDOUT);
	r.action = RULE_REJECT_RST;
	rules(gate, &r, 1);
	assert_int_equal(connect_sock(sock(phone[0]), "10.0.0.2", 2 * S), -ECONNREFUSED);
	r.port = PORT + 1;
	rules(gate, &r, 1);
	connected(phone[0], "10.0.0.2");
}

/* It is no segment: no control takes it, and nobody counts it. */
static void a_filter_answers_by_icmp(void **state)
{
	(void)state;
	const struct line_control drop = {.action = LINE_DROP};
	struct rule r = {.action = RULE_REJECT_ICMP, .at = at("10.0.0.2"), .at_len = 128};

	assert_true(on->add_control(st, inside[0], LINE_FROM_1, &drop, &err) >= 0);
	rules(gate, &r, 1);
	assert_int_equal(connect_sock(sock(phone[0]), "10.0.0.2", S), -ECONNREFUSED);
	r.error = SEGMENT_NO_ROUTE;
	rules(gate, &r, 1);
	assert_int_equal(connect_sock(sock(phone[0]), "10.0.0.2", S), -ENETUNREACH);
	assert_int_equal(on->trace_count(st), 2);
}

/* A reject that meets a translated connection answers in the name that the client knows. */
static void a_reject_behind_dnat_wears_the_clients_name(void **state)
{
	(void)state;
	struct rule r[2] = {service(RULE_DNAT, 1),
			    {.action = RULE_REJECT_RST, .at = at("10.0.0.2"), .at_len = 128}};

	rules(gate, r, 2);
	assert_int_equal(connect_sock(sock(phone[0]), "10.0.0.1", S), -ECONNREFUSED);
	assert_int_equal(on->sessions(st, gate, NULL, 0, &err), 0);
	r[1].action = RULE_REJECT_ICMP;
	rules(gate, r, 2);
	assert_int_equal(connect_sock(sock(phone[0]), "10.0.0.1", S), -ECONNREFUSED);
}

/* The firewall of a host: what comes in, and what goes out. */
static void a_host_rejects_what_comes_with_an_exact_reset(void **state)
{
	(void)state;
	int c = connected(phone[0], "10.0.0.2"), s = accepted(listening);
	struct rule r = {.action = RULE_REJECT_RST, .place = RULE_IN, .from_port = PORT};

	rules(phone[0], &r, 1);
	on->send(st, s, 10);
	wait_for(10 * MS);
	assert_int_equal(state_of(c), TCPWHY_ESTABLISHED);
	assert_int_equal(on->recv(st, s, 1), -ECONNRESET);
}

static void a_host_rejects_what_it_sends_to_itself(void **state)
{
	(void)state;
	struct rule r = {.action = RULE_REJECT_RST, .place = RULE_OUT, .port = PORT};

	rules(phone[0], &r, 1);
	assert_int_equal(connect_sock(sock(phone[0]), "10.0.0.2", S), -ECONNREFUSED);
	assert_int_equal(crossings(inside[0], LINE_FROM_0, SEGMENT_SYN), 0);
	rules(phone[0], NULL, 0);
	connected(phone[0], "10.0.0.2");
}

static void a_ghost_by_a_filter_for_syn_acks(void **state)
{
	(void)state;
	struct rule r = {
		.action = RULE_DROP, .place = RULE_IN, .flags_set = SEGMENT_SYN | SEGMENT_ACK};

	rules(phone[0], &r, 1);
	int s = sock(phone[0]);
	assert_int_equal(connect_sock(s, "10.0.0.2", S / 2), -ETIMEDOUT);
	assert_int_equal(seen(listening).syn_queue, 1);
	rules(phone[0], NULL, 0);
	assert_int_equal(connect_sock(s, "10.0.0.2", 2 * S), 0);
}

static void what_the_world_lacks_it_says(void **state)
{
	(void)state;
	struct rule nat = snat();

	assert_int_equal(on->set_rules(st, server, &nat, 1, &err), STAGE_CANNOT);
	assert_int_equal(on->set_rules(st, gate, &nat, 1, &err), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_box_without_rules_forwards),
		TEST(snat_hides_the_source_and_keeps_a_free_port),
		TEST(dnat_leads_to_the_server_inside),
		TEST(a_balancer_takes_turns_and_keeps_sessions),
		TEST(an_idle_session_ends_and_data_is_dropped_or_reset),
		TEST(traffic_keeps_a_session),
		TEST(a_session_that_ends_may_reset_both_sides),
		TEST(both_fins_close_a_session_and_a_syn_opens_it),
		TEST(filters_drop_and_reject),
		TEST(a_filter_answers_by_icmp),
		TEST(a_reject_behind_dnat_wears_the_clients_name),
		TEST(a_host_rejects_what_comes_with_an_exact_reset),
		TEST(a_host_rejects_what_it_sends_to_itself),
		TEST(a_ghost_by_a_filter_for_syn_acks),
		TEST(what_the_world_lacks_it_says),
	};

	return unit_run("world_box", tests);
}
