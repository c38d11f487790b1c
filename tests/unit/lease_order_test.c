/* SPDX-License-Identifier: MIT */
#include "lease/order.h"
#include "unit.h"

#include <string.h>

enum { SLOTS = 50 };

static struct layout l;

static int setup(void **state)
{
	struct layout_header h;

	(void)state;
	layout_make(&h, 20000, 20000 + SLOTS - 1);
	layout_place(&h, aligned_alloc(4096, (h.bytes + 4095) / 4096 * 4096), &l);
	memset((char *)l.shared - LAYOUT_SHARED_AT, 0, l.bytes);
	for (uint32_t i = 0; i < SLOTS; i++)
		order_append(&l, &i, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free((char *)l.shared - LAYOUT_SHARED_AT);
	return 0;
}

static void test_first_in_first_out(void **state)
{
	uint32_t slots[SLOTS + 1];

	(void)state;
	assert_int_equal(order_take(&l, slots, 20), 20);
	order_append(&l, slots, 20);
	assert_int_equal(order_take(&l, slots, SLOTS + 1), SLOTS);
	for (uint32_t i = 0; i < SLOTS; i++)
		assert_int_equal(slots[i], (i + 20) % SLOTS);
	assert_int_equal(order_take(&l, slots, 1), 0);
}

/* A slot that was appended again counts at its last place only. */
static void test_twice(void **state)
{
	uint32_t slots[SLOTS + 1], three = 3;

	(void)state;
	order_append(&l, &three, 1);
	order_append(&l, &three, 1);
	assert_int_equal(order_take(&l, slots, SLOTS + 1), SLOTS);
	assert_int_equal(slots[3], 4);
	assert_int_equal(slots[SLOTS - 1], 3);
}

static void test_astray(void **state)
{
	uint32_t slots[10];

	(void)state;
	assert_false(order_is_astray(&l, 0));
	assert_int_equal(order_take(&l, slots, 10), 10);
	assert_true(order_is_astray(&l, 0) && order_is_astray(&l, 9));
	assert_false(order_is_astray(&l, 10));
	/* Its ticket was taken, and it was killed before it wrote the entry. */
	atomic_fetch_add(&l.shared->tail, 1);
	atomic_store(&l.slots[0].ticket, atomic_load(&l.shared->tail) - 1);
	assert_true(order_is_astray(&l, 0));
	order_append(&l, slots, 1);
	assert_false(order_is_astray(&l, 0));
}

/* Appended without being taken, the oldest entries are overwritten; each slot still comes once. */
static void test_overrun(void **state)
{
	uint32_t slots[SLOTS + 1];
	bool seen[SLOTS] = {false};

	(void)state;
	for (unsigned i = 0; i < 10 * l.ring_n; i++) {
		uint32_t slot = i % 7;

		order_append(&l, &slot, 1);
	}
	assert_true(order_is_astray(&l, 20));
	for (uint32_t i = 0; i < SLOTS; i++)
		if (order_is_astray(&l, i))
			order_append(&l, &i, 1);
	assert_int_equal(order_take(&l, slots, SLOTS + 1), SLOTS);
	for (unsigned i = 0; i < SLOTS; i++) {
		assert_false(seen[slots[i]]);
		seen[slots[i]] = true;
	}
}

/* Whatever stands in head, tail and ring: it ends, with slots that are slots, and can be mended. */
static void test_nonsense(void **state)
{
	uint64_t seed = unit_seed();

	(void)state;
	for (int round = 0; round < 2000; round++) {
		uint32_t slots[SLOTS];
		unsigned n;

		atomic_store(&l.shared->head, unit_random(&seed) >> unit_random(&seed) % 64);
		atomic_store(&l.shared->tail, unit_random(&seed) >> unit_random(&seed) % 64);
		for (uint32_t i = 0; i < l.ring_n; i++)
			atomic_store(&l.ring[i], unit_random(&seed));
		n = order_take(&l, slots, SLOTS);
		for (unsigned i = 0; i < n; i++)
			assert_true(slots[i] < SLOTS);
		while (order_take(&l, slots, SLOTS))
			continue;
		for (uint32_t i = 0; i < SLOTS; i++)
			order_append(&l, &i, 1);
		assert_int_equal(order_take(&l, slots, SLOTS), SLOTS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_first_in_first_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_astray, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overrun, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
	};

	return unit_run("lease_order", tests);
}
