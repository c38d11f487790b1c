/* SPDX-License-Identifier: MIT
 *
 * ladder.h - the segments of a play, with what each end did and became
 *
 * Time runs down; the end that sent, or called, stands on its side. One ladder for each link
 * between two hosts, and one for the links that meet in a box (ladder_way.h): a segment that the
 * box passes at once is one line there, with an arrow through the box.
 */
#ifndef TCPWHY_REPORT_LADDER_H
#define TCPWHY_REPORT_LADDER_H

#include <stdio.h>

#include "case/play.h"

/* At most max lines for each link that a ladder shows; what is more is counted. */
void ladder_print(const struct play *p, unsigned max, FILE *out);

/* The flags that are shown, in this order. */
enum { LADDER_FLAGS = 4 };
struct ladder_flag {
	uint8_t flag;
	const char *name;
};
extern const struct ladder_flag ladder_flags[LADDER_FLAGS];

/* What a box believes, of play_segment.session: "OPEN" and so on, as in a case; "" of none, and of
 * BELIEF_UNASKED. */
const char *ladder_session(uint8_t session);

#endif
