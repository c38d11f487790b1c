/* SPDX-License-Identifier: MIT */
#include "cli/fix_options.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/usage.h"
#include "cure/journal.h"
#include "live/container.h"

/* ------------------------------------------------------------------------------------------ table
 */

struct shared {
	unsigned takes;
	const char *name, *value; /* value: its name in the help; NULL takes none */
	const char *line;
	/* NULL, or what is wrong with the value. */
	const char *(*take)(struct fix_options *o, const char *value);
};

static const char *take_netns(struct fix_options *o, const char *value)
{
	o->target.netns = value;
	return *value ? NULL : "not a name or path of a network namespace";
}

static const char *take_pid(struct fix_options *o, const char *value)
{
	char *end;
	long n = strtol(value, &end, 10);

	if (*value < '0' || *value > '9' || *end || n < 1 || n > INT_MAX)
		return "not a process id";
	o->target.pid = (int)n;
	return NULL;
}

static const char *take_container(struct fix_options *o, const char *value)
{
	o->container = value;
	return *value ? NULL : "not the id of a container";
}

static const char *take_pod(struct fix_options *o, const char *value)
{
	o->pod = value;
	return *value ? NULL : "not the name of a pod";
}

static const char *take_dry_run(struct fix_options *o, const char *value)
{
	(void)value;
	o->dry_run = true;
	return NULL;
}

static const char *take_force(struct fix_options *o, const char *value)
{
	(void)value;
	o->force = true;
	return NULL;
}

static const char *take_journal(struct fix_options *o, const char *value)
{
	o->journal = value;
	return *value ? NULL : "not the path of a file";
}

static const char *take_json(struct fix_options *o, const char *value)
{
	(void)value;
	o->json = true;
	return NULL;
}

static const struct shared table[] = {
	{FIX_TAKES_TARGET, "netns", "NAME|PATH", "in that network namespace", take_netns},
	{FIX_TAKES_TARGET, "pid", "N", "in the network namespace of that process", take_pid},
	{FIX_TAKES_TARGET, "container", "ID", "in that of the container whose id begins so",
	 take_container},
	{FIX_TAKES_TARGET, "pod", "[NS/]NAME", "in that of the pod, on this node", take_pod},
	{FIX_TAKES_CHANGE, "dry-run", NULL, "says what would be done, and changes nothing",
	 take_dry_run},
	{FIX_TAKES_FORCE, "force", NULL, "also where somebody else changed it since", take_force},
	{FIX_TAKES_JOURNAL, "journal", "FILE", "keeps the journal in that file", take_journal},
	{FIX_TAKES_JSON, "json", NULL, "the same as one JSON object", take_json},
};

#define SHARED  (sizeof(table) / sizeof(table[0]))
#define OWN_MAX 16

static void print_help(const struct fix_verb *verb)
{
	fputs(verb->usage, stdout);
	for (size_t i = 0; i < SHARED; i++) {
		if (!(table[i].takes & verb->takes))
			continue;
		fputs("  ", stdout);
		usage_option(stdout, table[i].name, table[i].value, 18, table[i].line);
	}
	fputs("\nExit status: 0 done, or there was nothing to do; 1 refused, or some is left;\n"
	      "2 usage; 3 could not look, or the privilege for it or the journal is missing.\n",
	      stdout);
}

/* ---------------------------------------------------------------------------------------- parsing
 */

int fix_usage(const struct fix_verb *verb, const char *wrong, const char *what)
{
	fprintf(stderr, "tcpwhy fix %s: %s%s%s\n", verb->word, wrong, what ? ": " : "",
		what ? what : "");
	fprintf(stderr, "Try: tcpwhy fix %s --help\n", verb->word);
	return STATUS_USAGE;
}

/* Codes from 256 on: never a character. The verb's own options come after the shared ones. */
static void long_options(const struct fix_verb *verb, struct option *longs)
{
	for (size_t i = 0; i < SHARED; i++)
		if (table[i].takes & verb->takes)
			*longs++ = (struct option){table[i].name,
						   table[i].value ? required_argument : no_argument,
						   NULL, 256 + (int)i};
	for (size_t i = 0; i < verb->own_n && i < OWN_MAX; i++)
		*longs++ = (struct option){verb->own[i].name,
					   verb->own[i].value ? required_argument : no_argument,
					   NULL, 256 + (int)(SHARED + i)};
	*longs++ = (struct option){"help", no_argument, NULL, 'h'};
}

static const char *take(const struct fix_verb *verb, size_t i, struct fix_options *o)
{
	if (i < SHARED)
		return table[i].take(o, optarg);
	if (verb->own[i - SHARED].flag)
		*verb->own[i - SHARED].flag = true;
	else
		*verb->own[i - SHARED].value = optarg;
	return NULL;
}

bool fix_options_parse(const struct fix_verb *verb, int argc, char **argv, struct fix_options *o,
		       int *status)
{
	struct option longs[SHARED + OWN_MAX + 2] = {0};
	const char *wrong = NULL, *what = NULL;
	int code;

	*o = (struct fix_options){0};
	long_options(verb, longs);
	optind = 0;
	opterr = 0;
	while (!wrong && (code = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		if (code == 'h') {
			print_help(verb);
			*status = STATUS_OK;
			return false;
		}
		what = argv[optind - 1];
		if (code >= 256)
			wrong = take(verb, (size_t)(code - 256), o);
		else
			wrong = code == ':' ? "this option needs a value" : "no such option";
	}
	if (!wrong) {
		what = NULL;
		if ((o->target.netns != NULL) + (o->target.pid != 0) + (o->container != NULL) +
			    (o->pod != NULL) >
		    1)
			wrong = "--netns, --pid, --container and --pod exclude each other";
	}
	if (wrong)
		*status = fix_usage(verb, wrong, what);
	return !wrong;
}

/* --------------------------------------------------------------------------------------- the end
 */

/* A name need not be UTF-8, and may be cut within a character: it goes into JSON. */
static void as_utf8(char *text)
{
	json_t *string = json_string(text);

	for (char *c = text; !string && *c; c++)
		*c = (unsigned char)*c < 0x80 ? *c : '?';
	json_decref(string);
}

void fix_where(const struct fix_options *o, char where[static 128])
{
	if (o->container)
		snprintf(where, 128, "container %.100s", o->container);
	else if (o->pod)
		snprintf(where, 128, "pod %.100s", o->pod);
	else if (o->target.netns)
		snprintf(where, 128, "namespace %.100s", o->target.netns);
	else if (o->target.pid)
		snprintf(where, 128, "the namespace of process %d", o->target.pid);
	else
		snprintf(where, 128, "this namespace");
	as_utf8(where);
}

int fix_open(struct fix_options *o, unsigned avoid, struct live **live, struct err *err)
{
	int rc = 0;

	if (o->container)
		rc = container_pid(o->container, &o->target.pid, err);
	else if (o->pod)
		rc = pod_pid(o->pod, &o->target.pid, err);
	return rc ? rc : live_open(&o->target, avoid, live, err);
}

int fix_failed(const struct fix_options *o, const char *text)
{
	return command_failed("fix", o->json, text);
}

char *fix_undo_command(const struct fix_options *o, uint64_t id, char out[static FIX_COMMAND_MAX])
{
	struct text t = text_in(out, FIX_COMMAND_MAX);

	text_add(&t, "tcpwhy fix undo ");
	text_number(&t, id);
	if (o->journal) {
		text_add(&t, " --journal ");
		text_word(&t, o->journal);
	}
	return out;
}

enum fixed_end fix_end_of(enum change_end end)
{
	switch (end) {
	case CHANGE_NOTHING:
		return FIXED_NOTHING;
	case CHANGE_DRY_RUN:
		return FIXED_DRY_RUN;
	case CHANGE_DONE:
		return FIXED_DONE;
	case CHANGE_LEFT:
		return FIXED_LEFT;
	case CHANGE_REFUSED:
		break;
	}
	return FIXED_REFUSED;
}

static int status_of(const struct fixed *f)
{
	if (f->unprivileged)
		return STATUS_UNDECIDED;
	switch (f->end) {
	case FIXED_NOTHING:
	case FIXED_DONE:
	case FIXED_UNDONE:
		return STATUS_OK;
	case FIXED_DRY_RUN:
		return f->error ? STATUS_REFUSED : STATUS_OK;
	case FIXED_LEFT:
	case FIXED_REFUSED:
		break;
	}
	return STATUS_REFUSED;
}

/* Without a journal nothing would be changed, which a dry run says too. */
static void foresee_journal(struct fixed *f, const struct fix_options *o)
{
	struct err err;
	int rc = journal_check(o->journal, &err);

	if (!rc)
		return;
	f->error = -rc;
	f->unprivileged = true;
	fixed_add(f, "why", "%s", err.text);
}

int fix_end(struct fixed *f, const struct fix_options *o)
{
	bool ok = true;

	if (f->end == FIXED_DRY_RUN && !f->error)
		foresee_journal(f, o);

	if (o->json)
		ok = fixed_json(f, stdout);
	else
		fixed_text(f, stdout);
	json_decref(f->more);
	f->more = NULL;
	return command_written("fix", ok, status_of(f));
}
