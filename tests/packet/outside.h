/* SPDX-License-Identifier: MIT
 *
 * outside.h - steps that are not played, because what they do is not the model's to know
 *
 * src/segment stops before windows, payload, congestion and socket memory (host.h). Where exactly
 * such a thing would decide, the step is left out for both players, and counted. The generator
 * makes few of them; a shrunk script may have more.
 */
#ifndef PACKET_OUTSIDE_H
#define PACKET_OUTSIDE_H

#include "player.h"

enum outside_reason {
	OUTSIDE_NOT, /* it is played */
	OUTSIDE_WINDOW,
	OUTSIDE_SECOND_FIN,
	OUTSIDE_MOVED_FIN,
	OUTSIDE_PREDICTED,
	OUTSIDE_ROUND_TRIP,
	OUTSIDE_SMALL,
	OUTSIDE_REASONS
};

/* "header prediction" */
const char *outside_name(enum outside_reason reason);

/* What we sent of a connection's stream, in the kernel's numbers. */
struct outside {
	bool has_fin, has_data, has_hole;
	uint32_t fin_at; /* the number of our FIN */
	uint32_t far;    /* has_hole: the end of what lies beyond it */
};

/* One player's view of a segment that is about to be sent to it. */
struct outside_view {
	const struct segment *seg;
	const struct wire_flow *wire;
};

/* A segment that is played is remembered. seen: the kernel's, before it; m->seg may be NULL. */
enum outside_reason outside_segment(struct outside *o, const struct seen_flow *seen,
				    struct outside_view k, struct outside_view m);

#endif
