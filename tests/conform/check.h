/* SPDX-License-Identifier: MIT
 *
 * check.h - plays one script on the kernel and on the engine, and compares after each call
 *
 * Compared are the answer, the port (the engine must find the kernel's choice admissible, and
 * follows it), what every open socket of the script shows, the number of sockets and mini-sockets
 * in the namespace, and where a script says settle, and at its end, both complete tables.
 */
#ifndef CONFORM_CHECK_H
#define CONFORM_CHECK_H

#include "kernel.h"
#include "script.h"

enum check_class {
	CHECK_AGREE,
	CHECK_ANSWER, /* another errno, or a port that was not admissible */
	CHECK_STATE,  /* an open socket shows something else */
	CHECK_COUNT,  /* the number of sockets or mini-sockets differs */
	CHECK_TABLE,  /* the complete tables differ */
	CHECK_EXPECT, /* kernel and engine agree, the script expected something else */
	CHECK_ENGINE, /* the engine refused to be told what happened */
};

struct mismatch {
	enum check_class class;
	size_t at; /* index of the call */
	char text[640];
};

struct check_stats {
	uint64_t scripts, calls;
	uint64_t ok[CALL_KINDS], refused[CALL_KINDS], skipped[CALL_KINDS];
	uint64_t waited;    /* calls put off because a timer's edge was near */
	uint64_t ties;      /* scripts given up because a call was made across such an edge */
	uint64_t ambiguous; /* scripts ended early: two sockets came to share a 4-tuple */
	uint64_t dumps;
	uint64_t lacking; /* calls left out: this kernel has no such sysctl, or cannot do it */
	uint64_t other_release; /* expectations that are not this row's, and did not come true */
};

/* Plays the script in an emptied namespace. row is the engine's; NULL: no engine, only the kernel
 * and the expectations. Those that are not of this row (program_expects()) decide nothing. 0 with
 * m->class, or -errno with err if the kernel side broke down. */
int check_script(struct kernel *k, const struct script *s, const struct tcpwhy_row *row,
		 struct check_stats *stats, struct mismatch *m, struct err *err);

#endif
