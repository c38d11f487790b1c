/* SPDX-License-Identifier: MIT
 *
 * witness.h - what a host looks like just when a segment has left it, and just when one has come
 *
 * A relay is the one place that has a segment which its receiver has not seen yet: who looks there,
 * right before and right after, sees what this segment did and no other. The kernel handles a frame
 * before the write to the tap returns, so the look is not too early; and it is not too late unless
 * a program acts at once (relay.h says what becomes of such a look).
 *
 * One per network namespace, for all relays that end there: while one of them brings a segment the
 * others wait, or the counters would be of both. It knows nothing of rules and wires.
 */
#ifndef TCPWHY_CASE_WITNESS_H
#define TCPWHY_CASE_WITNESS_H

#include "case/capture.h"
#include "live/netns.h"

struct witness;

/* 0, or -errno with err->text. */
int witness_open(const struct netns *ns, struct witness **out, struct err *err);
/* NULL is allowed. */
void witness_close(struct witness *w);

/* The sender of a segment that has left through this device (ifindex). Only the state is seen. */
void witness_sent(struct witness *w, unsigned device, const struct frame *f,
		  struct capture_sight *out);
/* Before a segment is handed to the host, and after: the state of what got it, and what was
 * counted in between. Each before has its after; the host's other segments wait that long. */
void witness_before(struct witness *w);
void witness_arrived(struct witness *w, unsigned device, const struct frame *f,
		     struct capture_sight *out);

#endif
