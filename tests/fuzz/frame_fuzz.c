/* SPDX-License-Identifier: MIT
 *
 * frame_fuzz.c - frames from a wire, whatever they hold
 *
 * The first byte says whether the checksums are made right before: without that nothing but whole
 * segments would ever pass them. What was read as a segment must come back the same through
 * frame_build(), and no length may lead the reader beyond its bytes (each is read from a place of
 * just that size).
 */
#include "fuzz.h"

#include "case/frame.h"

#include <string.h>

enum { ETHERNET = 14, IPV4 = 20, IPV6 = 40, TCP = 20, SHORT = 160 };

/* ------------------------------------------------------------------------------------- checksums
 */

static uint32_t sum(const uint8_t *p, size_t n, uint32_t so_far)
{
	for (size_t i = 0; i < n; i++)
		so_far += (uint32_t)p[i] << (i % 2 ? 0 : 8);
	return so_far;
}

static void put_sum(uint8_t *at, uint32_t so_far)
{
	while (so_far >> 16)
		so_far = (so_far & 0xffff) + (so_far >> 16);
	at[0] = (uint8_t)(~so_far >> 8);
	at[1] = (uint8_t)~so_far;
}

static void mend_tcp(uint8_t *tcp, size_t len, const uint8_t *addrs, size_t n)
{
	if (len < TCP)
		return;
	tcp[16] = tcp[17] = 0;
	put_sum(tcp + 16, sum(tcp, len, sum(addrs, n, 6 + (uint32_t)len)));
}

static void mend(uint8_t *bytes, size_t size)
{
	uint8_t *ip = bytes + ETHERNET;
	const size_t left = size > ETHERNET ? size - ETHERNET : 0;

	if (left >= IPV4 && ip[0] >> 4 == 4) {
		const size_t header = (size_t)(ip[0] & 15) * 4, total = (size_t)ip[2] << 8 | ip[3];
		if (header < IPV4 || total < header || total > left)
			return;
		ip[10] = ip[11] = 0;
		put_sum(ip + 10, sum(ip, header, 0));
		mend_tcp(ip + header, total - header, ip + 12, 8);
	} else if (left >= IPV6 && ip[0] >> 4 == 6) {
		const size_t total = (size_t)ip[4] << 8 | ip[5];
		if (total <= left - IPV6)
			mend_tcp(ip + IPV6, total, ip + 8, 32);
	}
}

/* -------------------------------------------------------------------------------------- promises
 */

static void same_options(const struct frame *a, const struct frame *b)
{
	promise(a->has_mss == b->has_mss && (!a->has_mss || a->mss == b->mss));
	promise(a->has_wscale == b->has_wscale && (!a->has_wscale || a->wscale == b->wscale));
	promise(a->has_timestamps == b->has_timestamps);
	promise(!a->has_timestamps || (a->tsval == b->tsval && a->tsecr == b->tsecr));
	promise(a->sack_permitted == b->sack_permitted && a->n_sacks == b->n_sacks);
	promise(memcmp(a->sacks, b->sacks, a->n_sacks * sizeof(a->sacks[0])) == 0);
}

static void same(const struct frame *a, const struct frame *b)
{
	promise(memcmp(a->to_mac, b->to_mac, FRAME_MAC) == 0);
	promise(memcmp(a->from_mac, b->from_mac, FRAME_MAC) == 0);
	promise(address_equal(&a->from, &b->from) && address_equal(&a->to, &b->to));
	promise(a->from_port == b->from_port && a->to_port == b->to_port);
	promise((a->ttl ? a->ttl : 64) == b->ttl && a->flags == b->flags && a->seq == b->seq);
	promise(a->ack == b->ack && a->window == b->window && a->payload_len == b->payload_len);
	promise(!a->payload_len || memcmp(a->payload, b->payload, a->payload_len) == 0);
	same_options(a, b);
}

static void comes_back(const struct frame *f)
{
	static uint8_t built[FRAME_MAX];
	const size_t len = frame_build(f, built, sizeof(built));
	struct frame again;

	if (!len) /* options that were known may take more room with our padding */
		return;
	uint8_t *exact = malloc(len);
	promise(exact != NULL);
	promise(frame_build(f, exact, len) == len);
	promise(frame_read(exact, len, &again) == FRAME_TCP);
	same(f, &again);
	promise(frame_build(f, exact, len - 1) == 0);
	free(exact);
}

/* What is left of it with zeros for payload is the same segment, be its end not known. */
static void is_blanked(const struct frame *f, const uint8_t *bytes, size_t size)
{
	enum { KEPT = 192 };
	uint8_t *out = malloc(size);
	struct frame again = {0}, blank = *f;

	promise(out != NULL);
	const size_t len = frame_blank(bytes, size < KEPT ? size : KEPT, out, size);
	promise(len && len <= size && frame_read(out, len, &again) == FRAME_TCP);
	promise(again.ttl == f->ttl);
	for (unsigned i = 0; i < again.payload_len; i++)
		promise(!again.payload[i]);
	blank.payload = again.payload;
	blank.ttl = again.ttl = f->ttl ? f->ttl : 64; /* same() is about what was built */
	same(&blank, &again);
	free(out);
}

static void is_sound(const struct frame *f, const uint8_t *bytes, size_t size)
{
	char text[FRAME_TEXT_MAX];
	const struct frame reply = frame_reply(f);

	promise(f->n_sacks <= FRAME_SACKS);
	promise(address_is_v4(&f->from) == address_is_v4(&f->to));
	promise(f->payload_len == 0 ||
		(f->payload > bytes && f->payload + f->payload_len <= bytes + size));
	promise(frame_seq_len(f) ==
		(uint32_t)f->payload_len + !!(f->flags & FRAME_SYN) + !!(f->flags & FRAME_FIN));
	promise(strlen(frame_format(f, text)) < FRAME_TEXT_MAX);
	promise(address_equal(&reply.from, &f->to) && reply.to_port == f->from_port);
	comes_back(f);
	is_blanked(f, bytes, size);
}

static void read_one(const uint8_t *data, size_t size, bool right_sums)
{
	uint8_t *exact = malloc(size ? size : 1);
	struct frame f;

	promise(exact != NULL);
	if (size)
		memcpy(exact, data, size);
	if (right_sums)
		mend(exact, size);
	if (frame_read(exact, size, &f) == FRAME_TCP)
		is_sound(&f, exact, size);
	free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	const bool right_sums = data[0] & 1;
	read_one(data + 1, size - 1, right_sums);
	/* and cut at every place */
	for (size_t n = 0; size <= SHORT && n + 1 < size; n++)
		read_one(data + 1, n, right_sums);
	return 0;
}
