/* SPDX-License-Identifier: MIT
 *
 * ICMP errors: what connect() learns, what a connection notes and forgets, what a handshake loses
 */
#include <errno.h>

#include "host_fixture.h"

/* About the segment, to who sent it. */
static struct segment error_about(const struct segment *s, enum segment_error error)
{
	return (struct segment){.from = s->to,
				.to = s->from,
				.from_port = s->to_port,
				.to_port = s->from_port,
				.error = (uint8_t)error,
				.seq = s->seq};
}

static uint64_t clock_of(const struct host *h)
{
	return tcpwhy_now(host_engine((struct host *)h));
}

/* ------------------------------------------------------------------------------------ connect() */

static struct segment call_v6(struct pair *p, tcpwhy_sock *c)
{
	const struct tcpwhy_addr here = at("fd00::1"), there = at("fd00::2");

	tcpwhy_add_local(host_engine(p->client), &here, 128, TCPWHY_LOCAL, ETH0, 0);
	assert_int_equal(host_socket(p->client, TCPWHY_IPV6, 0, c), 0);
	assert_int_equal(host_connect(p->client, *c, &there, SERVER_PORT, &here, NULL),
			 -EINPROGRESS);
	return out_of(p->client);
}

static void connect_learns_the_reason(void **state)
{
	(void)state;
	static const struct {
		enum segment_error error;
		int v4, v6;
	} table[] = {
		{SEGMENT_PORT_UNREACHABLE, ECONNREFUSED, ECONNREFUSED},
		{SEGMENT_HOST_UNREACHABLE, EHOSTUNREACH, EHOSTUNREACH},
		{SEGMENT_NO_ROUTE, ENETUNREACH, ENETUNREACH},
		{SEGMENT_ADMIN_PROHIBITED, EHOSTUNREACH, EACCES},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		for (unsigned v6 = 0; v6 < 2; v6++) {
			struct pair p = pair_new("6.18.y", "6.18.y");
			tcpwhy_sock c;
			struct segment syn;
			if (v6) {
				syn = call_v6(&p, &c);
			} else {
				c = a_call_from(&p, 0);
				syn = out_of(p.client);
			}
			into(p.client, error_about(&syn, table[i].error));
			assert_int_equal(state_at(p.client, c), TCPWHY_CLOSE);
			assert_int_equal(host_error(p.client, c), v6 ? table[i].v6 : table[i].v4);
			assert_int_equal(counted(p.client, AttemptFails), 1);
			assert_int_equal(host_deadline(p.client), UINT64_MAX);
			pair_free(&p);
		}
	}
}

/* One beside the SYN is not believed, and what is about nobody is nothing. */
static int beside_the_syn(struct pair *p)
{
	tcpwhy_sock c = a_call_from(p, CLIENT_PORT);
	struct segment syn = out_of(p->client), error = error_about(&syn, SEGMENT_NO_ROUTE);

	error.seq--;
	into(p->client, error);
	error.seq += 3;
	into(p->client, error);
	assert_int_equal(counted(p->client, OutOfWindowIcmps), 2);
	error.to_port++;
	into(p->client, error);
	nothing_out_of(p->client);
	assert_int_equal(counted(p->client, OutOfWindowIcmps), 2);
	return state_at(p->client, c);
}

/* The socket was locked: it is noted, and told if nothing better comes. */
static int within_the_call(struct pair *p)
{
	tcpwhy_sock c = a_call_from(p, CLIENT_PORT);
	struct segment syn = out_of(p->client), error = error_about(&syn, SEGMENT_NO_ROUTE);

	host_error_in_call(p->client, &error);
	assert_int_equal(state_at(p->client, c), TCPWHY_SYN_SENT);
	for (uint64_t next; (next = host_deadline(p->client)) < clock_of(p->client) + 600 * S;) {
		host_advance(p->client, next);
		lose(p->client);
	}
	assert_int_equal(state_at(p->client, c), TCPWHY_BOUND);
	return host_error(p->client, c);
}

static void of_connect(void **state)
{
	(void)state;
	check_every_row("an error beside the SYN", beside_the_syn, TCPWHY_SYN_SENT);
	check_every_row("an error within the call", within_the_call, ENETUNREACH);
}

/* ------------------------------------------------------------------------------- a connection */

/* Of ten bytes that were sent. */
static void rejected(struct pair *p, tcpwhy_sock c, enum segment_error error)
{
	assert_int_equal(host_send(p->client, c, 10), 10);
	const struct segment data = out_of(p->client);
	into(p->client, error_about(&data, error));
}

static int goes_on(struct pair *p)
{
	const struct ends e = established(p);

	rejected(p, e.client, SEGMENT_PORT_UNREACHABLE);
	assert_int_equal(host_error(p->client, e.client), ECONNREFUSED);
	assert_int_equal(host_error(p->client, e.client), 0);
	assert_int_equal(host_recv(p->client, e.client, 10), -EAGAIN);
	assert_int_equal(host_send(p->client, e.client, 10), 10);
	return state_at(p->client, e.client);
}

static int forgets_with_an_ack(struct pair *p)
{
	const struct ends e = established(p);

	rejected(p, e.client, SEGMENT_ADMIN_PROHIBITED);
	into(p->client, to_client(p, SEGMENT_ACK));
	return host_error(p->client, e.client);
}

static bool client_is_gone(struct host *h, void *ctx)
{
	(void)h;
	return !at_client(ctx, CLIENT_PORT).state;
}

static int is_told_at_the_end(struct pair *p)
{
	const struct ends e = established(p);

	rejected(p, e.client, SEGMENT_ADMIN_PROHIBITED);
	ends_after(p->client, client_is_gone, p);
	assert_int_equal(counted(p->client, TCPAbortOnTimeout), 1);
	return host_error(p->client, e.client);
}

/* With an error an orphan whose time-out is the longest has no retries left, else those it had. */
static int an_orphan_waits(struct pair *p, bool with_error)
{
	const struct ends e = established(p);

	host_set(p->client, orphan_retries, 20);
	host_send(p->client, e.client, 10);
	const struct segment data = out_of(p->client);
	host_close(p->client, e.client);
	lose(p->client);
	if (with_error)
		into(p->client, error_about(&data, SEGMENT_ADMIN_PROHIBITED));
	return ends_after(p->client, client_is_gone, p) / 1000;
}

static int an_orphan_without(struct pair *p)
{
	return an_orphan_waits(p, false);
}

static int an_orphan_with(struct pair *p)
{
	return an_orphan_waits(p, true);
}

static void of_connections(void **state)
{
	(void)state;
	check_every_row("a connection goes on", goes_on, TCPWHY_ESTABLISHED);
	check_every_row("an ACK makes it forget", forgets_with_an_ack, 0);
	check_every_row("the error of the time-out", is_told_at_the_end, EHOSTUNREACH);
	check_every_row("an orphan's retries", an_orphan_without, 1644);
	check_every_row("and without them", an_orphan_with, 324);
}

/* When the third retransmission comes, after the first in units of the time-out: 2 + 4. An error
 * after each takes one doubling back: then each comes after one time-out. */
static int third_again(struct pair *p, enum segment_error error)
{
	const struct ends e = established(p);
	uint64_t first = 0;

	host_send(p->client, e.client, 10);
	const struct segment data = out_of(p->client);
	for (unsigned i = 0; i < 3; i++) {
		host_advance(p->client, host_deadline(p->client));
		assert_int_equal(out_of(p->client).seq, data.seq);
		if (!i)
			first = clock_of(p->client);
		if (error)
			into(p->client, error_about(&data, error));
	}
	return (int)((clock_of(p->client) - first) / (200 * MS));
}

static int without_errors(struct pair *p)
{
	return third_again(p, SEGMENT_NO_ERROR);
}

static int with_host_unreachable(struct pair *p)
{
	return third_again(p, SEGMENT_HOST_UNREACHABLE);
}

static int with_port_unreachable(struct pair *p)
{
	return third_again(p, SEGMENT_PORT_UNREACHABLE);
}

/* One that comes when the shorter time-out would be over has it sent at once. */
static int late(struct pair *p)
{
	const struct ends e = established(p);

	host_send(p->client, e.client, 10);
	const struct segment data = out_of(p->client);
	host_advance(p->client, host_deadline(p->client));
	lose(p->client);
	host_advance(p->client, clock_of(p->client) + 300 * MS);
	nothing_out_of(p->client);
	into(p->client, error_about(&data, SEGMENT_NO_ROUTE));
	assert_int_equal(out_of(p->client).seq, data.seq);
	return (int)at_client(p, CLIENT_PORT).retransmits;
}

static void of_time_outs(void **state)
{
	(void)state;
	check_every_row("the time-out doubles", without_errors, 6);
	check_every_row("but for who has no way", with_host_unreachable, 2);
	check_every_row("and that has", with_port_unreachable, 6);
	check_every_row("late", late, 2);
}

/* ---------------------------------------------------------------------------------- a request */

static int handshakes_left(struct pair *p, enum segment_error error, uint32_t beside)
{
	const tcpwhy_sock l = a_listener(p, 5);
	struct host_view v;

	a_call_from(p, CLIENT_PORT);
	into(p->server, out_of(p->client));
	const struct segment syn_ack = out_of(p->server);
	struct segment about = error_about(&syn_ack, error);
	about.seq += beside;
	into(p->server, about);
	assert_int_equal(host_look(p->server, l, &v), 0);
	assert_int_equal(counted(p->server, ListenDrops), v.syn_queue ? 0 : 1);
	assert_int_equal(counted(p->server, OutOfWindowIcmps), beside ? 1 : 0);
	return (int)v.syn_queue;
}

static int by_host_unreachable(struct pair *p)
{
	return handshakes_left(p, SEGMENT_HOST_UNREACHABLE, 0);
}

static int by_port_unreachable(struct pair *p)
{
	return handshakes_left(p, SEGMENT_PORT_UNREACHABLE, 0);
}

static int by_one_beside(struct pair *p)
{
	return handshakes_left(p, SEGMENT_HOST_UNREACHABLE, 1);
}

static void of_requests(void **state)
{
	(void)state;
	check_every_row("host unreachable", by_host_unreachable, 0);
	check_rows("port unreachable", by_port_unreachable, SINCE({"3.10", 0}, {"4.9.0", 1}));
	check_every_row("beside the number", by_one_beside, 1);
}

/* A TIME_WAIT has nobody to tell. */
static int a_time_wait_stays(struct pair *p)
{
	const struct ends e = established(p);

	host_close(p->client, e.client);
	pump(p);
	host_close(p->server, e.server);
	pump(p);
	struct segment about = to_client(p, 0);
	about.error = SEGMENT_PORT_UNREACHABLE;
	into(p->client, about);
	nothing_out_of(p->client);
	return at_client(p, CLIENT_PORT).state;
}

static void of_time_wait(void **state)
{
	(void)state;
	check_every_row("a TIME_WAIT stays", a_time_wait_stays, TCPWHY_TIME_WAIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connect_learns_the_reason),
		cmocka_unit_test(of_connect),
		cmocka_unit_test(of_connections),
		cmocka_unit_test(of_time_outs),
		cmocka_unit_test(of_requests),
		cmocka_unit_test(of_time_wait),
	};

	return unit_run("unreachable", tests);
}
