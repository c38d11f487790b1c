/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "engine/state.h"

void verdict_ok(struct tcpwhy_verdict *v, uint16_t port)
{
	v->answer = TCPWHY_OK;
	v->port = port;
}

void verdict_refuse(struct tcpwhy_verdict *v, enum tcpwhy_call at, int error, enum tcpwhy_rule rule)
{
	v->answer = TCPWHY_REFUSED;
	v->at = at;
	v->error = error;
	v->rule = rule;
}

void verdict_tally(const struct tcpwhy_engine *e, struct tcpwhy_verdict *v, const struct tally *t)
{
	memcpy(v->by_class, t->by_class, sizeof(v->by_class));
	v->holders = t->holders;
	v->missing |= t->missing;
	v->first = sock_handle(e, t->first);
	v->last_expiry_ns = t->untimed ? 0 : t->last_expiry_ns;
}
