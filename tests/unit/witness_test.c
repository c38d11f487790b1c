/* SPDX-License-Identifier: MIT
 *
 * witness: what the kernel stage saw of both ends at every segment
 */
#include "unit.h"

#include "case/kernel_stage.h"
#include "segment/counter.h"

#include <errno.h>
#include <string.h>

enum { PORT = 80, LOOKS = 64 };
#define LIMIT UINT64_C(10000000000)

static struct stage *st;
static const struct stage_ops *on;
static struct err err;
static int client, server;

static struct tcpwhy_addr at(const char *text)
{
	struct tcpwhy_addr a;
	enum tcpwhy_family f;

	assert_true(address_parse(text, &a, &f));
	return a;
}

#define GOOD(call)                                                                                 \
	do {                                                                                       \
		if ((call) < 0)                                                                    \
			fail_msg("%s: %s", #call, err.text);                                       \
	} while (0)

static void open_stage(uint32_t looks)
{
	const struct kernel_stage_config c = {.row = NULL, .seed = 1, .looks = looks};
	const struct stage_host hosts[] = {{.name = "client"}, {.name = "server"}};
	const int rc = kernel_stage_new(&c, &st, &err);

	if (rc == STAGE_CANNOT)
		unit_skip(err.text);
	if (rc)
		fail_msg("%s", err.text);
	on = st->ops;
	client = on->add_host(st, &hosts[0], &err);
	GOOD(client);
	server = on->add_host(st, &hosts[1], &err);
	GOOD(server);
}

static void cable(int a, const char *a_addr, int b, const char *b_addr)
{
	const struct tcpwhy_addr addrs[2] = {at(a_addr), at(b_addr)};
	const struct stage_link l = {.ends = {{a, &addrs[0], 1}, {b, &addrs[1], 1}},
				     .tapped = true};

	GOOD(on->add_link(st, &l, &err));
}

static void open_pair(uint32_t looks)
{
	open_stage(looks);
	cable(client, "10.0.0.1", server, "10.0.0.2");
	GOOD(on->start(st, &err));
}

static int sock(int node)
{
	const int s = on->socket(st, node, TCPWHY_IPV4, 0);

	assert_true(s >= 0);
	return s;
}

static int listener(const char *addr, int backlog)
{
	const struct tcpwhy_addr a = at(addr);
	const int s = sock(server);

	assert_int_equal(on->bind(st, s, &a, PORT), 0);
	assert_int_equal(on->listen(st, s, backlog), 0);
	return s;
}

static int begin_connect(const char *addr, uint16_t port)
{
	const struct tcpwhy_addr a = at(addr);
	const int s = sock(client);

	assert_int_equal(on->connect(st, s, &a, port), -EINPROGRESS);
	return s;
}

static int are_passed(void *ctx)
{
	const size_t n = *(const size_t *)ctx;
	struct stage_sight s;

	/* behind a box the last may be seen before the first */
	for (size_t i = 0; i < n; i++)
		if (on->trace_count(st) <= i || on->sight(st, i, &s) != 1)
			return 0;
	return 1;
}

/* Waits until that many segments have passed and their ends were looked at. */
static void passed(size_t n)
{
	assert_int_equal(on->run_until(st, are_passed, &n, LIMIT, &err), 0);
}

static bool has_counted(const struct stage_sight *s, enum counter c)
{
	for (unsigned i = 0; i < s->n_counted; i++)
		if (s->counted[i].counter == c)
			return s->counted[i].times == 1;
	return false;
}

static struct stage_sight expect(size_t i, uint8_t flags, enum tcpwhy_state sender,
				 enum tcpwhy_state receiver)
{
	struct line_record r;
	struct stage_sight s;

	assert_true(on->trace(st, i, &r));
	assert_int_equal(r.segment.flags & ~SEGMENT_PSH, flags);
	assert_int_equal(on->sight(st, i, &s), 1);
	assert_string_equal(tcpwhy_state_name((enum tcpwhy_state)s.state[0]),
			    tcpwhy_state_name(sender));
	assert_string_equal(tcpwhy_state_name((enum tcpwhy_state)s.state[1]),
			    tcpwhy_state_name(receiver));
	return s;
}

enum {
	SYN = SEGMENT_SYN,
	ACK = SEGMENT_ACK,
	RST = SEGMENT_RST,
	SYNACK = SEGMENT_SYN | SEGMENT_ACK,
	FIN = SEGMENT_FIN | SEGMENT_ACK,
	RSTACK = SEGMENT_RST | SEGMENT_ACK,
};

static void a_life_of_a_connection(void **state)
{
	(void)state;
	open_pair(LOOKS);
	const int l = listener("10.0.0.2", 8), c = begin_connect("10.0.0.2", PORT);
	passed(3);
	const int d = on->accept(st, l);
	assert_true(d >= 0);
	/* nobody waits in between: the calls themselves wait for the looks */
	assert_int_equal(on->send(st, c, 10), 10);
	assert_int_equal(on->close(st, c), 0);
	assert_int_equal(on->recv(st, d, 100), 10);
	assert_int_equal(on->close(st, d), 0);
	passed(9);
	expect(0, SYN, TCPWHY_SYN_SENT, TCPWHY_SYN_RECV);
	expect(1, SYNACK, TCPWHY_SYN_RECV, TCPWHY_ESTABLISHED);
	expect(2, ACK, TCPWHY_ESTABLISHED, TCPWHY_ESTABLISHED);
	expect(3, ACK, TCPWHY_ESTABLISHED, TCPWHY_ESTABLISHED);
	expect(4, ACK, TCPWHY_ESTABLISHED, TCPWHY_ESTABLISHED);
	expect(5, FIN, TCPWHY_FIN_WAIT1, TCPWHY_CLOSE_WAIT);
	const struct stage_sight parked = expect(6, ACK, TCPWHY_CLOSE_WAIT, TCPWHY_FIN_WAIT2);
	expect(7, FIN, TCPWHY_LAST_ACK, TCPWHY_TIME_WAIT);
	expect(8, ACK, TCPWHY_TIME_WAIT, TCPWHY_CLOSE);
	assert_true(has_counted(&parked, COUNTER_TW));
	on->free(st);
}

static void what_is_counted_stands_at_its_segment(void **state)
{
	(void)state;
	open_pair(LOOKS);
	listener("10.0.0.2", 0);
	begin_connect("10.0.0.2", PORT);
	passed(3);
	begin_connect("10.0.0.2", PORT); /* no room in a queue of one */
	passed(4);
	begin_connect("10.0.0.2", PORT + 1); /* nobody */
	passed(6);
	const struct stage_sight full = expect(3, SYN, TCPWHY_SYN_SENT, TCPWHY_LISTEN);
	const struct stage_sight nobody = expect(4, SYN, TCPWHY_SYN_SENT, TCPWHY_CLOSE);
	const struct stage_sight refused = expect(5, RSTACK, TCPWHY_CLOSE, TCPWHY_CLOSE);
	assert_int_equal(full.n_counted, 2);
	assert_true(has_counted(&full, COUNTER_ListenOverflows));
	assert_true(has_counted(&full, COUNTER_ListenDrops));
	assert_int_equal(nobody.n_counted, 1);
	assert_true(has_counted(&nobody, COUNTER_OutRsts));
	assert_int_equal(refused.n_counted, 1);
	assert_true(has_counted(&refused, COUNTER_AttemptFails));
	on->free(st);
}

/* What lies between the looks is nobody's: a timer's, a call's. */
static void what_a_call_counts_is_not_the_next_segments(void **state)
{
	(void)state;
	open_pair(LOOKS);
	const int l = listener("10.0.0.2", 8), c = begin_connect("10.0.0.2", PORT);
	passed(3);
	const int d = on->accept(st, l);
	assert_int_equal(on->send(st, c, 10), 10);
	passed(5);
	assert_int_equal(on->close(st, d), 0); /* with data unread: TCPAbortOnClose, OutRsts */
	passed(6);
	begin_connect("10.0.0.2", PORT);
	passed(9);
	const struct stage_sight reset = expect(5, RSTACK, TCPWHY_CLOSE, TCPWHY_CLOSE);
	assert_int_equal(reset.n_counted, 1);
	assert_true(has_counted(&reset, COUNTER_EstabResets));
	for (size_t i = 6; i < 9; i++) {
		struct stage_sight s;
		assert_int_equal(on->sight(st, i, &s), 1);
		assert_int_equal(s.n_counted, 0);
	}
	on->free(st);
}

static void a_lost_one_has_a_sender_only(void **state)
{
	(void)state;
	const struct line_control drop = {.action = LINE_DROP, .times = 1};
	struct stage_sight s;
	size_t one = 1;

	open_pair(LOOKS);
	assert_true(on->add_control(st, 0, LINE_FROM_0, &drop, &err) >= 0);
	begin_connect("10.0.0.2", PORT);
	assert_int_equal(on->run_until(st, are_passed, &one, LIMIT, &err), 0);
	assert_int_equal(on->sight(st, 0, &s), 1);
	assert_int_equal(s.state[0], TCPWHY_SYN_SENT);
	assert_int_equal(s.state[1], 0);
	on->free(st);
}

static void beyond_the_looks_nothing_is_known(void **state)
{
	(void)state;
	struct stage_sight s;

	open_pair(1);
	listener("10.0.0.2", 8);
	begin_connect("10.0.0.2", PORT);
	passed(3);
	expect(0, SYN, TCPWHY_SYN_SENT, TCPWHY_SYN_RECV);
	for (size_t i = 1; i < 3; i++) {
		assert_int_equal(on->sight(st, i, &s), 1);
		assert_true(!s.state[0] && !s.state[1] && !s.n_counted);
	}
	on->free(st);
}

static void expect_belief(size_t i, int end, int session)
{
	struct stage_sight s;

	assert_int_equal(on->sight(st, i, &s), 1);
	assert_int_equal(s.session[end], session);
	assert_int_equal(s.state[end], 0);
}

/* link 0 from the client to the box, link 1 from there to the server. */
static void a_balancer_tells_what_it_believes(void **state)
{
	(void)state;
	const struct stage_box b = {.name = "balancer"};
	const struct rule balance = {
		.action = RULE_BALANCE,
		.at = at("192.168.0.1"),
		.at_len = 128,
		.port = PORT,
		.to = {at("10.0.1.2")},
		.n_to = 1,
		.balancer = {.closed_ns = 50000000, .resets_at_end = true},
	};

	open_stage(LOOKS);
	const int box = on->add_box(st, &b, &err);
	GOOD(box);
	cable(client, "10.0.0.1", box, "192.168.0.1");
	cable(box, "10.0.1.254", server, "10.0.1.2");
	GOOD(on->set_rules(st, box, &balance, 1, &err));
	GOOD(on->start(st, &err));
	listener("10.0.1.2", 8);
	const int c = begin_connect("192.168.0.1", PORT);
	passed(6);
	expect_belief(0, 1, SESSION_OPEN + 1); /* the SYN made it */
	expect_belief(1, 0, SESSION_OPEN + 1);
	expect_belief(2, 1, SESSION_OPEN + 1);
	assert_int_equal(on->setsockopt(st, c, TCPWHY_SO_LINGER0, 1), 0);
	assert_int_equal(on->close(st, c), 0);
	passed(8);
	expect_belief(6, 1, SESSION_RESET + 1);
	expect_belief(7, 0, SESSION_RESET + 1);
	/* what the looks made it learn it acts on in time: the end of the session, told to both */
	passed(10);
	on->free(st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_life_of_a_connection),
		cmocka_unit_test(what_is_counted_stands_at_its_segment),
		cmocka_unit_test(what_a_call_counts_is_not_the_next_segments),
		cmocka_unit_test(a_lost_one_has_a_sender_only),
		cmocka_unit_test(beyond_the_looks_nothing_is_known),
		cmocka_unit_test(a_balancer_tells_what_it_believes),
	};

	return unit_run("witness", tests);
}
