/* SPDX-License-Identifier: MIT
 *
 * overview.c - what bare `tcpwhy` costs beside a bare netlink count and beside ss
 *
 * In a namespace of its own: 200,000 TIME_WAIT, once spread over many ports and once all on one. In
 * turn: the command as a user runs it (start of the process included), a count of all TCP sockets
 * of both families by one legacy request in this process, and `ss -tan state time-wait | wc -l`.
 * Medians of the rounds; the most memory the command ever held. Then `tcpwhy --all` where 200 more
 * namespaces have no socket.
 *
 * overview [SOCKETS [ROUNDS [NAMESPACES]]]    $TCPWHY is the command (build/tcpwhy)
 */
#include "timewait.h"

#include <sys/resource.h>
#include <sys/stat.h>

#define SS_ROUNDS 3 /* it takes a second each */

static const char *tcpwhy;

/* Runs a command without its output; its time, *kib the most memory it held. Status 3 ends all. */
static double time_command(const char *const argv[], long *kib)
{
	uint64_t start = now_ns();
	struct rusage used;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &used) != pid)
		die("wait4");
	if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) {
		fprintf(stderr, "overview: %s ended with status %d\n", argv[0], status);
		exit(1);
	}
	if (kib && used.ru_maxrss > *kib)
		*kib = used.ru_maxrss;
	return ms_since(start);
}

static void measure(const char *name, unsigned sockets, bool one_port, unsigned rounds)
{
	const char *const ask[] = {tcpwhy, NULL};
	const char *const forget[] = {"rm", "-rf", "/run/tcpwhy", NULL};
	const char *const ss[] = {"sh", "-c", "ss -tan state time-wait | wc -l", NULL};
	double cold[ROUNDS_MAX], warm[ROUNDS_MAX], count[ROUNDS_MAX], wc[SS_ROUNDS];
	long kib = 0, cold_kib = 0;
	size_t least = SIZE_MAX;

	leave_all(sockets, one_port);
	for (unsigned r = 0; r < rounds; r++) {
		uint64_t start;
		size_t n;

		time_command(forget, NULL);
		cold[r] = time_command(ask, &cold_kib);
		warm[r] = time_command(ask, &kib);
		start = now_ns();
		n = count_bare();
		count[r] = ms_since(start);
		least = n < least ? n : least;
	}
	for (unsigned r = 0; r < SS_ROUNDS; r++)
		wc[r] = time_command(ss, NULL);
	double w = median(warm, rounds), n = median(count, rounds), s = median(wc, SS_ROUNDS),
	       c = median(cold, rounds);
	printf("%-9s %7zu sockets  cold %6.1f ms  warm %6.1f ms  count %6.1f ms  ss %7.1f ms  "
	       "ratio to count: cold %.2f warm %.2f, ss / warm %.1f, cold %.1f  "
	       "memory %.1f MiB (cold %.1f)\n",
	       name, least, c, w, n, s, c / n, w / n, s / w, s / c, (double)kib / 1024,
	       (double)cold_kib / 1024);
}

/* A namespace that nothing but its name holds. */
static void leave_namespace(unsigned i)
{
	char path[64], source[64];
	int ready[2];
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC))
		die("pipe");
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNET) || write(ready[1], "r", 1) != 1)
			_exit(1);
		pause();
	}
	if (pid < 0 || read(ready[0], path, 1) != 1)
		die("a namespace");
	snprintf(path, sizeof(path), "/run/netns/bench%u", i);
	snprintf(source, sizeof(source), "/proc/%d/ns/net", pid);
	close(open(path, O_CREAT | O_RDONLY | O_CLOEXEC, 0444));
	if (mount(source, path, NULL, MS_BIND, NULL))
		die("mount of a namespace");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);
}

static void measure_all(unsigned namespaces, unsigned rounds)
{
	const char *const all[] = {tcpwhy, "--all", NULL};
	double times[ROUNDS_MAX];
	long kib = 0;

	if (mkdir("/run/netns", 0755))
		die("/run/netns");
	for (unsigned i = 0; i < namespaces; i++)
		leave_namespace(i);
	for (unsigned r = 0; r < rounds; r++)
		times[r] = time_command(all, &kib);
	printf("--all     %7u namespaces without sockets  %.1f ms  memory %.1f MiB\n", namespaces,
	       median(times, rounds), (double)kib / 1024);
}

/* In a child of its own: its namespaces end with it, and its sockets with them. */
static int apart(const char *name, unsigned n, bool one_port, unsigned rounds)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		enter_own_namespace();
		if (name)
			measure(name, n, one_port, rounds);
		else
			measure_all(n, rounds);
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
	unsigned namespaces = argc > 3 ? (unsigned)atoi(argv[3]) : 200;

	if (rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "overview: 1 to %d rounds\n", ROUNDS_MAX);
		return 2;
	}
	tcpwhy = getenv("TCPWHY") ? getenv("TCPWHY") : "build/tcpwhy";
	return apart("spread", sockets, false, rounds) | apart("one port", sockets, true, rounds) |
	       apart(NULL, namespaces, false, rounds);
}
