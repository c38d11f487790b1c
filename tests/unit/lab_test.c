/* SPDX-License-Identifier: MIT
 *
 * What tcpwhy lab says of plays: that hold, that do not, and of stages that differ
 */
#include "unit.h"
#include "width.h"

#include <jansson.h>
#include <string.h>

#include "case/stage_world.h"
#include "case/story.h"
#include "report/fold.h"
#include "report/lab.h"

static const char text[] =
	"case{about = 'a scene', claim = 'a claim', truth = 'a truth'}\n"
	"local client, server, wire = pair('client 10.0.0.1', 'server 10.0.0.2')\n"
	"server:listen('10.0.0.2:80')\n"
	"local gone = wire:drop(client, 'SYN', {times = 1})\n"
	"client:connect('10.0.0.2:80')\n"
	"expect(gone.fired, 1, 'one SYN is lost')\n";

static void play_text(struct play *out, const char *stage_name, const char *lua)
{
	const struct tcpwhy_row *row = tcpwhy_row_find("6.18.y");
	const struct stage_world_config world = {.row = row, .seed = 1};
	const struct story_config config = {
		.name = "scene", .text = lua, .text_n = strlen(lua), .observe = true};
	struct stage *stage;
	struct err err;

	assert_int_equal(stage_world_new(&world, &stage, &err), 0);
	story_play(&config, stage, row, out);
	stage->ops->free(stage);
	assert_int_equal(out->end, PLAY_DONE);
	snprintf(out->stage, sizeof(out->stage), "%s", stage_name);
}

static void play(struct play *out, const char *stage_name)
{
	play_text(out, stage_name, text);
}

/* The case with a play of the model and one that passes for the kernel's. */
struct scene {
	struct play model, kernel;
	struct lab_case c;
};

static void set_up(struct scene *s)
{
	memset(s, 0, sizeof(*s));
	play(&s->model, "world");
	play(&s->kernel, "kernel");
	s->c.head = s->model.head;
	s->c.plays[0] = &s->model;
	s->c.plays[1] = &s->kernel;
	s->c.plays_n = 2;
	s->c.model = &s->model;
	s->c.kernel = &s->kernel;
	s->c.compared = true;
}

static char *shown(struct scene *s, bool verbose)
{
	char *out = NULL;
	size_t n;
	FILE *f = open_memstream(&out, &n);

	assert_non_null(f);
	agree_compare(&s->model, &s->kernel, &s->c.agreement);
	report_lab_case(&s->c, verbose, f);
	fclose(f);
	return out;
}

static void tear_down(struct scene *s)
{
	play_free(&s->model);
	play_free(&s->kernel);
}

static void has(const char *out, const char *line)
{
	if (!strstr(out, line))
		fail_msg("no \"%s\" in\n%s", line, out);
}

static void test_holds(void **state)
{
	struct scene s;

	(void)state;
	set_up(&s);
	char *out = shown(&s, false);
	assert_int_equal(lab_verdict(&s.c), LAB_HOLDS);
	has(out, "ok      scene  a scene\n");
	has(out, "2 of 2 hold: 6.18.y, this kernel\n");
	has(out, "the kernel agrees with the model: 3 calls, 4 segments, 5 counters\n");
	assert_null(strstr(out, "SYN_SENT"));
	free(out);
	tear_down(&s);
}

static void test_verbose(void **state)
{
	struct scene s;

	(void)state;
	set_up(&s);
	char *out = shown(&s, true);
	has(out, "        claim  a claim\n");
	has(out, "world 6.18.y");
	has(out, "kernel 6.18.y");
	has(out, " SYN_SENT    ── SYN 0 ───────────────────x lost\n");
	has(out, "        ok   line 6: one SYN is lost\n");
	free(out);
	tear_down(&s);
}

/* Where no ladder can be, a line says whose the expectations below are, and why. */
static void test_no_ladder(void **state)
{
	static const struct {
		const char *lua, *why;
	} rows[] = {
		{"local c, s = pair('c 10.0.0.1', 's 10.0.0.2', {untapped = true})\n"
		 "s:listen('10.0.0.2:80')\n"
		 "expect(c:connect('10.0.0.2:80').state, 'ESTABLISHED')\n",
		 ", no ladder: its link is untapped\n        ok   line 4: "},
		{"local c, s = pair('c 10.0.0.1', 's 10.0.0.2')\nexpect(1, 1)\n",
		 ", no ladder: nothing crossed its links\n        ok   line 3: "},
		{"host('c')\nexpect(1, 1)\n",
		 ", no ladder: there is no link\n        ok   line 3: "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char lua[512], wanted[128];
		struct lab_capture capture = {.file = "x.pcap"};
		struct scene s;
		set_up(&s);
		tear_down(&s);
		snprintf(lua, sizeof(lua), "case{about = 'x'}\n%s", rows[i].lua);
		play_text(&s.model, "world", lua);
		play_text(&s.kernel, "kernel", lua);
		s.c.captures[0] = &capture;
		char *out = shown(&s, true);
		snprintf(wanted, sizeof(wanted), "world 6.18.y%s", rows[i].why);
		has(out, wanted);
		snprintf(wanted, sizeof(wanted), "kernel 6.18.y%s", rows[i].why);
		has(out, wanted);
		has(out,
		    i ? " x.pcap: 0 segments: " : " x.pcap: 0 segments: its link is untapped\n");
		free(out);
		tear_down(&s);
	}
}

/* Calls of the right end move to the left as far as they must; what is longer yet is folded. */
static void test_narrow(void **state)
{
	struct scene s;

	(void)state;
	set_up(&s);
	struct play_segment *seg = &s.model.segments[1];
	strcpy(s.model.nodes[1].name, "a-server-whose-name-is-long");
	strcpy(s.model.calls[0].text, "bind([2001:db8:0:1::17]:8080)");
	strcpy(s.model.calls[0].result, "EADDRNOTAVAIL");
	strcpy(s.model.calls[1].text, "tcpwhy fix sysctl --pid 4711 net.ipv4.tcp_tw_reuse=1 and "
				      "then yet another word");
	strcpy(seg->counted, "OutRsts +1, EmbryonicRsts +1, ListenOverflows +1, ListenDrops +1, "
			     "TCPTimeouts +4");
	s.model.segments[2].record.segment.flags = SEGMENT_FIN | SEGMENT_ACK;
	s.model.segments[2].record.segment.length = 40000;
	s.model.segments[2].record.segment.ack -= 17;
	char *out = shown(&s, true);
	fits(out);
	has(out, " bind([2001:db8:0:1::17]:8080) = EADDRNOTAVAIL\n");
	has(out, "OutRsts +1,\n                            EmbryonicRsts +1, ");
	has(out, "TCPTimeouts +4\n");
	has(out, "\n                          and then yet another word");
	free(out);
	tear_down(&s);
}

/* A call that waits ends where it ended; one that does not says what it gave. */
static void test_calls(void **state)
{
	static const char starts[] = "case{about = 'x'}\n"
				     "local a, b, wire = pair('a 10.0.0.1', 'b 10.0.0.2')\n"
				     "b:listen('10.0.0.2:80')\n"
				     "local gone = wire:drop(a, 'SYN', {times = 1})\n"
				     "a:start_connect('10.0.0.2:80')\n"
				     "expect(gone.fired, 1)\n";
	struct scene s;

	(void)state;
	set_up(&s);
	char *out = shown(&s, true);
	has(out, "    0.000 ms connect(10.0.0.2:80)\n");
	const char *last = strstr(out, "── ACK 1 ack 1");
	assert_non_null(last);
	has(last, " ms connect() = ok\n");
	has(out, " listen(4096) = ok\n");
	assert_null(strstr(out, "connect(10.0.0.2:80) = ok"));
	free(out);
	play_free(&s.model);
	play_text(&s.model, "world", starts);
	out = shown(&s, true);
	has(out, " ms connect(10.0.0.2:80) = EINPROGRESS\n");
	free(out);
	tear_down(&s);
}

/* What fails everywhere is told once, with the plays in which it does. */
static void test_does_not_hold(void **state)
{
	struct scene s;

	(void)state;
	set_up(&s);
	s.model.expects[0].holds = s.kernel.expects[0].holds = false;
	strcpy(s.model.expects[0].got, "0");
	strcpy(s.kernel.expects[0].got, "0");
	char *out = shown(&s, false);
	assert_int_equal(lab_verdict(&s.c), LAB_BROKEN);
	has(out, "BAD     scene");
	has(out, "BAD  scene.lua:6 one SYN is lost\n");
	has(out, "got 0, wanted 1: 6.18.y, this kernel\n");
	assert_null(strstr(strstr(out, "scene.lua:6") + 1, "scene.lua:6"));
	free(out);
	tear_down(&s);
}

/* The second as far as what is installed allows; the third has no stage but the model. */
static void test_table(void **state)
{
	struct lab_case cases[3];
	struct scene s;
	char *out;
	size_t n;

	(void)state;
	set_up(&s);
	agree_compare(&s.model, &s.kernel, &s.c.agreement);
	struct play cut = s.kernel, unplayed = s.kernel;
	cut.end = unplayed.end = PLAY_CANNOT;
	unplayed.expects_n = 0;
	for (int i = 0; i < 3; i++)
		cases[i] = s.c;
	cases[1].kernel = cases[1].plays[1] = &cut;
	cases[2].kernel = cases[2].plays[1] = &unplayed;
	cases[2].compared = false;
	FILE *f = open_memstream(&out, &n);
	assert_non_null(f);
	report_lab_end(cases, 3, &(struct lab_end){.left_out = 5, .seconds = 1}, f);
	fclose(f);
	has(out, " model kernel  agrees calls segments counters\n");
	has(out,
	    "scene                                   1 played  yes        3        4        5\n");
	has(out,
	    "scene                                   1 in part yes        3        4        5\n");
	has(out, "scene                                   1 no      -\n");
	free(out);
	tear_down(&s);
}

/* One case is one, and the last line stands apart by one empty line, also after -v. */
static void test_end_of_one(void **state)
{
	struct scene s;

	(void)state;
	set_up(&s);
	agree_compare(&s.model, &s.kernel, &s.c.agreement);
	for (int verbose = 0; verbose < 2; verbose++) {
		char *out = NULL;
		size_t n;
		FILE *f = open_memstream(&out, &n);

		assert_non_null(f);
		report_lab_case(&s.c, verbose, f);
		report_lab_end(&s.c, 1, &(struct lab_end){.verbose = verbose, .seconds = 1}, f);
		fclose(f);
		has(out, "\n\n1 case: 1 holds, 0 do not, 0 are no case, 0 not played; 1 on this "
			 "kernel, 1\nagrees with the model; 1.0 s\n");
		assert_null(strstr(out, "\n\n\n"));
		free(out);
	}
	tear_down(&s);
}

/* Where no call and no segment was held against another, that is no "yes". */
static void test_sums(void **state)
{
	struct lab_case cases[2];
	struct scene s;
	char *out;
	size_t n;

	(void)state;
	set_up(&s);
	s.model.calls_n = s.kernel.calls_n = 0;
	s.model.segments_n = s.kernel.segments_n = 0;
	out = shown(&s, false);
	has(out, "the kernel counts what the model does: 5 counters. No call and no\n");
	free(out);
	cases[0] = cases[1] = s.c;
	cases[1].agreement.counters = 0;
	FILE *f = open_memstream(&out, &n);
	assert_non_null(f);
	report_lab_end(cases, 2, &(struct lab_end){.left_out = 5, .seconds = 1}, f);
	fclose(f);
	has(out,
	    "scene                                   1 played  sums       0        0        5\n");
	has(out,
	    "scene                                   1 played  -          0        0        0\n");
	has(out, "1\nagrees with the model, 1 in counters alone; 5 more are not for that release;");
	free(out);
	tear_down(&s);
}

static json_t *json_of(struct scene *s, bool verbose)
{
	char *out = NULL;
	size_t n;
	FILE *f = open_memstream(&out, &n);

	assert_non_null(f);
	agree_compare(&s->model, &s->kernel, &s->c.agreement);
	assert_true(report_lab_json(&s->c, 1, verbose, f));
	fclose(f);
	json_t *root = json_loads(out, 0, NULL), *c;
	assert_non_null(root);
	free(out);
	c = json_incref(json_array_get(json_object_get(root, "cases"), 0));
	json_decref(root);
	return c;
}

static const char *text_at(json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));

	return value ? value : "null";
}

/* Both values of each counter, that of one side alone, too; segments and calls with verbose. */
static void test_json(void **state)
{
	struct scene s;

	(void)state;
	set_up(&s);
	strcpy(s.kernel.counters[0].name, "SyncookiesSent");
	s.model.segments[2].session[1] = SESSION_RESET + 1;
	json_t *c = json_of(&s, false), *list;
	list = json_object_get(json_object_get(c, "agreement"), "counters_compared");
	assert_int_equal(json_array_size(list), s.model.counters_n + 1);
	json_t *first = json_array_get(list, 0), *last = json_array_get(list, s.model.counters_n);
	assert_string_equal(text_at(first, "counter"), s.model.counters[0].name);
	assert_int_equal(json_integer_value(json_object_get(first, "model")),
			 s.model.counters[0].value);
	assert_int_equal(json_integer_value(json_object_get(first, "kernel")), 0);
	assert_string_equal(text_at(last, "counter"), "SyncookiesSent");
	json_decref(c);

	c = json_of(&s, true);
	json_t *ladder = json_object_get(json_array_get(json_object_get(c, "plays"), 0), "ladder");
	list = json_object_get(ladder, "segments");
	assert_int_equal(json_array_size(list), 4);
	json_t *answer = json_array_get(list, 2);
	assert_string_equal(text_at(answer, "from"), "server");
	assert_string_equal(text_at(answer, "to"), "client");
	assert_string_equal(text_at(answer, "passage"), "delivered");
	assert_string_equal(text_at(json_array_get(list, 0), "passage"), "lost");
	assert_true(json_is_null(json_object_get(json_array_get(list, 0), "ack")));
	assert_int_equal(json_integer_value(json_object_get(answer, "ack")), 1);
	assert_int_equal(json_array_size(json_object_get(answer, "flags")), 2);
	assert_string_equal(json_string_value(json_array_get(json_object_get(answer, "states"), 0)),
			    "SYN_RECV");
	json_t *sessions = json_object_get(answer, "sessions");
	assert_true(json_is_null(json_array_get(sessions, 0)));
	assert_string_equal(json_string_value(json_array_get(sessions, 1)), "RESET");
	list = json_object_get(ladder, "calls");
	assert_string_equal(text_at(json_array_get(list, 2), "text"), "connect(10.0.0.2:80)");
	assert_string_equal(text_at(json_array_get(list, 2), "host"), "client");
	json_decref(c);
	tear_down(&s);
}

/* What could not be made here is said, and breaks nothing. */
static void test_skipped(void **state)
{
	struct scene s;

	(void)state;
	set_up(&s);
	s.kernel.expects[0].holds = false;
	s.kernel.expects[0].skipped = true;
	strcpy(s.kernel.expects[0].got, "CAP_BPF is missing");
	char *out = shown(&s, true);
	assert_int_equal(lab_verdict(&s.c), LAB_HOLDS);
	has(out, "1 of 2 hold, 1 skipped: 6.18.y, this kernel\n");
	has(out, "skip scene.lua:6 one SYN is lost\n");
	has(out, "CAP_BPF is missing: this kernel\n");
	has(out, "        skip line 6: one SYN is lost\n");
	free(out);
	tear_down(&s);
}

/* A disagreement shows both sides, and both ladders. */
static void test_stages_differ(void **state)
{
	struct scene s;

	(void)state;
	set_up(&s);
	json_t *c = json_of(&s, false), *plays = json_object_get(c, "plays");
	assert_true(json_is_null(json_object_get(json_array_get(plays, 0), "ladder")));
	json_decref(c);
	tear_down(&s);
	set_up(&s);
	s.kernel.segments[2].record.segment.flags = SEGMENT_RST;
	char *out = shown(&s, false);
	assert_int_equal(lab_verdict(&s.c), LAB_BROKEN);
	has(out, "the kernel differs from the model: connection 1, segments from server\n");
	has(out, "        model   server > client: SYN ACK seq 0 ack 1, 0 bytes at");
	has(out, "        kernel  server > client: RST seq 0, 0 bytes at");
	has(out, "world 6.18.y");
	has(out, "kernel 6.18.y");
	free(out);
	/* as JSON, too */
	c = json_of(&s, false);
	plays = json_object_get(c, "plays");
	assert_int_equal(json_array_size(plays), 2);
	for (size_t i = 0; i < 2; i++)
		assert_true(json_is_object(json_object_get(json_array_get(plays, i), "ladder")));
	json_decref(c);
	tear_down(&s);
}

static void test_cut_short(void **state)
{
	struct scene s;

	(void)state;
	set_up(&s);
	s.kernel.end = PLAY_SLOW;
	strcpy(s.kernel.why, "line 9 lets 61 s of real time pass: --slow");
	s.kernel.segments_n--;
	char *out = shown(&s, false);
	assert_int_equal(lab_verdict(&s.c), LAB_HOLDS);
	has(out, "this kernel: line 9 lets 61 s of real time pass: --slow\n");
	has(out, "far as it played\n");
	free(out);
	tear_down(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holds),         cmocka_unit_test(test_verbose),
		cmocka_unit_test(test_does_not_hold), cmocka_unit_test(test_stages_differ),
		cmocka_unit_test(test_cut_short),     cmocka_unit_test(test_end_of_one),
		cmocka_unit_test(test_skipped),       cmocka_unit_test(test_table),
		cmocka_unit_test(test_narrow),        cmocka_unit_test(test_calls),
		cmocka_unit_test(test_sums),          cmocka_unit_test(test_json),
		cmocka_unit_test(test_no_ladder),
	};

	return unit_run("lab", tests);
}
