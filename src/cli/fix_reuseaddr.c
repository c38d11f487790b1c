/* SPDX-License-Identifier: MIT
 *
 * tcpwhy fix reuseaddr: SO_REUSEADDR for the sockets of a server that runs
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/fix_options.h"
#include "cure/reuse.h"
#include "live/heap.h"
#include "report/value.h"

#define HOLDERS_SHOWN 6

struct request {
	struct fix_options o;
	const char *pid_text, *port_text;
	struct reuse_ask ask;
};

static const char usage_text[] =
	"usage: tcpwhy fix reuseaddr --pid N [--port PORT | ADDR:PORT] [options]\n"
	"\n"
	"Sets SO_REUSEADDR on the listeners of a running server and on the connections that came\n"
	"in by them, in whichever process they are, so that the TIME_WAIT of its next restart\n"
	"does not keep a new server from the port, if that one sets SO_REUSEADDR too. The server\n"
	"is not stopped, and notices nothing. What is in TIME_WAIT already stays as it is.\n"
	"\n"
	"  --pid N            the server's process\n"
	"  --port PORT        only that port; else every port it listens on\n";

/* -------------------------------------------------------------------------------------- the words
 */

/* "1 listener and 3 connections" */
static const char *counted(size_t listeners, size_t connections, char out[static 64])
{
	struct text t = text_in(out, 64);

	if (listeners || !connections)
		text_counted(&t, listeners, "listener");
	if (listeners && connections)
		text_add(&t, " and ");
	if (connections)
		text_counted(&t, connections, "connection");
	return out;
}

static size_t lacking(const struct reuse_view *v)
{
	return v->lacking[REUSE_LISTENER] + v->lacking[REUSE_CONNECTION];
}

static void say_answer(const struct reuse_report *r, char *out, size_t size)
{
	const struct reuse_view *v = &r->view;
	const size_t *n = v->lacking;
	char where[256], count[64];

	reuse_view_where(v, where, sizeof(where));
	switch (r->end) {
	case CHANGE_NOTHING:
		snprintf(out, size, "%s on %s: SO_REUSEADDR is set already, nothing to do",
			 counted(v->by_role[REUSE_LISTENER], v->by_role[REUSE_CONNECTION], count),
			 where);
		return;
	case CHANGE_DRY_RUN:
		snprintf(out, size, "would set SO_REUSEADDR on %s on %s",
			 counted(n[REUSE_LISTENER], n[REUSE_CONNECTION], count), where);
		return;
	case CHANGE_DONE:
		snprintf(out, size, "SO_REUSEADDR is set on %zu socket%s on %s", r->set,
			 r->set == 1 ? "" : "s", where);
		return;
	case CHANGE_LEFT:
		snprintf(out, size, "SO_REUSEADDR is set on %zu of %zu sockets on %s", r->set,
			 r->set + r->left, where);
		return;
	case CHANGE_REFUSED:
		break;
	}
	snprintf(out, size, "no socket on %s is changed", where);
}

static void say_holders(const struct reuse_view *v, struct fixed *f)
{
	char words[1024], count[64];
	struct text t = text_in(words, sizeof(words));
	size_t shown = 0;

	for (; shown < v->processes_n && shown < HOLDERS_SHOWN; shown++) {
		const struct reuse_process *p = &v->processes[shown];

		text_add(&t, shown ? "; " : "");
		text_add(&t, p->comm);
		text_char(&t, '[');
		text_number(&t, (uint64_t)p->pid);
		text_add(&t, "]: ");
		text_add(&t, counted(p->listeners, p->connections, count));
	}
	if (v->processes_n > shown || v->processes_more) {
		text_add(&t, "; ");
		text_count(&t, v->processes_n - shown);
		text_add(&t, v->processes_more ? " processes more at least" : " more");
	}
	fixed_add(f, "found", "%s", words);
}

static const char *answer_of(const struct tcpwhy_verdict *v, char out[static 48])
{
	const char *name = v->error ? strerrorname_np(v->error) : NULL;

	if (v->answer == TCPWHY_OK)
		return "ok";
	snprintf(out, 48, "%s%s%s%s", v->answer == TCPWHY_REFUSED ? "refused" : "uncertain",
		 name ? " (" : "", name ? name : "", name ? ")" : "");
	return out;
}

static void say_proof(const struct reuse_proof *p, struct fixed *f)
{
	char place[ENDPOINT_TEXT_MAX], a[48], b[48], then[160] = "";
	const struct tcpwhy_bind_request *q = &p->restart;

	if (p->after.answer != TCPWHY_OK && p->cleared.answer == TCPWHY_OK)
		snprintf(then, sizeof(then),
			 "; ok once what is in TIME_WAIT already, or closed without a process, is "
			 "gone");
	else if (p->before.answer == TCPWHY_OK)
		snprintf(then, sizeof(then), "; what it has now is enough");
	fixed_add(f, "proof",
		  "bind %s --reuseaddr after a restart%s: %s without this, %s with it%s",
		  endpoint_format(&q->addr, q->port, q->family == TCPWHY_IPV6, place),
		  p->sample ? ", with a connection that is accepted from now on" : "",
		  answer_of(&p->before, a), answer_of(&p->after, b), then);
}

/* The command that ends what is dead already: the place as bind() would ask for it. */
static void say_spared(const struct request *q, const struct reuse_report *r, struct fixed *f)
{
	const struct reuse_view *v = &r->view;
	size_t dead = v->unset[REUSE_TIME_WAIT], orphans = v->unset[REUSE_ORPHAN];
	char place[ENDPOINT_TEXT_MAX], command[160] = "", left[32] = "";
	struct text t = text_in(left, sizeof(left));

	if (!dead && !orphans)
		return;
	if (r->proofs_n && !r->proofs[0].restart.device) {
		const struct tcpwhy_bind_request *b = &r->proofs[0].restart;
		char pid[32] = "";

		if (!r->own_netns)
			snprintf(pid, sizeof(pid), " --pid %d", q->ask.pid);
		endpoint_format(&b->addr, b->port, b->family == TCPWHY_IPV6, place);
		snprintf(command, sizeof(command), ": tcpwhy fix destroy-time-wait %s%s%s", place,
			 b->v6only ? " --v6only" : "", pid);
	}
	text_seconds(&t, v->longest_ns ? v->longest_ns : 60000000000u);
	fixed_add(f, "spared",
		  "%zu in TIME_WAIT%s not changed, and may hold the port for %s more%s", dead,
		  orphans     ? " and others that their process has closed are"
		  : dead == 1 ? " is"
			      : " are",
		  left, command);
}

static void say_what(const struct request *q, const struct reuse_report *r, struct fixed *f)
{
	const struct reuse_view *v = &r->view;
	char count[64];

	if (lacking(v))
		fixed_add(f, "before", "%s of %zu lack%s SO_REUSEADDR",
			  counted(v->lacking[REUSE_LISTENER], v->lacking[REUSE_CONNECTION], count),
			  v->n, lacking(v) == 1 ? "s" : "");
	say_holders(v, f);
	for (size_t i = 0; i < r->proofs_n && lacking(v); i++)
		say_proof(&r->proofs[i], f);
	say_spared(q, r, f);
}

static void say_after(const struct reuse_report *r, struct fixed *f)
{
	if (r->end != CHANGE_DONE && r->end != CHANGE_LEFT)
		return;
	fixed_add(f, "after", "looked at again: %zu have it, %zu do not%s", r->set, r->left,
		  r->ended ? "; some have been closed meanwhile" : "");
	fixed_add(
		f, "lasts",
		"until the server ends; what it accepts from now on inherits the option. The next "
		"server must set it itself before bind(), or be started by tcpwhy run "
		"--reuseaddr");
	fixed_add(f, "given up",
		  "while none listens there, any program that sets SO_REUSEADDR may bind the port "
		  "beside what is left of these connections");
}

static void say_undo(const struct request *q, const struct reuse_report *r, struct fixed *f)
{
	char words[1024], command[FIX_COMMAND_MAX];
	struct text t = text_in(words, sizeof(words));

	if (r->end != CHANGE_DONE && r->end != CHANGE_LEFT)
		return;
	/* The last one first. */
	for (size_t i = r->ids_n; i-- > 0;) {
		text_add(&t, fix_undo_command(&q->o, r->ids[i], command));
		text_add(&t, i ? "; " : "");
	}
	fixed_add(f, "undo", "%s", words);
}

/* --------------------------------------------------------------------------------------- as JSON
 */

static json_t *json_processes(const struct reuse_view *v)
{
	json_t *list = json_array();

	for (size_t i = 0; i < v->processes_n; i++) {
		const struct reuse_process *p = &v->processes[i];

		json_array_append_new(list, json_pack("{s:i, s:o, s:I, s:I}", "pid", p->pid, "comm",
						      value_string(p->comm), "listeners",
						      (json_int_t)p->listeners, "connections",
						      (json_int_t)p->connections));
	}
	return list;
}

static json_t *json_proofs(const struct reuse_report *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->proofs_n; i++) {
		const struct reuse_proof *p = &r->proofs[i];
		static const char *const words[] = {"ok", "refused", "depends"};
		char place[ENDPOINT_TEXT_MAX];

		endpoint_format(&p->restart.addr, p->restart.port, p->restart.family == TCPWHY_IPV6,
				place);
		json_array_append_new(
			list, json_pack("{s:s, s:b, s:s, s:s, s:s}", "bind", place, "sample",
					p->sample, "without", words[p->before.answer], "with",
					words[p->after.answer], "with_and_time_wait_gone",
					words[p->cleared.answer]));
	}
	return list;
}

static json_t *json_ids(const struct reuse_report *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->ids_n; i++)
		json_array_append_new(list, json_integer((json_int_t)r->ids[i]));
	return list;
}

static json_t *members(const struct request *q, const struct reuse_report *r)
{
	const struct reuse_view *v = &r->view;
	char where[512];

	reuse_view_where(v, where, sizeof(where));
	return json_pack(
		"{s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:O?}", "target",
		q->ask.pid, "where", where, "listeners", (json_int_t)v->by_role[REUSE_LISTENER],
		"connections", (json_int_t)v->by_role[REUSE_CONNECTION], "lacking",
		(json_int_t)lacking(v), "time_wait", (json_int_t)v->unset[REUSE_TIME_WAIT], "set",
		(json_int_t)r->set, "ended", (json_int_t)r->ended, "left", (json_int_t)r->left,
		"waiting_for_accept", (json_int_t)r->queued, "processes", json_processes(v),
		"restarts", json_proofs(r), "ids", json_ids(r), "record", r->record);
}

/* -------------------------------------------------------------------------------------- the change
 */

/* The privilege is missing to look already: an answer of its own, not only that it failed. */
static int tell_forbidden(const struct request *q, const char *why, int error)
{
	struct fixed f = {
		.verb = "reuseaddr", .end = FIXED_REFUSED, .error = error, .unprivileged = true};

	snprintf(f.answer, sizeof(f.answer), "no socket of process %d is changed", q->ask.pid);
	fixed_add(&f, "why", "%s", why);
	f.more = json_pack("{s:i}", "target", q->ask.pid);
	return fix_end(&f, &q->o);
}

static int tell(const struct request *q, const struct reuse_report *r)
{
	struct fixed f = {.verb = "reuseaddr",
			  .end = fix_end_of(r->end),
			  .error = r->error,
			  .unprivileged = r->unprivileged,
			  .id = r->ids_n ? r->ids[0] : 0,
			  .more = members(q, r)};

	say_answer(r, f.answer, sizeof(f.answer));
	memcpy(f.journal, r->journal, sizeof(f.journal));
	say_what(q, r, &f);
	say_after(r, &f);
	fixed_add(&f, "why", "%s", r->because);
	say_undo(q, r, &f);
	return fix_end(&f, &q->o);
}

static int set_reuseaddr(const struct request *q)
{
	const struct change_how how = {.dry_run = q->o.dry_run, .journal = q->o.journal};
	struct reuse_report *r = calloc(1, sizeof(*r));
	struct err err;
	int rc;

	if (!r)
		return fix_failed(&q->o, "no memory");
	rc = reuse_apply(&q->ask, &how, &heap_memory, r, &err);
	if (rc == -EPERM || rc == -EACCES || rc == -ENOSYS) {
		rc = tell_forbidden(q, err.text, -rc);
	} else if (rc) {
		rc = fix_failed(&q->o, err.text);
	} else {
		rc = tell(q, r);
		reuse_report_free(r);
	}
	free(r);
	return rc;
}

/* ---------------------------------------------------------------------------------- the arguments
 */

static const struct fix_verb *verb_of(struct request *q)
{
	static struct fix_own_option own[2];
	static struct fix_verb verb;

	own[0] = (struct fix_own_option){"pid", NULL, &q->pid_text};
	own[1] = (struct fix_own_option){"port", NULL, &q->port_text};
	verb = (struct fix_verb){.word = "reuseaddr",
				 .usage = usage_text,
				 .takes = FIX_TAKES_CHANGE | FIX_TAKES_JOURNAL | FIX_TAKES_JSON,
				 .own = own,
				 .own_n = 2};
	return &verb;
}

static bool parse_number(const char *text, long max, long *out)
{
	char *end;

	*out = strtol(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && *out >= 1 && *out <= max;
}

/* NULL, or what is wrong with *word. */
static const char *parse_words(struct request *q, int n, char **words, const char **word)
{
	enum tcpwhy_family family;
	const char *wrong;
	long number;

	*word = q->pid_text;
	if (!q->pid_text)
		return "which server? --pid N";
	if (!parse_number(q->pid_text, INT_MAX, &number))
		return "not a process id";
	q->ask.pid = (int)number;
	*word = q->port_text;
	if (q->port_text && !parse_number(q->port_text, 65535, &number))
		return "not a port";
	if (q->port_text)
		q->ask.port = (uint16_t)number;
	if (n == 0)
		return NULL;
	*word = words[n - 1];
	if (n > 1)
		return "one address at a time";
	if (q->port_text)
		return "the port is named twice";
	wrong = endpoint_parse(words[0], &q->ask.place.addr, &family, &q->ask.port);
	if (wrong)
		return wrong;
	q->ask.place.family = (uint8_t)family;
	q->ask.place.addr_given = true;
	return q->ask.port ? NULL : "port 0 is no port that anything listens on";
}

int fix_reuseaddr(int argc, char **argv)
{
	struct request q = {0};
	const struct fix_verb *verb = verb_of(&q);
	const char *wrong, *word;
	int status;

	if (!fix_options_parse(verb, argc, argv, &q.o, &status))
		return status;
	wrong = parse_words(&q, argc - optind, argv + optind, &word);
	return wrong ? fix_usage(verb, wrong, word) : set_reuseaddr(&q);
}
