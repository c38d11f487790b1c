/* SPDX-License-Identifier: MIT
 *
 * What will happen: one heap, by time and then by the order of planning
 */
#include "world/state.h"

static bool sooner(const struct event *a, const struct event *b)
{
	return a->when_ns != b->when_ns ? a->when_ns < b->when_ns : a->order < b->order;
}

bool event_plan(struct world *w, enum event_kind kind, uint64_t when_ns, uint32_t node,
		uint32_t what)
{
	struct event e = {.when_ns = when_ns > w->now_ns ? when_ns : w->now_ns,
			  .order = w->order++,
			  .what = what,
			  .node = node,
			  .kind = (uint8_t)kind};

	if (!memory_grow(&w->memory, &w->heap, &w->heap_size, w->heap_used + 1, sizeof(e)))
		return false;
	uint32_t at = w->heap_used++;
	while (at && sooner(&e, &w->heap[(at - 1) / 2])) {
		w->heap[at] = w->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	w->heap[at] = e;
	return true;
}

struct event event_take(struct world *w)
{
	struct event first = w->heap[0], last = w->heap[--w->heap_used];
	uint32_t at = 0, child;

	while ((child = 2 * at + 1) < w->heap_used) {
		if (child + 1 < w->heap_used && sooner(&w->heap[child + 1], &w->heap[child]))
			child++;
		if (!sooner(&w->heap[child], &last))
			break;
		w->heap[at] = w->heap[child];
		at = child;
	}
	w->heap[at] = last;
	return first;
}
