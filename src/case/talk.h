/* SPDX-License-Identifier: MIT
 *
 * talk.h - one netlink socket, and requests that are answered before the next is sent
 *
 * What rtnl.h, diag.h and conntrack.h have in common. The answers are the own kernel's, so libmnl
 * takes them apart; src/live, which also reads what a file holds, has a walk of its own.
 */
#ifndef TCPWHY_CASE_TALK_H
#define TCPWHY_CASE_TALK_H

#include <libmnl/libmnl.h>

#include "live/netns.h"

struct talk {
	struct mnl_socket *nl; /* NULL: closed */
	unsigned seq;
};

/* Acts on the calling thread's namespace, later from any thread. bus: NETLINK_... 0 or -errno. */
int talk_open(struct talk *t, int bus);
/* Acts on another namespace. 0, or -errno with err->text, which calls the socket by that name. */
int talk_open_in(struct talk *t, int bus, const struct netns *ns, const char *name,
		 struct err *err);
void talk_close(struct talk *t);

/* Sends one request, numbers it, and gives what is answered to read (NULL: only an errno can come):
 * one message, or all of a dump. 0 or -errno; -EINTR is a dump that was not consistent. */
int talk_ask(struct talk *t, struct nlmsghdr *request, mnl_cb_t read, void *ctx);

#endif
