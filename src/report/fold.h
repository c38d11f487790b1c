/* SPDX-License-Identifier: MIT
 *
 * fold.h - lines that fit a terminal
 *
 * A cursor knows its column; words that would pass FOLD_WIDTH go to the next line, under the column
 * where the text began. A word is never cut: an address or a command is worth more than a margin.
 */
#ifndef TCPWHY_REPORT_FOLD_H
#define TCPWHY_REPORT_FOLD_H

#include <stdbool.h>
#include <stdio.h>

#define FOLD_WIDTH 80

struct fold {
	FILE *out;
	int column; /* where the next character goes, from 0 */
	int indent; /* where a folded line begins */
};

/* Columns of a UTF-8 text whose characters are one column wide. */
int fold_columns(const char *s);
/* The text as it is, without folding. Bytes that would move a terminal are shown as '?'. */
void fold_plain(struct fold *f, const char *s);
/* Words, folded. */
void fold_words(struct fold *f, const char *s);
/* Spaces up to a column; at least one if the column is passed already. */
void fold_to(struct fold *f, int column);
void fold_newline(struct fold *f);

#endif
