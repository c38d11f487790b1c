/* SPDX-License-Identifier: MIT
 *
 * connect(): the source port and the 4-tuple (__inet_hash_connect(), __inet_check_established())
 *
 * Even offsets are walked first, then odd ones; a socket with IP_LOCAL_PORT_RANGE walks every port
 * (6.8+), and so does every socket before 4.6. A bucket that is not connect-only is passed over,
 * whoever the destination is.
 */
#include <errno.h>
#include <string.h>

#include "base/address.h"
#include "engine/portwalk.h"
#include "engine/state.h"

uint32_t connect_step(const struct tcpwhy_engine *e, uint32_t sock_range)
{
	if (!has(e, TCPWHY_F_CONNECT_PARITY))
		return 1;
	return sock_range && has(e, TCPWHY_F_SOCK_RANGE_WHOLE) ? 1 : 2;
}

struct search {
	struct destination to;
	struct portwalk walk;
	bool takes_over; /* a TIME_WAIT may stand at the port that was found */
};

static struct destination destination_of(const struct tcpwhy_engine *e, const struct sock *s)
{
	return (struct destination){.e = e,
				    .is_known = true,
				    .tuple = {.local = sock_local(s),
					      .peer = sock_peer(s),
					      .peer_port = s->peer_port,
					      .device = s->device,
					      .l3mdev = device_l3mdev(e, s->device)}};
}

static bool is_usable(const struct place *p)
{
	return p->fate == FREE || p->fate == REUSABLE;
}

static enum tcpwhy_tri port_taken(void *ctx, uint16_t port)
{
	const struct search *search = ctx;
	struct place p = place_look(&search->to, port);

	return is_usable(&p) ? TCPWHY_NO : TCPWHY_YES;
}

/* One pass from that offset: by the sets, or port by port where they cannot tell. */
static uint16_t walk_pass(struct search *search, uint32_t offset)
{
	const struct portwalk *w = &search->walk;
	struct range r = {w->low, w->low + w->count - 1};
	bool slow;
	uint16_t port = portset_search(search->to.e, &search->to.tuple, r, w->step, offset, &slow,
				       &search->takes_over);

	if (!slow)
		return port;
	search->takes_over = true;
	return portwalk_from(w, offset);
}

/* How far a port is from the start of its pass, along the walk. */
static uint32_t walked(const struct portwalk *w, uint32_t offset, uint16_t port)
{
	uint32_t at = port - w->low;

	return at >= offset ? at - offset : at + portwalk_remaining(w) - offset;
}

/* Even offsets, then odd ones, from a drawn start; all in one pass with IP_LOCAL_PORT_RANGE. */
static uint16_t choose_drawn(struct search *search, const struct sock *s,
			     const struct tcpwhy_choice *choice)
{
	const struct portwalk *w = &search->walk;
	uint32_t remaining = portwalk_remaining(w), entry = 0;
	uint32_t offset =
		choice->perturb ? perturb_start(search->to.e, choice->perturb, s, remaining, &entry)
				: choice->draw(choice->ctx, remaining);

	offset &= ~(w->step - 1);
	uint16_t port = walk_pass(search, offset);
	if (!port && w->step == 2)
		port = walk_pass(search, ++offset);
	if (port && choice->perturb)
		perturb_advance(search->to.e, choice, entry, walked(w, offset, port), w->step);
	return port;
}

static bool even_may_fail(const struct portwalk *w)
{
	return !portwalk_look(w, PORTWALK_EVEN_LOW).certain ||
	       (portwalk_has_high(w) && !portwalk_look(w, PORTWALK_EVEN_HIGH).certain);
}

/* A port that is found if no start leads to nothing; 0 if one does. */
static uint16_t choose_unavoidable(const struct portwalk *w)
{
	if (w->step == 1)
		return portwalk_look(w, PORTWALK_ALL).port;
	if (!even_may_fail(w))
		return portwalk_look(w, PORTWALK_EVEN_LOW).port;
	return portwalk_look(w, PORTWALK_ODD).port;
}

/* Whether some start leads to the port that the kernel chose. */
static bool leads_to(const struct portwalk *w, uint16_t port)
{
	if (w->step == 1)
		return portwalk_is_free(w, port);
	if (portwalk_even_leads_to(w, port))
		return true;
	bool even_may_fail =
		!portwalk_look(w, PORTWALK_EVEN_LOW).certain ||
		(portwalk_has_high(w) && !portwalk_look(w, PORTWALK_EVEN_HIGH).certain);
	return even_may_fail && portwalk_is_odd(w, port) && portwalk_is_free(w, port);
}

/* *takes_over: a TIME_WAIT may stand at the port. */
static uint16_t choose_port(struct tcpwhy_engine *e, const struct sock *s,
			    const struct tcpwhy_choice *choice, bool *takes_over)
{
	struct range r = range_of(e, s->range);
	struct search search = {.to = destination_of(e, s)};
	uint16_t port;

	search.walk = (struct portwalk){.low = r.low,
					.count = r.high - r.low + 1,
					.step = connect_step(e, s->range),
					.taken = port_taken,
					.ctx = &search};
	if (e->sysctls.tw_reuse)
		timewait_ripen(e);
	*takes_over = true;
	if (choice->none)
		return choose_unavoidable(&search.walk);
	if (choice->follow)
		return leads_to(&search.walk, choice->follow) ? choice->follow : 0;
	port = choose_drawn(&search, s, choice);
	*takes_over = search.takes_over;
	return port;
}

static void refuse(struct tcpwhy_verdict *v, int error, enum tcpwhy_rule rule)
{
	verdict_refuse(v, TCPWHY_CALL_CONNECT, error, rule);
}

/* Takes the port that connect() chose: a bucket made here is connect-only. */
static bool take_port(struct tcpwhy_engine *e, uint32_t i, uint16_t port)
{
	struct sock *s = sock_at(e, i);
	uint32_t l3mdev = device_l3mdev(e, s->device), b = bucket_find(e, port, l3mdev);
	bool new_bucket = b == NIL;

	if (new_bucket)
		b = bucket_need(e, port, l3mdev);
	if (b == NIL)
		return false;
	if (new_bucket)
		bucket_at(e, b)->fast.reuse = bucket_at(e, b)->fast.reuseport = -1;
	bool new_bucket2 = bucket2_find(e, b, sock_local(s)) == NIL;
	uint32_t b2 = bucket2_need(e, b, sock_local(s));
	if (b2 == NIL) {
		bucket_drop_if_empty(e, b);
		return false;
	}
	if (new_bucket2)
		bucket2_at(e, b2)->fastreuse = bucket2_at(e, b2)->fastreuseport = -1;
	owner_add(e, i, b2);
	s->outgoing = true;
	if (new_bucket)
		bucket_changed(e, b);
	return true;
}

/* tcp_twsk_unique() hands on ts_recent_stamp, which the next TIME_WAIT is judged by, even if this
 * connection will do without timestamps. */
static void take_over(struct tcpwhy_engine *e, struct sock *s, uint32_t tw)
{
	if (!s->timestamps)
		s->timestamps = sock_at(e, tw)->timestamps;
	timewait_kill(e, tw);
}

/* Puts the 4-tuple into the table. False: refused, v says why. */
static bool hash_connect(struct tcpwhy_engine *e, uint32_t i, const struct tcpwhy_choice *choice,
			 struct tcpwhy_verdict *v)
{
	struct sock *s = sock_at(e, i);
	bool bound = s->bucket2 != NIL;
	bool takes_over = true;
	uint16_t port = bound ? s->port : choose_port(e, s, choice, &takes_over);

	v->port = port;
	if (!port) {
		refuse(v, EADDRNOTAVAIL, TCPWHY_RULE_CONNECT_RANGE_EXHAUSTED);
		return false;
	}
	struct destination to = destination_of(e, s);
	struct place p = {.fate = FREE, .holder = NIL};
	if (bound)
		p = place_bound(&to, port);
	else if (takes_over)
		p = place_look(&to, port);
	else
		tuple_prefetch(e, s, port);
	if (!is_usable(&p)) {
		refuse(v, EADDRNOTAVAIL, TCPWHY_RULE_CONNECT_TUPLE_TAKEN);
		return false;
	}
	if (!bound && !take_port(e, i, port)) {
		refuse(v, ENOMEM, TCPWHY_RULE_NO_MEMORY);
		return false;
	}
	if (p.fate == REUSABLE) {
		v->first = sock_handle(e, p.holder);
		take_over(e, s, p.holder);
	}
	if (!tuple_add(e, i)) {
		if (!bound)
			owner_remove(e, i);
		refuse(v, ENOMEM, TCPWHY_RULE_NO_MEMORY);
		return false;
	}
	return true;
}

static struct ref any_of(const struct sock *s)
{
	return (struct ref){.six = s->six};
}

/* inet_bhash2_update_saddr() and inet_bhash2_reset_saddr(). */
static bool set_source(struct tcpwhy_engine *e, uint32_t i, struct ref addr)
{
	struct sock *s = sock_at(e, i);

	if (s->bucket2 != NIL)
		return owner_move(e, i, addr);
	sock_set_local(s, addr);
	return true;
}

static void forget_source(struct tcpwhy_engine *e, uint32_t i)
{
	struct sock *s = sock_at(e, i);

	sock_set_peer(s, (struct ref){.six = true}, 0);
	if (!s->addr_lock && !set_source(e, i, any_of(s)) && s->bucket2 != NIL) {
		owner_remove(e, i); /* as the kernel: without memory for the new place the port is
				       given up */
		sock_set_local(s, any_of(s));
	}
}

/* inet_saddr is 0: nothing was bound, or a multicast or broadcast address, which cannot be a
 * source. */
static bool source_unset(const struct tcpwhy_engine *e, const struct sock *s)
{
	struct tcpwhy_addr a = ref_address(e, sock_local(s));

	if (ref_is_any(sock_local(s)))
		return true;
	if (s->six)
		return false;
	if (address_is_multicast4(&a) || address_is_broadcast4(&a))
		return true;
	for (uint32_t i = 0; i < e->locals_used; i++)
		if (e->locals[i].kind == TCPWHY_LOCAL_BROADCAST &&
		    address_in_prefix(&a, &e->locals[i].prefix, e->locals[i].prefix_len))
			return true;
	return false;
}

static int state_error(const struct sock *s)
{
	if (s->state == TCPWHY_SYN_SENT)
		return EALREADY;
	return s->state != TCPWHY_CLOSE || s->connected ? EISCONN : 0;
}

static int family_error(const struct sock *s, const struct tcpwhy_addr *peer)
{
	bool v4 = address_is_v4(peer);

	if (!s->six)
		return v4 ? 0 : EAFNOSUPPORT;
	if (v4)
		return s->v6only == TCPWHY_YES ? ENETUNREACH : 0;
	return !s->local6 ? ENETUNREACH
			  : 0; /* bound to a v4-mapped address: no route to native IPv6 */
}

int tcpwhy_connect(struct tcpwhy_engine *e, tcpwhy_sock handle, const struct tcpwhy_addr *peer,
		   uint16_t peer_port, const struct tcpwhy_addr *source,
		   const struct tcpwhy_choice *choice, struct tcpwhy_verdict *v)
{
	uint32_t i;
	struct sock *s = sock_live(e, handle, &i);
	struct ref to, from;

	if (!s || s->orphan || s->timewait)
		return -EBADF;
	memset(v, 0, sizeof(*v));
	int error = state_error(s);
	if (error) {
		refuse(v, error, TCPWHY_RULE_CONNECT_STATE);
		return 0;
	}
	error = family_error(s, peer);
	if (error) {
		refuse(v, error, TCPWHY_RULE_CONNECT_FAMILY);
		return 0;
	}
	bool unset = source_unset(e, s);
	if (!tuples_ready(e) || !ref_of(e, peer, &to) || !ref_of(e, source, &from) ||
	    (unset && !set_source(e, i, from))) {
		refuse(v, ENOMEM, TCPWHY_RULE_NO_MEMORY);
		return 0;
	}
	sock_set_peer(s, to, peer_port);
	s->state = TCPWHY_SYN_SENT;
	s->timestamps = e->sysctls.timestamps != 0;
	if (!hash_connect(e, i, choice, v)) {
		sock_done(e, i); /* a port that bind(0) chose is given back, too */
		forget_source(e, i);
	}
	return 0;
}

/* ------------------------------------------------------------------- the end of an attempt */

/* tcp_disconnect(): also what shutdown() does to a listener. */
void sock_disconnect(struct tcpwhy_engine *e, uint32_t i)
{
	struct sock *s = sock_at(e, i);

	sock_done(e, i);
	s->connected = false;
	forget_source(e, i);
}

int tcpwhy_disconnect(struct tcpwhy_engine *e, tcpwhy_sock handle)
{
	uint32_t i;
	const struct sock *s = sock_live(e, handle, &i);

	if (!s || s->orphan || s->timewait || s->pending)
		return -EBADF;
	if (s->state == TCPWHY_LISTEN)
		reset_pending(e, i);
	sock_disconnect(e, i);
	return 0;
}
