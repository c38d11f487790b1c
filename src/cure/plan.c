/* SPDX-License-Identifier: MIT */
#include "cure/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "load/load.h"

/* timewait alone would do, if whoever looked never errs; the state must agree. */
static bool is_mini_socket(const struct tcpwhy_owner *o)
{
	return o->timewait && (o->state == TCPWHY_TIME_WAIT || o->state == TCPWHY_FIN_WAIT2);
}

static enum plan_fate fate_of_holder(const struct snapshot_owner *owner)
{
	if (!is_mini_socket(&owner->o) || owner->inode)
		return PLAN_LIVING;
	return owner->cookie ? PLAN_DESTROY : PLAN_NAMELESS;
}

/* Without SO_REUSEADDR and SO_REUSEPORT the address and the device alone decide. */
static struct tcpwhy_bind_request request_of(const struct plan_place *place)
{
	return (struct tcpwhy_bind_request){
		.addr = place->addr,
		.port = place->port,
		.family = place->family,
		.reuse = TCPWHY_REUSE_NO,
		.v6only = place->v6only,
		.device = place->device,
	};
}

/* The walk of bind() over the holders. PLAN_ELSEWHERE is 0: what it does not meet. */
static int find_fates(const struct plan_place *place, const struct snapshot *snap,
		      const struct tcpwhy_memory *memory, uint8_t *fates)
{
	const struct tcpwhy_bind_request q = request_of(place);
	struct tcpwhy_cursor cursor = {0};
	struct tcpwhy_engine *e;
	struct tcpwhy_owner o;
	enum tcpwhy_holder why;
	int rc = load_engine(snap, load_row_for(snap->kernel), NULL, memory, &e);

	if (rc)
		return rc;
	while (tcpwhy_next_holder(e, &q, &cursor, &o, &why))
		fates[o.tag] = (uint8_t)fate_of_holder(&snap->owners[o.tag]);
	tcpwhy_engine_free(e);
	return 0;
}

/* A 4-tuple is taken by whoever has it, whichever side opened the connection
 * (__inet_hash_connect()). */
static bool is_towards(const struct plan_place *place, const struct tcpwhy_owner *o)
{
	if (o->peer_port != place->peer_port || !address_equal(&o->peer, &place->peer))
		return false;
	if (place->device && o->device && o->device != place->device)
		return false;
	return address_is_any(&place->addr) || address_equal(&o->local, &place->addr);
}

static void find_towards(const struct plan_place *place, const struct snapshot *snap,
			 uint8_t *fates)
{
	for (size_t i = 0; i < snap->owners_n; i++)
		if (is_towards(place, &snap->owners[i].o))
			fates[i] = (uint8_t)fate_of_holder(&snap->owners[i]);
}

static int compare_cookies(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void note_target(struct plan *plan, const struct snapshot *snap,
			const struct snapshot_owner *owner)
{
	uint64_t left = 0;

	if (owner->o.expires_ns > snap->taken_ns)
		left = owner->o.expires_ns - snap->taken_ns;
	if (left > plan->longest_ns)
		plan->longest_ns = left;
	if (owner->o.state == TCPWHY_FIN_WAIT2)
		plan->fin_wait2++;
}

static void count_fates(struct plan *plan, const struct snapshot *snap)
{
	size_t n = 0;

	for (size_t i = 0; i < snap->owners_n; i++) {
		plan->by_fate[plan->fates[i]]++;
		if (plan->fates[i] != PLAN_DESTROY)
			continue;
		note_target(plan, snap, &snap->owners[i]);
		plan->cookies[n++] = snap->owners[i].cookie;
	}
	if (n)
		qsort(plan->cookies, n, sizeof(*plan->cookies), compare_cookies);
}

static void *zeroed(const struct tcpwhy_memory *memory, size_t size)
{
	void *p = memory->resize(memory->ctx, NULL, 0, size);

	return p ? memset(p, 0, size) : NULL;
}

int plan_make(const struct plan_place *place, const struct snapshot *snap,
	      const struct tcpwhy_memory *memory, struct plan *plan)
{
	struct plan p = {.owners_n = snap->owners_n};
	int rc = 0;

	if (p.owners_n) {
		p.fates = zeroed(memory, p.owners_n * sizeof(*p.fates));
		p.cookies = zeroed(memory, p.owners_n * sizeof(*p.cookies));
		rc = p.fates && p.cookies ? 0 : -ENOMEM;
		if (!rc && place->outgoing)
			find_towards(place, snap, p.fates);
		else if (!rc)
			rc = find_fates(place, snap, memory, p.fates);
	}
	if (rc) {
		plan_free(&p, memory);
		return rc;
	}
	count_fates(&p, snap);
	*plan = p;
	return 0;
}

void plan_free(struct plan *plan, const struct tcpwhy_memory *memory)
{
	size_t n = plan->owners_n;

	if (plan->fates)
		memory->resize(memory->ctx, plan->fates, n * sizeof(*plan->fates), 0);
	if (plan->cookies)
		memory->resize(memory->ctx, plan->cookies, n * sizeof(*plan->cookies), 0);
	plan->fates = NULL;
	plan->cookies = NULL;
}

bool plan_has(const struct plan *plan, uint64_t cookie)
{
	if (!plan->cookies || !plan->by_fate[PLAN_DESTROY])
		return false;
	return bsearch(&cookie, plan->cookies, plan->by_fate[PLAN_DESTROY], sizeof(*plan->cookies),
		       compare_cookies) != NULL;
}
