/* SPDX-License-Identifier: MIT
 *
 * bytes.h - a fuzzer's input as a program: what its calls take from it, and memory that runs out
 *
 * Past the end all is 0.
 */
#ifndef TCPWHY_FUZZ_BYTES_H
#define TCPWHY_FUZZ_BYTES_H

#include <stdint.h>
#include <stdlib.h>

struct bytes {
	const uint8_t *at, *end;
	unsigned allocations, fail_at; /* every so many fails; 0 none */
};

static inline uint8_t bytes_next(struct bytes *b)
{
	return b->at < b->end ? *b->at++ : 0;
}

/* Of up to eight bytes: mostly small. */
static inline uint64_t bytes_number(struct bytes *b)
{
	uint64_t n = 0;

	for (unsigned i = bytes_next(b) % 9; i; i--)
		n = n << 8 | bytes_next(b);
	return n;
}

/* For struct tcpwhy_memory; ctx is the bytes. */
static inline void *bytes_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	struct bytes *b = ctx;

	(void)old_size;
	if (!new_size) {
		free(old);
		return NULL;
	}
	return b->fail_at && ++b->allocations % b->fail_at == 0 ? NULL : realloc(old, new_size);
}

/* For struct tcpwhy_choice; ctx is the bytes. */
static inline uint32_t bytes_draw(void *ctx, uint32_t n)
{
	return (uint32_t)bytes_number(ctx) % n;
}

#endif
