/* SPDX-License-Identifier: MIT */
#include "cure/hook_probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/address.h"

#define WAIT_MS    3000
#define PROBE_PORT 40000

enum { SEEN_ACTS, SEEN_IDLE, SEEN_NOTHING };

/* ---------------------------------------------------------------------------- in the child: system
 * calls only, of a process that may have had threads */

union endpoint {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t endpoint_of(int family, const struct tcpwhy_addr *a, union endpoint *out)
{
	memset(out, 0, sizeof(*out));
	out->any.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		out->v4.sin_port = htons(PROBE_PORT);
		memcpy(&out->v4.sin_addr, a->b + 12, 4);
		return sizeof(out->v4);
	}
	out->v6.sin6_port = htons(PROBE_PORT);
	memcpy(&out->v6.sin6_addr, a->b, 16);
	return sizeof(out->v6);
}

/* Whatever bind() says: the program ran before it. */
static int try_reuseaddr(int family)
{
	const struct tcpwhy_addr any =
		family == AF_INET ? address_v4_number(0) : (struct tcpwhy_addr){0};
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), value = 0;
	socklen_t size = sizeof(value);
	union endpoint e;

	if (fd < 0)
		return SEEN_NOTHING;
	size = endpoint_of(family, &any, &e);
	bind(fd, &e.any, size);
	size = sizeof(value);
	return !getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, &size) && value ? SEEN_ACTS
										 : SEEN_IDLE;
}

/* A documentation's address (RFC 5737, RFC 3849), or this host. There is no route to either here:
 * the program ran before it was looked for. */
static struct tcpwhy_addr destination(int family, bool here)
{
	struct tcpwhy_addr a = {0};

	if (family == AF_INET)
		return address_v4_number(here ? 0x7f000001 : 0xc0000201);
	if (!here) {
		a.b[0] = 0x20;
		a.b[1] = 0x01;
		a.b[2] = 0x0d;
		a.b[3] = 0xb8;
	}
	a.b[15] = 1;
	return a;
}

/* The addresses are not local in this namespace; the socket may take them all the same. */
static int try_spread(int family, const struct tcpwhy_addr *from, unsigned n)
{
	const struct tcpwhy_addr to = destination(family, address_is_loopback(from));
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
	union endpoint e, mine;
	socklen_t size;

	if (fd < 0)
		return SEEN_NOTHING;
	if (family == AF_INET)
		setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one));
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &one, sizeof(one));
	size = endpoint_of(family, &to, &e);
	connect(fd, &e.any, size);
	size = sizeof(e);
	memset(&e, 0, sizeof(e));
	getsockname(fd, &e.any, &size);
	for (unsigned i = 0; i < n; i++) {
		endpoint_of(family, &from[i], &mine);
		if (family == AF_INET ? e.v4.sin_addr.s_addr == mine.v4.sin_addr.s_addr
				      : !memcmp(&e.v6.sin6_addr, &mine.v6.sin6_addr, 16))
			return SEEN_ACTS;
	}
	return SEEN_IDLE;
}

/* One that does not act is enough to say so. */
static int worse(int a, int b)
{
	if (a == SEEN_NOTHING || b == SEEN_IDLE)
		return b;
	return a;
}

static int look_inside(const struct hook_order *order)
{
	int seen = SEEN_NOTHING;

	if (order->what == HOOK_REUSEADDR)
		return worse(try_reuseaddr(AF_INET), try_reuseaddr(AF_INET6));
	if (order->n4)
		seen = try_spread(AF_INET, order->addresses, order->n4);
	if (order->n6)
		seen = worse(seen, try_spread(AF_INET6, order->addresses + order->n4, order->n6));
	return seen;
}

/* -------------------------------------------------------------------------------- in the parent */

/* A process of its own in the cgroup and an empty network namespace (5.7). 0 in the child. */
static pid_t make_child(const struct cgroup2 *cgroup, int *pidfd)
{
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP | CLONE_NEWNET | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = (unsigned)cgroup->fd,
	};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* What it ended with, or -1. */
static int wait_for(int pidfd)
{
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};
	siginfo_t info = {0};
	int n;

	do {
		n = poll(&ended, 1, WAIT_MS);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	while (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED) && errno == EINTR)
		;
	return info.si_code == CLD_EXITED ? info.si_status : -1;
}

enum hook_probed hook_probe(const struct hook_order *order, const struct cgroup2 *cgroup,
			    int *error)
{
	int pidfd = -1, seen;
	pid_t child = make_child(cgroup, &pidfd);

	*error = child < 0 ? errno : 0;
	if (child < 0)
		return HOOK_PROBE_UNTRIED;
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(look_inside(order));
	}
	seen = wait_for(pidfd);
	close(pidfd);
	if (seen == SEEN_ACTS)
		return HOOK_PROBE_ACTS;
	if (seen == SEEN_IDLE)
		return HOOK_PROBE_IDLE;
	*error = seen == SEEN_NOTHING ? EAFNOSUPPORT : ETIMEDOUT;
	return HOOK_PROBE_UNTRIED;
}
