/* SPDX-License-Identifier: MIT
 *
 * story.h - a case, played: its Lua text on one stage
 *
 * Gives the sandbox the words of a case (docs in cases/README.md): hosts, boxes, links, sockets,
 * line controls, expectations, waits. Plays the text from top to bottom on a stage and records what
 * happened. It judges only what the case itself expects; it prints nothing.
 */
#ifndef TCPWHY_CASE_STORY_H
#define TCPWHY_CASE_STORY_H

#include "case/play.h"

struct sandbox_limits;

struct story_config {
	const char *name; /* "ghost-connection", for messages with .lua behind it */
	const char *text;
	size_t text_n;
	const struct sandbox_limits *limits; /* NULL: sandbox_limits_default */
	uint64_t seed;                       /* of math.random() */
	bool trusted; /* came with tcpwhy: it may run programs on a host of the kernel stage */
	bool slow;    /* real time may take minutes */
	bool observe; /* note the state of both ends at each segment */
	/* The line of the text that asked the stage for something last, for who looks from outside
	 * (memory that is shared); NULL: nobody. */
	volatile int *line;
};

/* Reads only the head: what case{} says. 0, or -EINVAL with err->text "name.lua:line: ...". */
int story_head(const struct story_config *config, struct play_head *out, struct err *err);

/* Plays it on that stage, which is used up. The row is that of hosts that name none (on the kernel:
 * the kernel's own). *out is overwritten; its end says how it went; free with play_free(). */
void story_play(const struct story_config *config, struct stage *stage,
		const struct tcpwhy_row *row, struct play *out);

#endif
