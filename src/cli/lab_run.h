/* SPDX-License-Identifier: MIT
 *
 * lab_run.h - plays, each in a process of its own, several at once
 *
 * Of the model as many as there are processors, which stand back behind the kernel's: twice as
 * many, for those run in real time and mostly wait.
 *
 * A case is a text from anywhere and a stage may break down: what happens in a play stays there.
 * Its record comes back through a pipe (case/play.h).
 */
#ifndef TCPWHY_CLI_LAB_RUN_H
#define TCPWHY_CLI_LAB_RUN_H

#include "case/story.h"

struct lab_job {
	struct story_config config;
	const struct tcpwhy_row *row;
	bool on_kernel, captures;
	struct play play; /* what came of it */
	/* captures: the bytes of a capture file (case/pcap.h), nothing if the stage was not made.
	 * -1: none. done() closes it. */
	int capture_fd;
};

/* Plays all of them; done(ctx, i) is called as each ends, in the order in which they end. A process
 * that dies or hangs leaves a play that ended with PLAY_FAILED. A capture passes through memory, so
 * that a play, which can be anywhere by then, has no business with the user's files. */
void lab_run(struct lab_job *jobs, size_t n, void (*done)(void *ctx, size_t i), void *ctx);

#endif
