/* SPDX-License-Identifier: MIT
 *
 * bind_200k.c - what `tcpwhy bind` costs beside a bare netlink count of the same sockets
 *
 * In a namespace of its own: 200,000 TIME_WAIT, once spread over many ports and once all on the
 * port asked for; and a namespace with nothing in it. In each, in turn: the command as a user runs
 * it (start of the process included) with its BTF cache thrown away, the same with the cache warm,
 * and a count of all TCP sockets of both families by one legacy request, in this process. Medians
 * of the rounds. TIME_WAIT lives sixty seconds, so what is still there is counted in every round.
 *
 * bind_200k [SOCKETS [ROUNDS]]    $TCPWHY is the command (build/tcpwhy)
 */
#include "timewait.h"

enum side { COLD, WARM, COUNT, SIDES };

struct plan {
	const char *name;
	unsigned sockets;
	bool one_port;
};

static double time_tcpwhy(const char *tcpwhy, bool cold, int *status)
{
	char *const ask[] = {(char[256]){0}, "bind", "0.0.0.0:8080", NULL};
	char *const forget[] = {"rm", "-rf", "/run/tcpwhy", NULL};
	uint64_t start;

	snprintf(ask[0], 256, "%s", tcpwhy);
	if (cold && run_quietly(forget))
		die("rm");
	start = now_ns();
	*status = run_quietly(ask);
	return ms_since(start);
}

/* In turn, so that what disturbs the machine disturbs all sides. */
static void measure(const struct plan *plan, unsigned rounds)
{
	const char *tcpwhy = getenv("TCPWHY") ? getenv("TCPWHY") : "build/tcpwhy";
	double times[SIDES][ROUNDS_MAX], ms[SIDES], made;
	uint64_t start = now_ns();
	int status = 0;
	size_t least = SIZE_MAX;

	if (plan->sockets)
		leave_all(plan->sockets, plan->one_port);
	made = ms_since(start);
	for (unsigned r = 0; r < rounds; r++) {
		size_t n;

		times[COLD][r] = time_tcpwhy(tcpwhy, true, &status);
		times[WARM][r] = time_tcpwhy(tcpwhy, false, &status);
		start = now_ns();
		n = count_bare();
		times[COUNT][r] = ms_since(start);
		least = n < least ? n : least;
	}
	for (int s = 0; s < SIDES; s++)
		ms[s] = median(times[s], rounds);
	printf("%-9s %7zu sockets (made in %4.1f s)  cold %6.1f ms  warm %6.1f ms  count %6.1f ms  "
	       "ratio cold %.2f warm %.2f  status %d\n",
	       plan->name, least, made / 1e3, ms[COLD], ms[WARM], ms[COUNT], ms[COLD] / ms[COUNT],
	       ms[WARM] / ms[COUNT], status);
}

/* Each plan in a child of its own: its namespace ends with it, and its sockets with that. */
static int measure_apart(const struct plan *plan, unsigned rounds)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		enter_own_namespace();
		measure(plan, rounds);
		fflush(stdout);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("fork");
	return !WIFEXITED(status) || WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	unsigned sockets = argc > 1 ? (unsigned)atoi(argv[1]) : 200000;
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 15;
	const struct plan plans[] = {
		{"idle", 0, false}, {"spread", sockets, false}, {"one port", sockets, true}};
	int failed = 0;

	if (rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "bind_200k: 1 to %d rounds\n", ROUNDS_MAX);
		return 2;
	}
	for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++)
		failed |= measure_apart(&plans[i], rounds);
	return failed;
}
