/* SPDX-License-Identifier: MIT
 *
 * slot.h - the steps of a slot's word that its holder makes (the others: sweep.h)
 *
 * A token is the word that the holder wrote last; a step is made only if it still stands there.
 */
#ifndef TCPWHY_LEASE_SLOT_H
#define TCPWHY_LEASE_SLOT_H

#include "lease/pool.h"

/* FREE -> LEASED, in the name of ref. */
bool slot_take(const struct layout *l, uint32_t slot, uint64_t ref, uint64_t now_ns,
	       uint64_t *token);
/* Whether the token is a lease of ref that stands. */
bool slot_is_of(const struct layout *l, uint32_t slot, uint64_t token, uint64_t ref);
/* LEASED -> FREE. Appending it to the order is the caller's. */
bool slot_give_back(const struct layout *l, uint32_t slot, uint64_t token, uint64_t now_ns);
/* LEASED -> LEASED with the holder and the flags of to; *token becomes the new word. */
bool slot_rename(const struct layout *l, uint32_t slot, uint64_t *token,
		 const struct slot_word *to);

#endif
