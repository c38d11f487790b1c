/* SPDX-License-Identifier: MIT
 *
 * sweep.h - brings back what processes that were killed left behind
 *
 * Little by little with the calls of others (one of them, ten times a second, looks at a few
 * holders and slots), and all at once when the pool is short. Every step is a compare-and-swap from
 * what was judged, so any number of processes may sweep at once, and be killed in it.
 */
#ifndef TCPWHY_LEASE_SWEEP_H
#define TCPWHY_LEASE_SWEEP_H

#include "lease/pool.h"

/* A port whose entry is damaged may be in use by a process that nobody can name. */
#define SWEEP_WITHHELD_NS (600 * UINT64_C(1000000000))

/* If it is time: a part. */
void sweep_step(struct tcpwhy_pool *pool, uint64_t now_ns);
/* All holders, all slots. The number of ports that came back. */
unsigned sweep_all(struct tcpwhy_pool *pool, uint64_t now_ns);
/* Slots only, without a system call: what is astray, nobody's, or over. */
unsigned sweep_slots(struct tcpwhy_pool *pool, uint32_t from, uint32_t n, uint64_t now_ns);

/* Whether the lease is over: its time, or its holder is no longer noted. */
bool sweep_is_over(const struct layout *l, uint32_t slot, const struct slot_word *w,
		   uint64_t now_ns);

#endif
