/* SPDX-License-Identifier: MIT
 *
 * The ports that are taken towards one destination, as sets
 *
 * The kernel tries candidate after candidate. The same port is found in a few words if each
 * destination (local address, remote address, remote port, device) keeps the ports of its
 * connect-bound sockets as bits, the parities apart as the search steps. Explicitly bound and
 * accepted sockets never enter: their bucket is not connect-only, so one set of bits blocks the
 * port for all (bucket_changed()). A destination with few ports keeps them in a short array.
 *
 * A TIME_WAIT old enough to be taken over has its bit in a second set (ripe). Ages are told by one
 * list of all TIME_WAITs (timewait_ripen()); the rare mini-socket whose age is not its time in that
 * list is counted as odd, and then the caller goes port by port.
 */
#include <string.h>

#include "engine/state.h"

#define FEW 32u

/* Ports of a destination with many. A bit of full says that a word of taken has no hole, so that a
 * used up half of the range is passed over in a few steps. */
struct many {
	struct portbits taken;
	uint64_t full[2][PORT_WORDS / 64];
};

struct portset {
	uint32_t local, peer;
	uint16_t peer_port;
	bool local6, peer6;
	bool used;
	uint32_t device;
	uint32_t next; /* chain; free: the next free one */
	uint32_t count, odd;
	uint32_t few_size;     /* entries of few; 0: inline_few is used, or bits */
	uint32_t few_ripe;     /* bit n: the n-th port of the array */
	struct many *bits;     /* more than FEW ports */
	struct portbits *ripe; /* NULL: none was ever ripe */
	union {
		uint16_t *few;
		uint16_t inline_few[4];
	};
};

static const struct portbits no_ports;

/* ------------------------------------------------------------------------------------- finding */

/* A destination as one device sees it. */
struct key {
	struct ref local, peer;
	uint16_t peer_port;
	uint32_t device;
};

static uint32_t key_hash(const struct key *k)
{
	return hash_mix((uint64_t)k->local.v << 32 | k->peer.v,
			(uint64_t)k->peer_port << 32 | k->device);
}

static bool key_matches(const struct portset *set, const struct key *k)
{
	return set->local == k->local.v && set->peer == k->peer.v &&
	       set->peer_port == k->peer_port && set->device == k->device &&
	       set->local6 == k->local.six && set->peer6 == k->peer.six;
}

static struct key key_of_set(const struct portset *set)
{
	return (struct key){.local = {set->local, set->local6},
			    .peer = {set->peer, set->peer6},
			    .peer_port = set->peer_port,
			    .device = set->device};
}

static struct key key_of_sock(const struct sock *s)
{
	return (struct key){.local = sock_local(s),
			    .peer = sock_peer(s),
			    .peer_port = s->peer_port,
			    .device = s->device};
}

static uint32_t *set_link(const struct tcpwhy_engine *e, const struct key *k)
{
	uint32_t *link = &e->by_destination.head[key_hash(k) & (e->by_destination.size - 1)];

	while (*link != NIL && !key_matches(&e->sets[*link], k))
		link = &e->sets[*link].next;
	return link;
}

static struct portset *set_find(const struct tcpwhy_engine *e, const struct key *k)
{
	if (!e->by_destination.size)
		return NULL;
	uint32_t i = *set_link(e, k);
	return i == NIL ? NULL : &e->sets[i];
}

static bool sets_room(struct tcpwhy_engine *e)
{
	if (!chains_want_more(&e->by_destination))
		return true;
	if (!chains_resize(&e->memory, &e->by_destination))
		return false;
	for (uint32_t i = 0; i < e->sets_used; i++) {
		if (!e->sets[i].used)
			continue;
		struct key k = key_of_set(&e->sets[i]);
		uint32_t *head =
			&e->by_destination.head[key_hash(&k) & (e->by_destination.size - 1)];
		e->sets[i].next = *head;
		*head = i;
	}
	return true;
}

static struct portset *set_need(struct tcpwhy_engine *e, const struct key *k)
{
	struct portset *set = set_find(e, k);
	uint32_t i = e->sets_free;

	if (set)
		return set;
	if (!sets_room(e))
		return NULL;
	if (i != NIL)
		e->sets_free = e->sets[i].next;
	else if (memory_grow(&e->memory, &e->sets, &e->sets_size, e->sets_used + 1, sizeof(*set)))
		i = e->sets_used++;
	else
		return NULL;
	uint32_t *link = set_link(e, k);
	e->sets[i] = (struct portset){.local = k->local.v,
				      .peer = k->peer.v,
				      .peer_port = k->peer_port,
				      .local6 = k->local.six,
				      .peer6 = k->peer.six,
				      .used = true,
				      .device = k->device,
				      .next = NIL};
	*link = i;
	e->by_destination.entries++;
	return &e->sets[i];
}

static void set_empty(struct tcpwhy_engine *e, struct portset *set)
{
	if (set->few_size)
		memory_drop(&e->memory, &set->few, set->few_size, sizeof(uint16_t));
	memory_drop(&e->memory, &set->bits, set->bits ? 1 : 0, sizeof(struct many));
	memory_drop(&e->memory, &set->ripe, set->ripe ? 1 : 0, sizeof(struct portbits));
}

static void set_drop(struct tcpwhy_engine *e, struct portset *set)
{
	struct key k = key_of_set(set);
	uint32_t *link = set_link(e, &k), i = *link;

	set_empty(e, set);
	*link = set->next;
	e->by_destination.entries--;
	set->used = false;
	set->next = e->sets_free;
	e->sets_free = i;
}

void portset_free_all(struct tcpwhy_engine *e)
{
	for (uint32_t i = 0; i < e->sets_used; i++)
		if (e->sets[i].used)
			set_empty(e, &e->sets[i]);
	memory_drop(&e->memory, &e->sets, e->sets_size, sizeof(struct portset));
	memory_drop(&e->memory, &e->by_destination.head, e->by_destination.size, sizeof(uint32_t));
}

/* ---------------------------------------------------------------------------------- few and many
 */

static uint16_t *few_of(struct portset *set)
{
	return set->few_size ? set->few : set->inline_few;
}

static const uint16_t *few_ports(const struct portset *set)
{
	return set->few_size ? set->few : set->inline_few;
}

static uint32_t few_room(const struct portset *set)
{
	return set->few_size ? set->few_size : sizeof(set->inline_few) / sizeof(set->inline_few[0]);
}

/* Position of a port in the array; count if it is not there. */
static uint32_t few_at(const struct portset *set, uint16_t port)
{
	const uint16_t *few = few_ports(set);
	uint32_t n = 0;

	while (n < set->count && few[n] != port)
		n++;
	return n;
}

static bool few_grow(struct tcpwhy_engine *e, struct portset *set)
{
	uint32_t size = few_room(set) * 2;
	uint16_t *grown = memory_new(&e->memory, size * sizeof(*grown));

	if (!grown)
		return false;
	memcpy(grown, few_ports(set), set->count * sizeof(*grown));
	if (set->few_size)
		memory_drop(&e->memory, &set->few, set->few_size, sizeof(uint16_t));
	set->few = grown;
	set->few_size = size;
	return true;
}

static struct portbits *ripe_need(struct tcpwhy_engine *e, struct portset *set)
{
	if (!set->ripe)
		set->ripe = memory_new(&e->memory, sizeof(*set->ripe));
	return set->ripe;
}

static void many_put(struct many *m, uint16_t port, bool on)
{
	unsigned parity = port % 2;
	uint32_t w = port / 128;
	uint64_t *full = &m->full[parity][w / 64], bit = UINT64_C(1) << w % 64;

	portbits_put(&m->taken, port, on);
	*full = ~m->taken.word[parity][w] ? *full & ~bit : *full | bit;
}

/* From the array to bits. */
static bool make_bits(struct tcpwhy_engine *e, struct portset *set)
{
	struct many *bits = memory_new(&e->memory, sizeof(*bits));

	if (!bits)
		return false;
	if (set->few_ripe && !ripe_need(e, set)) {
		memory_drop(&e->memory, &bits, 1, sizeof(*bits));
		return false;
	}
	for (uint32_t n = 0; n < set->count; n++) {
		many_put(bits, few_ports(set)[n], true);
		if (set->few_ripe >> n & 1)
			portbits_put(set->ripe, few_ports(set)[n], true);
	}
	if (set->few_size)
		memory_drop(&e->memory, &set->few, set->few_size, sizeof(uint16_t));
	set->few_size = set->few_ripe = 0;
	set->bits = bits;
	return true;
}

static bool put_port(struct tcpwhy_engine *e, struct portset *set, uint16_t port)
{
	if (!set->bits && set->count == few_room(set) && set->count < FEW && !few_grow(e, set))
		return false;
	if (!set->bits && set->count == FEW && !make_bits(e, set))
		return false;
	if (set->bits)
		many_put(set->bits, port, true);
	else
		few_of(set)[set->count] = port;
	set->count++;
	return true;
}

static void take_port(struct portset *set, uint16_t port)
{
	set->count--;
	if (set->bits) {
		many_put(set->bits, port, false);
		if (set->ripe)
			portbits_put(set->ripe, port, false);
		return;
	}
	set->count++;
	uint32_t n = few_at(set, port), last = --set->count;
	must(n <= last);
	few_of(set)[n] = few_of(set)[last];
	uint32_t moved = set->few_ripe >> last & 1;
	set->few_ripe = (set->few_ripe & ~(1u << n) & ~(1u << last)) | (n < last ? moved << n : 0);
}

/* A mini-socket whose age the list does not tell. */
static bool is_odd(const struct tcpwhy_engine *e, const struct sock *s)
{
	if (!s->timewait || s->in_fifo)
		return false;
	return s->state == TCPWHY_TIME_WAIT || !has(e, TCPWHY_F_TW_REUSE_NO_FW2);
}

bool portset_add(struct tcpwhy_engine *e, uint32_t i)
{
	const struct sock *s = sock_at(e, i);
	struct key k = key_of_sock(s);
	struct portset *set = set_need(e, &k);

	if (!set)
		return false;
	if (!put_port(e, set, s->port)) {
		if (!set->count)
			set_drop(e, set);
		return false;
	}
	set->odd += is_odd(e, s);
	return true;
}

void portset_remove(struct tcpwhy_engine *e, uint32_t i)
{
	const struct sock *s = sock_at(e, i);
	struct key k = key_of_sock(s);
	struct portset *set = set_find(e, &k);

	must(set && set->count);
	set->odd -= is_odd(e, s);
	take_port(set, s->port);
	if (!set->count)
		set_drop(e, set);
}

void portset_ripen(struct tcpwhy_engine *e, uint32_t i, bool ripe)
{
	const struct sock *s = sock_at(e, i);
	struct key k = key_of_sock(s);
	struct portset *set;

	if (!s->hashed || sock_connect_bind(s) != TCPWHY_YES || sock_timestamps(s) != TCPWHY_YES)
		return;
	set = set_find(e, &k);
	must(set != NULL);
	if (!set->bits) {
		uint32_t bit = 1u << few_at(set, s->port);
		set->few_ripe = ripe ? set->few_ripe | bit : set->few_ripe & ~bit;
	} else if (ripe ? ripe_need(e, set) != NULL : set->ripe != NULL) {
		portbits_put(set->ripe, s->port, ripe);
	} else if (ripe) {
		set->odd++; /* no memory: this set goes port by port from now on */
	}
}

/* ----------------------------------------------------------------------------------- searching */

#define SETS_MAX 3u

/* All that decides about a port, for one asker. */
struct view {
	const struct portbits *blocked, *reserved;
	const struct portset *set[SETS_MAX];
	bool use_ripe[SETS_MAX];
	unsigned sets;
	bool ripe; /* some port may be taken over */
};

static uint64_t set_word(const struct portset *set, bool use_ripe, unsigned parity, uint32_t w)
{
	uint64_t taken = set->bits->taken.word[parity][w];

	return use_ripe && set->ripe ? taken & ~set->ripe->word[parity][w] : taken;
}

static uint64_t few_word(const struct portset *set, bool use_ripe, unsigned parity, uint32_t w)
{
	uint64_t taken = 0;

	for (uint32_t n = 0; n < set->count; n++) {
		uint16_t port = few_ports(set)[n];
		if (port % 2 == parity && port / 128 == w &&
		    !(use_ripe && (set->few_ripe >> n & 1)))
			taken |= UINT64_C(1) << port / 2 % 64;
	}
	return taken;
}

/* The bits of ports that cannot be had. */
static uint64_t busy_word(const struct view *v, unsigned parity, uint32_t w)
{
	uint64_t busy = v->blocked->word[parity][w] | v->reserved->word[parity][w];

	for (unsigned n = 0; n < v->sets; n++)
		busy |= v->set[n]->bits ? set_word(v->set[n], v->use_ripe[n], parity, w)
					: few_word(v->set[n], v->use_ripe[n], parity, w);
	return busy;
}

/* The first word from w on that some set does not fill; may be past the end. */
static uint32_t skip_full(const struct view *v, unsigned parity, uint32_t w)
{
	for (unsigned n = 0; n < v->sets && !v->ripe; n++) {
		const struct portset *set = v->set[n];
		while (set->bits && w < PORT_WORDS) {
			uint64_t holes = ~set->bits->full[parity][w / 64] >> w % 64;
			if (holes) {
				w += (uint32_t)__builtin_ctzll(holes);
				break;
			}
			w = (w / 64 + 1) * 64;
		}
	}
	return w;
}

/* The first port of that parity in first..last that can be had, 0 if none. Both have the parity. */
static uint32_t find_parity(const struct view *v, uint32_t first, uint32_t last)
{
	unsigned parity = first % 2;
	uint32_t a = first / 2, b = last / 2;

	for (uint32_t w = skip_full(v, parity, a / 64); w <= b / 64;
	     w = skip_full(v, parity, w + 1)) {
		uint64_t can = ~busy_word(v, parity, w);
		if (w == a / 64)
			can &= ~UINT64_C(0) << a % 64;
		if (w == b / 64)
			can &= ~UINT64_C(0) >> (63 - b % 64);
		if (can)
			return (w * 64 + (uint32_t)__builtin_ctzll(can)) * 2 + parity;
	}
	return 0;
}

/* The first port of first, first + step ... last that can be had. */
static uint32_t find_between(const struct view *v, uint32_t first, uint32_t last, uint32_t step)
{
	if (first > last)
		return 0;
	if (step == 2)
		return find_parity(v, first, last - (last - first) % 2);
	uint32_t a = find_parity(v, first, last - (last - first) % 2);
	uint32_t b = first < last ? find_parity(v, first + 1, last - (last - first - 1) % 2) : 0;
	return !b || (a && a < b) ? a : b;
}

static void view_add(const struct tcpwhy_engine *e, struct view *v, struct key *k, uint32_t device,
		     bool *slow)
{
	k->device = device;
	const struct portset *set = set_find(e, k);
	if (!set)
		return;
	struct sock sample = {.local = k->local.v,
			      .peer = k->peer.v,
			      .local6 = k->local.six,
			      .peer6 = k->peer.six,
			      .device = device};
	v->use_ripe[v->sets] = timewait_reuse_on(e, &sample);
	v->set[v->sets++] = set;
	*slow |= set->odd != 0;
	v->ripe |= v->use_ripe[v->sets - 1] && (set->ripe || set->few_ripe);
}

/* The same unions as inet_sk_bound_dev_eq(): no device, the asker's, its VRF. */
static struct view view_of(const struct tcpwhy_engine *e, const struct tuple *t, bool *slow)
{
	const struct portbits *blocked = blocked_ports(e, t->l3mdev);
	struct view v = {.blocked = blocked ? blocked : &no_ports,
			 .reserved = e->reserved ? e->reserved : &no_ports};
	struct key k = {.local = t->local, .peer = t->peer, .peer_port = t->peer_port};

	if (!t->l3mdev || e->sysctls.l3mdev_accept)
		view_add(e, &v, &k, 0, slow);
	if (t->device)
		view_add(e, &v, &k, t->device, slow);
	if (t->l3mdev && t->l3mdev != t->device)
		view_add(e, &v, &k, t->l3mdev, slow);
	/* The same 4-tuple can stand once without device and once with: which of the two is found
	 * first decides whether it is the one that may be taken over. */
	*slow |= v.sets > 1 && v.ripe;
	return v;
}

static bool is_taken(const struct view *v, uint16_t port)
{
	for (unsigned n = 0; n < v->sets; n++)
		if (v->set[n]->bits ? portbits_has(&v->set[n]->bits->taken, port)
				    : few_at(v->set[n], port) < v->set[n]->count)
			return true;
	return false;
}

uint16_t portset_search(const struct tcpwhy_engine *e, const struct tuple *t, struct range r,
			uint32_t step, uint32_t offset, bool *slow, bool *takes_over)
{
	uint32_t count = r.high - r.low + 1,
		 remaining = step == 1 || count == 1 ? count : count & ~1u;
	uint32_t visits = (remaining + step - 1) / step;

	*slow = e->blocked_blind;
	*takes_over = false;
	struct view v = view_of(e, t, slow);
	if (*slow)
		return 0;
	if (offset >= count)
		offset -= remaining;
	/* Up to the end of the range, then from where the wrap leads. */
	uint32_t ahead = (count - 1 - offset) / step + 1;
	if (ahead > visits)
		ahead = visits;
	uint32_t first = r.low + offset,
		 port = find_between(&v, first, first + (ahead - 1) * step, step);
	if (!port && ahead < visits) {
		first += ahead * step - remaining;
		port = find_between(&v, first, first + (visits - ahead - 1) * step, step);
	}
	*takes_over = port && v.ripe && is_taken(&v, (uint16_t)port);
	return (uint16_t)port;
}
