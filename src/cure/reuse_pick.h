/* SPDX-License-Identifier: MIT
 *
 * reuse_pick.h - which sockets of a port are one server's
 *
 * Pure: decides over a snapshot that somebody else took. A server is what one process has open on
 * the port: its listeners, whoever else listens at the same place beside them (SO_REUSEPORT
 * workers), and the connections that came in by them, in whichever process they are now. What
 * belongs to another listener, or was made by connect(), is a stranger's.
 */
#ifndef TCPWHY_CURE_REUSE_PICK_H
#define TCPWHY_CURE_REUSE_PICK_H

#include "facts/snapshot.h"

enum reuse_role {
	REUSE_STRANGER, /* of another server, or of connect() */
	REUSE_LISTENER,
	REUSE_CONNECTION, /* a process has it open, so it can be reached */
	/* Waits for accept(): nobody has it open yet. It has what its listener had when it came. */
	REUSE_QUEUED,
	REUSE_ORPHAN,    /* its process closed it; the kernel ends it, by TIME_WAIT or without */
	REUSE_TIME_WAIT, /* a mini-socket: TIME_WAIT, or an orphan's FIN_WAIT2 */
	REUSE_ENDED,     /* closed since it was listed; who looks finds that, not reuse_pick() */
	REUSE_ROLES
};

/* Which of the process's sockets are meant. */
struct reuse_place {
	bool addr_given; /* else: at every address */
	struct tcpwhy_addr addr;
	uint8_t family; /* of the text: a listener of [::] is not one of 0.0.0.0 */
};

/* Gives each owner of snap, which is of one port, its role in roles[]. inodes: those that the
 * process has open, ascending. 1; 0 if the process has no socket there that could be a server's
 * (all are strangers then); -ENOMEM. */
int reuse_pick(const struct snapshot *snap, const struct reuse_place *place, const uint32_t *inodes,
	       size_t inodes_n, uint8_t *roles);

#endif
