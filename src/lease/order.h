/* SPDX-License-Identifier: MIT
 *
 * order.h - which free port is next: the one that was given back longest ago
 *
 * A ring of slot indices, appended to at the tail and taken from at the head, without a lock. It is
 * a hint and no more: who takes an entry still has to win the slot's word. An entry counts if it
 * carries the position it stands at and the slot's ticket says the same, so one that was
 * overwritten, written late or written twice is passed over. A free slot whose entry was lost is
 * astray, and is appended again by the sweep.
 */
#ifndef TCPWHY_LEASE_ORDER_H
#define TCPWHY_LEASE_ORDER_H

#include "lease/layout.h"

/* Appends n slots, in that order. */
void order_append(const struct layout *l, const uint32_t *slots, unsigned n);

/* Takes up to n slots out; the number. 0 if there are no entries, or none that counts among so many
 * as the ring has places. */
unsigned order_take(const struct layout *l, uint32_t *slots, unsigned n);

/* Whether the ring has no entry that counts for the slot. */
bool order_is_astray(const struct layout *l, uint32_t slot);

#endif
