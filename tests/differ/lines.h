/* SPDX-License-Identifier: MIT
 *
 * lines.h - a script's text as lines of words; '#' starts a comment
 *
 * Not what the words mean: that is each language's own.
 */
#ifndef DIFFER_LINES_H
#define DIFFER_LINES_H

#include <stddef.h>

#include "base/error.h"

enum { LINE_WORDS = 24 };

/* Of one line; what they point to lives as long as the call. */
struct words {
	size_t n;
	const char *w[LINE_WORDS];
};

/* Gives every line that has words to take, until one is refused. 0, or what take answered, with
 * err: the line's number, and that it is not a <what> of this language. */
int lines_parse(const char *text, const char *what, int (*take)(const struct words *w, void *ctx),
		void *ctx, struct err *err);

/* A file's text, up to 128 KiB of it; the caller frees it. NULL with err. */
char *lines_read(const char *path, struct err *err);

#endif
