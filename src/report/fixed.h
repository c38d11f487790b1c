/* SPDX-License-Identifier: MIT
 *
 * fixed.h - what came of a change, shown: the one form that every verb of `tcpwhy fix` answers in
 *
 * A first line with the end and the answer; then parts, each a label and its words. Filled by the
 * verb; nothing here decides or looks.
 */
#ifndef TCPWHY_REPORT_FIXED_H
#define TCPWHY_REPORT_FIXED_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define FIXED_PARTS_MAX 16

enum fixed_end {
	FIXED_NOTHING, /* it was so already */
	FIXED_DRY_RUN, /* nothing was changed because that was asked for */
	FIXED_DONE,    /* and looked at again */
	FIXED_LEFT,    /* only in part */
	FIXED_REFUSED, /* nothing was changed: see why */
	FIXED_UNDONE,
};

/* Labels: before, after, proof, given up, what, reach, lasts, now, found, spared, unknown, why, undo, journal, hint.
 */
struct fixed_part {
	const char *label;
	char words[1024];
	bool table; /* lines, shown as they are, for people only; else words, folded */
};

struct fixed {
	const char *verb; /* "sysctl" */
	enum fixed_end end;
	int error; /* the errno of a refusal, or of the one that a dry run foresees; 0 none */
	bool unprivileged; /* the privilege for it, or a journal, is missing: a part "why" names it */
	char answer[512];
	struct fixed_part parts[FIXED_PARTS_MAX];
	size_t n;
	uint64_t id;       /* in the journal; 0: nothing was written */
	char journal[256]; /* its path; "" nothing was written */
	json_t *more;      /* an object whose members JSON shows too; NULL none */
};

/* Adds a part; a label without words is left out, and so is what has no room. */
__attribute__((format(printf, 3, 4))) void fixed_add(struct fixed *f, const char *label,
						     const char *format, ...);
void fixed_add_table(struct fixed *f, const char *label, const char *lines);

void fixed_text(const struct fixed *f, FILE *out);
/* One object: schema, fix, answer, because, errno, id, journal, the parts by their labels (_ for a
 * space; "why" is refusal, "given up" is gives_up, null if there are none), and the members of
 * more, which win over parts of their name. False: no memory, or out failed. */
bool fixed_json(const struct fixed *f, FILE *out);

#endif
