/* SPDX-License-Identifier: MIT */
#include "explain/asked.h"

/* What no cure can make visible: it must not spoil the proof of a cure that has nothing to do with
 * it. */
#define NOT_OF_THE_CURE                                                                            \
	((uint32_t)(TCPWHY_MISSING_OWNERS | TCPWHY_MISSING_PRIVILEGE | TCPWHY_MISSING_LOCAL |      \
		    TCPWHY_MISSING_CONNECT_BIND | TCPWHY_MISSING_PROGRAM))

static enum trial judge(const struct tcpwhy_verdict *before, const struct tcpwhy_verdict *after)
{
	switch (after->answer) {
	case TCPWHY_OK:
		return before->answer == TCPWHY_OK ? TRIAL_NO : TRIAL_PROVEN;
	case TCPWHY_REFUSED:
		return TRIAL_NO;
	case TCPWHY_DEPENDS:
		if (after->missing & ~NOT_OF_THE_CURE || after->holders)
			return TRIAL_NO;
		if (before->answer == TCPWHY_DEPENDS && before->missing == after->missing)
			return TRIAL_NO;
		return TRIAL_AS_SEEN;
	}
	return TRIAL_NO;
}

enum trial asked_try(struct asked *a, const struct load_change *change,
		     const struct tcpwhy_bind_request *q, struct tcpwhy_verdict *v)
{
	struct tcpwhy_engine *e;
	struct tcpwhy_verdict after;

	if (load_engine(&a->few.snap, a->row, change, a->memory, &e)) {
		a->no_memory = true;
		return TRIAL_NO;
	}
	tcpwhy_would_bind(e, q ? q : &a->question->bind, &after);
	tcpwhy_engine_free(e);
	if (v)
		*v = after;
	return judge(&a->verdict, &after);
}

enum trial asked_try_connect(struct asked *a, const struct load_change *change,
			     const struct tcpwhy_connect_request *q, struct tcpwhy_verdict *v)
{
	struct tcpwhy_engine *e;
	struct tcpwhy_verdict after;

	/* With all owners: two connections that differ in nothing but their peer are two here. */
	if (load_engine(a->snap, a->row, change, a->memory, &e)) {
		a->no_memory = true;
		return TRIAL_NO;
	}
	tcpwhy_would_connect(e, q ? q : &a->connect->connect, &after);
	tcpwhy_engine_free(e);
	if (v)
		*v = after;
	return judge(&a->verdict, &after);
}

uint32_t asked_tw_kept(const struct tcpwhy_verdict *v)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < TCPWHY_TW_REASONS; i++)
		n += v->tw_kept[i];
	return n;
}

uint32_t asked_holders(const struct tcpwhy_verdict *v, enum tcpwhy_holder from,
		       enum tcpwhy_holder to)
{
	uint32_t n = 0;

	for (unsigned c = from; c <= (unsigned)to; c++)
		n += v->by_class[c];
	return n;
}

enum tcpwhy_holder asked_class(const struct tcpwhy_verdict *v)
{
	/* The bind rules of holders stand in the order of the classes. */
	_Static_assert(TCPWHY_RULE_BIND_UNKNOWN - TCPWHY_RULE_BIND_TW_NEEDS_REUSE ==
			       (int)TCPWHY_H_UNKNOWN,
		       "one rule for each class of holder, in the same order");
	if (v->rule >= TCPWHY_RULE_BIND_TW_NEEDS_REUSE && v->rule <= TCPWHY_RULE_BIND_UNKNOWN)
		return (enum tcpwhy_holder)(v->rule - TCPWHY_RULE_BIND_TW_NEEDS_REUSE);
	if (v->rule != TCPWHY_RULE_LISTEN_SECOND_GATE)
		return TCPWHY_HOLDER_CLASSES;
	for (unsigned c = TCPWHY_H_UNKNOWN; c-- > 0;)
		if (v->by_class[c])
			return (enum tcpwhy_holder)c;
	return v->by_class[TCPWHY_H_UNKNOWN] ? TCPWHY_H_UNKNOWN : TCPWHY_HOLDER_CLASSES;
}

bool asked_options_unknown(const struct asked *a)
{
	for (size_t i = 0; i < a->few.snap.owners_n; i++) {
		const struct tcpwhy_owner *o = &a->few.snap.owners[i].o;
		if (o->port == a->question->bind.port &&
		    (o->reuse == TCPWHY_REUSE_UNKNOWN || o->reuseport == TCPWHY_UNKNOWN))
			return true;
	}
	return false;
}

bool asked_only_timed(const struct tcpwhy_verdict *v)
{
	return v->holders && v->last_expiry_ns;
}
