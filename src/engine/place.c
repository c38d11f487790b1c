/* SPDX-License-Identifier: MIT
 *
 * What stands at one port for one destination: the rule that connect() obeys and that the question
 * asks
 *
 * Three-valued: without the bucket's fields it may be unknown whether connect() passes a port over.
 * __inet_hash_connect(), __inet_check_established().
 */
#include "engine/state.h"

/* The next owner with the 4-tuple from i on in an address bucket's list. A socket that was reset
 * keeps its peer, but has no 4-tuple any more. */
static uint32_t next_match(const struct destination *d, uint32_t i, const struct tuple *t)
{
	while (i != NIL && (sock_at(d->e, i)->state == TCPWHY_CLOSE || !tuple_matches(d->e, i, t)))
		i = sock_at(d->e, i)->owner_next;
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

/* Imported owners are in no order of time. Two can have the 4-tuple, one bound to a device and one
 * not, and the kernel obeys the one it meets first: if they differ, that is not known. */
static struct place place_unordered(const struct destination *d, uint32_t b, const struct tuple *t,
				    bool port_was_bound)
{
	struct place p = {.fate = FREE, .holder = NIL, .kept = TCPWHY_TW_REASONS};
	uint32_t b2 = bucket2_find(d->e, b, t->local);
	uint32_t i = next_match(d, b2 == NIL ? NIL : bucket2_at(d->e, b2)->first, t);

	if (i == NIL)
		return p;
	p = holder_place(d->e, i, port_was_bound);
	while ((i = next_match(d, sock_at(d->e, i)->owner_next, t)) != NIL) {
		if (holder_place(d->e, i, port_was_bound).fate == p.fate)
			continue;
		p.fate = UNSEEN;
		p.missing |= TCPWHY_MISSING_ORDER;
	}
	return p;
}

/* The 4-tuple alone: FREE if nobody has it. */
static struct place place_tuple(const struct destination *d, uint16_t port, bool port_was_bound)
{
	struct tuple t = d->tuple;
	uint32_t b = d->is_known ? bucket_find(d->e, port, t.l3mdev) : NIL;
	struct place p = {.fate = FREE, .holder = NIL, .kept = TCPWHY_TW_REASONS};

	t.port = port;
	if (b == NIL)
		return p;
	if (d->e->tuples_pending)
		return place_unordered(d, b, &t, port_was_bound);
	uint32_t holder = tuple_find(d->e, &t);
	return holder == NIL ? p : holder_place(d->e, holder, port_was_bound);
}

struct place place_look(const struct destination *d, uint16_t port)
{
	struct place p = {.fate = RESERVED, .holder = NIL, .kept = TCPWHY_TW_REASONS};

	if (port_is_reserved(d->e, port))
		return p;
	/* A socket that only bound would own the port; where such are not seen, nothing is known
	 * free. */
	p.fate = d->e->bound_unseen ? UNSEEN : FREE;
	p.missing = d->e->bound_unseen ? TCPWHY_MISSING_OWNERS : 0;
	uint32_t b = bucket_find(d->e, port, d->tuple.l3mdev);
	if (b == NIL)
		return p;
	enum tcpwhy_tri only = is_connect_only(d->e, bucket_at(d->e, b));
	if (only == TCPWHY_NO) {
		p.fate = OWNED;
		return p;
	}
	struct place at = place_tuple(d, port, false);
	if (at.fate != FREE)
		p = at;
	if (only == TCPWHY_UNKNOWN && p.fate != TAKEN) {
		p.fate = UNSEEN;
		p.missing |= TCPWHY_MISSING_CONNECT_BIND;
	}
	return p;
}

struct place place_bound(const struct destination *d, uint16_t port)
{
	return place_tuple(d, port, true);
}
