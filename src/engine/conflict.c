/* SPDX-License-Identifier: MIT
 *
 * The conflict rule: may this socket share the port with that owner?
 *
 * Three-valued throughout: an owner's flag that could not be seen makes the answer unknown only
 * where it decides. Kernel: inet_bind_conflict(), inet_rcv_saddr_equal(), inet_csk_bind_conflict()
 * and the bhash2 walk (inet_bhash2_conflict(), inet_bhash2_addr_any_conflict()),
 * sk_reuseport_match().
 */
#include <string.h>

#include "engine/state.h"

#define FASTREUSEPORT_ANY    1
#define FASTREUSEPORT_STRICT 2

const struct scan_mode scan_explicit = {.relax = true, .reuseport_ok = true};

static enum tcpwhy_tri tri_not(enum tcpwhy_tri a)
{
	return a == TCPWHY_UNKNOWN ? a : a == TCPWHY_NO ? TCPWHY_YES : TCPWHY_NO;
}

static enum tcpwhy_tri tri_and(enum tcpwhy_tri a, enum tcpwhy_tri b)
{
	if (a == TCPWHY_NO || b == TCPWHY_NO)
		return TCPWHY_NO;
	return a == TCPWHY_YES && b == TCPWHY_YES ? TCPWHY_YES : TCPWHY_UNKNOWN;
}

static enum tcpwhy_tri tri_of(bool b)
{
	return b ? TCPWHY_YES : TCPWHY_NO;
}

/* ----------------------------------------------------------------------------- address overlap */

/* One side of inet_rcv_saddr_equal(). */
struct side {
	struct ref addr;
	uint8_t family;
	enum tcpwhy_tri v6only;
};

/* An IPv4 socket counts as v4-mapped. */
static bool is_mapped(const struct side *s)
{
	return s->family == TCPWHY_IPV4 || !s->addr.six;
}

/* Which side's wildcard covers the other. The bucket's cached address matches one way only. */
struct wild {
	bool a, b;
};

static enum tcpwhy_tri overlap4(uint32_t a, uint32_t b, enum tcpwhy_tri b_v6only, struct wild wild)
{
	if (a == b || (wild.a && !a) || (wild.b && !b))
		return tri_not(b_v6only);
	return TCPWHY_NO;
}

/* ipv6_rcv_saddr_equal(). */
static enum tcpwhy_tri overlap6(const struct side *a, const struct side *b, struct wild wild)
{
	bool a_any = ref_is_any6(a->addr), b_any = ref_is_any6(b->addr) && b->family == TCPWHY_IPV6;

	if (is_mapped(a) && is_mapped(b))
		return overlap4(a->addr.v, b->addr.v, b->v6only, wild);
	if (a_any && b_any)
		return TCPWHY_YES;
	if (b_any && wild.b)
		return is_mapped(a) ? tri_not(b->v6only) : TCPWHY_YES;
	if (a_any && wild.a)
		return is_mapped(b) ? tri_not(a->v6only) : TCPWHY_YES;
	return tri_of(b->family == TCPWHY_IPV6 && ref_equal(a->addr, b->addr));
}

static enum tcpwhy_tri overlap(const struct side *a, const struct side *b, struct wild wild)
{
	if (a->family == TCPWHY_IPV4)
		return overlap4(ref_rcv4(a->addr), ref_rcv4(b->addr), b->v6only, wild);
	return overlap6(a, b, wild);
}

static struct side claim_side(const struct claim *c)
{
	return (struct side){.addr = c->addr, .family = c->family, .v6only = tri_of(c->v6only)};
}

/* inet_use_hash2_on_bind(): a specific address is looked up, a wildcard is held against every
 * owner. */
static bool is_specific(const struct claim *c)
{
	return !ref_is_any(c->addr);
}

static bool claim_is_v4(const struct claim *c)
{
	return !c->addr.six;
}

bool bucket2_matters(const struct claim *c, struct ref addr)
{
	if (!is_specific(c) || ref_equal(addr, c->addr) || ref_is_any6(addr))
		return true;
	return ref_is_any(addr) && claim_is_v4(c);
}

static enum tcpwhy_tri addresses_meet(const struct claim *c, const struct sock *owner)
{
	struct side a = claim_side(c);
	struct side b = {
		.addr = sock_local(owner), .family = sock_family(owner), .v6only = owner->v6only};

	if (is_specific(c)) /* bucket2_matters() has matched the addresses already */
		return claim_is_v4(c) ? tri_not(owner->v6only) : TCPWHY_YES;
	return overlap(&a, &b, (struct wild){true, true});
}

/* inet_use_hash2_on_bind() until 6.1.168: a v4-mapped address on an IPv6 socket is held against
 * every owner, too. */
static bool uses_hash2(const struct claim *c)
{
	return is_specific(c) && !(c->family == TCPWHY_IPV6 && claim_is_v4(c));
}

/* inet_bind2_bucket_match_addr_any() of 6.1.192 knows the v4-mapped wildcard only where an IPv4
 * socket asks. */
static bool misses_mapped_any(const struct claim *c, const struct sock *owner)
{
	struct ref local = sock_local(owner);

	return c->family == TCPWHY_IPV6 && claim_is_v4(c) && is_specific(c) &&
	       sock_family(owner) == TCPWHY_IPV6 && !local.six && ref_is_any(local);
}

/* -------------------------------------------------------------------------------- one owner */

static enum tcpwhy_tri owner_reuses(const struct sock *s)
{
	if (s->reuse == TCPWHY_REUSE_UNKNOWN)
		return TCPWHY_UNKNOWN;
	return tri_of(s->reuse != TCPWHY_REUSE_NO);
}

static enum tcpwhy_tri same_uid(const struct claim *c, const struct sock *s)
{
	return s->uid_known ? tri_of(s->uid == c->uid) : TCPWHY_UNKNOWN;
}

/* Both have SO_REUSEPORT, and TIME_WAIT or the same uid. */
static enum tcpwhy_tri reuseport_pair(const struct claim *c, const struct sock *s)
{
	if (!c->reuseport || c->reuseport_cb)
		return TCPWHY_NO;
	return tri_and(s->reuseport, s->timewait ? TCPWHY_YES : same_uid(c, s));
}

static enum tcpwhy_tri flags_conflict(const struct claim *c, const struct sock *s,
				      struct scan_mode mode)
{
	enum tcpwhy_tri reuse = TCPWHY_NO, port_pair = reuseport_pair(c, s);

	if (c->reuse != TCPWHY_REUSE_NO && s->state != TCPWHY_LISTEN)
		reuse = owner_reuses(s);
	enum tcpwhy_tri if_reuse = !mode.relax        ? TCPWHY_YES
				   : !mode.pair_apart ? TCPWHY_NO
						      : port_pair;
	enum tcpwhy_tri if_not = mode.reuseport_ok ? tri_not(port_pair) : TCPWHY_YES;
	if (reuse == TCPWHY_UNKNOWN)
		return if_reuse == if_not ? if_not : TCPWHY_UNKNOWN;
	return reuse == TCPWHY_YES ? if_reuse : if_not;
}

static bool same_device(uint32_t a, uint32_t b)
{
	return !a || !b || a == b;
}

static uint32_t missing_flags(const struct claim *c, const struct sock *s)
{
	uint32_t missing = 0;

	if (s->reuse == TCPWHY_REUSE_UNKNOWN && c->reuse != TCPWHY_REUSE_NO &&
	    s->state != TCPWHY_LISTEN)
		missing |= TCPWHY_MISSING_REUSEADDR;
	if (!c->reuseport || c->reuseport_cb)
		return missing;
	if (s->reuseport == TCPWHY_UNKNOWN)
		missing |= TCPWHY_MISSING_REUSEPORT;
	if (!s->uid_known && !s->timewait && s->reuseport != TCPWHY_NO)
		missing |= TCPWHY_MISSING_UID;
	return missing;
}

static enum tcpwhy_holder reuseport_class(const struct claim *c, const struct sock *s)
{
	bool both = c->reuseport && s->reuseport == TCPWHY_YES;
	bool listener = s->state == TCPWHY_LISTEN;

	if (both && c->reuseport_cb)
		return TCPWHY_H_REUSEPORT_STEERED;
	if (both && !s->timewait && s->uid_known && s->uid != c->uid &&
	    (listener || s->state == TCPWHY_CLOSE))
		return listener ? TCPWHY_H_LISTENER_OTHER_UID : TCPWHY_H_BOUND_OTHER_UID;
	return listener ? TCPWHY_H_LISTENER : TCPWHY_H_UNKNOWN;
}

static enum tcpwhy_holder reuse_class(const struct sock *s)
{
	/* Unseen: the new socket lacks the option for certain, or this would not be a certain
	 * conflict. */
	bool lacks = owner_reuses(s) == TCPWHY_NO;

	if (s->timewait && s->state == TCPWHY_FIN_WAIT2)
		return lacks ? TCPWHY_H_FW2_WITHOUT_REUSE : TCPWHY_H_FW2_NEEDS_REUSE;
	if (s->timewait)
		return lacks ? TCPWHY_H_TW_WITHOUT_REUSE : TCPWHY_H_TW_NEEDS_REUSE;
	if (s->state == TCPWHY_CLOSE)
		return lacks ? TCPWHY_H_BOUND_WITHOUT_REUSE : TCPWHY_H_BOUND_NEEDS_REUSE;
	if (sock_connect_bind(s) == TCPWHY_YES)
		return lacks ? TCPWHY_H_OUT_WITHOUT_REUSE : TCPWHY_H_OUT_NEEDS_REUSE;
	return lacks ? TCPWHY_H_CONN_WITHOUT_REUSE : TCPWHY_H_CONN_NEEDS_REUSE;
}

static enum tcpwhy_holder classify(const struct claim *c, const struct sock *s)
{
	enum tcpwhy_holder by_port = reuseport_class(c, s);

	return by_port == TCPWHY_H_UNKNOWN ? reuse_class(s) : by_port;
}

enum tcpwhy_tri pair_conflict(const struct tcpwhy_engine *e, const struct claim *c, uint32_t owner,
			      struct scan_mode mode, enum tcpwhy_holder *why, uint32_t *missing)
{
	const struct sock *s = sock_at(e, owner);

	if (owner == c->self || !same_device(c->device, s->device))
		return TCPWHY_NO;
	if (s->timewait && has(e, TCPWHY_F_TW_HIDDEN) && uses_hash2(c))
		return TCPWHY_NO;
	if (has(e, TCPWHY_F_MAPPED_ANY_HIDDEN) && misses_mapped_any(c, s))
		return TCPWHY_NO;
	enum tcpwhy_tri flags = flags_conflict(c, s, mode), meet = addresses_meet(c, s);
	enum tcpwhy_tri conflict = tri_and(flags, meet);
	if (conflict == TCPWHY_NO)
		return conflict;
	*why = conflict == TCPWHY_YES ? classify(c, s) : TCPWHY_H_UNKNOWN;
	*missing = 0;
	if (meet == TCPWHY_UNKNOWN)
		*missing |= TCPWHY_MISSING_V6ONLY;
	if (flags == TCPWHY_UNKNOWN)
		*missing |= missing_flags(c, s);
	return conflict;
}

/* ------------------------------------------------------------------------------ all owners */

static void tally_timer(struct tally *t, const struct sock *s)
{
	if (!s->timewait || !s->expires_ns)
		t->untimed = true;
	else if (s->expires_ns > t->last_expiry_ns)
		t->last_expiry_ns = s->expires_ns;
}

/* UNKNOWN weighs least: a certain holder decides whatever the unknown ones are. */
static bool is_heavier(enum tcpwhy_holder a, enum tcpwhy_holder b)
{
	if (a == TCPWHY_H_UNKNOWN || b == TCPWHY_H_UNKNOWN)
		return a != TCPWHY_H_UNKNOWN && b == TCPWHY_H_UNKNOWN;
	return a > b;
}

static void tally_add(struct tally *t, const struct sock *s, uint32_t i, enum tcpwhy_holder why,
		      uint32_t missing)
{
	t->by_class[why]++;
	t->holders++;
	t->missing |= missing;
	tally_timer(t, s);
	if (t->first == NIL || is_heavier(why, t->heaviest)) {
		t->first = i;
		t->heaviest = why;
	}
}

static enum tcpwhy_tri bucket2_conflict(const struct tcpwhy_engine *e, const struct bucket2 *tb2,
					const struct claim *c, struct scan_mode mode,
					struct tally *tally)
{
	enum tcpwhy_tri worst = TCPWHY_NO;

	for (uint32_t i = tb2->first; i != NIL; i = sock_at(e, i)->owner_next) {
		enum tcpwhy_holder why;
		uint32_t missing;
		enum tcpwhy_tri conflict = pair_conflict(e, c, i, mode, &why, &missing);
		if (conflict == TCPWHY_NO)
			continue;
		if (conflict == TCPWHY_YES || worst == TCPWHY_NO)
			worst = conflict;
		if (tally)
			tally_add(tally, sock_at(e, i), i, why, missing);
		else if (worst == TCPWHY_YES)
			break;
	}
	return worst;
}

enum tcpwhy_tri bucket_conflict(const struct tcpwhy_engine *e, uint32_t b, const struct claim *c,
				struct scan_mode mode, struct tally *tally)
{
	enum tcpwhy_tri worst = TCPWHY_NO;
	uint32_t b2 = bucket_at(e, b)->first2;

	for (; b2 != NIL; b2 = bucket2_at(e, b2)->next) {
		const struct bucket2 *tb2 = bucket2_at(e, b2);
		if (!bucket2_matters(c, tb2->addr))
			continue;
		enum tcpwhy_tri conflict = bucket2_conflict(e, tb2, c, mode, tally);
		if (conflict == TCPWHY_YES && !tally)
			return conflict;
		if (conflict == TCPWHY_YES || worst == TCPWHY_NO)
			worst = conflict;
	}
	return worst;
}

/* -------------------------------------------------------------------------------- fastreuse */

/* sk_reuseport_match(). */
static bool fast_reuseport_matches(const struct tcpwhy_engine *e, const struct fast *f,
				   const struct claim *c)
{
	if (f->reuseport <= 0 || !c->reuseport || c->reuseport_cb || f->uid != c->uid)
		return false;
	if (f->reuseport == FASTREUSEPORT_ANY || !has(e, TCPWHY_F_REUSEPORT_STRICT))
		return true;
	struct side cached = {.addr = f->addr, .family = f->family, .v6only = tri_of(f->v6only)};
	struct side asks = claim_side(c);
	struct wild cached_only = {.a = true};
	if (f->family == TCPWHY_IPV6)
		return overlap6(&cached, &asks, cached_only) == TCPWHY_YES;
	return overlap4(f->addr4, ref_rcv4(c->addr), asks.v6only, cached_only) == TCPWHY_YES;
}

enum tcpwhy_tri fast_matches(const struct tcpwhy_engine *e, const struct fast *f,
			     const struct claim *c)
{
	bool reuse = c->reuse != TCPWHY_REUSE_NO && !c->listening;

	if (!f->known)
		return reuse || (c->reuseport && !c->reuseport_cb) ? TCPWHY_UNKNOWN : TCPWHY_NO;
	return tri_of((f->reuse > 0 && reuse) || fast_reuseport_matches(e, f, c));
}

enum tcpwhy_tri fast_accepts(const struct tcpwhy_engine *e, const struct fast *f,
			     const struct claim *c)
{
	return c->reuse == TCPWHY_REUSE_FORCE ? TCPWHY_YES : fast_matches(e, f, c);
}

static void fast_remember(struct fast *f, const struct claim *c, int8_t how)
{
	f->reuseport = how;
	f->uid = c->uid;
	f->family = c->family;
	f->v6only = c->v6only;
	f->addr4 = ref_rcv4(c->addr);
	if (c->family == TCPWHY_IPV6)
		f->addr = c->addr;
}

/* Before 4.11 a fast accept jumps over the note, to the label "success". */
static bool goes_unnoted(const struct tcpwhy_engine *e, const struct fast *f, const struct claim *c,
			 bool any)
{
	if (has(e, TCPWHY_F_FAST_NOTED))
		return false;
	return c->reuse == TCPWHY_REUSE_FORCE || (!any && fast_accepts(e, f, c) == TCPWHY_YES);
}

/* inet_csk_update_fastreuse(). */
void fast_update(const struct tcpwhy_engine *e, struct fast *f, const struct claim *c,
		 bool was_empty, bool any)
{
	bool reuse = c->reuse != TCPWHY_REUSE_NO && !c->listening;

	if (was_empty) {
		f->known = true;
		f->reuse = reuse;
		f->reuseport = 0;
		if (c->reuseport)
			fast_remember(f, c, FASTREUSEPORT_ANY);
		return;
	}
	if (goes_unnoted(e, f, c, any))
		return;
	if (!reuse)
		f->reuse = 0;
	if (!c->reuseport)
		f->reuseport = 0;
	else if (!has(e, TCPWHY_F_REUSEPORT_STRICT) && f->uid != c->uid)
		f->reuseport = 0;
	else if (has(e, TCPWHY_F_REUSEPORT_STRICT) && !fast_reuseport_matches(e, f, c))
		fast_remember(f, c, FASTREUSEPORT_STRICT);
}
