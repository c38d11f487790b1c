/* SPDX-License-Identifier: MIT
 *
 * load.h - what was seen of a kernel, put into an engine
 *
 * It copies, it never decides. A cure is proven by loading the same snapshot with a change: the
 * engine that comes out is the world in which the cure was applied, and is asked the same question
 * again.
 */
#ifndef TCPWHY_LOAD_LOAD_H
#define TCPWHY_LOAD_LOAD_H

#include "facts/probe.h"
#include "facts/snapshot.h"

/* The world after a cure, or the world in which the cure had been there from the start. All zero
 * changes nothing. */
struct load_change {
	bool destroy_time_wait; /* no TIME_WAIT is left */
	bool destroy_fin_wait2; /* no orphan's FIN_WAIT2 mini-socket is left */
	bool end_fin_wait2;     /* no orphan is left in FIN_WAIT2, mini-socket or not */
	uint64_t wait_until_ns; /* then: whatever has a timer that ends by this time is gone */
	/* Every process closed its sockets: listeners, bound sockets and attempts are gone, and a
	 * connection leaves the TIME_WAIT of the side that closes first. */
	bool end_living;
	bool reuse, reuseport; /* every owner has had the option from the start */
	bool timestamps;       /* every connection in TIME_WAIT had TCP timestamps */
	/* Where all owners of a port are connections, connect() chose the port, not bind(). */
	bool unbind;
	bool unreserve;   /* no port is reserved */
	uint16_t reserve; /* connect() has never chosen this port, and will not */
	const struct tcpwhy_sysctls *sysctls; /* instead of the ones seen; NULL: as seen */
};

/* The row whose rules are nearest to a kernel's ("6.18.44-generic"): the newest that is not newer, or
 * the one of its patch level; else the oldest there is, and for a name that is no release the newest.
 * Never NULL. */
const struct tcpwhy_row *load_row_for(const char *kernel);
/* Whether the row is the kernel's own (6.18.y of 6.18.44), not just the nearest; settled or not. */
bool load_row_is_of(const struct tcpwhy_row *row, const char *kernel);

/* Whether that row was made from a kernel of this release and patch level, so that there is nothing
 * to settle. Not of a patch level before the backports that the row has, and not of a name that
 * tells no level (6.1.0-18-amd64). */
bool load_row_is_exact(const char *kernel);

/* A row of one kernel's own: the nearest, with what probes found put in. row.name is that row's,
 * and "+2" if two features were found otherwise. What may have been carried back, or was not read,
 * and was not asked by a probe either, is unverified. */
struct load_settled {
	struct tcpwhy_row row;      /* its name lies in .name: do not copy the struct */
	char name[16];
	unsigned asked, otherwise;  /* features: answered by a probe; of them, not as the nearest row */
};

void load_settle(const char *kernel, const struct probe *found, struct load_settled *out);

/* Closed by its process and not yet over: the kernel alone still works with it, and no process can
 * end it. A mini-socket is none; nor is a connection that accept() has not taken, which has no
 * inode either. The uid seen of an orphan is 0, whosever it was (sock_i_uid() until 6.17). */
bool load_is_orphan(const struct snapshot_owner *s);

/* The sysctls to be used: as seen, and the row's defaults for those that could not be read. */
struct tcpwhy_sysctls load_sysctls(const struct snapshot *snap, const struct tcpwhy_row *row);

/* A new engine at snap->taken_ns (or later, if the change waits) with everything of snap in it;
 * each owner's tag is its index in snap->owners. change may be NULL. The row is borrowed for the
 * engine's life. An owner in a state the engine does not know makes it blind, not wrong. 0, or
 * -ENOMEM with *out untouched. */
int load_engine(const struct snapshot *snap, const struct tcpwhy_row *row,
		const struct load_change *change, const struct tcpwhy_memory *memory,
		struct tcpwhy_engine **out);

/* A copy of a snapshot in which owners that no rule of bind() can tell apart stand once, with the
 * longest of their timers: a question to it has the same answer, and a hundred thousand TIME_WAIT
 * cost as much as one. */
struct load_distinct {
	struct snapshot snap; /* only its owners are new memory; the rest is borrowed */
	uint32_t *kind;       /* of each owner of the original: its index in snap.owners */
	size_t kind_n;
};

/* 0 or -ENOMEM with *out untouched. */
int load_distinct(const struct snapshot *snap, const struct tcpwhy_memory *memory,
		  struct load_distinct *out);
void load_distinct_free(struct load_distinct *d, const struct tcpwhy_memory *memory);

#endif
