/* SPDX-License-Identifier: MIT
 *
 * A segment that answers our SYN, or crosses it: tcp_rcv_synsent_state_process()
 */
#include <errno.h>

#include "segment/state.h"

/* A wrong ACK is answered with a RST; since 5.7 the SYN is then sent again at once, because the
 * other side was in TIME_WAIT and the RST has ended it. Two ticks: TCP_TIMEOUT_MIN. */
static void refuse_ack(struct host *h, struct tcb *t, const struct segment *s)
{
	if (has(h, TCPWHY_P_SYN_AGAIN_AT_ONCE) && !t->retransmits)
		timer_set(h, &t->timer, tcb_number(t->sock) << 1,
			  now(h) + 2 * NS_PER_S / h->config.hz);
	send_reset_for(h, s);
}

/* An echo of a timestamp that we did not send since the first SYN. */
static bool echoes_another(const struct host *h, const struct tcb *t, const struct segment *s)
{
	uint32_t latest = clock_ms(h) + t->ts_offset;

	return is_timed(h) && s->has_timestamp && s->tsecr &&
	       (seq_before(s->tsecr, t->first_tsval) || seq_after(s->tsecr, latest));
}

static void take_peer(struct host *h, struct tcb *t, const struct segment *s)
{
	t->rcv_nxt = t->rcv_wup = s->seq + 1;
	t->snd_wl1 = s->seq;
	t->snd_wnd = t->max_window = s->window;
	t->has_ts = is_timed(h) && s->has_timestamp;
	t->has_sack = h->sysctls.sack && s->sack_permitted;
	if (t->has_ts)
		ts_recent_set(h, t, s->tsval);
	/* What was inherited from a TIME_WAIT stays, and the next TIME_WAIT is judged by it. */
	tcpwhy_timestamps(h->engine, t->sock, t->ts_recent_ns != 0);
	must(tcpwhy_established(h->engine, t->sock) == 0);
}

static void connected(struct host *h, struct tcb *t, const struct segment *s)
{
	t->bytes_acked = s->ack - t->snd_una;
	t->snd_una = s->ack;
	t->flight_used = 0;
	t->soft_error = 0;
	take_peer(h, t, s);
	t->state = TCPWHY_ESTABLISHED;
	t->syn_out = false;
	rtt_settle(h, t, s);
	retransmit_stop(h, t);
	t->retransmitted_ns = 0;
	send_ack(h, t);
}

/* Data and FIN that come along are not taken: the peer sends them again. */
static void acknowledged(struct host *h, struct tcb *t, const struct segment *s)
{
	if (!seq_after(s->ack, t->snd_una) || seq_after(s->ack, t->snd_nxt)) {
		refuse_ack(h, t, s);
	} else if (echoes_another(h, t, s)) {
		count(h, COUNTER_PAWSActive);
		send_reset_for(h, s);
	} else if (s->flags & SEGMENT_RST) {
		tcb_reset(h, t);
	} else if (s->flags & SEGMENT_SYN) {
		connected(h, t, s);
	}
}

void synsent_segment(struct host *h, struct tcb *t, const struct segment *s)
{
	if (s->flags & SEGMENT_ACK) {
		acknowledged(h, t, s);
		return;
	}
	if (s->flags & SEGMENT_RST || !(s->flags & SEGMENT_SYN))
		return;
	if (t->ts_recent_ns && is_timed(h) && s->has_timestamp &&
	    paws_fails(h, t->ts_recent, t->ts_recent_ns, s->tsval, 0))
		return;
	/* Both sent a SYN (RFC 9293 3.5). */
	take_peer(h, t, s);
	t->state = TCPWHY_SYN_RECV;
	t->sent_ns = now(h);
	send_crossed_syn_ack(h, t);
}
