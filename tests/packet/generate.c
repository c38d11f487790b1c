/* SPDX-License-Identifier: MIT */
#include "generate.h"

#include "differ/draw.h"

#include <string.h>

enum { CONNS = 4, LISTENER = 0, MIN_STEPS = 12, MORE_STEPS = 60, FIRST_SEQ = 1000 };

/* Pauses: shorter than any retransmission, but timers that start anew can be told; and one that a
 * probe of a closed window comes in. */
enum { MOST_WAITING = 1400, SHORT_MS = 70, PROBE_MS = 250 };

/* Which state a connection of the host is probably in. */
enum guess {
	GUESS_CLOSED,
	GUESS_SYN_SENT,
	GUESS_SYN_RECV,
	GUESS_ESTABLISHED,
	GUESS_FIN_WAIT1,
	GUESS_FIN_WAIT2,
	GUESS_CLOSING,
	GUESS_TIME_WAIT,
	GUESS_CLOSE_WAIT,
	GUESS_LAST_ACK,
};

enum { NO_SOCK = SCRIPT_SOCKETS };

struct conn {
	struct flow flow;
	enum guess guess;
	bool active;
	unsigned sock;  /* NO_SOCK: not accepted, or closed */
	uint32_t seq;   /* our next number */
	uint32_t tsval; /* our next */
	bool has_ts, sack;
	uint32_t window;
	unsigned unanswered; /* segments with data that the host sent */
	int64_t waiting;     /* bytes that it may hold back since the window was large */
};

struct generator {
	uint64_t rng;
	struct script *s;
	struct conn conns[CONNS];
	bool used[SCRIPT_SOCKETS];
	uint8_t family; /* of the listener */
	/* The mood of a script. */
	unsigned nasty, holes, active, windows; /* percent */
	bool cookies;
	unsigned n_conns;
};

static uint32_t below(struct generator *g, uint32_t n)
{
	return draw_below(&g->rng, n);
}

static bool chance(struct generator *g, unsigned percent)
{
	return draw_chance(&g->rng, percent);
}

static int64_t pick(struct generator *g, const int64_t *list, size_t n)
{
	return list[below(g, (uint32_t)n)];
}

#define PICK(g, ...)                                                                               \
	pick(g, (const int64_t[]){__VA_ARGS__},                                                    \
	     sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static struct step *put(struct generator *g, enum step_kind kind, unsigned sock)
{
	struct step *s = &g->s->steps[g->s->n < SCRIPT_STEPS ? g->s->n++ : SCRIPT_STEPS - 1];

	*s = (struct step){.kind = (uint8_t)kind, .sock = (uint8_t)sock};
	return s;
}

static struct step *put_value(struct generator *g, enum step_kind kind, unsigned sock,
			      int64_t value)
{
	struct step *s = put(g, kind, sock);

	s->value[0] = value;
	return s;
}

static void put_sysctl(struct generator *g, enum script_sysctl which, int64_t value)
{
	put_value(g, STEP_SYSCTL, 0, value)->which = (uint8_t)which;
}

static void put_option(struct generator *g, unsigned sock, enum script_option which, int64_t value)
{
	put_value(g, STEP_SET, sock, value)->which = (uint8_t)which;
}

static unsigned take_sock(struct generator *g)
{
	for (unsigned i = 0; i < SCRIPT_SOCKETS; i++) {
		if (g->used[i])
			continue;
		g->used[i] = true;
		return i;
	}
	return NO_SOCK;
}

/* ------------------------------------------------------------------------------------- segments */

/* The window that our next segment announces. The first one is large: a segment of the host's is
 * never longer than half of the largest that it saw, and how it cut what it sends by that does not
 * matter here. */
static uint32_t next_window(struct generator *g, struct conn *c)
{
	if (c->guess <= GUESS_SYN_RECV)
		c->window = SCRIPT_WINDOW;
	else if (chance(g, g->windows))
		c->window = (uint32_t)PICK(g, 0, 0, 0, 1, 2, 10, 11, 50, 100, 101, 1000,
					   SCRIPT_WINDOW, SCRIPT_WINDOW);
	if (c->window == SCRIPT_WINDOW)
		c->waiting = 0;
	return c->window;
}

/* A segment as it should be: ACK of all, our next number, a timestamp not older. */
static struct pattern *put_in(struct generator *g, struct conn *c, uint8_t flags)
{
	struct step *s = put(g, STEP_IN, 0);

	s->flow = c->flow;
	s->seg = (struct pattern){
		.flags = flags,
		.seq = {.offset = c->seq},
		.ack = {.base = BASE_NXT},
		.window = next_window(g, c),
		.has_timestamp = c->has_ts,
		.tsval = c->has_ts ? c->tsval : 0,
	};
	if (flags & SEGMENT_SYN)
		s->seg.sack_permitted = c->sack;
	if (flags & SEGMENT_ACK)
		c->unanswered = 0;
	c->tsval += below(g, 3);
	return &s->seg;
}

static void put_data(struct generator *g, struct conn *c, uint8_t flags)
{
	struct pattern *p = put_in(g, c, flags);

	p->length = (uint32_t)PICK(g, 1, 10, 100, 1000);
	c->seq += p->length + (flags & SEGMENT_FIN ? 1 : 0);
}

static void put_fin(struct generator *g, struct conn *c)
{
	put_in(g, c, SEGMENT_FIN | SEGMENT_ACK);
	c->seq++;
}

static void put_syn(struct generator *g, struct conn *c)
{
	if (chance(g, 80))
		c->seq += (uint32_t)PICK(g, 1, 1000, 100000, 1 << 30);
	c->tsval += 10;
	if (chance(g, 20) && !g->cookies)
		c->has_ts = !c->has_ts;
	put_in(g, c, SEGMENT_SYN);
	c->seq++;
}

static uint8_t odd_flags(struct generator *g)
{
	static const uint8_t often[] = {
		SEGMENT_ACK,
		SEGMENT_ACK,
		SEGMENT_ACK | SEGMENT_PSH,
		SEGMENT_RST,
		SEGMENT_RST,
		SEGMENT_RST | SEGMENT_ACK,
		SEGMENT_SYN,
		SEGMENT_SYN,
		SEGMENT_SYN | SEGMENT_ACK,
		SEGMENT_FIN | SEGMENT_ACK,
		SEGMENT_FIN | SEGMENT_ACK,
		SEGMENT_FIN,
		0,
	};

	if (chance(g, 25))
		return (uint8_t)below(g, 32);
	return often[below(g, sizeof(often))];
}

/* The window of a cookie's connection is not the one that its SYN-ACK announced. */
static struct number odd_seq(struct generator *g, const struct conn *c)
{
	static const int64_t near[] = {0, 0, 0, 0, -1, 1, 2, -2, 5, 10, -10, 100, -100, 1000};
	static const int64_t far[] = {100000, -100000, 1 << 30, -(1 << 30), 1000000};
	const uint32_t dice = below(g, 100);

	if (dice < 45)
		return (struct number){BASE_RCV, pick(g, near, sizeof(near) / sizeof(near[0]))};
	if (dice < 60 && !g->cookies)
		return (struct number){BASE_EDGE, PICK(g, 0, 0, -1, 1, -2, 2, 10, -10, -1000, 100)};
	if (dice < 70)
		return (struct number){BASE_SACK, PICK(g, 0, 0, -1, 1, -10)};
	if (dice < 78)
		return (struct number){BASE_ZERO,
				       (int64_t)(uint32_t)(c->seq + (uint32_t)pick(g, far, 5))};
	return (struct number){BASE_ZERO,
			       (int64_t)(uint32_t)(c->seq + (uint32_t)pick(g, near, 14))};
}

/* A cookie is valid for a few numbers, and whether is the kernel's secret: then nothing close. */
static struct number odd_ack(struct generator *g)
{
	const uint32_t dice = below(g, 100);

	if (dice < 50)
		return (struct number){.base = BASE_NXT};
	if (g->cookies)
		return (struct number){BASE_NXT, PICK(g, 1, 100000, -100000, 1 << 30)};
	if (dice < 75)
		return (struct number){BASE_NXT, PICK(g, -1, 1, 2, -2, -10, 100, -100, -70000,
						      100000, 1 << 30, -(1 << 30))};
	if (dice < 90)
		return (struct number){BASE_ISS, PICK(g, 0, 1, 2, -1, 100)};
	return (struct number){BASE_UNA, PICK(g, 0, -1, 1, -10, 10, -64000, -64001, -63999)};
}

static void odd_timestamp(struct generator *g, struct conn *c, struct pattern *p)
{
	const uint32_t dice = below(g, 100);

	if (dice < 55)
		return;
	if (dice < 62) {
		/* a cookie's connection has the options of the last ACK, and another window than
		 * was announced */
		if (!g->cookies)
			p->has_timestamp = !p->has_timestamp;
	} else if (dice < 80 && (p->has_timestamp || !g->cookies)) {
		p->has_timestamp = true;
		p->tsval = c->tsval + (uint32_t)PICK(g, -1, -2, -100, -1000000, 1, 100, 0, 0);
	} else if (p->has_timestamp && !g->cookies) {
		p->ecr_given = true;
		p->ecr_relative = chance(g, 75);
		p->ecr = p->ecr_relative ? PICK(g, -1000000, 1000000, -100000, 100000) : 0;
	}
	if (!p->has_timestamp)
		p->tsval = 0;
	else if (!p->tsval)
		p->tsval = c->tsval;
}

static void put_odd(struct generator *g, struct conn *c)
{
	const uint32_t tsval = c->tsval;
	struct pattern *p = put_in(g, c, odd_flags(g));

	c->tsval = tsval;
	p->seq = odd_seq(g, c);
	if (p->flags & SEGMENT_ACK)
		p->ack = odd_ack(g);
	if (chance(g, 35))
		p->length = (uint32_t)PICK(g, 1, 2, 10, 100, 1000);
	odd_timestamp(g, c, p);
}

/* Data before its turn, in stretches that touch now and then: more of them than SACK has blocks. */
static void put_holes(struct generator *g, struct conn *c)
{
	for (uint32_t n = 1 + below(g, 4); n; n--) {
		struct pattern *p = put_in(g, c, SEGMENT_ACK | SEGMENT_PSH);

		p->seq = (struct number){BASE_RCV, chance(g, 8) ? 0 : 100 * (1 + below(g, 14))};
		p->length = (uint32_t)PICK(g, 100, 100, 100, 50, 200, 300);
	}
}

/* --------------------------------------------------------------------------------------- calls */

static void put_listener(struct generator *g)
{
	static const int64_t backlogs[] = {0, 1, 2, 3, 5, 5, 5, 5};

	put(g, STEP_SOCKET, LISTENER)->flow.family = g->family;
	g->used[LISTENER] = true;
	put_option(g, LISTENER, OPTION_REUSEADDR, 1);
	if (chance(g, 10))
		put_option(g, LISTENER, OPTION_LINGER2, PICK(g, -1, 1, 30, 100));
	put_value(g, STEP_BIND, LISTENER, 8080);
	put_value(g, STEP_LISTEN, LISTENER, pick(g, backlogs, 8));
}

static void put_connect(struct generator *g, struct conn *c)
{
	if (c->sock == NO_SOCK) {
		c->sock = take_sock(g);
		if (c->sock == NO_SOCK)
			return;
		put(g, STEP_SOCKET, c->sock)->flow.family = c->flow.family;
		put_option(g, c->sock, OPTION_REUSEADDR, 1);
		put_value(g, STEP_BIND, c->sock, c->flow.host_port);
	}
	put_value(g, STEP_CONNECT, c->sock, c->flow.peer_port);
	c->guess = GUESS_SYN_SENT;
}

static void put_accept(struct generator *g, struct conn *c)
{
	const unsigned sock = take_sock(g);

	if (sock == NO_SOCK)
		return;
	put(g, STEP_ACCEPT, sock)->listener = LISTENER;
	c->sock = sock;
}

static void put_close(struct generator *g, struct conn *c)
{
	const uint32_t dice = below(g, 100);

	if (dice < 8)
		put_option(g, c->sock, OPTION_LINGER0, 1);
	else if (dice < 16)
		put_option(g, c->sock, OPTION_LINGER2, PICK(g, -1, 1, 30, 59, 61, 100));
	if (chance(g, 40))
		put_value(g, STEP_RECV, c->sock, 60000);
	put(g, STEP_CLOSE, c->sock);
	g->used[c->sock] = false;
	c->sock = NO_SOCK;
}

static void leave(struct conn *c)
{
	if (c->guess == GUESS_ESTABLISHED)
		c->guess = GUESS_FIN_WAIT1;
	else if (c->guess == GUESS_CLOSE_WAIT)
		c->guess = GUESS_LAST_ACK;
	else if (c->guess == GUESS_SYN_SENT)
		c->guess = GUESS_CLOSED;
}

/* What is held back is less than a segment: of more than that how it is cut depends on what the
 * kernel hopes to send later (tcp_tso_should_defer()). */
static void put_send(struct generator *g, struct conn *c)
{
	const int64_t bytes = PICK(g, 1, 10, 100, 1000);

	if (g->windows && c->waiting + bytes > MOST_WAITING)
		return;
	put_value(g, STEP_SEND, c->sock, bytes);
	c->waiting += bytes;
	c->unanswered++;
}

static void put_call(struct generator *g, struct conn *c)
{
	const uint32_t dice = below(g, 100);

	if (c->sock == NO_SOCK)
		return;
	if (dice < 35 && c->unanswered < 6) {
		put_send(g, c);
	} else if (dice < 55) {
		put_value(g, STEP_RECV, c->sock, PICK(g, 1, 50, 60000));
	} else if (dice < 63) {
		put(g, STEP_ERROR, c->sock);
	} else if (dice < 70) {
		put(g, STEP_SHUTDOWN, c->sock)->which =
			(uint8_t)PICK(g, TCPWHY_SHUT_RD, TCPWHY_SHUT_RDWR);
		leave(c);
	} else if (dice < 85) {
		put(g, STEP_SHUTDOWN, c->sock)->which = TCPWHY_SHUT_WR;
		leave(c);
	} else {
		put_close(g, c);
		leave(c);
	}
}

/* ---------------------------------------------------------------------------------------- lives */

static void step_closed(struct generator *g, struct conn *c)
{
	if (c->active) {
		put_connect(g, c);
	} else {
		put_syn(g, c);
		c->guess = GUESS_SYN_RECV;
	}
}

static void step_syn_sent(struct generator *g, struct conn *c)
{
	const uint32_t dice = below(g, 100);

	if (dice < 75) {
		put_in(g, c, SEGMENT_SYN | SEGMENT_ACK);
		c->seq++;
		c->guess = GUESS_ESTABLISHED;
	} else if (dice < 90) {
		put_syn(g, c); /* crossed */
		c->guess = GUESS_SYN_RECV;
	} else {
		put_in(g, c, SEGMENT_RST | SEGMENT_ACK);
		c->guess = GUESS_CLOSED;
	}
}

static void step_syn_recv(struct generator *g, struct conn *c)
{
	if (chance(g, 80))
		put_in(g, c, SEGMENT_ACK);
	else if (chance(g, 50))
		put_data(g, c, SEGMENT_ACK | SEGMENT_PSH);
	else
		put_data(g, c, SEGMENT_ACK | SEGMENT_FIN);
	c->guess = GUESS_ESTABLISHED;
}

static void step_established(struct generator *g, struct conn *c)
{
	const uint32_t dice = below(g, 100);

	if (!c->active && c->sock == NO_SOCK && dice < 60) {
		put_accept(g, c);
	} else if (dice < 30) {
		put_data(g, c, SEGMENT_ACK | SEGMENT_PSH);
	} else if (dice < 40) {
		put_in(g, c, SEGMENT_ACK);
	} else if (dice < 60) {
		put_fin(g, c);
		c->guess = GUESS_CLOSE_WAIT;
	} else if (dice < 63) {
		put_in(g, c, SEGMENT_RST);
		c->guess = GUESS_CLOSED;
	} else {
		put_call(g, c);
	}
}

static void step_fin_wait1(struct generator *g, struct conn *c)
{
	const uint32_t dice = below(g, 100);

	if (dice < 50) {
		put_in(g, c, SEGMENT_ACK);
		c->guess = GUESS_FIN_WAIT2;
	} else if (dice < 70) {
		put_fin(g, c);
		c->guess = GUESS_TIME_WAIT;
	} else if (dice < 90 && !g->cookies) { /* see odd_ack() */
		put_in(g, c, SEGMENT_FIN | SEGMENT_ACK)->ack.offset = -1;
		c->seq++;
		c->guess = GUESS_CLOSING;
	} else if (dice < 95) {
		put_data(g, c, SEGMENT_ACK | SEGMENT_PSH);
	} else {
		put_call(g, c);
	}
}

static void step_fin_wait2(struct generator *g, struct conn *c)
{
	const uint32_t dice = below(g, 100);

	if (dice < 65) {
		put_fin(g, c);
		c->guess = GUESS_TIME_WAIT;
	} else if (dice < 85) {
		put_data(g, c, SEGMENT_ACK | SEGMENT_PSH);
	} else {
		put_call(g, c);
	}
}

static void step_time_wait(struct generator *g, struct conn *c)
{
	const uint32_t dice = below(g, 100);

	if (dice < 40 && !c->active) {
		put_syn(g, c);
		c->guess = GUESS_SYN_RECV;
	} else if (dice < 60 && c->active) {
		put_connect(g, c);
	} else {
		put_in(g, c, SEGMENT_ACK);
	}
}

static void step_close_wait(struct generator *g, struct conn *c)
{
	if (!c->active && c->sock == NO_SOCK && chance(g, 70))
		put_accept(g, c);
	else if (chance(g, 80))
		put_call(g, c);
	else
		put_in(g, c, SEGMENT_ACK);
}

static void step_acked(struct generator *g, struct conn *c, enum guess after)
{
	put_in(g, c, SEGMENT_ACK);
	c->guess = after;
}

static void put_progress(struct generator *g, struct conn *c)
{
	switch (c->guess) {
	case GUESS_CLOSED:
		step_closed(g, c);
		break;
	case GUESS_SYN_SENT:
		step_syn_sent(g, c);
		break;
	case GUESS_SYN_RECV:
		step_syn_recv(g, c);
		break;
	case GUESS_ESTABLISHED:
		step_established(g, c);
		break;
	case GUESS_FIN_WAIT1:
		step_fin_wait1(g, c);
		break;
	case GUESS_FIN_WAIT2:
		step_fin_wait2(g, c);
		break;
	case GUESS_CLOSING:
		step_acked(g, c, GUESS_TIME_WAIT);
		break;
	case GUESS_TIME_WAIT:
		step_time_wait(g, c);
		break;
	case GUESS_CLOSE_WAIT:
		step_close_wait(g, c);
		break;
	case GUESS_LAST_ACK:
		step_acked(g, c, GUESS_CLOSED);
		break;
	}
}

/* --------------------------------------------------------------------------------------- a script
 */

static void set_sysctls(struct generator *g)
{
	const uint32_t cookies = (uint32_t)PICK(g, 0, 0, 0, 1, 1, 2);

	g->cookies = cookies != 0;
	if (cookies != 1)
		put_sysctl(g, SYSCTL_SYNCOOKIES, cookies);
	if (chance(g, 20))
		put_sysctl(g, SYSCTL_ABORT_ON_OVERFLOW, 1);
	if (chance(g, 25))
		put_sysctl(g, SYSCTL_RFC1337, 1);
	if (chance(g, 50))
		put_sysctl(g, SYSCTL_INVALID_RATELIMIT, 0);
	if (chance(g, 10))
		put_sysctl(g, SYSCTL_TIMESTAMPS, 0);
	if (chance(g, 10))
		put_sysctl(g, SYSCTL_SACK, 0);
	if (chance(g, 10))
		put_sysctl(g, SYSCTL_MAX_TW, below(g, 3));
	if (chance(g, 20))
		put_sysctl(g, SYSCTL_FIN_TIMEOUT, PICK(g, 1, 5, 59, 61, 120));
	if (chance(g, 10))
		put_sysctl(g, SYSCTL_MAX_SYN_BACKLOG, PICK(g, 1, 4, 8));
	if (chance(g, 10))
		put_sysctl(g, SYSCTL_SOMAXCONN, PICK(g, 1, 2));
}

/* What may change in the middle: what only later segments see. */
static void put_change(struct generator *g)
{
	switch (below(g, 6)) {
	case 0:
		put_sysctl(g, SYSCTL_ABORT_ON_OVERFLOW, below(g, 2));
		break;
	case 1:
		put_sysctl(g, SYSCTL_RFC1337, below(g, 2));
		break;
	case 2:
		put_sysctl(g, SYSCTL_INVALID_RATELIMIT, PICK(g, 0, 500));
		break;
	case 3:
		put_sysctl(g, SYSCTL_FIN_TIMEOUT, PICK(g, 1, 60, 61, 90));
		break;
	case 4:
		put_sysctl(g, SYSCTL_MAX_TW, PICK(g, 0, 1, 4096));
		break;
	case 5:
		if (g->used[LISTENER])
			put_value(g, STEP_LISTEN, LISTENER, below(g, 6));
		break;
	}
}

static void make_conns(struct generator *g)
{
	for (unsigned i = 0; i < g->n_conns; i++) {
		struct conn *c = &g->conns[i];
		const bool v4 = g->family == TCPWHY_IPV4 || chance(g, 30);
		c->active = chance(g, g->active);
		c->flow = (struct flow){
			.family = v4 ? TCPWHY_IPV4 : TCPWHY_IPV6,
			.peer_port = (uint16_t)(1001 + i),
			.host_port = (uint16_t)(c->active ? 3001 + i : 8080),
		};
		c->sock = NO_SOCK;
		c->seq = FIRST_SEQ + (chance(g, 20) ? below(g, UINT32_MAX) : 0);
		c->tsval = chance(g, 10) ? UINT32_MAX - below(g, 20) : 1000;
		c->window = SCRIPT_WINDOW;
		c->has_ts = chance(g, 70);
		c->sack = chance(g, 70);
	}
}

void generate_script(uint64_t seed, struct script *s)
{
	struct generator g = {.rng = seed, .s = s};
	static const unsigned nasty[] = {5, 15, 30, 50, 70};

	s->n = 0;
	g.nasty = nasty[below(&g, 5)];
	g.active = (unsigned)PICK(&g, 0, 0, 30, 100);
	g.n_conns = (unsigned)PICK(&g, 1, 1, 2, CONNS);
	g.holes = chance(&g, 15) ? 25 : 1;
	g.windows = (unsigned)PICK(&g, 0, 0, 10, 40);
	g.family = chance(&g, 30) ? TCPWHY_IPV6 : TCPWHY_IPV4;
	set_sysctls(&g);
	make_conns(&g);
	if (g.active < 100 && !chance(&g, 3))
		put_listener(&g);
	const size_t n = MIN_STEPS + below(&g, MORE_STEPS);
	const size_t pause = chance(&g, 3) ? below(&g, (uint32_t)n) : n;
	const int64_t pause_ms = g.windows && chance(&g, 40) ? PROBE_MS : SHORT_MS;
	bool paused = false;
	while (s->n < n) {
		struct conn *c = &g.conns[below(&g, g.n_conns)];
		if (s->n >= pause && !paused) {
			put_value(&g, STEP_WAIT, 0, pause_ms);
			paused = true;
		}
		if (chance(&g, 2))
			put_change(&g);
		if (c->guess != GUESS_CLOSED && chance(&g, g.holes))
			put_holes(&g, c);
		else if (chance(&g, g.nasty))
			put_odd(&g, c);
		else if (chance(&g, 8))
			put_call(&g, c);
		else if (chance(&g, 1) && g.used[LISTENER] && g.active < 100)
			put(&g, STEP_CLOSE, LISTENER);
		else
			put_progress(&g, c);
	}
}
