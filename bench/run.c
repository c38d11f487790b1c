/* SPDX-License-Identifier: MIT
 *
 * run.c - what a program pays under tcpwhy run: bind() and listen(), and all other calls
 *
 * The same loop runs bare, under `tcpwhy run --reuseaddr`, and under a filter of one instruction
 * that allows all, in turns; each call is timed alone, and the median of a turn counts. Printed:
 * the best turn of each side, and what the second and the third have more than the first. The goal
 * is 15 us on bind(), and on what is not matched no more than any seccomp filter costs: the third.
 *
 * run [ROUNDS]               TCPWHY (build/tcpwhy) is the command
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "figures.h"

#define CALLS      2000 /* of each kind in a turn */
#define BATCH      100  /* of the short ones between two looks at the clock */
#define PORT       18999
#define ROUNDS_MAX 99

enum kind { BIND, BIND_ANY, LISTEN, SOCKET, CONNECT, GETPPID, WRITE, KINDS };

static const char *const names[KINDS] = {"bind to a port", "bind to port 0", "listen", "socket",
					 "connect",        "getppid",        "write"};

static void die(const char *what)
{
	fprintf(stderr, "run: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ------------------------------------------------------------------------------ under measurement
 */

static struct sockaddr_in place(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static int tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

/* One call that works on a socket, nanoseconds. */
static double on_socket(enum kind kind)
{
	struct sockaddr_in to = place(kind == BIND || kind == LISTEN ? PORT : 0);
	struct sockaddr_in nobody = place(1);
	uint64_t start = now_ns(), end;
	int fd = tcp();

	if (kind == SOCKET) {
		end = now_ns();
		close(fd);
		return (double)(end - start);
	}
	start = now_ns();
	if (kind == CONNECT) {
		/* Refused at once: port 1 has no listener. */
		if (!connect(fd, (struct sockaddr *)&nobody, sizeof(nobody)))
			die("connect");
	} else if (bind(fd, (struct sockaddr *)&to, sizeof(to))) {
		die("bind");
	}
	end = now_ns();
	if (kind == LISTEN) {
		start = now_ns();
		if (listen(fd, 1))
			die("listen");
		end = now_ns();
	}
	close(fd);
	return (double)(end - start);
}

static double short_calls(enum kind kind, int null)
{
	uint64_t start = now_ns();

	for (int i = 0; i < BATCH; i++) {
		if (kind == GETPPID)
			syscall(SYS_getppid);
		else if (write(null, "", 1) != 1)
			die("write");
	}
	return (double)(now_ns() - start) / BATCH;
}

static void measure(void)
{
	static double times[CALLS];
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	for (int kind = 0; kind < KINDS; kind++) {
		for (int i = 0; i < CALLS; i++)
			times[i] = kind == GETPPID || kind == WRITE
					   ? short_calls((enum kind)kind, null)
					   : on_socket((enum kind)kind);
		printf("%.1f\n", median(times, CALLS));
	}
}

/* What a task pays at every call once it has a filter, whatever stands in it. */
static void allow_all(void)
{
	struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog filter = {1, &code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter))
		die("seccomp");
}

/* ------------------------------------------------------------------------------------ the sides */

/* A turn in a process of its own, under the command or not; keeps the best of each kind. */
static void turn(const char *tcpwhy, char *self, char *how, double best[KINDS])
{
	char *bare[] = {self, how, NULL};
	char *wrapped[] = {(char *)tcpwhy, "run", "--reuseaddr", "--", self, how, NULL};
	int ends[2], status;
	pid_t pid;
	FILE *f;

	if (pipe2(ends, O_CLOEXEC))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		execv(tcpwhy ? tcpwhy : self, tcpwhy ? wrapped : bare);
		_exit(127);
	}
	close(ends[1]);
	f = fdopen(ends[0], "r");
	for (int kind = 0; kind < KINDS; kind++) {
		double ns;

		if (!f || fscanf(f, "%lf", &ns) != 1) {
			fprintf(stderr, "run: a turn ended early\n");
			exit(1);
		}
		keep_best(&best[kind], ns);
	}
	fclose(f);
	if (waitpid(pid, &status, 0) != pid || status)
		die("a turn failed");
}

int main(int argc, char **argv)
{
	const char *tcpwhy = getenv("TCPWHY") ? getenv("TCPWHY") : "build/tcpwhy";
	double bare[KINDS] = {0}, wrapped[KINDS] = {0}, any[KINDS] = {0};
	char measured[] = "--measure", filtered[] = "--filtered";
	long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 7;

	if (argc > 1 && (!strcmp(argv[1], measured) || !strcmp(argv[1], filtered))) {
		if (!strcmp(argv[1], filtered))
			allow_all();
		measure();
		return 0;
	}
	if (rounds < 1 || rounds > ROUNDS_MAX)
		rounds = 7;
	if (access(tcpwhy, X_OK)) {
		fprintf(stderr,
			"run: %s: %s. It is run in the source folder, after make; or TCPWHY names "
			"the command\n",
			tcpwhy, strerror(errno));
		return 1;
	}
	for (long i = 0; i < rounds; i++) {
		turn(NULL, argv[0], measured, bare);
		turn(tcpwhy, argv[0], measured, wrapped);
		turn(NULL, argv[0], filtered, any);
	}
	for (int kind = 0; kind < KINDS; kind++)
		printf("%-16s bare %7.1f ns   under run %7.1f ns, %+7.1f   any filter %7.1f ns, "
		       "%+7.1f\n",
		       names[kind], bare[kind], wrapped[kind], wrapped[kind] - bare[kind],
		       any[kind], any[kind] - bare[kind]);
	return 0;
}
