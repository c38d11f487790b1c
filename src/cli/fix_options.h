/* SPDX-License-Identifier: MIT
 *
 * fix_options.h - what the verbs of `tcpwhy fix` share: options, the namespace, and how they end
 */
#ifndef TCPWHY_CLI_FIX_OPTIONS_H
#define TCPWHY_CLI_FIX_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "cure/change.h"
#include "live/live.h"
#include "report/fixed.h"

/* Which of the shared options a verb takes (bits). */
enum fix_takes {
	FIX_TAKES_TARGET = 1u << 0, /* --netns --pid --container --pod */
	FIX_TAKES_CHANGE = 1u << 1, /* --dry-run */
	FIX_TAKES_JOURNAL = 1u << 2,
	FIX_TAKES_JSON = 1u << 3,
	FIX_TAKES_FORCE = 1u << 4,
};

struct fix_options {
	struct live_target target; /* as typed; fix_open() resolves the two below */
	const char *container, *pod;
	bool dry_run, json, force;
	const char *journal; /* NULL: the usual one */
};

/* An option of one verb: a flag to be set, or a place for its value. */
struct fix_own_option {
	const char *name;
	bool *flag;
	const char **value;
};

struct fix_verb {
	const char *word;  /* "sysctl" */
	const char *usage; /* the help, up to where the shared options follow */
	unsigned takes;    /* of enum fix_takes */
	const struct fix_own_option *own;
	size_t own_n;
};

/* Understands the line; the words that are no options stand in argv from optind on. False: *status
 * is what to end with (the help was shown, or what is wrong was said). */
bool fix_options_parse(const struct fix_verb *verb, int argc, char **argv, struct fix_options *o,
		       int *status);
/* One line on stderr: what is wrong, with which word (NULL none). STATUS_USAGE. */
int fix_usage(const struct fix_verb *verb, const char *wrong, const char *what);
/* The namespace as people name it: "this namespace", "namespace blue", "pod web". */
void fix_where(const struct fix_options *o, char where[static 128]);
/* Opens the namespace that was named; o->target is then what names it. 0, or -errno with err->text,
 * which names the capability where one is missing. */
int fix_open(struct fix_options *o, unsigned avoid, struct live **live, struct err *err);
/* It could not look, or lacks the privilege. STATUS_UNDECIDED. */
int fix_failed(const struct fix_options *o, const char *text);
/* The command that takes a change back, to be copied into a shell. */
#define FIX_COMMAND_MAX 1200
char *fix_undo_command(const struct fix_options *o, uint64_t id, char out[static FIX_COMMAND_MAX]);
/* The answer's word for an end. */
enum fixed_end fix_end_of(enum change_end end);
/* Shows f, frees f->more, and gives the status: 0 done or nothing to do, 1 refused or left in part,
 * 3 without the privilege or a journal. A dry run that would be refused says so in its status too;
 * whether there would be a journal is looked at here. */
int fix_end(struct fixed *f, const struct fix_options *o);

/* The verbs, each in a file of its own. */
int fix_destroy_time_wait(int argc, char **argv);
int fix_hook(int argc, char **argv);
int fix_reuseaddr(int argc, char **argv);
int fix_sysctl(int argc, char **argv);
int fix_list(int argc, char **argv);
int fix_undo(int argc, char **argv);

#endif
