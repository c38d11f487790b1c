/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>

#include "explain/explain.h"
#include "report/fold.h"
#include "report/report.h"
#include "scene.h"

#define WIDEST 100

static char *screen_of(const struct result *r, bool all)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	report_screen(r, all, f);
	fclose(f);
	return text;
}

/* No line is wider than a terminal, ends in a blank, or holds what would move the cursor. */
static void check_form(const char *text)
{
	while (*text) {
		char line[1024];
		size_t n = strcspn(text, "\n");
		assert_true(n < sizeof(line));
		memcpy(line, text, n);
		line[n] = '\0';
		if (fold_columns(line) > WIDEST)
			fail_msg("%d columns: %s", fold_columns(line), line);
		if (n && line[n - 1] == ' ')
			fail_msg("ends in a blank: \"%s\"", line);
		for (size_t i = 0; i < n; i++)
			assert_true((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
		assert_int_equal(text[n], '\n');
		text += n + 1;
	}
}

static void ask(struct scene *s, const char *addr, uint16_t port, bool all, struct result *r)
{
	struct explain_question q = {
		.bind = {.port = port, .listen = true, .may_bind_low = TCPWHY_YES, .uid = 1000},
		.all_holders = all,
	};
	enum tcpwhy_family family;

	assert_true(address_parse(addr, &q.bind.addr, &family));
	q.bind.family = (uint8_t)family;
	scene_buckets(s);
	assert_int_equal(explain_bind(&s->snap, tcpwhy_row_find("6.18.y"), &q, &heap_memory, r), 0);
}

static char *shown(struct scene *s, const char *addr, uint16_t port, bool all)
{
	struct result r;

	ask(s, addr, port, all, &r);
	char *text = screen_of(&r, all);
	check_form(text);
	result_free(&r, &heap_memory);
	return text;
}

static void starts_with(const char *text, const char *start)
{
	if (strncmp(text, start, strlen(start)) != 0)
		fail_msg("wanted: %s\ncame: %.100s", start, text);
}

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in:\n%s", part, text);
}

static void test_verdict_is_the_first_line(void **state)
{
	struct scene *s = scene_new();
	char *text = shown(s, "0.0.0.0", 8080, false);

	(void)state;
	starts_with(text, "OK        bind(0.0.0.0:8080) and listen() succeed now\n");
	free(text);
	s->snap.bound_unseen = true;
	text = shown(s, "0.0.0.0", 8080, false);
	starts_with(text, "DEPENDS   bind(0.0.0.0:8080) may succeed, or fail with EADDRINUSE\n");
	has(text, "\nnot seen  ");
	free(text);
	scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", 8080, 58 * SECOND);
	text = shown(s, "::", 8080, false);
	starts_with(text,
		    "REFUSED   bind([::]:8080) fails now with EADDRINUSE, for another 58 s\n");
	has(text,
	    "\nrule      bind.time-wait-without-reuseaddr   inet_bind_conflict(), every release\n");
	has(text, "tcpwhy fix destroy-time-wait '[::]:8080'\n");
	free(text);
	free(s);
}

static void test_a_crowd_leaves_room_for_the_cures(void **state)
{
	struct scene *s = scene_new();

	(void)state;
	for (unsigned i = 0; i < 400; i++)
		scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", 8080, (1 + i) * SECOND / 10);
	char *text = shown(s, "0.0.0.0", 8080, false);
	has(text, "397 more: --holders lists all\n");
	size_t lines = 0;
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	assert_true(lines <= 30);
	free(text);
	text = shown(s, "0.0.0.0", 8080, true);
	assert_null(strstr(text, " more: --holders"));
	lines = 0;
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	assert_true(lines > 400);
	free(text);
	free(s);
}

#define LONG_A "2001:db8:1111:2222:3333:4444:5555:6666"
#define LONG_B "2001:db8:7777:8888:9999:aaaa:bbbb:cccc"

static void test_long_addresses_are_whole(void **state)
{
	struct scene *s = scene_new();
	struct snapshot_owner *o = scene_owner(s, TCPWHY_ESTABLISHED, LONG_A, 58080);

	(void)state;
	scene_peer(o, LONG_B, 60001);
	char *text = shown(s, "::", 58080, false);
	has(text, "[" LONG_A "]:58080");
	has(text, "peer [" LONG_B "]:60001\n");
	free(text);
	free(s);
}

static void test_long_and_hostile_owners(void **state)
{
	struct scene *s = scene_new();
	struct result r;

	(void)state;
	scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", 8080);
	ask(s, "0.0.0.0", 8080, false, &r);
	r.holders[0].owners_n = RESULT_OWNERS_MAX;
	r.holders[0].owners_more = true;
	for (int i = 0; i < RESULT_OWNERS_MAX; i++) {
		struct result_owner *o = &r.holders[0].owners[i];
		o->pid = 4000000 + i;
		strcpy(o->comm, "worker\x1b[31m\n");
		memset(o->unit, 'u', 40);
		o->unit[39] = (char)('a' + i);
	}
	explain_name_owners(&r);
	char *text = screen_of(&r, false);
	check_form(text);
	has(text, "worker?[31m?[4000002]");
	has(text, "and more");
	free(text);
	result_free(&r, &heap_memory);
	free(s);
}

static void test_a_wrong_prediction_is_loud(void **state)
{
	struct scene *s = scene_new();
	struct result r;

	(void)state;
	ask(s, "0.0.0.0", 8080, false, &r);
	r.tried = (struct result_try){true, 0, TCPWHY_CALL_NONE};
	char *text = screen_of(&r, false);
	has(text, "as predicted");
	free(text);
	r.tried = (struct result_try){true, EADDRINUSE, TCPWHY_CALL_BIND};
	text = screen_of(&r, false);
	check_form(text);
	has(text, "failed with EADDRINUSE");
	has(text, "\nMISMATCH  the kernel's bind() failed with EADDRINUSE, which is NOT");
	free(text);
	result_free(&r, &heap_memory);
	free(s);
}

/* No process and no uid is shown of what its process has closed: the kernel's 0 is nobody. */
static void test_orphans_belong_to_nobody(void **state)
{
	struct scene *s = scene_new();
	struct snapshot_owner *o = scene_owner(s, TCPWHY_LAST_ACK, "10.0.0.5", 8080);

	(void)state;
	scene_peer(o, "10.0.0.9", 5)->inode = 0;
	o->o.uid = 0;
	char *text = shown(s, "0.0.0.0", 8080, false);
	assert_non_null(strstr(text, "closed by its process\n"));
	assert_null(strstr(text, "uid"));
	free(text);
	free(s);
}

static void test_fold(void **state)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	struct fold f = {.out = out, .indent = 4};

	(void)state;
	assert_int_equal(fold_columns("a \xc2\xb7 b"), 5);
	fold_words(&f,
		   "a word that is longer than any line could be is still written in one piece: "
		   "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		   "xxxxxxxxxx "
		   "and the next");
	fold_newline(&f);
	fclose(out);
	assert_non_null(strstr(text, "\n    xxx"));
	assert_non_null(strstr(text, "xxx\n    and the next\n"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdict_is_the_first_line),
		cmocka_unit_test(test_a_crowd_leaves_room_for_the_cures),
		cmocka_unit_test(test_long_addresses_are_whole),
		cmocka_unit_test(test_long_and_hostile_owners),
		cmocka_unit_test(test_a_wrong_prediction_is_loud),
		cmocka_unit_test(test_fold),
		cmocka_unit_test(test_orphans_belong_to_nobody),
	};

	return unit_run("screen", tests);
}
