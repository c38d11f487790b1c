/* SPDX-License-Identifier: MIT
 *
 * Segments on their way: delay, chance, what controls do to them, and the record of it
 *
 * A segment is recorded where it enters the wire; then the controls of its direction are asked in
 * order, then chance, and what is left arrives after the delay.
 */
#include <errno.h>

#include "world/state.h"

/* -------------------------------------------------------------------------------------- flights
 */

static uint32_t flight_new(struct world *w, const struct segment *s, uint32_t link,
			   uint8_t direction)
{
	uint32_t i = w->flights_free;

	if (i != NIL) {
		w->flights_free = w->flights[i].next;
	} else {
		if (w->flights_used == WORLD_FLIGHTS ||
		    !memory_grow(&w->memory, &w->flights, &w->flights_size, w->flights_used + 1,
				 sizeof(*w->flights)))
			return NIL;
		i = w->flights_used++;
	}
	w->flights[i] = (struct flight){.s = *s, .link = link, .direction = direction};
	w->flights[i].s.device = 0;
	w->flights[i].record = w->flights[i].next = NIL;
	return i;
}

static void flight_drop(struct world *w, uint32_t i)
{
	w->flights[i].next = w->flights_free;
	w->flights_free = i;
}

static void settle(struct world *w, uint32_t flight, enum line_passage passage)
{
	uint32_t record = w->flights[flight].record;

	if (record == NIL)
		return;
	w->trace[record].passage = (uint8_t)passage;
	if (passage == LINE_DELIVERED)
		w->trace[record].arrived_ns = w->now_ns;
}

static void lose(struct world *w, uint32_t flight)
{
	settle(w, flight, LINE_LOST);
	flight_drop(w, flight);
}

static void keep(struct world *w, struct flights *list, uint32_t i)
{
	w->flights[i].next = NIL;
	if (list->last == NIL)
		list->first = i;
	else
		w->flights[list->last].next = i;
	list->last = i;
	list->count++;
}

/* NIL: it is empty. */
static uint32_t take(struct world *w, struct flights *list)
{
	uint32_t i = list->first;

	if (i == NIL)
		return NIL;
	list->first = w->flights[i].next;
	if (list->first == NIL)
		list->last = NIL;
	list->count--;
	return i;
}

/* ------------------------------------------------------------------------------------ the trace
 */

static void record(struct world *w, uint32_t flight, enum line_origin origin)
{
	struct flight *f = &w->flights[flight];

	if (!w->links[f->link].tapped)
		return;
	w->trace_count++;
	if (w->trace_used == w->config.trace_max ||
	    !memory_grow(&w->memory, &w->trace, &w->trace_size, w->trace_used + 1,
			 sizeof(*w->trace)))
		return;
	f->record = w->trace_used++;
	w->trace[f->record] = (struct line_record){.sent_ns = w->now_ns,
						   .link = (int)f->link,
						   .direction = f->direction,
						   .passage = LINE_ON_ITS_WAY,
						   .origin = (uint8_t)origin,
						   .segment = f->s};
}

size_t world_trace_count(const struct world *w)
{
	return w->trace_count;
}

bool world_trace(const struct world *w, size_t i, struct line_record *out)
{
	if (i >= w->trace_used)
		return false;
	*out = w->trace[i];
	return true;
}

/* ------------------------------------------------------------------------------------- controls
 */

static bool fits(const struct line_pick *p, const struct segment *s)
{
	return (s->flags & p->flags_set) == p->flags_set && !(s->flags & p->flags_clear) &&
	       (!p->from_port || p->from_port == s->from_port) &&
	       (!p->to_port || p->to_port == s->to_port) &&
	       (p->data == LINE_ANY_LENGTH || (p->data == LINE_DATA) == (s->length > 0));
}

static bool fires(struct control *t, const struct segment *s)
{
	if ((t->c.times && t->fired == t->c.times) || !fits(&t->c.pick, s))
		return false;
	unsigned n = t->seen++, every = t->c.every ? t->c.every : 1;
	if (n < t->c.skip || (n - t->c.skip) % every)
		return false;
	t->fired++;
	return true;
}

static struct control *control_for(struct world *w, const struct flight *f)
{
	uint32_t left = w->links[f->link].controls[f->direction];

	for (uint32_t i = 0; i < w->n_controls && left; i++) {
		struct control *t = &w->controls[i];
		if (!t->used || t->link != f->link || t->direction != f->direction)
			continue;
		left--;
		if (fires(t, &f->s))
			return t;
	}
	return NULL;
}

static void forget(struct world *w, struct flights *list)
{
	for (uint32_t i; (i = take(w, list)) != NIL;)
		lose(w, i);
}

static struct flights no_flights(void)
{
	return (struct flights){.first = NIL, .last = NIL};
}

/* Numbers are in the order of adding, so they are not used again. */
int world_add_control(struct world *w, uint32_t link, enum line_direction d,
		      const struct line_control *c)
{
	uint32_t i = w->n_controls;

	must(link < w->n_links && d != LINE_BOTH);
	if (i == WORLD_CONTROLS)
		return -ENOSPC;
	if (!memory_grow(&w->memory, &w->controls, &w->controls_size, i + 1, sizeof(*w->controls)))
		return -ENOMEM;
	w->controls[i] = (struct control){
		.c = *c, .link = link, .held = no_flights(), .direction = (uint8_t)d, .used = true};
	w->links[link].controls[d]++;
	w->n_controls++;
	return (int)i;
}

void world_remove_control(struct world *w, uint32_t control)
{
	must(control < w->n_controls);
	struct control *t = &w->controls[control];
	if (!t->used)
		return;
	forget(w, &t->held);
	w->links[t->link].controls[t->direction]--;
	t->used = false;
}

unsigned world_fired(const struct world *w, uint32_t control)
{
	must(control < w->n_controls);
	return w->controls[control].fired;
}

unsigned world_held(const struct world *w, uint32_t control)
{
	must(control < w->n_controls);
	return w->controls[control].held.count;
}

/* --------------------------------------------------------------------------------------- the way
 */

static void depart(struct world *w, uint32_t flight, uint64_t more_ns)
{
	const struct flight *f = &w->flights[flight];
	uint64_t delay = w->links[f->link].delay_ns[f->direction];

	delay = delay ? delay : CABLE_NS;
	if (!event_plan(w, EVENT_FLIGHT, w->now_ns + delay + more_ns, 0, flight))
		lose(w, flight);
}

/* Chance, and then what waited for one that goes. */
static void go(struct world *w, uint32_t flight, uint64_t more_ns)
{
	const struct flight *f = &w->flights[flight];
	struct link *l = &w->links[f->link];
	uint32_t loss = l->loss_ppm[f->direction];
	uint8_t direction = f->direction;

	if (loss && draw_from(&w->random, 1000000) < loss)
		lose(w, flight);
	else
		depart(w, flight, more_ns);
	for (uint32_t i; (i = take(w, &l->swapped[direction])) != NIL;)
		depart(w, i, 0);
}

static void copy(struct world *w, uint32_t flight, uint64_t later_ns)
{
	struct flight f = w->flights[flight];
	uint32_t again = flight_new(w, &f.s, f.link, f.direction);

	if (again == NIL)
		return;
	record(w, again, LINE_COPIED);
	depart(w, again, later_ns);
}

static void enter(struct world *w, uint32_t i)
{
	/* All that a line does and records is of TCP. */
	if (w->flights[i].s.error) {
		depart(w, i, 0);
		return;
	}
	record(w, i, LINE_SENT);
	struct control *t = control_for(w, &w->flights[i]);
	switch (t ? t->c.action : LINE_PASS) {
	case LINE_PASS:
		go(w, i, 0);
		break;
	case LINE_DROP:
		lose(w, i);
		break;
	case LINE_DELAY:
		go(w, i, t->c.delay_ns);
		break;
	case LINE_COPY:
		copy(w, i, t->c.delay_ns);
		go(w, i, 0);
		break;
	case LINE_HOLD:
		keep(w, &t->held, i);
		break;
	case LINE_SWAP:
		keep(w, &w->links[w->flights[i].link].swapped[w->flights[i].direction], i);
		break;
	}
}

void wire_send(struct world *w, uint32_t link, uint8_t direction, const struct segment *s)
{
	uint32_t i = flight_new(w, s, link, direction);

	if (i != NIL)
		enter(w, i);
}

unsigned world_release(struct world *w, uint32_t control)
{
	unsigned n = 0;

	must(control < w->n_controls);
	struct control *t = &w->controls[control];
	for (uint32_t i; (i = take(w, &t->held)) != NIL; n++)
		depart(w, i, 0);
	return n;
}

void world_inject(struct world *w, uint32_t link, enum line_direction d, const struct segment *s)
{
	must(link < w->n_links && d != LINE_BOTH);
	uint32_t i = flight_new(w, s, link, (uint8_t)d);
	if (i == NIL)
		return;
	record(w, i, LINE_INJECTED);
	depart(w, i, 0);
}

void wire_loop(struct world *w, uint32_t node, const struct segment *s)
{
	uint32_t i = flight_new(w, s, NIL, 0);

	if (i == NIL)
		return;
	w->flights[i].node = node;
	if (!event_plan(w, EVENT_FLIGHT, w->now_ns + LOOPBACK_NS, 0, i))
		flight_drop(w, i);
}

/* ----------------------------------------------------------------------------------- the arrival
 */

/* A box that only passes on does not take the flight apart. False: it is for the box. */
static bool pass_on(struct world *w, uint32_t flight, uint32_t node)
{
	struct flight *f = &w->flights[flight];
	bool local;
	uint32_t link = route_link(w, node, &f->s, &local);

	if (local)
		return false;
	if (link == NIL) {
		flight_drop(w, flight);
		return true;
	}
	f->link = link;
	f->direction = side_of(w, link, node);
	f->record = f->next = NIL;
	enter(w, flight);
	return true;
}

/* False: the host does not take it. */
static bool arrive_at_host(struct world *w, const struct end *end, const struct segment *s)
{
	if (!route_is_local(w, end->node, &s->to) || address_is_loopback(&s->to))
		return false;
	host_take(w, end->node, s, end->device);
	return true;
}

void wire_arrive(struct world *w, uint32_t flight)
{
	const struct flight *there = &w->flights[flight];
	const struct end *end =
		there->link == NIL ? NULL : &w->ends[there->link * 2 + 1 - there->direction];
	struct node *n = end ? w->nodes[end->node] : NULL;

	settle(w, flight, LINE_DELIVERED);
	if (n && !n->host && box_is_plain(n) && pass_on(w, flight, end->node))
		return;
	struct flight f = *there;
	flight_drop(w, flight);
	if (!end)
		host_take(w, f.node, &f.s, LOOPBACK);
	else if (!n->host)
		box_segment(w, n, &f.s);
	else if (!arrive_at_host(w, end, &f.s) && f.record != NIL)
		w->trace[f.record].passage = LINE_LOST;
}

void wire_expect(const struct world *w, uint32_t flight, unsigned others)
{
	const struct flight *f = &w->flights[flight];

	if (others + 1 == AHEAD) {
		__builtin_prefetch(f);
		__builtin_prefetch((const char *)f + 64);
		return;
	}
	uint32_t node = f->link == NIL ? f->node : w->ends[f->link * 2 + 1 - f->direction].node;
	if (w->nodes[node]->host)
		host_expect(w->nodes[node]->host, &f->s, others);
}
