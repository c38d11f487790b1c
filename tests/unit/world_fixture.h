/* SPDX-License-Identifier: MIT
 *
 * world_fixture.h - small worlds behind the stage's interface, and socket calls in one line each
 */
#ifndef TCPWHY_TESTS_WORLD_FIXTURE_H
#define TCPWHY_TESTS_WORLD_FIXTURE_H

#include "unit.h"

#include <errno.h>
#include <string.h>

#include "case/stage_world.h"

#define US (UINT64_C(1000))
#define MS (1000 * US)
#define S  (1000 * MS)

enum { PORT = 8080 };

/* One world at a time. */
static struct stage *st;
static const struct stage_ops *on;
static struct err err;

static inline struct tcpwhy_addr at(const char *text)
{
	struct tcpwhy_addr a;
	enum tcpwhy_family f;

	assert_true(address_parse(text, &a, &f));
	return a;
}

static inline void world_open(const char *row, uint64_t seed)
{
	struct stage_world_config c = {.row = tcpwhy_row_find(row), .seed = seed};

	assert_non_null(c.row);
	assert_int_equal(stage_world_new(&c, &st, &err), 0);
	on = st->ops;
}

static inline void world_close(void)
{
	on->free(st);
}

static inline int machine(const char *name, const char *release, uint32_t clock_ms)
{
	struct stage_host h = {.name = name, .release = release, .clock_ms = clock_ms};
	int node = on->add_host(st, &h, &err);

	assert_true(node >= 0);
	return node;
}

static inline int box(const char *name)
{
	struct stage_box b = {.name = name};
	int node = on->add_box(st, &b, &err);

	assert_true(node >= 0);
	return node;
}

/* A tapped link with one address at each end, "" for none, and a millisecond each way. */
static inline int cable(int a, const char *address_a, int b, const char *address_b)
{
	struct tcpwhy_addr addrs[2];
	struct stage_link l = {
		.ends = {{.node = a, .addrs = &addrs[0]}, {.node = b, .addrs = &addrs[1]}},
		.delay_ns = {MS, MS},
		.tapped = true};

	if (*address_a)
		addrs[l.ends[0].n_addrs++] = at(address_a);
	if (*address_b) {
		addrs[1] = at(address_b);
		l.ends[1].n_addrs = 1;
	}
	int link = on->add_link(st, &l, &err);
	assert_true(link >= 0);
	return link;
}

static inline void begin(void)
{
	assert_int_equal(on->start(st, &err), 0);
}

static inline void wait_for(uint64_t ns)
{
	assert_int_equal(on->pause(st, ns, &err), 0);
}

static inline void sysctl(int host, const char *name, const char *value)
{
	assert_int_equal(on->set_sysctl(st, host, name, value, &err), 0);
}

static inline uint64_t counted(int host, const char *name)
{
	uint64_t value = 0;

	assert_int_equal(on->counter(st, host, name, &value, &err), 0);
	return value;
}

static inline int control(int link, enum line_direction d, struct line_control c)
{
	int n = on->add_control(st, link, d, &c, &err);

	assert_true(n >= 0);
	return n;
}

static inline void rules(int node, const struct rule *r, size_t n)
{
	assert_int_equal(on->set_rules(st, node, r, n, &err), 0);
}

/* ---------------------------------------------------------------------------------------- sockets
 */

static inline int sock(int host)
{
	int s = on->socket(st, host, TCPWHY_IPV4, 0);

	assert_true(s >= 0);
	return s;
}

static inline int listener(int host, const char *address, int backlog)
{
	struct tcpwhy_addr a = at(address);
	int s = sock(host);

	assert_int_equal(on->bind(st, s, &a, PORT), 0);
	assert_int_equal(on->listen(st, s, backlog), 0);
	return s;
}

/* connect() until it says how it ended. */
struct connecting {
	int sock, result;
	struct tcpwhy_addr to;
};

static inline int has_connected(void *ctx)
{
	struct connecting *c = ctx;

	c->result = on->connect(st, c->sock, &c->to, PORT);
	return c->result != -EALREADY && c->result != -EINPROGRESS;
}

/* 0 or -errno, as a blocking connect(); -ETIMEDOUT of its own or after ns. */
static inline int connect_sock(int s, const char *to, uint64_t ns)
{
	struct connecting c = {.sock = s, .to = at(to)};

	if (on->run_until(st, has_connected, &c, ns, &err) < 0)
		return -ETIMEDOUT;
	return c.result == -EISCONN ? 0 : c.result;
}

static inline int connected(int host, const char *to)
{
	int s = sock(host);

	assert_int_equal(connect_sock(s, to, 10 * S), 0);
	return s;
}

/* The connection that waits at a listener, once the handshake's last ACK has come. */
static inline int accepted(int listener_sock)
{
	wait_for(10 * MS);
	int s = on->accept(st, listener_sock);
	assert_true(s >= 0);
	return s;
}

static inline struct stage_sock seen(int s)
{
	struct stage_sock k;

	assert_int_equal(on->look(st, s, &k), 0);
	return k;
}

static inline enum tcpwhy_state state_of(int s)
{
	return seen(s).state;
}

/* The state of the other end's 4-tuple; 0: nothing has it. */
static inline enum tcpwhy_state state_at(int host, const struct stage_sock *other)
{
	struct stage_sock k;

	if (on->find(st, host, &other->peer, other->peer_port, &other->local, other->port, &k) < 0)
		return 0;
	return k.state;
}

static inline enum tcpwhy_state state_here(int host, const struct stage_sock *own)
{
	struct stage_sock k;

	if (on->find(st, host, &own->local, own->port, &own->peer, own->peer_port, &k) < 0)
		return 0;
	return k.state;
}

/* ---------------------------------------------------------------------------------------- segments
 */

/* The i-th segment of a link and direction that has these flags; there must be one. */
static inline struct line_record crossed(int link, enum line_direction d, uint8_t flags, unsigned i)
{
	struct line_record r;

	for (size_t n = 0; on->trace(st, n, &r); n++)
		if (r.link == link && r.direction == d && (r.segment.flags & flags) == flags &&
		    i-- == 0)
			return r;
	fail_msg("no such segment");
	return r;
}

static inline unsigned crossings(int link, enum line_direction d, uint8_t flags)
{
	struct line_record r;
	unsigned n = 0;

	for (size_t i = 0; on->trace(st, i, &r); i++)
		n += r.link == link && r.direction == d && (r.segment.flags & flags) == flags;
	return n;
}

/* A RST to the owner of k, as from its peer, that far from what it expects. */
static inline struct segment reset_for(const struct stage_sock *k, uint32_t beyond)
{
	return (struct segment){.from = k->peer,
				.to = k->local,
				.from_port = k->peer_port,
				.to_port = k->port,
				.flags = SEGMENT_RST,
				.seq = k->rcv_nxt + beyond};
}

#endif
