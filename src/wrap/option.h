/* SPDX-License-Identifier: MIT
 *
 * option.h - which socket option is set at which call
 *
 * SO_REUSEADDR and SO_REUSEPORT never before a port is chosen: on bind() to port 0 SO_REUSEADDR
 * searches one half of the range first and costs up to 57 times as much
 * (inet_csk_find_open_port()). At listen() a socket that bind() gave a port to gets them after all,
 * for its accepted sockets inherit them, and so does what they leave in TIME_WAIT.
 */
#ifndef TCPWHY_WRAP_OPTION_H
#define TCPWHY_WRAP_OPTION_H

#include <stdbool.h>

#include "wrap/wrap.h"

enum option_moment {
	AT_BIND_PORT = 1,      /* bind() to a port */
	AT_BIND_ANY = 2,       /* bind() to port 0 */
	AT_LISTEN_BOUND = 4,   /* listen() with a port */
	AT_LISTEN_UNBOUND = 8, /* listen() that has to choose one */
	AT_CONNECT = 16,
	AT_SOCKET = 32, /* the socket is new, nothing is known of its use */
};

/* The moments at which the cure does something, AT_SOCKET not among them. */
unsigned option_moments(const struct wrap_cure *cure);

/* TCP or MPTCP over IPv4 or IPv6. */
bool option_is_tcp(int fd);

/* Sets what the cure has for this moment; an IP_LOCAL_PORT_RANGE of the program's own is left.
 * 0, or -errno of the first that failed, and its name. Setting twice is setting once. */
int option_set(const struct wrap_cure *cure, enum option_moment moment, int fd, const char **name);

#endif
