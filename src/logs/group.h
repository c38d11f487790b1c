/* SPDX-License-Identifier: MIT
 *
 * group.h - repeats of one failure, counted as one
 *
 * The same format, error, call, address and port are a group. The table has a fixed size: what
 * comes when it is full is counted, and not kept.
 */
#ifndef TCPWHY_LOGS_GROUP_H
#define TCPWHY_LOGS_GROUP_H

#include "logs/hit.h"

#define LOG_GROUPS_MAX 512

struct log_group {
	struct log_hit first;
	uint64_t count;
	unsigned first_file, last_file; /* the caller's numbers */
	uint64_t last_line;
};

struct log_groups {
	struct log_group group[LOG_GROUPS_MAX]; /* in the order in which they were met */
	size_t n;
	uint64_t hits; /* all, those of no group too */
	uint64_t lost; /* of no group: the table was full */
};

/* The hit's group, a new one if need be; NULL if there is no room for another. */
struct log_group *log_groups_add(struct log_groups *g, const struct log_hit *hit, unsigned file);

/* Whether two failures are about the same call at the same place, whoever told it. */
bool log_same_question(const struct log_hit *a, const struct log_hit *b);

#endif
