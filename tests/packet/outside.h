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

/* What we sent of a connection's stream, in the kernel's numbers. */
struct outside {
	bool has_fin, has_data, has_hole;
	uint32_t fin_at;    /* the number of our FIN */
	uint32_t near, far; /* what lies beyond a hole, from the first to the last */
};

/* One player's view of a segment that is about to be sent to it. */
struct outside_view {
	const struct segment *seg;
	const struct wire_flow *wire;
};

/* Why not, or NULL: it is played, and remembered. seen: the kernel's, before it; m->seg may be
 * NULL. */
const char *outside_judge(struct outside *o, const struct seen_flow *seen, struct outside_view k,
			  struct outside_view m);

/* Is this call left out? seen: the kernel's, of the connection of its socket. */
bool outside_call(const struct step *s, const struct seen_flow *seen);

#endif
