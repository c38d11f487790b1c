/* SPDX-License-Identifier: MIT
 *
 * collect.h - growing the arrays of a snapshot while it is read
 *
 * A reader (bindhash, sockdiag, ...) appends; capacity is the next power of two, so the snapshot
 * keeps no field for it. Owners beyond COLLECT_OWNERS_MAX are dropped and snapshot.truncated says
 * so.
 */
#ifndef TCPWHY_LIVE_COLLECT_H
#define TCPWHY_LIVE_COLLECT_H

#include "facts/snapshot.h"

#define COLLECT_OWNERS_MAX (4u << 20)

/* Each appends a copy. 0 or -ENOMEM. */
int collect_owner(struct snapshot *snap, const struct snapshot_owner *owner);
int collect_bucket(struct snapshot *snap, const struct tcpwhy_bucket *bucket);
int collect_local(struct snapshot *snap, const struct snapshot_local *local);
int collect_device(struct snapshot *snap, const struct snapshot_device *device);

/* Which owners a scope asks for, where the source has no buckets. Zero but for scope. */
struct collect_filter {
	const struct snapshot_scope *scope;
	/* one_peer: ports for which one owner is shown that bind() gave the port to, or that may.
	 */
	uint32_t owned[2048], unknown[2048];
};
bool collect_wanted(struct collect_filter *f, const struct tcpwhy_owner *o);

/* Adds a sentence for people to missing[]; said once, cut at the buffer, dropped when the list is
 * full. */
void collect_missing(struct snapshot *snap, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The address of a socket of that family (AF_INET or AF_INET6) from its bytes in network order. */
struct tcpwhy_addr collect_address(int family, const void *bytes);

/* CLOCK_MONOTONIC. */
uint64_t collect_now_ns(void);

#endif
