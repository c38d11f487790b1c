/* SPDX-License-Identifier: MIT
 *
 * Filters of a node: whom they drop, whom they reject, and with what (nf_send_reset(),
 * nf_send_unreach())
 */
#include "world/state.h"

bool rule_fits(const struct rule *r, const struct segment *s)
{
	return (!r->from_len || address_in_prefix(&s->from, &r->from, r->from_len)) &&
	       (!r->at_len || address_in_prefix(&s->to, &r->at, r->at_len)) &&
	       (!r->from_port || r->from_port == s->from_port) &&
	       (!r->port || r->port == s->to_port) && (s->flags & r->flags_set) == r->flags_set &&
	       !(s->flags & r->flags_clear);
}

static bool is_filter(const struct rule *r)
{
	return r->action == RULE_DROP || r->action == RULE_REJECT_RST ||
	       r->action == RULE_REJECT_ICMP;
}

/* Rules speak of TCP: ICMP passes. */
const struct rule *filter_find(const struct node *n, enum rule_place place, const struct segment *s)
{
	for (uint32_t i = 0; i < n->n_rules && !s->error; i++) {
		const struct rule *r = &n->rules[i];
		if (is_filter(r) && r->place == place && rule_fits(r, s))
			return r;
	}
	return NULL;
}

bool filter_answer(const struct rule *r, const struct segment *s, struct segment *answer)
{
	if (r->action == RULE_DROP)
		return false;
	if (r->action == RULE_REJECT_RST)
		return filter_reset(s, answer);
	*answer = (struct segment){.from = s->to,
				   .to = s->from,
				   .from_port = s->to_port,
				   .to_port = s->from_port,
				   .error = r->error ? r->error : SEGMENT_PORT_UNREACHABLE,
				   .seq = s->seq};
	return true;
}

bool filter_reset(const struct segment *s, struct segment *reset)
{
	if (s->flags & SEGMENT_RST)
		return false;
	*reset = (struct segment){.from = s->to,
				  .to = s->from,
				  .from_port = s->to_port,
				  .to_port = s->from_port,
				  .flags = SEGMENT_RST};
	if (s->flags & SEGMENT_ACK) {
		reset->seq = s->ack;
	} else {
		reset->flags |= SEGMENT_ACK;
		reset->ack = segment_end(s);
	}
	return true;
}
