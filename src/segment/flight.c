/* SPDX-License-Identifier: MIT
 *
 * What is under way: where each segment ends that was sent and not acknowledged
 *
 * The kernel's retransmission queue. The timer starts anew when the oldest segment is acknowledged
 * as a whole, and what is sent again is that one, alone or with those behind it that fit.
 */
#include "segment/state.h"

/* Beyond FLIGHT the last two are one. */
void flight_add(struct tcb *t, uint32_t end)
{
	if (t->flight_used == FLIGHT)
		t->flight_used--;
	t->flight[t->flight_used++] = end;
}

static void drop_first(struct tcb *t, unsigned n)
{
	t->flight_used = (uint8_t)(t->flight_used - n);
	for (unsigned i = 0; i < t->flight_used; i++)
		t->flight[i] = t->flight[i + n];
}

/* tcp_fragment(): the oldest ends there, and the rest of it is a segment of its own. */
static void cut_first(struct tcb *t, uint32_t end)
{
	if (t->flight_used == FLIGHT)
		t->flight_used--; /* the last of them ends further on: it is made of the last two */
	for (unsigned i = t->flight_used; i; i--)
		t->flight[i] = t->flight[i - 1];
	t->flight[0] = end;
	t->flight_used++;
	t->flight[t->flight_used - 1] = t->snd_nxt;
}

bool flight_acknowledged(const struct host *h, struct tcb *t)
{
	const uint32_t most = send_mss(h, t);
	unsigned gone = 0;

	while (gone < t->flight_used && !seq_after(t->flight[gone], t->snd_una))
		gone++;
	drop_first(t, gone);
	if (gone && t->flight_used && t->flight[0] - t->snd_una > most + 1)
		cut_first(t, t->snd_una + most);
	return gone;
}

/* How much of it is data, up to there. */
static uint32_t data_until(const struct tcb *t, uint32_t end)
{
	return end - t->snd_una - (t->fin_queued && end == t->write_seq ? 1 : 0);
}

/* What lies beyond a window that shrank is not sent; but one segment is if nothing at all may be,
 * as a probe (__tcp_retransmit_skb()). */
uint32_t flight_again(const struct host *h, struct tcb *t)
{
	const uint32_t edge = t->snd_una + t->snd_wnd;
	uint32_t most = send_mss(h, t);

	if (t->snd_wnd && t->snd_wnd < most)
		most = t->snd_wnd;
	if (data_until(t, t->flight[0]) > most) {
		cut_first(t, t->snd_una + most);
	} else if (data_until(t, t->flight[0]) < most) {
		unsigned last = 0;
		while (last + 1 < t->flight_used && !seq_after(t->flight[last + 1], edge) &&
		       data_until(t, t->flight[last + 1]) <= most)
			last++;
		drop_first(t, last);
	}
	return t->flight[0];
}
