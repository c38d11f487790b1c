/* SPDX-License-Identifier: MIT
 *
 * netlink.h - walking the messages of a reply, and asking for a dump
 *
 * libmnl takes messages apart well, but its mnl_nlmsg_ok() compares a length as a signed number and
 * lets one above 2 GiB pass; replies are walked here instead.
 */
#ifndef TCPWHY_LIVE_NETLINK_H
#define TCPWHY_LIVE_NETLINK_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>

/* What is left of a reply. */
struct netlink_reply {
	const void *at;
	size_t left;
};

/* How a dump went. */
struct netlink_progress {
	bool done;        /* its last message was seen */
	bool interrupted; /* NLM_F_DUMP_INTR: entries may be missing, dump again */
	bool changed;     /* one ended while it was listed: what took its place may be missing */
	int error;        /* -errno the kernel answered, with done */
};

/* The next message that lies wholly in the reply, or NULL at the end. Says in progress what its
 * header tells; the message that ends a dump is not returned. */
const struct nlmsghdr *netlink_next(struct netlink_reply *reply, struct netlink_progress *progress);

/* Sends a request for a dump and gives each reply to take until progress says done. 0, -errno, or
 * what take returned if not 0. */
int netlink_dump(struct mnl_socket *nl, const struct nlmsghdr *request,
		 struct netlink_progress *progress,
		 int (*take)(const void *reply, size_t len, void *ctx), void *ctx);

#endif
