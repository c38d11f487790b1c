/* SPDX-License-Identifier: MIT
 *
 * bind() and listen(): the checks in the kernel's order, then the port
 *
 * inet_bind_sk(), __inet_bind(), __inet6_bind(), inet_csk_get_port(), inet_csk_listen_start(). The
 * question (tcpwhy_would_bind) and the deed (tcpwhy_bind, tcpwhy_listen) run the same functions;
 * the deed then commits.
 */
#include <errno.h>
#include <string.h>

#include "base/address.h"
#include "engine/state.h"

#define PROT_SOCK 1024u

/* --------------------------------------------------------------------- checks before the port */

/* What the checks need of the one who asks. */
struct binder {
	struct tcpwhy_addr addr;
	uint16_t port;
	uint8_t family;
	bool v6only, freebind, transparent, busy;
	enum tcpwhy_tri may_bind_low;
	uint32_t device;
};

/* ipv6_chk_addr(): a host or link scope address answers only on its own device. */
static bool local_matches6(const struct tcpwhy_engine *e, const struct local *l,
			   const struct binder *b)
{
	bool narrow = address_is_link_local6(&b->addr) || address_is_loopback(&b->addr);

	if (!b->device)
		return true;
	return l->l3mdev == device_l3mdev(e, b->device) && (l->device == b->device || !narrow);
}

static bool local_matches(const struct tcpwhy_engine *e, const struct local *l,
			  const struct binder *b)
{
	if (!address_in_prefix(&b->addr, &l->prefix, l->prefix_len))
		return false;
	if (!address_is_v4(&b->addr))
		return local_matches6(e, l, b);
	return l->l3mdev == device_l3mdev(e, b->device);
}

/* 0, or the rule that the address breaks. */
static enum tcpwhy_rule check_local(const struct tcpwhy_engine *e, const struct binder *b,
				    uint32_t *missing)
{
	bool v4 = address_is_v4(&b->addr), tentative = false;

	if (address_is_any(&b->addr) || b->freebind || b->transparent ||
	    address_is_multicast4(&b->addr) || address_is_broadcast4(&b->addr))
		return TCPWHY_RULE_NONE;
	if (v4 ? e->sysctls.nonlocal_bind : e->sysctls.nonlocal_bind6)
		return TCPWHY_RULE_NONE;
	for (uint32_t i = 0; i < e->locals_used; i++) {
		const struct local *l = &e->locals[i];
		if (!local_matches(e, l, b))
			continue;
		if (l->kind != TCPWHY_LOCAL_TENTATIVE)
			return TCPWHY_RULE_NONE;
		tentative = true;
	}
	if (!e->locals_known) {
		*missing |= TCPWHY_MISSING_LOCAL;
		return TCPWHY_RULE_NONE;
	}
	return tentative ? TCPWHY_RULE_BIND_TENTATIVE : TCPWHY_RULE_BIND_NOT_LOCAL;
}

static bool device_missing(const struct tcpwhy_engine *e, uint32_t device)
{
	for (uint32_t i = 0; i < e->devices_used; i++)
		if (e->devices[i].index == device)
			return false;
	return device && e->devices_known;
}

static bool refuse(struct tcpwhy_verdict *v, int error, enum tcpwhy_rule rule)
{
	verdict_refuse(v, TCPWHY_CALL_BIND, error, rule);
	v->missing = 0;
	return false;
}

static bool check_privilege(const struct tcpwhy_engine *e, const struct binder *b,
			    struct tcpwhy_verdict *v)
{
	uint32_t start =
		has(e, TCPWHY_F_LOW_PORTS_SYSCTL) ? e->sysctls.unprivileged_port_start : PROT_SOCK;

	if (!b->port || b->port >= start || b->may_bind_low == TCPWHY_YES)
		return true;
	if (b->may_bind_low == TCPWHY_NO)
		return refuse(v, EACCES, TCPWHY_RULE_BIND_PRIVILEGED);
	v->missing |= TCPWHY_MISSING_PRIVILEGE;
	return true;
}

static bool check4(const struct tcpwhy_engine *e, const struct binder *b, struct tcpwhy_verdict *v)
{
	if (!address_is_v4(&b->addr))
		return refuse(v, EAFNOSUPPORT, TCPWHY_RULE_BIND_FAMILY);
	enum tcpwhy_rule rule = check_local(e, b, &v->missing);
	if (rule != TCPWHY_RULE_NONE)
		return refuse(v, EADDRNOTAVAIL, rule);
	if (!check_privilege(e, b, v))
		return false;
	return b->busy ? refuse(v, EINVAL, TCPWHY_RULE_BIND_ALREADY) : true;
}

/* The IPv6 order differs: privilege and state come before the address (__inet6_bind()). */
static bool check6(const struct tcpwhy_engine *e, const struct binder *b, struct tcpwhy_verdict *v)
{
	if (address_is_multicast6(&b->addr))
		return refuse(v, EINVAL, TCPWHY_RULE_BIND_MULTICAST6);
	if (!check_privilege(e, b, v))
		return false;
	if (b->busy)
		return refuse(v, EINVAL, TCPWHY_RULE_BIND_ALREADY);
	if (address_is_v4(&b->addr) && b->v6only)
		return refuse(v, EINVAL, TCPWHY_RULE_BIND_MAPPED_V6ONLY);
	if (address_is_link_local6(&b->addr) && !b->device)
		return refuse(v, EINVAL, TCPWHY_RULE_BIND_LINK_LOCAL);
	if (!address_is_any6(&b->addr) && device_missing(e, b->device))
		return refuse(v, ENODEV, TCPWHY_RULE_BIND_NO_DEVICE);
	enum tcpwhy_rule rule = check_local(e, b, &v->missing);
	return rule == TCPWHY_RULE_NONE ? true : refuse(v, EADDRNOTAVAIL, rule);
}

static bool checks_pass(const struct tcpwhy_engine *e, const struct binder *b,
			struct tcpwhy_verdict *v)
{
	return b->family == TCPWHY_IPV4 ? check4(e, b, v) : check6(e, b, v);
}

/* ------------------------------------------------------------------------------- a given port */

static enum tcpwhy_rule rule_of(enum tcpwhy_holder heaviest)
{
	static const enum tcpwhy_rule rules[TCPWHY_HOLDER_CLASSES] = {
		[TCPWHY_H_TW_NEEDS_REUSE] = TCPWHY_RULE_BIND_TW_NEEDS_REUSE,
		[TCPWHY_H_TW_WITHOUT_REUSE] = TCPWHY_RULE_BIND_TW_WITHOUT_REUSE,
		[TCPWHY_H_FW2_NEEDS_REUSE] = TCPWHY_RULE_BIND_FW2_NEEDS_REUSE,
		[TCPWHY_H_FW2_WITHOUT_REUSE] = TCPWHY_RULE_BIND_FW2_WITHOUT_REUSE,
		[TCPWHY_H_CONN_NEEDS_REUSE] = TCPWHY_RULE_BIND_CONN_NEEDS_REUSE,
		[TCPWHY_H_CONN_WITHOUT_REUSE] = TCPWHY_RULE_BIND_CONN_WITHOUT_REUSE,
		[TCPWHY_H_OUT_NEEDS_REUSE] = TCPWHY_RULE_BIND_OUT_NEEDS_REUSE,
		[TCPWHY_H_OUT_WITHOUT_REUSE] = TCPWHY_RULE_BIND_OUT_WITHOUT_REUSE,
		[TCPWHY_H_BOUND_NEEDS_REUSE] = TCPWHY_RULE_BIND_BOUND_NEEDS_REUSE,
		[TCPWHY_H_BOUND_WITHOUT_REUSE] = TCPWHY_RULE_BIND_BOUND_WITHOUT_REUSE,
		[TCPWHY_H_BOUND_OTHER_UID] = TCPWHY_RULE_BIND_BOUND_OTHER_UID,
		[TCPWHY_H_REUSEPORT_STEERED] = TCPWHY_RULE_BIND_REUSEPORT_STEERED,
		[TCPWHY_H_LISTENER] = TCPWHY_RULE_BIND_LISTENER,
		[TCPWHY_H_LISTENER_OTHER_UID] = TCPWHY_RULE_BIND_LISTENER_OTHER_UID,
		[TCPWHY_H_UNKNOWN] = TCPWHY_RULE_BIND_UNKNOWN,
	};

	return rules[heaviest];
}

/* A bucket whose fields were not seen: a listener on the port has lowered fastreuse for good. */
static enum tcpwhy_tri bucket_fast_accepts(const struct tcpwhy_engine *e, const struct fast *f,
					   const struct claim *c, const struct tally *t)
{
	enum tcpwhy_tri fast = fast_accepts(e, f, c);

	if (fast != TCPWHY_UNKNOWN || c->reuseport)
		return fast;
	bool listener = t->by_class[TCPWHY_H_LISTENER] || t->by_class[TCPWHY_H_LISTENER_OTHER_UID];
	return listener ? TCPWHY_NO : fast;
}

static void conclude(const struct tcpwhy_engine *e, struct tcpwhy_verdict *v, const struct claim *c,
		     uint16_t port, enum tcpwhy_tri conflict, const struct tally *t)
{
	enum tcpwhy_call at = c->listening ? TCPWHY_CALL_LISTEN : TCPWHY_CALL_BIND;

	v->port = port;
	if (conflict == TCPWHY_NO) {
		verdict_ok(v, port);
		return;
	}
	verdict_refuse(v, at, EADDRINUSE, rule_of(t->heaviest));
	if (conflict == TCPWHY_UNKNOWN)
		v->answer = TCPWHY_DEPENDS;
	verdict_tally(e, v, t);
	if (conflict == TCPWHY_YES)
		v->missing = 0;
}

/* inet_csk_get_port() with a port: fast accept, else the scan. f is the bucket's state as this call
 * finds it. */
static void port_explicit(const struct tcpwhy_engine *e, const struct claim *c, uint16_t port,
			  uint32_t b, const struct fast *f, struct tcpwhy_verdict *v)
{
	struct tally t = {.first = NIL};

	if (b == NIL || fast_accepts(e, f, c) == TCPWHY_YES) {
		verdict_ok(v, port);
		return;
	}
	enum tcpwhy_tri conflict = bucket_conflict(e, b, c, scan_explicit, &t);
	if (conflict == TCPWHY_YES && bucket_fast_accepts(e, f, c, &t) == TCPWHY_UNKNOWN) {
		t.missing |= TCPWHY_MISSING_FAST;
		conflict = TCPWHY_UNKNOWN;
	}
	conclude(e, v, c, port, conflict, &t);
}

/* ---------------------------------------------------------------------------------- questions */

static struct claim claim_of_request(const struct tcpwhy_engine *e,
				     const struct tcpwhy_bind_request *q)
{
	struct claim c = {
		.family = q->family,
		.reuse = q->reuse,
		.reuseport = q->reuseport,
		.reuseport_cb = q->reuseport_cb && has(e, TCPWHY_F_REUSEPORT_GROUPS),
		.v6only = q->v6only && q->family == TCPWHY_IPV6,
		.device = q->device,
		.l3mdev = device_l3mdev(e, q->device),
		.uid = q->uid,
		.self = NIL,
	};

	if (!ref_find(e, &q->addr, &c.addr))
		c.addr = (struct ref){.v = NIL, .six = true}; /* no record has it */
	if (c.family == TCPWHY_IPV6 && c.addr.six && c.addr.v)
		c.v6only = true; /* as __inet6_bind() does for a native address */
	return c;
}

static struct binder binder_of_request(const struct tcpwhy_bind_request *q)
{
	return (struct binder){.addr = q->addr,
			       .port = q->port,
			       .family = q->family,
			       .v6only = q->v6only,
			       .freebind = q->freebind,
			       .transparent = q->transparent,
			       .may_bind_low = q->may_bind_low,
			       .device = q->device};
}

static void range_exhausted(struct tcpwhy_verdict *v)
{
	v->error = EADDRINUSE;
	v->rule = TCPWHY_RULE_BIND_RANGE_EXHAUSTED;
}

static void would_bind_any(const struct tcpwhy_engine *e, const struct claim *c,
			   const struct tcpwhy_bind_request *q, struct tcpwhy_verdict *v)
{
	uint32_t sock_range = q->range_low | (uint32_t)q->range_high << 16;

	port_search(e, c, range_of(e, sock_range), NULL, v);
	if (v->answer != TCPWHY_OK)
		range_exhausted(v);
}

/* Since 6.8 the address bucket is in place before inet_csk_update_fastreuse() asks whether the
 * port's is empty. */
static bool counts_as_empty(const struct tcpwhy_engine *e, bool empty)
{
	return empty && !has(e, TCPWHY_F_FASTREUSE_DEAD);
}

/* listen() finds the bucket as bind() left it. */
static void would_listen(const struct tcpwhy_engine *e, struct claim *c, uint16_t port, uint32_t b,
			 struct tcpwhy_verdict *v)
{
	struct fast after = b == NIL ? (struct fast){.known = true} : bucket_at(e, b)->fast;

	fast_update(e, &after, c, counts_as_empty(e, b == NIL), false);
	c->listening = true;
	port_explicit(e, c, port, b, &after, v);
	if (v->answer == TCPWHY_REFUSED)
		v->rule = TCPWHY_RULE_LISTEN_SECOND_GATE;
}

static void would_bind_port(const struct tcpwhy_engine *e, struct claim *c,
			    const struct tcpwhy_bind_request *q, struct tcpwhy_verdict *v)
{
	uint32_t b = bucket_find(e, q->port, c->l3mdev);

	port_explicit(e, c, q->port, b, b == NIL ? NULL : &bucket_at(e, b)->fast, v);
	if (v->answer == TCPWHY_OK && q->listen)
		would_listen(e, c, q->port, b, v);
}

void tcpwhy_would_bind(const struct tcpwhy_engine *e, const struct tcpwhy_bind_request *q,
		       struct tcpwhy_verdict *v)
{
	struct binder b = binder_of_request(q);
	struct claim c = claim_of_request(e, q);

	memset(v, 0, sizeof(*v));
	v->port = q->port;
	if (!checks_pass(e, &b, v))
		return;
	uint32_t missing = v->missing;
	v->missing = 0;
	if (q->port)
		would_bind_port(e, &c, q, v);
	else
		would_bind_any(e, &c, q, v);
	if (v->answer == TCPWHY_REFUSED)
		return;
	if (e->bound_unseen)
		missing |= TCPWHY_MISSING_OWNERS;
	if (q->family == TCPWHY_IPV6 ? e->programs6 : e->programs4)
		missing |= TCPWHY_MISSING_PROGRAM;
	v->missing |= missing;
	if (v->answer == TCPWHY_OK && missing) {
		v->answer = TCPWHY_DEPENDS;
		v->at = TCPWHY_CALL_BIND;
		v->error = missing & TCPWHY_MISSING_OWNERS      ? EADDRINUSE
			   : missing & TCPWHY_MISSING_PRIVILEGE ? EACCES
			   : missing & TCPWHY_MISSING_LOCAL     ? EADDRNOTAVAIL
								: EPERM;
		v->rule = missing & TCPWHY_MISSING_OWNERS      ? TCPWHY_RULE_BIND_UNKNOWN
			  : missing & TCPWHY_MISSING_PRIVILEGE ? TCPWHY_RULE_BIND_PRIVILEGED
			  : missing & TCPWHY_MISSING_LOCAL     ? TCPWHY_RULE_BIND_NOT_LOCAL
							       : TCPWHY_RULE_BIND_UNKNOWN;
	}
}

/* The next bucket that q could meet: that of its port, or every one of its l3mdev for bind(0). */
static bool next_bucket(const struct tcpwhy_engine *e, const struct tcpwhy_bind_request *q,
			uint32_t l3mdev, struct tcpwhy_cursor *c)
{
	if (q->port) {
		bool first = !c->started;
		c->bucket = bucket_find(e, q->port, l3mdev);
		c->started = true;
		return first && c->bucket != NIL;
	}
	for (uint32_t b = c->started ? c->bucket + 1 : 0; b < e->buckets.used; b++) {
		const struct bucket *tb = bucket_at(e, b);
		if (!tb->used || tb->l3mdev != l3mdev)
			continue;
		c->started = true;
		c->bucket = b;
		return true;
	}
	return false;
}

/* The owner after i in its bucket, i == NIL: the first of the bucket. */
static uint32_t next_in_bucket(const struct tcpwhy_engine *e, uint32_t b, uint32_t i)
{
	uint32_t b2 = bucket_at(e, b)->first2;

	if (i != NIL) {
		if (sock_at(e, i)->owner_next != NIL)
			return sock_at(e, i)->owner_next;
		b2 = bucket2_at(e, sock_at(e, i)->bucket2)->next;
	}
	return b2 == NIL ? NIL : bucket2_at(e, b2)->first;
}

/* A bucket that lets the claim pass without a scan has owners, but no holders. */
static bool passes_unscanned(const struct tcpwhy_engine *e, const struct tcpwhy_bind_request *q,
			     const struct claim *c)
{
	uint32_t b = q->port ? bucket_find(e, q->port, c->l3mdev) : NIL;
	struct tcpwhy_verdict v;

	if (b == NIL || fast_accepts(e, &bucket_at(e, b)->fast, c) != TCPWHY_YES)
		return false;
	tcpwhy_would_bind(e, q, &v);
	return v.holders == 0;
}

bool tcpwhy_next_holder(const struct tcpwhy_engine *e, const struct tcpwhy_bind_request *q,
			struct tcpwhy_cursor *cursor, struct tcpwhy_owner *owner,
			enum tcpwhy_holder *holder)
{
	struct claim c = claim_of_request(e, q);
	uint32_t i = cursor->started ? cursor->next : NIL, missing;
	struct scan_mode mode = q->port ? scan_explicit : scan_any(e, autobind_reuses(e));

	if (!cursor->started && passes_unscanned(e, q, &c))
		return false;
	if (!cursor->started && !next_bucket(e, q, c.l3mdev, cursor))
		return false;
	for (;;) {
		i = next_in_bucket(e, cursor->bucket, i);
		if (i == NIL) {
			if (!next_bucket(e, q, c.l3mdev, cursor))
				return false;
			continue;
		}
		if (!bucket2_matters(&c, bucket2_at(e, sock_at(e, i)->bucket2)->addr) ||
		    pair_conflict(e, &c, i, mode, holder, &missing) == TCPWHY_NO)
			continue;
		cursor->next = i;
		sock_report(e, i, owner);
		return true;
	}
}

/* -------------------------------------------------------------------------------------- deeds */

static struct claim claim_of(const struct tcpwhy_engine *e, uint32_t i)
{
	const struct sock *s = sock_at(e, i);

	return (struct claim){
		.addr = sock_local(s),
		.family = sock_family(s),
		.reuse = s->reuse,
		.reuseport = s->reuseport == TCPWHY_YES,
		.reuseport_cb = s->reuseport_cb,
		.v6only = s->v6only == TCPWHY_YES,
		.listening = s->state == TCPWHY_LISTEN,
		.device = s->device,
		.l3mdev = device_l3mdev(e, s->device),
		.uid = s->uid,
		.self = i,
	};
}

static void no_memory(struct tcpwhy_verdict *v, const struct claim *c)
{
	verdict_refuse(v, c->listening ? TCPWHY_CALL_LISTEN : TCPWHY_CALL_BIND, EADDRINUSE,
		       TCPWHY_RULE_NO_MEMORY);
}

/* Takes the port that was granted. */
static void commit(struct tcpwhy_engine *e, const struct claim *c, bool any,
		   struct tcpwhy_verdict *v)
{
	struct sock *s = sock_at(e, c->self);
	uint32_t b = s->bucket2 != NIL ? bucket2_at(e, s->bucket2)->bucket
				       : bucket_need(e, v->port, c->l3mdev);

	if (b == NIL) {
		no_memory(v, c);
		return;
	}
	bool was_empty = bucket_at(e, b)->first2 == NIL;
	uint32_t b2 = bucket2_need(e, b, c->addr);
	if (b2 == NIL) {
		if (was_empty)
			bucket_drop_if_empty(e, b);
		no_memory(v, c);
		return;
	}
	struct fast *f = &bucket_at(e, b)->fast;
	fast_update(e, f, c, counts_as_empty(e, was_empty), any);
	bucket2_at(e, b2)->fastreuse = f->reuse;
	bucket2_at(e, b2)->fastreuseport = f->reuseport;
	bucket_changed(e, b);
	if (s->bucket2 == NIL)
		owner_add(e, c->self, b2);
}

/* inet_csk_get_port(). */
static void get_port(struct tcpwhy_engine *e, uint32_t i, uint16_t port,
		     const struct tcpwhy_choice *choice, struct tcpwhy_verdict *v)
{
	struct claim c = claim_of(e, i);

	if (port) {
		uint32_t b2 = sock_at(e, i)->bucket2;
		uint32_t b = b2 == NIL ? bucket_find(e, port, c.l3mdev) : bucket2_at(e, b2)->bucket;
		port_explicit(e, &c, port, b, b == NIL ? NULL : &bucket_at(e, b)->fast, v);
	} else if (!port_search(e, &c, range_of(e, sock_at(e, i)->range), choice, v)) {
		range_exhausted(v);
	}
	if (v->answer == TCPWHY_OK)
		commit(e, &c, !port, v);
}

static struct binder binder_of(const struct sock *s, const struct tcpwhy_addr *addr, uint16_t port)
{
	return (struct binder){.addr = *addr,
			       .port = port,
			       .family = sock_family(s),
			       .v6only = s->v6only == TCPWHY_YES,
			       .freebind = s->freebind,
			       .transparent = s->transparent,
			       .busy = s->state != TCPWHY_CLOSE || s->bucket2 != NIL,
			       .may_bind_low = s->may_bind_low ? TCPWHY_YES : TCPWHY_NO,
			       .device = s->device};
}

static void forget_address(struct sock *s, uint8_t v6only)
{
	sock_set_local(s, (struct ref){.six = s->six});
	s->v6only = v6only;
}

int tcpwhy_bind(struct tcpwhy_engine *e, tcpwhy_sock handle, const struct tcpwhy_addr *addr,
		uint16_t port, const struct tcpwhy_choice *choice, struct tcpwhy_verdict *v)
{
	uint32_t i;
	struct sock *s = sock_live(e, handle, &i);
	struct ref r;

	if (!s || s->orphan || s->timewait)
		return -EBADF;
	struct binder b = binder_of(s, addr, port);
	memset(v, 0, sizeof(*v));
	v->port = port;
	if (!checks_pass(e, &b, v))
		return 0;
	v->missing = 0;
	if (!ref_of(e, addr, &r)) {
		verdict_refuse(v, TCPWHY_CALL_BIND, EADDRINUSE, TCPWHY_RULE_NO_MEMORY);
		return 0;
	}
	uint8_t v6only = s->v6only;
	if (s->six && r.six && r.v)
		s->v6only = TCPWHY_YES;
	sock_set_local(s, r);
	if (port || !s->no_port)
		get_port(e, i, port, choice, v);
	if (v->answer != TCPWHY_OK) {
		forget_address(s, v6only);
		return 0;
	}
	sock_set_peer(s, (struct ref){.six = true}, 0); /* of a connection that was reset before */
	if (s->six ? !ref_is_any6(r) : !ref_is_any(r))
		s->addr_lock = true;
	if (port)
		s->port_lock = true;
	return 0;
}

int tcpwhy_listen(struct tcpwhy_engine *e, tcpwhy_sock handle, const struct tcpwhy_choice *choice,
		  struct tcpwhy_verdict *v)
{
	uint32_t i;
	struct sock *s = sock_live(e, handle, &i);

	if (!s || s->orphan || s->timewait)
		return -EBADF;
	memset(v, 0, sizeof(*v));
	v->port = s->port;
	if (s->state == TCPWHY_LISTEN)
		return 0;
	if (s->state != TCPWHY_CLOSE || s->connected) {
		verdict_refuse(v, TCPWHY_CALL_LISTEN, EINVAL, TCPWHY_RULE_LISTEN_STATE);
		return 0;
	}
	s->state = TCPWHY_LISTEN;
	get_port(e, i, s->port, choice, v);
	if (v->answer != TCPWHY_OK) {
		s->state = TCPWHY_CLOSE;
		if (v->holders)
			v->rule = TCPWHY_RULE_LISTEN_SECOND_GATE;
		return 0;
	}
	if (s->reuseport == TCPWHY_YES && has(e, TCPWHY_F_REUSEPORT_GROUPS))
		s->reuseport_cb = true;
	return 0;
}
