/* SPDX-License-Identifier: MIT
 *
 * The blocks of the SACK option: which of what waits is shown to the other side
 *
 * All data that came before its turn is kept, but only four blocks are known to the option: those
 * that grew last, or whose data came again. A fifth makes the oldest be forgotten, be it the
 * right-most one, and with it goes the number that RFC 5961's check of a RST takes for exact.
 */
#include "segment/state.h"

/* Beside timestamps the option has room for three (RFC 2018 3). */
enum { SACKS_BESIDE_TIMESTAMPS = 3 };

/* tcp_sack_new_ofo_skb() */
void sack_note(struct tcb *t, struct stretch new)
{
	unsigned kept = 0;

	if (!t->has_sack)
		return;
	for (unsigned i = 0; i < t->sacks_used; i++) {
		struct stretch old = t->sacks[i];
		if (seq_before(old.to, new.from) || seq_after(old.from, new.to)) {
			t->sacks[kept++] = old;
			continue;
		}
		if (seq_before(old.from, new.from))
			new.from = old.from;
		if (seq_after(old.to, new.to))
			new.to = old.to;
	}
	if (kept == SACKS)
		kept--;
	for (unsigned i = kept; i > 0; i--)
		t->sacks[i] = t->sacks[i - 1];
	t->sacks[0] = new;
	t->sacks_used = (uint8_t)(kept + 1);
}

/* tcp_sack_remove() */
void sack_drop(struct tcb *t)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < t->sacks_used && t->ahead_used; i++)
		if (seq_after(t->sacks[i].from, t->rcv_nxt))
			t->sacks[kept++] = t->sacks[i];
	t->sacks_used = (uint8_t)kept;
}

static struct stretch right_most(const struct tcb *t, unsigned blocks)
{
	struct stretch most = t->sacks[0];

	for (unsigned i = 1; i < t->sacks_used && i < blocks; i++)
		if (seq_after(t->sacks[i].to, most.to))
			most = t->sacks[i];
	return most;
}

uint32_t sack_edge(const struct tcb *t)
{
	return right_most(t, SACKS).to;
}

struct stretch sack_shown(const struct tcb *t)
{
	return right_most(t, t->has_ts ? SACKS_BESIDE_TIMESTAMPS : SACKS);
}
