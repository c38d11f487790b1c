/* SPDX-License-Identifier: MIT */
#include "report/ladder.h"

#include <stdlib.h>
#include <string.h>

#include "case/agree.h"
#include "report/fold.h"

/* Columns: the time, what the left end shows, the arrow, what the right end shows. */
enum { TIME = 13, LEFT = 12, ARROW = 29 };
enum { MIDDLE = TIME + 1 + LEFT, RIGHT = MIDDLE + ARROW + 1 };

/* What a line tells. A call that waits has two: it begins, and it ends. */
enum event_kind { CALL_BEGINS, CALL_ENDS, SEGMENT };

struct event {
	enum event_kind kind;
	uint32_t index; /* in the list of its kind */
	uint64_t at_ns;
	uint64_t place; /* among those of the same moment */
};

struct ladder {
	const struct play *p;
	const struct agree_numbers *numbers;
	int link;
	FILE *out;
	unsigned printed, max, left_out;
	struct event *events;
	size_t events_n;
};

static void time_text(uint64_t ns, char out[static 24])
{
	snprintf(out, 24, "%10.3f ms", (double)ns / 1e6);
}

static bool has_room(struct ladder *l)
{
	if (l->printed < l->max) {
		l->printed++;
		return true;
	}
	l->left_out++;
	return false;
}

/* At that column, or as far to the left of it as the text needs: an address and a command are not
 * cut. What is longer still is folded. */
static void put_right(struct fold *f, int column, const char *text)
{
	const int width = fold_columns(text);

	if (column + width > FOLD_WIDTH)
		column = FOLD_WIDTH - width;
	f->indent = column < MIDDLE ? MIDDLE : column;
	fold_words(f, text);
}

/* -------------------------------------------------------------------------------------- segments
 */

static void flags_text(uint8_t f, char out[static 24])
{
	static const struct {
		uint8_t flag;
		const char *name;
	} names[] = {{SEGMENT_SYN, "SYN"},
		     {SEGMENT_FIN, "FIN"},
		     {SEGMENT_RST, "RST"},
		     {SEGMENT_ACK, "ACK"}};

	out[0] = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (f & names[i].flag) {
			strcat(out, out[0] ? "," : "");
			strcat(out, names[i].name);
		}
}

static void label_of(const struct ladder *l, uint32_t i, char out[static 64])
{
	const struct segment *s = &l->p->segments[i].record.segment;
	char flags[24];
	int n;

	flags_text(s->flags, flags);
	n = snprintf(out, 64, "%s %u", flags, l->numbers[i].seq);
	if (s->length)
		n += snprintf(out + n, 64 - (size_t)n, ":%u", l->numbers[i].seq + s->length);
	if (s->flags & SEGMENT_ACK)
		snprintf(out + n, 64 - (size_t)n, " ack %u", l->numbers[i].ack);
}

/* "── SYN 0 ──▶", "◀── RST 1 ──", or with an x where it was lost. */
static void arrow_of(const struct ladder *l, uint32_t i, char out[static 160])
{
	const struct line_record *r = &l->p->segments[i].record;
	bool right = r->direction == LINE_FROM_0, lost = r->passage == LINE_LOST;
	char label[64];
	int fill;

	label_of(l, i, label);
	fill = ARROW - 5 - (int)strlen(label);
	out[0] = '\0';
	strcat(out, right ? "── " : lost ? "x── " : "◀── ");
	strcat(out, label);
	strcat(out, " ");
	for (int k = 0; k < fill && k < 40; k++)
		strcat(out, "─");
	if (right)
		strcat(out, lost ? "x" : "▶");
}

static const char *passage_text(const struct line_record *r)
{
	if (r->origin == LINE_INJECTED)
		return "injected";
	if (r->origin == LINE_COPIED)
		return "a copy";
	if (r->passage == LINE_LOST)
		return "lost";
	return r->passage == LINE_ON_ITS_WAY ? "held" : "";
}

static void state_text(uint8_t state, char out[static 24])
{
	snprintf(out, 24, "%s", state ? tcpwhy_state_name((enum tcpwhy_state)state) : "");
}

/* Under the arrow: beside the state it would not fit. A name stays with its number. */
static void put_counted(struct ladder *l, const struct play_segment *s, int node)
{
	struct fold f = {.out = l->out};
	const char *rest = s->counted;
	char item[PLAY_TEXT_MAX];

	fold_to(&f, MIDDLE);
	fold_plain(&f, l->p->nodes[node].name);
	fold_plain(&f, ":");
	while (rest[0]) {
		const char *end = strstr(rest, ", ");
		const size_t n = end ? (size_t)(end - rest) + 1 : strlen(rest);
		snprintf(item, sizeof(item), "%.*s", (int)n, rest);
		if (f.column + 1 + fold_columns(item) > FOLD_WIDTH) {
			fold_newline(&f);
			fold_to(&f, MIDDLE + 1);
		}
		fold_plain(&f, " ");
		fold_plain(&f, item);
		rest += n + strspn(rest + n, " ");
	}
	fold_newline(&f);
}

static void print_segment(struct ladder *l, uint32_t i)
{
	const struct play_segment *s = &l->p->segments[i];
	const struct play_link *link = &l->p->links[l->link];
	bool right = s->record.direction == LINE_FROM_0;
	const char *passage = passage_text(&s->record);
	struct fold f = {.out = l->out};
	char time[24], arrow[160], side[2][24], end[64];

	if (!has_room(l))
		return;
	time_text(s->record.sent_ns, time);
	arrow_of(l, i, arrow);
	state_text(s->state[!right], side[0]);
	state_text(s->state[right], side[1]);
	snprintf(end, sizeof(end), "%s%s%s", side[1], side[1][0] && passage[0] ? ", " : "",
		 passage);
	fold_plain(&f, time);
	fold_to(&f, TIME + 1);
	fold_plain(&f, side[0]);
	fold_to(&f, MIDDLE);
	fold_plain(&f, arrow);
	if (end[0] && f.column >= RIGHT) /* numbers of ten digits */
		fold_newline(&f);
	if (end[0]) {
		fold_to(&f, RIGHT);
		fold_plain(&f, end);
	}
	fold_newline(&f);
	if (s->counted[0])
		put_counted(l, s, link->node[right]);
}

/* ------------------------------------------------------------------------------------------ calls
 */

/* "connect(10.0.0.2:80)" is "connect()" where it ends. */
static void call_text(const struct play_call *c, bool begins, bool ends, char out[static 128])
{
	int n = begins ? (int)strlen(c->text) : (int)strcspn(c->text, "(");

	snprintf(out, 128, "%.*s%s%s%s", n, c->text, begins ? "" : "()",
		 ends && c->result[0] ? " = " : "", ends ? c->result : "");
}

static void print_call(struct ladder *l, const struct play_call *c, bool begins, bool ends)
{
	bool right = c->node == l->p->links[l->link].node[1];
	struct fold f = {.out = l->out, .indent = TIME + 1};
	char time[24], text[128];

	if (!has_room(l))
		return;
	time_text(begins ? c->at_ns : c->end_ns, time);
	call_text(c, begins, ends, text);
	fold_plain(&f, time);
	if (right)
		put_right(&f, RIGHT, text);
	else
		fold_words(&f, text);
	fold_newline(&f);
}

/* ----------------------------------------------------------------------------------------- events
 */

static bool is_of_link(const struct ladder *l, const struct play_call *c)
{
	const struct play_link *link = &l->p->links[l->link];

	return c->node == link->node[0] || c->node == link->node[1] || (c->is_note && c->node < 0);
}

static void add(struct ladder *l, enum event_kind kind, uint32_t index, uint64_t at_ns,
		uint64_t place)
{
	l->events[l->events_n++] = (struct event){kind, index, at_ns, place};
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

/* The model's clock stands still while a host works: what was sent by then says what came first. */
static void collect(struct ladder *l)
{
	const struct play *p = l->p;

	l->events_n = 0;
	for (uint32_t i = 0; i < p->calls_n; i++) {
		const struct play_call *c = &p->calls[i];
		if (!is_of_link(l, c))
			continue;
		add(l, CALL_BEGINS, i, c->at_ns, 2 * (uint64_t)c->sent_before);
		if (!c->is_note && c->result[0])
			add(l, CALL_ENDS, i, c->end_ns, 2 * (uint64_t)c->sent_until);
	}
	for (uint32_t i = 0; i < p->segments_n; i++)
		if (p->segments[i].record.link == l->link)
			add(l, SEGMENT, i, p->segments[i].record.sent_ns, 2 * (uint64_t)i + 1);
	qsort(l->events, l->events_n, sizeof(*l->events), in_order);
}

/* Only a call that waits, so that it lets others do something, has an end of its own. */
static bool waits(const struct ladder *l, size_t i)
{
	const struct play_call *c = &l->p->calls[l->events[i].index];
	const struct event *next = i + 1 < l->events_n ? &l->events[i + 1] : NULL;

	return c->waited && next && !(next->kind == CALL_ENDS && next->index == l->events[i].index);
}

static void print_link(struct ladder *l)
{
	bool apart = false; /* the call that is going on has an end of its own */

	collect(l);
	for (size_t i = 0; i < l->events_n; i++) {
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
		case SEGMENT:
			print_segment(l, e->index);
			break;
		}
	}
}

static void print_title(const struct ladder *l)
{
	const struct play *p = l->p;
	struct fold f = {.out = l->out};

	fold_plain(&f, p->stage);
	fold_plain(&f, " ");
	fold_plain(&f, p->release);
	fold_to(&f, TIME + 1);
	fold_plain(&f, p->nodes[p->links[l->link].node[0]].name);
	put_right(&f, RIGHT, p->nodes[p->links[l->link].node[1]].name);
	fold_newline(&f);
}

void ladder_print(const struct play *p, unsigned max, FILE *out)
{
	struct agree_numbers *numbers = malloc((p->segments_n + 1) * sizeof(*numbers));
	struct event *events =
		malloc((p->segments_n + 2 * (size_t)p->calls_n + 1) * sizeof(*events));

	if (numbers && events)
		agree_number(p, numbers);
	for (uint32_t i = 0; numbers && events && i < p->links_n; i++) {
		struct ladder l = {.p = p,
				   .numbers = numbers,
				   .link = (int)i,
				   .out = out,
				   .max = max,
				   .events = events};
		print_title(&l);
		print_link(&l);
		if (l.left_out)
			fprintf(out, "%*s%u lines more\n", TIME + 1, "", l.left_out);
	}
	free(numbers);
	free(events);
}
