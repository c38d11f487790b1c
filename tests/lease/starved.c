/* SPDX-License-Identifier: MIT
 *
 * starved.c - TIME_WAIT on every port of the range: who can still listen?
 *
 * In a namespace of its own this program makes as many outgoing connections as are wanted, closes
 * each first, and so has TIME_WAIT on every port of ip_local_port_range. With tcp_tw_reuse=1
 * connect() goes on. Then it asks for a port to listen on in four ways: bind() to port 0, listen()
 * without bind(), the same program again under `tcpwhy run --lease`, and the pool's library.
 *
 * starved [--sockets N] [--ports N] [--tcpwhy FILE]    TAP, with figures; 9,000 over 3,000 ports
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "own_netns.h"

#include "tcpwhy/lease.h"

enum {
	SERVICE = 9000,  /* where the connections go to */
	LOW = 10000,     /* of ip_local_port_range */
	POOL_LOW = 5000, /* of the pool: outside that range */
	POOL_HIGH = 5099,
	WINDOW = 500,    /* ports that one connect() may search */
	AGAIN = 1000,    /* connections that go on */
	LIFE_MS = 60000, /* of a TIME_WAIT */
};

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

static unsigned points, bad;

static _Noreturn void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void point(bool ok, const char *text)
{
	bad += !ok;
	printf("%sok %u - %s\n", ok ? "" : "not ", ++points, text);
}

static void write_file(const char *path, const char *text)
{
	if (!own_netns_write(path, text))
		die(path);
}

static void enter_own_namespace(unsigned ports)
{
	char range[32];

	if (!own_netns_enter())
		die("a namespace");
	snprintf(range, sizeof(range), "%u %u", LOW, LOW + ports - 1);
	write_file("/proc/sys/net/ipv4/ip_local_port_range", range);
	write_file("/proc/sys/net/ipv4/tcp_max_tw_buckets", "1000000");
	write_file("/proc/sys/net/ipv4/tcp_tw_reuse", "0");
}

static struct sockaddr_in loopback(unsigned host, uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(0x7f000000u + host)};
}

/* Whether somebody who came by that listener's port is served. */
static bool serves(int listener, uint16_t port)
{
	struct sockaddr_in to = loopback(1, port);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), served = -1;

	if (client >= 0 && !connect(client, (struct sockaddr *)&to, sizeof(to)))
		served = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(client);
	if (served >= 0)
		close(served);
	return served >= 0;
}

/* One connection, closed here first. window: the ports it may have, 0 all; a search through a range
 * that is nearly full costs a look at each port. 0 or the errno. */
static int leave_one(int listener, const struct sockaddr_in *to, uint16_t window)
{
	const uint32_t range = (uint32_t)(window + WINDOW - 1) << 16 | window;
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), served, error = 0;

	if (client < 0)
		die("socket");
	if (window)
		setsockopt(client, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, sizeof(range));
	if (connect(client, (const struct sockaddr *)to, sizeof(*to)))
		error = errno;
	served = error ? -1 : accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(client);
	if (served >= 0)
		close(served);
	return error;
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 64))
		die("listen");
	return fd;
}

/* Each destination in turn gets every port. */
static unsigned leave_all(int listener, unsigned sockets, unsigned ports)
{
	unsigned made = 0;

	for (unsigned i = 0; i < sockets; i++) {
		struct sockaddr_in to = loopback(257 + i / ports, SERVICE);
		unsigned window = LOW + i % ports / WINDOW * WINDOW;

		made += !leave_one(listener, &to, (uint16_t)window);
	}
	return made;
}

/* "tw" of /proc/net/sockstat. */
static unsigned count_time_wait(void)
{
	char line[256], *at;
	unsigned n = 0;
	FILE *f = fopen("/proc/net/sockstat", "re");

	if (!f)
		die("sockstat");
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, "TCP:", 4) && (at = strstr(line, " tw ")))
			n = (unsigned)strtoul(at + 4, NULL, 10);
	fclose(f);
	return n;
}

/* ------------------------------------------------------------------------- four ways to listen */

/* What a program does that wants any port: the errno, 0 if it listens and serves. */
static int bind_any(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	socklen_t len = sizeof(any);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), error = 0;

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 8) ||
	    getsockname(fd, (struct sockaddr *)&any, &len))
		error = errno;
	else if (!serves(fd, ntohs(any.sin_port)))
		error = EIO;
	close(fd);
	return error;
}

static int listen_unbound(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int error = listen(fd, 8) ? errno : 0;

	close(fd);
	return error;
}

/* This program again, which knows nothing of a pool, under tcpwhy run --lease: its status. */
static int bind_under_run(const char *tcpwhy)
{
	char self[256];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int status;
	pid_t pid = n > 0 ? fork() : -1;

	if (pid == 0) {
		self[n] = '\0';
		execl(tcpwhy, tcpwhy, "run", "--lease", "--", self, "--bind-any", (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("run");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int lease_by_library(void)
{
	const struct sockaddr_in any = {.sin_family = AF_INET};
	const struct tcpwhy_lease_wish wish = {.held = true,
					       .listening = true,
					       .address = (const struct sockaddr *)&any,
					       .address_len = sizeof(any)};
	struct tcpwhy_lease lease;
	struct tcpwhy_pool *pool;
	int rc = tcpwhy_pool_open(NULL, false, &pool, NULL);

	if (rc)
		return -rc;
	rc = tcpwhy_lease(pool, &wish, &lease, 1);
	if (rc == 1) {
		rc = serves(lease.fd, lease.port) ? 0 : -EIO;
		tcpwhy_lease_release(pool, &lease, 1);
	}
	tcpwhy_pool_close(pool);
	return -rc;
}

/* --------------------------------------------------------------------------------- the picture */

static void connect_on(int listener, unsigned destinations)
{
	unsigned ok = 0;
	double began = now_ms();

	for (unsigned i = 0; i < AGAIN; i++) {
		struct sockaddr_in to = loopback(257 + i % destinations, SERVICE);

		ok += !leave_one(listener, &to, 0);
	}
	printf("# %u of %u more connections, %.0f us each\n", ok, AGAIN,
	       (now_ms() - began) * 1e3 / AGAIN);
	point(ok == AGAIN, "connect() goes on: it takes TIME_WAIT over");
}

static void show(int listener, unsigned sockets, unsigned ports, const char *tcpwhy)
{
	const struct tcpwhy_pool_plan plan = {
		.low = POOL_LOW, .high = POOL_HIGH, .group = (gid_t)-1};
	const struct timespec tick = {.tv_sec = 1, .tv_nsec = 100000000};
	double began = now_ms(), took;
	unsigned made = leave_all(listener, sockets, ports);
	int error;

	took = now_ms() - began;
	printf("# %u connections to %u destinations over %u ports, in %.1f s; TIME_WAIT now: %u\n",
	       made, (sockets + ports - 1) / ports, ports, took / 1e3, count_time_wait());
	point(made == sockets, "all connections were made");
	point(count_time_wait() >= ports && took < LIFE_MS, "TIME_WAIT covers the range");
	write_file("/proc/sys/net/ipv4/tcp_tw_reuse", "1");
	nanosleep(&tick, NULL);
	connect_on(listener, sockets / ports);

	began = now_ms();
	error = bind_any();
	printf("# bind() to port 0: %s, after %.1f ms\n", strerror(error), now_ms() - began);
	point(error == EADDRINUSE, "bind() to port 0 fails");
	point(listen_unbound() == EADDRINUSE, "listen() without bind() fails");
	if (tcpwhy_pool_create(&plan, NULL))
		die("pool");
	point(bind_under_run(tcpwhy) == 0,
	      "the same program under tcpwhy run --lease listens, and serves");
	error = lease_by_library();
	point(error == 0, "a program that uses the library listens, and serves");
	printf("# TIME_WAIT at the end: %u\n", count_time_wait());
	point(bind_any() == EADDRINUSE, "and still bind() to port 0 fails");
}

static unsigned number(const char *text)
{
	char *end;
	unsigned long n = text ? strtoul(text, &end, 10) : 0;

	if (!n || *end || n > 2000000) {
		fprintf(stderr, "starved: not such a number: %s\n", text ? text : "none");
		exit(2);
	}
	return (unsigned)n;
}

int main(int argc, char **argv)
{
	const char *tcpwhy = getenv("TCPWHY") ? getenv("TCPWHY") : "build/tcpwhy";
	unsigned sockets = 9000, ports = 3000;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--bind-any"))
			return bind_any() != 0;
		if (!strcmp(argv[i], "--sockets"))
			sockets = number(argv[++i]);
		else if (!strcmp(argv[i], "--ports"))
			ports = number(argv[++i]);
		else if (!strcmp(argv[i], "--tcpwhy") && argv[i + 1])
			tcpwhy = argv[++i];
		else {
			fprintf(stderr, "starved: what is %s?\n", argv[i]);
			return 2;
		}
	}
	if (ports % WINDOW || ports > 65535 - LOW || sockets < ports) {
		fprintf(stderr,
			"starved: ports are a multiple of %d, at most %d, and no more than "
			"sockets\n",
			WINDOW, 65535 - LOW);
		return 2;
	}
	if (geteuid()) {
		puts("1..0 # SKIP needs root: a network namespace and its sysctls");
		return 0;
	}
	enter_own_namespace(ports);
	show(listen_on(SERVICE), sockets, ports, tcpwhy);
	printf("1..%u\n", points);
	return bad != 0;
}
