/* SPDX-License-Identifier: MIT */
#include "lease/slot.h"

#include "lease/holder.h"

bool slot_take(const struct layout *l, uint32_t slot, uint64_t ref, uint64_t now_ns,
	       uint64_t *token)
{
	struct layout_slot *s = &l->slots[slot];
	uint64_t word = atomic_load(&s->word);
	struct slot_word w;

	if (!slot_unpack(l->low + slot, word, &w) || w.state != SLOT_FREE)
		return false;
	w.state = SLOT_LEASED;
	w.holder = holder_ref_index(ref);
	w.holder_gen = holder_ref_gen(ref);
	w.gen++;
	*token = slot_pack(l->low + slot, &w);
	if (!atomic_compare_exchange_strong(&s->word, &word, *token))
		return false;
	atomic_store_explicit(&s->stamp_ns, now_ns, memory_order_relaxed);
	return true;
}

/* A lease from before the pool was rebuilt names an entry that is ours, too. */
bool slot_is_of(const struct layout *l, uint32_t slot, uint64_t token, uint64_t ref)
{
	struct holder_view me, named;
	struct slot_word w;

	if (!slot_unpack(l->low + slot, token, &w) || w.state != SLOT_LEASED ||
	    atomic_load(&l->slots[slot].word) != token)
		return false;
	if (w.holder == holder_ref_index(ref) && w.holder_gen == holder_ref_gen(ref))
		return true;
	return w.holder < LAYOUT_HOLDERS && holder_view(l, w.holder, &named) &&
	       named.gen == w.holder_gen && holder_view(l, holder_ref_index(ref), &me) &&
	       named.process.pid == me.process.pid && named.process.start == me.process.start &&
	       named.process.ns_key == me.process.ns_key && me.process.ns_key != 0;
}

/* The stamp while the slot is still ours. */
bool slot_give_back(const struct layout *l, uint32_t slot, uint64_t token, uint64_t now_ns)
{
	struct slot_word w;

	slot_unpack(l->low + slot, token, &w);
	w = (struct slot_word){.state = SLOT_FREE, .gen = w.gen + 1};
	atomic_store_explicit(&l->slots[slot].stamp_ns, now_ns, memory_order_relaxed);
	return atomic_compare_exchange_strong(&l->slots[slot].word, &token,
					      slot_pack(l->low + slot, &w));
}

bool slot_rename(const struct layout *l, uint32_t slot, uint64_t *token, const struct slot_word *to)
{
	struct slot_word w = *to;
	struct slot_word old;
	uint64_t from = *token, word;

	slot_unpack(l->low + slot, from, &old);
	w.state = SLOT_LEASED;
	w.gen = old.gen + 1;
	word = slot_pack(l->low + slot, &w);
	if (!atomic_compare_exchange_strong(&l->slots[slot].word, &from, word))
		return false;
	*token = word;
	return true;
}
