/* SPDX-License-Identifier: MIT */
#include "logs/scan.h"

#include <stdbool.h>
#include <string.h>

/* Eight bytes each, as rare in ordinary lines as can be had. */
static const char literals[][SCAN_WINDOW + 1] = {
	"y in use", /* already in use */
	"e in use", /* already be in use, seems to be in use */
	"s in use", /* address in use (musl), port 80 is in use */
	"n in use", /* gunicorn: Connection in use */
	"y alloca", /* docker: already allocated */
	"EADDRINU", "EADDRNOT", "eaddrinu", "eaddrnot", "ted addr", /* cannot assign requested
								       address */
	"ss not a", /* musl: address not available */
	"free por", /* haproxy: no free ports */
	"n refuse", "ECONNREF", "econnref", "on reset", "ECONNRES", "econnres",
	"imed out", "ETIMEDOU", "etimedou", "/o timeo", /* go: i/o timeout */
	"call fai",                                     /* python: Connect call failed */
	"L server", /* Can't connect to MySQL server on ... (111) */
	"t to ser", /* the same of MariaDB: to server on */
	"ect erro", /* envoy: delayed connect error: 111 */
	"ect_erro", /* the same in its response flags' details */
	"socket [", /* haproxy: cannot bind socket [0.0.0.0:80] */
	"meout wa", /* curl: Timeout was reached */
};

#define LITERALS (sizeof(literals) / sizeof(literals[0]))

/* Of the three bytes that end at p. */
static uint32_t key_at(const char *p)
{
	uint32_t three = (uint32_t)(uint8_t)p[0] << 16 | (uint32_t)(uint8_t)p[-1] << 8 |
			 (uint32_t)(uint8_t)p[-2];

	return three * 2654435761u >> (32 - SCAN_BITS);
}

void scan_init(struct scan *s)
{
	/* Three bytes that no literal has may be the first two of one at most. */
	memset(s->step, SCAN_WINDOW - 2, sizeof(s->step));
	for (size_t i = 0; i < LITERALS; i++) {
		for (unsigned end = 2; end < SCAN_WINDOW; end++) {
			uint8_t *step = &s->step[key_at(literals[i] + end)];
			uint8_t far = (uint8_t)(SCAN_WINDOW - 1 - end);
			*step = far < *step ? far : *step;
		}
	}
}

static bool is_literal(const char *p)
{
	for (size_t i = 0; i < LITERALS; i++)
		if (!memcmp(p, literals[i], SCAN_WINDOW))
			return true;
	return false;
}

const char *scan_find(const struct scan *s, const char *at, const char *end)
{
	/* last: the last byte of the window. */
	if (end - at < SCAN_WINDOW)
		return NULL;
	for (const char *last = at + SCAN_WINDOW - 1; last < end;) {
		uint8_t step = s->step[key_at(last)];
		if (!step) {
			if (is_literal(last - (SCAN_WINDOW - 1)))
				return last - (SCAN_WINDOW - 1);
			step = 1;
		}
		last += step;
	}
	return NULL;
}

#define ONES  0x0101010101010101u
#define HIGHS 0x8080808080808080u
#define BREAK (ONES * '\n')

static uint64_t load(const char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* 0x80 in each byte that is a newline, 0 in the others; exact, no borrow runs between bytes. */
static uint64_t breaks_in(const char *p)
{
	uint64_t x = load(p) ^ BREAK;

	return ~(((x & ~HIGHS) + ~HIGHS) | x) & HIGHS;
}

uint64_t scan_newlines(const char *at, const char *end)
{
	uint64_t n = 0;

	for (; end - at >= 8 * 8; at += 8 * 8) {
		uint64_t sums = 0; /* a byte each, at most 8 */
		for (unsigned i = 0; i < 8; i++)
			sums += breaks_in(at + 8 * i) >> 7;
		n += sums * ONES >> 56;
	}
	for (; at < end; at++)
		n += *at == '\n';
	return n;
}

const char *scan_newline(const char *at, const char *end)
{
	for (; end - at >= 8; at += 8)
		if (breaks_in(at))
			break;
	while (at < end && *at != '\n')
		at++;
	return at;
}
