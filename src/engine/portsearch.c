/* SPDX-License-Identifier: MIT
 *
 * bind(0): which port (inet_csk_find_open_port(), 4.11+)
 *
 * The range is walked in passes, odd offsets before even ones so that connect(), which begins with
 * even ones, is rarely met; a socket with SO_REUSEADDR takes the lower half of the range first. The
 * first pass with a free port decides; within a pass the start is drawn.
 */
#include "engine/state.h"

struct pass {
	uint32_t low, remaining; /* the ports low .. low + remaining - 1 */
	uint32_t parity;         /* 1: odd offsets */
	bool relax;
};

struct range range_of(const struct tcpwhy_engine *e, uint32_t sock_range)
{
	struct range r = {e->sysctls.port_low, e->sysctls.port_high};
	uint32_t low = sock_range & 0xffff, high = sock_range >> 16;

	/* Each half narrows the range only if it lies inside (inet_sk_get_local_port_range()). */
	if (low && r.low <= low && low <= r.high)
		r.low = low;
	if (high && r.low <= high && high <= r.high)
		r.high = high;
	return r;
}

/* The ports of one half as a pass walks them: an odd count loses its last port. */
static void set_span(struct pass *p, uint32_t low, uint32_t end)
{
	p->low = low;
	p->remaining = end - low;
	if (p->remaining > 1)
		p->remaining &= ~1u;
}

/* The n-th pass of a search; false when there is no more. */
static bool pass_at(const struct tcpwhy_engine *e, const struct claim *c, struct range r,
		    unsigned n, struct pass *p)
{
	uint32_t end = r.high + 1;
	bool halves = c->reuse == TCPWHY_REUSE_CAN && end - r.low >= 4;
	unsigned per_round = halves ? 4 : 2, round = n / per_round, k = n % per_round;
	uint32_t middle = r.low + ((end - r.low) >> 2) * 2;

	if (round > (e->sysctls.autobind_reuse ? 1u : 0u))
		return false;
	if (!halves)
		set_span(p, r.low, end);
	else if (k < 2)
		set_span(p, r.low, middle);
	else
		set_span(p, middle, end);
	p->parity = k % 2 ? 0 : 1;
	p->relax = round == 1;
	return true;
}

static enum tcpwhy_tri port_taken(const struct tcpwhy_engine *e, const struct claim *c,
				  uint16_t port, bool relax, uint32_t *missing)
{
	uint32_t b = bucket_find(e, port, c->l3mdev);
	struct tally t = {.first = NIL};

	if (b == NIL)
		return TCPWHY_NO;
	struct scan_mode mode = {.relax = relax, .reuseport_ok = false};
	enum tcpwhy_tri taken = bucket_conflict(e, b, c, mode, NULL);
	if (taken == TCPWHY_UNKNOWN) {
		bucket_conflict(e, b, c, mode, &t);
		*missing |= t.missing;
	}
	return taken;
}

struct found {
	uint32_t certain, possible; /* free ports of the pass; free or unknown */
	uint16_t port;              /* the first in walking order, or the one followed */
	bool followed;
};

static uint32_t pass_step(const struct pass *p)
{
	return p->remaining > 1 ? 2 : 1;
}

/* Walks one pass from the drawn offset. Stops at the first free port unless all are to be seen. */
static struct found walk(const struct tcpwhy_engine *e, const struct claim *c, const struct pass *p,
			 uint32_t offset, uint16_t follow, bool see_all, uint32_t *missing)
{
	struct found f = {0};
	uint32_t port = p->low + offset;

	for (uint32_t i = 0; i < p->remaining; i += pass_step(p), port += 2) {
		if (port >= p->low + p->remaining)
			port -= p->remaining;
		if (port_is_reserved(e, (uint16_t)port))
			continue;
		enum tcpwhy_tri taken = port_taken(e, c, (uint16_t)port, p->relax, missing);
		if (taken == TCPWHY_YES)
			continue;
		f.possible++;
		f.certain += taken == TCPWHY_NO;
		f.followed |= port == follow && taken == TCPWHY_NO;
		if (!f.port)
			f.port = (uint16_t)port;
		if (!see_all)
			break;
	}
	return f;
}

/* How the range stands, pass by pass of the first round: for people. */
static void count_range(const struct tcpwhy_engine *e, const struct claim *c, struct range r,
			struct tcpwhy_verdict *v)
{
	struct pass p;
	uint32_t missing = 0;

	for (unsigned n = 0; pass_at(e, c, r, n, &p) && !p.relax; n++) {
		if (p.remaining == 1 && p.parity == 0)
			continue;
		for (uint32_t o = p.remaining > 1 ? p.parity : 0; o < p.remaining; o += 2) {
			uint16_t port = (uint16_t)(p.low + o);
			v->range_total++;
			if (port_is_reserved(e, port)) {
				v->range_reserved++;
				continue;
			}
			enum tcpwhy_tri taken = port_taken(e, c, port, false, &missing);
			v->range_taken += taken == TCPWHY_YES;
			v->range_free += taken == TCPWHY_NO;
			v->range_unknown += taken == TCPWHY_UNKNOWN;
		}
	}
}

static uint16_t search_followed(const struct tcpwhy_engine *e, const struct claim *c,
				struct range r, uint16_t follow)
{
	struct pass p;
	uint32_t missing = 0;

	for (unsigned n = 0; pass_at(e, c, r, n, &p); n++) {
		struct found f = walk(e, c, &p, p.parity, follow, true, &missing);
		if (f.possible)
			return f.followed ? follow : 0;
	}
	return 0;
}

static uint16_t search_drawn(const struct tcpwhy_engine *e, const struct claim *c, struct range r,
			     const struct tcpwhy_choice *choice)
{
	struct pass p;
	uint32_t missing = 0, offset = 0;

	for (unsigned n = 0; pass_at(e, c, r, n, &p); n++) {
		/* One draw serves both parities of a half: odd first, then the even offset below
		 * it. */
		offset = p.parity ? choice->draw(choice->ctx, p.remaining) | 1 : offset - 1;
		struct found f = walk(e, c, &p, offset, 0, false, &missing);
		if (f.port)
			return f.port;
	}
	return 0;
}

/* What may happen: the passes up to the first with a certainly free port decide. */
static uint16_t search_possible(const struct tcpwhy_engine *e, const struct claim *c,
				struct range r, struct tcpwhy_verdict *v)
{
	struct pass p;
	uint32_t possible = 0;
	uint16_t port = 0;

	for (unsigned n = 0; pass_at(e, c, r, n, &p); n++) {
		struct found f = walk(e, c, &p, p.parity, 0, true, &v->missing);
		possible += f.possible;
		if (f.possible && !port)
			port = f.port;
		if (!f.certain)
			continue;
		verdict_ok(v, possible == 1 ? port : 0);
		v->missing = 0;
		return v->port;
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
	if (!choice) {
		count_range(e, c, r, v);
		port = search_possible(e, c, r, v);
	} else {
		port = choice->follow ? search_followed(e, c, r, choice->follow)
				      : search_drawn(e, c, r, choice);
		if (port)
			verdict_ok(v, port);
	}
	return port;
}
