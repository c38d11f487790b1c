/* SPDX-License-Identifier: MIT
 *
 * logask.h - the question that a failure in a log asks, put to the running kernel
 */
#ifndef TCPWHY_CLI_LOGASK_H
#define TCPWHY_CLI_LOGASK_H

#include "base/error.h"
#include "live/live.h"
#include "report/logs.h"

/* So many questions are asked in one run; each reads the kernel. */
#define LOGASK_MAX 64

struct logask {
	struct live_target target;
	bool json;         /* the answers are kept as JSON, else as their first lines */
	bool off;          /* --no-ask */
	struct live *live; /* NULL until the first question */
	unsigned asked;
};

/* Fills answers[i] for group i of the groups: asks, or takes what an earlier group asked. -errno
 * with err->text if the kernel could not be looked at; then answers[i].why_not says so too. */
int logask_answer(struct logask *q, const struct log_groups *groups, size_t i,
		  struct logs_answer *answers, struct err *err);
/* Closes; the answers stay. */
void logask_close(struct logask *q);

#endif
