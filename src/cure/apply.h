/* SPDX-License-Identifier: MIT
 *
 * apply.h - TIME_WAIT destroyed, as every change is made
 *
 * Every change goes the same way: look, plan, write the journal, change, look again. What the
 * second look shows is the result; what the kernel acknowledged is not. The journal gets a second
 * line with that result, so that what was refused does not stand there as done.
 */
#ifndef TCPWHY_CURE_APPLY_H
#define TCPWHY_CURE_APPLY_H

#include "base/error.h"
#include "cure/change.h"
#include "cure/journal.h"
#include "cure/plan.h"
#include "live/live.h"

#define APPLY_SHOWN_MAX 100

struct apply_socket {
	struct snapshot_owner seen;
	uint64_t left_ns;
};

struct apply_report {
	enum change_end end;
	struct plan plan; /* of the first look; its arrays are gone */
	size_t destroyed; /* of those planned, gone in the second look */
	size_t still;     /* of those planned, still there */
	size_t hidden;    /* not found at first: gone, or another of the same ends was met */
	size_t fresh;     /* came between the looks */
	int error; /* the errno of the first refusal, 0 none; of a dry run: what would come */
	bool unprivileged;              /* the privilege for it, or a journal, is missing */
	char because[256];              /* why not all of it was done, or would be; "" otherwise */
	char journal[JOURNAL_PATH_MAX]; /* "" when nothing was written */
	uint64_t id;                    /* in the journal, 0 none */
	uint64_t netns;
	bool truncated;                             /* the first look did not show all */
	struct apply_socket shown[APPLY_SHOWN_MAX]; /* the first of those planned */
	size_t shown_n;
};

/* Destroys the TIME_WAIT and orphan FIN_WAIT2 mini-sockets of place in the namespace of live, by
 * SOCK_DESTROY with the cookie of the listing: a socket that took the 4-tuple meanwhile has another
 * cookie and is not met (sock_diag_check_cookie(); a mini-socket's cookie is its own,
 * inet_twsk_alloc()). 0 with *report filled, or -errno with err->text if it was not possible to
 * look. Without the capability for it nothing is written or tried. */
int apply_destroy_time_wait(struct live *live, const struct plan_place *place,
			    const struct tcpwhy_memory *memory, const struct change_how *how,
			    struct apply_report *report, struct err *err);

#endif
