/* SPDX-License-Identifier: MIT
 *
 * What stands at one port for one destination: the rule that connect() obeys and that the question
 * asks
 *
 * Three-valued: without the bucket's fields it may be unknown whether connect() passes a port over.
 * __inet_hash_connect(), __inet_check_established().
 */
#include "engine/state.h"

/* Before imported owners are hashed: the owner with the 4-tuple among those at the source address.
 * A socket that was reset keeps its peer, but has no 4-tuple any more. */
static uint32_t find_unhashed(const struct destination *d, uint32_t b, const struct tuple *t)
{
	uint32_t b2 = bucket2_find(d->e, b, t->local);
	uint32_t i = b2 == NIL ? NIL : bucket2_at(d->e, b2)->first;

	while (i != NIL && (sock_at(d->e, i)->state == TCPWHY_CLOSE || !tuple_matches(d->e, i, t)))
		i = sock_at(d->e, i)->owner_next;
	return i;
}

/* The owner with the 4-tuple, NIL: none. */
static uint32_t find_holder(const struct destination *d, uint16_t port)
{
	struct tuple t = d->tuple;
	uint32_t b = d->is_known ? bucket_find(d->e, port, t.l3mdev) : NIL;

	t.port = port;
	if (b == NIL)
		return NIL;
	return d->e->tuples_pending ? find_unhashed(d, b, &t) : tuple_find(d->e, &t);
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
	uint32_t holder = find_holder(d, port);
	if (holder != NIL)
		p = holder_place(d->e, holder, false);
	if (only == TCPWHY_UNKNOWN && p.fate != TAKEN) {
		p.fate = UNSEEN;
		p.missing |= TCPWHY_MISSING_CONNECT_BIND;
	}
	return p;
}

struct place place_bound(const struct destination *d, uint16_t port)
{
	uint32_t holder = find_holder(d, port);

	if (holder == NIL)
		return (struct place){.fate = FREE, .holder = NIL, .kept = TCPWHY_TW_REASONS};
	return holder_place(d->e, holder, true);
}
