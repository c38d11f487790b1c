/* SPDX-License-Identifier: MIT
 *
 * journal_fold.h - the text of a journal, folded into changes
 *
 * It reads no file and trusts nothing: lines may be torn, foreign, or of another version.
 */
#ifndef TCPWHY_CURE_JOURNAL_FOLD_H
#define TCPWHY_CURE_JOURNAL_FOLD_H

#include "cure/journal.h"

/* Numbers above this are no ids of ours. */
#define JOURNAL_ID_MAX (UINT64_C(1) << 48)

/* 0, or -ENOMEM. last is the highest id met, 0 none. */
int journal_fold(const char *text, size_t size, struct journal_entries *entries, uint64_t *last);

#endif
