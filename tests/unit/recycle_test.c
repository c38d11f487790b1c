/* SPDX-License-Identifier: MIT
 *
 * tcp_tw_recycle: one timestamp for each address, and the clients behind one address that pay for
 * it
 */
#include "host_fixture.h"

enum { ANSWERED = SEGMENT_SYN + SEGMENT_ACK, DROPPED = 0 };

/* A connection from the client's address that the server closed first, with the knob on: it
 * remembers the client's clock, which this leaves in *clock. The FIN comes a second after all else:
 * its timestamp is the one that counts. */
static void remember(struct pair *p, uint32_t *clock)
{
	host_set(p->server, tw_recycle, true);
	struct ends e = established(p);

	host_close(p->server, e.server);
	pump(p);
	both_advance(p, 2 * S);
	host_close(p->client, e.client);
	struct segment fin = out_of(p->client);
	*clock = fin.tsval;
	into(p->server, fin);
	pump(p);
}

/* A SYN from another port of that address, so much off the clock that is remembered. */
static int syn(struct pair *p, uint32_t clock, uint32_t moved)
{
	struct segment s = {.from = p->client_at,
			    .to = p->server_at,
			    .from_port = CLIENT_PORT + 1,
			    .to_port = SERVER_PORT,
			    .flags = SEGMENT_SYN,
			    .seq = 1,
			    .window = 65535,
			    .has_timestamp = true,
			    .tsval = clock + moved};

	int drops = counted(p->server, ListenDrops);
	into(p->server, s);
	int what = answer(p->server);
	assert_int_equal(counted(p->server, PAWSPassive), what == DROPPED);
	assert_int_equal(counted(p->server, ListenDrops) - drops, what == DROPPED);
	assert_int_equal(counted(p->server, ListenOverflows), 0);
	return what;
}

#define SYN_AFTER(name, seconds, moved)                                                            \
	static int name(struct pair *p)                                                            \
	{                                                                                          \
		uint32_t clock;                                                                    \
		remember(p, &clock);                                                               \
		host_advance(p->server, (2 + (uint64_t)(seconds)) * S);                            \
		return syn(p, clock, moved);                                                       \
	}
SYN_AFTER(same_clock, 0, 0)
SYN_AFTER(one_behind, 0, UINT32_MAX)
SYN_AFTER(two_behind, 0, UINT32_MAX - 1)
SYN_AFTER(far_behind, 0, UINT32_MAX - 1000000)
SYN_AFTER(behind_within_a_minute, 59, UINT32_MAX - 1000000)
SYN_AFTER(behind_after_a_minute, 60, UINT32_MAX - 1000000)

static int knob_off(struct pair *p)
{
	uint32_t clock;

	remember(p, &clock);
	host_set(p->server, tw_recycle, false);
	return syn(p, clock, UINT32_MAX - 1000000);
}

static int timestamps_off(struct pair *p)
{
	uint32_t clock;

	remember(p, &clock);
	engine_set(p->server, timestamps, false);
	return syn(p, clock, UINT32_MAX - 1000000);
}

/* Another address has a memory of its own: DNAT without SNAT does no harm. */
static int another_address(struct pair *p)
{
	uint32_t clock;

	remember(p, &clock);
	p->client_at = at("10.0.0.3");
	return syn(p, clock, UINT32_MAX - 1000000);
}

/* A SYN that gets a cookie is not asked about its clock. */
static int with_cookie(struct pair *p)
{
	uint32_t clock;

	remember(p, &clock);
	host_set(p->server, syncookies, 2);
	return syn(p, clock, UINT32_MAX - 1000000);
}

/* Of five SYNs so many are answered, where the last quarter of tcp_max_syn_backlog is one place. */
static int answered_of_five(struct pair *p, bool recycle)
{
	int n = 0;

	a_listener(p, 5);
	host_set(p->server, tw_recycle, recycle);
	host_set(p->server, syncookies, 0);
	host_set(p->server, max_syn_backlog, 4);
	for (uint16_t i = 0; i < 5; i++) {
		into(p->server, (struct segment){.from = p->client_at,
						 .to = p->server_at,
						 .from_port = (uint16_t)(CLIENT_PORT + i),
						 .to_port = SERVER_PORT,
						 .flags = SEGMENT_SYN,
						 .seq = 1,
						 .window = 65535,
						 .has_timestamp = true,
						 .tsval = 1000});
		n += answer(p->server) == ANSWERED;
	}
	return n;
}

static int reserve_with_recycle(struct pair *p)
{
	return answered_of_five(p, true);
}

static int reserve_without(struct pair *p)
{
	return answered_of_five(p, false);
}

static void test_refusal(void **state)
{
	(void)state;
	check_every_row("the same clock", same_clock, ANSWERED);
	check_every_row("one tick behind", one_behind, ANSWERED);
	check_rows("two ticks behind", two_behind, SINCE({"3.10", DROPPED}, {"4.19.y", ANSWERED}));
	check_rows("a clock far behind", far_behind,
		   SINCE({"3.10", DROPPED}, {"4.19.y", ANSWERED}));
	check_rows("within a minute", behind_within_a_minute,
		   SINCE({"3.10", DROPPED}, {"4.19.y", ANSWERED}));
	check_every_row("after a minute", behind_after_a_minute, ANSWERED);
	check_every_row("tcp_tw_recycle 0", knob_off, ANSWERED);
	check_every_row("another address", another_address, ANSWERED);
	check_rows("a SYN that gets a cookie", with_cookie,
		   SINCE({"3.10", DROPPED}, {"4.9.0", ANSWERED}));
	check_rows("the reserve with tcp_tw_recycle", reserve_with_recycle,
		   SINCE({"3.10", 5}, {"4.19.y", 4}));
	check_every_row("the reserve without", reserve_without, 4);
}

/* Without a timestamp there is nothing to compare; 3.17 to 4.11 refuse all the same. */
static int untimed_syn(struct pair *p)
{
	uint32_t clock;

	remember(p, &clock);
	struct segment s = {.from = p->client_at,
			    .to = p->server_at,
			    .from_port = CLIENT_PORT + 1,
			    .to_port = SERVER_PORT,
			    .flags = SEGMENT_SYN,
			    .window = 65535};
	into(p->server, s);
	return answer(p->server);
}

static void test_untimed(void **state)
{
	(void)state;
	check_rows("a SYN without timestamp", untimed_syn,
		   SINCE({"3.10", ANSWERED}, {"4.9.0", DROPPED}, {"4.19.y", ANSWERED}));
	check_rows("tcp_timestamps 0", timestamps_off,
		   SINCE({"3.10", ANSWERED}, {"4.9.0", DROPPED}, {"4.19.y", ANSWERED}));
}

/* One host alone, ten connections in a row from ten ports: how many are made. Random offsets for
 * each connection (4.10, 4.11) break even that. */
static int one_host_alone(struct pair *p)
{
	tcpwhy_sock l = a_listener(p, 50), child;
	int made = 0;

	host_set(p->server, tw_recycle, true);
	for (uint16_t i = 0; i < 10; i++) {
		tcpwhy_sock c = a_call_from(p, (uint16_t)(CLIENT_PORT + i));
		pump(p);
		if (host_accept(p->server, l, 0, &child) == 0) {
			made++;
			host_close(p->server, child);
			pump(p);
		}
		host_close(p->client, c);
		pump(p);
		both_advance(p, tcpwhy_now(host_engine(p->client)) + 20 * MS);
	}
	return made == 10;
}

static void test_one_host(void **state)
{
	(void)state;
	check_rows("one host alone", one_host_alone,
		   SINCE({"3.10", 1}, {"4.11", 0}, {"4.19.y", 1}));
}

/* ------------------------------------------------------------------------------------- the
 * lifetime */

/* Milliseconds that TIME_WAIT lasts: three and a half of 200 ms instead of a minute. */
static int time_wait_lasts(struct pair *p, bool timestamps)
{
	uint32_t clock;

	engine_set(p->client, timestamps, timestamps);
	if (timestamps) {
		remember(p, &clock);
	} else {
		host_set(p->server, tw_recycle, true);
		struct ends e = established(p);
		host_close(p->server, e.server);
		pump(p);
		host_close(p->client, e.client);
		pump(p);
	}
	struct host_view v = at_server(p, CLIENT_PORT);
	assert_int_equal(v.state, TCPWHY_TIME_WAIT);
	return (int)((v.expires_ns - tcpwhy_now(host_engine(p->server))) / MS);
}

static int lasts_with_timestamps(struct pair *p)
{
	return time_wait_lasts(p, true);
}

static int lasts_without(struct pair *p)
{
	return time_wait_lasts(p, false);
}

/* Entered at once from FIN_WAIT1, it counts as killed. */
static int recycled_at_once(struct pair *p)
{
	host_set(p->server, tw_recycle, true);
	struct ends e = established(p);

	host_shutdown(p->server, e.server, TCPWHY_SHUT_WR);
	pump(p);
	host_close(p->client, e.client);
	pump(p);
	both_advance(p, 10 * S);
	return counted(p->server, TWKilled);
}

static void test_lifetime(void **state)
{
	(void)state;
	check_rows("TIME_WAIT with timestamps", lasts_with_timestamps,
		   SINCE({"3.10", 700}, {"4.19.y", 60000}));
	check_every_row("TIME_WAIT without", lasts_without, 60000);
	check_rows("counted as killed", recycled_at_once, SINCE({"3.10", 1}, {"4.19.y", 0}));
}

/* --------------------------------------------------------------------------------- the one who
 * calls */

/* connect() inherits what was remembered of the destination: a SYN-ACK, or a crossing SYN, with an
 * older timestamp is then an old one. */
static int crossing_syn_behind(struct pair *p)
{
	host_set(p->client, tw_recycle, true);
	struct ends e = established(p);

	host_close(p->client, e.client);
	pump(p);
	host_close(p->server, e.server);
	struct segment fin = out_of(p->server);
	into(p->client, fin);
	pump(p);
	a_call_from(p, CLIENT_PORT + 1);
	lose(p->client);
	struct segment s = {.from = p->server_at,
			    .to = p->client_at,
			    .from_port = SERVER_PORT,
			    .to_port = CLIENT_PORT + 1,
			    .flags = SEGMENT_SYN,
			    .window = 65535,
			    .has_timestamp = true,
			    .tsval = fin.tsval - 1000};
	into(p->client, s);
	return answer(p->client);
}

static void test_caller(void **state)
{
	(void)state;
	check_rows("a crossing SYN behind the clock", crossing_syn_behind,
		   SINCE({"3.10", DROPPED}, {"4.19.y", ANSWERED}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusal),  cmocka_unit_test(test_untimed),
		cmocka_unit_test(test_one_host), cmocka_unit_test(test_lifetime),
		cmocka_unit_test(test_caller),
	};

	return unit_run("recycle", tests);
}
