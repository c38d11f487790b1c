/* SPDX-License-Identifier: MIT
 *
 * two_stages.h - one scene in the model (row 6.18.y) and on the kernel that runs
 *
 * Each scene is played twice through case/stage.h and tells what it saw: results, states, numbers,
 * counters, and the segments in their order. Both tales must be the same, letter by letter. On a
 * kernel of another release a difference may be that release's.
 */
#ifndef TCPWHY_TESTS_TWO_STAGES_H
#define TCPWHY_TESTS_TWO_STAGES_H

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

static inline struct tcpwhy_addr at(const char *text)
{
	struct tcpwhy_addr a;
	enum tcpwhy_family f;

	assert_true(address_parse(text, &a, &f));
	return a;
}

static inline void __attribute__((format(printf, 2, 3)))
tell(struct scene *s, const char *format, ...)
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

static inline int host(struct scene *s, const char *name)
{
	const struct stage_host h = {.name = name};
	const int node = s->on->add_host(s->st, &h, &s->err);

	GOOD(s, node);
	return node;
}

static inline int box(struct scene *s, const char *name)
{
	const struct stage_box b = {.name = name};
	const int node = s->on->add_box(s->st, &b, &s->err);

	GOOD(s, node);
	return node;
}

/* Tapped; "" is no address. */
static inline int cable(struct scene *s, int a, const char *a_addr, int b, const char *b_addr)
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
static inline void be_patient(struct scene *s)
{
	static const char name[] = "net.ipv4.tcp_rto_min_us";
	const int hosts[] = {s->client, s->server};

	for (unsigned i = 0; i < 2 && strcmp(s->on->name, "kernel") == 0; i++) {
		const int rc = s->on->set_sysctl(s->st, hosts[i], name, "5000000", &s->err);
		if (rc && rc != -ENOENT) /* before 6.11 */
			fail_msg("%s", s->err.text);
	}
}

static inline void impatient_pair(struct scene *s)
{
	s->client = host(s, "client");
	s->server = host(s, "server");
	s->link = cable(s, s->client, "10.0.0.1", s->server, "10.0.0.2");
	GOOD(s, s->on->start(s->st, &s->err));
}

static inline void pair(struct scene *s)
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

static inline void wait_for(struct scene *s, int (*is_so)(void *ctx), struct wish *w,
			    const char *what)
{
	w->s = s;
	const int rc = s->on->run_until(s->st, is_so, w, LIMIT, &s->err);
	if (rc)
		fail_msg("%s: waiting for %s: %d\n%s", s->on->name, what, rc, s->tale);
}

static inline int is_in_state(void *ctx)
{
	struct wish *w = ctx;
	struct stage_sock k;

	return !w->s->on->look(w->s->st, w->sock, &k) && k.state == w->state;
}

static inline void in_state(struct scene *s, int sock, enum tcpwhy_state state)
{
	struct wish w = {.sock = sock, .state = state};

	wait_for(s, is_in_state, &w, tcpwhy_state_name(state));
}

/* CLOSE: there is none. */
static inline int is_tuple_in_state(void *ctx)
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

static inline void tuple_in_state(struct scene *s, int node, const struct stage_sock *tuple,
				  enum tcpwhy_state state)
{
	struct wish w = {.host = node, .tuple = *tuple, .state = state};

	wait_for(s, is_tuple_in_state, &w, tcpwhy_state_name(state));
}

static inline int is_connected(void *ctx)
{
	struct wish *w = ctx;
	struct stage_sock k;

	if (w->s->on->look(w->s->st, w->sock, &k) || k.state == TCPWHY_SYN_SENT)
		return 0;
	w->result = w->s->on->error(w->s->st, w->sock);
	return 1;
}

/* The errno of connect(). */
static inline int outcome(struct scene *s, int sock)
{
	struct wish w = {.sock = sock};

	wait_for(s, is_connected, &w, "connect()");
	return w.result;
}

static inline int is_accepted(void *ctx)
{
	struct wish *w = ctx;

	w->result = w->s->on->accept(w->s->st, w->sock);
	return w->result != -EAGAIN;
}

static inline int accepted(struct scene *s, int listener)
{
	struct wish w = {.sock = listener};

	wait_for(s, is_accepted, &w, "accept()");
	GOOD(s, w.result);
	return w.result;
}

static inline int has_counted(void *ctx)
{
	struct wish *w = ctx;
	uint64_t value;
	const int rc = w->s->on->counter(w->s->st, w->host, w->counter, &value, &w->s->err);

	return rc ? rc : value >= w->value;
}

static inline void counted(struct scene *s, int node, const char *counter, uint64_t value)
{
	struct wish w = {.host = node, .counter = counter, .value = value};

	wait_for(s, has_counted, &w, counter);
}

static inline int has_passed(void *ctx)
{
	struct wish *w = ctx;
	struct line_record r;

	/* all of them, and none is on its way */
	for (size_t i = 0; i < w->value; i++)
		if (!w->s->on->trace(w->s->st, i, &r) || r.passage == LINE_ON_ITS_WAY)
			return 0;
	return 1;
}

static inline int has_crossed(void *ctx)
{
	struct wish *w = ctx;

	return w->s->on->trace_count(w->s->st) >= w->value;
}

static inline void crossed(struct scene *s, size_t segments)
{
	struct wish w = {.value = segments};

	wait_for(s, has_crossed, &w, "segments");
}

static inline void passed(struct scene *s, size_t segments)
{
	struct wish w = {.value = segments};

	wait_for(s, has_passed, &w, "segments");
}

/* -------------------------------------------------------------------------------------- what is
 * told
 */

static inline void count(struct scene *s, int node, const char *name)
{
	uint64_t value;

	GOOD(s, s->on->counter(s->st, node, name, &value, &s->err));
	tell(s, "%s of %d: %llu\n", name, node, (unsigned long long)value);
}

static inline void tell_sock(struct scene *s, const char *who, const struct stage_sock *k,
			     uint32_t iss, uint32_t irs)
{
	tell(s, "%s: %s%s timer %u unread %u unacked %u", who, tcpwhy_state_name(k->state),
	     k->timewait ? " (mini)" : "", k->timer, k->unread, k->unacked);
	if (k->has_numbers)
		tell(s, " una %u nxt %u rcv %u", k->snd_una - iss, k->snd_nxt - iss,
		     k->rcv_nxt - irs);
	tell(s, "\n");
}

static inline struct stage_sock seen(struct scene *s, int sock)
{
	struct stage_sock k;

	assert_int_equal(s->on->look(s->st, sock, &k), 0);
	return k;
}

/* The initial number of who sent from there to there; 0 if there was no SYN. */
static inline uint32_t first_number(struct scene *s, const struct stage_sock *k, bool of_peer)
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

static inline void look(struct scene *s, const char *who, int sock)
{
	const struct stage_sock k = seen(s, sock);

	tell_sock(s, who, &k, first_number(s, &k, false), first_number(s, &k, true));
}

static inline void find(struct scene *s, const char *who, int node, const struct stage_sock *tuple)
{
	struct stage_sock k;
	const int rc = s->on->find(s->st, node, &tuple->local, tuple->port, &tuple->peer,
				   tuple->peer_port, &k);

	if (rc)
		tell(s, "%s: %d\n", who, rc);
	else
		tell_sock(s, who, &k, first_number(s, &k, false), first_number(s, &k, true));
}

static inline void tell_flags(struct scene *s, uint8_t flags)
{
	static const char *const names[] = {"FIN", "SYN", "RST", "PSH", "ACK"};

	/* when data is pushed is the business of send buffers: the model has none */
	for (unsigned i = 0; i < 5; i++)
		if (flags >> i & 1 && i != 3)
			tell(s, " %s", names[i]);
}

static inline struct stage_sock tuple_of(const struct segment *g)
{
	return (struct stage_sock){
		.local = g->from, .port = g->from_port, .peer = g->to, .peer_port = g->to_port};
}

static inline void tell_trace(struct scene *s)
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

static inline int sock(struct scene *s, int node)
{
	const int k = s->on->socket(s->st, node, TCPWHY_IPV4, 0);

	assert_true(k >= 0);
	return k;
}

static inline int listener(struct scene *s, int node, const char *addr, int backlog)
{
	const struct tcpwhy_addr a = at(addr);
	const int l = sock(s, node);

	assert_int_equal(s->on->bind(s->st, l, &a, PORT), 0);
	assert_int_equal(s->on->listen(s->st, l, backlog), 0);
	return l;
}

static inline int begin_connect(struct scene *s, int node, const char *addr)
{
	const struct tcpwhy_addr a = at(addr);
	const int c = sock(s, node);

	tell(s, "connect %d\n", s->on->connect(s->st, c, &a, PORT));
	return c;
}

static inline int connected(struct scene *s, int node, const char *addr)
{
	const int c = begin_connect(s, node, addr);

	tell(s, "connected %d\n", outcome(s, c));
	return c;
}

struct connection {
	int listener, client, server;
	struct stage_sock tuple, back; /* of the client, of the server */
};

static inline struct connection connection(struct scene *s)
{
	struct connection c = {.listener = listener(s, s->server, "10.0.0.2", 4)};

	c.client = connected(s, s->client, "10.0.0.2");
	c.server = accepted(s, c.listener);
	c.tuple = seen(s, c.client);
	c.back = seen(s, c.server);
	return c;
}

static inline int has_something(void *ctx)
{
	struct wish *w = ctx;
	struct stage_sock k;

	return !w->s->on->look(w->s->st, w->sock, &k) && k.unread >= w->value;
}

static inline void hears(struct scene *s, int sock, uint32_t bytes)
{
	struct wish w = {.sock = sock, .value = bytes};

	wait_for(s, has_something, &w, "data");
	tell(s, "recv %lld\n", (long long)s->on->recv(s->st, sock, 100000));
}

/* ------------------------------------------------------------------------------------- both play
 */

typedef void (*scene_fn)(struct scene *s);

static inline struct scene *play(scene_fn fn, struct stage *st)
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

static inline void agree(scene_fn fn)
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

#endif
