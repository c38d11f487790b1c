/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include "case/remote.h"

#include "base/address.h"

#include <string.h>

/* What stands for a number of the host's that nobody has seen yet. */
enum { UNSEEN = 0x10000000, UNSEEN_TSVAL = 0x20000000, NEAR = 1 << 20 };

/* Added to tw_snd_nxt by whoever follows a TIME_WAIT. */
enum { AFTER_TIME_WAIT = 65535 + 2 };

struct wire_flow *wire_flow(struct wire *w, const struct flow *f)
{
	for (size_t i = 0; i < w->n; i++)
		if (flow_equal(&w->flows[i].flow, f))
			return &w->flows[i];
	if (w->n == WIRE_FLOWS)
		return NULL;
	struct wire_flow *made = &w->flows[w->n++];
	*made = (struct wire_flow){
		.flow = *f, .iss = UNSEEN, .nxt = UNSEEN, .una = UNSEEN, .tsval = UNSEEN_TSVAL};
	return made;
}

struct tcpwhy_addr wire_host(uint8_t family)
{
	return remote_host_addr(family);
}

struct tcpwhy_addr wire_peer(uint8_t family)
{
	return remote_our_addr(family);
}

bool wire_flow_of(const struct segment *s, bool from_host, struct flow *f)
{
	const bool v4 = address_is_v4(&s->from);
	const uint8_t family = v4 ? TCPWHY_IPV4 : TCPWHY_IPV6;
	const struct tcpwhy_addr host = wire_host(family), peer = wire_peer(family);

	if (!address_equal(from_host ? &s->from : &s->to, &host) ||
	    !address_equal(from_host ? &s->to : &s->from, &peer))
		return false;
	*f = (struct flow){.family = family,
			   .host_port = from_host ? s->from_port : s->to_port,
			   .peer_port = from_host ? s->to_port : s->from_port};
	return true;
}

uint32_t wire_number(const struct wire_flow *w, const struct number *n)
{
	const uint32_t bases[BASES] = {
		[BASE_RCV] = w->rcv, [BASE_EDGE] = w->edge, [BASE_SACK] = w->sack,
		[BASE_ISS] = w->iss, [BASE_NXT] = w->nxt,   [BASE_UNA] = w->una,
	};

	return bases[n->base] + (uint32_t)n->offset;
}

/* TSecr means something only with an ACK (RFC 7323 3.2). */
static uint32_t render_ecr(const struct wire_flow *w, const struct pattern *p)
{
	if (!p->ecr_given)
		return p->flags & SEGMENT_ACK ? w->tsval : 0;
	return (p->ecr_relative ? w->tsval : 0) + (uint32_t)p->ecr;
}

struct segment wire_render(const struct wire_flow *w, const struct flow *f, const struct pattern *p)
{
	struct segment s = {
		.from = wire_peer(f->family),
		.to = wire_host(f->family),
		.from_port = f->peer_port,
		.to_port = f->host_port,
		.flags = p->flags,
		.sack_permitted = p->sack_permitted && p->flags & SEGMENT_SYN,
		.has_timestamp = p->has_timestamp,
		.seq = wire_number(w, &p->seq),
		.length = p->length,
		.window = p->window,
	};

	if (p->flags & SEGMENT_ACK)
		s.ack = wire_number(w, &p->ack);
	if (p->has_timestamp) {
		s.tsval = p->tsval;
		s.tsecr = render_ecr(w, p);
	}
	return s;
}

void wire_sent(struct wire_flow *w, const struct segment *s)
{
	if (s->flags & SEGMENT_ACK && seq_after(s->ack, w->una) && !seq_after(s->ack, w->nxt))
		w->una = s->ack;
}

static void describe_number(char *text, size_t size, uint32_t value, const char *name,
			    uint32_t base)
{
	const int32_t off = (int32_t)(value - base);

	if (!value)
		snprintf(text, size, "0");
	else if (off > NEAR || off < -NEAR)
		snprintf(text, size, "new");
	else if (off)
		snprintf(text, size, "%s%+d", name, off);
	else
		snprintf(text, size, "%s", name);
}

/* A SYN's number is repeated, or, after a TIME_WAIT, computed, or drawn; if drawn, it may be close
 * to the one before: it grows with the time (secure_tcp_seq()). */
static void describe_seq(const struct wire_flow *w, const struct segment *s, char *text,
			 size_t size)
{
	if (!(s->flags & SEGMENT_SYN) || (w->begun && s->seq == w->iss))
		describe_number(text, size, s->seq, "iss", w->iss);
	else
		snprintf(text, size,
			 w->begun && s->seq == w->nxt + AFTER_TIME_WAIT ? "next" : "new");
}

void wire_describe(const struct wire_flow *w, const struct segment *s, char text[static WIRE_TEXT])
{
	char flags[FLAGS_TEXT], seq[32];
	int n;

	describe_seq(w, s, seq, sizeof(seq));
	n = snprintf(text, WIRE_TEXT, "%u>%u %s seq %s", s->from_port, s->to_port,
		     flags_format(s->flags & (uint8_t)~SEGMENT_PSH, flags), seq);
	if (s->flags & SEGMENT_ACK)
		n += snprintf(text + n, WIRE_TEXT - (size_t)n, " ack %u", s->ack);
	if (s->length)
		n += snprintf(text + n, WIRE_TEXT - (size_t)n, " len %u", s->length);
	if (s->has_timestamp)
		n += snprintf(text + n, WIRE_TEXT - (size_t)n, " ecr %u", s->tsecr);
	if (s->has_sack)
		n += snprintf(text + n, WIRE_TEXT - (size_t)n, " sack %u", s->sack_edge);
	if (s->sack_permitted)
		snprintf(text + n, WIRE_TEXT - (size_t)n, " sackok");
}

void wire_note(struct wire_flow *w, const struct segment *s)
{
	if (s->has_timestamp)
		w->tsval = s->tsval;
	if (s->flags & SEGMENT_RST)
		return;
	if (s->flags & SEGMENT_SYN && !(w->begun && s->seq == w->iss)) {
		w->begun = true;
		w->active = !(s->flags & SEGMENT_ACK);
		w->iss = w->una = s->seq;
		w->nxt = s->seq + 1;
		w->edge = s->ack;
	}
	if (w->begun && seq_after(segment_end(s), w->nxt))
		w->nxt = segment_end(s);
	if (s->flags & SEGMENT_ACK) {
		w->rcv = s->ack;
		/* a host does not shrink its window (but for a socket whose SYN crossed ours, which
		 * scales it too early) */
		if (seq_after(s->ack + s->window, w->edge))
			w->edge = s->ack + s->window;
	}
	if (s->has_sack)
		w->sack = s->sack_edge;
}
