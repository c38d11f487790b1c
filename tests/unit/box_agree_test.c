/* SPDX-License-Identifier: MIT
 *
 * box_agree: boxes that translate, reject and balance, and ICMP errors, in the model and on the
 * kernel
 */
#include "two_stages.h"

/* ----------------------------------------------------------------------------------------- boxes
 */

static void gated(struct scene *s, int *gate)
{
	s->client = host(s, "client");
	s->server = host(s, "server");
	*gate = box(s, "gate");
	s->link = cable(s, s->client, "192.168.0.10", *gate, "192.168.0.1");
	cable(s, *gate, "10.0.0.1", s->server, "10.0.0.2");
	GOOD(s, s->on->start(s->st, &s->err));
	be_patient(s);
}

static void tell_sessions(struct scene *s, int gate)
{
	char a[ADDRESS_TEXT_MAX], b[ADDRESS_TEXT_MAX], c[ADDRESS_TEXT_MAX], d[ADDRESS_TEXT_MAX];
	struct session all[4];
	const int n = s->on->sessions(s->st, gate, all, 4, &s->err);

	GOOD(s, n);
	for (int i = 0; i < n && i < 4; i++)
		tell(s, "session %s to %s:%u as %s to %s:%u state %d\n",
		     address_format(&all[i].client, a), address_format(&all[i].server, b),
		     all[i].server_port, address_format(&all[i].as_client, c),
		     address_format(&all[i].as_server, d), all[i].as_server_port, all[i].state);
}

static void snat_between(struct scene *s)
{
	const struct rule snat = {.action = RULE_SNAT,
				  .from = at("192.168.0.0"),
				  .from_len = 120,
				  .to = {at("10.0.0.1")},
				  .n_to = 1};
	char text[ADDRESS_TEXT_MAX];
	int gate;

	gated(s, &gate);
	GOOD(s, s->on->set_rules(s->st, gate, &snat, 1, &s->err));
	const int l = listener(s, s->server, "10.0.0.2", 4);
	const int c = connected(s, s->client, "10.0.0.2");
	const struct stage_sock k = seen(s, accepted(s, l));
	passed(s, 6);
	tell(s, "peer %s\n", address_format(&k.peer, text));
	tell_sessions(s, gate);
	look(s, "client", c);
}

/* The gate's own address stands for the server's. */
static void translate(struct scene *s, int gate)
{
	const struct rule dnat = {.action = RULE_DNAT,
				  .at = at("192.168.0.1"),
				  .at_len = 128,
				  .port = PORT,
				  .to = {at("10.0.0.2")},
				  .n_to = 1};

	GOOD(s, s->on->set_rules(s->st, gate, &dnat, 1, &s->err));
}

static void dnat_between(struct scene *s)
{
	int gate;

	gated(s, &gate);
	translate(s, gate);
	const int l = listener(s, s->server, "10.0.0.2", 4);
	const int c = connected(s, s->client, "192.168.0.1"), d = accepted(s, l);
	passed(s, 6);
	tell_sessions(s, gate);
	s->on->send(s->st, d, 7);
	hears(s, c, 7);
	passed(s, 10);
}

static void a_wall_rejects(struct scene *s)
{
	const struct rule reject = {
		.action = RULE_REJECT_RST, .at = at("10.0.0.2"), .at_len = 128, .port = PORT};
	int gate;

	gated(s, &gate);
	GOOD(s, s->on->set_rules(s->st, gate, &reject, 1, &s->err));
	listener(s, s->server, "10.0.0.2", 4);
	tell(s, "connected %d\n", outcome(s, begin_connect(s, s->client, "10.0.0.2")));
	count(s, s->server, "PassiveOpens");
	GOOD(s, s->on->set_rules(s->st, gate, NULL, 0, &s->err));
	connected(s, s->client, "10.0.0.2");
	passed(s, 8);
}

static void the_client_rejects_an_answer(struct scene *s)
{
	const struct rule reject = {.action = RULE_REJECT_RST,
				    .place = RULE_IN,
				    .from = at("10.0.0.2"),
				    .from_len = 128,
				    .from_port = PORT};

	pair(s);
	const struct connection c = connection(s);
	passed(s, 3);
	GOOD(s, s->on->set_rules(s->st, s->client, &reject, 1, &s->err));
	s->on->send(s->st, c.server, 10);
	in_state(s, c.server, TCPWHY_CLOSE);
	look(s, "server", c.server);
	look(s, "client", c.client);
	tell(s, "recv %lld\n", (long long)s->on->recv(s->st, c.server, 10));
}

/* ---------------------------------------------------------------------------------- ICMP errors
 */

static const char *const of_server[] = {"10.0.0.2", "fd00::2"};

static const enum segment_error errors[] = {SEGMENT_PORT_UNREACHABLE, SEGMENT_HOST_UNREACHABLE,
					    SEGMENT_NO_ROUTE, SEGMENT_ADMIN_PROHIBITED};

enum { ERRORS = sizeof(errors) / sizeof(errors[0]) };

static void reject_with(struct scene *s, int node, enum rule_place place, enum segment_error error,
			bool answers)
{
	const struct rule r = {.action = RULE_REJECT_ICMP,
			       .place = place,
			       .error = (uint8_t)error,
			       .from_port = answers ? PORT : 0,
			       .port = answers ? 0 : PORT};

	GOOD(s, s->on->set_rules(s->st, node, &r, 1, &s->err));
}

static void reject_nothing(struct scene *s, int node)
{
	GOOD(s, s->on->set_rules(s->st, node, NULL, 0, &s->err));
}

/* Both families on both sides of a wall. */
static void walled(struct scene *s, int *wall)
{
	const struct tcpwhy_addr a[] = {at("192.168.0.10"), at("fd01::10")},
				 b[] = {at("192.168.0.1"), at("fd01::1")},
				 c[] = {at("10.0.0.1"), at("fd00::1")},
				 d[] = {at(of_server[0]), at(of_server[1])};

	s->client = host(s, "client");
	s->server = host(s, "server");
	*wall = box(s, "wall");
	const struct stage_link near = {.ends = {{s->client, a, 2}, {*wall, b, 2}}, .tapped = true},
				far = {.ends = {{*wall, c, 2}, {s->server, d, 2}}, .tapped = true};
	s->link = s->on->add_link(s->st, &near, &s->err);
	GOOD(s, s->link);
	GOOD(s, s->on->add_link(s->st, &far, &s->err));
	GOOD(s, s->on->start(s->st, &s->err));
	be_patient(s);
	/* or what is missing would be sent again within a round trip */
	GOOD(s, s->on->set_sysctl(s->st, s->client, "net.ipv4.tcp_sack", "0", &s->err));
}

static int call_over(struct scene *s, unsigned v6)
{
	const struct tcpwhy_addr a = at(of_server[v6]);
	const int c = s->on->socket(s->st, s->client, v6 ? TCPWHY_IPV6 : TCPWHY_IPV4, 0);

	tell(s, "connect %d\n", s->on->connect(s->st, c, &a, PORT));
	return c;
}

static int listener_over(struct scene *s, unsigned v6)
{
	const struct tcpwhy_addr a = at(of_server[v6]);
	const int l = s->on->socket(s->st, s->server, v6 ? TCPWHY_IPV6 : TCPWHY_IPV4, 0);

	assert_int_equal(s->on->bind(s->st, l, &a, PORT), 0);
	assert_int_equal(s->on->listen(s->st, l, 4), 0);
	return l;
}

static void walls_tell_connect_why(struct scene *s)
{
	int wall;

	walled(s, &wall);
	for (unsigned i = 0; i < ERRORS; i++) {
		for (unsigned v6 = 0; v6 < 2; v6++) {
			reject_with(s, wall, RULE_FORWARD, errors[i], false);
			tell(s, "wall %u %u: %d\n", i, v6, outcome(s, call_over(s, v6)));
			reject_nothing(s, wall);
			reject_with(s, s->server, RULE_IN, errors[i], false);
			tell(s, "server %u %u: %d\n", i, v6, outcome(s, call_over(s, v6)));
			reject_nothing(s, s->server);
		}
	}
	count(s, s->client, "AttemptFails");
	count(s, s->client, "OutOfWindowIcmps");
}

/* The socket is locked when the answer to the first SYN comes: the second one's is heard. */
static void its_own_wall_tells_connect_later(struct scene *s)
{
	int wall;

	walled(s, &wall);
	reject_with(s, s->client, RULE_OUT, SEGMENT_ADMIN_PROHIBITED, false);
	const int four = call_over(s, 0), six = call_over(s, 1);
	tell(s, "%d\n", outcome(s, four));
	tell(s, "%d\n", outcome(s, six));
	count(s, s->client, "AttemptFails");
}

static int has_error(void *ctx)
{
	struct wish *w = ctx;

	w->result = w->s->on->error(w->s->st, w->sock);
	return w->result != 0;
}

/* A connection goes on: the error is told by SO_ERROR, once. */
static void errors_are_noted_by_connections(struct scene *s)
{
	int wall;

	walled(s, &wall);
	for (unsigned v6 = 0; v6 < 2; v6++) {
		const int l = listener_over(s, v6), c = call_over(s, v6);
		tell(s, "connected %d\n", outcome(s, c));
		accepted(s, l);
		for (unsigned i = 0; i < ERRORS; i++) {
			struct wish w = {.sock = c};
			reject_with(s, wall, RULE_FORWARD, errors[i], false);
			s->on->send(s->st, c, 10);
			wait_for(s, has_error, &w, "an error");
			tell(s, "noted %d, then %d\n", w.result, s->on->error(s->st, c));
		}
		look(s, "client", c);
		reject_nothing(s, wall);
		s->on->close(s->st, l);
	}
	count(s, s->client, "OutOfWindowIcmps");
}

/* What is acknowledged is not under way: who quotes it is not believed (RFC 5927). */
static void errors_about_the_past_are_counted(struct scene *s)
{
	const struct line_control again = {
		.pick.data = LINE_DATA, .action = LINE_COPY, .delay_ns = 50 * MS, .times = 1};
	int wall;

	walled(s, &wall);
	const int l = listener_over(s, 0), c = call_over(s, 0);
	tell(s, "connected %d\n", outcome(s, c));
	const int d = accepted(s, l);
	GOOD(s, s->on->add_control(s->st, s->link, LINE_FROM_0, &again, &s->err));
	s->on->send(s->st, c, 10);
	hears(s, d, 10);
	reject_with(s, wall, RULE_FORWARD, SEGMENT_HOST_UNREACHABLE, false);
	counted(s, s->client, "OutOfWindowIcmps", 1);
	tell(s, "error %d\n", s->on->error(s->st, c));
	look(s, "client", c);
}

static int has_no_request(void *ctx)
{
	const struct wish *w = ctx;
	struct stage_sock k;

	return !w->s->on->look(w->s->st, w->sock, &k) && !k.syn_queue;
}

/* About the SYN-ACK: two of four end the handshake, and the families disagree which. */
static void errors_end_requests(struct scene *s)
{
	static const enum segment_error ending[2][2] = {
		{SEGMENT_HOST_UNREACHABLE, SEGMENT_NO_ROUTE},
		{SEGMENT_PORT_UNREACHABLE, SEGMENT_ADMIN_PROHIBITED}};
	int wall;

	walled(s, &wall);
	for (unsigned v6 = 0; v6 < 2; v6++) {
		const int l = listener_over(s, v6);
		for (unsigned i = 0; i < 2; i++) {
			struct wish w = {.sock = l};
			reject_with(s, wall, RULE_FORWARD, ending[v6][i], true);
			const int c = call_over(s, v6);
			counted(s, s->server, "ListenDrops", 2 * v6 + i + 1);
			wait_for(s, has_no_request, &w, "the end of the request");
			tell(s, "client %s\n", tcpwhy_state_name(seen(s, c).state));
			s->on->close(s->st, c);
		}
		for (unsigned i = 0; i < 2; i++) {
			reject_with(s, wall, RULE_FORWARD, ending[!v6][i], true);
			const size_t before = s->on->trace_count(s->st);
			const int c = call_over(s, v6);
			/* both links by the SYN, one by the SYN-ACK, and the error has no more way
			 */
			passed(s, before + 3);
			GOOD(s, s->on->pause(s->st, 20 * MS, &s->err));
			tell(s, "requests %u\n", seen(s, l).syn_queue);
			s->on->close(s->st, c);
		}
		s->on->close(s->st, l);
	}
	count(s, s->server, "ListenDrops");
}

/* The error is about a translated segment, and is translated back. */
static void errors_pass_a_translation(struct scene *s)
{
	int wall;

	gated(s, &wall);
	translate(s, wall);
	reject_with(s, s->server, RULE_IN, SEGMENT_NO_ROUTE, false);
	tell(s, "%d\n", outcome(s, begin_connect(s, s->client, "192.168.0.1")));
	count(s, s->client, "AttemptFails");
}

static void a_balancer_forwards_no_error(struct scene *s)
{
	const struct rule balance = {.action = RULE_BALANCE,
				     .at = at("192.168.0.1"),
				     .at_len = 128,
				     .port = PORT,
				     .to = {at("10.0.0.2")},
				     .n_to = 1};
	int gate;

	gated(s, &gate);
	GOOD(s, s->on->set_rules(s->st, gate, &balance, 1, &s->err));
	reject_with(s, s->server, RULE_IN, SEGMENT_PORT_UNREACHABLE, false);
	const int c = begin_connect(s, s->client, "192.168.0.1");
	passed(s, 2);
	GOOD(s, s->on->pause(s->st, 30 * MS, &s->err));
	tell(s, "%s\n", tcpwhy_state_name(seen(s, c).state));
	assert_int_equal(seen(s, c).state, TCPWHY_SYN_SENT);
}

static void a_balancer_believes_any_reset(struct scene *s)
{
	struct rule balance = {.action = RULE_BALANCE,
			       .at = at("192.168.0.1"),
			       .at_len = 128,
			       .port = PORT,
			       .to = {at("10.0.0.2")},
			       .n_to = 1,
			       .balancer = {.closed_ns = 50 * MS, .resets_strays = true}};
	int gate;

	gated(s, &gate);
	GOOD(s, s->on->set_rules(s->st, gate, &balance, 1, &s->err));
	const int l = listener(s, s->server, "10.0.0.2", 4);
	const int c = connected(s, s->client, "192.168.0.1"), d = accepted(s, l);
	passed(s, 6);
	s->on->send(s->st, c, 10);
	hears(s, d, 10);
	passed(s, 10);
	tell_sessions(s, gate);
	/* far outside of the window: the server does not believe it */
	const struct stage_sock k = seen(s, c);
	const struct segment rst = {.from = k.local,
				    .to = k.peer,
				    .from_port = k.port,
				    .to_port = k.peer_port,
				    .flags = SEGMENT_RST,
				    .seq = k.snd_nxt + 1000000};
	GOOD(s, s->on->inject(s->st, s->link, LINE_FROM_0, &rst, &s->err));
	passed(s, 12);
	tell_sessions(s, gate);
	look(s, "server", d);
	GOOD(s, s->on->pause(s->st, 80 * MS, &s->err));
	tell_sessions(s, gate);
	s->on->send(s->st, c, 10);
	in_state(s, c, TCPWHY_CLOSE);
	look(s, "server", d);
	look(s, "client", c);
}

AGREE(snat_between)
AGREE(dnat_between)
AGREE(a_wall_rejects)
AGREE(the_client_rejects_an_answer)
AGREE(walls_tell_connect_why)
AGREE(its_own_wall_tells_connect_later)
AGREE(errors_are_noted_by_connections)
AGREE(errors_about_the_past_are_counted)
AGREE(errors_end_requests)
AGREE(errors_pass_a_translation)
AGREE(a_balancer_forwards_no_error)
AGREE(a_balancer_believes_any_reset)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snat_between),
		cmocka_unit_test(test_dnat_between),
		cmocka_unit_test(test_a_wall_rejects),
		cmocka_unit_test(test_the_client_rejects_an_answer),
		cmocka_unit_test(test_walls_tell_connect_why),
		cmocka_unit_test(test_its_own_wall_tells_connect_later),
		cmocka_unit_test(test_errors_are_noted_by_connections),
		cmocka_unit_test(test_errors_about_the_past_are_counted),
		cmocka_unit_test(test_errors_end_requests),
		cmocka_unit_test(test_errors_pass_a_translation),
		cmocka_unit_test(test_a_balancer_forwards_no_error),
		cmocka_unit_test(test_a_balancer_believes_any_reset),
	};

	return unit_run("box_agree", tests);
}
