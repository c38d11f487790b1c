/* SPDX-License-Identifier: MIT
 *
 * kind.h - what a change that stands in the journal can be asked afterwards
 *
 * Each kind of change is one struct in the file that makes it: how it stands now, and how to take
 * it back. Both are told by the record alone, so a change can be undone after a crash in its
 * middle, by another process, or by a later release. What the record names is identified safely (a
 * namespace by inode and cookie, a process by pid and start time, a socket by cookie, a cgroup by
 * path and inode, all of the same boot): nothing else is looked at or touched.
 */
#ifndef TCPWHY_CURE_KIND_H
#define TCPWHY_CURE_KIND_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

enum kind_state {
	KIND_IN_FORCE,
	KIND_PARTLY, /* some of it */
	KIND_NAMES, /* nothing of it acts any more; names or a mount are left, which undo removes */
	KIND_BACK,  /* as it was before */
	KIND_GONE,  /* its namespace, process or cgroup is, or the kernel was booted anew */
	KIND_OTHER, /* somebody changed it since */
	KIND_FINAL, /* nothing that could be undone */
	KIND_UNSEEN, /* it cannot be looked at: privilege */
};

struct kind_look {
	enum kind_state state;
	char words[256]; /* how it stands, for people */
};

struct kind {
	const char *action; /* "sysctl": the journal's "action" */
	/* Looks, changes nothing. change is the journal's line before. */
	void (*look)(const json_t *change, struct kind_look *out);
	/* Takes it back, and looks again. What is back already stays so (0, KIND_BACK); what is
	 * gone is left alone (0, KIND_GONE). 0 with *after, or -errno with err->text and nothing
	 * changed: -EPERM without the privilege, which is named; -EBUSY for KIND_OTHER without
	 * force; -EINVAL for KIND_FINAL. */
	int (*undo)(const json_t *change, bool force, struct kind_look *after, struct err *err);
	/* One line each, for fix list: what ("net.ipv4.tcp_tw_reuse 2 -> 1") and where. */
	void (*describe)(const json_t *change, char what[static 128], char where[static 64]);
	/* Whether b changes the same thing as a, so that a cannot be undone under it. Both are of
	 * this kind. */
	bool (*same)(const json_t *a, const json_t *b);
};

/* NULL: no such kind. */
const struct kind *kind_find(const char *action);
/* "in force", "partly in force", "names are left", "as before", "gone", "changed since", "final",
 * "not seen". */
const char *kind_state_word(enum kind_state state);
/* Whether the change was made under another boot: all that it named is gone. */
bool kind_other_boot(const json_t *change);

extern const struct kind destroy_kind, hook_kind, reuse_kind, sysctl_kind;

#endif
