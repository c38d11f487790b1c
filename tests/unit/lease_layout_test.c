/* SPDX-License-Identifier: MIT */
#include "lease/layout.h"
#include "unit.h"

#include <string.h>

/* ----------------------------------------------------------------------------------- the header */

static const struct {
	const char *what;
	size_t offset, size;
	uint64_t value;
	bool sealed; /* with a sum that fits */
	enum layout_fault fault;
} headers[] = {
	{"as made", 0, 0, 0, true, LAYOUT_GOOD},
	{"another magic", 0, 1, 'T', true, LAYOUT_DAMAGED},
	{"version 0", offsetof(struct layout_header, version), 4, 0, true, LAYOUT_DAMAGED},
	{"a newer version", offsetof(struct layout_header, version), 4, 2, true, LAYOUT_NEWER},
	{"a newer version, another sum", offsetof(struct layout_header, version), 4, 9, false,
	 LAYOUT_NEWER},
	{"another boot", offsetof(struct layout_header, boot_id), 8, 77, true, LAYOUT_GOOD},
	{"another boot, the old sum", offsetof(struct layout_header, boot_id), 8, 77, false,
	 LAYOUT_DAMAGED},
	{"port 0", offsetof(struct layout_header, low), 4, 0, true, LAYOUT_DAMAGED},
	{"a port too high", offsetof(struct layout_header, low), 4, 65536, true, LAYOUT_DAMAGED},
	{"the last port too high", offsetof(struct layout_header, low), 4, 65436, true,
	 LAYOUT_DAMAGED},
	{"the last port is the last", offsetof(struct layout_header, low), 4, 65435, true,
	 LAYOUT_GOOD},
	{"no slots", offsetof(struct layout_header, slots), 4, 0, true, LAYOUT_DAMAGED},
	{"other slots than bytes", offsetof(struct layout_header, slots), 4, 102, true,
	 LAYOUT_DAMAGED},
	{"slots without end", offsetof(struct layout_header, slots), 4, UINT32_MAX, true,
	 LAYOUT_DAMAGED},
	{"a ring that is no power of two", offsetof(struct layout_header, ring), 4, 200, true,
	 LAYOUT_DAMAGED},
	{"no holders", offsetof(struct layout_header, holders), 4, 0, true, LAYOUT_DAMAGED},
	{"fewer bytes than there are", offsetof(struct layout_header, bytes), 8, 4096, true,
	 LAYOUT_DAMAGED},
};

static void test_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct layout_header h;
		uint64_t bytes;

		layout_make(&h, 20000, 20100);
		layout_seal(&h);
		bytes = h.bytes;
		memcpy((char *)&h + headers[i].offset, &headers[i].value, headers[i].size);
		if (headers[i].sealed)
			layout_seal(&h);
		if (layout_judge(&h, sizeof(h), bytes) != headers[i].fault)
			fail_msg("%s: %d", headers[i].what, layout_judge(&h, sizeof(h), bytes));
	}
}

static void test_short_files(void **state)
{
	struct layout_header h;

	(void)state;
	layout_make(&h, 20000, 20100);
	layout_seal(&h);
	assert_int_equal(layout_judge(&h, 0, 0), LAYOUT_TRUNCATED);
	assert_int_equal(layout_judge(&h, 11, 11), LAYOUT_TRUNCATED);
	assert_int_equal(layout_judge(&h, sizeof(h) - 1, sizeof(h) - 1), LAYOUT_TRUNCATED);
	assert_int_equal(layout_judge(&h, sizeof(h), h.bytes - 1), LAYOUT_TRUNCATED);
	assert_int_equal(layout_judge(&h, sizeof(h), h.bytes + 1), LAYOUT_DAMAGED);
}

/* ------------------------------------------------------------------------------------ the words */

static void test_slot_words(void **state)
{
	uint64_t seed = unit_seed();

	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint64_t r = unit_random(&seed);
		uint32_t port = 1 + (uint32_t)(r % 65535);
		struct slot_word w = {.state = r & 1 << 20 ? SLOT_LEASED : SLOT_FREE,
				      .gen = (uint32_t)(r >> 37)},
				 got;

		if (w.state == SLOT_LEASED) {
			w.timed = r >> 21 & 1;
			w.held = r >> 22 & 1;
			w.holder = w.timed && r & 1 << 23 ? HOLDER_NONE
							  : (uint32_t)(r >> 24) % LAYOUT_HOLDERS;
			w.holder_gen = r >> 8 & 0xfff;
		}
		assert_true(slot_unpack(port, slot_pack(port, &w), &got));
		assert_memory_equal(&got, &w, sizeof(w));
	}
}

/* One flipped bit is found, but for one time in 128 where the check's own odd bit leaves seven. */
static void test_damaged_slots(void **state)
{
	uint64_t seed = unit_seed();
	unsigned missed = 0, tried = 0;
	struct slot_word w;

	(void)state;
	assert_false(slot_unpack(20000, 0, &w));
	for (int i = 0; i < 20000; i++) {
		uint64_t r = unit_random(&seed);
		uint32_t port = 1 + (uint32_t)(r % 65535);
		const struct slot_word leased = {.state = SLOT_LEASED,
						 .holder = (uint32_t)(r >> 20) % LAYOUT_HOLDERS,
						 .holder_gen = r >> 40 & 0xfff,
						 .gen = (uint32_t)(r >> 50)};
		uint64_t word = slot_pack(port, &leased) ^ UINT64_C(1) << (r >> 58);

		tried++;
		missed += slot_unpack(port, word, &w);
		assert_false(slot_unpack(port, word & ~UINT64_C(1), &w));
	}
	assert_true(missed < tried / 64);
}

static void test_words_that_say_nonsense(void **state)
{
	const struct slot_word nobody = {.state = SLOT_LEASED, .holder = HOLDER_NONE},
			       nobody_timed = {.state = SLOT_LEASED,
					       .holder = HOLDER_NONE,
					       .timed = true},
			       no_such_holder = {.state = SLOT_LEASED, .holder = LAYOUT_HOLDERS},
			       free_but_held = {.state = SLOT_FREE, .held = true};
	struct slot_word w;

	(void)state;
	assert_true(slot_unpack(80, slot_pack(80, &nobody_timed), &w));
	assert_false(slot_unpack(80, slot_pack(80, &nobody), &w));
	assert_false(slot_unpack(80, slot_pack(80, &no_such_holder), &w));
	assert_false(slot_unpack(80, slot_pack(80, &free_but_held), &w));
}

static void test_holder_words(void **state)
{
	const struct holder_word ready = {HOLDER_READY, 0xfff, 4194304};
	struct holder_word w;

	(void)state;
	assert_true(holder_unpack(3, 0, &w));
	assert_int_equal(w.state, HOLDER_FREE);
	assert_true(holder_unpack(3, holder_pack(3, &ready), &w));
	assert_memory_equal(&w, &ready, sizeof(w));
	assert_false(holder_unpack(4, holder_pack(3, &ready), &w) &&
		     holder_unpack(5, holder_pack(3, &ready), &w) &&
		     holder_unpack(6, holder_pack(3, &ready), &w));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_short_files),
		cmocka_unit_test(test_slot_words),
		cmocka_unit_test(test_damaged_slots),
		cmocka_unit_test(test_words_that_say_nonsense),
		cmocka_unit_test(test_holder_words),
	};

	return unit_run("lease_layout", tests);
}
