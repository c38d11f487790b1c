/* SPDX-License-Identifier: MIT */
#include "load/load.h"

#include <errno.h>
#include <string.h>

/* What bind() can read of an owner, and whether a process has it. The peer and the timestamps are
 * not among it. */
static bool alike(const struct snapshot_owner *x, const struct snapshot_owner *y)
{
	const struct tcpwhy_owner *a = &x->o, *b = &y->o;

	return a->port == b->port && memcmp(&a->local, &b->local, sizeof(a->local)) == 0 &&
	       a->family == b->family && a->state == b->state && a->reuse == b->reuse &&
	       a->reuseport == b->reuseport && a->v6only == b->v6only &&
	       a->connect_bind == b->connect_bind && a->timewait == b->timewait &&
	       a->uid_known == b->uid_known && a->uid == b->uid && a->device == b->device &&
	       a->l3mdev == b->l3mdev && !x->inode == !y->inode;
}

/* Spreads by what differs in practice: port, address, state, uid. */
static size_t slot_of(const struct tcpwhy_owner *o, size_t slots)
{
	uint64_t h = (uint64_t)o->port << 32 ^ (uint64_t)o->state << 24 ^ o->uid;

	for (unsigned i = 0; i < sizeof(o->local.b); i++)
		h = (h ^ o->local.b[i]) * 0x100000001b3u;
	return (size_t)(h >> 17 ^ h) & (slots - 1);
}

/* A timer of 0 is "unknown" and outlasts all. */
static uint64_t longer(uint64_t a_ns, uint64_t b_ns)
{
	return !a_ns || !b_ns ? 0 : a_ns > b_ns ? a_ns : b_ns;
}

enum { SLOTS = 1024 };

struct kept {
	struct snapshot_owner *owners;
	size_t n, room;
};

static int kept_resize(struct kept *k, size_t room, const struct tcpwhy_memory *memory)
{
	void *p = memory->resize(memory->ctx, k->owners, k->room * sizeof(*k->owners),
				 room * sizeof(*k->owners));

	if (!p && room)
		return -ENOMEM;
	k->owners = room ? p : NULL;
	k->room = room;
	return 0;
}

static int kept_add(struct kept *k, const struct snapshot_owner *o,
		    const struct tcpwhy_memory *memory)
{
	int r = k->n < k->room ? 0 : kept_resize(k, k->room ? k->room * 2 : 64, memory);

	if (!r)
		k->owners[k->n++] = *o;
	return r;
}

int load_distinct(const struct snapshot *snap, const struct tcpwhy_memory *memory,
		  struct snapshot *out)
{
	/* Direct-mapped: who is pushed out of a slot may be kept twice, which costs and hurts not.
	 */
	uint32_t slot[SLOTS] = {0}; /* index in kept.owners, plus 1 */
	struct kept kept = {0};
	int r = 0;

	for (size_t i = 0; !r && i < snap->owners_n; i++) {
		const struct snapshot_owner *o = &snap->owners[i];
		uint32_t *at = &slot[slot_of(&o->o, SLOTS)];

		if (*at && alike(&kept.owners[*at - 1], o)) {
			uint64_t *expires_ns = &kept.owners[*at - 1].o.expires_ns;
			*expires_ns = longer(*expires_ns, o->o.expires_ns);
			continue;
		}
		r = kept_add(&kept, o, memory);
		*at = (uint32_t)kept.n;
	}
	/* The exact size, so that load_distinct_free() need not be told of room. */
	if (!r && kept.room)
		r = kept_resize(&kept, kept.n, memory);
	if (r) {
		kept_resize(&kept, 0, memory);
		return r;
	}
	*out = *snap;
	out->owners = kept.owners;
	out->owners_n = kept.n;
	return 0;
}

void load_distinct_free(struct snapshot *distinct, const struct tcpwhy_memory *memory)
{
	if (distinct->owners)
		memory->resize(memory->ctx, distinct->owners,
			       distinct->owners_n * sizeof(*distinct->owners), 0);
	distinct->owners = NULL;
	distinct->owners_n = 0;
}
