/* SPDX-License-Identifier: MIT
 *
 * main.c - the model of segments against the real kernel, step by step
 *
 * Random scripts from a seed, in several processes with a host each; the table, cell by cell; or
 * given scripts. Output is TAP; status 1 on a mismatch, which is printed as the shortest script
 * that still shows it.
 */
#include "check.h"
#include "generate.h"
#include "shrink.h"
#include "table.h"

#include "differ/draw.h"
#include "differ/program.h"
#include "differ/jobs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VOID_TRIES = 50, CHANCES = 6 };

struct options {
	struct program_options run;
	bool table, trace, ipv6; /* ipv6: the table */
	const char *cells;       /* only cells with this in their name */
};

/* What the processes share. */
struct shared {
	struct program_tally tally;
	struct check_stats stats[JOBS_MAX];
};

static const char *const class_names[] = {
	[CHECK_AGREE] = "none",
	[CHECK_ANSWER] = "another answer",
	[CHECK_SEGMENTS] = "other segments",
	[CHECK_STATE] = "another state",
	[CHECK_TIMER] = "another timer",
	[CHECK_SOCKET] = "another socket",
	[CHECK_COUNTER] = "other counters",
	[CHECK_EXPECT] = "not as expected",
	[CHECK_VOID] = "the machine was too busy",
};

static struct check_how how_of(const struct options *o)
{
	return (struct check_how){.row = o->run.kernel_only ? NULL : o->run.row,
				  .trace = o->trace ? stdout : NULL};
}

static enum tcpwhy_family family_of(const struct options *o)
{
	return o->ipv6 ? TCPWHY_IPV6 : TCPWHY_IPV4;
}

/* Shrinks if asked, and prints in one write, so that processes do not mix their lines. */
static int report(struct kernel *k, const struct options *o, struct script *s, struct mismatch *m,
		  const char *from, struct err *err)
{
	const struct check_how how = how_of(o);
	char *text = NULL;
	size_t size = 0;
	const int rc =
		program_shrinks(&o->run) ? shrink_script(k, &how, s, m, &jobs_stopped, err) : 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return -ENOMEM;
	fprintf(out, "# %s\n# mismatch: %s\n", from, class_names[m->class]);
	script_print(s, "#   ", out);
	fprintf(out, "# at step %zu: %s\n", m->at + 1, m->text);
	fclose(out);
	const ssize_t n = write(STDOUT_FILENO, text, size);
	free(text);
	return n < 0 ? -errno : rc;
}

/* A busy machine makes a script void: it is played again. What may be chance must show often. */
static int check_again(struct kernel *k, const struct script *s, const struct check_how *first,
		       struct check_stats *stats, struct mismatch *m, struct err *err)
{
	struct check_how how = *first;
	int rc = 0, chances = 0;

	for (int tries = 0; tries < VOID_TRIES && !jobs_stopped; tries++) {
		rc = check_script(k, s, &how, stats, m, err);
		if (rc || m->class == CHECK_AGREE)
			break;
		if (m->class == CHECK_VOID)
			continue;
		if (!m->by_chance || ++chances == CHANCES)
			break;
		stats->chances++;
		/* in an emulated machine time would go as it went before */
		if (how.n_pauses < CHECK_PAUSES)
			how.pauses[how.n_pauses++] = m->at;
	}
	return rc;
}

/* --------------------------------------------------------------------------- in several processes
 */

/* The next script of a job: a cell of the table, or a random one. False: there are no more. */
static bool next_script(const struct options *o, struct program_tally *t, struct script *s,
			char from[static CELL_NAME])
{
	if (!o->table && atomic_load(&t->done) >= o->run.amount)
		return false;
	do {
		const uint64_t number = atomic_fetch_add(&t->next, 1);
		if (!o->table) {
			generate_script(draw_seed(o->run.seed, number), s);
			snprintf(from, CELL_NAME, "seed %llu, script %llu",
				 (unsigned long long)o->run.seed, (unsigned long long)number);
			return true;
		}
		if (!table_cell(number, family_of(o), s, from))
			return false;
	} while (o->cells && !strstr(from, o->cells));
	return true;
}

struct work {
	const struct options *o;
	struct shared *shared;
};

/* One process: takes the next script until there are no more, or mismatches end it. */
static int work(void *ctx, unsigned job, struct err *err)
{
	const struct work *w = ctx;
	const struct check_how how = how_of(w->o);
	struct program_tally *t = &w->shared->tally;
	struct check_stats *stats = &w->shared->stats[job];
	static struct kernel k;
	static struct script s;
	struct mismatch m;
	char from[CELL_NAME];
	int rc = kernel_open(&k, err);

	while (program_goes_on(&w->o->run, t, rc) && next_script(w->o, t, &s, from)) {
		const uint64_t before = stats->events;
		if (w->o->trace)
			printf("# %s\n", from);
		rc = check_again(&k, &s, &how, stats, &m, err);
		atomic_fetch_add(&t->done, stats->events - before);
		if (rc || m.class == CHECK_AGREE || jobs_stopped)
			continue;
		atomic_fetch_add(&t->mismatches, 1);
		rc = report(&k, w->o, &s, &m, from, err);
	}
	kernel_close(&k);
	return rc;
}

static void add_stats(struct check_stats *sum, const struct check_stats *one)
{
	sum->scripts += one->scripts;
	sum->events += one->events;
	sum->voids += one->voids;
	sum->chances += one->chances;
	for (unsigned i = 0; i < OUTSIDE_REASONS; i++)
		sum->outside[i] += one->outside[i];
	sum->segments += one->segments;
	sum->lacking += one->lacking;
	sum->other_release += one->other_release;
	for (unsigned i = 0; i < STEP_KINDS; i++)
		sum->kinds[i] += one->kinds[i];
	for (unsigned i = 0; i <= TCPWHY_BOUND; i++)
		sum->states[i] += one->states[i];
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		sum->counted[i] += one->counted[i];
}

static void print_lacking(const struct check_stats *s)
{
	if (s->lacking || s->other_release)
		printf("# %llu steps left out that this kernel lacks, %llu assertions of another "
		       "release\n",
		       (unsigned long long)s->lacking, (unsigned long long)s->other_release);
}

static void print_stats(const struct check_stats *s, double seconds)
{
	printf("# %llu scripts, %llu steps in %.1f s, %llu segments answered; played "
	       "again: %llu on a busy machine, %llu that differed at a tick\n",
	       (unsigned long long)s->scripts, (unsigned long long)s->events, seconds,
	       (unsigned long long)s->segments, (unsigned long long)s->voids,
	       (unsigned long long)s->chances);
	printf("# left out:");
	for (enum outside_reason i = OUTSIDE_NOT + 1; i < OUTSIDE_REASONS; i++)
		printf(" %llu %s%s", (unsigned long long)s->outside[i], outside_name(i),
		       i + 1 < OUTSIDE_REASONS ? "," : "");
	printf("\n");
	print_lacking(s);
	printf("# steps:");
	for (enum step_kind i = 0; i < STEP_KINDS; i++)
		if (s->kinds[i])
			printf(" %s %llu", step_kind_name(i), (unsigned long long)s->kinds[i]);
	printf("\n# segments into:");
	for (unsigned i = 1; i <= TCPWHY_BOUND; i++)
		if (s->states[i])
			printf(" %s %llu", tcpwhy_state_name(i), (unsigned long long)s->states[i]);
	printf("\n# counted:");
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		if (s->counted[i])
			printf(" %s %llu", counter_name(i), (unsigned long long)s->counted[i]);
	printf("\n");
}

static bool run_jobs(const void *ctx, struct program_tally *tally)
{
	const struct options *o = ctx;
	struct work w = {o, (struct shared *)tally};
	struct check_stats sum = {0};
	const uint64_t start = kernel_now();
	const unsigned jobs = program_jobs(&o->run, tally, work, &w);

	for (unsigned i = 0; i < jobs; i++)
		add_stats(&sum, &w.shared->stats[i]);
	print_stats(&sum, (double)(kernel_now() - start) / 1e9);
	const bool complete =
		sum.scripts && (o->table || sum.events >= o->run.amount) && !jobs_stopped;
	const bool ok = program_judge(&o->run, tally, jobs, complete);
	if (o->table)
		printf("%sok 1 - %llu cells of the table agree\n", ok ? "" : "not ",
		       (unsigned long long)(sum.scripts - sum.voids - sum.chances));
	else
		printf("%sok 1 - %llu random steps agree\n", ok ? "" : "not ",
		       (unsigned long long)sum.events);
	return ok;
}

/* -------------------------------------------------------------------------------------- files */

static bool play_file(struct kernel *k, const struct options *o, const char *path, unsigned test,
		      struct check_stats *sum)
{
	const struct check_how how = how_of(o);
	struct script *s = calloc(1, sizeof(*s));
	struct check_stats stats = {0};
	struct mismatch m = {.class = CHECK_AGREE};
	struct err err = {.text = "no memory"};
	int rc = s ? script_read(path, s, &err) : -ENOMEM;

	if (!rc)
		rc = check_again(k, s, &how, &stats, &m, &err);
	const bool ok = !rc && m.class == CHECK_AGREE;
	if (rc)
		printf("# %s\n", err.text);
	fflush(stdout);
	if (!rc && !ok)
		report(k, o, s, &m, path, &err);
	printf("%sok %u - %s, %llu steps\n", ok ? "" : "not ", test, path,
	       (unsigned long long)stats.events);
	fflush(stdout);
	add_stats(sum, &stats);
	free(s);
	return ok;
}

static int play_files(const void *ctx)
{
	const struct options *o = ctx;
	struct check_stats sum = {0};
	static struct kernel k;
	struct err err;
	int failed = 0;
	const int rc = kernel_open(&k, &err);

	if (rc) {
		printf("Bail out! %s\n", err.text);
		return 2;
	}
	for (unsigned i = 0; i < o->run.n_files && !jobs_stopped; i++)
		failed |= !play_file(&k, o, o->run.files[i], i + 1, &sum);
	print_lacking(&sum);
	kernel_close(&k);
	return failed;
}

/* ----------------------------------------------------------------------------------- printing */

static void print_cells(const struct options *o)
{
	static struct script s;
	char name[CELL_NAME];

	for (size_t i = 0; table_cell(i, family_of(o), &s, name); i++) {
		if (o->cells && !strstr(name, o->cells))
			continue;
		printf("# %s\n", name);
		script_print(&s, "", stdout);
		if (o->cells)
			break;
	}
}

static int print_script(const void *ctx)
{
	const struct options *o = ctx;
	static struct script s;
	struct err err;

	if (o->table) {
		print_cells(o);
		return 0;
	}
	if (!o->run.n_files)
		generate_script(draw_seed(o->run.seed, o->run.amount), &s);
	else if (script_read(o->run.files[0], &s, &err)) {
		fprintf(stderr, "packet: %s: %s\n", o->run.files[0], err.text);
		return 2;
	}
	script_print(&s, "", stdout);
	return 0;
}

/* ---------------------------------------------------------------------------------- the program */

static const char usage[] =
	"usage: packet [--events N] [--seed S] [--jobs J] [--mismatches N] [--no-shrink]\n"
	"       packet --table [--ipv6] [--cells PART]\n"
	"       packet [--shrink] --script FILE...\n"
	"       packet --corpus DIR\n"
	"       packet --print --seed S --events N    only prints the random script of that "
	"number\n"
	"       packet --print --cells NAME           only prints the first such cell\n"
	"every run: --kernel-only: no model; --trace: what each step gave;\n"
	"           --release ROW: by the rules of that release, not of the running kernel's\n";

int main(int argc, char **argv)
{
	struct options o = {0};
	const struct program_option own[] = {
		{"events", PROGRAM_AMOUNT, &o.run.amount}, {"table", PROGRAM_FLAG, &o.table},
		{"cells", PROGRAM_TEXT, &o.cells},         {"ipv6", PROGRAM_FLAG, &o.ipv6},
		{"trace", PROGRAM_FLAG, &o.trace},         {0},
	};
	const struct program program = {
		.usage = usage,
		.jobs = 2,
		.options = own,
		.shared_size = sizeof(struct shared),
		.print = print_script,
		.play_files = play_files,
		.play_random = run_jobs,
		.ctx = &o,
	};

	if (program_parse(&program, argc, argv, &o.run))
		return 2;
	o.table |= o.cells != NULL;
	if (o.table && o.run.shrink < 0)
		o.run.shrink = false;
	return program_run(&program, &o.run);
}
