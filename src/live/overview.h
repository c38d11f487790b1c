/* SPDX-License-Identifier: MIT
 *
 * overview.h - sockets counted while they are read, in constant memory
 *
 * A reader (bind hash, sock_diag) hands over each socket once; nothing of it is kept but counts.
 * The table of destinations has a fixed size: when the places for a new one are taken, the one with
 * the fewest connections is pushed out and the newcomer inherits its count as "maybe more"
 * (space-saving), so that a busy destination is never lost and its count is at least what is said.
 */
#ifndef TCPWHY_LIVE_OVERVIEW_H
#define TCPWHY_LIVE_OVERVIEW_H

#include "facts/overview.h"
#include "facts/snapshot.h"

#define OVERVIEW_WAYS 8
#define OVERVIEW_SETS 1024

/* Where the port of a socket comes from, as far as a reader can tell. */
struct overview_port {
	enum tcpwhy_tri owned; /* connect() passes over it: its bucket is not connect()'s alone */
	enum tcpwhy_tri named; /* bind() named it */
};

struct overview_count;

/* Starts from nothing. range, reserved and the delay of old TIME_WAIT come from seen. NULL: no
 * memory. */
struct overview_count *overview_begin(const struct snapshot *seen);
/* Forgets what was counted. */
void overview_again(struct overview_count *count);
void overview_socket(struct overview_count *count, const struct snapshot_owner *s,
		     struct overview_port port);
/* Fills the numbers of out and frees count. */
void overview_end(struct overview_count *count, struct overview *out);

#endif
