/* SPDX-License-Identifier: MIT
 *
 * hook.c - what a call pays in a cgroup with the programs of tcpwhy fix hook
 *
 * The same loop runs in a cgroup without and in one with the programs, in turns, in a network
 * namespace of its own; each call is timed alone, and the median of a turn counts. Printed: the
 * best turn of each side, their difference and ratio. bind() to port 0 is there to show that it
 * costs nothing to speak of: with SO_REUSEADDR set it would look at many a port. connect() goes to
 * a port of loopback that refuses it, from addresses of loopback.
 *
 * hook [ROUNDS]              root's privileges, and a cgroup tree of version 2
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "figures.h"
#include "own_netns.h"

#include "cure/bpffs.h"
#include "cure/hook.h"
#include "live/privilege.h"

#define CALLS      4000 /* of each kind in a turn */
#define PORT       18998
#define ROUNDS_MAX 99

enum kind { BIND, BIND_ANY, BIND_UDP, CONNECT, CONNECT_UDP, KINDS };
enum side { BARE, HOOKED, SIDES };

static const char *const names[KINDS] = {"bind to a port", "bind to port 0", "bind of UDP",
					 "connect", "connect of UDP"};

static void die(const char *what)
{
	fprintf(stderr, "hook: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ------------------------------------------------------------------------------ under measurement
 */

static double call(enum kind kind)
{
	bool udp = kind == BIND_UDP || kind == CONNECT_UDP;
	bool connects = kind == CONNECT || kind == CONNECT_UDP;
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(connects           ? 1
						   : kind == BIND_ANY ? 0
								      : PORT),
				 .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0), failed;
	uint64_t start, end;

	if (fd < 0)
		die("socket");
	start = now_ns();
	if (connects)
		failed = connect(fd, (struct sockaddr *)&to, sizeof(to)) && errno != ECONNREFUSED;
	else
		failed = bind(fd, (struct sockaddr *)&to, sizeof(to));
	end = now_ns();
	if (failed)
		die(names[kind]);
	close(fd);
	return (double)(end - start);
}

/* In a process of its own, in that cgroup. */
static void measure(const struct cgroup2 *cgroup, double best[KINDS])
{
	static double times[CALLS];
	double medians[KINDS];
	int ends[2], status;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		int fd = openat(cgroup->fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "0", 1) != 1)
			_exit(1);
		for (int kind = 0; kind < KINDS; kind++) {
			for (int i = 0; i < CALLS; i++)
				times[i] = call((enum kind)kind);
			medians[kind] = median(times, CALLS);
		}
		_exit(write(ends[1], medians, sizeof(medians)) != sizeof(medians));
	}
	close(ends[1]);
	if (read(ends[0], medians, sizeof(medians)) != sizeof(medians))
		die("a turn ended early");
	close(ends[0]);
	if (waitpid(pid, &status, 0) != pid || status)
		die("a turn failed");
	for (int kind = 0; kind < KINDS; kind++)
		keep_best(&best[kind], medians[kind]);
}

/* ----------------------------------------------------------------------------------------- the
 * place
 */

/* By the id of the process that removes them. */
static void name_cgroup(pid_t owner, enum side side, char path[static 600])
{
	char mounted[512];

	if (!cgroup2_tree(mounted, sizeof(mounted)))
		die("no cgroup tree of version 2");
	snprintf(path, 600, "%s/tcpwhy-bench-%d-%s", mounted, owner,
		 side == BARE ? "bare" : "hooked");
}

static void make_cgroup(enum side side, struct cgroup2 *out)
{
	char path[600];
	struct err err;

	name_cgroup(getppid(), side, path);
	if (mkdir(path, 0755))
		die(path);
	if (cgroup2_open(path, out, &err)) {
		fprintf(stderr, "hook: %s\n", err.text);
		exit(1);
	}
}

/* Their links end with this mount namespace. */
static void attach(const char *text, const struct cgroup2 *cgroup)
{
	const struct hook_point *at[HOOK_POINTS_MAX];
	struct hook_programs *programs;
	struct hook_order order;
	struct bpffs bpffs;
	struct err err;
	uint32_t id;
	unsigned n;
	int rc;

	if (hook_parse(text, &order, &err))
		exit(1);
	n = hook_points(&order, at);
	rc = bpffs_open(BPFFS_OWN_FOLDER, true, &bpffs, &err);
	if (!rc)
		rc = hook_load(&order, &programs, &err);
	for (unsigned i = 0; i < n && !rc; i++)
		rc = hook_pin(programs, at[i], cgroup, bpffs.fd, at[i]->name, &id, &err);
	if (rc) {
		fprintf(stderr, "hook: %s\n", err.text);
		exit(1);
	}
	hook_unload(programs);
	bpffs_close(&bpffs);
}

static int compare_sides(long rounds)
{
	double best[SIDES][KINDS] = {{0}};
	struct cgroup2 cgroups[SIDES];

	if (!own_netns_enter())
		die("a namespace");
	make_cgroup(BARE, &cgroups[BARE]);
	make_cgroup(HOOKED, &cgroups[HOOKED]);
	attach("reuseaddr", &cgroups[HOOKED]);
	attach("spread=127.0.0.2,127.0.0.3,127.0.0.4,127.0.0.5", &cgroups[HOOKED]);
	for (long i = 0; i < rounds; i++)
		for (int side = 0; side < SIDES; side++)
			measure(&cgroups[side], best[side]);
	for (int kind = 0; kind < KINDS; kind++)
		printf("%-16s bare %9.1f ns   hooked %9.1f ns   difference %8.1f ns   ratio %.2f\n",
		       names[kind], best[BARE][kind], best[HOOKED][kind],
		       best[HOOKED][kind] - best[BARE][kind],
		       best[HOOKED][kind] / best[BARE][kind]);
	return 0;
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 7;
	const char *missing = privilege_for_hooks();
	int status;
	pid_t pid;

	if (missing || geteuid() != 0) {
		printf("not measured: %s\n", missing ? missing : "a namespace needs root");
		return 0;
	}
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		exit(compare_sides(rounds < 1 || rounds > ROUNDS_MAX ? 7 : rounds));
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	/* However it ended. */
	for (int side = 0; side < SIDES; side++) {
		char path[600];

		name_cgroup(getpid(), (enum side)side, path);
		rmdir(path);
	}
	return status != 0;
}
