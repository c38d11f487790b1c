/* SPDX-License-Identifier: MIT
 *
 * plan.h - which sockets a cure may touch
 *
 * Pure: decides over a snapshot that somebody else took, and changes nothing. What is not clearly a
 * mini-socket on the place named is spared, and counted by the reason.
 */
#ifndef TCPWHY_CURE_PLAN_H
#define TCPWHY_CURE_PLAN_H

#include "facts/snapshot.h"

/* A place as bind() would ask for it: the same overlap rules say what stands in its way. */
struct plan_place {
	struct tcpwhy_addr addr;
	uint8_t family; /* enum tcpwhy_family: of the socket that wants it */
	bool v6only;    /* IPV6_V6ONLY of the socket that wants it */
	uint16_t port;
};

enum plan_fate {
	PLAN_DESTROY,   /* TIME_WAIT, or an orphan's FIN_WAIT2 mini-socket, on the place */
	PLAN_ELSEWHERE, /* another port, or an address that does not overlap */
	PLAN_LIVING,    /* on the place, but a process or the kernel still works with it */
	PLAN_NAMELESS,  /* ours to destroy, but without a cookie it cannot be named safely */
	PLAN_FATES
};

struct plan {
	size_t by_fate[PLAN_FATES];
	size_t fin_wait2;    /* of those to destroy; the others are TIME_WAIT */
	uint64_t longest_ns; /* the longest time that one of those to destroy still had */
	uint64_t *cookies;   /* of those to destroy, ascending; room for plan_make()'s snapshot */
};

/* Whether binding place would meet an owner with this local address and port
 * (inet_rcv_saddr_equal() with wildcards matched, ipv6_rcv_saddr_equal()). */
bool plan_overlaps(const struct plan_place *place, const struct tcpwhy_owner *owner);

enum plan_fate plan_fate(const struct plan_place *place, const struct snapshot_owner *owner);

/* Counts every owner of snap by its fate. cookies is the caller's, with room for snap->owners_n, or
 * NULL when only counts are wanted. */
void plan_make(const struct plan_place *place, const struct snapshot *snap, uint64_t *cookies,
	       struct plan *plan);

/* Whether a socket with this cookie was to be destroyed. */
bool plan_has(const struct plan *plan, uint64_t cookie);

#endif
