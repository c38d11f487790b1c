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

struct tcpwhy_pool {
	struct layout at;
	int fd;
	bool read_only;
	bool ipv6;               /* a socket of every address is an IPv6 one */
	_Atomic uint64_t ns_key; /* of the process that noted itself last */
	/* holder_ref of this process, 0 before its first call. On a page of its own that a child of
	 * fork() finds empty (wipes), or else it is compared with getpid(). */
	_Atomic uint64_t *me;
	bool wipes;
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

uint64_t pool_now_ns(void); /* CLOCK_BOOTTIME, as all times in the file */

#endif
