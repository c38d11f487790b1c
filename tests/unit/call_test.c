/* SPDX-License-Identifier: MIT
 *
 * What each call of an application gives in each state, and what it leaves behind
 */
#include "host_fixture.h"

/* ------------------------------------------------------------------------- a socket in each state
 */

/* The client's socket, brought into a state; what the calls give there does not hang on the row. */
static tcpwhy_sock in_close(struct pair *p)
{
	return a_socket(p->client);
}

static tcpwhy_sock in_listen(struct pair *p)
{
	tcpwhy_sock s = a_socket(p->client);

	assert_int_equal(host_listen(p->client, s, 1, NULL), 0);
	return s;
}

static tcpwhy_sock in_syn_sent(struct pair *p)
{
	tcpwhy_sock s = a_call_from(p, CLIENT_PORT);

	lose(p->client);
	return s;
}

static tcpwhy_sock in_syn_recv(struct pair *p)
{
	tcpwhy_sock s = in_syn_sent(p);

	into(p->client, to_client(p, SEGMENT_SYN));
	assert_int_equal(state_at(p->client, s), TCPWHY_SYN_RECV);
	lose(p->client);
	return s;
}

static tcpwhy_sock in_established(struct pair *p)
{
	return established(p).client;
}

static tcpwhy_sock in_fin_wait1(struct pair *p)
{
	tcpwhy_sock s = established(p).client;

	assert_int_equal(host_shutdown(p->client, s, TCPWHY_SHUT_WR), 0);
	lose(p->client);
	return s;
}

static tcpwhy_sock in_fin_wait2(struct pair *p)
{
	tcpwhy_sock s = established(p).client;

	assert_int_equal(host_shutdown(p->client, s, TCPWHY_SHUT_WR), 0);
	pump(p);
	return s;
}

static tcpwhy_sock in_close_wait(struct pair *p)
{
	struct ends e = established(p);

	assert_int_equal(host_shutdown(p->server, e.server, TCPWHY_SHUT_WR), 0);
	pump(p);
	return e.client;
}

static tcpwhy_sock in_closing(struct pair *p)
{
	tcpwhy_sock s = in_fin_wait1(p);
	struct segment fin = to_client(p, SEGMENT_FIN | SEGMENT_ACK);

	fin.ack--;
	into(p->client, fin);
	lose(p->client);
	return s;
}

static tcpwhy_sock in_last_ack(struct pair *p)
{
	tcpwhy_sock s = in_close_wait(p);

	assert_int_equal(host_shutdown(p->client, s, TCPWHY_SHUT_WR), 0);
	lose(p->client);
	return s;
}

/* TIME_WAIT took the connection over; the process still holds the socket. */
static tcpwhy_sock after_the_end(struct pair *p)
{
	tcpwhy_sock s = in_fin_wait2(p);

	into(p->client, to_client(p, SEGMENT_FIN | SEGMENT_ACK));
	lose(p->client);
	return s;
}

static tcpwhy_sock after_a_reset(struct pair *p)
{
	tcpwhy_sock s = established(p).client;

	into(p->client, to_client(p, SEGMENT_RST));
	return s;
}

struct given {
	tcpwhy_sock (*bring)(struct pair *p);
	enum tcpwhy_state state;
	int64_t connect, listen, accept, send, recv, shutdown, error;
	bool has_peer;
};

/* In the state as it is, and each call in a world of its own, because it may change the state. */
static const struct given given[] = {
	{in_close, TCPWHY_CLOSE, -EINPROGRESS, 0, -EINVAL, -EPIPE, -ENOTCONN, -ENOTCONN, 0, false},
	{in_listen, TCPWHY_LISTEN, -EISCONN, 0, -EAGAIN, -EPIPE, -ENOTCONN, 0, 0, false},
	{in_syn_sent, TCPWHY_SYN_SENT, -EALREADY, -EINVAL, -EINVAL, -EAGAIN, -EAGAIN, 0, 0, false},
	{in_syn_recv, TCPWHY_SYN_RECV, -EALREADY, -EINVAL, -EINVAL, -EAGAIN, -EAGAIN, 0, 0, true},
	{in_established, TCPWHY_ESTABLISHED, 0, -EINVAL, -EINVAL, 1, -EAGAIN, 0, 0, true},
	{in_fin_wait1, TCPWHY_FIN_WAIT1, -EISCONN, -EINVAL, -EINVAL, -EPIPE, -EAGAIN, 0, 0, true},
	{in_fin_wait2, TCPWHY_FIN_WAIT2, -EISCONN, -EINVAL, -EINVAL, -EPIPE, -EAGAIN, 0, 0, true},
	{in_close_wait, TCPWHY_CLOSE_WAIT, 0, -EINVAL, -EINVAL, 1, 0, 0, 0, true},
	{in_closing, TCPWHY_CLOSING, -EISCONN, -EINVAL, -EINVAL, -EPIPE, 0, 0, 0, true},
	{in_last_ack, TCPWHY_LAST_ACK, -EISCONN, -EINVAL, -EINVAL, -EPIPE, 0, 0, 0, true},
	{after_the_end, TCPWHY_BOUND, -EISCONN, -EINVAL, -EINVAL, -EPIPE, 0, -ENOTCONN, 0, false},
	{after_a_reset, TCPWHY_BOUND, -ECONNRESET, -EINVAL, -EINVAL, -ECONNRESET, -ECONNRESET,
	 -ENOTCONN, ECONNRESET, false},
};

enum call { CONNECT, LISTEN, ACCEPT, SEND, RECV, SHUTDOWN, ERROR, CALLS };

static int64_t call(struct pair *p, tcpwhy_sock s, enum call which)
{
	struct host *h = p->client;
	tcpwhy_sock child;

	switch (which) {
	case CONNECT:
		return host_connect(h, s, &p->server_at, SERVER_PORT, &p->client_at, NULL);
	case LISTEN:
		return host_listen(h, s, 1, NULL);
	case ACCEPT:
		return host_accept(h, s, 0, &child);
	case SEND:
		return host_send(h, s, 1);
	case RECV:
		return host_recv(h, s, 1);
	case SHUTDOWN:
		return host_shutdown(h, s, TCPWHY_SHUT_RDWR);
	case ERROR:
		return host_error(h, s);
	case CALLS:
		break;
	}
	return 0;
}

static int64_t wanted(const struct given *g, enum call which)
{
	const int64_t each[CALLS] = {g->connect, g->listen,   g->accept, g->send,
				     g->recv,    g->shutdown, g->error};

	return each[which];
}

static void check_call(const char *row, const struct given *g, enum call which)
{
	static const char *const names[CALLS] = {"connect", "listen",   "accept",  "send",
						 "recv",    "shutdown", "SO_ERROR"};
	struct pair p = pair_new(row, row);
	tcpwhy_sock s = g->bring(&p);

	assert_int_equal(state_at(p.client, s), g->state);
	assert_int_equal(host_has_peer(p.client, s), g->has_peer);
	int64_t got = call(&p, s, which);
	pair_free(&p);
	if (got != wanted(g, which))
		fail_msg("%s: %s() in %s: %lld, not %lld", row, names[which],
			 tcpwhy_state_name(g->state), (long long)got, (long long)wanted(g, which));
}

static void test_each_state(void **state)
{
	(void)state;
	for (size_t r = 0; tcpwhy_row_at(r); r++)
		for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
			for (enum call c = CONNECT; c < CALLS; c++)
				check_call(tcpwhy_row_at(r)->name, &given[i], c);
}

/* close() in each state: what leaves, with SO_LINGER 0 and without, and what stays behind. */
enum { RST_ACK = SEGMENT_RST | SEGMENT_ACK, FIN_ACK = SEGMENT_FIN | SEGMENT_ACK };

struct closing {
	tcpwhy_sock (*bring)(struct pair *p);
	int leaves[2], behind;
};

static const struct closing closings[] = {
	{in_close, {0, 0}, 0},
	{in_listen, {0, 0}, 0},
	{in_syn_sent, {0, 0}, 0},
	{in_syn_recv, {FIN_ACK, RST_ACK}, TCPWHY_FIN_WAIT1},
	{in_established, {FIN_ACK, RST_ACK}, TCPWHY_FIN_WAIT1},
	{in_fin_wait1, {0, RST_ACK}, TCPWHY_FIN_WAIT1},
	{in_fin_wait2, {0, RST_ACK}, TCPWHY_FIN_WAIT2},
	{in_close_wait, {FIN_ACK, RST_ACK}, TCPWHY_LAST_ACK},
	{in_closing, {0, 0}, TCPWHY_CLOSING},
	{in_last_ack, {0, 0}, TCPWHY_LAST_ACK},
	{after_the_end, {0, 0}, TCPWHY_TIME_WAIT},
	{after_a_reset, {0, 0}, 0},
};

static void check_close(const char *row, size_t i, int linger0)
{
	const struct closing *c = &closings[i];
	struct pair p = pair_new(row, row);
	tcpwhy_sock s = c->bring(&p);

	host_setsockopt(p.client, s, TCPWHY_SO_LINGER0, (uint64_t)linger0);
	assert_int_equal(host_close(p.client, s), 0);
	int left = answer(p.client);
	if (left != c->leaves[linger0])
		fail_msg("%s: close() %zu, linger0 %d: %d leaves", row, i, linger0, left);
	bool survives = !linger0 || c->bring == after_the_end;
	assert_int_equal(at_client(&p, CLIENT_PORT).state, survives ? c->behind : 0);
	assert_int_equal(host_close(p.client, s), -EBADF);
	assert_int_equal(host_send(p.client, s, 1), -EBADF);
	assert_int_equal(host_error(p.client, s), -EBADF);
	pair_free(&p);
}

static void test_close_in_each_state(void **state)
{
	(void)state;
	for (size_t r = 0; tcpwhy_row_at(r); r++)
		for (size_t i = 0; i < sizeof(closings) / sizeof(closings[0]); i++) {
			check_close(tcpwhy_row_at(r)->name, i, 0);
			check_close(tcpwhy_row_at(r)->name, i, 1);
		}
}

/* tcp_set_state(): of ESTABLISHED and CLOSE_WAIT an abort counts as EstabResets, too. */
static int aborts_counted(struct pair *p, tcpwhy_sock (*bring)(struct pair *p))
{
	tcpwhy_sock s = bring(p);

	host_setsockopt(p->client, s, TCPWHY_SO_LINGER0, 1);
	host_close(p->client, s);
	lose(p->client);
	assert_int_equal(counted(p->client, AttemptFails), 0);
	return 10 * counted(p->client, TCPAbortOnData) + counted(p->client, EstabResets);
}

static int abort_in_established(struct pair *p)
{
	return aborts_counted(p, in_established);
}

static int abort_in_close_wait(struct pair *p)
{
	return aborts_counted(p, in_close_wait);
}

static int abort_in_fin_wait2(struct pair *p)
{
	return aborts_counted(p, in_fin_wait2);
}

static int abort_in_syn_sent(struct pair *p)
{
	return aborts_counted(p, in_syn_sent);
}

static int abort_in_close(struct pair *p)
{
	return aborts_counted(p, in_close);
}

/* Unread data weighs more than SO_LINGER 0. */
static int abort_with_unread(struct pair *p)
{
	struct ends e = established(p);

	host_send(p->server, e.server, 1);
	pump(p);
	host_setsockopt(p->client, e.client, TCPWHY_SO_LINGER0, 1);
	host_close(p->client, e.client);
	lose(p->client);
	assert_int_equal(counted(p->client, EstabResets), 1);
	return 10 * counted(p->client, TCPAbortOnData) + counted(p->client, TCPAbortOnClose);
}

static void test_aborts(void **state)
{
	(void)state;
	check_every_row("SO_LINGER 0 in ESTABLISHED", abort_in_established, 11);
	check_every_row("SO_LINGER 0 in CLOSE_WAIT", abort_in_close_wait, 11);
	check_every_row("SO_LINGER 0 in FIN_WAIT2", abort_in_fin_wait2, 10);
	check_every_row("SO_LINGER 0 in SYN_SENT", abort_in_syn_sent, 10);
	check_every_row("SO_LINGER 0 in CLOSE", abort_in_close, 0);
	check_every_row("unread data and SO_LINGER 0", abort_with_unread, 1);
}

/* ------------------------------------------------------------------------------- after a reset */

/* What is queued comes first, then the error once, then the end; send() is a broken pipe. */
static int reset_with_data_queued(struct pair *p)
{
	struct ends e = established(p);

	host_send(p->client, e.client, 10);
	pump(p);
	into(p->server, to_server(p, SEGMENT_RST));
	assert_int_equal(host_recv(p->server, e.server, 100), 10);
	assert_int_equal(host_recv(p->server, e.server, 100), -ECONNRESET);
	assert_int_equal(host_recv(p->server, e.server, 100), 0);
	return (int)host_send(p->server, e.server, 1);
}

/* The error is told once, to whoever asks first. */
static int reset_told_once(struct pair *p)
{
	struct ends e = established(p);

	into(p->server, to_server(p, SEGMENT_RST));
	assert_int_equal(host_error(p->server, e.server), ECONNRESET);
	assert_int_equal(host_recv(p->server, e.server, 1), 0);
	return (int)host_send(p->server, e.server, 1);
}

static int reset_in_close_wait(struct pair *p)
{
	struct ends e = established(p);

	host_shutdown(p->client, e.client, TCPWHY_SHUT_WR);
	pump(p);
	into(p->server, to_server(p, SEGMENT_RST));
	return host_error(p->server, e.server);
}

static int reset_before_accept(struct pair *p)
{
	tcpwhy_sock l = a_listener(p, 5), child;

	a_call_from(p, CLIENT_PORT);
	pump(p);
	into(p->server, to_server(p, SEGMENT_RST));
	assert_int_equal(host_accept(p->server, l, 0, &child), 0);
	assert_false(host_has_peer(p->server, child));
	assert_int_equal(host_recv(p->server, child, 1), -ECONNRESET);
	assert_int_equal(host_recv(p->server, child, 1), 0);
	return host_accept(p->server, l, 0, &child);
}

static int fin_before_accept(struct pair *p)
{
	tcpwhy_sock l = a_listener(p, 5), child, c = a_call_from(p, CLIENT_PORT);

	pump(p);
	host_send(p->client, c, 5);
	host_close(p->client, c);
	pump(p);
	assert_int_equal(host_accept(p->server, l, 0, &child), 0);
	assert_true(host_has_peer(p->server, child));
	assert_int_equal(host_recv(p->server, child, 100), 5);
	return (int)host_recv(p->server, child, 100);
}

static void test_resets(void **state)
{
	(void)state;
	check_every_row("RST with data queued", reset_with_data_queued, -EPIPE);
	check_every_row("RST is told once", reset_told_once, -EPIPE);
	check_every_row("RST in CLOSE_WAIT", reset_in_close_wait, EPIPE);
	check_every_row("RST before accept()", reset_before_accept, -EAGAIN);
	check_every_row("FIN before accept()", fin_before_accept, 0);
}

/* ---------------------------------------------------------------------------------- a used socket
 */

/* After a failed connect() the socket calls again. */
static int calls_again(struct pair *p)
{
	tcpwhy_sock c = a_call_from(p, CLIENT_PORT);

	pump(p); /* nobody listens */
	assert_int_equal(
		host_connect(p->client, c, &p->server_at, SERVER_PORT, &p->client_at, NULL),
		-ECONNREFUSED);
	a_listener(p, 5);
	assert_int_equal(
		host_connect(p->client, c, &p->server_at, SERVER_PORT, &p->client_at, NULL),
		-EINPROGRESS);
	pump(p);
	return host_connect(p->client, c, &p->server_at, SERVER_PORT, &p->client_at, NULL);
}

/* shutdown() of a listener resets who was not accepted, and leaves a socket that can listen again.
 */
static int listens_again(struct pair *p)
{
	tcpwhy_sock l = a_listener(p, 5), c = a_call_from(p, CLIENT_PORT);

	pump(p);
	assert_int_equal(host_shutdown(p->server, l, TCPWHY_SHUT_RD), 0);
	pump(p);
	assert_int_equal(host_recv(p->client, c, 1), -ECONNRESET);
	assert_int_equal(host_listen(p->server, l, 5, NULL), 0);
	a_call_from(p, CLIENT_PORT + 1);
	pump(p);
	tcpwhy_sock child;
	return host_accept(p->server, l, 0, &child);
}

static int listener_shut_for_writing(struct pair *p)
{
	tcpwhy_sock l = a_listener(p, 5);

	assert_int_equal(host_shutdown(p->server, l, TCPWHY_SHUT_WR), 0);
	return state_at(p->server, l);
}

/* close() of a listener resets who was not accepted. */
static int listener_closes(struct pair *p)
{
	tcpwhy_sock l = a_listener(p, 5), c = a_call_from(p, CLIENT_PORT);

	pump(p);
	host_close(p->server, l);
	assert_int_equal(counted(p->server, OutRsts), 1);
	pump(p);
	return (int)host_recv(p->client, c, 1);
}

/* An accepted one lives on. */
static int accepted_lives_on(struct pair *p)
{
	struct ends e = established(p);

	host_close(p->server, e.listener);
	host_send(p->client, e.client, 3);
	pump(p);
	return (int)host_recv(p->server, e.server, 10);
}

/* The send buffer ends somewhere: what does not fit is not taken. A segment of data beside a
 * timestamp is 1,448 bytes. */
static int sends_too_much(struct pair *p)
{
	struct ends e = established(p);

	assert_int_equal(host_send(p->client, e.client, UINT32_MAX), 1 << 30);
	assert_int_equal(host_send(p->client, e.client, 1), -EAGAIN);
	assert_int_equal(host_send(p->client, e.client, 0), 0);
	into(p->server, out_of(p->client));
	into(p->client, out_of(p->server));
	return (int)host_send(p->client, e.client, UINT32_MAX);
}

static void test_used_sockets(void **state)
{
	(void)state;
	check_every_row("connect() again", calls_again, 0);
	check_every_row("listen() again", listens_again, 0);
	check_every_row("a listener shut for writing", listener_shut_for_writing, TCPWHY_LISTEN);
	check_every_row("too much is sent", sends_too_much, 1448);
	check_every_row("a listener closes", listener_closes, -ECONNRESET);
	check_every_row("an accepted socket lives on", accepted_lives_on, 3);
}

/* SO_BINDTODEVICE on a connection: its segments, and its TIME_WAIT, are of that device. */
static int bound_to_device(struct pair *p)
{
	struct ends e = established(p);

	assert_int_equal(host_setsockopt(p->client, e.client, TCPWHY_SO_BINDTODEVICE, ETH0), 0);
	host_shutdown(p->client, e.client, TCPWHY_SHUT_WR);
	struct segment fin = out_of(p->client);
	assert_int_equal(fin.device, ETH0);
	fin.device = 0;
	into(p->server, fin);
	host_close(p->server, e.server);
	struct segment s;
	while (host_segment_out(p->server, &s)) {
		s.device = ETH0;
		into(p->client, s);
	}
	assert_int_equal(counted(p->client, TCPTimeWaitOverflow), 0);
	both_advance(p, 100 * S);
	return counted(p->client, TW);
}

static tcpwhy_sock a_reusing_call(struct pair *p)
{
	tcpwhy_sock c = a_socket(p->client);

	assert_int_equal(host_setsockopt(p->client, c, TCPWHY_SO_REUSEADDR, 1), 0);
	assert_int_equal(host_bind(p->client, c, &p->client_at, CLIENT_PORT, NULL), 0);
	assert_int_equal(
		host_connect(p->client, c, &p->server_at, SERVER_PORT, &p->client_at, NULL),
		-EINPROGRESS);
	return c;
}

/* connect() over a TIME_WAIT: further on in the sequence, with the old one's timestamp. */
static int takes_over(struct pair *p)
{
	tcpwhy_sock l = a_listener(p, 5), c = a_reusing_call(p), child;

	pump(p);
	assert_int_equal(host_accept(p->server, l, 0, &child), 0);
	host_close(p->client, c);
	pump(p);
	host_close(p->server, child);
	pump(p);
	struct host_view old = at_client(p, CLIENT_PORT);
	assert_int_equal(old.state, TCPWHY_TIME_WAIT);
	a_reusing_call(p);
	assert_int_equal(counted(p->client, TWRecycled), 1);
	struct segment syn = out_of(p->client);
	assert_true(syn.tsecr != 0);
	return (int)(syn.seq - old.snd_nxt);
}

/* One that was put into the engine as seen elsewhere: taken over, but nothing is known of its
 * numbers. */
static int takes_over_what_was_seen(struct pair *p)
{
	struct tcpwhy_owner o = {.local = p->client_at,
				 .peer = p->server_at,
				 .peer_port = SERVER_PORT,
				 .family = TCPWHY_IPV4,
				 .state = TCPWHY_TIME_WAIT,
				 .timewait = true,
				 .timestamps = TCPWHY_YES,
				 .connect_bind = TCPWHY_YES,
				 .expires_ns = 30 * S};

	for (o.port = 20000; o.port < 20200; o.port++)
		assert_int_equal(tcpwhy_import_owner(host_engine(p->client), &o, NULL), 0);
	o.port = 20000; /* its record lies far from that of the new socket */
	struct tcpwhy_bucket b = {.port = o.port,
				  .known = true,
				  .fastreuse = -1,
				  .fastreuseport = -1,
				  .fast_family = TCPWHY_IPV4};
	assert_int_equal(tcpwhy_import_bucket(host_engine(p->client), &b), 0);
	engine_set(p->client, tw_reuse, 1);
	sysctl_set(host_engine(p->client), o.port, o.port);
	host_advance(p->client, 5 * S);
	a_call_from(p, 0);
	assert_int_equal(answer(p->client), SEGMENT_SYN);
	return counted(p->client, TWRecycled);
}

static void test_options(void **state)
{
	(void)state;
	check_every_row("SO_BINDTODEVICE", bound_to_device, 1);
	check_every_row("connect() over a TIME_WAIT", takes_over, 65537);
	check_every_row("over one that was seen", takes_over_what_was_seen, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_state),   cmocka_unit_test(test_close_in_each_state),
		cmocka_unit_test(test_aborts),       cmocka_unit_test(test_resets),
		cmocka_unit_test(test_used_sockets), cmocka_unit_test(test_options),
	};

	return unit_run("call", tests);
}
