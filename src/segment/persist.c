/* SPDX-License-Identifier: MIT
 *
 * The persist timer: what waits for the peer's window while nothing is under way
 *
 * tcp_check_probe_timer(), tcp_ack_probe(), tcp_probe_timer(), tcp_send_probe0(). A probe is an ACK
 * with a number that was acknowledged long ago: whoever lives must answer it, and shows its window.
 * A process may wait for that forever if the peer answers; an orphan may not.
 */
#include <errno.h>

#include "segment/state.h"

static bool is_needed(const struct tcb *t)
{
	return t->snd_una == t->snd_nxt && t->snd_nxt != t->write_seq;
}

/* tcp_probe0_base(). */
static uint64_t base_ns(const struct tcb *t)
{
	return t->rto_ns > RTO_MIN_NS ? t->rto_ns : RTO_MIN_NS;
}

static void probe_in(struct host *h, struct tcb *t, uint64_t ns)
{
	t->timer_kind = HOST_TIMER_PROBE;
	timer_set(h, &t->timer, tcb_number(t->sock) << 1, now(h) + ns);
}

void persist_start(struct host *h, struct tcb *t)
{
	if (is_needed(t) && t->timer_kind == HOST_TIMER_NONE)
		probe_in(h, t, base_ns(t));
}

/* An answer that does not open the window puts the next probe off; the time between two goes on
 * growing. */
void persist_answered(struct host *h, struct tcb *t)
{
	if (!is_needed(t))
		return;
	if (seq_after(t->write_seq, t->snd_una + t->snd_wnd)) {
		probe_in(h, t, time_backed_off(base_ns(t), t->backoff));
		return;
	}
	t->backoff = 0;
	if (t->timer_kind == HOST_TIMER_PROBE)
		retransmit_stop(h, t);
}

/* RFC 1122 4.2.2.17: as long as the peer answers a process has patience, for an answer takes the
 * count back. An orphan's ends when it waits two minutes for each answer, whatever comes. */
static bool gives_up(const struct host *h, const struct tcb *t)
{
	const bool alive = time_backed_off(t->rto_ns, t->backoff) < RTO_MAX_NS;
	uint32_t most = h->sysctls.retries2;

	if (t->orphan) {
		most = orphan_retries(h, t, alive);
		if (!alive && t->backoff >= most && has_feature(h, TCPWHY_F_ORPHAN_PROBES_END))
			return true;
	}
	return has_feature(h, TCPWHY_F_PROBES_EXACT) ? t->probes >= most : t->probes > most;
}

void persist_timer(struct host *h, struct tcb *t)
{
	if (gives_up(h, t)) {
		count(h, COUNTER_TCPAbortOnTimeout);
		tcb_done(h, t, t->soft_error ? t->soft_error : ETIMEDOUT);
		return;
	}
	t->timer_kind = HOST_TIMER_NONE;
	if (send_what_fits(h, t)) {
		t->probes = t->backoff = 0;
		return;
	}
	send_probe(h, t);
	t->probes++;
	if (t->backoff < h->sysctls.retries2)
		t->backoff++;
	probe_in(h, t, time_backed_off(base_ns(t), t->backoff));
}
