/* SPDX-License-Identifier: MIT
 *
 * hook_apply.h - a hook put on a cgroup: looked at, written down, attached, looked at again
 *
 * A kill at any instruction leaves nothing or what undo removes: a link without a name goes with
 * the process, and the names stand in the journal before they are made. Taking it back is
 * hook_kind's (hook_kind.c); nothing of a change that failed in its middle is left.
 */
#ifndef TCPWHY_CURE_HOOK_APPLY_H
#define TCPWHY_CURE_HOOK_APPLY_H

#include "cure/change.h"
#include "cure/hook_probe.h"
#include "cure/hook_record.h"
#include "cure/journal.h"

struct hook_request {
	struct hook_order order;
	struct cgroup2 cgroup;
	struct change_how how;
};

struct hook_report {
	enum change_end end;
	int error;         /* the errno of a refusal, or of the one that a dry run foresees */
	bool unprivileged; /* and it is for want of a privilege, which because names */
	char because[400]; /* "" done */
	bool looked;
	struct hook_seen
		seen[HOOK_SEEN_MAX]; /* if looked: what acted there before, in the kernel's order */
	size_t seen_n;
	struct hook_record record;     /* what is made, or would be; pins_n 0: not come to that */
	uint32_t ids[HOOK_POINTS_MAX]; /* the programs of its pins */
	enum hook_probed probed;
	int probe_error;
	uint64_t id; /* in the journal; 0: nothing was written */
	char path[JOURNAL_PATH_MAX];
};

/* 0 with *report, or -errno with err->text if it could not look: then nothing was changed. */
int hook_apply(const struct hook_request *request, struct hook_report *report, struct err *err);

#endif
