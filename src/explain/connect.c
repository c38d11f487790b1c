/* SPDX-License-Identifier: MIT
 *
 * The question of connect(): first the bind() before it, then the route, then the port
 */
#include "explain/explain.h"

#include <errno.h>
#include <string.h>

#include "base/address.h"
#include "base/text.h"
#include "explain/asked.h"
#include "explain/offer.h"
#include "explain/route.h"

/* ------------------------------------------------------------------------------ the bind() before
 */

/* With IP_BIND_ADDRESS_NO_PORT bind() only looks whether the address may be bound: what it says of
 * any port in a world in which all are free. */
static int explain_address(const struct snapshot *snap, const struct tcpwhy_row *row,
			   const struct explain_connect *question,
			   const struct tcpwhy_memory *memory, struct result *out)
{
	struct snapshot empty = *snap;

	empty.owners_n = empty.buckets_n = 0;
	empty.bound_unseen = empty.truncated = false;
	memset(empty.reserved, 0, sizeof(empty.reserved));
	return explain_bind(&empty, row, &question->before, memory, out);
}

/* Would connect() have found a port, had it been left to it? */
static enum trial try_without_port(struct asked *a, const struct explain_connect *q)
{
	struct tcpwhy_connect_request late = q->connect;
	struct tcpwhy_verdict v;

	late.port = 0;
	a->verdict.answer = TCPWHY_REFUSED;
	return asked_try_connect(a, NULL, &late, &v);
}

/* The cure that only connect() has: put before the others, for it is an option of the new socket.
 */
static void offer_no_port(struct asked *a, const struct explain_connect *q, struct result *out)
{
	struct cure c = {.id = "bind-address-no-port", .reach = CURE_SOCKET};
	struct text t = text_in(c.does, sizeof(c.does));

	if (q->from != FROM_BIND_FIRST || q->route_error)
		return;
	enum trial trial = try_without_port(a, q);
	if (trial == TRIAL_NO)
		return;
	c.proven = trial == TRIAL_PROVEN;
	text_add(&t, "set IP_BIND_ADDRESS_NO_PORT before bind(): connect() then chooses the port");
	t = text_in(c.costs, sizeof(c.costs));
	text_add(&t, "now: a port is taken for one destination, not for all of them");
	offer_run(&c, "--bind-address-no-port");
	if (out->cures_n == RESULT_CURES_MAX)
		out->cures_n--;
	memmove(&out->cures[1], &out->cures[0], out->cures_n * sizeof(out->cures[0]));
	out->cures[0] = c;
	out->cures_n++;
}

/* The pool is for servers: a connection needs no port of it. */
static void drop_lease(struct result *out)
{
	size_t n = 0;

	for (size_t i = 0; i < out->cures_n; i++)
		if (!text_equal(out->cures[i].id, "lease-port"))
			out->cures[n++] = out->cures[i];
	out->cures_n = n;
}

/* How the world is changed by a cure of bind()'s, where connect() sees the difference. */
static struct load_change change_of(const struct cure *c, const struct tcpwhy_verdict *bind)
{
	struct load_change change = {0};

	if (text_equal(c->id, "wait"))
		change.wait_until_ns = bind->last_expiry_ns;
	else if (text_equal(c->id, "end-owner"))
		change.end_living = true;
	else if (text_equal(c->id, "destroy-time-wait"))
		change.destroy_time_wait = change.destroy_fin_wait2 = true;
	return change;
}

/* The cures of a refused bind() were asked of bind() alone. What connect() would be refused
 * afterwards, for want of a route or because the 4-tuple is taken, is no proven cure. */
static void doubt(struct asked *a, struct result *out)
{
	const struct explain_connect *q = a->connect;

	a->verdict.answer = TCPWHY_REFUSED;
	for (size_t i = 0; i < out->cures_n; i++) {
		struct cure *c = &out->cures[i];
		const struct load_change change = change_of(c, &out->verdict);

		/* The way from an address that is not here cannot be asked of the kernel; a port
		 * that is shared may be one with this 4-tuple (may_share()). */
		if (q->route_error || text_equal(c->id, "nonlocal-bind") ||
		    text_equal(c->id, "freebind") || text_equal(c->id, "autobind-reuse"))
			c->proven = false;
		else if (q->from == FROM_PORT && !text_equal(c->id, "other-address") &&
			 asked_try_connect(a, &change, NULL, NULL) != TRIAL_PROVEN)
			c->proven = false;
	}
}

/* bind(0) that has to share a port may share one whose 4-tuple is taken: which, is a matter of
 * chance. It shares only after a search without sharing found none (inet_csk_find_open_port()). 1,
 * 0, or -errno. */
static int may_share(const struct asked *a)
{
	const struct explain_connect *q = a->connect;
	struct tcpwhy_sysctls alone = a->sysctls;
	struct tcpwhy_verdict v;
	int r;

	if (q->from != FROM_BIND_FIRST || !alone.autobind_reuse ||
	    q->before.bind.reuse == TCPWHY_REUSE_NO)
		return 0;
	alone.autobind_reuse = false;
	r = tcpwhy_set_sysctls(a->engine, &alone);
	if (r)
		return r;
	tcpwhy_would_bind(a->engine, &a->question->bind, &v);
	r = tcpwhy_set_sysctls(a->engine, &a->sysctls);
	return r ? r : v.answer != TCPWHY_OK;
}

/* ------------------------------------------------------------------------------------ the connect
 */

static void answer_route(struct asked *a, struct result *out)
{
	const struct explain_connect *q = a->connect;
	const struct route_rule *rule = route_rule_of(a->snap, q);

	a->verdict = (struct tcpwhy_verdict){
		.answer = TCPWHY_REFUSED,
		.error = q->route_error,
		.at = TCPWHY_CALL_CONNECT,
	};
	out->verdict = a->verdict;
	out->rule = &rule->info;
	route_because(rule, q, out->because, sizeof(out->because));
}

static int answer_port(struct asked *a, struct result *out)
{
	struct tcpwhy_connect_request q = a->connect->connect;
	int r, shares = 0;

	if (a->connect->from == FROM_BIND_FIRST)
		tcpwhy_would_bind(a->engine, &a->question->bind, &a->verdict);
	else
		tcpwhy_would_connect(a->engine, &q, &a->verdict);
	if (a->verdict.answer == TCPWHY_OK)
		shares = may_share(a);
	if (shares < 0)
		return shares;
	if (shares) {
		a->verdict.answer = TCPWHY_DEPENDS;
		a->verdict.error = EADDRNOTAVAIL;
		a->verdict.at = TCPWHY_CALL_CONNECT;
		a->verdict.rule = TCPWHY_RULE_CONNECT_TUPLE_TAKEN;
		a->verdict.missing = TCPWHY_MISSING_SHARED;
	}
	out->verdict = a->verdict;
	out->rule = a->verdict.answer == TCPWHY_OK ? NULL : tcpwhy_rule_info(a->verdict.rule);
	connect_because_write(a, out->because, sizeof(out->because));
	r = a->verdict.holders ? holders_one(a, out) : 0;
	if (r || a->verdict.answer == TCPWHY_OK)
		return r;
	connect_cures_find(a, out);
	if (shares)
		offer_no_port(a, a->connect, out);
	connect_no_help_find(a, out);
	return 0;
}

static void write_question(const struct asked *a, struct result *out)
{
	const struct explain_connect *q = a->connect;
	struct text t = text_in(out->device, sizeof(out->device));

	text_add(&t, q->before.device ? q->before.device : "");
	t = text_in(out->release, sizeof(out->release));
	text_add(&t, a->row->name);
	t = text_in(out->kernel, sizeof(out->kernel));
	text_add(&t, a->snap->kernel);
	out->taken_ns = a->snap->taken_ns;
	out->sources = a->snap->sources;
	out->call = TCPWHY_CALL_CONNECT;
	out->question = q->before.bind;
	out->connect = (struct result_connect){
		.from = q->from,
		.request = q->connect,
		.has_source = !q->route_error,
		.port_low = a->sysctls.port_low,
		.port_high = a->sysctls.port_high,
	};
}

static int connect_stage(struct asked *a, struct result *out)
{
	int r = load_engine(a->snap, a->row, NULL, a->memory, &a->engine);

	if (r)
		return r;
	memset(out, 0, sizeof(*out));
	write_question(a, out);
	if (a->connect->route_error)
		answer_route(a, out);
	else
		r = answer_port(a, out);
	if (r)
		result_free(out, a->memory);
	else
		unknown_list(a, out);
	tcpwhy_engine_free(a->engine);
	return r;
}

int explain_connect(const struct snapshot *snap, const struct tcpwhy_row *row,
		    const struct explain_connect *question, const struct tcpwhy_memory *memory,
		    struct result *out)
{
	struct asked a = {
		.snap = snap,
		.row = row,
		.sysctls = load_sysctls(snap, row),
		.question = &question->before,
		.connect = question,
		.memory = memory,
	};
	int r;

	if (question->from == FROM_ROUTE)
		return connect_stage(&a, out);
	r = question->from == FROM_ADDRESS
		    ? explain_address(snap, row, question, memory, out)
		    : explain_bind(snap, row, &question->before, memory, out);
	if (r)
		return r;
	if (out->verdict.answer == TCPWHY_OK) {
		result_free(out, memory);
		return connect_stage(&a, out);
	}
	if (question->from == FROM_ADDRESS)
		out->verdict.range_total = 0;
	drop_lease(out);
	/* It leaves out the search for a port, not the look at the address. */
	if (out->verdict.error == EADDRINUSE)
		offer_no_port(&a, question, out);
	doubt(&a, out);
	write_question(&a, out);
	return 0;
}
