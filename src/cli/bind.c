/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/bind.h"
#include "cli/command.h"
#include "explain/explain.h"
#include "load/load.h"
#include "report/report.h"

static int fail(int status, const char *text)
{
	fprintf(stderr, "tcpwhy bind: %s\n", text);
	return status;
}

/* CAP_NET_BIND_SERVICE: ours is known; of another user we only know what users usually have. */
static enum tcpwhy_tri may_bind_low(struct live *live, const struct bind_options *o)
{
	if (!o->uid_given || o->uid == geteuid())
		return live_may_bind_low(live);
	return o->uid == 0 ? TCPWHY_YES : TCPWHY_NO;
}

static struct tcpwhy_bind_request request_of(const struct bind_options *o)
{
	return (struct tcpwhy_bind_request){
		.addr = o->addr,
		.port = o->port,
		.family = (uint8_t)o->family,
		.reuse = o->reuseaddr ? TCPWHY_REUSE_CAN : TCPWHY_REUSE_NO,
		.reuseport = o->reuseport,
		.v6only = o->v6only,
		.freebind = o->freebind,
		.listen = !o->no_listen,
		.uid = o->uid_given ? o->uid : geteuid(),
	};
}

/* 0 or -errno with err->text. */
static int find_device(struct live *live, const char *name, uint32_t *index, struct err *err)
{
	if (!name)
		return 0;
	*index = live_device_index(live, name);
	if (*index)
		return 0;
	snprintf(err->text, sizeof(err->text),
		 "there is no device '%s' in this namespace: setsockopt(SO_BINDTODEVICE) fails "
		 "with ENODEV",
		 name);
	return -ENODEV;
}

static int try_really(struct live *live, struct result *r, struct err *err)
{
	int failed = live_try_bind(live, &r->question, &r->tried.error, &r->tried.at, err);

	r->tried.done = !failed;
	return failed;
}

int bind_ask(struct live *live, const struct bind_options *o, struct result *r, struct err *err)
{
	struct explain_question q = {
		.bind = request_of(o),
		.device = o->device,
		.netns = o->netns,
		.pid = o->pid,
		.all_holders = o->holders,
	};
	struct snapshot_scope scope = {
		.all_ports = !o->port,
		.port = o->port,
		.owners_wanted = true,
	};
	struct snapshot snap;
	int failed = find_device(live, o->device, &q.bind.device, err);

	if (!failed)
		failed = live_snapshot(live, &scope, &snap, err);
	if (failed)
		return failed;
	q.bind.may_bind_low = may_bind_low(live, o);
	if (q.bind.family == TCPWHY_IPV6 && snap.sysctls.bindv6only)
		q.bind.v6only = true;
	failed = explain_bind(&snap, o->row ? o->row : load_row_for(snap.kernel), &q, &cli_heap, r);
	snapshot_free(&snap);
	if (failed) {
		snprintf(err->text, sizeof(err->text), "the answer: %s", strerror(-failed));
		return failed;
	}
	live_owners(live, r->holders, r->holders_n);
	explain_name_owners(r);
	return 0;
}

static int show(const struct result *r, const struct bind_options *o)
{
	bool ok = true;

	if (o->json)
		ok = report_json(r, stdout);
	else
		report_screen(r, o->holders, stdout);
	if (!ok || fflush(stdout) || ferror(stdout))
		return fail(STATUS_UNDECIDED, "the answer could not be written");
	return STATUS_OK;
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

static int answer(struct live *live, const struct bind_options *o, struct result *r)
{
	struct err err = {""};

	if (bind_ask(live, o, r, &err))
		return fail(STATUS_UNDECIDED, err.text);
	int tried = o->try ? try_really(live, r, &err) : 0;
	int status = show(r, o);
	if (tried)
		status = fail(STATUS_UNDECIDED, err.text);
	else if (status == STATUS_OK)
		status = status_of(r);
	result_free(r, &cli_heap);
	return status;
}

int cmd_bind(int argc, char **argv)
{
	struct bind_options o;
	struct err err = {""};
	struct live *live;

	if (options_parse(argc, argv, &o, &err))
		return fail(STATUS_USAGE, err.text);
	if (o.help)
		options_help(stdout);
	else if (o.version)
		puts("tcpwhy " TCPWHY_VERSION);
	if (o.help || o.version)
		return STATUS_OK;
	struct live_target target = {.netns = o.netns, .pid = o.pid};
	/* The texts of all cures at once: too big for comfort on a stack. */
	struct result *r = malloc(sizeof(*r));
	if (!r)
		return fail(STATUS_UNDECIDED, "no memory");
	int status = STATUS_UNDECIDED;
	if (live_open(&target, 0, &live, &err)) {
		fail(STATUS_UNDECIDED, err.text);
	} else {
		status = answer(live, &o, r);
		live_close(live);
	}
	free(r);
	return status;
}
