/* SPDX-License-Identifier: MIT
 *
 * How the port range stands for one destination: the question behind tcpwhy_would_connect()
 *
 * The rules are those of connect.c, asked of every port and three-valued: without the bucket's
 * fields it may be unknown whether connect() passes a port over. __inet_hash_connect(),
 * __inet_check_established().
 */
#include <errno.h>
#include <string.h>

#include "base/address.h"
#include "engine/portwalk.h"
#include "engine/state.h"

enum fate { FREE, REUSABLE, RESERVED, OWNED, TAKEN, UNSEEN };

/* What stands at one port. */
struct place {
	enum fate fate;
	uint32_t holder;            /* TAKEN, REUSABLE, UNSEEN: who has the 4-tuple, NIL nobody */
	enum tcpwhy_tw_reason kept; /* TAKEN by a TIME_WAIT: why */
	uint32_t missing;
};

struct question {
	const struct tcpwhy_engine *e;
	struct tuple tuple; /* without the local port */
	bool is_known;      /* both addresses were ever seen: else no 4-tuple can match */
};

/* The owner with the 4-tuple, among those at the source address. */
static uint32_t find_holder(const struct question *q, uint32_t b, uint16_t port)
{
	struct tuple t = q->tuple;
	uint32_t b2 = q->is_known ? bucket2_find(q->e, b, t.local) : NIL;
	uint32_t i = b2 == NIL ? NIL : bucket2_at(q->e, b2)->first;

	t.port = port;
	/* A socket that was reset keeps its peer, but has no place in the table of 4-tuples any
	 * more. */
	while (i != NIL && (sock_at(q->e, i)->state == TCPWHY_CLOSE || !tuple_matches(q->e, i, &t)))
		i = sock_at(q->e, i)->owner_next;
	return i;
}

/* Whether connect() looks at the bucket at all: only if connect() made it, and nobody else used it
 * since. */
static enum tcpwhy_tri is_connect_only(const struct tcpwhy_engine *e, const struct bucket *tb)
{
	enum tcpwhy_tri all = TCPWHY_YES;

	if (tb->fast.known)
		return tb->fast.reuse < 0 && tb->fast.reuseport < 0 ? TCPWHY_YES : TCPWHY_NO;
	for (uint32_t b2 = tb->first2; b2 != NIL; b2 = bucket2_at(e, b2)->next) {
		for (uint32_t i = bucket2_at(e, b2)->first; i != NIL;
		     i = sock_at(e, i)->owner_next) {
			const struct sock *s = sock_at(e, i);
			if (s->state == TCPWHY_LISTEN || s->state == TCPWHY_CLOSE ||
			    sock_connect_bind(s) == TCPWHY_NO)
				return TCPWHY_NO;
			if (sock_connect_bind(s) == TCPWHY_UNKNOWN)
				all = TCPWHY_UNKNOWN;
		}
	}
	return all;
}

static struct place holder_place(const struct tcpwhy_engine *e, uint32_t holder,
				 bool port_was_bound)
{
	struct place p = {.fate = TAKEN, .holder = holder, .kept = TCPWHY_TW_REASONS};

	if (!sock_at(e, holder)->timewait)
		return p;
	p.kept = timewait_kept(e, holder, port_was_bound, &p.missing);
	if (p.kept == TCPWHY_TW_REASONS)
		p.fate = p.missing ? UNSEEN : REUSABLE;
	return p;
}

static struct place look_at(const struct question *q, uint16_t port)
{
	struct place p = {.fate = RESERVED, .holder = NIL, .kept = TCPWHY_TW_REASONS};

	if (port_is_reserved(q->e, port))
		return p;
	/* A socket that only bound would own the port; where such are not seen, nothing is known
	 * free. */
	p.fate = q->e->bound_unseen ? UNSEEN : FREE;
	p.missing = q->e->bound_unseen ? TCPWHY_MISSING_OWNERS : 0;
	uint32_t b = bucket_find(q->e, port, q->tuple.l3mdev);
	if (b == NIL)
		return p;
	enum tcpwhy_tri only = is_connect_only(q->e, bucket_at(q->e, b));
	if (only == TCPWHY_NO) {
		p.fate = OWNED;
		return p;
	}
	uint32_t holder = find_holder(q, b, port);
	if (holder != NIL)
		p = holder_place(q->e, holder, false);
	if (only == TCPWHY_UNKNOWN && p.fate != TAKEN) {
		p.fate = UNSEEN;
		p.missing |= TCPWHY_MISSING_CONNECT_BIND;
	}
	return p;
}

/* ------------------------------------------------------------------------------------- counting */

static void count_taken(const struct question *q, const struct place *p, struct tcpwhy_verdict *v)
{
	const struct tcpwhy_engine *e = q->e;

	v->range_taken++;
	if (p->kept != TCPWHY_TW_REASONS)
		v->tw_kept[p->kept]++;
	if (!sock_at(e, p->holder)->timewait)
		return;
	uint64_t when = timewait_free_at(e, p->holder);
	if (!when)
		return;
	if (!v->next_free_ns || when < v->next_free_ns)
		v->next_free_ns = when;
	v->free_within_10s += when <= e->now_ns + 10 * NS_PER_S;
}

static void count(const struct question *q, const struct place *p, struct tcpwhy_verdict *v)
{
	v->range_total++;
	switch (p->fate) {
	case FREE:
		v->range_free++;
		return;
	case REUSABLE:
		v->range_reusable++;
		return;
	case RESERVED:
		v->range_reserved++;
		return;
	case OWNED:
		v->range_owned++;
		return;
	case TAKEN:
		count_taken(q, p, v);
		return;
	case UNSEEN:
		v->range_unknown++;
		v->missing |= p->missing;
		return;
	}
}

/* -------------------------------------------------------------------------------------- verdict */

static enum tcpwhy_tri port_taken(void *ctx, uint16_t port)
{
	struct place p = look_at(ctx, port);

	if (p.fate == UNSEEN)
		return TCPWHY_UNKNOWN;
	return p.fate == FREE || p.fate == REUSABLE ? TCPWHY_NO : TCPWHY_YES;
}

/* Whether every start of the search finds a port. */
static bool is_certain(const struct portwalk *w, bool *possible)
{
	struct found odd = portwalk_look(w, PORTWALK_ODD),
		     low = portwalk_look(w, PORTWALK_EVEN_LOW), high = low;

	if (portwalk_has_high(w))
		high = portwalk_look(w, PORTWALK_EVEN_HIGH);
	*possible = odd.possible || low.possible || high.possible;
	return odd.certain || (low.certain && high.certain);
}

static void conclude(const struct portwalk *w, struct tcpwhy_verdict *v)
{
	struct found all = portwalk_look(w, PORTWALK_ALL);
	bool possible = all.possible, certain = all.certain;

	if (w->step == 2)
		certain = is_certain(w, &possible);
	if (certain) {
		v->missing = 0;
		verdict_ok(v, all.possible == 1 ? all.port : 0);
		return;
	}
	verdict_refuse(v, TCPWHY_CALL_CONNECT, EADDRNOTAVAIL, TCPWHY_RULE_CONNECT_RANGE_EXHAUSTED);
	if (!possible)
		v->missing = 0;
	else
		v->answer = TCPWHY_DEPENDS;
	if (possible && !v->missing)
		v->missing = TCPWHY_MISSING_DRAW;
}

static void ask_range(struct question *q, struct range r, bool own_range, struct tcpwhy_verdict *v)
{
	struct portwalk w = {.low = r.low,
			     .count = r.high - r.low + 1,
			     .step = own_range ? 1 : 2,
			     .taken = port_taken,
			     .ctx = q};

	for (uint32_t port = r.low; port <= r.high; port++) {
		struct place p = look_at(q, (uint16_t)port);
		count(q, &p, v);
	}
	conclude(&w, v);
}

static void ask_bound(const struct question *q, uint16_t port, struct tcpwhy_verdict *v)
{
	uint32_t b = bucket_find(q->e, port, q->tuple.l3mdev);
	uint32_t holder = b == NIL ? NIL : find_holder(q, b, port);

	verdict_ok(v, port);
	if (holder == NIL)
		return;
	struct place p = holder_place(q->e, holder, true);
	if (p.fate == REUSABLE)
		return;
	verdict_refuse(v, TCPWHY_CALL_CONNECT, EADDRNOTAVAIL, TCPWHY_RULE_CONNECT_TUPLE_TAKEN);
	v->holders = 1;
	v->first = sock_handle(q->e, holder);
	v->last_expiry_ns = sock_at(q->e, holder)->timewait ? sock_at(q->e, holder)->expires_ns : 0;
	if (p.kept != TCPWHY_TW_REASONS)
		v->tw_kept[p.kept] = 1;
	if (p.fate == UNSEEN) {
		v->answer = TCPWHY_DEPENDS;
		v->missing = p.missing;
	}
}

void tcpwhy_would_connect(const struct tcpwhy_engine *e, const struct tcpwhy_connect_request *q,
			  struct tcpwhy_verdict *v)
{
	struct question ask = {.e = e,
			       .tuple = {.peer_port = q->peer_port,
					 .device = q->device,
					 .l3mdev = device_l3mdev(e, q->device)}};
	uint32_t own = q->range_low | (uint32_t)q->range_high << 16;

	memset(v, 0, sizeof(*v));
	ask.is_known =
		ref_find(e, &q->source, &ask.tuple.local) && ref_find(e, &q->peer, &ask.tuple.peer);
	if (q->family == TCPWHY_IPV4 && !address_is_v4(&q->peer))
		verdict_refuse(v, TCPWHY_CALL_CONNECT, EAFNOSUPPORT, TCPWHY_RULE_CONNECT_FAMILY);
	else if (q->port)
		ask_bound(&ask, q->port, v);
	else
		ask_range(&ask, range_of(e, own), own != 0, v);
}
