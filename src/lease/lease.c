/* SPDX-License-Identifier: MIT
 *
 * lease.c - leasing and giving back
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lease/holder.h"
#include "lease/order.h"
#include "lease/pool.h"
#include "lease/slot.h"
#include "lease/socket.h"
#include "lease/sweep.h"

/* --------------------------------------------------------------------------------- many of them */

/* Indices travel in pieces, so that a call needs no memory. */
enum { PIECE = 64 };

/* What a call of tcpwhy_lease() works with. */
struct leasing {
	struct tcpwhy_pool *pool;
	const struct tcpwhy_lease_wish *wish;
	struct tcpwhy_lease *out;
	unsigned wanted, got;
	uint64_t ref, now_ns;
	unsigned refused; /* ports that others had bound; an end for the search */
};

static void take_into(struct leasing *a, uint32_t slot)
{
	uint64_t token;

	if (a->got == a->wanted || !slot_take(&a->pool->at, slot, a->ref, a->now_ns, &token))
		return;
	a->out[a->got++] = (struct tcpwhy_lease){
		.token = token, .fd = -1, .port = (uint16_t)(a->pool->at.low + slot)};
}

static void take_in_order(struct leasing *a)
{
	uint32_t slots[PIECE];

	while (a->got < a->wanted) {
		unsigned missing = a->wanted - a->got;
		unsigned n = order_take(&a->pool->at, slots, missing < PIECE ? missing : PIECE);

		if (!n)
			return;
		for (unsigned i = 0; i < n; i++)
			take_into(a, slots[i]);
	}
}

static uint32_t draw(struct tcpwhy_pool *pool, uint32_t n)
{
	uint64_t x = atomic_fetch_add(&pool->draws, 1);

	return (uint32_t)((layout_mix(x, pool->ns_key) & 0xffffffff) * n >> 32);
}

/* Half of the tries succeed in a pool that is half used; then what follows the last one drawn. */
static void take_at_random(struct leasing *a)
{
	uint32_t n = a->pool->at.slots_n, at = 0;

	for (uint64_t tries = 0; a->got < a->wanted && tries < 8 + 4 * (uint64_t)a->wanted; tries++)
		take_into(a, at = draw(a->pool, n));
	for (uint32_t i = 0; i < n && a->got < a->wanted; i++)
		take_into(a, (at + i) % n);
}

/* Each round looks more closely for what was left behind. */
static void take_slots(struct leasing *a)
{
	const struct layout *l = &a->pool->at;

	for (int round = 0; round < 3 && a->got < a->wanted; round++) {
		if (round == 1)
			sweep_slots(a->pool, 0, l->slots_n, a->now_ns);
		else if (round == 2)
			sweep_all(a->pool, a->now_ns);
		if (a->wish->random)
			take_at_random(a);
		else
			take_in_order(a);
	}
	/* Whatever the ring says: as long as a word says FREE, the pool is not full. */
	for (uint32_t slot = 0; slot < l->slots_n && a->got < a->wanted; slot++)
		take_into(a, slot);
}

/* One that the caller was not told of. */
static void give_back_one(struct tcpwhy_pool *pool, struct tcpwhy_lease *lease, uint64_t now_ns)
{
	uint32_t slot = (uint32_t)lease->port - pool->at.low;

	if (lease->fd >= 0)
		close(lease->fd);
	if (slot_give_back(&pool->at, slot, lease->token, now_ns))
		order_append(&pool->at, &slot, 1);
	if (atomic_load(&pool->at.shared->retired))
		pool_give_back_anew(pool, lease);
	*lease = (struct tcpwhy_lease){.fd = -1};
}

static void give_back_all(struct leasing *a)
{
	while (a->got)
		give_back_one(a->pool, &a->out[--a->got], a->now_ns);
}

/* --------------------------------------------------------------------------------- sockets and
 * time */

/* Writes the time while the slot is ours and says nothing of one, then says it. */
static bool set_marks(struct leasing *a, struct tcpwhy_lease *lease)
{
	const struct tcpwhy_lease_wish *wish = a->wish;
	uint32_t slot = (uint32_t)lease->port - a->pool->at.low;
	struct slot_word w;

	if (!wish->ttl_s && lease->fd < 0)
		return true;
	if (wish->ttl_s)
		atomic_store(&a->pool->at.slots[slot].expires_ns,
			     a->now_ns + wish->ttl_s * UINT64_C(1000000000));
	slot_unpack(lease->port, lease->token, &w);
	w.timed = wish->ttl_s != 0;
	w.held = lease->fd >= 0;
	return slot_rename(&a->pool->at, slot, &lease->token, &w);
}

/* The last one taken gets its socket. 0, -EADDRINUSE if another has the port (it goes to the end of
 * the order), -errno. */
static int bind_last(struct leasing *a)
{
	struct tcpwhy_lease *last = &a->out[a->got - 1];
	int fd = socket_bound(a->wish, a->pool->ipv6, last->port);

	if (fd >= 0 && (a->wish->held || a->wish->listening))
		last->fd = fd;
	else if (fd >= 0)
		close(fd);
	if (fd >= 0)
		return 0;
	give_back_one(a->pool, last, a->now_ns);
	a->got--;
	return fd;
}

static bool wants_socket(const struct tcpwhy_lease_wish *wish)
{
	return wish->held || wish->listening || wish->probe;
}

/* One at a time, because a port that turns out to be another's is replaced by the next. */
static int take_with_sockets(struct leasing *a)
{
	unsigned wanted = a->wanted;

	while (a->got < wanted && a->refused < a->pool->at.slots_n) {
		unsigned before = a->got;
		int error;

		a->wanted = before + 1;
		take_slots(a);
		if (a->got == before)
			break;
		error = bind_last(a);
		if (error == -EADDRINUSE)
			a->refused++;
		else if (error)
			return error;
	}
	a->wanted = wanted;
	return 0;
}

int tcpwhy_lease(struct tcpwhy_pool *pool, const struct tcpwhy_lease_wish *wish,
		 struct tcpwhy_lease *out, unsigned n)
{
	static const struct tcpwhy_lease_wish plain;
	struct leasing a = {.pool = pool, .wish = wish ? wish : &plain, .out = out, .wanted = n};
	int error = pool->read_only ? -EROFS : pool_is_current(pool);

	if (!error)
		error = holder_me(pool, &a.ref);
	if (error)
		return error;
	if (a.wanted > pool->at.slots_n)
		a.wanted = pool->at.slots_n;
	a.now_ns = pool_now_ns();
	sweep_step(pool, a.now_ns);
	if (wants_socket(a.wish))
		error = take_with_sockets(&a);
	else
		take_slots(&a);
	for (unsigned i = 0; i < a.got && !error; i++)
		if (!set_marks(&a, &out[i]))
			error = -ESTALE;
	/* Who rebuilds the pool first says that this file is retired, and then reads its slots: the
	 * lease was seen, or we see this. */
	if (!error && atomic_load(&pool->at.shared->retired))
		error = -ESTALE;
	if (error) {
		give_back_all(&a);
		return error;
	}
	return a.got || !n ? (int)a.got : -ENOSPC;
}

static void forget(struct tcpwhy_lease *leases, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (leases[i].port && leases[i].fd >= 0)
			close(leases[i].fd);
		leases[i] = (struct tcpwhy_lease){.fd = -1};
	}
}

int tcpwhy_lease_release(struct tcpwhy_pool *pool, struct tcpwhy_lease *leases, unsigned n)
{
	const struct layout *l = &pool->at;
	uint32_t slots[PIECE], filled = 0;
	uint64_t now = pool_now_ns(), ref;
	int released = 0;
	int error = pool->read_only ? -EROFS : pool_is_current(pool);

	if (!error)
		error = holder_me(pool, &ref);
	if (error)
		return error;
	for (unsigned i = 0; i < n; i++) {
		uint32_t slot = (uint32_t)leases[i].port - l->low;

		if (leases[i].port >= l->low && slot < l->slots_n &&
		    slot_is_of(l, slot, leases[i].token, ref) &&
		    slot_give_back(l, slot, leases[i].token, now)) {
			slots[filled++] = slot;
			released++;
		}
		if (filled == PIECE || (i + 1 == n && filled)) {
			order_append(l, slots, filled);
			filled = 0;
		}
	}
	/* Who rebuilds the pool may have copied a word before it was changed here: then the lease
	 * stands in the new file, and is released there. */
	if (atomic_load(&l->shared->retired))
		return -ESTALE;
	forget(leases, n);
	return released;
}

/* ---------------------------------------------------------------------------- to another's name */

/* If the pool is being rebuilt, the new file may have the word of before: then that must be tried.
 */
static int rename_lease(struct tcpwhy_pool *pool, struct tcpwhy_lease *lease, uint32_t slot,
			const struct slot_word *w)
{
	uint64_t token = lease->token;

	if (!slot_rename(&pool->at, slot, &token, w) || atomic_load(&pool->at.shared->retired))
		return -ESTALE;
	lease->token = token;
	return 0;
}

int tcpwhy_lease_assign(struct tcpwhy_pool *pool, struct tcpwhy_lease *lease, pid_t pid,
			uint32_t ttl_s)
{
	const struct layout *l = &pool->at;
	uint32_t slot = (uint32_t)lease->port - l->low;
	struct slot_word w = {.holder = HOLDER_NONE, .timed = ttl_s != 0, .held = lease->fd >= 0};
	uint64_t ref, other = 0;
	int error = pool->read_only ? -EROFS : pool_is_current(pool);

	if (!error && (pid < 0 || (!pid && !ttl_s)))
		error = -EINVAL;
	if (!error)
		error = holder_me(pool, &ref);
	if (!error &&
	    (lease->port < l->low || slot >= l->slots_n || !slot_is_of(l, slot, lease->token, ref)))
		error = -ESTALE;
	if (!error && pid)
		error = holder_assigned(pool, (uint32_t)pid, &other);
	if (error)
		return error;
	if (pid) {
		w.holder = holder_ref_index(other);
		w.holder_gen = holder_ref_gen(other);
	}
	if (ttl_s)
		atomic_store(&l->slots[slot].expires_ns,
			     pool_now_ns() + ttl_s * UINT64_C(1000000000));
	return rename_lease(pool, lease, slot, &w);
}

int tcpwhy_lease_revoke(struct tcpwhy_pool *pool, uint16_t port)
{
	const struct layout *l = &pool->at;
	uint32_t slot = (uint32_t)port - l->low;
	uint64_t word;
	struct slot_word w;
	int error = pool->read_only ? -EROFS : pool_is_current(pool);

	if (!error && (port < l->low || slot >= l->slots_n))
		error = -EINVAL;
	if (error)
		return error;
	word = atomic_load(&l->slots[slot].word);
	if (!slot_unpack(l->low + slot, word, &w) || w.state != SLOT_LEASED)
		return 0;
	if (!slot_give_back(l, slot, word, pool_now_ns()))
		return 0;
	order_append(l, &slot, 1);
	return atomic_load(&l->shared->retired) ? -ESTALE : 1;
}
