/* SPDX-License-Identifier: MIT
 *
 * releases.h - the rows of rules, side by side
 *
 * Which release has which feature, what of that was not read in its source, and what the running
 * kernel was found to do.
 */
#ifndef TCPWHY_REPORT_RELEASES_H
#define TCPWHY_REPORT_RELEASES_H

#include <stdbool.h>
#include <stdio.h>

#include "facts/probe.h"

struct releases {
	const char *kernel;               /* uname -r */
	const struct tcpwhy_row *nearest; /* the row it is matched to */
	bool exact;                       /* and was made from such a kernel */
	const struct tcpwhy_row *own;     /* with what the probes found */
	unsigned otherwise;               /* features not as in the nearest row */
	const struct probe *found;
};

/* explained: each feature with its sentence. */
void report_releases_screen(const struct releases *r, bool explained, FILE *out);
/* One object, indented, ended by a newline. False: no memory, or out failed. */
bool report_releases_json(const struct releases *r, FILE *out);

#endif
