/* SPDX-License-Identifier: MIT */
#include "report/report.h"

#include <jansson.h>

#include "report/name.h"
#include "report/value.h"

static json_t *tri_of(uint8_t tri)
{
	return tri == TCPWHY_UNKNOWN ? json_null() : json_boolean(tri == TCPWHY_YES);
}

static json_t *reuse_of(uint8_t reuse)
{
	return reuse == TCPWHY_REUSE_UNKNOWN ? json_null() : json_boolean(reuse != TCPWHY_REUSE_NO);
}

static json_t *address_of(const struct tcpwhy_addr *a, uint8_t family)
{
	char address[ENDPOINT_TEXT_MAX];

	return json_string(name_address(a, family, address));
}

/* Of connect: what is bound before, null and 0 if nothing is, and where it would come from. */
static json_t *connect_of(const struct result *r, bool *ok)
{
	const struct tcpwhy_bind_request *q = &r->question;
	const struct tcpwhy_connect_request *c = &r->connect.request;
	const bool binds = r->connect.from != FROM_ROUTE;
	json_t *j = json_object();

	value_put(j, "call", json_string("connect"), ok);
	value_put(j, "address", address_of(&c->peer, c->family), ok);
	value_put(j, "port", json_integer(c->peer_port), ok);
	value_put(j, "from", binds ? address_of(&q->addr, c->family) : json_null(), ok);
	value_put(j, "from_port", json_integer(q->port), ok);
	value_put(j, "bind_first", json_boolean(r->connect.from == FROM_BIND_FIRST), ok);
	value_put(j, "source",
		  r->connect.has_source ? address_of(&c->source, c->family) : json_null(), ok);
	value_put(j, "reuseaddr", json_boolean(q->reuse != TCPWHY_REUSE_NO), ok);
	value_put(j, "reuseport", json_boolean(q->reuseport), ok);
	value_put(j, "device", value_string_or_null(r->device), ok);
	value_put(j, "uid", json_integer(q->uid), ok);
	return j;
}

static json_t *question_of(const struct result *r, bool *ok)
{
	const struct tcpwhy_bind_request *q = &r->question;
	json_t *j = json_object();

	value_put(j, "call", json_string("bind"), ok);
	value_put(j, "address", address_of(&q->addr, q->family), ok);
	value_put(j, "port", json_integer(q->port), ok);
	value_put(j, "reuseaddr", json_boolean(q->reuse != TCPWHY_REUSE_NO), ok);
	value_put(j, "reuseport", json_boolean(q->reuseport), ok);
	value_put(j, "v6only", json_boolean(q->v6only), ok);
	value_put(j, "freebind", json_boolean(q->freebind), ok);
	value_put(j, "listen", json_boolean(q->listen), ok);
	value_put(j, "device", value_string_or_null(r->device), ok);
	value_put(j, "uid", json_integer(q->uid), ok);
	return j;
}

static const char *answer_name(enum tcpwhy_answer answer)
{
	switch (answer) {
	case TCPWHY_OK:
		return "ok";
	case TCPWHY_REFUSED:
		return "refused";
	case TCPWHY_DEPENDS:
		break;
	}
	return "depends";
}

static json_t *owners_of(const struct result_holder *h, bool *ok)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < h->owners_n; i++) {
		json_t *j = json_object();
		value_put(j, "pid", json_integer(h->owners[i].pid), ok);
		value_put(j, "comm", value_string(h->owners[i].comm), ok);
		value_put(j, "unit", value_string_or_null(h->owners[i].unit), ok);
		json_array_append_new(list, j);
	}
	return list;
}

static json_t *expiry_of(const struct result *r, const struct tcpwhy_owner *o)
{
	if (!o->timewait || !o->expires_ns)
		return json_null();
	uint64_t left = o->expires_ns > r->taken_ns ? o->expires_ns - r->taken_ns : 0;
	return json_real((double)(left / 100000000) / 10);
}

static json_t *blocker_of(const struct result *r, const struct result_holder *h, bool *ok)
{
	const struct tcpwhy_owner *o = &h->seen.o;
	char local[ENDPOINT_TEXT_MAX], peer[ENDPOINT_TEXT_MAX];
	json_t *j = json_object();

	name_endpoint(&o->local, o->port, o->family, local);
	name_endpoint(&o->peer, o->peer_port, o->family, peer);
	value_put(j, "local", json_string(local), ok);
	value_put(j, "peer", name_has_peer(o) ? json_string(peer) : json_null(), ok);
	value_put(j, "state", json_string(tcpwhy_state_name((enum tcpwhy_state)o->state)), ok);
	value_put(j, "expires_s", expiry_of(r, o), ok);
	/* Without a process it is what the kernel shows for want of one: 0. */
	value_put(j, "uid", o->uid_known && h->seen.inode ? json_integer(o->uid) : json_null(), ok);
	value_put(j, "inode", h->seen.inode ? json_integer(h->seen.inode) : json_null(), ok);
	value_put(j, "reuseaddr", reuse_of(o->reuse), ok);
	value_put(j, "reuseport", tri_of(o->reuseport), ok);
	value_put(j, "owners", owners_of(h, ok), ok);
	return j;
}

static json_t *blockers_of(const struct result *r, bool *ok)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->holders_n; i++)
		json_array_append_new(list, blocker_of(r, &r->holders[i], ok));
	return list;
}

static json_t *cures_of(const struct result *r, bool *ok)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->cures_n; i++) {
		const struct cure *c = &r->cures[i];
		json_t *j = json_object();
		value_put(j, "id", json_string(c->id), ok);
		value_put(j, "does", value_string(c->does), ok);
		value_put(j, "costs", value_string(c->costs), ok);
		value_put(j, "proven", json_boolean(c->proven), ok);
		value_put(j, "command", value_string_or_null(c->command), ok);
		json_array_append_new(list, j);
	}
	return list;
}

static json_t *no_help_of(const struct result *r, bool *ok)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->no_help_n; i++) {
		json_t *j = json_object();
		value_put(j, "what", value_string(r->no_help[i].what), ok);
		value_put(j, "because", value_string(r->no_help[i].because), ok);
		json_array_append_new(list, j);
	}
	return list;
}

static json_t *unknown_of(const struct result *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->unknown_n; i++)
		json_array_append_new(list, value_string(r->unknown[i]));
	return list;
}

static json_t *sources_of(const struct result *r)
{
	static const char *const names[] = {"bind-hash", "iter-tcp", "pidfd", "sock-diag",
					    "proc-net"};
	json_t *list = json_array();

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (r->sources >> i & 1)
			json_array_append_new(list, json_string(names[i]));
	return list;
}

/* Of range_taken, the TIME_WAIT that connect() may not take over, by reason. */
static json_t *kept_of(const struct tcpwhy_verdict *v, bool *ok)
{
	static const char *const names[TCPWHY_TW_REASONS] = {
		[TCPWHY_TW_NO_TIMESTAMPS] = "no_timestamps",
		[TCPWHY_TW_FIN_WAIT2] = "fin_wait2",
		[TCPWHY_TW_REUSE_OFF] = "reuse_off",
		[TCPWHY_TW_LOOPBACK_ONLY] = "loopback_only",
		[TCPWHY_TW_TOO_YOUNG] = "too_young",
	};
	json_t *j = json_object();

	for (unsigned i = 0; i < TCPWHY_TW_REASONS; i++)
		value_put(j, names[i], json_integer(v->tw_kept[i]), ok);
	return j;
}

static void put_connect_ports(json_t *p, const struct result *r, bool *ok)
{
	const struct tcpwhy_verdict *v = &r->verdict;
	double left_s = v->next_free_ns > r->taken_ns
				? (double)((v->next_free_ns - r->taken_ns) / 1000000) / 1000
				: 0;

	value_put(p, "low", json_integer(r->connect.port_low), ok);
	value_put(p, "high", json_integer(r->connect.port_high), ok);
	value_put(p, "reusable", json_integer(v->range_reusable), ok);
	value_put(p, "owned_by_bind", json_integer(v->range_owned), ok);
	value_put(p, "time_wait_kept", kept_of(v, ok), ok);
	value_put(p, "next_free_s", v->next_free_ns ? json_real(left_s) : json_null(), ok);
	value_put(p, "free_within_10s", json_integer(v->free_within_10s), ok);
}

/* The ports of a bind(0) and of a connect(). */
static void put_ports(json_t *j, const struct result *r, bool *ok)
{
	const struct tcpwhy_verdict *v = &r->verdict;
	json_t *p = json_object();

	if (r->call == TCPWHY_CALL_CONNECT)
		put_connect_ports(p, r, ok);
	value_put(p, "total", json_integer(v->range_total), ok);
	value_put(p, "free", json_integer(v->range_free), ok);
	value_put(p, "taken", json_integer(v->range_taken), ok);
	value_put(p, "reserved", json_integer(v->range_reserved), ok);
	value_put(p, "unknown", json_integer(v->range_unknown), ok);
	value_put(j, "ports", p, ok);
}

static json_t *try_of(const struct result *r, bool *ok)
{
	const struct result_try *t = &r->tried;

	if (!t->done)
		return json_null();
	json_t *j = json_object();
	value_put(j, "errno", t->error ? json_string(name_errno(t->error)) : json_null(), ok);
	value_put(j, "at", t->error ? value_string_or_null(name_call(t->at)) : json_null(), ok);
	value_put(j, "agrees", json_boolean(report_try_agrees(r)), ok);
	return j;
}

static json_t *result_of(const struct result *r, bool *ok)
{
	const struct tcpwhy_verdict *v = &r->verdict;
	bool good = v->answer == TCPWHY_OK;
	json_t *j = json_object();

	value_put(j, "schema", json_integer(1), ok);
	value_put(j, "question",
		  r->call == TCPWHY_CALL_CONNECT ? connect_of(r, ok) : question_of(r, ok), ok);
	value_put(j, "release", value_string(r->release), ok);
	value_put(j, "kernel", value_string(r->kernel), ok);
	value_put(j, "answer", json_string(answer_name(v->answer)), ok);
	value_put(j, "errno", good || !v->error ? json_null() : json_string(name_errno(v->error)),
		  ok);
	value_put(j, "at", good ? json_null() : value_string_or_null(name_call(v->at)), ok);
	value_put(j, "rule", good || !r->rule ? json_null() : json_string(r->rule->id), ok);
	value_put(j, "because", value_string(r->because), ok);
	value_put(j, "blockers", blockers_of(r, ok), ok);
	value_put(j, "blockers_total", json_integer(v->holders), ok);
	value_put(j, "cures", cures_of(r, ok), ok);
	value_put(j, "no_help", no_help_of(r, ok), ok);
	value_put(j, "unknown", unknown_of(r), ok);
	value_put(j, "sources", sources_of(r), ok);
	if (r->call == TCPWHY_CALL_CONNECT ? v->range_total != 0 : !r->question.port)
		put_ports(j, r, ok);
	value_put(j, "try", try_of(r, ok), ok);
	return j;
}

bool report_json(const struct result *r, FILE *out)
{
	bool ok = true;
	json_t *j = result_of(r, &ok);

	ok = ok && json_dumpf(j, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) == 0;
	json_decref(j);
	return ok && fputc('\n', out) != EOF && fflush(out) == 0;
}

bool report_error_json(const char *text, FILE *out)
{
	json_t *j = json_object();
	bool ok = true;

	value_put(j, "schema", json_integer(1), &ok);
	value_put(j, "error", value_string(text), &ok);
	if (ok)
		return value_print(j, out);
	json_decref(j);
	return false;
}
