/* SPDX-License-Identifier: MIT */
#include "live/overview.h"

#include "base/address.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_MS    1000000u
#define TIME_WAIT_NS UINT64_C(60000000000) /* TCP_TIMEWAIT_LEN */

typedef uint32_t port_set[2048];

struct overview_count {
	struct overview_destination table[OVERVIEW_SETS * OVERVIEW_WAYS]; /* set after set */
	struct overview_destination *last; /* sockets come in runs of one destination */
	port_set closed;                   /* to searches: reserved, or never met */
	port_set owned, held, listening;
	uint32_t unmet;
	uint16_t low, high;
	uint64_t now_ns, delay_ns;
	struct overview out;
};

static bool has(const port_set s, uint16_t port)
{
	return s[port / 32] >> port % 32 & 1;
}

static void put(port_set s, uint16_t port)
{
	s[port / 32] |= 1u << port % 32;
}

struct overview_count *overview_begin(const struct snapshot *seen)
{
	struct overview_count *c = calloc(1, sizeof(*c));
	uint32_t delay_ms = seen->sysctls.tw_reuse_delay_ms;

	if (!c)
		return NULL;
	c->low = seen->sysctls.port_low;
	c->high = seen->sysctls.port_high;
	/* Before 6.14 the delay is a second (tcp_twsk_unique()). */
	c->delay_ns = (delay_ms ? delay_ms : 1000u) * (uint64_t)NS_PER_MS;
	c->now_ns = seen->taken_ns;
	memcpy(c->closed, seen->reserved, sizeof(c->closed));
	memcpy(c->out.reserved, seen->reserved, sizeof(c->out.reserved));
	/* Of three ports both searches walk two, from the first one (engine/portwalk.h). */
	if (c->low && c->high - c->low == 2 && !has(c->closed, c->high)) {
		put(c->closed, c->high);
		c->unmet = 1;
	}
	return c;
}

void overview_again(struct overview_count *c)
{
	memset(c->table, 0, sizeof(c->table));
	memset(c->owned, 0, sizeof(c->owned));
	memset(c->held, 0, sizeof(c->held));
	memset(c->listening, 0, sizeof(c->listening));
	memset(&c->out, 0, sizeof(c->out));
	c->last = NULL;
}

/* ---------------------------------------------------------------------------------- destinations
 */

static uint64_t connections(const struct overview_destination *d)
{
	uint64_t n = (uint64_t)d->living + d->maybe_more;

	for (unsigned i = 0; i < OVERVIEW_WAITS; i++)
		n += d->waiting[i];
	return n;
}

static bool is_of(const struct overview_destination *d, const struct tcpwhy_owner *o)
{
	return d->peer_port == o->peer_port && d->device == o->device &&
	       memcmp(&d->peer, &o->peer, sizeof(d->peer)) == 0 &&
	       memcmp(&d->local, &o->local, sizeof(d->local)) == 0;
}

/* A stranger may choose addresses that meet in one set; he gains that an honest count there is "at
 * least". */
static size_t set_of(const struct tcpwhy_owner *o)
{
	uint64_t words[4], h = (uint64_t)o->peer_port << 32 | o->device;

	memcpy(words, &o->local, 16);
	memcpy(words + 2, &o->peer, 16);
	for (unsigned i = 0; i < 4; i++)
		h = (h ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15) ^ h >> 29;
	return (size_t)(h >> 40) % OVERVIEW_SETS;
}

static struct overview_destination *place_of(struct overview_count *c, const struct tcpwhy_owner *o)
{
	struct overview_destination *set = &c->table[set_of(o) * OVERVIEW_WAYS];
	struct overview_destination *least = set;
	uint64_t inherited;

	for (unsigned i = 0; i < OVERVIEW_WAYS; i++) {
		if (set[i].peer_port && is_of(&set[i], o))
			return &set[i];
		if (connections(&set[i]) < connections(least))
			least = &set[i];
	}
	inherited = connections(least);
	if (inherited)
		c->out.destinations_pushed++;
	c->out.destinations_seen++;
	*least = (struct overview_destination){.local = o->local,
					       .peer = o->peer,
					       .peer_port = o->peer_port,
					       .family = o->family,
					       .device = o->device,
					       .maybe_more = (uint32_t)inherited};
	return least;
}

static enum overview_wait wait_of(const struct overview_count *c, const struct tcpwhy_owner *o)
{
	if (o->state == TCPWHY_FIN_WAIT2)
		return OVERVIEW_FIN_WAIT2;
	if (o->timestamps != TCPWHY_YES)
		return o->timestamps == TCPWHY_NO ? OVERVIEW_NO_TIMESTAMPS
						  : OVERVIEW_TIMESTAMPS_UNSEEN;
	/* Entered sixty seconds before it ends. */
	return o->expires_ns + c->delay_ns < c->now_ns + TIME_WAIT_NS ? OVERVIEW_OLD
								      : OVERVIEW_YOUNG;
}

static void count_destination(struct overview_count *c, const struct tcpwhy_owner *o)
{
	struct overview_destination *d = c->last;

	if (!d || !is_of(d, o))
		d = c->last = place_of(c, o);
	if (o->timewait)
		d->waiting[wait_of(c, o)]++;
	else
		d->living++;
}

/* ----------------------------------------------------------------------------------------- ports
 */

static void keep_listener(struct overview_count *c, const struct snapshot_owner *s,
			  enum tcpwhy_tri named)
{
	struct overview_listener *l = &c->out.listeners[c->out.listeners_n];

	/* A group of SO_REUSEPORT is one service; bind(0)'s choice is nobody's to reserve. */
	if (has(c->listening, s->o.port) || named == TCPWHY_NO)
		return;
	put(c->listening, s->o.port);
	c->out.listeners_total++;
	if (c->out.listeners_n == OVERVIEW_LISTENERS)
		return;
	c->out.listeners_n++;
	*l = (struct overview_listener){.who.seen = *s, .named = named};
}

void overview_socket(struct overview_count *c, const struct snapshot_owner *s,
		     struct overview_port port)
{
	const struct tcpwhy_owner *o = &s->o;

	c->out.sockets++;
	c->out.by_state[o->state % OVERVIEW_STATES]++;
	if (o->l3mdev) {
		c->out.in_vrf++;
		return;
	}
	if (o->port < c->low || o->port > c->high)
		return;
	if (o->family == TCPWHY_IPV4 || o->v6only != TCPWHY_YES)
		put(c->held, o->port);
	if (port.owned == TCPWHY_YES || o->state == TCPWHY_LISTEN || o->state == TCPWHY_BOUND)
		put(c->owned, o->port);
	if (port.owned == TCPWHY_UNKNOWN)
		c->out.owned_unseen = true;
	if (has(c->closed, o->port))
		return;
	if (o->state == TCPWHY_LISTEN)
		keep_listener(c, s, port.named);
	else if (o->peer_port && o->state != TCPWHY_BOUND && !has(c->owned, o->port))
		count_destination(c, o);
}

/* Whether the one port left is the first or the last of an odd-sized range (engine/portwalk.h). */
static bool is_by_chance(const struct overview_count *c, const port_set passed, uint32_t left)
{
	uint32_t total = c->out.range_total;

	if (left != 1 || total < 5 || total % 2 == 0)
		return false;
	return (!has(c->closed, c->low) && !has(passed, c->low)) ||
	       (!has(c->closed, c->high) && !has(passed, c->high));
}

static void count_ports(struct overview_count *c)
{
	struct overview *out = &c->out;
	uint32_t closed = 0;

	if (!c->low)
		return;
	out->range_total = (uint32_t)c->high - c->low + 1;
	for (uint32_t port = c->low; port <= c->high; port++) {
		bool shut = has(c->closed, (uint16_t)port);

		closed += shut;
		out->range_owned += !shut && has(c->owned, (uint16_t)port);
		out->range_held += !shut && has(c->held, (uint16_t)port);
	}
	out->range_unmet = c->unmet;
	out->range_reserved = closed - c->unmet;
	uint32_t open = out->range_total - closed;
	out->bind0_by_chance = is_by_chance(c, c->held, open - out->range_held);
	out->connect_by_chance = is_by_chance(c, c->owned, open - out->range_owned);
}

static int busier(const void *a, const void *b)
{
	const struct overview_destination *x = a, *y = b;
	uint64_t n = connections(x) - x->maybe_more, m = connections(y) - y->maybe_more;

	if (n != m)
		return n < m ? 1 : -1;
	return memcmp(&x->local, &y->local, 34);
}

void overview_end(struct overview_count *c, struct overview *out)
{
	struct overview_destination *all = c->table;
	size_t n = 0;

	for (size_t i = 0; i < OVERVIEW_SETS * OVERVIEW_WAYS; i++)
		if (all[i].peer_port)
			all[n++] = all[i];
	qsort(all, n, sizeof(*all), busier);
	c->out.destinations_n = n < OVERVIEW_DESTINATIONS ? n : OVERVIEW_DESTINATIONS;
	memcpy(c->out.destinations, all, c->out.destinations_n * sizeof(*all));
	count_ports(c);
	*out = c->out;
	free(c);
}
