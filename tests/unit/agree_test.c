/* SPDX-License-Identifier: MIT
 *
 * Numbers that two plays can be compared by: each connection counts from its own first segments,
 * also where a 4-tuple is used again and still has segments of its past
 */
#include "unit.h"

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

static void play(const char *story, const char *release, struct play *p)
{
	const struct tcpwhy_row *row = tcpwhy_row_find(release);
	const struct stage_world_config world = {.row = row, .seed = 1};
	const struct story_config config = {.name = "t", .text = story, .text_n = strlen(story)};
	struct stage *stage;
	struct err err;

	assert_int_equal(stage_world_new(&world, &stage, &err), 0);
	story_play(&config, stage, row, p);
	stage->ops->free(stage);
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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_port_again),
					   cmocka_unit_test(test_apart),
					   cmocka_unit_test(test_strange_numbers)};

	return unit_run("agree", tests);
}
