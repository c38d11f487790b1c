/* SPDX-License-Identifier: MIT
 *
 * Numbers that two plays can be compared by: each connection counts from its own first segments,
 * also where a 4-tuple is used again and still has segments of its past
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "case/agree.h"
#include "case/stage_world.h"
#include "case/story.h"

/* The old listener is gone, so TIME_WAIT answers the new SYN with its last ACK. */
static const char text[] =
	"case{about = 'a port, used three times'}\n"
	"local client, server, wire = pair('client 10.0.0.1', 'server 10.0.0.2')\n"
	"local listener = server:listen('10.0.0.2:80')\n"
	"local function connect(last)\n"
	"  local there = client:socket{SO_REUSEADDR = true}\n"
	"  there:bind('10.0.0.1:5000')\n"
	"  if last then expect(there:try_connect('10.0.0.2:80'), 'ECONNREFUSED') return end\n"
	"  there:connect('10.0.0.2:80')\n"
	"  local here = listener:accept()\n"
	"  here:close() there:recv() there:close()\n"
	"  pause(0.1)\n"
	"end\n"
	"connect() connect() listener:close() connect(true)\n";

static uint32_t flags_of(const struct play *p, uint32_t i)
{
	return p->segments[i].record.segment.flags & (SEGMENT_SYN | SEGMENT_ACK | SEGMENT_RST);
}

static void play_drawn(const char *story, const char *release, uint64_t seed, struct play *p)
{
	const struct tcpwhy_row *row = tcpwhy_row_find(release);
	const struct stage_world_config world = {.row = row, .seed = seed};
	const struct story_config config = {.name = "t", .text = story, .text_n = strlen(story)};
	struct stage *stage;
	struct err err;

	assert_int_equal(stage_world_new(&world, &stage, &err), 0);
	story_play(&config, stage, row, p);
	stage->ops->free(stage);
}

static void play(const char *story, const char *release, struct play *p)
{
	play_drawn(story, release, 1, p);
}

static void test_port_again(void **state)
{
	struct agree_numbers n[64];
	struct play p;

	(void)state;
	play(text, "6.18.y", &p);
	assert_int_equal(play_held(&p), 1);
	assert_in_range(p.segments_n, 18, 64);
	agree_number(&p, n);

	/* Two whole connections, each from 0 on in both directions. */
	uint32_t i = 0, second;
	for (; i < p.segments_n && n[i].connection == 0; i++)
		assert_in_range(n[i].seq, 0, 2);
	second = i;
	assert_int_equal(flags_of(&p, second + 1), SEGMENT_SYN | SEGMENT_ACK);
	for (; i < p.segments_n && n[i].connection == 1; i++)
		assert_true(n[i].seq <= 2 && n[i].ack <= 2);
	/* A third SYN; the ACK and the RST after it are the second's. */
	assert_int_equal(flags_of(&p, i), SEGMENT_SYN);
	assert_int_equal(n[i].connection, 2);
	assert_int_equal(flags_of(&p, i + 1), SEGMENT_ACK);
	assert_int_equal(n[i + 1].connection, 1);
	assert_int_equal(n[i + 1].ack, 2);
	assert_int_equal(flags_of(&p, i + 2), SEGMENT_RST);
	assert_int_equal(n[i + 2].connection, 1);
	assert_int_equal(n[i + 2].seq, 2);
	/* The SYN again, and its refusal. */
	assert_int_equal(n[i + 3].connection, 2);
	assert_int_equal(n[i + 3].seq, 0);
	assert_int_equal(n[i + 4].connection, 2);
	play_free(&p);
}

/* Two releases in place of two stages: one has a connection more. */
#define SCENE                                                                                      \
	"case{about = 'x'}\n"                                                                      \
	"local client, server = pair('client 10.0.0.1', 'server 10.0.0.2')\n"                      \
	"local listener = server:listen('10.0.0.2:80')\n"                                          \
	"client:connect('10.0.0.2:80')\n"
#define ONE_MORE "if release == '6.18.y' then client:connect('10.0.0.2:80') end\n"

static void test_apart(void **state)
{
	static const struct {
		const char *story;
		enum agree_on differs;
	} rows[] = {
		{SCENE, AGREE_ALL},
		{SCENE ONE_MORE, AGREE_CALLS},
		{SCENE ONE_MORE "apart 'from here on'", AGREE_CALLS},
		{SCENE "apart 'a connection more'\n" ONE_MORE, AGREE_ALL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct play old, new;
		struct agreement a;
		play(rows[i].story, "3.10", &old);
		play(rows[i].story, "6.18.y", &new);
		agree_compare(&old, &new, &a);
		assert_int_equal(a.differs, rows[i].differs);
		assert_true(rows[i].differs == AGREE_CALLS || (a.calls && a.segments));
		assert_true(rows[i].differs == AGREE_CALLS || a.counters);
		play_free(&old);
		play_free(&new);
	}
}

/* A RST far behind, and an ACK of what nobody sent, whose number each play has for itself. */
#define FORGED(flags, seq)                                                                         \
	"wire:inject(client, {flags = '" flags "', from = '10.0.0.1:5000', to = '10.0.0.2:80', "   \
	"seq = " seq ", ack = release == '3.10' and 5 or 4000000000})\n"

static void test_strange_numbers(void **state)
{
	static const char head[] = "case{about = 'x'}\n"
				   "local client, server, wire = pair('client 10.0.0.1', 'server "
				   "10.0.0.2')\n",
			  deaf[] = "server:drop{place = 'in'}\n",
			  forged[] = FORGED("ACK", "1000") FORGED("RST", "201") "pause(0.1)\n";
	char story[1024];

	(void)state;
	for (int answers = 0; answers < 2; answers++) {
		struct agree_numbers n[8];
		struct play old, new;
		struct agreement a;
		snprintf(story, sizeof(story), "%s%s%s", head, answers ? "" : deaf, forged);
		play(story, "3.10", &old);
		play(story, "6.18.y", &new);
		agree_compare(&old, &new, &a);
		assert_int_equal(a.differs, AGREE_ALL);
		assert_in_range(new.segments_n, 2, 8);
		agree_number(&new, n);
		assert_int_equal(n[0].seq, 0);
		assert_int_equal(n[0].has_ack, answers);
		assert_int_equal(n[0].ack, 0);
		const uint32_t rst = n[1].seq ? 1 : 2; /* behind the answer, or before */
		assert_int_equal(n[rst].seq, -799);
		assert_false(n[rst].has_ack);
		play_free(&old);
		play_free(&new);
	}
}

/* What another draw, a clock that goes on between, and another order across the directions (where
 * a story waits in one release) must not make different. Each is "direction flags connection: seq
 * ack", and "-" where there is none. */
#define PAIR                                                                                       \
	"case{about = 'x'}\n"                                                                      \
	"local client, server, wire = pair('client 10.0.0.1', 'server 10.0.0.2')\n"                \
	"local later = release == '7.2.y'\n"                                                       \
	"local function send(flags, seq, ack)\n"                                                   \
	"  local d = wire:last(client, 'ACK')\n"                                                   \
	"  wire:inject(client, {flags = flags, from = d and d.from or '10.0.0.1:5555',\n"          \
	"    to = '10.0.0.2:80', seq = seq, ack = ack, tsval = d and d.tsval})\n"                  \
	"  if d or later then pause(0.03) end\n"                                                   \
	"end\n"
#define MET                                                                                        \
	PAIR "local l = server:listen('10.0.0.2:80', 4) local c = client:connect('10.0.0.2:80')\n" \
	     "local s = l:accept() pause(0.03)\n"

static void number_text(const struct play *p, const struct agree_numbers *n, uint32_t i,
			char out[static 64])
{
	const struct line_record *r = &p->segments[i].record;
	const uint8_t f = r->segment.flags;
	char ack[16] = "-";

	if (n[i].has_ack)
		snprintf(ack, sizeof(ack), "%d", n[i].ack);
	snprintf(out, 64, "%c%s%s%s%s %u: %d %s", r->direction == LINE_FROM_1 ? '<' : '>',
		 f & SEGMENT_SYN ? "S" : "", f & SEGMENT_FIN ? "F" : "", f & SEGMENT_RST ? "R" : "",
		 f & SEGMENT_ACK ? "A" : "", n[i].connection + 1, n[i].seq, ack);
}

static void check_numbers(const struct play *p, const char *const *want, size_t want_n)
{
	struct agree_numbers n[32];
	bool found[32] = {false};

	assert_int_equal(p->segments_n, want_n);
	agree_number(p, n);
	/* Across the directions the order is not given. */
	for (uint32_t i = 0; i < p->segments_n; i++) {
		char is[64];
		size_t k = 0;
		number_text(p, n, i, is);
		while (k < want_n && (found[k] || strcmp(want[k], is) != 0))
			k++;
		if (k == want_n)
			fail_msg("segment %u: %s", i, is);
		found[k] = true;
	}
}

static void test_what_begins(void **state)
{
	static const struct {
		const char *story;
		const char *want[16];
	} rows[] = {
		/* An old duplicate SYN, taken up by who has closed: a number by the clock. */
		{PAIR "local l = server:listen('10.0.0.2:80', 4)\n"
		      "wire:copy(client, 'SYN', {by = later and 0.51 or 0.5, times = 1})\n"
		      "local c = client:connect('10.0.0.2:80') pause(0.03) local s = l:accept()\n"
		      "c:close() pause(0.03) s:close() pause(1)\n",
		 {">S 1: 0 -", ">S 1: 0 -", "<SA 1: 0 1", ">A 1: 1 1", ">FA 1: 1 1", "<A 1: 1 2",
		  "<FA 1: 1 2", ">A 1: 2 2", "<SA 2: 0 1", ">A 1: 2 2", "<R 1: 2 -"}},
		/* A challenged SYN begins nothing, and takes nothing with it. */
		{MET "send('SYN', c.snd_nxt + 5) send('ACK', c.snd_nxt + 5, c.rcv_nxt + 100000)\n",
		 {">S 1: 0 -", "<SA 1: 0 1", ">A 1: 1 1", ">S 1: 6 -", "<A 1: 1 1",
		  ">A 1: 6 100001"}},
		/* One that is taken up, by a listener whose connection a RST ended, does; the other
		 * end goes on with the first, also with a number that nobody knows. */
		{MET "local n, a = c.snd_nxt, c.rcv_nxt\n"
		     "send('RST', n) send('SYN', n) send('ACK', n + 5, a + 100000)\n",
		 {">S 1: 0 -", "<SA 1: 0 1", ">A 1: 1 1", ">R 1: 1 -", ">S 2: 0 -", "<SA 2: 0 1",
		  ">A 1: 1 1", "<R 1: 1 -", ">A 1: 6 100001", "<R 1: 100001 -"}},
		/* Nobody listens: each RST is of what it answers. */
		{PAIR "send('FIN ACK', 5, 7) send('SYN ACK', 5, 7) send('SYN', 100) pause(0.03)\n",
		 {">FA 1: 0 0", ">SA 1: 0 0", "<R 1: 0 -", "<R 1: 0 -", ">S 2: 0 -", "<RA 2: 0 1"}},
		/* Not drawn, so no distance from what is; whether it is behind a window is drawn.
		 */
		{MET "send('ACK', 5, 7)\n", {NULL}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct play one, other;
		struct agreement a;
		size_t want_n = 0;
		play_drawn(rows[i].story, "6.18.y", 1, &one);
		play_drawn(rows[i].story, "7.2.y", 2, &other);
		while (rows[i].want[want_n])
			want_n++;
		if (want_n) {
			check_numbers(&one, rows[i].want, want_n);
			check_numbers(&other, rows[i].want, want_n);
		}
		agree_compare(&one, &other, &a);
		if (a.differs != AGREE_ALL && (want_n || a.differs != AGREE_COUNTERS))
			fail_msg("%zu: %s: %s | %s", i, a.what, a.model, a.kernel);
		assert_int_equal(a.segments, one.segments_n);
		play_free(&one);
		play_free(&other);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_port_again), cmocka_unit_test(test_apart),
		cmocka_unit_test(test_strange_numbers), cmocka_unit_test(test_what_begins)};

	return unit_run("agree", tests);
}
