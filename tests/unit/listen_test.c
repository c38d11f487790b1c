/* SPDX-License-Identifier: MIT
 *
 * A listener: how many its two queues hold, what is dropped, what the client is left with
 */
#include "host_fixture.h"

/* SYNs from so many ports, none of which is answered; how many the SYN queue keeps. */
static int syns_kept(struct pair *p, tcpwhy_sock l, int n)
{
	struct host_view v;

	for (int i = 0; i < n; i++) {
		a_call_from(p, (uint16_t)(CLIENT_PORT + i));
		into(p->server, out_of(p->client));
	}
	lose(p->server);
	assert_int_equal(host_look(p->server, l, &v), 0);
	assert_int_equal(v.young, v.syn_queue);
	return (int)v.syn_queue;
}

/* Handshakes from so many ports, one after the other; how many the accept queue keeps. */
static int accept_kept(struct pair *p, tcpwhy_sock l, int n)
{
	struct host_view v;

	for (int i = 0; i < n; i++) {
		a_call_from(p, (uint16_t)(CLIENT_PORT + i));
		pump(p);
	}
	assert_int_equal(host_look(p->server, l, &v), 0);
	return (int)v.accept_queue;
}

/* ---------------------------------------------------------------------------------- the SYN queue
 */

static int syn_queue_of(struct pair *p, int backlog)
{
	host_set(p->server, syncookies, 0);
	int kept = syns_kept(p, a_listener(p, backlog), 40);

	assert_int_equal(counted(p->server, TCPReqQFullDrop), 40 - kept);
	assert_int_equal(counted(p->server, ListenDrops), 40 - kept);
	assert_int_equal(counted(p->server, ListenOverflows), 0);
	return kept;
}

static int syn_queue_of_0(struct pair *p)
{
	return syn_queue_of(p, 0);
}

static int syn_queue_of_2(struct pair *p)
{
	return syn_queue_of(p, 2);
}

static int syn_queue_of_16(struct pair *p)
{
	return syn_queue_of(p, 16);
}

/* Before 4.4 the queue is also bounded by tcp_max_syn_backlog; the reserve is not touched then. */
static int syn_queue_by_sysctl(struct pair *p)
{
	host_set(p->server, max_syn_backlog, 9);
	host_set(p->server, syncookies, 1);
	int kept = syns_kept(p, a_listener(p, 30), 40);
	assert_int_equal(counted(p->server, SyncookiesSent), 40 - kept);
	return kept;
}

static void test_syn_queue(void **state)
{
	(void)state;
	check_rows("SYN queue of backlog 0", syn_queue_of_0,
		   SINCE({"3.10", 16}, {"4.9.0", 0}, {"5.10.y", 1}, {"6.1.4", 0}, {"6.1.y", 1}));
	check_rows("SYN queue of backlog 2", syn_queue_of_2,
		   SINCE({"3.10", 16}, {"4.9.0", 2}, {"5.10.y", 3}, {"6.1.4", 2}, {"6.1.y", 3}));
	check_rows(
		"SYN queue of backlog 16", syn_queue_of_16,
		SINCE({"3.10", 32}, {"4.9.0", 16}, {"5.10.y", 17}, {"6.1.4", 16}, {"6.1.y", 17}));
	check_rows(
		"SYN queue, tcp_max_syn_backlog 9", syn_queue_by_sysctl,
		SINCE({"3.10", 16}, {"4.9.0", 30}, {"5.10.y", 31}, {"6.1.4", 30}, {"6.1.y", 31}));
}

/* Without cookies the last quarter of tcp_max_syn_backlog is kept for known peers: no counter of
 * its own. */
static int reserve(struct pair *p)
{
	host_set(p->server, syncookies, 0);
	host_set(p->server, max_syn_backlog, 12);
	int kept = syns_kept(p, a_listener(p, 100), 15);
	assert_int_equal(counted(p->server, ListenDrops), 15 - kept);
	assert_int_equal(counted(p->server, TCPReqQFullDrop), 0);
	return kept;
}

static int reserve_with_cookies(struct pair *p)
{
	host_set(p->server, max_syn_backlog, 12);
	return syns_kept(p, a_listener(p, 100), 15);
}

static void test_reserve(void **state)
{
	(void)state;
	check_every_row("the last quarter", reserve, 10);
	check_every_row("the last quarter, with cookies", reserve_with_cookies, 15);
}

/* --------------------------------------------------------------------------------- the accept
 * queue */

static int accept_queue_of_0(struct pair *p)
{
	return accept_kept(p, a_listener(p, 0), 4);
}

static int accept_queue_of_3(struct pair *p)
{
	return accept_kept(p, a_listener(p, 3), 8);
}

static int accept_queue_by_somaxconn(struct pair *p)
{
	host_set(p->server, somaxconn, 4);
	return accept_kept(p, a_listener(p, 1000), 8);
}

/* A negative backlog is a very large one. */
static int accept_queue_of_negative(struct pair *p)
{
	host_set(p->server, somaxconn, 6);
	return accept_kept(p, a_listener(p, -1), 9);
}

/* listen() again changes the backlog only. */
static int listened_again(struct pair *p)
{
	tcpwhy_sock l = a_listener(p, 2), child;

	assert_int_equal(accept_kept(p, l, 5), 3);
	assert_int_equal(host_listen(p->server, l, 0, NULL), 0);
	assert_int_equal(host_accept(p->server, l, 0, &child), 0);
	assert_int_equal(host_accept(p->server, l, 0, &child), 0);
	a_call_from(p, CLIENT_PORT + 30);
	into(p->server, out_of(p->client));
	struct host_view v;
	assert_int_equal(host_look(p->server, l, &v), 0);
	assert_int_equal(v.backlog, 0);
	return (int)v.accept_queue;
}

static int default_somaxconn(struct pair *p)
{
	struct host_view v;

	assert_int_equal(host_look(p->server, a_listener(p, 100000), &v), 0);
	return (int)v.backlog;
}

static void test_accept_queue(void **state)
{
	(void)state;
	check_every_row("accept queue of backlog 0", accept_queue_of_0, 1);
	check_every_row("accept queue of backlog 3", accept_queue_of_3, 4);
	check_every_row("accept queue by somaxconn", accept_queue_by_somaxconn, 5);
	check_every_row("accept queue of backlog -1", accept_queue_of_negative, 7);
	check_every_row("listen() again", listened_again, 1);
	check_rows("somaxconn", default_somaxconn, SINCE({"3.10", 128}, {"5.10.y", 4096}));
}

/* ------------------------------------------------------------------ a SYN at a full accept queue
 */

/* Of how many SYNs, after the queue is full, the SYN-ACK comes. */
static int answered_when_full(struct pair *p)
{
	tcpwhy_sock l = a_listener(p, 5);
	int answered = 0;

	accept_kept(p, l, 6);
	assert_int_equal(counted(p->server, ListenOverflows), 0);
	for (uint16_t i = 0; i < 5; i++) {
		a_call_from(p, (uint16_t)(CLIENT_PORT + 10 + i));
		into(p->server, out_of(p->client));
		answered += answer(p->server) != 0;
	}
	assert_int_equal(counted(p->server, ListenOverflows), 5 - answered);
	assert_int_equal(counted(p->server, ListenDrops), 5 - answered);
	return answered;
}

/* One short of full: every SYN is answered. */
static int answered_when_nearly_full(struct pair *p)
{
	tcpwhy_sock l = a_listener(p, 5);
	int answered = 0;

	accept_kept(p, l, 5);
	for (uint16_t i = 0; i < 5; i++) {
		a_call_from(p, (uint16_t)(CLIENT_PORT + 10 + i));
		into(p->server, out_of(p->client));
		answered += answer(p->server) != 0;
	}
	return answered;
}

/* A request whose SYN-ACK went out again is not young: SYNs are let through once more. */
static int answered_when_old(struct pair *p)
{
	answered_when_full(p);
	both_advance(p, 2100 * MS);
	lose(p->server);
	lose(p->client);
	a_call_from(p, CLIENT_PORT + 30);
	into(p->server, out_of(p->client));
	return answer(p->server);
}

static void test_full_accept_queue(void **state)
{
	(void)state;
	check_rows("SYNs that a full queue answers", answered_when_full,
		   SINCE({"3.10", 2}, {"4.9.y", 0}));
	check_every_row("SYNs that a nearly full one answers", answered_when_nearly_full, 5);
	check_rows("when no request is young", answered_when_old,
		   SINCE({"3.10", SEGMENT_SYN + SEGMENT_ACK}, {"4.9.y", 0}));
}

/* The connection that only the client believes in. */
static int ghost(struct pair *p)
{
	tcpwhy_sock l = a_listener(p, 0), c;

	host_set(p->server, syncookies, 1);
	a_call_from(p, CLIENT_PORT);
	pump(p);
	c = a_call_from(p, CLIENT_PORT + 1);
	pump(p);
	struct host_view v;
	host_look(p->server, l, &v);
	assert_int_equal(v.accept_queue, 1);
	assert_true(counted(p->server, ListenOverflows) > 0);
	return state_at(p->client, c);
}

/* A new kernel makes one, too, where the queue filled between SYN and ACK. */
static int ghost_by_race(struct pair *p)
{
	tcpwhy_sock l = a_listener(p, 3), c[6], child;
	int ghosts = 0;

	host_set(p->server, syncookies, 0);
	for (int i = 0; i < 3; i++)
		c[i] = a_call_from(p, (uint16_t)(CLIENT_PORT + i));
	host_listen(p->server, l, 3, NULL);
	pump(p);
	for (int i = 3; i < 6; i++) {
		c[i] = a_call_from(p, (uint16_t)(CLIENT_PORT + i));
		into(p->server, out_of(p->client));
	}
	pump(p);
	for (int i = 0; i < 6; i++)
		ghosts += state_at(p->client, c[i]) == TCPWHY_ESTABLISHED &&
			  at_server(p, (uint16_t)(CLIENT_PORT + i)).state != TCPWHY_ESTABLISHED;
	/* accept() makes room: the next ACK completes one of them. */
	assert_int_equal(host_accept(p->server, l, 0, &child), 0);
	for (int i = 0; i < 6; i++)
		if (at_server(p, (uint16_t)(CLIENT_PORT + i)).state == TCPWHY_SYN_RECV) {
			host_send(p->client, c[i], 1);
			pump(p);
			assert_int_equal(at_server(p, (uint16_t)(CLIENT_PORT + i)).state,
					 TCPWHY_ESTABLISHED);
			break;
		}
	return ghosts;
}

static void test_ghosts(void **state)
{
	(void)state;
	check_rows("a second connect() at backlog 0", ghost,
		   SINCE({"3.10", TCPWHY_ESTABLISHED}, {"4.9.y", TCPWHY_SYN_SENT}));
	check_every_row("a queue that filled meanwhile", ghost_by_race, 2);
}

/* ----------------------------------------------------------------------------------- other
 * segments */

static int at_listener(struct pair *p, uint8_t flags)
{
	a_listener(p, 5);
	struct segment s = to_server(p, flags);

	s.seq = 1000;
	s.ack = flags & SEGMENT_ACK ? 2000 : 0;
	into(p->server, s);
	int what = answer(p->server);
	assert_int_equal(at_server(p, CLIENT_PORT).state,
			 what == SEGMENT_SYN + SEGMENT_ACK ? TCPWHY_SYN_RECV : 0);
	assert_int_equal(counted(p->server, OutRsts), (what & SEGMENT_RST) != 0);
	return what;
}

#define AT_LISTENER(name, flags)                                                                   \
	static int name(struct pair *p)                                                            \
	{                                                                                          \
		return at_listener(p, flags);                                                      \
	}
AT_LISTENER(listener_syn, SEGMENT_SYN)
AT_LISTENER(listener_syn_fin, SEGMENT_SYN | SEGMENT_FIN)
AT_LISTENER(listener_syn_ack, SEGMENT_SYN | SEGMENT_ACK)
AT_LISTENER(listener_ack, SEGMENT_ACK)
AT_LISTENER(listener_rst, SEGMENT_RST)
AT_LISTENER(listener_rst_ack, SEGMENT_RST | SEGMENT_ACK)
AT_LISTENER(listener_fin, SEGMENT_FIN)
AT_LISTENER(listener_nothing, 0)

static void test_other_segments(void **state)
{
	(void)state;
	check_every_row("SYN", listener_syn, SEGMENT_SYN + SEGMENT_ACK);
	check_every_row("SYN with FIN", listener_syn_fin, 0);
	check_every_row("SYN-ACK", listener_syn_ack, SEGMENT_RST);
	check_every_row("ACK", listener_ack, SEGMENT_RST);
	check_every_row("RST", listener_rst, 0);
	check_every_row("RST with ACK", listener_rst_ack, 0);
	check_every_row("FIN", listener_fin, 0);
	check_every_row("no flag", listener_nothing, 0);
}

/* ---------------------------------------------------------------------------- which listener it is
 */

static tcpwhy_sock listener_at(struct pair *p, enum tcpwhy_family family, const char *address,
			       uint32_t device, bool v6only)
{
	struct tcpwhy_addr a = at(address);
	tcpwhy_sock l;

	assert_int_equal(host_socket(p->server, family, 0, &l), 0);
	host_setsockopt(p->server, l, TCPWHY_SO_REUSEPORT, 1);
	if (v6only)
		host_setsockopt(p->server, l, TCPWHY_IPV6_V6ONLY, 1);
	if (device)
		host_setsockopt(p->server, l, TCPWHY_SO_BINDTODEVICE, device);
	assert_int_equal(host_bind(p->server, l, &a, SERVER_PORT, NULL), 0);
	assert_int_equal(host_listen(p->server, l, 5, NULL), 0);
	return l;
}

static bool gets_a_syn(struct pair *p, tcpwhy_sock l, uint32_t device)
{
	struct segment s = to_server(p, SEGMENT_SYN);
	struct host_view v;

	s.device = device;
	into(p->server, s);
	lose(p->server);
	assert_int_equal(host_look(p->server, l, &v), 0);
	return v.syn_queue == 1;
}

/* An address that was asked for weighs more than none, in whatever order they came. */
static int specific_before_any(struct pair *p)
{
	listener_at(p, TCPWHY_IPV4, "0.0.0.0", 0, false);
	tcpwhy_sock l = listener_at(p, TCPWHY_IPV4, "10.0.0.2", 0, false);
	listener_at(p, TCPWHY_IPV6, "::", 0, true);
	return gets_a_syn(p, l, 0);
}

static int ipv4_before_dual_stack(struct pair *p)
{
	tcpwhy_sock l = listener_at(p, TCPWHY_IPV4, "0.0.0.0", 0, false);

	listener_at(p, TCPWHY_IPV6, "::", 0, false);
	return gets_a_syn(p, l, 0);
}

static int dual_stack_alone(struct pair *p)
{
	return gets_a_syn(p, listener_at(p, TCPWHY_IPV6, "::", 0, false), 0);
}

static int v6only_alone(struct pair *p)
{
	return gets_a_syn(p, listener_at(p, TCPWHY_IPV6, "::", 0, true), 0);
}

static int its_device(struct pair *p)
{
	listener_at(p, TCPWHY_IPV4, "0.0.0.0", 0, false);
	return gets_a_syn(p, listener_at(p, TCPWHY_IPV4, "0.0.0.0", ETH0, false), ETH0);
}

static int another_device(struct pair *p)
{
	listener_at(p, TCPWHY_IPV4, "0.0.0.0", ETH1, false);
	return gets_a_syn(p, listener_at(p, TCPWHY_IPV4, "0.0.0.0", 0, false), ETH0);
}

/* Of a group of SO_REUSEPORT each gets some. */
static int group(struct pair *p)
{
	tcpwhy_sock a = listener_at(p, TCPWHY_IPV4, "0.0.0.0", 0, false);
	tcpwhy_sock b = listener_at(p, TCPWHY_IPV4, "0.0.0.0", 0, false);
	struct host_view at_a, at_b;

	for (uint16_t i = 0; i < 5; i++) {
		struct segment s = to_server(p, SEGMENT_SYN);
		s.from_port = (uint16_t)(CLIENT_PORT + i);
		into(p->server, s);
		lose(p->server);
	}
	assert_int_equal(host_look(p->server, a, &at_a), 0);
	assert_int_equal(host_look(p->server, b, &at_b), 0);
	assert_int_equal(at_a.syn_queue + at_b.syn_queue, 5);
	return at_a.syn_queue && at_b.syn_queue;
}

static void test_which_listener(void **state)
{
	(void)state;
	check_every_row("an address before none", specific_before_any, 1);
	check_every_row("IPv4 before dual stack", ipv4_before_dual_stack, 1);
	check_every_row("dual stack", dual_stack_alone, 1);
	check_every_row("IPv6 only", v6only_alone, 0);
	check_every_row("its device", its_device, 1);
	check_every_row("another device", another_device, 1);
	check_every_row("a group", group, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syn_queue),      cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_accept_queue),   cmocka_unit_test(test_full_accept_queue),
		cmocka_unit_test(test_ghosts),         cmocka_unit_test(test_other_segments),
		cmocka_unit_test(test_which_listener),
	};

	return unit_run("listen", tests);
}
