/* SPDX-License-Identifier: MIT */
#include "load/load.h"

#include "base/text.h"

#include <errno.h>
#include <string.h>

#define TIME_WAIT_NS (60u * 1000000000ull) /* TCP_TIMEWAIT_LEN */

/* ---------------------------------------------------------------------------------------- the row
 */

/* A release as its name tells it: "6.18.y", "6.18.44-generic", "3.10". */
struct release {
	unsigned series;         /* 6 * 1000 + 18; 0 for a text that is no release */
	unsigned level;          /* 44 */
	bool has_level, is_bare; /* is_bare: nothing follows the level */
};

/* Reads digits, at least one; false: there are none. */
static bool read_part(const char **text, unsigned *n)
{
	if (**text < '0' || **text > '9')
		return false;
	for (*n = 0; **text >= '0' && **text <= '9'; (*text)++)
		if (*n < 1000)
			*n = *n * 10 + (unsigned)(**text - '0');
	return true;
}

static struct release release_of(const char *name)
{
	struct release r = {0};
	unsigned major, minor;

	if (!read_part(&name, &major) || *name++ != '.' || !read_part(&name, &minor))
		return r;
	r.series = major * 1000 + minor;
	if (*name == '.') {
		name++;
		r.has_level = read_part(&name, &r.level);
	}
	r.is_bare = !*name;
	return r;
}

/* A row of one patch level ("6.1.4") stands for that level and those before it. A distributor's
 * "6.1.0-18-amd64" tells no level: such a name stays the same for the whole branch. */
static bool row_reaches(const struct release *row, const struct release *kernel)
{
	if (row->series > kernel->series)
		return false;
	if (!row->has_level)
		return true;
	return row->series == kernel->series && kernel->has_level && kernel->level <= row->level &&
	       (kernel->level || kernel->is_bare);
}

const struct tcpwhy_row *load_row_for(const char *name)
{
	const struct tcpwhy_row *newest = tcpwhy_row_at(0), *best = newest;
	struct release kernel = release_of(name);
	bool exact = false;

	/* Rows stand from old to new, a patch level before the end of its branch. */
	for (size_t i = 0; tcpwhy_row_at(i); i++) {
		struct release row = release_of(tcpwhy_row_at(i)->name);
		newest = tcpwhy_row_at(i);
		if (exact || !row_reaches(&row, &kernel))
			continue;
		best = newest;
		exact = row.has_level;
	}
	return kernel.series ? best : newest;
}

/* A settled row is named by the row it came from, and '+'. */
static bool is_named_after(const char *name, const char *row)
{
	const size_t n = text_length(row);

	return text_length(name) >= n && !memcmp(name, row, n) && (!name[n] || name[n] == '+');
}

bool load_row_is_of(const struct tcpwhy_row *row, const char *kernel)
{
	return release_of(row->name).series == release_of(kernel).series &&
	       is_named_after(row->name, load_row_for(kernel)->name);
}

bool load_row_is_exact(const char *kernel)
{
	/* The patch level that was held against the row. Of other branches it is not known. */
	static const struct {
		const char *row;
		unsigned level;
	} known[] = {
		{"5.10.y", 262}, {"6.1.y", 192}, {"6.12.y", 117}, {"6.18.y", 44}, {"7.2.y", 13}};
	const struct tcpwhy_row *row = load_row_for(kernel);
	const struct release own = release_of(row->name), is = release_of(kernel);

	if (own.series != is.series || !is.has_level)
		return false;
	if (own.has_level)
		return is.level == own.level;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (text_equal(known[i].row, row->name))
			return is.level >= known[i].level;
	return false;
}

/* By hand: the builtin calls libgcc where the processor has no such instruction. */
static unsigned ones(uint32_t bits)
{
	unsigned n = 0;

	for (; bits; bits &= bits - 1)
		n++;
	return n;
}

/* What a kernel near that row may have got from the next release, or not yet have got from the one
 * before. */
static void doubt(const struct tcpwhy_row *nearest, uint32_t *features, uint32_t *packets)
{
	const struct tcpwhy_row *row;

	*features = nearest->unverified;
	*packets = nearest->packets_unverified;
	for (size_t i = 0; (row = tcpwhy_row_at(i)); i++) {
		const struct tcpwhy_row *next = tcpwhy_row_at(i + 1);
		if (!next || (row != nearest && next != nearest))
			continue;
		*features |= row->features ^ next->features;
		*packets |= row->packets ^ next->packets;
	}
}

void load_settle(const char *kernel, const struct probe *found, struct load_settled *out)
{
	const struct tcpwhy_row *nearest = load_row_for(kernel);
	uint32_t features = nearest->unverified, packets = nearest->packets_unverified;
	struct text name = text_in(out->name, sizeof(out->name));

	if (!load_row_is_exact(kernel))
		doubt(nearest, &features, &packets);
	out->row = *nearest;
	out->row.name = out->name;
	out->row.features = (nearest->features & ~found->asked) | found->found;
	out->row.packets = (nearest->packets & ~found->packets_asked) | found->packets_found;
	out->row.unverified = features & ~found->asked;
	out->row.packets_unverified = packets & ~found->packets_asked;
	out->asked = ones(found->asked) + ones(found->packets_asked);
	out->otherwise = ones(out->row.features ^ nearest->features) +
			 ones(out->row.packets ^ nearest->packets);
	text_add(&name, nearest->name);
	if (!out->otherwise)
		return;
	text_char(&name, '+');
	text_number(&name, out->otherwise);
}

/* ------------------------------------------------------------------------------------ the sysctls
 */

struct tcpwhy_sysctls load_sysctls(const struct snapshot *snap, const struct tcpwhy_row *row)
{
	struct tcpwhy_sysctls s = snap->sysctls;
	const struct tcpwhy_sysctls *d = &row->defaults;
	uint32_t unknown = snap->sysctls_unknown;

	if ((unknown & SNAPSHOT_S_PORT_RANGE) || !s.port_low || s.port_low > s.port_high) {
		s.port_low = d->port_low;
		s.port_high = d->port_high;
	}
	if (unknown & SNAPSHOT_S_UNPRIVILEGED)
		s.unprivileged_port_start = d->unprivileged_port_start;
	if (unknown & SNAPSHOT_S_AUTOBIND_REUSE)
		s.autobind_reuse = d->autobind_reuse;
	if (unknown & SNAPSHOT_S_NONLOCAL_BIND) {
		s.nonlocal_bind = d->nonlocal_bind;
		s.nonlocal_bind6 = d->nonlocal_bind6;
	}
	if (unknown & SNAPSHOT_S_L3MDEV_ACCEPT)
		s.l3mdev_accept = d->l3mdev_accept;
	if (unknown & SNAPSHOT_S_TW_REUSE) {
		s.tw_reuse = d->tw_reuse;
		s.tw_reuse_delay_ms = d->tw_reuse_delay_ms;
	}
	if (unknown & SNAPSHOT_S_OTHER) {
		s.timestamps = d->timestamps;
		s.bindv6only = d->bindv6only;
		s.max_tw_buckets = d->max_tw_buckets;
		s.fin_timeout_s = d->fin_timeout_s;
	}
	return s;
}

static void load_reserved(struct tcpwhy_engine *e, const struct snapshot *snap, uint16_t more)
{
	if (more)
		tcpwhy_reserve_port(e, more, true);
	if (snap->sysctls_unknown & SNAPSHOT_S_RESERVED)
		return;
	for (uint32_t port = 1; port < 65536; port++) {
		if (!snap->reserved[port / 32])
			port |= 31;
		else if (snap->reserved[port / 32] >> port % 32 & 1)
			tcpwhy_reserve_port(e, (uint16_t)port, true);
	}
}

/* -------------------------------------------------------------------------- addresses and devices
 */

static int load_places(struct tcpwhy_engine *e, const struct snapshot *snap)
{
	int r = 0;

	for (size_t i = 0; !r && snap->devices_known && i < snap->devices_n; i++)
		r = tcpwhy_add_device(e, snap->devices[i].index, snap->devices[i].l3mdev);
	for (size_t i = 0; !r && snap->locals_known && i < snap->locals_n; i++) {
		const struct snapshot_local *l = &snap->locals[i];
		r = tcpwhy_add_local(e, &l->prefix, l->prefix_len, (enum tcpwhy_local)l->kind,
				     l->device, l->l3mdev);
	}
	if (snap->locals_known)
		tcpwhy_locals_known(e);
	return r;
}

/* ----------------------------------------------------------------------------- owners and buckets
 */

/* What a process leaves when it closes. False: nothing. (tcp_close(), tcp_fin(): the peer is taken
 * to be there and to answer, which is the case that holds the port longest.) */
static bool end_by_process(struct tcpwhy_owner *o, bool orphan, uint64_t now_ns)
{
	switch ((enum tcpwhy_state)o->state) {
	case TCPWHY_ESTABLISHED:
	case TCPWHY_FIN_WAIT1:
	case TCPWHY_FIN_WAIT2:
		if (o->timewait || orphan)
			return true;
		o->state = TCPWHY_TIME_WAIT;
		o->timewait = true;
		o->uid_known = false;
		o->expires_ns = now_ns + TIME_WAIT_NS;
		return true;
	case TCPWHY_TIME_WAIT:
	case TCPWHY_CLOSING:
	case TCPWHY_LAST_ACK:
		return true;
	case TCPWHY_SYN_SENT:
	case TCPWHY_SYN_RECV:
	case TCPWHY_CLOSE:
	case TCPWHY_CLOSE_WAIT:
	case TCPWHY_LISTEN:
	case TCPWHY_BOUND:
		return false;
	}
	return true;
}

bool load_is_orphan(const struct snapshot_owner *s)
{
	return !s->inode && !s->o.timewait &&
	       (s->o.state == TCPWHY_FIN_WAIT1 || s->o.state == TCPWHY_FIN_WAIT2 ||
		s->o.state == TCPWHY_CLOSING || s->o.state == TCPWHY_LAST_ACK);
}

/* Applies a change to one owner. False: the owner is not there in the changed world. */
static bool change_owner(const struct load_change *c, const struct snapshot_owner *seen,
			 struct tcpwhy_owner *o, uint64_t now_ns)
{
	if (c->end_living && !end_by_process(o, load_is_orphan(seen), now_ns))
		return false;
	if (o->timewait && o->state == TCPWHY_TIME_WAIT && c->destroy_time_wait)
		return false;
	if (o->timewait && o->state == TCPWHY_FIN_WAIT2 && c->destroy_fin_wait2)
		return false;
	if (c->end_fin_wait2 && o->state == TCPWHY_FIN_WAIT2 &&
	    (o->timewait || load_is_orphan(seen)))
		return false;
	if (o->timewait && o->expires_ns && o->expires_ns <= c->wait_until_ns)
		return false;
	if (c->reserve && o->port == c->reserve && o->connect_bind == TCPWHY_YES)
		return false;
	if (c->timestamps)
		o->timestamps = TCPWHY_YES;
	if (c->reuse)
		o->reuse = TCPWHY_REUSE_CAN;
	if (c->reuseport)
		o->reuseport = TCPWHY_YES;
	return true;
}

static int load_owners(struct tcpwhy_engine *e, const struct snapshot *snap,
		       const struct load_change *change, bool *strange)
{
	for (size_t i = 0; i < snap->owners_n; i++) {
		struct tcpwhy_owner o = snap->owners[i].o;
		o.tag = i;
		if (!change_owner(change, &snap->owners[i], &o, snap->taken_ns))
			continue;
		int r = tcpwhy_import_owner(e, &o, NULL);
		if (r == -EINVAL)
			*strange = true;
		else if (r)
			return r;
	}
	return 0;
}

/* In a world in which the owners had other options, what their binds left in the bucket is another
 * thing too. Zero is safe: it only makes the engine look at every owner, which is what counts. */
static int forget_buckets(struct tcpwhy_engine *e, const struct snapshot *snap)
{
	for (size_t i = 0; i < snap->owners_n; i++) {
		const struct tcpwhy_owner *o = &snap->owners[i].o;
		struct tcpwhy_bucket b = {
			.port = o->port,
			.l3mdev = o->l3mdev,
			.known = true,
			.fast_family = TCPWHY_IPV4,
		};
		if (i && o->port == snap->owners[i - 1].o.port &&
		    o->l3mdev == snap->owners[i - 1].o.l3mdev)
			continue;
		int r = tcpwhy_import_bucket(e, &b);
		if (r == -ENOMEM)
			return r;
	}
	return 0;
}

/* Ports with an owner that listens or only bound. */
static void find_bound(const struct snapshot *snap, uint32_t bound[2048])
{
	for (size_t i = 0; i < snap->owners_n; i++) {
		const struct tcpwhy_owner *o = &snap->owners[i].o;
		if (o->state == TCPWHY_LISTEN || o->state == TCPWHY_BOUND)
			bound[o->port / 32] |= 1u << o->port % 32;
	}
}

/* Every bucket of connections alone becomes connect()'s. */
static int unbind_buckets(struct tcpwhy_engine *e, const struct snapshot *snap)
{
	uint32_t bound[2048] = {0};
	int r = 0;

	find_bound(snap, bound);
	for (size_t i = 0; i < snap->owners_n && r != -ENOMEM; i++) {
		const struct tcpwhy_owner *o = &snap->owners[i].o;
		struct tcpwhy_bucket b = {
			.port = o->port,
			.l3mdev = o->l3mdev,
			.known = true,
			.fastreuse = -1,
			.fastreuseport = -1,
			.fast_family = TCPWHY_IPV4,
		};
		if (!(bound[o->port / 32] >> o->port % 32 & 1))
			r = tcpwhy_import_bucket(e, &b);
	}
	return r == -ENOMEM ? r : 0;
}

/* Buckets whose last owner left are freed by the kernel: only ports that still have an owner keep
 * one. */
static int load_buckets(struct tcpwhy_engine *e, const struct snapshot *snap)
{
	uint32_t owned[2048] = {0};
	struct tcpwhy_cursor c = {0};
	struct tcpwhy_owner o;
	tcpwhy_sock s;

	while (tcpwhy_next_owner(e, &c, &s, &o))
		owned[o.port / 32] |= 1u << o.port % 32;
	for (size_t i = 0; i < snap->buckets_n; i++) {
		const struct tcpwhy_bucket *b = &snap->buckets[i];
		if (!(owned[b->port / 32] >> b->port % 32 & 1))
			continue;
		int r = tcpwhy_import_bucket(e, b);
		if (r == -ENOMEM)
			return r;
	}
	return 0;
}

/* ------------------------------------------------------------------------------------- the engine
 */

static int fill(struct tcpwhy_engine *e, const struct snapshot *snap, const struct tcpwhy_row *row,
		const struct load_change *change)
{
	struct tcpwhy_sysctls sysctls = load_sysctls(snap, row);
	bool strange = false;
	int r = tcpwhy_set_sysctls(e, change->sysctls ? change->sysctls : &sysctls);

	if (r)
		return r;
	if (!change->unreserve)
		load_reserved(e, snap, change->reserve);
	r = load_places(e, snap);
	/* The clock first: an owner that is still there at its deadline is still in the way. */
	tcpwhy_advance(e, snap->taken_ns > change->wait_until_ns ? snap->taken_ns
								 : change->wait_until_ns);
	if (!r)
		r = load_owners(e, snap, change, &strange);
	if (!r)
		r = change->reuse || change->reuseport ? forget_buckets(e, snap)
						       : load_buckets(e, snap);
	if (!r && change->unbind)
		r = unbind_buckets(e, snap);
	tcpwhy_import_programs(e, snap->bind_programs4, snap->bind_programs6);
	tcpwhy_import_blind(e, snap->bound_unseen || snap->truncated || strange);
	return r;
}

int load_engine(const struct snapshot *snap, const struct tcpwhy_row *row,
		const struct load_change *change, const struct tcpwhy_memory *memory,
		struct tcpwhy_engine **out)
{
	static const struct load_change nothing;
	struct tcpwhy_engine *e = tcpwhy_engine_new(row, memory);

	if (!e)
		return -ENOMEM;
	int r = fill(e, snap, row, change ? change : &nothing);
	if (r) {
		tcpwhy_engine_free(e);
		return r;
	}
	*out = e;
	return 0;
}
