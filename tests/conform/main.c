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

enum { MAX_JOBS = 64, MAX_FILES = 512 };

struct options {
	uint64_t calls, seed;
	unsigned jobs;
	unsigned mismatches;          /* given up after so many */
	int shrink;                   /* -1: random scripts yes, files no */
	const struct tcpwhy_row *row; /* the engine's rules */
	bool kernel_only, print;
	const char *corpus;
	const char *files[MAX_FILES];
	bool own_files; /* the paths are on the heap */
	size_t n_files;
};

/* What the processes share. */
struct shared {
	atomic_uint_fast64_t calls, next_script;
	atomic_uint mismatches, broken;
	struct check_stats stats[MAX_JOBS];
	uint64_t busy_ns[MAX_JOBS];
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

static const struct tcpwhy_row *engine_row(const struct options *o)
{
	return o->kernel_only ? NULL : o->row;
}

/* Shrinks if asked, and prints in one write, so that processes do not mix their lines. */
static int report(struct kernel *k, const struct options *o, struct script *s, struct mismatch *m,
		  const char *from, struct err *err)
{
	char *text = NULL;
	size_t size = 0;
	const bool shrink = o->shrink < 0 ? !o->n_files : o->shrink;
	const int rc = shrink ? shrink_script(k, engine_row(o), s, m, &stopped, err) : 0;
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

static uint64_t script_seed(uint64_t seed, uint64_t number)
{
	return seed * 0x9e3779b97f4a7c15u + number * 0xd1342543de82ef95u;
}

/* One process: takes the next script until enough calls were made, or a mismatch ends it. */
static int work(const struct options *o, struct shared *shared, unsigned job, struct script *s,
		struct err *err)
{
	struct check_stats *stats = &shared->stats[job];
	struct kernel k;
	struct mismatch m;
	int rc = netns_enter(err);

	if (!rc)
		rc = kernel_open(&k, err);
	if (rc)
		return rc;
	const uint64_t start = kernel_now();
	while (!rc && !stopped && atomic_load(&shared->calls) < o->calls &&
	       atomic_load(&shared->mismatches) < o->mismatches) {
		const uint64_t number = atomic_fetch_add(&shared->next_script, 1);
		const uint64_t before = stats->calls;
		char from[80];
		generate_script(script_seed(o->seed, number), o->row, s);
		rc = check_script(&k, s, engine_row(o), stats, &m, err);
		atomic_fetch_add(&shared->calls, stats->calls - before);
		if (rc || m.class == CHECK_AGREE || stopped)
			continue;
		atomic_fetch_add(&shared->mismatches, 1);
		snprintf(from, sizeof(from), "seed %llu, script %llu", (unsigned long long)o->seed,
			 (unsigned long long)number);
		rc = report(&k, o, s, &m, from, err);
	}
	shared->busy_ns[job] = kernel_now() - start;
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

static void wait_jobs(pid_t *pids, unsigned jobs)
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

static bool run_random(const struct options *o, struct shared *shared, unsigned test)
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
	const bool complete = sum.calls >= o->calls;
	const bool ok = jobs && complete && !mismatches && !atomic_load(&shared->broken);
	printf("# seed %llu, %u jobs, mismatches %u%s\n", (unsigned long long)o->seed, jobs,
	       mismatches, complete || mismatches ? "" : ", ended early");
	printf("%sok %u - %llu random calls agree\n", ok ? "" : "not ", test,
	       (unsigned long long)sum.calls);
	return ok;
}

/* -------------------------------------------------------------------------------------- files */

static bool play_file(struct kernel *k, const struct options *o, const char *path, unsigned test,
		      struct check_stats *sum)
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

static int play_files(const struct options *o)
{
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
	"usage: conform [--calls N] [--seed S] [--jobs J] [--mismatches N] [--no-shrink] "
	"[--kernel-only]\n"
	"       conform [--print] --script FILE...\n"
	"       conform --corpus DIR\n"
	"       conform --print --seed S --calls N    only prints the script of that number\n"
	"every run: --release ROW: by the rules of that release, not of the running kernel's\n";

static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"calls", required_argument, NULL, 'n'},
		{"seed", required_argument, NULL, 's'},
		{"jobs", required_argument, NULL, 'j'},
		{"script", required_argument, NULL, 'f'},
		{"corpus", required_argument, NULL, 'c'},
		{"mismatches", required_argument, NULL, 'm'},
		{"release", required_argument, NULL, 'r'},
		{"shrink", no_argument, NULL, 'S'},
		{"no-shrink", no_argument, NULL, 'N'},
		{"kernel-only", no_argument, NULL, 'k'},
		{"print", no_argument, NULL, 'p'},
		{NULL, 0, NULL, 0},
	};

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (c) {
		case 'n':
			o->calls = strtoull(optarg, NULL, 0);
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
		case 'S':
		case 'N':
			o->shrink = c == 'S';
			break;
		case 'k':
			o->kernel_only = true;
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
	return o->row && o->jobs && o->jobs <= MAX_JOBS ? 0 : -EINVAL;
}

static int print_script(const struct options *o)
{
	static struct script s;
	struct err err;

	if (!o->n_files)
		generate_script(script_seed(o->seed, o->calls), o->row, &s);
	else if (script_read(o->files[0], &s, &err)) {
		fprintf(stderr, "conform: %s: %s\n", o->files[0], err.text);
		return 2;
	}
	script_print(&s, stdout);
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
	const int rc = o->n_files || o->corpus ? play_files(o) : !run_random(o, shared, 1);
	for (size_t i = 0; o->own_files && i < o->n_files; i++)
		free((void *)(uintptr_t)o->files[i]);
	munmap(shared, sizeof(*shared));
	return rc;
}

int main(int argc, char **argv)
{
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct utsname name = {0};
	struct options o = {
		.calls = 20000,
		.seed = 1,
		.jobs = cores > 0 && cores < MAX_JOBS / 2 ? (unsigned)cores * 2 : 4,
		.mismatches = 1,
		.shrink = -1,
	};
	const struct sigaction action = {.sa_handler = on_signal};

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
