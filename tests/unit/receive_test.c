/* SPDX-License-Identifier: MIT
 *
 * A segment that may touch a connection: its ACK, its data in any order, its FIN in any state
 *
 * The server's end of the connection from CLIENT_PORT is what receives.
 */
#include "host_fixture.h"

static struct segment sent(struct pair *p, uint8_t flags, uint32_t beyond, uint32_t length)
{
	struct segment s = to_server(p, flags);

	s.seq += beyond;
	s.length = length;
	return s;
}

/* The answer, and the state that the server's end is in then. */
static int outcome(struct pair *p, struct segment s)
{
	lose(p->server);
	into(p->server, s);
	int flags = answer(p->server);
	return flags + at_server(p, CLIENT_PORT).state * 100;
}

#define IN(state, flags) ((state)*100 + (flags))

/* ------------------------------------------------------------------------------------------ ACK */

/* An ACK that is so much off what was sent last; 1,000 bytes of ours are acknowledged. It brings
 * ten bytes: how many are taken. */
static int ack_off(struct pair *p, uint32_t moved, int *challenges)
{
	struct ends e = established(p);

	host_send(p->server, e.server, 1000);
	pump(p);
	struct segment s = sent(p, SEGMENT_ACK, 0, 10);
	s.ack += moved;
	into(p->server, s);
	*challenges = counted(p->server, TCPChallengeACK);
	int64_t n = host_recv(p->server, e.server, 100);
	return n < 0 ? 0 : (int)n;
}

static int ack_of_now(struct pair *p)
{
	int challenges;

	return ack_off(p, 0, &challenges) + 1000 * challenges;
}

static int ack_of_before(struct pair *p)
{
	int challenges;

	return ack_off(p, UINT32_MAX - 499, &challenges) + 1000 * challenges;
}

/* Further back than a window, or than all that ever was acknowledged: the 1,000 and our SYN. */
static int ack_of_long_ago(struct pair *p)
{
	int challenges;

	return ack_off(p, UINT32_MAX - 100000, &challenges) + 1000 * challenges;
}

static int ack_of_nothing_sent(struct pair *p)
{
	int challenges;

	return ack_off(p, 1, &challenges) + 1000 * challenges;
}

static void test_ack(void **state)
{
	(void)state;
	check_every_row("an ACK of what is sent", ack_of_now, 10);
	check_every_row("an old ACK", ack_of_before, 10);
	check_every_row("an ACK of long ago", ack_of_long_ago, 1000);
	check_rows("an ACK of what was never sent", ack_of_nothing_sent,
		   SINCE({"3.10", 0}, {"6.18.y", 1000}));
}

/* While closing an old ACK had the segment refused until 6.8. */
static int old_ack_closing(struct pair *p, uint32_t moved)
{
	struct ends e = established(p);

	host_send(p->server, e.server, 1000);
	pump(p);
	host_shutdown(p->server, e.server, TCPWHY_SHUT_WR);
	pump(p);
	assert_int_equal(at_server(p, CLIENT_PORT).state, TCPWHY_FIN_WAIT2);
	struct segment s = sent(p, SEGMENT_ACK, 0, 10);
	s.ack += moved;
	into(p->server, s);
	int64_t n = host_recv(p->server, e.server, 100);
	int taken = n < 0 ? 0 : (int)n;
	assert_int_equal(counted(p->server, TCPChallengeACK), taken == 0);
	return taken;
}

static int old_ack_in_fin_wait2(struct pair *p)
{
	return old_ack_closing(p, UINT32_MAX - 99);
}

static int ancient_ack_in_fin_wait2(struct pair *p)
{
	return old_ack_closing(p, UINT32_MAX - 100000);
}

static int right_ack_in_fin_wait2(struct pair *p)
{
	return old_ack_closing(p, 0);
}

/* The echo after a segment with an old ACK: of its timestamp, or of the one before. */
static int stamp_of_old_ack(struct pair *p)
{
	struct ends e = established(p);

	host_send(p->server, e.server, 1000);
	pump(p);
	both_advance(p, 10 * S);
	struct segment s = sent(p, SEGMENT_ACK, 0, 10);
	uint32_t before = at_server(p, CLIENT_PORT).rcv_nxt;
	s.ack -= 100;
	s.has_timestamp = true;
	s.tsval = UINT32_C(1) << 20;
	into(p->server, s);
	assert_int_equal(at_server(p, CLIENT_PORT).rcv_nxt - before, 10);
	return out_of(p->server).tsecr == s.tsval;
}

static void test_ack_while_closing(void **state)
{
	(void)state;
	check_rows("an old ACK in FIN_WAIT2", old_ack_in_fin_wait2,
		   SINCE({"3.10", 10}, {"4.19.y", 0}, {"6.1.y", 10}));
	check_rows("an ACK of long ago in FIN_WAIT2", ancient_ack_in_fin_wait2,
		   SINCE({"3.10", 10}, {"4.19.y", 0}));
	check_rows("the timestamp of an old ACK", stamp_of_old_ack,
		   SINCE({"3.10", 0}, {"6.1.y", 1}, {"6.18.y", 0}, {"7.2.y", 1}));
	check_every_row("the right ACK in FIN_WAIT2", right_ack_in_fin_wait2, 10);
}

/* ----------------------------------------------------------------------------------------- data */

/* Stretches of ten bytes, by their place; bytes that can be read afterwards. */
static int pieces(struct pair *p, const uint32_t *at, int n, struct segment *last_answer)
{
	struct ends e = established(p);
	struct segment next = to_server(p, SEGMENT_ACK);

	for (int i = 0; i < n; i++) {
		struct segment s = next;
		s.seq += at[i] * 10;
		s.length = 10;
		lose(p->server);
		into(p->server, s);
		*last_answer = out_of(p->server);
		last_answer->ack -= next.seq;
		last_answer->sack_edge -= next.seq;
	}
	int64_t bytes = host_recv(p->server, e.server, 10000);
	return bytes < 0 ? 0 : (int)bytes;
}

static int hole(struct pair *p)
{
	struct segment a;
	int bytes = pieces(p, (const uint32_t[]){0, 2}, 2, &a);

	assert_true(a.has_sack);
	assert_int_equal(a.ack, 10);
	assert_int_equal(a.sack_edge, 30);
	return bytes;
}

static int hole_filled(struct pair *p)
{
	struct segment a;
	int bytes = pieces(p, (const uint32_t[]){2, 1, 4, 0}, 4, &a);

	assert_int_equal(a.ack, 30);
	assert_int_equal(a.sack_edge, 50);
	return bytes;
}

static int all_backwards(struct pair *p)
{
	struct segment a;
	int bytes = pieces(p, (const uint32_t[]){7, 6, 5, 4, 3, 2, 1, 0}, 8, &a);

	assert_false(a.has_sack);
	return bytes;
}

static int with_gaps(struct pair *p)
{
	struct segment a;

	return pieces(p, (const uint32_t[]){7, 5, 3, 1, 6, 4, 2, 0}, 8, &a);
}

/* 128 pieces are kept apart, one more is lost; and all that they take is free again afterwards. */
static int too_many_holes(struct pair *p)
{
	uint32_t list[129 + 128];
	struct segment a;

	for (uint32_t i = 0; i < 129; i++)
		list[i] = 2 * i + 1;
	for (uint32_t i = 0; i < 128; i++)
		list[129 + i] = 2 * i;
	pieces(p, list, 129 + 128, &a);
	assert_false(a.has_sack);
	return (int)a.ack;
}

static void test_order(void **state)
{
	(void)state;
	check_every_row("a hole", hole, 10);
	check_every_row("a hole filled", hole_filled, 30);
	check_every_row("all backwards", all_backwards, 80);
	check_every_row("with gaps", with_gaps, 80);
	check_every_row("too many holes", too_many_holes, 2560);
}

static int full_window(struct pair *p)
{
	struct ends e = established(p);

	host_send(p->client, e.client, 65535 + 1);
	pump(p);
	assert_int_equal(at_server(p, CLIENT_PORT).window, 0);
	assert_int_equal(outcome(p, sent(p, SEGMENT_ACK, 0, 1)),
			 IN(TCPWHY_ESTABLISHED, SEGMENT_ACK));
	assert_int_equal(at_server(p, CLIENT_PORT).unread, 65535);
	assert_int_equal(counted(p->server, TCPZeroWindowDrop) + counted(p->server, BeyondWindow),
			 1);
	return counted(p->server, BeyondWindow);
}

/* A bare FIN needs no room. */
static int fin_at_full_window(struct pair *p)
{
	struct ends e = established(p);

	host_send(p->client, e.client, 65535);
	pump(p);
	return outcome(p, sent(p, SEGMENT_FIN | SEGMENT_ACK, 0, 0));
}

static void test_full_window(void **state)
{
	(void)state;
	check_rows("data at a full window", full_window, SINCE({"3.10", 0}, {"6.18.y", 1}));
	check_every_row("FIN at a full window", fin_at_full_window,
			IN(TCPWHY_CLOSE_WAIT, SEGMENT_ACK));
}

/* What the peer's window has no room for waits until it says more; what is less than a segment
 * waits as a whole. */
static int peers_window(struct pair *p)
{
	struct ends e = established(p);
	struct segment s;
	int bytes = 0;

	/* A smaller window is believed only of a later segment. */
	outcome(p, sent(p, SEGMENT_ACK, 0, 1));
	struct segment small = sent(p, SEGMENT_ACK, 0, 1);
	small.window = 100;
	into(p->server, small);
	lose(p->server);
	host_send(p->server, e.server, 100);
	assert_int_equal(out_of(p->server).length, 100);
	host_send(p->server, e.server, 150);
	nothing_out_of(p->server);
	struct segment more = sent(p, SEGMENT_ACK, 0, 0);
	more.window = 1000;
	into(p->server, more);
	while (host_segment_out(p->server, &s))
		bytes += (int)s.length;
	return bytes;
}

static void test_peers_window(void **state)
{
	(void)state;
	check_every_row("the peer's window", peers_window, 150);
}

/* ------------------------------------------------------------------------------------------ FIN */

static int fin_in_order(struct pair *p)
{
	struct ends e = established(p);
	int what = outcome(p, sent(p, SEGMENT_FIN | SEGMENT_ACK, 0, 3));

	assert_int_equal(host_recv(p->server, e.server, 100), 3);
	assert_int_equal(host_recv(p->server, e.server, 100), 0);
	return what;
}

/* One that comes before its turn waits for it. */
static int fin_ahead(struct pair *p)
{
	struct ends e = established(p);

	assert_int_equal(outcome(p, sent(p, SEGMENT_FIN | SEGMENT_ACK, 5, 0)),
			 IN(TCPWHY_ESTABLISHED, SEGMENT_ACK));
	int what = outcome(p, sent(p, SEGMENT_ACK, 0, 5));
	assert_int_equal(host_recv(p->server, e.server, 100), 5);
	return what;
}

static int fin_ahead_and_less(struct pair *p)
{
	established(p);
	outcome(p, sent(p, SEGMENT_FIN | SEGMENT_ACK, 5, 0));
	return outcome(p, sent(p, SEGMENT_ACK, 0, 4));
}

static int fin_again(struct pair *p)
{
	established(p);
	outcome(p, sent(p, SEGMENT_FIN | SEGMENT_ACK, 0, 0));
	return outcome(p, sent(p, SEGMENT_FIN | SEGMENT_ACK, UINT32_MAX, 0));
}

/* Nothing comes after a FIN. */
static int data_after_fin(struct pair *p)
{
	struct ends e = established(p);

	outcome(p, sent(p, SEGMENT_FIN | SEGMENT_ACK, 0, 0));
	int what = outcome(p, sent(p, SEGMENT_ACK, 0, 10));
	assert_int_equal(host_recv(p->server, e.server, 100), 0);
	return what;
}

static void test_fin(void **state)
{
	(void)state;
	check_every_row("FIN with data", fin_in_order, IN(TCPWHY_CLOSE_WAIT, SEGMENT_ACK));
	check_every_row("FIN ahead", fin_ahead, IN(TCPWHY_CLOSE_WAIT, SEGMENT_ACK));
	check_every_row("FIN ahead, one byte short", fin_ahead_and_less,
			IN(TCPWHY_ESTABLISHED, SEGMENT_ACK));
	check_every_row("FIN again", fin_again, IN(TCPWHY_CLOSE_WAIT, SEGMENT_ACK));
	check_every_row("data after the FIN", data_after_fin, IN(TCPWHY_CLOSE_WAIT, 0));
}

/* What ends FIN_WAIT1: ACK, FIN, both at once; of a socket that is held, and of an orphan. */
static int fin_wait1(struct pair *p, bool orphan, uint8_t flags, bool acknowledges)
{
	struct ends e = established(p);

	if (orphan)
		host_close(p->server, e.server);
	else
		host_shutdown(p->server, e.server, TCPWHY_SHUT_WR);
	struct segment s = sent(p, flags, 0, 0);
	s.ack -= !acknowledges;
	int what = outcome(p, s);
	assert_int_equal(at_server(p, CLIENT_PORT).timewait,
			 what / 100 == TCPWHY_TIME_WAIT ||
				 (orphan && what / 100 == TCPWHY_FIN_WAIT2));
	return what;
}

#define FIN_WAIT1(name, orphan, flags, acknowledges)                                               \
	static int name(struct pair *p)                                                            \
	{                                                                                          \
		return fin_wait1(p, orphan, flags, acknowledges);                                  \
	}
FIN_WAIT1(held_acked, false, SEGMENT_ACK, true)
FIN_WAIT1(held_not_acked, false, SEGMENT_ACK, false)
FIN_WAIT1(held_fin, false, SEGMENT_FIN | SEGMENT_ACK, false)
FIN_WAIT1(held_fin_acked, false, SEGMENT_FIN | SEGMENT_ACK, true)
FIN_WAIT1(orphan_acked, true, SEGMENT_ACK, true)
FIN_WAIT1(orphan_fin, true, SEGMENT_FIN | SEGMENT_ACK, false)
FIN_WAIT1(orphan_fin_acked, true, SEGMENT_FIN | SEGMENT_ACK, true)

static void test_fin_wait1(void **state)
{
	(void)state;
	check_every_row("ACK", held_acked, IN(TCPWHY_FIN_WAIT2, 0));
	check_every_row("ACK of less", held_not_acked, IN(TCPWHY_FIN_WAIT1, 0));
	check_every_row("FIN", held_fin, IN(TCPWHY_CLOSING, SEGMENT_ACK));
	check_every_row("FIN and ACK", held_fin_acked, IN(TCPWHY_TIME_WAIT, SEGMENT_ACK));
	check_every_row("ACK for an orphan", orphan_acked, IN(TCPWHY_FIN_WAIT2, 0));
	check_every_row("FIN for an orphan", orphan_fin, IN(TCPWHY_CLOSING, SEGMENT_ACK));
	check_every_row("FIN and ACK for an orphan", orphan_fin_acked,
			IN(TCPWHY_TIME_WAIT, SEGMENT_ACK));
}

static int last_ack(struct pair *p, uint32_t moved)
{
	struct ends e = established(p);

	outcome(p, sent(p, SEGMENT_FIN | SEGMENT_ACK, 0, 0));
	host_close(p->server, e.server);
	struct segment s = sent(p, SEGMENT_ACK, 0, 0);
	s.ack += moved;
	int what = outcome(p, s);
	assert_int_equal(counted(p->server, TW), 0);
	assert_int_equal(counted(p->server, EstabResets), 0);
	return what;
}

static int last_ack_right(struct pair *p)
{
	return last_ack(p, 0);
}

static int last_ack_short(struct pair *p)
{
	return last_ack(p, UINT32_MAX);
}

static void test_last_ack(void **state)
{
	(void)state;
	check_every_row("the last ACK", last_ack_right, IN(0, 0));
	check_every_row("the last ACK, one short", last_ack_short, IN(TCPWHY_LAST_ACK, 0));
}

/* ------------------------------------------------------------------------- data that nobody reads
 */

/* After close() the peer is told that what it sends is lost. */
static int data_for_orphan(struct pair *p, bool fin_acked, uint32_t length)
{
	struct ends e = established(p);

	host_close(p->server, e.server);
	struct segment s = sent(p, SEGMENT_ACK, 0, length);
	s.ack -= !fin_acked;
	int what = outcome(p, s);
	assert_int_equal(counted(p->server, TCPAbortOnData), (what & SEGMENT_RST) != 0);
	return what;
}

static int data_with_ack(struct pair *p)
{
	return data_for_orphan(p, true, 1);
}

static int data_before_ack(struct pair *p)
{
	return data_for_orphan(p, false, 1);
}

static int no_data_before_ack(struct pair *p)
{
	return data_for_orphan(p, false, 0);
}

/* shutdown(SHUT_RDWR) of a socket that is held does the same, except in ESTABLISHED. */
static int data_after_shutdown(struct pair *p)
{
	struct ends e = established(p);

	host_shutdown(p->server, e.server, TCPWHY_SHUT_RDWR);
	return outcome(p, sent(p, SEGMENT_ACK, 0, 1));
}

static int data_after_shut_rd(struct pair *p)
{
	struct ends e = established(p);

	host_shutdown(p->server, e.server, TCPWHY_SHUT_RD);
	int what = outcome(p, sent(p, SEGMENT_ACK, 0, 1));
	assert_int_equal(host_recv(p->server, e.server, 10), 1);
	return what;
}

static int data_after_shut_wr(struct pair *p)
{
	struct ends e = established(p);

	host_shutdown(p->server, e.server, TCPWHY_SHUT_WR);
	return outcome(p, sent(p, SEGMENT_ACK, 0, 1));
}

static void test_unwanted_data(void **state)
{
	(void)state;
	check_every_row("data with the ACK of an orphan's FIN", data_with_ack, IN(0, SEGMENT_RST));
	check_every_row("data before it", data_before_ack, IN(0, SEGMENT_RST));
	check_every_row("no data", no_data_before_ack, IN(TCPWHY_FIN_WAIT1, 0));
	check_every_row("data after SHUT_RDWR", data_after_shutdown, IN(0, SEGMENT_RST));
	check_every_row("data after SHUT_RD", data_after_shut_rd,
			IN(TCPWHY_ESTABLISHED, SEGMENT_ACK));
	check_every_row("data after SHUT_WR", data_after_shut_wr,
			IN(TCPWHY_FIN_WAIT2, SEGMENT_ACK));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ack),           cmocka_unit_test(test_ack_while_closing),
		cmocka_unit_test(test_order),         cmocka_unit_test(test_full_window),
		cmocka_unit_test(test_peers_window),  cmocka_unit_test(test_fin),
		cmocka_unit_test(test_fin_wait1),     cmocka_unit_test(test_last_ack),
		cmocka_unit_test(test_unwanted_data),
	};

	return unit_run("receive", tests);
}
