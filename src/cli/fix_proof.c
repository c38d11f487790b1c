/* SPDX-License-Identifier: MIT */
#include "cli/fix_proof.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/bind.h"
#include "cli/command.h"
#include "cli/connect.h"
#include "cli/doctor.h"
#include "cli/usage.h"
#include "explain/explain.h"
#include "live/heap.h"

#define WORDS_MAX 32

/* ----------------------------------------------------------------------------------- the question
 */

int fix_question_parse(const char *text, struct fix_question *q, struct err *err)
{
	char *words[WORDS_MAX + 1] = {NULL}, *rest = q->words, *word;
	struct err why;
	int n = 0;

	q->text = text;
	if ((size_t)snprintf(q->words, sizeof(q->words), "%s", text) >= sizeof(q->words))
		return usage_wrong(err, "'%.100s' is too long", text);
	while ((word = strsep(&rest, " \t")) && n < WORDS_MAX)
		if (*word)
			words[n++] = word;
	if (!n || (strcmp(words[0], "bind") != 0 && strcmp(words[0], "connect") != 0))
		return usage_wrong(err,
				   "'%.100s' is no question: \"connect ADDR:PORT\" or "
				   "\"bind ADDR:PORT\"",
				   text);
	q->of = words[0][0] == 'b' ? OPTIONS_BIND : OPTIONS_CONNECT;
	if (options_parse(q->of, n, words, &q->o, &why))
		return usage_wrong(err, "'%.100s' %.140s", text, why.text);
	if (q->o.netns || q->o.pid)
		return usage_wrong(
			err, "'%.100s' is asked in the namespace of the change: name it there",
			text);
	if (q->o.help || q->o.version || q->o.try)
		return usage_wrong(err, "'%.100s' is no question", text);
	return 0;
}

static void add_answer(struct text *t, const struct tcpwhy_verdict *v)
{
	const char *name = v->error ? strerrorname_np(v->error) : NULL;

	switch (v->answer) {
	case TCPWHY_OK:
		text_add(t, "ok");
		return;
	case TCPWHY_REFUSED:
		text_add(t, "refused (");
		break;
	case TCPWHY_DEPENDS:
		text_add(t, "not certain from here (ok, or ");
		break;
	}
	text_add(t, name ? name : "?");
	text_char(t, ')');
}

/* Ports that the search may take: those of the range, or none if the port was named. */
static uint32_t findable(const struct tcpwhy_verdict *v)
{
	return v->range_free + v->range_reusable;
}

static void say_question(const struct fix_question *q, const struct tcpwhy_verdict *now,
			 const struct tcpwhy_verdict *with, struct fixed *f)
{
	char words[512];
	struct text t = text_in(words, sizeof(words));

	text_add(&t, q->text);
	text_add(&t, ": ");
	add_answer(&t, now);
	text_add(&t, " as it is, ");
	add_answer(&t, with);
	text_add(&t, " with it");
	if (now->range_total || with->range_total) {
		text_add(&t, "; ports that it can find: ");
		text_count(&t, findable(now));
		text_add(&t, " as it is, ");
		text_count(&t, findable(with));
		text_add(&t, " with it");
	}
	if (now->answer == TCPWHY_REFUSED && with->answer == TCPWHY_REFUSED)
		text_add(&t, ". It does not help");
	fixed_add(f, "proof", "%s", words);
}

static json_t *json_verdict(const struct tcpwhy_verdict *v)
{
	static const char *const words[] = {
		[TCPWHY_OK] = "ok", [TCPWHY_REFUSED] = "refused", [TCPWHY_DEPENDS] = "depends"};

	return json_pack("{s:s, s:s?, s:I}", "answer", words[v->answer], "errno",
			 v->error ? strerrorname_np(v->error) : NULL, "ports",
			 (json_int_t)findable(v));
}

/* 0 with both answers, or -errno with err->text. */
static int ask_twice(struct live *live, const struct fix_question *q, live_supposition *suppose,
		     const void *ctx, struct tcpwhy_verdict v[2], struct err *err)
{
	struct result *r = malloc(sizeof(*r));
	int rc = 0;

	if (!r) {
		snprintf(err->text, sizeof(err->text), "no memory");
		return -ENOMEM;
	}
	for (int i = 0; i < 2 && !rc; i++) {
		live_suppose(live, i ? suppose : NULL, ctx);
		rc = (q->of == OPTIONS_BIND ? bind_ask : connect_ask)(live, &q->o, r, err);
		if (rc)
			break;
		v[i] = r->verdict;
		result_free(r, &heap_memory);
	}
	live_suppose(live, NULL, NULL);
	free(r);
	return rc;
}

static int prove_question(struct live *live, const struct fix_question *q,
			  live_supposition *suppose, const void *ctx, struct fixed *f,
			  struct err *err)
{
	struct tcpwhy_verdict v[2];
	int rc = ask_twice(live, q, suppose, ctx, v, err);

	if (rc)
		return rc;
	say_question(q, &v[0], &v[1], f);
	json_object_set_new(f->more, "proof",
			    json_pack("{s:s, s:o, s:o}", "question", q->text, "before",
				      json_verdict(&v[0]), "with", json_verdict(&v[1])));
	return 0;
}

/* ------------------------------------------------------------------------------- what is wrong
 * there
 */

/* A finding is the same one if its rule and its half-sentence are; the numbers stand elsewhere. */
static bool has(const struct diagnosis *d, const struct finding *f)
{
	for (size_t i = 0; i < d->findings_n; i++)
		if (!strcmp(d->findings[i].rule, f->rule) &&
		    !strcmp(d->findings[i].title, f->title))
			return true;
	return false;
}

/* Those of a that b has not: their titles, as words and as JSON. */
static size_t list_missing(const struct diagnosis *a, const struct diagnosis *b, const char *what,
			   struct text *t, json_t *list)
{
	size_t n = 0;

	for (size_t i = 0; i < a->findings_n; i++) {
		const struct finding *f = &a->findings[i];

		if (has(b, f))
			continue;
		text_add(t, n++ ? "; " : what);
		text_add(t, f->title);
		json_array_append_new(list,
				      json_pack("{s:s, s:s}", "rule", f->rule, "what", f->title));
	}
	if (n)
		text_add(t, ". ");
	return n;
}

static void add_ports(struct text *t, const char *whose, uint32_t now, uint32_t with)
{
	text_add(t, whose);
	text_count(t, now);
	if (now != with) {
		text_add(t, " as it is, ");
		text_count(t, with);
		text_add(t, " with it");
	}
}

static void say_overview(const struct diagnosis *now, const struct diagnosis *with, struct fixed *f)
{
	json_t *goes = json_array(), *comes = json_array();
	char words[sizeof(f->parts[0].words)];
	struct text t = text_in(words, sizeof(words));
	size_t gone, come;

	gone = list_missing(now, with, "solved by it: ", &t, goes);
	come = list_missing(with, now, "wrong because of it: ", &t, comes);
	if (now->findings_n > gone) {
		text_counted(&t, now->findings_n - gone, "finding");
		text_add(&t, " of tcpwhy doctor as before. ");
	} else if (!gone && !come) {
		text_add(&t, "tcpwhy doctor finds nothing wrong, with it or without it. ");
	}
	add_ports(&t, "Ports that a new destination finds: ", now->connect_free,
		  with->connect_free);
	add_ports(&t, "; that bind(0) finds: ", now->bind0_free, with->bind0_free);
	fixed_add(f, "proof", "%s", words);
	json_object_set_new(f->more, "proof",
			    json_pack("{s:n, s:o, s:o, s:I, s:[I,I], s:[I,I]}", "question", "goes",
				      goes, "comes", comes, "stay",
				      (json_int_t)(now->findings_n - gone), "connect_ports",
				      (json_int_t)now->connect_free, (json_int_t)with->connect_free,
				      "bind0_ports", (json_int_t)now->bind0_free,
				      (json_int_t)with->bind0_free));
}

static int prove_overview(struct live *live, const struct live_target *target,
			  live_supposition *suppose, const void *ctx, struct fixed *f,
			  struct err *err)
{
	struct doctor_look *looks = calloc(2, sizeof(*looks));
	int rc = looks ? 0 : -ENOMEM;

	if (rc)
		snprintf(err->text, sizeof(err->text), "no memory");
	for (int i = 0; i < 2 && !rc; i++) {
		live_suppose(live, i ? suppose : NULL, ctx);
		rc = doctor_ask(live, target->netns, target->pid, &looks[i], err);
	}
	live_suppose(live, NULL, NULL);
	if (!rc)
		say_overview(&looks[0].found, &looks[1].found, f);
	free(looks);
	return rc;
}

void fix_proof(struct live *live, const struct live_target *target, const struct fix_question *q,
	       live_supposition *suppose, const void *ctx, struct fixed *f)
{
	struct err err;
	int rc = q ? prove_question(live, q, suppose, ctx, f, &err)
		   : prove_overview(live, target, suppose, ctx, f, &err);

	if (rc)
		fixed_add(f, "proof", "could not be asked: %s", err.text);
}
