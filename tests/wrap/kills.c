/* SPDX-License-Identifier: MIT
 *
 * kills.c - kills the processes of tcpwhy run at random moments; prints TAP
 *
 * Each round starts `tcpwhy run --reuseaddr -- binder restless`, which binds without pause, and
 * kills: the supervisor or the keeper, several times, each time once there are two again; or both;
 * or the program; or all three. Judged is what the program saw: no bind() without the option, and
 * ENOSYS, at once, only when both are dead. When the program has ended nothing may be left.
 *
 * kills --tcpwhy PATH --binder PATH [--rounds N] [--seed N] [--lease]
 *
 * --lease: bind() asks for any port, and gets one of the pool.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT       17999
#define PATIENCE_S 10 /* for what must come */

enum { WELL, UNCURED, ENOSYS_SEEN, FAILED, COUNTS };

struct run {
	pid_t program, supervisor, keeper; /* 0 there is none */
	atomic_uint *counts;               /* shared with the program */
	uint64_t random;
	unsigned kills;
};

static const char *tcpwhy, *binder;
static bool lease;

static void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t next(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The random moment: this long from now, without sleeping, which would be too coarse. */
static void pass(unsigned microseconds)
{
	double until = now_s() + microseconds / 1e6;

	while (now_s() < until)
		;
}

/* ----------------------------------------------------------------------------------- who there is
 */

/* The parent of a living process that has the name of ours, else 0. */
static pid_t parent_of(pid_t pid)
{
	char path[64], name[64], state;
	int parent;
	bool ours;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	ours = fscanf(f, "%*d (%63[^)]) %c %d", name, &state, &parent) == 3 && state != 'Z' &&
	       state != 'X' && !strcmp(name, "tcpwhy-run");
	fclose(f);
	return ours ? parent : 0;
}

static unsigned find_children(pid_t parent, pid_t *out, unsigned max)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	unsigned n = 0;

	while (proc && n < max && (e = readdir(proc))) {
		int pid = atoi(e->d_name);

		if (pid > 0 && parent_of(pid) == parent)
			out[n++] = pid;
	}
	if (proc)
		closedir(proc);
	return n;
}

static void reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

/* Whoever lost its parent is our child: the supervisor, and for a moment both. */
static bool look(struct run *r)
{
	pid_t ours[4];
	unsigned n;

	reap();
	n = find_children(getpid(), ours, 4);
	r->supervisor = n ? ours[0] : 0;
	r->keeper = 0;
	if (n == 1)
		n += find_children(r->supervisor, &r->keeper, 1);
	return n == 2 && r->keeper;
}

static bool two_again(struct run *r)
{
	double end = now_s() + PATIENCE_S;

	while (!look(r))
		if (now_s() > end)
			return false;
	return true;
}

static bool nobody_left(struct run *r)
{
	double end = now_s() + PATIENCE_S;
	pid_t one;

	do {
		reap();
		if (!find_children(getpid(), &one, 1) && kill(r->program, 0))
			return true;
	} while (now_s() < end);
	return false;
}

static bool grows(struct run *r, int count, unsigned by)
{
	double end = now_s() + PATIENCE_S;
	unsigned from = r->counts[count];

	while (r->counts[count] - from < by)
		if (now_s() > end)
			return false;
	return true;
}

/* ------------------------------------------------------------------------------------------ a
 * round */

static void start(struct run *r)
{
	char port[8];
	int fd = memfd_create("counts", 0);

	if (fd < 0 || ftruncate(fd, 4096))
		die("memory");
	r->counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (r->counts == MAP_FAILED)
		die("memory");
	snprintf(port, sizeof(port), "%d", lease ? 0 : PORT);
	r->program = fork();
	if (r->program < 0)
		die("fork");
	if (r->program == 0) {
		if (fd != 3)
			dup2(fd, 3);
		execl(tcpwhy, "tcpwhy", "run", "--reuseaddr", lease ? "--lease" : "--reuseaddr",
		      "--", binder, "restless", port, (char *)NULL);
		_exit(127);
	}
	close(fd);
}

/* Until it is dead: it lives on for a moment, and must not be taken for one of the two. */
static void kill_and_wait(struct run *r, pid_t pid)
{
	double end = now_s() + PATIENCE_S;

	kill(pid, SIGKILL);
	r->kills++;
	while (parent_of(pid) && now_s() < end)
		;
}

static const char *kill_one_after_the_other(struct run *r)
{
	unsigned times = 1 + (unsigned)(next(&r->random) % 8);

	for (unsigned i = 0; i < times; i++) {
		if (!two_again(r))
			return "there are not two processes again";
		pass((unsigned)(next(&r->random) % 300));
		kill_and_wait(r, next(&r->random) % 3 ? r->supervisor : r->keeper);
	}
	if (!grows(r, WELL, 50))
		return "bind() does not go on";
	return r->counts[ENOSYS_SEEN] ? "ENOSYS though one was alive" : NULL;
}

static const char *kill_both(struct run *r)
{
	double end = now_s() + PATIENCE_S;

	if (!two_again(r))
		return "there are not two processes";
	pass((unsigned)(next(&r->random) % 300));
	kill(r->keeper, SIGKILL);
	/* Until none is left: the other may just have started a third. */
	do {
		if (r->supervisor)
			kill(r->supervisor, SIGKILL);
		if (r->keeper)
			kill(r->keeper, SIGKILL);
		look(r);
	} while ((r->supervisor || r->keeper) && now_s() < end);
	r->kills += 2;
	return grows(r, ENOSYS_SEEN, 50) ? NULL : "bind() does not fail when both are dead";
}

static const char *kill_program(struct run *r)
{
	if (!two_again(r))
		return "there are not two processes";
	pass((unsigned)(next(&r->random) % 300));
	kill(r->program, SIGKILL);
	r->kills++;
	return NULL;
}

static const char *kill_program_and_one(struct run *r)
{
	const char *wrong = kill_program(r);

	if (!wrong)
		kill(next(&r->random) % 2 ? r->supervisor : r->keeper, SIGKILL);
	return wrong;
}

/* At any moment of the start, whoever it is then. */
static const char *kill_at_start(struct run *r)
{
	pass((unsigned)(next(&r->random) % 8000));
	if (next(&r->random) % 2) {
		look(r);
		if (r->supervisor)
			kill(r->supervisor, SIGKILL);
	}
	kill(r->program, SIGKILL);
	r->kills++;
	return NULL;
}

static const struct {
	const char *name;
	const char *(*play)(struct run *r);
	unsigned weight;
} plays[] = {{"one after the other", kill_one_after_the_other, 6},
	     {"both", kill_both, 2},
	     {"the program", kill_program, 1},
	     {"the program and one", kill_program_and_one, 1},
	     {"at the start", kill_at_start, 3}};

#define PLAYS (sizeof(plays) / sizeof(plays[0]))

static size_t choose(uint64_t *random)
{
	unsigned sum = 0, at;

	for (size_t i = 0; i < PLAYS; i++)
		sum += plays[i].weight;
	at = (unsigned)(next(random) % sum);
	for (size_t i = 0;; i++) {
		if (at < plays[i].weight)
			return i;
		at -= plays[i].weight;
	}
}

static const char *judge(struct run *r)
{
	if (r->counts[UNCURED])
		return "a bind() went on without the option";
	return r->counts[FAILED] ? "a bind() failed with another errno" : NULL;
}

static const char *play(struct run *r, size_t which)
{
	const char *wrong;

	start(r);
	wrong = plays[which].play(r);
	if (!wrong)
		wrong = judge(r);
	kill(r->program, SIGKILL);
	if (!nobody_left(r) && !wrong)
		wrong = "a process is left";
	munmap(r->counts, 4096);
	return wrong;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"tcpwhy", required_argument, NULL, 't'}, {"binder", required_argument, NULL, 'b'},
		{"rounds", required_argument, NULL, 'r'}, {"seed", required_argument, NULL, 's'},
		{"lease", no_argument, NULL, 'l'},        {NULL, 0, NULL, 0}};
	unsigned rounds = 60, per_play[PLAYS] = {0}, failed = 0;
	uint64_t seed = 1;
	struct run r = {0};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 't')
			tcpwhy = optarg;
		else if (c == 'b')
			binder = optarg;
		else if (c == 'r')
			rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'l')
			lease = true;
		else if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else
			return 2;
	}
	if (!tcpwhy || !binder)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	printf("# seed %llu\n", (unsigned long long)seed);
	for (unsigned i = 0; i < rounds; i++) {
		r.random = seed * 0x9e3779b97f4a7c15u + i;
		size_t which = choose(&r.random);
		const char *wrong = play(&r, which);

		per_play[which]++;
		if (wrong) {
			printf("not ok %u - round %u, %s: %s\n", ++failed, i, plays[which].name,
			       wrong);
			if (failed == 5)
				break;
		}
	}
	if (!failed)
		printf("ok 1 - %u kills in %u rounds\n", r.kills, rounds);
	printf("1..%u\n", failed ? failed : 1);
	return failed != 0;
}
