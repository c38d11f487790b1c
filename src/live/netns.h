/* SPDX-License-Identifier: MIT
 *
 * netns.h - opening a network namespace, and running code inside it
 *
 * The process never changes its own namespace: code for another one runs in a thread of its own,
 * which enters by setns() and ends. Our own namespace needs neither thread nor privilege.
 */
#ifndef TCPWHY_LIVE_NETNS_H
#define TCPWHY_LIVE_NETNS_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct netns {
	int fd;         /* O_CLOEXEC */
	bool own;       /* the caller's: no setns() needed */
	uint64_t inode; /* the number in net:[N] */
};

/* Opens by name under /run/netns (or /var/run/netns), by path if name has a '/', by process if pid
 * is not 0, or our own if neither is given. 0, or -errno with err->text: -ENOENT, -EPERM, -EINVAL
 * (not a network namespace, or a pid below 0). */
int netns_open(const char *name, int pid, struct netns *ns, struct err *err);
void netns_close(struct netns *ns);

/* Runs fn(ctx) inside, waits for it and returns what it returns; -errno with err->text if one
 * cannot go there. The function may change what the kernel keeps by thread (fsuid, capabilities)
 * only if own_thread is true. */
int netns_run(const struct netns *ns, bool own_thread, int (*fn)(void *ctx), void *ctx,
	      struct err *err);

#endif
