/* SPDX-License-Identifier: MIT
 *
 * stage_agree: the same scenes in the model (row 6.18.y) and on the kernel that runs
 *
 * Each scene is played twice through stage.h and tells what it saw: results, states, numbers,
 * counters, and the segments in their order. Both tales must be the same, letter by letter. On a
 * kernel of another release a difference may be that release's.
 */
#include "unit.h"

#include "case/kernel_stage.h"
#include "case/stage_world.h"

#include <errno.h>
#include <string.h>

#define MS    UINT64_C(1000000)
#define S     (1000 * MS)
#define LIMIT (10 * S) /* a deadline; nothing waits for it to pass */

enum { PORT = 80, TALE_MAX = 16384, FLOWS = 16 };

/* One playing. */
struct scene {
	struct stage *st;
	const struct stage_ops *on;
	struct err err;
	int client, server, link;
	char tale[TALE_MAX];
	size_t told;
};

static struct tcpwhy_addr at(const char *text)
{
	struct tcpwhy_addr a;
	enum tcpwhy_family f;

	assert_true(address_parse(text, &a, &f));
	return a;
}

static void __attribute__((format(printf, 2, 3))) tell(struct scene *s, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	const int n = vsnprintf(s->tale + s->told, TALE_MAX - s->told, format, list);
	va_end(list);
	assert_true(n >= 0 && s->told + (size_t)n < TALE_MAX);
	s->told += (size_t)n;
}

#define GOOD(s, call)                                                                              \
	do {                                                                                       \
		if ((call) < 0)                                                                    \
			fail_msg("%s: %s: %s", (s)->on->name, #call, (s)->err.text);               \
	} while (0)

/* ------------------------------------------------------------------------------------ what is
 * built
 */

static int host(struct scene *s, const char *name)
{
	const struct stage_host h = {.name = name};
	const int node = s->on->add_host(s->st, &h, &s->err);

	GOOD(s, node);
	return node;
}

static int box(struct scene *s, const char *name)
{
	const struct stage_box b = {.name = name};
	const int node = s->on->add_box(s->st, &b, &s->err);

	GOOD(s, node);
	return node;
}

/* Tapped; "" is no address. */
static int cable(struct scene *s, int a, const char *a_addr, int b, const char *b_addr)
{
	const struct tcpwhy_addr addrs[2] = {at(*a_addr ? a_addr : "::"),
					     at(*b_addr ? b_addr : "::")};
	const struct stage_link l = {
		.ends = {{a, &addrs[0], *a_addr ? 1 : 0}, {b, &addrs[1], *b_addr ? 1 : 0}},
		.tapped = true};
	const int link = s->on->add_link(s->st, &l, &s->err);

	GOOD(s, link);
	return link;
}

/* The model's time stands still while nobody waits, the kernel's does not: what is sent again shall
 * be by the scene's will and not by a busy machine. Not longer: FIN_WAIT2 lasts 3.5 time-outs at
 * least (tcp_fin_time()), and only what lasts less than a minute becomes a mini-socket. */
static void be_patient(struct scene *s)
{
	static const char name[] = "net.ipv4.tcp_rto_min_us";
	const int hosts[] = {s->client, s->server};

	for (unsigned i = 0; i < 2 && strcmp(s->on->name, "kernel") == 0; i++) {
		const int rc = s->on->set_sysctl(s->st, hosts[i], name, "5000000", &s->err);
		if (rc && rc != -ENOENT) /* before 6.11 */
			fail_msg("%s", s->err.text);
	}
}

static void impatient_pair(struct scene *s)
{
	s->client = host(s, "client");
	s->server = host(s, "server");
	s->link = cable(s, s->client, "10.0.0.1", s->server, "10.0.0.2");
	GOOD(s, s->on->start(s->st, &s->err));
}

static void pair(struct scene *s)
{
	impatient_pair(s);
	be_patient(s);
}

/* ------------------------------------------------------------------------------------------- waits
 */

struct wish {
	struct scene *s;
	int sock;
	enum tcpwhy_state state;
	int result;
	const char *counter;
	int host;
	uint64_t value;
	struct stage_sock tuple;
};

static void wait_for(struct scene *s, int (*is_so)(void *ctx), struct wish *w, const char *what)
{
	w->s = s;
	const int rc = s->on->run_until(s->st, is_so, w, LIMIT, &s->err);
	if (rc)
		fail_msg("%s: waiting for %s: %d\n%s", s->on->name, what, rc, s->tale);
}

static int is_in_state(void *ctx)
{
	struct wish *w = ctx;
	struct stage_sock k;

	return !w->s->on->look(w->s->st, w->sock, &k) && k.state == w->state;
}

static void in_state(struct scene *s, int sock, enum tcpwhy_state state)
{
	struct wish w = {.sock = sock, .state = state};

	wait_for(s, is_in_state, &w, tcpwhy_state_name(state));
}

/* CLOSE: there is none. */
static int is_tuple_in_state(void *ctx)
{
	struct wish *w = ctx;
	struct stage_sock k;
	const struct stage_sock *t = &w->tuple;
	const int rc =
		w->s->on->find(w->s->st, w->host, &t->local, t->port, &t->peer, t->peer_port, &k);

	if (rc)
		return rc == -ENOENT ? w->state == TCPWHY_CLOSE : rc;
	return k.state == w->state;
}

static void tuple_in_state(struct scene *s, int node, const struct stage_sock *tuple,
			   enum tcpwhy_state state)
{
	struct wish w = {.host = node, .tuple = *tuple, .state = state};

	wait_for(s, is_tuple_in_state, &w, tcpwhy_state_name(state));
}

static int is_connected(void *ctx)
{
	struct wish *w = ctx;
	struct stage_sock k;

	if (w->s->on->look(w->s->st, w->sock, &k) || k.state == TCPWHY_SYN_SENT)
		return 0;
	w->result = w->s->on->error(w->s->st, w->sock);
	return 1;
}

/* The errno of connect(). */
static int outcome(struct scene *s, int sock)
{
	struct wish w = {.sock = sock};

	wait_for(s, is_connected, &w, "connect()");
	return w.result;
}

static int is_accepted(void *ctx)
{
	struct wish *w = ctx;

	w->result = w->s->on->accept(w->s->st, w->sock);
	return w->result != -EAGAIN;
}

static int accepted(struct scene *s, int listener)
{
	struct wish w = {.sock = listener};

	wait_for(s, is_accepted, &w, "accept()");
	GOOD(s, w.result);
	return w.result;
}

static int has_counted(void *ctx)
{
	struct wish *w = ctx;
	uint64_t value;
	const int rc = w->s->on->counter(w->s->st, w->host, w->counter, &value, &w->s->err);

	return rc ? rc : value >= w->value;
}

static void counted(struct scene *s, int node, const char *counter, uint64_t value)
{
	struct wish w = {.host = node, .counter = counter, .value = value};

	wait_for(s, has_counted, &w, counter);
}

static int has_passed(void *ctx)
{
	struct wish *w = ctx;
	struct line_record r;

	/* all of them, and none is on its way */
	for (size_t i = 0; i < w->value; i++)
		if (!w->s->on->trace(w->s->st, i, &r) || r.passage == LINE_ON_ITS_WAY)
			return 0;
	return 1;
}

static int has_crossed(void *ctx)
{
	struct wish *w = ctx;

	return w->s->on->trace_count(w->s->st) >= w->value;
}

static void crossed(struct scene *s, size_t segments)
{
	struct wish w = {.value = segments};

	wait_for(s, has_crossed, &w, "segments");
}

static void passed(struct scene *s, size_t segments)
{
	struct wish w = {.value = segments};

	wait_for(s, has_passed, &w, "segments");
}

/* -------------------------------------------------------------------------------------- what is
 * told
 */

static void count(struct scene *s, int node, const char *name)
{
	uint64_t value;

	GOOD(s, s->on->counter(s->st, node, name, &value, &s->err));
	tell(s, "%s of %d: %llu\n", name, node, (unsigned long long)value);
}

static void tell_sock(struct scene *s, const char *who, const struct stage_sock *k, uint32_t iss,
		      uint32_t irs)
{
	tell(s, "%s: %s%s timer %u unread %u unacked %u", who, tcpwhy_state_name(k->state),
	     k->timewait ? " (mini)" : "", k->timer, k->unread, k->unacked);
	if (k->has_numbers)
		tell(s, " una %u nxt %u rcv %u", k->snd_una - iss, k->snd_nxt - iss,
		     k->rcv_nxt - irs);
	tell(s, "\n");
}

static struct stage_sock seen(struct scene *s, int sock)
{
	struct stage_sock k;

	assert_int_equal(s->on->look(s->st, sock, &k), 0);
	return k;
}

/* The initial number of who sent from there to there; 0 if there was no SYN. */
static uint32_t first_number(struct scene *s, const struct stage_sock *k, bool of_peer)
{
	const struct tcpwhy_addr *from = of_peer ? &k->peer : &k->local;
	const uint16_t from_port = of_peer ? k->peer_port : k->port,
		       to_port = of_peer ? k->port : k->peer_port;
	struct line_record r;

	for (size_t i = 0; s->on->trace(s->st, i, &r); i++)
		if (r.segment.flags & SEGMENT_SYN && r.origin != LINE_INJECTED &&
		    address_equal(&r.segment.from, from) && r.segment.from_port == from_port &&
		    r.segment.to_port == to_port)
			return r.segment.seq;
	return 0;
}

static void look(struct scene *s, const char *who, int sock)
{
	const struct stage_sock k = seen(s, sock);

	tell_sock(s, who, &k, first_number(s, &k, false), first_number(s, &k, true));
}

static void find(struct scene *s, const char *who, int node, const struct stage_sock *tuple)
{
	struct stage_sock k;
	const int rc = s->on->find(s->st, node, &tuple->local, tuple->port, &tuple->peer,
				   tuple->peer_port, &k);

	if (rc)
		tell(s, "%s: %d\n", who, rc);
	else
		tell_sock(s, who, &k, first_number(s, &k, false), first_number(s, &k, true));
}

static void tell_flags(struct scene *s, uint8_t flags)
{
	static const char *const names[] = {"FIN", "SYN", "RST", "PSH", "ACK"};

	/* when data is pushed is the business of send buffers: the model has none */
	for (unsigned i = 0; i < 5; i++)
		if (flags >> i & 1 && i != 3)
			tell(s, " %s", names[i]);
}

static struct stage_sock tuple_of(const struct segment *g)
{
	return (struct stage_sock){
		.local = g->from, .port = g->from_port, .peer = g->to, .peer_port = g->to_port};
}

static void tell_trace(struct scene *s)
{
	static const char *const passages[] = {"on its way", "delivered", "lost"},
				 *const origins[] = {"", " copied", " injected"};
	struct line_record r;

	for (size_t i = 0; s->on->trace(s->st, i, &r); i++) {
		const struct stage_sock t = tuple_of(&r.segment);
		tell(s, "link %d from %u:", r.link, r.direction);
		tell_flags(s, r.segment.flags);
		tell(s, " seq %u", r.segment.seq - first_number(s, &t, false));
		if (r.segment.flags & SEGMENT_ACK)
			tell(s, " ack %u", r.segment.ack - first_number(s, &t, true));
		tell(s, " length %u%s%s%s %s%s\n", r.segment.length,
		     r.segment.has_timestamp ? " ts" : "",
		     r.segment.sack_permitted ? " sackOK" : "", r.segment.has_sack ? " sack" : "",
		     passages[r.passage], origins[r.origin]);
	}
}

/* ----------------------------------------------------------------------------------------
 * connections
 */

static int sock(struct scene *s, int node)
{
	const int k = s->on->socket(s->st, node, TCPWHY_IPV4, 0);

	assert_true(k >= 0);
	return k;
}

static int listener(struct scene *s, int node, const char *addr, int backlog)
{
	const struct tcpwhy_addr a = at(addr);
	const int l = sock(s, node);

	assert_int_equal(s->on->bind(s->st, l, &a, PORT), 0);
	assert_int_equal(s->on->listen(s->st, l, backlog), 0);
	return l;
}

static int begin_connect(struct scene *s, int node, const char *addr)
{
	const struct tcpwhy_addr a = at(addr);
	const int c = sock(s, node);

	tell(s, "connect %d\n", s->on->connect(s->st, c, &a, PORT));
	return c;
}

static int connected(struct scene *s, int node, const char *addr)
{
	const int c = begin_connect(s, node, addr);

	tell(s, "connected %d\n", outcome(s, c));
	return c;
}

struct connection {
	int listener, client, server;
	struct stage_sock tuple, back; /* of the client, of the server */
};

static struct connection connection(struct scene *s)
{
	struct connection c = {.listener = listener(s, s->server, "10.0.0.2", 4)};

	c.client = connected(s, s->client, "10.0.0.2");
	c.server = accepted(s, c.listener);
	c.tuple = seen(s, c.client);
	c.back = seen(s, c.server);
	return c;
}

static int has_something(void *ctx)
{
	struct wish *w = ctx;
	struct stage_sock k;

	return !w->s->on->look(w->s->st, w->sock, &k) && k.unread >= w->value;
}

static void hears(struct scene *s, int sock, uint32_t bytes)
{
	struct wish w = {.sock = sock, .value = bytes};

	wait_for(s, has_something, &w, "data");
	tell(s, "recv %lld\n", (long long)s->on->recv(s->st, sock, 100000));
}

/* --------------------------------------------------------------------------------------------
 * scenes
 */

static void handshake_and_data(struct scene *s)
{
	pair(s);
	struct connection c = connection(s);
	look(s, "client", c.client);
	look(s, "server", c.server);
	tell(s, "send %lld\n", (long long)s->on->send(s->st, c.client, 100));
	hears(s, c.server, 100);
	tell(s, "recv %lld\n", (long long)s->on->recv(s->st, c.server, 100));
	tell(s, "send %lld\n", (long long)s->on->send(s->st, c.server, 5000));
	hears(s, c.client, 5000);
	passed(s, 13);
	look(s, "client", c.client);
	look(s, "server", c.server);
	count(s, s->client, "ActiveOpens");
	count(s, s->server, "PassiveOpens");
}

static void close_in_turn(struct scene *s, const struct connection *c, bool client_first)
{
	const int first = client_first ? c->client : c->server,
		  second = client_first ? c->server : c->client;
	const int first_host = client_first ? s->client : s->server,
		  second_host = client_first ? s->server : s->client;
	const struct stage_sock *t1 = client_first ? &c->tuple : &c->back,
				*t2 = client_first ? &c->back : &c->tuple;

	tell(s, "close %d\n", s->on->close(s->st, first));
	in_state(s, second, TCPWHY_CLOSE_WAIT);
	tuple_in_state(s, first_host, t1, TCPWHY_FIN_WAIT2);
	look(s, "second", second);
	find(s, "first", first_host, t1);
	tell(s, "recv %lld\n", (long long)s->on->recv(s->st, second, 10));
	tell(s, "close %d\n", s->on->close(s->st, second));
	tuple_in_state(s, first_host, t1, TCPWHY_TIME_WAIT);
	tuple_in_state(s, second_host, t2, TCPWHY_CLOSE);
	find(s, "first", first_host, t1);
	find(s, "second", second_host, t2);
}

static void client_closes_first(struct scene *s)
{
	pair(s);
	const struct connection c = connection(s);
	close_in_turn(s, &c, true);
}

static void server_closes_first(struct scene *s)
{
	pair(s);
	const struct connection c = connection(s);
	close_in_turn(s, &c, false);
}

static void unread_data_resets(struct scene *s)
{
	pair(s);
	const struct connection c = connection(s);
	s->on->send(s->st, c.client, 10);
	struct wish w = {.sock = c.server, .value = 10};
	wait_for(s, has_something, &w, "data");
	passed(s, 5);
	tell(s, "close %d\n", s->on->close(s->st, c.server));
	in_state(s, c.client, TCPWHY_CLOSE);
	tell(s, "recv %lld\n", (long long)s->on->recv(s->st, c.client, 10));
	look(s, "client", c.client);
	count(s, s->server, "TCPAbortOnClose");
	count(s, s->client, "EstabResets");
}

/* An answer to a RST would be told only once: what was received before it comes first. */
static void data_before_a_reset_is_read(struct scene *s)
{
	pair(s);
	const struct connection c = connection(s);
	s->on->send(s->st, c.client, 10);
	struct wish w = {.sock = c.server, .value = 10};
	wait_for(s, has_something, &w, "data");
	passed(s, 5);
	assert_int_equal(s->on->setsockopt(s->st, c.client, TCPWHY_SO_LINGER0, 1), 0);
	tell(s, "close %d\n", s->on->close(s->st, c.client));
	in_state(s, c.server, TCPWHY_CLOSE);
	for (unsigned i = 0; i < 3; i++)
		tell(s, "recv %lld\n", (long long)s->on->recv(s->st, c.server, 100000));
	tell(s, "send %lld\n", (long long)s->on->send(s->st, c.server, 1));
}

static void refused(struct scene *s)
{
	pair(s);
	tell(s, "connected %d\n", outcome(s, begin_connect(s, s->client, "10.0.0.2")));
	count(s, s->client, "AttemptFails");
	count(s, s->server, "OutRsts");
}

static int has_queue(void *ctx)
{
	struct wish *w = ctx;
	struct stage_sock k;

	return !w->s->on->look(w->s->st, w->sock, &k) && k.accept_queue == w->value;
}

static void accept_queue_full(struct scene *s)
{
	pair(s);
	const int l = listener(s, s->server, "10.0.0.2", 1);
	connected(s, s->client, "10.0.0.2");
	connected(s, s->client, "10.0.0.2");
	struct wish w = {.sock = l, .value = 2};
	wait_for(s, has_queue, &w, "the queue");
	const int third = begin_connect(s, s->client, "10.0.0.2");
	counted(s, s->server, "ListenOverflows", 1);
	passed(s, 7);
	const struct stage_sock k = seen(s, l);
	tell(s, "queue %u of %u, requests %u\n", k.accept_queue, k.backlog, k.syn_queue);
	look(s, "third", third);
	count(s, s->server, "ListenOverflows");
	count(s, s->server, "ListenDrops");
	s->on->close(s->st, third);
}

/* A RST to the client as if the server had sent it, beside what the client expects. */
static void inject_reset(struct scene *s, const struct connection *c, uint32_t beside)
{
	const struct stage_sock k = seen(s, c->client);
	const struct segment rst = {.from = k.peer,
				    .to = k.local,
				    .from_port = k.peer_port,
				    .to_port = k.port,
				    .flags = SEGMENT_RST,
				    .seq = k.rcv_nxt + beside};

	assert_true(k.has_numbers);
	GOOD(s, s->on->inject(s->st, s->link, LINE_FROM_1, &rst, &s->err));
}

/* Bytes that had arrived are read; the error comes with the next call, once. */
static void bytes_come_before_the_error(struct scene *s)
{
	pair(s);
	const struct connection c = connection(s);
	s->on->send(s->st, c.server, 10);
	struct wish w = {.sock = c.client, .value = 10};
	wait_for(s, has_something, &w, "data");
	passed(s, 4);
	inject_reset(s, &c, 0);
	in_state(s, c.client, TCPWHY_CLOSE);
	for (int i = 0; i < 3; i++)
		tell(s, "recv %lld\n", (long long)s->on->recv(s->st, c.client, 100000));
}

static void resets_are_judged(struct scene *s)
{
	pair(s);
	const struct connection c = connection(s);
	passed(s, 3);
	inject_reset(s, &c, 70000);
	passed(s, 4);
	tell(s, "outside\n");
	look(s, "client", c.client);
	inject_reset(s, &c, 1000);
	counted(s, s->client, "TCPChallengeACK", 1);
	passed(s, 6);
	tell(s, "inside\n");
	look(s, "client", c.client);
	inject_reset(s, &c, 0);
	in_state(s, c.client, TCPWHY_CLOSE);
	tell(s, "exact\n");
	look(s, "client", c.client);
	tell(s, "recv %lld\n", (long long)s->on->recv(s->st, c.client, 10));
	count(s, s->client, "TCPChallengeACK");
	count(s, s->client, "EstabResets");
	look(s, "server", c.server);
}

/* Without SACK: with it Linux sends the missing one again within the round trip (RACK, since 6.17
 * not to be switched off), and the model knows no loss recovery but by time-out. */
/* How far the clocks of two connections' segments are apart, in s, of those that side sent. */
static uint32_t apart(struct scene *s, size_t i, size_t k)
{
	struct line_record a, b;

	assert_true(s->on->trace(s->st, i, &a) && s->on->trace(s->st, k, &b));
	assert_true(a.segment.has_timestamp && b.segment.has_timestamp);
	const uint32_t ms = b.segment.tsval - a.segment.tsval;
	return (ms < UINT32_MAX / 2 ? ms : -ms) / 1000;
}

/* tcp_timestamps=1: each connection begins its own at random; 2 and above: as the clock is. */
static void timestamps_may_show_the_clock(struct scene *s)
{
	static const char *const values[] = {"1", "2", "255"};

	pair(s);
	const int hosts[] = {s->client, s->server};
	listener(s, s->server, "10.0.0.2", 8);
	for (unsigned v = 0; v < 3; v++) {
		const size_t first = s->on->trace_count(s->st);
		for (unsigned i = 0; i < 2; i++)
			GOOD(s, s->on->set_sysctl(s->st, hosts[i], "net.ipv4.tcp_timestamps",
						  values[v], &s->err));
		connected(s, s->client, "10.0.0.2");
		connected(s, s->client, "10.0.0.2");
		passed(s, first + 6);
		for (unsigned side = 0; side < 2; side++)
			tell(s, "tcp_timestamps %s, %s: %s\n", values[v],
			     side ? "server" : "client",
			     apart(s, first + side, first + 3 + side) < 60 ? "the clock" : "apart");
	}
	GOOD(s, s->on->set_sysctl(s->st, s->client, "net.ipv4.tcp_timestamps", "0", &s->err));
	connected(s, s->client, "10.0.0.2");
	passed(s, 21);
	const int rc =
		s->on->set_sysctl(s->st, s->client, "net.ipv4.tcp_timestamps", "256", &s->err);
	tell(s, "256: %d\n", rc);
}

static void held_data_is_acknowledged_twice(struct scene *s)
{
	pair(s);
	GOOD(s, s->on->set_sysctl(s->st, s->client, "net.ipv4.tcp_sack", "0", &s->err));
	const struct connection c = connection(s);
	const struct line_control hold = {.pick.data = LINE_DATA, .action = LINE_HOLD, .times = 1};
	passed(s, 3);
	const int held = s->on->add_control(s->st, s->link, LINE_FROM_0, &hold, &s->err);
	GOOD(s, held);
	s->on->send(s->st, c.client, 10);
	s->on->send(s->st, c.client, 20);
	/* the second one crossed, and was answered: the first is missing */
	crossed(s, 6);
	tell(s, "held %u fired %u\n", s->on->held(s->st, held), s->on->fired(s->st, held));
	look(s, "server", c.server);
	tell(s, "released %u\n", s->on->release(s->st, held));
	hears(s, c.server, 30);
	passed(s, 7);
	look(s, "client", c.client);
	tell(s, "held %u\n", s->on->held(s->st, held));
}

static void a_late_duplicate_meets_time_wait(struct scene *s)
{
	impatient_pair(s);
	const struct line_control hold = {
		.pick.flags_set = SEGMENT_FIN, .action = LINE_HOLD, .times = 1};
	const struct connection c = connection(s);
	passed(s, 3);
	s->on->close(s->st, c.client);
	in_state(s, c.server, TCPWHY_CLOSE_WAIT);
	tuple_in_state(s, s->client, &c.tuple, TCPWHY_FIN_WAIT2);
	const int held = s->on->add_control(s->st, s->link, LINE_FROM_1, &hold, &s->err);
	GOOD(s, held);
	s->on->close(s->st, c.server);
	/* the server's FIN is held: it sends it again */
	tuple_in_state(s, s->client, &c.tuple, TCPWHY_TIME_WAIT);
	tuple_in_state(s, s->server, &c.back, TCPWHY_CLOSE);
	s->on->release(s->st, held);
	/* the answer to the late one meets nobody, whose RST ends the TIME_WAIT (RFC 1337) */
	passed(s, 10);
	tuple_in_state(s, s->client, &c.tuple, TCPWHY_CLOSE);
	find(s, "client", s->client, &c.tuple);
	find(s, "server", s->server, &c.back);
}

/* ----------------------------------------------------------------------------------------- boxes
 */

static void gated(struct scene *s, int *gate)
{
	s->client = host(s, "client");
	s->server = host(s, "server");
	*gate = box(s, "gate");
	s->link = cable(s, s->client, "192.168.0.10", *gate, "192.168.0.1");
	cable(s, *gate, "10.0.0.1", s->server, "10.0.0.2");
	GOOD(s, s->on->start(s->st, &s->err));
	be_patient(s);
}

static void tell_sessions(struct scene *s, int gate)
{
	char a[ADDRESS_TEXT_MAX], b[ADDRESS_TEXT_MAX], c[ADDRESS_TEXT_MAX], d[ADDRESS_TEXT_MAX];
	struct session all[4];
	const int n = s->on->sessions(s->st, gate, all, 4, &s->err);

	GOOD(s, n);
	for (int i = 0; i < n && i < 4; i++)
		tell(s, "session %s to %s:%u as %s to %s:%u state %d\n",
		     address_format(&all[i].client, a), address_format(&all[i].server, b),
		     all[i].server_port, address_format(&all[i].as_client, c),
		     address_format(&all[i].as_server, d), all[i].as_server_port, all[i].state);
}

static void snat_between(struct scene *s)
{
	const struct rule snat = {.action = RULE_SNAT,
				  .from = at("192.168.0.0"),
				  .from_len = 120,
				  .to = {at("10.0.0.1")},
				  .n_to = 1};
	char text[ADDRESS_TEXT_MAX];
	int gate;

	gated(s, &gate);
	GOOD(s, s->on->set_rules(s->st, gate, &snat, 1, &s->err));
	const int l = listener(s, s->server, "10.0.0.2", 4);
	const int c = connected(s, s->client, "10.0.0.2");
	const struct stage_sock k = seen(s, accepted(s, l));
	passed(s, 6);
	tell(s, "peer %s\n", address_format(&k.peer, text));
	tell_sessions(s, gate);
	look(s, "client", c);
}

static void dnat_between(struct scene *s)
{
	const struct rule dnat = {.action = RULE_DNAT,
				  .at = at("192.168.0.1"),
				  .at_len = 128,
				  .port = PORT,
				  .to = {at("10.0.0.2")},
				  .n_to = 1};
	int gate;

	gated(s, &gate);
	GOOD(s, s->on->set_rules(s->st, gate, &dnat, 1, &s->err));
	const int l = listener(s, s->server, "10.0.0.2", 4);
	const int c = connected(s, s->client, "192.168.0.1"), d = accepted(s, l);
	passed(s, 6);
	tell_sessions(s, gate);
	s->on->send(s->st, d, 7);
	hears(s, c, 7);
	passed(s, 10);
}

static void a_wall_rejects(struct scene *s)
{
	const struct rule reject = {
		.action = RULE_REJECT_RST, .at = at("10.0.0.2"), .at_len = 128, .port = PORT};
	int gate;

	gated(s, &gate);
	GOOD(s, s->on->set_rules(s->st, gate, &reject, 1, &s->err));
	listener(s, s->server, "10.0.0.2", 4);
	tell(s, "connected %d\n", outcome(s, begin_connect(s, s->client, "10.0.0.2")));
	count(s, s->server, "PassiveOpens");
	GOOD(s, s->on->set_rules(s->st, gate, NULL, 0, &s->err));
	connected(s, s->client, "10.0.0.2");
	passed(s, 8);
}

static void the_client_rejects_an_answer(struct scene *s)
{
	const struct rule reject = {.action = RULE_REJECT_RST,
				    .place = RULE_IN,
				    .from = at("10.0.0.2"),
				    .from_len = 128,
				    .from_port = PORT};

	pair(s);
	const struct connection c = connection(s);
	passed(s, 3);
	GOOD(s, s->on->set_rules(s->st, s->client, &reject, 1, &s->err));
	s->on->send(s->st, c.server, 10);
	in_state(s, c.server, TCPWHY_CLOSE);
	look(s, "server", c.server);
	look(s, "client", c.client);
	tell(s, "recv %lld\n", (long long)s->on->recv(s->st, c.server, 10));
}

/* ---------------------------------------------------------------------------------- ICMP errors
 */

static const char *const of_server[] = {"10.0.0.2", "fd00::2"};

static const enum segment_error errors[] = {SEGMENT_PORT_UNREACHABLE, SEGMENT_HOST_UNREACHABLE,
					    SEGMENT_NO_ROUTE, SEGMENT_ADMIN_PROHIBITED};

enum { ERRORS = sizeof(errors) / sizeof(errors[0]) };

static void reject_with(struct scene *s, int node, enum rule_place place, enum segment_error error,
			bool answers)
{
	const struct rule r = {.action = RULE_REJECT_ICMP,
			       .place = place,
			       .error = (uint8_t)error,
			       .from_port = answers ? PORT : 0,
			       .port = answers ? 0 : PORT};

	GOOD(s, s->on->set_rules(s->st, node, &r, 1, &s->err));
}

static void reject_nothing(struct scene *s, int node)
{
	GOOD(s, s->on->set_rules(s->st, node, NULL, 0, &s->err));
}

/* Both families on both sides of a wall. */
static void walled(struct scene *s, int *wall)
{
	const struct tcpwhy_addr a[] = {at("192.168.0.10"), at("fd01::10")},
				 b[] = {at("192.168.0.1"), at("fd01::1")},
				 c[] = {at("10.0.0.1"), at("fd00::1")},
				 d[] = {at(of_server[0]), at(of_server[1])};

	s->client = host(s, "client");
	s->server = host(s, "server");
	*wall = box(s, "wall");
	const struct stage_link near = {.ends = {{s->client, a, 2}, {*wall, b, 2}}, .tapped = true},
				far = {.ends = {{*wall, c, 2}, {s->server, d, 2}}, .tapped = true};
	s->link = s->on->add_link(s->st, &near, &s->err);
	GOOD(s, s->link);
	GOOD(s, s->on->add_link(s->st, &far, &s->err));
	GOOD(s, s->on->start(s->st, &s->err));
	be_patient(s);
	/* or what is missing would be sent again within a round trip */
	GOOD(s, s->on->set_sysctl(s->st, s->client, "net.ipv4.tcp_sack", "0", &s->err));
}

static int call_over(struct scene *s, unsigned v6)
{
	const struct tcpwhy_addr a = at(of_server[v6]);
	const int c = s->on->socket(s->st, s->client, v6 ? TCPWHY_IPV6 : TCPWHY_IPV4, 0);

	tell(s, "connect %d\n", s->on->connect(s->st, c, &a, PORT));
	return c;
}

static int listener_over(struct scene *s, unsigned v6)
{
	const struct tcpwhy_addr a = at(of_server[v6]);
	const int l = s->on->socket(s->st, s->server, v6 ? TCPWHY_IPV6 : TCPWHY_IPV4, 0);

	assert_int_equal(s->on->bind(s->st, l, &a, PORT), 0);
	assert_int_equal(s->on->listen(s->st, l, 4), 0);
	return l;
}

static void walls_tell_connect_why(struct scene *s)
{
	int wall;

	walled(s, &wall);
	for (unsigned i = 0; i < ERRORS; i++) {
		for (unsigned v6 = 0; v6 < 2; v6++) {
			reject_with(s, wall, RULE_FORWARD, errors[i], false);
			tell(s, "wall %u %u: %d\n", i, v6, outcome(s, call_over(s, v6)));
			reject_nothing(s, wall);
			reject_with(s, s->server, RULE_IN, errors[i], false);
			tell(s, "server %u %u: %d\n", i, v6, outcome(s, call_over(s, v6)));
			reject_nothing(s, s->server);
		}
	}
	count(s, s->client, "AttemptFails");
	count(s, s->client, "OutOfWindowIcmps");
}

/* The socket is locked when the answer to the first SYN comes: the second one's is heard. */
static void its_own_wall_tells_connect_later(struct scene *s)
{
	int wall;

	walled(s, &wall);
	reject_with(s, s->client, RULE_OUT, SEGMENT_ADMIN_PROHIBITED, false);
	const int four = call_over(s, 0), six = call_over(s, 1);
	tell(s, "%d\n", outcome(s, four));
	tell(s, "%d\n", outcome(s, six));
	count(s, s->client, "AttemptFails");
}

static int has_error(void *ctx)
{
	struct wish *w = ctx;

	w->result = w->s->on->error(w->s->st, w->sock);
	return w->result != 0;
}

/* A connection goes on: the error is told by SO_ERROR, once. */
static void errors_are_noted_by_connections(struct scene *s)
{
	int wall;

	walled(s, &wall);
	for (unsigned v6 = 0; v6 < 2; v6++) {
		const int l = listener_over(s, v6), c = call_over(s, v6);
		tell(s, "connected %d\n", outcome(s, c));
		accepted(s, l);
		for (unsigned i = 0; i < ERRORS; i++) {
			struct wish w = {.sock = c};
			reject_with(s, wall, RULE_FORWARD, errors[i], false);
			s->on->send(s->st, c, 10);
			wait_for(s, has_error, &w, "an error");
			tell(s, "noted %d, then %d\n", w.result, s->on->error(s->st, c));
		}
		look(s, "client", c);
		reject_nothing(s, wall);
		s->on->close(s->st, l);
	}
	count(s, s->client, "OutOfWindowIcmps");
}

/* What is acknowledged is not under way: who quotes it is not believed (RFC 5927). */
static void errors_about_the_past_are_counted(struct scene *s)
{
	const struct line_control again = {
		.pick.data = LINE_DATA, .action = LINE_COPY, .delay_ns = 50 * MS, .times = 1};
	int wall;

	walled(s, &wall);
	const int l = listener_over(s, 0), c = call_over(s, 0);
	tell(s, "connected %d\n", outcome(s, c));
	const int d = accepted(s, l);
	GOOD(s, s->on->add_control(s->st, s->link, LINE_FROM_0, &again, &s->err));
	s->on->send(s->st, c, 10);
	hears(s, d, 10);
	reject_with(s, wall, RULE_FORWARD, SEGMENT_HOST_UNREACHABLE, false);
	counted(s, s->client, "OutOfWindowIcmps", 1);
	tell(s, "error %d\n", s->on->error(s->st, c));
	look(s, "client", c);
}

static int has_no_request(void *ctx)
{
	const struct wish *w = ctx;
	struct stage_sock k;

	return !w->s->on->look(w->s->st, w->sock, &k) && !k.syn_queue;
}

/* About the SYN-ACK: two of four end the handshake, and the families disagree which. */
static void errors_end_requests(struct scene *s)
{
	static const enum segment_error ending[2][2] = {
		{SEGMENT_HOST_UNREACHABLE, SEGMENT_NO_ROUTE},
		{SEGMENT_PORT_UNREACHABLE, SEGMENT_ADMIN_PROHIBITED}};
	int wall;

	walled(s, &wall);
	for (unsigned v6 = 0; v6 < 2; v6++) {
		const int l = listener_over(s, v6);
		for (unsigned i = 0; i < 2; i++) {
			struct wish w = {.sock = l};
			reject_with(s, wall, RULE_FORWARD, ending[v6][i], true);
			const int c = call_over(s, v6);
			counted(s, s->server, "ListenDrops", 2 * v6 + i + 1);
			wait_for(s, has_no_request, &w, "the end of the request");
			tell(s, "client %s\n", tcpwhy_state_name(seen(s, c).state));
			s->on->close(s->st, c);
		}
		for (unsigned i = 0; i < 2; i++) {
			reject_with(s, wall, RULE_FORWARD, ending[!v6][i], true);
			const size_t before = s->on->trace_count(s->st);
			const int c = call_over(s, v6);
			/* both links by the SYN, one by the SYN-ACK, and the error has no more way
			 */
			passed(s, before + 3);
			GOOD(s, s->on->pause(s->st, 20 * MS, &s->err));
			tell(s, "requests %u\n", seen(s, l).syn_queue);
			s->on->close(s->st, c);
		}
		s->on->close(s->st, l);
	}
	count(s, s->server, "ListenDrops");
}

/* The error is about a translated segment, and is translated back. */
static void errors_pass_a_translation(struct scene *s)
{
	const struct rule dnat = {.action = RULE_DNAT,
				  .at = at("192.168.0.1"),
				  .at_len = 128,
				  .port = PORT,
				  .to = {at("10.0.0.2")},
				  .n_to = 1};
	int wall;

	gated(s, &wall);
	GOOD(s, s->on->set_rules(s->st, wall, &dnat, 1, &s->err));
	reject_with(s, s->server, RULE_IN, SEGMENT_NO_ROUTE, false);
	tell(s, "%d\n", outcome(s, begin_connect(s, s->client, "192.168.0.1")));
	count(s, s->client, "AttemptFails");
}

static void a_balancer_believes_any_reset(struct scene *s)
{
	struct rule balance = {.action = RULE_BALANCE,
			       .at = at("192.168.0.1"),
			       .at_len = 128,
			       .port = PORT,
			       .to = {at("10.0.0.2")},
			       .n_to = 1,
			       .balancer = {.closed_ns = 50 * MS, .resets_strays = true}};
	int gate;

	gated(s, &gate);
	GOOD(s, s->on->set_rules(s->st, gate, &balance, 1, &s->err));
	const int l = listener(s, s->server, "10.0.0.2", 4);
	const int c = connected(s, s->client, "192.168.0.1"), d = accepted(s, l);
	passed(s, 6);
	s->on->send(s->st, c, 10);
	hears(s, d, 10);
	passed(s, 10);
	tell_sessions(s, gate);
	/* far outside of the window: the server does not believe it */
	const struct stage_sock k = seen(s, c);
	const struct segment rst = {.from = k.local,
				    .to = k.peer,
				    .from_port = k.port,
				    .to_port = k.peer_port,
				    .flags = SEGMENT_RST,
				    .seq = k.snd_nxt + 1000000};
	GOOD(s, s->on->inject(s->st, s->link, LINE_FROM_0, &rst, &s->err));
	passed(s, 12);
	tell_sessions(s, gate);
	look(s, "server", d);
	GOOD(s, s->on->pause(s->st, 80 * MS, &s->err));
	tell_sessions(s, gate);
	s->on->send(s->st, c, 10);
	in_state(s, c, TCPWHY_CLOSE);
	look(s, "server", d);
	look(s, "client", c);
}

/* ---------------------------------------------------------------------------------------------
 * tests
 */

typedef void (*scene_fn)(struct scene *s);

static struct scene *play(scene_fn fn, struct stage *st)
{
	struct scene *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->st = st;
	s->on = st->ops;
	fn(s);
	tell_trace(s);
	s->on->free(st);
	return s;
}

static void agree(scene_fn fn)
{
	const struct tcpwhy_row *row = tcpwhy_row_find("6.18.y");
	const struct stage_world_config in_world = {.row = row, .seed = 1};
	const struct kernel_stage_config on_kernel = {.row = row, .seed = 1};
	struct stage *st;
	struct err err;

	const int rc = kernel_stage_new(&on_kernel, &st, &err);
	if (rc == STAGE_CANNOT)
		unit_skip(err.text);
	if (rc)
		fail_msg("%s", err.text);
	struct scene *kernel = play(fn, st);
	assert_int_equal(stage_world_new(&in_world, &st, &err), 0);
	struct scene *world = play(fn, st);
	if (strcmp(world->tale, kernel->tale) != 0) {
		/* longer than cmocka's messages may be */
		fprintf(stderr, "---- the model\n%s---- the kernel\n%s", world->tale, kernel->tale);
		fail_msg("the model and the kernel disagree");
	}
	free(world);
	free(kernel);
}

#define AGREE(fn)                                                                                  \
	static void test_##fn(void **state)                                                        \
	{                                                                                          \
		(void)state;                                                                       \
		agree(fn);                                                                         \
	}
AGREE(handshake_and_data)
AGREE(client_closes_first)
AGREE(server_closes_first)
AGREE(unread_data_resets)
AGREE(data_before_a_reset_is_read)
AGREE(refused)
AGREE(accept_queue_full)
AGREE(bytes_come_before_the_error)
AGREE(resets_are_judged)
AGREE(timestamps_may_show_the_clock)
AGREE(held_data_is_acknowledged_twice)
AGREE(a_late_duplicate_meets_time_wait)
AGREE(snat_between)
AGREE(dnat_between)
AGREE(a_wall_rejects)
AGREE(the_client_rejects_an_answer)
AGREE(walls_tell_connect_why)
AGREE(its_own_wall_tells_connect_later)
AGREE(errors_are_noted_by_connections)
AGREE(errors_about_the_past_are_counted)
AGREE(errors_end_requests)
AGREE(errors_pass_a_translation)
AGREE(a_balancer_believes_any_reset)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake_and_data),
		cmocka_unit_test(test_client_closes_first),
		cmocka_unit_test(test_server_closes_first),
		cmocka_unit_test(test_unread_data_resets),
		cmocka_unit_test(test_data_before_a_reset_is_read),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_accept_queue_full),
		cmocka_unit_test(test_bytes_come_before_the_error),
		cmocka_unit_test(test_resets_are_judged),
		cmocka_unit_test(test_timestamps_may_show_the_clock),
		cmocka_unit_test(test_held_data_is_acknowledged_twice),
		cmocka_unit_test(test_a_late_duplicate_meets_time_wait),
		cmocka_unit_test(test_snat_between),
		cmocka_unit_test(test_dnat_between),
		cmocka_unit_test(test_a_wall_rejects),
		cmocka_unit_test(test_the_client_rejects_an_answer),
		cmocka_unit_test(test_walls_tell_connect_why),
		cmocka_unit_test(test_its_own_wall_tells_connect_later),
		cmocka_unit_test(test_errors_are_noted_by_connections),
		cmocka_unit_test(test_errors_about_the_past_are_counted),
		cmocka_unit_test(test_errors_end_requests),
		cmocka_unit_test(test_errors_pass_a_translation),
		cmocka_unit_test(test_a_balancer_believes_any_reset),
	};

	return unit_run("stage_agree", tests);
}
