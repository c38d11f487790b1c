/* SPDX-License-Identifier: MIT
 *
 * rtnl.h - devices, addresses, routes and neighbours by rtnetlink
 *
 * The few requests that a scene is built of, one message and one answer each. It neither lists nor
 * watches, and it knows nothing of hosts: a struct rtnl acts on the one namespace in which it was
 * opened. What is made here lives as long as its namespace.
 *
 * Prefix lengths count in the address's own family (0..32, 0..128). Errors are 0 or the kernel's
 * -errno; the caller knows what the device or the address was for, and writes the text.
 */
#ifndef TCPWHY_CASE_RTNL_H
#define TCPWHY_CASE_RTNL_H

#include "base/address.h"
#include "case/talk.h"

struct rtnl {
	struct talk talk;
};

/* Acts on the calling thread's namespace, later from any thread. Close with rtnl_close(). */
int rtnl_open(struct rtnl *r);
/* Acts on another namespace. 0, or -errno with err->text. */
int rtnl_open_in(const struct netns *ns, struct rtnl *r, struct err *err);
void rtnl_close(struct rtnl *r);

/* One end of a veth pair. */
struct rtnl_end {
	const char *name;
	unsigned index;         /* the wished ifindex; 0: the kernel chooses */
	const struct netns *ns; /* NULL: the namespace of the struct rtnl */
	const uint8_t *mac;     /* 6 bytes; NULL: the kernel chooses */
};

/* one is up at the end, other is not: a veth opens only beside a peer that exists (veth_open()).
 * After rtnl_set_up() of other, rtnl_wait_active() of one. */
int rtnl_add_veth(struct rtnl *r, const struct rtnl_end *one, const struct rtnl_end *other);
/* Both ends go, wherever they are. */
int rtnl_del_link(struct rtnl *r, unsigned device);
int rtnl_set_up(struct rtnl *r, unsigned device, bool up);
/* Until frames really leave a device that is up: the first of a veth's ends to be set up drops them
 * silently until its carrier was noticed (linkwatch, then dev_activate()). RTM_GETLINK notices it
 * itself on newer kernels, so this rarely has to ask twice. 0, -ETIMEDOUT at the deadline
 * (CLOCK_MONOTONIC, ns), or another -errno. */
int rtnl_wait_active(struct rtnl *r, unsigned device, uint64_t deadline_ns);

/* Without duplicate address detection, and waits until it is the host's own; the device must be up.
 * IPv4 gets the broadcast address of its prefix, but for /31 and /32. prefix_route: the kernel's
 * route to the prefix comes along.
 */
int rtnl_add_addr(struct rtnl *r, unsigned device, const struct tcpwhy_addr *a, uint8_t prefix_len,
		  bool prefix_route);

/* A field that is 0 or NULL is left out of the message. */
struct rtnl_route {
	struct tcpwhy_addr to;
	uint8_t prefix_len;
	const struct tcpwhy_addr *via;    /* gateway */
	const struct tcpwhy_addr *source; /* preferred source address */
	unsigned device;
	uint8_t table;    /* RT_TABLE_...; 0: main */
	uint8_t type;     /* RTN_...; 0: unicast */
	uint8_t scope;    /* RT_SCOPE_..., IPv4 only */
	uint8_t protocol; /* RTPROT_...; 0: static */
	uint32_t metric;
	bool quickack; /* no delayed ACKs to there */
};

/* replace: one that exists (same prefix, metric) is changed, and IPv4 fails if there is none. */
int rtnl_add_route(struct rtnl *r, const struct rtnl_route *route, bool replace);
int rtnl_del_route(struct rtnl *r, const struct rtnl_route *route);

/* A permanent neighbour: no ARP and no neighbour discovery for this address, ever. */
int rtnl_set_neighbour(struct rtnl *r, unsigned device, const struct tcpwhy_addr *a,
		       const uint8_t mac[static 6]);

#endif
