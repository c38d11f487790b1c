/* SPDX-License-Identifier: MIT
 *
 * What answers a SYN: the right SYN-ACK, a wrong one, a RST, the other side's own SYN
 */
#include "host_fixture.h"

/* What the client in SYN_SENT becomes, by its state in tens of the answer's flags. */
enum { WAITS = TCPWHY_SYN_SENT * 100, CONNECTED = TCPWHY_ESTABLISHED * 100, REFUSED = 0 };

static tcpwhy_sock calling;

static struct segment called(struct pair *p)
{
	calling = a_call_from(p, CLIENT_PORT);
	return out_of(p->client);
}

static int outcome(struct pair *p, struct segment s)
{
	into(p->client, s);
	int flags = answer(p->client);
	return flags + at_client(p, CLIENT_PORT).state * 100;
}

/* The SYN-ACK that the server would send, without options: made wrong by the test. */
static struct segment reply(struct pair *p, const struct segment *syn, uint8_t flags)
{
	struct segment s = to_client(p, flags);

	s.seq = 70000;
	s.ack = flags & SEGMENT_ACK ? syn->seq + 1 : 0;
	return s;
}

static int plain(struct pair *p, uint8_t flags, uint32_t ack_moved)
{
	struct segment syn = called(p), s = reply(p, &syn, flags);

	s.ack += flags & SEGMENT_ACK ? ack_moved : 0;
	return outcome(p, s);
}

#define REPLY(name, flags, ack_moved)                                                              \
	static int name(struct pair *p)                                                            \
	{                                                                                          \
		return plain(p, flags, ack_moved);                                                 \
	}
REPLY(syn_ack, SEGMENT_SYN | SEGMENT_ACK, 0)
REPLY(syn_ack_beyond, SEGMENT_SYN | SEGMENT_ACK, 1)
REPLY(syn_ack_before, SEGMENT_SYN | SEGMENT_ACK, UINT32_MAX)
REPLY(bare_ack, SEGMENT_ACK, 0)
REPLY(wrong_ack, SEGMENT_ACK, 1000)
REPLY(reset, SEGMENT_RST | SEGMENT_ACK, 0)
REPLY(reset_beyond, SEGMENT_RST | SEGMENT_ACK, 1)
REPLY(reset_before, SEGMENT_RST | SEGMENT_ACK, UINT32_MAX)
REPLY(reset_without_ack, SEGMENT_RST, 0)
REPLY(fin, SEGMENT_FIN, 0)
REPLY(nothing, 0, 0)
REPLY(crossing_syn, SEGMENT_SYN, 0)

static void test_replies(void **state)
{
	(void)state;
	check_every_row("SYN-ACK", syn_ack, CONNECTED + SEGMENT_ACK);
	check_every_row("SYN-ACK of one too many", syn_ack_beyond, WAITS + SEGMENT_RST);
	check_every_row("SYN-ACK of what was before", syn_ack_before, WAITS + SEGMENT_RST);
	check_every_row("ACK without SYN", bare_ack, WAITS);
	check_every_row("ACK of an old connection", wrong_ack, WAITS + SEGMENT_RST);
	check_every_row("RST", reset, REFUSED);
	check_every_row("RST of one too many", reset_beyond, WAITS);
	check_every_row("RST of what was before", reset_before, WAITS);
	check_every_row("RST without ACK", reset_without_ack, WAITS);
	check_every_row("FIN", fin, WAITS);
	check_every_row("no flag", nothing, WAITS);
	check_every_row("SYN", crossing_syn, TCPWHY_SYN_RECV * 100 + SEGMENT_SYN + SEGMENT_ACK);
}

static int refused(struct pair *p)
{
	reset(p);
	assert_int_equal(counted(p->client, AttemptFails), 1);
	assert_int_equal(counted(p->client, EstabResets), 0);
	return host_connect(p->client, calling, &p->server_at, SERVER_PORT, &p->client_at, NULL);
}

static int not_refused(struct pair *p)
{
	reset_without_ack(p);
	assert_int_equal(counted(p->client, AttemptFails), 0);
	return host_connect(p->client, calling, &p->server_at, SERVER_PORT, &p->client_at, NULL);
}

static void test_refusal(void **state)
{
	(void)state;
	check_every_row("connect() after a RST", refused, -ECONNREFUSED);
	check_every_row("connect() after a wrong RST", not_refused, -EALREADY);
}

/* ---------------------------------------------------------------------------------- timestamps */

static int echo(struct pair *p, uint32_t moved, bool none)
{
	struct segment syn = called(p), s = reply(p, &syn, SEGMENT_SYN | SEGMENT_ACK);

	s.has_timestamp = true;
	s.tsval = 77;
	s.tsecr = none ? 0 : syn.tsval + moved;
	int what = outcome(p, s);
	assert_int_equal(counted(p->client, PAWSActive), what == WAITS + SEGMENT_RST);
	return what;
}

static int echo_right(struct pair *p)
{
	return echo(p, 0, false);
}

static int echo_before(struct pair *p)
{
	return echo(p, UINT32_MAX, false);
}

static int echo_later(struct pair *p)
{
	return echo(p, 1, false);
}

static int echo_of_nothing(struct pair *p)
{
	return echo(p, 0, true);
}

static void test_echo(void **state)
{
	(void)state;
	check_every_row("echo of our timestamp", echo_right, CONNECTED + SEGMENT_ACK);
	check_every_row("echo of one before it", echo_before, WAITS + SEGMENT_RST);
	check_every_row("echo of one to come", echo_later, WAITS + SEGMENT_RST);
	check_every_row("echo of 0", echo_of_nothing, CONNECTED + SEGMENT_ACK);
}

/* What both offered is used; the engine knows of the timestamps what tcp_tw_reuse will ask. */
static int agreed(struct pair *p, bool ours, bool theirs)
{
	struct tcpwhy_owner o;

	engine_set(p->client, timestamps, ours);
	engine_set(p->server, timestamps, theirs);
	struct ends e = established(p);
	host_send(p->client, e.client, 1);
	struct segment data = out_of(p->client);
	assert_int_equal(tcpwhy_get(host_engine(p->client), e.client, &o), 0);
	assert_int_equal(o.timestamps, data.has_timestamp);
	assert_int_equal(tcpwhy_get(host_engine(p->server), e.server, &o), 0);
	assert_int_equal(o.timestamps, data.has_timestamp);
	return data.has_timestamp;
}

static int agreed_by_both(struct pair *p)
{
	return agreed(p, true, true);
}

static int agreed_by_us(struct pair *p)
{
	return agreed(p, true, false);
}

static int agreed_by_them(struct pair *p)
{
	return agreed(p, false, true);
}

static void test_options(void **state)
{
	(void)state;
	check_every_row("timestamps of both", agreed_by_both, 1);
	check_every_row("timestamps of the client", agreed_by_us, 0);
	check_every_row("timestamps of the server", agreed_by_them, 0);
}

/* Whether our timestamps are the clock's (0), the host pair's (1) or the connection's own (2). */
static int offset(struct pair *p)
{
	uint32_t first = called(p).tsval;

	a_call_from(p, CLIENT_PORT + 1);
	uint32_t second = out_of(p->client).tsval;
	if (first != second)
		return 2;
	return first == 1001000 ? 0 : 1; /* the fixture's clock after a second */
}

static void test_offset(void **state)
{
	(void)state;
	check_rows("where timestamps start", offset,
		   SINCE({"3.10", 0}, {"4.11", 2}, {"4.19.y", 1}, {"6.1.y", 2}));
}

/* --------------------------------------------------------------------------------- the SYN again
 */

/* Milliseconds from a wrong ACK to the next SYN. */
static int syn_after_wrong_ack(struct pair *p)
{
	wrong_ack(p);
	int ms = (int)((host_deadline(p->client) - tcpwhy_now(host_engine(p->client))) / MS);
	host_advance(p->client, host_deadline(p->client));
	assert_int_equal(answer(p->client), SEGMENT_SYN);
	return ms;
}

/* Only the first SYN is hurried. */
static int second_syn_after_wrong_ack(struct pair *p)
{
	struct segment syn = called(p), s = reply(p, &syn, SEGMENT_ACK);
	uint64_t start = tcpwhy_now(host_engine(p->client));

	s.ack += 1000;
	host_advance(p->client, start + S);
	assert_int_equal(answer(p->client), SEGMENT_SYN);
	uint64_t before = host_deadline(p->client);
	outcome(p, s);
	return (int)((before - host_deadline(p->client)) / MS);
}

/* The whole scene: the client's port comes back while the server holds a TIME_WAIT with a higher
 * number. Milliseconds until it is connected; the RST has ended the TIME_WAIT. */
static int through_time_wait(struct pair *p, bool rfc1337)
{
	struct ends e = established(p);

	host_set(p->server, rfc1337, rfc1337);
	engine_set(p->client, timestamps, false);
	engine_set(p->server, timestamps, false);
	host_close(p->server, e.server);
	pump(p);
	host_close(p->client, e.client);
	pump(p);
	assert_int_equal(at_server(p, CLIENT_PORT).state, TCPWHY_TIME_WAIT);
	uint64_t start = tcpwhy_now(host_engine(p->client));
	called(p);
	struct segment syn = to_server(p, SEGMENT_SYN);
	syn.seq -= 5000;
	into(p->server, syn);
	struct segment ack = out_of(p->server);
	assert_int_equal(ack.flags, SEGMENT_ACK);
	into(p->client, ack);
	into(p->server, out_of(p->client)); /* the RST */
	if (rfc1337)
		return at_server(p, CLIENT_PORT).state;
	assert_int_equal(at_server(p, CLIENT_PORT).state, 0);
	both_advance(p, host_deadline(p->client));
	pump(p);
	assert_int_equal(at_client(p, CLIENT_PORT).state, TCPWHY_ESTABLISHED);
	return (int)((tcpwhy_now(host_engine(p->client)) - start) / MS);
}

static int assassination(struct pair *p)
{
	return through_time_wait(p, false);
}

static int no_assassination(struct pair *p)
{
	return through_time_wait(p, true);
}

static void test_syn_again(void **state)
{
	(void)state;
	/* Two ticks of 4 ms. */
	check_rows("SYN after a wrong ACK", syn_after_wrong_ack,
		   SINCE({"3.10", 1000}, {"5.10.y", 8}));
	check_every_row("the second SYN is not hurried", second_syn_after_wrong_ack, 0);
	check_rows("connect() through a TIME_WAIT", assassination,
		   SINCE({"3.10", 1000}, {"5.10.y", 8}));
	check_every_row("with tcp_rfc1337", no_assassination, TCPWHY_TIME_WAIT);
}

/* ------------------------------------------------------------------------------ simultaneous open
 */

/* Both connect to each other's port; both SYNs are on the way at once. */
static int simultaneous(struct pair *p)
{
	tcpwhy_sock c = a_socket(p->client), s = a_socket(p->server);

	assert_int_equal(host_bind(p->client, c, &p->client_at, CLIENT_PORT, NULL), 0);
	assert_int_equal(host_bind(p->server, s, &p->server_at, SERVER_PORT, NULL), 0);
	assert_int_equal(
		host_connect(p->client, c, &p->server_at, SERVER_PORT, &p->client_at, NULL),
		-EINPROGRESS);
	assert_int_equal(
		host_connect(p->server, s, &p->client_at, CLIENT_PORT, &p->server_at, NULL),
		-EINPROGRESS);
	struct segment to = out_of(p->client), from = out_of(p->server);
	into(p->server, to);
	into(p->client, from);
	assert_int_equal(state_at(p->client, c), TCPWHY_SYN_RECV);
	assert_int_equal(state_at(p->server, s), TCPWHY_SYN_RECV);
	pump(p);
	assert_int_equal(state_at(p->client, c), TCPWHY_ESTABLISHED);
	assert_int_equal(
		host_connect(p->server, s, &p->client_at, CLIENT_PORT, &p->server_at, NULL), 0);
	assert_int_equal(host_send(p->client, c, 10), 10);
	pump(p);
	assert_int_equal(host_recv(p->server, s, 100), 10);
	host_close(p->client, c);
	pump(p);
	return state_at(p->server, s);
}

/* A RST that is exact in SYN_RECV ends it: the SYN was refused after all. */
static int crossed_and_reset(struct pair *p)
{
	crossing_syn(p);
	struct segment rst = to_client(p, SEGMENT_RST);

	into(p->client, rst);
	assert_int_equal(counted(p->client, AttemptFails), 1);
	return host_connect(p->client, calling, &p->server_at, SERVER_PORT, &p->client_at, NULL);
}

/* The other side's SYN-ACK, so much off and so long: only the exact one is no foreign SYN. */
static int crossed_syn_ack(struct pair *p, uint32_t moved, uint32_t length)
{
	crossing_syn(p);
	struct segment s = to_client(p, SEGMENT_SYN | SEGMENT_ACK);

	s.seq += moved - 1;
	s.length = length;
	into(p->client, s);
	lose(p->client);
	int state = at_client(p, CLIENT_PORT).state;
	assert_int_equal(counted(p->client, TCPSYNChallenge), state == TCPWHY_SYN_RECV);
	return state;
}

static int crossed_beside(struct pair *p)
{
	return crossed_syn_ack(p, 1, 0);
}

static int crossed_exact(struct pair *p)
{
	return crossed_syn_ack(p, 0, 0);
}

static int crossed_with_data(struct pair *p)
{
	return crossed_syn_ack(p, 0, 1);
}

static void test_simultaneous_open(void **state)
{
	(void)state;
	check_every_row("simultaneous open", simultaneous, TCPWHY_CLOSE_WAIT);
	check_rows("the SYN-ACK that crossed", crossed_exact,
		   SINCE({"3.10", TCPWHY_SYN_RECV}, {"6.1.y", TCPWHY_ESTABLISHED}));
	check_every_row("a SYN-ACK beside", crossed_beside, TCPWHY_SYN_RECV);
	check_every_row("a SYN-ACK with data", crossed_with_data, TCPWHY_SYN_RECV);
	check_every_row("crossed, then reset", crossed_and_reset, -ECONNRESET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_refusal),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_offset),
		cmocka_unit_test(test_syn_again),
		cmocka_unit_test(test_simultaneous_open),
	};

	return unit_run("synsent", tests);
}
