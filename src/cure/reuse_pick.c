/* SPDX-License-Identifier: MIT */
#include "cure/reuse_pick.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "load/load.h"

#define NONE SIZE_MAX

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* One that accept() gave, or will; not a mini-socket. */
static bool is_connection(const struct snapshot_owner *s)
{
	if (s->o.timewait || s->o.connect_bind == TCPWHY_YES)
		return false;
	switch ((enum tcpwhy_state)s->o.state) {
	case TCPWHY_ESTABLISHED:
	case TCPWHY_SYN_RECV:
	case TCPWHY_FIN_WAIT1:
	case TCPWHY_FIN_WAIT2:
	case TCPWHY_CLOSE_WAIT:
	case TCPWHY_LAST_ACK:
	case TCPWHY_CLOSING:
		return true;
	case TCPWHY_SYN_SENT:
	case TCPWHY_TIME_WAIT:
	case TCPWHY_CLOSE:
	case TCPWHY_LISTEN:
	case TCPWHY_BOUND:
		break;
	}
	return false;
}

/* A child has its listener's family, whatever family the peer's address is of
 * (tcp_v6_syn_recv_sock() makes an IPv6 socket of a v4-mapped one). 0: it cannot have come by that
 * listener; else the more the better the kernel's lookup likes it (compute_score()). */
static unsigned score(const struct tcpwhy_owner *listener, const struct tcpwhy_owner *o)
{
	bool any = address_is_any(&listener->local);

	if (listener->port != o->port || listener->family != o->family ||
	    listener->l3mdev != o->l3mdev || (listener->device && listener->device != o->device) ||
	    (!any && !address_equal(&listener->local, &o->local)) ||
	    (any && !address_is_any6(&listener->local) && !address_is_v4(&o->local)) ||
	    (any && listener->v6only == TCPWHY_YES && address_is_v4(&o->local)))
		return 0;
	return 1u + (any ? 0 : 2) + (listener->device ? 1 : 0);
}

/* A port has few listeners, and can have a hundred thousand connections. */
struct picking {
	const struct snapshot *snap;
	uint8_t *roles;
	size_t *listeners;
	size_t listeners_n;
};

static void find_listeners(struct picking *p)
{
	for (size_t i = 0; i < p->snap->owners_n; i++) {
		if (p->snap->owners[i].o.state == TCPWHY_LISTEN)
			p->listeners[p->listeners_n++] = i;
	}
}

/* Two listeners of one score stand at the same place, and then either is as good. */
static size_t listener_of(const struct picking *p, const struct tcpwhy_owner *o)
{
	size_t best = NONE;
	unsigned best_score = 0;

	for (size_t i = 0; i < p->listeners_n; i++) {
		unsigned s = score(&p->snap->owners[p->listeners[i]].o, o);

		if (s > best_score) {
			best = p->listeners[i];
			best_score = s;
		}
	}
	return best;
}

static bool is_named(const struct reuse_place *place, const struct tcpwhy_owner *o)
{
	return !place->addr_given ||
	       (address_equal(&place->addr, &o->local) && place->family == o->family);
}

static void take_beside(struct picking *p, size_t listener)
{
	const struct tcpwhy_owner *ours = &p->snap->owners[listener].o;

	for (size_t i = 0; i < p->listeners_n; i++) {
		const struct tcpwhy_owner *o = &p->snap->owners[p->listeners[i]].o;

		if (o->port == ours->port && o->family == ours->family &&
		    o->l3mdev == ours->l3mdev && o->device == ours->device &&
		    address_equal(&o->local, &ours->local))
			p->roles[p->listeners[i]] = REUSE_LISTENER;
	}
}

/* One that the process has open: its listener, or the one that its connection came in by. */
static bool take_open(struct picking *p, const struct reuse_place *place, size_t i)
{
	const struct snapshot_owner *s = &p->snap->owners[i];
	size_t listener = i;

	if (s->o.state != TCPWHY_LISTEN) {
		if (!is_connection(s))
			return false;
		listener = listener_of(p, &s->o);
	}
	if (!is_named(place, &p->snap->owners[listener == NONE ? i : listener].o))
		return false;
	if (listener == NONE)
		p->roles[i] = REUSE_CONNECTION;
	else
		take_beside(p, listener);
	return true;
}

static enum reuse_role role_of(const struct snapshot_owner *s)
{
	if (s->o.timewait)
		return REUSE_TIME_WAIT;
	if (!is_connection(s))
		return REUSE_STRANGER;
	if (load_is_orphan(s))
		return REUSE_ORPHAN;
	return s->inode ? REUSE_CONNECTION : REUSE_QUEUED;
}

/* Where nobody listens any more, what is dead on the port is taken for the process's. */
static void take_rest(struct picking *p)
{
	for (size_t i = 0; i < p->snap->owners_n; i++) {
		const struct snapshot_owner *s = &p->snap->owners[i];
		enum reuse_role role = role_of(s);
		size_t listener;

		if (p->roles[i] != REUSE_STRANGER || role == REUSE_STRANGER)
			continue;
		listener = listener_of(p, &s->o);
		if (listener == NONE ? role == REUSE_TIME_WAIT || role == REUSE_ORPHAN
				     : p->roles[listener] == REUSE_LISTENER)
			p->roles[i] = (uint8_t)role;
	}
}

int reuse_pick(const struct snapshot *snap, const struct reuse_place *place, const uint32_t *inodes,
	       size_t inodes_n, uint8_t *roles)
{
	struct picking p = {.snap = snap, .roles = roles};
	int found = 0;

	p.listeners = calloc(snap->owners_n + 1, sizeof(*p.listeners));
	if (!p.listeners)
		return -ENOMEM;
	memset(roles, REUSE_STRANGER, snap->owners_n);
	find_listeners(&p);
	for (size_t i = 0; i < snap->owners_n; i++) {
		const uint32_t *inode = &snap->owners[i].inode;

		if (*inode && inodes_n &&
		    bsearch(inode, inodes, inodes_n, sizeof(*inodes), compare))
			found |= take_open(&p, place, i);
	}
	if (found)
		take_rest(&p);
	free(p.listeners);
	return found;
}
