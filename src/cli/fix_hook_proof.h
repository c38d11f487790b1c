/* SPDX-License-Identifier: MIT
 *
 * fix_hook_proof.h - what a hook would change of one question: the engine asked with and without it
 *
 * Words for the answer of `tcpwhy fix hook`; nothing here changes anything.
 */
#ifndef TCPWHY_CLI_FIX_HOOK_PROOF_H
#define TCPWHY_CLI_FIX_HOOK_PROOF_H

#include "base/error.h"
#include "cli/fix_proof.h"
#include "cure/hook.h"
#include "live/live.h"

/* What q answers now and would answer, in words: a bind() for reuseaddr, a connect() for spread. 0,
 * or -errno with err->text if it could not look. */
int hook_proof(struct live *live, const struct hook_order *order, const struct fix_question *q,
	       char words[static 1024], struct err *err);

/* Which of the addresses no socket of the namespace, called where, can have: 0 with words "" if all
 * can, or with a sentence that names the first and what it needs; -errno with err->text. */
int hook_proof_local(struct live *live, const struct hook_order *order, const char *where,
		     char words[static 400], struct err *err);

#endif
