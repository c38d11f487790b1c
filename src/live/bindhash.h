/* SPDX-License-Identifier: MIT
 *
 * bindhash.h - the kernel's bind hash, read by a BPF program
 *
 * The one source that shows everything a bind verdict depends on. Runs bindhash.bpf.c in the
 * calling thread's network namespace and puts buckets and owners into the snapshot. Needs CAP_BPF
 * and CAP_PERFMON, and bpf_loop() (5.17).
 */
#ifndef TCPWHY_LIVE_BINDHASH_H
#define TCPWHY_LIVE_BINDHASH_H

#include "facts/snapshot.h"
#include "live/bindhash_record.h"
#include "live/overview.h"

/* Where a bucket's records start, so that a chain that is read again can replace what it gave
 * before. */
struct bindhash_mark {
	uint64_t record;
	size_t owners;
};

/* Who takes the owners instead of a snapshot, one by one: nothing is kept of them. */
struct bindhash_sink {
	void (*owner)(void *ctx, const struct snapshot_owner *owner, struct overview_port port);
	void *ctx;
	uint64_t twice; /* owners that were given and then read again, at most */
	bool torn;      /* not all could be read */
};

/* Turns records into buckets and owners of snap, or gives them to sink. Zero but for snap, sink and
 * tick_ns; free marks at the end. */
struct bindhash_reader {
	struct snapshot *snap;
	struct bindhash_sink *sink; /* NULL: none */
	uint64_t tick_ns;           /* length of a jiffy */
	uint64_t now_ns;            /* of the records taken next */
	uint64_t taken;             /* records so far */
	struct bindhash_mark *marks;
	size_t marks_n, marks_room;
	bool in_bucket;
	bool without_buckets; /* the stream has owners only (iter/tcp) */
	uint32_t l3mdev;      /* of the bucket we are in */
	int8_t fastreuse, fastreuseport;
	uint16_t port;
};

/* Takes n records, whatever bytes they hold: one that makes no sense is passed over. 0 or -ENOMEM.
 */
int bindhash_take(struct bindhash_reader *reader, const struct bindhash_record *records, size_t n);
/* Forgets all records from number base on. */
void bindhash_rewind(struct bindhash_reader *reader, uint64_t base);

/* Reads the namespace of the calling thread, which must be the one of inode number netns. cached:
 * keep the types the program needs under BTFCACHE_FOLDER. 0, or -errno with snap's arrays as
 * before: -EPERM without privilege, others if this kernel cannot. */
int bindhash_read(bool cached, const struct snapshot_scope *scope, uint64_t netns,
		  struct snapshot *snap);

/* The same of all ports, into a sink. */
int bindhash_stream(bool cached, uint64_t netns, struct bindhash_sink *sink);

/* Length of a jiffy in ns: what CLOCK_MONOTONIC_COARSE's resolution is by definition. */
uint64_t bindhash_tick_ns(void);

#endif
