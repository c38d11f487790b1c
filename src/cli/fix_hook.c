/* SPDX-License-Identifier: MIT
 *
 * tcpwhy fix hook: SO_REUSEADDR, or source addresses, for all that runs in a cgroup
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/fix_hook_proof.h"
#include "cli/fix_options.h"
#include "cure/hook_apply.h"

struct request {
	struct fix_options o;
	const char *cgroup, *for_text;
	struct fix_question question; /* of for_text, if that is given */
	bool force;
	struct hook_request hook;
};

static const char usage_text[] =
	"usage: tcpwhy fix hook --cgroup PATH reuseaddr [options]\n"
	"       tcpwhy fix hook --cgroup PATH spread=ADDR[,ADDR...] [options]\n"
	"\n"
	"Attaches BPF programs to a cgroup (version 2): they act on every TCP socket of what runs\n"
	"in it and below, from its next call on, and refuse nothing. reuseaddr: bind() to a port\n"
	"sets SO_REUSEADDR (6.1). spread: connect() of a socket without an address takes the next\n"
	"of the addresses; each has the whole port range for itself. They stay until tcpwhy fix\n"
	"undo, or until the cgroup or the boot ends.\n"
	"\n"
	"  --cgroup PATH      a folder, or a path below the mount: system.slice/nginx.service\n"
	"  --for QUESTION     what it changes for \"bind ADDR:PORT\" or \"connect ADDR:PORT\";\n"
	"                     the engine is asked with and without it\n"
	"  --force            also on the root cgroup, and with addresses that are not local\n";

/* -------------------------------------------------------------------------------------- the words
 */

/* "bind4: tcpwhy_reuse4 (id 12), ..."; those of the cgroups above are marked. */
static void add_seen(struct text *t, const struct hook_seen *seen, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		text_add(t, i ? ", " : "");
		text_add(t, seen[i].at->name);
		text_add(t, ": ");
		text_add(t, seen[i].name[0] ? seen[i].name : "a program");
		text_add(t, " (id ");
		text_number(t, seen[i].id);
		text_add(t, seen[i].here ? ")" : ", of a cgroup above)");
	}
}

static void say_before(const struct hook_report *r, struct fixed *f)
{
	char words[900];
	struct text t = text_in(words, sizeof(words));

	add_seen(&t, r->seen, r->seen_n);
	fixed_add(f, "before", "%s", r->seen_n ? words : "no BPF program acts there on such calls");
}

static void say_probe(const struct hook_report *r, struct text *t)
{
	if (r->probed == HOOK_PROBE_ACTS) {
		text_add(t, "; a socket that was made in the cgroup showed that they act");
		return;
	}
	text_add(t, "; not tried with a socket: no process could be made in the cgroup (");
	text_add(t, r->probe_error ? strerrorname_np(r->probe_error) : "no reason");
	text_add(t, ")");
}

static void say_after(const struct hook_report *r, struct fixed *f)
{
	char words[900];
	struct text t = text_in(words, sizeof(words));
	struct hook_seen made[HOOK_POINTS_MAX] = {{0}};

	for (unsigned i = 0; i < r->record.pins_n; i++) {
		made[i] = (struct hook_seen){
			.at = r->record.pins[i].at, .id = r->ids[i], .here = true};
		snprintf(made[i].name, sizeof(made[i].name), "%s", made[i].at->program);
	}
	add_seen(&t, made, r->record.pins_n);
	if (r->seen_n)
		text_add(&t, ", chained with those");
	say_probe(r, &t);
	fixed_add(f, "after", "%s", words);
}

static void say_costs(const struct request *q, struct fixed *f)
{
	if (q->hook.order.what == HOOK_REUSEADDR) {
		fixed_add(f, "given up", "%s",
			  "two programs that want one port are told apart by listen() instead of "
			  "bind(); sockets that are bound already stay as they are: over TIME_WAIT "
			  "the port is free once both lives were started under the hook");
		return;
	}
	fixed_add(f, "given up", "%s",
		  "peers see these connections come from any of the addresses: lists of allowed "
		  "addresses must have them all, and each needs a route back to this host");
}

static void say_answer(const struct request *q, const struct hook_report *r, struct fixed *f)
{
	char text[HOOK_TEXT_MAX], does[200];
	const struct hook_order *order = &q->hook.order;
	unsigned n = order->n4 + order->n6;

	if (order->what == HOOK_REUSEADDR)
		snprintf(does, sizeof(does), "bind() of TCP sockets to a port sets SO_REUSEADDR");
	else
		snprintf(does, sizeof(does),
			 "connect() of TCP sockets without an address takes one of %u", n);
	switch (r->end) {
	case CHANGE_NOTHING:
		snprintf(f->answer, sizeof(f->answer), "%.200s in %.200s already", does,
			 q->hook.cgroup.path);
		return;
	case CHANGE_DRY_RUN:
		snprintf(f->answer, sizeof(f->answer), "would attach hook %.80s to %.200s: %.150s",
			 hook_format(order, text), q->hook.cgroup.path, does);
		return;
	case CHANGE_DONE:
		snprintf(f->answer, sizeof(f->answer), "%.200s in %.200s from now on", does,
			 q->hook.cgroup.path);
		return;
	case CHANGE_LEFT:
	case CHANGE_REFUSED:
		break;
	}
	snprintf(f->answer, sizeof(f->answer), "nothing was attached to %.200s",
		 q->hook.cgroup.path);
}

static void say_written(const struct request *q, const struct hook_report *r, struct fixed *f)
{
	char undo[FIX_COMMAND_MAX];

	if (q->o.dry_run && r->end == CHANGE_DRY_RUN) {
		char path[HOOK_PATH_MAX];

		fixed_add(f, "after", "%u programs, pinned as %s%s", r->record.pins_n,
			  hook_record_path(&r->record, 0, path),
			  r->record.mounts ? ", where a bpffs would be mounted" : "");
		return;
	}
	if (r->end != CHANGE_DONE)
		return;
	fixed_add(f, "lasts", "%s", "until it is undone, the cgroup is removed, or the next boot");
	fixed_add(f, "undo", "%s", fix_undo_command(&q->o, r->id, undo));
}

/* ------------------------------------------------------------------------------------- the objects
 */

static const char *probe_word(enum hook_probed probed)
{
	switch (probed) {
	case HOOK_PROBE_ACTS:
		return "acts";
	case HOOK_PROBE_IDLE:
		return "idle";
	case HOOK_PROBE_UNTRIED:
		break;
	}
	return "untried";
}

static json_t *pins_of(const struct hook_report *r)
{
	json_t *pins = json_array();
	char path[HOOK_PATH_MAX];

	for (unsigned i = 0; i < r->record.pins_n; i++)
		json_array_append_new(pins, json_pack("{s:s, s:s, s:s, s:i}", "hook",
						      r->record.pins[i].at->name, "program",
						      r->record.pins[i].at->program, "pin",
						      hook_record_path(&r->record, i, path), "id",
						      (int)r->ids[i]));
	return pins;
}

static json_t *more_of(const struct request *q, const struct hook_report *r)
{
	char text[HOOK_TEXT_MAX];
	json_t *seen = json_array();

	for (size_t i = 0; i < r->seen_n; i++)
		json_array_append_new(seen,
				      json_pack("{s:s, s:i, s:s, s:b}", "hook", r->seen[i].at->name,
						"id", (int)r->seen[i].id, "program",
						r->seen[i].name, "here", (int)r->seen[i].here));
	return json_pack("{s:s, s:s, s:I, s:o, s:o, s:s}", "hook",
			 hook_format(&q->hook.order, text), "cgroup", q->hook.cgroup.path,
			 "cgroup_id", (json_int_t)q->hook.cgroup.id, "chained_with", seen, "pins",
			 pins_of(r), "probe", probe_word(r->probed));
}

static int show(const struct request *q, const struct hook_report *r, struct fixed *f)
{
	f->verb = "hook";
	f->end = fix_end_of(r->end);
	f->error = r->error;
	f->unprivileged = r->unprivileged;
	f->id = r->id;
	snprintf(f->journal, sizeof(f->journal), "%s", r->path);
	say_answer(q, r, f);
	fixed_add(f, "why", "%s", r->because);
	if (r->looked)
		say_before(r, f);
	if (r->end == CHANGE_DONE)
		say_after(r, f);
	say_written(q, r, f);
	if (r->end == CHANGE_DONE || r->end == CHANGE_DRY_RUN)
		say_costs(q, f);
	f->more = more_of(q, r);
	return fix_end(f, &q->o);
}

/* ------------------------------------------------------------------------------------- the request
 */

/* Sockets of the cgroup live where its processes are, unless a namespace was named. */
static void choose_namespace(struct request *q)
{
	if (q->o.target.netns || q->o.target.pid || q->o.container || q->o.pod)
		return;
	q->o.target.pid = cgroup2_process(&q->hook.cgroup);
}

/* What the engine says, before anything is changed. 0, or what to end with. */
static int prove(struct request *q, struct live *live, struct fixed *f, struct hook_report *r)
{
	char words[1024] = "", missing[400] = "", where[128];
	struct err err;
	int rc = 0;

	fix_where(&q->o, where);
	if (q->for_text)
		rc = hook_proof(live, &q->hook.order, &q->question, words, &err);
	if (!rc)
		rc = hook_proof_local(live, &q->hook.order, where, missing, &err);
	if (rc)
		return fix_failed(&q->o, err.text);
	fixed_add(f, "proof", "%s", words);
	if (*missing && q->force) {
		fixed_add(f, "hint", "%s", missing);
	} else if (*missing) {
		r->error = EADDRNOTAVAIL;
		snprintf(r->because, sizeof(r->because), "%s", missing);
	}
	return 0;
}

/* Addresses and questions only: setting an option depends on nothing that is seen here. */
static int prove_if_asked(struct request *q, struct fixed *f, struct hook_report *r)
{
	struct live *live;
	struct err err;
	int rc;

	if (!q->for_text && q->hook.order.what == HOOK_REUSEADDR)
		return 0;
	choose_namespace(q);
	if (fix_open(&q->o, 0, &live, &err))
		return fix_failed(&q->o, err.text);
	rc = prove(q, live, f, r);
	live_close(live);
	return rc;
}

static int hook_cgroup(struct request *q)
{
	struct hook_report *r = calloc(1, sizeof(*r));
	struct fixed *f = calloc(1, sizeof(*f));
	struct err err;
	int rc = STATUS_UNDECIDED;

	if (!r || !f) {
		rc = fix_failed(&q->o, "no memory");
	} else if (!(rc = prove_if_asked(q, f, r))) {
		q->hook.how = (struct change_how){q->o.dry_run, q->o.journal};
		if (r->error)
			r->end = CHANGE_REFUSED;
		else if (hook_apply(&q->hook, r, &err))
			rc = fix_failed(&q->o, err.text);
		if (!rc)
			rc = show(q, r, f);
	}
	free(r);
	free(f);
	return rc;
}

static bool is_utf8(const char *text)
{
	json_t *string = json_string(text);

	json_decref(string);
	return string != NULL;
}

static int open_cgroup(struct request *q)
{
	struct err err;

	if (cgroup2_open(q->cgroup, &q->hook.cgroup, &err))
		return fix_failed(&q->o, err.text);
	/* The journal is JSON, and undo finds the cgroup by what stands there. */
	if (!is_utf8(q->hook.cgroup.path)) {
		cgroup2_close(&q->hook.cgroup);
		return fix_failed(&q->o, "the cgroup's path is not UTF-8, so the journal could not "
					 "name it: nothing is attached");
	}
	if (q->hook.cgroup.root && !q->force) {
		cgroup2_close(&q->hook.cgroup);
		return fix_failed(&q->o, "every process of the machine is in the root cgroup: "
					 "name one below it, or say --force");
	}
	return STATUS_OK;
}

static int parse_order(const struct fix_verb *verb, int n, char **words, struct request *q)
{
	struct err err;

	if (!q->cgroup)
		return fix_usage(verb, "needs --cgroup PATH", NULL);
	if (n != 1)
		return fix_usage(verb,
				 n ? "one hook at a time"
				   : "which hook? reuseaddr or spread=ADDR[,ADDR...]",
				 n ? words[1] : NULL);
	if (hook_parse(words[0], &q->hook.order, &err))
		return fix_usage(verb, err.text, NULL);
	if (!q->for_text)
		return STATUS_OK;
	if (fix_question_parse(q->for_text, &q->question, &err))
		return fix_usage(verb, "--for", err.text);
	if ((q->question.of == OPTIONS_CONNECT) != (q->hook.order.what == HOOK_SPREAD))
		return fix_usage(verb, "reuseaddr is for a bind, spread for a connect, not",
				 q->for_text);
	return STATUS_OK;
}

int fix_hook(int argc, char **argv)
{
	struct request q = {0};
	const struct fix_own_option own[] = {
		{"cgroup", NULL, &q.cgroup},
		{"for", NULL, &q.for_text},
		{"force", &q.force, NULL},
	};
	const struct fix_verb verb = {.word = "hook",
				      .usage = usage_text,
				      .takes = FIX_TAKES_TARGET | FIX_TAKES_CHANGE |
					       FIX_TAKES_JOURNAL | FIX_TAKES_JSON,
				      .own = own,
				      .own_n = sizeof(own) / sizeof(own[0])};
	int status;

	if (!fix_options_parse(&verb, argc, argv, &q.o, &status))
		return status;
	status = parse_order(&verb, argc - optind, argv + optind, &q);
	if (!status)
		status = open_cgroup(&q);
	if (status)
		return status;
	status = hook_cgroup(&q);
	cgroup2_close(&q.hook.cgroup);
	return status;
}
