/* SPDX-License-Identifier: MIT
 *
 * The connections that a box translates (nf_conntrack, or a load balancer's session table)
 *
 * A session has two keys: what the client sends, and what the server answers. What the box believes
 * of a connection it takes from the segments that pass, and it can be wrong.
 */
#include <string.h>

#include "world/state.h"

/* Of a translation without a balancer, nf_conntrack's: nf_conntrack_tcp_timeout_established,
 * _time_wait and _close. */
#define TRACKED_IDLE_NS   (432000 * NS_PER_S)
#define TRACKED_CLOSED_NS (120 * NS_PER_S)
#define TRACKED_RESET_NS  (10 * NS_PER_S)

struct key {
	struct tcpwhy_addr from, to;
	uint16_t from_port, to_port;
};

/* What comes from the client (0) or from the server (1). */
static struct key key_of(const struct tracked *t, unsigned direction)
{
	const struct session *p = &t->pub;

	if (direction == 0)
		return (struct key){p->client, p->server, p->client_port, p->server_port};
	return (struct key){p->as_server, p->as_client, p->as_server_port, p->as_client_port};
}

static uint32_t mix_of(const struct key *k)
{
	uint64_t word[4];
	uint32_t mix = hash_mix(k->from_port, k->to_port);

	memcpy(word, k->from.b, 16);
	memcpy(word + 2, k->to.b, 16);
	for (unsigned i = 0; i < 4; i++)
		mix = hash_mix(word[i], (uint64_t)mix << 32 | i);
	return mix;
}

static bool is_key(const struct key *a, const struct key *b)
{
	return a->from_port == b->from_port && a->to_port == b->to_port &&
	       address_equal(&a->from, &b->from) && address_equal(&a->to, &b->to);
}

static uint32_t *chain_of(const struct box *b, const struct key *k)
{
	return &b->chains.head[mix_of(k) & (b->chains.size - 1)];
}

static uint32_t find(const struct box *b, const struct key *k)
{
	if (!b->chains.entries)
		return NIL;
	uint32_t i = *chain_of(b, k);
	while (i != NIL) {
		const struct tracked *t = &b->sessions[i / 2];
		struct key other = key_of(t, i % 2);
		if (is_key(&other, k))
			break;
		i = t->next[i % 2];
	}
	return i;
}

uint32_t session_find(const struct box *b, const struct segment *s, unsigned *direction)
{
	struct key k = {s->from, s->to, s->from_port, s->to_port};
	uint32_t i = find(b, &k);

	if (i == NIL)
		return NIL;
	*direction = i % 2;
	return i / 2;
}

/* ----------------------------------------------------------------------------- beginning and end
 */

static void link_in(struct box *b, uint32_t i)
{
	for (unsigned direction = 0; direction < 2; direction++) {
		struct key k = key_of(&b->sessions[i], direction);
		uint32_t *head = chain_of(b, &k);
		b->sessions[i].next[direction] = *head;
		*head = i * 2 + direction;
	}
}

static bool room(struct world *w, struct box *b)
{
	if (b->free == NIL &&
	    (b->used == WORLD_SESSIONS ||
	     !memory_grow(&w->memory, &b->sessions, &b->size, b->used + 1, sizeof(*b->sessions))))
		return false;
	if (!chains_want_more(&b->chains))
		return true;
	if (!chains_resize(&w->memory, &b->chains))
		return false;
	for (uint32_t i = 0; i < b->used; i++)
		if (b->sessions[i].used)
			link_in(b, i);
	return true;
}

static bool is_answer_free(const struct box *b, const struct segment *after)
{
	struct key k = {after->to, after->from, after->to_port, after->from_port};

	return find(b, &k) == NIL;
}

/* The port stays if it can; else one from a drawn start on (nf_nat_l4proto_unique_tuple()). */
static bool find_port(struct world *w, const struct box *b, struct segment *after)
{
	uint32_t low = 1024, ports = 65536 - low, start;

	if (is_answer_free(b, after))
		return true;
	start = draw_from(&w->random, ports);
	for (uint32_t i = 0; i < ports; i++) {
		after->from_port = (uint16_t)(low + (start + i) % ports);
		if (is_answer_free(b, after))
			return true;
	}
	return false;
}

uint32_t session_begin(struct world *w, struct node *n, const struct segment *s,
		       struct segment *after, bool snat)
{
	struct box *b = &n->box;

	if (!room(w, b) || !(snat ? find_port(w, b, after) : is_answer_free(b, after)))
		return NIL;
	uint32_t i = b->free;
	if (i != NIL)
		b->free = b->sessions[i].next[0];
	else
		i = b->used++;
	b->sessions[i] = (struct tracked){
		.pub = {.client = s->from,
			.server = s->to,
			.as_client = after->from,
			.as_server = after->to,
			.client_port = s->from_port,
			.server_port = s->to_port,
			.as_client_port = after->from_port,
			.as_server_port = after->to_port,
			.ends_ns = NEVER},
		.belief = {.idle_ns = TRACKED_IDLE_NS, .closed_ns = TRACKED_CLOSED_NS},
		.reset_ns = TRACKED_RESET_NS,
		.queued_ns = NEVER,
		.order = b->begun++,
		.used = true,
	};
	b->sessions[i].belief.checks_rst = true;
	link_in(b, i);
	b->chains.entries += 2;
	return i;
}

static void unlink_from(struct box *b, uint32_t i, unsigned direction)
{
	struct key k = key_of(&b->sessions[i], direction);
	uint32_t *link = chain_of(b, &k);

	while (*link != i * 2 + direction)
		link = &b->sessions[*link / 2].next[*link % 2];
	*link = b->sessions[i].next[direction];
}

/* A RST with the number that the receiver acknowledged last, as if the other side had sent it. */
static void reset_side(struct world *w, struct node *n, const struct tracked *t, unsigned side)
{
	struct session p = t->pub;
	struct segment reset = {.flags = SEGMENT_RST, .seq = t->acked[side]};

	if (!t->has_acked[side])
		return;
	reset.from = side ? p.as_client : p.server;
	reset.from_port = side ? p.as_client_port : p.server_port;
	reset.to = side ? p.as_server : p.client;
	reset.to_port = side ? p.as_server_port : p.client_port;
	node_send(w, n->number, &reset);
}

void session_end(struct world *w, struct node *n, uint32_t i)
{
	struct tracked *t = &n->box.sessions[i];

	if (t->belief.resets_at_end) {
		reset_side(w, n, t, 0);
		reset_side(w, n, t, 1);
	}
	unlink_from(&n->box, i, 0);
	unlink_from(&n->box, i, 1);
	n->box.chains.entries -= 2;
	*t = (struct tracked){.next[0] = n->box.free};
	n->box.free = i;
}

/* ------------------------------------------------------------------------------- a segment passes
 */

void session_translate_to(const struct tracked *t, unsigned direction, struct segment *s)
{
	s->to = direction ? t->pub.client : t->pub.as_server;
	s->to_port = direction ? t->pub.client_port : t->pub.as_server_port;
}

void session_translate_from(const struct tracked *t, unsigned direction, struct segment *s)
{
	s->from = direction ? t->pub.server : t->pub.as_client;
	s->from_port = direction ? t->pub.server_port : t->pub.as_client_port;
}

/* One plan at a time; what was planned too early is planned again. */
static void plan_end(struct world *w, struct node *n, uint32_t i)
{
	struct tracked *t = &n->box.sessions[i];

	if (t->pub.ends_ns < t->queued_ns &&
	    event_plan(w, EVENT_SESSION, t->pub.ends_ns, n->number, i))
		t->queued_ns = t->pub.ends_ns;
}

static bool believes_reset(const struct tracked *t, unsigned direction, const struct segment *s)
{
	unsigned receiver = 1 - direction;

	return !t->belief.checks_rst || (t->has_acked[receiver] && t->acked[receiver] == s->seq) ||
	       (!t->has_acked[receiver] && s->flags & SEGMENT_ACK);
}

/* From the state in which its end is settled only a new SYN of the client leads back. */
static void change_state(struct world *w, struct tracked *t, unsigned direction,
			 const struct segment *s)
{
	struct session *p = &t->pub;
	uint8_t kind = s->flags & (SEGMENT_SYN | SEGMENT_ACK | SEGMENT_RST);

	if (kind == SEGMENT_SYN && direction == 0) {
		p->state = SESSION_OPEN;
		t->fin[0] = t->fin[1] = t->has_acked[0] = t->has_acked[1] = false;
	} else if (s->flags & SEGMENT_FIN) {
		t->fin[direction] = true;
	}
	if (p->state == SESSION_RESET)
		return;
	if (s->flags & SEGMENT_RST && believes_reset(t, direction, s)) {
		p->state = SESSION_RESET;
		p->ends_ns = w->now_ns + t->reset_ns;
	} else if (p->state == SESSION_OPEN && t->fin[0] && t->fin[1]) {
		p->state = SESSION_CLOSING;
		p->ends_ns = w->now_ns + t->belief.closed_ns;
	} else if (p->state == SESSION_OPEN) {
		p->ends_ns = t->belief.idle_ns ? w->now_ns + t->belief.idle_ns : NEVER;
	}
}

void session_learn(struct world *w, struct node *n, uint32_t i, unsigned direction,
		   const struct segment *s)
{
	struct tracked *t = &n->box.sessions[i];

	t->confirmed = true;
	change_state(w, t, direction, s);
	if (s->flags & SEGMENT_ACK && !(s->flags & SEGMENT_RST)) {
		t->acked[direction] = s->ack;
		t->has_acked[direction] = true;
	}
	plan_end(w, n, i);
}

void session_due(struct world *w, struct node *n, uint32_t i, uint64_t when_ns)
{
	struct tracked *t = &n->box.sessions[i];

	if (!t->used || t->queued_ns != when_ns)
		return;
	t->queued_ns = NEVER;
	if (t->pub.ends_ns <= w->now_ns)
		session_end(w, n, i);
	else
		plan_end(w, n, i);
}

/* Sessions are few where they are looked at: a selection by order. */
size_t world_sessions(const struct world *w, uint32_t box, struct session *out, size_t max)
{
	const struct box *b = &w->nodes[box]->box;
	uint64_t after = 0;
	size_t n = 0;

	for (; n < max; n++) {
		const struct tracked *next = NULL;
		for (uint32_t i = 0; i < b->used; i++) {
			const struct tracked *t = &b->sessions[i];
			if (t->used && t->order >= after && (!next || t->order < next->order))
				next = t;
		}
		if (!next)
			break;
		out[n] = next->pub;
		after = next->order + 1;
	}
	return b->chains.entries / 2;
}
