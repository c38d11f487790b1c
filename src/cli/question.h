/* SPDX-License-Identifier: MIT
 *
 * question.h - what the commands that ask one question have in common
 */
#ifndef TCPWHY_CLI_QUESTION_H
#define TCPWHY_CLI_QUESTION_H

#include "cli/options.h"
#include "facts/result.h"
#include "live/live.h"

/* The answer, complete but for a try; 0 or -errno with err->text. */
typedef int question_ask(struct live *live, const struct question_options *o, struct result *r,
			 struct err *err);

/* The whole command: options, question, answer on stdout. Returns the exit status. */
int question_run(enum options_of of, question_ask *ask, int argc, char **argv);

/* The ifindex of o->device, 0 if none was named. 0, or -ENODEV with err->text. */
int question_device(struct live *live, const struct question_options *o, uint32_t *index,
		    struct err *err);
/* CAP_NET_BIND_SERVICE of whoever asks: ours is known; of another user we only know what users
 * usually have. */
enum tcpwhy_tri question_may_bind_low(struct live *live, const struct question_options *o);

/* What follows on explain_bind() and explain_connect(), which gave failed: the processes of the
 * holders that are shown. 0, or failed with err->text. */
int question_owners(struct live *live, int failed, struct result *r, struct err *err);

/* What hooks of the cgroup do to the socket before bind() (tcpwhy fix hook). */
void question_meet_hooks(const struct snapshot *snap, struct tcpwhy_bind_request *bind);

#endif
