/* SPDX-License-Identifier: MIT
 *
 * What people try next and what will not help them here. Whether it helps depends on the holder
 * (tcp_fin_timeout frees an orphan's FIN_WAIT2, never a TIME_WAIT), so each is tried in the engine
 * before it is called useless.
 */
#include "explain/asked.h"

#include "base/text.h"

void no_help_add(struct result *out, const char *what, const char *because)
{
	if (out->no_help_n == RESULT_CURES_MAX)
		return;
	struct no_help *n = &out->no_help[out->no_help_n++];
	struct text t = text_in(n->what, sizeof(n->what));
	text_add(&t, what);
	t = text_in(n->because, sizeof(n->because));
	text_add(&t, because);
}

static bool sysctls_help(struct asked *a, const struct tcpwhy_sysctls *s)
{
	struct load_change change = {.sysctls = s};

	return asked_try(a, &change, NULL, NULL) != TRIAL_NO;
}

static uint32_t time_waits(const struct asked *a)
{
	return asked_holders(&a->verdict, TCPWHY_H_TW_NEEDS_REUSE, TCPWHY_H_TW_WITHOUT_REUSE);
}

static void tw_reuse(struct asked *a, struct result *out)
{
	struct tcpwhy_sysctls s = a->sysctls;

	s.tw_reuse = 1;
	if (time_waits(a) && !sysctls_help(a, &s))
		no_help_add(out, "net.ipv4.tcp_tw_reuse", "for connect() only");
}

static void fin_timeout(struct asked *a, struct result *out)
{
	struct tcpwhy_sysctls s = a->sysctls;

	s.fin_timeout_s = 1;
	if (time_waits(a) && !sysctls_help(a, &s))
		no_help_add(out, "net.ipv4.tcp_fin_timeout",
			    "for FIN_WAIT2 only; TIME_WAIT is always 60 s");
}

/* Why an option that the new socket lacked is not enough, by what then decides. */
static const char *why_not(const struct tcpwhy_verdict *after, const char *lacking)
{
	switch (asked_class(after)) {
	case TCPWHY_H_LISTENER:
	case TCPWHY_H_LISTENER_OTHER_UID:
	case TCPWHY_H_BOUND_OTHER_UID:
	case TCPWHY_H_REUSEPORT_STEERED:
		break;
	case TCPWHY_H_TW_NEEDS_REUSE:
	case TCPWHY_H_TW_WITHOUT_REUSE:
	case TCPWHY_H_FW2_NEEDS_REUSE:
	case TCPWHY_H_FW2_WITHOUT_REUSE:
	case TCPWHY_H_CONN_NEEDS_REUSE:
	case TCPWHY_H_CONN_WITHOUT_REUSE:
	case TCPWHY_H_OUT_NEEDS_REUSE:
	case TCPWHY_H_OUT_WITHOUT_REUSE:
	case TCPWHY_H_BOUND_NEEDS_REUSE:
	case TCPWHY_H_BOUND_WITHOUT_REUSE:
	case TCPWHY_H_UNKNOWN:
	case TCPWHY_HOLDER_CLASSES:
		return lacking;
	}
	return NULL;
}

static void reuseaddr_alone(struct asked *a, struct result *out)
{
	struct tcpwhy_bind_request q = a->question->bind;
	struct tcpwhy_verdict after;

	if (q.reuse != TCPWHY_REUSE_NO || asked_class(&a->verdict) == TCPWHY_HOLDER_CLASSES)
		return;
	q.reuse = TCPWHY_REUSE_CAN;
	if (asked_try(a, NULL, &q, &after) != TRIAL_NO || after.answer != TCPWHY_REFUSED)
		return;
	const char *because = why_not(&after, "what holds the port lacks it");
	no_help_add(out, "SO_REUSEADDR on the new socket alone",
		    because ? because : "never past a listener");
}

static void reuseport_alone(struct asked *a, struct result *out)
{
	struct tcpwhy_bind_request q = a->question->bind;
	struct tcpwhy_verdict after;

	if (q.reuseport || asked_class(&a->verdict) == TCPWHY_HOLDER_CLASSES)
		return;
	q.reuseport = true;
	if (asked_try(a, NULL, &q, &after) != TRIAL_NO || after.answer != TCPWHY_REFUSED)
		return;
	enum tcpwhy_holder c = asked_class(&after);
	bool other_uid = c == TCPWHY_H_LISTENER_OTHER_UID || c == TCPWHY_H_BOUND_OTHER_UID;
	no_help_add(out, "SO_REUSEPORT on the new socket alone",
		    other_uid ? "the uids differ" : "what holds the port lacks it");
}

/* A privilege or a freebind that only leads to the next refusal: said, or one would try it in vain.
 */
static void next_refusal(struct asked *a, struct result *out, const struct tcpwhy_bind_request *q,
			 const char *what)
{
	struct tcpwhy_verdict after;
	char because[CURE_TEXT_MAX];
	struct text t = text_in(because, sizeof(because));

	if (asked_try(a, NULL, q, &after) != TRIAL_NO || after.answer != TCPWHY_REFUSED ||
	    after.rule == a->verdict.rule)
		return;
	text_add(&t, "the next refusal is ");
	text_add(&t, tcpwhy_rule_info(after.rule)->id);
	no_help_add(out, what, because);
}

static void first_gate_alone(struct asked *a, struct result *out)
{
	struct tcpwhy_bind_request q = a->question->bind;

	if (a->verdict.rule == TCPWHY_RULE_BIND_PRIVILEGED) {
		q.may_bind_low = TCPWHY_YES;
		next_refusal(a, out, &q, "CAP_NET_BIND_SERVICE alone");
	} else if (a->verdict.rule == TCPWHY_RULE_BIND_NOT_LOCAL) {
		q.freebind = true;
		next_refusal(a, out, &q, "IP_FREEBIND alone");
	}
}

void no_help_find(struct asked *a, struct result *out)
{
	tw_reuse(a, out);
	fin_timeout(a, out);
	reuseaddr_alone(a, out);
	reuseport_alone(a, out);
	first_gate_alone(a, out);
}
