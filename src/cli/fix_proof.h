/* SPDX-License-Identifier: MIT
 *
 * fix_proof.h - what a change does to the answers, asked of the engine before it is made
 *
 * The namespace is looked at twice, once as it is and once as it would be (live_suppose()), and the
 * same is asked of both: a question as it is typed behind `tcpwhy`, or else what is wrong there at
 * all. Nothing is promised that was not asked.
 */
#ifndef TCPWHY_CLI_FIX_PROOF_H
#define TCPWHY_CLI_FIX_PROOF_H

#include "cli/options.h"
#include "live/live.h"
#include "report/fixed.h"

#define FIX_QUESTION_MAX 512

/* "connect 10.0.0.17:80", "bind 0.0.0.0:8080 --reuseaddr" */
struct fix_question {
	const char *text;             /* as it was typed */
	char words[FIX_QUESTION_MAX]; /* taken apart; o points into it */
	enum options_of of;
	struct question_options o;
};

/* 0, or -EINVAL with err->text. q may not be moved afterwards. */
int fix_question_parse(const char *text, struct fix_question *q, struct err *err);

/* Adds the part "proof", for people and as an object in f->more. q NULL: what is wrong there. What
 * cannot be asked is said instead. */
void fix_proof(struct live *live, const struct live_target *target, const struct fix_question *q,
	       live_supposition *suppose, const void *ctx, struct fixed *f);

#endif
