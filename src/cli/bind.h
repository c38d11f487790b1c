/* SPDX-License-Identifier: MIT
 *
 * bind.h - the question of `tcpwhy bind`, for commands that come to it another way
 */
#ifndef TCPWHY_CLI_BIND_H
#define TCPWHY_CLI_BIND_H

#include "cli/options.h"
#include "facts/result.h"
#include "live/live.h"

/* The answer, complete but for a try; 0 or -errno with err->text. Free it with result_free(),
 * memory heap_memory (live/heap.h). */
int bind_ask(struct live *live, const struct question_options *o, struct result *r,
	     struct err *err);

#endif
