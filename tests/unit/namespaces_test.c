/* SPDX-License-Identifier: MIT */
#include "live/namespaces.h"
#include "live/procnet.h"
#include "unit.h"

#include <string.h>

static void test_mounts(void **state)
{
	static const struct {
		const char *line;
		uint64_t inode; /* 0: none */
		const char *path;
	} rows[] = {
		{"53 25 0:4 net:[4026532290] /run/netns/blue rw shared:7 - nsfs nsfs rw\n",
		 4026532290, "/run/netns/blue"},
		{"53 25 0:4 net:[4026532290] /run/a\\040b rw - nsfs nsfs rw\n", 4026532290,
		 "/run/a b"},
		{"53 25 0:4 mnt:[4026532290] /run/m rw - nsfs nsfs rw\n", 0, NULL},
		{"53 25 0:4 / / rw - ext4 /dev/vda rw\n", 0, NULL},
		{"53 25 0:4 net:[1] ", 0, NULL},
		{"", 0, NULL},
		{"53 25 0:4 net:[4026532290] /run/netns/a-name-that-does-not-fit rw - nsfs nsfs "
		 "rw\n",
		 0, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char path[24];
		uint64_t inode = 0;
		bool is = namespaces_mount(rows[i].line, &inode, path, sizeof(path));

		assert_int_equal(is, rows[i].path != NULL);
		if (!is)
			continue;
		assert_int_equal(inode, rows[i].inode);
		assert_string_equal(path, rows[i].path);
	}
}

static void test_our_own_is_found_once(void **state)
{
	struct namespaces list;

	(void)state;
	assert_int_equal(namespaces_find(&list), 0);
	assert_true(list.n >= 1);
	assert_string_equal(list.all[0].name, "");
	for (size_t i = 0; i < list.n; i++)
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(list.all[i].inode, list.all[k].inode);
	namespaces_free(&list);
}

static void test_sockstat(void **state)
{
	const char *none = "sockets: used 9\nTCP: inuse 0 orphan 3 tw 0 alloc 7 mem 1\n";
	const char *waits = "sockets: used 0\nTCP: inuse 0 orphan 0 tw 1 alloc 0 mem 0\n";
	const char *none6 = "TCP6: inuse 0\nUDP6: inuse 4\n";

	(void)state;
	assert_false(procnet_counts_sockets(none, none6));
	assert_false(procnet_counts_sockets(none, "")); /* no IPv6 */
	assert_true(procnet_counts_sockets(waits, none6));
	assert_true(procnet_counts_sockets(none, "TCP6: inuse 1\n"));
	assert_true(procnet_counts_sockets("", none6)); /* cannot be told */
	assert_true(procnet_counts_sockets("TCP: in", none6));
	assert_true(procnet_counts_sockets(none, "TCP6: x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_our_own_is_found_once),
		cmocka_unit_test(test_sockstat),
	};

	return unit_run("namespaces", tests);
}
