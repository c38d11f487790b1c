/* SPDX-License-Identifier: MIT
 *
 * Whether a segment may touch a connection: PAWS, sequence, RST, SYN, in this order
 *
 * tcp_validate_incoming(), tcp_sequence(), tcp_send_challenge_ack(), tcp_oow_rate_limited().
 * RFC 5961, RFC 7323 5.
 */
#include "segment/state.h"

bool seq_in_window(uint32_t seq, uint32_t end, uint32_t from, uint32_t to)
{
	if (seq == from)
		return true;
	if (seq_after(end, from) && seq_before(seq, to))
		return true;
	return seq == to && seq == end;
}

/* ------------------------------------------------------------------------------ rate limits */

bool oow_limited(struct host *h, uint64_t *last_ns, enum counter skipped)
{
	uint64_t limit = h->sysctls.invalid_ratelimit_ms * NS_PER_MS, t = now(h);

	if (!has(h, TCPWHY_P_INVALID_RATELIMIT))
		return false;
	if (*last_ns && t - *last_ns < limit) {
		count(h, skipped);
		return true;
	}
	*last_ns = t ? t : 1;
	return false;
}

bool oow_limited_for(struct host *h, const struct segment *s, uint64_t *last_ns,
		     enum counter skipped)
{
	if (segment_end(s) != s->seq && !(s->flags & SEGMENT_SYN))
		return false;
	return oow_limited(h, last_ns, skipped);
}

/* net.ipv4.tcp_challenge_ack_limit: from 4.7 on the number of a second is drawn, so that it tells
 * nobody off the path how many were spent. */
static bool challenge_left(struct host *h)
{
	uint32_t limit = h->sysctls.challenge_ack_limit;
	uint64_t second = now(h) / NS_PER_S + 1;

	if (has(h, TCPWHY_P_CHALLENGE_UNLIMITED) && limit >= INT32_MAX)
		return true;
	if (h->challenge_second != second) {
		h->challenge_second = second;
		h->challenges_left = limit;
		if (has(h, TCPWHY_P_CHALLENGE_RANDOM) && limit)
			h->challenges_left =
				limit / 2 + limit % 2 + h->config.draw(h->config.ctx, limit);
	}
	return h->challenges_left && h->challenges_left--;
}

void challenge_ack(struct host *h, struct tcb *t)
{
	if (oow_limited(h, &t->oow_ns, COUNTER_TCPACKSkippedChallenge) || !challenge_left(h))
		return;
	count(h, COUNTER_TCPChallengeACK);
	send_ack(h, t);
}

/* ------------------------------------------------------------------------------------- PAWS */

bool paws_fails(const struct host *h, uint32_t ts_recent, uint64_t ts_recent_ns, uint32_t tsval,
		uint32_t window)
{
	if ((int32_t)(ts_recent - tsval) <= (int32_t)window)
		return false;
	if (now(h) - ts_recent_ns >= PAWS_IDLE_NS)
		return false;
	return ts_recent != 0; /* 0 was never sent as a real one */
}

/* tcp_may_update_window(): newer by its ACK or its number, or else larger (RFC 9293 3.10.7.4). */
bool updates_window(const struct host *h, const struct tcb *t, const struct segment *s)
{
	const bool closes = !s->window && has_feature(h, TCPWHY_F_ZERO_WINDOW_TAKEN);

	return seq_after(s->ack, t->snd_una) || seq_after(s->seq, t->snd_wl1) ||
	       (s->seq == t->snd_wl1 && (s->window > t->snd_wnd || closes));
}

/* tcp_disordered_ack(): a bare ACK that brings nothing new may come late by as much as a
 * retransmission takes. */
static bool is_disordered_ack(const struct host *h, const struct tcb *t, const struct segment *s)
{
	uint64_t late_ms = t->ts_recent - s->tsval;

	return s->flags & SEGMENT_ACK && s->seq == segment_end(s) && s->seq == t->rcv_nxt &&
	       s->ack == t->snd_una && !updates_window(h, t, s) &&
	       late_ms <= t->rto_ns * 12 / 10 / NS_PER_MS;
}

static void send_duplicate_ack(struct host *h, struct tcb *t, const struct segment *s,
			       enum counter skipped)
{
	if (!oow_limited_for(h, s, &t->oow_ns, skipped))
		send_ack(h, t);
}

static void challenge_syn(struct host *h, struct tcb *t)
{
	count(h, COUNTER_TCPSYNChallenge);
	challenge_ack(h, t);
}

/* True: go on. A RST goes on even if it is old. */
static bool check_paws(struct host *h, struct tcb *t, const struct segment *s)
{
	bool old = t->has_ts && s->has_timestamp &&
		   paws_fails(h, t->ts_recent, t->ts_recent_ns, s->tsval, 1) &&
		   !is_disordered_ack(h, t, s);

	if (!old || s->flags & SEGMENT_RST)
		return true;
	if (s->flags & SEGMENT_SYN && has(h, TCPWHY_P_PAWS_SYN_CHALLENGED)) {
		challenge_syn(h, t);
		return false;
	}
	if (has(h, TCPWHY_P_PAWS_OLD_ACK) && s->flags & SEGMENT_ACK && s->seq == segment_end(s) &&
	    seq_before(s->seq, t->rcv_nxt)) {
		count(h, COUNTER_PAWSOldAck);
		return false;
	}
	count(h, COUNTER_PAWSEstab);
	send_duplicate_ack(h, t, s, COUNTER_TCPACKSkippedPAWS);
	return false;
}

/* --------------------------------------------------------------------------- sequence and RST */

/* Whether something of it lies beyond the window; a FIN needs no room. */
static bool is_beyond(const struct tcb *t, const struct segment *s)
{
	uint32_t end = segment_end(s) - (s->flags & SEGMENT_FIN ? 1 : 0);

	return seq_after(end, t->rcv_nxt + receive_window(t));
}

/* The left edge is what was acknowledged last, so numbers received but not acknowledged yet are
 * still in the window. What begins in it and ends beyond is taken where nothing waits to be read.
 */
static bool check_sequence(const struct host *h, const struct tcb *t, const struct segment *s)
{
	if (seq_before(segment_end(s), t->rcv_wup) ||
	    seq_after(s->seq, t->rcv_nxt + receive_window(t)))
		return false;
	return !has(h, TCPWHY_P_BEYOND_WINDOW) || !is_beyond(t, s) ||
	       (!t->unread && !t->fin_unread);
}

/* tcp_reset_check(): a peer that forgot its FIN resets with the number before it. */
static bool is_reset_after_fin(const struct host *h, const struct tcb *t, const struct segment *s)
{
	return has(h, TCPWHY_P_RST_AFTER_FIN) && s->flags & SEGMENT_RST &&
	       s->seq == t->rcv_nxt - 1 &&
	       (t->state == TCPWHY_CLOSE_WAIT || t->state == TCPWHY_LAST_ACK ||
		t->state == TCPWHY_CLOSING);
}

static bool is_exact_reset(const struct host *h, const struct tcb *t, const struct segment *s)
{
	if (s->seq == t->rcv_nxt || is_reset_after_fin(h, t, s))
		return true;
	return has(h, TCPWHY_P_RST_SACK_EDGE) && t->sacks_used && s->seq == sack_edge(t);
}

static void out_of_window(struct host *h, struct tcb *t, const struct segment *s)
{
	if (s->flags & SEGMENT_RST) {
		if (is_reset_after_fin(h, t, s))
			tcb_reset(h, t);
	} else if (s->flags & SEGMENT_SYN) {
		challenge_syn(h, t);
	} else {
		if (has(h, TCPWHY_P_BEYOND_WINDOW) && is_beyond(t, s) &&
		    !seq_before(segment_end(s), t->rcv_wup))
			count(h, COUNTER_BeyondWindow);
		send_duplicate_ack(h, t, s, COUNTER_TCPACKSkippedSeq);
	}
}

/* The other's SYN-ACK when both had sent a SYN. */
static bool is_crossed_syn_ack(const struct tcb *t, const struct segment *s)
{
	return t->state == TCPWHY_SYN_RECV && !t->orphan && !t->pending && s->flags & SEGMENT_ACK &&
	       segment_end(s) == s->seq + 1 && t->rcv_nxt == s->seq + 1 && s->ack == t->snd_nxt;
}

bool validate(struct host *h, struct tcb *t, const struct segment *s)
{
	if (!check_paws(h, t, s))
		return false;
	if (!check_sequence(h, t, s)) {
		out_of_window(h, t, s);
		return false;
	}
	if (s->flags & SEGMENT_RST) {
		if (is_exact_reset(h, t, s))
			tcb_reset(h, t);
		else
			challenge_ack(h, t);
		return false;
	}
	if (s->flags & SEGMENT_SYN &&
	    !(has(h, TCPWHY_P_CROSSED_SYN_ACK_PASSES) && is_crossed_syn_ack(t, s))) {
		challenge_syn(h, t);
		return false;
	}
	return true;
}
