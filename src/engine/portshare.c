/* SPDX-License-Identifier: MIT
 *
 * bind(0) before 4.11: a pass that finds no free port shares one (inet_csk_get_port())
 *
 * A pass takes the first port that the strict rule leaves free. If there is none, the port with the
 * fewest sockets among those whose bucket would accept unseen is tried by the relaxed rule; if that
 * refuses, all begins again from new starts, at most five times. 3.10 has one pass, port after
 * port; 4.6 to 4.10 walk odd offsets, then even ones, in halves with SO_REUSEADDR.
 *
 * 3.10 also counts the bound sockets of the machine (bsockets), and with more of them than ports
 * takes a port at once: but only one that the strict rule leaves free, as it does without.
 */
#include "engine/portwalk.h"
#include "engine/state.h"

#define RESTARTS 5u

struct pass {
	const struct tcpwhy_engine *e;
	const struct claim *c;
	uint32_t missing;
	struct portwalk walk;
	bool odd, even; /* neither: every port */
};

static enum tcpwhy_tri port_taken(void *ctx, uint16_t port)
{
	struct pass *p = ctx;

	return port_refuses(p->e, p->c, port, scan_any(p->e, false), &p->missing);
}

/* The n-th pass of a search; false when there is no more. */
static bool pass_at(const struct tcpwhy_engine *e, const struct claim *c, struct range r,
		    unsigned n, struct pass *p)
{
	bool parity = has(e, TCPWHY_F_BIND_ANY_PARITY), halves = range_splits(e, c, r);
	unsigned passes = !parity ? 1 : halves ? 4 : 2;

	if (n >= passes)
		return false;
	if (halves)
		r = range_half(r, n / 2);
	*p = (struct pass){.e = e, .c = c, .odd = parity && n % 2 == 0, .even = n % 2 == 1};
	p->walk = (struct portwalk){.low = r.low,
				    .count = r.high - r.low + 1,
				    .step = parity ? 2 : 1,
				    .taken = port_taken,
				    .ctx = p};
	return true;
}

/* ---------------------------------------------------------------------------------- one port */

/* num_owners of the bucket: TIME_WAIT is not counted. */
static uint32_t count_sockets(const struct tcpwhy_engine *e, uint32_t b)
{
	uint32_t n = 0;

	for (uint32_t b2 = bucket_at(e, b)->first2; b2 != NIL; b2 = bucket2_at(e, b2)->next)
		for (uint32_t i = bucket2_at(e, b2)->first; i != NIL; i = sock_at(e, i)->owner_next)
			n += !sock_at(e, i)->timewait;
	return n;
}

/* Whether the port can be the one that is shared, and how many sockets are on it. */
static enum tcpwhy_tri is_candidate(const struct pass *p, uint16_t port, uint32_t *sockets)
{
	uint32_t b = bucket_find(p->e, port, p->c->l3mdev);

	if (b == NIL || port_is_reserved(p->e, port))
		return TCPWHY_NO;
	*sockets = count_sockets(p->e, b);
	return fast_matches(p->e, &bucket_at(p->e, b)->fast, p->c);
}

/* Whether the relaxed rule refuses the shared port. */
static enum tcpwhy_tri share_refused(struct pass *p, uint16_t port)
{
	if (p->c->reuse == TCPWHY_REUSE_FORCE)
		return TCPWHY_NO;
	return port_refuses(p->e, p->c, port, scan_any(p->e, true), &p->missing);
}

/* --------------------------------------------------------------------------------- drawn starts */

/* One pass. 0: nothing was free; *smallest is the port to be shared, 0 if none. */
static uint16_t walk_pass(struct pass *p, uint32_t offset, uint16_t *smallest)
{
	const struct portwalk *w = &p->walk;
	uint32_t remaining = portwalk_remaining(w), least = 0;

	*smallest = 0;
	for (uint32_t i = 0; i < remaining; i += w->step, offset += w->step) {
		uint32_t sockets;
		if (offset >= w->count)
			offset -= remaining;
		uint16_t port = (uint16_t)(w->low + offset);
		if (port_taken(p, port) == TCPWHY_NO)
			return port;
		if (is_candidate(p, port, &sockets) == TCPWHY_YES &&
		    (!*smallest || sockets < least)) {
			*smallest = port;
			least = sockets;
		}
	}
	return 0;
}

/* All passes once. 0: none; *again: the shared port was refused. */
static uint16_t try_once(const struct tcpwhy_engine *e, const struct claim *c, struct range r,
			 const struct tcpwhy_choice *choice, bool *again)
{
	struct pass p;
	uint32_t offset = 0;

	*again = false;
	for (unsigned n = 0; pass_at(e, c, r, n, &p); n++) {
		uint16_t smallest;
		/* One draw serves both parities. */
		if (!p.even)
			offset = choice->draw(choice->ctx, portwalk_remaining(&p.walk));
		if (p.odd)
			offset |= 1;
		uint16_t port = walk_pass(&p, p.even ? offset - 1 : offset, &smallest);
		if (port)
			return port;
		if (!smallest)
			continue;
		*again = share_refused(&p, smallest) != TCPWHY_NO;
		return *again ? 0 : smallest;
	}
	return 0;
}

static uint16_t search_drawn(const struct tcpwhy_engine *e, const struct claim *c, struct range r,
			     const struct tcpwhy_choice *choice)
{
	uint16_t port = 0;
	bool again = true;

	for (unsigned n = 0; !port && again && n <= RESTARTS; n++)
		port = try_once(e, c, r, choice, &again);
	return port;
}

/* ----------------------------------------------------------------------------------- all starts */

/* What a search may come to, over all starts. */
struct chances {
	bool fails;
	uint16_t wanted, port, last; /* a port that it may take; the last one noted */
	bool has_wanted, has_many;
	uint32_t missing;
};

static void note(struct chances *ch, const struct portwalk *w, enum portwalk_set set, uint16_t port)
{
	/* From where the last port of an odd range is seen, the one before it is met first. */
	if (set == PORTWALK_EVEN_HIGH && port == w->low + w->count - 1 && ch->last == port - 2)
		return;
	ch->has_many |= ch->port && ch->port != port;
	ch->has_wanted |= port == ch->wanted;
	ch->port = ch->last = port;
}

/* Free ports of a view. YES: one is certainly there. */
static enum tcpwhy_tri note_free(struct pass *p, enum portwalk_set set, struct chances *ch)
{
	enum tcpwhy_tri found = TCPWHY_NO;

	ch->last = 0;
	for (uint32_t offset = 0; offset < p->walk.count; offset++) {
		uint16_t port = (uint16_t)(p->walk.low + offset);
		if (!portwalk_sees(&p->walk, set, offset))
			continue;
		enum tcpwhy_tri taken = port_taken(p, port);
		if (taken == TCPWHY_YES)
			continue;
		note(ch, &p->walk, set, port);
		if (found != TCPWHY_YES)
			found = taken == TCPWHY_NO ? TCPWHY_YES : TCPWHY_UNKNOWN;
	}
	return found;
}

/* The fewest sockets among the certain candidates of a view; UINT32_MAX: there is none. */
static uint32_t fewest_sockets(const struct pass *p, enum portwalk_set set)
{
	uint32_t least = UINT32_MAX, sockets;

	for (uint32_t offset = 0; offset < p->walk.count; offset++) {
		if (!portwalk_sees(&p->walk, set, offset))
			continue;
		if (is_candidate(p, (uint16_t)(p->walk.low + offset), &sockets) == TCPWHY_YES &&
		    sockets < least)
			least = sockets;
	}
	return least;
}

/* Ports of a view that may be shared. False: there is certainly one, and so no further pass. */
static bool note_shared(struct pass *p, enum portwalk_set set, struct chances *ch)
{
	uint32_t least = fewest_sockets(p, set), sockets;

	ch->last = 0;
	for (uint32_t offset = 0; offset < p->walk.count; offset++) {
		uint16_t port = (uint16_t)(p->walk.low + offset);
		if (!portwalk_sees(&p->walk, set, offset))
			continue;
		enum tcpwhy_tri candidate = is_candidate(p, port, &sockets);
		if (candidate == TCPWHY_NO || sockets > least)
			continue;
		if (candidate == TCPWHY_UNKNOWN)
			ch->missing |= TCPWHY_MISSING_FAST;
		enum tcpwhy_tri refused = share_refused(p, port);
		if (refused != TCPWHY_YES)
			note(ch, &p->walk, set, port);
		ch->fails |= refused != TCPWHY_NO;
	}
	return least == UINT32_MAX;
}

/* One view of a pass. True: a further pass may follow. */
static bool note_view(struct pass *p, enum portwalk_set set, struct chances *ch)
{
	enum tcpwhy_tri is_free = note_free(p, set, ch);

	return is_free == TCPWHY_YES ? false : note_shared(p, set, ch);
}

static bool note_pass(struct pass *p, struct chances *ch)
{
	bool goes_on;

	if (!p->even) {
		goes_on = note_view(p, p->odd ? PORTWALK_ODD : PORTWALK_ALL, ch);
	} else {
		goes_on = note_view(p, PORTWALK_EVEN_LOW, ch);
		if (portwalk_has_high(&p->walk))
			goes_on |= note_view(p, PORTWALK_EVEN_HIGH, ch);
	}
	ch->missing |= p->missing;
	return goes_on;
}

static struct chances look(const struct tcpwhy_engine *e, const struct claim *c, struct range r,
			   uint16_t wanted)
{
	struct chances ch = {.wanted = wanted};
	struct pass p;

	for (unsigned n = 0; pass_at(e, c, r, n, &p); n++)
		if (!note_pass(&p, &ch))
			return ch;
	ch.fails = true;
	return ch;
}

/* The question: certain, or what it depends on. */
static uint16_t ask(const struct chances *ch, struct tcpwhy_verdict *v)
{
	if (!ch->port)
		return 0;
	if (!ch->fails) {
		verdict_ok(v, ch->has_many ? 0 : ch->port);
		return v->port;
	}
	v->answer = TCPWHY_DEPENDS;
	v->missing |= ch->missing ? ch->missing : TCPWHY_MISSING_DRAW;
	return 0;
}

uint16_t portshare_search(const struct tcpwhy_engine *e, const struct claim *c, struct range r,
			  const struct tcpwhy_choice *choice, struct tcpwhy_verdict *v)
{
	if (choice && !choice->none && !choice->follow)
		return search_drawn(e, c, r, choice);
	struct chances ch = look(e, c, r, choice ? choice->follow : 0);
	if (!choice)
		return ask(&ch, v);
	if (choice->none)
		return ch.fails ? 0 : ch.port;
	return ch.has_wanted ? choice->follow : 0;
}
