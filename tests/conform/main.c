/* SPDX-License-Identifier: MIT
 *
 * main.c - the engine against the real kernel, call by call
 *
 * Random scripts from a seed in several processes, each in a network namespace of its own; or given
 * scripts. Output is TAP; status 1 on a mismatch, which is printed as the shortest script that
 * still shows it.
 */
#include "check.h"
#include "generate.h"
#include "shrink.h"

#include "differ/draw.h"
#include "differ/program.h"
#include "differ/jobs.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* What the processes share. */
struct shared {
	struct program_tally tally;
	struct check_stats stats[JOBS_MAX];
};

static const char *const class_names[] = {
	[CHECK_AGREE] = "none",
	[CHECK_ANSWER] = "another answer",
	[CHECK_STATE] = "another state",
	[CHECK_COUNT] = "another number of sockets",
	[CHECK_TABLE] = "another table",
	[CHECK_EXPECT] = "not as expected",
	[CHECK_ENGINE] = "the engine refuses",
};

static void print_mismatch(const struct script *s, const struct mismatch *m, FILE *out)
{
	char text[CALL_TEXT];

	fprintf(out, "# mismatch: %s\n", class_names[m->class]);
	for (size_t i = 0; i < s->n; i++) {
		call_print(&s->calls[i], text);
		fprintf(out, "#   %s\n", text);
	}
	fprintf(out, "# %s\n", m->text);
}

static const struct tcpwhy_row *engine_row(const struct program_options *o)
{
	return o->kernel_only ? NULL : o->row;
}

/* Shrinks if asked, and prints in one write, so that processes do not mix their lines. */
static int report(struct kernel *k, const struct program_options *o, struct script *s,
		  struct mismatch *m, const char *from, struct err *err)
{
	char *text = NULL;
	size_t size = 0;
	const int rc =
		program_shrinks(o) ? shrink_script(k, engine_row(o), s, m, &jobs_stopped, err) : 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return -ENOMEM;
	fprintf(out, "# %s\n", from);
	print_mismatch(s, m, out);
	fclose(out);
	const ssize_t n = write(STDOUT_FILENO, text, size);
	free(text);
	return n < 0 ? -errno : rc;
}

struct work {
	const struct program_options *o;
	struct shared *shared;
};

/* The script of that number: played, and told if it shows a mismatch. */
static int play_random(const struct work *w, struct kernel *k, uint64_t number,
		       struct check_stats *stats, struct err *err)
{
	static struct script s;
	const uint64_t before = stats->calls;
	struct mismatch m;
	char from[80];

	generate_script(draw_seed(w->o->seed, number), w->o->row, &s);
	const int rc = check_script(k, &s, engine_row(w->o), stats, &m, err);
	atomic_fetch_add(&w->shared->tally.done, stats->calls - before);
	if (rc || m.class == CHECK_AGREE || jobs_stopped)
		return rc;
	atomic_fetch_add(&w->shared->tally.mismatches, 1);
	snprintf(from, sizeof(from), "seed %llu, script %llu", (unsigned long long)w->o->seed,
		 (unsigned long long)number);
	return report(k, w->o, &s, &m, from, err);
}

/* One process: takes the next script until enough calls were made, or a mismatch ends it. */
static int work(void *ctx, unsigned job, struct err *err)
{
	const struct work *w = ctx;
	struct program_tally *t = &w->shared->tally;
	struct kernel k;
	int rc = netns_enter(err);

	if (!rc)
		rc = kernel_open(&k, err);
	if (rc)
		return rc;
	while (program_goes_on(w->o, t, rc) && atomic_load(&t->done) < w->o->amount)
		rc = play_random(w, &k, atomic_fetch_add(&t->next, 1), &w->shared->stats[job], err);
	kernel_close(&k);
	return rc;
}

/* ------------------------------------------------------------------------------------ summary */

static void add_stats(struct check_stats *sum, const struct check_stats *one)
{
	sum->scripts += one->scripts;
	sum->calls += one->calls;
	sum->waited += one->waited;
	sum->ties += one->ties;
	sum->ambiguous += one->ambiguous;
	sum->dumps += one->dumps;
	sum->lacking += one->lacking;
	sum->other_release += one->other_release;
	for (unsigned i = 0; i < CALL_KINDS; i++) {
		sum->ok[i] += one->ok[i];
		sum->refused[i] += one->refused[i];
		sum->skipped[i] += one->skipped[i];
	}
}

static void print_lacking(const struct check_stats *s)
{
	if (s->lacking || s->other_release)
		printf("# %llu calls left out that this kernel lacks, %llu expectations of another "
		       "release\n",
		       (unsigned long long)s->lacking, (unsigned long long)s->other_release);
}

static void print_stats(const struct check_stats *s, double seconds)
{
	printf("# %llu scripts, %llu calls in %.1f s, %.0f calls/s\n",
	       (unsigned long long)s->scripts, (unsigned long long)s->calls, seconds,
	       (double)s->calls / (seconds > 0 ? seconds : 1));
	printf("# %llu table dumps, %llu calls put off at a timer's edge, %llu ties given up\n",
	       (unsigned long long)s->dumps, (unsigned long long)s->waited,
	       (unsigned long long)s->ties);
	print_lacking(s);
	printf("# scripts ended early at a shared 4-tuple: %llu\n",
	       (unsigned long long)s->ambiguous);
	for (enum call_kind i = 0; i < CALL_KINDS; i++)
		printf("# %-9s ok %llu, refused %llu, skipped %llu\n", call_kind_name(i),
		       (unsigned long long)s->ok[i], (unsigned long long)s->refused[i],
		       (unsigned long long)s->skipped[i]);
}

static bool run_random(const void *ctx, struct program_tally *tally)
{
	const struct program_options *o = ctx;
	struct work w = {o, (struct shared *)tally};
	struct check_stats sum = {0};
	const uint64_t start = kernel_now();
	const unsigned jobs = program_jobs(o, tally, work, &w);

	for (unsigned i = 0; i < jobs; i++)
		add_stats(&sum, &w.shared->stats[i]);
	print_stats(&sum, (double)(kernel_now() - start) / 1e9);
	const bool ok = program_judge(o, tally, jobs, sum.calls >= o->amount);
	printf("%sok 1 - %llu random calls agree\n", ok ? "" : "not ",
	       (unsigned long long)sum.calls);
	return ok;
}

/* -------------------------------------------------------------------------------------- files */

static bool play_file(struct kernel *k, const struct program_options *o, const char *path,
		      unsigned test, struct check_stats *sum)
{
	struct script *s = calloc(1, sizeof(*s));
	struct check_stats stats = {0};
	struct mismatch m = {.class = CHECK_AGREE};
	struct err err = {.text = "no memory"};
	int rc = s ? script_read(path, s, &err) : -ENOMEM;

	if (!rc)
		rc = check_script(k, s, engine_row(o), &stats, &m, &err);
	const bool ok = !rc && m.class == CHECK_AGREE;
	if (rc)
		printf("# %s\n", err.text);
	else if (!ok)
		report(k, o, s, &m, path, &err);
	printf("%sok %u - %s, %llu calls\n", ok ? "" : "not ", test, path,
	       (unsigned long long)stats.calls);
	fflush(stdout);
	add_stats(sum, &stats);
	free(s);
	return ok;
}

static int play_files(const void *ctx)
{
	const struct program_options *o = ctx;
	struct check_stats sum = {0};
	struct kernel k;
	struct err err;
	int failed = 0;
	int rc = netns_enter(&err);

	if (!rc)
		rc = kernel_open(&k, &err);
	if (rc) {
		printf("Bail out! %s\n", err.text);
		return 2;
	}
	for (unsigned i = 0; i < o->n_files && !jobs_stopped; i++)
		failed |= !play_file(&k, o, o->files[i], i + 1, &sum);
	print_lacking(&sum);
	kernel_close(&k);
	return failed;
}

static int print_script(const void *ctx)
{
	const struct program_options *o = ctx;
	static struct script s;
	struct err err;

	if (!o->n_files)
		generate_script(draw_seed(o->seed, o->amount), o->row, &s);
	else if (script_read(o->files[0], &s, &err)) {
		fprintf(stderr, "conform: %s: %s\n", o->files[0], err.text);
		return 2;
	}
	script_print(&s, stdout);
	return 0;
}

/* ---------------------------------------------------------------------------------- the program */

static const char usage[] =
	"usage: conform [--calls N] [--seed S] [--jobs J] [--mismatches N] [--no-shrink] "
	"[--kernel-only]\n"
	"       conform [--print] --script FILE...\n"
	"       conform --corpus DIR\n"
	"       conform --print --seed S --calls N    only prints the script of that number\n"
	"every run: --release ROW: by the rules of that release, not of the running kernel's\n";

int main(int argc, char **argv)
{
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct program_options o;
	const struct program_option calls[] = {{"calls", PROGRAM_AMOUNT, &o.amount}, {0}};
	const struct program program = {
		.usage = usage,
		.jobs = cores > 0 && cores < JOBS_MAX / 2 ? (unsigned)cores * 2 : 4,
		.options = calls,
		.shared_size = sizeof(struct shared),
		.print = print_script,
		.play_files = play_files,
		.play_random = run_random,
		.ctx = &o,
	};

	return program_parse(&program, argc, argv, &o) ? 2 : program_run(&program, &o);
}
