/* SPDX-License-Identifier: MIT */
#include "cure/hook.h"
#include "cure/bpffs.h"
#include "cure/hook_record.h"
#include "cure/journal.h"
#include "cure/kind.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "base/address.h"

/* ----------------------------------------------------------------------------------------- orders
 */

static void orders_are_understood(void **state)
{
	static const struct {
		const char *text, *again;
		unsigned n4, n6, points;
		const char *first;
	} rows[] = {
		{"reuseaddr", "reuseaddr", 0, 0, 2, "bind4"},
		{"spread=10.0.0.1", "spread=10.0.0.1", 1, 0, 2, "connect4"},
		{"spread=10.0.0.2,10.0.0.1", "spread=10.0.0.2,10.0.0.1", 2, 0, 2, "connect4"},
		/* IPv4 comes first, each family in its order. */
		{"spread=fd00::2,10.0.0.2,fd00::1,10.0.0.1",
		 "spread=10.0.0.2,10.0.0.1,fd00::2,fd00::1", 2, 2, 2, "connect4"},
		/* A v4-mapped address is IPv4. */
		{"spread=::ffff:10.0.0.1", "spread=10.0.0.1", 1, 0, 2, "connect4"},
		{"spread=fd00::1", "spread=fd00::1", 0, 1, 1, "connect6"},
		{"spread=127.0.0.2,fd00::1", "spread=127.0.0.2,fd00::1", 1, 1, 2, "connect4"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct hook_point *at[HOOK_POINTS_MAX];
		char text[HOOK_TEXT_MAX];
		struct hook_order order;
		struct err err;

		assert_int_equal(hook_parse(rows[i].text, &order, &err), 0);
		assert_int_equal(order.n4, rows[i].n4);
		assert_int_equal(order.n6, rows[i].n6);
		assert_string_equal(hook_format(&order, text), rows[i].again);
		assert_int_equal(hook_points(&order, at), rows[i].points);
		assert_string_equal(at[0]->name, rows[i].first);
		assert_ptr_equal(hook_point_find(rows[i].first), at[0]);
	}
	assert_null(hook_point_find("sendmsg4"));
}

static void what_is_no_order_is_named(void **state)
{
	static const char *const texts[] = {
		"",
		"reuse",
		"reuseaddr=1",
		"spread",
		"spread=",
		"spread=,",
		"spread=10.0.0.1,",
		"spread=,10.0.0.1",
		"spread=10.0.0.1,,10.0.0.2",
		"spread=10.0.0.1 ",
		"spread=10.0.0.1:80",
		"spread=0.0.0.0",
		"spread=::",
		"spread=224.0.0.1",
		"spread=ff02::1",
		"spread=255.255.255.255",
		"spread=fe80::1",
		"spread=10.0.0.1,10.0.0.1",
		"spread=10.0.0.1,::ffff:10.0.0.1",
		"spread=10.0.0.1,127.0.0.1",
		"spread=fd00::1,::1",
	};
	struct hook_order order, untouched;
	struct err err;

	(void)state;
	memset(&order, 0x5a, sizeof(order));
	untouched = order;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		err.text[0] = '\0';
		assert_int_equal(hook_parse(texts[i], &order, &err), -EINVAL);
		assert_true(err.text[0]);
		assert_memory_equal(&order, &untouched, sizeof(order));
	}
}

/* n addresses of both families in turns. */
static char *many(unsigned n, char out[static HOOK_TEXT_MAX])
{
	size_t at = (size_t)snprintf(out, HOOK_TEXT_MAX, "spread=");

	for (unsigned i = 0; i < n; i++)
		at += (size_t)snprintf(out + at, HOOK_TEXT_MAX - at,
				       i % 2 ? "%sfd00::%x" : "%s10.0.0.%u", i ? "," : "", i + 1);
	return out;
}

static void sixty_four_addresses_are_the_most(void **state)
{
	char text[HOOK_TEXT_MAX], again[HOOK_TEXT_MAX];
	struct hook_order order;
	struct err err;

	(void)state;
	assert_int_equal(hook_parse(many(64, text), &order, &err), 0);
	assert_int_equal(order.n4, 32);
	assert_int_equal(order.n6, 32);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(address_is_v4(&order.addresses[i]), i < 32);
	assert_int_equal(hook_parse(hook_format(&order, again), &order, &err), 0);
	assert_int_equal(hook_parse(many(65, text), &order, &err), -EINVAL);
}

/* ---------------------------------------------------------------------------------------- records
 */

static void plan(const char *text, struct hook_record *record)
{
	const struct cgroup2 cgroup = {.fd = -1, .path = "/sys/fs/cgroup/web.slice", .id = 4711};
	struct hook_order order;
	struct err err;

	assert_int_equal(hook_parse(text, &order, &err), 0);
	hook_record_plan(&order, &cgroup, record);
}

static void a_record_is_read_as_it_was_written(void **state)
{
	const struct hook_seen seen[] = {{hook_point_find("connect4"), 17, "other", true}};
	struct hook_record record, again;
	char path[HOOK_PATH_MAX], more[HOOK_PATH_MAX];
	json_t *line;

	(void)state;
	plan("spread=10.0.0.1,fd00::1", &record);
	line = hook_record_write(&record, seen, 1);
	assert_string_equal(journal_text(line, "action"), "hook");
	assert_int_equal(json_array_size(json_object_get(line, "old")), 1);
	assert_int_equal(json_array_size(json_object_get(line, "new")), 3);
	assert_true(hook_record_read(line, &again));
	assert_string_equal(again.cgroup, "/sys/fs/cgroup/web.slice");
	assert_int_equal(again.cgroup_id, 4711);
	assert_int_equal(again.mntns, record.mntns);
	assert_string_equal(again.folder, record.folder);
	assert_int_equal(again.pins_n, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_string_equal(hook_record_path(&again, i, path),
				    hook_record_path(&record, i, more));
		assert_ptr_equal(again.pins[i].at, record.pins[i].at);
	}
	json_decref(line);
}

static void two_plans_have_different_names(void **state)
{
	struct hook_record a, b;

	(void)state;
	plan("reuseaddr", &a);
	plan("reuseaddr", &b);
	for (unsigned i = 0; i < 2; i++)
		for (unsigned k = 0; k < 2; k++)
			assert_string_not_equal(a.pins[i].name, b.pins[k].name);
}

/* A record with the members of change put in; the first pin's path is pin, unless that is NULL. */
static json_t *changed(json_t *change, const char *pin)
{
	struct hook_record record;
	json_t *line;

	plan("reuseaddr", &record);
	line = hook_record_write(&record, NULL, 0);
	json_object_update(line, change);
	json_decref(change);
	if (pin)
		json_object_set_new(json_array_get(json_object_get(line, "pins"), 0), "pin",
				    json_string(pin));
	return line;
}

static void only_names_in_our_folders_are_read(void **state)
{
	json_t *lines[] = {
		changed(json_pack("{s:s}", "folder", "/etc"), NULL),
		changed(json_pack("{s:s}", "folder", ""), NULL),
		changed(json_pack("{s:s}", "hook", "spread=10.0.0.1"), NULL),
		changed(json_pack("{s:s}", "hook", "none"), NULL),
		changed(json_pack("{s:s}", "cgroup", "relative"), NULL),
		changed(json_pack("{s:i}", "cgroup", 7), NULL),
		changed(json_pack("{s:s}", "cgroup_id", "7"), NULL),
		changed(json_pack("{s:i}", "cgroup_id", -7), NULL),
		changed(json_pack("{s:[]}", "pins"), NULL),
		changed(json_pack("{s:n}", "pins"), NULL),
		changed(json_object(), BPFFS_FOLDER "/../../../etc/passwd"),
		changed(json_object(), BPFFS_FOLDER "/"),
		changed(json_object(), BPFFS_OWN_FOLDER "/."),
		changed(json_object(), BPFFS_OWN_FOLDER "/a/b"),
		changed(json_object(), "/etc/passwd"),
		changed(json_object(), ""),
		json_object(),
	};
	struct hook_record record;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_false(hook_record_read(lines[i], &record));
		json_decref(lines[i]);
	}
}

/* ------------------------------------------------------------------------------------------- kind
 */

static void what_another_boot_made_is_gone(void **state)
{
	json_t *line = changed(json_pack("{s:s}", "boot", "00000000-not-this-one"), NULL);
	const struct kind *kind = kind_find("hook");
	struct kind_look look;
	struct err err;

	(void)state;
	assert_non_null(kind);
	kind->look(line, &look);
	assert_int_equal(look.state, KIND_GONE);
	assert_int_equal(kind->undo(line, false, &look, &err), 0);
	assert_int_equal(look.state, KIND_GONE);
	json_decref(line);
}

static void a_line_that_is_no_hook_is_left_alone(void **state)
{
	json_t *line = json_pack("{s:s}", "action", "hook");
	struct kind_look look;
	struct err err;

	(void)state;
	kind_find("hook")->look(line, &look);
	assert_int_equal(look.state, KIND_UNSEEN);
	assert_int_equal(kind_find("hook")->undo(line, true, &look, &err), -EINVAL);
	json_decref(line);
}

static void a_long_path_keeps_its_end(void **state)
{
	char path[300], what[128], where[64];
	json_t *line;

	(void)state;
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	memcpy(path + sizeof(path) - 6, "/last", 6);
	line = changed(json_pack("{s:s}", "cgroup", path), NULL);
	kind_find("hook")->describe(line, what, where);
	assert_string_equal(what, "hook reuseaddr");
	assert_int_equal(strlen(where), 63);
	assert_string_equal(where + 58, "/last");
	json_decref(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(orders_are_understood),
		cmocka_unit_test(what_is_no_order_is_named),
		cmocka_unit_test(sixty_four_addresses_are_the_most),
		cmocka_unit_test(a_record_is_read_as_it_was_written),
		cmocka_unit_test(two_plans_have_different_names),
		cmocka_unit_test(only_names_in_our_folders_are_read),
		cmocka_unit_test(what_another_boot_made_is_gone),
		cmocka_unit_test(a_line_that_is_no_hook_is_left_alone),
		cmocka_unit_test(a_long_path_keeps_its_end),
	};

	return unit_run("hook", tests);
}
