/* SPDX-License-Identifier: MIT */
#include "wrap/leased.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tcpwhy/lease.h"

#define TRIES   64 /* ports that others have bound */
#define LOOK_AT 64 /* ports given out until the first look; then as many as are in use */

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) ? 0 : cookie;
}

static uint64_t own_cookie(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t cookie = cookie_of(fd);

	if (fd >= 0)
		close(fd);
	return cookie;
}

int leased_open(struct leased *l, struct err *err)
{
	struct tcpwhy_pool_why why = {""};
	int failed;

	if (!l->shared)
		l->shared = mmap(NULL, sizeof(*l->shared), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (l->shared == MAP_FAILED) {
		l->shared = NULL;
		snprintf(err->text, sizeof(err->text), "no memory for the ports given out");
		return -ENOMEM;
	}
	l->shared->next_look = LOOK_AT;
	l->netns = own_cookie();
	failed = tcpwhy_pool_open(NULL, false, &l->pool, &why);
	if (failed)
		snprintf(err->text, sizeof(err->text), "the pool of ports: %.*s", 200, why.text);
	return failed;
}

/* ---------------------------------------------------------------------------- what came back */

static in_port_t *port_of(struct sockaddr *address)
{
	/* The same place in both families. */
	return &((struct sockaddr_in *)(void *)address)->sin_port;
}

/* Nothing holds the port if a socket without any option may bind it for every address. */
static bool is_unused(uint16_t port)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;
	bool unused;

	if (fd >= 0) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
		unused = !bind(fd, (struct sockaddr *)&v6, sizeof(v6));
	} else {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		unused = fd >= 0 && !bind(fd, (struct sockaddr *)&v4, sizeof(v4));
	}
	if (fd >= 0)
		close(fd);
	return unused;
}

struct look {
	struct leased *leased;
	uint32_t in_use;
};

/* A port whose process ended is the pool's already, and may be a stranger's by now. */
static int look_at(void *ctx, const struct tcpwhy_port *p)
{
	struct look *look = ctx;
	uint32_t *process = &look->leased->shared->process[p->port];

	if (!*process)
		return 0;
	if (p->state == TCPWHY_PORT_LEASED && (uint32_t)p->pid == *process) {
		if (!is_unused(p->port)) {
			look->in_use++;
			return 0;
		}
		tcpwhy_lease_revoke(look->leased->pool, p->port);
	}
	*process = 0;
	return 0;
}

static void take_back(struct leased *l)
{
	struct look look = {.leased = l};

	tcpwhy_pool_list(l->pool, look_at, &look);
	l->shared->given = 0;
	l->shared->next_look = look.in_use > LOOK_AT ? look.in_use : LOOK_AT;
}

/* --------------------------------------------------------------------------------------- giving */

/* The pool's file may have been built anew since it was opened. */
static int lease_one(struct leased *l, struct tcpwhy_lease *lease)
{
	int n = tcpwhy_lease(l->pool, NULL, lease, 1);
	struct err err;

	if (n == -ESTALE) {
		tcpwhy_pool_close(l->pool);
		l->pool = NULL;
		if (leased_open(l, &err))
			return -ENOSPC;
		n = tcpwhy_lease(l->pool, NULL, lease, 1);
	}
	if (n == -ENOSPC) {
		take_back(l);
		n = tcpwhy_lease(l->pool, NULL, lease, 1);
	}
	return n == 1 ? 0 : n < 0 ? n : -ENOSPC;
}

int leased_bind(struct leased *l, int fd, pid_t process, struct sockaddr *address, socklen_t len)
{
	for (int i = 0; i < TRIES; i++) {
		struct tcpwhy_lease lease;
		int failed;

		if (!l->pool)
			return -ENOSPC;
		if (l->shared->given >= l->shared->next_look)
			take_back(l);
		failed = lease_one(l, &lease);
		if (failed)
			return failed;
		/* Noted and in the process's name before it is bound: should we die between, the
		 * port is found unused, and comes back. */
		l->shared->process[lease.port] = (uint32_t)process;
		l->shared->given++;
		failed = tcpwhy_lease_assign(l->pool, &lease, process, 0);
		*port_of(address) = htons(lease.port);
		if (!failed && !bind(fd, address, len))
			return 0;
		failed = failed ? failed : -errno;
		tcpwhy_lease_revoke(l->pool, lease.port);
		l->shared->process[lease.port] = 0;
		if (failed != -EADDRINUSE)
			return failed;
	}
	return -ENOSPC;
}

bool leased_reaches(const struct leased *l, int fd, bool *known)
{
	uint64_t cookie = cookie_of(fd);

	*known = l->netns && cookie;
	return cookie == l->netns;
}

bool leased_has(const struct leased *l, int fd, pid_t process)
{
	struct sockaddr_in6 at = {0};
	socklen_t len = sizeof(at);

	if (getsockname(fd, (struct sockaddr *)&at, &len))
		return false;
	return l->shared->process[ntohs(*port_of((struct sockaddr *)&at))] == (uint32_t)process;
}
