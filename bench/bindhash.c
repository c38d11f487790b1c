/* SPDX-License-Identifier: MIT
 *
 * bindhash.c - the bind hash walk beside a netlink dump of the same sockets
 *
 * In a namespace of its own: N TIME_WAIT on one port. A complete live_open() + live_snapshot() is
 * timed, by the walk and by sock_diag alone (which cannot see one flag), of that port, of a quiet
 * port beside it, and of all ports; and with the BTF cache avoided. Medians.
 *
 * bindhash [SOCKETS [ROUNDS]]
 */
#include "figures.h"
#include "own_netns.h"

#include "live/live.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT       8080
#define QUIET      8081
#define ROUNDS_MAX 99
#define PER_SOURCE 50000 /* connections from one address */

#define NO_BPF (LIVE_AVOID_BIND_HASH | LIVE_AVOID_ITER_TCP | LIVE_AVOID_PIDFD)

static void die(const char *what)
{
	fprintf(stderr, "bindhash: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int bound(uint32_t address, uint16_t port)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(address)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&in, sizeof(in)))
		die("bind");
	return fd;
}

/* The server closes first, so that TIME_WAIT is on the port. Every client port is used once: a
 * second connection of the same tuple would take the place of the first's TIME_WAIT. */
static void fill(unsigned n)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(PORT),
				 .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int server = bound(INADDR_LOOPBACK, PORT);

	if (listen(server, 64))
		die("listen");
	for (unsigned i = 0; i < n; i++) {
		int client = bound(INADDR_LOOPBACK + 1 + i / PER_SOURCE,
				   (uint16_t)(10000 + i % PER_SOURCE));
		int child;
		char byte;

		if (connect(client, (struct sockaddr *)&to, sizeof(to)))
			die("connect");
		child = accept4(server, NULL, NULL, SOCK_CLOEXEC);
		if (child < 0)
			die("accept");
		close(child);
		if (read(client, &byte, 1) != 0)
			die("read");
		close(client);
	}
	close(server);
	if (listen(bound(INADDR_LOOPBACK, QUIET), 1))
		die("listen");
}

/* The median of rounds snapshots; *owners of the last. */
static double look(unsigned avoid, uint16_t port, unsigned rounds, size_t *owners)
{
	struct snapshot_scope scope = {.all_ports = !port, .port = port, .owners_wanted = true};
	struct live_target own = {0};
	double times[ROUNDS_MAX];

	for (unsigned i = 0; i < rounds; i++) {
		uint64_t start = now_ns();
		struct snapshot snap;
		struct live *live;
		struct err err;

		if (live_open(&own, avoid, &live, &err) ||
		    live_snapshot(live, &scope, &snap, &err)) {
			fprintf(stderr, "bindhash: %s\n", err.text);
			exit(1);
		}
		times[i] = ms_since(start);
		*owners = snap.owners_n;
		if (!(avoid & LIVE_AVOID_BIND_HASH) && !(snap.sources & SNAPSHOT_BIND_HASH)) {
			printf("the bind hash cannot be read here: %s\n", snap.missing[0]);
			exit(0);
		}
		snapshot_free(&snap);
		live_close(live);
	}
	return median(times, rounds);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint16_t port;
	} cases[] = {{"the port", PORT}, {"a quiet port", QUIET}, {"all ports", 0}};
	unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 136000;
	unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 9;
	size_t owners;
	double cold;

	if (rounds == 0 || rounds > ROUNDS_MAX)
		rounds = ROUNDS_MAX;
	if (geteuid() != 0) {
		printf("needs root for a namespace of its own\n");
		return 0;
	}
	if (!own_netns_enter() ||
	    !own_netns_write("/proc/sys/net/ipv4/tcp_max_tw_buckets", "2000000"))
		die("a namespace");
	fill(n);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		double walk = look(0, cases[i].port, rounds, &owners);
		double diag = look(NO_BPF, cases[i].port, rounds, &owners);

		printf("%-14s %7zu owners   bind hash %8.2f ms   sock_diag %8.2f ms   ratio %.2f\n",
		       cases[i].name, owners, walk, diag, walk / diag);
	}
	cold = look(LIVE_AVOID_BTF_CACHE, QUIET, rounds, &owners);
	printf("%-14s %7zu owners   bind hash %8.2f ms   without kept types\n", "a quiet port",
	       owners, cold);
	return 0;
}
