/* SPDX-License-Identifier: MIT
 *
 * How the port range stands for one destination: the question behind tcpwhy_would_connect()
 *
 * Every port of the range is looked at by the rule that connect() obeys (place.c), counted, and
 * searched as connect() searches (portwalk.h).
 */
#include <errno.h>
#include <string.h>

#include "base/address.h"
#include "engine/portwalk.h"
#include "engine/state.h"

/* ------------------------------------------------------------------------------------- counting */

static void count_taken(const struct destination *d, const struct place *p,
			struct tcpwhy_verdict *v)
{
	const struct tcpwhy_engine *e = d->e;

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

static void count(const struct destination *d, const struct place *p, struct tcpwhy_verdict *v)
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
		count_taken(d, p, v);
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
	struct place p = place_look(ctx, port);

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

static void ask_range(struct destination *d, struct range r, uint32_t step,
		      struct tcpwhy_verdict *v)
{
	struct portwalk w = {.low = r.low,
			     .count = r.high - r.low + 1,
			     .step = step,
			     .taken = port_taken,
			     .ctx = d};

	for (uint32_t port = r.low; port <= r.high; port++) {
		struct place p = place_look(d, (uint16_t)port);
		count(d, &p, v);
	}
	conclude(&w, v);
}

static void ask_bound(const struct destination *d, uint16_t port, struct tcpwhy_verdict *v)
{
	struct place p = place_bound(d, port);
	const struct sock *holder = p.holder == NIL ? NULL : sock_at(d->e, p.holder);

	verdict_ok(v, port);
	if (p.fate == FREE || p.fate == REUSABLE)
		return;
	verdict_refuse(v, TCPWHY_CALL_CONNECT, EADDRNOTAVAIL, TCPWHY_RULE_CONNECT_TUPLE_TAKEN);
	v->holders = 1;
	v->first = sock_handle(d->e, p.holder);
	v->last_expiry_ns = holder->timewait ? holder->expires_ns : 0;
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
	struct destination ask = {.e = e,
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
		ask_range(&ask, range_of(e, own), connect_step(e, own), v);
}
