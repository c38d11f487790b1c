/* SPDX-License-Identifier: MIT
 *
 * tcp_tw_recycle (before 4.12): one timestamp for each destination address
 *
 * tcp_remember_stamp(), tcp_peer_is_proven(), tcp_fetch_timewait_stamp(). It took for granted that
 * an address has one clock, which is not so behind NAT.
 */
#include <string.h>

#include "base/address.h"
#include "segment/state.h"

static bool is_on(const struct host *h)
{
	return has(h, TCPWHY_P_TW_RECYCLE) && h->sysctls.tw_recycle;
}

static uint32_t *chain_of(const struct host *h, const struct tcpwhy_addr *peer)
{
	uint64_t word[2];

	memcpy(word, peer->b, 16);
	return &h->by_remembered.head[hash_mix(word[0], word[1]) & (h->by_remembered.size - 1)];
}

static struct remembered *find(const struct host *h, const struct tcpwhy_addr *peer)
{
	if (!h->by_remembered.entries)
		return NULL;
	for (uint32_t i = *chain_of(h, peer); i != NIL; i = h->remembered[i].next)
		if (address_equal(&h->remembered[i].peer, peer))
			return &h->remembered[i];
	return NULL;
}

static void link_in(struct host *h, uint32_t i)
{
	uint32_t *head = chain_of(h, &h->remembered[i].peer);

	h->remembered[i].next = *head;
	*head = i;
}

static struct remembered *need(struct host *h, const struct tcpwhy_addr *peer)
{
	struct remembered *r = find(h, peer);

	if (r)
		return r;
	if (!memory_grow(&h->memory, &h->remembered, &h->remembered_size, h->remembered_used + 1,
			 sizeof(*h->remembered)))
		return NULL;
	if (chains_want_more(&h->by_remembered)) {
		if (!chains_resize(&h->memory, &h->by_remembered))
			return NULL;
		for (uint32_t i = 0; i < h->remembered_used; i++)
			link_in(h, i);
	}
	uint32_t i = h->remembered_used++;
	h->remembered[i] = (struct remembered){.peer = *peer};
	link_in(h, i);
	h->by_remembered.entries++;
	return &h->remembered[i];
}

bool recycle_note(struct host *h, const struct tcb *t)
{
	if (!is_on(h) || !t->ts_recent_ns)
		return false;
	struct remembered *r = need(h, &t->peer);
	if (!r)
		return false;
	if (!r->stamp_ns || (int32_t)(r->ts - t->ts_recent) <= 0 ||
	    now(h) - r->stamp_ns > PAWS_MSL_NS) {
		r->ts = t->ts_recent;
		r->stamp_ns = t->ts_recent_ns;
	}
	return true;
}

static bool is_timed_syn(const struct host *h, const struct segment *syn)
{
	return syn->has_timestamp && is_timed(h);
}

bool recycle_asks(const struct host *h, const struct segment *syn)
{
	return is_on(h) && (is_timed_syn(h, syn) || has(h, TCPWHY_P_RECYCLE_WANTS_TS));
}

/* TCP_PAWS_WINDOW is 1. */
bool recycle_refuses(const struct host *h, const struct segment *syn)
{
	const struct remembered *r = recycle_asks(h, syn) ? find(h, &syn->from) : NULL;

	if (!r || now(h) - r->stamp_ns >= PAWS_MSL_NS)
		return false;
	return !is_timed_syn(h, syn) || (int32_t)(r->ts - syn->tsval) > 1;
}

bool recycle_inherit(const struct host *h, struct tcb *t)
{
	const struct remembered *r = is_on(h) ? find(h, &t->peer) : NULL;

	if (!r || t->ts_recent_ns || now(h) - r->stamp_ns > PAWS_MSL_NS)
		return false;
	t->ts_recent = r->ts;
	t->ts_recent_ns = r->stamp_ns;
	return true;
}
