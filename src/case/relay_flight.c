/* SPDX-License-Identifier: MIT
 *
 * Frames: out of a tap into our hands, from there to the other end, and who looks meanwhile
 */
#include "case/relay_state.h"

#include "tcpwhy/engine.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t relay_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---------------------------------------------------------------------------- frames on their way
 */

static bool earlier(const struct flight *a, const struct flight *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void heap_push(struct relay *r, struct flight *f)
{
	size_t i = r->n_timed++;

	for (; i && earlier(f, r->timed[(i - 1) / 2]); i = (i - 1) / 2)
		r->timed[i] = r->timed[(i - 1) / 2];
	r->timed[i] = f;
}

struct flight *relay_pop(struct relay *r)
{
	struct flight *top = r->timed[0], *moved = r->timed[--r->n_timed];
	size_t i = 0;

	for (size_t child; (child = 2 * i + 1) < r->n_timed; i = child) {
		if (child + 1 < r->n_timed && earlier(r->timed[child + 1], r->timed[child]))
			child++;
		if (!earlier(r->timed[child], moved))
			break;
		r->timed[i] = r->timed[child];
	}
	r->timed[i] = moved;
	return top;
}

void relay_plan(struct relay *r, struct flight *f, uint64_t due_ns)
{
	f->due_ns = due_ns;
	f->order = r->orders++;
	heap_push(r, f);
}

static bool is_watched(const struct relay *r, int side)
{
	const struct relay_witness *w = &r->dirs[side].witness;

	return w->ctx && capture_count(r->capture) < w->records;
}

/* ------------------------------------------------------------------------------------ recording */

static void record(struct relay *r, struct flight *f, enum capture_origin origin)
{
	struct capture_record rec = {
		.sent_ns = f->taken_ns,
		.wire = r->wire,
		.side = f->from,
		.fate = CAPTURE_ON_ITS_WAY,
		.origin = (uint8_t)origin,
		.len = (uint16_t)(f->len < UINT16_MAX ? f->len : UINT16_MAX),
	};

	if (!r->capture || !f->is_tcp)
		return;
	rec.frame = f->segment;
	memcpy(rec.bytes, f->bytes, f->len < CAPTURE_BYTES ? f->len : CAPTURE_BYTES);
	for (int side = 0; side < 2; side++)
		rec.watched |= is_watched(r, side);
	f->number = capture_add(r->capture, &rec);
	f->recorded = true;
	f->watched = rec.watched;
}

/* NULL, and counted, if there is no room. */
struct flight *relay_flight_new(struct relay *r, enum relay_side from, const uint8_t *bytes,
				size_t len, enum capture_origin origin)
{
	struct flight *f = r->pending < RELAY_PENDING ? malloc(sizeof(*f) + len) : NULL;

	if (!f) {
		r->dirs[from].counts.no_room++;
		r->dirs[from].counts.dropped++;
		return NULL;
	}
	r->pending++;
	*f = (struct flight){.from = (uint8_t)from, .len = len, .taken_ns = relay_clock()};
	memcpy(f->bytes, bytes, len);
	f->is_tcp = frame_read(f->bytes, len, &f->segment) == FRAME_TCP;
	record(r, f, origin);
	return f;
}

/* --------------------------------------------------------------------------- what a tap has for us
 */

static bool is_same_way(const struct frame *a, const struct frame *b)
{
	return a->from_port == b->from_port && a->to_port == b->to_port &&
	       address_equal(&a->from, &b->from) && address_equal(&a->to, &b->to);
}

/* Who sends one of these has another state than before, or a new socket. */
static bool changes_state(const struct frame *f)
{
	const uint8_t flags = f->flags & (FRAME_SYN | FRAME_FIN | FRAME_RST | FRAME_ACK);

	return flags == FRAME_SYN || flags & (FRAME_FIN | FRAME_RST);
}

/* A segment that changes its sender's state came right behind f. */
static bool is_outdated(const struct flight *f)
{
	for (const struct flight *g = f->next; g; g = g->next)
		if (g->is_tcp && changes_state(&g->segment) &&
		    is_same_way(&f->segment, &g->segment))
			return true;
	return false;
}

static void look(struct relay *r, struct flight *f)
{
	const struct relay_witness *w = &r->dirs[f->from].witness;

	if (f->watched && w->ctx)
		w->sent(w->ctx, &f->segment, &f->sight);
}

static void tell_look(struct relay *r, struct flight *f)
{
	if (!f->watched)
		return;
	if (is_outdated(f))
		f->sight.state = 0;
	capture_see(r->capture, f->number, 0, &f->sight);
}

void relay_look_at_sender(struct relay *r, struct flight *f)
{
	look(r, f);
	tell_look(r, f);
}

/* The state is one that its sender takes just before it says so on the wire. */
static bool is_doubtful(const struct flight *f)
{
	const uint8_t state = f->sight.state, flags = f->segment.flags;

	return (state == TCPWHY_CLOSE && !(flags & FRAME_RST)) ||
	       ((state == TCPWHY_FIN_WAIT1 || state == TCPWHY_LAST_ACK ||
		 state == TCPWHY_CLOSING) &&
		!(flags & FRAME_FIN));
}

/* False: there is none. NULL: there was no room for it, or it is no frame. */
static bool receive(struct relay *r, enum relay_side from, struct flight **f)
{
	const ssize_t n = tap_receive(&r->taps[from], r->frame, sizeof(r->frame));

	*f = NULL;
	if (n >= 0 && (size_t)n <= sizeof(r->frame)) {
		r->dirs[from].counts.taken++;
		*f = relay_flight_new(r, from, r->frame, (size_t)n, CAPTURE_SENT);
	}
	return n >= 0;
}

/* How many were taken; they stand at the end of the line. */
static int receive_some(struct relay *r, enum relay_side from)
{
	struct direction *d = &r->dirs[from];
	int n = 0;

	for (struct flight *f; n < RELAY_BATCH && d->n_came < RELAY_BATCH && receive(r, from, &f);
	     n++) {
		if (!f)
			continue;
		*d->last_came = f;
		d->last_came = &f->next;
		d->n_came++;
	}
	return n;
}

/* What comes last tells whether the looks are of the moment that is meant: so the tap is asked
 * again after them. */
void relay_gather(struct relay *r, enum relay_side from)
{
	static const struct timespec moment = {0, 50000};
	struct direction *d = &r->dirs[from];
	struct flight **first = d->last_came, **fresh = first;

	while (receive_some(r, from)) {
		bool looked = false, doubt = false;

		for (struct flight *f = *fresh; f; f = f->next) {
			look(r, f);
			looked |= f->watched;
			doubt |= f->watched && is_doubtful(f);
		}
		fresh = d->last_came;
		if (!looked)
			break;
		if (doubt)
			nanosleep(&moment, NULL);
	}
	for (struct flight *f = *first; f; f = f->next)
		tell_look(r, f);
}

struct flight *relay_next_came(struct direction *d)
{
	struct flight *f = d->came;

	if (!f)
		return NULL;
	d->came = f->next;
	if (!d->came)
		d->last_came = &d->came;
	d->n_came--;
	f->next = NULL;
	return f;
}

/* What the receiver of f sent since was no answer of its kernel's: a program acted, and the look
 * may be of after that. A kernel's RST has an ACK only where what it answers has none. */
static bool was_overtaken(const struct flight *since, const struct flight *f)
{
	const struct frame *to = &f->segment;

	for (const struct flight *g = since; g; g = g->next) {
		const struct frame *is = &g->segment;
		if (!g->is_tcp || is->from_port != to->to_port || is->to_port != to->from_port ||
		    !address_equal(&is->from, &to->to) || !address_equal(&is->to, &to->from) ||
		    !changes_state(is))
			continue;
		if (!(is->flags & FRAME_RST) || (is->flags & to->flags & FRAME_ACK))
			return true;
	}
	return false;
}

/* ------------------------------------------------------------------------------------- delivery */

static void settle(struct relay *r, const struct flight *f, enum capture_fate fate, uint64_t when)
{
	if (f->recorded)
		capture_settle(r->capture, f->number, fate, when);
}

void relay_flight_free(struct relay *r, struct flight *f)
{
	r->pending--;
	free(f);
}

void relay_lose(struct relay *r, struct flight *f)
{
	r->dirs[f->from].counts.dropped++;
	settle(r, f, CAPTURE_LOST, 0);
	relay_flight_free(r, f);
}

int relay_hand_over(struct relay *r, struct flight *f)
{
	const enum relay_side to = (enum relay_side) !f->from;
	const struct relay_witness *w = &r->dirs[to].witness;
	const bool is_seen = f->watched && w->ctx;
	struct capture_sight sight = {0};

	if (is_seen)
		relay_gather(r, to);
	struct flight **since = r->dirs[to].last_came;
	/* before the answer to it can come, or its receiver look into the capture */
	settle(r, f, CAPTURE_ARRIVED, relay_clock());
	if (is_seen)
		w->before(w->ctx);
	const int rc = tap_send(&r->taps[to], f->bytes, f->len);
	if (rc)
		settle(r, f, CAPTURE_REFUSED, 0);
	if (is_seen) {
		w->arrived(w->ctx, &f->segment, &sight);
		relay_gather(r, to);
		if (was_overtaken(*since, f))
			sight.state = 0;
	}
	if (f->watched)
		capture_see(r->capture, f->number, 1, &sight);
	return rc;
}

void relay_deliver(struct relay *r, struct flight *f)
{
	struct direction *d = &r->dirs[f->from];

	if (!relay_hand_over(r, f))
		d->counts.delivered++;
	else
		d->counts.dropped++;
	relay_flight_free(r, f);
}

/* Sends, now or when its hour comes; what had to wait for it follows at the same hour. */
void relay_dispatch(struct relay *r, struct flight *f, uint64_t now, uint64_t delay_ns)
{
	struct direction *d = &r->dirs[f->from];
	struct flight *behind = d->swapped;

	d->swapped = NULL;
	for (; f; f = behind, behind = NULL) {
		if (!delay_ns) {
			relay_deliver(r, f);
			continue;
		}
		relay_plan(r, f, now + delay_ns);
	}
}

void relay_deliver_due(struct relay *r, uint64_t now)
{
	while (r->n_timed && r->timed[0]->due_ns <= now)
		relay_deliver(r, relay_pop(r));
}
