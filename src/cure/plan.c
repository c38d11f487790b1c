/* SPDX-License-Identifier: MIT */
#include "cure/plan.h"

#include <stdlib.h>

#include "base/address.h"

/* Both sides are IPv4 inside: equal, or one is 0.0.0.0. */
static bool overlaps_v4(const struct tcpwhy_addr *a, const struct tcpwhy_addr *b)
{
	return address_is_any(a) || address_is_any(b) || address_equal(a, b);
}

bool plan_overlaps(const struct plan_place *place, const struct tcpwhy_owner *owner)
{
	bool place4 = address_is_v4(&place->addr), owner4 = address_is_v4(&owner->local);

	if (place->port != owner->port)
		return false;
	if (place4 && owner4)
		return overlaps_v4(&place->addr, &owner->local);
	if (address_is_any6(&place->addr) && address_is_any6(&owner->local))
		return true;
	/* A :: that is not v6only also covers IPv4. */
	if (address_is_any6(&place->addr))
		return !(place->v6only && owner4);
	if (address_is_any6(&owner->local))
		return !(owner->v6only == TCPWHY_YES && place4);
	return address_equal(&place->addr, &owner->local);
}

/* timewait alone would do, if whoever looked never errs; the state must agree. */
static bool is_mini_socket(const struct tcpwhy_owner *o)
{
	return o->timewait && (o->state == TCPWHY_TIME_WAIT || o->state == TCPWHY_FIN_WAIT2);
}

enum plan_fate plan_fate(const struct plan_place *place, const struct snapshot_owner *owner)
{
	if (!plan_overlaps(place, &owner->o))
		return PLAN_ELSEWHERE;
	if (!is_mini_socket(&owner->o) || owner->inode)
		return PLAN_LIVING;
	return owner->cookie ? PLAN_DESTROY : PLAN_NAMELESS;
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

void plan_make(const struct plan_place *place, const struct snapshot *snap, uint64_t *cookies,
	       struct plan *plan)
{
	size_t n = 0;

	*plan = (struct plan){.cookies = cookies};
	for (size_t i = 0; i < snap->owners_n; i++) {
		const struct snapshot_owner *owner = &snap->owners[i];
		enum plan_fate fate = plan_fate(place, owner);

		plan->by_fate[fate]++;
		if (fate != PLAN_DESTROY)
			continue;
		note_target(plan, snap, owner);
		if (cookies)
			cookies[n++] = owner->cookie;
	}
	if (n)
		qsort(cookies, n, sizeof(*cookies), compare_cookies);
}

bool plan_has(const struct plan *plan, uint64_t cookie)
{
	if (!plan->cookies || !plan->by_fate[PLAN_DESTROY])
		return false;
	return bsearch(&cookie, plan->cookies, plan->by_fate[PLAN_DESTROY], sizeof(*plan->cookies),
		       compare_cookies) != NULL;
}
