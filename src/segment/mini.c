/* SPDX-License-Identifier: MIT
 *
 * TIME_WAIT and an orphan's FIN_WAIT2: how they are left behind, and what they answer
 *
 * tcp_time_wait(), tcp_timewait_state_process(). The engine keeps who holds the 4-tuple until when;
 * here stand the numbers that a late segment is measured by.
 */
#include "segment/state.h"

/* ---------------------------------------------------------------------------------- the start */

uint64_t fin_time(const struct host *h, const struct tcb *t)
{
	uint64_t s = t->linger2_s > 0 ? (uint64_t)t->linger2_s
				      : tcpwhy_sysctls(h->engine)->fin_timeout_s;

	return s * NS_PER_S;
}

/* Until 5.16 a TIME_WAIT is counted by the timer that ends it. Ours runs an instant before the
 * engine's, while it is still to be told from one that something else has ended. */
static void watch_end(struct host *h, struct tcb *m)
{
	struct tcpwhy_owner o;

	must(tcpwhy_get(h->engine, m->sock, &o) == 0);
	m->tw_kill = o.expires_ns - now(h) <= 4 * NS_PER_S;
	const uint64_t ends_ns = wheel_runs(h, o.expires_ns);
	if (ends_ns != o.expires_ns)
		tcpwhy_timewait_end(h->engine, m->sock, ends_ns, false);
	if (!has(h, TCPWHY_P_TW_COUNTED_EARLY))
		timer_set_exact(h, &m->timer, tcb_number(m->sock) << 1, ends_ns - 1);
	m->timer.due_ns = o.expires_ns;
}

static void count_mini(struct host *h, const struct tcb *m)
{
	count(h, m->tw_kill ? COUNTER_TWKilled : COUNTER_TW);
}

void mini_timer(struct host *h, struct tcb *t)
{
	if (tcb_of(h, t->sock) == t)
		count_mini(h, t);
}

/* The time that it is to last, where that is not what the engine gave it. */
static void set_end(struct host *h, struct tcb *m, uint64_t least_ns)
{
	struct tcpwhy_owner o;

	must(tcpwhy_get(h->engine, m->sock, &o) == 0);
	if (m->state == TCPWHY_TIME_WAIT ? m->rto_ns != TIMEWAIT_NS
					 : o.expires_ns < now(h) + least_ns)
		tcpwhy_timewait_end(h->engine, m->sock, now(h) + least_ns, false);
	watch_end(h, m);
	if (has(h, TCPWHY_P_TW_COUNTED_EARLY))
		count_mini(h, m);
}

/* rto_ns of a mini-socket is tw_timeout: what TIME_WAIT lasts. */
static void mini_start(struct host *h, tcpwhy_sock s, const struct tcb *t)
{
	struct tcb *m = tcb_new(h, s);
	struct tcpwhy_owner o;

	if (!m || tcpwhy_get(h->engine, s, &o) < 0)
		return;
	m->mini = true;
	m->state = o.state;
	m->local = t->local;
	m->peer = t->peer;
	m->port = t->port;
	m->peer_port = t->peer_port;
	m->device = t->device;
	m->snd_una = m->snd_nxt = t->snd_nxt;
	m->rcv_nxt = t->rcv_nxt;
	m->rcv_wnd = receive_window(t);
	m->ts_offset = t->ts_offset;
	m->ts_recent = t->ts_recent;
	m->ts_recent_ns = t->ts_recent_ns;
	m->rto_ns = recycle_note(h, t) ? rto_and_half(t) : TIMEWAIT_NS;
	set_end(h, m, rto_and_half(t));
}

static void leave(struct host *h, struct tcb *t)
{
	retransmit_stop(h, t);
	ahead_forget(h, t);
	t->state = TCPWHY_CLOSE;
	t->shut = SHUT_RECEIVE | SHUT_SEND;
	if (t->orphan)
		t->sock = 0;
}

/* tcp_keepalive_timer() of an orphan: the wait that was too long for a mini-socket is over. */
static void end_wait(struct host *h, struct tcb *t)
{
	if (fin_time(h, t) <= TIMEWAIT_NS)
		send_active_reset(h, t);
	else
		count(h, COUNTER_TCPTimeWaitOverflow);
}

void mini_take(struct host *h, struct tcb *t)
{
	tcpwhy_sock s = tcb_tuple(h, t);
	struct tcb old = *t;

	if (s && s == t->sock) {
		t->timer_kind = HOST_TIMER_KEEPALIVE;
		timer_set(h, &t->timer, tcb_number(t->sock) << 1,
			  now(h) + fin_time(h, t) - TIMEWAIT_NS);
		return;
	}
	if (s)
		mini_start(h, s, &old);
	else if (old.timer_kind == HOST_TIMER_KEEPALIVE)
		end_wait(h, t);
	else
		count(h, COUNTER_TCPTimeWaitOverflow);
	leave(h, t);
}

/* ------------------------------------------------------------------------------- the segments */

/* Without a socket, options are read by the sysctl. */
static bool sees_timestamp(const struct host *h, const struct tcb *t, const struct segment *s)
{
	return t->ts_recent_ns && s->has_timestamp && is_timed(h);
}

/* tcp_paws_reject(): after a minute a RST is believed without. */
static bool paws_rejects(const struct host *h, const struct tcb *t, const struct segment *s)
{
	if (!sees_timestamp(h, t, s) || !paws_fails(h, t->ts_recent, t->ts_recent_ns, s->tsval, 0))
		return false;
	return !(s->flags & SEGMENT_RST) || now(h) - t->ts_recent_ns < PAWS_MSL_NS + NS_PER_S;
}

static void restart(struct host *h, struct tcb *t, uint64_t lasts_ns, bool seen)
{
	tcpwhy_timewait_end(h->engine, t->sock, now(h) + lasts_ns, seen);
	watch_end(h, t);
}

static void note_timestamp(struct host *h, struct tcb *t, const struct segment *s)
{
	if (sees_timestamp(h, t, s))
		ts_recent_set(h, t, s->tsval);
}

void mini_end(struct host *h, struct tcb *t)
{
	timer_clear(h, &t->timer);
	tcpwhy_reset_in(h->engine, t->sock);
	t->sock = 0;
}

static enum mini_answer end_mini(struct host *h, struct tcb *t, enum mini_answer answer)
{
	mini_end(h, t);
	return answer;
}

static enum mini_answer answer_limited(struct host *h, struct tcb *t, const struct segment *s,
				       enum counter skipped)
{
	return oow_limited_for(h, s, &t->oow_ns, skipped) ? MINI_NOTHING : MINI_ACK;
}

static enum mini_answer fin_wait2(struct host *h, struct tcb *t, const struct segment *s)
{
	uint32_t end = segment_end(s);

	if (paws_rejects(h, t, s) ||
	    !seq_in_window(s->seq, end, t->rcv_nxt, t->rcv_nxt + t->rcv_wnd))
		return answer_limited(h, t, s, COUNTER_TCPACKSkippedFinWait2);
	if (s->flags & SEGMENT_RST)
		return end_mini(h, t, MINI_NOTHING);
	if (s->flags & SEGMENT_SYN && !seq_before(s->seq, t->rcv_nxt))
		return end_mini(h, t, MINI_RST);
	if (!(s->flags & SEGMENT_ACK) || !seq_after(end, t->rcv_nxt) || end == s->seq)
		return MINI_NOTHING;
	if (!(s->flags & SEGMENT_FIN) || end != t->rcv_nxt + 1)
		return end_mini(h, t, MINI_RST);
	t->state = TCPWHY_TIME_WAIT;
	t->rcv_nxt = end;
	bool seen = sees_timestamp(h, t, s);
	note_timestamp(h, t, s);
	tcpwhy_fin_in(h->engine, t->sock);
	watch_end(h, t);
	if (recycle_note(h, t)) /* tcp_tw_remember_stamp() */
		restart(h, t, t->rto_ns, seen);
	return MINI_ACK;
}

static bool is_new_syn(const struct host *h, const struct tcb *t, const struct segment *s)
{
	if ((s->flags & (SEGMENT_SYN | SEGMENT_RST | SEGMENT_ACK)) != SEGMENT_SYN)
		return false;
	return seq_after(s->seq, t->rcv_nxt) ||
	       (sees_timestamp(h, t, s) && (int32_t)(t->ts_recent - s->tsval) < 0);
}

/* What is exactly next can only be a RST or a bare ACK. */
static enum mini_answer exact(struct host *h, struct tcb *t, const struct segment *s)
{
	bool reset = s->flags & SEGMENT_RST;

	if (reset && !h->sysctls.rfc1337)
		return end_mini(h, t, MINI_NOTHING);
	if (!reset || has(h, TCPWHY_P_TW_RST_RESTARTS))
		restart(h, t, TIMEWAIT_NS, sees_timestamp(h, t, s));
	note_timestamp(h, t, s);
	return MINI_NOTHING;
}

static enum mini_answer time_wait(struct host *h, struct tcb *t, const struct segment *s,
				  uint32_t *isn)
{
	bool old = paws_rejects(h, t, s), empty = s->seq == segment_end(s);

	if (!old && s->seq == t->rcv_nxt && (empty || s->flags & SEGMENT_RST))
		return exact(h, t, s);
	if (!old && is_new_syn(h, t, s)) {
		*isn = t->snd_nxt + 65535 + 2;
		*isn += !*isn;
		if (has(h, TCPWHY_P_TW_SYN_FORGETS))
			*isn = 0;
		return MINI_SYN;
	}
	if (old)
		count(h,
		      has(h, TCPWHY_P_TW_PAWS_COUNTED) ? COUNTER_PAWSTimewait : COUNTER_PAWSEstab);
	if (s->flags & SEGMENT_RST)
		return MINI_NOTHING;
	if (old || s->flags & SEGMENT_ACK)
		restart(h, t, TIMEWAIT_NS, false);
	return answer_limited(h, t, s, COUNTER_TCPACKSkippedTimeWait);
}

enum mini_answer mini_segment(struct host *h, struct tcb *t, const struct segment *s, uint32_t *isn)
{
	return t->state == TCPWHY_FIN_WAIT2 ? fin_wait2(h, t, s) : time_wait(h, t, s, isn);
}
