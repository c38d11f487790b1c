/* SPDX-License-Identifier: MIT
 *
 * nat: a middle box between two clients and a server, or two servers
 */
#include "stage.h"

#include "case/frame.h"

/* Clients c1 and c2, the box, servers s1 and s2; each on a wire of its own to the box, the clients'
 * relayed. Everybody's way to everybody is through the box. */
struct town {
	struct stage_kernel *s;
	int c[2], box, sv[2];
	int c_wire[2];
	struct tcpwhy_addr c_addr[2], s_addr[2], outside; /* outside: the box's, towards servers */
};

static int add_house(struct town *t, const char *name, const struct tcpwhy_addr *a,
		     const struct tcpwhy_addr *box_addr, bool relayed, int *wire, struct err *err)
{
	const struct tcpwhy_addr any =
		address_is_v4(a) ? address_v4_number(0) : (struct tcpwhy_addr){0};
	const int host = stage_kernel_add_host(t->s, name, err);

	if (host < 0)
		return host;
	const struct stage_wire w = {.ends = {{host, a, 1}, {t->box, box_addr, 1}},
				     .relayed = relayed,
				     .quickack = true};
	const int made = stage_kernel_add_wire(t->s, &w, err);
	if (wire)
		*wire = made;
	const int rc =
		made < 0 ? made : stage_kernel_add_route(t->s, host, &any, 0, box_addr, true, err);
	return rc < 0 ? rc : host;
}

static int build(struct town *t, bool v6, struct err *err)
{
	static const char *const names[] = {"c1", "c2", "s1", "s2"};
	int rc = stage_kernel_new(&t->s, err);

	if (rc)
		return rc;
	t->box = stage_kernel_add_host(t->s, "box", err);
	rc = t->box < 0 ? t->box : stage_kernel_forward(t->s, t->box, err);
	for (unsigned i = 0; !rc && i < 4; i++) {
		const unsigned which = i % 2;
		struct tcpwhy_addr a = stage_addr(v6 ? "fd00::1" : "10.0.0.1");
		struct tcpwhy_addr gateway = stage_addr(v6 ? "fd00::fe" : "10.0.0.254");
		const unsigned net = v6 ? 7 : 14;

		a.b[net] = gateway.b[net] = (uint8_t)(i + 1);
		(i < 2 ? t->c_addr : t->s_addr)[which] = a;
		if (i == 2)
			t->outside = gateway;
		const int host = add_house(t, names[i], &a, &gateway, i < 2,
					   i < 2 ? &t->c_wire[which] : NULL, err);
		(i < 2 ? t->c : t->sv)[which] = host;
		rc = host < 0 ? host : 0;
	}
	if (rc)
		stage_kernel_free(t->s);
	return rc;
}

static struct town open_town(bool v6)
{
	struct town t = {0};
	struct err err;

	STAGE_DO(build(&t, v6, &err));
	return t;
}

static void set_rules(struct town *t, const struct nat_rule *rules, size_t n)
{
	struct err err;

	if (nat_set(stage_kernel_netns(t->s, t->box), rules, n, &err))
		fail_msg("%s", err.text);
}

static void two_clients_are_one_address(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct town t = open_town(v6);
		const struct nat_rule snat = {.action = NAT_SOURCE,
					      .family = v6 ? TCPWHY_IPV6 : TCPWHY_IPV4,
					      .at = &t.s_addr[0],
					      .to = {t.outside},
					      .n_to = 1};
		int fds[5];

		set_rules(&t, &snat, 1);
		fds[0] = stage_listen(t.s, t.sv[0], &t.s_addr[0], 80);
		for (int i = 0; i < 2; i++) {
			fds[1 + i] = stage_connect(t.s, t.c[i], &t.s_addr[0], 80);
			assert_int_equal(stage_outcome(fds[1 + i]), 0);
			fds[3 + i] = stage_accept(fds[0]);
			const struct endpoint seen = stage_peer(fds[3 + i]);
			assert_true(address_equal(&seen.addr, &t.outside));
			const struct endpoint own = stage_local(fds[1 + i]);
			assert_true(address_equal(&own.addr, &t.c_addr[i]));
			stage_say(fds[3 + i], "hello");
			stage_hear(fds[1 + i], "hello");
		}
		for (int i = 0; i < 5; i++)
			close(fds[i]);
		stage_kernel_free(t.s);
	}
}

/* Without rules the server sees who it really is: the box only forwards. */
static void without_rules_nothing_is_translated(void **state)
{
	(void)state;
	struct town t = open_town(false);
	const struct nat_rule snat = {
		.action = NAT_SOURCE, .family = TCPWHY_IPV4, .to = {t.outside}, .n_to = 1};

	set_rules(&t, &snat, 1);
	set_rules(&t, NULL, 0);
	const int listener = stage_listen(t.s, t.sv[0], &t.s_addr[0], 80);
	const int client = stage_connect(t.s, t.c[0], &t.s_addr[0], 80);
	assert_int_equal(stage_outcome(client), 0);
	const int server = stage_accept(listener);
	const struct endpoint seen = stage_peer(server);
	assert_true(address_equal(&seen.addr, &t.c_addr[0]));
	close(server);
	close(client);
	close(listener);
	stage_kernel_free(t.s);
}

/* A load balancer: the clients know one address, the servers answer in turn. */
static void connections_go_to_servers_in_turn(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct town t = open_town(v6);
		const struct tcpwhy_addr service = stage_addr(v6 ? "fd00:9::1" : "192.0.2.80");
		const struct nat_rule lb = {.action = NAT_DESTINATION,
					    .family = v6 ? TCPWHY_IPV6 : TCPWHY_IPV4,
					    .at = &service,
					    .port = 80,
					    .to = {t.s_addr[0], t.s_addr[1]},
					    .n_to = 2};
		int listeners[2], clients[4];

		set_rules(&t, &lb, 1);
		for (int i = 0; i < 2; i++)
			listeners[i] = stage_listen(t.s, t.sv[i], &t.s_addr[i], 80);
		for (int i = 0; i < 4; i++) {
			clients[i] = stage_connect(t.s, t.c[i % 2], &service, 80);
			assert_int_equal(stage_outcome(clients[i]), 0);
			close(stage_accept(listeners[i % 2]));
		}
		for (int i = 0; i < 4; i++)
			close(clients[i]);
		for (int i = 0; i < 2; i++)
			close(listeners[i]);
		stage_kernel_free(t.s);
	}
}

static void one_target_may_have_another_port(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct town t = open_town(v6);
		const struct nat_rule dnat = {.action = NAT_DESTINATION,
					      .family = v6 ? TCPWHY_IPV6 : TCPWHY_IPV4,
					      .port = 80,
					      .to = {t.s_addr[1]},
					      .n_to = 1,
					      .to_port = 8080};

		set_rules(&t, &dnat, 1);
		const int listener = stage_listen(t.s, t.sv[1], &t.s_addr[1], 8080);
		const int client = stage_connect(t.s, t.c[0], &t.s_addr[0], 80);
		assert_int_equal(stage_outcome(client), 0);
		close(client);
		close(listener);
		stage_kernel_free(t.s);
	}
}

static void a_reject_refuses(void **state)
{
	(void)state;
	static const enum nat_action actions[] = {NAT_REJECT_RST, NAT_REJECT_ICMP};

	for (int v6 = 0; v6 < 2; v6++) {
		struct town t = open_town(v6);
		const int listener = stage_listen(t.s, t.sv[0], &t.s_addr[0], 80);

		for (int i = 0; i < 2; i++) {
			const struct nat_rule reject = {.action = actions[i],
							.place = NAT_FORWARD,
							.family = v6 ? TCPWHY_IPV6 : TCPWHY_IPV4,
							.from = &t.c_addr[0],
							.port = 80};

			set_rules(&t, &reject, 1);
			const int refused = stage_connect(t.s, t.c[0], &t.s_addr[0], 80);
			assert_int_equal(stage_outcome(refused), ECONNREFUSED);
			const int other = stage_connect(t.s, t.c[1], &t.s_addr[0], 80);
			assert_int_equal(stage_outcome(other), 0);
			close(refused);
			close(other);
		}
		close(listener);
		stage_kernel_free(t.s);
	}
}

/* SYN-ACKs of the server are dropped, then no longer: the client's own repetition connects. */
static void a_drop_is_silent_until_it_ends(void **state)
{
	(void)state;
	struct town t = open_town(false);
	const struct nat_rule drop = {.action = NAT_DROP,
				      .family = TCPWHY_IPV4,
				      .from = &t.s_addr[0],
				      .flags_set = FRAME_SYN | FRAME_ACK};
	const int listener = stage_listen(t.s, t.sv[0], &t.s_addr[0], 80);
	struct err err;

	set_rules(&t, &drop, 1);
	const int client = stage_connect(t.s, t.c[0], &t.s_addr[0], 80);
	if (stage_kernel_wait_counter(t.s, t.c[0], "TCPSynRetrans", 1, stage_deadline(), &err))
		fail_msg("%s", err.text);
	struct pollfd p = {.fd = client, .events = POLLOUT};
	assert_int_equal(poll(&p, 1, 0), 0);
	set_rules(&t, NULL, 0);
	assert_int_equal(stage_outcome(client), 0);
	close(client);
	close(listener);
	stage_kernel_free(t.s);
}

static void wrong_rules_are_refused(void **state)
{
	(void)state;
	struct town t = open_town(false);
	const struct netns *box = stage_kernel_netns(t.s, t.box);
	const struct tcpwhy_addr v6 = stage_addr("fd00::1");
	const struct nat_rule wrong[] = {
		{.action = NAT_SOURCE, .family = TCPWHY_IPV4},
		{.action = NAT_SOURCE, .family = TCPWHY_IPV4, .to = {v6}, .n_to = 1},
		{.action = NAT_SOURCE,
		 .family = TCPWHY_IPV4,
		 .to = {t.outside, t.outside},
		 .n_to = 2},
		{.action = NAT_DROP, .family = TCPWHY_IPV4, .from = &v6},
		{.action = NAT_DROP, .family = TCPWHY_IPV4, .from = &t.outside, .from_len = 33},
	};
	struct err err;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(nat_set(box, &wrong[i], 1, &err), -EINVAL);
	assert_int_equal(nat_run(box, "add rule inet none none drop", &err), -EINVAL);
	assert_non_null(strstr(err.text, "nftables: "));
	stage_kernel_free(t.s);
}

/* The longest rule set: nothing is cut, or the kernel would refuse it. */
static void many_long_rules_fit(void **state)
{
	(void)state;
	enum { RULES = 64 };
	struct town t = open_town(true);
	struct tcpwhy_addr a;
	struct nat_rule rules[RULES + 1];
	struct err err;

	memset(a.b, 0xfd, sizeof(a.b));
	for (size_t i = 0; i <= RULES; i++) {
		rules[i] = (struct nat_rule){.action = NAT_DESTINATION,
					     .family = TCPWHY_IPV6,
					     .from = &a,
					     .at = &a,
					     .from_len = 127,
					     .at_len = 127,
					     .port = 65535,
					     .flags_set = 0x7f,
					     .flags_clear = 0x80,
					     .n_to = NAT_TARGETS,
					     .to_port = 65535};
		for (size_t k = 0; k < NAT_TARGETS; k++) {
			rules[i].to[k] = a;
			rules[i].to[k].b[15] = (uint8_t)k;
		}
	}
	set_rules(&t, rules, RULES);
	assert_int_equal(nat_set(stage_kernel_netns(t.s, t.box), rules, RULES + 1, &err), -E2BIG);
	stage_kernel_free(t.s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_clients_are_one_address),
		cmocka_unit_test(without_rules_nothing_is_translated),
		cmocka_unit_test(connections_go_to_servers_in_turn),
		cmocka_unit_test(one_target_may_have_another_port),
		cmocka_unit_test(a_reject_refuses),
		cmocka_unit_test(a_drop_is_silent_until_it_ends),
		cmocka_unit_test(wrong_rules_are_refused),
		cmocka_unit_test(many_long_rules_fit),
	};

	stage_permit();
	return unit_run("nat", tests);
}
