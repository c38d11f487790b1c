/* SPDX-License-Identifier: MIT */
#include "lease/order.h"

/* An entry: the position's low 48 bits, then the slot. */
#define POSITION_MASK UINT64_C(0xffffffffffff)

enum { TRIES_MAX = 4096 }; /* each failed try means that another process got on */

static _Atomic uint64_t *place_of(const struct layout *l, uint64_t position)
{
	return &l->ring[position & (l->ring_n - 1)];
}

void order_append(const struct layout *l, const uint32_t *slots, unsigned n)
{
	uint64_t position = atomic_fetch_add(&l->shared->tail, n);

	for (unsigned i = 0; i < n; i++, position++) {
		/* First the ticket: an entry that can be seen counts. */
		atomic_store_explicit(&l->slots[slots[i]].ticket, position, memory_order_release);
		atomic_store_explicit(place_of(l, position), position << 16 | slots[i],
				      memory_order_release);
	}
}

/* Moves head over up to n entries, which are then ours to look at. */
static unsigned claim(const struct layout *l, uint64_t *from, unsigned n)
{
	uint64_t head = atomic_load(&l->shared->head);

	for (int i = 0; i < TRIES_MAX; i++) {
		uint64_t tail = atomic_load(&l->shared->tail), first = head;

		/* Far ahead of the tail is nonsense; mended, or no entry would ever count again. */
		if (head - tail < UINT64_MAX / 2 && head != tail) {
			if (atomic_compare_exchange_weak(&l->shared->head, &head, tail))
				return 0;
			continue;
		}
		if (head == tail)
			return 0;
		/* The oldest were overwritten. */
		if (tail - head > l->ring_n)
			first = tail - l->ring_n;
		if (n > tail - first)
			n = (unsigned)(tail - first);
		if (atomic_compare_exchange_weak(&l->shared->head, &head, first + n)) {
			*from = first;
			return n;
		}
	}
	return 0;
}

/* The slot whose entry stands there and counts, or UINT32_MAX. */
static uint32_t entry_at(const struct layout *l, uint64_t position)
{
	uint64_t entry = atomic_load_explicit(place_of(l, position), memory_order_acquire);
	uint32_t slot = (uint32_t)(entry & 0xffff);

	if (entry >> 16 != (position & POSITION_MASK) || slot >= l->slots_n)
		return UINT32_MAX;
	if (atomic_load_explicit(&l->slots[slot].ticket, memory_order_acquire) != position)
		return UINT32_MAX;
	return slot;
}

unsigned order_take(const struct layout *l, uint32_t *slots, unsigned n)
{
	unsigned taken = 0;

	/* Bounded: others may append as fast as we take. */
	for (uint32_t looked = 0; taken < n && looked < l->ring_n;) {
		uint64_t position;
		unsigned claimed = claim(l, &position, n - taken);

		if (!claimed)
			break;
		looked += claimed;
		for (unsigned i = 0; i < claimed; i++) {
			uint32_t slot = entry_at(l, position + i);

			if (slot != UINT32_MAX)
				slots[taken++] = slot;
		}
	}
	return taken;
}

bool order_is_astray(const struct layout *l, uint32_t slot)
{
	uint64_t position = atomic_load_explicit(&l->slots[slot].ticket, memory_order_acquire);
	uint64_t head = atomic_load(&l->shared->head), tail = atomic_load(&l->shared->tail);

	return position - head >= tail - head || entry_at(l, position) != slot;
}
