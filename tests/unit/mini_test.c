/* SPDX-License-Identifier: MIT
 *
 * TIME_WAIT and an orphan's FIN_WAIT2: what they answer, how long they stay, who may take over
 *
 * The server closes first, so that its end of CLIENT_PORT is the mini-socket that is shot at.
 */
#include "host_fixture.h"

/* What becomes of the mini-socket: it stays as it is, starts its time again, becomes a TIME_WAIT or
 * is gone; plus the flags of what it answers. */
enum { STAYS = 0, RESTARTS = 100, CLOSED = 200, GONE = 300, REPLACED = 400 };

static int outcome(struct pair *p, struct segment s)
{
	struct host_view before = at_server(p, CLIENT_PORT), after;
	int flags;

	assert_true(before.timewait);
	lose(p->server);
	into(p->server, s);
	flags = answer(p->server);
	after = at_server(p, CLIENT_PORT);
	if (!after.state)
		return flags + GONE;
	if (!after.timewait)
		return flags + REPLACED;
	if (after.state != before.state)
		return flags + CLOSED;
	return flags + (after.expires_ns != before.expires_ns ? RESTARTS : STAYS);
}

/* An orphan's FIN_WAIT2 at the server; the client, in CLOSE_WAIT, is still there. */
static struct ends into_fin_wait2(struct pair *p)
{
	struct ends e = established(p);

	host_close(p->server, e.server);
	pump(p);
	assert_int_equal(at_server(p, CLIENT_PORT).state, TCPWHY_FIN_WAIT2);
	both_advance(p, 3 * S);
	return e;
}

/* TIME_WAIT at the server, two seconds old. */
static struct ends into_time_wait(struct pair *p)
{
	struct ends e = established(p);

	host_close(p->server, e.server);
	pump(p);
	host_close(p->client, e.client);
	pump(p);
	assert_int_equal(at_server(p, CLIENT_PORT).state, TCPWHY_TIME_WAIT);
	both_advance(p, 3 * S);
	return e;
}

static struct segment shot(struct pair *p, uint8_t flags, uint32_t beyond, uint32_t length)
{
	struct segment s = to_server(p, flags);

	s.seq += beyond;
	s.length = length;
	return s;
}

/* ----------------------------------------------------------------------------------- FIN_WAIT2 */

#define SHOT_AT_FIN_WAIT2(name, flags, beyond, length)                                             \
	static int name(struct pair *p)                                                            \
	{                                                                                          \
		into_fin_wait2(p);                                                                 \
		return outcome(p, shot(p, flags, beyond, length));                                 \
	}
SHOT_AT_FIN_WAIT2(fw2_reset_exact, SEGMENT_RST, 0, 0)
SHOT_AT_FIN_WAIT2(fw2_reset_in_window, SEGMENT_RST, 1000, 0)
SHOT_AT_FIN_WAIT2(fw2_reset_outside, SEGMENT_RST, 70000, 0)
SHOT_AT_FIN_WAIT2(fw2_ack_outside, SEGMENT_ACK, 70000, 0)
SHOT_AT_FIN_WAIT2(fw2_syn_next, SEGMENT_SYN, 0, 0)
SHOT_AT_FIN_WAIT2(fw2_syn_in_window, SEGMENT_SYN, 10, 0)
SHOT_AT_FIN_WAIT2(fw2_syn_old, SEGMENT_SYN, UINT32_MAX, 0)
SHOT_AT_FIN_WAIT2(fw2_bare_ack, SEGMENT_ACK, 0, 0)
SHOT_AT_FIN_WAIT2(fw2_fin_without_ack, SEGMENT_FIN, 0, 0)
SHOT_AT_FIN_WAIT2(fw2_data, SEGMENT_ACK, 0, 1)
SHOT_AT_FIN_WAIT2(fw2_data_and_fin, SEGMENT_ACK | SEGMENT_FIN, 0, 1)
SHOT_AT_FIN_WAIT2(fw2_fin_too_far, SEGMENT_ACK | SEGMENT_FIN, 1, 0)
SHOT_AT_FIN_WAIT2(fw2_fin, SEGMENT_ACK | SEGMENT_FIN, 0, 0)

/* A FIN that is exactly next, but whose timestamp is so much off the last one. */
static int fin_with_timestamp(struct pair *p, uint32_t moved)
{
	struct ends e = established(p);

	host_close(p->server, e.server);
	into(p->client, out_of(p->server));
	struct segment ack = out_of(p->client);
	into(p->server, ack);
	struct segment fin = shot(p, SEGMENT_ACK | SEGMENT_FIN, 0, 0);
	fin.has_timestamp = true;
	fin.tsval = ack.tsval + moved;
	return outcome(p, fin);
}

static int old_fin(struct pair *p)
{
	return fin_with_timestamp(p, UINT32_MAX);
}

static int fin_of_now(struct pair *p)
{
	return fin_with_timestamp(p, 0);
}

/* Without timestamps in the sysctl they are not read, and nothing is old. */
static int old_fin_unread(struct pair *p)
{
	struct ends e = established(p);

	host_close(p->server, e.server);
	pump(p);
	engine_set(p->server, timestamps, false);
	struct segment fin = shot(p, SEGMENT_ACK | SEGMENT_FIN, 0, 0);
	fin.has_timestamp = true;
	fin.tsval = 1;
	return outcome(p, fin);
}

static void test_fin_wait2(void **state)
{
	(void)state;
	check_every_row("RST at what is next", fw2_reset_exact, GONE);
	check_every_row("RST in the window", fw2_reset_in_window, GONE);
	check_every_row("RST outside", fw2_reset_outside, STAYS + SEGMENT_ACK);
	check_every_row("ACK outside", fw2_ack_outside, STAYS + SEGMENT_ACK);
	check_every_row("SYN at what is next", fw2_syn_next, GONE + SEGMENT_RST + SEGMENT_ACK);
	check_every_row("SYN in the window", fw2_syn_in_window, GONE + SEGMENT_RST + SEGMENT_ACK);
	check_every_row("SYN before the window", fw2_syn_old, STAYS + SEGMENT_ACK);
	check_every_row("bare ACK", fw2_bare_ack, STAYS);
	check_every_row("FIN without ACK", fw2_fin_without_ack, STAYS);
	check_every_row("data", fw2_data, GONE + SEGMENT_RST);
	check_every_row("data with the FIN", fw2_data_and_fin, GONE + SEGMENT_RST);
	check_every_row("FIN one too far", fw2_fin_too_far, GONE + SEGMENT_RST);
	check_every_row("FIN", fw2_fin, CLOSED + SEGMENT_ACK);
	check_every_row("FIN with an old timestamp", old_fin, STAYS + SEGMENT_ACK);
	check_every_row("FIN with the same", fin_of_now, CLOSED + SEGMENT_ACK);
	check_every_row("tcp_timestamps 0 meanwhile", old_fin_unread, CLOSED + SEGMENT_ACK);
}

/* The FIN starts TIME_WAIT's own sixty seconds, however little was left. */
static int fin_starts_a_minute(struct pair *p)
{
	engine_set(p->server, fin_timeout_s, 3);
	struct ends e = into_fin_wait2(p);

	assert_int_equal(at_server(p, CLIENT_PORT).expires_ns, 4 * S);
	host_close(p->client, e.client);
	pump(p);
	return (int)(at_server(p, CLIENT_PORT).expires_ns / S) - 3;
}

/* A refused reset at a FIN_WAIT2 is answered, but once in 500 ms only. */
static int fin_wait2_answers(struct pair *p)
{
	int n = 0;

	into_fin_wait2(p);
	for (int i = 0; i < 3; i++)
		n += outcome(p, shot(p, SEGMENT_ACK, 70000, 0)) == SEGMENT_ACK;
	assert_int_equal(counted(p->server, TCPACKSkippedFinWait2), 3 - n);
	host_advance(p->server, 3500 * MS);
	n += outcome(p, shot(p, SEGMENT_ACK, 70000, 0)) == SEGMENT_ACK;
	return n;
}

static void test_fin_wait2_times(void **state)
{
	(void)state;
	check_every_row("FIN into FIN_WAIT2", fin_starts_a_minute, 60);
	check_rows("answers of FIN_WAIT2", fin_wait2_answers, SINCE({"3.10", 4}, {"4.9.0", 2}));
}

/* ----------------------------------------------------------------------------------- TIME_WAIT */

#define SHOT_AT_TIME_WAIT(name, flags, beyond, length)                                             \
	static int name(struct pair *p)                                                            \
	{                                                                                          \
		into_time_wait(p);                                                                 \
		return outcome(p, shot(p, flags, beyond, length));                                 \
	}
SHOT_AT_TIME_WAIT(tw_reset_exact, SEGMENT_RST, 0, 0)
SHOT_AT_TIME_WAIT(tw_reset_ack_exact, SEGMENT_RST | SEGMENT_ACK, 0, 0)
SHOT_AT_TIME_WAIT(tw_reset_beside, SEGMENT_RST, 1, 0)
SHOT_AT_TIME_WAIT(tw_reset_before, SEGMENT_RST, UINT32_MAX, 0)
SHOT_AT_TIME_WAIT(tw_bare_ack, SEGMENT_ACK, 0, 0)
SHOT_AT_TIME_WAIT(tw_ack_beside, SEGMENT_ACK, 1, 0)
SHOT_AT_TIME_WAIT(tw_fin_again, SEGMENT_FIN | SEGMENT_ACK, UINT32_MAX, 0)
SHOT_AT_TIME_WAIT(tw_data, SEGMENT_ACK, 0, 10)
SHOT_AT_TIME_WAIT(tw_syn_ack, SEGMENT_SYN | SEGMENT_ACK, 100, 0)
SHOT_AT_TIME_WAIT(tw_syn_higher, SEGMENT_SYN, 1, 0)
SHOT_AT_TIME_WAIT(tw_syn_equal, SEGMENT_SYN, 0, 0)
SHOT_AT_TIME_WAIT(tw_syn_lower, SEGMENT_SYN, UINT32_MAX, 0)

/* The same with tcp_rfc1337, and without a listener. */
static int protected_reset(struct pair *p)
{
	host_set(p->server, rfc1337, true);
	into_time_wait(p);
	return outcome(p, shot(p, SEGMENT_RST, 0, 0));
}

static int nobody_listens(struct pair *p)
{
	struct ends e = into_time_wait(p);

	host_close(p->server, e.listener);
	return outcome(p, shot(p, SEGMENT_SYN, 1000, 0));
}

static void test_time_wait(void **state)
{
	const int syn_ack = SEGMENT_SYN + SEGMENT_ACK;

	(void)state;
	check_every_row("RST at what is next", tw_reset_exact, GONE);
	check_every_row("RST with ACK at what is next", tw_reset_ack_exact, GONE);
	check_every_row("RST beside", tw_reset_beside, STAYS);
	check_every_row("RST before", tw_reset_before, STAYS);
	check_every_row("bare ACK", tw_bare_ack, RESTARTS);
	check_every_row("ACK beside", tw_ack_beside, RESTARTS + SEGMENT_ACK);
	check_every_row("FIN again", tw_fin_again, RESTARTS + SEGMENT_ACK);
	check_every_row("data", tw_data, RESTARTS + SEGMENT_ACK);
	check_every_row("SYN-ACK", tw_syn_ack, RESTARTS + SEGMENT_ACK);
	check_every_row("SYN with a higher number", tw_syn_higher, REPLACED + syn_ack);
	check_every_row("SYN with the number that is next", tw_syn_equal, STAYS + SEGMENT_ACK);
	check_every_row("SYN with a lower number", tw_syn_lower, STAYS + SEGMENT_ACK);
	check_rows(
		"RST with tcp_rfc1337", protected_reset,
		SINCE({"3.10", RESTARTS}, {"4.9.y", STAYS}, {"4.11", RESTARTS}, {"4.19.y", STAYS}));
	check_every_row("SYN, nobody listens", nobody_listens, STAYS + SEGMENT_ACK);
}

static int time_wait_answers(struct pair *p)
{
	int n = 0;

	into_time_wait(p);
	for (int i = 0; i < 3; i++)
		n += (outcome(p, shot(p, SEGMENT_SYN, 0, 0)) % 100) == SEGMENT_ACK;
	assert_int_equal(counted(p->server, TCPACKSkippedTimeWait), 3 - n);
	host_advance(p->server, 3500 * MS);
	n += (outcome(p, shot(p, SEGMENT_SYN, 0, 0)) % 100) == SEGMENT_ACK;
	return n;
}

/* A FIN counts as data: answered always, so that a peer in LAST_ACK ends. */
static int time_wait_answers_fins(struct pair *p)
{
	int n = 0;

	into_time_wait(p);
	for (int i = 0; i < 3; i++)
		n += (outcome(p, shot(p, SEGMENT_FIN | SEGMENT_ACK, UINT32_MAX, 0)) % 100) ==
		     SEGMENT_ACK;
	return n;
}

static void test_answers_are_limited(void **state)
{
	(void)state;
	check_rows("answers of TIME_WAIT to SYNs", time_wait_answers,
		   SINCE({"3.10", 4}, {"4.9.0", 2}));
	check_every_row("answers of TIME_WAIT to FINs", time_wait_answers_fins, 3);
}

/* ----------------------------------------------------------------------- timestamps in TIME_WAIT
 */

/* A SYN of the same 4-tuple with that number and timestamp, both relative to what is remembered. */
struct order {
	uint32_t seq, ts;
};

/* TIME_WAIT whose last timestamp of the client is known: that of its FIN. */
static uint32_t into_stamped_time_wait(struct pair *p)
{
	struct ends e = established(p);

	host_close(p->server, e.server);
	pump(p);
	host_close(p->client, e.client);
	struct segment fin = out_of(p->client);
	assert_true(fin.has_timestamp);
	into(p->server, fin);
	pump(p);
	assert_int_equal(at_server(p, CLIENT_PORT).state, TCPWHY_TIME_WAIT);
	both_advance(p, 3 * S);
	return fin.tsval;
}

static struct segment ordered(struct pair *p, uint32_t last, uint8_t flags, struct order o)
{
	struct segment s = shot(p, flags, o.seq, 0);

	s.has_timestamp = true;
	s.tsval = last + o.ts;
	return s;
}

#define OLDER  (UINT32_MAX - 999)
#define BEFORE UINT32_MAX

static int syn_in_order(struct pair *p, struct order o)
{
	uint32_t last = into_stamped_time_wait(p);

	return outcome(p, ordered(p, last, SEGMENT_SYN, o));
}

#define SYN_IN_ORDER(name, seq, ts)                                                                \
	static int name(struct pair *p)                                                            \
	{                                                                                          \
		return syn_in_order(p, (struct order){seq, ts});                                   \
	}
SYN_IN_ORDER(higher_newer, 1, 1)
SYN_IN_ORDER(higher_same, 1, 0)
SYN_IN_ORDER(higher_older, 1, OLDER)
SYN_IN_ORDER(equal_newer, 0, 1)
SYN_IN_ORDER(equal_same, 0, 0)
SYN_IN_ORDER(equal_older, 0, OLDER)
SYN_IN_ORDER(lower_newer, BEFORE, 1)
SYN_IN_ORDER(lower_same, BEFORE, 0)
SYN_IN_ORDER(lower_older, BEFORE, OLDER)

static void test_every_order(void **state)
{
	const int taken = REPLACED + SEGMENT_SYN + SEGMENT_ACK;

	(void)state;
	check_every_row("higher number, newer timestamp", higher_newer, taken);
	check_every_row("higher number, same timestamp", higher_same, taken);
	check_every_row("higher number, older timestamp", higher_older, RESTARTS + SEGMENT_ACK);
	check_every_row("equal number, newer timestamp", equal_newer, taken);
	check_every_row("equal number, same timestamp", equal_same, STAYS + SEGMENT_ACK);
	check_every_row("equal number, older timestamp", equal_older, RESTARTS + SEGMENT_ACK);
	check_every_row("lower number, newer timestamp", lower_newer, taken);
	check_every_row("lower number, same timestamp", lower_same, STAYS + SEGMENT_ACK);
	check_every_row("lower number, older timestamp", lower_older, RESTARTS + SEGMENT_ACK);
}

/* Under which name a refusal for the timestamp counts. */
static int paws_counter(struct pair *p)
{
	uint32_t last = into_stamped_time_wait(p);

	outcome(p, ordered(p, last, SEGMENT_SYN, (struct order){1, OLDER}));
	assert_int_equal(counted(p->server, PAWSTimewait) + counted(p->server, PAWSEstab), 1);
	return counted(p->server, PAWSTimewait);
}

/* A RST is measured by its timestamp for a minute only; the timestamp of 4.4 is in whole seconds.
 */
static int old_reset_after(struct pair *p, uint64_t ns)
{
	uint32_t last = into_stamped_time_wait(p);

	/* A bare ACK without a timestamp keeps the TIME_WAIT and leaves its stamp alone. */
	host_advance(p->server, 50 * S);
	assert_int_equal(outcome(p, shot(p, SEGMENT_ACK, 0, 0)), RESTARTS);
	host_advance(p->server, S + ns);
	return outcome(p, ordered(p, last, SEGMENT_RST, (struct order){0, OLDER}));
}

static int old_reset_within_a_minute(struct pair *p)
{
	return old_reset_after(p, 59 * S);
}

static int old_reset_after_a_minute(struct pair *p)
{
	return old_reset_after(p, 61 * S);
}

/* Without timestamps on the connection those of a SYN tell nothing. */
static int no_timestamps(struct pair *p)
{
	engine_set(p->client, timestamps, false);
	into_time_wait(p);
	struct segment syn = shot(p, SEGMENT_SYN, 0, 0);
	syn.has_timestamp = true;
	syn.tsval = UINT32_MAX / 3;
	return outcome(p, syn);
}

static void test_paws(void **state)
{
	(void)state;
	check_rows("counted as PAWSTimewait", paws_counter, SINCE({"3.10", 0}, {"6.18.y", 1}));
	check_every_row("old RST within a minute", old_reset_within_a_minute, STAYS);
	check_every_row("old RST after a minute", old_reset_after_a_minute, GONE);
	check_every_row("no timestamps before", no_timestamps, STAYS + SEGMENT_ACK);
}

/* ----------------------------------------------------------------------------- the new connection
 */

/* The SYN that a TIME_WAIT lets pass begins beyond the old numbers, and is exempt from the SYN
 * queue, but not from the accept queue. */
static int successor_begins_beyond(struct pair *p)
{
	into_time_wait(p);
	uint32_t old = at_server(p, CLIENT_PORT).snd_nxt;

	into(p->server, shot(p, SEGMENT_SYN, 1, 0));
	return out_of(p->server).seq - old == 65537;
}

static int successor_past_full_syn_queue(struct pair *p)
{
	struct ends e = into_time_wait(p);

	host_listen(p->server, e.listener, 0, NULL);
	host_set(p->server, syncookies, 0);
	host_set(p->server, max_syn_backlog, 0);
	return outcome(p, shot(p, SEGMENT_SYN, 1, 0));
}

static int successor_at_full_accept_queue(struct pair *p)
{
	struct ends e = into_time_wait(p);

	host_listen(p->server, e.listener, 0, NULL);
	a_call_from(p, CLIENT_PORT + 1);
	pump(p);
	int what = outcome(p, shot(p, SEGMENT_SYN, 1, 0));
	assert_int_equal(counted(p->server, ListenOverflows), what == GONE);
	return what;
}

/* What the answer to a late segment says: both numbers, our clock, the last timestamp seen. */
static int answer_says(struct pair *p)
{
	uint32_t last = into_stamped_time_wait(p);
	struct host_view v = at_server(p, CLIENT_PORT);

	into(p->server, shot(p, SEGMENT_SYN, 0, 0));
	struct segment ack = out_of(p->server);
	assert_int_equal(ack.flags, SEGMENT_ACK);
	assert_int_equal(ack.seq, v.snd_nxt);
	assert_int_equal(ack.ack, v.rcv_nxt);
	assert_int_equal(ack.window, v.window);
	assert_true(ack.has_timestamp);
	return (int)(ack.tsecr - last);
}

static void test_successor(void **state)
{
	const int taken = REPLACED + SEGMENT_SYN + SEGMENT_ACK;

	(void)state;
	check_every_row("what the answer says", answer_says, 0);
	check_rows("it goes on in the numbers", successor_begins_beyond,
		   SINCE({"3.10", 1}, {"4.19.y", 0}, {"6.12.y", 1}));
	/* with backlog 0 the SYN queue is full or not, as the row has it: then it is asked */
	check_rows("the SYN queue is not asked", successor_past_full_syn_queue,
		   SINCE({"3.10", taken}, {"4.19.y", GONE}, {"5.10.y", taken}, {"6.1.4", GONE},
			 {"6.1.y", taken}));
	check_rows("the accept queue is", successor_at_full_accept_queue,
		   SINCE({"3.10", taken}, {"4.9.y", GONE}));
}

/* ------------------------------------------------------------------------------ tcp_max_tw_buckets
 */

static int overflow(struct pair *p, uint32_t most)
{
	engine_set(p->server, max_tw_buckets, most);
	struct ends e = established(p);

	host_shutdown(p->server, e.server, TCPWHY_SHUT_WR);
	pump(p);
	host_close(p->client, e.client);
	pump(p);
	int left = at_server(p, CLIENT_PORT).state == TCPWHY_TIME_WAIT;
	assert_int_equal(counted(p->server, TCPTimeWaitOverflow), !left);
	both_advance(p, 100 * S);
	assert_int_equal(counted(p->server, TW), left);
	return left;
}

static int overflow_at_none(struct pair *p)
{
	return overflow(p, 0);
}

static int overflow_at_one(struct pair *p)
{
	return overflow(p, 1);
}

/* An orphan's FIN_WAIT2 counts, too; what comes next meets nobody and is reset. */
static int orphan_overflows(struct pair *p)
{
	engine_set(p->server, max_tw_buckets, 0);
	struct ends e = established(p);

	host_close(p->server, e.server);
	pump(p);
	assert_int_equal(counted(p->server, TCPTimeWaitOverflow), 1);
	assert_int_equal(at_server(p, CLIENT_PORT).state, 0);
	assert_int_equal(host_close(p->client, e.client), 0);
	into(p->server, out_of(p->client));
	return answer(p->server);
}

static void test_overflow(void **state)
{
	(void)state;
	check_every_row("tcp_max_tw_buckets 0", overflow_at_none, 0);
	check_every_row("tcp_max_tw_buckets 1", overflow_at_one, 1);
	check_every_row("an orphan without a mini-socket", orphan_overflows, SEGMENT_RST);
}

/* ------------------------------------------------------------------------------ TW and TWKilled */

static int at_the_start(struct pair *p)
{
	into_time_wait(p);
	return counted(p->server, TW);
}

static int at_the_end(struct pair *p)
{
	into_time_wait(p);
	both_advance(p, 100 * S);
	assert_int_equal(counted(p->server, TWKilled), 0);
	return counted(p->server, TW);
}

/* A restarted one is still one. */
static int restarted(struct pair *p)
{
	into_time_wait(p);
	into(p->server, shot(p, SEGMENT_ACK, 0, 0));
	both_advance(p, 100 * S);
	return counted(p->server, TW);
}

static int succeeded(struct pair *p)
{
	into_time_wait(p);
	into(p->server, shot(p, SEGMENT_SYN, 1, 0));
	both_advance(p, 1000 * S);
	return counted(p->server, TW);
}

static int reset(struct pair *p)
{
	into_time_wait(p);
	into(p->server, shot(p, SEGMENT_RST, 0, 0));
	both_advance(p, 100 * S);
	return counted(p->server, TW);
}

static int destroyed(struct pair *p)
{
	into_time_wait(p);
	assert_int_equal(
		host_destroy(p->server, &p->server_at, SERVER_PORT, &p->client_at, CLIENT_PORT), 0);
	both_advance(p, 100 * S);
	return counted(p->server, TW);
}

/* Four seconds or less; by what it was last given. */
static int short_fin_wait2(struct pair *p)
{
	engine_set(p->server, fin_timeout_s, 4);
	into_fin_wait2(p);
	both_advance(p, 100 * S);
	assert_int_equal(counted(p->server, TW), 0);
	return counted(p->server, TWKilled);
}

static int short_fin_wait2_and_fin(struct pair *p)
{
	engine_set(p->server, fin_timeout_s, 4);
	struct ends e = into_fin_wait2(p);
	host_close(p->client, e.client);
	pump(p);
	both_advance(p, 100 * S);
	assert_int_equal(counted(p->server, TW) + counted(p->server, TWKilled), 1);
	return counted(p->server, TW);
}

/* Until 5.16 the timer that ended it counted it, so one that ended otherwise was not counted. */
static void test_counted(void **state)
{
	(void)state;
	check_rows("at the start", at_the_start, SINCE({"3.10", 0}, {"6.1.4", 1}));
	check_every_row("at the end", at_the_end, 1);
	check_every_row("restarted", restarted, 1);
	check_rows("succeeded", succeeded, SINCE({"3.10", 0}, {"6.1.4", 1}));
	check_rows("reset", reset, SINCE({"3.10", 0}, {"6.1.4", 1}));
	check_rows("destroyed", destroyed, SINCE({"3.10", 0}, {"6.1.4", 1}));
	check_every_row("four seconds", short_fin_wait2, 1);
	check_rows("four seconds, then its own", short_fin_wait2_and_fin,
		   SINCE({"3.10", 1}, {"6.1.4", 0}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fin_wait2),   cmocka_unit_test(test_fin_wait2_times),
		cmocka_unit_test(test_time_wait),   cmocka_unit_test(test_answers_are_limited),
		cmocka_unit_test(test_every_order), cmocka_unit_test(test_paws),
		cmocka_unit_test(test_successor),   cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_counted),
	};

	return unit_run("mini", tests);
}
