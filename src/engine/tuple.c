/* SPDX-License-Identifier: MIT
 *
 * The table of 4-tuples (ehash): sockets past SYN and mini-sockets
 *
 * Imported owners enter it only when the first question about tuples comes: a bind never asks.
 */
#include "engine/state.h"

static uint32_t tuple_hash(struct ref local, struct ref peer, uint16_t port, uint16_t peer_port)
{
	return hash_mix((uint64_t)local.v << 32 | peer.v, (uint64_t)port << 16 | peer_port);
}

static uint32_t sock_hash(const struct sock *s)
{
	return tuple_hash(sock_local(s), sock_peer(s), s->port, s->peer_port);
}

/* What tuple_add() will write to: far away, and known before it is needed. */
void tuple_prefetch(const struct tcpwhy_engine *e, const struct sock *s, uint16_t port)
{
	uint32_t hash = tuple_hash(sock_local(s), sock_peer(s), port, s->peer_port);

	if (e->by_tuple.size)
		__builtin_prefetch(&e->by_tuple.head[hash & (e->by_tuple.size - 1)], 1);
}

static void link_tuple(struct tcpwhy_engine *e, uint32_t i)
{
	struct sock *s = sock_at(e, i);
	uint32_t *head = &e->by_tuple.head[sock_hash(s) & (e->by_tuple.size - 1)];

	s->tuple_next = *head;
	*head = i;
}

bool tuple_add(struct tcpwhy_engine *e, uint32_t i)
{
	must(!sock_at(e, i)->hashed);
	if (chains_want_more(&e->by_tuple)) {
		if (!chains_resize(&e->memory, &e->by_tuple))
			return false;
		for (uint32_t k = 0; k < e->socks.used; k++)
			if (sock_at(e, k)->state && sock_at(e, k)->hashed)
				link_tuple(e, k);
	}
	if (sock_connect_bind(sock_at(e, i)) == TCPWHY_YES && !portset_add(e, i))
		return false;
	link_tuple(e, i);
	sock_at(e, i)->hashed = true;
	e->by_tuple.entries++;
	return true;
}

void tuple_remove(struct tcpwhy_engine *e, uint32_t i)
{
	struct sock *s = sock_at(e, i);

	if (!s->hashed)
		return;
	uint32_t *link = &e->by_tuple.head[sock_hash(s) & (e->by_tuple.size - 1)];
	while (*link != i)
		link = &sock_at(e, *link)->tuple_next;
	*link = s->tuple_next;
	s->tuple_next = NIL;
	if (sock_connect_bind(s) == TCPWHY_YES)
		portset_remove(e, i);
	s->hashed = false;
	e->by_tuple.entries--;
}

/* inet_sk_bound_dev_eq(): an entry without device answers to all, but not across VRFs. */
static bool device_answers(uint32_t entry, const struct tuple *t, bool l3mdev_accept)
{
	if (!entry)
		return !t->l3mdev || l3mdev_accept;
	return entry == t->device || entry == t->l3mdev;
}

static bool tuple_equal(const struct sock *s, const struct tuple *t)
{
	return s->port == t->port && s->peer_port == t->peer_port &&
	       ref_equal(sock_local(s), t->local) && ref_equal(sock_peer(s), t->peer);
}

bool tuple_matches(const struct tcpwhy_engine *e, uint32_t i, const struct tuple *t)
{
	const struct sock *s = sock_at(e, i);

	return tuple_equal(s, t) && device_answers(s->device, t, e->sysctls.l3mdev_accept);
}

uint32_t tuple_find(const struct tcpwhy_engine *e, const struct tuple *t)
{
	if (!e->by_tuple.size)
		return NIL;
	uint32_t hash = tuple_hash(t->local, t->peer, t->port, t->peer_port);
	uint32_t i = e->by_tuple.head[hash & (e->by_tuple.size - 1)];
	while (i != NIL) {
		if (tuple_matches(e, i, t))
			break;
		i = sock_at(e, i)->tuple_next;
	}
	return i;
}

void tcpwhy_expect_tuple(const struct tcpwhy_engine *e, const struct tcpwhy_addr *local,
			 uint16_t port, const struct tcpwhy_addr *peer, uint16_t peer_port,
			 bool is_next)
{
	struct ref l, p;

	if (!e->by_tuple.size || !ref_find(e, local, &l) || !ref_find(e, peer, &p))
		return;
	uint32_t hash = tuple_hash(l, p, port, peer_port);
	const uint32_t *head = &e->by_tuple.head[hash & (e->by_tuple.size - 1)];
	if (!is_next)
		__builtin_prefetch(head);
	else if (*head != NIL)
		__builtin_prefetch(sock_at(e, *head));
}

static bool has_tuple(const struct sock *s)
{
	return s->state && !s->hashed && s->peer_port && s->state != TCPWHY_CLOSE &&
	       s->state != TCPWHY_LISTEN;
}

bool tuples_ready(struct tcpwhy_engine *e)
{
	if (!e->tuples_pending)
		return true;
	timers_ready(e);
	for (uint32_t i = 0; i < e->socks.used; i++)
		if (has_tuple(sock_at(e, i)) && !tuple_add(e, i))
			return false;
	e->tuples_pending = false;
	return true;
}

/* Imported owners that are not hashed yet are looked through one by one. */
static uint32_t find_unhashed(const struct tcpwhy_engine *e, const struct tuple *t)
{
	for (uint32_t i = 0; i < e->socks.used; i++) {
		if (has_tuple(sock_at(e, i)) && tuple_matches(e, i, t))
			return i;
	}
	return NIL;
}

tcpwhy_sock tcpwhy_find_tuple(const struct tcpwhy_engine *e, const struct tcpwhy_addr *local,
			      uint16_t port, const struct tcpwhy_addr *peer, uint16_t peer_port,
			      uint32_t device)
{
	struct tuple t = {.port = port,
			  .peer_port = peer_port,
			  .device = device,
			  .l3mdev = device_l3mdev(e, device)};

	if (!ref_find(e, local, &t.local) || !ref_find(e, peer, &t.peer))
		return 0;
	uint32_t i = tuple_find(e, &t);
	if (i == NIL && e->tuples_pending)
		i = find_unhashed(e, &t);
	return sock_handle(e, i);
}
