/* SPDX-License-Identifier: MIT */
#include "report/overview.h"

#include <string.h>

#include "base/text.h"
#include "report/fold.h"
#include "report/name.h"

#define LABEL 10 /* the column at which everything but the labels begins */

static void paragraph(FILE *out, const char *label, const char *words)
{
	struct fold f = {.out = out, .indent = LABEL};

	fold_plain(&f, label);
	fold_to(&f, LABEL);
	fold_words(&f, words);
	fold_newline(&f);
}

static void print_first_line(const struct overview *o, const struct diagnosis *d, const char *where,
			     FILE *out)
{
	struct fold f = {.out = out, .indent = 0};
	char line[256];
	struct text t = text_in(line, sizeof(line));

	if (!d->bad && !d->warn)
		text_add(&t, "no problem");
	else
		text_counted(&t, d->bad, "problem");
	if (d->warn) {
		text_add(&t, ", ");
		text_counted(&t, d->warn, "warning");
	}
	text_add(&t, "   ");
	text_add(&t, where);
	text_add(&t, ", ");
	text_add(&t, o->kernel);
	text_add(&t, ", ");
	text_counted(&t, o->sockets, "socket");
	fold_plain(&f, line);
	fold_newline(&f);
}

/* --------------------------------------------------------------------------------- the findings */

static void print_finding(const struct finding *f, FILE *out)
{
	struct fold line = {.out = out, .indent = LABEL};

	fold_plain(&line, f->severity == SEVERITY_BAD ? "BAD" : "WARN");
	fold_to(&line, LABEL);
	fold_words(&line, f->title);
	fold_newline(&line);
	paragraph(out, "", f->evidence);
	if (f->severity == SEVERITY_BAD || !f->ask[0])
		paragraph(out, "", f->because);
	for (size_t i = 0; i < f->cures_n; i++) {
		const struct cure *c = &f->cures[i];
		struct fold cure = {.out = out, .indent = LABEL + 6};

		fold_to(&cure, LABEL);
		fold_plain(&cure, "cure  ");
		/* Whole, and alone on its line: a command is copied, not read. */
		if (c->command[0]) {
			fold_plain(&cure, c->command);
			fold_newline(&cure);
		} else {
			fold_words(&cure, c->does);
			fold_plain(&cure, c->costs[0] ? ":" : "");
		}
		fold_words(&cure, c->costs);
		fold_newline(&cure);
	}
	if (f->ask[0]) {
		struct fold ask = {.out = out, .indent = LABEL + 6};

		fold_to(&ask, LABEL);
		fold_plain(&ask, "more  ");
		fold_plain(&ask, f->ask);
		fold_newline(&ask);
	}
}

static bool speaks_of_ports(const struct overview *o, const struct diagnosis *d)
{
	bool does =
		!d->bind0_free || !d->connect_free || o->bind0_by_chance || o->connect_by_chance;

	for (size_t i = 0; i < d->findings_n; i++)
		does |= !strncmp(d->findings[i].rule, "doctor.bind", 11);
	return does;
}

static void print_headroom(const struct overview *o, const struct diagnosis *d, FILE *out)
{
	char line[256];
	struct text t = text_in(line, sizeof(line));

	if (!o->range_total)
		return;
	text_add(&t, "bind(0) has ");
	text_count(&t, d->bind0_free);
	text_add(&t, " of ");
	text_count(&t, o->range_total);
	text_add(&t, o->bind0_by_chance ? " ports left, by chance; " : " ports left; ");
	text_add(&t, "connect() to a new destination ");
	text_count(&t, d->connect_free);
	if (o->connect_by_chance)
		text_add(&t, " by chance");
	if (o->range_reserved) {
		text_add(&t, "; ");
		text_count(&t, o->range_reserved);
		text_add(&t, " reserved");
	}
	/* "ok" only of what no finding speaks of. */
	paragraph(out, speaks_of_ports(o, d) ? "ports" : "ok", line);
}

/* --------------------------------------------------------------------------------- the numbers */

static void print_states(const struct overview *o, FILE *out)
{
	char line[512];
	struct text t = text_in(line, sizeof(line));
	bool first = true;

	for (unsigned state = 1; state < OVERVIEW_STATES; state++) {
		if (!o->by_state[state])
			continue;
		if (!first)
			text_add(&t, ", ");
		first = false;
		text_add(&t, tcpwhy_state_name((enum tcpwhy_state)state));
		text_char(&t, ' ');
		text_count(&t, o->by_state[state]);
	}
	if (!first)
		paragraph(out, "sockets", line);
}

static const char *count_text(uint64_t n, char *buf, size_t size)
{
	struct text t = text_in(buf, size);

	text_count(&t, n);
	return buf;
}

#define ROWS 5

static void print_destinations(const struct overview *o, const struct diagnosis *d, FILE *out)
{
	size_t n = o->destinations_n < ROWS ? o->destinations_n : ROWS;
	char from[ROWS][ENDPOINT_TEXT_MAX], to[ROWS][ENDPOINT_TEXT_MAX], a[32], b[32], c[32];
	int wide = 4, wider = 2;

	for (size_t i = 0; i < n; i++) {
		const struct overview_destination *x = &o->destinations[i];

		name_address(&x->local, x->family, from[i]);
		name_endpoint(&x->peer, x->peer_port, x->family, to[i]);
		wide = (int)strlen(from[i]) > wide ? (int)strlen(from[i]) : wide;
		wider = (int)strlen(to[i]) > wider ? (int)strlen(to[i]) : wider;
	}
	if (n)
		fprintf(out, "%-*s%-*s  %-*s  %8s %8s %8s\n", LABEL, "busiest", wide, "FROM", wider,
			"TO", "TAKEN", "REUSABLE", "FREE");
	for (size_t i = 0; i < n; i++) {
		const struct standing *st = &d->standing[i];

		fprintf(out, "%-*s%-*s  %-*s  %8s %8s %8s%s", LABEL, "", wide, from[i], wider,
			to[i], count_text(st->taken + st->unknown, a, sizeof(a)),
			count_text(st->reusable, b, sizeof(b)), count_text(st->free, c, sizeof(c)),
			o->destinations[i].maybe_more ? "  at least" : "");
		if (o->destinations[i].device)
			fprintf(out, "  device %u", o->destinations[i].device);
		fputc('\n', out);
	}
}

static void print_unseen(const struct diagnosis *d, FILE *out)
{
	struct fold f = {.out = out, .indent = LABEL};

	fold_plain(&f, "not looked at:");
	for (size_t i = 0; i < d->unseen_n; i++) {
		fold_words(&f, d->unseen[i]);
		if (i + 1 < d->unseen_n)
			fold_plain(&f, ";");
	}
	fold_newline(&f);
}

void report_overview(const struct overview *o, const struct diagnosis *d, const char *where,
		     FILE *out)
{
	print_first_line(o, d, where, out);
	fputc('\n', out);
	for (size_t i = 0; i < d->findings_n; i++)
		print_finding(&d->findings[i], out);
	print_headroom(o, d, out);
	if (o->sockets)
		fputc('\n', out);
	print_states(o, out);
	print_destinations(o, d, out);
	print_unseen(d, out);
}

void report_all_screen(const struct report_all *all, FILE *out)
{
	char line[256];
	struct text t = text_in(line, sizeof(line));

	text_counted(&t, all->namespaces, "namespace");
	text_add(&t, ", ");
	text_count(&t, all->empty);
	text_add(&t, " without sockets");
	if (all->failed) {
		text_add(&t, ", ");
		text_count(&t, all->failed);
		text_add(&t, " could not be looked at");
	}
	if (all->unseen)
		text_add(&t, "; those of other users' processes may be missing");
	paragraph(out, "all", line);
}
