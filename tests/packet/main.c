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

#include "load/load.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_JOBS = 32, MAX_FILES = 512, VOID_TRIES = 50, CHANCES = 6 };

struct options {
	uint64_t events, seed;
	unsigned jobs;
	unsigned mismatches;                         /* given up after so many */
	int shrink;                                  /* -1: random scripts yes, files no */
	const struct tcpwhy_row *row;                /* the model's rules */
	bool print, table, trace, kernel_only, ipv6; /* ipv6: the table */
	const char *cells;                           /* only cells with this in their name */
	const char *corpus;
	const char *files[MAX_FILES];
	bool own_files; /* the paths are on the heap */
	size_t n_files;
};

/* What the processes share. */
struct shared {
	atomic_uint_fast64_t events, next;
	atomic_uint mismatches, broken;
	struct check_stats stats[MAX_JOBS];
};

static volatile int stopped;

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
}

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
	return (struct check_how){.row = o->kernel_only ? NULL : o->row,
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
	const int rc = o->shrink ? shrink_script(k, &how, s, m, &stopped, err) : 0;
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

	for (int tries = 0; tries < VOID_TRIES && !stopped; tries++) {
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

static uint64_t script_seed(uint64_t seed, uint64_t number)
{
	return seed * 0x9e3779b97f4a7c15u + number * 0xd1342543de82ef95u;
}

/* The next script of a job: a cell of the table, or a random one. False: there are no more. */
static bool next_script(const struct options *o, struct shared *shared, struct script *s,
			char from[static CELL_NAME])
{
	if (!o->table && atomic_load(&shared->events) >= o->events)
		return false;
	do {
		const uint64_t number = atomic_fetch_add(&shared->next, 1);
		if (!o->table) {
			generate_script(script_seed(o->seed, number), s);
			snprintf(from, CELL_NAME, "seed %llu, script %llu",
				 (unsigned long long)o->seed, (unsigned long long)number);
			return true;
		}
		if (!table_cell(number, family_of(o), s, from))
			return false;
	} while (o->cells && !strstr(from, o->cells));
	return true;
}

/* One process: takes the next script until there are no more, or mismatches end it. */
static int work(const struct options *o, struct shared *shared, unsigned job, struct script *s,
		struct err *err)
{
	const struct check_how how = how_of(o);
	struct check_stats *stats = &shared->stats[job];
	static struct kernel k;
	struct mismatch m;
	char from[CELL_NAME];
	int rc = kernel_open(&k, err);

	while (!rc && !stopped && atomic_load(&shared->mismatches) < o->mismatches &&
	       next_script(o, shared, s, from)) {
		const uint64_t before = stats->events;
		if (o->trace)
			printf("# %s\n", from);
		rc = check_again(&k, s, &how, stats, &m, err);
		atomic_fetch_add(&shared->events, stats->events - before);
		if (rc || m.class == CHECK_AGREE || stopped)
			continue;
		atomic_fetch_add(&shared->mismatches, 1);
		rc = report(&k, o, s, &m, from, err);
	}
	kernel_close(&k);
	return rc;
}

static int run_job(const struct options *o, struct shared *shared, unsigned job)
{
	struct script *s = malloc(sizeof(*s));
	struct err err = {.text = "no memory"};

	/* nothing is left behind, whatever ends the parent */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	const int rc = s ? work(o, shared, job, s, &err) : -ENOMEM;
	if (rc) {
		atomic_store(&shared->broken, 1);
		fprintf(stdout, "# job %u: %s\n", job, err.text);
	}
	fflush(stdout);
	free(s);
	return rc ? 2 : 0;
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

static void wait_jobs(const pid_t *pids, unsigned jobs)
{
	for (unsigned left = jobs; left;) {
		const pid_t pid = wait(NULL);
		if (pid > 0) {
			left--;
			continue;
		}
		if (errno != EINTR)
			break;
		for (unsigned i = 0; i < jobs; i++)
			kill(pids[i], SIGTERM);
	}
}

static bool run_jobs(const struct options *o, struct shared *shared)
{
	struct check_stats sum = {0};
	pid_t pids[MAX_JOBS];
	unsigned jobs = 0;
	const uint64_t start = kernel_now();

	fflush(stdout);
	for (; jobs < o->jobs; jobs++) {
		pids[jobs] = fork();
		if (!pids[jobs])
			_exit(run_job(o, shared, jobs));
		if (pids[jobs] < 0)
			break;
	}
	wait_jobs(pids, jobs);
	for (unsigned i = 0; i < jobs; i++)
		add_stats(&sum, &shared->stats[i]);
	print_stats(&sum, (double)(kernel_now() - start) / 1e9);
	const unsigned mismatches = atomic_load(&shared->mismatches);
	const bool complete = sum.scripts && (o->table || sum.events >= o->events) && !stopped;
	const bool ok = jobs && complete && !mismatches && !atomic_load(&shared->broken);
	printf("# seed %llu, %u jobs, mismatches %u%s\n", (unsigned long long)o->seed, jobs,
	       mismatches, complete || mismatches ? "" : ", ended early");
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

static int play_files(const struct options *o)
{
	struct check_stats sum = {0};
	static struct kernel k;
	struct err err;
	int failed = 0;
	const int rc = kernel_open(&k, &err);

	if (rc) {
		printf("Bail out! %s\n", err.text);
		return 2;
	}
	for (unsigned i = 0; i < o->n_files && !stopped; i++)
		failed |= !play_file(&k, o, o->files[i], i + 1, &sum);
	print_lacking(&sum);
	kernel_close(&k);
	return failed;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Adds every *.script of a directory, in the order of their names. The paths live as long as the
 * process. */
static int add_corpus(struct options *o, const char *dir)
{
	DIR *d = opendir(dir);

	if (!d)
		return -errno;
	for (struct dirent *e; (e = readdir(d)) && o->n_files < MAX_FILES;) {
		const size_t len = strlen(e->d_name);
		char *path;
		if (len < 8 || strcmp(e->d_name + len - 7, ".script"))
			continue;
		if (asprintf(&path, "%s/%s", dir, e->d_name) > 0)
			o->files[o->n_files++] = path;
	}
	o->own_files = true;
	closedir(d);
	qsort(o->files, o->n_files, sizeof(o->files[0]), by_name);
	return 0;
}

/* ------------------------------------------------------------------------------------ options */

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

static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"events", required_argument, NULL, 'n'},
		{"seed", required_argument, NULL, 's'},
		{"jobs", required_argument, NULL, 'j'},
		{"script", required_argument, NULL, 'f'},
		{"corpus", required_argument, NULL, 'c'},
		{"cells", required_argument, NULL, 'C'},
		{"mismatches", required_argument, NULL, 'm'},
		{"release", required_argument, NULL, 'r'},
		{"table", no_argument, NULL, 'T'},
		{"shrink", no_argument, NULL, 'S'},
		{"no-shrink", no_argument, NULL, 'N'},
		{"kernel-only", no_argument, NULL, 'k'},
		{"trace", no_argument, NULL, 't'},
		{"ipv6", no_argument, NULL, '6'},
		{"print", no_argument, NULL, 'p'},
		{NULL, 0, NULL, 0},
	};

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (c) {
		case 'n':
			o->events = strtoull(optarg, NULL, 0);
			break;
		case 's':
			o->seed = strtoull(optarg, NULL, 0);
			break;
		case 'j':
			o->jobs = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'm':
			o->mismatches = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'r':
			o->row = tcpwhy_row_find(optarg);
			break;
		case 'f':
			if (o->n_files < MAX_FILES)
				o->files[o->n_files++] = optarg;
			break;
		case 'c':
			o->corpus = optarg;
			break;
		case 'C':
			o->cells = optarg;
			o->table = true;
			break;
		case 'T':
			o->table = true;
			break;
		case 'S':
		case 'N':
			o->shrink = c == 'S';
			break;
		case 'k':
			o->kernel_only = true;
			break;
		case 't':
			o->trace = true;
			break;
		case '6':
			o->ipv6 = true;
			break;
		case 'p':
			o->print = true;
			break;
		default:
			return -EINVAL;
		}
	}
	while (optind < argc && o->n_files < MAX_FILES)
		o->files[o->n_files++] = argv[optind++];
	if (o->shrink < 0)
		o->shrink = !o->n_files && !o->corpus && !o->table;
	return o->row && o->jobs && o->jobs <= MAX_JOBS ? 0 : -EINVAL;
}

static int print_script(const struct options *o)
{
	static struct script s;
	char name[CELL_NAME];
	struct err err;

	if (o->table) {
		for (size_t i = 0; table_cell(i, family_of(o), &s, name); i++)
			if (!o->cells || strstr(name, o->cells)) {
				printf("# %s\n", name);
				script_print(&s, "", stdout);
				if (o->cells)
					return 0;
			}
		return 0;
	}
	if (!o->n_files)
		generate_script(script_seed(o->seed, o->events), &s);
	else if (script_read(o->files[0], &s, &err)) {
		fprintf(stderr, "packet: %s: %s\n", o->files[0], err.text);
		return 2;
	}
	script_print(&s, "", stdout);
	return 0;
}

static int run(struct options *o)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		return 2;
	if (o->corpus && (o->n_files || add_corpus(o, o->corpus))) {
		printf("Bail out! %s: %s\n", o->corpus,
		       o->n_files ? "not together with scripts" : strerror(errno));
		return 2;
	}
	printf("1..%zu\n# by the rules of %s\n", o->n_files ? o->n_files : 1, o->row->name);
	const int rc = o->n_files || o->corpus ? play_files(o) : !run_jobs(o, shared);
	for (size_t i = 0; o->own_files && i < o->n_files; i++)
		free((void *)(uintptr_t)o->files[i]);
	munmap(shared, sizeof(*shared));
	return rc;
}

int main(int argc, char **argv)
{
	struct options o = {
		.events = 20000,
		.seed = 1,
		.jobs = 2,
		.mismatches = 1,
		.shrink = -1,
	};
	const struct sigaction action = {.sa_handler = on_signal};
	struct utsname name = {0};

	uname(&name);
	o.row = load_row_for(name.release);
	if (parse_options(argc, argv, &o)) {
		fputs(usage, stderr);
		return 2;
	}
	if (o.print)
		return print_script(&o);
	if (geteuid()) {
		printf("1..0 # SKIP the real kernel is asked in network namespaces, and that takes "
		       "root\n");
		return 77;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	return run(&o);
}
