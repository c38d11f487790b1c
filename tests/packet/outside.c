/* SPDX-License-Identifier: MIT */
#include "outside.h"

#include "segment/host.h"

enum { MAX_WINDOW = SCRIPT_WINDOW, SMALL_WINDOW = 2 * 1460 };

const char *outside_name(enum outside_reason reason)
{
	static const char *const names[OUTSIDE_REASONS] = {
		[OUTSIDE_NOT] = "none",
		[OUTSIDE_WINDOW] = "between two windows",
		[OUTSIDE_SECOND_FIN] = "a FIN after the FIN",
		[OUTSIDE_MOVED_FIN] = "a FIN that moves",
		[OUTSIDE_PREDICTED] = "header prediction",
		[OUTSIDE_ROUND_TRIP] = "a made-up round trip",
		[OUTSIDE_SMALL] = "a small first window",
	};

	return names[reason];
}

/* Of ACKs only: the others never reach the stream. */
static bool is_stream(const struct segment *s)
{
	return (s->flags & (SEGMENT_SYN | SEGMENT_RST | SEGMENT_ACK)) == SEGMENT_ACK;
}

static uint32_t data_end(const struct segment *s)
{
	return s->seq + s->length;
}

/* The two announce windows that differ by a few numbers: the kernel's does not move with a FIN. A
 * number relative to something else than the edge may lie in between. */
static bool is_at_other_edge(struct outside_view k, struct outside_view m)
{
	return (k.seg->seq == k.wire->sack) != (m.seg->seq == m.wire->sack) ||
	       seq_after(k.seg->seq, k.wire->edge) != seq_after(m.seg->seq, m.wire->edge) ||
	       seq_after(segment_end(k.seg), k.wire->edge) !=
		       seq_after(segment_end(m.seg), m.wire->edge);
}

/* A second FIN, one further: the kernel queues it, and then takes it for a byte that nobody has
 * read (tcp_data_queue(), tcp_close()). */
static bool is_fin_after_fin(const struct seen_flow *seen, struct outside_view k)
{
	return (seen->state == TCPWHY_CLOSE_WAIT || seen->state == TCPWHY_LAST_ACK ||
		seen->state == TCPWHY_CLOSING) &&
	       k.seg->flags & SEGMENT_FIN && seq_before(k.seg->seq, k.wire->rcv) &&
	       data_end(k.seg) == k.wire->rcv;
}

/* A peer that says otherwise where its stream ends, while its FIN waits behind a hole: which one
 * counts depends on how the pieces overlap (tcp_data_queue_ofo()). */
static bool is_contradiction(const struct outside *o, const struct segment *s)
{
	const bool fin = s->flags & SEGMENT_FIN;

	if (o->has_fin && fin && data_end(s) != o->fin_at)
		return true;
	if (o->has_fin && s->length && seq_after(data_end(s), o->fin_at))
		return true;
	return fin && o->has_hole && seq_after(o->far, data_end(s));
}

/* Header prediction takes data in order without a look at an ACK that is much too old; but only if
 * the socket has memory set aside, as from the first data on, in or out (tcp_rcv_established()). */
static bool is_predicted(const struct outside *o, const struct seen_flow *seen,
			 struct outside_view k)
{
	const uint32_t acked = k.wire->una - k.wire->iss - 1;
	const uint32_t window = acked < MAX_WINDOW ? acked : MAX_WINDOW;

	const bool has_memory = o->has_data || k.wire->nxt - k.wire->iss > 1;

	return seen->state == TCPWHY_ESTABLISHED && has_memory && k.seg->length &&
	       !(k.seg->flags & SEGMENT_FIN) && k.seg->seq == k.wire->rcv &&
	       seq_before(k.seg->ack, k.wire->una - window);
}

/* What begins at the edge is dropped, but its window is taken, as the newest. Header prediction
 * goes back to older ones, if it is asked. */
static bool is_window_ahead(const struct seen_flow *seen, struct outside_view k)
{
	return seen->state == TCPWHY_ESTABLISHED && k.seg->seq == k.wire->edge &&
	       k.seg->seq != k.wire->rcv;
}

/* A socket whose SYN crossed ours measures the round trip by TSecr, and has no other sample. */
static bool is_made_up(const struct seen_flow *seen, struct outside_view k)
{
	return seen->state == TCPWHY_SYN_RECV && k.wire->active && k.seg->has_timestamp &&
	       k.seg->tsecr != k.wire->tsval;
}

static void remember(struct outside *o, struct outside_view k)
{
	const struct segment *s = k.seg;

	if (!seq_after(segment_end(s), k.wire->rcv) || seq_after(s->seq, k.wire->edge))
		return;
	if (s->flags & SEGMENT_FIN) {
		o->has_fin = true;
		o->fin_at = data_end(s);
	}
	o->has_data |= s->length > 0;
	if (!s->length || !seq_after(s->seq, k.wire->rcv))
		return;
	if (!o->has_hole || seq_after(data_end(s), o->far))
		o->far = data_end(s);
	o->has_hole = true;
}

/* A segment of the host's is never longer than half of the largest window that it saw, and what
 * waits is cut by what that was when it was written (tcp_bound_to_half_wnd(), tcp_send_mss()). */
static bool is_small(const struct seen_flow *seen, struct outside_view k)
{
	const struct segment *s = k.seg;
	const bool with_cookie =
		seen->state == TCPWHY_CLOSE && is_stream(s) && s->ack == k.wire->nxt;

	return s->window < SMALL_WINDOW && !(s->flags & SEGMENT_RST) &&
	       (with_cookie || seen->state == TCPWHY_SYN_SENT || seen->state == TCPWHY_SYN_RECV);
}

enum outside_reason outside_segment(struct outside *o, const struct seen_flow *seen,
				    struct outside_view k, struct outside_view m)
{
	const bool open = seen->state == TCPWHY_SYN_RECV || seen->state == TCPWHY_ESTABLISHED ||
			  seen->state == TCPWHY_FIN_WAIT1 ||
			  (seen->state == TCPWHY_FIN_WAIT2 && !seen->timewait);

	if (!open)
		*o = (struct outside){.has_fin = false};
	if (k.wire->begun && m.seg && is_at_other_edge(k, m))
		return OUTSIDE_WINDOW;
	if (is_small(seen, k))
		return OUTSIDE_SMALL;
	if (!is_stream(k.seg))
		return OUTSIDE_NOT;
	if (is_fin_after_fin(seen, k))
		return OUTSIDE_SECOND_FIN;
	if (is_predicted(o, seen, k) || is_window_ahead(seen, k))
		return OUTSIDE_PREDICTED;
	if (is_made_up(seen, k))
		return OUTSIDE_ROUND_TRIP;
	if (open && is_contradiction(o, k.seg))
		return OUTSIDE_MOVED_FIN;
	remember(o, k); /* a cookie's connection begins with it */
	return OUTSIDE_NOT;
}
