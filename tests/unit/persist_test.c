/* SPDX-License-Identifier: MIT
 *
 * The peer's window is closed: what waits for it, the probes, and who is given up when
 */
#include "host_fixture.h"

/* An ACK of all that the client has sent, from the server, with that window. */
static struct segment window_of(struct pair *p, uint32_t window)
{
	struct segment s = to_client(p, SEGMENT_ACK);

	s.window = window;
	return s;
}

static struct ends closed_window(struct pair *p)
{
	struct ends e = established(p);

	into(p->client, window_of(p, 0));
	nothing_out_of(p->client);
	return e;
}

static bool client_is_gone(struct host *h, void *ctx)
{
	(void)h;
	return !at_client(ctx, CLIENT_PORT).state;
}

static uint64_t clock_of(struct host *h)
{
	return tcpwhy_now(host_engine(h));
}

static void to_deadline(struct host *h)
{
	host_advance(h, host_deadline(h));
}

/* ------------------------------------------------------------------------------- what waits */

/* A FIN takes a number, and so it needs room. */
static int fin_waits(struct pair *p)
{
	struct ends e = closed_window(p);

	host_shutdown(p->client, e.client, TCPWHY_SHUT_WR);
	nothing_out_of(p->client);
	assert_int_equal(at_client(p, CLIENT_PORT).state, TCPWHY_FIN_WAIT1);
	assert_int_equal(at_client(p, CLIENT_PORT).timer, HOST_TIMER_PROBE);
	into(p->client, window_of(p, 1));
	return answer(p->client);
}

static int fin_of_an_orphan_waits(struct pair *p)
{
	struct ends e = closed_window(p);

	host_close(p->client, e.client);
	nothing_out_of(p->client);
	into(p->client, window_of(p, 1));
	assert_int_equal(at_client(p, CLIENT_PORT).timer, HOST_TIMER_RETRANSMIT);
	return answer(p->client);
}

static int fin_after_fin_waits(struct pair *p)
{
	struct ends e = established(p);
	struct segment fin = to_client(p, SEGMENT_FIN | SEGMENT_ACK);

	fin.window = 0;
	into(p->client, fin);
	lose(p->client);
	host_close(p->client, e.client);
	nothing_out_of(p->client);
	assert_int_equal(at_client(p, CLIENT_PORT).state, TCPWHY_LAST_ACK);
	into(p->client, window_of(p, 1));
	return answer(p->client);
}

/* Room for the data is not yet room for the FIN that goes with it. */
static int fin_counts(struct pair *p)
{
	struct ends e = closed_window(p);

	host_send(p->client, e.client, 100);
	host_close(p->client, e.client);
	into(p->client, window_of(p, 100));
	nothing_out_of(p->client);
	into(p->client, window_of(p, 101));
	return answer(p->client);
}

/* More than a segment goes as far as the window, once that holds a segment. */
static int beyond_a_segment(struct pair *p)
{
	struct ends e = closed_window(p);
	struct segment s;
	int bytes = 0;

	host_send(p->client, e.client, 5000);
	into(p->client, window_of(p, 1000));
	nothing_out_of(p->client);
	into(p->client, window_of(p, 3000));
	while (host_segment_out(p->client, &s))
		bytes += (int)s.length;
	return bytes;
}

/* A zero with nothing else that is new: the peer says only that its buffer is full. */
static int zero_again(struct pair *p)
{
	struct ends e = established(p);

	into(p->client, window_of(p, 1000));
	into(p->client, window_of(p, 0));
	host_send(p->client, e.client, 10);
	return answer(p->client);
}

static void test_waits(void **state)
{
	const int fin = SEGMENT_FIN | SEGMENT_ACK;

	(void)state;
	check_every_row("shutdown()", fin_waits, fin);
	check_every_row("close()", fin_of_an_orphan_waits, fin);
	check_every_row("close() after the peer's FIN", fin_after_fin_waits, fin);
	check_every_row("FIN behind data", fin_counts, fin | SEGMENT_PSH);
	check_every_row("more than a segment", beyond_a_segment, 3000);
	check_rows("nothing but a zero", zero_again,
		   SINCE({"3.10", SEGMENT_ACK | SEGMENT_PSH}, {"6.12.y", 0}));
}

/* ----------------------------------------------------------------------------------- probes */

/* 200 ms, doubled each time; the number is an old one. */
static int probe_schedule(struct pair *p)
{
	struct ends e = closed_window(p);
	uint64_t at = clock_of(p->client), wait = 200 * MS;

	host_send(p->client, e.client, 10);
	for (int i = 0; i < 12; i++) {
		at += wait;
		assert_int_equal(host_deadline(p->client), at);
		to_deadline(p->client);
		const struct segment s = out_of(p->client);
		assert_int_equal(s.flags, SEGMENT_ACK);
		assert_int_equal(s.length, 0);
		assert_int_equal(s.seq, at_client(p, CLIENT_PORT).snd_una - 1);
		wait = wait * 2 < 120 * S ? wait * 2 : 120 * S;
	}
	assert_int_equal(at_client(p, CLIENT_PORT).retransmits, 12);
	assert_int_equal(counted(p->client, TCPTimeouts), 0);
	return counted(p->client, TCPWinProbe);
}

/* It counts from the answer then, and the number of those unanswered from zero. */
static int answer_puts_off(struct pair *p)
{
	struct ends e = closed_window(p);

	host_send(p->client, e.client, 10);
	to_deadline(p->client);
	lose(p->client);
	host_advance(p->client, clock_of(p->client) + 100 * MS);
	into(p->client, window_of(p, 0));
	assert_int_equal(at_client(p, CLIENT_PORT).retransmits, 0);
	return (int)((host_deadline(p->client) - clock_of(p->client)) / MS);
}

/* A probe is what fits, if anything does. */
static int probe_with_data(struct pair *p)
{
	struct ends e = closed_window(p);

	host_send(p->client, e.client, 10);
	into(p->client, window_of(p, 4));
	nothing_out_of(p->client);
	to_deadline(p->client);
	assert_int_equal(counted(p->client, TCPWinProbe), 0);
	assert_int_equal(at_client(p, CLIENT_PORT).timer, HOST_TIMER_RETRANSMIT);
	return (int)out_of(p->client).length;
}

static void test_probes(void **state)
{
	(void)state;
	check_every_row("the times of the probes", probe_schedule, 12);
	check_every_row("an answer", answer_puts_off, 400);
	check_every_row("a little room", probe_with_data, 4);
}

/* -------------------------------------------------------------------------------- given up */

static int silence(struct pair *p, bool orphan)
{
	struct ends e = closed_window(p);

	host_send(p->client, e.client, 10);
	if (orphan)
		host_close(p->client, e.client);
	const int ms = ends_after(p->client, client_is_gone, p);
	assert_int_equal(counted(p->client, TCPAbortOnTimeout), 1);
	assert_int_equal(counted(p->client, OutRsts), 0);
	if (!orphan)
		assert_int_equal(host_recv(p->client, e.client, 1), -ETIMEDOUT);
	return ms;
}

static int held_and_silence(struct pair *p)
{
	return silence(p, false);
}

static int held_and_silence_2(struct pair *p)
{
	host_set(p->client, retries2, 2);
	return silence(p, false);
}

static int orphan_and_silence(struct pair *p)
{
	return silence(p, true);
}

static int orphan_and_silence_1(struct pair *p)
{
	host_set(p->client, orphan_retries, 1);
	return silence(p, true);
}

/* A peer that answers each probe; minutes of them. */
static int answered(struct pair *p, bool orphan, int minutes)
{
	struct ends e = closed_window(p);
	const uint64_t start = clock_of(p->client), end = start + (uint64_t)minutes * 60 * S;

	host_send(p->client, e.client, 10);
	if (orphan)
		host_close(p->client, e.client);
	while (host_deadline(p->client) < end) {
		to_deadline(p->client);
		lose(p->client);
		if (at_client(p, CLIENT_PORT).state)
			into(p->client, window_of(p, 0));
	}
	return (int)((clock_of(p->client) - start) / MS);
}

static int held_and_answers(struct pair *p)
{
	answered(p, false, 24 * 60);
	return at_client(p, CLIENT_PORT).state;
}

/* Until it would wait two minutes for the next one, and that wait. -1: it lives. */
static int orphan_and_answers(struct pair *p)
{
	const int ms = answered(p, true, 24 * 60);
	const bool lives = at_client(p, CLIENT_PORT).state;

	assert_int_equal(counted(p->client, TCPAbortOnTimeout), !lives);
	return lives ? -1 : ms;
}

static void test_given_up(void **state)
{
	(void)state;
	/* 200 ms * (2^10 - 1) and six times 120 s; * (2^3 - 1); * (2^9 - 1); * (2^2 - 1) */
	check_rows("tcp_retries2 15", held_and_silence,
		   SINCE({"3.10", 1044600}, {"4.19.y", 924600}));
	check_rows("tcp_retries2 2", held_and_silence_2, SINCE({"3.10", 2200}, {"4.19.y", 1400}));
	check_rows("tcp_orphan_retries 0 is 8", orphan_and_silence,
		   SINCE({"3.10", 204600}, {"4.19.y", 102200}));
	check_rows("tcp_orphan_retries 1", orphan_and_silence_1,
		   SINCE({"3.10", 1400}, {"4.19.y", 600}));
	check_every_row("a day of answers", held_and_answers, TCPWHY_ESTABLISHED);
	/* 200 ms * (2^10 - 1) and 120 s */
	check_rows("an orphan is given up all the same", orphan_and_answers,
		   SINCE({"3.10", -1}, {"4.9.0", 324600}));
}

/* ------------------------------------------------------------------- a window that shrinks */

/* The client sent two segments of ten bytes; then the window is that. */
static struct ends shrunk(struct pair *p, uint32_t window)
{
	struct ends e = established(p);
	struct segment s;

	host_send(p->client, e.client, 10);
	host_send(p->client, e.client, 10);
	lose(p->client);
	s = to_client(p, SEGMENT_ACK | SEGMENT_PSH);
	s.ack -= 20;
	s.length = 1;
	s.window = window;
	into(p->client, s);
	return e;
}

/* The number of an ACK is one that the peer can look at. */
static int ack_at_the_edge(struct pair *p)
{
	shrunk(p, 5);
	const struct segment s = out_of(p->client);
	return (int)(at_client(p, CLIENT_PORT).snd_nxt - s.seq);
}

static int again_within(struct pair *p)
{
	shrunk(p, 15);
	lose(p->client);
	to_deadline(p->client);
	assert_int_equal(counted(p->client, TCPTimeouts), 1);
	return (int)out_of(p->client).length;
}

static int again_less(struct pair *p)
{
	shrunk(p, 4);
	lose(p->client);
	to_deadline(p->client);
	return (int)out_of(p->client).length;
}

/* The first alone, as a probe: it is no time-out. */
static int again_as_a_probe(struct pair *p)
{
	shrunk(p, 0);
	lose(p->client);
	to_deadline(p->client);
	assert_int_equal(counted(p->client, TCPTimeouts), 0);
	assert_int_equal(at_client(p, CLIENT_PORT).retransmits, 0);
	return (int)out_of(p->client).length;
}

static int shrunk_and_silence(struct pair *p)
{
	shrunk(p, 0);
	lose(p->client);
	return ends_after(p->client, client_is_gone, p);
}

static void test_shrinks(void **state)
{
	(void)state;
	check_every_row("an ACK", ack_at_the_edge, 15);
	check_every_row("what fits is sent again", again_within, 10);
	check_every_row("less than a segment fits", again_less, 4);
	check_every_row("nothing fits", again_as_a_probe, 10);
	/* 200 ms * (2^10 - 1) and 120 s: the first time-out more than four minutes later */
	check_every_row("and silence", shrunk_and_silence, 324600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_probes),
		cmocka_unit_test(test_given_up),
		cmocka_unit_test(test_shrinks),
	};

	return unit_run("persist", tests);
}
