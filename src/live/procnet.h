/* SPDX-License-Identifier: MIT
 *
 * procnet.h - TCP sockets from /proc/net/tcp and tcp6
 *
 * The last resort, where the kernel has no tcp_diag module. Shows what sock_diag shows but devices,
 * cookies and sockets that only bound.
 */
#ifndef TCPWHY_LIVE_PROCNET_H
#define TCPWHY_LIVE_PROCNET_H

#include "live/sockdiag.h"

/* Takes apart the text of one file, whatever it holds: a line that makes no sense is passed over.
 * family is AF_INET or AF_INET6. 0 or what take returned. */
int procnet_parse(const char *text, size_t len, int family, uint64_t now_ns, sockdiag_take *take,
		  void *ctx);

/* Puts the owners of the scope's ports, in the calling thread's namespace, into snap and sets
 * bound_unseen. 0, or -errno with owners as before. */
int procnet_read(const struct snapshot_scope *scope, struct snapshot *snap);

/* Hands every owner to take as it is read, and keeps none. 0, -errno, or what take returned. */
int procnet_stream(sockdiag_take *take, void *ctx);

/* Whether the calling thread's namespace counts any hashed TCP socket or TIME_WAIT (sockstat,
 * sockstat6). True if it cannot be told. Sockets that only bound are not counted there. */
bool procnet_has_sockets(void);
/* The same from the texts of the two files. */
bool procnet_counts_sockets(const char *sockstat, const char *sockstat6);

#endif
