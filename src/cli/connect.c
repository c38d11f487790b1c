/* SPDX-License-Identifier: MIT
 *
 * tcpwhy connect: would this connect() find a port, and what is left of the range
 */
#include "cli/connect.h"

#include <unistd.h>

#include "base/address.h"
#include "cli/command.h"
#include "cli/question.h"
#include "explain/explain.h"
#include "live/heap.h"

static enum result_from from_of(const struct question_options *o)
{
	if (o->bind_first)
		return FROM_BIND_FIRST;
	if (!o->from_given)
		return FROM_ROUTE;
	return o->from_port ? FROM_PORT : FROM_ADDRESS;
}

/* The address that bind() is given; the wildcard of the socket's own family. */
static struct tcpwhy_addr from_address(const struct question_options *o)
{
	static const struct tcpwhy_addr any6;

	if (o->from_given && !address_is_any(&o->from))
		return o->from;
	return o->family == TCPWHY_IPV6 ? any6 : address_v4_number(0);
}

static struct explain_connect question_of(const struct question_options *o)
{
	return (struct explain_connect){
		.from = from_of(o),
		.before =
			{
				.bind =
					{
						.addr = from_address(o),
						.port = o->from_port,
						.family = (uint8_t)o->family,
						.reuse = o->reuseaddr ? TCPWHY_REUSE_CAN
								      : TCPWHY_REUSE_NO,
						.reuseport = o->reuseport,
						.uid = o->uid_given ? o->uid : geteuid(),
					},
				.device = o->device,
				.netns = o->netns,
				.pid = o->pid,
			},
		.connect =
			{
				.peer = o->addr,
				.peer_port = o->port,
				.port = o->from_port,
				.family = (uint8_t)o->family,
			},
	};
}

/* Asks the kernel for the way: where from, and where to (0.0.0.0 is this host). */
static int find_route(struct live *live, struct explain_connect *q, struct err *err)
{
	struct route r = {
		.family = q->connect.family,
		.device = q->connect.device,
		.uid = q->before.bind.uid,
		.has_from = q->from != FROM_ROUTE,
		.from = q->before.bind.addr,
		.from_port = q->from == FROM_PORT ? q->connect.port : 0,
		.peer = q->connect.peer,
		.peer_port = q->connect.peer_port,
	};
	int failed = live_route(live, &r, err);

	if (failed)
		return failed;
	q->connect.source = r.source;
	q->connect.peer = r.peer;
	q->route_error = r.error;
	return 0;
}

/* bind() looks at every owner of a port, connect() at those of one peer. */
static struct snapshot_scope scope_of(const struct explain_connect *q)
{
	return (struct snapshot_scope){
		.all_ports = q->from != FROM_PORT,
		.port = q->connect.port,
		.owners_wanted = true,
		.one_peer = q->from == FROM_ROUTE || q->from == FROM_ADDRESS,
		.peer = q->connect.peer,
		.peer_port = q->connect.peer_port,
	};
}

int connect_ask(struct live *live, const struct question_options *o, struct result *r,
		struct err *err)
{
	struct explain_connect q = question_of(o);
	struct snapshot_scope scope;
	struct snapshot snap;
	int failed = question_device(live, o, &q.connect.device, err);

	q.before.bind.device = q.connect.device;
	if (!failed)
		failed = find_route(live, &q, err);
	scope = scope_of(&q);
	if (!failed)
		failed = live_snapshot(live, &scope, &snap, err);
	if (failed)
		return failed;
	q.before.bind.may_bind_low = question_may_bind_low(live, o);
	question_meet_hooks(&snap, &q.before.bind);
	if (q.before.bind.family == TCPWHY_IPV6 && snap.sysctls.bindv6only)
		q.before.bind.v6only = true;
	failed = explain_connect(&snap, o->row ? o->row : live_row(live), &q, &heap_memory, r);
	snapshot_free(&snap);
	return question_owners(live, failed, r, err);
}

int cmd_connect(int argc, char **argv)
{
	return question_run(OPTIONS_CONNECT, connect_ask, argc, argv);
}
