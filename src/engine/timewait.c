/* SPDX-License-Identifier: MIT
 *
 * TIME_WAIT and orphan FIN_WAIT2: mini-sockets and their deadlines
 *
 * tcp_time_wait(), inet_twsk_alloc(), tcp_twsk_unique(). A mini-socket keeps the port, the 4-tuple,
 * the device and the reuse flags of the socket it stands for, but no uid.
 */
#include <errno.h>

#include "base/address.h"
#include "engine/state.h"

/* tcp_fin_time(). */
static uint64_t fin_time(const struct tcpwhy_engine *e, const struct sock *s)
{
	return (s->linger2_s ? s->linger2_s : e->sysctls.fin_timeout_s) * NS_PER_S;
}

/* ---------------------------------------------------------------------------------- deadlines */

/* A TIME_WAIT lasts sixty seconds, so a list in the order of arrival is one in the order of ends.
 * All else (FIN_WAIT2, and a TIME_WAIT whose age is not its time in the list) waits in a binary
 * heap; ties go by index, so that the order is the same on every host. */

static bool sooner(const struct tcpwhy_engine *e, uint32_t a, uint32_t b)
{
	uint64_t at = sock_at(e, a)->expires_ns, bt = sock_at(e, b)->expires_ns;

	return at != bt ? at < bt : a < b;
}

static void heap_put(struct tcpwhy_engine *e, uint32_t at, uint32_t i)
{
	e->heap[at] = i;
	sock_at(e, i)->heap.at = at;
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

static void heap_remove(struct tcpwhy_engine *e, uint32_t i)
{
	uint32_t at = sock_at(e, i)->heap.at, last = e->heap[--e->heap_used];

	if (last == i)
		return;
	heap_put(e, at, last);
	heap_up(e, at);
	heap_down(e, sock_at(e, last)->heap.at);
}

/* The sock whose end is nearest, NIL: none. */
static uint32_t next_end(const struct tcpwhy_engine *e)
{
	uint32_t a = e->fifo_first, b = e->heap_used ? e->heap[0] : NIL;

	if (a == NIL || b == NIL)
		return a == NIL ? b : a;
	return sooner(e, a, b) ? a : b;
}

bool deadline_set(struct tcpwhy_engine *e, uint32_t i, uint64_t when_ns)
{
	struct sock *s = sock_at(e, i);

	must(!s->in_fifo && !s->in_heap);
	if (!memory_grow(&e->memory, &e->heap, &e->heap_size, e->heap_used + 1, sizeof(*e->heap)))
		return false;
	s->in_heap = true;
	s->heap.entered_ms = (uint32_t)(e->now_ns / NS_PER_MS);
	s->expires_ns = when_ns;
	e->heap[e->heap_used++] = i;
	heap_up(e, e->heap_used - 1);
	if (when_ns < e->next_end_ns)
		e->next_end_ns = when_ns;
	return true;
}

void fifo_add(struct tcpwhy_engine *e, uint32_t i, uint64_t when_ns)
{
	struct sock *s = sock_at(e, i);
	uint32_t after = e->fifo_last;

	must(!s->in_fifo && !s->in_heap);
	/* Only what was imported can be later than a newcomer. */
	while (after != NIL && sock_at(e, after)->expires_ns > when_ns)
		after = sock_at(e, after)->fifo.prev;
	uint32_t next = after == NIL ? e->fifo_first : sock_at(e, after)->fifo.next;
	s->in_fifo = true;
	s->expires_ns = when_ns;
	s->fifo.prev = after;
	s->fifo.next = next;
	*(after == NIL ? &e->fifo_first : &sock_at(e, after)->fifo.next) = i;
	*(next == NIL ? &e->fifo_last : &sock_at(e, next)->fifo.prev) = i;
	if (e->fifo_unripe == next)
		e->fifo_unripe = i;
	if (when_ns < e->next_end_ns)
		e->next_end_ns = when_ns;
}

static void fifo_remove(struct tcpwhy_engine *e, uint32_t i)
{
	const struct sock *s = sock_at(e, i);

	if (e->fifo_unripe == i)
		e->fifo_unripe = s->fifo.next;
	*(s->fifo.prev == NIL ? &e->fifo_first : &sock_at(e, s->fifo.prev)->fifo.next) =
		s->fifo.next;
	*(s->fifo.next == NIL ? &e->fifo_last : &sock_at(e, s->fifo.next)->fifo.prev) =
		s->fifo.prev;
}

void deadline_clear(struct tcpwhy_engine *e, uint32_t i)
{
	struct sock *s = sock_at(e, i);
	bool was_next = s->expires_ns == e->next_end_ns;

	if (s->in_fifo)
		fifo_remove(e, i);
	else if (s->in_heap)
		heap_remove(e, i);
	else
		return;
	s->in_fifo = s->in_heap = false;
	s->parent = s->range = 0;
	s->expires_ns = 0;
	if (was_next) {
		uint32_t next = next_end(e);
		e->next_end_ns = next == NIL ? UINT64_MAX : sock_at(e, next)->expires_ns;
	}
}

/* Imported mini-sockets get their deadlines when they are first asked for: all through the heap,
 * which sorts them, then TIME_WAIT into the list. */
void timers_ready(struct tcpwhy_engine *e)
{
	uint32_t sorted = NIL;

	for (uint32_t i = 0; i < e->socks.used && e->timers_pending; i++) {
		const struct sock *s = sock_at(e, i);
		if (s->state && s->timewait && !s->in_heap && !s->in_fifo && s->expires_ns &&
		    !deadline_set(e, i, s->expires_ns))
			return; /* no memory: tried again the next time */
	}
	while (e->timers_pending && e->heap_used &&
	       sock_at(e, e->heap[0])->state == TCPWHY_TIME_WAIT && e->heap[0] != sorted) {
		uint32_t i = sorted = e->heap[0];
		uint64_t when = sock_at(e, i)->expires_ns;
		deadline_clear(e, i);
		fifo_add(e, i, when);
	}
	e->timers_pending = false;
}

static void expire(struct tcpwhy_engine *e, uint32_t i)
{
	uint64_t lasts;

	if (sock_at(e, i)->timewait) {
		timewait_kill(e, i);
		return;
	}
	/* tcp_keepalive_timer() of an orphan in FIN_WAIT2 reads tcp_fin_timeout again. */
	deadline_clear(e, i);
	lasts = fin_time(e, sock_at(e, i));
	if (lasts > TIMEWAIT_NS)
		timewait_park(e, i, TCPWHY_FIN_WAIT2, lasts - TIMEWAIT_NS);
	else
		sock_done(e, i);
}

uint64_t tcpwhy_next_end(const struct tcpwhy_engine *e)
{
	return e->next_end_ns;
}

void tcpwhy_advance(struct tcpwhy_engine *e, uint64_t now_ns)
{
	if (e->timers_pending)
		timers_ready(e);
	/* UINT64_MAX is no deadline. */
	while (e->next_end_ns <= now_ns && e->next_end_ns != UINT64_MAX) {
		if (e->next_end_ns > e->now_ns)
			e->now_ns = e->next_end_ns;
		expire(e, next_end(e));
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
	tw->bucket2 = tw->owner_next = tw->owner_prev = tw->tuple_next = NIL;
	tw->hashed = tw->orphan = tw->pending = tw->connected = tw->uid_known = false;
	tw->in_fifo = tw->in_heap = false;
	tw->port_lock = tw->addr_lock = tw->reuseport_cb = false;
	tw->parent = tw->range = tw->tag = 0;
	tw->expires_ns = 0;
	tw->timewait = true;
}

/* A mini-socket without its places in the tables; NIL: no memory. */
static uint32_t mini_new(struct tcpwhy_engine *e, uint32_t i, enum tcpwhy_state substate,
			 uint64_t lasts_ns)
{
	uint32_t tw = sock_new(e);

	if (tw == NIL)
		return NIL;
	copy_identity(sock_at(e, tw), sock_at(e, i));
	sock_at(e, tw)->state = (uint8_t)substate;
	if (substate == TCPWHY_TIME_WAIT) {
		fifo_add(e, tw, e->now_ns + lasts_ns);
	} else if (!deadline_set(e, tw, e->now_ns + lasts_ns)) {
		sock_drop(e, tw);
		return NIL;
	}
	return tw;
}

void timewait_park(struct tcpwhy_engine *e, uint32_t i, enum tcpwhy_state substate,
		   uint64_t lasts_ns)
{
	uint32_t b2 = sock_at(e, i)->bucket2, tw = NIL;

	if (b2 != NIL && e->timewaits < e->sysctls.max_tw_buckets)
		tw = mini_new(e, i, substate, lasts_ns);
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
	tuple_remove(e, i);
	deadline_clear(e, i);
	owner_remove(e, i);
	e->timewaits--;
	sock_drop(e, i);
}

/* Beyond TIME_WAIT's own time the full socket waits first. */
void orphan_wait(struct tcpwhy_engine *e, uint32_t i)
{
	uint64_t lasts = fin_time(e, sock_at(e, i));

	if (sock_at(e, i)->linger2_off)
		sock_done(e, i);
	else if (lasts <= TIMEWAIT_NS)
		timewait_park(e, i, TCPWHY_FIN_WAIT2, lasts);
	else if (!deadline_set(e, i, e->now_ns + lasts - TIMEWAIT_NS))
		sock_done(e, i);
}

/* Gives a mini-socket another end. In the list of TIME_WAIT the age is told by the end, so one
 * whose age is another waits in the heap. False: no memory; it keeps the end it had. (From the heap
 * to the heap there is always room.) */
static bool move_end(struct tcpwhy_engine *e, uint32_t i, uint64_t when_ns, uint32_t entered_ms)
{
	struct sock *s = sock_at(e, i);
	uint64_t old_ns = s->expires_ns;
	bool hashed = s->hashed, moved = true,
	     listed = s->state == TCPWHY_TIME_WAIT && when_ns >= TIMEWAIT_NS &&
		      (uint32_t)((when_ns - TIMEWAIT_NS) / NS_PER_MS) == entered_ms;

	if (hashed)
		tuple_remove(e, i);
	deadline_clear(e, i);
	if (listed) {
		fifo_add(e, i, when_ns);
	} else if (deadline_set(e, i, when_ns)) {
		s->heap.entered_ms = entered_ms;
	} else {
		fifo_add(e, i, old_ns);
		moved = false;
	}
	return (!hashed || tuple_add(e, i)) && moved;
}

/* tw_entry_stamp. An imported one without a timer is taken to be old. */
static uint64_t entered_ms(const struct tcpwhy_engine *e, const struct sock *tw)
{
	uint64_t now_ms = e->now_ns / NS_PER_MS;

	if (tw->in_heap)
		return now_ms - (uint32_t)((uint32_t)now_ms - tw->heap.entered_ms);
	return tw->expires_ns > TIMEWAIT_NS ? (tw->expires_ns - TIMEWAIT_NS) / NS_PER_MS : 0;
}

/* The FIN that an orphan's FIN_WAIT2 waited for. tcp_timewait_state_process() renews the entry
 * stamp only if it saw a timestamp, and without a socket tcp_parse_options() looks for one only
 * while the sysctl is on. */
bool timewait_enter(struct tcpwhy_engine *e, uint32_t i)
{
	struct sock *s = sock_at(e, i);
	bool renewed = e->sysctls.timestamps != 0 || s->in_fifo;
	uint32_t entered = (uint32_t)(renewed ? e->now_ns / NS_PER_MS : entered_ms(e, s));

	s->state = TCPWHY_TIME_WAIT;
	return move_end(e, i, e->now_ns + TIMEWAIT_NS, entered);
}

int tcpwhy_timewait_end(struct tcpwhy_engine *e, tcpwhy_sock handle, uint64_t expires_ns, bool seen)
{
	uint32_t i;
	struct sock *s = sock_live(e, handle, &i);
	uint64_t entered;

	if (!s)
		return -EBADF;
	if (!s->timewait)
		return -EINVAL;
	timers_ready(e);
	entered = entered_ms(e, s);
	/* tw_entry_stamp stays; tw_ts_recent_stamp does not. */
	if (seen && !has(e, TCPWHY_F_TW_REUSE_DELAY))
		entered = e->now_ns / NS_PER_MS;
	return move_end(e, i, expires_ns, (uint32_t)entered) ? 0 : -ENOMEM;
}

/* ------------------------------------------------------------------------------------- reuse */

bool timewait_is_loopback(const struct tcpwhy_engine *e, const struct sock *tw)
{
	struct tcpwhy_addr local = ref_address(e, sock_local(tw)),
			   peer = ref_address(e, sock_peer(tw));

	return tw->device == LOOPBACK_DEVICE || address_is_loopback(&local) ||
	       address_is_loopback(&peer);
}

/* The first instant at which the TIME_WAIT is old enough. Before 6.14 the second of the last
 * timestamped segment counts (tw_ts_recent_stamp), which here is the one that made the mini-socket.
 */
static uint64_t old_enough_at(const struct tcpwhy_engine *e, const struct sock *tw)
{
	if (!has(e, TCPWHY_F_TW_REUSE_DELAY))
		return (entered_ms(e, tw) / 1000 + (has(e, TCPWHY_F_TW_REUSE_TICK) ? 1 : 2)) *
		       NS_PER_S;
	return (entered_ms(e, tw) + e->sysctls.tw_reuse_delay_ms + 1) * NS_PER_MS;
}

bool timewait_reuse_on(const struct tcpwhy_engine *e, const struct sock *tw)
{
	if (e->sysctls.tw_reuse != 2 || !has(e, TCPWHY_F_TW_REUSE_LOOPBACK))
		return e->sysctls.tw_reuse != 0;
	return timewait_is_loopback(e, tw);
}

/* After a change of the delay the ages are told anew. */
static void forget_ripe(struct tcpwhy_engine *e)
{
	for (uint32_t i = e->fifo_first; i != e->fifo_unripe; i = sock_at(e, i)->fifo.next)
		portset_ripen(e, i, false);
	e->fifo_unripe = e->fifo_first;
	e->ripe_delay_ms = e->sysctls.tw_reuse_delay_ms;
}

void timewait_ripen(struct tcpwhy_engine *e)
{
	timers_ready(e);
	if (e->ripe_delay_ms != e->sysctls.tw_reuse_delay_ms)
		forget_ripe(e);
	while (e->fifo_unripe != NIL && old_enough_at(e, sock_at(e, e->fifo_unripe)) <= e->now_ns) {
		portset_ripen(e, e->fifo_unripe, true);
		e->fifo_unripe = sock_at(e, e->fifo_unripe)->fifo.next;
	}
}

/* tcp_twsk_unique(): may a connect() take over the 4-tuple? With a bound port only timestamps
 * count. */
enum tcpwhy_tw_reason timewait_kept(const struct tcpwhy_engine *e, uint32_t i, bool port_was_bound,
				    uint32_t *missing)
{
	const struct sock *tw = sock_at(e, i);

	if (sock_timestamps(tw) == TCPWHY_NO)
		return TCPWHY_TW_NO_TIMESTAMPS;
	if (!port_was_bound) {
		if (tw->state == TCPWHY_FIN_WAIT2 && has(e, TCPWHY_F_TW_REUSE_NO_FW2))
			return TCPWHY_TW_FIN_WAIT2;
		if (e->sysctls.tw_reuse == 0)
			return TCPWHY_TW_REUSE_OFF;
		if (!timewait_reuse_on(e, tw))
			return TCPWHY_TW_LOOPBACK_ONLY;
		if (e->now_ns < old_enough_at(e, tw))
			return TCPWHY_TW_TOO_YOUNG;
	}
	if (sock_timestamps(tw) == TCPWHY_UNKNOWN)
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
