/* SPDX-License-Identifier: MIT
 *
 * sysctl.h - one sysctl of one network namespace, changed and changed back
 *
 * /proc/sys/net shows each thread the values of the namespace it is in, so reading and writing
 * happen in a thread that went there (netns_run()). Which sysctls there are, and what they cost, is
 * said by sysctl_key.h.
 */
#ifndef TCPWHY_CURE_SYSCTL_H
#define TCPWHY_CURE_SYSCTL_H

#include "cure/change.h"
#include "cure/journal.h"
#include "cure/kind.h"
#include "cure/sysctl_key.h"
#include "live/netns.h"

struct sysctl_state {
	char *value; /* as the kernel prints it, without its newline; free() */
	int closed;  /* 0: it may be written; else the errno of opening it for that */
};

/* 0, or -errno with err->text: -ENOENT the kernel shows no such sysctl there. */
int sysctl_look(const struct netns *ns, const struct sysctl_key *key, struct sysctl_state *state,
		struct err *err);

struct sysctl_change {
	const struct sysctl_key *key;
	const char *value;   /* sysctl_key_value() */
	const char *where;   /* the namespace as it was named, for people */
	const char *journal; /* NULL: the usual one */
};

struct sysctl_report {
	enum change_end end;
	int error;            /* errno of a refusal, 0 none */
	bool unprivileged;    /* the privilege for it, or a journal, is missing */
	char because[256];    /* why not, or what is wrong although it was done; "" otherwise */
	char *before, *after; /* as the kernel printed them; free(). after: NULL if nothing was
				 tried */
	uint64_t id;
	char journal[JOURNAL_PATH_MAX]; /* "" when nothing was written */
};

/* Looks (under the journal's lock), writes the journal, changes, looks again. 0 with *report
 * filled, or -errno with err->text if it was not possible to look. */
int sysctl_set(const struct netns *ns, const struct sysctl_change *change,
	       struct sysctl_report *report, struct err *err);
void sysctl_report_free(struct sysctl_report *report);

/* Writes value (any text that the kernel printed once) without a journal: for the kind, whose
 * record stands there already. 0 with *error the errno that the kernel answered, 0 none, or -errno
 * with err->text if one cannot go there. */
int sysctl_restore(const struct netns *ns, const struct sysctl_key *key, const char *value,
		   int *error, struct err *err);

/* The value that the other one of a pair (sysctl_pair.h) has there, if it forbids value for key;
 * free(). NULL: it allows it, could not be read, or there is no other one. */
char *sysctl_forbidding(const struct netns *ns, const struct sysctl_key *key, const char *value);

/* What an errno of opening or writing means, and which capability would help. */
void sysctl_refusal(int error, char *out, size_t size);
/* The same of value, which was or would be written for key there: EINVAL as far as it can be told.
 */
void sysctl_refusal_there(const struct netns *ns, const struct sysctl_key *key, const char *value,
			  int error, char *out, size_t size);

#endif
