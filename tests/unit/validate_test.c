/* SPDX-License-Identifier: MIT
 *
 * Whether a segment may touch a connection: RST, SYN, sequence, timestamps, challenge ACKs
 *
 * Each rule with a segment that it is for and one that nearly is, on every row. Connections are
 * those of CLIENT_PORT; the server's end is what is shot at.
 */
#include "host_fixture.h"

enum { SILENT = 0, ACKED = SEGMENT_ACK, ALIVE = 0, DEAD = 100 };

/* What a segment brings about: an answer, and whether the server's end is gone. */
static int outcome(struct pair *p, struct segment s)
{
	bool listed = at_server(p, CLIENT_PORT).state != 0;

	assert_true(listed);
	lose(p->server);
	into(p->server, s);
	return answer(p->server) + (at_server(p, CLIENT_PORT).state ? ALIVE : DEAD);
}

static struct segment shot(struct pair *p, uint8_t flags, uint32_t beyond)
{
	struct segment s = to_server(p, flags);

	s.seq += beyond;
	return s;
}

/* ----------------------------------------------------------------------------------------- RST */

static int exact_reset(struct pair *p)
{
	struct ends e = established(p);
	struct segment rst = shot(p, SEGMENT_RST, 0);
	int what;

	rst.flags |= SEGMENT_ACK;
	rst.ack = 12345; /* is not looked at */
	what = outcome(p, rst);
	assert_int_equal(host_recv(p->server, e.server, 1), -ECONNRESET);
	assert_int_equal(counted(p->server, EstabResets), 1);
	return what;
}

static int reset_in_window(struct pair *p)
{
	established(p);
	int what = outcome(p, shot(p, SEGMENT_RST, 1));

	assert_int_equal(counted(p->server, TCPChallengeACK), 1);
	assert_int_equal(counted(p->server, TCPSYNChallenge), 0);
	return what;
}

static int reset_at_window_end(struct pair *p)
{
	established(p);
	return outcome(p, shot(p, SEGMENT_RST, at_server(p, CLIENT_PORT).window));
}

static int reset_beyond_window(struct pair *p)
{
	established(p);
	return outcome(p, shot(p, SEGMENT_RST, at_server(p, CLIENT_PORT).window + 1));
}

static int reset_before_window(struct pair *p)
{
	established(p);
	return outcome(p, shot(p, SEGMENT_RST, UINT32_MAX));
}

static int reset_of_full_window(struct pair *p)
{
	struct ends e = established(p);

	host_send(p->client, e.client, 65535);
	pump(p);
	assert_int_equal(at_server(p, CLIENT_PORT).window, 0);
	assert_int_equal(outcome(p, shot(p, SEGMENT_RST, 1)), SILENT);
	return outcome(p, shot(p, SEGMENT_RST, 0));
}

static void test_reset(void **state)
{
	(void)state;
	check_every_row("RST at what is next", exact_reset, DEAD);
	check_every_row("RST in the window", reset_in_window, ACKED);
	check_every_row("RST at the window's end", reset_at_window_end, ACKED);
	check_every_row("RST beyond the window", reset_beyond_window, SILENT);
	check_every_row("RST before the window", reset_before_window, SILENT);
	check_every_row("RST when the window is full", reset_of_full_window, DEAD);
}

/* Ten bytes after a hole of as many. */
static void make_hole(struct pair *p)
{
	struct segment data = shot(p, SEGMENT_ACK, 10);

	data.length = 10;
	into(p->server, data);
	lose(p->server);
}

static int reset_at_sack_edge(struct pair *p)
{
	established(p);
	make_hole(p);
	return outcome(p, shot(p, SEGMENT_RST, 20));
}

static int reset_beside_sack_edge(struct pair *p)
{
	established(p);
	make_hole(p);
	return outcome(p, shot(p, SEGMENT_RST, 19));
}

static int reset_at_edge_without_sack(struct pair *p)
{
	host_set(p->client, sack, false);
	established(p);
	make_hole(p);
	return outcome(p, shot(p, SEGMENT_RST, 20));
}

static void test_reset_at_sack_edge(void **state)
{
	(void)state;
	check_rows("RST at the SACK edge", reset_at_sack_edge,
		   SINCE({"3.10", ACKED}, {"4.9.0", DEAD}));
	check_every_row("RST beside the SACK edge", reset_beside_sack_edge, ACKED);
	check_every_row("RST at the edge, no SACK", reset_at_edge_without_sack, ACKED);
}

/* In which state the server's end is when the RST comes. */
static void into_close_wait(struct pair *p)
{
	struct ends e = established(p);

	host_shutdown(p->client, e.client, TCPWHY_SHUT_WR);
	pump(p);
	assert_int_equal(at_server(p, CLIENT_PORT).state, TCPWHY_CLOSE_WAIT);
}

static void into_last_ack(struct pair *p)
{
	struct ends e = established(p);

	host_shutdown(p->client, e.client, TCPWHY_SHUT_WR);
	pump(p);
	host_close(p->server, e.server);
	lose(p->server);
	assert_int_equal(at_server(p, CLIENT_PORT).state, TCPWHY_LAST_ACK);
}

static void into_closing(struct pair *p)
{
	struct ends e = established(p);

	host_shutdown(p->client, e.client, TCPWHY_SHUT_WR);
	host_shutdown(p->server, e.server, TCPWHY_SHUT_WR);
	into(p->server, out_of(p->client));
	lose(p->server);
	assert_int_equal(at_server(p, CLIENT_PORT).state, TCPWHY_CLOSING);
}

static int reset_before_fin_close_wait(struct pair *p)
{
	into_close_wait(p);
	return outcome(p, shot(p, SEGMENT_RST, UINT32_MAX));
}

static int reset_before_fin_last_ack(struct pair *p)
{
	into_last_ack(p);
	return outcome(p, shot(p, SEGMENT_RST, UINT32_MAX));
}

static int reset_before_fin_closing(struct pair *p)
{
	into_closing(p);
	return outcome(p, shot(p, SEGMENT_RST, UINT32_MAX));
}

static int reset_two_before(struct pair *p)
{
	into_close_wait(p);
	return outcome(p, shot(p, SEGMENT_RST, UINT32_MAX - 1));
}

static void test_reset_after_fin(void **state)
{
	(void)state;
	check_rows("RST before the FIN, CLOSE_WAIT", reset_before_fin_close_wait,
		   SINCE({"3.10", SILENT}, {"4.11", DEAD}));
	check_rows("RST before the FIN, LAST_ACK", reset_before_fin_last_ack,
		   SINCE({"3.10", SILENT}, {"4.11", DEAD}));
	check_rows("RST before the FIN, CLOSING", reset_before_fin_closing,
		   SINCE({"3.10", SILENT}, {"4.11", DEAD}));
	check_every_row("RST two before", reset_two_before, SILENT);
}

/* ----------------------------------------------------------------------------------------- SYN */

static int syn_in_window(struct pair *p)
{
	established(p);
	int what = outcome(p, shot(p, SEGMENT_SYN, 0));

	assert_int_equal(counted(p->server, TCPSYNChallenge), what == ACKED);
	assert_int_equal(counted(p->server, TCPChallengeACK), what == ACKED);
	return what;
}

static int syn_outside_window(struct pair *p)
{
	established(p);
	int what = outcome(p, shot(p, SEGMENT_SYN, UINT32_MAX / 2));

	assert_int_equal(counted(p->server, TCPSYNChallenge), what == ACKED);
	return what;
}

/* A SYN-ACK that comes again at a client which is connected: what a ghost's server sends. */
static int syn_ack_again(struct pair *p)
{
	a_listener(p, 5);
	a_call_from(p, CLIENT_PORT);
	into(p->server, out_of(p->client));
	struct segment syn_ack = out_of(p->server);
	into(p->client, syn_ack);
	lose(p->client);
	into(p->client, syn_ack);
	assert_int_equal(counted(p->client, TCPSYNChallenge), 1);
	assert_int_equal(counted(p->client, TCPChallengeACK), 1);
	assert_int_equal(at_client(p, CLIENT_PORT).state, TCPWHY_ESTABLISHED);
	return answer(p->client);
}

static void test_syn(void **state)
{
	(void)state;
	check_rows("SYN in the window", syn_in_window, SINCE({"3.10", SILENT}, {"4.9.0", ACKED}));
	check_rows("SYN outside the window", syn_outside_window,
		   SINCE({"3.10", SILENT}, {"4.9.0", ACKED}));
	check_every_row("SYN-ACK again", syn_ack_again, ACKED);
}

/* ------------------------------------------------------------------------------------ sequence */

static int bytes_taken(struct pair *p, tcpwhy_sock s)
{
	int64_t n = host_recv(p->server, s, 100000);

	return n < 0 ? 0 : (int)n;
}

static int data_at(struct pair *p, uint32_t beyond, uint32_t length)
{
	struct ends e = established(p);
	struct segment data = shot(p, SEGMENT_ACK, beyond);

	data.length = length;
	assert_int_equal(outcome(p, data), ACKED);
	return bytes_taken(p, e.server);
}

static int data_next(struct pair *p)
{
	return data_at(p, 0, 10);
}

static int data_overlapping(struct pair *p)
{
	return data_at(p, UINT32_MAX - 4, 10);
}

static int data_wholly_old(struct pair *p)
{
	return data_at(p, UINT32_MAX - 9, 10);
}

static int data_beyond(struct pair *p)
{
	return data_at(p, 65536, 10);
}

static void test_sequence(void **state)
{
	(void)state;
	check_every_row("data that is next", data_next, 10);
	check_every_row("data half old", data_overlapping, 5);
	check_every_row("data wholly old", data_wholly_old, 0);
	check_every_row("data beyond the window", data_beyond, 0);
}

/* More than the window has room for, while something waits to be read. */
static int data_over_the_end(struct pair *p)
{
	struct ends e = established(p);

	host_send(p->client, e.client, 1000);
	pump(p);
	struct segment data = shot(p, SEGMENT_ACK, 0);
	data.length = at_server(p, CLIENT_PORT).window + 1;
	assert_int_equal(outcome(p, data), ACKED);
	bool counted_so = counted(p->server, BeyondWindow) == 1;
	int bytes = bytes_taken(p, e.server) - 1000;
	assert_int_equal(counted_so, bytes == 0);
	return bytes != 0;
}

static int data_up_to_the_end(struct pair *p)
{
	struct ends e = established(p);

	host_send(p->client, e.client, 1000);
	pump(p);
	struct segment data = shot(p, SEGMENT_ACK, 0);
	data.length = at_server(p, CLIENT_PORT).window;
	assert_int_equal(outcome(p, data), ACKED);
	assert_int_equal(counted(p->server, BeyondWindow), 0);
	return bytes_taken(p, e.server) > 1000;
}

/* Nothing of it has room; but a bare ACK there is in the window. */
static int data_at_the_end(struct pair *p)
{
	struct ends e = established(p);
	uint32_t window = at_server(p, CLIENT_PORT).window;

	assert_int_equal(outcome(p, shot(p, SEGMENT_ACK, window)), SILENT);
	assert_int_equal(counted(p->server, BeyondWindow), 0);
	struct segment data = shot(p, SEGMENT_ACK, window);
	data.length = 10;
	assert_int_equal(outcome(p, data), ACKED);
	assert_int_equal(bytes_taken(p, e.server), 0);
	return counted(p->server, BeyondWindow);
}

static void test_beyond_window(void **state)
{
	(void)state;
	check_rows("data at the window's end", data_at_the_end, SINCE({"3.10", 0}, {"7.2.y", 1}));
	check_rows("data over the window's end", data_over_the_end,
		   SINCE({"3.10", 1}, {"6.18.y", 0}));
	check_every_row("data up to the window's end", data_up_to_the_end, 1);
}

/* ---------------------------------------------------------------------------------- timestamps */

/* A segment with the timestamp that the client's last one had, moved by so much. */
static struct segment stamped(struct pair *p, struct ends *e, uint8_t flags, uint32_t moved)
{
	host_send(p->client, e->client, 1);
	struct segment last = out_of(p->client);
	assert_true(last.has_timestamp);
	into(p->server, last);
	lose(p->server);
	host_recv(p->server, e->server, 1);
	struct segment s = to_server(p, flags);
	s.has_timestamp = true;
	s.tsval = last.tsval + moved;
	s.tsecr = last.tsecr;
	s.length = 10;
	return s;
}

static int old_data(struct pair *p)
{
	struct ends e = established(p);
	int what = outcome(p, stamped(p, &e, SEGMENT_ACK, UINT32_MAX - 1));

	assert_int_equal(bytes_taken(p, e.server), 0);
	assert_int_equal(counted(p->server, PAWSEstab), 1);
	return what;
}

/* TCP_PAWS_WINDOW: one older passes. */
static int one_older(struct pair *p)
{
	struct ends e = established(p);

	outcome(p, stamped(p, &e, SEGMENT_ACK, UINT32_MAX));
	assert_int_equal(counted(p->server, PAWSEstab), 0);
	return bytes_taken(p, e.server);
}

static int old_reset(struct pair *p)
{
	struct ends e = established(p);
	struct segment rst = stamped(p, &e, SEGMENT_RST, UINT32_MAX - 1000);

	rst.length = 0;
	return outcome(p, rst);
}

static int old_syn(struct pair *p)
{
	struct ends e = established(p);
	struct segment syn = stamped(p, &e, SEGMENT_SYN, UINT32_MAX - 1000);

	syn.length = 0;
	if (outcome(p, syn) != ACKED)
		return -1;
	assert_int_equal(counted(p->server, TCPSYNChallenge) + counted(p->server, PAWSEstab), 1);
	return counted(p->server, TCPSYNChallenge);
}

static int idle_for(struct pair *p, uint64_t ns)
{
	struct ends e = established(p);
	struct segment s = stamped(p, &e, SEGMENT_ACK, UINT32_MAX - 1000);

	host_advance(p->server, tcpwhy_now(host_engine(p->server)) + ns);
	outcome(p, s);
	return bytes_taken(p, e.server);
}

static int idle_for_24_days(struct pair *p)
{
	return idle_for(p, 24 * 86400 * S);
}

static int idle_for_less(struct pair *p)
{
	return idle_for(p, 24 * 86400 * S - 1);
}

static void test_paws(void **state)
{
	(void)state;
	check_every_row("data with an old timestamp", old_data, ACKED);
	check_every_row("one tick old", one_older, 10);
	check_every_row("RST with an old timestamp", old_reset, DEAD);
	check_rows("SYN with an old timestamp", old_syn,
		   SINCE({"3.10", -1}, {"4.9.0", 0}, {"6.12.y", 1}));
	check_every_row("after 24 days", idle_for_24_days, 10);
	check_every_row("before 24 days", idle_for_less, 0);
}

/* A timestamp of 0 was never sent as a real one: nothing is older than it. */
static int recent_is(struct pair *p, uint32_t tsval)
{
	struct ends e = {.listener = a_listener(p, 5)};

	a_call_from(p, CLIENT_PORT);
	struct segment syn = out_of(p->client);
	syn.tsval = tsval;
	into(p->server, syn);
	struct segment syn_ack = out_of(p->server);
	struct segment ack = to_server(p, SEGMENT_ACK);
	ack.seq = syn.seq + 1;
	ack.ack = syn_ack.seq + 1;
	into(p->server, ack);
	assert_int_equal(host_accept(p->server, e.listener, 0, &e.server), 0);
	struct segment old = to_server(p, SEGMENT_ACK);
	old.has_timestamp = true;
	old.tsval = tsval - 1000;
	old.tsecr = syn_ack.tsval;
	old.length = 10;
	outcome(p, old);
	return bytes_taken(p, e.server);
}

static int recent_is_zero(struct pair *p)
{
	return recent_is(p, 0);
}

static int recent_is_one(struct pair *p)
{
	return recent_is(p, 1);
}

static void test_timestamp_zero(void **state)
{
	(void)state;
	check_every_row("older than 0", recent_is_zero, 10);
	check_every_row("older than 1", recent_is_one, 0);
}

/* A bare ACK of long ago, by its number and by its timestamp. */
static int old_bare_ack(struct pair *p)
{
	struct ends e = established(p);
	struct segment ack = stamped(p, &e, SEGMENT_ACK, UINT32_MAX - 5000);

	ack.length = 0;
	ack.seq--;
	int what = outcome(p, ack);
	assert_int_equal(counted(p->server, PAWSOldAck) + counted(p->server, PAWSEstab), 1);
	assert_int_equal(counted(p->server, PAWSOldAck), what == SILENT);
	return what;
}

/* The same, but its number is the one that is next: refused as ever. */
static int old_ack_in_order(struct pair *p)
{
	struct ends e = established(p);
	struct segment ack = stamped(p, &e, SEGMENT_ACK, UINT32_MAX - 5000);

	ack.length = 0;
	int what = outcome(p, ack);
	assert_int_equal(counted(p->server, PAWSEstab), 1);
	return what;
}

/* tcp_disordered_ack(): late by no more than a retransmission takes, and the last news of the
 * window came with the same number. */
static int disordered_ack(struct pair *p, uint32_t late_ms)
{
	struct ends e = established(p);
	struct segment ack = stamped(p, &e, SEGMENT_ACK, 0);

	host_send(p->server, e.server, 1);
	pump(p);
	ack.length = 0;
	ack.ack = at_server(p, CLIENT_PORT).snd_nxt;
	ack.window = 65534;
	ack.tsval -= late_ms;
	int what = outcome(p, ack);
	assert_int_equal(counted(p->server, PAWSEstab), what == ACKED);
	return what;
}

/* The time-out is 200 ms; a fifth is added. */
static int disordered_by_240_ms(struct pair *p)
{
	return disordered_ack(p, 240);
}

static int disordered_by_241_ms(struct pair *p)
{
	return disordered_ack(p, 241);
}

static void test_old_acks(void **state)
{
	(void)state;
	check_rows("an old ACK, old in both", old_bare_ack,
		   SINCE({"3.10", ACKED}, {"6.18.y", SILENT}));
	check_every_row("an old ACK in order", old_ack_in_order, ACKED);
	check_every_row("an ACK out of order", disordered_by_240_ms, SILENT);
	check_every_row("and by too much", disordered_by_241_ms, ACKED);
}

/* ------------------------------------------------------------------------------ challenge ACKs */

/* How many of n RSTs in the window are answered within one instant. */
static int challenges(struct pair *p, int n)
{
	int answers = 0;

	for (int i = 0; i < n; i++)
		answers += outcome(p, shot(p, SEGMENT_RST, 1)) == ACKED;
	return answers;
}

static int two_challenges(struct pair *p)
{
	established(p);
	int answers = challenges(p, 2);

	assert_int_equal(counted(p->server, TCPACKSkippedChallenge), 2 - answers);
	return answers;
}

static int challenge_after(struct pair *p, uint64_t ns)
{
	established(p);
	assert_int_equal(challenges(p, 1), 1);
	host_advance(p->server, tcpwhy_now(host_engine(p->server)) + ns);
	return challenges(p, 1);
}

static int challenge_after_half_a_second(struct pair *p)
{
	return challenge_after(p, 500 * MS);
}

static int challenge_sooner(struct pair *p)
{
	return challenge_after(p, 499 * MS);
}

/* Without the limit of the socket, that of the machine; the next second has its own. */
static int challenges_of_a_second(struct pair *p)
{
	established(p);
	host_set(p->server, invalid_ratelimit_ms, 0);
	int first = challenges(p, 3000);
	host_advance(p->server, tcpwhy_now(host_engine(p->server)) + S);
	int second = challenges(p, 3000);
	if (first == 3000)
		return second;
	if (first == 100)
		return second == 100 ? 100 : -1;
	/* By chance from half to one and a half of 1,000. */
	assert_in_range(first, 500, 1499);
	assert_in_range(second, 500, 1499);
	return 1000;
}

/* tcp_challenge_ack_limit 4: exactly (before 4.7), or 2 to 5. */
static int challenges_of_four(struct pair *p)
{
	established(p);
	host_set(p->server, invalid_ratelimit_ms, 0);
	host_set(p->server, challenge_ack_limit, 4);
	bool other = false;

	for (int i = 0; i < 40; i++) {
		int n = challenges(p, 20);
		assert_in_range(n, 2, 5);
		other |= n != 4;
		host_advance(p->server, tcpwhy_now(host_engine(p->server)) + S);
	}
	return other;
}

static void test_challenge_limits(void **state)
{
	(void)state;
	check_rows("two challenge ACKs at once", two_challenges, SINCE({"3.10", 2}, {"4.9.0", 1}));
	check_every_row("another after 500 ms", challenge_after_half_a_second, 1);
	check_rows("another before", challenge_sooner, SINCE({"3.10", 1}, {"4.9.0", 0}));
	check_rows("in a second", challenges_of_a_second,
		   SINCE({"3.10", 100}, {"4.9.0", 1000}, {"6.1.4", 3000}));
	check_rows("a limit of four is drawn", challenges_of_four,
		   SINCE({"3.10", 0}, {"4.9.0", 1}));
}

/* Data out of the window is answered always, what is empty once in 500 ms (4.0). */
static int empty_out_of_window(struct pair *p)
{
	established(p);
	int n = 0;

	for (int i = 0; i < 3; i++)
		n += outcome(p, shot(p, SEGMENT_ACK, 70000)) == ACKED;
	assert_int_equal(counted(p->server, TCPACKSkippedSeq), 3 - n);
	return n;
}

static int data_out_of_window(struct pair *p)
{
	established(p);
	struct segment data = shot(p, SEGMENT_ACK, 70000);
	int n = 0;

	data.length = 1;
	for (int i = 0; i < 3; i++)
		n += outcome(p, data) == ACKED;
	return n;
}

static int empty_and_old(struct pair *p)
{
	struct ends e = established(p);
	struct segment ack = stamped(p, &e, SEGMENT_ACK, UINT32_MAX - 5000);
	int n = 0;

	ack.length = 0;
	for (int i = 0; i < 3; i++)
		n += outcome(p, ack) == ACKED;
	assert_int_equal(counted(p->server, TCPACKSkippedPAWS), 3 - n);
	return n;
}

static void test_duplicate_ack_limits(void **state)
{
	(void)state;
	check_rows("empty, out of the window", empty_out_of_window,
		   SINCE({"3.10", 3}, {"4.9.0", 1}));
	check_every_row("data, out of the window", data_out_of_window, 3);
	check_rows("empty, with an old timestamp", empty_and_old, SINCE({"3.10", 3}, {"4.9.0", 1}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_reset_at_sack_edge),
		cmocka_unit_test(test_reset_after_fin),
		cmocka_unit_test(test_syn),
		cmocka_unit_test(test_sequence),
		cmocka_unit_test(test_beyond_window),
		cmocka_unit_test(test_paws),
		cmocka_unit_test(test_timestamp_zero),
		cmocka_unit_test(test_old_acks),
		cmocka_unit_test(test_challenge_limits),
		cmocka_unit_test(test_duplicate_ack_limits),
	};

	return unit_run("validate", tests);
}
