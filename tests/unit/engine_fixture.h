/* SPDX-License-Identifier: MIT
 *
 * engine_fixture.h - a namespace with a few addresses, and socket calls in one line each
 */
#ifndef TCPWHY_TESTS_ENGINE_FIXTURE_H
#define TCPWHY_TESTS_ENGINE_FIXTURE_H

#include "unit.h"

#include <errno.h>

#include "base/address.h"
#include "live/heap.h"

enum { ETH0 = 2, ETH1 = 3, SECOND = 1000 };

static inline struct tcpwhy_addr at(const char *text)
{
	struct tcpwhy_addr a;
	enum tcpwhy_family f;

	assert_true(address_parse(text, &a, &f));
	return a;
}

static inline struct tcpwhy_engine *fixture_row(const char *row, size_t limit)
{
	struct tcpwhy_memory memory = {.resize = heap_resize, .limit = limit};
	struct tcpwhy_engine *e = tcpwhy_engine_new(tcpwhy_row_find(row), &memory);
	static const struct {
		const char *prefix;
		unsigned len;
		uint32_t device;
	} locals[] = {{"127.0.0.0", 104, 1}, {"10.0.0.1", 128, ETH0}, {"10.0.0.2", 128, ETH1},
		      {"::1", 128, 1},       {"fd00::1", 128, ETH0},  {"fe80::1", 128, ETH0}};

	assert_non_null(e);
	for (size_t i = 0; i < sizeof(locals) / sizeof(locals[0]); i++) {
		struct tcpwhy_addr a = at(locals[i].prefix);
		assert_int_equal(
			tcpwhy_add_local(e, &a, locals[i].len, TCPWHY_LOCAL, locals[i].device, 0),
			0);
	}
	for (uint32_t d = 1; d <= ETH1; d++)
		assert_int_equal(tcpwhy_add_device(e, d, 0), 0);
	return e;
}

static inline struct tcpwhy_engine *fixture_engine(size_t limit)
{
	return fixture_row("6.18.y", limit);
}

static inline int fixture_setup(void **state)
{
	*state = fixture_engine(0);
	return 0;
}

static inline int fixture_teardown(void **state)
{
	tcpwhy_engine_free(*state);
	return 0;
}

#define engine_test(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

enum { REUSE = 1, PORT = 2, V6ONLY = 4 };

static inline tcpwhy_sock sock6(struct tcpwhy_engine *e, enum tcpwhy_family family, unsigned flags,
				uint32_t uid)
{
	tcpwhy_sock s;

	assert_int_equal(tcpwhy_socket(e, family, uid, true, &s), 0);
	if (flags & REUSE)
		assert_int_equal(tcpwhy_setsockopt(e, s, TCPWHY_SO_REUSEADDR, 1), 0);
	if (flags & PORT)
		assert_int_equal(tcpwhy_setsockopt(e, s, TCPWHY_SO_REUSEPORT, 1), 0);
	if (flags & V6ONLY)
		assert_int_equal(tcpwhy_setsockopt(e, s, TCPWHY_IPV6_V6ONLY, 1), 0);
	return s;
}

static inline tcpwhy_sock sock4(struct tcpwhy_engine *e, unsigned flags)
{
	return sock6(e, TCPWHY_IPV4, flags, 0);
}

/* The kernel's start of a search, always the first port of the first pass. */
static inline uint32_t fixture_draw(void *ctx, uint32_t n)
{
	(void)n;
	return ctx ? (*(uint32_t *)ctx)++ % n : 0;
}

static const struct tcpwhy_choice first_port = {.draw = fixture_draw};

static inline struct tcpwhy_verdict bind_verdict(struct tcpwhy_engine *e, tcpwhy_sock s,
						 const char *addr, uint16_t port)
{
	struct tcpwhy_addr a = at(addr);
	struct tcpwhy_verdict v;

	assert_int_equal(tcpwhy_bind(e, s, &a, port, &first_port, &v), 0);
	return v;
}

static inline int do_bind(struct tcpwhy_engine *e, tcpwhy_sock s, const char *addr, uint16_t port)
{
	return bind_verdict(e, s, addr, port).error;
}

static inline int do_listen(struct tcpwhy_engine *e, tcpwhy_sock s)
{
	struct tcpwhy_verdict v;

	assert_int_equal(tcpwhy_listen(e, s, &first_port, &v), 0);
	return v.error;
}

static inline struct tcpwhy_verdict connect_verdict(struct tcpwhy_engine *e, tcpwhy_sock s,
						    const char *peer, uint16_t port,
						    const char *source)
{
	struct tcpwhy_addr p = at(peer), from = at(source);
	struct tcpwhy_verdict v;

	assert_int_equal(tcpwhy_connect(e, s, &p, port, &from, &first_port, &v), 0);
	return v;
}

static inline int do_connect(struct tcpwhy_engine *e, tcpwhy_sock s, const char *peer,
			     uint16_t port, const char *source)
{
	return connect_verdict(e, s, peer, port, source).error;
}

static inline uint16_t port_of(struct tcpwhy_engine *e, tcpwhy_sock s)
{
	struct tcpwhy_owner o;

	assert_int_equal(tcpwhy_get(e, s, &o), 0);
	return o.port;
}

static inline int state_of(struct tcpwhy_engine *e, tcpwhy_sock s)
{
	struct tcpwhy_owner o;

	return tcpwhy_get(e, s, &o) ? 0 : o.state;
}

/* A whole connection inside the namespace; returns the accepted child, uid 0. */
static inline tcpwhy_sock join(struct tcpwhy_engine *e, tcpwhy_sock client, tcpwhy_sock listener,
			       const char *server, uint16_t port, const char *source)
{
	struct tcpwhy_addr to = at(server), from = at(source);
	tcpwhy_sock child;

	assert_int_equal(do_connect(e, client, server, port, source), 0);
	assert_int_equal(tcpwhy_established(e, client), 0);
	assert_int_equal(tcpwhy_incoming(e, listener, &to, &from, port_of(e, client), &child), 0);
	assert_int_equal(tcpwhy_accepted(e, child, 0), 0);
	return child;
}

/* first closes before second; first ends in TIME_WAIT. Returns the TIME_WAIT. */
static inline tcpwhy_sock part(struct tcpwhy_engine *e, tcpwhy_sock first, tcpwhy_sock second)
{
	enum tcpwhy_sent sent;
	struct tcpwhy_owner o;

	assert_int_equal(tcpwhy_get(e, first, &o), 0);
	assert_int_equal(tcpwhy_close(e, first, &sent), 0);
	assert_int_equal(sent, TCPWHY_SENT_FIN);
	assert_int_equal(tcpwhy_fin_in(e, second), 0);
	assert_int_equal(tcpwhy_fin_acked(e, first, NULL), 0);
	tcpwhy_sock tw = tcpwhy_find_tuple(e, &o.local, o.port, &o.peer, o.peer_port, 0);
	assert_int_equal(state_of(e, tw), TCPWHY_FIN_WAIT2);
	assert_int_equal(tcpwhy_close(e, second, &sent), 0);
	assert_int_equal(tcpwhy_fin_in(e, tw), 0);
	assert_int_equal(tcpwhy_fin_acked(e, second, NULL), 0);
	assert_int_equal(state_of(e, tw), TCPWHY_TIME_WAIT);
	return tw;
}

static inline void sysctl_set(struct tcpwhy_engine *e, uint16_t low, uint16_t high)
{
	struct tcpwhy_sysctls s = *tcpwhy_sysctls(e);

	s.port_low = low;
	s.port_high = high;
	assert_int_equal(tcpwhy_set_sysctls(e, &s), 0);
}

#endif
