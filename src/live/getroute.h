/* SPDX-License-Identifier: MIT
 *
 * getroute.h - one lookup in the routing tables, by RTM_GETROUTE
 *
 * Unlike a connected UDP socket it can name protocol and ports, which rules of routing may ask for
 * (ip rule add ipproto tcp dport 80). Kernels before 4.19 pass over these attributes.
 */
#ifndef TCPWHY_LIVE_GETROUTE_H
#define TCPWHY_LIVE_GETROUTE_H

#include "tcpwhy/engine.h"

#include "base/error.h"

struct getroute {
	struct tcpwhy_addr to;
	bool has_source;
	struct tcpwhy_addr source; /* of the family of to */
	uint32_t device, uid;
	uint16_t source_port, port; /* 0: not named */
	int error;                  /* after: positive errno of the lookup, or 0 */
	uint8_t type;               /* after, without error: RTN_UNICAST, ... */
	uint32_t out;               /* after: the device it leaves by */
	bool has_preferred;
	struct tcpwhy_addr preferred; /* after: RTA_PREFSRC */
};

/* Asks in the namespace of the calling thread. 0, or -errno with err->text: nothing was learned. */
int getroute_ask(struct getroute *q, struct err *err);

#endif
