/* SPDX-License-Identifier: MIT
 *
 * sockdiag.h - TCP sockets by netlink (inet_diag), which needs no privilege
 *
 * Shows every state, TIME_WAIT's timer, uid and inode, and on 6.8+ sockets that only bound; never
 * SO_REUSEADDR, SO_REUSEPORT or the buckets. Sees the namespace of the calling thread.
 */
#ifndef TCPWHY_LIVE_SOCKDIAG_H
#define TCPWHY_LIVE_SOCKDIAG_H

#include "facts/snapshot.h"
#include "live/netlink.h"

/* Takes one owner; a result other than 0 ends the parse and is its result. */
typedef int sockdiag_take(const struct snapshot_owner *owner, void *ctx);

/* Takes apart one reply, whatever bytes it holds: what is too short, or not of TCP, is passed over.
 * Requests that wait for their handshake's end (SYN_RECV) own no port and are left out. A socket
 * that lost its port since the kernel chose it for the list is told as progress->changed. 0 or what
 * take returned. */
int sockdiag_parse(const void *reply, size_t len, uint64_t now_ns,
		   struct netlink_progress *progress, sockdiag_take *take, void *ctx);

/* Puts the owners of the scope's ports into snap and sets bound_unseen. 0, or -errno with owners as
 * before: -ENOENT if this kernel has no tcp_diag, -EINTR if every dump was interrupted.
 * A port's sockets are listed again while one of them ends. */
int sockdiag_read(const struct snapshot_scope *scope, struct snapshot *snap);

/* Hands every owner to take as it is read, and keeps none; again(ctx) says that a dump was
 * interrupted and what was given is void. *bound_seen: this kernel lists sockets that only bound.
 * 0, -errno as above, or what take returned. */
int sockdiag_stream(sockdiag_take *take, void (*again)(void *ctx), void *ctx, bool *bound_seen);

#endif
