/* SPDX-License-Identifier: MIT */
#include "report/lab.h"

#include <string.h>

#include "report/fold.h"
#include "report/lab_figures.h"
#include "report/lab_rows.h"
#include "report/ladder.h"

enum { NAME = 7, ABOUT = 8, LADDER_MAX = 200 };

static bool holds(const struct play *p)
{
	return play_held(p) + play_skipped(p) == p->expects_n && p->end != PLAY_FAILED &&
	       p->end != PLAY_WRONG;
}

enum lab_verdict lab_verdict(const struct lab_case *c)
{
	bool played = false;

	if (c->wrong[0])
		return LAB_WRONG;
	for (unsigned i = 0; i < c->plays_n; i++) {
		if (c->plays[i]->end == PLAY_WRONG)
			return LAB_WRONG;
		played |= play_went(c->plays[i]) || c->plays[i]->expects_n;
	}
	for (unsigned i = 0; i < c->plays_n; i++)
		if (!holds(c->plays[i]))
			return LAB_BROKEN;
	if (c->compared && c->agreement.differs != AGREE_ALL)
		return LAB_BROKEN;
	return played ? LAB_HOLDS : LAB_NOT_PLAYED;
}

static const char *verdict_word(enum lab_verdict v)
{
	switch (v) {
	case LAB_HOLDS:
		return "ok";
	case LAB_BROKEN:
		return "BAD";
	case LAB_WRONG:
		return "WRONG";
	case LAB_NOT_PLAYED:
		break;
	}
	return "-";
}

/* ------------------------------------------------------------------------------------------ lines
 */

static void indented(FILE *out, int indent, const char *first, const char *text)
{
	struct fold f = {.out = out, .indent = indent};

	fold_plain(&f, first);
	fold_words(&f, text);
	fold_newline(&f);
}

static const char *stage_text(const struct play *p)
{
	return !strcmp(p->stage, "kernel") ? "this kernel" : p->release;
}

/* "3.10, 4.9.0 and this kernel" of the plays that are marked. */
static void plays_text(const struct lab_case *c, const bool marked[static LAB_PLAYS_MAX], char *out,
		       size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < c->plays_n; i++)
		if (marked[i] && n < size)
			n += (size_t)snprintf(out + n, size - n, "%s%s", n ? ", " : "",
					      stage_text(c->plays[i]));
}

static const char *expect_word(const struct play_expect *e)
{
	return e->skipped ? "        skip " : e->holds ? "        ok   " : "        BAD  ";
}

static bool is_same(const struct play_expect *a, const struct play_expect *b)
{
	return a->line == b->line && a->holds == b->holds && !strcmp(a->text, b->text) &&
	       !strcmp(a->got, b->got) && !strcmp(a->want, b->want);
}

/* The same in another play: what fails everywhere is told once. */
static bool find_same(const struct play *p, const struct play_expect *e)
{
	for (uint32_t i = 0; i < p->expects_n; i++)
		if (is_same(&p->expects[i], e))
			return true;
	return false;
}

static void print_expect(const struct lab_case *c, const struct play_expect *e, FILE *out)
{
	bool marked[LAB_PLAYS_MAX] = {false};
	char line[2 * PLAY_TEXT_MAX + 128], where[160];

	for (unsigned i = 0; i < c->plays_n; i++)
		marked[i] = find_same(c->plays[i], e);
	plays_text(c, marked, where, sizeof(where));
	snprintf(line, sizeof(line), "%s.lua:%d %s", c->head.name, e->line, e->text);
	indented(out, ABOUT + 5, expect_word(e), line);
	if (e->skipped)
		snprintf(line, sizeof(line), "%s: %s", e->got, where);
	else
		snprintf(line, sizeof(line), "got %s, wanted %s: %s", e->got, e->want, where);
	indented(out, ABOUT + 5, "             ", line);
}

/* What failed, and what could not be made here. */
static void print_failures(const struct lab_case *c, FILE *out)
{
	for (unsigned i = 0; i < c->plays_n; i++) {
		const struct play *p = c->plays[i];
		for (uint32_t k = 0; k < p->expects_n; k++) {
			bool told = p->expects[k].holds;
			for (unsigned j = 0; !told && j < i; j++)
				told = find_same(c->plays[j], &p->expects[k]);
			if (!told)
				print_expect(c, &p->expects[k], out);
		}
	}
}

/* Why plays ended before their text did; the same reason once. */
static void print_ends(const struct lab_case *c, FILE *out)
{
	for (unsigned i = 0; i < c->plays_n; i++) {
		const char *why = c->plays[i]->why;
		bool marked[LAB_PLAYS_MAX] = {false}, told = !why[0];
		char line[512], where[160];
		for (unsigned j = 0; j < c->plays_n; j++) {
			marked[j] = !strcmp(c->plays[j]->why, why);
			told |= marked[j] && j < i;
		}
		if (told)
			continue;
		plays_text(c, marked, where, sizeof(where));
		snprintf(line, sizeof(line), "%s: %s%s", where,
			 c->plays[i]->end != PLAY_CANNOT ? ""
			 : c->plays[i]->expects_n        ? "no further: "
							 : "not played: ",
			 why);
		indented(out, ABOUT + 2, "        ", line);
	}
}

/* Why nothing was recorded. */
static const char *why_no_segment(const struct play *p)
{
	bool tapped = false;

	for (uint32_t i = 0; i < p->links_n; i++)
		tapped |= !p->links[i].untapped;
	if (!p->links_n)
		return "there is no link";
	if (tapped)
		return "nothing crossed its links";
	return p->links_n == 1 ? "its link is untapped" : "its links are untapped";
}

/* Each expectation with its own clock, under its ladder, or what stands in its place: it says whose
 * they are. */
static void print_play(const struct play *p, FILE *out)
{
	char line[PLAY_TEXT_MAX + 160];

	if (p->segments_n) {
		ladder_print(p, LADDER_MAX, out);
	} else if (p->expects_n || play_went(p)) {
		snprintf(line, sizeof(line), "%s %s, no ladder: %s", p->stage, p->release,
			 why_no_segment(p));
		indented(out, 0, "", line);
	}
	for (uint32_t i = 0; i < p->expects_n; i++) {
		const struct play_expect *e = &p->expects[i];
		snprintf(line, sizeof(line), "line %d: %s", e->line, e->text);
		indented(out, ABOUT + 5, expect_word(e), line);
	}
	if (p->expects_n)
		fputc('\n', out);
}

/* "27 of 28 hold, 1 skipped: 3.10, 6.18.y, this kernel" */
static void summary(const struct lab_case *c, char *out, size_t size)
{
	bool marked[LAB_PLAYS_MAX] = {false};
	unsigned total = 0, held = 0, skipped = 0;
	char where[160], also[32] = "";

	for (unsigned i = 0; i < c->plays_n; i++) {
		total += c->plays[i]->expects_n;
		held += play_held(c->plays[i]);
		skipped += play_skipped(c->plays[i]);
		marked[i] = play_went(c->plays[i]);
	}
	plays_text(c, marked, where, sizeof(where));
	if (skipped)
		snprintf(also, sizeof(also), ", %u skipped", skipped);
	snprintf(out, size, "%u of %u hold%s: %s", held, total, also, where);
}

enum agrees {
	AGREES_NOT,
	AGREES,
	AGREES_IN_SUMS,   /* neither call nor segment was recorded: only what they add up to */
	AGREES_IN_NOTHING /* nor was anything counted */
};

static enum agrees agrees(const struct lab_case *c)
{
	const struct agreement *a = &c->agreement;

	if (a->differs != AGREE_ALL)
		return AGREES_NOT;
	if (a->calls || a->segments)
		return AGREES;
	return a->counters ? AGREES_IN_SUMS : AGREES_IN_NOTHING;
}

/* What was held against each other, and is equal. */
static void equal_text(const struct lab_case *c, char *out, size_t size)
{
	const struct agreement *a = &c->agreement;

	switch (agrees(c)) {
	case AGREES_IN_SUMS:
		snprintf(out, size,
			 "the kernel counts what the model does: %u counters. No call and no "
			 "segment was compared",
			 a->counters);
		break;
	case AGREES_IN_NOTHING:
		snprintf(out, size, "nothing of the kernel was compared with the model");
		break;
	case AGREES:
	case AGREES_NOT:
		snprintf(out, size,
			 "the kernel agrees with the model: %u calls, %u segments, %u counters",
			 a->calls, a->segments, a->counters);
	}
}

static void print_agreement(const struct lab_case *c, FILE *out)
{
	const struct agreement *a = &c->agreement;
	char line[3 * PLAY_TEXT_MAX], equal[PLAY_TEXT_MAX];

	if (!c->compared)
		return;
	if (a->differs == AGREE_ALL) {
		const char *apart = c->kernel->apart;
		equal_text(c, equal, sizeof(equal));
		snprintf(line, sizeof(line), "%s%s%s", equal,
			 apart[0]                      ? ". What follows is not compared: "
			 : c->kernel->end == PLAY_DONE ? ""
						       : ", as far as it played",
			 apart);
		indented(out, ABOUT, "        ", line);
		return;
	}
	snprintf(line, sizeof(line), "the kernel differs from the model: %s", a->what);
	indented(out, ABOUT, "        ", line);
	indented(out, ABOUT + 8, "        model   ", a->model);
	indented(out, ABOUT + 8, "        kernel  ", a->kernel);
}

static void print_captures(const struct lab_case *c, FILE *out)
{
	for (unsigned i = 0; i < c->plays_n; i++) {
		const struct lab_capture *capture = c->captures[i];
		const struct play *p = c->plays[i];
		char counts[96] = "";
		if (!capture || !capture->file || capture->wrong[0])
			continue;
		if (p->uncaptured)
			snprintf(counts, sizeof(counts), "; %u more were not kept", p->uncaptured);
		else if (!p->captured)
			snprintf(counts, sizeof(counts), ": %s", why_no_segment(p));
		/* A name is not folded. */
		fprintf(out, "        capture %s: %u segments%s\n", capture->file, p->captured,
			counts);
	}
}

void report_lab_case(const struct lab_case *c, bool verbose, FILE *out)
{
	enum lab_verdict v = lab_verdict(c);
	char first[80], line[512];

	snprintf(first, sizeof(first), "%-7s %s", verdict_word(v), c->head.name);
	if (c->wrong[0]) {
		indented(out, ABOUT, "WRONG   ", c->wrong);
		return;
	}
	snprintf(line, sizeof(line), "  %s", c->head.about);
	indented(out, ABOUT, first, line);
	if (verbose && c->head.claim[0])
		indented(out, ABOUT + 7, "        claim  ", c->head.claim);
	if (verbose && c->head.truth[0])
		indented(out, ABOUT + 7, "        truth  ", c->head.truth);
	summary(c, line, sizeof(line));
	if (v != LAB_NOT_PLAYED)
		indented(out, ABOUT, "        ", line);
	else if (!c->plays_n)
		indented(out, ABOUT, "        ",
			 "not played: it does not name that release, or not that stage");
	print_ends(c, out);
	print_failures(c, out);
	print_agreement(c, out);
	if (c->by_row)
		lab_rows_print(c, ABOUT, out);
	lab_figures_print(c, ABOUT, out);
	print_captures(c, out);
	for (unsigned i = 0; verbose && i < c->plays_n; i++)
		print_play(c->plays[i], out);
	/* Where they differ both are needed to see it. */
	if (!verbose && c->compared && c->agreement.differs != AGREE_ALL) {
		ladder_print(c->model, LADDER_MAX, out);
		ladder_print(c->kernel, LADDER_MAX, out);
	}
}

/* ----------------------------------------------------------------------------------- all together
 */

static const char *kernel_word(const struct lab_case *c)
{
	if (!c->kernel)
		return "-";
	if (!play_went(c->kernel))
		return "no";
	return c->kernel->end == PLAY_DONE ? "played" : "in part";
}

/* In how many releases, which on which stage, and what of it was held against each other. */
static void print_stages(const struct lab_case *c, FILE *out)
{
	static const char *const words[] = {
		[AGREES_NOT] = "NO",
		[AGREES] = "yes",
		[AGREES_IN_SUMS] = "sums",
		[AGREES_IN_NOTHING] = "-",
	};
	const struct agreement *a = &c->agreement;
	unsigned models = 0;

	for (unsigned i = 0; i < c->plays_n; i++)
		models += c->plays[i] != c->kernel && play_went(c->plays[i]);
	fprintf(out, "%-35s %5u %-7s ", c->head.name, models, kernel_word(c));
	if (c->compared)
		fprintf(out, "%-6s %5u %8u %8u\n", words[agrees(c)], a->calls, a->segments,
			a->counters);
	else
		fputs("-\n", out);
}

static void print_table(const struct lab_case *cases, size_t n, FILE *out)
{
	fprintf(out, "%-35s %5s %-7s %-6s %5s %8s %8s\n", "case", "model", "kernel", "agrees",
		"calls", "segments", "counters");
	for (size_t i = 0; i < n; i++)
		print_stages(&cases[i], out);
	fputc('\n', out);
}

static const char *of_number(size_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

/* Whether an empty line stands behind it already: print_play() leaves one. */
static bool ends_empty(const struct lab_case *c, bool verbose)
{
	return verbose && !c->wrong[0] && c->plays_n && c->plays[c->plays_n - 1]->expects_n;
}

/* "29 agree with the model, 2 of them in counters alone" */
static void agree_text(const struct lab_case *cases, size_t n, char *out, size_t size)
{
	size_t agree = 0, sums = 0;
	char alone[64] = "";

	for (size_t i = 0; i < n; i++) {
		const enum agrees how = cases[i].compared ? agrees(&cases[i]) : AGREES_NOT;
		agree += how == AGREES || how == AGREES_IN_SUMS;
		sums += how == AGREES_IN_SUMS;
	}
	if (sums)
		snprintf(alone, sizeof(alone), ", %zu in counters alone", sums);
	snprintf(out, size, "%zu %s with the model%s", agree, of_number(agree, "agrees", "agree"),
		 alone);
}

void report_lab_end(const struct lab_case *cases, size_t n, const struct lab_end *end, FILE *out)
{
	size_t count[4] = {0}, on_kernel = 0;
	char line[320], agree[96], more[64] = "";

	if (!n || !ends_empty(&cases[n - 1], end->verbose))
		fputc('\n', out);
	if (n > 1)
		print_table(cases, n, out);
	for (size_t i = 0; i < n; i++) {
		count[lab_verdict(&cases[i])]++;
		on_kernel += cases[i].kernel && play_went(cases[i].kernel);
	}
	agree_text(cases, n, agree, sizeof(agree));
	if (end->left_out)
		snprintf(more, sizeof(more), "%zu more %s not for that %s; ", end->left_out,
			 of_number(end->left_out, "is", "are"),
			 end->by_stage ? "release or stage" : "release");
	snprintf(line, sizeof(line),
		 "%zu %s: %zu %s, %zu %s not, %zu %s no case, %zu not played; %zu on this kernel, "
		 "%s; %s%.1f s",
		 n, of_number(n, "case", "cases"), count[LAB_HOLDS],
		 of_number(count[LAB_HOLDS], "holds", "hold"), count[LAB_BROKEN],
		 of_number(count[LAB_BROKEN], "does", "do"), count[LAB_WRONG],
		 of_number(count[LAB_WRONG], "is", "are"), count[LAB_NOT_PLAYED], on_kernel, agree,
		 more, end->seconds);
	indented(out, 0, "", line);
}

void report_lab_list(const struct lab_case *cases, size_t n, FILE *out)
{
	for (size_t i = 0; i < n; i++) {
		const struct play_head *h = &cases[i].head;
		struct fold f = {.out = out, .indent = 4};
		if (cases[i].wrong[0]) {
			indented(out, 4, "", cases[i].wrong);
			continue;
		}
		fold_plain(&f, h->name);
		fold_plain(&f, h->world && h->kernel ? ""
			       : h->world            ? "   (model)"
						     : "   (kernel)");
		fold_newline(&f);
		fold_words(&f, h->about);
		fold_newline(&f);
	}
}
