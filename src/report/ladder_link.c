/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "report/ladder_lines.h"

/* Columns: the time, what the left end shows, the arrow, what the right end shows. */
enum { TIME = 13, LEFT = 12, ARROW = 29 };
enum { MIDDLE = TIME + 1 + LEFT, RIGHT = MIDDLE + ARROW + 1 };
enum { ARROW_TEXT = LADDER_LABEL + 160 };

void ladder_link_title(const struct ladder *l)
{
	const struct play *p = l->p;
	struct fold f = {.out = l->out};

	fold_plain(&f, p->stage);
	fold_plain(&f, " ");
	fold_plain(&f, p->release);
	fold_to(&f, TIME + 1);
	fold_plain(&f, p->nodes[p->links[l->link].node[0]].name);
	ladder_put(&f, RIGHT, MIDDLE, p->nodes[p->links[l->link].node[1]].name);
	fold_newline(&f);
}

/* A time that is wider than its column, a century's, has a line of its own. */
static void put_time(struct fold *f, uint64_t ns)
{
	char time[24];

	ladder_time(ns, time);
	fold_plain(f, time);
	fold_plain(f, " ms");
	if (f->column > TIME)
		fold_newline(f);
}

static bool is_departure(const struct event *e)
{
	return e->kind == SEGMENT_WENT && e->comes_late;
}

/* "── SYN 0 ──▶", "◀── RST 1 ──", or with an x where it was lost, a bar where it was held. */
static void arrow_of(const struct ladder *l, const struct event *e, char out[static ARROW_TEXT])
{
	const struct line_record *r = &l->p->segments[e->index].record;
	const bool right = r->direction == LINE_FROM_0, lost = r->passage == LINE_LOST;
	const char *stop = lost ? "x" : is_departure(e) ? "|" : NULL;
	char label[LADDER_LABEL];
	int fill;

	ladder_label(l, e->index, label);
	fill = ARROW - 5 - (int)strlen(label);
	out[0] = '\0';
	strcat(out, right ? "" : stop ? stop : "◀");
	strcat(out, "── ");
	strcat(out, label);
	strcat(out, " ");
	for (int k = 0; k < fill && k < 40; k++)
		strcat(out, "─");
	if (right)
		strcat(out, stop ? stop : "▶");
}

static void put_arrow(struct fold *f, const char *arrow)
{
	const int width = fold_columns(arrow);

	if (MIDDLE + width > FOLD_WIDTH) { /* every flag, and numbers of ten digits */
		fold_newline(f);
		fold_to(f, FOLD_WIDTH - width);
	} else {
		fold_to(f, MIDDLE);
	}
	fold_plain(f, arrow);
}

static const char *befell(const struct event *e, const struct line_record *r)
{
	const char *origin = ladder_origin(r);

	if (e->kind == SEGMENT_CAME)
		return "late";
	if (e->comes_late)
		return "held";
	return origin[0] ? origin : ladder_passage(r);
}

/* Each end at its own moment. */
static const char *state_of(const struct event *e, const struct play_segment *s, bool receiver)
{
	const bool is_there = receiver ? !is_departure(e) : e->kind == SEGMENT_WENT;

	return is_there ? ladder_state(s->state[receiver]) : "";
}

void ladder_link_segment(const struct ladder *l, const struct event *e)
{
	const struct play_segment *s = &l->p->segments[e->index];
	bool right = s->record.direction == LINE_FROM_0;
	const char *left_state = state_of(e, s, !right), *right_state = state_of(e, s, right);
	const char *passage = befell(e, &s->record);
	struct fold f = {.out = l->out};
	char arrow[ARROW_TEXT], end[64];

	arrow_of(l, e, arrow);
	snprintf(end, sizeof(end), "%s%s%s", right_state, right_state[0] && passage[0] ? ", " : "",
		 passage);
	put_time(&f, e->at_ns);
	fold_to(&f, TIME + 1);
	fold_plain(&f, left_state);
	put_arrow(&f, arrow);
	if (end[0] && f.column >= RIGHT) /* numbers of ten digits */
		fold_newline(&f);
	if (end[0]) {
		fold_to(&f, RIGHT);
		fold_plain(&f, end);
	}
	fold_newline(&f);
	/* Under the arrow: beside the state it would not fit. */
	if (s->counted[0] && !is_departure(e))
		ladder_put_counted(l, s, ladder_node(l->p, &s->record, true), MIDDLE);
}

void ladder_link_call(const struct ladder *l, const struct play_call *c, uint64_t at_ns,
		      const char *text)
{
	const bool right = c->node == l->p->links[l->link].node[1];
	struct fold f = {.out = l->out};

	put_time(&f, at_ns);
	if (right)
		ladder_put(&f, RIGHT, MIDDLE, text);
	else
		ladder_put(&f, TIME + 1, TIME + 1, text);
	fold_newline(&f);
}
