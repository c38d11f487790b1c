/* SPDX-License-Identifier: MIT
 *
 * check.h - plays one script on the kernel and on the model, and compares after each step
 *
 * Compared are the answer of the call; the segments that left, in order: flags, sequence and ACK
 * numbers told relative to what was on the wire, length, TSecr, right-most SACK edge (neither
 * window nor TSval, and not PSH); each 4-tuple's state and timer; each descriptor's state, peer,
 * unread bytes and queue; and all counters.
 *
 * A script that took so long that a timer may have run is void: its result means nothing, and the
 * caller may play it again. So it may when a difference can be chance: a timer was about to run, or
 * a clock ticked in the middle of a step.
 */
#ifndef PACKET_CHECK_H
#define PACKET_CHECK_H

#include "kernel.h"
#include "model.h"
#include "outside.h"

enum check_class {
	CHECK_AGREE,
	CHECK_ANSWER,
	CHECK_SEGMENTS,
	CHECK_STATE,
	CHECK_TIMER,
	CHECK_SOCKET,
	CHECK_COUNTER,
	CHECK_EXPECT, /* they agree, the script expected something else */
	CHECK_VOID,
};

struct mismatch {
	enum check_class class;
	bool by_chance; /* perhaps: play it again */
	size_t at;      /* index of the step */
	char text[1024];
};

struct check_stats {
	uint64_t scripts, events, voids;
	uint64_t outside[OUTSIDE_REASONS]; /* steps that were not played */
	uint64_t chances; /* scripts that differed, perhaps by chance, and were played again */
	uint64_t lacking; /* steps left out: this kernel has no such sysctl */
	uint64_t other_release;     /* assertions that are not this row's, and did not hold */
	uint64_t kinds[STEP_KINDS]; /* steps that were not skipped */
	uint64_t segments;          /* that the host sent */
	uint64_t retransmissions;   /* without a wait: none is expected */
	uint64_t states[TCPWHY_BOUND + 1]; /* of the 4-tuple when a segment came */
	uint64_t counted[COUNTER_COUNT];
};

/* Steps before which a timer that is near is let pass. */
enum { CHECK_PAUSES = 8 };

struct check_how {
	size_t pauses[CHECK_PAUSES], n_pauses;
	const struct tcpwhy_row *row; /* the model's; NULL: no model. Assertions that are not of
				       * this row (program_expects()) decide nothing */
	FILE *trace;                  /* NULL, or each step and what it gave */
};

/* Plays the script on an emptied host. 0 with m->class, or -errno with err if the kernel side broke
 * down. */
int check_script(struct kernel *k, const struct script *s, const struct check_how *how,
		 struct check_stats *stats, struct mismatch *m, struct err *err);

#endif
