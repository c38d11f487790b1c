/* SPDX-License-Identifier: MIT
 *
 * tcpwhy bind: would this bind() and listen() succeed
 */
#include "cli/bind.h"

#include <errno.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/question.h"
#include "explain/explain.h"
#include "live/heap.h"

static struct tcpwhy_bind_request request_of(const struct question_options *o)
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

int bind_ask(struct live *live, const struct question_options *o, struct result *r, struct err *err)
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
	int failed = question_device(live, o, &q.bind.device, err);

	/* A device that is not there is an answer, not a failure to look. */
	if (!failed || failed == -ENODEV)
		failed = live_snapshot(live, &scope, &snap, err);
	if (failed)
		return failed;
	q.bind.may_bind_low = question_may_bind_low(live, o);
	question_meet_hooks(&snap, &q.bind);
	if (q.bind.family == TCPWHY_IPV6 && snap.sysctls.bindv6only)
		q.bind.v6only = true;
	failed = explain_bind(&snap, o->row ? o->row : live_row(live), &q, &heap_memory, r);
	snapshot_free(&snap);
	return question_owners(live, failed, r, err);
}

int cmd_bind(int argc, char **argv)
{
	return question_run(OPTIONS_BIND, bind_ask, argc, argv);
}
