/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "tcpwhy/engine.h"

/* No bit has two entries, no entry two bits. */
static void test_each_feature_once(void **state)
{
	uint32_t features = 0, packets = 0;
	size_t n = 0;

	(void)state;
	for (const struct tcpwhy_feature_info *f; (f = tcpwhy_feature_at(n)); n++) {
		assert_int_equal(__builtin_popcount(f->feature) + __builtin_popcount(f->packet), 1);
		assert_int_equal(features & f->feature, 0);
		assert_int_equal(packets & f->packet, 0);
		features |= f->feature;
		packets |= f->packet;
	}
	assert_null(tcpwhy_feature_at(n + 1));
}

/* A feature that a row has, or doubts, has an entry; and an entry that no row has is a mistake. */
static void test_rows_use_these(void **state)
{
	uint32_t features = 0, packets = 0, used = 0, used_packets = 0;

	(void)state;
	for (size_t i = 0; tcpwhy_feature_at(i); i++) {
		features |= tcpwhy_feature_at(i)->feature;
		packets |= tcpwhy_feature_at(i)->packet;
	}
	for (size_t i = 0; tcpwhy_row_at(i); i++) {
		const struct tcpwhy_row *row = tcpwhy_row_at(i);
		used |= row->features | row->unverified;
		used_packets |= row->packets | row->packets_unverified;
	}
	assert_int_equal(used, features);
	assert_int_equal(used_packets, packets);
}

static void test_names_and_sentences(void **state)
{
	(void)state;
	for (size_t i = 0; tcpwhy_feature_at(i); i++) {
		const struct tcpwhy_feature_info *f = tcpwhy_feature_at(i);
		assert_true(strlen(f->id) > 3 && strlen(f->id) <= 22);
		assert_int_equal(strspn(f->id, "abcdefghijklmnopqrstuvwxyz-0123456789"),
				 strlen(f->id));
		assert_int_equal(f->does[strlen(f->does) - 1], '.');
		assert_true(f->since[0]);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(f->id, tcpwhy_feature_at(j)->id);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_feature_once),
		cmocka_unit_test(test_rows_use_these),
		cmocka_unit_test(test_names_and_sentences),
	};

	return unit_run("feature", tests);
}
