/* SPDX-License-Identifier: MIT */
#include "generate.h"

#include "differ/draw.h"

#include "netns.h"

#include <arpa/inet.h>
#include <string.h>

enum { FIRST_PORT = 20000, MAX_PORTS = 8, TUPLES = 16, MIN_CALLS = 30, MORE_CALLS = 110 };

/* What a slot probably is. */
enum guess { GUESS_NONE, GUESS_FRESH, GUESS_BOUND, GUESS_LISTEN, GUESS_CONNECTED };

struct slot {
	enum guess guess;
	uint8_t family;
	struct endpoint at;
	unsigned waiting; /* listener: children that were not accepted */
};

struct tuple {
	struct endpoint local, peer;
};

struct generator {
	uint64_t rng;
	struct script *s;
	struct slot slots[SCRIPT_SOCKETS + 1]; /* the last one is no socket's */
	struct tuple tuples[TUPLES];
	size_t n_tuples;
	/* The mood of a script, in percent. */
	unsigned v6, ports, reuseaddr, reuseport, v6only, device, odd, users, autoport, wildcard;
	uint32_t delay_ms;
	bool by_second; /* there is no tcp_tw_reuse_delay */
	bool patient;   /* a TIME_WAIT is waited for until it is of age */
};

static uint32_t below(struct generator *g, uint32_t n)
{
	return draw_below(&g->rng, n);
}

static bool chance(struct generator *g, unsigned percent)
{
	return draw_chance(&g->rng, percent);
}

static struct call *put(struct generator *g, enum call_kind kind, unsigned sock)
{
	struct call *c = &g->s->calls[g->s->n < SCRIPT_CALLS ? g->s->n++ : SCRIPT_CALLS - 1];

	*c = (struct call){.kind = kind, .sock = (uint8_t)sock, .expect = EXPECT_NOTHING};
	return c;
}

static void put_set(struct generator *g, unsigned sock, enum tcpwhy_option option, uint32_t v0,
		    uint32_t v1)
{
	struct call *c = put(g, CALL_SET, sock);

	for (uint8_t i = 0; i < SCRIPT_OPTIONS; i++)
		if (script_options[i].option == option)
			c->which = i;
	c->value[0] = v0;
	c->value[1] = v1;
}

/* ----------------------------------------------------------------------------------- choosing */

struct weighted_addr {
	const char *text;
	unsigned weight;
};

/* The last ones are not local, or not unicast: some options let them be bound. */
static const struct weighted_addr addrs4[] = {
	{"127.0.0.1", 40}, {"0.0.0.0", 0},         {"127.0.0.2", 14},
	{"10.9.0.1", 14},  {"10.9.1.1", 6},        {"10.9.9.9", 2},
	{"10.9.0.255", 1}, {"255.255.255.255", 1}, {"224.0.0.1", 1},
};
static const struct weighted_addr addrs6[] = {
	{"::1", 40}, {"::", 0}, {"fd00::1", 16}, {"fd01::1", 8}, {"fd00::9", 2}, {"ff02::1", 1},
};

static struct tcpwhy_addr pick_from(struct generator *g, const struct weighted_addr *list, size_t n,
				    bool local)
{
	unsigned total = 0;
	struct tcpwhy_addr a;
	size_t i;

	for (i = 0; i < n; i++)
		total += !local || list[i].weight > 2 ? list[i].weight : 0;
	uint32_t left = below(g, total);
	for (i = 0; i + 1 < n; i++) {
		const unsigned weight = !local || list[i].weight > 2 ? list[i].weight : 0;
		if (left < weight)
			break;
		left -= weight;
	}
	if (!strchr(list[i].text, ':')) {
		a = address_v4_number(0);
		inet_pton(AF_INET, list[i].text, a.b + 12);
	} else {
		inet_pton(AF_INET6, list[i].text, a.b);
	}
	return a;
}

static struct tcpwhy_addr any_of(bool v4)
{
	return v4 ? address_v4_number(0) : (struct tcpwhy_addr){0};
}

/* An address for a socket of that family; v6 sockets take v4-mapped ones too. */
static struct tcpwhy_addr pick_addr(struct generator *g, uint8_t family, bool local)
{
	const bool v4 = family == TCPWHY_IPV4 ? !chance(g, 1) : chance(g, 25);

	if (!local && chance(g, g->wildcard))
		return any_of(v4);
	return v4 ? pick_from(g, addrs4, sizeof(addrs4) / sizeof(addrs4[0]), local)
		  : pick_from(g, addrs6, sizeof(addrs6) / sizeof(addrs6[0]), local);
}

static uint16_t pick_port(struct generator *g)
{
	return (uint16_t)(FIRST_PORT + below(g, g->ports));
}

/* A slot of that guess. There may be none: then mostly no call is made (SCRIPT_SOCKETS), at times
 * on any slot. */
static unsigned pick_slot(struct generator *g, enum guess guess)
{
	const unsigned start = below(g, SCRIPT_SOCKETS);

	for (unsigned i = 0; i < SCRIPT_SOCKETS; i++) {
		const unsigned slot = (start + i) % SCRIPT_SOCKETS;
		if (g->slots[slot].guess == guess)
			return slot;
	}
	return chance(g, 5) ? start : SCRIPT_SOCKETS;
}

static unsigned count_slots(const struct generator *g, enum guess guess)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SCRIPT_SOCKETS; i++)
		n += g->slots[i].guess == guess;
	return n;
}

/* ------------------------------------------------------------------------------------ one call */

static void put_odd_option(struct generator *g, unsigned sock)
{
	const uint32_t low = FIRST_PORT + below(g, g->ports), high = low + below(g, 4);

	switch (below(g, 8)) {
	case 0:
		put_set(g, sock, TCPWHY_IP_FREEBIND, 1, 0);
		break;
	case 1:
		put_set(g, sock, TCPWHY_IP_TRANSPARENT, 1, 0);
		break;
	case 2:
		put_set(g, sock, TCPWHY_IP_LOCAL_PORT_RANGE, chance(g, 80) ? low : 0,
			chance(g, 80) ? high : 0);
		break;
	case 3:
		put_set(g, sock, TCPWHY_SO_REUSEPORT, 1, 0);
		put_set(g, sock, TCPWHY_SO_ATTACH_REUSEPORT, 1, 0);
		break;
	case 4:
		put_set(g, sock, TCPWHY_TCP_REPAIR, 1, 0);
		if (chance(g, 50)) {
			struct call *c = put(g, CALL_BIND, sock);
			c->at = (struct endpoint){pick_addr(g, g->slots[sock].family, false),
						  pick_port(g)};
		}
		put_set(g, sock, TCPWHY_TCP_REPAIR, 0, 0);
		break;
	case 5:
		put_set(g, sock, TCPWHY_TCP_LINGER2, chance(g, 50) ? (uint32_t)-1 : below(g, 5), 0);
		break;
	case 6:
		put_set(g, sock, TCPWHY_SO_ATTACH_REUSEPORT, 1, 0);
		break;
	default:
		put_set(g, sock, TCPWHY_SO_BINDTODEVICE, chance(g, 10) ? 99 : below(g, 4), 0);
		break;
	}
}

static void put_options(struct generator *g, unsigned sock)
{
	if (chance(g, g->reuseaddr))
		put_set(g, sock, TCPWHY_SO_REUSEADDR, 1, 0);
	if (chance(g, g->reuseport))
		put_set(g, sock, TCPWHY_SO_REUSEPORT, 1, 0);
	if (g->slots[sock].family == TCPWHY_IPV6 ? chance(g, g->v6only) : chance(g, 1))
		put_set(g, sock, TCPWHY_IPV6_V6ONLY, chance(g, 80), 0);
	if (chance(g, g->device))
		put_set(g, sock, TCPWHY_SO_BINDTODEVICE, chance(g, 60) ? NETNS_LO : below(g, 4), 0);
	if (chance(g, 8))
		put_set(g, sock, TCPWHY_IP_BIND_ADDRESS_NO_PORT, 1, 0);
	if (chance(g, 8))
		put_set(g, sock, TCPWHY_SO_LINGER0, 1, 0);
	if (chance(g, g->odd))
		put_odd_option(g, sock);
}

static void put_socket(struct generator *g)
{
	const unsigned sock = pick_slot(g, GUESS_NONE);

	if (sock == SCRIPT_SOCKETS)
		return;
	struct call *c = put(g, CALL_SOCKET, sock);
	c->family = chance(g, g->v6) ? TCPWHY_IPV6 : TCPWHY_IPV4;
	if (g->slots[sock].guess != GUESS_NONE)
		return;
	g->slots[sock] = (struct slot){.guess = GUESS_FRESH, .family = c->family};
	put_options(g, sock);
}

static void put_bind(struct generator *g)
{
	const unsigned sock = pick_slot(g, chance(g, 95) ? GUESS_FRESH : GUESS_BOUND);

	if (sock == SCRIPT_SOCKETS)
		return;
	struct slot *s = &g->slots[sock];
	struct call *c = put(g, CALL_BIND, sock);
	c->at.addr = pick_addr(g, s->family, false);
	c->at.port = chance(g, g->autoport) ? 0 : pick_port(g);
	if (s->guess == GUESS_FRESH)
		s->guess = GUESS_BOUND;
	s->at = c->at;
}

static void put_listen(struct generator *g)
{
	const uint32_t dice = below(g, 100);
	const unsigned sock = pick_slot(g, dice < 92   ? GUESS_BOUND
					   : dice < 96 ? GUESS_FRESH
						       : GUESS_CONNECTED);
	struct slot *s = &g->slots[sock];

	if (sock == SCRIPT_SOCKETS)
		return;
	put(g, CALL_LISTEN, sock);
	if (s->guess == GUESS_BOUND || s->guess == GUESS_FRESH)
		s->guess = GUESS_LISTEN;
}

/* Where a listener is, seen from a client: a wildcard is reached at any local address. */
static struct endpoint listener_address(struct generator *g, const struct slot *l, uint8_t family)
{
	struct endpoint at = l->at;

	if (address_is_any(&at.addr)) {
		const bool v4 = address_is_v4(&at.addr) || family == TCPWHY_IPV4 || chance(g, 30);
		at.addr = pick_addr(g, v4 ? TCPWHY_IPV4 : TCPWHY_IPV6, true);
	}
	return at;
}

static struct endpoint pick_target(struct generator *g, const struct slot *s)
{
	const struct slot *l = &g->slots[pick_slot(g, GUESS_LISTEN)];
	const bool reachable = s->family == TCPWHY_IPV6 || l->family == TCPWHY_IPV4 ||
			       address_is_any(&l->at.addr) || chance(g, 3);

	if (l->guess == GUESS_LISTEN && l->at.port && reachable && chance(g, 85))
		return listener_address(g, l, s->family);
	if (s->guess == GUESS_BOUND && s->at.port && chance(g, 10))
		return listener_address(g, s, s->family); /* to itself */
	if (chance(g, 30)) {
		const bool v6 = s->family == TCPWHY_IPV6 && chance(g, 70);
		return (struct endpoint){netns_silent(v6 ? TCPWHY_IPV6 : TCPWHY_IPV4),
					 pick_port(g)};
	}
	return (struct endpoint){pick_addr(g, s->family, true), pick_port(g)};
}

static void put_connect(struct generator *g)
{
	const uint32_t dice = below(g, 100);
	const unsigned sock = pick_slot(g, dice < 40   ? GUESS_BOUND
					   : dice < 97 ? GUESS_FRESH
						       : GUESS_CONNECTED);
	struct slot *s = &g->slots[sock];

	if (sock == SCRIPT_SOCKETS)
		return;
	const struct endpoint to = pick_target(g, s);
	put(g, CALL_CONNECT, sock)->at = to;
	for (unsigned i = 0; i < SCRIPT_SOCKETS; i++)
		if (g->slots[i].guess == GUESS_LISTEN && g->slots[i].at.port == to.port) {
			g->slots[i].waiting++;
			break;
		}
	if (s->guess == GUESS_BOUND && s->at.port)
		g->tuples[g->n_tuples++ % TUPLES] = (struct tuple){s->at, to};
	if (s->guess != GUESS_NONE)
		s->guess = GUESS_CONNECTED;
}

static void put_accept(struct generator *g)
{
	const unsigned sock = pick_slot(g, GUESS_NONE);
	unsigned listener = pick_slot(g, GUESS_LISTEN);

	for (unsigned i = 0; i < SCRIPT_SOCKETS; i++)
		if (g->slots[i].waiting && chance(g, 50))
			listener = i;
	if (sock == SCRIPT_SOCKETS || listener == SCRIPT_SOCKETS ||
	    (!g->slots[listener].waiting && !chance(g, 10)))
		return;
	struct call *c = put(g, CALL_ACCEPT, sock);
	struct slot *l = &g->slots[listener];
	c->listener = (uint8_t)listener;
	if (!l->waiting || g->slots[sock].guess != GUESS_NONE)
		return;
	l->waiting--;
	g->slots[sock] = (struct slot){.guess = GUESS_CONNECTED, .family = l->family};
}

static void put_shutdown(struct generator *g)
{
	const unsigned sock = pick_slot(g, chance(g, 85) ? GUESS_CONNECTED : GUESS_LISTEN);
	const uint8_t how = (uint8_t)(chance(g, 70) ? TCPWHY_SHUT_WR : below(g, 3));

	if (sock != SCRIPT_SOCKETS)
		put(g, CALL_SHUTDOWN, sock)->which = how;
}

static void put_close(struct generator *g)
{
	const uint32_t dice = below(g, 100);
	const unsigned sock = pick_slot(g, dice < 65   ? GUESS_CONNECTED
					   : dice < 80 ? GUESS_LISTEN
						       : GUESS_BOUND);

	if (sock == SCRIPT_SOCKETS)
		return;
	if (chance(g, 12))
		put_set(g, sock, TCPWHY_SO_LINGER0, 1, 0);
	put(g, CALL_CLOSE, sock);
	g->slots[sock] = (struct slot){0};
}

static void put_destroy(struct generator *g)
{
	if (!g->n_tuples)
		return;
	const struct tuple *t =
		&g->tuples[below(g, (uint32_t)(g->n_tuples < TUPLES ? g->n_tuples : TUPLES))];
	struct call *c = put(g, CALL_DESTROY, 0);
	const bool server = chance(g, 50);

	c->at = server ? t->peer : t->local;
	c->peer = server ? t->local : t->peer;
	if (address_is_any(&t->local.addr))
		(server ? &c->peer : &c->at)->addr =
			address_is_v4(&t->peer.addr) ? address_v4_number(0x7f000001) : t->peer.addr;
}

static void put_sysctl_value(struct generator *g, enum script_sysctl which, uint32_t v0,
			     uint32_t v1)
{
	struct call *c = put(g, CALL_SYSCTL, 0);

	c->which = (uint8_t)which;
	c->value[0] = v0;
	c->value[1] = v1;
}

/* Where only seconds count, the sysctl is no use. */
static void put_delay(struct generator *g, uint32_t ms)
{
	if (g->by_second)
		return;
	g->delay_ms = ms;
	g->patient = true;
	put_sysctl_value(g, SYSCTL_TW_REUSE_DELAY, ms, 0);
}

static void put_range(struct generator *g, enum script_sysctl which)
{
	const uint32_t low = FIRST_PORT + below(g, g->ports);

	put_sysctl_value(g, which, low, low + below(g, FIRST_PORT + MAX_PORTS - low));
}

static void put_sysctl(struct generator *g)
{
	switch (below(g, SYSCTLS)) {
	case SYSCTL_PORT_RANGE:
		put_range(g, SYSCTL_PORT_RANGE);
		break;
	case SYSCTL_RESERVED:
		if (chance(g, 60))
			put_range(g, SYSCTL_RESERVED);
		else
			put_sysctl_value(g, SYSCTL_RESERVED, 0, 0);
		break;
	case SYSCTL_UNPRIVILEGED:
		put_sysctl_value(g, SYSCTL_UNPRIVILEGED, FIRST_PORT + below(g, g->ports), 0);
		break;
	case SYSCTL_TW_REUSE:
		put_sysctl_value(g, SYSCTL_TW_REUSE, below(g, 3), 0);
		break;
	case SYSCTL_TW_REUSE_DELAY:
		put_delay(g, 1 + below(g, 10));
		break;
	case SYSCTL_MAX_TW:
		put_sysctl_value(g, SYSCTL_MAX_TW, chance(g, 50) ? below(g, 4) : 4096, 0);
		break;
	case SYSCTL_FIN_TIMEOUT:
		put_sysctl_value(g, SYSCTL_FIN_TIMEOUT, chance(g, 90) ? 20 + below(g, 60) : 1, 0);
		break;
	default:
		put_sysctl_value(g, SYSCTL_AUTOBIND_REUSE, below(g, 2), 0);
		break;
	case SYSCTL_NONLOCAL:
	case SYSCTL_NONLOCAL6:
	case SYSCTL_BINDV6ONLY:
	case SYSCTL_TIMESTAMPS: {
		static const enum script_sysctl flags[] = {SYSCTL_NONLOCAL, SYSCTL_NONLOCAL6,
							   SYSCTL_BINDV6ONLY, SYSCTL_TIMESTAMPS};
		put_sysctl_value(g, flags[below(g, 4)], below(g, 2), 0);
		break;
	}
	}
}

static void put_late_option(struct generator *g)
{
	const unsigned sock = pick_slot(g, (enum guess)(GUESS_FRESH + below(g, 4)));
	const bool reuseaddr = chance(g, 50);

	if (sock == SCRIPT_SOCKETS)
		return;
	if (chance(g, g->odd))
		put_odd_option(g, sock);
	else
		put_set(g, sock, reuseaddr ? TCPWHY_SO_REUSEADDR : TCPWHY_SO_REUSEPORT, below(g, 2),
			0);
}

/* Short waits only, and those seldom: tcp_tw_reuse_delay is made small so that TIME_WAITs come of
 * age. */
static void put_wait(struct generator *g)
{
	if (g->patient)
		put(g, CALL_WAIT, 0)->value[0] = g->delay_ms + 8; /* past the edge, with room */
	else if (chance(g, 1))
		put(g, CALL_WAIT, 0)->value[0] = 1100;
}

static void put_end(struct generator *g, unsigned sock)
{
	const uint32_t dice = below(g, 100);

	if (dice < 60) {
		put(g, CALL_CLOSE, sock);
		g->slots[sock] = (struct slot){0};
	} else if (dice < 75) {
		put(g, CALL_SHUTDOWN, sock)->which = TCPWHY_SHUT_WR;
	}
}

/* A whole connection at once, so that each state of an owner exists often: a listener, a client
 * with or without a port of its own, and both ends closed by nobody, one or both, in either order.
 */
static void put_scene(struct generator *g)
{
	unsigned sock[3];

	for (unsigned i = 0; i < 3; i++) {
		sock[i] = pick_slot(g, GUESS_NONE);
		if (sock[i] == SCRIPT_SOCKETS || g->slots[sock[i]].guess != GUESS_NONE)
			return;
		g->slots[sock[i]].guess = GUESS_CONNECTED;
	}
	const uint8_t family = chance(g, g->v6) ? TCPWHY_IPV6 : TCPWHY_IPV4;
	struct slot *l = &g->slots[sock[0]], *b = &g->slots[sock[1]];
	*l = (struct slot){GUESS_LISTEN, family, {pick_addr(g, family, false), pick_port(g)}, 0};
	put(g, CALL_SOCKET, sock[0])->family = family;
	put_options(g, sock[0]);
	put(g, CALL_BIND, sock[0])->at = l->at;
	put(g, CALL_LISTEN, sock[0]);
	*b = (struct slot){GUESS_CONNECTED, family, {pick_addr(g, family, true), pick_port(g)}, 0};
	put(g, CALL_SOCKET, sock[1])->family = family;
	put_options(g, sock[1]);
	const struct endpoint to = listener_address(g, l, family);
	if (chance(g, 50)) {
		put(g, CALL_BIND, sock[1])->at = b->at;
		g->tuples[g->n_tuples++ % TUPLES] = (struct tuple){b->at, to};
	}
	put(g, CALL_CONNECT, sock[1])->at = to;
	put(g, CALL_ACCEPT, sock[2])->listener = (uint8_t)sock[0];
	g->slots[sock[2]].family = family;
	const unsigned first = below(g, 2);
	put_end(g, sock[1 + first]);
	put_end(g, sock[2 - first]);
	if (chance(g, 50))
		put_end(g, sock[0]);
}

/* A few clients one after the other to one listener, through hardly more ports than clients: each
 * that is closed leaves a FIN_WAIT2, or a TIME_WAIT if the listener's side was closed too, and the
 * next one meets it. */
static void put_storm(struct generator *g)
{
	const unsigned listener = pick_slot(g, GUESS_LISTEN);
	const unsigned clients = 2 + below(g, 4);

	if (listener == SCRIPT_SOCKETS || g->slots[listener].guess != GUESS_LISTEN)
		return;
	const struct slot *l = &g->slots[listener];
	const struct endpoint to = listener_address(g, l, l->family);
	if (chance(g, 60)) {
		const uint32_t low = FIRST_PORT + below(g, MAX_PORTS);
		put_sysctl_value(g, SYSCTL_PORT_RANGE, low, low + below(g, 4));
	}
	for (unsigned i = 0; i < clients; i++) {
		const unsigned sock = pick_slot(g, GUESS_NONE);
		if (sock == SCRIPT_SOCKETS || g->slots[sock].guess != GUESS_NONE)
			return;
		put(g, CALL_SOCKET, sock)->family = l->family;
		g->slots[sock] = (struct slot){.guess = GUESS_CONNECTED, .family = l->family};
		if (chance(g, 10))
			put_options(g, sock);
		put(g, CALL_CONNECT, sock)->at = to;
		put_end(g, sock);
		if (chance(g, 50)) {
			/* the other end too: no slot is kept for it */
			const unsigned other = pick_slot(g, GUESS_NONE);
			if (other == SCRIPT_SOCKETS || g->slots[other].guess != GUESS_NONE)
				return;
			put(g, CALL_ACCEPT, other)->listener = (uint8_t)listener;
			put(g, CALL_CLOSE, other);
		}
		if (g->patient && chance(g, 40))
			put(g, CALL_WAIT, 0)->value[0] = g->delay_ms + 8;
	}
}

static const struct {
	unsigned weight;
	void (*put)(struct generator *g);
} steps[] = {
	{22, put_socket},     {20, put_bind},    {13, put_listen}, {17, put_connect},
	{9, put_accept},      {6, put_shutdown}, {16, put_close},  {3, put_destroy},
	{4, put_late_option}, {1, put_wait},     {5, put_scene},   {3, put_storm},
};

static void put_step(struct generator *g)
{
	enum { STEPS = sizeof(steps) / sizeof(steps[0]) };
	unsigned total = 0;

	if (count_slots(g, GUESS_NONE) < 6) {
		put_close(g);
		return;
	}
	for (size_t i = 0; i < STEPS; i++)
		total += steps[i].weight;
	uint32_t left = below(g, total);
	for (size_t i = 0; i < STEPS; i++) {
		if (left < steps[i].weight) {
			steps[i].put(g);
			return;
		}
		left -= steps[i].weight;
	}
}

static void set_mood(struct generator *g)
{
	static const unsigned often[] = {0, 20, 50, 80, 100};

	g->v6 = often[below(g, 5)];
	g->ports = 2 + below(g, MAX_PORTS - 1);
	g->reuseaddr = often[below(g, 5)];
	g->reuseport = often[below(g, 3)];
	g->v6only = often[below(g, 3)];
	g->device = chance(g, 30) ? 25 : 2;
	g->odd = chance(g, 40) ? 20 : 2;
	g->users = chance(g, 25) ? 6 : 0;
	g->autoport = chance(g, 30) ? 50 : 10;
	g->wildcard = often[below(g, 3)] + 10;
	g->delay_ms = 1000;
}

void generate_script(uint64_t seed, const struct tcpwhy_row *row, struct script *s)
{
	struct generator g = {
		.rng = seed, .s = s, .by_second = !(row->features & TCPWHY_F_TW_REUSE_DELAY)};
	const unsigned sysctls = chance(&g, 40) ? 5 : 1;

	s->n = 0;
	set_mood(&g);
	if (chance(&g, 25))
		put_delay(&g, 1 + below(&g, 10));
	g.patient |= g.by_second && chance(&g, 10);
	const size_t n = MIN_CALLS + below(&g, MORE_CALLS);
	for (size_t steps_left = 8 * n; s->n < n && steps_left; steps_left--) {
		if (chance(&g, sysctls))
			put_sysctl(&g);
		if (chance(&g, g.users))
			put(&g, CALL_UID, 0)->value[0] = chance(&g, 50) ? 0 : 1000 + below(&g, 2);
		put_step(&g);
	}
}
