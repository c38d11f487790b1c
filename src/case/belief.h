/* SPDX-License-Identifier: MIT
 *
 * belief.h - what a box believes of the connection to which a segment belongs
 *
 * Of the sessions that a stage lists, the segment's own: by its addresses before the box or behind
 * it, in either direction.
 */
#ifndef TCPWHY_CASE_BELIEF_H
#define TCPWHY_CASE_BELIEF_H

#include "world/rule.h"

#include <stddef.h>

enum {
	BELIEF_SESSIONS = 64,  /* of a box are searched; one that has more is not asked */
	BELIEF_UNASKED = 0xff, /* in place of what belief_of() says: nobody knows */
};

/* enum session_state + 1; 0: none of them. */
uint8_t belief_of(const struct session *sessions, size_t n, const struct segment *s);

#endif
