/* SPDX-License-Identifier: MIT
 *
 * timewait.h - what the benchmarks over many TIME_WAIT begin with
 *
 * Sockets in TIME_WAIT, in a namespace where that many have room, and the bare netlink count that
 * everything is held against.
 */
#ifndef TCPWHY_BENCH_TIMEWAIT_H
#define TCPWHY_BENCH_TIMEWAIT_H

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "figures.h"
#include "own_netns.h"

#define ROUNDS_MAX 50
#define PORT       8080 /* where all are, if they are on one */

static _Noreturn inline void die(const char *what)
{
	perror(what);
	exit(1);
}

static inline void enter_own_namespace(void)
{
	static const char *const sysctls[][2] = {
		{"/proc/sys/net/ipv4/tcp_max_tw_buckets", "1000000"},
		{"/proc/sys/net/ipv4/ip_local_port_range", "10000 64999"},
		{"/proc/sys/net/ipv4/tcp_tw_reuse", "0"},
	};

	if (!own_netns_enter())
		die("a namespace (root?)");
	for (size_t i = 0; i < sizeof(sysctls) / sizeof(sysctls[0]); i++)
		if (!own_netns_write(sysctls[i][0], sysctls[i][1]))
			die(sysctls[i][0]);
}

static inline struct sockaddr_in loopback(unsigned host, uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(0x7f000000u + host)};
}

static inline int listen_on(uint16_t port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 64))
		die("listen");
	return fd;
}

/* One connection, closed first by the side that is to keep the TIME_WAIT. */
static inline bool leave_one(int listener, const struct sockaddr_in *from,
			     const struct sockaddr_in *server, bool server_first)
{
	const int one = 1;
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int served = -1;
	bool ok = client >= 0 && !setsockopt(client, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) &&
		  !bind(client, (const struct sockaddr *)from, sizeof(*from)) &&
		  !connect(client, (const struct sockaddr *)server, sizeof(*server));

	if (ok)
		served = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (served >= 0) {
		close(server_first ? served : client);
		close(server_first ? client : served);
	} else if (client >= 0) {
		close(client);
	}
	return ok && served >= 0;
}

/* one_port: the server closes first, and all TIME_WAIT are on PORT; else on the clients' ports.
 * Clients take 50,000 ports of each address in turn: a search by connect() gets slow past the half.
 */
static inline void leave_all(unsigned sockets, bool one_port)
{
	struct sockaddr_in server = loopback(1, one_port ? PORT : 9000);
	int listener = listen_on(ntohs(server.sin_port));

	for (unsigned i = 0; i < sockets; i++) {
		struct sockaddr_in from = loopback(257 + i / 50000, (uint16_t)(10000 + i % 50000));

		if (!leave_one(listener, &from, &server, one_port))
			die("connection");
	}
	close(listener);
}

/* One request of the old protocol with family 0 walks the table once for both families. */
static inline size_t count_bare(void)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req body;
	} request = {.header = {.nlmsg_len = sizeof(request),
				.nlmsg_type = TCPDIAG_GETSOCK,
				.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		     .body = {.idiag_states = UINT32_MAX}};
	static char buf[1 << 16] __attribute__((aligned(8)));
	struct mnl_socket *nl = mnl_socket_open(NETLINK_SOCK_DIAG);
	size_t n = 0;
	bool done = false;

	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(nl, &request, sizeof(request)) < 0)
		die("sock_diag");
	while (!done) {
		ssize_t got = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		int len = (int)got;

		if (got <= 0)
			die("sock_diag answer");
		for (const struct nlmsghdr *h = (const struct nlmsghdr *)buf; mnl_nlmsg_ok(h, len);
		     h = mnl_nlmsg_next(h, &len)) {
			done = done || h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR;
			n += h->nlmsg_type == TCPDIAG_GETSOCK;
		}
	}
	mnl_socket_close(nl);
	return n;
}

/* Runs a command without its output; its status, or -1. */
static inline int run_quietly(char *const argv[])
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#endif
