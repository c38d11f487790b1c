/* SPDX-License-Identifier: MIT */
#include "program.h"

#include "jobs.h"

#include "load/load.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------ options */

enum { MAX_OPTIONS = 32 };

static const struct tcpwhy_row *running_row(void)
{
	struct utsname name = {0};

	uname(&name);
	return load_row_for(name.release);
}

static void add_file(struct program_options *o, const char *path)
{
	if (o->n_files < PROGRAM_FILES)
		o->files[o->n_files++] = path;
}

static bool has_value(enum program_kind kind)
{
	return kind != PROGRAM_FLAG && kind != PROGRAM_ON && kind != PROGRAM_OFF;
}

static void take(const struct program_option *option, const char *value)
{
	switch (option->kind) {
	case PROGRAM_FLAG:
		*(bool *)option->to = true;
		break;
	case PROGRAM_ON:
	case PROGRAM_OFF:
		*(int *)option->to = option->kind == PROGRAM_ON;
		break;
	case PROGRAM_AMOUNT:
		*(uint64_t *)option->to = strtoull(value, NULL, 0);
		break;
	case PROGRAM_NUMBER:
		*(unsigned *)option->to = (unsigned)strtoul(value, NULL, 0);
		break;
	case PROGRAM_TEXT:
		*(const char **)option->to = value;
		break;
	case PROGRAM_ROW:
		*(const struct tcpwhy_row **)option->to = tcpwhy_row_find(value);
		break;
	case PROGRAM_SCRIPT:
		add_file(option->to, value);
		break;
	}
}

/* Adds a list to what is there; how many there are then. */
static size_t add_options(const struct program_option *list, struct program_option *all,
			  struct option *longs, size_t n)
{
	for (; list->name && n < MAX_OPTIONS; list++, n++) {
		all[n] = *list;
		longs[n] = (struct option){list->name, has_value(list->kind), NULL, 256 + (int)n};
	}
	return n;
}

/* False at one that is unknown. */
static bool take_all(const struct program *p, int argc, char **argv, struct program_options *o)
{
	const struct program_option common[] = {
		{"seed", PROGRAM_AMOUNT, &o->seed},
		{"jobs", PROGRAM_NUMBER, &o->jobs},
		{"mismatches", PROGRAM_NUMBER, &o->mismatches},
		{"script", PROGRAM_SCRIPT, o},
		{"corpus", PROGRAM_TEXT, &o->corpus},
		{"release", PROGRAM_ROW, &o->row},
		{"shrink", PROGRAM_ON, &o->shrink},
		{"no-shrink", PROGRAM_OFF, &o->shrink},
		{"kernel-only", PROGRAM_FLAG, &o->kernel_only},
		{"print", PROGRAM_FLAG, &o->print},
		{0},
	};
	struct program_option all[MAX_OPTIONS];
	struct option longs[MAX_OPTIONS + 1] = {0};

	add_options(p->options, all, longs, add_options(common, all, longs, 0));
	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c < 256)
			return false;
		take(&all[c - 256], optarg);
	}
	while (optind < argc)
		add_file(o, argv[optind++]);
	return true;
}

int program_parse(const struct program *p, int argc, char **argv, struct program_options *o)
{
	*o = (struct program_options){
		.amount = 20000,
		.seed = 1,
		.jobs = p->jobs,
		.mismatches = 1,
		.shrink = -1,
		.row = running_row(),
	};
	if (take_all(p, argc, argv, o) && o->row && o->jobs && o->jobs <= JOBS_MAX)
		return 0;
	fputs(p->usage, stderr);
	return -EINVAL;
}

bool program_expects(const struct tcpwhy_row *row)
{
	bool reached = false;

	for (size_t i = 0; tcpwhy_row_at(i); i++) {
		reached |= tcpwhy_row_at(i) == tcpwhy_row_find("6.18.y");
		if (tcpwhy_row_at(i) == row)
			return reached;
	}
	return false;
}

bool program_shrinks(const struct program_options *o)
{
	return o->shrink < 0 ? !o->n_files && !o->corpus : o->shrink;
}

/* ----------------------------------------------------------------------------- random scripts */

bool program_goes_on(const struct program_options *o, const struct program_tally *t, int rc)
{
	return !rc && !jobs_stopped && atomic_load(&t->mismatches) < o->mismatches;
}

struct job {
	struct program_tally *t;
	int (*work)(void *ctx, unsigned job, struct err *err);
	void *ctx;
};

static int run_job(void *ctx, unsigned number)
{
	const struct job *j = ctx;
	struct err err = {.text = "no memory"};

	if (!j->work(j->ctx, number, &err))
		return 0;
	atomic_store(&j->t->broken, 1);
	printf("# job %u: %s\n", number, err.text);
	return 2;
}

unsigned program_jobs(const struct program_options *o, struct program_tally *t,
		      int (*work)(void *ctx, unsigned job, struct err *err), void *ctx)
{
	struct job j = {t, work, ctx};

	return jobs_run(o->jobs, run_job, &j);
}

bool program_judge(const struct program_options *o, const struct program_tally *t, unsigned jobs,
		   bool complete)
{
	const unsigned mismatches = atomic_load(&t->mismatches);

	printf("# seed %llu, %u jobs, mismatches %u%s\n", (unsigned long long)o->seed, jobs,
	       mismatches, complete || mismatches ? "" : ", ended early");
	return jobs && complete && !mismatches && !atomic_load(&t->broken);
}

/* --------------------------------------------------------------------------------- the program */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Adds every *.script of a directory, in the order of their names. */
static int add_corpus(struct program_options *o, const char *dir)
{
	DIR *d = opendir(dir);

	if (!d)
		return -errno;
	for (struct dirent *e; (e = readdir(d)) && o->n_files < PROGRAM_FILES;) {
		const size_t len = strlen(e->d_name);
		char *path;
		if (len < 8 || strcmp(e->d_name + len - 7, ".script"))
			continue;
		if (asprintf(&path, "%s/%s", dir, e->d_name) > 0)
			add_file(o, path);
	}
	o->own_files = true;
	closedir(d);
	qsort(o->files, o->n_files, sizeof(o->files[0]), by_name);
	return 0;
}

static int play(const struct program *p, struct program_options *o, struct program_tally *shared)
{
	if (o->corpus && (o->n_files || add_corpus(o, o->corpus))) {
		printf("Bail out! %s: %s\n", o->corpus,
		       o->n_files ? "not together with scripts" : strerror(errno));
		return 2;
	}
	printf("1..%zu\n# by the rules of %s\n", o->n_files ? o->n_files : 1, o->row->name);
	const int rc =
		o->n_files || o->corpus ? p->play_files(p->ctx) : !p->play_random(p->ctx, shared);
	for (size_t i = 0; o->own_files && i < o->n_files; i++)
		free((void *)(uintptr_t)o->files[i]);
	return rc;
}

int program_run(const struct program *p, struct program_options *o)
{
	if (o->print)
		return p->print(p->ctx);
	if (geteuid()) {
		printf("1..0 # SKIP the real kernel is asked in network namespaces, and that takes "
		       "root\n");
		return 77;
	}
	struct program_tally *shared = mmap(NULL, p->shared_size, PROT_READ | PROT_WRITE,
					    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 2;
	jobs_catch_signals();
	const int rc = play(p, o, shared);
	munmap(shared, p->shared_size);
	return rc;
}
