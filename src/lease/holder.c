/* SPDX-License-Identifier: MIT */
#include "lease/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------- the byte locks */

#define LOCKS_AT (INT64_C(1) << 40)

static struct flock lock_of(uint32_t index, short type)
{
	return (struct flock){
		.l_type = type, .l_whence = SEEK_SET, .l_start = LOCKS_AT + index, .l_len = 1};
}

static bool lock_take(const struct tcpwhy_pool *pool, uint32_t index)
{
	struct flock lock = lock_of(index, F_WRLCK);

	return fcntl(pool->fd, F_OFD_SETLK, &lock) == 0;
}

static void lock_drop(const struct tcpwhy_pool *pool, uint32_t index)
{
	struct flock lock = lock_of(index, F_UNLCK);

	(void)fcntl(pool->fd, F_OFD_SETLK, &lock);
}

/* Through another opening of the file; yes if it cannot be told. */
static bool lock_is_taken(const struct tcpwhy_pool *pool, uint32_t index)
{
	struct flock lock = lock_of(index, pool->read_only ? F_RDLCK : F_WRLCK);

	return fcntl(pool->fd, F_OFD_GETLK, &lock) || lock.l_type != F_UNLCK;
}

/* ------------------------------------------------------------------------------------- an entry */

static uint64_t seal_of(uint32_t index, uint32_t gen, const struct holder_view *v)
{
	uint64_t seal = layout_mix((uint64_t)index << 32 | gen, v->process.pid);

	seal = layout_mix(seal, v->process.start);
	seal = layout_mix(seal, v->process.ns_key);
	return layout_mix(seal, (uint64_t)v->uid << 32 | v->flags);
}

bool holder_view(const struct layout *l, uint32_t index, struct holder_view *out)
{
	struct layout_holder *h = &l->holders[index];
	uint64_t word = atomic_load(&h->word);
	struct holder_word w;

	if (!holder_unpack(index, word, &w) || w.state != HOLDER_READY)
		return false;
	*out = (struct holder_view){
		.process = {w.pid, atomic_load(&h->start), atomic_load(&h->ns_key)},
		.flags = atomic_load(&h->flags),
		.uid = atomic_load(&h->uid),
		.gen = w.gen,
	};
	/* Another process's by now, if the word changed. */
	return atomic_load(&h->seal) == seal_of(index, w.gen, out) && atomic_load(&h->word) == word;
}

bool holder_is_noted(const struct layout *l, uint32_t index, uint32_t gen)
{
	struct holder_word w;

	return index < LAYOUT_HOLDERS &&
	       holder_unpack(index, atomic_load(&l->holders[index].word), &w) &&
	       w.state == HOLDER_READY && w.gen == gen;
}

/* In a child of fork() the opening of the file is its parent's, and so are the locks; the mapping
 * holds it as the descriptor does, and both are replaced where they are. */
static void reopen(struct tcpwhy_pool *pool)
{
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", pool->fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	/* Without /proc the parent seems to live as long as we do, from another PID namespace. */
	if (fd < 0)
		return;
	(void)mmap((char *)pool->at.shared - LAYOUT_SHARED_AT, pool->at.bytes,
		   PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	(void)dup3(fd, pool->fd, O_CLOEXEC);
	close(fd);
}

/* One thread of the child does it, the others wait for it. */
static void have_own_opening(struct tcpwhy_pool *pool)
{
	const uint64_t mine = (uint64_t)getpid(), busy = UINT64_MAX;
	uint64_t opener = atomic_load(&pool->own->opener);

	for (int tries = 0; opener != mine && tries < 100000; tries++) {
		if (opener == busy) {
			sched_yield();
			opener = atomic_load(&pool->own->opener);
		} else if (atomic_compare_exchange_strong(&pool->own->opener, &opener, busy)) {
			reopen(pool);
			atomic_store(&pool->own->opener, mine);
			return;
		}
	}
}

static bool is_alive(const struct tcpwhy_pool *pool, uint32_t index, const struct holder_view *v)
{
	if (v->process.ns_key && v->process.ns_key == atomic_load(&pool->ns_key))
		return process_lives(&v->process);
	/* Only its own namespace can tell of one that was noted by another. */
	return !(v->flags & HOLDER_LOCKED) || lock_is_taken(pool, index);
}

/* No slot names it: then nothing is lost with it. */
static bool is_unused(const struct layout *l, uint32_t index, uint32_t gen)
{
	for (uint32_t i = 0; i < l->slots_n; i++) {
		struct slot_word w;

		if (slot_unpack(l->low + i, atomic_load(&l->slots[i].word), &w) &&
		    w.state == SLOT_LEASED && w.holder == index && w.holder_gen == gen)
			return false;
	}
	return true;
}

static bool end_entry(const struct layout *l, uint32_t index, uint64_t word)
{
	struct holder_word w;

	holder_unpack(index, word, &w);
	w.state = HOLDER_FREE;
	w.pid = 0;
	return atomic_compare_exchange_strong(&l->holders[index].word, &word,
					      holder_pack(index, &w));
}

void holder_copy(const struct layout *from, const struct layout *to, uint32_t index)
{
	const struct layout_holder *old = &from->holders[index];
	struct layout_holder *h = &to->holders[index];
	struct holder_view v;

	atomic_store(&h->word, atomic_load(&old->word));
	if (!holder_view(from, index, &v))
		return;
	v.flags = HOLDER_ASSIGNED;
	atomic_store(&h->start, v.process.start);
	atomic_store(&h->ns_key, v.process.ns_key);
	atomic_store(&h->uid, v.uid);
	atomic_store(&h->flags, v.flags);
	atomic_store(&h->seal, seal_of(index, v.gen, &v));
}

bool holder_is_dead(const struct tcpwhy_pool *pool, uint32_t index)
{
	struct holder_view v;

	return holder_view(&pool->at, index, &v) && !is_alive(pool, index, &v);
}

bool holder_retire_dead(struct tcpwhy_pool *pool, uint32_t index)
{
	uint64_t word = atomic_load(&pool->at.holders[index].word);
	struct holder_view v;
	struct holder_word w;

	if (!holder_unpack(index, word, &w) || w.state != HOLDER_READY)
		return false;
	if (!holder_view(&pool->at, index, &v)) {
		/* A broken seal tells of nobody; its slots are withheld first (sweep.c). */
		if (!is_unused(&pool->at, index, w.gen))
			return false;
	} else if (v.gen != w.gen || is_alive(pool, index, &v)) {
		return false;
	}
	return end_entry(&pool->at, index, word);
}

/* ----------------------------------------------------------------------------------- taking an
 * entry */

/* Whether an entry may be had: free, or left in the middle of being written, or of nobody that can
 * be made out. The caller has its lock. */
static bool may_be_had(const struct holder_word *w, bool sound)
{
	if (!sound)
		return true;
	/* One that another thread of ours is writing: it has the same lock. */
	return w->state == HOLDER_FREE ||
	       (w->state == HOLDER_CLAIMED && w->pid != (uint32_t)getpid());
}

static void raise_used(const struct layout *l, uint32_t used)
{
	uint32_t seen = atomic_load(&l->shared->holders_used);

	while (seen < used && !atomic_compare_exchange_weak(&l->shared->holders_used, &seen, used))
		continue;
}

/* Whoever is killed in here leaves CLAIMED, and the lock goes with it. */
static bool write_entry(const struct layout *l, uint32_t index, uint64_t word,
			const struct holder_view *v, uint32_t *gen)
{
	struct layout_holder *h = &l->holders[index];
	struct holder_word w;
	uint64_t claimed;

	holder_unpack(index, word, &w);
	w = (struct holder_word){HOLDER_CLAIMED, (w.gen + 1) & 0xfff, (uint32_t)getpid()};
	claimed = holder_pack(index, &w);
	if (!atomic_compare_exchange_strong(&h->word, &word, claimed))
		return false;
	atomic_store(&h->start, v->process.start);
	atomic_store(&h->ns_key, v->process.ns_key);
	atomic_store(&h->flags, v->flags);
	atomic_store(&h->uid, v->uid);
	atomic_store(&h->seal, seal_of(index, w.gen, v));
	raise_used(l, index + 1);
	w.state = HOLDER_READY;
	w.pid = v->process.pid;
	*gen = w.gen;
	return atomic_compare_exchange_strong(&h->word, &claimed, holder_pack(index, &w));
}

static bool try_entry(struct tcpwhy_pool *pool, uint32_t index, const struct holder_view *v,
		      uint64_t *ref)
{
	struct layout_holder *h = &pool->at.holders[index];
	uint64_t word = atomic_load(&h->word);
	struct holder_word w;
	bool sound = holder_unpack(index, word, &w);
	uint32_t gen;

	if (!may_be_had(&w, sound) || !lock_take(pool, index))
		return false;
	if (write_entry(&pool->at, index, word, v, &gen)) {
		*ref = holder_ref(index, gen, v->process.pid);
		return true;
	}
	/* Not if it is ours through another thread. */
	holder_unpack(index, atomic_load(&h->word), &w);
	if (w.state == HOLDER_FREE || w.pid != (uint32_t)getpid())
		lock_drop(pool, index);
	return false;
}

static int take_entry(struct tcpwhy_pool *pool, const struct holder_view *v, uint64_t *ref)
{
	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < LAYOUT_HOLDERS; i++) {
			if (round)
				holder_retire_dead(pool, i);
			if (try_entry(pool, i, v, ref))
				return 0;
		}
	}
	return -EUSERS;
}

/* ----------------------------------------------------------------------------------------
 * ourselves */

/* The whole entry: with a damaged one, what is leased in its name would be withheld. */
static bool is_mine(const struct tcpwhy_pool *pool, uint64_t ref)
{
	struct holder_view v;

	return ref && (pool->wipes || holder_ref_pid(ref) == (uint32_t)getpid()) &&
	       holder_view(&pool->at, holder_ref_index(ref), &v) && v.gen == holder_ref_gen(ref);
}

static void leave(struct tcpwhy_pool *pool, uint64_t ref)
{
	uint32_t index = holder_ref_index(ref);

	if (!is_mine(pool, ref))
		return;
	end_entry(&pool->at, index, atomic_load(&pool->at.holders[index].word));
	lock_drop(pool, index);
}

int holder_me(struct tcpwhy_pool *pool, uint64_t *ref)
{
	struct holder_view v = {.flags = HOLDER_LOCKED, .uid = geteuid()};
	uint64_t seen = atomic_load(&pool->own->me), mine;
	int error;

	if (is_mine(pool, seen)) {
		*ref = seen;
		return 0;
	}
	have_own_opening(pool);
	process_self(&v.process);
	atomic_store(&pool->ns_key, v.process.ns_key);
	error = take_entry(pool, &v, &mine);
	if (error)
		return error;
	if (!atomic_compare_exchange_strong(&pool->own->me, &seen, mine)) {
		/* Another thread was first. */
		leave(pool, mine);
		mine = seen;
	}
	*ref = mine;
	return 0;
}

void holder_leave(struct tcpwhy_pool *pool)
{
	leave(pool, atomic_load(&pool->own->me));
}

/* Several leases of one process share its entry. */
static bool find_assigned(const struct layout *l, const struct process *p, uint64_t *ref)
{
	uint32_t used = atomic_load(&l->shared->holders_used);

	for (uint32_t i = 0; i < used && i < LAYOUT_HOLDERS; i++) {
		struct holder_view v;

		if (holder_view(l, i, &v) && v.flags == HOLDER_ASSIGNED &&
		    v.process.pid == p->pid && v.process.start == p->start &&
		    v.process.ns_key == p->ns_key) {
			*ref = holder_ref(i, v.gen, p->pid);
			return true;
		}
	}
	return false;
}

int holder_assigned(struct tcpwhy_pool *pool, uint32_t pid, uint64_t *ref)
{
	struct holder_view v = {.flags = HOLDER_ASSIGNED, .uid = geteuid()};
	int error = process_find(pid, &v.process);

	if (error)
		return error;
	if (find_assigned(&pool->at, &v.process, ref))
		return 0;
	error = take_entry(pool, &v, ref);
	if (!error)
		lock_drop(pool, holder_ref_index(*ref));
	return error;
}
