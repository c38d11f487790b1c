/* SPDX-License-Identifier: MIT
 *
 * What happens by itself: one heap of deadlines, and the retransmission of a connection
 *
 * tcp_retransmit_timer(), tcp_write_timeout(), tcp_rtt_estimator(). One formula for the time-out:
 * the first round trip plus twice itself, or plus 200 ms if that is more; doubled at each
 * retransmission.
 */
#include <errno.h>

#include "segment/state.h"

/* ---------------------------------------------------------------------------------- the heap
 *
 * Most timers are cleared, or set to a later time, long before they are due, and each is far away
 * in memory. So the heap has the times itself, and an entry that no longer holds stays until it
 * comes to the first place; only there each entry is its timer's and has its time.
 */

static struct timer *timer_of(const struct host *h, uint32_t id)
{
	return id & 1 ? &h->requests[id >> 1].timer : &tcb_at(h, id >> 1)->timer;
}

static bool sooner(const struct deadline *a, const struct deadline *b)
{
	return a->when_ns != b->when_ns ? a->when_ns < b->when_ns : a->id < b->id;
}

static void sift_up(struct host *h, struct deadline d)
{
	uint32_t at = h->heap_used++;

	while (at && sooner(&d, &h->heap[(at - 1) / 2])) {
		h->heap[at] = h->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	h->heap[at] = d;
}

/* From the first place. */
static void sift_down(struct host *h, struct deadline d)
{
	uint32_t at = 0, child;

	while ((child = 2 * at + 1) < h->heap_used) {
		if (child + 1 < h->heap_used && sooner(&h->heap[child + 1], &h->heap[child]))
			child++;
		if (!sooner(&h->heap[child], &d))
			break;
		h->heap[at] = h->heap[child];
		at = child;
	}
	h->heap[at] = d;
}

static void drop_first(struct host *h)
{
	struct deadline last = h->heap[--h->heap_used];

	if (h->heap_used)
		sift_down(h, last);
}

/* False: its timer was cleared, set anew, or is there a second time. */
static bool is_due(const struct timer *timer, const struct deadline *d)
{
	return timer->when_ns == d->when_ns;
}

/* Until the first one holds. */
static void settle(struct host *h)
{
	while (h->heap_used) {
		struct deadline d = h->heap[0];
		struct timer *timer = timer_of(h, d.id);
		bool is_own = timer->queued_ns == d.when_ns;
		if (is_own && is_due(timer, &d))
			return;
		if (is_own)
			timer->queued_ns = 0;
		if (is_own && timer->when_ns) {
			d.when_ns = timer->queued_ns = timer->when_ns;
			sift_down(h, d);
		} else {
			drop_first(h);
		}
	}
}

static bool is_first(const struct host *h, const struct timer *timer)
{
	return h->heap_used && timer_of(h, h->heap[0].id) == timer;
}

bool timer_set(struct host *h, struct timer *timer, uint32_t id, uint64_t due_ns)
{
	if (!timer_set_exact(h, timer, id, wheel_runs(h, due_ns)))
		return false;
	if (due_ns >= now(h))
		timer->due_ns = due_ns;
	return true;
}

bool timer_set_exact(struct host *h, struct timer *timer, uint32_t id, uint64_t when_ns)
{
	bool was_first = is_first(h, timer);

	/* At the end of time a sum wraps: it then never comes. */
	timer->when_ns = timer->due_ns = when_ns < now(h) ? NEVER - 1 : when_ns;
	if (!timer->queued_ns || timer->queued_ns > timer->when_ns) {
		if (!memory_grow(&h->memory, &h->heap, &h->heap_size, h->heap_used + 1,
				 sizeof(*h->heap))) {
			timer_clear(h, timer);
			return false;
		}
		timer->queued_ns = timer->when_ns;
		sift_up(h, (struct deadline){timer->when_ns, id});
	}
	if (was_first)
		settle(h);
	return true;
}

void timer_clear(struct host *h, struct timer *timer)
{
	if (!timer->when_ns)
		return;
	timer->when_ns = 0;
	if (is_first(h, timer))
		settle(h);
}

/* ---------------------------------------------------------------------------- retransmission */

void rtt_sample(const struct host *h, struct tcb *t, uint64_t rtt_ns)
{
	const uint64_t most = rtt_ns < RTO_MAX_NS ? rtt_ns : RTO_MAX_NS;
	const uint64_t spread = 2 * most > RTO_MIN_NS ? 2 * most : RTO_MIN_NS;
	const uint64_t rto = wheel_whole_ticks(h, most + spread);

	t->rtt_known = true;
	t->sampled_rto_ns = rto < RTO_MAX_NS ? rto : RTO_MAX_NS;
	rtt_sampled(t);
}

void rtt_sampled(struct tcb *t)
{
	t->rto_ns = t->sampled_rto_ns;
	t->backoff = 0;
}

/* Whether the answer belongs to the SYN or to its retransmission, only a timestamp can tell;
 * without one three seconds are waited (RFC 6298 5.7). */
void rtt_settle(struct host *h, struct tcb *t, const struct segment *s)
{
	if (t->rtt_known)
		return;
	if (!t->syn_again)
		rtt_sample(h, t, now(h) - t->sent_ns);
	else if (t->has_ts && s->has_timestamp && s->tsecr)
		rtt_sample(h, t, (clock_ms(h) + t->ts_offset - s->tsecr) * NS_PER_MS);
	else
		t->rto_ns = t->sampled_rto_ns = RTO_FALLBACK_NS;
}

uint64_t rto_and_half(const struct tcb *t)
{
	return (t->rto_ns << 2) - (t->rto_ns >> 1);
}

void retransmit_stop(struct host *h, struct tcb *t)
{
	timer_clear(h, &t->timer);
	t->timer_kind = HOST_TIMER_NONE;
	t->retransmits = 0;
}

uint64_t time_backed_off(uint64_t ns, uint32_t times)
{
	while (times-- && ns < RTO_MAX_NS)
		ns *= 2;
	return ns < RTO_MAX_NS ? ns : RTO_MAX_NS;
}

/* tcp_syn_linear_timeouts: the first ones do not double. */
static uint32_t linear_timeouts(const struct host *h, const struct tcb *t)
{
	return t->state == TCPWHY_SYN_SENT && has(h, TCPWHY_P_SYN_LINEAR)
		       ? h->sysctls.syn_linear_timeouts
		       : 0;
}

void retransmit_start(struct host *h, struct tcb *t)
{
	if (t->snd_una == t->snd_nxt) {
		retransmit_stop(h, t);
		return;
	}
	t->timer_kind = HOST_TIMER_RETRANSMIT;
	timer_set(h, &t->timer, tcb_number(t->sock) << 1, now(h) + t->rto_ns);
}

/* tcp_model_timeout(): how long so many retries take, the first one after that time. */
static uint64_t time_of_retries(uint64_t first_ns, uint32_t retries)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i <= retries; i++)
		sum += time_backed_off(first_ns, i);
	return sum;
}

/* retransmits_timed_out(): a number of retries stands for the time that they would take from 200 ms
 * on, counted from the first one, whatever the round trip is. */
static bool out_of_time(const struct host *h, const struct tcb *t, uint32_t retries)
{
	return t->retransmits &&
	       now(h) - t->retransmitted_ns >= time_of_retries(RTO_MIN_NS, retries);
}

/* Of SYNs the time counts, too, from the first one on: those that do not double let more of them
 * out, but not beyond when the doubled ones would have ended. */
static bool syns_are_over(const struct host *h, const struct tcb *t)
{
	const uint32_t retries = h->sysctls.syn_retries;

	if (t->retransmits >= retries + linear_timeouts(h, t))
		return true;
	return t->state == TCPWHY_SYN_SENT && t->retransmits &&
	       now(h) - t->sent_ns >= time_of_retries(RTO_INIT_NS, retries);
}

/* Without a sysctl an orphan has eight, or none once it waits two minutes for each. */
uint32_t orphan_retries(const struct host *h, const struct tcb *t, bool alive)
{
	const uint32_t retries = h->sysctls.orphan_retries;

	if (alive)
		return retries ? retries : 8;
	return t->soft_error ? 0 : retries;
}

static bool is_opening(const struct tcb *t)
{
	return t->state == TCPWHY_SYN_SENT || t->state == TCPWHY_SYN_RECV;
}

/* tcp_write_timeout() */
static bool gives_up(const struct host *h, const struct tcb *t)
{
	if (is_opening(t))
		return syns_are_over(h, t);
	if (!t->orphan)
		return out_of_time(h, t, h->sysctls.retries2);
	return out_of_time(h, t, orphan_retries(h, t, t->rto_ns < RTO_MAX_NS));
}

static void abort_on_timeout(struct host *h, struct tcb *t)
{
	count(h, COUNTER_TCPAbortOnTimeout);
	tcb_done(h, t, t->soft_error ? t->soft_error : ETIMEDOUT);
}

/* The peer took its window back while something was under way. What is sent again is a probe then,
 * and ends the connection only if nothing at all is heard for four minutes
 * (tcp_rtx_probe0_timed_out()). */
static bool probes_by_retransmission(const struct tcb *t)
{
	return !t->snd_wnd && !t->orphan && !is_opening(t);
}

static bool is_silent(const struct host *h, const struct tcb *t)
{
	return t->retransmitted_ns && now(h) - t->acked_ns > 2 * RTO_MAX_NS &&
	       now(h) - t->retransmitted_ns > 2 * RTO_MAX_NS;
}

static void send_again(struct host *h, struct tcb *t)
{
	if (!t->retransmitted_ns)
		t->retransmitted_ns = now(h);
	send_first_again(h, t);
}

static void retransmit_timer(struct host *h, struct tcb *t)
{
	const bool probes = probes_by_retransmission(t);

	if (!probes)
		count(h, COUNTER_TCPTimeouts);
	if (probes ? is_silent(h, t) : gives_up(h, t)) {
		abort_on_timeout(h, t);
		return;
	}
	send_again(h, t);
	t->retransmits += !probes;
	if (probes || t->retransmits > linear_timeouts(h, t)) {
		t->backoff++;
		t->rto_ns = time_backed_off(t->rto_ns, 1);
	}
	retransmit_start(h, t);
}

void retransmit_revert(struct host *h, struct tcb *t)
{
	if (t->timer_kind != HOST_TIMER_RETRANSMIT || !t->retransmits || !t->backoff)
		return;
	const uint64_t sent_ns = t->timer.due_ns - t->rto_ns;
	t->rto_ns = time_backed_off(t->sampled_rto_ns, --t->backoff);
	const uint64_t due_ns = sent_ns + t->rto_ns;
	if (due_ns > now(h))
		timer_set(h, &t->timer, tcb_number(t->sock) << 1, due_ns);
	else
		retransmit_timer(h, t);
}

/* Beyond sixty seconds of FIN_WAIT2 the engine leaves a mini-socket for the rest. */
static void tcb_timer(struct host *h, struct tcb *t)
{
	tcpwhy_sock sock = t->sock;

	if (t->mini) {
		mini_timer(h, t);
		return;
	}
	if (t->overdue) {
		send_active_reset(h, t);
		tcb_done(h, t, 0);
	} else if (t->timer_kind == HOST_TIMER_KEEPALIVE)
		mini_take(h, t);
	else if (t->timer_kind == HOST_TIMER_PROBE)
		persist_timer(h, t);
	else
		retransmit_timer(h, t);
	ready(h, sock);
}

/* --------------------------------------------------------------------------------- the clock */

uint64_t host_deadline(const struct host *h)
{
	uint64_t mine = h->heap_used ? h->heap[0].when_ns : NEVER;
	uint64_t engine = tcpwhy_next_end(h->engine);

	return mine < engine ? mine : engine;
}

static void fire(struct host *h, uint32_t id)
{
	timer_clear(h, timer_of(h, id));
	if (id & 1)
		request_timer(h, id >> 1);
	else
		tcb_timer(h, tcb_at(h, id >> 1));
}

/* The engine goes first: what ends at an instant is gone when a segment of that instant leaves. */
void host_advance(struct host *h, uint64_t now_ns)
{
	while (h->heap_used && h->heap[0].when_ns <= now_ns) {
		struct deadline d = h->heap[0];
		tcpwhy_advance(h->engine, d.when_ns);
		fire(h, d.id);
	}
	tcpwhy_advance(h->engine, now_ns);
}
