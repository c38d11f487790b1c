/* SPDX-License-Identifier: MIT
 *
 * SYN cookies: when one is sent, which ACK brings it back, and what is lost on the way
 */
#include "host_fixture.h"

/* A SYN from CLIENT_PORT at a listener of backlog 1 whose SYN queue is full. */
struct flood {
	tcpwhy_sock listener, client;
	struct segment syn, syn_ack;
};

enum { QUEUED = 40 };

static struct flood flooded(struct pair *p, uint8_t syncookies)
{
	struct flood f = {.listener = a_listener(p, 1)};

	host_set(p->server, syncookies, syncookies);
	for (uint16_t i = 1; i <= QUEUED; i++) {
		a_call_from(p, (uint16_t)(CLIENT_PORT + i));
		into(p->server, out_of(p->client));
	}
	lose(p->server);
	f.client = a_call_from(p, CLIENT_PORT);
	f.syn = out_of(p->client);
	into(p->server, f.syn);
	if (!host_segment_out(p->server, &f.syn_ack))
		f.syn_ack.flags = 0;
	return f;
}

static int queued(struct pair *p, tcpwhy_sock l)
{
	struct host_view v;

	assert_int_equal(host_look(p->server, l, &v), 0);
	return (int)v.syn_queue;
}

/* --------------------------------------------------------------------------------- when it is sent
 */

static int sent_when_full(struct pair *p, uint8_t syncookies)
{
	struct flood f = flooded(p, syncookies);
	int cookies = counted(p->server, SyncookiesSent);

	assert_int_equal(cookies != 0, f.syn_ack.flags != 0);
	assert_int_equal(cookies, counted(p->server, TCPReqQFullDoCookies));
	assert_int_equal(at_server(p, CLIENT_PORT).state, 0);
	assert_int_equal(QUEUED + 1 - queued(p, f.listener),
			 cookies + counted(p->server, TCPReqQFullDrop));
	return cookies != 0;
}

static int full_off(struct pair *p)
{
	return sent_when_full(p, 0);
}

static int full_on(struct pair *p)
{
	return sent_when_full(p, 1);
}

/* Nothing is full: 2 is "always" since 3.12. */
static int sent_when_empty(struct pair *p, uint8_t syncookies)
{
	tcpwhy_sock l = a_listener(p, 5);

	host_set(p->server, syncookies, syncookies);
	a_call_from(p, CLIENT_PORT);
	into(p->server, out_of(p->client));
	assert_int_equal(answer(p->server), SEGMENT_SYN | SEGMENT_ACK);
	assert_int_equal(queued(p, l), !counted(p->server, SyncookiesSent));
	return counted(p->server, SyncookiesSent);
}

static int empty_on(struct pair *p)
{
	return sent_when_empty(p, 1);
}

static int empty_always(struct pair *p)
{
	return sent_when_empty(p, 2);
}

static void test_sent(void **state)
{
	(void)state;
	check_every_row("full, tcp_syncookies 0", full_off, 0);
	check_every_row("full, tcp_syncookies 1", full_on, 1);
	check_every_row("empty, tcp_syncookies 1", empty_on, 0);
	check_rows("empty, tcp_syncookies 2", empty_always, SINCE({"3.10", 0}, {"4.9.0", 1}));
}

/* ------------------------------------------------------------------------------- what brings it
 * back */

enum { LOST = 0, TAKEN = 1, RESET = 2 };

/* The last ACK of the flood, changed, after so long. */
static int brought(struct pair *p, const struct flood *f, struct segment ack)
{
	int known = at_server(p, CLIENT_PORT).state;

	assert_int_equal(known, 0);
	lose(p->server);
	into(p->server, ack);
	int flags = answer(p->server);
	(void)f;
	if (at_server(p, CLIENT_PORT).state)
		return TAKEN;
	return flags & SEGMENT_RST ? RESET : LOST;
}

static struct segment last_ack(struct pair *p, const struct flood *f)
{
	into(p->client, f->syn_ack);
	return out_of(p->client);
}

static int right(struct pair *p)
{
	struct flood f = flooded(p, 1);
	int what = brought(p, &f, last_ack(p, &f));
	tcpwhy_sock child;

	assert_int_equal(counted(p->server, SyncookiesRecv), 1);
	assert_int_equal(host_accept(p->server, f.listener, 0, &child), 0);
	assert_int_equal(state_at(p->server, child), TCPWHY_ESTABLISHED);
	return what;
}

static int wrong(struct pair *p)
{
	struct flood f = flooded(p, 1);
	struct segment ack = last_ack(p, &f);

	ack.ack += 100000;
	int what = brought(p, &f, ack);
	assert_int_equal(counted(p->server, SyncookiesFailed), 1);
	assert_int_equal(counted(p->server, SyncookiesRecv), 0);
	return what;
}

/* Nothing was sent: an ACK at a listener is no cookie, and does not count as one. */
static int never_sent(struct pair *p)
{
	a_listener(p, 5);
	struct segment ack = to_server(p, SEGMENT_ACK);

	ack.ack = 1000;
	into(p->server, ack);
	assert_int_equal(counted(p->server, SyncookiesFailed), 0);
	return answer(p->server) == SEGMENT_RST ? RESET : LOST;
}

static int after(struct pair *p, uint64_t ns)
{
	/* From the start of a minute on. */
	host_advance(p->server, 60 * S);
	struct flood f = flooded(p, 1);
	struct segment ack = last_ack(p, &f);

	host_advance(p->server, 60 * S + ns);
	return brought(p, &f, ack);
}

static int in_the_next_minute(struct pair *p)
{
	return after(p, 120 * S - 1);
}

static int in_the_one_after(struct pair *p)
{
	return after(p, 120 * S);
}

static int switched_off(struct pair *p)
{
	struct flood f = flooded(p, 1);
	struct segment ack = last_ack(p, &f);

	host_set(p->server, syncookies, 0);
	return brought(p, &f, ack);
}

/* The last ACK of a request that is kept. */
static void complete(struct pair *p, uint16_t port)
{
	struct host_view v = at_server(p, port);
	struct segment s = to_server(p, SEGMENT_ACK);

	assert_int_equal(v.state, TCPWHY_SYN_RECV);
	s.from_port = port;
	s.seq = v.rcv_nxt;
	s.ack = v.snd_nxt;
	into(p->server, s);
}

/* The accept queue is full: the ACK is lost, and nobody will send the SYN-ACK again. */
static int accept_queue_full(struct pair *p)
{
	struct flood f = flooded(p, 1);
	struct segment ack = last_ack(p, &f);

	assert_int_equal(host_listen(p->server, f.listener, 0, NULL), 0);
	complete(p, CLIENT_PORT + 1);
	int before = counted(p->server, ListenOverflows);
	int drops = counted(p->server, ListenDrops);
	int what = brought(p, &f, ack);
	assert_int_equal(counted(p->server, ListenOverflows), before + 1);
	assert_int_equal(counted(p->server, ListenDrops), drops + 1);
	return what;
}

static void test_brought_back(void **state)
{
	(void)state;
	check_every_row("the right cookie", right, TAKEN);
	check_every_row("a wrong cookie", wrong, RESET);
	check_every_row("no cookie was sent", never_sent, RESET);
	check_every_row("in the next minute", in_the_next_minute, TAKEN);
	check_every_row("in the one after it", in_the_one_after, RESET);
	check_every_row("tcp_syncookies 0 meanwhile", switched_off, RESET);
	check_every_row("accept queue full", accept_queue_full, LOST);
}

/* ------------------------------------------------------------------------------- what is
 * remembered */

/* Options travel in the timestamp: without one SACK is not offered. */
static int options(struct pair *p, bool timestamps)
{
	engine_set(p->client, timestamps, timestamps);
	struct flood f = flooded(p, 1);
	struct segment ack = last_ack(p, &f);

	assert_int_equal(f.syn_ack.has_timestamp, timestamps);
	assert_int_equal(f.syn_ack.sack_permitted, timestamps);
	assert_int_equal(brought(p, &f, ack), TAKEN);
	/* A hole: its answer shows whether the server knows of SACK. */
	struct segment data = to_server(p, SEGMENT_ACK);
	data.seq += 10;
	data.length = 10;
	into(p->server, data);
	struct segment s = out_of(p->server);
	assert_int_equal(s.has_timestamp, timestamps);
	return s.has_sack;
}

static int with_timestamps(struct pair *p)
{
	return options(p, true);
}

static int without_timestamps(struct pair *p)
{
	return options(p, false);
}

/* When the SYN came is forgotten: without a timestamp there is no round trip, and three seconds are
 * waited. */
static int first_time_out(struct pair *p, bool timestamps)
{
	engine_set(p->client, timestamps, timestamps);
	struct flood f = flooded(p, 1);
	tcpwhy_sock child;

	assert_int_equal(brought(p, &f, last_ack(p, &f)), TAKEN);
	assert_int_equal(host_accept(p->server, f.listener, 0, &child), 0);
	host_send(p->server, child, 1);
	return (int)((at_server(p, CLIENT_PORT).expires_ns - tcpwhy_now(host_engine(p->server))) /
		     MS);
}

static int time_out_without_timestamps(struct pair *p)
{
	return first_time_out(p, false);
}

static void test_remembered(void **state)
{
	(void)state;
	check_every_row("options with timestamps", with_timestamps, 1);
	check_every_row("options without", without_timestamps, 0);
	check_every_row("time-out without timestamps", time_out_without_timestamps, 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sent),
		cmocka_unit_test(test_brought_back),
		cmocka_unit_test(test_remembered),
	};

	return unit_run("cookie", tests);
}
