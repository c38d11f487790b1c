/* SPDX-License-Identifier: MIT
 *
 * pool.h - an open pool, as the files of this folder share it
 */
#ifndef TCPWHY_LEASE_POOL_H
#define TCPWHY_LEASE_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lease/layout.h"
#include "lease/process.h"
#include "tcpwhy/lease.h"

/* What belongs to one process: on a page of its own that a child of fork() finds empty. */
struct pool_own {
	_Atomic uint64_t me;     /* holder_ref, 0 before the first call */
	_Atomic uint64_t opener; /* pid of the process whose opening of the file it is */
};

struct tcpwhy_pool {
	struct layout at;
	int fd;
	bool read_only;
	bool ipv6;               /* a socket of every address is an IPv6 one */
	_Atomic uint64_t ns_key; /* of the process that noted itself last */
	struct pool_own *own;
	bool wipes;             /* own is empty in a child of fork(); if not, pids are compared */
	_Atomic uint64_t draws; /* state of the random choice */
	char path[256];
};

/* A holder that was noted: pid << 32 | generation << 16 | index. 0 none. */
static inline uint64_t holder_ref(uint32_t index, uint32_t gen, uint32_t pid)
{
	return (uint64_t)pid << 32 | (uint64_t)gen << 16 | index;
}
static inline uint32_t holder_ref_index(uint64_t ref)
{
	return ref & 0xffff;
}
static inline uint32_t holder_ref_gen(uint64_t ref)
{
	return ref >> 16 & 0xfff;
}
static inline uint32_t holder_ref_pid(uint64_t ref)
{
	return (uint32_t)(ref >> 32);
}

/* Attaches to a file that is open, whatever bytes it holds. -EPROTO, -EUCLEAN (fault says how), or
 * what mmap() said. fd is the pool's on success. */
int pool_attach(int fd, bool read_only, struct tcpwhy_pool **out, enum layout_fault *fault);

/* 0, or -ESTALE if another file took the place of this one or it was truncated. */
int pool_is_current(const struct tcpwhy_pool *pool);

/* A lease that nobody was told of was given back in a file that is retired: now in the new file,
 * too, which may have its word from before that. */
void pool_give_back_anew(const struct tcpwhy_pool *pool, const struct tcpwhy_lease *lease);

uint64_t pool_now_ns(void); /* CLOCK_BOOTTIME, as all times in the file */

#endif
