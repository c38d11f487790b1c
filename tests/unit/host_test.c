/* SPDX-License-Identifier: MIT
 *
 * Connections from SYN to the end, in every order of closing, on every release
 */
#include "host_fixture.h"

#include <string.h>

/* Plays a scene on every row. */
static void on_every_row(void (*scene)(struct pair *p))
{
	for (size_t i = 0; tcpwhy_row_at(i); i++) {
		struct pair p = pair_new(tcpwhy_row_at(i)->name, tcpwhy_row_at(i)->name);
		scene(&p);
		pair_free(&p);
	}
}

static void handshake(struct pair *p)
{
	tcpwhy_sock l = a_listener(p, 5), child, c = a_call_from(p, CLIENT_PORT);
	struct segment syn = out_of(p->client);

	assert_int_equal(syn.flags, SEGMENT_SYN);
	assert_true(syn.has_timestamp && syn.sack_permitted);
	assert_int_equal(host_accept(p->server, l, 0, &child), -EAGAIN);
	into(p->server, syn);
	assert_int_equal(at_server(p, CLIENT_PORT).state, TCPWHY_SYN_RECV);
	struct segment syn_ack = out_of(p->server);
	assert_int_equal(syn_ack.flags, SEGMENT_SYN | SEGMENT_ACK);
	assert_int_equal(syn_ack.ack, syn.seq + 1);
	assert_int_equal(syn_ack.tsecr, syn.tsval);
	into(p->client, syn_ack);
	assert_int_equal(state_at(p->client, c), TCPWHY_ESTABLISHED);
	struct segment ack = out_of(p->client);
	assert_int_equal(ack.flags, SEGMENT_ACK);
	assert_int_equal(ack.ack, syn_ack.seq + 1);
	into(p->server, ack);
	assert_int_equal(at_server(p, CLIENT_PORT).state, TCPWHY_ESTABLISHED);
	nothing_out_of(p->server);
	assert_int_equal(host_accept(p->server, l, 0, &child), 0);
	assert_int_equal(state_at(p->server, child), TCPWHY_ESTABLISHED);
	assert_int_equal(host_counter(p->server, COUNTER_PassiveOpens), 1);
	assert_int_equal(host_counter(p->client, COUNTER_ActiveOpens), 1);
	/* connect() is told once that it worked, then that it was so already. */
	assert_int_equal(
		host_connect(p->client, c, &p->server_at, SERVER_PORT, &p->client_at, NULL), 0);
	assert_int_equal(
		host_connect(p->client, c, &p->server_at, SERVER_PORT, &p->client_at, NULL),
		-EISCONN);
}

static void test_handshake(void **state)
{
	(void)state;
	on_every_row(handshake);
}

static void data(struct pair *p)
{
	struct ends e = established(p);

	assert_int_equal(host_send(p->client, e.client, 5000), 5000);
	pump(p);
	assert_int_equal(host_recv(p->server, e.server, 4000), 4000);
	assert_int_equal(host_recv(p->server, e.server, 4000), 1000);
	assert_int_equal(host_recv(p->server, e.server, 4000), -EAGAIN);
	assert_int_equal(host_send(p->server, e.server, 10), 10);
	pump(p);
	assert_int_equal(host_recv(p->client, e.client, 100), 10);
}

static void test_data(void **state)
{
	(void)state;
	on_every_row(data);
}

static void client_closes_first(struct pair *p)
{
	struct ends e = established(p);

	assert_int_equal(host_close(p->client, e.client), 0);
	pump(p);
	assert_int_equal(at_client(p, CLIENT_PORT).state, TCPWHY_FIN_WAIT2);
	assert_true(at_client(p, CLIENT_PORT).timewait);
	assert_int_equal(state_at(p->server, e.server), TCPWHY_CLOSE_WAIT);
	assert_int_equal(host_recv(p->server, e.server, 1), 0);
	assert_int_equal(host_close(p->server, e.server), 0);
	pump(p);
	assert_int_equal(at_client(p, CLIENT_PORT).state, TCPWHY_TIME_WAIT);
	assert_int_equal(at_server(p, CLIENT_PORT).state, 0);
	assert_int_equal(at_client(p, CLIENT_PORT).expires_ns, 61 * S);
	both_advance(p, 61 * S - 1);
	assert_int_equal(at_client(p, CLIENT_PORT).state, TCPWHY_TIME_WAIT);
	both_advance(p, 61 * S);
	assert_int_equal(at_client(p, CLIENT_PORT).state, 0);
	assert_int_equal(host_counter(p->client, COUNTER_TW), 1);
}

static void server_closes_first(struct pair *p)
{
	struct ends e = established(p);

	assert_int_equal(host_close(p->server, e.server), 0);
	pump(p);
	assert_int_equal(state_at(p->client, e.client), TCPWHY_CLOSE_WAIT);
	assert_int_equal(host_close(p->client, e.client), 0);
	pump(p);
	assert_int_equal(at_server(p, CLIENT_PORT).state, TCPWHY_TIME_WAIT);
	assert_int_equal(at_client(p, CLIENT_PORT).state, 0);
}

static void both_close_at_once(struct pair *p)
{
	struct ends e = established(p);

	assert_int_equal(host_close(p->server, e.server), 0);
	assert_int_equal(host_close(p->client, e.client), 0);
	struct segment from_server = out_of(p->server);
	into(p->server, out_of(p->client));
	assert_int_equal(at_server(p, CLIENT_PORT).state, TCPWHY_CLOSING);
	into(p->client, from_server);
	assert_int_equal(at_client(p, CLIENT_PORT).state, TCPWHY_CLOSING);
	pump(p);
	assert_int_equal(at_server(p, CLIENT_PORT).state, TCPWHY_TIME_WAIT);
	assert_int_equal(at_client(p, CLIENT_PORT).state, TCPWHY_TIME_WAIT);
}

/* shutdown() leaves a way for what the other side still has to say. */
static void half_close(struct pair *p)
{
	struct ends e = established(p);

	assert_int_equal(host_shutdown(p->client, e.client, TCPWHY_SHUT_WR), 0);
	pump(p);
	assert_int_equal(state_at(p->client, e.client), TCPWHY_FIN_WAIT2);
	assert_int_equal(host_send(p->client, e.client, 1), -EPIPE);
	assert_int_equal(host_send(p->server, e.server, 7), 7);
	pump(p);
	assert_int_equal(host_recv(p->client, e.client, 100), 7);
	assert_int_equal(host_close(p->server, e.server), 0);
	pump(p);
	assert_int_equal(at_client(p, CLIENT_PORT).state, TCPWHY_TIME_WAIT);
	/* The port was asked for: it is the process's until close(). */
	assert_int_equal(state_at(p->client, e.client), TCPWHY_BOUND);
	assert_int_equal(host_recv(p->client, e.client, 100), 0);
	assert_int_equal(host_close(p->client, e.client), 0);
	assert_int_equal(at_client(p, CLIENT_PORT).state, TCPWHY_TIME_WAIT);
}

static void test_orders_of_closing(void **state)
{
	(void)state;
	on_every_row(client_closes_first);
	on_every_row(server_closes_first);
	on_every_row(both_close_at_once);
	on_every_row(half_close);
}

static void unread_data_resets(struct pair *p)
{
	struct ends e = established(p);

	host_send(p->client, e.client, 1);
	pump(p);
	assert_int_equal(host_close(p->server, e.server), 0);
	struct segment rst = out_of(p->server);
	assert_int_equal(rst.flags, SEGMENT_RST | SEGMENT_ACK);
	assert_int_equal(host_counter(p->server, COUNTER_TCPAbortOnClose), 1);
	into(p->client, rst);
	assert_int_equal(host_recv(p->client, e.client, 1), -ECONNRESET);
	assert_int_equal(host_recv(p->client, e.client, 1), 0);
	assert_int_equal(host_send(p->client, e.client, 1), -EPIPE);
	assert_int_equal(at_server(p, CLIENT_PORT).state, 0);
	assert_int_equal(at_client(p, CLIENT_PORT).state, 0);
}

static void linger_zero_resets(struct pair *p)
{
	struct ends e = established(p);

	host_setsockopt(p->server, e.server, TCPWHY_SO_LINGER0, 1);
	assert_int_equal(host_close(p->server, e.server), 0);
	pump(p);
	assert_int_equal(host_counter(p->server, COUNTER_TCPAbortOnData), 1);
	assert_int_equal(host_error(p->client, e.client), ECONNRESET);
	assert_int_equal(host_error(p->client, e.client), 0);
}

static void test_closing_by_reset(void **state)
{
	(void)state;
	on_every_row(unread_data_resets);
	on_every_row(linger_zero_resets);
}

static void nobody_listens(struct pair *p)
{
	tcpwhy_sock c = a_call_from(p, CLIENT_PORT);

	pump(p);
	assert_int_equal(host_counter(p->server, COUNTER_OutRsts), 1);
	assert_int_equal(
		host_connect(p->client, c, &p->server_at, SERVER_PORT, &p->client_at, NULL),
		-ECONNREFUSED);
}

static void test_nobody_listens(void **state)
{
	(void)state;
	on_every_row(nobody_listens);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake),         cmocka_unit_test(test_data),
		cmocka_unit_test(test_orders_of_closing), cmocka_unit_test(test_closing_by_reset),
		cmocka_unit_test(test_nobody_listens),
	};

	return unit_run("host", tests);
}
