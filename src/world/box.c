/* SPDX-License-Identifier: MIT
 *
 * A segment at a box: translated, filtered, forwarded
 *
 * As netfilter has it: the destination is translated, then filters are asked, then the source is
 * translated. A box has no TCP of its own: what is for itself is answered as by a closed port.
 */
#include "world/state.h"

static const struct rule *first_fit(const struct node *n, const struct segment *s, bool source)
{
	for (uint32_t i = 0; i < n->n_rules; i++) {
		const struct rule *r = &n->rules[i];
		bool of_kind = source ? r->action == RULE_SNAT
				      : r->action == RULE_DNAT || r->action == RULE_BALANCE;
		if (of_kind && r->n_to && rule_fits(r, s))
			return r;
	}
	return NULL;
}

static bool is_new(const struct segment *s)
{
	return (s->flags & (SEGMENT_SYN | SEGMENT_ACK | SEGMENT_RST)) == SEGMENT_SYN;
}

static void answer_by(struct world *w, const struct node *n, const struct rule *filter,
		      const struct segment *s)
{
	struct segment answer;

	if (filter_answer(filter, s, &answer))
		node_send(w, n->number, &answer);
}

static void answer_reset(struct world *w, const struct node *n, const struct segment *s)
{
	struct segment reset;

	if (filter_reset(s, &reset))
		node_send(w, n->number, &reset);
}

static struct tcpwhy_addr target(struct node *n, const struct rule *r)
{
	return r->action == RULE_BALANCE ? r->to[n->box.turn++ % r->n_to] : r->to[0];
}

/* A session for a segment that begins one; NIL: none begins. *lost: but it should. */
static uint32_t begin(struct world *w, struct node *n, const struct segment *s, bool *lost)
{
	const struct rule *dnat = first_fit(n, s, false);
	struct segment after = *s;

	if (s->flags & SEGMENT_RST || (dnat && dnat->action == RULE_BALANCE && !is_new(s)))
		return NIL;
	if (dnat) {
		after.to = target(n, dnat);
		after.to_port = dnat->to_port ? dnat->to_port : s->to_port;
	}
	const struct rule *snat = first_fit(n, &after, true);
	if (snat)
		after.from = snat->to[0];
	if (!dnat && !snat)
		return NIL;
	uint32_t i = session_begin(w, n, s, &after, snat);
	*lost = i == NIL;
	if (i != NIL && dnat && dnat->action == RULE_BALANCE) {
		n->box.sessions[i].belief = dnat->balancer;
		n->box.sessions[i].reset_ns = dnat->balancer.closed_ns;
	}
	return i;
}

/* Of a connection that a balancer no longer knows, from either side. */
static const struct rule *balancer_of_stray(const struct node *n, const struct segment *s)
{
	for (uint32_t i = 0; i < n->n_rules; i++) {
		const struct rule *r = &n->rules[i];
		if (r->action != RULE_BALANCE)
			continue;
		if (rule_fits(r, s))
			return r;
		uint16_t port = r->to_port ? r->to_port : r->port;
		for (unsigned j = 0; j < r->n_to && (!port || port == s->from_port); j++)
			if (address_equal(&r->to[j], &s->from))
				return r;
	}
	return NULL;
}

static void forward(struct world *w, const struct node *n, const struct segment *s)
{
	if (!route_is_local(w, n->number, &s->to))
		node_send(w, n->number, s);
	else if (!s->error)
		answer_reset(w, n, s);
}

static void without_session(struct world *w, const struct node *n, const struct segment *s)
{
	const struct rule *balancer = balancer_of_stray(n, s);

	if (balancer) {
		if (balancer->balancer.resets_strays && !s->error)
			answer_reset(w, n, s);
		return;
	}
	const struct rule *filter = filter_find(n, RULE_FORWARD, s);
	if (filter)
		answer_by(w, n, filter, s);
	else
		forward(w, n, s);
}

static void with_session(struct world *w, struct node *n, uint32_t i, unsigned direction,
			 const struct segment *s)
{
	struct tracked t = n->box.sessions[i];
	struct segment passes = *s;

	session_translate_to(&t, direction, &passes);
	const struct rule *filter = filter_find(n, RULE_FORWARD, &passes);
	if (filter) {
		answer_by(w, n, filter, s);
	} else {
		/* ICMP tells nothing of the connection (nf_conntrack_icmp_error()). */
		if (!s->error)
			session_learn(w, n, i, direction, s);
		session_translate_from(&t, direction, &passes);
		forward(w, n, &passes);
	}
	if (!n->box.sessions[i].confirmed)
		session_end(w, n, i);
}

/* A balancer is a program in user space that takes TCP from the wire and puts TCP on it, and where
 * there is one its box's kernel forwards nothing: ICMP from either side reaches nobody, as in the
 * kernel's stage (kernel_balance.c). IPVS, inside the kernel, would translate the quoted segment
 * and send the error on: who means that takes dnat, which does. */
static bool ignores(const struct node *n, const struct segment *s)
{
	return n->box.is_proxy && s->error;
}

void box_segment(struct world *w, struct node *n, const struct segment *s)
{
	unsigned direction = 0;
	bool lost = false;
	uint32_t i;

	if (ignores(n, s))
		return;
	i = session_find(&n->box, s, &direction);
	if (i == NIL && !s->error)
		i = begin(w, n, s, &lost);
	if (i != NIL)
		with_session(w, n, i, direction, s);
	else if (!lost)
		without_session(w, n, s);
}

bool box_is_plain(const struct node *n)
{
	return !n->n_rules && !n->box.used;
}
