/* SPDX-License-Identifier: MIT
 *
 * memory.h - blocks that grow, within the caller's limit, and chains of a hash table
 *
 * The pure folders take memory only from what the caller of the library gave them (struct
 * tcpwhy_memory). Records lie in blocks and name each other by index, so a block may move when it
 * grows. Every block starts zeroed.
 */
#ifndef TCPWHY_BASE_MEMORY_H
#define TCPWHY_BASE_MEMORY_H

#include "tcpwhy/engine.h"

#define NIL UINT32_MAX /* no record */

struct memory {
	struct tcpwhy_memory from;
	size_t bytes; /* held now */
};

/* Grows *block to hold at least want entries of size entry; false: no memory. Contents are kept,
 * new bytes 0. */
bool memory_grow(struct memory *m, void *block, uint32_t *size, uint32_t want, size_t entry);
void memory_drop(struct memory *m, void *block, uint32_t size, size_t entry);
/* A zeroed block of exactly that size, NULL: no memory; memory_drop() with size 1 gives it back. */
void *memory_new(struct memory *m, size_t bytes);

/* Heads of chains by hash; the links are in the records. */
struct chains {
	uint32_t *head;
	uint32_t size, entries; /* size is a power of two, or 0 */
};

/* Doubles the chains when entries pass their number; the caller links again what it has. */
bool chains_want_more(const struct chains *c);
bool chains_resize(struct memory *m, struct chains *c);

static inline uint32_t hash_mix(uint64_t a, uint64_t b)
{
	uint64_t z = a * UINT64_C(0x9e3779b97f4a7c15) ^ (b + UINT64_C(0xd1b54a32d192ed03));

	z = (z ^ z >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return (uint32_t)(z ^ z >> 32);
}

#endif
