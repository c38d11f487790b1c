/* SPDX-License-Identifier: MIT
 *
 * What the trace tells of a socket: its sequence numbers and its window
 *
 * A host's own segments say it: what it sends next, what it expects, what it announced. Each record
 * is read once. A segment that crosses two tapped links is read twice, which changes nothing.
 */
#include "case/kernel_state.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

/* One connection, seen from the end that sent. */
struct flow {
	bool used;
	struct endpoint from, to;
	uint32_t first, next; /* its initial number, and the one after its last */
	bool has_ack;
	uint32_t rcv_nxt, edge; /* its last ACK, and the right edge of what it announced */
};

static size_t mix(const struct endpoint *from, const struct endpoint *to)
{
	uint64_t h = (uint64_t)from->port << 16 | to->port;

	for (unsigned i = 0; i < 16; i++)
		h = (h ^ from->addr.b[i] ^ (uint64_t)to->addr.b[i] << 8) * 0x9e3779b97f4a7c15u;
	return (size_t)(h ^ h >> 32);
}

static bool is_flow(const struct flow *f, const struct endpoint *from, const struct endpoint *to)
{
	return f->from.port == from->port && f->to.port == to->port &&
	       address_equal(&f->from.addr, &from->addr) && address_equal(&f->to.addr, &to->addr);
}

/* Its place, used or not. The table is never full. */
static struct flow *place(const struct kernel_flows *t, const struct endpoint *from,
			  const struct endpoint *to)
{
	size_t i = mix(from, to) & (t->size - 1);

	while (t->all[i].used && !is_flow(&t->all[i], from, to))
		i = (i + 1) & (t->size - 1);
	return &t->all[i];
}

static bool make_room(struct kernel_flows *t)
{
	struct kernel_flows bigger = *t;

	if (t->size && t->used < t->size / 2)
		return true;
	bigger.size = t->size ? 2 * t->size : 64;
	bigger.all = calloc(bigger.size, sizeof(*bigger.all));
	if (!bigger.all)
		return false;
	for (size_t i = 0; i < t->size; i++)
		if (t->all[i].used)
			*place(&bigger, &t->all[i].from, &t->all[i].to) = t->all[i];
	free(t->all);
	*t = bigger;
	return true;
}

static void begin(struct flow *f, const struct frame *s)
{
	*f = (struct flow){.used = true,
			   .from = {s->from, s->from_port},
			   .to = {s->to, s->to_port},
			   .first = s->seq,
			   .next = s->seq};
}

/* A SYN with another number begins another incarnation. */
static void learn(struct kernel_flows *t, const struct frame *s)
{
	const struct endpoint from = {s->from, s->from_port}, to = {s->to, s->to_port};
	const uint32_t end = s->seq + frame_seq_len(s);

	if (s->flags & FRAME_RST || !make_room(t))
		return;
	struct flow *f = place(t, &from, &to);
	if (s->flags & FRAME_SYN && (!f->used || f->first != s->seq)) {
		t->used += !f->used;
		begin(f, s);
	}
	if (!f->used)
		return;
	if (seq_after(end, f->next))
		f->next = end;
	if (!(s->flags & FRAME_ACK))
		return;
	if (!f->has_ack || seq_after(s->ack, f->rcv_nxt))
		f->rcv_nxt = s->ack;
	if (!f->has_ack || seq_after(s->ack + s->window, f->edge))
		f->edge = s->ack + s->window;
	f->has_ack = true;
}

static void read_on(struct kernel_stage *k)
{
	struct capture_record r;

	for (; capture_get(k->capture, k->flows.read, &r); k->flows.read++)
		if (r.origin == CAPTURE_SENT)
			learn(&k->flows, &r.frame);
}

void kernel_numbers(struct kernel_stage *k, struct stage_sock *s)
{
	const struct endpoint from = {s->local, s->port}, to = {s->peer, s->peer_port};

	read_on(k);
	/* beyond the room of the capture nothing is known any more */
	if (!k->flows.size || !to.port || capture_count(k->capture) > k->flows.read)
		return;
	const struct flow *f = place(&k->flows, &from, &to);
	if (!f->used)
		return;
	s->has_numbers = true;
	s->snd_nxt = f->next;
	s->snd_una = s->request ? f->first : f->next - s->unacked;
	s->rcv_nxt = f->has_ack ? f->rcv_nxt : 0;
	s->window = f->has_ack ? f->edge - f->rcv_nxt : 0;
}
