/* SPDX-License-Identifier: MIT
 *
 * tcpwhy fix sysctl: one sysctl of one network namespace
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "cli/command.h"
#include "cli/fix_options.h"
#include "cli/fix_proof.h"
#include "cure/sysctl.h"
#include "cure/sysctl_pair.h"
#include "cure/sysctl_suppose.h"
#include "live/netns.h"
#include "live/sysctl.h"

#define NEAR_MAX  3
#define SHOWN_MAX 80 /* of a value */

struct request {
	struct fix_options o;
	const struct sysctl_key *key;
	char value[SYSCTL_VALUE_MAX];
	const char *for_text;
	bool has_question;
	struct fix_question question;
	char where[128];
};

static const char usage_text[] =
	"usage: tcpwhy fix sysctl KEY=VALUE [options]\n"
	"\n"
	"Sets a sysctl of TCP's ports and connections in one network namespace, the caller's or\n"
	"the one that is named. KEY with or without net.ipv4. The old value goes into the journal\n"
	"first: tcpwhy fix undo sets it back. An empty VALUE empties a list of ports.\n"
	"\n"
	"  --for QUESTION     asks that before and with the change, as typed behind tcpwhy:\n"
	"                     \"connect 10.0.0.17:80\"; else what is wrong there is asked\n";

/* ------------------------------------------------------------------------------------ the words */

/* As a person reads it: no tabs, and not a page of ports. */
static const char *shown(const char *value, char out[static SHOWN_MAX + 8])
{
	size_t n = strlen(value);

	snprintf(out, SHOWN_MAX + 8, "%.*s%s", SHOWN_MAX, n ? value : "empty",
		 n > SHOWN_MAX ? "..." : "");
	for (char *c = out; *c; c++)
		*c = *c == '\t' ? ' ' : *c;
	return out;
}

/* How much of it: the order of the values, which is that of the numbers but for tcp_tw_reuse, where
 * 2 (loopback only) is less than 1. */
static uint64_t weight(const struct sysctl_key *key, const char *value)
{
	uint32_t ports[2048];
	uint64_t n = 0, low;
	char *end;

	switch ((enum sysctl_form)key->form) {
	case SYSCTL_NUMBER:
		if (!strcmp(key->name, "net.ipv4.tcp_tw_reuse"))
			return *value == '0' ? 0 : *value == '2' ? 1 : 2;
		break;
	case SYSCTL_RANGE:
		low = strtoull(value, &end, 10);
		return strtoull(end, NULL, 10) - low + 1;
	case SYSCTL_PORTS:
		if (!sysctl_parse_ports(value, ports))
			return 0;
		for (size_t i = 0; i < 2048; i++)
			n += (uint64_t)__builtin_popcount(ports[i]);
		return n;
	}
	return strtoull(value, NULL, 10);
}

/* What is given up depends on the direction; where the two weigh the same (a list of as many other
 * ports), both may be. */
static void say_price(const struct request *q, const char *old, struct fixed *f)
{
	uint64_t before = weight(q->key, old), after = weight(q->key, q->value);

	if (after >= before && q->key->raising)
		fixed_add(f, "given up", "%s", q->key->raising);
	if (after <= before && q->key->lowering)
		fixed_add(f, "given up", "%s", q->key->lowering);
}

static uint16_t linux_release(char kernel[static 80])
{
	struct utsname name = {0};

	uname(&name);
	snprintf(kernel, 80, "%s", name.release);
	return sysctl_release_parse(name.release);
}

static bool is_machine_wide(const struct sysctl_key *key)
{
	char kernel[80];
	uint16_t release = linux_release(kernel);

	return release && !sysctl_key_per_netns(key, release);
}

/* Its value, how long it will be so, and where it is made to last. */
static void say_change(const struct request *q, const char *old, struct fixed *f)
{
	char a[SHOWN_MAX + 8], b[SHOWN_MAX + 8];

	fixed_add(f, "what", "%s: %s", q->key->name, q->key->means);
	fixed_add(f, "before", "%s", shown(old, a));
	fixed_add(f, "after", "%s", shown(q->value, b));
	say_price(q, old, f);
	if (is_machine_wide(q->key))
		fixed_add(f, "reach", "the whole machine: there is one value for all namespaces");
	fixed_add(f, "lasts",
		  "until %s ends, or the host is booted. To keep it: a file in "
		  "/etc/sysctl.d (host), --sysctl (docker, podman), tcpwhy fix yaml "
		  "(Kubernetes)",
		  q->where);
}

static json_t *members(const struct request *q, const struct live *live, const char *old,
		       const char *seen)
{
	return json_pack("{s:s, s:I, s:s, s:s?, s:s, s:s?}", "key", q->key->name, "netns",
			 (json_int_t)live_netns(live)->inode, "where", q->where, "old", old, "new",
			 q->value, "seen", seen);
}

/* ------------------------------------------------------------------------------------ the refusals
 */

/* "since 4.19", "until 4.12", of a kernel that shows none. */
static int tell_lacking(struct request *q)
{
	const struct sysctl_key *key = q->key;
	struct fixed f = {.verb = "sysctl", .end = FIXED_REFUSED, .error = ENOENT};
	char kernel[80];
	uint16_t release = linux_release(kernel);

	snprintf(f.answer, sizeof(f.answer), "%s has no %s", q->where, key->name);
	if (release && sysctl_key_exists(key, release) && !sysctl_key_per_netns(key, release))
		fixed_add(&f, "why",
			  "there is one value for the whole machine, and it is shown in the host's "
			  "own namespace only");
	else if (release && release < key->since)
		fixed_add(&f, "why", "this kernel is %s; Linux has it since %u.%u", kernel,
			  key->since >> 8, key->since & 0xff);
	else if (release && key->until && release >= key->until)
		fixed_add(&f, "why", "this kernel is %s; Linux has it no longer since %u.%u",
			  kernel, key->until >> 8, key->until & 0xff);
	else
		fixed_add(&f, "why", "this kernel (%s) was built without it", kernel);
	f.more = json_pack("{s:s, s:s, s:s}", "key", key->name, "where", q->where, "new", q->value);
	return fix_end(&f, &q->o);
}

static int refuse_machine_wide(struct request *q)
{
	struct fixed f = {.verb = "sysctl", .end = FIXED_REFUSED, .error = EINVAL};

	snprintf(f.answer, sizeof(f.answer), "%s has no value of its own in %s", q->key->name,
		 q->where);
	fixed_add(&f, "why",
		  "there is one value for the whole machine: changing it would change every "
		  "namespace. Name none to do that");
	f.more = json_pack("{s:s, s:s, s:s}", "key", q->key->name, "where", q->where, "new",
			   q->value);
	return fix_end(&f, &q->o);
}

/* -------------------------------------------------------------------------------------- the change
 */

static int tell_nothing(struct request *q, const struct live *live, const char *old)
{
	struct fixed f = {
		.verb = "sysctl", .end = FIXED_NOTHING, .more = members(q, live, old, old)};
	char a[SHOWN_MAX + 8];

	snprintf(f.answer, sizeof(f.answer), "%s is %s already in %s: nothing to do", q->key->name,
		 shown(old, a), q->where);
	return fix_end(&f, &q->o);
}

static void prove(struct request *q, struct live *live, struct fixed *f)
{
	const struct sysctl_supposed supposed = {.key = q->key, .value = q->value};

	if (sysctl_decides(q->key))
		fix_proof(live, &q->o.target, q->has_question ? &q->question : NULL, sysctl_suppose,
			  &supposed, f);
	else
		fixed_add(f, "proof",
			  "none: it decides nothing about sockets that are there now, and the "
			  "engine is asked about nothing else");
}

static int dry_run(struct request *q, struct live *live, const struct sysctl_state *state)
{
	struct fixed f = {.verb = "sysctl",
			  .end = FIXED_DRY_RUN,
			  .error = state->closed,
			  .more = members(q, live, state->value, NULL)};
	char why[256], a[SHOWN_MAX + 8], b[SHOWN_MAX + 8];

	snprintf(f.answer, sizeof(f.answer), "would set %s from %s to %s in %s", q->key->name,
		 shown(state->value, a), shown(q->value, b), q->where);
	say_change(q, state->value, &f);
	prove(q, live, &f);
	if (state->closed) {
		sysctl_refusal(state->closed, why, sizeof(why));
		fixed_add(&f, "why", "%s", why);
		f.unprivileged = state->closed == EPERM || state->closed == EACCES;
	}
	return fix_end(&f, &q->o);
}

static void say_report(const struct request *q, const struct sysctl_report *r, struct fixed *f)
{
	char a[SHOWN_MAX + 8], b[SHOWN_MAX + 8], undo[FIX_COMMAND_MAX];
	const char *seen = shown(r->after ? r->after : "", b);

	f->end = fix_end_of(r->end);
	f->error = r->error;
	f->unprivileged = r->unprivileged;
	f->id = r->id;
	memcpy(f->journal, r->journal, sizeof(f->journal));
	if (r->end == CHANGE_DONE || r->end == CHANGE_LEFT)
		snprintf(f->answer, sizeof(f->answer), "%s is %s in %s, was %s", q->key->name, seen,
			 q->where, shown(r->before, a));
	else
		snprintf(f->answer, sizeof(f->answer), "%s in %s is not changed", q->key->name,
			 q->where);
	/* Of what was not changed nothing else matters. */
	if (r->end == CHANGE_REFUSED)
		f->n = 0;
	fixed_add(f, "why", "%s", r->because);
	if (r->id && (r->end == CHANGE_DONE || r->end == CHANGE_LEFT))
		fixed_add(f, "undo", "%s", fix_undo_command(&q->o, r->id, undo));
}

static int change(struct request *q, struct live *live, const struct sysctl_state *state)
{
	const struct sysctl_change change = {
		.key = q->key, .value = q->value, .where = q->where, .journal = q->o.journal};
	struct fixed f = {.verb = "sysctl", .more = json_object()};
	struct sysctl_report r;
	struct err err;

	say_change(q, state->value, &f);
	prove(q, live, &f);
	if (sysctl_set(live_netns(live), &change, &r, &err)) {
		json_decref(f.more);
		return fix_failed(&q->o, err.text);
	}
	/* Somebody was quicker. */
	if (r.end == CHANGE_NOTHING) {
		json_decref(f.more);
		int status = tell_nothing(q, live, r.before);
		sysctl_report_free(&r);
		return status;
	}
	say_report(q, &r, &f);
	json_t *more = members(q, live, r.before ? r.before : state->value, r.after);
	json_object_update(f.more, more);
	json_decref(more);
	sysctl_report_free(&r);
	return fix_end(&f, &q->o);
}

/* Nothing is written then, not even the journal. */
static int refuse(struct request *q, struct live *live, const struct sysctl_state *state, int error,
		  const char *hint)
{
	struct fixed f = {.verb = "sysctl",
			  .end = FIXED_REFUSED,
			  .error = error,
			  .unprivileged = error == EPERM || error == EACCES,
			  .more = members(q, live, state->value, state->value)};
	char why[256];

	snprintf(f.answer, sizeof(f.answer), "%s in %s is not changed", q->key->name, q->where);
	sysctl_refusal_there(live_netns(live), q->key, q->value, error, why, sizeof(why));
	fixed_add(&f, "why", "%s", why);
	fixed_add(&f, "hint", "%s", hint);
	return fix_end(&f, &q->o);
}

/* Of two sysctls that the kernel holds against each other, the other one has to go first. */
static int refuse_forbidden(struct request *q, struct live *live, const struct sysctl_state *state,
			    const char *other)
{
	char value[64], hint[256] = "";

	/* By its short name: the command has to fit one line. */
	if (sysctl_pair_makes_room(q->key, q->value, other, value, sizeof(value)))
		snprintf(hint, sizeof(hint), "there first: tcpwhy fix sysctl \"%s=%s\"",
			 strrchr(sysctl_pair_other(q->key)->name, '.') + 1, value);
	return refuse(q, live, state, EINVAL, hint);
}

static int look_and_change(struct request *q, struct live *live)
{
	struct sysctl_state state;
	struct err err;
	int rc = sysctl_look(live_netns(live), q->key, &state, &err);
	char *other;

	if (rc == -ENOENT)
		return tell_lacking(q);
	if (rc)
		return fix_failed(&q->o, err.text);
	other = sysctl_forbidding(live_netns(live), q->key, q->value);
	if (sysctl_key_same(q->key, q->value, state.value))
		rc = tell_nothing(q, live, state.value);
	else if (other)
		rc = refuse_forbidden(q, live, &state, other);
	else if (q->o.dry_run)
		rc = dry_run(q, live, &state);
	else if (state.closed)
		rc = refuse(q, live, &state, state.closed, "");
	else
		rc = change(q, live, &state);
	free(other);
	free(state.value);
	return rc;
}

static int open_and_change(struct request *q)
{
	struct live *live;
	struct err err;
	int status;

	fix_where(&q->o, q->where);
	if (fix_open(&q->o, 0, &live, &err))
		return fix_failed(&q->o, err.text);
	if (is_machine_wide(q->key) && !live_netns(live)->own)
		status = refuse_machine_wide(q);
	else
		status = look_and_change(q, live);
	live_close(live);
	return status;
}

/* ---------------------------------------------------------------------------------- the arguments
 */

static int unknown_key(const struct fix_verb *verb, const char *name)
{
	const struct sysctl_key *near[NEAR_MAX];
	size_t n = sysctl_key_near(name, near, NEAR_MAX);
	char wrong[256] = "no such sysctl of TCP's ports and connections";

	for (size_t i = 0; i < n; i++) {
		size_t used = strlen(wrong);

		snprintf(wrong + used, sizeof(wrong) - used, "%s%s", i ? " or " : " (did you mean ",
			 near[i]->name);
	}
	if (n)
		snprintf(wrong + strlen(wrong), sizeof(wrong) - strlen(wrong), "?)");
	return fix_usage(verb, wrong, name);
}

static int parse_pair(const struct fix_verb *verb, int n, char **texts, struct request *q)
{
	char name[128], wrong[256];
	const char *equals, *problem;

	if (n != 1)
		return fix_usage(verb, n ? "one KEY=VALUE at a time" : "needs KEY=VALUE",
				 n ? texts[1] : NULL);
	equals = strchr(texts[0], '=');
	if (!equals || equals == texts[0])
		return fix_usage(verb, "needs KEY=VALUE", texts[0]);
	if ((size_t)snprintf(name, sizeof(name), "%.*s", (int)(equals - texts[0]), texts[0]) >=
	    sizeof(name))
		return fix_usage(verb, "no such sysctl", texts[0]);
	q->key = sysctl_key_find(name);
	if (!q->key)
		return unknown_key(verb, name);
	problem = sysctl_key_value(q->key, equals + 1, q->value, sizeof(q->value));
	if (!problem)
		return STATUS_OK;
	snprintf(wrong, sizeof(wrong), "%s: %s", q->key->name, problem);
	return fix_usage(verb, wrong, equals + 1);
}

static int parse_question(const struct fix_verb *verb, struct request *q)
{
	struct err err;

	if (!q->for_text)
		return STATUS_OK;
	if (fix_question_parse(q->for_text, &q->question, &err))
		return fix_usage(verb, "--for", err.text);
	q->has_question = true;
	return STATUS_OK;
}

static int run(struct request *q, int argc, char **argv)
{
	const struct fix_own_option own[] = {{"for", NULL, &q->for_text}};
	const struct fix_verb verb = {.word = "sysctl",
				      .usage = usage_text,
				      .takes = FIX_TAKES_TARGET | FIX_TAKES_CHANGE |
					       FIX_TAKES_JOURNAL | FIX_TAKES_JSON,
				      .own = own,
				      .own_n = 1};
	int status;

	if (!fix_options_parse(&verb, argc, argv, &q->o, &status))
		return status;
	status = parse_pair(&verb, argc - optind, argv + optind, q);
	if (!status)
		status = parse_question(&verb, q);
	return status ? status : open_and_change(q);
}

int fix_sysctl(int argc, char **argv)
{
	struct request *q = calloc(1, sizeof(*q));
	int status;

	if (!q) {
		fputs("tcpwhy fix sysctl: no memory\n", stderr);
		return STATUS_UNDECIDED;
	}
	status = run(q, argc, argv);
	free(q);
	return status;
}
