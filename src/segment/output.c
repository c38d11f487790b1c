/* SPDX-License-Identifier: MIT
 *
 * Segments that leave
 *
 * tcp_transmit_skb(), tcp_v4_send_reset(), tcp_v4_send_ack(), tcp_make_synack(). What cannot be
 * kept for want of memory is lost, as on a wire.
 */
#include <string.h>

#include "base/address.h"
#include "segment/state.h"

enum {
	HEADER_BYTES = 20,
	TIMESTAMP_BYTES = 12, /* with the padding of the option */
	SACK_BASE = 4,
	SACK_BLOCK = 8,
	IPV6_BYTES = 20,   /* that its header is longer than IPv4's */
	MSS_DEFAULT = 536, /* TCP_MSS_DEFAULT */
	LEAST_PACKET = 68, /* tcp_bound_to_half_wnd() */
};

/* What was taken out leaves room at the front, which is used before the block grows. */
static void move_up(struct host *h)
{
	if (h->out_first == h->out_used) {
		h->out_first = h->out_used = 0;
	} else if (h->out_used == h->out_size && h->out_first >= h->out_size / 2) {
		h->out_used -= h->out_first;
		memmove(h->out, h->out + h->out_first, h->out_used * sizeof(*h->out));
		h->out_first = 0;
	}
}

static void put_out(struct host *h, const struct segment *s)
{
	move_up(h);
	if (!memory_grow(&h->memory, &h->out, &h->out_size, h->out_used + 1, sizeof(*h->out)))
		return;
	h->out[h->out_used++] = *s;
}

bool host_segment_out(struct host *h, struct segment *s)
{
	if (h->out_first == h->out_used)
		return false;
	*s = h->out[h->out_first++];
	return true;
}

/* ------------------------------------------------------------------------- of a connection */

/* The option of a socket that has something to tell by SACK. */
static uint32_t sack_bytes(const struct tcb *t)
{
	const uint32_t most = t->has_ts ? 3 : 4;
	const uint32_t blocks = t->sacks_used < most ? t->sacks_used : most;

	return blocks ? SACK_BASE + blocks * SACK_BLOCK : 0;
}

uint32_t mss_to(const struct host *h, const struct tcpwhy_addr *peer)
{
	return address_is_v4(peer) ? h->config.mss : h->config.mss - (uint32_t)IPV6_BYTES;
}

uint32_t send_mss(const struct host *h, const struct tcb *t)
{
	const uint32_t path = mss_to(h, &t->peer);
	uint32_t mss = t->mss && t->mss < path ? t->mss : path;
	uint32_t header = HEADER_BYTES, half = t->max_window;

	if (t->has_ts) {
		mss -= TIMESTAMP_BYTES;
		header += TIMESTAMP_BYTES;
	}
	if (half > MSS_DEFAULT)
		half /= 2;
	if (half && mss > half)
		mss = half > LEAST_PACKET - header ? half : LEAST_PACKET - header;
	return mss - sack_bytes(t);
}

uint32_t receive_window(const struct tcb *t)
{
	uint32_t used = t->rcv_nxt - t->rcv_wup;

	return used < t->rcv_wnd ? t->rcv_wnd - used : 0;
}

/* tcp_select_window(): what the buffer has left, but never less than was promised. */
static uint32_t window_to_announce(const struct host *h, const struct tcb *t)
{
	uint32_t room = t->unread < h->config.window ? h->config.window - t->unread : 0;
	uint32_t promised = receive_window(t);

	return room > promised ? room : promised;
}

static struct segment segment_of(struct host *h, struct tcb *t, uint8_t flags, uint32_t seq)
{
	struct segment s = {.from = t->local,
			    .to = t->peer,
			    .from_port = t->port,
			    .to_port = t->peer_port,
			    .device = t->device,
			    .flags = flags,
			    .seq = seq};

	s.has_timestamp = t->has_ts;
	if (t->has_ts) {
		s.tsval = clock_ms(h) + t->ts_offset;
		s.tsecr = t->ts_recent;
	}
	if (flags & SEGMENT_ACK) {
		t->rcv_wnd = window_to_announce(h, t);
		t->rcv_wup = t->rcv_nxt;
		t->ack_due = false;
		s.ack = t->rcv_nxt;
		s.has_sack = t->sacks_used;
		if (s.has_sack) {
			const struct stretch most = sack_shown(t);
			s.sack_left = most.from;
			s.sack_edge = most.to;
		}
	}
	s.window = t->rcv_wnd;
	return s;
}

/* tcp_acceptable_seq(): beyond a window that shrank nobody would look at it. */
static uint32_t acceptable_seq(const struct tcb *t)
{
	const uint32_t edge = t->snd_una + t->snd_wnd;

	return seq_before(edge, t->snd_nxt) ? edge : t->snd_nxt;
}

void send_ack(struct host *h, struct tcb *t)
{
	struct segment s = segment_of(h, t, SEGMENT_ACK, acceptable_seq(t));

	put_out(h, &s);
}

/* Options of a SYN are offers, whatever the other side's SYN had: timestamps and SACK by sysctl. */
static void put_syn(struct host *h, struct tcb *t, uint8_t flags)
{
	struct segment s = segment_of(h, t, flags, t->snd_una);
	bool ts = is_timed(h);

	s.has_timestamp = ts;
	s.tsval = ts ? clock_ms(h) + t->ts_offset : 0;
	s.tsecr = ts ? t->ts_recent : 0;
	s.sack_permitted = h->sysctls.sack;
	s.has_sack = false;
	put_out(h, &s);
}

void send_syn(struct host *h, struct tcb *t)
{
	t->rcv_wnd = h->config.window;
	put_syn(h, t, SEGMENT_SYN);
}

void send_crossed_syn_ack(struct host *h, struct tcb *t)
{
	put_syn(h, t, SEGMENT_SYN | SEGMENT_ACK);
}

/* What lies from there up to there; the FIN goes with the last of the data. */
static struct segment part_of(struct host *h, struct tcb *t, uint32_t from, uint32_t to)
{
	const bool fin = t->fin_queued && to == t->write_seq;
	struct segment s = segment_of(h, t, SEGMENT_ACK, from);

	s.length = to - from - fin;
	if (s.length)
		s.flags |= SEGMENT_PSH;
	if (fin)
		s.flags |= SEGMENT_FIN;
	return s;
}

static void send_new(struct host *h, struct tcb *t, uint32_t end)
{
	const bool idle = t->snd_una == t->snd_nxt;
	struct segment s = part_of(h, t, t->snd_nxt, end);

	t->snd_nxt = end;
	flight_add(t, end);
	put_out(h, &s);
	if (!idle)
		return;
	t->sent_ns = now(h);
	retransmit_start(h, t);
}

/* In segments of full size; the FIN belongs to the last. */
static void send_until(struct host *h, struct tcb *t, uint32_t end)
{
	const uint32_t most = send_mss(h, t);
	const uint32_t fin = t->fin_queued && end == t->write_seq;

	while (end - fin - t->snd_nxt > most)
		send_new(h, t, t->snd_nxt + most);
	send_new(h, t, end);
}

static uint32_t send_room(const struct tcb *t)
{
	const uint32_t edge = t->snd_una + t->snd_wnd;

	return seq_after(edge, t->snd_nxt) ? edge - t->snd_nxt : 0;
}

/* What was sent again after a time-out fills the congestion window, which is one segment then,
 * until the oldest is acknowledged as a whole (tcp_enter_loss(), tcp_cwnd_test()). */
static bool awaits_again(const struct tcb *t)
{
	return t->retransmitted_ns && t->snd_una != t->snd_nxt;
}

/* Before 6.10 the last segment was, all the same, if it had the FIN; the rows tell it by the
 * feature of 6.5. */
static bool is_let_out(const struct host *h, const struct tcb *t)
{
	return t->fin_queued && !has(h, TCPWHY_P_SYN_LINEAR);
}

/* How much of what waits goes now, FIN included (tcp_snd_wnd_test(), tcp_mss_split_point()): less
 * than a segment as a whole or not at all, so a FIN needs room; more than that as far as the window
 * goes, once a full segment fits, and with the last of the data a FIN needs none. */
static uint32_t may_go(const struct host *h, const struct tcb *t)
{
	const uint32_t waits = t->write_seq - t->snd_nxt, room = send_room(t);
	const uint32_t most = send_mss(h, t);

	if (!waits)
		return 0;
	const uint32_t data = waits - (t->fin_queued ? 1 : 0);
	if (awaits_again(t) && !(is_let_out(h, t) && data <= most))
		return 0;
	if (data <= most)
		return waits <= room ? waits : 0;
	if (room < most)
		return 0;
	return data <= room ? waits : room;
}

void send_waiting(struct host *h, struct tcb *t)
{
	uint32_t length;

	while ((length = may_go(h, t)))
		send_until(h, t, t->snd_nxt + length);
	persist_start(h, t);
}

bool send_what_fits(struct host *h, struct tcb *t)
{
	const uint32_t waits = t->write_seq - t->snd_nxt, room = send_room(t);
	const uint32_t most = send_mss(h, t);
	uint32_t length = waits < room ? waits : room;

	if (!length)
		return false;
	if (length - (t->fin_queued && length == waits ? 1 : 0) > most)
		length = most;
	send_new(h, t, t->snd_nxt + length);
	return true;
}

void send_probe(struct host *h, struct tcb *t)
{
	struct segment s = segment_of(h, t, SEGMENT_ACK, t->snd_una - 1);

	count(h, COUNTER_TCPWinProbe);
	put_out(h, &s);
}

void send_first_again(struct host *h, struct tcb *t)
{
	count(h, COUNTER_RetransSegs);
	if (t->syn_out) {
		count(h, COUNTER_TCPSynRetrans);
		t->syn_again = true;
		if (t->state == TCPWHY_SYN_SENT)
			send_syn(h, t);
		else
			send_crossed_syn_ack(h, t);
		return;
	}
	t->again_end = flight_again(h, t);
	struct segment s = part_of(h, t, t->snd_una, t->again_end);
	put_out(h, &s);
}

void send_active_reset(struct host *h, struct tcb *t)
{
	struct segment s = segment_of(h, t, SEGMENT_RST | SEGMENT_ACK, acceptable_seq(t));

	count(h, COUNTER_OutRsts);
	put_out(h, &s);
}

/* ------------------------------------------------------------------------ of no connection */

void send_answer(struct host *h, const struct segment *s, struct segment *answer)
{
	answer->from = s->to;
	answer->to = s->from;
	answer->from_port = s->to_port;
	answer->to_port = s->from_port;
	put_out(h, answer);
}

void send_reset_for(struct host *h, const struct segment *s)
{
	struct segment r = {.flags = SEGMENT_RST};

	if (s->flags & SEGMENT_RST)
		return;
	if (s->flags & SEGMENT_ACK) {
		r.seq = s->ack;
	} else {
		r.flags |= SEGMENT_ACK;
		r.ack = segment_end(s);
	}
	count(h, COUNTER_OutRsts);
	send_answer(h, s, &r);
}

static struct segment request_segment_of(struct host *h, const struct request *r)
{
	return (struct segment){
		.from = r->local,
		.to = r->peer,
		.from_port = r->port,
		.to_port = r->peer_port,
		.device = r->device,
		.ack = r->rcv_isn + 1,
		.window = r->rcv_wnd,
		.has_timestamp = r->has_ts,
		.tsval = r->has_ts ? clock_ms(h) + r->ts_offset : 0,
		.tsecr = r->has_ts ? r->ts_recent : 0,
	};
}

static struct segment syn_ack_of(struct host *h, const struct request *r)
{
	struct segment s = request_segment_of(h, r);

	s.flags = SEGMENT_SYN | SEGMENT_ACK;
	s.seq = r->snt_isn;
	s.sack_permitted = r->has_sack;
	return s;
}

void send_syn_ack(struct host *h, struct request *r)
{
	struct segment s = syn_ack_of(h, r);

	r->last_tsval = s.tsval;
	put_out(h, &s);
}

void send_cookie_syn_ack(struct host *h, struct request *r)
{
	struct segment s = syn_ack_of(h, r);

	if (r->has_ts)
		s.tsval = cookie_timestamp(r, clock_ms(h)) + r->ts_offset;
	put_out(h, &s);
}

/* tcp_v4_send_ack() leaves the option out where there is nothing to echo. */
void send_request_ack(struct host *h, const struct request *r)
{
	struct segment s = request_segment_of(h, r);

	s.has_timestamp = r->ts_recent != 0;
	s.flags = SEGMENT_ACK;
	s.seq = r->snt_isn + 1;
	put_out(h, &s);
}

void send_mini_ack(struct host *h, const struct tcb *t)
{
	struct segment s = {.from = t->local,
			    .to = t->peer,
			    .from_port = t->port,
			    .to_port = t->peer_port,
			    .device = t->device,
			    .flags = SEGMENT_ACK,
			    .seq = t->snd_nxt,
			    .ack = t->rcv_nxt,
			    .window = t->rcv_wnd,
			    .has_timestamp = t->ts_recent != 0};

	if (s.has_timestamp) {
		s.tsval = clock_ms(h) + t->ts_offset;
		s.tsecr = t->ts_recent;
	}
	put_out(h, &s);
}
