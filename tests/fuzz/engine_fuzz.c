/* SPDX-License-Identifier: MIT
 *
 * engine_fuzz.c - the public API in any order with any arguments
 *
 * The bytes are a program: each call takes its arguments from them, wrong ones included: stale and
 * made-up handles, absurd times and numbers, allocations that fail. Nothing may crash, leak, hang,
 * or pass memory.limit.
 */
#include "bytes.h"
#include "fuzz.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tcpwhy/engine.h"

enum { SLOTS = 32, CALLS = 4000 };

struct machine {
	struct bytes in;
	struct tcpwhy_engine *e;
	tcpwhy_sock slot[SLOTS];
	unsigned n;
	size_t limit;
	uint32_t perturb[16];
};

static uint8_t byte(struct machine *m)
{
	return bytes_next(&m->in);
}

static uint64_t number(struct machine *m)
{
	return bytes_number(&m->in);
}

/* Mostly one of few addresses, so that they meet; sometimes any sixteen bytes. */
static struct tcpwhy_addr address(struct machine *m)
{
	struct tcpwhy_addr a = {{0}};
	const uint8_t kind = byte(m);

	if (kind % 8 == 7) {
		for (unsigned i = 0; i < 16; i++)
			a.b[i] = byte(m);
		return a;
	}
	if (kind % 2)
		a.b[10] = a.b[11] = 0xff;
	if (kind % 8 > 1)
		a.b[12] = 127;
	a.b[15] = kind / 8 % 4;
	return a;
}

static uint16_t port(struct machine *m)
{
	const uint8_t b = byte(m);

	return b < 250 ? (uint16_t)(20000 + b % 12) : (uint16_t)number(m);
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

static struct tcpwhy_choice choice(struct machine *m, struct tcpwhy_perturb *p)
{
	struct tcpwhy_choice c = {.draw = bytes_draw, .ctx = &m->in};
	const uint8_t b = byte(m);

	if (b % 4 == 1)
		c.follow = port(m);
	c.none = b % 16 == 2;
	if (b % 4 == 3) {
		*p = (struct tcpwhy_perturb){.key = {b, b}, .table = m->perturb, .size = 16};
		c.perturb = p;
	}
	return c;
}

static void import(struct machine *m)
{
	struct tcpwhy_owner o = {.local = address(m),
				 .peer = address(m),
				 .port = port(m),
				 .peer_port = port(m),
				 .family = (uint8_t)(4 + 2 * (byte(m) % 2)),
				 .state = (uint8_t)(byte(m) % 15),
				 .reuse = (uint8_t)(byte(m) % 5),
				 .reuseport = (uint8_t)(byte(m) % 4),
				 .v6only = (uint8_t)(byte(m) % 4),
				 .connect_bind = (uint8_t)(byte(m) % 4),
				 .timewait = byte(m) % 2,
				 .timestamps = (uint8_t)(byte(m) % 4),
				 .uid_known = byte(m) % 2,
				 .device = byte(m) % 4,
				 .expires_ns = number(m),
				 .tag = number(m)};
	struct tcpwhy_bucket b = {.port = o.port,
				  .known = byte(m) % 4,
				  .fastreuse = (int8_t)(byte(m) % 3 - 1),
				  .fastreuseport = (int8_t)(byte(m) % 4 - 1),
				  .fast_addr = address(m),
				  .fast_family = o.family};
	tcpwhy_sock s;

	if (!tcpwhy_import_owner(m->e, &o, &s))
		keep(m, s);
	if (byte(m) % 2)
		tcpwhy_import_bucket(m->e, &b);
}

static void ask(struct machine *m)
{
	struct tcpwhy_bind_request q = {.addr = address(m),
					.port = byte(m) % 4 ? port(m) : 0,
					.family = (uint8_t)(4 + 2 * (byte(m) % 2)),
					.reuse = (uint8_t)(byte(m) % 3),
					.reuseport = byte(m) % 2,
					.v6only = byte(m) % 2,
					.listen = byte(m) % 2,
					.may_bind_low = (enum tcpwhy_tri)(byte(m) % 3),
					.device = byte(m) % 4};
	struct tcpwhy_connect_request c = {.peer = address(m),
					   .source = address(m),
					   .peer_port = port(m),
					   .port = byte(m) % 4 ? 0 : port(m),
					   .family = q.family,
					   .device = q.device};
	struct tcpwhy_cursor cursor = {0};
	struct tcpwhy_verdict v;
	struct tcpwhy_owner o;
	enum tcpwhy_holder why;
	unsigned n = 0;

	tcpwhy_would_bind(m->e, &q, &v);
	while (n < CALLS && tcpwhy_next_holder(m->e, &q, &cursor, &o, &why))
		n++;
	/* The cursor finds what the verdict counted, where owners decided. */
	if (q.port && v.rule >= TCPWHY_RULE_BIND_TW_NEEDS_REUSE &&
	    v.rule <= TCPWHY_RULE_BIND_LISTENER_OTHER_UID && v.holders < CALLS)
		promise(v.holders == n);
	promise(v.answer == TCPWHY_DEPENDS || !v.missing);
	tcpwhy_would_connect(m->e, &c, &v);
	promise(v.answer == TCPWHY_DEPENDS || !v.missing);
}

static void sysctls(struct machine *m)
{
	struct tcpwhy_sysctls s = *tcpwhy_sysctls(m->e);

	s.port_low = port(m);
	s.port_high = (uint16_t)(s.port_low + byte(m) % 40);
	s.autobind_reuse = byte(m) % 2;
	s.tw_reuse = byte(m) % 4;
	s.tw_reuse_delay_ms = (uint32_t)number(m);
	s.max_tw_buckets = byte(m);
	s.fin_timeout_s = (uint32_t)number(m);
	s.timestamps = (uint8_t)(byte(m) % 3);
	s.l3mdev_accept = byte(m) % 2;
	tcpwhy_set_sysctls(m->e, &s);
	tcpwhy_reserve_port(m->e, port(m), byte(m) % 2);
}

/* What has a time ends at it. */
static void advance(struct machine *m)
{
	uint64_t t = byte(m) % 8 ? tcpwhy_now(m->e) + number(m) % 100000000000 : number(m);

	tcpwhy_advance(m->e, t);
	if (t < UINT64_MAX / 4 && !m->limit && !m->in.fail_at)
		promise(tcpwhy_next_end(m->e) > tcpwhy_now(m->e));
}

/* ------------------------------------------------------------------------------------------ calls
 */

/* What every call may take; it takes more of its own. */
struct arguments {
	tcpwhy_sock s;
	struct tcpwhy_addr a, b;
	struct tcpwhy_choice choice;
};

static void call_socket(struct machine *m, struct arguments *x)
{
	if (!tcpwhy_socket(m->e, (enum tcpwhy_family)(4 + byte(m) % 3), byte(m) % 3, byte(m) % 2,
			   &x->s))
		keep(m, x->s);
}

static void call_setsockopt(struct machine *m, struct arguments *x)
{
	tcpwhy_setsockopt(m->e, x->s, (enum tcpwhy_option)(byte(m) % 14), number(m));
}

static void call_bind(struct machine *m, struct arguments *x)
{
	struct tcpwhy_verdict v;

	tcpwhy_bind(m->e, x->s, &x->a, byte(m) % 4 ? port(m) : 0, &x->choice, &v);
}

static void call_listen(struct machine *m, struct arguments *x)
{
	struct tcpwhy_verdict v;

	tcpwhy_listen(m->e, x->s, &x->choice, &v);
}

static void call_connect(struct machine *m, struct arguments *x)
{
	struct tcpwhy_verdict v;

	tcpwhy_connect(m->e, x->s, &x->a, port(m), &x->b, &x->choice, &v);
}

static void call_established(struct machine *m, struct arguments *x)
{
	tcpwhy_established(m->e, x->s);
}

static void call_incoming(struct machine *m, struct arguments *x)
{
	if (!tcpwhy_incoming(m->e, x->s, &x->a, &x->b, port(m), &x->s))
		keep(m, x->s);
}

static void call_accepted(struct machine *m, struct arguments *x)
{
	tcpwhy_accepted(m->e, x->s, byte(m) % 3);
}

static void call_fin_in(struct machine *m, struct arguments *x)
{
	tcpwhy_fin_in(m->e, x->s);
}

static void call_fin_acked(struct machine *m, struct arguments *x)
{
	enum tcpwhy_sent sent;

	tcpwhy_fin_acked(m->e, x->s, &sent);
}

static void call_reset_in(struct machine *m, struct arguments *x)
{
	tcpwhy_reset_in(m->e, x->s);
}

static void call_shutdown(struct machine *m, struct arguments *x)
{
	enum tcpwhy_sent sent;

	tcpwhy_shutdown(m->e, x->s, (enum tcpwhy_how)(byte(m) % 3), &sent);
}

static void call_close(struct machine *m, struct arguments *x)
{
	enum tcpwhy_sent sent;

	tcpwhy_close(m->e, x->s, &sent);
}

static void call_import(struct machine *m, struct arguments *x)
{
	(void)x;
	import(m);
}

static void call_ask(struct machine *m, struct arguments *x)
{
	(void)x;
	ask(m);
}

static void call_time(struct machine *m, struct arguments *x)
{
	(void)x;
	advance(m);
	sysctls(m);
}

static void call_timestamps(struct machine *m, struct arguments *x)
{
	tcpwhy_timestamps(m->e, x->s, byte(m) % 2);
}

static void call_timewait_end(struct machine *m, struct arguments *x)
{
	tcpwhy_timewait_end(m->e, x->s,
			    byte(m) % 4 ? tcpwhy_now(m->e) + number(m) % 100000000000 : number(m),
			    byte(m) % 2);
}

/* By the remainder of a byte below 240: what a corpus means is kept by the order. */
static void (*const often[20])(struct machine *m, struct arguments *x) = {
	call_socket,   call_socket,   call_setsockopt, call_setsockopt, call_bind,
	call_bind,     call_listen,   call_connect,    call_connect,    call_established,
	call_incoming, call_accepted, call_fin_in,     call_fin_acked,  call_reset_in,
	call_shutdown, call_close,    call_import,     call_ask,        call_time,
};
static void (*const seldom[2])(struct machine *m, struct arguments *x) = {
	call_timestamps,
	call_timewait_end,
};

static void call(struct machine *m)
{
	struct tcpwhy_perturb perturb;
	struct arguments x = {.s = handle(m)};
	const uint8_t kind = byte(m);

	x.a = address(m);
	x.b = address(m);
	x.choice = choice(m, &perturb);
	(kind < 240 ? often[kind % 20] : seldom[kind % 2])(m, &x);
}

/* Whatever happened, every owner can be read and found. */
static void walk(const struct tcpwhy_engine *e)
{
	struct tcpwhy_cursor c = {0};
	struct tcpwhy_owner o;
	struct tcpwhy_bucket b;
	tcpwhy_sock s;

	while (tcpwhy_next_owner(e, &c, &s, &o)) {
		promise(o.port && tcpwhy_get_bucket(e, o.port, o.l3mdev, &b));
		promise(!tcpwhy_get(e, s, &o));
	}
}

static const struct tcpwhy_row *row_of(uint8_t n)
{
	size_t rows = 0;

	while (tcpwhy_row_at(rows))
		rows++;
	return tcpwhy_row_at(n % rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine m = {.in = {.at = data, .end = data + size}};

	m.in.fail_at = byte(&m) % 64;
	m.limit = byte(&m) % 4 ? 0 : 4000 + 400 * (size_t)byte(&m);
	const struct tcpwhy_memory memory = {
		.resize = bytes_resize, .ctx = &m.in, .limit = m.limit};
	m.e = tcpwhy_engine_new(row_of(size ? data[size - 1] : 0), &memory);
	if (!m.e)
		return 0;
	for (unsigned i = 0; i < CALLS && m.in.at < m.in.end; i++) {
		call(&m);
		promise(!m.limit || tcpwhy_engine_bytes(m.e) <= m.limit);
	}
	walk(m.e);
	tcpwhy_engine_free(m.e);
	return 0;
}
