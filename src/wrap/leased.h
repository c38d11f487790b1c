/* SPDX-License-Identifier: MIT
 *
 * leased.h - ports of the host's pool (tcpwhy/lease.h) for sockets that ask for any
 *
 * The lease is the process's that asked, so it outlives us. That it closed the socket nobody tells
 * us: every so often, and when the pool is empty, the ports that were given out are looked at, and
 * those on which no socket and no TIME_WAIT is left go back.
 */
#ifndef TCPWHY_WRAP_LEASED_H
#define TCPWHY_WRAP_LEASED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/error.h"

struct tcpwhy_pool;

/* What was given out, in memory that the supervisor and its keeper share. */
struct leased_shared {
	uint32_t process[UINT16_MAX + 1]; /* of a port; 0 none */
	uint32_t given, next_look;        /* next_look: when so many were given */
};

struct leased {
	struct tcpwhy_pool *pool; /* NULL: not used */
	struct leased_shared *shared;
	uint64_t netns; /* SO_NETNS_COOKIE of our sockets; 0: unknown, before 5.14 */
};

/* The pool of the network namespace we are in. 0, or -errno and why: -ENOENT there is none. */
int leased_open(struct leased *l, struct err *err);

/* Binds an unbound socket to a port of the pool; that of address is written. 0; -ENOSPC if the pool
 * has none; or -errno of bind(). */
int leased_bind(struct leased *l, int fd, pid_t process, struct sockaddr *address, socklen_t len);

/* Whether the socket is of the pool's network namespace. *known: false before 5.14. */
bool leased_reaches(const struct leased *l, int fd, bool *known);

/* Whether the socket has a port that was given to this process: the call was answered before. */
bool leased_has(const struct leased *l, int fd, pid_t process);

#endif
