/* SPDX-License-Identifier: MIT
 *
 * What happens by itself: SYNs, data and FINs sent again until it is given up, the waits of orphans
 */
#include "host_fixture.h"

static bool client_is_gone(struct host *h, void *ctx)
{
	(void)h;
	return !at_client(ctx, CLIENT_PORT).state;
}

static uint64_t clock_of(struct host *h)
{
	return tcpwhy_now(host_engine(h));
}

/* ------------------------------------------------------------------------------------------ SYN */

static int give_up_after(struct pair *p, uint8_t retries, uint8_t linear)
{
	host_set(p->client, syn_retries, retries);
	host_set(p->client, syn_linear_timeouts, linear);
	tcpwhy_sock c = a_call_from(p, CLIENT_PORT);
	int ms = ends_after(p->client, client_is_gone, p);

	assert_int_equal(counted(p->client, TCPAbortOnTimeout), 1);
	assert_int_equal(counted(p->client, AttemptFails), 1);
	assert_int_equal(counted(p->client, TCPSynRetrans), counted(p->client, RetransSegs));
	assert_int_equal(
		host_connect(p->client, c, &p->server_at, SERVER_PORT, &p->client_at, NULL),
		-ETIMEDOUT);
	return ms;
}

static int syn_by_default(struct pair *p)
{
	return give_up_after(p, host_sysctls(p->client)->syn_retries,
			     host_sysctls(p->client)->syn_linear_timeouts);
}

static int syn_retries_1(struct pair *p)
{
	return give_up_after(p, 1, 0);
}

static int syn_retries_0(struct pair *p)
{
	return give_up_after(p, 0, 0);
}

static int syn_retries_0_of_4(struct pair *p)
{
	return give_up_after(p, 0, 4);
}

static int syn_retries_1_of_4(struct pair *p)
{
	return give_up_after(p, 1, 4);
}

static int syn_retries_2_of_4(struct pair *p)
{
	return give_up_after(p, 2, 4);
}

static int syn_retries_3_of_4(struct pair *p)
{
	return give_up_after(p, 3, 4);
}

static int syn_linear_2(struct pair *p)
{
	return give_up_after(p, 2, 2);
}

/* The seconds of each SYN, one digit sum for all: 0, 1, 3, 7, 15, 31, 63 or 0 to 5, 7, 11, ... */
static int syn_schedule(struct pair *p)
{
	uint64_t start = clock_of(p->client);
	int sum = 0;

	a_call_from(p, CLIENT_PORT);
	lose(p->client);
	for (int i = 0; i < 5; i++) {
		host_advance(p->client, host_deadline(p->client));
		assert_int_equal(answer(p->client), SEGMENT_SYN);
		sum = sum * 40 + (int)((clock_of(p->client) - start) / S);
	}
	return sum;
}

#define SCHEDULE(a, b, c, d, e) ((((((a)*40 + (b)) * 40 + (c)) * 40) + (d)) * 40 + (e))

/* Kept to the last millisecond: nothing happens before. */
static int before_the_first(struct pair *p)
{
	a_call_from(p, CLIENT_PORT);
	lose(p->client);
	host_advance(p->client, clock_of(p->client) + S - 1);
	return answer(p->client);
}

static void test_syn(void **state)
{
	(void)state;
	check_rows("SYN given up", syn_by_default, SINCE({"3.10", 127000}, {"6.12.y", 131000}));
	check_every_row("tcp_syn_retries 1", syn_retries_1, 3000);
	check_every_row("tcp_syn_retries 0", syn_retries_0, 1000);
	check_rows("tcp_syn_linear_timeouts 2", syn_linear_2,
		   SINCE({"3.10", 7000}, {"6.12.y", 9000}));
	check_rows("tcp_syn_retries 0, four linear", syn_retries_0_of_4,
		   SINCE({"3.10", 1000}, {"6.12.y", 2000}));
	check_every_row("tcp_syn_retries 1, four linear", syn_retries_1_of_4, 3000);
	check_every_row("tcp_syn_retries 2, four linear", syn_retries_2_of_4, 7000);
	check_rows("tcp_syn_retries 3, four linear", syn_retries_3_of_4,
		   SINCE({"3.10", 15000}, {"6.12.y", 19000}));
	check_rows("SYNs", syn_schedule,
		   SINCE({"3.10", SCHEDULE(1, 3, 7, 15, 31)}, {"6.12.y", SCHEDULE(1, 2, 3, 4, 5)}));
	check_every_row("before the first second", before_the_first, 0);
}

/* ------------------------------------------------------------------------------- data and FIN */

/* The round trip of the handshake was nothing: 200 ms, doubled each time, at most 120 s. */
static int data_schedule(struct pair *p)
{
	struct ends e = established(p);
	uint64_t start = clock_of(p->client), wait = 200 * MS;

	host_send(p->client, e.client, 10);
	struct segment first = out_of(p->client);
	for (int i = 0; i < 12; i++) {
		assert_int_equal(host_deadline(p->client), start + wait);
		host_advance(p->client, host_deadline(p->client));
		struct segment again = out_of(p->client);
		assert_int_equal(again.seq, first.seq);
		assert_int_equal(again.length, first.length);
		start += wait;
		wait = wait * 2 < 120 * S ? wait * 2 : 120 * S;
	}
	assert_int_equal(at_client(p, CLIENT_PORT).retransmits, 12);
	/* An ACK, and the count starts again. */
	into(p->server, first);
	pump(p);
	assert_int_equal(at_client(p, CLIENT_PORT).timer, HOST_TIMER_NONE);
	host_send(p->client, e.client, 10);
	return (int)((host_deadline(p->client) - clock_of(p->client)) / MS);
}

/* A handshake of 100 ms makes it 300. */
static int after_a_slow_handshake(struct pair *p)
{
	a_listener(p, 5);
	tcpwhy_sock c = a_call_from(p, CLIENT_PORT);

	into(p->server, out_of(p->client));
	host_advance(p->client, clock_of(p->client) + 100 * MS);
	into(p->client, out_of(p->server));
	host_send(p->client, c, 10);
	return (int)((host_deadline(p->client) - clock_of(p->client)) / MS);
}

/* Data in the handshake's second SYN: which of the two was answered, only timestamps tell. */
static int after_two_syns(struct pair *p, bool timestamps)
{
	engine_set(p->client, timestamps, timestamps);
	a_listener(p, 5);
	tcpwhy_sock c = a_call_from(p, CLIENT_PORT);

	lose(p->client);
	both_advance(p, clock_of(p->client) + S);
	into(p->server, out_of(p->client));
	into(p->client, out_of(p->server));
	host_send(p->client, c, 10);
	return (int)((host_deadline(p->client) - clock_of(p->client)) / MS);
}

static int two_syns_timed(struct pair *p)
{
	return after_two_syns(p, true);
}

static int two_syns_untimed(struct pair *p)
{
	return after_two_syns(p, false);
}

/* Ten bytes of the client's, sent again after a time-out, and not acknowledged. */
static struct ends sent_again(struct pair *p)
{
	struct ends e = established(p);

	host_send(p->client, e.client, 10);
	lose(p->client);
	host_advance(p->client, host_deadline(p->client));
	return e;
}

/* Nothing new, until they are acknowledged as a whole. */
static int data_behind(struct pair *p)
{
	struct ends e = sent_again(p);
	struct segment again = out_of(p->client), ack = to_client(p, SEGMENT_ACK);

	host_send(p->client, e.client, 20);
	ack.ack = again.seq + 4;
	into(p->client, ack);
	nothing_out_of(p->client);
	ack.ack = again.seq + 10;
	into(p->client, ack);
	return (int)out_of(p->client).length;
}

static int fin_behind(struct pair *p)
{
	struct ends e = sent_again(p);

	lose(p->client);
	host_close(p->client, e.client);
	return answer(p->client);
}

/* The FIN does not let out what is more than a segment with it. */
static int much_and_fin_behind(struct pair *p)
{
	struct ends e = sent_again(p);

	lose(p->client);
	host_send(p->client, e.client, 2000);
	host_close(p->client, e.client);
	return answer(p->client);
}

/* Retries stand for the time that they would take from 200 ms on. It runs from the first of them,
 * so that one more is made. */
static int gives_up_data(struct pair *p, uint8_t retries)
{
	host_set(p->client, retries2, retries);
	struct ends e = established(p);

	host_send(p->client, e.client, 10);
	int ms = ends_after(p->client, client_is_gone, p);
	assert_int_equal(counted(p->client, TCPAbortOnTimeout), 1);
	assert_int_equal(counted(p->client, RetransSegs), retries + 1);
	assert_int_equal(host_recv(p->client, e.client, 1), -ETIMEDOUT);
	return ms;
}

static int retries2_15(struct pair *p)
{
	return gives_up_data(p, 15);
}

static int retries2_2(struct pair *p)
{
	return gives_up_data(p, 2);
}

static void test_data(void **state)
{
	(void)state;
	check_every_row("data again", data_schedule, 200);
	check_every_row("after a slow handshake", after_a_slow_handshake, 300);
	check_every_row("after two SYNs, timestamps", two_syns_timed, 200);
	check_every_row("after two SYNs, none", two_syns_untimed, 3000);
	/* 200 ms * (2^10 - 1) and seven times 120 s; 200 ms * (2^4 - 1). */
	check_every_row("data behind what was sent again", data_behind, 20);
	check_rows("a FIN behind it", fin_behind,
		   SINCE({"3.10", SEGMENT_FIN | SEGMENT_ACK}, {"6.12.y", 0}));
	check_every_row("a FIN and much behind it", much_and_fin_behind, 0);
	check_every_row("tcp_retries2 15", retries2_15, 1044600);
	check_every_row("tcp_retries2 2", retries2_2, 3000);
}

/* The FIN of an orphan is tried less often; of a socket that is held, as often as data. */
static int fin_given_up(struct pair *p, bool orphan, uint8_t retries)
{
	host_set(p->client, orphan_retries, retries);
	host_set(p->client, retries2, 3);
	struct ends e = established(p);

	if (orphan)
		host_close(p->client, e.client);
	else
		host_shutdown(p->client, e.client, TCPWHY_SHUT_WR);
	ends_after(p->client, client_is_gone, p);
	assert_int_equal(counted(p->client, TCPAbortOnTimeout), 1);
	assert_int_equal(counted(p->client, TW), 0);
	return counted(p->client, RetransSegs);
}

static int orphan_by_default(struct pair *p)
{
	return fin_given_up(p, true, 0);
}

static int orphan_retries_2(struct pair *p)
{
	return fin_given_up(p, true, 2);
}

static int held_fin(struct pair *p)
{
	return fin_given_up(p, false, 2);
}

static void test_fin(void **state)
{
	(void)state;
	check_every_row("tcp_orphan_retries 0 is 8", orphan_by_default, 9);
	check_every_row("tcp_orphan_retries 2", orphan_retries_2, 3);
	check_every_row("a FIN of a held socket", held_fin, 4);
}

/* ------------------------------------------------------------------------------ orphans in
 * FIN_WAIT2 */

/* The client closes, the server acknowledges and stays silent. Milliseconds until nothing is left.
 */
static int orphan_waits(struct pair *p, uint32_t fin_timeout_s, int64_t linger2_s)
{
	engine_set(p->client, fin_timeout_s, fin_timeout_s);
	struct ends e = established(p);

	if (linger2_s)
		host_setsockopt(p->client, e.client, TCPWHY_TCP_LINGER2, (uint64_t)linger2_s);
	assert_int_equal(host_close(p->client, e.client), 0);
	pump(p);
	return ends_after(p->client, client_is_gone, p);
}

static int fin_timeout_60(struct pair *p)
{
	int ms = orphan_waits(p, 60, 0);

	assert_int_equal(counted(p->client, TW), 1);
	return ms;
}

static int fin_timeout_4(struct pair *p)
{
	int ms = orphan_waits(p, 4, 0);

	assert_int_equal(counted(p->client, TWKilled), 1);
	return ms;
}

static int fin_timeout_5(struct pair *p)
{
	int ms = orphan_waits(p, 5, 0);

	assert_int_equal(counted(p->client, TWKilled), 0);
	return ms;
}

/* Three and a half of 200 ms is less than a second. */
static int fin_timeout_1(struct pair *p)
{
	return orphan_waits(p, 1, 0);
}

static int linger2_10(struct pair *p)
{
	return orphan_waits(p, 60, 10);
}

/* Beyond sixty seconds a full socket waits for the excess, then a mini-socket as long again. */
static int fin_timeout_100(struct pair *p)
{
	engine_set(p->client, fin_timeout_s, 100);
	struct ends e = established(p);

	host_close(p->client, e.client);
	pump(p);
	assert_false(at_client(p, CLIENT_PORT).timewait);
	assert_int_equal(at_client(p, CLIENT_PORT).state, TCPWHY_FIN_WAIT2);
	assert_int_equal(at_client(p, CLIENT_PORT).timer, HOST_TIMER_KEEPALIVE);
	both_advance(p, clock_of(p->client) + 40 * S);
	assert_true(at_client(p, CLIENT_PORT).timewait);
	assert_int_equal(at_client(p, CLIENT_PORT).state, TCPWHY_FIN_WAIT2);
	return 40000 + ends_after(p->client, client_is_gone, p);
}

static int linger2_120(struct pair *p)
{
	return orphan_waits(p, 60, 1000); /* TCP_FIN_TIMEOUT_MAX */
}

/* The FIN comes while the full socket waits: an ordinary TIME_WAIT. */
static int fin_while_waiting(struct pair *p)
{
	engine_set(p->client, fin_timeout_s, 100);
	struct ends e = established(p);

	host_close(p->client, e.client);
	pump(p);
	both_advance(p, clock_of(p->client) + 10 * S);
	host_close(p->server, e.server);
	pump(p);
	assert_int_equal(at_client(p, CLIENT_PORT).state, TCPWHY_TIME_WAIT);
	return ends_after(p->client, client_is_gone, p);
}

/* A handshake of so long makes the time-out 200 ms more; three and a half of it are the least. */
static int floor_of_orphan(struct pair *p, uint64_t handshake_ns)
{
	engine_set(p->client, fin_timeout_s, 1);
	tcpwhy_sock l = a_listener(p, 5), c = a_call_from(p, CLIENT_PORT), child;

	into(p->server, out_of(p->client));
	both_advance(p, clock_of(p->client) + handshake_ns);
	pump(p);
	assert_int_equal(host_accept(p->server, l, 0, &child), 0);
	host_close(p->client, c);
	pump(p);
	assert_true(at_client(p, CLIENT_PORT).timewait);
	return ends_after(p->client, client_is_gone, p);
}

static int floor_after_100_ms(struct pair *p)
{
	return floor_of_orphan(p, 100 * MS);
}

static int floor_after_80_ms(struct pair *p)
{
	return floor_of_orphan(p, 80 * MS);
}

/* What the full socket finds when its wait is over: the time was made shorter meanwhile, or there
 * is no room for a mini-socket. The answer, and the overflows counted. */
static int wait_is_over(struct pair *p, uint32_t fin_timeout_s, uint32_t buckets)
{
	engine_set(p->client, fin_timeout_s, 100);
	struct ends e = established(p);

	host_close(p->client, e.client);
	pump(p);
	engine_set(p->client, fin_timeout_s, fin_timeout_s);
	engine_set(p->client, max_tw_buckets, buckets);
	host_advance(p->client, clock_of(p->client) + 40 * S - 1);
	nothing_out_of(p->client);
	assert_int_equal(at_client(p, CLIENT_PORT).state, TCPWHY_FIN_WAIT2);
	host_advance(p->client, clock_of(p->client) + 1);
	int stays = at_client(p, CLIENT_PORT).timewait;
	assert_int_equal(at_client(p, CLIENT_PORT).state, stays ? TCPWHY_FIN_WAIT2 : 0);
	return 100 * counted(p->client, TCPTimeWaitOverflow) + answer(p->client);
}

static int wait_made_shorter(struct pair *p)
{
	return wait_is_over(p, 60, 1000);
}

static int wait_still_longer(struct pair *p)
{
	return wait_is_over(p, 61, 1000);
}

static int wait_without_room(struct pair *p)
{
	return wait_is_over(p, 100, 0);
}

static void test_orphans(void **state)
{
	(void)state;
	check_every_row("tcp_fin_timeout 60", fin_timeout_60, 60000);
	check_every_row("tcp_fin_timeout 4", fin_timeout_4, 4000);
	check_every_row("tcp_fin_timeout 5", fin_timeout_5, 5000);
	check_every_row("tcp_fin_timeout 1", fin_timeout_1, 1000);
	check_every_row("TCP_LINGER2 10", linger2_10, 10000);
	check_every_row("TCP_LINGER2 1000", linger2_120, 120000);
	check_every_row("tcp_fin_timeout 100", fin_timeout_100, 80000);
	check_every_row("FIN while it waits", fin_while_waiting, 60000);
	check_every_row("60 s when the wait is over", wait_made_shorter, SEGMENT_RST | SEGMENT_ACK);
	check_every_row("61 s when the wait is over", wait_still_longer, 0);
	check_every_row("no room when the wait is over", wait_without_room, 100);
	check_every_row("3.5 x 300 ms", floor_after_100_ms, 1050);
	check_every_row("3.5 x 280 ms", floor_after_80_ms, 1000);
}

/* A negative TCP_LINGER2: no FIN_WAIT2 at all. */
static int linger2_off(struct pair *p, bool fin_acked_first)
{
	struct ends e = established(p);

	host_setsockopt(p->client, e.client, TCPWHY_TCP_LINGER2, (uint64_t)-1);
	if (fin_acked_first) {
		host_shutdown(p->client, e.client, TCPWHY_SHUT_WR);
		pump(p);
		host_close(p->client, e.client);
		assert_int_equal(counted(p->client, TCPAbortOnLinger), 1);
	} else {
		host_close(p->client, e.client);
		into(p->server, out_of(p->client));
		into(p->client, out_of(p->server));
		assert_int_equal(counted(p->client, TCPAbortOnData), 1);
	}
	assert_int_equal(at_client(p, CLIENT_PORT).state, 0);
	return answer(p->client) & SEGMENT_RST;
}

static int linger2_off_in_fin_wait2(struct pair *p)
{
	return linger2_off(p, true);
}

static int linger2_off_in_fin_wait1(struct pair *p)
{
	return linger2_off(p, false);
}

static void test_linger2_off(void **state)
{
	(void)state;
	check_every_row("TCP_LINGER2 -1, close() in FIN_WAIT2", linger2_off_in_fin_wait2,
			SEGMENT_RST);
	check_every_row("TCP_LINGER2 -1, FIN acknowledged later", linger2_off_in_fin_wait1,
			SEGMENT_RST);
}

/* ------------------------------------------------------------------------------------------ the
 * clock */

/* Backwards is ignored; far forwards fires all that lies between, in order, once. */
static int clock_goes_far(struct pair *p)
{
	a_listener(p, 5);
	for (uint16_t i = 0; i < 3; i++) {
		a_call_from(p, (uint16_t)(CLIENT_PORT + i));
		into(p->server, out_of(p->client));
	}
	host_advance(p->server, 1);
	assert_int_equal(clock_of(p->server), S);
	lose(p->server);
	host_advance(p->server, 100000 * S);
	int again = 0;
	struct segment s;
	while (host_segment_out(p->server, &s))
		again++;
	assert_true(host_deadline(p->server) == UINT64_MAX);
	return again;
}

static void test_clock(void **state)
{
	(void)state;
	check_every_row("a day at once", clock_goes_far, 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syn),   cmocka_unit_test(test_data),
		cmocka_unit_test(test_fin),   cmocka_unit_test(test_orphans),
		cmocka_unit_test(test_clock), cmocka_unit_test(test_linger2_off),
	};

	return unit_run("timer", tests);
}
