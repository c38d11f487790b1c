/* SPDX-License-Identifier: MIT */
#include "report/ladder.h"

#include <stdlib.h>
#include <string.h>

#include "report/ladder_lines.h"

enum { LOOK_BACK = 1024 }; /* segments that left before: a bound for plays of many */

/* ----------------------------------------------------------------------------------------- events
 */

static bool is_shown(const struct ladder *l, const struct play_call *c)
{
	return c->node < 0 ? c->is_note : l->way->column[c->node] >= 0;
}

static void add(struct ladder *l, struct event e)
{
	e.onward = e.apart = EVENT_NONE;
	l->events[l->events_n++] = e;
}

static int in_order(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	if (x->at_ns != y->at_ns)
		return x->at_ns < y->at_ns ? -1 : 1;
	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	return (int)x->kind - (int)y->kind;
}

static void collect_calls(struct ladder *l)
{
	const struct play *p = l->p;

	for (uint32_t i = 0; i < p->calls_n; i++) {
		const struct play_call *c = &p->calls[i];
		if (!is_shown(l, c))
			continue;
		add(l, (struct event){.kind = CALL_BEGINS,
				      .index = i,
				      .at_ns = c->at_ns,
				      .place = 2 * (uint64_t)c->sent_before});
		if (!c->is_note && c->result[0])
			add(l, (struct event){.kind = CALL_ENDS,
					      .index = i,
					      .at_ns = c->end_ns,
					      .place = 2 * (uint64_t)c->sent_until});
	}
}

/* One that went later, the same way, came earlier. */
static bool is_overtaken(const struct play *p, uint32_t i)
{
	const struct line_record *r = &p->segments[i].record;

	if (r->passage != LINE_DELIVERED || r->arrived_ns <= r->sent_ns)
		return false;
	for (uint32_t k = i + 1; k < p->segments_n; k++) {
		const struct line_record *later = &p->segments[k].record;
		if (later->sent_ns >= r->arrived_ns)
			return false;
		if (later->link == r->link && later->direction == r->direction &&
		    later->passage == LINE_DELIVERED && later->arrived_ns < r->arrived_ns)
			return true;
	}
	return false;
}

static uint64_t transit(const struct line_record *r)
{
	return r->passage == LINE_DELIVERED && r->arrived_ns > r->sent_ns
		       ? r->arrived_ns - r->sent_ns
		       : 0;
}

/* Of what the link, the way it is, takes for a segment in either direction. */
static uint64_t shortest_transit(const struct play *p, uint32_t link)
{
	uint64_t shortest = UINT64_MAX;

	for (uint32_t i = 0; i < p->segments_n; i++) {
		const struct line_record *r = &p->segments[i].record;
		const uint64_t took = transit(r);
		if (took && r->link == (int)link && took < shortest)
			shortest = took;
	}
	return shortest;
}

static bool is_between(uint64_t at_ns, const struct line_record *r)
{
	return at_ns > r->sent_ns && at_ns < r->arrived_ns;
}

/* Another one left, or came, while this one was on its way. */
static bool others_passed(const struct play *p, uint32_t i)
{
	const struct line_record *r = &p->segments[i].record;
	const uint32_t first = i > LOOK_BACK ? i - LOOK_BACK : 0;

	for (uint32_t k = first; k < p->segments_n; k++) {
		const struct line_record *other = &p->segments[k].record;
		if (k > i && other->sent_ns >= r->arrived_ns)
			break;
		if (k == i || other->link != r->link)
			continue;
		if (is_between(other->sent_ns, r) ||
		    (transit(other) && is_between(other->arrived_ns, r)))
			return true;
	}
	return false;
}

static bool someone_called(const struct ladder *l, const struct line_record *r)
{
	for (uint32_t i = 0; i < l->p->calls_n; i++) {
		const struct play_call *c = &l->p->calls[i];
		if (is_shown(l, c) && (is_between(c->at_ns, r) || is_between(c->end_ns, r)))
			return true;
	}
	return false;
}

/* One that took longer than others of its link, while its hosts did something else: what the
 * receiver became is not of the moment in which it went. */
static bool is_held_up(const struct ladder *l, uint32_t i)
{
	const struct line_record *r = &l->p->segments[i].record;
	const uint64_t took = transit(r);

	return took > l->shortest_ns && took - l->shortest_ns > LADDER_AT_ONCE_NS &&
	       (others_passed(l->p, i) || someone_called(l, r));
}

static bool is_late(const struct ladder *l, uint32_t i)
{
	return is_overtaken(l->p, i) || (l->way->columns == 2 && is_held_up(l, i));
}

static void collect_segments(struct ladder *l)
{
	const struct play *p = l->p;

	if (l->way->columns == 2)
		l->shortest_ns = shortest_transit(p, l->link);
	for (uint32_t i = 0; i < p->segments_n; i++) {
		const struct line_record *r = &p->segments[i].record;
		if (r->link < 0 || (uint32_t)r->link >= p->links_n || !l->way->has_link[r->link])
			continue;
		const bool late = is_late(l, i);
		add(l, (struct event){.kind = SEGMENT_WENT,
				      .index = i,
				      .at_ns = r->sent_ns,
				      .place = 2 * (uint64_t)i + 1,
				      .comes_late = late});
		/* What is done about it is of the same moment, and behind it. */
		if (late)
			add(l, (struct event){
				       .kind = SEGMENT_CAME, .index = i, .at_ns = r->arrived_ns});
	}
}

/* The model's clock stands still while a host works: what was sent by then says what came first. */
static void collect(struct ladder *l)
{
	l->events_n = 0;
	collect_calls(l);
	collect_segments(l);
	qsort(l->events, l->events_n, sizeof(*l->events), in_order);
}

/* ------------------------------------------------------------------------------------ connections
 */

static bool is_segment(const struct event *e)
{
	return e->kind == SEGMENT_WENT || e->kind == SEGMENT_CAME;
}

static uint32_t *name_of(struct ladder *l, uint32_t event)
{
	return &l->names[l->numbers[l->events[event].index].connection];
}

/* Behind a box that translates addresses a connection is another one of the play, and here still
 * the same: its first segment there is one that came to the box before, however long it took. */
static uint32_t name_before_box(struct ladder *l, uint32_t i)
{
	for (uint32_t k = i; k-- > 0;)
		if (is_segment(&l->events[k]) && *name_of(l, k) &&
		    ladder_chain_goes_on(l, &l->events[k], &l->events[i]))
			return *name_of(l, k);
	return 0;
}

/* In the order in which they begin. */
static void name_connections(struct ladder *l)
{
	uint32_t named = 0;

	memset(l->names, 0, l->p->segments_n * sizeof(*l->names));
	l->names_them = false;
	for (uint32_t i = 0; i < l->events_n; i++) {
		if (!is_segment(&l->events[i]))
			continue;
		uint32_t *name = name_of(l, i);
		if (!*name && l->way->columns > 2)
			*name = name_before_box(l, i);
		if (!*name)
			*name = ++named;
		else if (*name < named)
			l->names_them = true;
	}
}

/* ------------------------------------------------------------------------------------------ lines
 */

static bool has_room(struct ladder *l)
{
	if (l->printed < l->max) {
		l->printed++;
		return true;
	}
	l->left_out++;
	return false;
}

static void print_segment(struct ladder *l, const struct event *e)
{
	if (e->is_told || !has_room(l))
		return;
	if (l->way->columns == 2)
		ladder_link_segment(l, e);
	else
		ladder_chain_segment(l, e);
}

/* "connect(10.0.0.2:80)" is "connect()" where it ends. */
static void call_text(const struct play_call *c, bool begins, bool ends,
		      char out[static LADDER_TEXT])
{
	int n = begins ? (int)strlen(c->text) : (int)strcspn(c->text, "(");

	snprintf(out, LADDER_TEXT, "%.*s%s%s%s", n, c->text, begins ? "" : "()",
		 ends && c->result[0] ? " = " : "", ends ? c->result : "");
}

static void print_call(struct ladder *l, const struct play_call *c, bool begins, bool ends)
{
	const uint64_t at_ns = begins ? c->at_ns : c->end_ns;
	char text[LADDER_TEXT];

	if (!has_room(l))
		return;
	call_text(c, begins, ends, text);
	if (l->way->columns == 2)
		ladder_link_call(l, c, at_ns, text);
	else
		ladder_chain_call(l, c, at_ns, text);
}

/* Only a call that waits, so that it lets others do something, has an end of its own. */
static bool waits(const struct ladder *l, uint32_t i)
{
	const struct play_call *c = &l->p->calls[l->events[i].index];
	const struct event *next = i + 1 < l->events_n ? &l->events[i + 1] : NULL;

	return c->waited && next && !(next->kind == CALL_ENDS && next->index == l->events[i].index);
}

static void print_events(struct ladder *l)
{
	bool apart = false; /* the call that is going on has an end of its own */

	for (uint32_t i = 0; i < l->events_n; i++) {
		const struct event *e = &l->events[i];
		switch (e->kind) {
		case CALL_BEGINS:
			apart = waits(l, i);
			print_call(l, &l->p->calls[e->index], true, !apart);
			break;
		case CALL_ENDS:
			if (apart)
				print_call(l, &l->p->calls[e->index], false, true);
			apart = false;
			break;
		case SEGMENT_WENT:
		case SEGMENT_CAME:
			print_segment(l, e);
			break;
		}
	}
}

static void print_ladder(struct ladder *l)
{
	for (uint32_t i = 0; i < l->p->links_n; i++)
		l->max += l->way->has_link[i] ? l->max_of_link : 0;
	collect(l);
	if (l->way->columns > 2)
		ladder_chain_prepare(l);
	name_connections(l);
	if (l->way->columns > 2)
		ladder_chain_title(l);
	else
		ladder_link_title(l);
	print_events(l);
	if (l->left_out)
		fprintf(l->out, "%14s%u lines more\n", "", l->left_out);
}

/* Each ladder stands where its first link does. */
static bool is_printed(const struct way *w, uint32_t link)
{
	for (uint32_t i = 0; i < link; i++)
		if (w->has_link[i])
			return true;
	return false;
}

void ladder_print(const struct play *p, unsigned max, FILE *out)
{
	const size_t events_max = 2 * ((size_t)p->segments_n + p->calls_n) + 1;
	struct agree_numbers *numbers = malloc((p->segments_n + 1) * sizeof(*numbers));
	uint32_t *names = malloc((p->segments_n + 1) * sizeof(*names));
	struct event *events = malloc(events_max * sizeof(*events));
	struct way way = {0};
	const bool ok = numbers && names && events && way_init(&way, p);

	if (ok)
		agree_number(p, numbers);
	for (uint32_t i = 0; ok && i < p->links_n; i++) {
		struct ladder l = {.p = p,
				   .numbers = numbers,
				   .names = names,
				   .way = &way,
				   .link = i,
				   .out = out,
				   .max_of_link = max,
				   .events = events};
		way_find(&way, p, i);
		if (!is_printed(&way, i))
			print_ladder(&l);
	}
	if (ok)
		way_fini(&way);
	free(numbers);
	free(names);
	free(events);
}
