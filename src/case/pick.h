/* SPDX-License-Identifier: MIT
 *
 * pick.h - which segments: what a rule of the relay or a look into the capture speaks of
 *
 * Plain data, so that a scene can be written down. A pick of zeros takes every segment.
 */
#ifndef TCPWHY_CASE_PICK_H
#define TCPWHY_CASE_PICK_H

#include "case/frame.h"

enum pick_payload { PICK_ANY_LENGTH, PICK_EMPTY, PICK_DATA };

struct pick {
	uint8_t flags_set, flags_clear; /* FRAME_SYN ...: all of these, none of those */
	uint16_t from_port, to_port;    /* 0: any */
	enum pick_payload payload;
	/* What the fields cannot say; NULL: nothing more. Called in the thread that forwards, with
	 * its lock held: it may not call the relay or the capture. */
	bool (*also)(const struct frame *f, void *ctx);
	void *ctx;
};

bool pick_takes(const struct pick *p, const struct frame *f);

#endif
