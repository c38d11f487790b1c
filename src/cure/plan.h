/* SPDX-License-Identifier: MIT
 *
 * plan.h - which sockets a cure may touch
 *
 * Pure: decides over a snapshot that somebody else took, and changes nothing. What is not clearly a
 * mini-socket on the place named is spared, and counted by the reason. What is on the place is the
 * engine's to say, so that a cure and the question it came from cannot disagree.
 */
#ifndef TCPWHY_CURE_PLAN_H
#define TCPWHY_CURE_PLAN_H

#include "facts/snapshot.h"

/* A place as bind() would ask for it: the engine, asked that, says what stands in its way. */
struct plan_place {
	struct tcpwhy_addr addr;
	uint8_t family;  /* enum tcpwhy_family: of the socket that wants it */
	bool v6only;     /* IPV6_V6ONLY of the socket that wants it */
	uint32_t device; /* SO_BINDTODEVICE of the socket that wants it, 0 none */
	uint16_t port;
	/* Or the other way round: what a connect() to peer finds in its way. addr is then the local
	 * address, any of them if it is the wildcard; port, family and v6only mean nothing. */
	bool outgoing;
	struct tcpwhy_addr peer;
	uint16_t peer_port;
};

enum plan_fate {
	PLAN_ELSEWHERE, /* another port, or an address that does not overlap */
	PLAN_DESTROY,   /* TIME_WAIT, or an orphan's FIN_WAIT2 mini-socket, on the place */
	PLAN_LIVING,    /* on the place, but a process or the kernel still works with it */
	PLAN_NAMELESS,  /* ours to destroy, but without a cookie it cannot be named safely */
	PLAN_FATES
};

struct plan {
	size_t by_fate[PLAN_FATES];
	size_t fin_wait2;    /* of those to destroy; the others are TIME_WAIT */
	uint64_t longest_ns; /* the longest time that one of those to destroy still had */
	uint64_t *cookies;   /* of those to destroy, ascending */
	uint8_t *fates;      /* enum plan_fate of each owner of the snapshot */
	size_t owners_n;     /* of the snapshot: the room of both arrays */
};

/* Decides about every owner of snap. Outgoing: what has that peer is on the place. Else what stands
 * in the way of bind() without any option is on the place, and so is what may stand there and
 * cannot be told (IPV6_V6ONLY of a mini-socket, which only BPF shows). 0 with *plan filled (free it
 * with plan_free(), same memory), or -ENOMEM. */
int plan_make(const struct plan_place *place, const struct snapshot *snap,
	      const struct tcpwhy_memory *memory, struct plan *plan);
void plan_free(struct plan *plan, const struct tcpwhy_memory *memory);

/* Whether a socket with this cookie was to be destroyed. */
bool plan_has(const struct plan *plan, uint64_t cookie);

#endif
