/* SPDX-License-Identifier: MIT */
#include "cli/question.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "explain/explain.h"
#include "live/heap.h"
#include "report/report.h"

enum tcpwhy_tri question_may_bind_low(struct live *live, const struct question_options *o)
{
	if (!o->uid_given || o->uid == geteuid())
		return live_may_bind_low(live);
	return o->uid == 0 ? TCPWHY_YES : TCPWHY_NO;
}

int question_device(struct live *live, const struct question_options *o, uint32_t *index,
		    struct err *err)
{
	*index = 0;
	if (!o->device)
		return 0;
	*index = live_device_index(live, o->device);
	if (*index)
		return 0;
	snprintf(err->text, sizeof(err->text),
		 "there is no device '%s' in this namespace: setsockopt(SO_BINDTODEVICE) fails "
		 "with ENODEV",
		 o->device);
	return -ENODEV;
}

int question_owners(struct live *live, int failed, struct result *r, struct err *err)
{
	if (failed) {
		snprintf(err->text, sizeof(err->text), "the answer: %s", strerror(-failed));
		return failed;
	}
	live_owners(live, r->holders, r->holders_n);
	explain_name_owners(r);
	return 0;
}

void question_meet_hooks(const struct snapshot *snap, struct tcpwhy_bind_request *bind)
{
	bool hooked = bind->family == TCPWHY_IPV6 ? snap->reuse_hook6 : snap->reuse_hook4;

	if (hooked && bind->port && bind->reuse == TCPWHY_REUSE_NO)
		bind->reuse = TCPWHY_REUSE_CAN;
}

static int try_really(struct live *live, struct result *r, struct err *err)
{
	int failed = live_try_bind(live, &r->question, &r->tried.error, &r->tried.at, err);

	r->tried.done = !failed;
	return failed;
}

static bool show(const struct result *r, const struct question_options *o)
{
	bool ok = true;

	if (o->json)
		ok = report_json(r, stdout);
	else
		report_screen(r, o->holders, stdout);
	return ok;
}

/* A try that worked out as predicted, or that settles what depended, is the kernel's own word. */
static int status_of(const struct result *r)
{
	if (r->tried.done) {
		if (!report_try_agrees(r))
			return STATUS_UNDECIDED;
		return r->tried.error ? STATUS_REFUSED : STATUS_OK;
	}
	switch (r->verdict.answer) {
	case TCPWHY_OK:
		return STATUS_OK;
	case TCPWHY_REFUSED:
		return STATUS_REFUSED;
	case TCPWHY_DEPENDS:
		break;
	}
	return STATUS_UNDECIDED;
}

static int answer(struct live *live, const struct question_options *o, question_ask *ask,
		  const char *command, struct result *r)
{
	struct err err = {""};

	if (ask(live, o, r, &err))
		return command_failed(command, o->json, err.text);
	/* Without its device the socket does not come as far as bind(). */
	bool bindable = r->verdict.error != ENODEV;
	int tried = o->try && bindable ? try_really(live, r, &err) : 0;
	int status = command_written(command, show(r, o), status_of(r));
	if (tried)
		status = command_failed(command, false, err.text);
	result_free(r, &heap_memory);
	return status;
}

static int open_and_answer(const struct question_options *o, question_ask *ask, const char *command)
{
	struct live_target target = {.netns = o->netns, .pid = o->pid};
	/* The texts of all cures at once: too big for comfort on a stack. */
	struct result *r = malloc(sizeof(*r));
	struct err err = {""};
	struct live *live;
	int status;

	if (!r)
		return command_failed(command, o->json, "no memory");
	if (live_open(&target, 0, &live, &err)) {
		status = command_failed(command, o->json, err.text);
	} else {
		status = answer(live, o, ask, command, r);
		live_close(live);
	}
	free(r);
	return status;
}

int question_run(enum options_of of, question_ask *ask, int argc, char **argv)
{
	struct question_options o;
	struct err err = {""};

	if (options_parse(of, argc, argv, &o, &err)) {
		fprintf(stderr, "tcpwhy %s: %s\n", argv[0], err.text);
		return STATUS_USAGE;
	}
	if (o.help)
		options_help(of, stdout);
	else if (o.version)
		puts("tcpwhy " TCPWHY_VERSION);
	if (o.help || o.version)
		return STATUS_OK;
	return open_and_answer(&o, ask, argv[0]);
}
