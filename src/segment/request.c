/* SPDX-License-Identifier: MIT
 *
 * A segment for a request (SYN_RECV at a listener), and the SYN-ACK that is sent again
 *
 * tcp_check_req(), reqsk_timer_handler(), inet_rtx_syn_ack().
 */
#include "segment/state.h"

/* Without a socket, options are read by the sysctl. */
static bool sees_timestamp(const struct host *h, const struct request *r, const struct segment *s)
{
	return r->has_ts && s->has_timestamp && is_timed(h);
}

/* The echo must be of a SYN-ACK that was sent. */
static bool echoes_another(const struct host *h, const struct request *r, const struct segment *s)
{
	return has(h, TCPWHY_P_SYN_RECV_TSECR) && sees_timestamp(h, r, s) && s->tsecr &&
	       (seq_before(s->tsecr, r->first_tsval) || seq_after(s->tsecr, r->last_tsval));
}

static void resend(struct host *h, struct request *r)
{
	count(h, COUNTER_RetransSegs);
	count(h, COUNTER_TCPSynRetrans);
	r->retransmits++;
	send_syn_ack(h, r);
}

static uint64_t request_timeout(const struct request *r)
{
	uint64_t rto = RTO_INIT_NS;

	for (uint32_t i = 0; i < r->timeouts && rto < RTO_MAX_NS; i++)
		rto *= 2;
	return rto < RTO_MAX_NS ? rto : RTO_MAX_NS;
}

static void rearm(struct host *h, uint32_t i)
{
	struct request *r = &h->requests[i];

	timer_set(h, &r->timer, i << 1 | 1, now(h) + request_timeout(r));
}

/* The same SYN again. */
static void again(struct host *h, uint32_t i, const struct segment *s)
{
	struct request *r = &h->requests[i];

	if (oow_limited_for(h, s, &r->oow_ns, COUNTER_TCPACKSkippedSynRecv))
		return;
	resend(h, r);
	rearm(h, i);
}

static void out_of_window(struct host *h, struct request *r, const struct segment *s, bool old,
			  bool foreign)
{
	if (!(s->flags & SEGMENT_RST) &&
	    !oow_limited_for(h, s, &r->oow_ns, COUNTER_TCPACKSkippedSynRecv))
		send_request_ack(h, r);
	if (old)
		count(h, COUNTER_PAWSEstab);
	else if (foreign)
		count(h, COUNTER_TSEcrRejected);
}

static void embryonic_reset(struct host *h, uint32_t i, const struct segment *s)
{
	count(h, COUNTER_EmbryonicRsts);
	send_reset_for(h, s);
	request_drop(h, i);
}

static void challenge(struct host *h, struct request *r)
{
	if (oow_limited(h, &r->oow_ns, COUNTER_TCPACKSkippedChallenge))
		return;
	count(h, COUNTER_TCPChallengeACK);
	send_request_ack(h, r);
}

/* The child has the timestamp of the segment that made it, even where the SYN had offered none: its
 * TIME_WAIT will show it. */
static void inherit_timestamp(struct host *h, struct tcb *child, const struct request *r,
			      const struct segment *s)
{
	if (!s->has_timestamp || !is_timed(h) || seq_after(s->seq, r->rcv_isn + 1))
		return;
	if (r->has_ts)
		ts_recent_set(h, child, s->tsval);
	else
		child->ts_recent = s->tsval;
}

/* The last ACK of the handshake. */
static void complete(struct host *h, uint32_t i, const struct segment *s)
{
	struct request r = h->requests[i];

	r.snd_wnd = s->window; /* the child knows no other (tcp_create_openreq_child()) */
	struct tcb *child = listen_child(h, tcb_at(h, r.listener), &r);

	if (child) {
		request_drop(h, i);
		inherit_timestamp(h, child, &r, s);
		tcb_segment(h, child, s);
	} else if (h->sysctls.abort_on_overflow) {
		embryonic_reset(h, i, s);
	} else {
		h->requests[i].acked = true;
	}
}

static void in_window(struct host *h, uint32_t i, const struct segment *s)
{
	struct request *r = &h->requests[i];
	uint8_t flags = s->flags;

	if (flags & SEGMENT_RST && has(h, TCPWHY_P_SYN_RECV_RST_EXACT) &&
	    s->seq != r->rcv_isn + 1) {
		challenge(h, r);
		return;
	}
	if (s->seq == r->rcv_isn)
		flags &= (uint8_t)~SEGMENT_SYN; /* of the SYN only what follows it is new */
	if (flags & (SEGMENT_RST | SEGMENT_SYN)) {
		count(h, COUNTER_AttemptFails);
		embryonic_reset(h, i, s);
	} else if (flags & SEGMENT_ACK) {
		complete(h, i, s);
	}
}

void request_segment(struct host *h, uint32_t i, const struct segment *s)
{
	struct request *r = &h->requests[i];
	uint64_t age = request_timeout(r);
	bool old = sees_timestamp(h, r, s) &&
		   paws_fails(h, r->ts_recent, now(h) > age ? now(h) - age : 0, s->tsval, 0);

	if (s->seq == r->rcv_isn && !old &&
	    (s->flags & (SEGMENT_SYN | SEGMENT_RST | SEGMENT_ACK)) == SEGMENT_SYN) {
		again(h, i, s);
		return;
	}
	/* A RST is measured by its number alone since it is measured exactly. */
	bool by_number = s->flags & SEGMENT_RST && has(h, TCPWHY_P_SYN_RECV_RST_EXACT);
	if (s->flags & SEGMENT_ACK && s->ack != r->snt_isn + 1 && !by_number) {
		listen_segment(h, tcb_at(h, r->listener), s, 0);
		return;
	}
	bool foreign = echoes_another(h, r, s);
	if (old || foreign ||
	    !seq_in_window(s->seq, segment_end(s), r->rcv_isn + 1, r->rcv_isn + 1 + r->rcv_wnd))
		out_of_window(h, r, s, old, foreign);
	else
		in_window(h, i, s);
}

/* ----------------------------------------------------------------------------------- the timer */

/* Before 4.4 the size is the power of two (max_qlen_log). */
static bool is_half_full(const struct host *h, const struct tcb *listener)
{
	if (!has(h, TCPWHY_P_SYNQ_BACKLOG))
		return listener->requests >= listener->queue_limit / 2;
	return listener->requests << 1 > (listener->backlog > 8 ? listener->backlog : 8);
}

/* Where more than half of the queue is old, fewer retries are made, so that young ones find room.
 */
static uint32_t retries(const struct host *h, const struct tcb *listener)
{
	uint32_t most = h->sysctls.synack_retries;
	uint64_t young = (uint64_t)listener->young << 1;

	if (!is_half_full(h, listener))
		return most;
	for (; most > 2 && listener->requests >= young; most--)
		young <<= 1;
	return most;
}

void request_timer(struct host *h, uint32_t i)
{
	struct request *r = &h->requests[i];
	struct tcb *listener;

	if (r->orphan) {
		request_drop(h, i);
		return;
	}
	listener = tcb_at(h, r->listener);
	count(h, COUNTER_TCPTimeouts); /* tcp_syn_ack_timeout() */
	if (r->timeouts >= retries(h, listener)) {
		request_drop(h, i);
		return;
	}
	resend(h, r);
	if (!r->timeouts++)
		listener->young--;
	rearm(h, i);
}
