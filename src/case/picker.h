/* SPDX-License-Identifier: MIT
 *
 * picker.h - how a user-space stack chooses its source ports
 *
 * Sequential, and the five algorithms of RFC 6056. A picker proposes; the caller asks whether the
 * port is free for its destination, and asks for another one. The kernel's own choice is no picker:
 * that is connect() without bind().
 */
#ifndef TCPWHY_CASE_PICKER_H
#define TCPWHY_CASE_PICKER_H

#include "tcpwhy/engine.h"

enum picker_kind {
	PICKER_KERNEL,     /* connect() chooses */
	PICKER_SEQUENTIAL, /* the next one */
	PICKER_RFC6056_1,  /* a random one, then those after it */
	PICKER_RFC6056_2,  /* a random one each time: uniform */
	PICKER_RFC6056_3,  /* one counter, from where the destination's hash says */
	PICKER_RFC6056_4,  /* a counter for each of 16 hashes (the RFC's TABLE_LENGTH is free) */
	PICKER_RFC6056_5,  /* one counter, on by a random step of at most 500 */
	PICKER_UNIFORM = PICKER_RFC6056_2,
};

enum { PICKER_TABLE = 16, PICKER_STEP = 500 };

struct picker {
	enum picker_kind kind;
	uint16_t low, high; /* of the ports, inclusive */
	uint64_t random, secret[2];
	uint32_t next, table[PICKER_TABLE];
};

/* low > 0, low <= high. */
void picker_init(struct picker *p, enum picker_kind kind, uint16_t low, uint16_t high,
		 uint64_t seed);

/* A port for a destination; attempt counts from 0 within one connection's search. */
uint16_t picker_port(struct picker *p, const struct tcpwhy_addr *source,
		     const struct tcpwhy_addr *peer, uint16_t peer_port, uint32_t attempt);
/* How many ports there are: after so many attempts there is no other. */
uint32_t picker_ports(const struct picker *p);

#endif
