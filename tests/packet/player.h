/* SPDX-License-Identifier: MIT
 *
 * player.h - what a host shows after a step, whoever plays it
 *
 * The kernel and the model fill the same struct; comparing two of them is all that the check does.
 */
#ifndef PACKET_PLAYER_H
#define PACKET_PLAYER_H

#include "wire.h"

enum { PLAYER_OUT = 192, PLAYER_FLOWS = WIRE_FLOWS };

/* A 4-tuple, as sock_diag shows it. state CLOSE: there is none. */
struct seen_flow {
	uint8_t state; /* enum tcpwhy_state */
	bool timewait;
	uint8_t timer; /* the numbers of idiag_timer */
	uint64_t left_ns;
	uint32_t retransmits;
};

/* A descriptor. */
struct seen_sock {
	bool open;
	uint8_t state; /* enum tcpwhy_state; CLOSE, bound or not */
	bool has_peer;
	uint32_t unread;
	uint32_t queue, backlog; /* of a listener */
};

struct observed {
	bool skipped;   /* no such socket */
	int64_t result; /* what the call gave; -errno */
	size_t n_out;
	struct segment out[PLAYER_OUT];
	uint64_t now_ns;                      /* when the rest was seen */
	struct seen_flow flows[PLAYER_FLOWS]; /* as in the player's struct wire */
	struct seen_sock socks[SCRIPT_SOCKETS];
	uint64_t counters[COUNTER_COUNT]; /* since the script began */
};

#endif
