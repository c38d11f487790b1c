/* SPDX-License-Identifier: MIT */
#include "lease/layout.h"

#include <string.h>

#include "base/assert.h"

uint64_t layout_mix(uint64_t a, uint64_t b)
{
	uint64_t z = a * UINT64_C(0x9e3779b97f4a7c15) ^ (b + UINT64_C(0xd1b54a32d192ed03));

	z = (z ^ z >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return z ^ z >> 32;
}

/* ----------------------------------------------------------------------------------- the header */

static uint64_t header_sum(const struct layout_header *h)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < offsetof(struct layout_header, sum); i += sizeof(uint64_t)) {
		uint64_t part;

		memcpy(&part, (const char *)h + i, sizeof(part));
		sum = layout_mix(sum, part);
	}
	return sum;
}

void layout_make(struct layout_header *h, uint16_t low, uint16_t high)
{
	must(low && low <= high && high - low < LAYOUT_SLOTS_MAX);
	memset(h, 0, sizeof(*h));
	memcpy(h->magic, LAYOUT_MAGIC, sizeof(h->magic));
	h->version = LAYOUT_VERSION;
	h->low = low;
	h->slots = (uint32_t)(high - low) + 1;
	h->holders = LAYOUT_HOLDERS;
	/* A slot leaves a stale place behind when it is taken otherwise than from the ring. */
	for (h->ring = 64; h->ring < 2 * h->slots; h->ring *= 2)
		continue;
	h->bytes = LAYOUT_SLOTS_AT + h->slots * sizeof(struct layout_slot) +
		   h->ring * sizeof(uint64_t);
}

void layout_seal(struct layout_header *h)
{
	h->sum = header_sum(h);
}

enum layout_fault layout_judge(const struct layout_header *h, size_t n, uint64_t file_bytes)
{
	struct layout_header expected;

	if (n < sizeof(h->magic) + sizeof(h->version))
		return LAYOUT_TRUNCATED;
	if (memcmp(h->magic, LAYOUT_MAGIC, sizeof(h->magic)) || !h->version)
		return LAYOUT_DAMAGED;
	/* The rest of a newer header may mean anything. */
	if (h->version > LAYOUT_VERSION)
		return LAYOUT_NEWER;
	if (n < sizeof(*h))
		return LAYOUT_TRUNCATED;
	if (h->sum != header_sum(h) || !h->low || !h->slots || h->slots > LAYOUT_SLOTS_MAX ||
	    h->low + h->slots - 1 > UINT16_MAX || h->low > UINT16_MAX)
		return LAYOUT_DAMAGED;
	layout_make(&expected, (uint16_t)h->low, (uint16_t)(h->low + h->slots - 1));
	if (h->ring != expected.ring || h->holders != expected.holders ||
	    h->bytes != expected.bytes)
		return LAYOUT_DAMAGED;
	return file_bytes < h->bytes   ? LAYOUT_TRUNCATED
	       : file_bytes > h->bytes ? LAYOUT_DAMAGED
				       : LAYOUT_GOOD;
}

void layout_place(const struct layout_header *h, void *base, struct layout *out)
{
	char *at = base;

	*out = (struct layout){
		.low = (uint16_t)h->low,
		.slots_n = h->slots,
		.ring_n = h->ring,
		.bytes = (size_t)h->bytes,
		.shared = (void *)(at + LAYOUT_SHARED_AT),
		.holders = (void *)(at + LAYOUT_HOLDERS_AT),
		.slots = (void *)(at + LAYOUT_SLOTS_AT),
		.ring = (void *)(at + LAYOUT_SLOTS_AT + h->slots * sizeof(struct layout_slot)),
	};
}

/* ------------------------------------------------------------------------------------ the words */

/* Odd, so that a word of zeros, which a truncated file reads as, is damaged. */
static uint64_t check_of(uint64_t kind, uint32_t index, uint64_t word)
{
	return layout_mix(word >> 8, kind << 32 | index) >> 56 | 1;
}

enum { KIND_SLOT = 1, KIND_HOLDER = 2 };

uint64_t slot_pack(uint32_t port, const struct slot_word *w)
{
	uint64_t word = (uint64_t)w->state << 8 | (uint64_t)(w->holder & HOLDER_NONE) << 12 |
			(uint64_t)(w->holder_gen & 0xfff) << 25 | (uint64_t)w->gen << 37;

	if (w->timed)
		word |= SLOT_TIMED;
	if (w->held)
		word |= SLOT_HELD;
	return word | check_of(KIND_SLOT, port, word);
}

bool slot_is_withheld(const struct slot_word *w)
{
	return w->state == SLOT_LEASED && w->holder == HOLDER_NONE && w->holder_gen == WITHHELD_GEN;
}

bool slot_unpack(uint32_t port, uint64_t word, struct slot_word *w)
{
	*w = (struct slot_word){
		.state = (enum slot_state)(word >> 8 & 3),
		.timed = word & SLOT_TIMED,
		.held = word & SLOT_HELD,
		.holder = (uint32_t)(word >> 12) & HOLDER_NONE,
		.holder_gen = (uint32_t)(word >> 25) & 0xfff,
		.gen = (uint32_t)(word >> 37),
	};
	if ((word & 0xff) != check_of(KIND_SLOT, port, word))
		return false;
	if (w->state == SLOT_FREE)
		return !w->timed && !w->held && !w->holder && !w->holder_gen;
	if (w->state != SLOT_LEASED)
		return false;
	/* Without a process there must be a time. */
	return w->holder < LAYOUT_HOLDERS || (w->holder == HOLDER_NONE && w->timed);
}

uint64_t holder_pack(uint32_t index, const struct holder_word *w)
{
	uint64_t word =
		(uint64_t)w->state << 8 | (uint64_t)(w->gen & 0xfff) << 12 | (uint64_t)w->pid << 24;

	return word | check_of(KIND_HOLDER, index, word);
}

bool holder_unpack(uint32_t index, uint64_t word, struct holder_word *w)
{
	*w = (struct holder_word){
		.state = (enum holder_state)(word >> 8 & 3),
		.gen = (uint32_t)(word >> 12) & 0xfff,
		.pid = (uint32_t)(word >> 24),
	};
	return !word || ((word & 0xff) == check_of(KIND_HOLDER, index, word) &&
			 w->state <= HOLDER_READY && !(word >> 56));
}
