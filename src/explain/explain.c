/* SPDX-License-Identifier: MIT */
#include "explain/explain.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "explain/asked.h"

static void copy_text(char *out, size_t size, const char *s)
{
	struct text t = text_in(out, size);

	text_add(&t, s);
}

/* setsockopt(SO_BINDTODEVICE) fails, so bind() is never called. */
static bool lacks_device(const struct asked *a)
{
	return a->question->device && !a->question->bind.device;
}

static void refuse_device(struct tcpwhy_verdict *v, uint16_t port)
{
	*v = (struct tcpwhy_verdict){
		.answer = TCPWHY_REFUSED,
		.error = ENODEV,
		.at = TCPWHY_CALL_BIND,
		.rule = TCPWHY_RULE_BIND_NO_DEVICE,
		.port = port,
	};
}

static int answer(struct asked *a, struct result *out)
{
	if (lacks_device(a))
		refuse_device(&a->verdict, a->question->bind.port);
	else
		tcpwhy_would_bind(a->engine, &a->question->bind, &a->verdict);
	out->rule = a->verdict.answer == TCPWHY_OK ? NULL : tcpwhy_rule_info(a->verdict.rule);
	int r = holders_weigh(a);
	if (!r)
		r = holders_rank(a, out);
	if (r)
		return r;
	out->verdict = a->verdict;
	because_write(a, out->because, sizeof(out->because));
	if (a->verdict.answer == TCPWHY_OK || lacks_device(a))
		return 0;
	cures_find(a, out);
	no_help_find(a, out);
	return 0;
}

int explain_bind(const struct snapshot *snap, const struct tcpwhy_row *row,
		 const struct explain_question *question, const struct tcpwhy_memory *memory,
		 struct result *out)
{
	struct asked a = {
		.snap = snap,
		.row = row,
		.sysctls = load_sysctls(snap, row),
		.question = question,
		.memory = memory,
	};
	int r = load_distinct(snap, memory, &a.few);

	if (r)
		return r;
	r = load_engine(&a.few.snap, row, NULL, memory, &a.engine);
	if (r) {
		load_distinct_free(&a.few, memory);
		return r;
	}
	memset(out, 0, sizeof(*out));
	out->call = TCPWHY_CALL_BIND;
	out->question = question->bind;
	out->taken_ns = snap->taken_ns;
	out->sources = snap->sources;
	copy_text(out->device, sizeof(out->device), question->device ? question->device : "");
	copy_text(out->release, sizeof(out->release), row->name);
	copy_text(out->kernel, sizeof(out->kernel), snap->kernel);
	r = answer(&a, out);
	if (!r)
		unknown_list(&a, out);
	tcpwhy_engine_free(a.engine);
	if (a.why)
		memory->resize(memory->ctx, a.why, a.few.snap.owners_n, 0);
	load_distinct_free(&a.few, memory);
	if (r)
		result_free(out, memory);
	return r;
}

void result_free(struct result *r, const struct tcpwhy_memory *memory)
{
	if (r->holders)
		memory->resize(memory->ctx, r->holders, r->holders_n * sizeof(*r->holders), 0);
	r->holders = NULL;
	r->holders_n = 0;
}
