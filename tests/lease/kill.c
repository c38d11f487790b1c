/* SPDX-License-Identifier: MIT
 *
 * kill.c - kill -9 of lease holders and of the pool's writers, at random moments, thousands of
 * times
 *
 * Workers lease, hold and give back as fast as they can; each lease is noted on a board beside the
 * pool, so that a port which two living processes hold is seen by the second. The parent kills one
 * worker after the other and starts a new one, and damages the file now and then, so that workers
 * die while they build it anew, too. Every few hundred deaths all workers are killed at once, and
 * then all ports must be there, once each.
 *
 * kill [--kills N] [--seed N]         TAP; N (500) deaths
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lease/process.h"
#include "tcpwhy/lease.h"

enum { LOW = 20000, PORTS = 200, WORKERS = 12, HOLD_MAX = 8, ROUND = 250 };

/* Shared by all; a worker that finds something wrong says so here and goes on. */
struct board {
	_Atomic uint32_t holder[PORTS]; /* pid, 0 none */
	_Atomic uint64_t leases, rebuilt, reopened;
	_Atomic uint32_t twice, outside, failed;
	_Atomic uint32_t stop, idle; /* workers stop with nothing leased, and live on */
	char failure[512];
};

static struct board *board;
static char folder[] = "/tmp/tcpwhy-lease-kill.XXXXXX";
static uint64_t rng_state;

static uint64_t random64(void)
{
	uint64_t z = rng_state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void pause_up_to(long ns)
{
	const struct timespec moment = {.tv_nsec = (long)(random64() % (uint64_t)ns)};

	nanosleep(&moment, NULL);
}

/* ----------------------------------------------------------------------------------------- a
 * worker */

static void complain(_Atomic uint32_t *counter, const char *what, int detail)
{
	if (atomic_fetch_add(counter, 1) == 0)
		snprintf(board->failure, sizeof(board->failure), "%s (%d)", what, detail);
}

static bool is_dead(uint32_t pid)
{
	struct process p;

	return process_find(pid, &p) || !process_lives(&p);
}

static void note_lease(const struct tcpwhy_lease *lease)
{
	uint32_t before;

	if (lease->port < LOW || lease->port >= LOW + PORTS) {
		complain(&board->outside, "a port outside the range", lease->port);
		return;
	}
	before = atomic_exchange(&board->holder[lease->port - LOW], (uint32_t)getpid());
	if (before && (before == (uint32_t)getpid() || !is_dead(before)))
		complain(&board->twice, "leased twice", lease->port);
}

static void note_release(const struct tcpwhy_lease *lease)
{
	uint32_t me = (uint32_t)getpid();

	if (!atomic_compare_exchange_strong(&board->holder[lease->port - LOW], &me, 0))
		complain(&board->twice, "leased to another meanwhile", lease->port);
}

static struct tcpwhy_pool *open_pool(void)
{
	struct tcpwhy_pool_why why;
	struct tcpwhy_pool *pool;
	int error = tcpwhy_pool_open(folder, false, &pool, &why);

	if (!error && why.text[0])
		atomic_fetch_add(&board->rebuilt, 1);
	if (!error)
		return pool;
	complain(&board->failed, why.text, error);
	_exit(1);
}

/* The file was damaged: the leases of before are given back in the new one. */
static struct tcpwhy_pool *open_again(struct tcpwhy_pool *pool)
{
	struct tcpwhy_pool *again = open_pool();

	tcpwhy_pool_close(pool);
	atomic_fetch_add(&board->reopened, 1);
	return again;
}

static int lease_some(struct tcpwhy_pool **pool, struct tcpwhy_lease *leases)
{
	uint64_t r = random64();
	struct tcpwhy_lease_wish wish = {
		.random = r & 1, .ttl_s = r & 2 ? 3600 : 0, .held = (r & 0x1c) == 0};
	int n;

	for (;;) {
		n = tcpwhy_lease(*pool, &wish, leases, 1 + (unsigned)(r >> 8) % HOLD_MAX);
		if (n != -ESTALE)
			return n;
		*pool = open_again(*pool);
	}
}

static void work(void)
{
	struct tcpwhy_pool *pool = open_pool();
	struct tcpwhy_lease leases[HOLD_MAX];

	for (;;) {
		int n, released;

		if (atomic_load(&board->stop)) {
			atomic_fetch_add(&board->idle, 1);
			for (;;)
				pause();
		}
		n = lease_some(&pool, leases);
		if (n < 0 && n != -ENOSPC)
			complain(&board->failed, "tcpwhy_lease", n);
		for (int i = 0; i < n; i++)
			note_lease(&leases[i]);
		/* So that the killed one gets the processor to die on. */
		if (random64() % 32 == 0)
			pause_up_to(500000);
		for (int i = 0; i < n; i++)
			note_release(&leases[i]);
		if (n <= 0)
			continue;
		atomic_fetch_add(&board->leases, (uint64_t)n);
		while ((released = tcpwhy_lease_release(pool, leases, (unsigned)n)) == -ESTALE)
			pool = open_again(pool);
		if (released < 0)
			complain(&board->failed, "tcpwhy_lease_release", released);
	}
}

/* ---------------------------------------------------------------------------------------- the
 * parent */

static pid_t workers[WORKERS];

static void start(int i)
{
	pid_t pid = fork();

	if (pid < 0) {
		perror("kill: fork");
		exit(2);
	}
	if (!pid) {
		rng_state ^= (uint64_t)getpid() << 20;
		work();
	}
	workers[i] = pid;
}

static void end(int i)
{
	kill(workers[i], SIGKILL);
	waitpid(workers[i], NULL, 0);
	/* What it held is leased again from now on. */
	for (int p = 0; p < PORTS; p++) {
		uint32_t pid = (uint32_t)workers[i];

		atomic_compare_exchange_strong(&board->holder[p], &pid, 0);
	}
}

static void remove_leftovers(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strstr(entry->d_name, ".damaged-"))
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
}

/* A byte of the header. */
static void damage(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		int fd;

		if (strncmp(entry->d_name, "ports-", 6) || strchr(entry->d_name, '.'))
			continue;
		fd = openat(dirfd(dir), entry->d_name, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		(void)!pwrite(fd, "damage", 6, (off_t)(random64() % 8));
		close(fd);
	}
	if (dir)
		closedir(dir);
}

/* All at once, or else the number that were there. */
static int all_there(void)
{
	struct tcpwhy_lease leases[PORTS + 1];
	struct tcpwhy_pool *pool = open_pool();
	bool seen[PORTS] = {false};
	int n = tcpwhy_lease(pool, NULL, leases, PORTS + 1);

	for (int i = 0; i < n; i++) {
		if (seen[leases[i].port - LOW])
			n = -1;
		else
			seen[leases[i].port - LOW] = true;
	}
	tcpwhy_pool_close(pool);
	return n;
}

/* What was leased of a file that was just being replaced must not stay leased to who lives. */
static bool all_there_when_idle(void)
{
	atomic_store(&board->stop, 1);
	for (int i = 0; i < 10000 && atomic_load(&board->idle) < WORKERS; i++)
		pause_up_to(2000000);
	return atomic_load(&board->idle) == WORKERS && all_there() == PORTS;
}

static bool play_round(int kills)
{
	int there;
	bool idle_ok;

	atomic_store(&board->stop, 0);
	atomic_store(&board->idle, 0);
	for (int i = 0; i < WORKERS; i++)
		start(i);
	for (int k = 0; k < kills; k++) {
		int i = (int)(random64() % WORKERS);

		pause_up_to(1500000);
		end(i);
		if (random64() % 16 == 0)
			damage();
		start(i);
	}
	idle_ok = all_there_when_idle();
	if (!idle_ok)
		puts("# ports stayed leased to processes that had given them back");
	for (int i = 0; i < WORKERS; i++)
		end(i);
	remove_leftovers();
	there = all_there();
	if (there != PORTS)
		printf("# %d of %d ports came back\n", there, PORTS);
	return there == PORTS && idle_ok;
}

static unsigned long number(int argc, char **argv, const char *name, unsigned long otherwise)
{
	for (int i = 1; i + 1 < argc; i++)
		if (!strcmp(argv[i], name))
			return strtoul(argv[i + 1], NULL, 10);
	return otherwise;
}

static int points;

static bool point(bool ok, const char *what)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++points, what);
	return ok;
}

static bool play(unsigned long kills)
{
	bool ok = true, back = true;

	for (unsigned long done = 0; done < kills; done += ROUND)
		back &= play_round((int)(kills - done < ROUND ? kills - done : ROUND));
	printf("# %lu deaths, %llu leases, %llu times built anew, %llu times opened again\n", kills,
	       (unsigned long long)board->leases, (unsigned long long)board->rebuilt,
	       (unsigned long long)board->reopened);
	if (board->failure[0])
		printf("# %s\n", board->failure);
	ok &= point(back, "no port was lost");
	ok &= point(!board->twice, "none was leased twice");
	ok &= point(!board->outside, "none was outside the range");
	ok &= point(!board->failed, "no call failed");
	ok &= point(board->leases > kills, "there was something to lose");
	return ok;
}

int main(int argc, char **argv)
{
	struct tcpwhy_pool_plan plan = {LOW, LOW + PORTS - 1, folder, (gid_t)-1};
	unsigned long kills = number(argc, argv, "--kills", 500);
	struct tcpwhy_pool_why why;
	char command[64];
	bool ok;

	setvbuf(stdout, NULL, _IOLBF, 0);
	rng_state = number(argc, argv, "--seed", 1) * 0x9e3779b97f4a7c15u;
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (board == MAP_FAILED || !mkdtemp(folder))
		return 2;
	if (tcpwhy_pool_create(&plan, &why)) {
		printf("# skip: %s\n1..0 # SKIP %s\n", why.text, why.text);
		rmdir(folder);
		return 0;
	}
	ok = play(kills);
	printf("1..%d\n", points);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command) || !ok;
}
