/* SPDX-License-Identifier: MIT
 *
 * wire.h - delivers at once, between the sockets of one engine, what the loopback device would
 *
 * The engine knows no segments: it says that a FIN or a RST leaves, and is told what arrives. Both
 * ends of every connection of a script live in the same engine, so the wire finds the other end by
 * its 4-tuple. It also keeps the accept queues, because who waits where is not the engine's
 * business.
 */
#ifndef CONFORM_WIRE_H
#define CONFORM_WIRE_H

#include "script.h"

struct wire_child {
	unsigned listener; /* slot of the script */
	tcpwhy_sock child;
	struct endpoint local, peer;
};

enum { WIRE_CHILDREN = 256 };

struct wire {
	struct tcpwhy_engine *e;
	tcpwhy_sock socks[SCRIPT_SOCKETS];
	bool shut_early[SCRIPT_SOCKETS]; /* shutdown() of the sending side before there was a
					    connection */
	struct wire_child children[WIRE_CHILDREN];
	size_t n_children;
};

/* The SYN of a socket in SYN_SENT was answered: by a listener (slot), by itself (-1), or with a
 * RST. 0, or the engine's negative errno. */
int wire_connected(struct wire *w, unsigned client, int listener);
int wire_refused(struct wire *w, unsigned client);

/* The oldest child of a listener leaves its queue. False if there is none. */
bool wire_accept(struct wire *w, unsigned listener, struct wire_child *child);

/* shutdown() and close() of a slot, with all that follows at the other end. The errno of the call.
 */
int wire_shutdown(struct wire *w, unsigned sock, enum tcpwhy_how how);
int wire_close(struct wire *w, unsigned sock);

#endif
