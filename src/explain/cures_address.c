/* SPDX-License-Identifier: MIT
 *
 * Another address of this host, for one whose own is taken or not there.
 */
#include "explain/bind_offer.h"

#include "base/address.h"
#include "base/text.h"

/* Better: not loopback, unless loopback was asked for; a whole address rather than one out of a
 * prefix. */
static unsigned address_rank(const struct snapshot_local *l, const struct tcpwhy_addr *asked)
{
	bool other_reach = address_is_loopback(&l->prefix) != address_is_loopback(asked);

	return (other_reach ? 2u : 0u) + (l->prefix_len != 128);
}

static bool address_usable(const struct snapshot_local *l, const struct tcpwhy_addr *asked)
{
	return l->kind == TCPWHY_LOCAL && address_is_v4(&l->prefix) == address_is_v4(asked) &&
	       !address_is_any(&l->prefix) && !address_is_link_local6(&l->prefix) &&
	       !address_is_multicast6(&l->prefix) && !address_equal(&l->prefix, asked);
}

/* The address itself, or for a prefix such as 127.0.0.0/8 its second one (127.0.0.2; the first is
 * the device's). */
static struct tcpwhy_addr address_of(const struct snapshot_local *l)
{
	struct tcpwhy_addr a = l->prefix;

	if (l->prefix_len < 127)
		a.b[15] |= 2;
	return a;
}

enum { ADDRESSES_TRIED = 32 };

static bool try_address(struct offer *o, const struct tcpwhy_addr *addr)
{
	struct tcpwhy_bind_request q = o->a->question->bind;
	char endpoint[ENDPOINT_TEXT_MAX];
	bool loopback = address_is_loopback(addr);

	q.addr = *addr;
	if (!bind_try_request(o, &q))
		return false;
	struct text t = offer_does(o);
	text_add(&t, "bind to ");
	text_add(&t, endpoint_format(&q.addr, q.port, q.family == TCPWHY_IPV6, endpoint));
	text_add(&t, " instead");
	o->late = loopback && !address_is_loopback(&o->a->question->bind.addr);
	offer_say(o->cure->costs, loopback               ? "now; reachable from this host only"
				  : address_is_any(addr) ? "now; serves every address of this host"
							 : "now; clients must use that address");
	return true;
}

/* Whoever asked for an address that is not there is served by the wildcard too. */
static bool try_wildcard(struct offer *o)
{
	struct tcpwhy_addr any = {{0}};

	if (o->a->verdict.rule != TCPWHY_RULE_BIND_NOT_LOCAL)
		return false;
	if (address_is_v4(&o->a->question->bind.addr))
		any = address_v4_number(0);
	return try_address(o, &any);
}

bool bind_offer_address(struct offer *o)
{
	const struct snapshot *s = o->a->snap;
	const struct tcpwhy_addr asked = o->a->question->bind.addr;
	unsigned tried = 0;

	if (!o->a->verdict.holders && o->a->verdict.rule != TCPWHY_RULE_BIND_NOT_LOCAL &&
	    o->a->verdict.rule != TCPWHY_RULE_BIND_TENTATIVE)
		return false;
	for (unsigned rank = 0; rank <= 3; rank++) {
		if (rank == 2 && try_wildcard(o))
			return true;
		for (size_t i = 0; i < s->locals_n && tried < ADDRESSES_TRIED; i++) {
			const struct snapshot_local *l = &s->locals[i];
			if (!address_usable(l, &asked) || address_rank(l, &asked) != rank)
				continue;
			struct tcpwhy_addr other = address_of(l);
			tried++;
			if (!address_equal(&other, &asked) && try_address(o, &other))
				return true;
		}
	}
	return false;
}
