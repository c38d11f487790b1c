/* SPDX-License-Identifier: MIT */
#include "report/lab_figures.h"

#include <string.h>

#include "report/fold.h"

struct columns {
	int width[PLAY_CELLS];
	int body[PLAY_CELLS];     /* without the heading, but for its longest word */
	bool is_text[PLAY_CELLS]; /* some cell below the heading is no number */
};

enum { GAP = 2 };

static bool is_number(const char *s)
{
	return s[strspn(s, "0123456789,.+-% ")] == '\0';
}

static int longest_word(const char *s)
{
	int longest = 0, n = 0;
	char word[sizeof(((struct play_figure *)0)->cell[0])];

	while (sscanf(s, "%55s%n", word, &n) == 1) {
		int width = fold_columns(word);
		longest = width > longest ? width : longest;
		s += n;
	}
	return longest;
}

static void measure(const struct play *p, struct columns *c)
{
	for (uint32_t i = 0; i < p->figures_n; i++) {
		for (int k = 0; k < PLAY_CELLS; k++) {
			const char *cell = p->figures[i].cell[k];
			int width = fold_columns(cell), body = i ? width : longest_word(cell);
			if (width > c->width[k])
				c->width[k] = width;
			if (body > c->body[k])
				c->body[k] = body;
			c->is_text[k] |= i && !is_number(cell);
		}
	}
}

/* Headings make no table too wide that would fit without them: those are folded. */
static void narrow(struct columns *c, int indent)
{
	int column = indent - GAP;

	for (int k = 0; k < PLAY_CELLS && c->width[k]; k++)
		column += c->width[k] + GAP;
	if (column > FOLD_WIDTH)
		memcpy(c->width, c->body, sizeof(c->width));
}

/* Columns that do not fit beside the others go under them. */
static void print_row(const struct play_figure *row, const struct columns *c, int indent, FILE *out)
{
	struct fold f = {.out = out, .indent = indent};
	int column = indent;

	for (int k = 0; k < PLAY_CELLS && c->width[k]; k++) {
		int gap = c->is_text[k] ? 0 : c->width[k] - fold_columns(row->cell[k]);
		if (f.column && column + c->width[k] > FOLD_WIDTH) {
			fold_newline(&f);
			column = indent + 2 * GAP;
		}
		if (row->cell[k][0]) {
			fold_to(&f, column + gap);
			fold_plain(&f, row->cell[k]);
		}
		column += c->width[k] + GAP;
	}
	fold_newline(&f);
}

/* Takes as many words of *rest as fit the width, at least one. */
static void take_line(const char **rest, int width, char *out, size_t size)
{
	const size_t whole = strlen(*rest);
	size_t n = whole;

	snprintf(out, size, "%s", *rest);
	while (n && fold_columns(out) > width) {
		while (n && (*rest)[n - 1] != ' ')
			n--;
		while (n && (*rest)[n - 1] == ' ')
			n--;
		snprintf(out, size, "%.*s", (int)(n ? n : whole), *rest);
	}
	*rest += n ? n : whole;
	*rest += strspn(*rest, " ");
}

/* The names of the columns, in as many lines as the longest of them needs. */
static void print_heading(const struct play_figure *names, const struct columns *c, int indent,
			  FILE *out)
{
	const char *rest[PLAY_CELLS];
	bool more = true;

	for (int k = 0; k < PLAY_CELLS; k++)
		rest[k] = names->cell[k];
	while (more) {
		struct play_figure line = {0};
		more = false;
		for (int k = 0; k < PLAY_CELLS; k++) {
			take_line(&rest[k], c->width[k], line.cell[k], sizeof(line.cell[k]));
			more |= rest[k][0];
		}
		print_row(&line, c, indent, out);
	}
}

static bool is_same(const struct play *a, const struct play *b)
{
	return a->figures_n == b->figures_n &&
	       !memcmp(a->figures, b->figures, a->figures_n * sizeof(*a->figures));
}

/* "3.10, 6.18.y, this kernel": the plays from the i-th on with the same figures as it. */
static void print_names(const struct lab_case *c, unsigned i, int indent, FILE *out)
{
	struct fold f = {.out = out, .indent = indent};
	char names[160];
	size_t n = 0;

	for (unsigned k = i; k < c->plays_n && n < sizeof(names); k++) {
		const struct play *p = c->plays[k];
		if (p->figures_n && is_same(p, c->plays[i]))
			n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", n ? ", " : "",
					      strcmp(p->stage, "kernel") != 0 ? p->release
									      : "this kernel");
	}
	fold_words(&f, names);
	fold_newline(&f);
}

static bool is_told(const struct lab_case *c, unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (c->plays[k]->figures_n && is_same(c->plays[k], c->plays[i]))
			return true;
	return !c->plays[i]->figures_n;
}

void lab_figures_print(const struct lab_case *c, int indent, FILE *out)
{
	const struct play_figure *heading = NULL;
	struct columns columns = {0};

	for (unsigned i = 0; i < c->plays_n; i++)
		measure(c->plays[i], &columns);
	narrow(&columns, indent + 2);
	for (unsigned i = 0; i < c->plays_n; i++) {
		const struct play *p = c->plays[i];
		if (is_told(c, i))
			continue;
		if (!heading || memcmp(heading, &p->figures[0], sizeof(*heading)) != 0)
			print_heading(&p->figures[0], &columns, indent + 2, out);
		heading = &p->figures[0];
		print_names(c, i, indent, out);
		for (uint32_t k = 1; k < p->figures_n; k++)
			print_row(&p->figures[k], &columns, indent + 2, out);
	}
}
