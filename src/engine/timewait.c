/* SPDX-License-Identifier: MIT
 *
 * TIME_WAIT and orphan FIN_WAIT2: mini-sockets and their deadlines
 *
 * tcp_time_wait(), inet_twsk_alloc(), tcp_twsk_unique(). A mini-socket keeps the port, the 4-tuple,
 * the device and the reuse flags of the socket it stands for, but no uid.
 */
#include "base/address.h"
#include "engine/state.h"

/* ---------------------------------------------------------------------------------- deadlines */

/* A binary heap of socks by expires_ns; ties go by index, so that the order is the same on every
 * host. */
static bool sooner(const struct tcpwhy_engine *e, uint32_t a, uint32_t b)
{
	uint64_t at = sock_at(e, a)->expires_ns, bt = sock_at(e, b)->expires_ns;

	return at != bt ? at < bt : a < b;
}

static void heap_put(struct tcpwhy_engine *e, uint32_t at, uint32_t i)
{
	e->heap[at] = i;
	sock_at(e, i)->deadline = at;
}

static void heap_up(struct tcpwhy_engine *e, uint32_t at)
{
	uint32_t i = e->heap[at];

	while (at && sooner(e, i, e->heap[(at - 1) / 2])) {
		heap_put(e, at, e->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_put(e, at, i);
}

static void heap_down(struct tcpwhy_engine *e, uint32_t at)
{
	uint32_t i = e->heap[at];

	for (;;) {
		uint32_t child = 2 * at + 1;
		if (child >= e->heap_used)
			break;
		if (child + 1 < e->heap_used && sooner(e, e->heap[child + 1], e->heap[child]))
			child++;
		if (!sooner(e, e->heap[child], i))
			break;
		heap_put(e, at, e->heap[child]);
		at = child;
	}
	heap_put(e, at, i);
}

bool deadline_set(struct tcpwhy_engine *e, uint32_t i, uint64_t when_ns)
{
	struct sock *s = sock_at(e, i);

	if (s->deadline != NIL)
		deadline_clear(e, i);
	if (!memory_grow(e, &e->heap, &e->heap_size, e->heap_used + 1, sizeof(*e->heap)))
		return false;
	s->expires_ns = when_ns;
	e->heap[e->heap_used++] = i;
	heap_up(e, e->heap_used - 1);
	return true;
}

void deadline_clear(struct tcpwhy_engine *e, uint32_t i)
{
	uint32_t at = sock_at(e, i)->deadline;

	if (at == NIL)
		return;
	sock_at(e, i)->deadline = NIL;
	uint32_t last = e->heap[--e->heap_used];
	if (last == i)
		return;
	heap_put(e, at, last);
	heap_up(e, at);
	heap_down(e, sock_at(e, last)->deadline);
}

/* Imported mini-sockets get their deadlines when the clock first moves. */
static void timers_ready(struct tcpwhy_engine *e)
{
	for (uint32_t i = 0; i < e->socks.used && e->timers_pending; i++) {
		const struct sock *s = sock_at(e, i);
		if (s->family && s->timewait && s->deadline == NIL && s->expires_ns &&
		    !deadline_set(e, i, s->expires_ns))
			return; /* no memory: tried again at the next advance */
	}
	e->timers_pending = false;
}

static void expire(struct tcpwhy_engine *e, uint32_t i)
{
	if (sock_at(e, i)->timewait) {
		timewait_kill(e, i);
		return;
	}
	/* tcp_keepalive_timer() of an orphan in FIN_WAIT2. */
	deadline_clear(e, i);
	timewait_park(e, i, TCPWHY_FIN_WAIT2, sock_at(e, i)->entered_ns);
}

void tcpwhy_advance(struct tcpwhy_engine *e, uint64_t now_ns)
{
	timers_ready(e);
	while (e->heap_used && sock_at(e, e->heap[0])->expires_ns <= now_ns) {
		uint64_t when = sock_at(e, e->heap[0])->expires_ns;
		if (when > e->now_ns)
			e->now_ns = when;
		expire(e, e->heap[0]);
	}
	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
}

/* ------------------------------------------------------------------------------- mini-sockets */

static void copy_identity(struct sock *tw, const struct sock *s)
{
	uint32_t generation = tw->generation;

	*tw = *s;
	tw->generation = generation;
	tw->bucket2 = tw->owner_next = tw->owner_prev = tw->tuple_next = tw->deadline = tw->parent =
		NIL;
	tw->hashed = tw->orphan = tw->pending = tw->connected = tw->uid_known = false;
	tw->port_lock = tw->addr_lock = tw->reuseport_cb = tw->fin_in = false;
	tw->uid = 0;
	tw->timewait = true;
}

void timewait_park(struct tcpwhy_engine *e, uint32_t i, enum tcpwhy_state substate,
		   uint64_t lasts_ns)
{
	uint32_t b2 = sock_at(e, i)->bucket2, tw = NIL;

	if (b2 != NIL && e->timewaits < e->sysctls.max_tw_buckets)
		tw = sock_new(e);
	if (tw != NIL) {
		struct sock *mini = sock_at(e, tw);
		copy_identity(mini, sock_at(e, i));
		mini->state = (uint8_t)substate;
		mini->entered_ns = e->now_ns;
		if (!deadline_set(e, tw, e->now_ns + lasts_ns)) {
			sock_drop(e, tw);
			tw = NIL;
		}
	}
	if (tw != NIL) {
		tuple_remove(e, i);
		owner_add(e, tw, b2);
		must(tuple_add(e, tw)); /* there was room for the one just removed */
		e->timewaits++;
	}
	sock_done(e, i);
}

void timewait_kill(struct tcpwhy_engine *e, uint32_t i)
{
	deadline_clear(e, i);
	tuple_remove(e, i);
	owner_remove(e, i);
	e->timewaits--;
	sock_drop(e, i);
}

/* tcp_fin_time(); beyond TIME_WAIT's own time the full socket waits first. */
void orphan_wait(struct tcpwhy_engine *e, uint32_t i)
{
	struct sock *s = sock_at(e, i);
	uint64_t lasts = (s->linger2_s ? s->linger2_s : e->sysctls.fin_timeout_s) * NS_PER_S;

	if (s->linger2_off) {
		sock_done(e, i);
	} else if (lasts <= TIMEWAIT_NS) {
		timewait_park(e, i, TCPWHY_FIN_WAIT2, lasts);
	} else {
		s->entered_ns = lasts - TIMEWAIT_NS;
		if (!deadline_set(e, i, e->now_ns + s->entered_ns))
			sock_done(e, i);
	}
}

/* ------------------------------------------------------------------------------------- reuse */

static bool is_loopback(const struct tcpwhy_engine *e, const struct sock *tw)
{
	struct tcpwhy_addr local = ref_address(e, sock_local(tw)),
			   peer = ref_address(e, sock_peer(tw));

	return tw->device == LOOPBACK_DEVICE || address_is_loopback(&local) ||
	       address_is_loopback(&peer);
}

/* The first instant at which the TIME_WAIT is old enough. */
static uint64_t old_enough_at(const struct tcpwhy_engine *e, const struct sock *tw)
{
	if (!(e->row->features & TCPWHY_F_TW_REUSE_DELAY))
		return (tw->entered_ns / NS_PER_S + 1) * NS_PER_S;
	return (tw->entered_ns / NS_PER_MS + e->sysctls.tw_reuse_delay_ms + 1) * NS_PER_MS;
}

/* tcp_twsk_unique(): may a connect() take over the 4-tuple? With a bound port only timestamps
 * count. */
enum tcpwhy_tw_reason timewait_kept(const struct tcpwhy_engine *e, uint32_t i, bool port_was_bound,
				    uint32_t *missing)
{
	const struct sock *tw = sock_at(e, i);

	if (tw->timestamps == TCPWHY_NO)
		return TCPWHY_TW_NO_TIMESTAMPS;
	if (!port_was_bound) {
		if (tw->state == TCPWHY_FIN_WAIT2 && (e->row->features & TCPWHY_F_TW_REUSE_NO_FW2))
			return TCPWHY_TW_FIN_WAIT2;
		if (e->sysctls.tw_reuse == 0)
			return TCPWHY_TW_REUSE_OFF;
		if (e->sysctls.tw_reuse == 2 && !is_loopback(e, tw))
			return TCPWHY_TW_LOOPBACK_ONLY;
		if (e->now_ns < old_enough_at(e, tw))
			return TCPWHY_TW_TOO_YOUNG;
	}
	if (tw->timestamps == TCPWHY_UNKNOWN)
		*missing |= TCPWHY_MISSING_TIMESTAMPS;
	return TCPWHY_TW_REASONS;
}

uint64_t timewait_free_at(const struct tcpwhy_engine *e, uint32_t i)
{
	const struct sock *tw = sock_at(e, i);
	uint32_t missing = 0;

	if (timewait_kept(e, i, false, &missing) != TCPWHY_TW_TOO_YOUNG)
		return tw->expires_ns;
	uint64_t old = old_enough_at(e, tw);
	return tw->expires_ns && tw->expires_ns < old ? tw->expires_ns : old;
}
