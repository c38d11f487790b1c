/* SPDX-License-Identifier: MIT
 *
 * Port buckets (inet_bind_bucket) and their address buckets (inet_bind2_bucket), since 6.8 the only
 * holder of the owner list. A bucket lives as long as it has an owner.
 */
#include <string.h>

#include "engine/state.h"

static uint32_t port_chain(const struct tcpwhy_engine *e, uint16_t port, uint32_t l3mdev)
{
	return hash_mix(port, l3mdev) & (e->by_port.size - 1);
}

uint32_t bucket_find(const struct tcpwhy_engine *e, uint16_t port, uint32_t l3mdev)
{
	if (!e->by_port.size)
		return NIL;
	uint32_t b = e->by_port.head[port_chain(e, port, l3mdev)];
	while (b != NIL) {
		const struct bucket *tb = bucket_at(e, b);
		if (tb->port == port && tb->l3mdev == l3mdev)
			break;
		b = tb->next;
	}
	return b;
}

static void bucket_link(struct tcpwhy_engine *e, uint32_t b)
{
	struct bucket *tb = bucket_at(e, b);
	uint32_t *head = &e->by_port.head[port_chain(e, tb->port, tb->l3mdev)];

	tb->next = *head;
	*head = b;
}

static bool ports_room(struct tcpwhy_engine *e)
{
	if (!chains_want_more(&e->by_port))
		return true;
	if (!chains_resize(&e->memory, &e->by_port))
		return false;
	for (uint32_t b = 0; b < e->buckets.used; b++)
		if (bucket_at(e, b)->used)
			bucket_link(e, b);
	return true;
}

/* A free entry of a slab, NIL: no memory. The caller has the record's free link. */
static uint32_t slab_fresh(struct tcpwhy_engine *e, struct slab *slab, size_t entry)
{
	if (!memory_grow(&e->memory, &slab->block, &slab->size, slab->used + 1, entry))
		return NIL;
	return slab->used++;
}

uint32_t bucket_need(struct tcpwhy_engine *e, uint16_t port, uint32_t l3mdev)
{
	uint32_t b = bucket_find(e, port, l3mdev);

	if (b != NIL)
		return b;
	if (!ports_room(e))
		return NIL;
	b = e->buckets.free;
	if (b != NIL)
		e->buckets.free = bucket_at(e, b)->next;
	else
		b = slab_fresh(e, &e->buckets, sizeof(struct bucket));
	if (b == NIL)
		return NIL;
	*bucket_at(e, b) = (struct bucket){.port = port,
					   .used = true,
					   .l3mdev = l3mdev,
					   .first2 = NIL,
					   .fast = {.known = true}};
	e->has_vrf |= l3mdev != 0;
	e->by_port.entries++;
	bucket_link(e, b);
	return b;
}

uint32_t bucket2_find(const struct tcpwhy_engine *e, uint32_t b, struct ref addr)
{
	uint32_t b2 = bucket_at(e, b)->first2;

	while (b2 != NIL && !ref_equal(bucket2_at(e, b2)->addr, addr))
		b2 = bucket2_at(e, b2)->next;
	return b2;
}

uint32_t bucket2_need(struct tcpwhy_engine *e, uint32_t b, struct ref addr)
{
	uint32_t b2 = bucket2_find(e, b, addr);

	if (b2 != NIL)
		return b2;
	b2 = e->buckets2.free;
	if (b2 != NIL)
		e->buckets2.free = bucket2_at(e, b2)->next;
	else
		b2 = slab_fresh(e, &e->buckets2, sizeof(struct bucket2));
	if (b2 == NIL)
		return NIL;
	struct bucket *tb = bucket_at(e, b);
	*bucket2_at(e, b2) = (struct bucket2){
		.bucket = b, .addr = addr, .next = tb->first2, .prev = NIL, .first = NIL};
	if (tb->first2 != NIL)
		bucket2_at(e, tb->first2)->prev = b2;
	tb->first2 = b2;
	return b2;
}

static void bucket_unlink(struct tcpwhy_engine *e, uint32_t b)
{
	struct bucket *tb = bucket_at(e, b);
	uint32_t *link = &e->by_port.head[port_chain(e, tb->port, tb->l3mdev)];

	while (*link != b)
		link = &bucket_at(e, *link)->next;
	*link = tb->next;
	e->by_port.entries--;
	tb->used = false;
	bucket_changed(e, b);
	tb->next = e->buckets.free;
	e->buckets.free = b;
}

static bool all_connect_only(const struct tcpwhy_engine *e, const struct bucket *tb)
{
	for (uint32_t b2 = tb->first2; b2 != NIL; b2 = bucket2_at(e, b2)->next) {
		const struct bucket2 *tb2 = bucket2_at(e, b2);
		if (tb2->fastreuse != -1 || tb2->fastreuseport != -1)
			return false;
	}
	return true;
}

static struct blocked *blocked_find(const struct tcpwhy_engine *e, uint32_t l3mdev)
{
	for (uint32_t i = 0; i < e->blocked_used; i++)
		if (e->blocked[i].l3mdev == l3mdev)
			return &e->blocked[i];
	return NULL;
}

const struct portbits *blocked_ports(const struct tcpwhy_engine *e, uint32_t l3mdev)
{
	const struct blocked *b = blocked_find(e, l3mdev);

	return b ? b->bits : NULL;
}

static struct blocked *blocked_need(struct tcpwhy_engine *e, uint32_t l3mdev)
{
	struct blocked *b = blocked_find(e, l3mdev);

	if (b || !memory_grow(&e->memory, &e->blocked, &e->blocked_size, e->blocked_used + 1,
			      sizeof(*b)))
		return b;
	b = &e->blocked[e->blocked_used];
	*b = (struct blocked){.l3mdev = l3mdev};
	b->bits = memory_new(&e->memory, sizeof(*b->bits));
	if (!b->bits)
		return NULL;
	e->blocked_used++;
	return b;
}

void bucket_changed(struct tcpwhy_engine *e, uint32_t b)
{
	const struct bucket *tb = bucket_at(e, b);
	bool blocks = tb->used && !(tb->fast.known && tb->fast.reuse < 0 && tb->fast.reuseport < 0);
	struct blocked *where = blocks ? blocked_need(e, tb->l3mdev) : blocked_find(e, tb->l3mdev);

	if (where)
		portbits_put(where->bits, tb->port, blocks);
	else if (blocks)
		e->blocked_blind = true;
}

/* inet_bind_bucket_destroy(): frees the empty bucket; since 6.18 a bucket whose address buckets are
 * all connect-only becomes connect-only again. */
void bucket_drop_if_empty(struct tcpwhy_engine *e, uint32_t b)
{
	struct bucket *tb = bucket_at(e, b);

	if (tb->first2 == NIL) {
		bucket_unlink(e, b);
		return;
	}
	if (!has(e, TCPWHY_F_BUCKET_RELAXES) || !tb->fast.known ||
	    (tb->fast.reuse == -1 && tb->fast.reuseport == -1))
		return;
	if (all_connect_only(e, tb)) {
		tb->fast.reuse = tb->fast.reuseport = -1;
		bucket_changed(e, b);
	}
}

static bool owners_connect_bound(const struct tcpwhy_engine *e, const struct bucket2 *tb2)
{
	for (uint32_t i = tb2->first; i != NIL; i = sock_at(e, i)->owner_next)
		if (sock_connect_bind(sock_at(e, i)) != TCPWHY_YES)
			return false;
	return true;
}

static void bucket2_unlink(struct tcpwhy_engine *e, uint32_t b2)
{
	struct bucket2 *tb2 = bucket2_at(e, b2);

	if (tb2->next != NIL)
		bucket2_at(e, tb2->next)->prev = tb2->prev;
	if (tb2->prev != NIL)
		bucket2_at(e, tb2->prev)->next = tb2->next;
	else
		bucket_at(e, tb2->bucket)->first2 = tb2->next;
	tb2->bucket = NIL;
	tb2->next = e->buckets2.free;
	e->buckets2.free = b2;
	if (e->last2 == b2)
		e->last2 = NIL;
}

/* inet_bind2_bucket_destroy(), with the same relaxation. */
void bucket2_drop_if_empty(struct tcpwhy_engine *e, uint32_t b2)
{
	struct bucket2 *tb2 = bucket2_at(e, b2);

	if (tb2->first == NIL) {
		bucket2_unlink(e, b2);
		return;
	}
	if (!has(e, TCPWHY_F_BUCKET_RELAXES) || (tb2->fastreuse == -1 && tb2->fastreuseport == -1))
		return;
	if (owners_connect_bound(e, tb2))
		tb2->fastreuse = tb2->fastreuseport = -1;
}

void owner_prefetch(const struct tcpwhy_engine *e, const struct sock *s)
{
	if (s->owner_next != NIL)
		__builtin_prefetch(sock_at(e, s->owner_next), 1);
	if (s->owner_prev != NIL)
		__builtin_prefetch(sock_at(e, s->owner_prev), 1);
}

void owner_add(struct tcpwhy_engine *e, uint32_t i, uint32_t b2)
{
	struct sock *s = sock_at(e, i);
	struct bucket2 *tb2 = bucket2_at(e, b2);

	must(s->bucket2 == NIL);
	s->bucket2 = b2;
	s->port = bucket_at(e, tb2->bucket)->port;
	s->owner_prev = NIL;
	s->owner_next = tb2->first;
	if (tb2->first != NIL)
		sock_at(e, tb2->first)->owner_prev = i;
	tb2->first = i;
}

static uint32_t owner_unlink(struct tcpwhy_engine *e, uint32_t i)
{
	struct sock *s = sock_at(e, i);
	uint32_t b2 = s->bucket2;

	must(b2 != NIL);
	if (s->owner_next != NIL)
		sock_at(e, s->owner_next)->owner_prev = s->owner_prev;
	if (s->owner_prev != NIL)
		sock_at(e, s->owner_prev)->owner_next = s->owner_next;
	else
		bucket2_at(e, b2)->first = s->owner_next;
	s->owner_next = s->owner_prev = s->bucket2 = NIL;
	return b2;
}

void owner_remove(struct tcpwhy_engine *e, uint32_t i)
{
	struct sock *s = sock_at(e, i);
	uint32_t b2 = owner_unlink(e, i), b = bucket2_at(e, b2)->bucket;

	s->port = 0;
	s->outgoing = s->outgoing_unknown = false;
	bucket2_drop_if_empty(e, b2);
	bucket_drop_if_empty(e, b);
}

bool owner_move(struct tcpwhy_engine *e, uint32_t i, struct ref addr)
{
	struct sock *s = sock_at(e, i);
	uint32_t b = bucket2_at(e, s->bucket2)->bucket;

	/* The new one first, so that a lack of memory leaves everything as it was; an existing one
	 * is used. */
	bool existed = bucket2_find(e, b, addr) != NIL;
	uint32_t to = bucket2_need(e, b, addr);
	if (to == NIL)
		return false;
	if (!existed && sock_connect_bind(s) == TCPWHY_YES)
		bucket2_at(e, to)->fastreuse = bucket2_at(e, to)->fastreuseport = -1;
	uint32_t from = owner_unlink(e, i);
	if (from != to)
		bucket2_drop_if_empty(e, from);
	sock_set_local(s, addr);
	owner_add(e, i, to);
	return true;
}
