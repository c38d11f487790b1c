/* SPDX-License-Identifier: MIT
 *
 * The timer wheel: how late timers run, held against what was measured on 6.18 with 250 Hz
 *
 * A connection was begun and another ended every 239 ms; of the tick that each began at, only what
 * it is modulo 512 matters here.
 */
#include "host_fixture.h"

enum { TICK_MS = 4, SYNS = 10 };

static struct pair pair_at(uint64_t jiffies, uint16_t hz)
{
	static uint32_t seed;
	struct pair p = pair_new("6.18.y", "6.18.y");
	struct host_config config = {.row = tcpwhy_row_find("6.18.y"),
				     .memory.resize = heap_resize,
				     .draw = fixture_draw,
				     .ctx = &seed,
				     .hz = hz,
				     .wheel = true,
				     .jiffies = jiffies};

	host_free(p.client);
	p.client = host_new(&config);
	assert_non_null(p.client);
	assert_int_equal(
		tcpwhy_add_local(host_engine(p.client), &p.client_at, 128, TCPWHY_LOCAL, ETH0, 0),
		0);
	return p;
}

static int clock_ms_of(struct host *h)
{
	return (int)(tcpwhy_now(host_engine(h)) / MS);
}

/* It began within a tick, and was noted in whole milliseconds. */
static void within_a_tick(int is, int measured)
{
	assert_in_range(is, measured - TICK_MS - 1, measured + TICK_MS + 1);
}

/* When each SYN left, in milliseconds from the first: due after 1, 2, 3, 4, 5, 7, ... seconds. */
static void test_syns(void **state)
{
	static const struct {
		uint64_t jiffies;
		int ms[SYNS];
	} measured[] = {
		{180, {1006, 2030, 3054, 4078, 5102, 7118, 11310, 19506, 35630, 68911}},
		{239, {1023, 2047, 3071, 4095, 5119, 7139, 11327, 19519, 35647, 68672}},
		{299, {1008, 2032, 3056, 4080, 5104, 7120, 11344, 19536, 35664, 68433}},
		{359, {1025, 2053, 3073, 4097, 5121, 7137, 11361, 19557, 35681, 68194}},
		{26, {1012, 2036, 3060, 4088, 5108, 7124, 11156, 19348, 35476, 69524}},
		{86, {1029, 2053, 3077, 4101, 5125, 7145, 11173, 19365, 35493, 69285}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(measured) / sizeof(measured[0]); i++) {
		struct pair p = pair_at(measured[i].jiffies, 250);
		a_call_from(&p, CLIENT_PORT);
		lose(p.client);
		for (int n = 0; n < SYNS; n++) {
			host_advance(p.client, host_deadline(p.client));
			assert_int_equal(answer(p.client), SEGMENT_SYN);
			within_a_tick(clock_ms_of(p.client), measured[i].ms[n]);
		}
		pair_free(&p);
	}
}

static bool client_is_gone(struct host *h, void *ctx)
{
	(void)h;
	return !at_client(ctx, CLIENT_PORT).state;
}

static int time_wait_lasts(uint64_t jiffies, uint16_t hz)
{
	struct pair p = pair_at(jiffies, hz);
	struct ends e = established(&p);

	host_close(p.client, e.client);
	pump(&p);
	host_close(p.server, e.server);
	pump(&p);
	/* what sock_diag shows is what it was set to */
	assert_int_equal(at_client(&p, CLIENT_PORT).expires_ns, 60 * S);
	const int ms = ends_after(p.client, client_is_gone, &p);
	pair_free(&p);
	return ms;
}

static void test_time_wait(void **state)
{
	static const struct {
		uint64_t jiffies;
		int ms;
	} measured[] = {
		{180, 60719}, {239, 60480}, {299, 60241}, {359, 60002}, {26, 61337}, {86, 61098},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(measured) / sizeof(measured[0]); i++)
		within_a_tick(time_wait_lasts(measured[i].jiffies, 250), measured[i].ms);
	/* Of more ticks a minute is one bucket coarser, of 4.1 s. */
	assert_int_equal(time_wait_lasts(0, 1000), 61440);
	assert_int_equal(time_wait_lasts(1440, 1000), 60000 + 4096);
	assert_int_equal(time_wait_lasts(1441, 1000), 60000 + 4095);
	assert_int_equal(time_wait_lasts(1439, 1000), 60001);
}

static int orphan_lasts(uint32_t fin_timeout_s)
{
	struct pair p = pair_at(0, 100);
	struct ends e = established(&p);

	engine_set(p.client, fin_timeout_s, fin_timeout_s);
	host_close(p.client, e.client);
	pump(&p);
	assert_int_equal(at_client(&p, CLIENT_PORT).state, TCPWHY_FIN_WAIT2);
	const int ms = ends_after(p.client, client_is_gone, &p);
	pair_free(&p);
	return ms;
}

/* The first data again, at 100 Hz after 20 ticks. */
static int data_again_after(void)
{
	struct pair p = pair_at(0, 100);
	struct ends e = established(&p);

	host_send(p.client, e.client, 1);
	lose(p.client);
	assert_int_equal(at_client(&p, CLIENT_PORT).expires_ns, 200 * MS);
	const int ms = (int)(host_deadline(p.client) / MS);
	pair_free(&p);
	return ms;
}

/* Ticks of 10 ms, from 0 on: one, and buckets of 8, 64 and 512. */
static void test_levels(void **state)
{
	(void)state;
	assert_int_equal(data_again_after(), 210);
	assert_int_equal(orphan_lasts(4), 4080);
	assert_int_equal(orphan_lasts(5), 5040);
	assert_int_equal(orphan_lasts(6), 6400);
	assert_int_equal(orphan_lasts(40), 40320);
	assert_int_equal(orphan_lasts(41), 46080);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syns),
		cmocka_unit_test(test_time_wait),
		cmocka_unit_test(test_levels),
	};

	return unit_run("wheel", tests);
}
