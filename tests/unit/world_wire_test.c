/* SPDX-License-Identifier: MIT */
#include "world_fixture.h"

/* A client at end 0, a server that listens at end 1. */
static int client, server, link, listening;

static int setup(void **state)
{
	(void)state;
	world_open("6.18.y", 1);
	client = machine("client", NULL, 0);
	server = machine("server", NULL, 0);
	link = cable(client, "10.0.0.1", server, "10.0.0.2");
	begin();
	listening = listener(server, "10.0.0.2", 16);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close();
	return 0;
}

static void a_segment_takes_the_links_time(void **state)
{
	(void)state;
	uint64_t before = on->now(st);
	int s = connected(client, "10.0.0.2");

	assert_int_equal(on->now(st) - before, 2 * MS);
	struct line_record syn = crossed(link, LINE_FROM_0, SEGMENT_SYN, 0);
	assert_int_equal(syn.passage, LINE_DELIVERED);
	assert_int_equal(syn.arrived_ns - syn.sent_ns, MS);
	assert_int_equal(state_of(s), TCPWHY_ESTABLISHED);
}

static void a_later_delay_is_of_later_segments(void **state)
{
	(void)state;
	int s = sock(client);
	uint64_t before = on->now(st);

	struct tcpwhy_addr to = at("10.0.0.2");
	assert_int_equal(on->connect(st, s, &to, PORT), -EINPROGRESS);
	assert_int_equal(on->set_delay(st, link, LINE_BOTH, 5 * MS, &err), 0);
	assert_int_equal(connect_sock(s, "10.0.0.2", S), 0);
	assert_int_equal(on->now(st) - before, MS + 5 * MS);
}

static void a_lost_syn_is_sent_again_after_a_second(void **state)
{
	(void)state;
	int lost = control(link, LINE_FROM_0,
			   (struct line_control){
				   .pick.flags_set = SEGMENT_SYN, .action = LINE_DROP, .times = 1});
	uint64_t before = on->now(st);

	connected(client, "10.0.0.2");
	assert_int_equal(on->now(st) - before, S + 2 * MS);
	assert_int_equal(on->fired(st, lost), 1);
	assert_int_equal(crossed(link, LINE_FROM_0, SEGMENT_SYN, 0).passage, LINE_LOST);
	assert_int_equal(crossed(link, LINE_FROM_0, SEGMENT_SYN, 0).arrived_ns, 0);
	assert_int_equal(crossed(link, LINE_FROM_0, SEGMENT_SYN, 1).passage, LINE_DELIVERED);
	assert_int_equal(counted(client, "TCPSynRetrans"), 1);
}

/* Of the SYNs at 0, 1, 2, 3, 4, 5 s the first passes by, then every second one is lost, twice. */
static void a_control_skips_and_takes_every_second(void **state)
{
	(void)state;
	int away = control(link, LINE_FROM_1, (struct line_control){.action = LINE_DROP});
	int some = control(link, LINE_FROM_0,
			   (struct line_control){.pick.flags_set = SEGMENT_SYN,
						 .action = LINE_DROP,
						 .skip = 1,
						 .every = 2,
						 .times = 2});
	static const uint8_t fates[] = {LINE_DELIVERED, LINE_LOST,      LINE_DELIVERED,
					LINE_LOST,      LINE_DELIVERED, LINE_DELIVERED};

	assert_int_equal(connect_sock(sock(client), "10.0.0.2", 6 * S), -ETIMEDOUT);
	assert_int_equal(on->fired(st, some), 2);
	assert_true(on->fired(st, away) > 0);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(crossed(link, LINE_FROM_0, SEGMENT_SYN, i).passage, fates[i]);
}

static void the_first_control_that_fires_decides(void **state)
{
	(void)state;
	int pass = control(link, LINE_FROM_0,
			   (struct line_control){.pick = {.flags_set = SEGMENT_SYN}});
	int drop = control(
		link, LINE_FROM_0,
		(struct line_control){.pick = {.flags_set = SEGMENT_SYN}, .action = LINE_DROP});

	connected(client, "10.0.0.2");
	assert_int_equal(on->fired(st, pass), 1);
	assert_int_equal(on->fired(st, drop), 0);
	on->remove_control(st, pass);
	assert_int_equal(connect_sock(sock(client), "10.0.0.2", S / 2), -ETIMEDOUT);
	assert_int_equal(on->fired(st, drop), 1);
}

static void a_held_segment_waits_for_its_release(void **state)
{
	(void)state;
	int hold = control(link, LINE_FROM_1,
			   (struct line_control){.pick.flags_set = SEGMENT_SYN | SEGMENT_ACK,
						 .action = LINE_HOLD,
						 .times = 1});
	int s = sock(client);

	assert_int_equal(connect_sock(s, "10.0.0.2", S / 2), -ETIMEDOUT);
	assert_int_equal(on->held(st, hold), 1);
	assert_int_equal(crossed(link, LINE_FROM_1, SEGMENT_SYN, 0).passage, LINE_ON_ITS_WAY);
	assert_int_equal(on->release(st, hold), 1);
	assert_int_equal(connect_sock(s, "10.0.0.2", 2 * MS), 0);
	assert_int_equal(on->held(st, hold), 0);
	assert_int_equal(crossings(link, LINE_FROM_1, SEGMENT_SYN), 1);
}

static void what_a_removed_control_held_is_lost(void **state)
{
	(void)state;
	int hold =
		control(link, LINE_FROM_1, (struct line_control){.action = LINE_HOLD, .times = 1});

	assert_int_equal(connect_sock(sock(client), "10.0.0.2", S / 2), -ETIMEDOUT);
	on->remove_control(st, hold);
	assert_int_equal(crossed(link, LINE_FROM_1, SEGMENT_SYN, 0).passage, LINE_LOST);
}

static void a_copy_is_answered_but_not_read_twice(void **state)
{
	(void)state;
	int c = connected(client, "10.0.0.2"), s = accepted(listening);

	control(link, LINE_FROM_0,
		(struct line_control){.pick.data = LINE_DATA, .action = LINE_COPY, .delay_ns = MS});
	assert_int_equal(on->send(st, c, 100), 100);
	wait_for(10 * MS);
	assert_int_equal(on->recv(st, s, 1000), 100);
	assert_int_equal(on->recv(st, s, 1000), -EAGAIN);
	assert_int_equal(crossings(link, LINE_FROM_0, SEGMENT_PSH), 2);
	assert_int_equal(crossed(link, LINE_FROM_0, SEGMENT_PSH, 1).origin == LINE_COPIED ||
				 crossed(link, LINE_FROM_0, SEGMENT_PSH, 0).origin == LINE_COPIED,
			 true);
}

static void swapped_segments_arrive_in_the_other_order(void **state)
{
	(void)state;
	int c = connected(client, "10.0.0.2"), s = accepted(listening);

	control(link, LINE_FROM_0,
		(struct line_control){.pick.data = LINE_DATA, .action = LINE_SWAP, .times = 1});
	assert_int_equal(on->send(st, c, 100), 100);
	wait_for(MS);
	assert_int_equal(on->recv(st, s, 1000), -EAGAIN);
	assert_int_equal(on->send(st, c, 50), 50);
	wait_for(5 * MS);
	struct line_record first = crossed(link, LINE_FROM_0, SEGMENT_PSH, 0);
	struct line_record second = crossed(link, LINE_FROM_0, SEGMENT_PSH, 1);
	assert_int_equal(first.segment.length, 100);
	assert_int_equal(second.segment.length, 50);
	assert_true(second.arrived_ns <= first.arrived_ns);
	/* the first ACK is of the second segment: a duplicate with a SACK block */
	assert_true(crossed(link, LINE_FROM_1, SEGMENT_ACK, 1).segment.has_sack);
	assert_int_equal(on->recv(st, s, 1000), 150);
}

static void a_delayed_segment_is_overtaken(void **state)
{
	(void)state;
	int c = connected(client, "10.0.0.2"), s = accepted(listening);

	control(link, LINE_FROM_0,
		(struct line_control){.pick.data = LINE_DATA,
				      .action = LINE_DELAY,
				      .delay_ns = 20 * MS,
				      .times = 1});
	on->send(st, c, 100);
	on->send(st, c, 50);
	wait_for(10 * MS);
	assert_int_equal(on->recv(st, s, 1000), -EAGAIN);
	wait_for(15 * MS);
	assert_int_equal(on->recv(st, s, 1000), 150);
}

static void a_written_reset_must_be_exact(void **state)
{
	(void)state;
	int c = connected(client, "10.0.0.2"), s = accepted(listening);
	struct stage_sock k = seen(s);

	assert_true(k.has_numbers);
	struct segment outside = reset_for(&k, k.window + 1), within = reset_for(&k, 1),
		       exact = reset_for(&k, 0);
	assert_int_equal(on->inject(st, link, LINE_FROM_0, &outside, &err), 0);
	wait_for(5 * MS);
	assert_int_equal(state_of(s), TCPWHY_ESTABLISHED);
	assert_int_equal(counted(server, "TCPChallengeACK"), 0);
	on->inject(st, link, LINE_FROM_0, &within, &err);
	wait_for(5 * MS);
	assert_int_equal(state_of(s), TCPWHY_ESTABLISHED);
	assert_int_equal(counted(server, "TCPChallengeACK"), 1);
	on->inject(st, link, LINE_FROM_0, &exact, &err);
	wait_for(5 * MS);
	assert_int_equal(on->recv(st, s, 1), -ECONNRESET);
	assert_int_equal(state_of(c), TCPWHY_ESTABLISHED);
	assert_int_equal(crossed(link, LINE_FROM_0, SEGMENT_RST, 2).origin, LINE_INJECTED);
}

static void all_is_lost_by_chance_or_nothing(void **state)
{
	(void)state;
	assert_int_equal(on->set_loss(st, link, LINE_FROM_1, 1000000, &err), 0);
	assert_int_equal(connect_sock(sock(client), "10.0.0.2", 10 * S), -ETIMEDOUT);
	assert_int_equal(on->set_loss(st, link, LINE_BOTH, 0, &err), 0);
	connected(client, "10.0.0.2");
}

/* Of 1,000 segments about a third: far from none and from all. */
static void chance_loses_its_share(void **state)
{
	(void)state;
	unsigned lost = 0;
	struct line_record r;
	struct segment s = {.from = at("10.0.0.1"),
			    .to = at("10.0.0.2"),
			    .from_port = 1,
			    .to_port = 1,
			    .flags = SEGMENT_ACK}; /* each is answered with a RST */

	assert_int_equal(on->set_loss(st, link, LINE_FROM_1, 333333, &err), 0);
	for (unsigned i = 0; i < 1000; i++)
		on->inject(st, link, LINE_FROM_0, &s, &err);
	wait_for(S);
	for (size_t i = 0; on->trace(st, i, &r); i++)
		lost += r.direction == LINE_FROM_1 && r.passage == LINE_LOST;
	assert_in_range(lost, 250, 420);
}

static void controls_come_and_go_by_the_hundred(void **state)
{
	(void)state;
	struct line_control drop = {.action = LINE_DROP};

	for (unsigned i = 0; i < 1000; i++)
		on->remove_control(st, control(link, LINE_FROM_0, drop));
	connected(client, "10.0.0.2");
	int last = control(link, LINE_FROM_0, drop);
	assert_int_equal(connect_sock(sock(client), "10.0.0.2", S / 2), -ETIMEDOUT);
	assert_true(on->fired(st, last) > 0);
}

static void an_untapped_link_has_no_controls(void **state)
{
	(void)state;
	struct line_control c = {.action = LINE_DROP};

	world_close();
	world_open("6.18.y", 1);
	struct stage_link l = {
		.ends = {{.node = machine("a", NULL, 0)}, {.node = machine("b", NULL, 0)}}};
	int bare = on->add_link(st, &l, &err);
	assert_true(bare >= 0);
	begin();
	assert_int_equal(on->add_control(st, bare, LINE_FROM_0, &c, &err), -EINVAL);
	assert_string_equal(err.text, "that link is not tapped");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_segment_takes_the_links_time),
		TEST(a_later_delay_is_of_later_segments),
		TEST(a_lost_syn_is_sent_again_after_a_second),
		TEST(a_control_skips_and_takes_every_second),
		TEST(the_first_control_that_fires_decides),
		TEST(a_held_segment_waits_for_its_release),
		TEST(what_a_removed_control_held_is_lost),
		TEST(a_copy_is_answered_but_not_read_twice),
		TEST(swapped_segments_arrive_in_the_other_order),
		TEST(a_delayed_segment_is_overtaken),
		TEST(a_written_reset_must_be_exact),
		TEST(all_is_lost_by_chance_or_nothing),
		TEST(chance_loses_its_share),
		TEST(controls_come_and_go_by_the_hundred),
		TEST(an_untapped_link_has_no_controls),
	};

	return unit_run("world_wire", tests);
}
