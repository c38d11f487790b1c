/* SPDX-License-Identifier: MIT
 *
 * A segment of a connection: its ACK, its data, its FIN
 *
 * tcp_rcv_established(), tcp_rcv_state_process(), tcp_ack(), tcp_data_queue(), tcp_fin().
 */
#include "segment/state.h"

void ts_recent_set(struct host *h, struct tcb *t, uint32_t tsval)
{
	t->ts_recent = tsval;
	t->ts_recent_ns = now(h) ? now(h) : 1;
}

/* ---------------------------------------------------------------------------------------- ACK */

enum ack { ACK_UNSENT, ACK_TOO_OLD, ACK_OLD, ACK_GOOD };

/* RFC 7323 4.3: only a segment that covers what was acknowledged last, and none older. */
static void take_timestamp(struct host *h, struct tcb *t, const struct segment *s)
{
	if (t->has_ts && s->has_timestamp && !seq_after(s->seq, t->rcv_wup) &&
	    !paws_fails(h, t->ts_recent, t->ts_recent_ns, s->tsval, 0))
		ts_recent_set(h, t, s->tsval);
}

/* The oldest segment is acknowledged as a whole: only then the timer starts anew
 * (tcp_clean_rtx_queue()). */
static void first_acknowledged(struct host *h, struct tcb *t, bool sampled)
{
	if (!t->rtt_known && !t->retransmitted_ns && t->state != TCPWHY_SYN_RECV)
		rtt_sample(h, t, now(h) - t->sent_ns);
	if (sampled)
		rtt_sampled(t);
	t->retransmitted_ns = 0;
	retransmit_start(h, t);
}

/* Which of the two an ACK answers that comes after a retransmission, only a timestamp can tell;
 * else the time-out stays as long as it has become (RFC 6298 5). */
static bool tells_round_trip(const struct tcb *t, const struct segment *s)
{
	return !t->retransmitted_ns || !seq_before(t->snd_una, t->again_end) ||
	       (t->has_ts && s->has_timestamp && s->tsecr);
}

static void take_window(struct tcb *t, const struct segment *s)
{
	t->snd_wl1 = s->seq;
	t->snd_wnd = s->window;
	if (s->window > t->max_window)
		t->max_window = s->window;
}

static void acknowledge(struct host *h, struct tcb *t, const struct segment *s)
{
	const uint32_t news = s->ack - t->snd_una;
	const bool was_idle = t->snd_una == t->snd_nxt, sampled = tells_round_trip(t, s);

	if (updates_window(h, t, s))
		take_window(t, s);
	t->snd_una = s->ack;
	t->soft_error = 0;
	t->acked_ns = now(h);
	t->probes = 0;
	if (was_idle)
		persist_answered(h, t);
	if (!news)
		return;
	t->bytes_acked += news;
	t->syn_out = false;
	t->retransmits = 0;
	if (flight_acknowledged(h, t))
		first_acknowledged(h, t, sampled);
}

/* RFC 5961 5.2: an ACK further back than a window is not a late one. */
static enum ack take_ack(struct host *h, struct tcb *t, const struct segment *s)
{
	uint32_t reach = t->max_window < t->bytes_acked ? t->max_window : t->bytes_acked;

	if (seq_before(s->ack, t->snd_una - reach))
		return ACK_TOO_OLD;
	if (seq_before(s->ack, t->snd_una)) {
		if (has(h, TCPWHY_P_OLD_ACK_STAMP))
			take_timestamp(h, t, s);
		return ACK_OLD;
	}
	if (seq_after(s->ack, t->snd_nxt))
		return ACK_UNSENT;
	take_timestamp(h, t, s);
	acknowledge(h, t, s);
	return ACK_GOOD;
}

/* --------------------------------------------------------------------------------------- data */

/* TIME_WAIT, or CLOSE where tcp_max_tw_buckets forbids it. */
static void enter_time_wait(struct host *h, struct tcb *t)
{
	retransmit_stop(h, t);
	mini_take(h, t);
}

/* tcp_fin() */
static void take_fin(struct host *h, struct tcb *t)
{
	t->shut |= SHUT_RECEIVE;
	t->done = t->fin_unread = true;
	t->ack_due = true;
	if (t->state != TCPWHY_ESTABLISHED && t->state != TCPWHY_SYN_RECV &&
	    t->state != TCPWHY_FIN_WAIT1 && t->state != TCPWHY_FIN_WAIT2)
		return; /* it was there before */
	must(tcpwhy_fin_in(h->engine, t->sock) == 0);
	if (t->overdue)
		must(tcpwhy_fin_acked(h->engine, t->sock, NULL) == 0);
	if (t->state == TCPWHY_FIN_WAIT1) {
		t->state = TCPWHY_CLOSING;
		send_ack(h, t);
	} else if (t->state == TCPWHY_FIN_WAIT2) {
		send_ack(h, t);
		enter_time_wait(h, t);
	} else {
		t->state = TCPWHY_CLOSE_WAIT;
	}
	ahead_forget(h, t); /* after the ACK, which still shows what waited */
	t->sacks_used = 0;
}

static void take_in_order(struct host *h, struct tcb *t, const struct segment *s)
{
	uint32_t fin = s->flags & SEGMENT_FIN ? 1 : 0, end = segment_end(s) - fin;

	t->unread += end - t->rcv_nxt;
	t->rcv_nxt = end;
	t->ack_due = true;
	if (fin || ahead_join(h, t)) {
		t->rcv_nxt++;
		take_fin(h, t);
	}
}

/* tcp_data_queue(). Whatever becomes of it, data is answered with an ACK. */
static void take_data(struct host *h, struct tcb *t, const struct segment *s)
{
	uint32_t end = segment_end(s), window = receive_window(t);

	if (s->seq == end)
		return;
	t->ack_due = true;
	if (!seq_after(end, t->rcv_nxt))
		return;
	if (!window && s->seq == t->rcv_nxt && !s->length) {
		take_in_order(h, t, s); /* a bare FIN needs no room */
	} else if (!window) {
		if (s->seq == t->rcv_nxt)
			count(h, COUNTER_TCPZeroWindowDrop);
	} else if (!seq_after(s->seq, t->rcv_nxt)) {
		take_in_order(h, t, s);
	} else if (seq_before(s->seq, t->rcv_nxt + window)) {
		ahead_add(h, t, s);
	} else if (has_feature(h, TCPWHY_F_BEYOND_EDGE_COUNTED)) {
		count(h, COUNTER_BeyondWindow);
	}
}

/* ----------------------------------------------------------------------------------- closing */

static bool all_acknowledged(const struct tcb *t)
{
	return t->snd_una == t->write_seq;
}

/* Data that nobody will read: what comes after close() beyond what is known. */
static bool is_new_data(const struct tcb *t, const struct segment *s)
{
	uint32_t end = segment_end(s);

	return end != s->seq && seq_after(end - (s->flags & SEGMENT_FIN ? 1 : 0), t->rcv_nxt);
}

static void abort_on_data(struct host *h, struct tcb *t, const struct segment *s)
{
	count(h, COUNTER_TCPAbortOnData);
	tcb_done(h, t, 0);
	send_reset_for(h, s);
}

/* An old FIN that comes along with the ACK keeps the orphan a full socket, which in the end resets:
 * the kernel fears to lose that FIN. */
static bool stays_full(struct host *h, struct tcb *t, const struct segment *s)
{
	if (!t->orphan || !(s->flags & SEGMENT_FIN) || fin_time(h, t) > TIMEWAIT_NS)
		return false;
	t->overdue = true;
	t->timer_kind = HOST_TIMER_KEEPALIVE;
	timer_set(h, &t->timer, tcb_number(t->sock) << 1, now(h) + fin_time(h, t));
	return true;
}

/* Our FIN is acknowledged in FIN_WAIT1. False: the connection is gone. */
static bool enter_fin_wait2(struct host *h, struct tcb *t, const struct segment *s)
{
	bool fin_next = s->flags & SEGMENT_FIN && !seq_after(s->seq, t->rcv_nxt) &&
			seq_after(segment_end(s), t->rcv_nxt);

	if (t->orphan && (t->linger2_s < 0 || is_new_data(t, s))) {
		abort_on_data(h, t, s);
		return false;
	}
	/* A FIN that comes along leads to TIME_WAIT without a mini-socket between. */
	if (fin_next && t->orphan) {
		t->state = TCPWHY_CLOSING;
		must(tcpwhy_fin_in(h->engine, t->sock) == 0);
		t->rcv_nxt = segment_end(s);
		send_ack(h, t);
	} else {
		t->state = TCPWHY_FIN_WAIT2;
		if (stays_full(h, t, s))
			return true;
	}
	must(tcpwhy_fin_acked(h->engine, t->sock, NULL) == 0);
	if (!t->orphan)
		return true;
	enter_time_wait(h, t);
	return t->state == TCPWHY_FIN_WAIT2; /* beyond sixty seconds it stays a full socket */
}

/* What an acceptable ACK does to the state. False: there is nothing more to do. */
static bool step_by_ack(struct host *h, struct tcb *t, const struct segment *s)
{
	if (t->state == TCPWHY_SYN_RECV) {
		rtt_settle(h, t, s);
		t->snd_wnd = s->window;
		t->snd_wl1 = s->seq;
		t->state = TCPWHY_ESTABLISHED;
		if (t->shut & SHUT_SEND)
			end_sending(h, t);
		return true;
	}
	if (!all_acknowledged(t))
		return true;
	if (t->state == TCPWHY_FIN_WAIT1)
		return enter_fin_wait2(h, t, s);
	if (t->state != TCPWHY_CLOSING && t->state != TCPWHY_LAST_ACK)
		return true;
	must(tcpwhy_fin_acked(h->engine, t->sock, NULL) == 0);
	if (t->state == TCPWHY_CLOSING)
		enter_time_wait(h, t);
	else
		tcb_done(h, t, 0);
	return false;
}

/* False: discarded. */
static bool check_ack(struct host *h, struct tcb *t, const struct segment *s)
{
	enum ack ack = take_ack(h, t, s);

	if (ack == ACK_GOOD)
		return true;
	if (t->state == TCPWHY_SYN_RECV) {
		send_reset_for(h, s);
		return false;
	}
	if (t->state == TCPWHY_ESTABLISHED) {
		if (ack == ACK_TOO_OLD ||
		    (ack == ACK_UNSENT && has(h, TCPWHY_P_UNSENT_ACK_ANSWERED)))
			challenge_ack(h, t);
		return ack == ACK_OLD;
	}
	if (!has(h, TCPWHY_P_CLOSING_ACK_CHECKED) ||
	    (ack == ACK_OLD && has(h, TCPWHY_P_OLD_ACK_CLOSING)))
		return true;
	challenge_ack(h, t);
	return false;
}

/* True: the data of the segment is looked at. */
static bool wants_data(struct host *h, struct tcb *t, const struct segment *s)
{
	switch ((enum tcpwhy_state)t->state) {
	case TCPWHY_CLOSE_WAIT:
	case TCPWHY_CLOSING:
	case TCPWHY_LAST_ACK:
		if (!seq_before(s->seq, t->rcv_nxt))
			return false;
		break;
	case TCPWHY_FIN_WAIT1:
	case TCPWHY_FIN_WAIT2:
	case TCPWHY_ESTABLISHED:
	case TCPWHY_SYN_SENT:
	case TCPWHY_SYN_RECV:
	case TCPWHY_TIME_WAIT:
	case TCPWHY_CLOSE:
	case TCPWHY_LISTEN:
	case TCPWHY_BOUND:
		break;
	}
	if (t->state == TCPWHY_ESTABLISHED || !(t->shut & SHUT_RECEIVE) || !is_new_data(t, s))
		return true;
	count(h, COUNTER_TCPAbortOnData);
	tcb_reset(h, t);
	send_reset_for(h, s);
	return false;
}

void tcb_segment(struct host *h, struct tcb *t, const struct segment *s)
{
	bool was_established = t->state == TCPWHY_ESTABLISHED;
	uint8_t wanted = SEGMENT_ACK | SEGMENT_RST;

	if (has(h, TCPWHY_P_SYN_CHALLENGED))
		wanted |= SEGMENT_SYN;
	if (t->state == TCPWHY_SYN_SENT) {
		synsent_segment(h, t, s);
		return;
	}
	if (!(s->flags & wanted) || !validate(h, t, s) || !check_ack(h, t, s))
		return;
	if (!was_established && !step_by_ack(h, t, s))
		return;
	if (wants_data(h, t, s))
		take_data(h, t, s);
	if (t->state == TCPWHY_CLOSE || t->mini || !t->sock)
		return;
	send_waiting(h, t);
	if (t->ack_due)
		send_ack(h, t);
}
