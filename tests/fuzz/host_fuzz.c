/* SPDX-License-Identifier: MIT
 *
 * host_fuzz.c - whole connections: every call of segment/host.h in any order with any arguments
 *
 * The bytes are a program. The host talks to itself, so that what it sends can be delivered, lost,
 * repeated or changed; other segments are aimed at what its sockets and requests expect, or are
 * nonsense. Handles are stale, times absurd, tables small, allocations fail. After each step what
 * the layer keeps is counted again and held against its own counters and against the engine.
 */
#include "bytes.h"
#include "fuzz.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "segment/state.h"

enum { SLOTS = 24, STEPS = 1500, DELIVERIES = 40 };

struct machine {
	struct bytes in;
	struct host *h;
	tcpwhy_sock slot[SLOTS];
	struct segment last; /* that was taken from the wire */
	unsigned n;
	bool starved; /* memory may have been refused */
	struct tcpwhy_perturb perturb;
	uint32_t table[16];
};

static uint8_t byte(struct machine *m)
{
	return bytes_next(&m->in);
}

static uint64_t number(struct machine *m)
{
	return bytes_number(&m->in);
}

/* Mostly next to zero, where rules have their edges. */
static uint32_t offset(struct machine *m)
{
	const uint8_t b = byte(m);

	return b < 200 ? (uint32_t)(b % 8) - 3 : (uint32_t)number(m);
}

static struct tcpwhy_addr address(struct machine *m)
{
	struct tcpwhy_addr a = {{0}};
	const uint8_t kind = byte(m);

	if (kind % 16 == 15) {
		for (unsigned i = 0; i < 16; i++)
			a.b[i] = byte(m);
		return a;
	}
	if (kind % 16 < 12)
		a.b[10] = a.b[11] = 0xff;
	if (kind % 16 > 1)
		a.b[12] = 127;
	a.b[15] = kind / 16 % 3;
	return a;
}

static uint16_t port(struct machine *m)
{
	const uint8_t b = byte(m);

	return b < 250 ? (uint16_t)(20000 + b % 6) : (uint16_t)number(m);
}

static tcpwhy_sock handle(struct machine *m)
{
	const uint8_t b = byte(m);

	return b < 250 ? m->slot[b % SLOTS] : number(m);
}

static void keep(struct machine *m, tcpwhy_sock s)
{
	m->slot[m->n++ % SLOTS] = s;
}

/* ---------------------------------------------------------------------------------- segments */

/* Whatever leaves, is lost, arrives once, twice, or changed in one field. */
static void deliver(struct machine *m)
{
	const uint8_t how = byte(m);

	if (!host_segment_out(m->h, &m->last))
		return;
	switch (how % 16) {
	case 0:
		return;
	case 1:
		host_segment_in(m->h, &m->last);
		break;
	case 2:
		m->last.flags = byte(m);
		break;
	case 3:
		m->last.seq += offset(m);
		break;
	case 4:
		m->last.ack += offset(m);
		break;
	case 5:
		m->last.window = byte(m) % 2 ? 0 : (uint32_t)number(m);
		break;
	case 6:
		m->last.tsval += offset(m);
		break;
	case 7:
		m->last.has_timestamp = byte(m) % 2;
		m->last.tsecr += offset(m);
		break;
	}
	host_segment_in(m->h, &m->last);
}

static void deliver_all(struct machine *m)
{
	for (unsigned i = 0; i < DELIVERIES && host_segment_out(m->h, &m->last); i++)
		host_segment_in(m->h, &m->last);
}

static uint8_t flags_of(uint8_t b)
{
	static const uint8_t common[] = {SEGMENT_ACK,
					 SEGMENT_SYN,
					 SEGMENT_RST,
					 SEGMENT_FIN | SEGMENT_ACK,
					 SEGMENT_SYN | SEGMENT_ACK,
					 SEGMENT_RST | SEGMENT_ACK,
					 SEGMENT_PSH | SEGMENT_ACK};

	return b < 240 ? common[b % sizeof(common)] : (uint8_t)(b * 7);
}

static struct segment anything(struct machine *m)
{
	struct segment s = {.from = address(m),
			    .to = address(m),
			    .from_port = port(m),
			    .to_port = port(m),
			    .device = byte(m) % 3,
			    .flags = flags_of(byte(m)),
			    .window = (uint32_t)number(m),
			    .length = byte(m) % 4 ? 0 : (uint32_t)number(m),
			    .has_timestamp = byte(m) % 2};

	if (!s.window)
		s.error = (uint8_t)(byte(m) % (SEGMENT_ADMIN_PROHIBITED + 1));
	s.sack_permitted = s.flags & SEGMENT_SYN && byte(m) % 2;
	s.has_sack = byte(m) % 4 == 0;
	s.sack_edge = offset(m);
	s.seq = offset(m);
	s.ack = offset(m);
	s.tsval = offset(m);
	s.tsecr = offset(m);
	return s;
}

/* At a socket's, or a mini-socket's, own numbers. */
static void aim_at_socket(struct machine *m)
{
	tcpwhy_sock sock = handle(m);
	struct segment s = anything(m);
	struct tcb *t = tcb_of(m->h, sock);

	if (t) {
		s.from = t->peer;
		s.to = t->local;
		s.from_port = t->peer_port;
		s.to_port = t->port;
		s.device = t->device;
		s.seq += t->rcv_nxt;
		s.ack += byte(m) % 2 ? t->snd_nxt : t->snd_una;
		s.tsval += t->ts_recent;
		s.tsecr += t->first_tsval;
	}
	host_segment_in(m->h, &s);
}

static void aim_at_request(struct machine *m)
{
	struct segment s = anything(m);
	uint32_t i = byte(m);

	if (i % 8 < m->h->requests_used) {
		const struct request *r = &m->h->requests[i % 8];
		s.from = r->peer;
		s.to = r->local;
		s.from_port = r->peer_port;
		s.to_port = r->port;
		s.seq += r->rcv_isn + byte(m) % 2;
		s.ack += r->snt_isn + 1;
		s.tsval += r->ts_recent;
		s.tsecr += r->last_tsval;
	}
	host_segment_in(m->h, &s);
}

/* At the mini-socket or socket that the last segment on the wire belonged to. */
static void aim_at_last(struct machine *m)
{
	struct segment s = m->last;

	s.seq += offset(m);
	s.ack += offset(m);
	s.tsval += offset(m);
	s.flags = flags_of(byte(m));
	s.length = byte(m) % 4 ? 0 : (uint32_t)number(m);
	host_segment_in(m->h, &s);
}

/* ------------------------------------------------------------------------------------- calls */

static void set_sysctls(struct machine *m)
{
	struct tcpwhy_sysctls s = *tcpwhy_sysctls(host_engine(m->h));
	struct host_sysctls t = *host_sysctls(m->h);

	s.port_low = 20000;
	s.port_high = (uint16_t)(s.port_low + byte(m) % 8);
	s.tw_reuse = byte(m) % 4;
	s.max_tw_buckets = byte(m) % 2 ? 1000 : byte(m) % 4;
	s.fin_timeout_s = byte(m) % 2 ? byte(m) : (uint32_t)number(m);
	s.timestamps = (uint8_t)(byte(m) % 3);
	tcpwhy_set_sysctls(host_engine(m->h), &s);
	t.somaxconn = byte(m) % 2 ? byte(m) % 8 : (uint32_t)number(m);
	t.max_syn_backlog = (uint32_t)number(m);
	t.syncookies = byte(m) % 3;
	const uint8_t bits = byte(m);
	t.abort_on_overflow = bits & 1;
	t.rfc1337 = bits & 2;
	t.tw_recycle = bits & 4;
	t.sack = bits & 8;
	t.syn_retries = byte(m);
	t.synack_retries = byte(m);
	t.syn_linear_timeouts = byte(m);
	t.retries2 = byte(m);
	t.orphan_retries = byte(m);
	t.invalid_ratelimit_ms = (uint32_t)number(m);
	t.challenge_ack_limit = (uint32_t)number(m);
	host_set_sysctls(m->h, &t);
}

static void connect_or_listen(struct machine *m, uint8_t what, tcpwhy_sock s)
{
	struct tcpwhy_verdict v;
	struct tcpwhy_addr a = address(m), b = address(m);

	if (what == 0)
		host_bind(m->h, s, &a, byte(m) % 4 ? port(m) : 0, byte(m) % 2 ? &v : NULL);
	else if (what == 1)
		host_listen(m->h, s, byte(m) % 4 ? byte(m) % 8 : (int)number(m), NULL);
	else
		host_connect(m->h, s, &a, port(m), &b, &v);
}

static void talk(struct machine *m, uint8_t what, tcpwhy_sock s)
{
	struct host_view v;
	tcpwhy_sock child;
	int64_t got;

	if (what == 0 && host_accept(m->h, s, byte(m), &child) == 0)
		keep(m, child);
	if (what == 1)
		host_send(m->h, s, byte(m) % 4 ? byte(m) : (uint32_t)number(m) >> 14);
	if (what == 2) {
		uint32_t waits = host_look(m->h, s, &v) == 0 ? v.unread : 0;
		uint32_t most = (uint32_t)number(m);
		got = host_recv(m->h, s, most);
		promise(got <= most && (got <= 0 || got <= waits));
	}
	if (what == 3)
		promise(host_error(m->h, s) >= -EBADF);
	if (what == 4)
		host_has_peer(m->h, s);
	if (what == 5)
		host_shutdown(m->h, s, (enum tcpwhy_how)(byte(m) % 3));
	if (what == 6)
		host_close(m->h, s);
}

static void open_one(struct machine *m)
{
	enum tcpwhy_family family = (enum tcpwhy_family)(byte(m) % 4 ? 4 : 4 + byte(m) % 3);
	tcpwhy_sock s;

	if (host_socket(m->h, family, byte(m) % 2, &s))
		return;
	keep(m, s);
	host_setsockopt(m->h, s, TCPWHY_SO_REUSEADDR, 1);
}

/* A connection from SYN to accept(), which chance alone seldom makes. */
static void establish(struct machine *m)
{
	struct tcpwhy_addr a = {.b = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
	uint16_t at_port = port(m);
	tcpwhy_sock child;

	open_one(m);
	tcpwhy_sock listener = m->slot[(m->n - 1) % SLOTS];
	host_bind(m->h, listener, &a, at_port, NULL);
	host_listen(m->h, listener, byte(m) % 4, NULL);
	for (unsigned i = byte(m) % 4; i; i--) {
		open_one(m);
		host_connect(m->h, m->slot[(m->n - 1) % SLOTS], &a, at_port, &a, NULL);
	}
	deliver_all(m);
	if (byte(m) % 4 && host_accept(m->h, listener, 0, &child) == 0)
		keep(m, child);
}

/* The clock stops short of its end: what is set from there on would lie in the past. */
static void advance(struct machine *m)
{
	const uint8_t how = byte(m);
	uint64_t t = now(m->h), next = host_deadline(m->h);

	if (how < 100 && next != NEVER)
		t = next;
	else if (how < 240)
		t += number(m) % (100 * NS_PER_S);
	else
		t = number(m) >> 2;
	host_advance(m->h, t);
	promise(host_deadline(m->h) > now(m->h));
}

static void step(struct machine *m)
{
	const uint8_t what = byte(m) % 34;
	struct segment s;

	if (what < 2) {
		open_one(m);
	} else if (what < 8) {
		connect_or_listen(m, what % 3, handle(m));
	} else if (what < 15) {
		talk(m, what - 8, handle(m));
	} else if (what < 17) {
		tcpwhy_sock sock = handle(m);
		host_setsockopt(m->h, sock, (enum tcpwhy_option)(byte(m) % 14), number(m));
	} else if (what < 20) {
		deliver(m);
	} else if (what < 23) {
		deliver_all(m);
	} else if (what < 25) {
		aim_at_socket(m);
	} else if (what < 26) {
		aim_at_request(m);
	} else if (what < 27) {
		aim_at_last(m);
	} else if (what < 28) {
		s = anything(m);
		host_segment_in(m->h, &s);
	} else if (what < 31) {
		advance(m);
	} else if (what < 32) {
		set_sysctls(m);
	} else {
		establish(m);
	}
}

/* -------------------------------------------------------------------------------- invariants */

static const struct timer *timer_at(const struct host *h, uint32_t id)
{
	return id & 1 ? &h->requests[id >> 1].timer : &tcb_at(h, id >> 1)->timer;
}

/* A heap in order. An entry is there before its timer is due, and the first one is due. */
static void check_heap(const struct host *h)
{
	for (uint32_t i = 0; i < h->heap_used; i++) {
		const struct deadline *d = &h->heap[i];
		const struct timer *timer = timer_at(h, d->id);
		promise(h->heap[i ? (i - 1) / 2 : 0].when_ns <= d->when_ns);
		promise(timer->queued_ns != d->when_ns || !timer->when_ns ||
			timer->when_ns >= d->when_ns);
	}
	if (!h->heap_used)
		return;
	const struct deadline *first = &h->heap[0];
	const struct timer *timer = timer_at(h, first->id);
	promise(timer->queued_ns == first->when_ns && timer->when_ns == first->when_ns);
	promise(first->when_ns >= now(h));
	promise(first->id & 1 ? h->requests[first->id >> 1].listener != NIL
			      : tcb_of(h, tcb_at(h, first->id >> 1)->sock) != NULL);
}

/* Engine and layer mean the same state. A handshake that crossed another is SYN_RECV here, and
 * the engine has it as done. */
static void check_state(const struct tcb *t, const struct tcpwhy_owner *o)
{
	uint8_t theirs = o->state == TCPWHY_BOUND ? TCPWHY_CLOSE : o->state;
	uint8_t mine = t->state == TCPWHY_SYN_RECV ? TCPWHY_ESTABLISHED : t->state;

	if (t->overdue)
		mine = TCPWHY_FIN_WAIT1;
	promise(mine == theirs && t->mini == o->timewait);
	promise(!t->mini || !t->orphan);
	promise(t->state == TCPWHY_CLOSE || t->state == TCPWHY_LISTEN ||
		(t->port == o->port && t->peer_port == o->peer_port));
}

static void check_listener(const struct host *h, const struct tcb *t)
{
	uint32_t n = tcb_number(t->sock), requests = 0, young = 0, pending = 0, last = NIL;

	for (uint32_t i = 0; i < h->requests_used; i++) {
		requests += h->requests[i].listener == n;
		young += h->requests[i].listener == n && !h->requests[i].timeouts;
	}
	promise(requests == t->requests && young == t->young);
	for (uint32_t c = t->accept_first; c != NIL; c = tcb_at(h, c)->next) {
		const struct tcb *child = tcb_at(h, c);
		promise(child->pending && child->parent == n && tcb_of(h, child->sock) == child);
		promise(pending++ <= h->chunks_size * TCB_CHUNK);
		last = c;
	}
	promise(pending == t->accept_used && last == t->accept_last);
}

static void check_view(struct host *h, const struct tcb *t)
{
	struct host_view v, found;

	promise(host_look(h, t->sock, &v) == 0 && v.sock == t->sock && v.timewait == t->mini);
	promise(v.state == t->state || v.state == TCPWHY_BOUND);
	promise(!v.expires_ns || v.expires_ns >= now(h));
	if (t->mini && !t->device)
		promise(host_find(h, &t->local, t->port, &t->peer, t->peer_port, &found));
}

/* Everything the engine has is known here; everything here that lives is the engine's, too. */
static void check_sockets(struct machine *m)
{
	struct host *h = m->h;
	struct tcpwhy_cursor c = {0};
	struct tcpwhy_owner o;
	tcpwhy_sock s;

	while (tcpwhy_next_owner(h->engine, &c, &s, &o))
		promise(m->starved || tcb_of(h, s));
	for (uint32_t n = 0; n < h->chunks_size * TCB_CHUNK; n++) {
		if (!h->chunks[n / TCB_CHUNK])
			continue;
		const struct tcb *t = tcb_at(h, n);
		if (!t->sock || tcb_of(h, t->sock) != t)
			continue;
		promise(tcpwhy_get(h->engine, t->sock, &o) == 0);
		check_state(t, &o);
		check_view(h, t);
		if (t->state == TCPWHY_LISTEN)
			check_listener(h, t);
	}
}

static void check_requests(const struct host *h)
{
	uint32_t used = 0, chained = 0;

	for (uint32_t i = 0; i < h->requests_used; i++) {
		if (h->requests[i].listener == NIL)
			continue;
		used++;
		promise(h->requests[i].orphan ||
			tcb_at(h, h->requests[i].listener)->state == TCPWHY_LISTEN);
	}
	for (uint32_t i = 0; i < h->by_request.size; i++)
		for (uint32_t r = h->by_request.head[i]; r != NIL; r = h->requests[r].next)
			promise(chained++ <= used);
	promise(used == chained && used == h->by_request.entries);
}

static void check(struct machine *m)
{
	check_heap(m->h);
	check_requests(m->h);
	check_sockets(m);
}

static const struct tcpwhy_row *row_of(uint8_t n)
{
	size_t rows = 0;

	while (tcpwhy_row_at(rows))
		rows++;
	return tcpwhy_row_at(n % rows);
}

static struct host *new_host(struct machine *m, uint8_t row)
{
	static const struct tcpwhy_addr loopback = {.b = {[10] = 0xff, [11] = 0xff, [12] = 127}};
	const uint8_t kind = byte(m);
	struct host_config config = {.row = row_of(row),
				     .memory = {.resize = bytes_resize, .ctx = &m->in},
				     .draw = bytes_draw,
				     .ctx = &m->in,
				     .window = byte(m) % 4 ? 0 : (uint32_t)number(m),
				     .mss = byte(m) % 4 ? 0 : (uint16_t)(500 + byte(m))};

	config.memory.limit = kind % 4 ? 0 : 8000 + 600 * (size_t)byte(m);
	m->in.fail_at = kind % 8 == 1 ? 2 + byte(m) % 64 : 0;
	m->starved = config.memory.limit || m->in.fail_at;
	m->perturb = (struct tcpwhy_perturb){.table = m->table, .size = 16};
	if (kind % 16 > 7)
		config.perturb = &m->perturb;
	struct host *h = host_new(&config);
	if (h && tcpwhy_add_local(host_engine(h), &loopback, 104, TCPWHY_LOCAL, 1, 0) == 0)
		return h;
	host_free(h);
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine m = {.in = {.at = data, .end = data + size}};

	m.h = new_host(&m, size ? data[size - 1] : 0);
	if (!m.h)
		return 0;
	for (unsigned i = 0; i < STEPS && m.in.at < m.in.end; i++) {
		step(&m);
		check(&m);
	}
	host_free(m.h);
	return 0;
}
