/* SPDX-License-Identifier: MIT
 *
 * Sockets as records: handles, options, and what is reported of them.
 */
#include <errno.h>
#include <string.h>

#include "engine/state.h"

tcpwhy_sock sock_handle(const struct tcpwhy_engine *e, uint32_t i)
{
	return i == NIL ? 0 : (uint64_t)sock_at(e, i)->generation << 32 | (i + 1);
}

struct sock *sock_live(const struct tcpwhy_engine *e, tcpwhy_sock s, uint32_t *index)
{
	uint32_t i = (uint32_t)s - 1;

	if (!(uint32_t)s || i >= e->socks.used)
		return NULL;
	struct sock *k = sock_at(e, i);
	if (!k->state || k->generation != (uint32_t)(s >> 32))
		return NULL;
	*index = i;
	return k;
}

static bool chunk_add(struct tcpwhy_engine *e)
{
	struct sock_slab *slab = &e->socks;
	uint32_t n = slab->used / SOCK_CHUNK;

	if (!memory_grow(&e->memory, &slab->chunk, &slab->chunks_size, n + 1, sizeof(*slab->chunk)))
		return false;
	if (!slab->chunk[n]) /* else left by a call that ended without memory */
		slab->chunk[n] = memory_new(&e->memory, SOCK_CHUNK * sizeof(struct sock));
	return slab->chunk[n] != NULL;
}

uint32_t sock_new(struct tcpwhy_engine *e)
{
	struct sock_slab *slab = &e->socks;
	uint32_t i = slab->free, generation = 0;

	if (i != NIL) {
		generation = sock_at(e, i)->generation;
		slab->free = sock_at(e, i)->tuple_next;
	} else {
		if (slab->used % SOCK_CHUNK == 0 && !chunk_add(e))
			return NIL;
		i = slab->used++;
	}
	*sock_at(e, i) = (struct sock){
		.generation = generation + 1,
		.state = TCPWHY_CLOSE,
		.bucket2 = NIL,
		.owner_next = NIL,
		.owner_prev = NIL,
		.tuple_next = NIL,
	};
	return i;
}

void sock_drop(struct tcpwhy_engine *e, uint32_t i)
{
	struct sock *s = sock_at(e, i);

	must(s->state && s->bucket2 == NIL && !s->hashed && !s->in_fifo && !s->in_heap);
	s->state = 0;
	s->tuple_next = e->socks.free;
	e->socks.free = i;
}

void sock_set_local(struct sock *s, struct ref r)
{
	s->local = r.v;
	s->local6 = r.six;
}

void sock_set_peer(struct sock *s, struct ref r, uint16_t port)
{
	s->peer = r.v;
	s->peer6 = r.six;
	s->peer_port = port;
}

static struct ref any_of(uint8_t family)
{
	return (struct ref){.v = 0, .six = family == TCPWHY_IPV6};
}

int tcpwhy_socket(struct tcpwhy_engine *e, enum tcpwhy_family family, uint32_t uid,
		  bool may_bind_low, tcpwhy_sock *out)
{
	if (family != TCPWHY_IPV4 && family != TCPWHY_IPV6)
		return -EINVAL;
	uint32_t i = sock_new(e);
	if (i == NIL)
		return -ENOMEM;
	struct sock *s = sock_at(e, i);
	s->six = family == TCPWHY_IPV6;
	s->uid = uid;
	s->uid_known = true;
	s->may_bind_low = may_bind_low;
	s->v6only = family == TCPWHY_IPV6 && e->sysctls.bindv6only;
	sock_set_local(s, any_of(sock_family(s)));
	sock_set_peer(s, any_of(TCPWHY_IPV6), 0);
	*out = sock_handle(e, i);
	return 0;
}

static bool device_exists(const struct tcpwhy_engine *e, uint64_t device)
{
	for (uint32_t i = 0; i < e->devices_used; i++)
		if (e->devices[i].index == device)
			return true;
	return !e->devices_known;
}

/* The ports of a destination are kept by device, too; those of a connected socket move with it. */
static int set_device(struct tcpwhy_engine *e, uint32_t i, uint64_t value)
{
	struct sock *s = sock_at(e, i);
	uint32_t old = s->device, device = (uint32_t)value;

	if (value && !device_exists(e, value))
		return ENODEV;
	s->device = device;
	if (device == old || !s->hashed || sock_connect_bind(s) != TCPWHY_YES)
		return 0;
	if (!portset_add(e, i)) {
		s->device = old;
		return ENOMEM;
	}
	s->device = old;
	portset_remove(e, i);
	s->device = device;
	return 0;
}

/* IPV6_V6ONLY is refused once a port is held (do_ipv6_setsockopt()). */
static int set_v6only(struct sock *s, bool on)
{
	if (!s->six)
		return ENOPROTOOPT;
	if (s->bucket2 != NIL)
		return EINVAL;
	s->v6only = on;
	return 0;
}

/* sk_unhashed() here: neither listening nor in the table of 4-tuples. */
static int attach_reuseport(const struct tcpwhy_engine *e, struct sock *s)
{
	bool unhashed = !s->hashed && s->state != TCPWHY_LISTEN;

	if (!has(e, TCPWHY_F_REUSEPORT_GROUPS))
		return ENOPROTOOPT;
	if (unhashed ? s->reuseport != TCPWHY_YES : !s->reuseport_cb)
		return EINVAL;
	s->reuseport_cb = true;
	return 0;
}

static int set_range(const struct tcpwhy_engine *e, struct sock *s, uint64_t value)
{
	uint32_t low = value & 0xffff, high = (uint32_t)value >> 16;

	if (!has(e, TCPWHY_F_SOCK_PORT_RANGE))
		return ENOPROTOOPT;
	if (low && high && low > high)
		return EINVAL;
	s->range = (uint32_t)value;
	return 0;
}

int tcpwhy_setsockopt(struct tcpwhy_engine *e, tcpwhy_sock handle, enum tcpwhy_option option,
		      uint64_t value)
{
	uint32_t i;
	struct sock *s = sock_live(e, handle, &i);
	bool on = value != 0;

	if (!s || s->orphan || s->timewait)
		return -EBADF;
	switch (option) {
	case TCPWHY_SO_REUSEADDR:
		s->reuse = on ? TCPWHY_REUSE_CAN : TCPWHY_REUSE_NO;
		return 0;
	case TCPWHY_SO_REUSEPORT:
		s->reuseport = on;
		return 0;
	case TCPWHY_SO_BINDTODEVICE:
		return set_device(e, i, value);
	case TCPWHY_SO_LINGER0:
		s->linger0 = on;
		return 0;
	case TCPWHY_SO_ATTACH_REUSEPORT:
		return attach_reuseport(e, s);
	case TCPWHY_IPV6_V6ONLY:
		return set_v6only(s, on);
	case TCPWHY_IP_FREEBIND:
		s->freebind = on;
		return 0;
	case TCPWHY_IP_TRANSPARENT:
		s->transparent = on;
		return 0;
	case TCPWHY_IP_BIND_ADDRESS_NO_PORT:
		if (!has(e, TCPWHY_F_BIND_NO_PORT))
			return ENOPROTOOPT;
		s->no_port = on;
		return 0;
	case TCPWHY_IP_LOCAL_PORT_RANGE:
		return set_range(e, s, value);
	case TCPWHY_TCP_REPAIR:
		s->reuse = on ? TCPWHY_REUSE_FORCE : TCPWHY_REUSE_NO;
		return 0;
	case TCPWHY_TCP_LINGER2:
		s->linger2_off = (int64_t)value < 0;
		/* TCP_FIN_TIMEOUT_MAX */
		s->linger2_s = s->linger2_off ? 0 : (uint8_t)(value < 120 ? value : 120);
		return 0;
	}
	return -EINVAL;
}

static uint8_t reported_state(const struct sock *s)
{
	return s->state == TCPWHY_CLOSE && s->bucket2 != NIL ? TCPWHY_BOUND : s->state;
}

void sock_report(const struct tcpwhy_engine *e, uint32_t i, struct tcpwhy_owner *o)
{
	const struct sock *s = sock_at(e, i);
	uint32_t l3mdev = 0;

	if (e->has_vrf && s->bucket2 != NIL)
		l3mdev = bucket_at(e, bucket2_at(e, s->bucket2)->bucket)->l3mdev;
	*o = (struct tcpwhy_owner){
		.local = ref_address(e, sock_local(s)),
		.peer = ref_address(e, sock_peer(s)),
		.port = s->port,
		.peer_port = s->peer_port,
		.family = sock_family(s),
		.state = reported_state(s),
		.reuse = s->reuse,
		.reuseport = s->reuseport,
		.v6only = s->v6only,
		.connect_bind = (uint8_t)sock_connect_bind(s),
		.timewait = s->timewait,
		.timestamps = (uint8_t)sock_timestamps(s),
		.uid_known = s->uid_known,
		.uid = s->uid_known ? s->uid : 0,
		.device = s->device,
		.l3mdev = l3mdev,
		.expires_ns = s->timewait ? s->expires_ns : 0,
		.tag = s->timewait                ? s->tag
		       : s->pending || s->in_heap ? 0
						  : s->import,
	};
}

int tcpwhy_get(const struct tcpwhy_engine *e, tcpwhy_sock handle, struct tcpwhy_owner *owner)
{
	uint32_t i;

	if (!sock_live(e, handle, &i))
		return -EBADF;
	if (owner)
		sock_report(e, i, owner);
	return 0;
}
