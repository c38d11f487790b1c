/* SPDX-License-Identifier: MIT
 *
 * journal.h - what is about to be changed, written down before it is, and what came of it
 *
 * One file, one JSON object a line, appended and synced: /run/tcpwhy/journal, or
 * $XDG_RUNTIME_DIR/tcpwhy/journal for whoever may not write there, or one that is named. A change
 * has an id and two lines: "before" (what, where, the old value and the new one), without which
 * nothing may be changed, and "after" (what came of it); undoing it adds another "after". A change
 * without its "after" was cut short: whether it was made is asked of the system itself (kind.h).
 *
 * Folder and file must be the user's own, no symbolic links, and nobody else's to write:
 * /run/tcpwhy is a name that others could take first. A file whose first line is no record is not a
 * journal, and one that a newer release has written to is that one's: neither is added to. Who
 * changes holds the file's lock from the look before to the line after, so the changes of one
 * journal never interleave; the lock of who was killed is gone with the process.
 *
 * Every line is written at once, but a kill can cut it. The next who writes ends the torn line; who
 * reads passes over it, and over lines that are not of this form, and counts both.
 */
#ifndef TCPWHY_CURE_JOURNAL_H
#define TCPWHY_CURE_JOURNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define JOURNAL_PATH_MAX 256
#define JOURNAL_SCHEMA   2
/* A journal as long as this is full: nothing is changed until it is moved away. */
#define JOURNAL_SIZE_MAX (64u << 20)

struct journal {
	int fd;        /* -1: there is none (only of journal_open_read()) */
	bool torn;     /* the last line has no end */
	uint64_t last; /* the highest id in it, 0 none; of journal_open() */
	char path[JOURNAL_PATH_MAX];
};

/* For a change: makes the file if it is not there, and takes its lock, for which it waits ten
 * seconds at most. path NULL: the usual place. 0, or -errno with err->text naming the last place
 * that was tried, and what to do; -EBUSY: another holds the lock (named if it is known). */
int journal_open(struct journal *journal, const char *path, struct err *err);
/* Whether that would work, as far as it can be seen: makes nothing and takes no lock. */
int journal_check(const char *path, struct err *err);
/* For reading: no lock, and nothing is made. No journal there is no error: it reads as empty. */
int journal_open_read(struct journal *journal, const char *path, struct err *err);
/* Gives the lock back too. */
void journal_close(struct journal *journal);

/* Text that came from outside (a name, a path) need not be UTF-8, which JSON is: what is not
 * becomes
 * '?'. */
json_t *journal_string(const char *text);
/* Writes what is about to be done, and waits until it is on the device. change is taken, also on
 * failure: an object with at least "action", to which schema, id, step, when, boot, uid and pid are
 * added. 0 with *id (from 1 on; never given twice), or -errno with err->text: then nothing may be
 * changed. */
int journal_before(struct journal *journal, json_t *change, uint64_t *id, struct err *err);
/* Writes what came of change id. outcome is taken: an object with at least "result": "done",
 * "left", "refused", "undone" or "given up". */
int journal_after(struct journal *journal, uint64_t id, json_t *outcome, struct err *err);

/* A change, folded: its line before, and the last of those after. */
struct journal_entry {
	uint64_t id;     /* 0: of schema 1, which had none */
	json_t *change;  /* the line before */
	json_t *outcome; /* the last line after; NULL: there is none */
};

struct journal_entries {
	struct journal_entry *all; /* in the order of their lines before */
	size_t n;
	size_t skipped; /* lines that are torn, or not of this form */
	size_t newer;   /* lines of a newer release; what they say is not understood */
	bool foreign;   /* the first line is no record: it is no journal */
};

/* All changes; also while others write. 0, or -errno with err->text. Free it with
 * journal_entries_free(). */
int journal_read(const struct journal *journal, struct journal_entries *entries, struct err *err);
void journal_entries_free(struct journal_entries *entries);

/* "begun", "done", "left", "refused", "undone" or "given up". */
const char *journal_result(const struct journal_entry *entry);
/* A text member of the change, or "". */
const char *journal_text(const json_t *change, const char *name);
/* The id of the running boot, or "" if it cannot be read. */
void journal_boot(char boot[static 40]);

#endif
