/* SPDX-License-Identifier: MIT
 *
 * itertcp.h - TCP sockets by BPF iter/tcp: the second best source
 *
 * Shows the flags of all sockets that are in a table of connections or listeners, but neither
 * sockets that only bound nor buckets. Needs CAP_BPF and CAP_PERFMON, and a 5.9 kernel.
 */
#ifndef TCPWHY_LIVE_ITERTCP_H
#define TCPWHY_LIVE_ITERTCP_H

#include "facts/snapshot.h"

/* Appends the owners of the scope's ports, of the calling thread's namespace. 0, or -errno with
 * owners as before. */
int itertcp_read(const struct snapshot_scope *scope, struct snapshot *snap);

/* Copies flags, uid and the rest that netlink does not show from the owners of flags to those of
 * snap with the same cookie; owners that snap has not got are appended. 0 or -ENOMEM. */
int itertcp_merge(struct snapshot *snap, const struct snapshot *flags);

#endif
