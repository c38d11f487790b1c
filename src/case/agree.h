/* SPDX-License-Identifier: MIT
 *
 * agree.h - two plays of one case, compared: the model against the kernel
 *
 * Calls by their results, segments by connection and direction, counters by name. Ports and initial
 * numbers are drawn, so connections are matched by the order in which they began and numbers count
 * from the first of their direction. Times are not compared: one of them is real.
 */
#ifndef TCPWHY_CASE_AGREE_H
#define TCPWHY_CASE_AGREE_H

#include "case/play.h"

enum agree_on { AGREE_ALL, AGREE_CALLS, AGREE_SEGMENTS, AGREE_COUNTERS };

struct agreement {
	enum agree_on differs;              /* AGREE_ALL: nothing does */
	uint32_t calls, segments, counters; /* that were compared and are equal */
	bool with_counters;                 /* they were compared, too */
	char what[PLAY_TEXT_MAX];           /* the first difference, a line for each play */
	char model[PLAY_TEXT_MAX], kernel[PLAY_TEXT_MAX];
};

/* Up to the place where the case sets them apart. A play that was cut short (PLAY_SLOW,
 * PLAY_CANNOT) is compared as far as it goes, without counters. */
void agree_compare(const struct play *model, const struct play *kernel, struct agreement *out);

/* What a host counted by then; 0 is no entry of the list. */
uint64_t agree_counter(const struct play *p, int node, const char *name);

/* A segment with its numbers counted from the first of their direction; for the ladder, too. What
 * is more than 2^31 ahead of that is behind it. */
struct agree_numbers {
	int32_t seq, ack;
	/* It acknowledges, and the play has a segment of that direction: else ack counts from
	 * nothing. */
	bool has_ack;
	uint32_t connection; /* from 0 on, by its first segment */
};

/* For each of p->segments; the caller's array. */
void agree_number(const struct play *p, struct agree_numbers *out);

#endif
