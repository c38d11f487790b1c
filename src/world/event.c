/* SPDX-License-Identifier: MIT
 *
 * What will happen: a heap of instants, each with its events in the order of planning
 *
 * An event goes to the youngest instant of its time that is known, else to a new one. A time that
 * was forgotten gets a second instant, which is younger, so the order of planning holds.
 */
#include "world/state.h"

void agenda_init(struct agenda *a)
{
	a->events_free = a->instants_free = NIL;
}

void agenda_fini(struct memory *m, struct agenda *a)
{
	memory_drop(m, &a->events, a->events_size, sizeof(*a->events));
	memory_drop(m, &a->instants, a->instants_size, sizeof(*a->instants));
	memory_drop(m, &a->heap, a->heap_size, sizeof(*a->heap));
}

/* --------------------------------------------------------------------------------------- the heap
 */

static bool sooner(const struct turn *a, const struct turn *b)
{
	return a->when_ns != b->when_ns ? a->when_ns < b->when_ns : a->order < b->order;
}

static void heap_put(struct agenda *a, struct turn t)
{
	uint32_t at = a->heap_used++;

	while (at && sooner(&t, &a->heap[(at - 1) / 2])) {
		a->heap[at] = a->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	a->heap[at] = t;
}

static void heap_drop_first(struct agenda *a)
{
	struct turn last = a->heap[--a->heap_used];
	uint32_t at = 0, child;

	while ((child = 2 * at + 1) < a->heap_used) {
		if (child + 1 < a->heap_used && sooner(&a->heap[child + 1], &a->heap[child]))
			child++;
		if (!sooner(&a->heap[child], &last))
			break;
		a->heap[at] = a->heap[child];
		at = child;
	}
	a->heap[at] = last;
}

/* --------------------------------------------------------------------------------------- instants
 */

static uint32_t *known(struct agenda *a, uint64_t when_ns)
{
	return &a->known[hash_mix(when_ns, 0) % INSTANTS_KNOWN];
}

static uint32_t instant_new(struct memory *m, struct agenda *a, uint64_t when_ns)
{
	uint32_t i = a->instants_free;

	if (!memory_grow(m, &a->heap, &a->heap_size, a->heap_used + 1, sizeof(*a->heap)))
		return NIL;
	if (i != NIL)
		a->instants_free = a->instants[i].first;
	else if (memory_grow(m, &a->instants, &a->instants_size, a->instants_used + 1,
			     sizeof(*a->instants)))
		i = a->instants_used++;
	else
		return NIL;
	a->instants[i] = (struct instant){.when_ns = when_ns, .first = NIL, .last = NIL};
	heap_put(a, (struct turn){.when_ns = when_ns, .order = a->order++, .instant = i});
	*known(a, when_ns) = i + 1;
	return i;
}

/* A free one has a time at which nothing is planned. */
static uint32_t instant_of(struct memory *m, struct agenda *a, uint64_t when_ns)
{
	uint32_t i = *known(a, when_ns);

	return i && a->instants[i - 1].when_ns == when_ns ? i - 1 : instant_new(m, a, when_ns);
}

static void instant_drop(struct agenda *a, uint32_t i)
{
	heap_drop_first(a);
	a->instants[i] = (struct instant){.when_ns = NEVER, .first = a->instants_free};
	a->instants_free = i;
}

/* ----------------------------------------------------------------------------------------- events
 */

static uint32_t event_new(struct memory *m, struct agenda *a)
{
	uint32_t i = a->events_free;

	if (i != NIL)
		a->events_free = a->events[i].next;
	else if (memory_grow(m, &a->events, &a->events_size, a->events_used + 1,
			     sizeof(*a->events)))
		i = a->events_used++;
	return i;
}

static void event_drop(struct agenda *a, uint32_t e)
{
	a->events[e].next = a->events_free;
	a->events_free = e;
}

static void append(struct agenda *a, uint32_t i, uint32_t e)
{
	struct instant *at = &a->instants[i];

	if (at->first == NIL)
		at->first = e;
	else
		a->events[at->last].next = e;
	at->last = e;
}

bool event_plan(struct world *w, enum event_kind kind, uint64_t when_ns, uint32_t node,
		uint32_t what)
{
	struct agenda *a = &w->agenda;

	if (when_ns == NEVER)
		return true;
	uint32_t e = event_new(&w->memory, a);
	if (e == NIL)
		return false;
	uint32_t i = instant_of(&w->memory, a, when_ns > w->now_ns ? when_ns : w->now_ns);
	if (i == NIL) {
		event_drop(a, e);
		return false;
	}
	a->events[e] =
		(struct event){.what = what, .node = node, .next = NIL, .kind = (uint8_t)kind};
	append(a, i, e);
	return true;
}

uint64_t event_next(const struct world *w)
{
	return w->agenda.heap_used ? w->agenda.heap[0].when_ns : NEVER;
}

struct event event_take(struct world *w)
{
	struct agenda *a = &w->agenda;

	must(a->heap_used);
	uint32_t i = a->heap[0].instant, taken = a->instants[i].first;
	struct event e = a->events[taken];
	a->instants[i].first = e.next;
	event_drop(a, taken);
	if (e.next == NIL)
		instant_drop(a, i);
	return e;
}

void event_ahead(const struct world *w, uint32_t flight[AHEAD])
{
	const struct agenda *a = &w->agenda;
	uint32_t e = a->heap_used ? a->instants[a->heap[0].instant].first : NIL;

	for (unsigned i = 0; i < AHEAD; i++) {
		const struct event *at = e == NIL ? NULL : &a->events[e];
		flight[i] = at && at->kind == EVENT_FLIGHT ? at->what : NIL;
		e = at ? at->next : NIL;
	}
}
