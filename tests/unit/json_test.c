/* SPDX-License-Identifier: MIT
 *
 * The JSON of an answer, read back: the names and types that are a promise, and nothing that is not
 * JSON.
 */
#include "unit.h"

#include <errno.h>
#include <jansson.h>

#include "explain/explain.h"
#include "report/report.h"
#include "scene.h"

static json_t *read_back(const struct result *r)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	json_error_t error;

	assert_non_null(f);
	assert_true(report_json(r, f));
	fclose(f);
	assert_true(size && text[size - 1] == '\n');
	json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (!j)
		fail_msg("line %d: %s", error.line, error.text);
	free(text);
	return j;
}

/* Names with types, in a letter each: s string, i integer, r real, b boolean, o object, a array; ?
 * may be null. */
static void has_fields(const json_t *j, const char *const (*fields)[2])
{
	for (; (*fields)[0]; fields++) {
		const json_t *v = json_object_get(j, (*fields)[0]);
		const char *type = (*fields)[1];
		bool good = v && ((type[0] == 's' && json_is_string(v)) ||
				  (type[0] == 'i' && json_is_integer(v)) ||
				  (type[0] == 'r' && json_is_real(v)) ||
				  (type[0] == 'b' && json_is_boolean(v)) ||
				  (type[0] == 'o' && json_is_object(v)) ||
				  (type[0] == 'a' && json_is_array(v)) ||
				  (type[1] == '?' && json_is_null(v)));
		if (!good)
			fail_msg("field %s is missing or no %s", (*fields)[0], type);
	}
}

static const char *const answer_fields[][2] = {
	{"schema", "i"},  {"question", "o"}, {"release", "s"}, {"kernel", "s"},
	{"answer", "s"},  {"errno", "s?"},   {"at", "s?"},     {"rule", "s?"},
	{"because", "s"}, {"blockers", "a"}, {"cures", "a"},   {"blockers_total", "i"},
	{"no_help", "a"}, {"unknown", "a"},  {"sources", "a"}, {"try", "o?"},
	{NULL, NULL},
};
static const char *const question_fields[][2] = {
	{"call", "s"},   {"address", "s"}, {"port", "i"}, {"reuseaddr", "b"}, {"reuseport", "b"},
	{"v6only", "b"}, {"device", "s?"}, {"uid", "i"},  {NULL, NULL},
};
static const char *const blocker_fields[][2] = {
	{"local", "s"},  {"peer", "s?"},  {"state", "s"},      {"expires_s", "r?"},
	{"uid", "i?"},   {"inode", "i?"}, {"reuseaddr", "b?"}, {"reuseport", "b?"},
	{"owners", "a"}, {NULL, NULL},
};
static const char *const owner_fields[][2] = {
	{"pid", "i"}, {"comm", "s"}, {"unit", "s?"}, {NULL, NULL}};
static const char *const cure_fields[][2] = {{"id", "s"},     {"does", "s"},     {"costs", "s"},
					     {"proven", "b"}, {"command", "s?"}, {NULL, NULL}};
static const char *const no_help_fields[][2] = {{"what", "s"}, {"because", "s"}, {NULL, NULL}};

static void each_has_fields(const json_t *list, const char *const (*fields)[2])
{
	size_t i;
	json_t *j;

	json_array_foreach(list, i, j) has_fields(j, fields);
}

static void check_schema(const json_t *j)
{
	const json_t *blockers = json_object_get(j, "blockers");

	has_fields(j, answer_fields);
	has_fields(json_object_get(j, "question"), question_fields);
	each_has_fields(blockers, blocker_fields);
	for (size_t i = 0; i < json_array_size(blockers); i++)
		each_has_fields(json_object_get(json_array_get(blockers, i), "owners"),
				owner_fields);
	each_has_fields(json_object_get(j, "cures"), cure_fields);
	each_has_fields(json_object_get(j, "no_help"), no_help_fields);
	assert_int_equal(json_integer_value(json_object_get(j, "schema")), 1);
}

static struct explain_question question(const char *addr, uint16_t port)
{
	struct explain_question q = {
		.bind = {.port = port, .listen = true, .may_bind_low = TCPWHY_YES, .uid = 1000},
	};
	enum tcpwhy_family family;

	assert_true(address_parse(addr, &q.bind.addr, &family));
	q.bind.family = (uint8_t)family;
	return q;
}

static json_t *answer(struct scene *s, const char *addr, uint16_t port)
{
	struct explain_question q = question(addr, port);
	struct result r;

	scene_buckets(s);
	assert_int_equal(explain_bind(&s->snap, tcpwhy_row_find("6.18.y"), &q, &heap_memory, &r),
			 0);
	if (r.holders_n && r.holders[0].seen.inode) {
		r.holders[0].owners[0] = (struct result_owner){7, "java \xff\"\x01", ""};
		r.holders[0].owners_n = 1;
	}
	json_t *j = read_back(&r);
	check_schema(j);
	result_free(&r, &heap_memory);
	return j;
}

static const char *text_of(const json_t *j, const char *name)
{
	return json_string_value(json_object_get(j, name));
}

static void test_refused(void **state)
{
	struct scene *s = scene_new();

	(void)state;
	scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", 8080, 41 * SECOND + SECOND / 4);
	json_t *j = answer(s, "0.0.0.0", 8080);
	const json_t *b = json_array_get(json_object_get(j, "blockers"), 0);
	assert_string_equal(text_of(j, "answer"), "refused");
	assert_string_equal(text_of(j, "errno"), "EADDRINUSE");
	assert_string_equal(text_of(j, "at"), "bind");
	assert_string_equal(text_of(j, "rule"), "bind.time-wait-without-reuseaddr");
	assert_string_equal(text_of(json_object_get(j, "question"), "address"), "0.0.0.0");
	assert_string_equal(text_of(b, "local"), "10.0.0.5:8080");
	assert_string_equal(text_of(b, "peer"), "10.0.0.9:40001");
	assert_string_equal(text_of(b, "state"), "TIME_WAIT");
	assert_true(json_real_value(json_object_get(b, "expires_s")) == 41.2);
	assert_true(json_is_null(json_object_get(b, "uid")));
	assert_true(json_is_null(json_object_get(b, "inode")));
	assert_true(json_is_false(json_object_get(b, "reuseaddr")));
	json_decref(j);
	free(s);
}

static void test_ok_has_nulls(void **state)
{
	struct scene *s = scene_new();

	(void)state;
	json_t *j = answer(s, "::ffff:10.0.0.5", 8080);
	assert_string_equal(text_of(j, "answer"), "ok");
	assert_true(json_is_null(json_object_get(j, "errno")));
	assert_true(json_is_null(json_object_get(j, "at")));
	assert_true(json_is_null(json_object_get(j, "rule")));
	assert_true(json_is_null(json_object_get(j, "try")));
	assert_string_equal(text_of(json_object_get(j, "question"), "address"), "::ffff:10.0.0.5");
	json_decref(j);
	j = answer(s, "0.0.0.0", 0);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "ports"), "total")),
			 28232);
	json_decref(j);
	free(s);
}

static void test_depends_names_unknowns(void **state)
{
	struct scene *s = scene_new();

	(void)state;
	s->snap.bound_unseen = true;
	json_t *j = answer(s, "0.0.0.0", 8080);
	assert_string_equal(text_of(j, "answer"), "depends");
	assert_int_equal(json_array_size(json_object_get(j, "unknown")), 1);
	json_decref(j);
	free(s);
}

/* A process may call itself what it likes. */
static void test_hostile_names_stay_json(void **state)
{
	struct scene *s = scene_new();

	(void)state;
	scene_owner(s, TCPWHY_LISTEN, "::", 8080)->o.reuse = TCPWHY_REUSE_UNKNOWN;
	json_t *j = answer(s, "0.0.0.0", 8080);
	const json_t *b = json_array_get(json_object_get(j, "blockers"), 0);
	const json_t *o = json_array_get(json_object_get(b, "owners"), 0);
	assert_string_equal(text_of(o, "comm"), "java ?\"\x01");
	assert_true(json_is_null(json_object_get(o, "unit")));
	assert_true(json_is_null(json_object_get(b, "peer")));
	assert_true(json_is_null(json_object_get(b, "reuseaddr")));
	assert_true(json_is_null(json_object_get(b, "expires_s")));
	json_decref(j);
	free(s);
}

static void test_try(void **state)
{
	struct explain_question q = question("0.0.0.0", 8080);
	struct scene *s = scene_new();
	struct result r;

	(void)state;
	assert_int_equal(explain_bind(&s->snap, tcpwhy_row_find("6.18.y"), &q, &heap_memory, &r),
			 0);
	r.tried = (struct result_try){true, 0, TCPWHY_CALL_NONE};
	json_t *j = read_back(&r);
	assert_true(json_is_true(json_object_get(json_object_get(j, "try"), "agrees")));
	json_decref(j);
	r.tried = (struct result_try){true, EADDRINUSE, TCPWHY_CALL_LISTEN};
	j = read_back(&r);
	assert_true(json_is_false(json_object_get(json_object_get(j, "try"), "agrees")));
	assert_string_equal(text_of(json_object_get(j, "try"), "at"), "listen");
	json_decref(j);
	result_free(&r, &heap_memory);
	free(s);
}

static void test_full_disk_is_seen(void **state)
{
	struct explain_question q = question("0.0.0.0", 8080);
	struct scene *s = scene_new();
	FILE *full = fopen("/dev/full", "w");
	struct result r;

	(void)state;
	if (!full)
		unit_skip("no /dev/full");
	assert_int_equal(explain_bind(&s->snap, tcpwhy_row_find("6.18.y"), &q, &heap_memory, &r),
			 0);
	assert_false(report_json(&r, full));
	fclose(full);
	result_free(&r, &heap_memory);
	free(s);
}

static void test_orphan_has_no_uid(void **state)
{
	struct scene *s = scene_new();
	struct snapshot_owner *o = scene_owner(s, TCPWHY_FIN_WAIT1, "10.0.0.5", 8080);

	(void)state;
	o->inode = 0;
	o->o.uid = 0;
	json_t *j = answer(s, "0.0.0.0", 8080);
	const json_t *blocker = json_array_get(json_object_get(j, "blockers"), 0);
	assert_true(json_is_null(json_object_get(blocker, "uid")));
	json_decref(j);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_orphan_has_no_uid),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_ok_has_nulls),
		cmocka_unit_test(test_depends_names_unknowns),
		cmocka_unit_test(test_hostile_names_stay_json),
		cmocka_unit_test(test_try),
		cmocka_unit_test(test_full_disk_is_seen),
	};

	return unit_run("json", tests);
}
