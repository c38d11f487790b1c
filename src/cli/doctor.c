/* SPDX-License-Identifier: MIT
 *
 * tcpwhy, tcpwhy doctor: how the TCP ports of a namespace stand, and what is wrong there
 */
#include "cli/doctor.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/connect.h"
#include "explain/explain.h"
#include "live/heap.h"
#include "live/namespaces.h"
#include "report/overview.h"

#define CONFIRM_MAX 3 /* findings that are asked again: each costs a look at its connections */

struct doctor_options {
	const char *netns;
	int pid;
	bool all, json, help, version;
};

static const char usage_text[] =
	"usage: tcpwhy [doctor] [OPTIONS]\n\n"
	"How the TCP ports of a network namespace stand: what fails now (BAD), what will (WARN),\n"
	"sockets by state, the busiest destinations, and how many ports are left.\n\n"
	"  --netns NAME|PATH look at that network namespace\n"
	"  --pid N           look at the network namespace of that process\n"
	"  --all             look at every network namespace of this host, once each\n"
	"  --json            answer as JSON\n"
	"  --help            show this\n"
	"  --version         show the version\n"
	"\nexit status: 0 nothing fails (there may be warnings), 1 something does, 2 usage,\n"
	"3 could not look, or with --all not everywhere, and nothing fails where it could\n";

static int fail(int status, const char *text)
{
	fprintf(stderr, "tcpwhy doctor: %s\n", text);
	return status;
}

/* ----------------------------------------------------------------------------------- the options
 */

static bool read_pid(const char *text, int *pid)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*text < '1' || *text > '9' || *end || n > INT_MAX)
		return false;
	*pid = (int)n;
	return true;
}

static const char *take_option(struct doctor_options *o, int code)
{
	switch (code) {
	case 'n':
		o->netns = optarg;
		return *optarg ? NULL : "--netns: '' is not a name or path of a network namespace";
	case 'p':
		return read_pid(optarg, &o->pid) ? NULL : "--pid needs the id of a process";
	case 'a':
		o->all = true;
		return NULL;
	case 'j':
		o->json = true;
		return NULL;
	case 'h':
		o->help = true;
		return NULL;
	case 'V':
		o->version = true;
		return NULL;
	case ':':
		return "that option needs a value";
	}
	return "there is no such option";
}

/* NULL, or what is wrong; *word is the argument that is. */
static const char *parse(int argc, char **argv, struct doctor_options *o, const char **word)
{
	static const struct option longs[] = {{"netns", required_argument, NULL, 'n'},
					      {"pid", required_argument, NULL, 'p'},
					      {"all", no_argument, NULL, 'a'},
					      {"json", no_argument, NULL, 'j'},
					      {"help", no_argument, NULL, 'h'},
					      {"version", no_argument, NULL, 'V'},
					      {0}};
	const char *wrong = NULL;
	int code;

	optind = 0;
	opterr = 0;
	*word = "";
	while (!wrong && (code = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		wrong = take_option(o, code);
		*word = argv[optind - 1];
	}
	if (wrong || o->help || o->version)
		return wrong;
	if (optind < argc) {
		*word = argv[optind];
		return "doctor takes no argument";
	}
	*word = "";
	if (o->netns && o->pid)
		return "--netns and --pid both name a namespace; give one";
	return o->all && (o->netns || o->pid) ? "--all looks everywhere; give no namespace" : NULL;
}

/* -------------------------------------------------------------------------------- one namespace */

/* Asks connect() itself about a destination that has no port left: the count may be of a moment
 * that never was, and the cures are proven there. */
static void confirm(struct live *live, const char *netns, int pid, struct doctor_look *look,
		    struct finding *f)
{
	const struct overview_destination *d = &look->seen.destinations[f->destination];
	struct question_options q = {.addr = d->peer,
				     .family = (enum tcpwhy_family)d->family,
				     .port = d->peer_port,
				     .from_given = true,
				     .from = d->local,
				     .netns = netns,
				     .pid = pid};
	struct result *r = malloc(sizeof(*r));
	struct err err;

	if (r && !connect_ask(live, &q, r, &err)) {
		explain_confirm(&look->found, f, r);
		result_free(r, &heap_memory);
	}
	free(r);
}

/* From the last to the first: a finding that is only a warning after all moves behind these. */
static void confirm_bad(struct live *live, const char *netns, int pid, struct doctor_look *look)
{
	size_t bad = look->found.bad < CONFIRM_MAX ? look->found.bad : CONFIRM_MAX;

	for (size_t i = bad; i-- > 0;)
		if (look->found.findings[i].destination >= 0 &&
		    !look->seen.destinations[look->found.findings[i].destination].device)
			confirm(live, netns, pid, look, &look->found.findings[i]);
}

static void name_listeners(struct live *live, struct overview *seen)
{
	struct result_holder holders[OVERVIEW_LISTENERS];

	for (size_t i = 0; i < seen->listeners_n; i++)
		holders[i] = seen->listeners[i].who;
	if (seen->listeners_n)
		live_owners(live, holders, seen->listeners_n);
	for (size_t i = 0; i < seen->listeners_n; i++)
		seen->listeners[i].who = holders[i];
}

int doctor_ask(struct live *live, const char *netns, int pid, struct doctor_look *look,
	       struct err *err)
{
	int failed = live_overview(live, &look->seen, err);

	if (failed)
		return failed;
	name_listeners(live, &look->seen);
	failed = explain_overview(&look->seen, live_row(live), netns, pid, &heap_memory,
				  &look->found);
	if (failed)
		snprintf(err->text, sizeof(err->text), "the answer: %s", strerror(-failed));
	else
		confirm_bad(live, netns, pid, look);
	return failed;
}

static int show_one(const struct doctor_look *look, const struct doctor_options *o)
{
	int status = look->found.bad ? STATUS_REFUSED : STATUS_OK;
	char where[OVERVIEW_NAME_MAX + 16] = "this namespace";

	if (o->netns)
		snprintf(where, sizeof(where), "namespace %s", o->netns);
	else if (o->pid)
		snprintf(where, sizeof(where), "namespace of process %d", o->pid);
	if (o->json)
		return command_written(
			"doctor",
			report_one_json(report_overview_json(&look->seen, &look->found), stdout),
			status);
	report_overview(&look->seen, &look->found, where, stdout);
	return command_written("doctor", true, status);
}

static int doctor_one(const struct doctor_options *o, struct doctor_look *look)
{
	struct live_target target = {.netns = o->netns, .pid = o->pid};
	struct err err = {""};
	struct live *live;
	int failed;

	if (live_open(&target, 0, &live, &err))
		return command_failed("doctor", o->json, err.text);
	failed = doctor_ask(live, o->netns, o->pid, look, &err);
	live_close(live);
	return failed ? command_failed("doctor", o->json, err.text) : show_one(look, o);
}

/* ---------------------------------------------------------------------------------- all of them */

struct round {
	const struct doctor_options *o;
	struct doctor_look *look;
	struct report_all all;
	json_t *list;
	bool no_memory;
	int status;
};

static void show_in_round(struct round *r, const struct namespace_place *place)
{
	struct doctor_look *look = r->look;
	char where[OVERVIEW_NAME_MAX + 16] = "this namespace";

	snprintf(look->seen.name, sizeof(look->seen.name), "%s", place->name);
	if (look->found.bad)
		r->status = STATUS_REFUSED;
	if (r->o->json) {
		json_t *one = report_overview_json(&look->seen, &look->found);

		r->no_memory |= json_array_append_new(r->list, one) != 0;
		return;
	}
	if (place->name[0])
		snprintf(where, sizeof(where), "namespace %s", place->name);
	report_overview(&look->seen, &look->found, where, stdout);
	putchar('\n');
}

/* One that is gone by now, or may not be entered, is counted and passed over. Nothing is wrong in
 * one that is gone. */
static void pass_over(struct round *r, int failed)
{
	r->all.failed++;
	if (failed != -ENOENT && failed != -ESRCH && !r->status)
		r->status = STATUS_UNDECIDED;
}

static void visit(struct round *r, const struct namespace_place *place)
{
	struct live_target target = {.netns = place->path};
	struct err err = {""};
	struct live *live;
	int failed = live_open(&target, 0, &live, &err);

	if (failed) {
		pass_over(r, failed);
		return;
	}
	if (!live_has_sockets(live)) {
		r->all.empty++;
		live_close(live);
		return;
	}
	failed = doctor_ask(live, place->name[0] ? place->path : NULL, 0, r->look, &err);
	/* Another one has its place by now. */
	if (!failed && r->look->seen.netns != place->inode)
		failed = -ENOENT;
	if (failed)
		pass_over(r, failed);
	else
		show_in_round(r, place);
	live_close(live);
}

static int doctor_all(const struct doctor_options *o, struct doctor_look *look)
{
	struct round r = {.o = o, .look = look, .list = json_array()};
	struct namespaces list;

	if (namespaces_find(&list)) {
		json_decref(r.list);
		return fail(STATUS_UNDECIDED, "no memory");
	}
	for (size_t i = 0; i < list.n; i++)
		visit(&r, &list.all[i]);
	r.all.namespaces = list.n;
	r.all.unseen = list.unseen || list.full;
	namespaces_free(&list);
	if (r.all.failed == r.all.namespaces)
		r.status = STATUS_UNDECIDED;
	if (o->json)
		return command_written("doctor",
				       report_all_json(&r.all, look->seen.kernel, r.list, stdout) &&
					       !r.no_memory,
				       r.status);
	json_decref(r.list);
	report_all_screen(&r.all, stdout);
	return command_written("doctor", true, r.status);
}

int cmd_doctor(int argc, char **argv)
{
	struct doctor_options o = {0};
	const char *word, *wrong = parse(argc, argv, &o, &word);
	int status;

	if (wrong) {
		fprintf(stderr, "tcpwhy doctor: %s%s%s\n", word, *word ? ": " : "", wrong);
		return STATUS_USAGE;
	}
	if (o.help)
		fputs(usage_text, stdout);
	else if (o.version)
		puts("tcpwhy " TCPWHY_VERSION);
	if (o.help || o.version)
		return STATUS_OK;
	/* Too big for comfort on a stack. */
	struct doctor_look *look = calloc(1, sizeof(*look));
	if (!look)
		return fail(STATUS_UNDECIDED, "no memory");
	status = o.all ? doctor_all(&o, look) : doctor_one(&o, look);
	free(look);
	return status;
}
