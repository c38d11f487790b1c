/* SPDX-License-Identifier: MIT
 *
 * width.h - whether what is shown fits a screen
 */
#ifndef TCPWHY_TESTS_WIDTH_H
#define TCPWHY_TESTS_WIDTH_H

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "report/fold.h"

/* Characters count, not bytes. */
static inline void fits(const char *out)
{
	char *lines = strdup(out), *rest = lines;

	assert_non_null(lines);
	for (char *line; (line = strsep(&rest, "\n"));)
		if (fold_columns(line) > FOLD_WIDTH)
			fail_msg("%d columns: %s", fold_columns(line), line);
	free(lines);
}

#endif
