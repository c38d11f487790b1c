/* SPDX-License-Identifier: MIT
 *
 * lease.c - what a leased port costs beside socket() + bind() to port 0 + close()
 *
 * Both sides in turn, several rounds, the best of each: reserved in batches and one by one, held
 * one by one. Then 64 processes at once on one pool: how even their shares are, and the longest
 * call.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "figures.h"
#include "tcpwhy/lease.h"

enum { LOW = 20000, PORTS = 8192, BATCH = 64, ROUNDS = 5, TIMES = 20000, CROWD = 64 };

static void must_work(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "lease: %s\n", what);
	exit(1);
}

/* --------------------------------------------------------------------------- ways to get a port */

static double cost_bind0(void)
{
	uint64_t start = now_ns();

	for (int i = 0; i < TIMES; i++) {
		struct sockaddr_in any = {.sin_family = AF_INET};
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		must_work(fd >= 0 && !bind(fd, (struct sockaddr *)&any, sizeof(any)), "bind(0)");
		close(fd);
	}
	return (double)(now_ns() - start) / TIMES;
}

static double cost_leases(struct tcpwhy_pool *pool, const struct tcpwhy_lease_wish *wish,
			  unsigned n)
{
	struct tcpwhy_lease leases[BATCH];
	uint64_t start = now_ns();

	for (unsigned i = 0; i < TIMES / n; i++) {
		must_work(tcpwhy_lease(pool, wish, leases, n) == (int)n, "lease");
		must_work(tcpwhy_lease_release(pool, leases, n) == (int)n, "release");
	}
	return (double)(now_ns() - start) / (TIMES / n * n);
}

static void bench_costs(struct tcpwhy_pool *pool)
{
	const struct sockaddr_in any = {.sin_family = AF_INET};
	const struct tcpwhy_lease_wish held = {
		.held = true, .address = (const struct sockaddr *)&any, .address_len = sizeof(any)};
	double bind0 = 0, batch = 0, single = 0, bound = 0;

	for (int i = 0; i < ROUNDS; i++) {
		keep_best(&bind0, cost_bind0());
		keep_best(&batch, cost_leases(pool, NULL, BATCH));
		keep_best(&single, cost_leases(pool, NULL, 1));
		keep_best(&bound, cost_leases(pool, &held, BATCH));
	}
	printf("socket + bind(0) + close    %7.0f ns a port\n", bind0);
	printf("reserved, %d at a time      %7.0f ns   %6.1f x faster (wanted: 10)\n", BATCH, batch,
	       bind0 / batch);
	printf("reserved, one at a time     %7.0f ns   %6.1f x faster\n", single, bind0 / single);
	printf("held, %d at a time          %7.0f ns   %6.2f x the cost (wanted: at most 1.5)\n",
	       BATCH, bound, bound / bind0);
}

/* -------------------------------------------------------------------------------------- a crowd */

struct share {
	_Alignas(64) uint64_t leases;
	uint64_t longest_ns;
	double sum_ns;
};

struct board {
	_Alignas(64) volatile int go, stop;
	struct share of[CROWD];
};

/* pool NULL: as many processes that do nothing, to see what the scheduler alone does to them. */
static void contend(struct tcpwhy_pool *pool, struct board *board, struct share *mine)
{
	struct tcpwhy_lease leases[8];

	while (!board->go)
		usleep(1000);
	while (!board->stop) {
		uint64_t start = now_ns(), took;

		must_work(!pool || tcpwhy_lease(pool, NULL, leases, 8) == 8, "lease in a crowd");
		must_work(!pool || tcpwhy_lease_release(pool, leases, 8) == 8,
			  "release in a crowd");
		took = now_ns() - start;
		mine->leases += 8;
		mine->sum_ns += (double)took;
		if (took > mine->longest_ns)
			mine->longest_ns = took;
	}
	tcpwhy_pool_close(pool);
	_exit(0);
}

static int compare(const void *a, const void *b)
{
	const struct share *x = a, *y = b;

	return x->leases < y->leases ? -1 : x->leases > y->leases;
}

static void bench_crowd(struct tcpwhy_pool *pool, const char *what)
{
	const unsigned seconds = 3;
	struct board *board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[CROWD];
	uint64_t all = 0, longest = 0;

	must_work(board != MAP_FAILED, "mmap");
	for (int i = 0; i < CROWD; i++) {
		pids[i] = fork();
		must_work(pids[i] >= 0, "fork");
		if (!pids[i])
			contend(pool, board, &board->of[i]);
	}
	board->go = 1;
	sleep(seconds);
	board->stop = 1;
	for (int i = 0; i < CROWD; i++) {
		int status;

		must_work(waitpid(pids[i], &status, 0) == pids[i] && status == 0,
			  "a process of the crowd");
		all += board->of[i].leases;
		if (board->of[i].longest_ns > longest)
			longest = board->of[i].longest_ns;
	}
	qsort(board->of, CROWD, sizeof(board->of[0]), compare);
	printf("%d processes, %s: %.1f million a second; shares: least %.2f, median %.2f, most "
	       "%.2f "
	       "of the mean; longest wait %.0f ms\n",
	       CROWD, what, (double)all / seconds / 1e6,
	       (double)board->of[0].leases * CROWD / (double)all,
	       (double)board->of[CROWD / 2].leases * CROWD / (double)all,
	       (double)board->of[CROWD - 1].leases * CROWD / (double)all, (double)longest / 1e6);
	munmap(board, sizeof(*board));
}

int main(void)
{
	char folder[] = "/tmp/tcpwhy-lease-bench.XXXXXX", command[128];
	struct tcpwhy_pool_plan plan = {LOW, LOW + PORTS - 1, folder, (gid_t)-1};
	struct tcpwhy_pool_why why = {""};
	struct tcpwhy_pool *pool;

	must_work(mkdtemp(folder) != NULL, "mkdtemp");
	must_work(tcpwhy_pool_create(&plan, &why) == 0, why.text);
	must_work(tcpwhy_pool_open(folder, false, &pool, &why) == 0, why.text);
	bench_costs(pool);
	bench_crowd(NULL, "nothing but the loop");
	bench_crowd(pool, "leases in a crowd");
	tcpwhy_pool_close(pool);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command) != 0;
}
