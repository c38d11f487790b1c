/* SPDX-License-Identifier: MIT
 *
 * What came before its turn: data behind a hole, and the FIN behind it
 *
 * tcp_data_queue_ofo(), tcp_ofo_queue(). The pieces of all connections lie in one block, since most
 * connections never have any. A piece is named by its place plus one, and 0 is none.
 */
#include "segment/state.h"

static struct piece *piece_at(const struct host *h, uint32_t piece)
{
	return &h->pieces[piece - 1];
}

static uint32_t piece_new(struct host *h)
{
	uint32_t piece = h->pieces_free;

	if (piece) {
		h->pieces_free = piece_at(h, piece)->next;
		return piece;
	}
	if (!memory_grow(&h->memory, &h->pieces, &h->pieces_size, h->pieces_used + 1,
			 sizeof(*h->pieces)))
		return 0;
	return ++h->pieces_used;
}

static void piece_drop(struct host *h, uint32_t piece)
{
	piece_at(h, piece)->next = h->pieces_free;
	h->pieces_free = piece;
}

static void drop_first(struct host *h, struct tcb *t)
{
	const uint32_t piece = t->ahead;

	t->ahead = piece_at(h, piece)->next;
	t->ahead_used--;
	piece_drop(h, piece);
}

void ahead_forget(struct host *h, struct tcb *t)
{
	while (t->ahead)
		drop_first(h, t);
	t->fins_used = 0;
}

/* Those that it touches become one with it. False: no room. */
static bool keep(struct host *h, struct tcb *t, struct stretch new)
{
	const uint32_t piece = piece_new(h);
	uint32_t *link = &t->ahead;

	if (!piece)
		return false;
	while (*link && !seq_after(piece_at(h, *link)->is.from, new.to)) {
		const uint32_t old = *link;
		const struct stretch is = piece_at(h, old)->is;
		if (seq_before(is.to, new.from)) {
			link = &piece_at(h, old)->next;
			continue;
		}
		new.from = seq_before(is.from, new.from) ? is.from : new.from;
		new.to = seq_after(is.to, new.to) ? is.to : new.to;
		*link = piece_at(h, old)->next;
		t->ahead_used--;
		piece_drop(h, old);
	}
	if (t->ahead_used == PIECES) {
		piece_drop(h, piece);
		return false;
	}
	*piece_at(h, piece) = (struct piece){.is = new, .next = *link};
	*link = piece;
	t->ahead_used++;
	return true;
}

static bool is_kept(const struct host *h, const struct tcb *t, struct stretch new)
{
	for (uint32_t i = t->ahead; i; i = piece_at(h, i)->next) {
		const struct stretch is = piece_at(h, i)->is;
		if (!seq_before(new.from, is.from) && !seq_after(new.to, is.to))
			return true;
	}
	return false;
}

/* What comes last covers what was there, a FIN too: only a peer that contradicts itself has data
 * where it had its FIN. */
static void forget_fins(struct tcb *t, struct stretch new)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < t->fins_used; i++)
		if (seq_before(t->fins[i], new.from) || !seq_before(t->fins[i], new.to))
			t->fins[kept++] = t->fins[i];
	t->fins_used = (uint8_t)kept;
}

void ahead_add(struct host *h, struct tcb *t, const struct segment *s)
{
	const struct stretch new = {s->seq, segment_end(s)};

	if (!is_kept(h, t, new)) {
		forget_fins(t, new);
		if (s->flags & SEGMENT_FIN && t->fins_used < FINS)
			t->fins[t->fins_used++] = new.to - 1;
		if (!keep(h, t, new))
			return;
	}
	sack_note(t, new);
}

/* The FIN that is next among those that waited; what the data has passed was none. */
static bool next_fin(const struct tcb *t, uint32_t *at)
{
	bool found = false;

	for (unsigned i = 0; i < t->fins_used; i++) {
		if (seq_before(t->fins[i], t->rcv_nxt) || (found && seq_after(t->fins[i], *at)))
			continue;
		*at = t->fins[i];
		found = true;
	}
	return found;
}

bool ahead_join(struct host *h, struct tcb *t)
{
	uint32_t fin = 0;
	const bool has_fin = next_fin(t, &fin);
	bool joined = false;

	while (t->ahead && !seq_after(piece_at(h, t->ahead)->is.from, t->rcv_nxt)) {
		uint32_t to = piece_at(h, t->ahead)->is.to;
		if (has_fin && seq_after(to, fin))
			to = fin; /* nothing after a FIN is data */
		if (seq_after(to, t->rcv_nxt)) {
			t->unread += to - t->rcv_nxt;
			t->rcv_nxt = to;
		}
		drop_first(h, t);
		joined = true;
	}
	if (joined && has_fin && t->rcv_nxt == fin)
		return true;
	sack_drop(t);
	return false;
}
