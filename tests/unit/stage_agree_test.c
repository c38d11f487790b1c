/* SPDX-License-Identifier: MIT
 *
 * stage_agree: connections between two hosts in the model and on the kernel
 */
#include "two_stages.h"

static void handshake_and_data(struct scene *s)
{
	pair(s);
	struct connection c = connection(s);
	look(s, "client", c.client);
	look(s, "server", c.server);
	tell(s, "send %lld\n", (long long)s->on->send(s->st, c.client, 100));
	hears(s, c.server, 100);
	tell(s, "recv %lld\n", (long long)s->on->recv(s->st, c.server, 100));
	tell(s, "send %lld\n", (long long)s->on->send(s->st, c.server, 5000));
	hears(s, c.client, 5000);
	passed(s, 13);
	look(s, "client", c.client);
	look(s, "server", c.server);
	count(s, s->client, "ActiveOpens");
	count(s, s->server, "PassiveOpens");
}

static void close_in_turn(struct scene *s, const struct connection *c, bool client_first)
{
	const int first = client_first ? c->client : c->server,
		  second = client_first ? c->server : c->client;
	const int first_host = client_first ? s->client : s->server,
		  second_host = client_first ? s->server : s->client;
	const struct stage_sock *t1 = client_first ? &c->tuple : &c->back,
				*t2 = client_first ? &c->back : &c->tuple;

	tell(s, "close %d\n", s->on->close(s->st, first));
	in_state(s, second, TCPWHY_CLOSE_WAIT);
	tuple_in_state(s, first_host, t1, TCPWHY_FIN_WAIT2);
	look(s, "second", second);
	find(s, "first", first_host, t1);
	tell(s, "recv %lld\n", (long long)s->on->recv(s->st, second, 10));
	tell(s, "close %d\n", s->on->close(s->st, second));
	tuple_in_state(s, first_host, t1, TCPWHY_TIME_WAIT);
	tuple_in_state(s, second_host, t2, TCPWHY_CLOSE);
	find(s, "first", first_host, t1);
	find(s, "second", second_host, t2);
}

static void client_closes_first(struct scene *s)
{
	pair(s);
	const struct connection c = connection(s);
	close_in_turn(s, &c, true);
}

static void server_closes_first(struct scene *s)
{
	pair(s);
	const struct connection c = connection(s);
	close_in_turn(s, &c, false);
}

static void unread_data_resets(struct scene *s)
{
	pair(s);
	const struct connection c = connection(s);
	s->on->send(s->st, c.client, 10);
	struct wish w = {.sock = c.server, .value = 10};
	wait_for(s, has_something, &w, "data");
	passed(s, 5);
	tell(s, "close %d\n", s->on->close(s->st, c.server));
	in_state(s, c.client, TCPWHY_CLOSE);
	tell(s, "recv %lld\n", (long long)s->on->recv(s->st, c.client, 10));
	look(s, "client", c.client);
	count(s, s->server, "TCPAbortOnClose");
	count(s, s->client, "EstabResets");
}

/* An answer to a RST would be told only once: what was received before it comes first. */
static void data_before_a_reset_is_read(struct scene *s)
{
	pair(s);
	const struct connection c = connection(s);
	s->on->send(s->st, c.client, 10);
	struct wish w = {.sock = c.server, .value = 10};
	wait_for(s, has_something, &w, "data");
	passed(s, 5);
	assert_int_equal(s->on->setsockopt(s->st, c.client, TCPWHY_SO_LINGER0, 1), 0);
	tell(s, "close %d\n", s->on->close(s->st, c.client));
	in_state(s, c.server, TCPWHY_CLOSE);
	for (unsigned i = 0; i < 3; i++)
		tell(s, "recv %lld\n", (long long)s->on->recv(s->st, c.server, 100000));
	tell(s, "send %lld\n", (long long)s->on->send(s->st, c.server, 1));
}

static void refused(struct scene *s)
{
	pair(s);
	tell(s, "connected %d\n", outcome(s, begin_connect(s, s->client, "10.0.0.2")));
	count(s, s->client, "AttemptFails");
	count(s, s->server, "OutRsts");
}

static int has_queue(void *ctx)
{
	struct wish *w = ctx;
	struct stage_sock k;

	return !w->s->on->look(w->s->st, w->sock, &k) && k.accept_queue == w->value;
}

static void accept_queue_full(struct scene *s)
{
	pair(s);
	const int l = listener(s, s->server, "10.0.0.2", 1);
	connected(s, s->client, "10.0.0.2");
	connected(s, s->client, "10.0.0.2");
	struct wish w = {.sock = l, .value = 2};
	wait_for(s, has_queue, &w, "the queue");
	const int third = begin_connect(s, s->client, "10.0.0.2");
	counted(s, s->server, "ListenOverflows", 1);
	passed(s, 7);
	const struct stage_sock k = seen(s, l);
	tell(s, "queue %u of %u, requests %u\n", k.accept_queue, k.backlog, k.syn_queue);
	look(s, "third", third);
	count(s, s->server, "ListenOverflows");
	count(s, s->server, "ListenDrops");
	s->on->close(s->st, third);
}

/* A RST to the client as if the server had sent it, beside what the client expects. */
static void inject_reset(struct scene *s, const struct connection *c, uint32_t beside)
{
	const struct stage_sock k = seen(s, c->client);
	const struct segment rst = {.from = k.peer,
				    .to = k.local,
				    .from_port = k.peer_port,
				    .to_port = k.port,
				    .flags = SEGMENT_RST,
				    .seq = k.rcv_nxt + beside};

	assert_true(k.has_numbers);
	GOOD(s, s->on->inject(s->st, s->link, LINE_FROM_1, &rst, &s->err));
}

/* Bytes that had arrived are read; the error comes with the next call, once. */
static void bytes_come_before_the_error(struct scene *s)
{
	pair(s);
	const struct connection c = connection(s);
	s->on->send(s->st, c.server, 10);
	struct wish w = {.sock = c.client, .value = 10};
	wait_for(s, has_something, &w, "data");
	passed(s, 4);
	inject_reset(s, &c, 0);
	in_state(s, c.client, TCPWHY_CLOSE);
	for (int i = 0; i < 3; i++)
		tell(s, "recv %lld\n", (long long)s->on->recv(s->st, c.client, 100000));
}

static void resets_are_judged(struct scene *s)
{
	pair(s);
	const struct connection c = connection(s);
	passed(s, 3);
	inject_reset(s, &c, 70000);
	passed(s, 4);
	tell(s, "outside\n");
	look(s, "client", c.client);
	inject_reset(s, &c, 1000);
	counted(s, s->client, "TCPChallengeACK", 1);
	passed(s, 6);
	tell(s, "inside\n");
	look(s, "client", c.client);
	inject_reset(s, &c, 0);
	in_state(s, c.client, TCPWHY_CLOSE);
	tell(s, "exact\n");
	look(s, "client", c.client);
	tell(s, "recv %lld\n", (long long)s->on->recv(s->st, c.client, 10));
	count(s, s->client, "TCPChallengeACK");
	count(s, s->client, "EstabResets");
	look(s, "server", c.server);
}

/* Without SACK: with it Linux sends the missing one again within the round trip (RACK, since 6.17
 * not to be switched off), and the model knows no loss recovery but by time-out. */
/* How far the clocks of two connections' segments are apart, in s, of those that side sent. */
static uint32_t apart(struct scene *s, size_t i, size_t k)
{
	struct line_record a, b;

	assert_true(s->on->trace(s->st, i, &a) && s->on->trace(s->st, k, &b));
	assert_true(a.segment.has_timestamp && b.segment.has_timestamp);
	const uint32_t ms = b.segment.tsval - a.segment.tsval;
	return (ms < UINT32_MAX / 2 ? ms : -ms) / 1000;
}

/* tcp_timestamps=1: each connection begins its own at random; 2 and above: as the clock is. */
static void timestamps_may_show_the_clock(struct scene *s)
{
	static const char *const values[] = {"1", "2", "255"};

	pair(s);
	const int hosts[] = {s->client, s->server};
	listener(s, s->server, "10.0.0.2", 8);
	for (unsigned v = 0; v < 3; v++) {
		const size_t first = s->on->trace_count(s->st);
		for (unsigned i = 0; i < 2; i++)
			GOOD(s, s->on->set_sysctl(s->st, hosts[i], "net.ipv4.tcp_timestamps",
						  values[v], &s->err));
		connected(s, s->client, "10.0.0.2");
		connected(s, s->client, "10.0.0.2");
		passed(s, first + 6);
		for (unsigned side = 0; side < 2; side++)
			tell(s, "tcp_timestamps %s, %s: %s\n", values[v],
			     side ? "server" : "client",
			     apart(s, first + side, first + 3 + side) < 60 ? "the clock" : "apart");
	}
	GOOD(s, s->on->set_sysctl(s->st, s->client, "net.ipv4.tcp_timestamps", "0", &s->err));
	connected(s, s->client, "10.0.0.2");
	passed(s, 21);
	const int rc =
		s->on->set_sysctl(s->st, s->client, "net.ipv4.tcp_timestamps", "256", &s->err);
	tell(s, "256: %d\n", rc);
}

static void held_data_is_acknowledged_twice(struct scene *s)
{
	pair(s);
	GOOD(s, s->on->set_sysctl(s->st, s->client, "net.ipv4.tcp_sack", "0", &s->err));
	const struct connection c = connection(s);
	const struct line_control hold = {.pick.data = LINE_DATA, .action = LINE_HOLD, .times = 1};
	passed(s, 3);
	const int held = s->on->add_control(s->st, s->link, LINE_FROM_0, &hold, &s->err);
	GOOD(s, held);
	s->on->send(s->st, c.client, 10);
	s->on->send(s->st, c.client, 20);
	/* the second one crossed, and was answered: the first is missing */
	crossed(s, 6);
	tell(s, "held %u fired %u\n", s->on->held(s->st, held), s->on->fired(s->st, held));
	look(s, "server", c.server);
	tell(s, "released %u\n", s->on->release(s->st, held));
	hears(s, c.server, 30);
	passed(s, 7);
	look(s, "client", c.client);
	tell(s, "held %u\n", s->on->held(s->st, held));
}

static void a_late_duplicate_meets_time_wait(struct scene *s)
{
	impatient_pair(s);
	const struct line_control hold = {
		.pick.flags_set = SEGMENT_FIN, .action = LINE_HOLD, .times = 1};
	const struct connection c = connection(s);
	passed(s, 3);
	s->on->close(s->st, c.client);
	in_state(s, c.server, TCPWHY_CLOSE_WAIT);
	tuple_in_state(s, s->client, &c.tuple, TCPWHY_FIN_WAIT2);
	const int held = s->on->add_control(s->st, s->link, LINE_FROM_1, &hold, &s->err);
	GOOD(s, held);
	s->on->close(s->st, c.server);
	/* the server's FIN is held: it sends it again */
	tuple_in_state(s, s->client, &c.tuple, TCPWHY_TIME_WAIT);
	tuple_in_state(s, s->server, &c.back, TCPWHY_CLOSE);
	s->on->release(s->st, held);
	/* the answer to the late one meets nobody, whose RST ends the TIME_WAIT (RFC 1337) */
	passed(s, 10);
	tuple_in_state(s, s->client, &c.tuple, TCPWHY_CLOSE);
	find(s, "client", s->client, &c.tuple);
	find(s, "server", s->server, &c.back);
}

AGREE(handshake_and_data)
AGREE(client_closes_first)
AGREE(server_closes_first)
AGREE(unread_data_resets)
AGREE(data_before_a_reset_is_read)
AGREE(refused)
AGREE(accept_queue_full)
AGREE(bytes_come_before_the_error)
AGREE(resets_are_judged)
AGREE(timestamps_may_show_the_clock)
AGREE(held_data_is_acknowledged_twice)
AGREE(a_late_duplicate_meets_time_wait)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake_and_data),
		cmocka_unit_test(test_client_closes_first),
		cmocka_unit_test(test_server_closes_first),
		cmocka_unit_test(test_unread_data_resets),
		cmocka_unit_test(test_data_before_a_reset_is_read),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_accept_queue_full),
		cmocka_unit_test(test_bytes_come_before_the_error),
		cmocka_unit_test(test_resets_are_judged),
		cmocka_unit_test(test_timestamps_may_show_the_clock),
		cmocka_unit_test(test_held_data_is_acknowledged_twice),
		cmocka_unit_test(test_a_late_duplicate_meets_time_wait),
	};

	return unit_run("stage_agree", tests);
}
