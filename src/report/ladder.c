/* SPDX-License-Identifier: MIT */
#include "report/ladder.h"

#include <stdlib.h>
#include <string.h>

#include "case/agree.h"
#include "report/fold.h"

/* Columns: the time, what the left end shows, the arrow, what the right end shows. */
enum { TIME = 13, LEFT = 12, ARROW = 29 };

struct ladder {
	const struct play *p;
	const struct agree_numbers *numbers;
	int link;
	FILE *out;
	unsigned printed, max, left_out;
};

static void time_text(uint64_t ns, char out[static 24])
{
	snprintf(out, 24, "%10.3f ms", (double)ns / 1e6);
}

static void pad(FILE *out, const char *text, int width)
{
	struct fold f = {.out = out};

	fold_plain(&f, text);
	if (f.column < width)
		fold_to(&f, width);
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

static void print_segment(struct ladder *l, uint32_t i)
{
	const struct play_segment *s = &l->p->segments[i];
	bool right = s->record.direction == LINE_FROM_0;
	char time[24], arrow[160], side[2][24];

	if (!has_room(l))
		return;
	time_text(s->record.sent_ns, time);
	arrow_of(l, i, arrow);
	state_text(s->state[!right], side[0]);
	state_text(s->state[right], side[1]);
	pad(l->out, time, TIME + 1);
	pad(l->out, side[0], LEFT);
	const char *passage = passage_text(&s->record);
	pad(l->out, arrow, side[1][0] || passage[0] ? ARROW + 1 : 0);
	fputs(side[1], l->out);
	fprintf(l->out, "%s%s\n", side[1][0] && passage[0] ? ", " : "", passage);
	if (!s->counted[0])
		return;
	/* Under the arrow: beside the state it would not fit. */
	const struct play_link *link = &l->p->links[l->link];
	pad(l->out, "", TIME + LEFT + 2);
	fprintf(l->out, "%s: %s\n", l->p->nodes[link->node[right]].name, s->counted);
}

/* ------------------------------------------------------------------------------------------ calls
 */

static void print_call(struct ladder *l, const struct play_call *c)
{
	const struct play_link *link = &l->p->links[l->link];
	bool left = c->node == link->node[0], right = c->node == link->node[1];
	char time[24], text[128];

	if ((!left && !right && !(c->is_note && c->node < 0)) || !has_room(l))
		return;
	time_text(c->at_ns, time);
	snprintf(text, sizeof(text), "%s%s%s", c->text, c->is_note ? "" : " = ", c->result);
	pad(l->out, time, TIME + 1);
	if (right)
		pad(l->out, "", LEFT + ARROW + 1);
	fprintf(l->out, "%s\n", text);
}

/* Calls stand where they began: what they sent comes after them. */
static void print_link(struct ladder *l)
{
	const struct play *p = l->p;
	uint32_t c = 0;

	for (uint32_t i = 0; i < p->segments_n; i++) {
		if (p->segments[i].record.link != l->link)
			continue;
		for (; c < p->calls_n && p->calls[c].at_ns <= p->segments[i].record.sent_ns; c++)
			print_call(l, &p->calls[c]);
		print_segment(l, i);
	}
	for (; c < p->calls_n; c++)
		print_call(l, &p->calls[c]);
}

void ladder_print(const struct play *p, unsigned max, FILE *out)
{
	struct agree_numbers *numbers = malloc((p->segments_n + 1) * sizeof(*numbers));

	if (!numbers)
		return;
	agree_number(p, numbers);
	for (uint32_t i = 0; i < p->links_n; i++) {
		struct ladder l = {p, numbers, (int)i, out, 0, max, 0};
		char title[48];
		snprintf(title, sizeof(title), "%s %s", p->stage, p->release);
		pad(out, title, TIME + 1);
		pad(out, p->nodes[p->links[i].node[0]].name, LEFT + ARROW + 1);
		fprintf(out, "%s\n", p->nodes[p->links[i].node[1]].name);
		print_link(&l);
		if (l.left_out)
			fprintf(out, "%*s%u lines more\n", TIME + 1, "", l.left_out);
	}
	free(numbers);
}
