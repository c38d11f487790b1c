/* SPDX-License-Identifier: MIT
 *
 * pool.c - opening a pool, making one, building a damaged one anew, and looking at it
 */
#include "lease/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "lease/build.h"
#include "lease/holder.h"
#include "lease/place.h"
#include "lease/slot.h"
#include "lease/socket.h"
#include "lease/sweep.h"

/* Out of the way of LISTEN_FDS, which begins at 3. */
#define LOWEST_FD 64

#define RETIRED_AT (LAYOUT_SHARED_AT + offsetof(struct layout_shared, retired))

enum { REBUILDS_MAX = 5 };

uint64_t pool_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static int fail(struct tcpwhy_pool_why *why, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct tcpwhy_pool_why *why, int error, const char *format, ...)
{
	va_list args;

	if (!why)
		return error;
	va_start(args, format);
	vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
	return error;
}

/* ------------------------------------------------------------------------------------- a handle */

static struct pool_own *own_page(bool *wipes)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct pool_own *own = page;

	if (page == MAP_FAILED)
		return NULL;
	*wipes = madvise(page, size, MADV_WIPEONFORK) == 0;
	atomic_store(&own->opener, (uint64_t)getpid());
	return own;
}

static void handle_free(struct tcpwhy_pool *pool)
{
	if (pool->own)
		munmap(pool->own, (size_t)sysconf(_SC_PAGESIZE));
	if (pool->at.shared)
		munmap((char *)pool->at.shared - LAYOUT_SHARED_AT, pool->at.bytes);
	free(pool);
}

static int handle_map(struct tcpwhy_pool *pool, int fd, const struct layout_header *h)
{
	int protection = pool->read_only ? PROT_READ : PROT_READ | PROT_WRITE;
	void *base = mmap(NULL, h->bytes, protection, MAP_SHARED, fd, 0);

	if (base == MAP_FAILED)
		return -errno;
	layout_place(h, base, &pool->at);
	pool->own = own_page(&pool->wipes);
	return pool->own ? 0 : -ENOMEM;
}

static int move_up(int fd)
{
	int moved = fd < LOWEST_FD ? fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_FD) : -1;

	if (moved < 0)
		return fd;
	close(fd);
	return moved;
}

int pool_attach(int fd, bool read_only, struct tcpwhy_pool **out, enum layout_fault *fault)
{
	struct layout_header h;
	struct tcpwhy_pool *pool;
	struct process self;
	struct stat st;
	uint64_t seed = 0;
	ssize_t n = pread(fd, &h, sizeof(h), 0);
	int error;

	if (n < 0 || fstat(fd, &st))
		return -errno;
	*fault = layout_judge(&h, (size_t)n, (uint64_t)st.st_size);
	if (*fault != LAYOUT_GOOD)
		return *fault == LAYOUT_NEWER ? -EPROTO : -EUCLEAN;
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return -ENOMEM;
	pool->read_only = read_only;
	error = handle_map(pool, fd, &h);
	if (error) {
		handle_free(pool);
		return error;
	}
	process_self(&self);
	pool->ns_key = self.ns_key;
	(void)getrandom(&seed, sizeof(seed), GRND_NONBLOCK);
	pool->draws = seed ^ pool_now_ns();
	pool->ipv6 = socket_has_ipv6();
	pool->fd = move_up(fd);
	*out = pool;
	return 0;
}

/* A child of fork() has nothing in it, and only forgets it. */
void tcpwhy_pool_close(struct tcpwhy_pool *pool)
{
	if (!pool)
		return;
	if (!pool->read_only && !pool_is_current(pool)) {
		uint64_t ref = atomic_load(&pool->own->me);

		holder_leave(pool);
		if (ref)
			sweep_slots(pool, 0, pool->at.slots_n, pool_now_ns());
	}
	close(pool->fd);
	handle_free(pool);
}

int tcpwhy_pool_keep(struct tcpwhy_pool *pool)
{
	return fcntl(pool->fd, F_SETFD, 0) ? -errno : 0;
}

int pool_is_current(const struct tcpwhy_pool *pool)
{
	struct stat st;

	/* The size first: the page may be gone. */
	if (fstat(pool->fd, &st) || !st.st_nlink || (uint64_t)st.st_size < pool->at.bytes)
		return -ESTALE;
	return !pool->read_only && atomic_load(&pool->at.shared->retired) ? -ESTALE : 0;
}

/* The word may have been taken over before a flag was added to it; but whatever names our entry
 * there is what we have given back here. */
static void give_back_if_ours(const struct layout *l, const struct tcpwhy_lease *lease)
{
	uint32_t slot = (uint32_t)lease->port - l->low;
	struct slot_word ours, w;
	uint64_t word;

	if (lease->port < l->low || slot >= l->slots_n)
		return;
	word = atomic_load(&l->slots[slot].word);
	if (slot_unpack(lease->port, lease->token, &ours) && slot_unpack(lease->port, word, &w) &&
	    w.state == SLOT_LEASED && w.holder == ours.holder && w.holder_gen == ours.holder_gen)
		slot_give_back(l, slot, word, pool_now_ns());
}

void pool_give_back_anew(const struct tcpwhy_pool *pool, const struct tcpwhy_lease *lease)
{
	char folder[sizeof(pool->path)];
	struct tcpwhy_pool *fresh;

	snprintf(folder, sizeof(folder), "%s", pool->path);
	if (!strrchr(folder, '/'))
		return;
	*strrchr(folder, '/') = '\0';
	if (tcpwhy_pool_open(folder, false, &fresh, NULL))
		return;
	/* Whoever sweeps next appends it to the order. */
	give_back_if_ours(&fresh->at, lease);
	tcpwhy_pool_close(fresh);
}

/* ------------------------------------------------------------------------------------- the file */

static int tell(struct tcpwhy_pool_why *why, int error, const struct place *place, const char *name)
{
	char path[sizeof(place->path) + sizeof(place->range) + 2];

	snprintf(path, sizeof(path), "%s%s%s", place->path, name ? "/" : "", name ? name : "");
	switch (error) {
	case -ENOENT:
		return fail(why, error, "this network namespace has no pool of ports (%s)", path);
	case -EPERM:
		return fail(why, error,
			    "%s belongs to another user, or others may write in its folder", path);
	case -EACCES:
		return fail(why, error,
			    "not allowed to use %s: that takes its owner, a member of its group, "
			    "or root (CAP_DAC_OVERRIDE)",
			    path);
	case -EINVAL:
		return fail(why, error, "%s is no plain file", path);
	case -EBUSY:
		return fail(why, error, "another process is making or rebuilding the pool in %s",
			    place->path);
	case -EPROTO:
		return fail(why, error, "%s was made by a newer release of tcpwhy; not touched",
			    path);
	case -EUCLEAN:
		return fail(why, error, "%s is damaged", path);
	}
	return fail(why, error, "%s: %s", path, strerror(-error));
}

/* Of this namespace and boot: after a boot, all holders are gone and times mean nothing. */
static bool is_of(const struct place *place, int fd)
{
	struct layout_header h;

	return pread(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) &&
	       h.netns_cookie == place->id.cookie &&
	       (place->id.cookie || h.netns_inode == place->id.inode) &&
	       !memcmp(h.boot_id, place->id.boot_id, sizeof(h.boot_id));
}

/* Opens the file as it is. -ESTALE: of another boot; -EAGAIN: retired, by one that is about to
 * replace it or was killed before it did. */
static int open_as_is(const struct place *place, bool read_only, struct tcpwhy_pool **out,
		      enum layout_fault *fault)
{
	struct tcpwhy_pool *pool;
	struct stat st;
	int fd = place_open_file(place, place->name, read_only, &st);
	int error = fd < 0 ? fd : pool_attach(fd, read_only, &pool, fault);

	if (error) {
		if (fd >= 0)
			close(fd);
		return error;
	}
	if (!is_of(place, pool->fd)) {
		tcpwhy_pool_close(pool);
		return -ESTALE;
	}
	if (!read_only && atomic_load(&pool->at.shared->retired)) {
		tcpwhy_pool_close(pool);
		return -EAGAIN;
	}
	snprintf(pool->path, sizeof(pool->path), "%s/%s", place->path, place->name);
	*out = pool;
	return 0;
}

/* With the place locked nobody is replacing a file that is retired: who wanted to was killed, and
 * the file is still the pool. */
static int open_locked(const struct place *place, struct tcpwhy_pool **out,
		       enum layout_fault *fault)
{
	const uint32_t no = 0;
	struct stat st;
	int error = open_as_is(place, false, out, fault), fd;

	if (error != -EAGAIN)
		return error;
	fd = place_open_file(place, place->name, false, &st);
	if (fd < 0)
		return fd;
	(void)!pwrite(fd, &no, sizeof(no), RETIRED_AT);
	close(fd);
	return open_as_is(place, false, out, fault);
}

/* Those who have it mapped see it, whatever else is in the file. */
static void retire(int fd)
{
	const uint32_t yes = 1;

	(void)!pwrite(fd, &yes, sizeof(yes), RETIRED_AT);
}

/* A damaged file as the layout that it should have; extended, so that those who have it mapped and
 * it was truncated under them find zeros there. False: it cannot be mapped. */
static bool map_damaged(int fd, uint16_t low, uint16_t high, struct layout *out)
{
	struct layout_header h;
	struct stat st;
	void *base;

	layout_make(&h, low, high);
	if (fstat(fd, &st))
		return false;
	if ((uint64_t)st.st_size < h.bytes && posix_fallocate(fd, 0, (off_t)h.bytes))
		return false;
	base = mmap(NULL, h.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return false;
	layout_place(&h, base, out);
	return true;
}

static void unmap(const struct layout *l)
{
	munmap((char *)l->shared - LAYOUT_SHARED_AT, l->bytes);
}

/* The damaged file keeps a second name; the first goes over to the new one in one step. */
static int replace_damaged(const struct place *place, bool sound, uint16_t low, uint16_t high,
			   char *aside, size_t size)
{
	struct layout old;
	struct stat st;
	int fd = place_open_file(place, place->name, false, &st), error;
	bool mapped = false;

	aside[0] = '\0';
	if (fd < 0 && fd != -ENOENT)
		return fd;
	if (fd >= 0 && !sound) {
		retire(fd);
		mapped = map_damaged(fd, low, high, &old);
		error = place_set_aside(place, place->name, aside, size);
		if (error) {
			close(fd);
			return error;
		}
	}
	error = build_pool(place, low, high, mapped ? &old : NULL, fd >= 0 ? &st : NULL);
	if (mapped)
		unmap(&old);
	if (fd >= 0)
		close(fd);
	return error;
}

/* Of a file that is damaged, of another boot, or gone while its range is known. With the place
 * locked. */
static int rebuild(const struct place *place, int fault_error, struct tcpwhy_pool_why *why)
{
	char aside[sizeof(place->name) + 48];
	uint16_t low, high;
	int error = place_read_range(place, &low, &high);

	if (error == -ENOENT && fault_error == -ENOENT)
		return tell(why, -ENOENT, place, place->name);
	if (error || high - low >= LAYOUT_SLOTS_MAX)
		return fail(why, -EUCLEAN,
			    "%s/%s is damaged, and its range is not known from %s: remove it and "
			    "make the pool again",
			    place->path, place->name, place->range);
	error = replace_damaged(place, fault_error == -ESTALE, low, high, aside, sizeof(aside));
	if (error)
		return tell(why, error, place, place->name);
	if (aside[0])
		fail(why, 0, "%s/%s was damaged: built anew; the old file is %s", place->path,
		     place->name, aside);
	return 0;
}

static bool needs_rebuild(int error)
{
	return error == -EUCLEAN || error == -ESTALE || error == -ENOENT;
}

/* Another process may have rebuilt it while we waited for the lock; and whatever damaged it may do
 * so again. */
static int open_or_rebuild(struct place *place, struct tcpwhy_pool **out,
			   struct tcpwhy_pool_why *why)
{
	enum layout_fault fault;
	int error = place_lock(place);

	if (error)
		return tell(why, error, place, error == -EBUSY ? NULL : place->gate);
	for (int tries = 0;; tries++) {
		error = open_locked(place, out, &fault);
		if (!error)
			return 0;
		if (!needs_rebuild(error) || tries == REBUILDS_MAX)
			return tell(why, error, place, place->name);
		error = rebuild(place, error, why);
		if (error)
			return error;
	}
}

int tcpwhy_pool_open(const char *folder, bool read_only, struct tcpwhy_pool **out,
		     struct tcpwhy_pool_why *why)
{
	enum layout_fault fault;
	struct place place;
	int error = place_open(&place, folder, false);

	if (why)
		why->text[0] = '\0';
	if (error)
		return tell(why, error, &place, NULL);
	error = open_as_is(&place, read_only, out, &fault);
	/* The range is written first, so there is none, and nothing to lock. */
	if (error == -ENOENT && !place_has_range(&place))
		error = tell(why, error, &place, place.name);
	else if ((needs_rebuild(error) || error == -EAGAIN) && !read_only)
		error = open_or_rebuild(&place, out, why);
	else if (error == -ESTALE)
		error = tell(why, -ENOENT, &place, place.name);
	else if (error)
		error = tell(why, error, &place, place.name);
	place_close(&place);
	return error;
}

/* ----------------------------------------------------------------------------------- making one */

/* Another range. Leases in both go along; one outside forbids it. */
static int change_range(const struct place *place, struct tcpwhy_pool *old,
			const struct tcpwhy_pool_plan *plan, const struct stat *like)
{
	uint64_t now = pool_now_ns();
	int error;

	sweep_all(old, now);
	if (build_would_lose(&old->at, plan->low, plan->high, now))
		return -EBUSY;
	atomic_store(&old->at.shared->retired, 1);
	/* Leased after the first look, and before it was retired. */
	error = build_would_lose(&old->at, plan->low, plan->high, now) ? -EBUSY : 0;
	if (!error)
		error = build_pool(place, plan->low, plan->high, &old->at, like);
	if (!error)
		error = place_write_range(place, plan->low, plan->high);
	else
		atomic_store(&old->at.shared->retired, 0);
	return error;
}

static int create_over(const struct place *place, struct tcpwhy_pool *old,
		       const struct tcpwhy_pool_plan *plan, struct tcpwhy_pool_why *why)
{
	uint32_t high = old->at.low + old->at.slots_n - 1;
	struct stat like;
	int error;

	if (fstat(old->fd, &like))
		return tell(why, -errno, place, place->name);
	if (plan->group != (gid_t)-1) {
		like.st_gid = plan->group;
		like.st_mode = 0660;
	}
	if (old->at.low == plan->low && high == plan->high) {
		error = place_write_range(place, plan->low, plan->high);
		if (!error && fchown(old->fd, (uid_t)-1, plan->group))
			error = -errno;
		if (!error && plan->group != (gid_t)-1 && fchmod(old->fd, 0660))
			error = -errno;
		return error ? tell(why, error, place, place->name) : 0;
	}
	error = change_range(place, old, plan, &like);
	if (error == -EBUSY)
		return fail(why, error,
			    "ports of the present range (%u-%u) outside %u-%u are leased",
			    old->at.low, high, plan->low, plan->high);
	return error ? tell(why, error, place, place->name) : 0;
}

/* The range first: should we be killed before the pool has its name, the next one that opens it
 * makes it. */
static int create_new(const struct place *place, const struct tcpwhy_pool_plan *plan,
		      struct tcpwhy_pool_why *why)
{
	struct stat like = {.st_uid = geteuid(), .st_gid = plan->group, .st_mode = 0660};
	int error = place_write_range(place, plan->low, plan->high);

	if (error)
		return tell(why, error, place, place->range);
	error = build_pool(place, plan->low, plan->high, NULL,
			   plan->group == (gid_t)-1 ? NULL : &like);
	return error ? tell(why, error, place, place->name) : 0;
}

/* A damaged file of which nothing is known. -ENOENT: it is out of the way. */
static int give_up(const struct place *place)
{
	char aside[sizeof(place->name) + 48];
	struct stat st;
	int fd = place_open_file(place, place->name, false, &st);
	int error;

	if (fd < 0)
		return fd;
	retire(fd);
	close(fd);
	error = place_set_aside(place, place->name, aside, sizeof(aside));
	return error ? error : -ENOENT;
}

static int create_locked(struct place *place, const struct tcpwhy_pool_plan *plan,
			 struct tcpwhy_pool_why *why)
{
	struct tcpwhy_pool *old;
	enum layout_fault fault;
	uint16_t low, high;
	int error = open_locked(place, &old, &fault);

	if (error == -EUCLEAN && place_read_range(place, &low, &high) == 0)
		error = rebuild(place, error, why) ? -EUCLEAN : open_locked(place, &old, &fault);
	if (error == -EUCLEAN)
		error = give_up(place);
	if (error == -ENOENT || error == -ESTALE)
		return create_new(place, plan, why);
	if (error)
		return tell(why, error, place, place->name);
	error = create_over(place, old, plan, why);
	tcpwhy_pool_close(old);
	return error;
}

int tcpwhy_pool_create(const struct tcpwhy_pool_plan *plan, struct tcpwhy_pool_why *why)
{
	struct place place;
	int error;

	if (!plan->low || plan->low > plan->high || plan->high - plan->low >= LAYOUT_SLOTS_MAX)
		return fail(why, -EINVAL, "a pool has 1 to %d ports, from 1 on", LAYOUT_SLOTS_MAX);
	error = tcpwhy_pool_check_range(plan->low, plan->high, why);
	if (error)
		return error;
	if (why)
		why->text[0] = '\0';
	error = place_open(&place, plan->folder, true);
	if (error)
		return tell(why, error, &place, NULL);
	error = place_lock(&place);
	if (error)
		error = tell(why, error, &place, NULL);
	else
		error = create_locked(&place, plan, why);
	if (!error)
		place_share_lock(&place);
	place_close(&place);
	return error;
}

/* -------------------------------------------------------------------------------- looking at it */

int tcpwhy_pool_recover(struct tcpwhy_pool *pool)
{
	int error = pool->read_only ? -EROFS : pool_is_current(pool);

	return error ? error : (int)sweep_all(pool, pool_now_ns());
}

/* What is known of each holder: looked up once for all its ports. */
enum seen { SEEN_NOT, SEEN_ALIVE, SEEN_DEAD };

static bool holder_ended(struct tcpwhy_pool *pool, uint32_t index, uint8_t *seen)
{
	if (seen[index] == SEEN_NOT)
		seen[index] = holder_is_dead(pool, index) ? SEEN_DEAD : SEEN_ALIVE;
	return seen[index] == SEEN_DEAD;
}

static void describe_lease(struct tcpwhy_pool *pool, uint32_t slot, const struct slot_word *w,
			   uint64_t now, uint8_t *seen, struct tcpwhy_port *p)
{
	uint64_t expires = atomic_load(&pool->at.slots[slot].expires_ns);
	struct holder_view v;

	p->state = TCPWHY_PORT_LEASED;
	p->held = w->held;
	if (w->timed && expires > now)
		p->left_ns = expires - now;
	if (w->holder != HOLDER_NONE && holder_view(&pool->at, w->holder, &v) &&
	    v.gen == w->holder_gen) {
		p->pid = (pid_t)v.process.pid;
		p->uid = v.uid;
		p->foreign = !v.process.ns_key || v.process.ns_key != pool->ns_key;
		if (holder_ended(pool, w->holder, seen))
			p->state = TCPWHY_PORT_ENDED;
	}
	if (slot_is_withheld(w))
		p->state = TCPWHY_PORT_WITHHELD;
	if (sweep_is_over(&pool->at, slot, w, now))
		p->state = TCPWHY_PORT_ENDED;
}

static void describe(struct tcpwhy_pool *pool, uint32_t slot, uint64_t now, uint8_t *seen,
		     struct tcpwhy_port *p)
{
	const struct layout_slot *s = &pool->at.slots[slot];
	uint64_t stamp = atomic_load(&s->stamp_ns);
	struct slot_word w;

	*p = (struct tcpwhy_port){.port = (uint16_t)(pool->at.low + slot)};
	if (stamp && stamp <= now)
		p->since_ns = now - stamp;
	if (!slot_unpack(p->port, atomic_load(&s->word), &w))
		p->state = TCPWHY_PORT_DAMAGED;
	else if (w.state == SLOT_LEASED)
		describe_lease(pool, slot, &w, now, seen, p);
}

int tcpwhy_pool_list(struct tcpwhy_pool *pool,
		     int (*take)(void *ctx, const struct tcpwhy_port *port), void *ctx)
{
	uint8_t seen[LAYOUT_HOLDERS] = {0};
	uint64_t now = pool_now_ns();
	struct tcpwhy_port p;
	int rc = pool_is_current(pool);

	for (uint32_t slot = 0; slot < pool->at.slots_n && !rc; slot++) {
		describe(pool, slot, now, seen, &p);
		rc = take(ctx, &p);
	}
	return rc;
}

static int count_port(void *ctx, const struct tcpwhy_port *p)
{
	struct tcpwhy_pool_state *s = ctx;
	unsigned *const counts[] = {&s->free, &s->leased, &s->ended, &s->damaged, &s->withheld};

	++*counts[p->state];
	return 0;
}

void tcpwhy_pool_look(struct tcpwhy_pool *pool, struct tcpwhy_pool_state *out)
{
	const struct layout *l = &pool->at;

	*out = (struct tcpwhy_pool_state){.low = l->low,
					  .high = (uint16_t)(l->low + l->slots_n - 1),
					  .recovered = atomic_load(&l->shared->recovered)};
	snprintf(out->path, sizeof(out->path), "%s", pool->path);
	tcpwhy_pool_list(pool, count_port, out);
	for (uint32_t i = 0; i < LAYOUT_HOLDERS; i++) {
		struct holder_view v;

		out->holders += holder_view(l, i, &v);
	}
}
