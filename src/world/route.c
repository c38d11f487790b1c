/* SPDX-License-Identifier: MIT
 *
 * Whose an address is, and the way to it: the fewest boxes, and only boxes, in between
 *
 * A way leads to an end of a link, the device that has the address, and comes in through it where
 * it can. Ways are searched when first asked for.
 */
#include <errno.h>
#include <string.h>

#include "world/state.h"

static uint32_t *chain_of(const struct world *w, const struct tcpwhy_addr *a)
{
	uint64_t word[2];

	memcpy(word, a->b, 16);
	return &w->by_address.head[hash_mix(word[0], word[1]) & (w->by_address.size - 1)];
}

static void link_in(struct world *w, uint32_t i)
{
	uint32_t *head = chain_of(w, &w->addresses[i].addr);

	w->addresses[i].next = *head;
	*head = i;
}

/* The end that has the address, NIL. */
static uint32_t end_of(const struct world *w, const struct tcpwhy_addr *a)
{
	if (!w->by_address.entries)
		return NIL;
	for (uint32_t i = *chain_of(w, a); i != NIL; i = w->addresses[i].next)
		if (address_equal(&w->addresses[i].addr, a))
			return w->addresses[i].end;
	return NIL;
}

int address_add(struct world *w, const struct tcpwhy_addr *a, uint32_t end)
{
	if (end_of(w, a) != NIL)
		return -EEXIST;
	if (!memory_grow(&w->memory, &w->addresses, &w->addresses_size, w->n_addresses + 1,
			 sizeof(*w->addresses)))
		return -ENOMEM;
	if (chains_want_more(&w->by_address)) {
		if (!chains_resize(&w->memory, &w->by_address))
			return -ENOMEM;
		for (uint32_t i = 0; i < w->n_addresses; i++)
			link_in(w, i);
	}
	w->addresses[w->n_addresses] = (struct address){.addr = *a, .end = end};
	link_in(w, w->n_addresses++);
	w->by_address.entries++;
	return 0;
}

/* The node takes what goes there for its own; end: of the address, NIL. */
static bool is_local(const struct world *w, uint32_t node, const struct tcpwhy_addr *a,
		     uint32_t end)
{
	if ((end != NIL && w->ends[end].node == node) || address_is_loopback(a))
		return true;
	for (uint32_t i = 0; i < w->n_prefixes; i++)
		if (w->prefixes[i].local && w->prefixes[i].node == node &&
		    address_in_prefix(a, &w->prefixes[i].addr, w->prefixes[i].len))
			return true;
	return false;
}

bool route_is_local(const struct world *w, uint32_t node, const struct tcpwhy_addr *a)
{
	return is_local(w, node, a, end_of(w, a));
}

/* The end through which a routed prefix is reached: its host's first. */
static uint32_t end_of_prefix(const struct world *w, const struct tcpwhy_addr *a)
{
	for (uint32_t i = 0; i < w->n_prefixes; i++) {
		const struct prefix *p = &w->prefixes[i];
		const struct node *n = w->nodes[p->node];
		if (p->routed && n->n_links && address_in_prefix(a, &p->addr, p->len))
			return n->links[0] * 2 + side_of(w, n->links[0], p->node);
	}
	return NIL;
}

/* Breadth first, from where the queue stands: who is reached goes by the link that reached it. */
static void spread(struct world *w, uint32_t *via, uint32_t first, uint32_t last)
{
	for (; first < last; first++) {
		const struct node *n = w->nodes[w->queue[first]];
		for (uint32_t i = 0; !n->host && i < n->n_links; i++) {
			uint32_t next = other_node(w, n->links[i], n->number);
			if (via[next] != NIL)
				continue;
			via[next] = n->links[i];
			w->queue[last++] = next;
		}
	}
}

/* From the end's node backwards; through its other devices only who is not reached through this. */
static bool search(struct world *w, uint32_t end)
{
	uint32_t target = w->ends[end].node, link = end / 2, last = 0;
	uint32_t *via = memory_new(&w->memory, w->n_nodes * sizeof(*via));

	if (!via)
		return false;
	for (uint32_t i = 0; i < w->n_nodes; i++)
		via[i] = NIL;
	via[target] = link; /* nobody asks: it is local there */
	w->queue[last++] = other_node(w, link, target);
	via[w->queue[0]] = link;
	spread(w, via, 0, last);
	const struct node *n = w->nodes[target];
	last = 0;
	for (uint32_t i = 0; i < n->n_links; i++) {
		uint32_t next = other_node(w, n->links[i], target);
		if (via[next] == NIL) {
			via[next] = n->links[i];
			w->queue[last++] = next;
		}
	}
	spread(w, via, 0, last);
	w->ends[end].via = via;
	return true;
}

static uint32_t link_to(struct world *w, uint32_t node, const struct tcpwhy_addr *to, uint32_t end)
{
	if (end == NIL)
		end = end_of_prefix(w, to);
	if (end == NIL || (!w->ends[end].via && !search(w, end)))
		return NIL;
	return w->ends[end].via[node];
}

static uint32_t link_of_device(const struct world *w, const struct node *n, uint32_t device)
{
	for (uint32_t i = 0; i < n->n_links; i++)
		if (w->ends[n->links[i] * 2 + side_of(w, n->links[i], n->number)].device == device)
			return n->links[i];
	return NIL;
}

uint32_t world_device(const struct world *w, uint32_t node, uint32_t link)
{
	must(link < w->n_links);
	const struct end *end = &w->ends[link * 2 + side_of(w, link, node)];
	return end->node == node ? end->device : 0;
}

static struct tcpwhy_addr loopback(bool v4)
{
	return v4 ? address_v4_number(0x7f000001) : (struct tcpwhy_addr){.b[15] = 1};
}

bool world_route(struct world *w, uint32_t node, struct tcpwhy_addr *peer, uint32_t device,
		 struct tcpwhy_addr *source)
{
	bool v4 = address_is_v4(peer);

	if (address_is_any(peer))
		*peer = loopback(v4);
	if (address_is_loopback(peer)) {
		*source = loopback(v4);
		return true;
	}
	uint32_t end = end_of(w, peer);
	if (is_local(w, node, peer, end)) {
		*source = *peer;
		return true;
	}
	uint32_t link = device > LOOPBACK ? link_of_device(w, w->nodes[node], device)
					  : link_to(w, node, peer, end);
	if (link == NIL)
		return false;
	*source = w->ends[link * 2 + side_of(w, link, node)].source[v4 ? 0 : 1];
	return !address_is_any6(source);
}

uint32_t route_link(struct world *w, uint32_t node, const struct segment *s, bool *local)
{
	uint32_t end = end_of(w, &s->to);

	*local = is_local(w, node, &s->to, end);
	if (*local)
		return NIL;
	return s->device > LOOPBACK ? link_of_device(w, w->nodes[node], s->device)
				    : link_to(w, node, &s->to, end);
}

void node_send(struct world *w, uint32_t node, const struct segment *s)
{
	bool local;
	uint32_t link = route_link(w, node, s, &local);

	if (local)
		wire_loop(w, node, s);
	else if (link != NIL)
		wire_send(w, link, side_of(w, link, node), s);
}
