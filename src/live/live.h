/* SPDX-License-Identifier: MIT
 *
 * live.h - the running kernel, looked at
 *
 * Opens a network namespace and reads from it what one question needs: the bind hash (BPF, with
 * fallbacks), sock_diag, sysctls, local addresses, devices, and the processes that own a socket. It
 * never decides and changes nothing, but for live_try_bind(), which really binds and closes.
 *
 * What may not be seen (privilege, kernel) is not an error: the snapshot says what is missing. An
 * error is: the namespace does not exist or vanished, or nothing at all could be read.
 */
#ifndef TCPWHY_LIVE_LIVE_H
#define TCPWHY_LIVE_LIVE_H

#include "base/error.h"
#include "facts/overview.h"
#include "facts/result.h"
#include "facts/snapshot.h"
#include "live/route.h"

/* Which namespace. Both unset: our own. netns is a name under /run/netns, or a path if it has a
 * '/'. */
struct live_target {
	const char *netns;
	int pid;
};

/* How to look; zero is the default (the best way that works). For tests and bug reports. */
enum live_avoid {
	LIVE_AVOID_BIND_HASH = 1u << 0,
	LIVE_AVOID_ITER_TCP = 1u << 1,
	LIVE_AVOID_PIDFD = 1u << 2,
	LIVE_AVOID_SOCK_DIAG = 1u << 3,
	LIVE_AVOID_BTF_CACHE = 1u << 4,
};

struct live;

/* Opens the namespace. 0, or -errno with err->text: -ENOENT no such name, path or process, -EPERM,
 * -EINVAL not a network namespace. The namespace is held open until live_close(). */
int live_open(const struct live_target *target, unsigned avoid, struct live **out, struct err *err);
void live_close(struct live *live);

/* The row of rules that fits the running kernel best: the one it was made from if there is one
 * (load_row_is_exact()), else the nearest with what probes found (probe.h), which takes some
 * milliseconds the first time. Valid until live_close(). */
const struct tcpwhy_row *live_row(struct live *live);

/* Reads what scope asks for. 0, or -errno with err->text when nothing at all could be read. snap is
 * overwritten; free it with snapshot_free(). A dump that churn interrupted is read again, a bounded
 * number of times. */
int live_snapshot(struct live *live, const struct snapshot_scope *scope, struct snapshot *snap,
		  struct err *err);
void snapshot_free(struct snapshot *snap);

/* Counts the sockets of the namespace, in constant memory. 0, or -errno with err->text when nothing
 * at all could be read. out is overwritten; its name stays "". */
int live_overview(struct live *live, struct overview *out, struct err *err);

/* Whether the namespace has hashed TCP sockets (/proc/net/sockstat, sockstat6), which costs next to
 * nothing beside a listing. Yes if it cannot be told. */
bool live_has_sockets(struct live *live);

/* Fills owners of each holder that has an inode, by one walk of /proc, and their units. */
void live_owners(struct live *live, struct result_holder *holders, size_t n);

/* CAP_NET_BIND_SERVICE over the namespace, for the calling process; TCPWHY_UNKNOWN if it cannot be
 * told. */
enum tcpwhy_tri live_may_bind_low(struct live *live);
/* The same of CAP_NET_ADMIN, without which sock_diag destroys nothing. */
enum tcpwhy_tri live_may_destroy(struct live *live);

/* The ifindex of a device of the namespace, 0 if there is none. */
unsigned live_device_index(struct live *live, const char *name);

/* Really binds (and listens, if q->listen) in the namespace, then closes. *error is the errno that
 * came, 0 for success, *at the call it came from. -errno with err->text if the attempt itself could
 * not be made. */
int live_try_bind(struct live *live, const struct tcpwhy_bind_request *q, int *error,
		  enum tcpwhy_call *at, struct err *err);

/* Where a connection to r->peer would go and come from, in that namespace: fills source, peer and
 * error. 0, or -errno with err->text if it could not be asked. */
int live_route(struct live *live, struct route *r, struct err *err);

/* A descriptor of the namespace, valid until live_close(). */
int live_netns_fd(const struct live *live);
/* The same with what is known of it; borrowed. */
struct netns;
const struct netns *live_netns(const struct live *live);

/* From now on whatever is read is given to suppose, which may alter it: once its sysctls are in it
 * and nothing else (snapshots and overviews), and once more when its sockets are (snapshots). So
 * the world as it would be with a change is counted and asked like the one that is. NULL: as it is.
 */
typedef void live_supposition(struct snapshot *snap, const void *ctx);
void live_suppose(struct live *live, live_supposition *suppose, const void *ctx);

#endif
