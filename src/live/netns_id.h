/* SPDX-License-Identifier: MIT
 *
 * netns_id.h - which network namespace that was, and where it is now
 *
 * An inode number comes back when its namespace is gone; the cookie (SO_NETNS_COOKIE, 5.14) does
 * not during one boot. Before 5.14 the inode is all there is.
 */
#ifndef TCPWHY_LIVE_NETNS_ID_H
#define TCPWHY_LIVE_NETNS_ID_H

#include "live/netns.h"

struct netns_id {
	uint64_t inode;
	uint64_t cookie; /* 0 unknown */
};

/* 0, or -errno with err->text if one cannot enter it. */
int netns_id_of(const struct netns *ns, struct netns_id *id, struct err *err);
/* Opens that very namespace: our own, or one that has a process, a name or a mount. 0, or -errno
 * with err->text: -ENOENT there is none any more, -EPERM there may be, but we may not look or
 * enter. */
int netns_id_open(const struct netns_id *id, struct netns *ns, struct err *err);

#endif
