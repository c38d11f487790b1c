/* SPDX-License-Identifier: MIT
 *
 * line.h - what a line does to the segments on it, and what it saw of them
 *
 * Plain data for both stages: which segments are meant, what becomes of them, and the record of
 * each. Controls leave nothing to chance: the same traffic meets the same fate.
 */
#ifndef TCPWHY_WORLD_LINE_H
#define TCPWHY_WORLD_LINE_H

#include "segment/segment.h"

enum line_direction {
	LINE_FROM_0, /* from end 0 of a link to end 1 */
	LINE_FROM_1,
	LINE_BOTH,
};

enum line_data { LINE_ANY_LENGTH, LINE_EMPTY, LINE_DATA };

/* Which segments. Zeros take every one. */
struct line_pick {
	uint8_t flags_set, flags_clear; /* enum segment_flag */
	uint16_t from_port, to_port;
	enum line_data data;
};

enum line_action {
	LINE_PASS, /* nothing happens; it only counts, and ends the search */
	LINE_DROP,
	LINE_DELAY, /* by delay_ns more than the link's own */
	LINE_COPY,  /* goes, and once more after delay_ns */
	LINE_HOLD,  /* waits for release() */
	LINE_SWAP,  /* goes right behind the next segment of its direction */
};

/* The first control of a direction that fires decides. Of the segments that the pick takes the
 * first skip pass, then each every-th fires (0 is as 1), until it fired times times (0: no end). */
struct line_control {
	struct line_pick pick;
	enum line_action action;
	uint64_t delay_ns;
	unsigned skip, every, times;
};

/* ----------------------------------------------------------------------------------- the trace */

enum line_passage {
	LINE_ON_ITS_WAY, /* delayed or held; later another of these */
	LINE_DELIVERED,
	LINE_LOST, /* dropped by a control or by chance, or the receiving node did not take it */
};

enum line_origin { LINE_SENT, LINE_COPIED, LINE_INJECTED };

/* A segment at the middle of a tapped link. */
struct line_record {
	uint64_t sent_ns, arrived_ns; /* arrived: 0 if it did not */
	int link;
	uint8_t direction;      /* LINE_FROM_0, LINE_FROM_1 */
	uint8_t passage;        /* enum line_passage */
	uint8_t origin;         /* enum line_origin */
	struct segment segment; /* window in bytes, as it was meant; device is 0 */
};

#endif
