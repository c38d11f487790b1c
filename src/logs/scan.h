/* SPDX-License-Identifier: MIT
 *
 * scan.h - finds the few lines that could tell of a failure, fast
 *
 * Every format has at least one of some thirty 8-byte literals ("y in use", "EADDRINU"). All are
 * looked for at once: the three bytes at the end of a window of eight say how far the window may
 * move (Wu and Manber). Ordinary text is passed in steps of five to six bytes.
 */
#ifndef TCPWHY_LOGS_SCAN_H
#define TCPWHY_LOGS_SCAN_H

#include <stddef.h>
#include <stdint.h>

#define SCAN_BITS   13
#define SCAN_WINDOW 8 /* length of every literal */

struct scan {
	uint8_t step[1u << SCAN_BITS];
};

void scan_init(struct scan *s);
/* Where the first literal begins in [at, end), or NULL. */
const char *scan_find(const struct scan *s, const char *at, const char *end);
/* How many newlines are in [at, end). */
uint64_t scan_newlines(const char *at, const char *end);
/* The first newline in [at, end), or end. */
const char *scan_newline(const char *at, const char *end);

#endif
