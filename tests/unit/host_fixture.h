/* SPDX-License-Identifier: MIT
 *
 * host_fixture.h - two hosts of any release, and the wire between them in the test's hands
 *
 * pump() carries every segment to the other side at once; a test that wants to lose, keep or write
 * one takes them out with out_of() and gives them in with into().
 */
#ifndef TCPWHY_TESTS_HOST_FIXTURE_H
#define TCPWHY_TESTS_HOST_FIXTURE_H

#include <string.h>

#include "engine_fixture.h"
#include "segment/host.h"

enum { SERVER_PORT = 8080, CLIENT_PORT = 40000 };

#define MS (UINT64_C(1000000))
#define S  (1000 * MS)

struct pair {
	struct host *client, *server;
	struct tcpwhy_addr client_at, server_at;
	uint32_t seed[2];
};

static inline struct host *fixture_host(const char *row, const char *address, uint32_t *seed,
					uint32_t clock_ms)
{
	struct host_config config = {.row = tcpwhy_row_find(row),
				     .memory.resize = heap_resize,
				     .draw = fixture_draw,
				     .ctx = seed,
				     .clock_ms = clock_ms};
	struct tcpwhy_addr a = at(address);
	struct host *h = host_new(&config);

	assert_non_null(h);
	assert_int_equal(tcpwhy_add_local(host_engine(h), &a, 128, TCPWHY_LOCAL, ETH0, 0), 0);
	host_advance(h, S);
	return h;
}

static inline struct pair pair_new(const char *client_row, const char *server_row)
{
	static uint32_t seeds[2];
	struct pair p = {.client_at = at("10.0.0.1"), .server_at = at("10.0.0.2")};

	seeds[0] = 1;
	seeds[1] = 1000;
	p.client = fixture_host(client_row, "10.0.0.1", &seeds[0], 1000000);
	p.server = fixture_host(server_row, "10.0.0.2", &seeds[1], 5000000);
	return p;
}

static inline void pair_free(struct pair *p)
{
	host_free(p->client);
	host_free(p->server);
}

/* The next segment that leaves a host; there must be one. */
static inline struct segment out_of(struct host *h)
{
	struct segment s;

	assert_true(host_segment_out(h, &s));
	return s;
}

static inline void nothing_out_of(struct host *h)
{
	struct segment s;

	assert_false(host_segment_out(h, &s));
}

static inline void into(struct host *h, struct segment s)
{
	host_segment_in(h, &s);
}

/* Carries what leaves either host to the other one until both are silent. */
static inline void pump(struct pair *p)
{
	struct segment s;
	bool moved = true;

	for (unsigned n = 0; moved && n < 1000; n++) {
		moved = false;
		while (host_segment_out(p->client, &s)) {
			host_segment_in(p->server, &s);
			moved = true;
		}
		while (host_segment_out(p->server, &s)) {
			host_segment_in(p->client, &s);
			moved = true;
		}
	}
	assert_false(moved);
}

static inline void both_advance(struct pair *p, uint64_t now_ns)
{
	host_advance(p->client, now_ns);
	host_advance(p->server, now_ns);
}

static inline tcpwhy_sock a_socket(struct host *h)
{
	tcpwhy_sock s;

	assert_int_equal(host_socket(h, TCPWHY_IPV4, 0, &s), 0);
	return s;
}

static inline tcpwhy_sock a_listener(struct pair *p, int backlog)
{
	tcpwhy_sock l = a_socket(p->server);

	host_setsockopt(p->server, l, TCPWHY_SO_REUSEADDR, 1);
	assert_int_equal(host_bind(p->server, l, &p->server_at, SERVER_PORT, NULL), 0);
	assert_int_equal(host_listen(p->server, l, backlog, NULL), 0);
	return l;
}

/* A socket whose SYN is on its way. */
static inline tcpwhy_sock a_call_from(struct pair *p, uint16_t port)
{
	tcpwhy_sock c = a_socket(p->client);

	if (port)
		assert_int_equal(host_bind(p->client, c, &p->client_at, port, NULL), 0);
	assert_int_equal(
		host_connect(p->client, c, &p->server_at, SERVER_PORT, &p->client_at, NULL),
		-EINPROGRESS);
	return c;
}

static inline int state_at(struct host *h, tcpwhy_sock s)
{
	struct host_view v;

	return host_look(h, s, &v) == 0 ? v.state : -1;
}

/* What the server has of the client's connection; 0: nothing. */
static inline struct host_view at_server(struct pair *p, uint16_t client_port)
{
	struct host_view v = {0};

	host_find(p->server, &p->server_at, SERVER_PORT, &p->client_at, client_port, &v);
	return v;
}

static inline struct host_view at_client(struct pair *p, uint16_t client_port)
{
	struct host_view v = {0};

	host_find(p->client, &p->client_at, client_port, &p->server_at, SERVER_PORT, &v);
	return v;
}

/* listen, connect, accept: both ends of an established connection from CLIENT_PORT. */
struct ends {
	tcpwhy_sock listener, client, server;
};

static inline struct ends established(struct pair *p)
{
	struct ends e = {.listener = a_listener(p, 5)};

	e.client = a_call_from(p, CLIENT_PORT);
	pump(p);
	assert_int_equal(host_accept(p->server, e.listener, 0, &e.server), 0);
	return e;
}

/* --------------------------------------------------------------------------- one rule at a time */

#define counted(h, name) ((int)host_counter(h, COUNTER_##name))

#define host_set(h, field, value)                                                                  \
	do {                                                                                       \
		struct host_sysctls new_ = *host_sysctls(h);                                       \
		new_.field = (value);                                                              \
		host_set_sysctls(h, &new_);                                                        \
	} while (0)

#define engine_set(h, field, value)                                                                \
	do {                                                                                       \
		struct tcpwhy_sysctls new_ = *tcpwhy_sysctls(host_engine(h));                      \
		new_.field = (value);                                                              \
		assert_int_equal(tcpwhy_set_sysctls(host_engine(h), &new_), 0);                    \
	} while (0)

static inline struct segment written(const struct host_view *receiver, uint8_t flags)
{
	return (struct segment){.flags = flags,
				.seq = receiver->rcv_nxt,
				.ack = flags & SEGMENT_ACK ? receiver->snd_nxt : 0,
				.window = 65535};
}

/* What the server's end of the connection from CLIENT_PORT takes for the next segment, without
 * options: the test makes it wrong. */
static inline struct segment to_server(struct pair *p, uint8_t flags)
{
	struct host_view v = at_server(p, CLIENT_PORT);
	struct segment s = written(&v, flags);

	s.from = p->client_at;
	s.to = p->server_at;
	s.from_port = CLIENT_PORT;
	s.to_port = SERVER_PORT;
	return s;
}

static inline struct segment to_client(struct pair *p, uint8_t flags)
{
	struct host_view v = at_client(p, CLIENT_PORT);
	struct segment s = written(&v, flags);

	s.from = p->server_at;
	s.to = p->client_at;
	s.from_port = SERVER_PORT;
	s.to_port = CLIENT_PORT;
	return s;
}

/* The flags of the one segment that leaves, 0: none. */
static inline int answer(struct host *h)
{
	struct segment s = {0};

	host_segment_out(h, &s);
	nothing_out_of(h);
	return s.flags;
}

/* What waits on the wire is lost. */
static inline void lose(struct host *h)
{
	struct segment s;

	while (host_segment_out(h, &s))
		;
}

/* The seconds from now until a socket or a request of the host ends by itself, all of whose
 * segments are lost; at most an hour. In milliseconds. */
static inline int ends_after(struct host *h, bool (*is_over)(struct host *h, void *ctx), void *ctx)
{
	uint64_t start = tcpwhy_now(host_engine(h));

	while (!is_over(h, ctx)) {
		uint64_t next = host_deadline(h);
		assert_true(next > tcpwhy_now(host_engine(h)) && next - start < 3600 * S);
		host_advance(h, next);
		lose(h);
	}
	return (int)((tcpwhy_now(host_engine(h)) - start) / MS);
}

/* From that row on, until the next one, the scene leaves that number. */
struct since {
	const char *row;
	int leaves;
};

typedef int pair_scene(struct pair *p);

#define SINCE(...)                                                                                 \
	(const struct since[]){__VA_ARGS__},                                                       \
		sizeof((const struct since[]){__VA_ARGS__}) / sizeof(struct since)

static inline void check_rows(const char *what, pair_scene *play, const struct since *steps,
			      size_t n)
{
	size_t reached = 0;

	for (size_t i = 0; tcpwhy_row_at(i); i++) {
		const char *name = tcpwhy_row_at(i)->name;
		struct pair p = pair_new(name, name);
		reached += reached < n && strcmp(name, steps[reached].row) == 0;
		assert_true(reached);
		int got = play(&p), wanted = steps[reached - 1].leaves;
		pair_free(&p);
		if (got != wanted)
			fail_msg("%s on %s: %d, not %d", what, name, got, wanted);
	}
	assert_int_equal(reached, n);
}

static inline void check_every_row(const char *what, pair_scene *play, int leaves)
{
	check_rows(what, play, SINCE({"3.10", leaves}));
}

#endif
