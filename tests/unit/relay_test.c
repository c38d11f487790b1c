/* SPDX-License-Identifier: MIT
 *
 * relay and capture: what befalls single frames, what real TCP makes of it, and who looks on
 */
#include "stage.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <stdlib.h>

/* ------------------------------------------------------------------- frames, without any TCP */

/* Both hosts' ends as packet sockets: what one sends, the other receives, if the relay lets it. */
struct ends {
	struct stage_pair p;
	int a, b;
};

static int packet_socket(struct stage_pair *p, int host, int end)
{
	const struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IP),
		.sll_ifindex = (int)stage_kernel_device(p->s, p->wire, end),
	};
	const int yes = 1;
	struct err err;
	const int fd = hostns_socket(stage_kernel_netns(p->s, host), AF_PACKET,
				     SOCK_RAW | SOCK_NONBLOCK, 0, &err);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes)), 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static struct ends open_ends(void)
{
	struct ends e = {.a = -1};
	struct err err;

	STAGE_DO(stage_pair_open(&e.p, true, 0, &err));
	e.a = packet_socket(&e.p, e.p.a, 0);
	e.b = packet_socket(&e.p, e.p.b, 1);
	return e;
}

static void close_ends(struct ends *e)
{
	close(e->a);
	close(e->b);
	stage_pair_close(&e->p);
}

/* Addresses of nobody: the hosts' own TCP never answers. The number is the seq. */
static struct frame numbered(uint32_t number)
{
	return (struct frame){.from = stage_addr("192.0.2.1"),
			      .to = stage_addr("192.0.2.2"),
			      .to_mac = {2, 9, 9, 9, 9, 9},
			      .from_port = 1,
			      .to_port = 2,
			      .flags = FRAME_ACK,
			      .seq = number};
}

static void send_numbered(int fd, uint32_t number)
{
	const struct frame f = numbered(number);
	uint8_t bytes[256];
	const size_t n = frame_build(&f, bytes, sizeof(bytes));

	assert_int_equal(send(fd, bytes, n, 0), (ssize_t)n);
}

static uint32_t receive_number(int fd)
{
	uint8_t bytes[2048];
	struct frame f;

	stage_poll(fd, POLLIN);
	const ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
	assert_true(n > 0);
	assert_int_equal(frame_read(bytes, (size_t)n, &f), FRAME_TCP);
	return f.seq;
}

/* Sends 0 .. n-1 and a last one that no rule touches, and gives back what came before that one. */
static const char *passed(struct ends *e, unsigned n, char text[static 64])
{
	enum { LAST = 99 };
	size_t len = 0;

	for (uint32_t i = 0; i < n; i++)
		send_numbered(e->a, i);
	send_numbered(e->a, LAST);
	for (;;) {
		const uint32_t number = receive_number(e->b);
		if (number == LAST)
			break;
		assert_true(len < 63 && number < 10);
		text[len++] = (char)('0' + number);
	}
	text[len] = '\0';
	return text;
}

static bool is_single_digit(const struct frame *f, void *ctx)
{
	(void)ctx;
	return f->seq < 10;
}

static struct relay_rule rule(enum relay_action action, unsigned skip, unsigned every,
			      unsigned times)
{
	return (struct relay_rule){.pick = {.also = is_single_digit},
				   .action = action,
				   .skip = skip,
				   .every = every,
				   .times = times};
}

static void rules_count(void **state)
{
	(void)state;
	static const struct {
		unsigned skip, every, times;
		const char *passes;
	} table[] = {
		{0, 0, 0, ""},       {0, 1, 2, "23456789"}, {3, 0, 0, "012"},
		{0, 3, 0, "124578"}, {1, 3, 0, "0235689"},  {2, 2, 1, "013456789"},
	};
	struct ends e = open_ends();
	char text[64];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct relay_rule r =
			rule(RELAY_DROP, table[i].skip, table[i].every, table[i].times);
		const int number = relay_add_rule(e.p.relay, RELAY_A, &r);

		assert_string_equal(passed(&e, 10, text), table[i].passes);
		assert_int_equal(relay_fired(e.p.relay, number), 10 - strlen(text));
		relay_del_rule(e.p.relay, number);
	}
	close_ends(&e);
}

static void the_first_rule_that_fires_decides(void **state)
{
	(void)state;
	struct ends e = open_ends();
	const struct relay_rule pass = rule(RELAY_PASS, 1, 1, 2), drop = rule(RELAY_DROP, 0, 1, 3);
	const int first = relay_add_rule(e.p.relay, RELAY_A, &pass);
	const int second = relay_add_rule(e.p.relay, RELAY_A, &drop);
	char text[64];

	/* 0: the first looks on, the second drops; 1 and 2: the first passes; 3 and 4: dropped */
	assert_string_equal(passed(&e, 7, text), "1256");
	assert_int_equal(relay_fired(e.p.relay, first), 2);
	assert_int_equal(relay_fired(e.p.relay, second), 3);
	/* the other direction has no rules */
	send_numbered(e.b, 5);
	assert_int_equal(receive_number(e.a), 5);
	close_ends(&e);
}

static void copies_come_after_their_original(void **state)
{
	(void)state;
	struct ends e = open_ends();
	const struct relay_rule r = rule(RELAY_COPY, 1, 1, 1);
	char text[64];

	relay_add_rule(e.p.relay, RELAY_A, &r);
	passed(&e, 3, text);
	/* the copy of 1 may come right behind it or at the end of the batch, never before */
	assert_int_equal(text[0], '0');
	assert_int_equal(text[1], '1');
	const struct relay_counts c = relay_counts(e.p.relay, RELAY_A);
	/* or more: the host's kernel reports its multicast groups when it likes */
	assert_true(c.taken >= 4);
	if (strlen(text) == 3)
		assert_int_equal(receive_number(e.b), 1);
	else
		assert_int_equal(strlen(text), 4);
	close_ends(&e);
}

static void a_swapped_one_goes_behind_the_next(void **state)
{
	(void)state;
	struct ends e = open_ends();
	const struct relay_rule r = rule(RELAY_SWAP, 2, 2, 0);
	char text[64];

	relay_add_rule(e.p.relay, RELAY_A, &r);
	assert_string_equal(passed(&e, 6, text), "013254");
	close_ends(&e);
}

static void what_is_held_waits_for_release(void **state)
{
	(void)state;
	struct ends e = open_ends();
	const struct relay_rule r = rule(RELAY_HOLD, 2, 2, 2);
	const int number = relay_add_rule(e.p.relay, RELAY_A, &r);
	char text[64];
	struct capture_record rec;
	size_t i = 0;
	const struct pick any = {0};

	assert_string_equal(passed(&e, 6, text), "0135");
	assert_int_equal(relay_held(e.p.relay, number), 2);
	assert_int_equal(capture_wait(e.p.capture, &any, RELAY_A, CAPTURE_ON_ITS_WAY, 0, &i, &rec),
			 0);
	assert_int_equal(rec.frame.seq, 2);
	assert_int_equal(relay_release(e.p.relay, number), 2);
	assert_int_equal(receive_number(e.b), 2);
	assert_int_equal(receive_number(e.b), 4);
	assert_int_equal(relay_held(e.p.relay, number), 0);
	assert_true(capture_get(e.p.capture, i, &rec));
	assert_int_equal(rec.fate, CAPTURE_ARRIVED);
	assert_true(rec.arrived_ns > rec.sent_ns);
	close_ends(&e);
}

static void a_deleted_rule_loses_what_it_holds(void **state)
{
	(void)state;
	struct ends e = open_ends();
	const struct relay_rule r = rule(RELAY_HOLD, 0, 1, 2);
	const int number = relay_add_rule(e.p.relay, RELAY_A, &r);
	struct capture_record rec;
	char text[64];

	assert_string_equal(passed(&e, 3, text), "2");
	relay_del_rule(e.p.relay, number);
	assert_true(capture_get(e.p.capture, 0, &rec));
	assert_int_equal(rec.fate, CAPTURE_LOST);
	assert_int_equal(relay_counts(e.p.relay, RELAY_A).dropped, 2);
	close_ends(&e);
}

static void delay_is_kept_and_order_too(void **state)
{
	(void)state;
	struct ends e = open_ends();
	const struct relay_rule late = {.pick = {.also = is_single_digit},
					.action = RELAY_DELAY,
					.delay_ns = 30000000,
					.skip = 1,
					.times = 1};
	struct capture_record rec;
	char text[64];

	relay_set_delay(e.p.relay, RELAY_A, 20000000);
	assert_string_equal(passed(&e, 5, text), "01234");
	relay_add_rule(e.p.relay, RELAY_A, &late);
	assert_string_equal(passed(&e, 4, text), "023"); /* 1 comes 30 ms after the others */
	assert_int_equal(receive_number(e.b), 1);
	for (size_t i = 0; i < 11; i++) {
		assert_true(capture_get(e.p.capture, i, &rec));
		assert_int_equal(rec.fate, CAPTURE_ARRIVED);
		assert_true(rec.arrived_ns - rec.sent_ns >= 20000000);
	}
	assert_true(capture_get(e.p.capture, 7, &rec));
	assert_int_equal(rec.frame.seq, 1);
	assert_true(rec.arrived_ns - rec.sent_ns >= 50000000);
	close_ends(&e);
}

static void a_cut_wire_loses_all(void **state)
{
	(void)state;
	struct ends e = open_ends();
	const struct relay_rule count = rule(RELAY_PASS, 0, 1, 0);
	const int number = relay_add_rule(e.p.relay, RELAY_A, &count);
	const struct pick any = {0};
	struct capture_record rec;
	size_t i = 0;

	relay_cut(e.p.relay, RELAY_A, true);
	send_numbered(e.a, 1);
	assert_int_equal(
		capture_wait(e.p.capture, &any, RELAY_A, CAPTURE_LOST, stage_deadline(), &i, &rec),
		0);
	assert_int_equal(relay_fired(e.p.relay, number), 0);
	send_numbered(e.b, 2); /* the other direction is whole */
	assert_int_equal(receive_number(e.a), 2);
	relay_cut(e.p.relay, RELAY_A, false);
	send_numbered(e.a, 3);
	assert_int_equal(receive_number(e.b), 3);
	close_ends(&e);
}

static void a_full_wire_drops_and_counts(void **state)
{
	(void)state;
	enum { MORE = 100 };
	struct ends e = open_ends();
	const struct relay_rule keep = rule(RELAY_HOLD, 0, 1, 0);
	const int number = relay_add_rule(e.p.relay, RELAY_A, &keep);
	const uint64_t deadline = stage_deadline();
	struct relay_counts c;

	for (unsigned i = 1; i <= RELAY_PENDING; i++) {
		send_numbered(e.a, 1);
		/* no faster than the relay reads: its socket's buffer is not what is tested */
		if (i % 256 == 0)
			assert_int_equal(relay_wait_fired(e.p.relay, number, i, deadline), 0);
	}
	for (unsigned i = 0; i < MORE; i++)
		send_numbered(e.a, 1);
	do
		c = relay_counts(e.p.relay, RELAY_A);
	while (c.no_room < MORE && stage_now() < deadline);
	assert_true(c.no_room >= MORE); /* a report of a multicast group may be among them */
	assert_true(c.dropped >= c.no_room);
	assert_int_equal(relay_held(e.p.relay, number), RELAY_PENDING);
	assert_int_equal(relay_release(e.p.relay, number), RELAY_PENDING);
	c = relay_counts(e.p.relay, RELAY_A);
	assert_int_equal(c.delivered + c.dropped, c.taken);
	close_ends(&e);
}

static void rules_have_an_end(void **state)
{
	(void)state;
	struct ends e = open_ends();
	const struct relay_rule r = {0};

	for (int i = 0; i < RELAY_RULES; i++)
		assert_int_equal(relay_add_rule(e.p.relay, i % 2 ? RELAY_B : RELAY_A, &r), i);
	assert_int_equal(relay_add_rule(e.p.relay, RELAY_A, &r), -ENOSPC);
	relay_del_rule(e.p.relay, 7);
	assert_int_equal(relay_add_rule(e.p.relay, RELAY_B, &r), 7);
	assert_int_equal(relay_wait_fired(e.p.relay, 7, 1, stage_now()), -ETIMEDOUT);
	close_ends(&e);
}

static void capture_keeps_the_first_and_counts_the_rest(void **state)
{
	(void)state;
	struct capture *c = capture_new(2);
	struct capture_record r = {.fate = CAPTURE_ON_ITS_WAY}, got;
	size_t numbers[3];

	for (uint32_t i = 0; i < 3; i++) {
		r.frame.seq = i;
		numbers[i] = capture_add(c, &r);
	}
	assert_int_equal(capture_count(c), 3);
	assert_false(capture_get(c, 2, &got));
	capture_settle(c, numbers[2], CAPTURE_ARRIVED, 5);
	capture_settle(c, numbers[1], CAPTURE_ARRIVED, 6);
	assert_true(capture_get(c, 1, &got));
	assert_int_equal(got.arrived_ns, 6);
	capture_clear(c);
	capture_settle(c, numbers[0], CAPTURE_LOST, 0); /* forgotten */
	r.frame.seq = 9;
	capture_add(c, &r);
	assert_true(capture_get(c, 0, &got));
	assert_int_equal(got.fate, CAPTURE_ON_ITS_WAY);
	assert_int_equal(capture_count(c), 1);
	capture_free(c);
}

/* -------------------------------------------------------------------------------- real TCP */

static struct stage_pair open_pair(uint64_t delay_ns)
{
	struct stage_pair p;
	struct err err;

	STAGE_DO(stage_pair_open(&p, true, delay_ns, &err));
	return p;
}

static void the_capture_shows_a_handshake(void **state)
{
	(void)state;
	static const uint8_t flags[] = {FRAME_SYN, FRAME_SYN | FRAME_ACK, FRAME_ACK};
	struct stage_pair p = open_pair(0);
	const struct pick any = {0};
	struct capture_record r[3];

	stage_pair_connect(&p);
	for (size_t i = 0, at = 0; i < 3; i++, at++) {
		assert_int_equal(capture_wait(p.capture, &any, -1, CAPTURE_ARRIVED,
					      stage_deadline(), &at, &r[i]),
				 0);
		assert_int_equal(at, i);
		assert_int_equal(r[i].frame.flags, flags[i]);
		assert_int_equal(r[i].side, i == 1 ? RELAY_B : RELAY_A);
		assert_int_equal(r[i].origin, CAPTURE_SENT);
		assert_true(i == 0 || r[i].sent_ns >= r[i - 1].arrived_ns);
	}
	assert_int_equal(r[1].frame.ack, r[0].frame.seq + 1);
	assert_int_equal(r[2].frame.ack, r[1].frame.seq + 1);
	assert_true(r[0].frame.has_mss && r[0].frame.sack_permitted && r[0].frame.has_timestamps);
	assert_int_equal(r[0].frame.to_port, 80);
	assert_true(address_equal(&r[0].frame.from, &p.a_addr));
	assert_int_equal(capture_count(p.capture), 3);
	stage_pair_close(&p);
}

static void connects_over_a_slow_wire(void **state)
{
	(void)state;
	enum { DELAY_NS = 15000000 };
	struct stage_pair p = open_pair(DELAY_NS);
	const uint64_t begun = stage_now();

	stage_pair_connect(&p);
	assert_true(stage_now() - begun >= 3 * DELAY_NS); /* SYN, SYN-ACK, ACK */
	stage_say(p.client, "over there");
	stage_hear(p.server, "over there");
	stage_pair_close(&p);
}

static void a_lost_synack_is_sent_again(void **state)
{
	(void)state;
	struct stage_pair p = open_pair(0);
	const struct relay_rule lose = {
		.pick = {.flags_set = FRAME_SYN | FRAME_ACK}, .action = RELAY_DROP, .times = 1};
	const struct pick synack = {.flags_set = FRAME_SYN | FRAME_ACK};
	struct capture_record first, second;
	size_t i = 0;

	const int number = relay_add_rule(p.relay, RELAY_B, &lose);
	stage_pair_connect(&p);
	assert_int_equal(relay_fired(p.relay, number), 1);
	assert_int_equal(capture_wait(p.capture, &synack, RELAY_B, CAPTURE_LOST, 0, &i, &first), 0);
	assert_int_equal(capture_wait(p.capture, &synack, RELAY_B, CAPTURE_ARRIVED, 0, &i, &second),
			 0);
	assert_int_equal(first.frame.seq, second.frame.seq);
	/* who repeats first is a matter of two timers of one second */
	assert_true(stage_count(p.s, p.a, "TCPSynRetrans") + stage_count(p.s, p.b, "RetransSegs") +
			    stage_count(p.s, p.b, "TCPSynRetrans") >=
		    1);
	stage_pair_close(&p);
}

static void a_copied_segment_is_taken_once(void **state)
{
	(void)state;
	struct stage_pair p = open_pair(0);
	struct err err;

	stage_pair_connect(&p);
	const struct relay_rule twice = {
		.pick = {.payload = PICK_DATA}, .action = RELAY_COPY, .times = 1};
	relay_add_rule(p.relay, RELAY_A, &twice);
	stage_say(p.client, "once");
	stage_hear(p.server, "once");
	assert_int_equal(
		stage_kernel_wait_counter(p.s, p.b, "TCPDSACKOldSent", 1, stage_deadline(), &err),
		0);
	assert_int_equal(recv(p.server, &err, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
	stage_pair_close(&p);
}

static bool has_seq(const struct frame *f, void *ctx)
{
	return f->seq == *(const uint32_t *)ctx;
}

/* The client's first segment with data meets this action; what repeats it is lost. Returns the
 * rule; *seq must live as long as it. */
static int treat_first_data(struct stage_pair *p, enum relay_action action, uint32_t *seq)
{
	struct capture_record syn;

	assert_true(capture_get(p->capture, 0, &syn));
	*seq = syn.frame.seq + 1;
	const struct pick first = {.payload = PICK_DATA, .also = has_seq, .ctx = seq};
	const struct relay_rule treat = {.pick = first, .action = action, .times = 1};
	const struct relay_rule lose = {.pick = first, .action = RELAY_DROP};
	const int number = relay_add_rule(p->relay, RELAY_A, &treat);

	assert_true(relay_add_rule(p->relay, RELAY_A, &lose) >= 0);
	return number;
}

static void a_held_segment_is_waited_for(void **state)
{
	(void)state;
	struct stage_pair p = open_pair(0);
	struct err err;
	uint32_t seq;
	char c;

	stage_pair_connect(&p);
	const int number = treat_first_data(&p, RELAY_HOLD, &seq);
	stage_say(p.client, "first ");
	assert_int_equal(relay_wait_fired(p.relay, number, 1, stage_deadline()), 0);
	stage_say(p.client, "second");
	if (stage_kernel_wait_counter(p.s, p.b, "TCPOFOQueue", 1, stage_deadline(), &err))
		fail_msg("%s", err.text);
	assert_int_equal(recv(p.server, &c, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(relay_release(p.relay, number), 1);
	stage_hear(p.server, "first second");
	stage_pair_close(&p);
}

static void swapped_segments_arrive_out_of_order(void **state)
{
	(void)state;
	struct stage_pair p = open_pair(0);
	uint32_t seq;

	stage_pair_connect(&p);
	const int number = treat_first_data(&p, RELAY_SWAP, &seq);
	stage_say(p.client, "first ");
	assert_int_equal(relay_wait_fired(p.relay, number, 1, stage_deadline()), 0);
	stage_say(p.client, "second");
	stage_hear(p.server, "first second");
	assert_int_equal(stage_count(p.s, p.b, "TCPOFOQueue"), 1);
	stage_pair_close(&p);
}

static void every_fifth_lost_and_all_arrives(void **state)
{
	(void)state;
	static char data[100000], got[sizeof(data)];
	struct stage_pair p = open_pair(0);
	size_t sent = 0, heard = 0;

	stage_pair_connect(&p);
	const struct relay_rule lose = {
		.pick = {.payload = PICK_DATA}, .action = RELAY_DROP, .every = 5};
	const int number = relay_add_rule(p.relay, RELAY_A, &lose);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 2654435761u >> 13);
	while (heard < sizeof(data)) {
		const ssize_t out = send(p.client, data + sent, sizeof(data) - sent, 0);
		sent += out > 0 ? (size_t)out : 0;
		stage_poll(p.server, POLLIN);
		const ssize_t in = recv(p.server, got + heard, sizeof(got) - heard, 0);
		assert_true(in > 0);
		heard += (size_t)in;
	}
	assert_memory_equal(data, got, sizeof(data));
	assert_true(relay_fired(p.relay, number) >= 10);
	assert_true(stage_count(p.s, p.a, "RetransSegs") >= relay_fired(p.relay, number));
	stage_pair_close(&p);
}

/* The segment that a would send next, as a RST. */
static struct frame rst_of(const struct stage_pair *p, uint32_t beyond)
{
	const struct endpoint from = stage_local(p->client), to = stage_peer(p->client);
	struct frame f = {.from = from.addr,
			  .to = to.addr,
			  .from_port = from.port,
			  .to_port = to.port,
			  .flags = FRAME_RST};
	struct capture_record r;

	assert_true(capture_get(p->capture, 0, &r));
	f.seq = r.frame.seq + 1 + beyond;
	return f;
}

static void an_injected_rst_ends_the_connection(void **state)
{
	(void)state;
	struct stage_pair p = open_pair(0);
	struct capture_record rec;
	const struct pick is_rst = {.flags_set = FRAME_RST};
	size_t i = 0;

	stage_pair_connect(&p);
	const struct frame rst = rst_of(&p, 0);
	assert_int_equal(relay_inject(p.relay, RELAY_A, &rst), 0);
	assert_int_equal(stage_outcome(p.server), ECONNRESET);
	assert_int_equal(capture_wait(p.capture, &is_rst, RELAY_A, -1, 0, &i, &rec), 0);
	assert_int_equal(rec.origin, CAPTURE_INJECTED);
	assert_int_equal(rec.fate, CAPTURE_ARRIVED);
	stage_pair_close(&p);
}

static void an_inexact_rst_is_challenged(void **state)
{
	(void)state;
	struct stage_pair p = open_pair(0);
	struct err err;

	stage_pair_connect(&p);
	const struct frame rst = rst_of(&p, 10);
	assert_int_equal(relay_inject(p.relay, RELAY_A, &rst), 0);
	if (stage_kernel_wait_counter(p.s, p.b, "TCPChallengeACK", 1, stage_deadline(), &err))
		fail_msg("%s", err.text);
	stage_say(p.client, "alive");
	stage_hear(p.server, "alive");
	stage_pair_close(&p);
}

static void what_cannot_be_built_is_not_injected(void **state)
{
	(void)state;
	struct stage_pair p = open_pair(0);
	struct frame f = {.from = p.a_addr, .to = stage_addr(STAGE_B6)};

	assert_int_equal(relay_inject(p.relay, RELAY_A, &f), -EMSGSIZE);
	assert_int_equal(capture_count(p.capture), 0);
	stage_pair_close(&p);
}

/* ---------------------------------------------------------------------------------- who looks on
 */

/* Writes down what it saw: "s1" the frame with seq 1 was sent, "b" one is to come, "a1" it came.
 * What it answers it sends while it looks. */
struct onlooker {
	int fd; /* of its end */
	char *log;
	bool too_early, missing; /* the frame was there before, was not there after */
	struct frame answer;
	bool answers_sent, answers_arrived;
};

static bool has_frame(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	return poll(&p, 1, 0) > 0;
}

static void note(struct onlooker *o, const char *what, uint32_t seq)
{
	const size_t n = strlen(o->log);

	snprintf(o->log + n, 64 - n, "%s%u ", what, seq % 100);
}

static void answer(const struct onlooker *o)
{
	uint8_t bytes[256];
	const size_t n = frame_build(&o->answer, bytes, sizeof(bytes));

	if (send(o->fd, bytes, n, 0) != (ssize_t)n)
		abort();
}

static void on_sent(void *ctx, const struct frame *f, struct capture_sight *out)
{
	struct onlooker *o = ctx;

	note(o, "s", f->seq);
	*out = (struct capture_sight){.state = TCPWHY_ESTABLISHED};
	if (o->answers_sent && !(f->flags & FRAME_FIN))
		answer(o);
}

static void on_before(void *ctx)
{
	struct onlooker *o = ctx;

	o->too_early |= has_frame(o->fd);
}

static void on_arrived(void *ctx, const struct frame *f, struct capture_sight *out)
{
	struct onlooker *o = ctx;

	o->missing |= !has_frame(o->fd);
	note(o, "a", f->seq);
	*out = (struct capture_sight){
		.state = TCPWHY_CLOSE_WAIT, .n_counted = 1, .counted = {{7, 2}}};
	if (o->answers_arrived)
		answer(o);
}

static struct relay_witness looks_of(struct onlooker *o, size_t records)
{
	return (struct relay_witness){o, records, on_sent, on_before, on_arrived};
}

static struct capture_record record_at(const struct ends *e, size_t i)
{
	struct capture_record rec;

	assert_true(capture_get(e->p.capture, i, &rec));
	return rec;
}

static void a_witness_sees_right_before_and_right_after(void **state)
{
	(void)state;
	struct ends e = open_ends();
	char log[2][64] = {"", ""};
	struct onlooker a = {.fd = e.a, .log = log[0]}, b = {.fd = e.b, .log = log[1]};
	const struct relay_witness of_a = looks_of(&a, 2), of_b = looks_of(&b, 2);

	relay_set_witness(e.p.relay, RELAY_A, &of_a);
	relay_set_witness(e.p.relay, RELAY_B, &of_b);
	for (uint32_t i = 1; i <= 3; i++) {
		send_numbered(e.a, i);
		relay_settle(e.p.relay);
		assert_int_equal(receive_number(e.b), i);
	}
	relay_set_witness(e.p.relay, RELAY_A, NULL);
	relay_set_witness(e.p.relay, RELAY_B, NULL);
	assert_string_equal(log[0], "s1 s2 ");
	assert_string_equal(log[1], "a1 a2 ");
	assert_false(b.too_early || b.missing);
	const struct capture_record first = record_at(&e, 0), third = record_at(&e, 2);
	assert_true(first.watched && first.seen[0] && first.seen[1]);
	assert_true(capture_is_over(&first));
	assert_int_equal(first.sight[0].state, TCPWHY_ESTABLISHED);
	assert_int_equal(first.sight[1].state, TCPWHY_CLOSE_WAIT);
	assert_int_equal(first.sight[1].n_counted, 1);
	assert_int_equal(first.sight[1].counted[0].counter, 7);
	assert_int_equal(first.sight[1].counted[0].times, 2);
	assert_false(third.watched); /* it was to look at two records */
	assert_true(capture_is_over(&third));
	close_ends(&e);
}

static void a_held_one_is_seen_when_it_comes(void **state)
{
	(void)state;
	struct ends e = open_ends();
	char log[64] = "";
	struct onlooker b = {.fd = e.b, .log = log};
	const struct relay_witness of_b = looks_of(&b, 9);
	const struct relay_rule r = rule(RELAY_HOLD, 0, 1, 1);
	const int number = relay_add_rule(e.p.relay, RELAY_A, &r);

	relay_set_witness(e.p.relay, RELAY_B, &of_b);
	send_numbered(e.a, 1);
	relay_settle(e.p.relay);
	struct capture_record rec = record_at(&e, 0);
	assert_true(rec.seen[0]);
	assert_int_equal(rec.sight[0].state, 0); /* nobody stands at that end */
	assert_false(rec.seen[1]);
	assert_false(capture_is_over(&rec));
	assert_int_equal(relay_release(e.p.relay, number), 1);
	rec = record_at(&e, 0);
	assert_true(rec.seen[1] && capture_is_over(&rec));
	assert_string_equal(log, "a1 ");
	relay_set_witness(e.p.relay, RELAY_B, NULL);
	close_ends(&e);
}

/* The way back of numbered(). */
static struct frame back(uint8_t flags, uint32_t seq)
{
	struct frame f = numbered(seq);
	const struct tcpwhy_addr from = f.from;

	f.from = f.to;
	f.to = from;
	f.from_port = 2;
	f.to_port = 1;
	f.flags = flags;
	return f;
}

static void an_answer_is_seen_before_the_next_one_goes(void **state)
{
	(void)state;
	struct ends e = open_ends();
	char log[64] = "";
	struct onlooker b = {
		.fd = e.b, .log = log, .answer = back(FRAME_ACK, 50), .answers_arrived = true};
	const struct relay_witness of_b = looks_of(&b, 9);
	const struct relay_rule r = rule(RELAY_HOLD, 0, 1, 2);
	const int number = relay_add_rule(e.p.relay, RELAY_A, &r);

	send_numbered(e.a, 1);
	send_numbered(e.a, 2);
	assert_int_equal(relay_wait_fired(e.p.relay, number, 2, stage_deadline()), 0);
	relay_set_witness(e.p.relay, RELAY_B, &of_b);
	/* both go in one move, and were taken before anybody looked */
	assert_int_equal(relay_release(e.p.relay, number), 2);
	assert_string_equal(log, "");
	send_numbered(e.a, 11); /* no rule's */
	send_numbered(e.a, 12);
	relay_settle(e.p.relay);
	assert_string_equal(log, "a11 s50 a12 s50 ");
	relay_set_witness(e.p.relay, RELAY_B, NULL);
	close_ends(&e);
}

/* What the receiver sends while it is looked at, and whether the look counts. */
static void a_look_after_the_end_acted_does_not_count(void **state)
{
	(void)state;
	static const struct {
		uint8_t flags;
		bool counts;
	} table[] = {
		{FRAME_ACK, true},              /* an answer changes nothing */
		{FRAME_SYN | FRAME_ACK, true},  /* as well */
		{FRAME_RST, true},              /* the kernel's answer: nobody is there */
		{FRAME_RST | FRAME_ACK, false}, /* a program's close() */
		{FRAME_FIN | FRAME_ACK, false}, /* a program's close() */
		{FRAME_SYN, false},             /* a new socket */
	};
	struct ends e = open_ends();
	char log[64] = "";
	struct onlooker b = {.fd = e.b, .log = log, .answers_arrived = true};
	const struct relay_witness of_b = looks_of(&b, 99);
	const struct pick any = {0};

	relay_set_witness(e.p.relay, RELAY_B, &of_b);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct capture_record rec;
		size_t at = capture_count(e.p.capture);

		b.answer = back(table[i].flags, 50);
		send_numbered(e.a, (uint32_t)i);
		relay_settle(e.p.relay);
		assert_int_equal(capture_wait(e.p.capture, &any, RELAY_A, -1, 0, &at, &rec), 0);
		assert_true(rec.seen[1]);
		assert_int_equal(rec.sight[1].state, table[i].counts ? TCPWHY_CLOSE_WAIT : 0);
	}
	relay_set_witness(e.p.relay, RELAY_B, NULL);
	close_ends(&e);
}

static void a_look_at_one_that_sent_more_does_not_count(void **state)
{
	(void)state;
	struct ends e = open_ends();
	char log[64] = "";
	struct onlooker a = {.fd = e.a, .log = log, .answers_sent = true};
	const struct relay_witness of_a = looks_of(&a, 9);

	a.answer = numbered(20);
	a.answer.flags = FRAME_FIN | FRAME_ACK;
	relay_set_witness(e.p.relay, RELAY_A, &of_a);
	send_numbered(e.a, 11);
	relay_settle(e.p.relay);
	relay_set_witness(e.p.relay, RELAY_A, NULL);
	assert_string_equal(log, "s11 s20 ");
	const struct capture_record data = record_at(&e, 0), fin = record_at(&e, 1);
	assert_true(data.seen[0] && fin.seen[0]);
	assert_int_equal(data.sight[0].state, 0);
	assert_int_equal(fin.sight[0].state, TCPWHY_ESTABLISHED);
	close_ends(&e);
}

/* Who settles pushes what a slow wire delays, and the thread sleeps already. */
static void a_delayed_one_that_was_settled_is_on_time(void **state)
{
	(void)state;
	struct ends e = open_ends();

	relay_set_delay(e.p.relay, RELAY_A, 20000000);
	for (uint32_t i = 0; i < 20; i++) {
		send_numbered(e.a, i);
		relay_settle(e.p.relay);
		assert_int_equal(receive_number(e.b), i); /* or its deadline passes */
	}
	close_ends(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_count),
		cmocka_unit_test(the_first_rule_that_fires_decides),
		cmocka_unit_test(copies_come_after_their_original),
		cmocka_unit_test(a_swapped_one_goes_behind_the_next),
		cmocka_unit_test(what_is_held_waits_for_release),
		cmocka_unit_test(a_deleted_rule_loses_what_it_holds),
		cmocka_unit_test(delay_is_kept_and_order_too),
		cmocka_unit_test(a_cut_wire_loses_all),
		cmocka_unit_test(a_full_wire_drops_and_counts),
		cmocka_unit_test(rules_have_an_end),
		cmocka_unit_test(capture_keeps_the_first_and_counts_the_rest),
		cmocka_unit_test(the_capture_shows_a_handshake),
		cmocka_unit_test(connects_over_a_slow_wire),
		cmocka_unit_test(a_lost_synack_is_sent_again),
		cmocka_unit_test(a_copied_segment_is_taken_once),
		cmocka_unit_test(a_held_segment_is_waited_for),
		cmocka_unit_test(swapped_segments_arrive_out_of_order),
		cmocka_unit_test(every_fifth_lost_and_all_arrives),
		cmocka_unit_test(an_injected_rst_ends_the_connection),
		cmocka_unit_test(an_inexact_rst_is_challenged),
		cmocka_unit_test(what_cannot_be_built_is_not_injected),
		cmocka_unit_test(a_witness_sees_right_before_and_right_after),
		cmocka_unit_test(a_held_one_is_seen_when_it_comes),
		cmocka_unit_test(an_answer_is_seen_before_the_next_one_goes),
		cmocka_unit_test(a_look_after_the_end_acted_does_not_count),
		cmocka_unit_test(a_look_at_one_that_sent_more_does_not_count),
		cmocka_unit_test(a_delayed_one_that_was_settled_is_on_time),
	};

	stage_permit();
	return unit_run("relay", tests);
}
