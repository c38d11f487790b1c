/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "report/fixed.h"

static char *text_of(const struct fixed *f)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	fixed_text(f, out);
	fclose(out);
	return text;
}

static json_t *json_of(const struct fixed *f)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	json_t *root;

	assert_non_null(out);
	assert_true(fixed_json(f, out));
	fclose(out);
	root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	free(text);
	return root;
}

static const char *member(const json_t *root, const char *name)
{
	return json_string_value(json_object_get(root, name));
}

static void test_text(void **state)
{
	struct fixed f = {.verb = "sysctl", .end = FIXED_DONE, .answer = "it is 1, was 2"};
	char *text;

	(void)state;
	fixed_add(&f, "given up", "%s", "");
	fixed_add(&f, "given up", "a %s", "price");
	fixed_add_table(&f, "found", "A  B\n1  2\n");
	fixed_add(&f, "undo", "tcpwhy fix undo %d", 7);
	strcpy(f.journal, "/run/tcpwhy/journal");
	text = text_of(&f);
	assert_string_equal(text, "DONE      it is 1, was 2\n"
				  "given up  a price\n"
				  "\n"
				  "found     A  B\n"
				  "          1  2\n"
				  "\n"
				  "undo      tcpwhy fix undo 7\n"
				  "journal   /run/tcpwhy/journal\n");
	free(text);
}

/* Words are folded under the tenth column; control characters move no terminal. */
static void test_folded(void **state)
{
	struct fixed f = {.verb = "x", .end = FIXED_REFUSED};
	char *text;
	size_t first;

	(void)state;
	for (int i = 0; i < 30; i++)
		strcat(f.answer, "word ");
	fixed_add(&f, "why", "a\033[2Jb");
	text = text_of(&f);
	first = strcspn(text, "\n");
	assert_true(first <= 80);
	assert_memory_equal(text + first, "\n          word", 15);
	assert_null(strchr(text, '\033'));
	free(text);
}

static void test_json(void **state)
{
	struct fixed f = {.verb = "sysctl",
			  .end = FIXED_REFUSED,
			  .error = EPERM,
			  .answer = "not changed",
			  .id = 7,
			  .more = json_pack("{s:s, s:i}", "key", "k", "spared", 3)};
	json_t *root;

	(void)state;
	fixed_add(&f, "why", "needs a capability");
	fixed_add(&f, "given up", "one");
	fixed_add(&f, "given up", "two");
	fixed_add(&f, "spared", "three, in words");
	fixed_add_table(&f, "found", "A\n");
	root = json_of(&f);
	assert_int_equal(json_integer_value(json_object_get(root, "schema")), 1);
	assert_string_equal(member(root, "fix"), "sysctl");
	assert_string_equal(member(root, "answer"), "refused");
	assert_string_equal(member(root, "because"), "not changed");
	assert_string_equal(member(root, "errno"), "EPERM");
	assert_string_equal(member(root, "refusal"), "needs a capability");
	assert_int_equal(json_array_size(json_object_get(root, "gives_up")), 2);
	assert_int_equal(json_integer_value(json_object_get(root, "spared")), 3);
	assert_int_equal(json_integer_value(json_object_get(root, "id")), 7);
	assert_true(json_is_null(json_object_get(root, "journal")));
	assert_null(json_object_get(root, "found"));
	assert_string_equal(member(root, "key"), "k");
	json_decref(root);
	json_decref(f.more);
}

/* What does not apply is null, and there. */
static void test_json_nulls(void **state)
{
	static const char *const names[] = {"errno", "refusal", "gives_up", "id", "journal"};
	struct fixed f = {.verb = "undo", .end = FIXED_NOTHING};
	json_t *root;

	(void)state;
	root = json_of(&f);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_true(json_is_null(json_object_get(root, names[i])));
	assert_string_equal(member(root, "answer"), "nothing");
	json_decref(root);
}

static void test_full(void **state)
{
	struct fixed f = {.verb = "x"};

	(void)state;
	for (int i = 0; i < FIXED_PARTS_MAX + 3; i++)
		fixed_add(&f, "why", "%d", i);
	assert_int_equal(f.n, FIXED_PARTS_MAX);
	fixed_add_table(&f, "found", "A\n");
	assert_int_equal(f.n, FIXED_PARTS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text), cmocka_unit_test(test_folded),
		cmocka_unit_test(test_json), cmocka_unit_test(test_json_nulls),
		cmocka_unit_test(test_full),
	};

	return unit_run("fixed", tests);
}
