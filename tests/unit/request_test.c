/* SPDX-License-Identifier: MIT
 *
 * A handshake between SYN and last ACK: what resets it, what it answers, how long it waits
 */
#include "host_fixture.h"

/* What becomes of the request: it stays, becomes a connection, is gone; plus what is answered. */
enum { STAYS = 0, COMPLETE = 100, GONE = 300 };

static int outcome(struct pair *p, struct segment s)
{
	int flags;

	lose(p->server);
	into(p->server, s);
	flags = answer(p->server);
	if (!at_server(p, CLIENT_PORT).state)
		return flags + GONE;
	return flags + (at_server(p, CLIENT_PORT).state == TCPWHY_SYN_RECV ? STAYS : COMPLETE);
}

/* A request at the server, from CLIENT_PORT; the SYN-ACK is kept from the client. */
struct opening {
	tcpwhy_sock listener, client;
	struct segment syn, syn_ack;
};

static struct opening opened(struct pair *p, int backlog)
{
	struct opening o = {.listener = a_listener(p, backlog)};

	o.client = a_call_from(p, CLIENT_PORT);
	o.syn = out_of(p->client);
	into(p->server, o.syn);
	o.syn_ack = out_of(p->server);
	assert_int_equal(at_server(p, CLIENT_PORT).state, TCPWHY_SYN_RECV);
	return o;
}

static struct segment shot(struct pair *p, uint8_t flags, uint32_t beyond)
{
	struct segment s = to_server(p, flags);

	s.seq += beyond;
	return s;
}

/* ----------------------------------------------------------------------------------------- resets
 */

static int reset_at(struct pair *p, uint32_t beyond)
{
	opened(p, 5);
	int what = outcome(p, shot(p, SEGMENT_RST, beyond));

	assert_int_equal(counted(p->server, EmbryonicRsts), what == GONE);
	assert_int_equal(counted(p->server, AttemptFails), what == GONE);
	assert_int_equal(counted(p->server, TCPChallengeACK), what == SEGMENT_ACK);
	return what;
}

static int reset_exact(struct pair *p)
{
	return reset_at(p, 0);
}

static int reset_in_window(struct pair *p)
{
	return reset_at(p, 1);
}

static int reset_at_window_end(struct pair *p)
{
	return reset_at(p, 65535);
}

static int reset_beyond(struct pair *p)
{
	return reset_at(p, 65536);
}

static int reset_before(struct pair *p)
{
	return reset_at(p, UINT32_MAX);
}

/* Since it has to be exact, the ACK of a RST is not looked at; before, it made the segment one for
 * the listener, which ignores it. */
static int reset_with_wrong_ack(struct pair *p)
{
	opened(p, 5);
	struct segment rst = shot(p, SEGMENT_RST | SEGMENT_ACK, 0);

	rst.ack += 1000;
	return outcome(p, rst);
}

/* The original SYN again asks for the SYN-ACK again; any other in the window resets. */
static int syn_at(struct pair *p, uint32_t beyond)
{
	opened(p, 5);
	return outcome(p, shot(p, SEGMENT_SYN, beyond));
}

static int syn_again(struct pair *p)
{
	int what = syn_at(p, UINT32_MAX);

	assert_int_equal(counted(p->server, RetransSegs), 1);
	return what;
}

static int syn_in_window(struct pair *p)
{
	return syn_at(p, 0);
}

static int syn_outside(struct pair *p)
{
	return syn_at(p, 100000);
}

static void test_resets(void **state)
{
	(void)state;
	check_every_row("RST at what is next", reset_exact, GONE);
	check_rows("RST in the window", reset_in_window,
		   SINCE({"3.10", GONE}, {"6.1.y", SEGMENT_ACK}));
	check_rows("RST at the window's end", reset_at_window_end,
		   SINCE({"3.10", GONE}, {"6.1.y", SEGMENT_ACK}));
	check_every_row("RST beyond the window", reset_beyond, STAYS);
	check_every_row("RST before the window", reset_before, STAYS);
	check_rows("RST with a wrong ACK", reset_with_wrong_ack,
		   SINCE({"3.10", STAYS}, {"6.1.y", GONE}));
	check_every_row("the SYN again", syn_again, STAYS + SEGMENT_SYN + SEGMENT_ACK);
	check_every_row("another SYN in the window", syn_in_window,
			GONE + SEGMENT_RST + SEGMENT_ACK);
	check_every_row("another SYN outside", syn_outside, STAYS + SEGMENT_ACK);
}

/* ------------------------------------------------------------------------------- the last ACK,
 * nearly */

static int last_ack(struct pair *p)
{
	opened(p, 5);
	int what = outcome(p, shot(p, SEGMENT_ACK, 0));

	assert_int_equal(counted(p->server, PassiveOpens), 1);
	return what;
}

static int wrong_ack(struct pair *p)
{
	opened(p, 5);
	struct segment ack = shot(p, SEGMENT_ACK, 0);

	ack.ack++;
	return outcome(p, ack);
}

static int no_ack(struct pair *p)
{
	opened(p, 5);
	return outcome(p, shot(p, SEGMENT_FIN, 0));
}

static int ack_outside(struct pair *p)
{
	opened(p, 5);
	return outcome(p, shot(p, SEGMENT_ACK, 70000));
}

/* The data that the last ACK brings is the connection's first. */
static int ack_with_data(struct pair *p)
{
	struct opening o = opened(p, 5);
	struct segment data = shot(p, SEGMENT_ACK, 0);
	tcpwhy_sock child;

	data.length = 10;
	assert_int_equal(outcome(p, data), COMPLETE + SEGMENT_ACK);
	assert_int_equal(host_accept(p->server, o.listener, 0, &child), 0);
	return (int)host_recv(p->server, child, 100);
}

/* An old timestamp, and an echo of a timestamp that was never sent. */
static int stamped_ack(struct pair *p, uint32_t moved, uint32_t echo_moved)
{
	struct opening o = opened(p, 5);
	struct segment ack = shot(p, SEGMENT_ACK, 0);

	ack.has_timestamp = true;
	ack.tsval = o.syn.tsval + moved;
	ack.tsecr = o.syn_ack.tsval + echo_moved;
	int what = outcome(p, ack);
	assert_int_equal(counted(p->server, PAWSEstab), moved > UINT32_MAX / 2);
	assert_int_equal(counted(p->server, TSEcrRejected), what != COMPLETE && echo_moved);
	return what;
}

static int ack_with_same_timestamp(struct pair *p)
{
	return stamped_ack(p, 0, 0);
}

static int ack_with_old_timestamp(struct pair *p)
{
	return stamped_ack(p, UINT32_MAX, 0);
}

static int ack_with_foreign_echo(struct pair *p)
{
	return stamped_ack(p, 0, 1);
}

static void test_last_ack(void **state)
{
	(void)state;
	check_every_row("the last ACK", last_ack, COMPLETE);
	check_every_row("ACK of another number", wrong_ack, STAYS + SEGMENT_RST);
	check_every_row("no ACK", no_ack, STAYS);
	check_every_row("ACK outside the window", ack_outside, STAYS + SEGMENT_ACK);
	check_every_row("data with the last ACK", ack_with_data, 10);
	check_every_row("timestamp of the SYN", ack_with_same_timestamp, COMPLETE);
	check_every_row("timestamp older than the SYN's", ack_with_old_timestamp,
			STAYS + SEGMENT_ACK);
	check_rows("echo of what was not sent", ack_with_foreign_echo,
		   SINCE({"3.10", COMPLETE}, {"6.18.y", STAYS + SEGMENT_ACK}));
}

static int answers_to_syn_again(struct pair *p)
{
	struct opening o = opened(p, 5);
	int n = 0;

	for (int i = 0; i < 3; i++)
		n += outcome(p, o.syn) == SEGMENT_SYN + SEGMENT_ACK;
	assert_int_equal(counted(p->server, TCPACKSkippedSynRecv), 3 - n);
	host_advance(p->server, tcpwhy_now(host_engine(p->server)) + 500 * MS);
	return n + (outcome(p, o.syn) == SEGMENT_SYN + SEGMENT_ACK);
}

static void test_answers_are_limited(void **state)
{
	(void)state;
	check_rows("answers to a repeated SYN", answers_to_syn_again,
		   SINCE({"3.10", 4}, {"4.9.0", 2}));
}

/* ---------------------------------------------------------------------- when the accept queue is
 * full */

/* A request whose last ACK finds the queue full. */
static struct opening crowded_out(struct pair *p)
{
	struct opening o = opened(p, 1);

	for (uint16_t i = 1; i <= 2; i++) {
		a_call_from(p, (uint16_t)(CLIENT_PORT + i));
		pump(p);
	}
	return o;
}

static int full(struct pair *p)
{
	crowded_out(p);
	int what = outcome(p, shot(p, SEGMENT_ACK, 0));

	assert_int_equal(counted(p->server, ListenOverflows), 1);
	assert_int_equal(counted(p->server, ListenDrops), 1);
	outcome(p, shot(p, SEGMENT_ACK, 0));
	assert_int_equal(counted(p->server, ListenOverflows), 2);
	return what;
}

static int full_and_abort(struct pair *p)
{
	host_set(p->server, abort_on_overflow, true);
	struct opening o = crowded_out(p);

	into(p->client, o.syn_ack);
	int what = outcome(p, out_of(p->client));
	assert_int_equal(counted(p->server, EmbryonicRsts), 1);
	assert_int_equal(counted(p->server, ListenOverflows), 1);
	return what;
}

/* The client has a connection by then, and loses it. */
static int client_of_abort(struct pair *p)
{
	host_set(p->server, abort_on_overflow, true);
	struct opening o = crowded_out(p);

	into(p->client, o.syn_ack);
	assert_int_equal(
		host_connect(p->client, o.client, &p->server_at, SERVER_PORT, &p->client_at, NULL),
		0);
	pump(p);
	return (int)host_recv(p->client, o.client, 1);
}

/* After accept() the next segment completes it. */
static int room_again(struct pair *p)
{
	struct opening o = crowded_out(p);
	tcpwhy_sock child;

	outcome(p, shot(p, SEGMENT_ACK, 0));
	assert_int_equal(host_accept(p->server, o.listener, 0, &child), 0);
	return outcome(p, shot(p, SEGMENT_ACK, 0));
}

/* A ghost ends when the SYN-ACK was sent often enough; then its client's next segment meets nobody.
 */
static int ghost_ends(struct pair *p)
{
	struct opening o = crowded_out(p);

	into(p->client, o.syn_ack);
	pump(p);
	assert_int_equal(state_at(p->client, o.client), TCPWHY_ESTABLISHED);
	host_advance(p->server, 64 * S);
	lose(p->server);
	assert_int_equal(at_server(p, CLIENT_PORT).state, 0);
	host_send(p->client, o.client, 1);
	into(p->server, out_of(p->client));
	return answer(p->server);
}

static void test_full_accept_queue(void **state)
{
	(void)state;
	check_every_row("the last ACK at a full queue", full, STAYS);
	check_every_row("with tcp_abort_on_overflow", full_and_abort, GONE + SEGMENT_RST);
	check_every_row("its client", client_of_abort, -ECONNRESET);
	check_every_row("when there is room again", room_again, COMPLETE);
	check_every_row("the end of a ghost", ghost_ends, SEGMENT_RST);
}

/* ------------------------------------------------------------------------------------------ the
 * timer */

static bool is_gone(struct host *h, void *ctx)
{
	struct pair *p = ctx;

	(void)h;
	return !at_server(p, CLIENT_PORT).state;
}

/* Milliseconds until the request is given up. */
static int lives_for(struct pair *p, uint8_t retries)
{
	host_set(p->server, synack_retries, retries);
	opened(p, 5);
	int ms = ends_after(p->server, is_gone, p);

	assert_int_equal(counted(p->server, TCPSynRetrans), retries);
	assert_int_equal(counted(p->server, RetransSegs), retries);
	assert_int_equal(counted(p->server, TCPTimeouts), retries + 1);
	return ms;
}

static int retries_5(struct pair *p)
{
	return lives_for(p, 5);
}

static int retries_0(struct pair *p)
{
	return lives_for(p, 0);
}

/* At most two minutes between two. */
static int retries_9(struct pair *p)
{
	return lives_for(p, 9);
}

/* When it is sent again, in milliseconds since the SYN, one after the other. */
static int times(struct pair *p)
{
	static const int at_ms[] = {1000, 3000, 7000, 15000, 31000};
	uint64_t start = tcpwhy_now(host_engine(p->server));

	opened(p, 5);
	for (size_t i = 0; i < sizeof(at_ms) / sizeof(at_ms[0]); i++) {
		assert_int_equal(host_deadline(p->server), start + (uint64_t)at_ms[i] * MS);
		host_advance(p->server, host_deadline(p->server) - 1);
		nothing_out_of(p->server);
		host_advance(p->server, host_deadline(p->server));
		assert_int_equal(answer(p->server), SEGMENT_SYN | SEGMENT_ACK);
	}
	return (int)((host_deadline(p->server) - start) / MS);
}

static void test_retries(void **state)
{
	(void)state;
	check_every_row("tcp_synack_retries 5", retries_5, 63000);
	check_every_row("tcp_synack_retries 0", retries_0, 1000);
	check_every_row("tcp_synack_retries 9", retries_9, 1000 * (127 + 3 * 120));
	check_every_row("when the SYN-ACK is sent again", times, 63000);
}

/* How often the SYN-ACK of the first of so many requests goes out again, of five times. */
static int sent_again(struct pair *p, int requests)
{
	a_listener(p, 100);
	for (int i = 0; i < requests; i++) {
		a_call_from(p, (uint16_t)(CLIENT_PORT + i));
		into(p->server, out_of(p->client));
	}
	ends_after(p->server, is_gone, p);
	return counted(p->server, TCPSynRetrans) / requests;
}

/* Twice the queue must pass the backlog: then old requests are given up after two. */
static int queue_of_50(struct pair *p)
{
	return sent_again(p, 50);
}

static int queue_of_51(struct pair *p)
{
	return sent_again(p, 51);
}

static int queue_of_64(struct pair *p)
{
	return sent_again(p, 64);
}

/* Nine old requests and so many young ones beside them; whether the first of the old outlives its
 * third time-out, seven seconds after its SYN. */
static int old_among_young(struct pair *p, int young)
{
	a_listener(p, 12);
	for (int i = 0; i < 9 + young; i++) {
		if (i == 9) {
			both_advance(p, 7500 * MS);
			lose(p->server);
			lose(p->client);
		}
		a_call_from(p, (uint16_t)(CLIENT_PORT + i));
		into(p->server, out_of(p->client));
	}
	host_advance(p->server, 8 * S);
	return at_server(p, CLIENT_PORT).state == TCPWHY_SYN_RECV;
}

static int old_among_one_young(struct pair *p)
{
	return old_among_young(p, 1);
}

static int old_among_two_young(struct pair *p)
{
	return old_among_young(p, 2);
}

static void test_pruning(void **state)
{
	(void)state;
	check_every_row("half of the backlog", queue_of_50, 5);
	/* 3.10 looks at half of the power of two: 64. */
	check_rows("more than half of it", queue_of_51, SINCE({"3.10", 5}, {"4.9.0", 2}));
	check_every_row("half of the power of two", queue_of_64, 2);
	check_every_row("old, one young", old_among_one_young, 0);
	check_every_row("old, two young", old_among_two_young, 1);
}

/* --------------------------------------------------------------------------------- without a
 * listener */

/* close() of the listener: the request waits for its next segment, which meets nobody (4.4). */
static int listener_closed(struct pair *p)
{
	struct opening o = opened(p, 5);

	assert_int_equal(host_close(p->server, o.listener), 0);
	int left = at_server(p, CLIENT_PORT).state;
	into(p->client, o.syn_ack);
	into(p->server, out_of(p->client));
	assert_int_equal(answer(p->server), SEGMENT_RST);
	assert_int_equal(at_server(p, CLIENT_PORT).state, 0);
	return left;
}

/* The client's side of it is gone too: nobody answers, the time-out ends the request silently. */
static int listener_closed_and_silence(struct pair *p)
{
	struct opening o = opened(p, 5);

	assert_int_equal(host_close(p->server, o.listener), 0);
	host_advance(p->server, tcpwhy_now(host_engine(p->server)) + S);
	nothing_out_of(p->server);
	return at_server(p, CLIENT_PORT).state;
}

/* Its 4-tuple is not free, even for the only socket that is bound to the port. */
static int connect_where_it_waits(struct pair *p)
{
	struct opening o = opened(p, 5);

	assert_int_equal(host_close(p->server, o.listener), 0);
	const tcpwhy_sock s = a_socket(p->server);
	assert_int_equal(host_bind(p->server, s, &p->server_at, SERVER_PORT, NULL), 0);
	return host_connect(p->server, s, &p->client_at, CLIENT_PORT, &p->server_at, NULL);
}

static void test_listener_closes(void **state)
{
	(void)state;
	check_rows("close() of the listener", listener_closed,
		   SINCE({"3.10", 0}, {"4.9.0", TCPWHY_SYN_RECV}));
	check_every_row("and nobody comes", listener_closed_and_silence, 0);
	check_rows("connect() to the request's peer", connect_where_it_waits,
		   SINCE({"3.10", -EINPROGRESS}, {"4.9.0", -EADDRNOTAVAIL}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_last_ack),
		cmocka_unit_test(test_answers_are_limited),
		cmocka_unit_test(test_full_accept_queue),
		cmocka_unit_test(test_retries),
		cmocka_unit_test(test_pruning),
		cmocka_unit_test(test_listener_closes),
	};

	return unit_run("request", tests);
}
