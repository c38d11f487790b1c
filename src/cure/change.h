/* SPDX-License-Identifier: MIT
 *
 * change.h - how a change is asked for and how it ends, whatever it changes
 *
 * Every change goes the same way: look, write the journal, change, look again. What the second look
 * shows is the result; what the kernel acknowledged is not.
 */
#ifndef TCPWHY_CURE_CHANGE_H
#define TCPWHY_CURE_CHANGE_H

#include <stdbool.h>

struct change_how {
	bool dry_run;
	const char *journal; /* NULL: the usual one */
};

enum change_end {
	CHANGE_NOTHING, /* it was so already */
	CHANGE_DRY_RUN, /* nothing was changed because that was asked for */
	CHANGE_DONE,    /* and seen */
	CHANGE_LEFT,    /* only in part */
	CHANGE_REFUSED, /* nothing was changed */
};

/* "done", "left" or "refused": the journal's "result". */
const char *change_word(enum change_end end);

#endif
