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

/* The owners of snap, alike ones once; kind[i] is where owner i is kept. */
static int keep_distinct(const struct snapshot *snap, const struct tcpwhy_memory *memory,
			 struct kept *kept, uint32_t *kind)
{
	/* Direct-mapped: who is pushed out of a slot may be kept twice, which costs and hurts not.
	 */
	uint32_t slot[SLOTS] = {0}; /* index in kept->owners, plus 1 */
	int r = 0;

	for (size_t i = 0; !r && i < snap->owners_n; i++) {
		const struct snapshot_owner *o = &snap->owners[i];
		uint32_t *at = &slot[slot_of(&o->o, SLOTS)];

		if (*at && alike(&kept->owners[*at - 1], o)) {
			uint64_t *expires_ns = &kept->owners[*at - 1].o.expires_ns;
			*expires_ns = longer(*expires_ns, o->o.expires_ns);
		} else {
			r = kept_add(kept, o, memory);
			*at = (uint32_t)kept->n;
		}
		kind[i] = *at - 1;
	}
	/* The exact size, so that load_distinct_free() need not be told of room. */
	if (!r && kept->room)
		r = kept_resize(kept, kept->n, memory);
	return r;
}

int load_distinct(const struct snapshot *snap, const struct tcpwhy_memory *memory,
		  struct load_distinct *out)
{
	struct load_distinct d = {.snap = *snap, .kind_n = snap->owners_n};
	size_t size = snap->owners_n * sizeof(*d.kind);
	struct kept kept = {0};
	int r = 0;

	if (size) {
		d.kind = memory->resize(memory->ctx, NULL, 0, size);
		r = d.kind ? keep_distinct(snap, memory, &kept, d.kind) : -ENOMEM;
	}
	d.snap.owners = kept.owners;
	d.snap.owners_n = kept.n;
	if (!r) {
		*out = d;
		return 0;
	}
	kept_resize(&kept, 0, memory);
	if (d.kind)
		memory->resize(memory->ctx, d.kind, size, 0);
	return r;
}

void load_distinct_free(struct load_distinct *d, const struct tcpwhy_memory *memory)
{
	struct snapshot *few = &d->snap;

	if (few->owners)
		memory->resize(memory->ctx, few->owners, few->owners_n * sizeof(*few->owners), 0);
	if (d->kind)
		memory->resize(memory->ctx, d->kind, d->kind_n * sizeof(*d->kind), 0);
	*d = (struct load_distinct){0};
}
