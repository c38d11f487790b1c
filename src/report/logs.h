/* SPDX-License-Identifier: MIT
 *
 * logs.h - what was found in logs, shown
 *
 * As report.h is for one answer: for people, and for programs with names that are a promise.
 */
#ifndef TCPWHY_REPORT_LOGS_H
#define TCPWHY_REPORT_LOGS_H

#include <stdio.h>

#include "facts/result.h"
#include "logs/group.h"

#define LOGS_COMMAND_MAX 512

/* What became of the question that a group asks. */
struct logs_answer {
	bool asked;
	size_t same_as; /* group whose question it is; its own number if it asked itself */
	enum tcpwhy_answer answer;
	char *text;                     /* the answer: first lines, or JSON; NULL none */
	const char *why_not;            /* NULL, or why nothing was asked */
	char command[LOGS_COMMAND_MAX]; /* that asks it, complete; "" there is none */
};

struct logs_report {
	const struct log_groups *groups;
	const struct logs_answer *answers; /* one for each group */
	const char *const *files;          /* by the numbers that the groups have */
	size_t files_n;
	size_t files_read; /* of them: the others could not be */
	uint64_t lines, bytes;
};

/* The verdict, the why and the first cure of an answer, as report_screen() shows them. */
void report_excerpt(const struct result *r, FILE *out);

/* All of it: the verdict first. */
void report_logs_screen(const struct logs_report *r, FILE *out);
/* The verdict alone; nothing if nothing was found and no file could be read. */
void report_logs_verdict(const struct logs_report *r, FILE *out);
/* One group with its answer. */
void report_logs_group(const struct logs_report *r, size_t i, FILE *out);

/* One object, indented, ended by a newline. False: no memory, or out failed. */
bool report_logs_json(const struct logs_report *r, FILE *out);
/* One group as an object on a line of its own, for logs that are followed. */
bool report_logs_group_json(const struct logs_report *r, size_t i, FILE *out);

#endif
