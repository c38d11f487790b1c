/* SPDX-License-Identifier: MIT
 *
 * route.h - where a connection would go and come from, asked of the kernel
 *
 * RTM_GETROUTE asks as TCP with its ports. A connected UDP socket, which sends nothing, tells what
 * that lacks: what bind(), IPsec and the sending of addresses to itself make of it.
 */
#ifndef TCPWHY_LIVE_ROUTE_H
#define TCPWHY_LIVE_ROUTE_H

#include "tcpwhy/engine.h"

#include "base/error.h"

/* What is asked, and what the kernel answered. */
struct route {
	uint8_t family;          /* enum tcpwhy_family: of the socket */
	uint32_t device;         /* SO_BINDTODEVICE, 0 none */
	uint32_t uid;            /* of the socket: rules of routing may name it */
	bool has_from;           /* after: false if from is no source (multicast, broadcast) */
	struct tcpwhy_addr from; /* bound before */
	uint16_t from_port;      /* bound before, 0 none or not known */
	struct tcpwhy_addr peer; /* the destination; after: where it really goes (:: is ::1) */
	uint16_t peer_port;
	struct tcpwhy_addr source; /* after: the address the connection comes from */
	int error;                 /* after: errno that connect() of a TCP socket gives, or 0 */
};

/* Asks in the namespace of the calling thread, which becomes uid for good. 0, or -errno with
 * err->text if it could not be asked. */
int route_ask(struct route *r, struct err *err);

#endif
