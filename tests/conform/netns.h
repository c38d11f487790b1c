/* SPDX-License-Identifier: MIT
 *
 * netns.h - the small world in which scripts are played on the real kernel
 *
 * A network namespace of this process alone, built by rtnetlink: lo, both ends of a veth pair,
 * local addresses of both families, and a destination that never answers. It ends with the process.
 * Local routes carry the quickack metric, so that a FIN is acknowledged at once and not after the
 * 40 ms of a delayed ACK.
 */
#ifndef CONFORM_NETNS_H
#define CONFORM_NETNS_H

#include "tcpwhy/engine.h"

#include "base/error.h"

enum { NETNS_LO = 1, NETNS_V0, NETNS_V1, NETNS_DEVICES };

/* An address that is local in the namespace, as it was configured. */
struct netns_addr {
	struct tcpwhy_addr prefix;
	unsigned prefix_len; /* of the 16-byte form */
	enum tcpwhy_local kind;
	unsigned device; /* NETNS_LO ... */
};

enum { NETNS_ADDRS = 10 };

/* Leaves this process in a new namespace with ifindexes NETNS_LO, NETNS_V0, NETNS_V1. 0 or -errno,
 * with -EPERM for a process that may not. */
int netns_enter(struct err *err);

/* Fills the table of what is local there. */
void netns_addrs(struct netns_addr addrs[NETNS_ADDRS]);

/* Packets to this address of each family leave through NETNS_V0 and are never answered. */
struct tcpwhy_addr netns_silent(enum tcpwhy_family family);

#endif
