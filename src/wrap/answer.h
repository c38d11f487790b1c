/* SPDX-License-Identifier: MIT
 *
 * answer.h - one question of the kernel: what is done about the call, and what it is told
 *
 * Answering the same call twice does no more than answering it once: Go makes interrupted calls
 * anew, and a supervisor may die between the option and the answer.
 */
#ifndef TCPWHY_WRAP_ANSWER_H
#define TCPWHY_WRAP_ANSWER_H

#include "wrap/leased.h"
#include "wrap/listener.h"
#include "wrap/task.h"
#include "wrap/tell.h"
#include "wrap/wrap.h"

struct server {
	int listener;
	struct wrap_cure cure;
	bool prepared;
	struct task_kept task;
	struct leased leased;
	struct tell tell;
};

/* Always answers, or finds that nobody waits any more. */
void server_answer(struct server *s, const struct seccomp_notif *n);

#endif
