/* SPDX-License-Identifier: MIT
 *
 * Each IPv6 address is kept once; a record holds its number. :: is number 0. Addresses are never
 * forgotten: a namespace sees few of them, and memory.limit bounds the rest.
 */
#include <string.h>

#include "base/address.h"
#include "engine/state.h"

#define LOOPBACK4_IPV6 0x7f000006u /* 127.0.0.6 */

static uint32_t address_hash(const struct tcpwhy_addr *a)
{
	uint64_t high, low;

	memcpy(&high, a->b, 8);
	memcpy(&low, a->b + 8, 8);
	return hash_mix(high, low);
}

static uint32_t seen_lookup(const struct tcpwhy_engine *e, const struct tcpwhy_addr *a)
{
	if (!e->by_seen.size)
		return NIL;
	uint32_t i = e->by_seen.head[address_hash(a) & (e->by_seen.size - 1)];
	while (i != NIL && !address_equal(&e->seen[i], a))
		i = e->seen_next[i];
	return i;
}

static void seen_link(struct tcpwhy_engine *e, uint32_t i)
{
	uint32_t *head = &e->by_seen.head[address_hash(&e->seen[i]) & (e->by_seen.size - 1)];

	e->seen_next[i] = *head;
	*head = i;
}

static bool seen_room(struct tcpwhy_engine *e)
{
	if (!memory_grow(&e->memory, &e->seen, &e->seen_size, e->seen_used + 1, sizeof(*e->seen)) ||
	    !memory_grow(&e->memory, &e->seen_next, &e->seen_next_size, e->seen_used + 1,
			 sizeof(*e->seen_next)))
		return false;
	if (!chains_want_more(&e->by_seen))
		return true;
	if (!chains_resize(&e->memory, &e->by_seen))
		return false;
	for (uint32_t i = 0; i < e->seen_used; i++)
		seen_link(e, i);
	return true;
}

static uint32_t seen_add(struct tcpwhy_engine *e, const struct tcpwhy_addr *a)
{
	if (!seen_room(e))
		return NIL;
	uint32_t i = e->seen_used++;
	e->seen[i] = *a;
	e->by_seen.entries++;
	seen_link(e, i);
	return i;
}

bool ref_find(const struct tcpwhy_engine *e, const struct tcpwhy_addr *a, struct ref *out)
{
	if (address_is_v4(a)) {
		*out = (struct ref){.v = address_v4_of(a)};
		return true;
	}
	uint32_t i = seen_lookup(e, a);
	if (i == NIL && !address_is_any6(a))
		return false;
	*out = (struct ref){.v = i == NIL ? 0 : i, .six = true};
	return true;
}

bool ref_of(struct tcpwhy_engine *e, const struct tcpwhy_addr *a, struct ref *out)
{
	static const struct tcpwhy_addr any6;

	if (ref_find(e, a, out) && (!out->six || e->seen_used))
		return true;
	if (!e->seen_used && seen_add(e, &any6) == NIL)
		return false;
	uint32_t i = address_is_any6(a) ? 0 : seen_add(e, a);
	if (i == NIL)
		return false;
	*out = (struct ref){.v = i, .six = true};
	return true;
}

struct tcpwhy_addr ref_address(const struct tcpwhy_engine *e, struct ref r)
{
	if (!r.six)
		return address_v4_number(r.v);
	return r.v ? e->seen[r.v] : (struct tcpwhy_addr){{0}};
}

uint32_t ref_rcv4(struct ref r)
{
	if (!r.six)
		return r.v;
	return r.v ? LOOPBACK4_IPV6 : 0;
}
