/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "report/ladder.h"
#include "report/ladder_lines.h"

/* Columns: the time; the segment; then the nodes from left to right, and between two of them an
 * arrow. What a host shows is its state, what a box shows is what it believes of the session. */
enum { TIME = 10, STATE = 11, BELIEF = 7, SEGMENT = TIME + 1 };

static const struct {
	int segment, arrow;
} widths[WAY_COLUMNS + 1] = {[3] = {25, 5}, [4] = {17, 3}};

static int arrow_width(const struct ladder *l)
{
	return widths[l->way->columns].arrow;
}

static int column_at(const struct ladder *l, int column)
{
	const int first = SEGMENT + widths[l->way->columns].segment + 1;

	if (!column)
		return first;
	return first + STATE + 1 + arrow_width(l) + 1 +
	       (column - 1) * (BELIEF + 1 + arrow_width(l) + 1);
}

static const struct play_segment *segment_of(const struct ladder *l, const struct event *e)
{
	return &l->p->segments[e->index];
}

static int node_of(const struct ladder *l, const struct event *e, bool receiver)
{
	return ladder_node(l->p, &segment_of(l, e)->record, receiver);
}

static int column_of(const struct ladder *l, const struct event *e, bool receiver)
{
	return l->way->column[node_of(l, e, receiver)];
}

/* -------------------------------------------------------------------------------- through a box
 */

static bool is_segment(const struct event *e)
{
	return e->kind == SEGMENT_WENT || e->kind == SEGMENT_CAME;
}

/* Whether it came to a box with that event, so that it may go on from there. */
static bool reaches_box(const struct ladder *l, const struct event *e)
{
	return is_segment(e) && !e->comes_late &&
	       segment_of(l, e)->record.passage == LINE_DELIVERED &&
	       l->p->nodes[node_of(l, e, true)].is_box;
}

bool ladder_chain_goes_on(const struct ladder *l, const struct event *a, const struct event *b)
{
	const struct segment *x = &segment_of(l, a)->record.segment;
	const struct segment *y = &segment_of(l, b)->record.segment;

	return node_of(l, a, true) == node_of(l, b, false) &&
	       node_of(l, a, false) != node_of(l, b, true) && x->flags == y->flags &&
	       x->seq == y->seq && x->ack == y->ack && x->length == y->length;
}

static bool concerns(const struct ladder *l, const struct event *e, int node)
{
	if (is_segment(e))
		return node_of(l, e, false) == node || node_of(l, e, true) == node;
	return l->p->calls[e->index].node == node || l->p->calls[e->index].node < 0;
}

static uint32_t find_onward(const struct ladder *l, uint32_t i)
{
	const struct event *e = &l->events[i];

	for (uint32_t k = i + 1; k < l->events_n; k++) {
		const struct event *later = &l->events[k];
		if (later->at_ns - e->at_ns > LADDER_AT_ONCE_NS)
			break;
		if (later->kind == SEGMENT_WENT && !later->is_told && later->apart == EVENT_NONE &&
		    ladder_chain_goes_on(l, e, later))
			return k;
	}
	return EVENT_NONE;
}

/* A second hop is told with the first, before what lies between them. So that each host keeps its
 * own order, nothing of that may concern the receiver. */
static bool is_free_between(const struct ladder *l, uint32_t i, uint32_t k)
{
	const int receiver = node_of(l, &l->events[k], true);

	for (uint32_t j = i + 1; j < k; j++)
		if (!l->events[j].is_told && concerns(l, &l->events[j], receiver))
			return false;
	return true;
}

static void note_beliefs(struct ladder *l)
{
	for (uint32_t i = 0; i < l->events_n; i++)
		for (int end = 0; end < 2 && is_segment(&l->events[i]); end++)
			if (ladder_session(segment_of(l, &l->events[i])->session[end])[0])
				l->believes[column_of(l, &l->events[i], end)] = true;
}

void ladder_chain_prepare(struct ladder *l)
{
	for (uint32_t i = 0; i < l->events_n; i++) {
		struct event *e = &l->events[i];
		const uint32_t k = reaches_box(l, e) ? find_onward(l, i) : EVENT_NONE;
		if (k == EVENT_NONE)
			continue;
		if (is_free_between(l, i, k)) {
			e->onward = k;
			l->events[k].is_told = true;
		} else {
			e->apart = k;
			l->events[k].apart = i;
		}
	}
	note_beliefs(l);
}

/* --------------------------------------------------------------------------------------- drawing
 */

/* A line: what nodes show, and the arrow from one column to another. */
struct stroke {
	int from, to;
	const char *shows[WAY_COLUMNS]; /* "": nothing */
	const char *head;               /* "▶", "◀"; "x": lost there; "|": stopped there */
	int node[WAY_COLUMNS];          /* that the segment concerns; -1: it is not known */
};

static void draw_dashes(struct fold *f, int until, const char *first, const char *last)
{
	const int start = f->column;

	while (f->column < until)
		fold_plain(f, first && f->column == start      ? first
			      : last && f->column == until - 1 ? last
							       : "─");
}

/* From one column to the next. What a box shows interrupts the arrow; where it shows nothing the
 * arrow goes through. */
static void draw_gap(struct fold *f, const struct ladder *l, const struct stroke *s, int column)
{
	const int left = s->from < s->to ? s->from : s->to, right = s->from + s->to - left;
	const bool is_first = column == left, is_last = column + 1 == right;
	const bool through = !is_first && !s->shows[column][0];
	const bool on = !is_last && !s->shows[column + 1][0];
	const int start = column ? f->column + 1 : column_at(l, 0) + STATE + 1;

	if (is_first && !s->shows[column][0] && column)
		fold_to(f, column_at(l, column));
	else if (!through)
		fold_to(f, start);
	draw_dashes(f, column_at(l, column + 1) - !on, is_first && s->to == left ? s->head : NULL,
		    is_last && s->to == right ? s->head : NULL);
}

static void draw(struct fold *f, const struct ladder *l, const struct stroke *s)
{
	const int left = s->from < s->to ? s->from : s->to, right = s->from + s->to - left;

	for (int c = left; c <= right; c++) {
		if (s->shows[c][0]) {
			fold_to(f, column_at(l, c));
			fold_plain(f, s->shows[c]);
		}
		if (c < right)
			draw_gap(f, l, s, c);
	}
	fold_newline(f);
}

/* -------------------------------------------------------------------------------------- segments
 */

static const char *belief(const struct ladder *l, const struct play_segment *s, bool receiver,
			  int column)
{
	const bool is_sender_forged = !receiver && s->record.origin == LINE_INJECTED;

	if (s->session[receiver])
		return ladder_session(s->session[receiver]);
	/* Of a box that believes nothing ever there is nothing to say, nor of one that was not
	 * asked. */
	return l->believes[column] && s->seen[receiver] && !is_sender_forged ? "none" : "";
}

static void show(const struct ladder *l, struct stroke *s, const struct event *e, bool receiver)
{
	const struct play_segment *segment = segment_of(l, e);
	const int column = column_of(l, e, receiver), node = node_of(l, e, receiver);

	if (s->shows[column][0] && strcmp(s->shows[column], "none") != 0)
		return; /* the box, when it came */
	s->shows[column] = l->p->nodes[node].is_box ? belief(l, segment, receiver, column)
						    : ladder_state(segment->state[receiver]);
}

/* The last hop that the line of e tells. */
static const struct event *last_hop(const struct ladder *l, const struct event *e)
{
	while (e->onward != EVENT_NONE)
		e = &l->events[e->onward];
	return e;
}

static bool stays(const struct ladder *l, const struct event *e)
{
	return e->comes_late || segment_of(l, e)->record.passage != LINE_DELIVERED;
}

static void note_nodes(const struct ladder *l, struct stroke *s, const struct event *e)
{
	for (int end = 0; end < 2; end++)
		s->node[column_of(l, e, end)] = node_of(l, e, end);
}

static struct stroke stroke_of(const struct ladder *l, const struct event *e)
{
	const struct event *last = last_hop(l, e);
	struct stroke s = {.from = column_of(l, e, false), .to = column_of(l, last, true)};

	for (int c = 0; c < WAY_COLUMNS; c++) {
		s.shows[c] = "";
		s.node[c] = -1;
	}
	for (const struct event *hop = e;; hop = &l->events[hop->onward]) {
		note_nodes(l, &s, hop);
		if (hop->apart != EVENT_NONE)
			note_nodes(l, &s, &l->events[hop->apart]);
		if (hop->kind == SEGMENT_WENT)
			show(l, &s, hop, false);
		if (!stays(l, hop))
			show(l, &s, hop, true);
		if (hop == last)
			break;
	}
	s.head = segment_of(l, last)->record.passage == LINE_LOST ? "x"
		 : stays(l, last)                                 ? "|"
		 : s.from < s.to                                  ? "▶"
								  : "◀";
	return s;
}

/* Where several hosts share a column, which one it is. */
static void name_hosts(const struct ladder *l, const struct stroke *s,
		       char out[static 2 * PLAY_NAME_MAX])
{
	const int hosts[] = {0, l->way->columns - 1};
	int n = 0;

	for (int i = 0; i < 2; i++) {
		if (l->way->nodes[hosts[i]] < 2 || s->node[hosts[i]] < 0)
			continue;
		n += snprintf(out + n, 2 * PLAY_NAME_MAX - (size_t)n, "%s%s", n ? ", " : "",
			      l->p->nodes[s->node[hosts[i]]].name);
	}
	if (n)
		snprintf(out + n, 2 * PLAY_NAME_MAX - (size_t)n, ": ");
}

/* "young: SYN 0, a copy, lost" */
static void what_of(const struct ladder *l, const struct event *e, const struct stroke *s,
		    char out[static LADDER_TEXT])
{
	const struct event *last = last_hop(l, e);
	const char *fates[] = {
		ladder_origin(&segment_of(l, e)->record), e->kind == SEGMENT_CAME ? "late" : "",
		last->comes_late ? "held" : ladder_passage(&segment_of(l, last)->record)};
	char names[2 * PLAY_NAME_MAX] = "", label[LADDER_LABEL];

	name_hosts(l, s, names);
	ladder_label(l, e->index, label);
	int n = snprintf(out, LADDER_TEXT, "%s%s", names, label);
	for (size_t i = 0; i < sizeof(fates) / sizeof(fates[0]); i++)
		if (fates[i][0])
			n += snprintf(out + n, LADDER_TEXT - (size_t)n, ", %s", fates[i]);
}

/* A time that is wider than its column, a month's, has a line of its own. */
static void put_time(struct fold *f, uint64_t ns)
{
	char time[24];

	ladder_time(ns, time);
	fold_plain(f, time);
	if (f->column > TIME)
		fold_newline(f);
}

static void put_counted(const struct ladder *l, const struct event *e)
{
	const struct play_segment *s = segment_of(l, e);
	const int node = node_of(l, e, true), first = column_at(l, 0);
	const int width = fold_columns(l->p->nodes[node].name) + 2 + fold_columns(s->counted);
	int column = column_at(l, l->way->column[node]);

	if (!s->counted[0] || e->comes_late)
		return;
	if (column + width > FOLD_WIDTH)
		column = FOLD_WIDTH - width;
	ladder_put_counted(l, s, node, column < first ? first : column);
}

void ladder_chain_segment(const struct ladder *l, const struct event *e)
{
	const struct event *last = last_hop(l, e);
	const struct stroke s = stroke_of(l, e);
	struct fold f = {.out = l->out};
	char what[LADDER_TEXT];

	what_of(l, e, &s, what);
	put_time(&f, e->at_ns);
	ladder_put(&f, SEGMENT, SEGMENT, what);
	if (f.column >= column_at(l, 0)) /* long names and numbers stand above their arrow */
		fold_newline(&f);
	draw(&f, l, &s);
	for (; e != last; e = &l->events[e->onward])
		put_counted(l, e);
	put_counted(l, last);
}

/* --------------------------------------------------------------------------------- calls, title
 */

void ladder_chain_call(const struct ladder *l, const struct play_call *c, uint64_t at_ns,
		       const char *text)
{
	const int column = c->node < 0 ? -1 : l->way->column[c->node];
	char named[LADDER_TEXT + PLAY_NAME_MAX];
	struct fold f = {.out = l->out};

	put_time(&f, at_ns);
	if (column < 0) {
		ladder_put(&f, SEGMENT, SEGMENT, text);
	} else {
		snprintf(named, sizeof(named), "%s%s%s",
			 l->way->nodes[column] > 1 ? l->p->nodes[c->node].name : "",
			 l->way->nodes[column] > 1 ? ": " : "", text);
		ladder_put(&f, column_at(l, column), SEGMENT, named);
	}
	fold_newline(&f);
}

/* "old, young", or how many. */
static void column_title(const struct ladder *l, int column, char out[static LADDER_TEXT])
{
	const struct play *p = l->p;
	size_t n = 0;

	for (uint32_t i = 0; i < p->nodes_n && n < LADDER_TEXT; i++)
		if (l->way->column[i] == column)
			n += (size_t)snprintf(out + n, LADDER_TEXT - n, "%s%s", n ? ", " : "",
					      p->nodes[i].name);
	if (l->way->nodes[column] > 1 && n > STATE + (size_t)arrow_width(l))
		snprintf(out, LADDER_TEXT, "%u hosts", l->way->nodes[column]);
}

void ladder_chain_title(const struct ladder *l)
{
	struct fold f = {.out = l->out};
	char name[LADDER_TEXT];

	fold_plain(&f, l->p->stage);
	fold_plain(&f, " ");
	fold_plain(&f, l->p->release);
	fold_plain(&f, ", times in ms");
	for (int c = 0; c < l->way->columns; c++) {
		column_title(l, c, name);
		ladder_put(&f, column_at(l, c), 0, name);
	}
	fold_newline(&f);
}
