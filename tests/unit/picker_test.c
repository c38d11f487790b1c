/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "base/address.h"
#include "case/picker.h"

static struct tcpwhy_addr a, b;

static int setup(void **state)
{
	(void)state;
	a = address_v4_number(0x0a000001);
	b = address_v4_number(0x0a000002);
	return 0;
}

static void every_picker_stays_in_its_range(void **state)
{
	(void)state;
	for (int kind = PICKER_SEQUENTIAL; kind <= PICKER_RFC6056_5; kind++) {
		struct picker p;
		bool seen[1000] = {false};
		unsigned used = 0;
		picker_init(&p, (enum picker_kind)kind, 65000, 65535, 1);
		assert_int_equal(picker_ports(&p), 536);
		for (unsigned i = 0; i < 20000; i++) {
			uint16_t port = picker_port(&p, &a, &b, 80, 0);
			assert_in_range(port, 65000, 65535);
			used += !seen[port - 65000];
			seen[port - 65000] = true;
		}
		assert_int_equal(used, 536);
	}
}

static void sequential_takes_the_next_one(void **state)
{
	(void)state;
	struct picker p;

	picker_init(&p, PICKER_SEQUENTIAL, 1000, 1002, 1);
	static const uint16_t order[] = {1000, 1001, 1002, 1000};
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(picker_port(&p, &a, &b, 80, 0), order[i]);
}

static void the_first_algorithm_goes_on_where_a_port_was_taken(void **state)
{
	(void)state;
	struct picker p;

	picker_init(&p, PICKER_RFC6056_1, 1000, 1999, 1);
	uint16_t first = picker_port(&p, &a, &b, 80, 0);
	for (uint32_t i = 1; i < 1000; i++)
		assert_int_equal(picker_port(&p, &a, &b, 80, i), 1000 + (first - 1000 + i) % 1000);
}

/* 3: one counter for all destinations. 4: a counter for a few of them. */
static void hashed_algorithms_count_per_destination(void **state)
{
	(void)state;
	struct picker three, four;

	picker_init(&three, PICKER_RFC6056_3, 1000, 60999, 1);
	picker_init(&four, PICKER_RFC6056_4, 1000, 60999, 1);
	unsigned apart[2] = {0, 0};
	for (uint16_t port = 1; port <= 100; port++) {
		struct picker *p[2] = {&three, &four};
		for (unsigned i = 0; i < 2; i++) {
			uint16_t one = picker_port(p[i], &a, &b, 80, 0);
			uint16_t other = picker_port(p[i], &a, &b, (uint16_t)(80 + port), 0);
			uint16_t two = picker_port(p[i], &a, &b, 80, 0);
			unsigned step = (two - one + 60000u) % 60000;
			assert_in_range(step, 1, 2);
			apart[i] += step == 1;
			assert_int_not_equal(one, other);
		}
	}
	assert_int_equal(apart[0], 0);
	assert_true(apart[1] > 80);
}

static void the_fifth_algorithm_steps_at_random(void **state)
{
	(void)state;
	struct picker p;
	uint64_t sum = 0;

	picker_init(&p, PICKER_RFC6056_5, 1000, 60999, 1);
	uint16_t last = picker_port(&p, &a, &b, 80, 0);
	for (unsigned i = 0; i < 1000; i++) {
		uint16_t next = picker_port(&p, &a, &b, 80, 0);
		unsigned step = (next - last + 60000u) % 60000;
		assert_in_range(step, 1, PICKER_STEP);
		sum += step;
		last = next;
	}
	assert_in_range(sum / 1000, 230, 270);
}

static void a_seed_has_one_series(void **state)
{
	(void)state;
	struct picker p[3];
	unsigned same[2] = {0, 0};

	for (unsigned i = 0; i < 3; i++)
		picker_init(&p[i], PICKER_UNIFORM, 1000, 60999, i < 2 ? 1 : 2);
	for (unsigned i = 0; i < 100; i++) {
		uint16_t port = picker_port(&p[0], &a, &b, 80, 0);
		same[0] += port == picker_port(&p[1], &a, &b, 80, 0);
		same[1] += port == picker_port(&p[2], &a, &b, 80, 0);
	}
	assert_int_equal(same[0], 100);
	assert_true(same[1] < 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_picker_stays_in_its_range, setup),
		cmocka_unit_test_setup(sequential_takes_the_next_one, setup),
		cmocka_unit_test_setup(the_first_algorithm_goes_on_where_a_port_was_taken, setup),
		cmocka_unit_test_setup(hashed_algorithms_count_per_destination, setup),
		cmocka_unit_test_setup(the_fifth_algorithm_steps_at_random, setup),
		cmocka_unit_test_setup(a_seed_has_one_series, setup),
	};

	return unit_run("picker", tests);
}
