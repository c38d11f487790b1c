/* SPDX-License-Identifier: MIT
 *
 * Filters of a node: whom they drop, whom they reject, and with which RST (nf_send_reset())
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

enum filter_answer filter_ask(const struct node *n, enum rule_place place, const struct segment *s)
{
	for (uint32_t i = 0; i < n->n_rules; i++) {
		const struct rule *r = &n->rules[i];
		bool filters = r->action == RULE_DROP || r->action == RULE_REJECT_RST;
		if (filters && r->place == place && rule_fits(r, s))
			return r->action == RULE_DROP ? FILTER_DROP : FILTER_RESET;
	}
	return FILTER_PASS;
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
