/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "case/frame.h"

#include <string.h>

static struct tcpwhy_addr addr(const char *text)
{
	struct tcpwhy_addr a;
	enum tcpwhy_family family;

	assert_true(address_parse(text, &a, &family));
	return a;
}

static struct frame syn(void)
{
	return (struct frame){
		.to_mac = {2, 0, 0, 0, 0, 1},
		.from_mac = {2, 0, 0, 0, 0, 2},
		.from = addr("10.0.0.1"),
		.to = addr("10.0.0.2"),
		.from_port = 40000,
		.to_port = 80,
		.ttl = 64,
		.flags = FRAME_SYN,
		.window = 64240,
		.seq = 0xfffffffe,
		.has_mss = true,
		.mss = 1460,
		.sack_permitted = true,
		.has_timestamps = true,
		.tsval = 123456,
		.has_wscale = true,
		.wscale = 7,
	};
}

static void assert_same(const struct frame *a, const struct frame *b)
{
	char one[FRAME_TEXT_MAX], other[FRAME_TEXT_MAX];

	assert_string_equal(frame_format(a, one), frame_format(b, other));
	assert_memory_equal(a->to_mac, b->to_mac, FRAME_MAC);
	assert_memory_equal(a->from_mac, b->from_mac, FRAME_MAC);
	assert_int_equal(a->ttl, b->ttl);
	assert_int_equal(a->payload_len, b->payload_len);
	if (a->payload_len)
		assert_memory_equal(a->payload, b->payload, a->payload_len);
}

static void read_gives_what_was_built(void **state)
{
	(void)state;
	static const uint8_t data[] = "odd";
	uint8_t bytes[256];
	struct frame read, f = syn();

	for (int family = 0; family < 2; family++) {
		size_t n = frame_build(&f, bytes, sizeof(bytes));
		assert_int_equal(frame_read(bytes, n, &read), FRAME_TCP);
		assert_same(&f, &read);
		struct frame push = frame_reply(&f);
		push.flags = FRAME_PSH | FRAME_ACK | FRAME_FIN;
		push.payload = data;
		push.payload_len = 3;
		push.ttl = 9;
		push.n_sacks = 4;
		push.sacks[3] = (struct frame_sack){7, 0xffffffff};
		n = frame_build(&push, bytes, sizeof(bytes));
		assert_int_equal(frame_read(bytes, n, &read), FRAME_TCP);
		assert_same(&push, &read);
		assert_int_equal(frame_seq_len(&read), 4);
		f.from = addr("fd00::1");
		f.to = addr("fd00::2");
	}
}

static void text_names_everything(void **state)
{
	(void)state;
	char text[FRAME_TEXT_MAX];
	struct frame f = syn();

	assert_string_equal(frame_format(&f, text),
			    "10.0.0.1:40000 > 10.0.0.2:80 SYN seq 4294967294 win 64240 len 0 mss "
			    "1460 sackok ts 123456 ecr 0 wscale 7");
	f = frame_reply(&f);
	f.flags = FRAME_ACK;
	f.ack = 0xffffffff;
	f.n_sacks = 2;
	f.sacks[1] = (struct frame_sack){5, 6};
	assert_string_equal(frame_format(&f, text), "10.0.0.2:80 > 10.0.0.1:40000 ACK seq 0 ack "
						    "4294967295 win 0 len 0 sack 0-0 sack 5-6");
}

/* The longest text that a segment can have fits. */
static void text_is_never_cut(void **state)
{
	(void)state;
	char text[FRAME_TEXT_MAX];
	struct frame f = {.flags = 0xff,
			  .seq = UINT32_MAX,
			  .ack = UINT32_MAX,
			  .window = UINT16_MAX,
			  .payload_len = UINT16_MAX,
			  .from_port = UINT16_MAX,
			  .to_port = UINT16_MAX,
			  .has_mss = true,
			  .mss = UINT16_MAX,
			  .sack_permitted = true,
			  .has_timestamps = true,
			  .tsval = UINT32_MAX,
			  .tsecr = UINT32_MAX,
			  .has_wscale = true,
			  .wscale = UINT8_MAX,
			  .n_sacks = FRAME_SACKS};

	memset(f.from.b, 0xfd, 16);
	memset(f.to.b, 0xfd, 16);
	for (int i = 0; i < FRAME_SACKS; i++)
		f.sacks[i] = (struct frame_sack){UINT32_MAX, UINT32_MAX};
	frame_format(&f, text);
	assert_true(strlen(text) < FRAME_TEXT_MAX - 1);
	assert_non_null(strstr(text, "sack 4294967295-4294967295\0"));
	assert_string_equal(text + strlen(text) - 26, "sack 4294967295-4294967295");
}

static void every_wrong_bit_of_the_segment_is_seen(void **state)
{
	(void)state;
	uint8_t bytes[256];
	struct frame read, f = syn();
	const size_t n = frame_build(&f, bytes, sizeof(bytes));

	for (size_t bit = 14 * 8; bit < n * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(frame_read(bytes, n, &read), FRAME_TCP);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(frame_read(bytes, n, &read), FRAME_TCP);
}

static void a_cut_frame_is_bad_or_nothing(void **state)
{
	(void)state;
	uint8_t bytes[256];
	struct frame read, f = syn();
	const size_t n = frame_build(&f, bytes, sizeof(bytes));

	for (size_t len = 0; len < n; len++) {
		uint8_t *exact = malloc(len + 1); /* so that a read beyond is seen */
		memcpy(exact, bytes, len);
		exact = realloc(exact, len ? len : 1);
		assert_int_equal(frame_read(exact, len, &read), len < 34 ? FRAME_OTHER : FRAME_BAD);
		free(exact);
	}
	/* a short frame is filled up by the device: the IP length says what counts */
	assert_int_equal(frame_read(bytes, n + 6, &read), FRAME_TCP);
	assert_int_equal(read.payload_len, 0);
}

static void others_are_passed_over(void **state)
{
	(void)state;
	uint8_t bytes[256];
	struct frame read = {.seq = 42}, f = syn();
	const size_t n = frame_build(&f, bytes, sizeof(bytes));

	bytes[14 + 9] = 17; /* UDP */
	assert_int_equal(frame_read(bytes, n, &read), FRAME_OTHER);
	bytes[14 + 9] = 6;
	bytes[14 + 6] = 0x20; /* more fragments */
	assert_int_equal(frame_read(bytes, n, &read), FRAME_OTHER);
	bytes[14 + 6] = 0x40;
	bytes[13] = 6; /* ARP */
	assert_int_equal(frame_read(bytes, n, &read), FRAME_OTHER);
	assert_int_equal(read.seq, 42);
}

static void what_does_not_fit_is_not_built(void **state)
{
	(void)state;
	static uint8_t data[65535], bytes[FRAME_MAX + 1];
	struct frame f = syn();
	const size_t n = frame_build(&f, bytes, sizeof(bytes));

	assert_int_equal(frame_build(&f, bytes, n), n);
	assert_int_equal(frame_build(&f, bytes, n - 1), 0);
	f.n_sacks = 3; /* 20 bytes of options and 26 */
	assert_int_equal(frame_build(&f, bytes, sizeof(bytes)), 0);
	f.n_sacks = 2; /* 20 and 18: with two NOPs just what a header holds */
	assert_int_equal(frame_build(&f, bytes, sizeof(bytes)), 14 + 20 + 60);
	f.n_sacks = 0;
	f.payload = data;
	f.payload_len = 65535 - 20 - 40;
	assert_int_equal(frame_build(&f, bytes, sizeof(bytes)), FRAME_MAX);
	f.payload_len++;
	assert_int_equal(frame_build(&f, bytes, sizeof(bytes)), 0);
	f = syn();
	f.to = addr("fd00::1");
	assert_int_equal(frame_build(&f, bytes, sizeof(bytes)), 0);
}

/* Hostile bytes: under ASan a read beyond the end stops the test. What is read can be built. */
static void random_bytes_are_survived(void **state)
{
	(void)state;
	uint64_t x = unit_seed();
	unsigned tcp = 0;

	for (int i = 0; i < 200000; i++) {
		struct frame f = syn(), read;
		uint8_t bytes[256], again[256];
		size_t n = frame_build(&f, bytes, sizeof(bytes));

		for (uint64_t k = unit_random(&x) % 4; k; k--)
			bytes[14 + unit_random(&x) % (n - 14)] = (uint8_t)unit_random(&x);
		n -= unit_random(&x) % 3 ? 0 : unit_random(&x) % n;
		uint8_t *exact = malloc(n);
		memcpy(exact, bytes, n);
		if (frame_read(exact, n, &read) == FRAME_TCP) {
			tcp++;
			assert_true(frame_build(&read, again, sizeof(again)) > 0);
		}
		free(exact);
	}
	assert_true(tcp > 1000);
}

/* Options with lengths of 0, 1 and beyond the header. */
static void broken_options_end_the_list(void **state)
{
	(void)state;
	static const struct {
		uint8_t bytes[4];
		bool has_mss;
	} table[] = {
		{{2, 4, 5, 180}, true},  {{2, 0, 5, 180}, false}, {{2, 1, 5, 180}, false},
		{{2, 5, 5, 180}, false}, {{2, 3, 5, 180}, false}, {{0, 2, 4, 5}, false},
		{{1, 1, 1, 2}, false},
	};
	uint8_t bytes[256];
	struct frame read, f = syn();

	f.sack_permitted = f.has_timestamps = f.has_wscale = false;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const size_t n = frame_build(&f, bytes, sizeof(bytes));
		uint32_t sum = (uint32_t)(bytes[50] << 8 | bytes[51]);

		/* the checksum follows the option's two words (RFC 1624) */
		for (int w = 0; w < 4; w += 2) {
			sum += (uint32_t)(bytes[54 + w] << 8 | bytes[55 + w]);
			sum += 0xffff - (uint32_t)(table[i].bytes[w] << 8 | table[i].bytes[w + 1]);
		}
		while (sum >> 16)
			sum = (sum & 0xffff) + (sum >> 16);
		memcpy(bytes + 54, table[i].bytes, 4);
		bytes[50] = (uint8_t)(sum >> 8);
		bytes[51] = (uint8_t)sum;
		assert_int_equal(frame_read(bytes, n, &read), FRAME_TCP);
		assert_int_equal(read.has_mss, table[i].has_mss);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_gives_what_was_built),
		cmocka_unit_test(text_names_everything),
		cmocka_unit_test(text_is_never_cut),
		cmocka_unit_test(every_wrong_bit_of_the_segment_is_seen),
		cmocka_unit_test(a_cut_frame_is_bad_or_nothing),
		cmocka_unit_test(others_are_passed_over),
		cmocka_unit_test(what_does_not_fit_is_not_built),
		cmocka_unit_test(random_bytes_are_survived),
		cmocka_unit_test(broken_options_end_the_list),
	};

	return unit_run("frame", tests);
}
