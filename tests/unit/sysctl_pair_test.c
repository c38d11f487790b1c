/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "cure/sysctl_pair.h"

static const struct {
	const char *key, *value, *other;
	bool allowed;
	const char *room; /* the value of the other one that lets it in */
} rows[] = {
	{"ip_local_port_range", "1024 65535", "1024", true, "1024"},
	{"ip_local_port_range", "1023 65535", "1024", false, "1023"},
	{"ip_local_port_range", "1 65535", "0", true, "1"},
	{"ip_unprivileged_port_start", "32768", "32768\t60999", true, "32768 60999"},
	{"ip_unprivileged_port_start", "32769", "32768\t60999", false, "32769 60999"},
	{"ip_unprivileged_port_start", "61000", "32768\t60999", false, "61000 65535"},
	{"ip_unprivileged_port_start", "0", "1\t1", true, "0 1"},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct sysctl_key *key = sysctl_key_find(rows[i].key);
		char room[64];

		assert_non_null(key);
		if (sysctl_pair_allows(key, rows[i].value, rows[i].other) != rows[i].allowed)
			fail_msg("%s=%s beside %s", rows[i].key, rows[i].value, rows[i].other);
		assert_true(sysctl_pair_makes_room(key, rows[i].value, rows[i].other, room,
						   sizeof(room)));
		assert_string_equal(room, rows[i].room);
		assert_false(sysctl_pair_makes_room(key, rows[i].value, rows[i].other, room, 1));
	}
}

/* Each is the other's other, and a fresh namespace holds no contradiction. */
static void test_both(void **state)
{
	const struct sysctl_key *range = sysctl_key_find("ip_local_port_range");
	const struct sysctl_key *start = sysctl_pair_other(range);
	char room[64];

	(void)state;
	assert_string_equal(start->name, "net.ipv4.ip_unprivileged_port_start");
	assert_ptr_equal(sysctl_pair_other(start), range);
	assert_true(sysctl_pair_allows(range, sysctl_pair_fresh(range), sysctl_pair_fresh(start)));
	assert_true(sysctl_pair_allows(start, sysctl_pair_fresh(start), sysctl_pair_fresh(range)));
	for (size_t i = 0; sysctl_key_at(i); i++) {
		const struct sysctl_key *key = sysctl_key_at(i);

		if (key == range || key == start)
			continue;
		assert_null(sysctl_pair_other(key));
		assert_null(sysctl_pair_fresh(key));
		assert_false(sysctl_pair_makes_room(key, "1", "1", room, sizeof(room)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_both),
	};

	return unit_run("sysctl_pair", tests);
}
