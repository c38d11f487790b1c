/* SPDX-License-Identifier: MIT
 *
 * reuse.h - SO_REUSEADDR for the sockets of a living server
 *
 * A TIME_WAIT has the option that its connection had at the end (inet_twsk_alloc()), so setting it
 * now is in time for the next restart. The listener comes first: what it takes from then on
 * inherits the option (sk_clone_lock()). Connections that it took between our look and that are
 * found by looking again, until none is without it. No TIME_WAIT that is there already changes.
 *
 * As every change: look, journal, change, look again. Nothing is changed unless every socket that
 * lacks the option can be reached.
 */
#ifndef TCPWHY_CURE_REUSE_H
#define TCPWHY_CURE_REUSE_H

#include <jansson.h>

#include "cure/change.h"
#include "cure/journal.h"
#include "cure/reuse_prove.h"
#include "cure/reuse_view.h"

#define REUSE_PROOFS_MAX 4
#define REUSE_ROUNDS_MAX 16

struct reuse_report {
	enum change_end end;
	struct reuse_view view; /* the look before the change */
	struct reuse_proof proofs[REUSE_PROOFS_MAX];
	size_t proofs_n;
	bool own_netns;    /* it is in our own network namespace */
	size_t set;        /* of those that lacked it: have it, as the last look shows */
	size_t ended;      /* closed meanwhile */
	size_t left;       /* still without it, and cannot be given it */
	size_t queued;     /* of left: wait for accept() */
	int error;         /* of a refusal; of a dry run, the one that would come */
	bool unprivileged; /* the privilege for it, or a journal, is missing */
	char because[256]; /* why not all was done, or would be; "" otherwise */
	char journal[JOURNAL_PATH_MAX]; /* "" when nothing was written */
	/* Of the change; connections that came while it was made are changes of their own. */
	uint64_t ids[REUSE_ROUNDS_MAX];
	size_t ids_n;
	json_t *record; /* of a dry run: what would be written */
};

/* 0 with *report filled (free it with reuse_report_free()), or -errno with err->text if it was not
 * possible to look: -EPERM names the privilege that is missing. */
int reuse_apply(const struct reuse_ask *ask, const struct change_how *how,
		const struct tcpwhy_memory *memory, struct reuse_report *report, struct err *err);
void reuse_report_free(struct reuse_report *report);

#endif
