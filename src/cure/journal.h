/* SPDX-License-Identifier: MIT
 *
 * journal.h - what is about to be changed, written down before it is
 *
 * One file, one JSON object a line, appended and synced: /run/tcpwhy/journal, or
 * $XDG_RUNTIME_DIR/tcpwhy/journal for whoever may not write there. Nothing may be changed when the
 * line cannot be written. Folder and file must be the user's own and no symbolic links: /run/tcpwhy
 * is a name that others could take first.
 */
#ifndef TCPWHY_CURE_JOURNAL_H
#define TCPWHY_CURE_JOURNAL_H

#include "base/error.h"

#define JOURNAL_PATH_MAX 256

struct journal {
	int fd;
	char path[JOURNAL_PATH_MAX];
};

/* 0, or -errno with err->text naming the last place that was tried. */
int journal_open(struct journal *journal, struct err *err);
void journal_close(struct journal *journal);

/* Appends line (its newline included) in one write and waits until it is on the device. */
int journal_append(struct journal *journal, const char *line, struct err *err);

#endif
