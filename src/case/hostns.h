/* SPDX-License-Identifier: MIT
 *
 * hostns.h - a network namespace of our own: what a scene calls a host
 *
 * Anonymous: no name under /run/netns, no process inside, only a descriptor. So it ends with this
 * process, however that ends, and its devices, sockets and rules with it. The process itself never
 * enters: netns_run() of live/netns.h lets a thread go there, and what that thread opens can be
 * used from everywhere.
 */
#ifndef TCPWHY_CASE_HOSTNS_H
#define TCPWHY_CASE_HOSTNS_H

#include "live/netns.h"

#include <stddef.h>

/* Without CAP_SYS_ADMIN the process goes into a user namespace of its own, where its user is root;
 * with it nothing happens. Once, early, while there is one thread. 0; -EPERM or another -errno with
 * err->text: what the system refused, and what to do. */
int hostns_permit(struct err *err);

/* A new namespace in which lo is up, and whose devices make no IPv6 addresses by themselves. End it
 * with netns_close(); what lies inside goes once nothing else holds it, a little later. 0, or
 * -errno with err->text. */
int hostns_new(struct netns *ns, struct err *err);

/* The value of a sysctl below net/, "ipv4/tcp_tw_reuse", inside. Values are text, without the
 * newline at the end. 0, or -errno with err->text (-ENOENT: this kernel has none of that name,
 * -EINVAL: not such a value, -ENAMETOOLONG). */
int hostns_set_sysctl(const struct netns *ns, const char *name, const char *value, struct err *err);
int hostns_get_sysctl(const struct netns *ns, const char *name, char *value, size_t size,
		      struct err *err);

/* socket(2) made inside, with SOCK_CLOEXEC: its descriptor, or -errno with err->text. */
int hostns_socket(const struct netns *ns, int family, int type, int protocol, struct err *err);

#endif
