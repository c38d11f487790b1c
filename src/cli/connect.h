/* SPDX-License-Identifier: MIT
 *
 * connect.h - the question of `tcpwhy connect`, for commands that come to it another way
 */
#ifndef TCPWHY_CLI_CONNECT_H
#define TCPWHY_CLI_CONNECT_H

#include "cli/options.h"
#include "facts/result.h"
#include "live/live.h"

/* The answer, complete; 0 or -errno with err->text. Free it with result_free(), memory heap_memory
 * (live/heap.h). */
int connect_ask(struct live *live, const struct question_options *o, struct result *r,
		struct err *err);

#endif
