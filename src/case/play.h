/* SPDX-License-Identifier: MIT
 *
 * play.h - what one playing of one case left behind
 *
 * A case is played once for each release and stage. The record holds plain values without pointers,
 * so that it passes through a pipe from the process that played (play_write(), play_read()), and
 * two of them can be compared (agree.h) and shown (report/lab.h). Lists have a maximum; what is
 * more is counted and not kept.
 */
#ifndef TCPWHY_CASE_PLAY_H
#define TCPWHY_CASE_PLAY_H

#include "case/stage.h"

enum {
	PLAY_NAME_MAX = 48,
	PLAY_TEXT_MAX = 200,
	PLAY_LIST_MAX = 4096, /* entries of any list */
	PLAY_CELLS = 8,       /* of a row of figures */
};

/* What the head of a case says. */
struct play_head {
	char name[PLAY_NAME_MAX]; /* of the file, without .lua */
	char about[PLAY_TEXT_MAX];
	char claim[2 * PLAY_TEXT_MAX], truth[2 * PLAY_TEXT_MAX];
	char source[PLAY_NAME_MAX]; /* the report it comes from */
	uint32_t rows;              /* bit i: tcpwhy_row_at(i), in the model */
	bool world, kernel;         /* stages */
	uint64_t seed;
};

enum play_end {
	PLAY_DONE,
	PLAY_CANNOT, /* the stage lacks something; why */
	PLAY_SLOW,   /* real time is needed that was not given; why */
	PLAY_WRONG,  /* the case is no case: syntax, misuse, out of bounds; why names file and line
		      */
	PLAY_FAILED, /* the stage broke down; why */
};

struct play_expect {
	int line;
	bool holds;
	bool skipped; /* not made here: neither holds nor fails, and got says why */
	uint64_t at_ns;
	char text[PLAY_TEXT_MAX]; /* its sentence, or the line of the case */
	char got[PLAY_TEXT_MAX], want[64];
};

struct play_call {
	uint64_t at_ns, end_ns;
	int node;
	int line;
	bool is_note;                     /* no call: text is the case's own remark */
	bool waited;                      /* time passed in it */
	uint32_t sent_before, sent_until; /* segments, when it began and when it ended */
	char text[80];                    /* "connect(10.0.0.2:80)" */
	char result[24];
};

struct play_segment {
	struct line_record record;
	uint8_t state[2]; /* enum tcpwhy_state of sender and receiver after it; 0: not seen */
	bool late;        /* a host's state could not be seen for certain: more had come before */
	bool seen[2];     /* that end was looked at */
	/* Where that end is a box: enum session_state + 1 of the session to which the segment
	 * belongs, after it; 0: no box, or it knows of none; BELIEF_UNASKED. */
	uint8_t session[2];
	char counted[PLAY_TEXT_MAX]; /* what the receiver counted because of it: "ListenOverflows
					+1" */
};

struct play_counter {
	int node;
	char name[32];
	uint64_t value; /* never 0 */
};

/* A row of the table that the case makes; the first one names the columns. */
struct play_figure {
	char cell[PLAY_CELLS][56]; /* "" behind the last */
};

struct play_node {
	char name[32];
	bool is_box;
};

struct play_link {
	int node[2];
	bool untapped; /* nothing of it is recorded */
};

struct play {
	struct play_head head;
	char stage[8];    /* "world", "kernel" */
	char release[16]; /* of hosts that name none */
	uint8_t end;      /* enum play_end */
	char why[256];
	/* Why the stages are compared no further than to here; "": to the end. Counters are of that
	 * moment. */
	char apart[PLAY_TEXT_MAX];
	uint32_t apart_calls, apart_segments; /* how many there were */
	uint64_t seed;
	uint64_t took_ns;   /* of real time */
	uint64_t lasted_ns; /* on the stage's clock */
	uint32_t segments_total, calls_total;
	/* Of the capture that was asked for: frames, and segments that are not in it. */
	uint32_t captured, uncaptured;
	uint32_t expects_n, calls_n, segments_n, counters_n, nodes_n, links_n, figures_n;
	struct play_expect *expects;
	struct play_call *calls;
	struct play_segment *segments;
	struct play_counter *counters;
	struct play_node *nodes;
	struct play_link *links;
	struct play_figure *figures;
};

/* Frees the lists; p itself is the caller's. */
void play_free(struct play *p);

/* One more entry, zeroed; NULL: PLAY_LIST_MAX is reached, or no memory. */
struct play_expect *play_add_expect(struct play *p);
struct play_call *play_add_call(struct play *p);
struct play_segment *play_add_segment(struct play *p);
struct play_counter *play_add_counter(struct play *p);
struct play_node *play_add_node(struct play *p);
struct play_link *play_add_link(struct play *p);
struct play_figure *play_add_figure(struct play *p);

/* Through a pipe. 0 or -errno; -EBADMSG: not a whole record. *p is overwritten. */
int play_write(const struct play *p, int fd);
int play_read(struct play *p, int fd);

/* Whether it was played to its end, or as far as time and what is installed allow. */
bool play_went(const struct play *p);
/* Of the expectations, those that hold, and those that were skipped. */
unsigned play_held(const struct play *p);
unsigned play_skipped(const struct play *p);

#endif
