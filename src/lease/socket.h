/* SPDX-License-Identifier: MIT
 *
 * socket.h - the socket of a held lease
 */
#ifndef TCPWHY_LEASE_SOCKET_H
#define TCPWHY_LEASE_SOCKET_H

#include "tcpwhy/lease.h"

/* Whether the wildcard of this host is an IPv6 socket that takes IPv4 too. */
bool socket_has_ipv6(void);

/* A TCP socket bound to the port, on the wish's address; listening if it says so. The descriptor,
 * or -errno. */
int socket_bound(const struct tcpwhy_lease_wish *wish, bool ipv6, uint16_t port);

/* Whether it is a TCP socket that is bound to that port. */
bool socket_is_on(int fd, uint16_t port);

#endif
