/* SPDX-License-Identifier: MIT
 *
 * wire.h - what we, the peer, know of each connection of one player's host
 *
 * Each player's host draws its own initial sequence numbers and timestamps. A script names numbers
 * relative to what was seen on the wire; here they become the numbers of one player and back.
 */
#ifndef PACKET_WIRE_H
#define PACKET_WIRE_H

#include "script.h"

/* From the segments that passed, in the sequence space of whoever sent them. */
struct wire_flow {
	struct flow flow;
	bool begun;        /* the host sent a SYN or SYN-ACK: iss and nxt mean something */
	bool active;       /* it was a SYN */
	uint32_t iss, nxt; /* the host's first number, and the one after its last */
	uint32_t una;      /* the highest that we acknowledged */
	uint32_t rcv;      /* the host's last ACK, and the the right edge of the widest window */
	uint32_t edge;
	uint32_t sack;  /* right-most SACK edge that the host showed */
	uint32_t tsval; /* the host's last */
};

enum { WIRE_FLOWS = 256 };

struct wire {
	struct wire_flow flows[WIRE_FLOWS];
	size_t n;
};

/* The flow's entry, made if there is none. NULL: the script has too many. */
struct wire_flow *wire_flow(struct wire *w, const struct flow *f);

/* The host's address and ours. */
struct tcpwhy_addr wire_host(uint8_t family);
struct tcpwhy_addr wire_peer(uint8_t family);

/* Of a segment between them, in either direction; false for another one. */
bool wire_flow_of(const struct segment *s, bool from_host, struct flow *f);

uint32_t wire_number(const struct wire_flow *w, const struct number *n);

/* What a line of the script means to this player. */
struct segment wire_render(const struct wire_flow *w, const struct flow *f,
			   const struct pattern *p);
/* We sent this. */
void wire_sent(struct wire_flow *w, const struct segment *s);

/* How the sequence number of a host's segment is told: in words that do not depend on its random
 * numbers. To be asked before wire_note(). */
enum { WIRE_TEXT = 160 };
void wire_describe(const struct wire_flow *w, const struct segment *s, char text[static WIRE_TEXT]);

/* The host sent this. */
void wire_note(struct wire_flow *w, const struct segment *s);

#endif
