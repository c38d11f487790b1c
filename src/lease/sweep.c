/* SPDX-License-Identifier: MIT */
#include "lease/sweep.h"

#include "lease/holder.h"
#include "lease/order.h"

/* What one step looks at: some hundred microseconds, every hundred milliseconds. */
enum { STEP_HOLDERS = 8, STEP_SLOTS = 2048 };
#define STEP_EVERY_NS (100 * UINT64_C(1000000))

bool sweep_is_over(const struct layout *l, uint32_t slot, const struct slot_word *w,
		   uint64_t now_ns)
{
	if (w->timed && now_ns >= atomic_load(&l->slots[slot].expires_ns))
		return true;
	return w->holder != HOLDER_NONE && !holder_is_noted(l, w->holder, w->holder_gen);
}

static bool end_lease(const struct layout *l, uint32_t slot, uint64_t word)
{
	struct slot_word w;

	slot_unpack(l->low + slot, word, &w);
	w = (struct slot_word){.state = SLOT_FREE, .gen = w.gen + 1};
	if (!atomic_compare_exchange_strong(&l->slots[slot].word, &word,
					    slot_pack(l->low + slot, &w)))
		return false;
	order_append(l, &slot, 1);
	atomic_fetch_add(&l->shared->recovered, 1);
	return true;
}

/* A damaged word is nobody's, so anybody may write the time. */
static void withhold(const struct layout *l, uint32_t slot, uint64_t word, uint64_t now_ns)
{
	struct slot_word w;

	slot_unpack(l->low + slot, word, &w);
	w = (struct slot_word){.state = SLOT_LEASED,
			       .timed = true,
			       .holder = HOLDER_NONE,
			       .holder_gen = WITHHELD_GEN,
			       .gen = w.gen + 1};
	atomic_store(&l->slots[slot].stamp_ns, now_ns);
	atomic_store(&l->slots[slot].expires_ns, now_ns + SWEEP_WITHHELD_NS);
	atomic_compare_exchange_strong(&l->slots[slot].word, &word, slot_pack(l->low + slot, &w));
}

static bool names_damaged_holder(const struct layout *l, const struct slot_word *w)
{
	struct holder_view v;

	/* The view fails too while the entry changes hands; then it is no longer noted. */
	return w->holder < LAYOUT_HOLDERS && !holder_view(l, w->holder, &v) &&
	       holder_is_noted(l, w->holder, w->holder_gen);
}

/* 1 if the port came back. */
static unsigned sweep_slot(const struct layout *l, uint32_t slot, uint64_t now_ns)
{
	uint64_t word = atomic_load(&l->slots[slot].word);
	struct slot_word w;

	if (!slot_unpack(l->low + slot, word, &w)) {
		withhold(l, slot, word, now_ns);
	} else if (w.state == SLOT_FREE) {
		if (order_is_astray(l, slot))
			order_append(l, &slot, 1);
	} else if (sweep_is_over(l, slot, &w, now_ns)) {
		return end_lease(l, slot, word);
	} else if (names_damaged_holder(l, &w)) {
		withhold(l, slot, word, now_ns);
	}
	return 0;
}

unsigned sweep_slots(struct tcpwhy_pool *pool, uint32_t from, uint32_t n, uint64_t now_ns)
{
	const struct layout *l = &pool->at;
	unsigned back = 0;

	for (uint32_t i = 0; i < n && i < l->slots_n; i++)
		back += sweep_slot(l, (from + i) % l->slots_n, now_ns);
	return back;
}

void sweep_step(struct tcpwhy_pool *pool, uint64_t now_ns)
{
	struct layout_shared *s = pool->at.shared;
	uint64_t due = atomic_load_explicit(&s->next_sweep_ns, memory_order_relaxed);
	uint32_t used, from;

	/* A time far ahead is nonsense. */
	if (now_ns < due && due - now_ns <= 10 * STEP_EVERY_NS)
		return;
	if (!atomic_compare_exchange_strong(&s->next_sweep_ns, &due, now_ns + STEP_EVERY_NS))
		return;
	used = atomic_load(&s->holders_used);
	if (used > LAYOUT_HOLDERS)
		used = LAYOUT_HOLDERS;
	from = atomic_fetch_add(&s->holder_cursor, STEP_HOLDERS);
	for (uint32_t i = 0; i < STEP_HOLDERS && i < used; i++)
		holder_retire_dead(pool, (from + i) % used);
	from = atomic_fetch_add(&s->slot_cursor, STEP_SLOTS);
	sweep_slots(pool, from % pool->at.slots_n, STEP_SLOTS, now_ns);
}

unsigned sweep_all(struct tcpwhy_pool *pool, uint64_t now_ns)
{
	/* Of all: the number that are used is a hint that may be damaged. */
	for (uint32_t i = 0; i < LAYOUT_HOLDERS; i++)
		holder_retire_dead(pool, i);
	return sweep_slots(pool, 0, pool->at.slots_n, now_ns);
}
