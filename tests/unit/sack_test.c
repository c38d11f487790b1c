/* SPDX-License-Identifier: MIT
 *
 * The blocks of the SACK option: four are known, the newest first; which edge is shown, which RST
 * is exact
 *
 * The server's end of the connection from CLIENT_PORT is what receives. Edges are counted from what
 * it takes for the next segment.
 */
#include "host_fixture.h"

/* One hundred bytes that far ahead. */
static void ahead(struct pair *p, uint32_t by)
{
	struct segment s = to_server(p, SEGMENT_ACK | SEGMENT_PSH);

	s.seq += by;
	s.length = 100;
	lose(p->server);
	into(p->server, s);
}

/* The right edge that the answer shows, -1: none. */
static int shown(struct pair *p)
{
	const uint32_t next = at_server(p, CLIENT_PORT).rcv_nxt;
	struct segment s = out_of(p->server);

	return s.has_sack ? (int)(s.sack_edge - next) : -1;
}

/* Whether a RST with that number ends the connection. */
static bool kills(struct pair *p, uint32_t by)
{
	struct segment s = to_server(p, SEGMENT_RST);

	s.seq += by;
	into(p->server, s);
	return !at_server(p, CLIENT_PORT).state;
}

static void five_holes(struct pair *p, bool timestamps)
{
	if (!timestamps)
		engine_set(p->client, timestamps, false);
	established(p);
	ahead(p, 9000);
	for (uint32_t by = 1000; by <= 4000; by += 1000)
		ahead(p, by);
}

static int four_beside_timestamps(struct pair *p)
{
	established(p);
	ahead(p, 9000);
	ahead(p, 1000);
	ahead(p, 2000);
	ahead(p, 3000);
	return shown(p);
}

static int fifth_without_timestamps(struct pair *p)
{
	five_holes(p, false);
	return shown(p);
}

static int comes_back(struct pair *p)
{
	five_holes(p, true);
	ahead(p, 9000);
	return shown(p);
}

static int two_join(struct pair *p)
{
	established(p);
	ahead(p, 200);
	ahead(p, 400);
	ahead(p, 300);
	return shown(p);
}

static int filled(struct pair *p)
{
	established(p);
	ahead(p, 100);
	ahead(p, 0);
	return shown(p);
}

static void test_shown(void **state)
{
	(void)state;
	check_every_row("the fourth oldest beside timestamps", four_beside_timestamps, 3100);
	check_every_row("the fifth oldest", fifth_without_timestamps, 4100);
	check_every_row("its data comes again", comes_back, 9100);
	check_every_row("what was between two came", two_join, 500);
	check_every_row("nothing waits any more", filled, -1);
}

static int forgotten_edge(struct pair *p)
{
	five_holes(p, true);
	return kills(p, 9100);
}

/* The fourth is known, though not shown. */
static int known_edge(struct pair *p)
{
	established(p);
	ahead(p, 9000);
	ahead(p, 1000);
	ahead(p, 2000);
	ahead(p, 3000);
	return kills(p, 9100);
}

static int newest_edge(struct pair *p)
{
	five_holes(p, true);
	return kills(p, 4100);
}

static void test_exact(void **state)
{
	(void)state;
	check_every_row("RST at the edge of the forgotten block", forgotten_edge, false);
	check_rows("RST at the edge of the oldest of four", known_edge,
		   SINCE({"3.10", false}, {"4.9.0", true}));
	check_rows("RST at the edge of the newest", newest_edge,
		   SINCE({"3.10", false}, {"4.9.0", true}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_shown),
					   cmocka_unit_test(test_exact)};

	return unit_run("sack", tests);
}
