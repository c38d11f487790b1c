/* SPDX-License-Identifier: MIT */
#include "report/ladder.h"

#include <string.h>

#include "case/belief.h"
#include "report/ladder_lines.h"

void ladder_time(uint64_t ns, char out[static 24])
{
	snprintf(out, 24, "%10.3f", (double)ns / 1e6);
}

const char *ladder_state(uint8_t state)
{
	return state ? tcpwhy_state_name((enum tcpwhy_state)state) : "";
}

const char *ladder_session(uint8_t session)
{
	static const char *const words[] = {"", [SESSION_OPEN + 1] = "OPEN",
					    [SESSION_CLOSING + 1] = "CLOSING",
					    [SESSION_RESET + 1] = "RESET"};

	if (session == BELIEF_UNASKED)
		return "";
	return session < sizeof(words) / sizeof(words[0]) ? words[session] : "?";
}

int ladder_node(const struct play *p, const struct line_record *r, bool receiver)
{
	return p->links[r->link].node[(r->direction == LINE_FROM_1) != receiver];
}

const struct ladder_flag ladder_flags[LADDER_FLAGS] = {
	{SEGMENT_SYN, "SYN"}, {SEGMENT_FIN, "FIN"}, {SEGMENT_RST, "RST"}, {SEGMENT_ACK, "ACK"}};

static void flags_text(uint8_t f, char out[static 24])
{
	out[0] = '\0';
	for (size_t i = 0; i < LADDER_FLAGS; i++)
		if (f & ladder_flags[i].flag) {
			strcat(out, out[0] ? "," : "");
			strcat(out, ladder_flags[i].name);
		}
}

void ladder_label(const struct ladder *l, uint32_t i, char out[static LADDER_LABEL])
{
	const struct segment *s = &l->p->segments[i].record.segment;
	const struct agree_numbers *is = &l->numbers[i];
	char flags[24];
	int n = 0;

	if (l->names_them)
		n = snprintf(out, LADDER_LABEL, "#%u ", l->names[is->connection]);
	flags_text(s->flags, flags);
	n += snprintf(out + n, LADDER_LABEL - (size_t)n, "%s%s%d", flags, flags[0] ? " " : "",
		      is->seq);
	if (s->length)
		n += snprintf(out + n, LADDER_LABEL - (size_t)n, ":%d",
			      (int32_t)((uint32_t)is->seq + s->length));
	if (is->has_ack)
		snprintf(out + n, LADDER_LABEL - (size_t)n, " ack %d", is->ack);
}

const char *ladder_origin(const struct line_record *r)
{
	if (r->origin == LINE_INJECTED)
		return "injected";
	return r->origin == LINE_COPIED ? "a copy" : "";
}

const char *ladder_passage(const struct line_record *r)
{
	if (r->passage == LINE_LOST)
		return "lost";
	return r->passage == LINE_ON_ITS_WAY ? "held" : "";
}

/* The widest word. */
static int widest(const char *text)
{
	char word[LADDER_TEXT];
	int width = 0;

	while (*text) {
		size_t n = strcspn(text, " ");
		snprintf(word, sizeof(word), "%.*s", (int)n, text);
		if (fold_columns(word) > width)
			width = fold_columns(word);
		text += n + strspn(text + n, " ");
	}
	return width;
}

void ladder_put(struct fold *f, int column, int floor, const char *text)
{
	const int width = fold_columns(text), word = widest(text);

	if (column + width > FOLD_WIDTH)
		column = FOLD_WIDTH - width;
	if (column < floor)
		column = floor;
	if (column + word > FOLD_WIDTH)
		column = word < FOLD_WIDTH ? FOLD_WIDTH - word : 0;
	if (f->column >= column && f->column)
		fold_newline(f);
	f->indent = column;
	fold_words(f, text);
}

void ladder_put_counted(const struct ladder *l, const struct play_segment *s, int node, int column)
{
	struct fold f = {.out = l->out};
	const char *rest = s->counted;
	char item[PLAY_TEXT_MAX];

	fold_to(&f, column);
	fold_plain(&f, l->p->nodes[node].name);
	fold_plain(&f, ":");
	while (rest[0]) {
		const char *end = strstr(rest, ", ");
		const size_t n = end ? (size_t)(end - rest) + 1 : strlen(rest);
		snprintf(item, sizeof(item), "%.*s", (int)n, rest);
		if (f.column + 1 + fold_columns(item) > FOLD_WIDTH) {
			fold_newline(&f);
			fold_to(&f, column + 1);
		}
		fold_plain(&f, " ");
		fold_plain(&f, item);
		rest += n + strspn(rest + n, " ");
	}
	fold_newline(&f);
}
