/* SPDX-License-Identifier: MIT */
#include "cure/reuse_prove.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "load/load.h"

/* A peer that no other connection has: of the range for documentation (RFC 5737, RFC 3849). */
#define SAMPLE_PEER4 0xc0000201u
#define SAMPLE_PORT  40000

/* The port's owners in the world that is asked about. */
struct world {
	struct snapshot snap; /* a copy of the view's; only owners are new memory */
	struct snapshot_owner *owners;
	struct tcpwhy_bucket bucket;
};

/* The flags that were read from the sockets themselves, or the wanted ones. */
static void put_options(const struct reuse_view *view, size_t port, bool with, struct world *w)
{
	for (size_t i = 0; i < view->n; i++) {
		const struct reuse_socket *s = &view->sockets[i];

		if (s->port != port || s->reuse < 0)
			continue;
		w->owners[s->owner].o.reuse = with || s->reuse ? TCPWHY_REUSE_CAN : TCPWHY_REUSE_NO;
	}
}

/* Where the bucket cannot be seen, its listener tells: one without the option left fastreuse at 0
 * when it bound (inet_csk_update_fastreuse()), and nothing raises that while it is there. Zeros
 * have the engine look at every owner. */
static void put_bucket(const struct tcpwhy_owner *listener, struct world *w)
{
	if (w->snap.buckets_n || listener->reuse == TCPWHY_REUSE_UNKNOWN)
		return;
	w->bucket = (struct tcpwhy_bucket){.port = listener->port,
					   .l3mdev = listener->l3mdev,
					   .known = true,
					   .fast_family = listener->family};
	w->snap.buckets = &w->bucket;
	w->snap.buckets_n = 1;
}

/* What waits for accept() is reset when its listener closes (inet_csk_listen_stop()) and leaves
 * nothing. */
static void drop(const struct reuse_port *port, bool dead, struct world *w)
{
	size_t n = 0;

	for (size_t i = 0; i < port->snap.owners_n; i++) {
		uint8_t role = port->roles[i];

		if (role == REUSE_QUEUED || role == REUSE_ENDED ||
		    (dead && (role == REUSE_ORPHAN || role == REUSE_TIME_WAIT)))
			continue;
		w->owners[n++] = w->owners[i];
	}
	w->snap.owners_n = n;
}

static struct tcpwhy_addr sample_end(const struct tcpwhy_owner *listener, bool local)
{
	struct tcpwhy_addr a = listener->local;

	if (!local || address_is_any(&a)) {
		a = address_v4_number(local ? 0x7f000001u : SAMPLE_PEER4);
		if (listener->family == TCPWHY_IPV6)
			a = (struct tcpwhy_addr){{0x20, 0x01, 0x0d, 0xb8, [15] = local ? 1 : 2}};
	}
	return a;
}

/* A connection as the listener would accept one. */
static void add_sample(const struct tcpwhy_owner *listener, bool with, struct world *w)
{
	struct snapshot_owner *s = &w->owners[w->snap.owners_n++];

	*s = (struct snapshot_owner){.o = *listener, .inode = UINT32_MAX};
	s->o.state = TCPWHY_ESTABLISHED;
	s->o.local = sample_end(listener, true);
	s->o.peer = sample_end(listener, false);
	s->o.peer_port = SAMPLE_PORT;
	s->o.connect_bind = TCPWHY_NO;
	if (with)
		s->o.reuse = TCPWHY_REUSE_CAN;
}

struct trial {
	const struct reuse_view *view;
	const struct reuse_port *port;
	const struct tcpwhy_row *row;
	const struct tcpwhy_memory *memory;
	size_t listener;
};

static int ask(const struct trial *t, const struct reuse_proof *proof, bool with, bool dead_gone,
	       struct tcpwhy_verdict *v)
{
	const struct load_change restart = {.end_living = true};
	struct world w = {.snap = t->port->snap};
	struct tcpwhy_owner listener;
	struct tcpwhy_engine *e;
	int rc;

	w.owners = calloc(w.snap.owners_n + 1, sizeof(*w.owners));
	if (!w.owners)
		return -ENOMEM;
	memcpy(w.owners, t->port->snap.owners, w.snap.owners_n * sizeof(*w.owners));
	w.snap.owners = w.owners;
	put_options(t->view, (size_t)(t->port - t->view->ports), with, &w);
	listener = w.owners[t->listener].o;
	drop(t->port, dead_gone, &w);
	put_bucket(&listener, &w);
	if (proof->sample)
		add_sample(&listener, with, &w);
	rc = load_engine(&w.snap, t->row, &restart, t->memory, &e);
	if (!rc) {
		tcpwhy_would_bind(e, &proof->restart, v);
		tcpwhy_engine_free(e);
	}
	free(w.owners);
	return rc;
}

static bool same_place(const struct tcpwhy_owner *a, const struct tcpwhy_owner *b)
{
	return a->family == b->family && a->device == b->device &&
	       address_equal(&a->local, &b->local);
}

/* The n-th place that the server listens at: *port and the owner's index. */
static bool find_place(const struct reuse_view *view, size_t n, size_t *port, size_t *owner)
{
	for (*port = 0; *port < view->ports_n; ++*port) {
		const struct reuse_port *p = &view->ports[*port];
		const struct tcpwhy_owner *last = NULL;

		for (size_t i = 0; i < p->snap.owners_n; i++) {
			if (p->roles[i] != REUSE_LISTENER ||
			    (last && same_place(last, &p->snap.owners[i].o)))
				continue;
			last = &p->snap.owners[i].o;
			*owner = i;
			if (n-- == 0)
				return true;
		}
	}
	return false;
}

static bool has_connection(const struct reuse_port *port)
{
	for (size_t i = 0; i < port->snap.owners_n; i++) {
		if (port->roles[i] == REUSE_CONNECTION)
			return true;
	}
	return false;
}

int reuse_prove(const struct reuse_view *view, size_t n, const struct tcpwhy_row *row,
		const struct tcpwhy_memory *memory, struct reuse_proof *proof)
{
	struct trial t = {.view = view, .row = row, .memory = memory};
	const struct tcpwhy_owner *o;
	size_t port;
	int rc;

	if (!find_place(view, n, &port, &t.listener))
		return 0;
	t.port = &view->ports[port];
	o = &t.port->snap.owners[t.listener].o;
	*proof = (struct reuse_proof){
		.restart = {.addr = o->local,
			    .port = o->port,
			    .family = o->family,
			    .reuse = TCPWHY_REUSE_CAN,
			    .reuseport = o->reuseport == TCPWHY_YES,
			    .v6only = o->family == TCPWHY_IPV6 && o->v6only == TCPWHY_YES,
			    .listen = true,
			    .may_bind_low = TCPWHY_YES, /* it has bound it before */
			    .device = o->device,
			    .uid = o->uid},
		.sample = !has_connection(t.port),
	};
	rc = ask(&t, proof, false, false, &proof->before);
	if (!rc)
		rc = ask(&t, proof, true, false, &proof->after);
	if (!rc)
		rc = ask(&t, proof, true, true, &proof->cleared);
	return rc ? rc : 1;
}
