/* SPDX-License-Identifier: MIT
 *
 * bind(0): which port (inet_csk_find_open_port(), 4.11+)
 *
 * Odd offsets come before even ones so that connect(), which begins with even ones, is rarely met.
 * A socket with SO_REUSEADDR takes the lower half of the range first. With ip_autobind_reuse all is
 * walked once more, by the relaxed rule. The first pass with a free port decides; within a pass the
 * start is drawn. Before 4.11 it shares: portshare.c.
 */
#include "engine/portwalk.h"
#include "engine/state.h"

bool autobind_reuses(const struct tcpwhy_engine *e)
{
	return e->sysctls.autobind_reuse && has(e, TCPWHY_F_AUTOBIND_REUSE);
}

struct scan_mode scan_any(const struct tcpwhy_engine *e, bool relax)
{
	bool reuseport_ok = !has(e, TCPWHY_F_REUSEPORT_ASKED);

	return (struct scan_mode){.relax = relax,
				  .reuseport_ok = reuseport_ok,
				  .pair_apart = !reuseport_ok && has(e, TCPWHY_F_AUTOBIND_REUSE)};
}

struct range range_of(const struct tcpwhy_engine *e, uint32_t sock_range)
{
	struct range r = {e->sysctls.port_low, e->sysctls.port_high};
	uint32_t low = sock_range & 0xffff, high = sock_range >> 16;

	if (!has(e, TCPWHY_F_SOCK_PORT_RANGE))
		return r;
	/* Each half narrows the range only if it lies inside (inet_sk_get_local_port_range()). */
	if (low && r.low <= low && low <= r.high)
		r.low = low;
	if (high && r.low <= high && high <= r.high)
		r.high = high;
	return r;
}

/* One part of a search: a half of the range, or all of it. */
struct part {
	const struct tcpwhy_engine *e;
	const struct claim *c;
	bool relax;
	uint32_t missing; /* what made a port unknown */
	struct portwalk walk;
};

enum tcpwhy_tri port_refuses(const struct tcpwhy_engine *e, const struct claim *c, uint16_t port,
			     struct scan_mode mode, uint32_t *missing)
{
	if (port_is_reserved(e, port))
		return TCPWHY_YES;
	uint32_t b = bucket_find(e, port, c->l3mdev);
	if (b == NIL)
		return TCPWHY_NO;
	enum tcpwhy_tri taken = bucket_conflict(e, b, c, mode, NULL);
	if (taken == TCPWHY_UNKNOWN) {
		struct tally t = {.first = NIL};
		bucket_conflict(e, b, c, mode, &t);
		*missing |= t.missing;
	}
	return taken;
}

static enum tcpwhy_tri port_taken(void *ctx, uint16_t port)
{
	struct part *p = ctx;

	return port_refuses(p->e, p->c, port, scan_any(p->e, p->relax), &p->missing);
}

bool range_splits(const struct tcpwhy_engine *e, const struct claim *c, struct range r)
{
	return c->reuse == TCPWHY_REUSE_CAN && r.high - r.low + 1 >= 4 &&
	       has(e, TCPWHY_F_BIND_ANY_PARITY);
}

struct range range_half(struct range r, unsigned n)
{
	uint32_t lower = ((r.high - r.low + 1) >> 2) * 2;

	if (n == 0)
		r.high = r.low + lower - 1;
	else
		r.low += lower;
	return r;
}

/* The n-th part of a search; false when there is no more. Parts are walked odd offsets first, then
 * even. */
static bool part_at(const struct tcpwhy_engine *e, const struct claim *c, struct range r,
		    unsigned n, struct part *p)
{
	bool halves = range_splits(e, c, r);
	unsigned per_round = halves ? 2 : 1, round = n / per_round;

	if (round > (autobind_reuses(e) ? 1u : 0u))
		return false;
	if (halves)
		r = range_half(r, n % 2);
	*p = (struct part){.e = e, .c = c, .relax = round == 1};
	p->walk = (struct portwalk){.low = r.low,
				    .count = r.high - r.low + 1,
				    .step = 2,
				    .taken = port_taken,
				    .ctx = p};
	return true;
}

/* How the range stands by the rule of the first round: for people. */
static void count_range(const struct tcpwhy_engine *e, const struct claim *c, struct range r,
			struct tcpwhy_verdict *v)
{
	struct part p;

	for (unsigned n = 0; part_at(e, c, r, n, &p) && !p.relax; n++) {
		if (p.walk.count == 3 && has(e, TCPWHY_F_BIND_ANY_PARITY))
			p.walk.count = 2; /* the one odd size whose last port no start ever meets */
		struct found f = portwalk_look(&p.walk, PORTWALK_ALL);
		v->range_total += p.walk.count;
		v->range_free += f.certain;
		v->range_unknown += f.possible - f.certain;
		for (uint32_t i = 0; i < p.walk.count; i++)
			v->range_reserved += port_is_reserved(e, (uint16_t)(p.walk.low + i));
	}
	v->range_taken = v->range_total - v->range_free - v->range_unknown - v->range_reserved;
}

/* What the even pass of a part finds over all starts. */
struct even {
	bool certain, possible, unique;
	uint16_t port;
};

static struct even look_even(const struct portwalk *w)
{
	struct found low = portwalk_look(w, PORTWALK_EVEN_LOW), high = low;

	if (portwalk_has_high(w))
		high = portwalk_look(w, PORTWALK_EVEN_HIGH);
	return (struct even){.certain = low.certain && high.certain,
			     .possible = low.possible || high.possible,
			     .unique = low.possible == 1 && high.possible == 1 &&
				       low.port == high.port,
			     .port = low.port};
}

static uint16_t search_followed(const struct tcpwhy_engine *e, const struct claim *c,
				struct range r, uint16_t follow)
{
	struct part p;

	for (unsigned n = 0; part_at(e, c, r, n, &p); n++) {
		if (portwalk_look(&p.walk, PORTWALK_ODD).certain)
			return portwalk_is_free(&p.walk, follow) && portwalk_is_odd(&p.walk, follow)
				       ? follow
				       : 0;
		if (portwalk_even_leads_to(&p.walk, follow))
			return follow;
		if (look_even(&p.walk).certain)
			return 0;
	}
	return 0;
}

/* A port that every start finds; 0 if some start finds none. */
static uint16_t search_unavoidable(const struct tcpwhy_engine *e, const struct claim *c,
				   struct range r)
{
	struct part p;

	for (unsigned n = 0; part_at(e, c, r, n, &p); n++) {
		struct found odd = portwalk_look(&p.walk, PORTWALK_ODD);
		if (odd.certain)
			return odd.port;
		struct even even = look_even(&p.walk);
		if (even.certain)
			return even.port;
	}
	return 0;
}

static uint16_t search_drawn(const struct tcpwhy_engine *e, const struct claim *c, struct range r,
			     const struct tcpwhy_choice *choice)
{
	struct part p;

	for (unsigned n = 0; part_at(e, c, r, n, &p); n++) {
		/* One draw serves both passes: odd first, then from the even offset below it. */
		uint32_t offset = choice->draw(choice->ctx, portwalk_remaining(&p.walk)) | 1;
		uint16_t port = portwalk_from(&p.walk, offset);
		if (!port)
			port = portwalk_from(&p.walk, offset - 1);
		if (port)
			return port;
	}
	return 0;
}

/* What may happen. Certain if a pass finds a free port from every start; the port is named if it is
 * the only one that can be found. */
static uint16_t search_possible(const struct tcpwhy_engine *e, const struct claim *c,
				struct range r, struct tcpwhy_verdict *v)
{
	struct part p;
	bool possible = false;

	for (unsigned n = 0; part_at(e, c, r, n, &p); n++) {
		struct found odd = portwalk_look(&p.walk, PORTWALK_ODD);
		struct even even = odd.certain ? (struct even){0} : look_even(&p.walk);
		if (odd.certain || even.certain) {
			bool alone = odd.certain ? odd.possible == 1 : even.unique && !odd.possible;
			verdict_ok(v,
				   alone && !possible ? (odd.certain ? odd.port : even.port) : 0);
			return v->port;
		}
		if (!odd.possible && !even.possible)
			continue;
		possible = true;
		v->missing |= p.missing ? p.missing : TCPWHY_MISSING_DRAW;
	}
	if (possible)
		v->answer = TCPWHY_DEPENDS;
	return 0;
}

uint16_t port_search(const struct tcpwhy_engine *e, const struct claim *c, struct range r,
		     const struct tcpwhy_choice *choice, struct tcpwhy_verdict *v)
{
	uint16_t port;

	verdict_refuse(v, c->listening ? TCPWHY_CALL_LISTEN : TCPWHY_CALL_BIND, 0,
		       TCPWHY_RULE_NONE);
	if (!choice)
		count_range(e, c, r, v);
	if (!has(e, TCPWHY_F_BIND_ANY_APART))
		port = portshare_search(e, c, r, choice, v);
	else if (!choice)
		port = search_possible(e, c, r, v);
	else if (choice->none)
		port = search_unavoidable(e, c, r);
	else
		port = choice->follow ? search_followed(e, c, r, choice->follow)
				      : search_drawn(e, c, r, choice);
	if (choice && port)
		verdict_ok(v, port);
	if (v->answer == TCPWHY_OK)
		v->missing = 0;
	return port;
}
