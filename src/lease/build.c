/* SPDX-License-Identifier: MIT */
#include "lease/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lease/holder.h"
#include "lease/order.h"
#include "lease/sweep.h"

/* --------------------------------------------------------------------------- what is taken over */

static bool lies_in(const struct layout *l, uint32_t port)
{
	return port >= l->low && port - l->low < l->slots_n;
}

static void take_over_holders(const struct layout *old, const struct layout *l)
{
	for (uint32_t i = 0; i < LAYOUT_HOLDERS; i++) {
		struct holder_word w;

		holder_copy(old, l, i);
		if (!holder_unpack(i, atomic_load(&l->holders[i].word), &w) ||
		    w.state != HOLDER_FREE)
			atomic_store(&l->shared->holders_used, i + 1);
	}
}

/* The word as it stands, so that the token of its holder stays good. A word that is damaged is
 * copied too: the sweep withholds it. */
static void take_over_slot(const struct layout_slot *old, struct layout_slot *slot, uint32_t port)
{
	uint64_t word = atomic_load(&old->word);
	struct slot_word w;

	if (slot_unpack(port, word, &w) && w.state == SLOT_FREE)
		return;
	atomic_store(&slot->word, word);
	atomic_store(&slot->stamp_ns, atomic_load(&old->stamp_ns));
	atomic_store(&slot->expires_ns, atomic_load(&old->expires_ns));
}

bool build_would_lose(const struct layout *old, uint16_t low, uint16_t high, uint64_t now_ns)
{
	for (uint32_t i = 0; i < old->slots_n; i++) {
		struct slot_word w;
		uint32_t port = old->low + i;

		if ((port < low || port > high) &&
		    slot_unpack(port, atomic_load(&old->slots[i].word), &w) &&
		    w.state == SLOT_LEASED && !sweep_is_over(old, i, &w, now_ns))
			return true;
	}
	return false;
}

/* ------------------------------------------------------------------------------------- the new
 * file */

static void fill(const struct layout *l, const struct layout *old)
{
	if (old)
		take_over_holders(old, l);
	for (uint32_t i = 0; i < l->slots_n; i++) {
		const struct slot_word free_word = {.state = SLOT_FREE};
		uint32_t port = l->low + i;
		struct slot_word w;

		atomic_store(&l->slots[i].word, slot_pack(port, &free_word));
		if (old && lies_in(old, port))
			take_over_slot(&old->slots[port - old->low], &l->slots[i], port);
		if (slot_unpack(port, atomic_load(&l->slots[i].word), &w) && w.state == SLOT_FREE)
			order_append(l, &i, 1);
	}
}

static int map_and_fill(int fd, const struct layout_header *h, const struct layout *old)
{
	struct layout l;
	void *base = mmap(NULL, h->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (base == MAP_FAILED)
		return -errno;
	memcpy(base, h, sizeof(*h));
	layout_place(h, base, &l);
	fill(&l, old);
	munmap(base, h->bytes);
	return 0;
}

/* All room now: a full file system would else be SIGBUS later. */
static int make_file(const struct place *place, const char *name, const struct layout_header *h,
		     const struct stat *like)
{
	int fd, error;

	if (unlinkat(place->folder, name, 0) && errno != ENOENT)
		return -errno;
	fd = openat(place->folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	error = -posix_fallocate(fd, 0, (off_t)h->bytes);
	/* The owner first: chown() may clear bits of the mode. */
	if (!error && like && fchown(fd, like->st_uid, like->st_gid))
		error = -errno;
	if (!error && like && fchmod(fd, like->st_mode & 0660))
		error = -errno;
	if (!error)
		return fd;
	close(fd);
	unlinkat(place->folder, name, 0);
	return error;
}

int build_pool(const struct place *place, uint16_t low, uint16_t high, const struct layout *old,
	       const struct stat *like)
{
	struct layout_header h;
	char fresh[sizeof(place->name) + 8];
	int fd, error;

	layout_make(&h, low, high);
	h.netns_cookie = place->id.cookie;
	h.netns_inode = place->id.inode;
	memcpy(h.boot_id, place->id.boot_id, sizeof(h.boot_id));
	layout_seal(&h);
	snprintf(fresh, sizeof(fresh), "%s.new", place->name);
	fd = make_file(place, fresh, &h, like);
	if (fd < 0)
		return fd;
	error = map_and_fill(fd, &h, old);
	close(fd);
	if (!error && renameat(place->folder, fresh, place->folder, place->name))
		error = -errno;
	if (error)
		unlinkat(place->folder, fresh, 0);
	return error;
}
