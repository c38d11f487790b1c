/* SPDX-License-Identifier: MIT */
#include "cli/logask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/text.h"
#include "cli/bind.h"
#include "cli/command.h"
#include "cli/connect.h"
#include "cli/question.h"
#include "explain/explain.h"
#include "live/heap.h"
#include "report/report.h"

/* The command that asks about each call. */
static const struct {
	enum tcpwhy_call call;
	const char *word;
	question_ask *ask;
} questions[] = {
	{TCPWHY_CALL_BIND, "bind", bind_ask},
	{TCPWHY_CALL_CONNECT, "connect", connect_ask},
};

#define QUESTIONS (sizeof(questions) / sizeof(questions[0]))

/* QUESTIONS if there is none. */
static size_t question_of(const struct log_hit *hit)
{
	size_t i = 0;

	while (i < QUESTIONS && questions[i].call != hit->call)
		i++;
	return i;
}

/* NULL, or why the failure asks no question. */
static const char *why_no_question(const struct log_hit *hit)
{
	/* An address that is not there is refused with any port. */
	bool any_port =
		hit->call == TCPWHY_CALL_BIND && hit->error == EADDRNOTAVAIL && hit->addr_known;

	if (hit->call == TCPWHY_CALL_NONE)
		return "the line does not say that bind() or connect() failed";
	if (!hit->port_known && !any_port)
		return "the log does not say which port";
	if (hit->call == TCPWHY_CALL_CONNECT && !hit->addr_known)
		return hit->host[0] ? "the log has a name, not an address; names are not looked up"
				    : "the log does not say which address";
	/* A bind() to a name could be to any address: 0.0.0.0 would be another question. */
	if (hit->host[0])
		return "the log has a name, not an address; names are not looked up";
	return NULL;
}

/* Whether a shell takes it as it is. */
static bool is_plain(const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789._/:@+-";

	return s[strspn(s, plain)] == '\0';
}

static void write_command(const struct logask *q, const char *word, const struct log_hit *hit,
			  char out[static LOGS_COMMAND_MAX])
{
	struct text t = text_in(out, LOGS_COMMAND_MAX);
	char endpoint[ENDPOINT_TEXT_MAX];
	bool quote = hit->family == TCPWHY_IPV6; /* brackets are a pattern to a shell */

	endpoint_format(&hit->addr, hit->port, hit->family == TCPWHY_IPV6, endpoint);
	text_add(&t, "tcpwhy ");
	text_add(&t, word);
	text_add(&t, quote ? " '" : " ");
	text_add(&t, endpoint);
	text_add(&t, quote ? "'" : "");
	if (hit->reuseaddr)
		text_add(&t, " --reuseaddr");
	if (q->target.pid) {
		text_add(&t, " --pid ");
		text_number(&t, (uint64_t)q->target.pid);
	}
	if (q->target.netns) {
		text_add(&t, " --netns ");
		text_add(&t, q->target.netns);
	}
	/* A command that was cut would ask something else. */
	if (t.end - t.at < 2 || (q->target.netns && !is_plain(q->target.netns)))
		out[0] = '\0';
}

/* The answer as text: its first lines, or JSON. */
static char *keep(const struct result *r, bool json)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	if (json)
		report_json(r, out);
	else
		report_excerpt(r, out);
	fclose(out);
	return text;
}

static int ask(struct logask *q, question_ask *question, const struct log_hit *hit,
	       struct logs_answer *a, struct err *err)
{
	struct question_options o = {
		.addr = hit->addr,
		.family = hit->family,
		.port = hit->port,
		.reuseaddr = hit->reuseaddr,
		.netns = q->target.netns,
		.pid = q->target.pid,
	};
	struct result *r = malloc(sizeof(*r));
	int failed = r ? 0 : -ENOMEM;

	if (failed)
		strcpy(err->text, "no memory");
	if (!failed && !q->live)
		failed = live_open(&q->target, 0, &q->live, err);
	if (!failed)
		failed = question(q->live, &o, r, err);
	if (!failed) {
		a->asked = true;
		a->answer = r->verdict.answer;
		a->text = keep(r, q->json);
		result_free(r, &heap_memory);
	}
	free(r);
	return failed;
}

/* An earlier group with the same question; its own number if there is none. */
static size_t earlier(const struct log_groups *groups, size_t i, const struct logs_answer *answers)
{
	for (size_t k = 0; k < i; k++)
		if (answers[k].asked && answers[k].same_as == k &&
		    log_same_question(&groups->group[k].first, &groups->group[i].first))
			return k;
	return i;
}

int logask_answer(struct logask *q, const struct log_groups *groups, size_t i,
		  struct logs_answer *answers, struct err *err)
{
	const struct log_hit *hit = &groups->group[i].first;
	struct logs_answer *a = &answers[i];
	size_t question = question_of(hit);

	*a = (struct logs_answer){.same_as = i, .why_not = why_no_question(hit)};
	if (a->why_not || question == QUESTIONS)
		return 0;
	write_command(q, questions[question].word, hit, a->command);
	if (q->off)
		return 0;
	a->same_as = earlier(groups, i, answers);
	if (a->same_as != i) {
		a->asked = true;
		a->answer = answers[a->same_as].answer;
		return 0;
	}
	if (q->asked == LOGASK_MAX) {
		a->why_not = "64 other questions were asked already";
		return 0;
	}
	q->asked++;
	int failed = ask(q, questions[question].ask, hit, a, err);
	if (failed)
		a->why_not = "the kernel could not be looked at";
	return failed;
}

void logask_close(struct logask *q)
{
	if (q->live)
		live_close(q->live);
	q->live = NULL;
}
