/* SPDX-License-Identifier: MIT
 *
 * State that was seen elsewhere comes in, and all state can be read out.
 */
#include <errno.h>
#include <string.h>

#include "base/address.h"
#include "engine/state.h"

static bool is_importable(const struct tcpwhy_owner *o)
{
	bool family = o->family == TCPWHY_IPV4 || o->family == TCPWHY_IPV6;
	bool state = (o->state >= TCPWHY_ESTABLISHED && o->state <= TCPWHY_CLOSING) ||
		     o->state == TCPWHY_BOUND;
	bool tris = o->reuse <= TCPWHY_REUSE_UNKNOWN && o->reuseport <= TCPWHY_UNKNOWN &&
		    o->v6only <= TCPWHY_UNKNOWN && o->connect_bind <= TCPWHY_UNKNOWN &&
		    o->timestamps <= TCPWHY_UNKNOWN;
	bool mini = !o->timewait || o->state == TCPWHY_TIME_WAIT || o->state == TCPWHY_FIN_WAIT2;

	return family && state && tris && mini && o->port &&
	       (o->family == TCPWHY_IPV6 || address_is_v4(&o->local));
}

/* The bucket of an import; one that is new has fields nobody has seen. */
static uint32_t import_bucket(struct tcpwhy_engine *e, uint16_t port, uint32_t l3mdev)
{
	uint32_t b = bucket_find(e, port, l3mdev);

	if (b != NIL)
		return b;
	b = bucket_need(e, port, l3mdev);
	if (b != NIL)
		bucket_at(e, b)->fast.known = false;
	if (b != NIL)
		bucket_changed(e, b);
	return b;
}

/* Owners come in runs of one address, so the last place is tried first. */
static uint32_t import_bucket2(struct tcpwhy_engine *e, const struct tcpwhy_owner *o,
			       struct ref local)
{
	if (e->last2 != NIL) {
		const struct bucket2 *tb2 = bucket2_at(e, e->last2);
		const struct bucket *tb = bucket_at(e, tb2->bucket);
		if (tb->port == o->port && tb->l3mdev == o->l3mdev && ref_equal(tb2->addr, local))
			return e->last2;
	}
	uint32_t b = import_bucket(e, o->port, o->l3mdev);
	return e->last2 = b == NIL ? NIL : bucket2_need(e, b, local);
}

static void import_fields(struct sock *s, const struct tcpwhy_owner *o)
{
	s->six = o->family == TCPWHY_IPV6;
	s->state = o->state == TCPWHY_BOUND ? TCPWHY_CLOSE : o->state;
	s->reuse = o->reuse;
	s->reuseport = o->reuseport;
	s->v6only = o->v6only;
	s->outgoing = o->connect_bind == TCPWHY_YES;
	s->outgoing_unknown = o->connect_bind == TCPWHY_UNKNOWN;
	s->timewait = o->timewait || o->state == TCPWHY_TIME_WAIT;
	s->timestamps = o->timestamps == TCPWHY_YES;
	s->timestamps_unknown = o->timestamps == TCPWHY_UNKNOWN;
	s->uid_known = o->uid_known && !s->timewait;
	if (s->timewait)
		s->tag = (uint32_t)o->tag;
	else
		s->import = (uint32_t)o->tag;
	if (s->uid_known)
		s->uid = o->uid;
	s->device = o->device;
	s->expires_ns = s->timewait ? o->expires_ns : 0;
	s->port_lock = o->connect_bind == TCPWHY_NO;
}

int tcpwhy_import_owner(struct tcpwhy_engine *e, const struct tcpwhy_owner *o, tcpwhy_sock *out)
{
	struct ref local, peer;

	if (!is_importable(o))
		return -EINVAL;
	if (!ref_of(e, &o->local, &local) || !ref_of(e, &o->peer, &peer))
		return -ENOMEM;
	uint32_t b2 = import_bucket2(e, o, local);
	uint32_t i = b2 == NIL ? NIL : sock_new(e);
	if (i == NIL)
		return -ENOMEM;
	struct sock *s = sock_at(e, i);
	import_fields(s, o);
	sock_set_local(s, local);
	sock_set_peer(s, peer, o->peer_port);
	owner_add(e, i, b2);
	e->timewaits += s->timewait;
	e->tuples_pending |= s->peer_port != 0;
	e->timers_pending |= s->timewait;
	if (out)
		*out = sock_handle(e, i);
	return 0;
}

int tcpwhy_import_bucket(struct tcpwhy_engine *e, const struct tcpwhy_bucket *seen)
{
	struct ref addr;

	if (!ref_of(e, &seen->fast_addr, &addr))
		return -ENOMEM;
	uint32_t b = import_bucket(e, seen->port, seen->l3mdev);
	if (b == NIL)
		return -ENOMEM;
	struct fast *f = &bucket_at(e, b)->fast;
	const uint8_t *v4 = (const uint8_t *)&seen->fast_addr4;
	*f = (struct fast){
		.known = seen->known,
		.reuse = seen->fastreuse,
		.reuseport = seen->fastreuseport,
		.family = seen->fast_family,
		.v6only = seen->fast_v6only,
		.uid = seen->fastuid,
		.addr4 = (uint32_t)v4[0] << 24 | (uint32_t)v4[1] << 16 | (uint32_t)v4[2] << 8 |
			 v4[3],
		.addr = addr,
	};
	bucket_changed(e, b);
	return 0;
}

bool tcpwhy_next_owner(const struct tcpwhy_engine *e, struct tcpwhy_cursor *c, tcpwhy_sock *s,
		       struct tcpwhy_owner *owner)
{
	for (uint32_t i = c->started ? c->next + 1 : 0; i < e->socks.used; i++) {
		if (!sock_at(e, i)->state || sock_at(e, i)->bucket2 == NIL)
			continue;
		c->started = true;
		c->next = i;
		if (s)
			*s = sock_handle(e, i);
		sock_report(e, i, owner);
		return true;
	}
	return false;
}

bool tcpwhy_get_bucket(const struct tcpwhy_engine *e, uint16_t port, uint32_t l3mdev,
		       struct tcpwhy_bucket *out)
{
	uint32_t b = bucket_find(e, port, l3mdev);

	if (b == NIL)
		return false;
	const struct fast *f = &bucket_at(e, b)->fast;
	const uint8_t v4[4] = {(uint8_t)(f->addr4 >> 24), (uint8_t)(f->addr4 >> 16),
			       (uint8_t)(f->addr4 >> 8), (uint8_t)f->addr4};
	*out = (struct tcpwhy_bucket){
		.port = port,
		.l3mdev = l3mdev,
		.known = f->known,
		.fastreuse = f->reuse,
		.fastreuseport = f->reuseport,
		.fastuid = f->uid,
		.fast_addr = ref_address(e, f->addr),
		.fast_family = f->family,
		.fast_v6only = f->v6only,
	};
	memcpy(&out->fast_addr4, v4, sizeof(v4));
	return true;
}
