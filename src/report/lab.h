/* SPDX-License-Identifier: MIT
 *
 * lab.h - cases that were played, shown
 *
 * A line for each case; expectations that do not hold and disagreements of the stages in full; with
 * verbose every expectation and the ladders.
 */
#ifndef TCPWHY_REPORT_LAB_H
#define TCPWHY_REPORT_LAB_H

#include <stdbool.h>
#include <stdio.h>

#include "case/agree.h"

enum { LAB_PLAYS_MAX = 24 }; /* of one case: each row, this kernel's own, and the kernel */

/* Of one play; its counts are in the play. */
struct lab_capture {
	char *file;      /* NULL: none was asked for, or the play came to nothing */
	char wrong[256]; /* why it could not be written; "" it was */
};

struct lab_case {
	struct play_head head;
	char wrong[256]; /* why it is no case; "" it is one */
	struct play *plays[LAB_PLAYS_MAX];
	const struct lab_capture *captures[LAB_PLAYS_MAX]; /* of each play */
	unsigned plays_n;
	const struct play *kernel,
		*model;             /* of plays: that of the kernel, and the one of its row */
	struct agreement agreement; /* if there are both */
	bool compared;
	bool by_row; /* releases are to be compared, too: --compare */
};

/* What came of it. */
enum lab_verdict {
	LAB_HOLDS,
	LAB_BROKEN,    /* an expectation does not hold, or the stages differ */
	LAB_WRONG,     /* no case */
	LAB_NOT_PLAYED /* nothing of it could be played */
};

enum lab_verdict lab_verdict(const struct lab_case *c);

void report_lab_case(const struct lab_case *c, bool verbose, FILE *out);

struct lab_end {
	bool verbose;    /* as the cases were shown */
	bool by_stage;   /* --stage leaves out, too */
	size_t left_out; /* cases that nobody asked for: none of their releases was */
	double seconds;
};

/* The last lines: of several cases a table of where each was played, and how many hold. */
void report_lab_end(const struct lab_case *cases, size_t n, const struct lab_end *end, FILE *out);
void report_lab_list(const struct lab_case *cases, size_t n, FILE *out);

/* One object; verbose: with every segment and call. False: no memory, or out failed. */
bool report_lab_json(const struct lab_case *cases, size_t n, bool verbose, FILE *out);
bool report_lab_list_json(const struct lab_case *cases, size_t n, FILE *out);

#endif
