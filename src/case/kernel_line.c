/* SPDX-License-Identifier: MIT
 *
 * Lines: their controls are rules of relays, and what passed them is the trace
 */
#include "case/kernel_state.h"

#include "base/address.h"
#include "base/assert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Bits and directions are the same on both sides. */
_Static_assert((int)SEGMENT_FIN == FRAME_FIN && (int)SEGMENT_SYN == FRAME_SYN &&
		       (int)SEGMENT_RST == FRAME_RST && (int)SEGMENT_PSH == FRAME_PSH &&
		       (int)SEGMENT_ACK == FRAME_ACK,
	       "flags");
_Static_assert((int)LINE_FROM_0 == RELAY_A && (int)LINE_FROM_1 == RELAY_B, "directions");

static const struct kernel_link *link_at(const struct kernel_stage *k, int link)
{
	must(link >= 0 && (size_t)link < k->n_links);
	return &k->links[link];
}

static int no_relay(struct err *err)
{
	return kernel_fail(err, STAGE_CANNOT,
			   "a plain link of the kernel stage cannot delay or lose: tap it");
}

int kernel_set_delay(struct stage *st, int link, enum line_direction d, uint64_t delay_ns,
		     struct err *err)
{
	struct kernel_stage *k = kernel_of(st);

	if (!link_at(k, link)->relayed)
		return no_relay(err);
	for (int side = 0; side < 2; side++)
		if (d == LINE_BOTH || (int)d == side)
			relay_set_delay(stage_kernel_relay(k->scene, link), (enum relay_side)side,
					delay_ns);
	return 0;
}

int kernel_set_loss(struct stage *st, int link, enum line_direction d, uint32_t loss_ppm,
		    struct err *err)
{
	struct kernel_stage *k = kernel_of(st);

	if (!link_at(k, link)->relayed)
		return no_relay(err);
	for (int side = 0; side < 2; side++)
		if (d == LINE_BOTH || (int)d == side)
			relay_set_loss(stage_kernel_relay(k->scene, link), (enum relay_side)side,
				       loss_ppm);
	return 0;
}

/* ---------------------------------------------------------------------------------------- controls
 */

static struct relay_rule rule_of(const struct line_control *c)
{
	static const enum relay_action actions[] = {
		[LINE_PASS] = RELAY_PASS, [LINE_DROP] = RELAY_DROP, [LINE_DELAY] = RELAY_DELAY,
		[LINE_COPY] = RELAY_COPY, [LINE_HOLD] = RELAY_HOLD, [LINE_SWAP] = RELAY_SWAP,
	};
	static const enum pick_payload payloads[] = {[LINE_ANY_LENGTH] = PICK_ANY_LENGTH,
						     [LINE_EMPTY] = PICK_EMPTY,
						     [LINE_DATA] = PICK_DATA};

	return (struct relay_rule){
		.pick = {.flags_set = c->pick.flags_set,
			 .flags_clear = c->pick.flags_clear,
			 .from_port = c->pick.from_port,
			 .to_port = c->pick.to_port,
			 .payload = payloads[c->pick.data]},
		.action = actions[c->action],
		.delay_ns = c->delay_ns,
		.skip = c->skip,
		.every = c->every,
		.times = c->times,
	};
}

/* The model has room for more. */
static int no_room(struct err *err)
{
	snprintf(err->text, sizeof(err->text),
		 "the kernel stage has %d line controls, %d of them on a link at a time",
		 KERNEL_CONTROLS, RELAY_RULES);
	return STAGE_CANNOT;
}

int kernel_add_control(struct stage *st, int link, enum line_direction d,
		       const struct line_control *c, struct err *err)
{
	struct kernel_stage *k = kernel_of(st);
	const struct relay_rule r = rule_of(c);

	must(d != LINE_BOTH);
	if (!link_at(k, link)->tapped)
		return kernel_fail(err, -EINVAL, "that link is not tapped");
	if (k->n_controls == KERNEL_CONTROLS)
		return no_room(err);
	const int rule = relay_add_rule(stage_kernel_relay(k->scene, link), (enum relay_side)d, &r);
	if (rule == -ENOSPC)
		return no_room(err);
	if (rule < 0)
		return kernel_fail(err, rule, "line control");
	k->controls[k->n_controls] = (struct kernel_control){link, rule, d};
	return k->n_controls++;
}

static struct kernel_control *control_at(struct kernel_stage *k, int control)
{
	must(control >= 0 && control < k->n_controls);
	return &k->controls[control];
}

static struct relay *relay_of(struct kernel_stage *k, const struct kernel_control *c)
{
	return stage_kernel_relay(k->scene, c->link);
}

void kernel_remove_control(struct stage *st, int control)
{
	struct kernel_stage *k = kernel_of(st);
	struct kernel_control *c = control_at(k, control);

	if (c->rule >= 0)
		relay_del_rule(relay_of(k, c), c->rule);
	c->rule = -1;
}

unsigned kernel_fired(struct stage *st, int control)
{
	struct kernel_stage *k = kernel_of(st);
	const struct kernel_control *c = control_at(k, control);

	return c->rule < 0 ? 0 : relay_fired(relay_of(k, c), c->rule);
}

unsigned kernel_held(struct stage *st, int control)
{
	struct kernel_stage *k = kernel_of(st);
	const struct kernel_control *c = control_at(k, control);

	return c->rule < 0 ? 0 : relay_held(relay_of(k, c), c->rule);
}

unsigned kernel_release(struct stage *st, int control)
{
	struct kernel_stage *k = kernel_of(st);
	const struct kernel_control *c = control_at(k, control);

	return c->rule < 0 ? 0 : relay_release(relay_of(k, c), c->rule);
}

/* -------------------------------------------------------------------------------- written segments
 */

/* A SYN without the option would mean 536 bytes (RFC 9293 3.7.1). */
enum { MSS_V4 = 1460, MSS_V6 = 1440 };

static struct frame frame_of(const struct segment *s, const uint8_t *payload)
{
	const bool syn = s->flags & SEGMENT_SYN;

	return (struct frame){
		.from = s->from,
		.to = s->to,
		.from_port = s->from_port,
		.to_port = s->to_port,
		.flags = s->flags,
		.window = (uint16_t)(s->window < UINT16_MAX ? s->window : UINT16_MAX),
		.seq = s->seq,
		.ack = s->ack,
		.has_mss = syn,
		.mss = address_is_v4(&s->to) ? MSS_V4 : MSS_V6,
		.has_timestamps = s->has_timestamp,
		.tsval = s->tsval,
		.tsecr = s->tsecr,
		.sack_permitted = s->sack_permitted,
		.n_sacks = s->has_sack,
		.sacks = {{s->sack_left, s->sack_edge}},
		.payload_len = (uint16_t)s->length,
		.payload = payload,
	};
}

int kernel_inject(struct stage *st, int link, enum line_direction d, const struct segment *s,
		  struct err *err)
{
	static const uint8_t payload[UINT16_MAX];
	struct kernel_stage *k = kernel_of(st);

	must(d != LINE_BOTH);
	if (!link_at(k, link)->tapped)
		return kernel_fail(err, -EINVAL, "that link is not tapped");
	if (s->length > UINT16_MAX)
		return kernel_fail(err, -EMSGSIZE, "a written segment");
	const struct frame f = frame_of(s, payload);
	const int rc = relay_inject(stage_kernel_relay(k->scene, link), (enum relay_side)d, &f);
	return rc ? kernel_fail(err, rc, "a written segment") : 0;
}

/* --------------------------------------------------------------------------------------- the trace
 */

static struct segment segment_of(const struct frame *f)
{
	struct segment s = {
		.from = f->from,
		.to = f->to,
		.from_port = f->from_port,
		.to_port = f->to_port,
		.flags = f->flags & 0x1f,
		.sack_permitted = f->sack_permitted,
		.has_timestamp = f->has_timestamps,
		.has_sack = f->n_sacks > 0,
		.seq = f->seq,
		.ack = f->flags & FRAME_ACK ? f->ack : 0,
		.length = f->payload_len,
		.window = f->window, /* hosts do not scale */
		.tsval = f->tsval,
		.tsecr = f->tsecr,
	};

	for (unsigned i = 0; i < f->n_sacks; i++)
		if (!i || seq_after(f->sacks[i].right, s.sack_edge)) {
			s.sack_left = f->sacks[i].left;
			s.sack_edge = f->sacks[i].right;
		}
	return s;
}

size_t kernel_trace_count(struct stage *st)
{
	return capture_count(kernel_of(st)->capture);
}

bool kernel_trace(struct stage *st, size_t i, struct line_record *out)
{
	static const uint8_t passages[] = {[CAPTURE_ON_ITS_WAY] = LINE_ON_ITS_WAY,
					   [CAPTURE_ARRIVED] = LINE_DELIVERED,
					   [CAPTURE_LOST] = LINE_LOST,
					   [CAPTURE_REFUSED] = LINE_LOST};
	static const uint8_t origins[] = {[CAPTURE_SENT] = LINE_SENT,
					  [CAPTURE_COPY] = LINE_COPIED,
					  [CAPTURE_INJECTED] = LINE_INJECTED};
	struct kernel_stage *k = kernel_of(st);
	struct capture_record r;

	if (!capture_get(k->capture, i, &r))
		return false;
	*out = (struct line_record){
		.sent_ns = kernel_to_stage(k, r.sent_ns),
		.arrived_ns = kernel_to_stage(k, r.arrived_ns),
		.link = r.wire,
		.direction = r.side,
		.passage = passages[r.fate],
		.origin = origins[r.origin],
		.segment = segment_of(&r.frame),
	};
	return true;
}

size_t kernel_head(struct stage *st, size_t i, uint8_t out[static STAGE_HEAD])
{
	struct capture_record r;

	if (!capture_get(kernel_of(st)->capture, i, &r))
		return 0;
	memcpy(out, r.bytes, STAGE_HEAD);
	return r.len < STAGE_HEAD ? r.len : STAGE_HEAD;
}

_Static_assert((int)STAGE_HEAD == (int)CAPTURE_BYTES, "what is kept of a frame");
_Static_assert((int)STAGE_COUNTED == (int)CAPTURE_COUNTED, "kinds of counters");

/* Of a record that nobody looked at nothing is known, and nothing will be. */
int kernel_sight(struct stage *st, size_t i, struct stage_sight *out)
{
	struct kernel_stage *k = kernel_of(st);
	struct capture_record r;

	*out = (struct stage_sight){0};
	if (!capture_get(k->capture, i, &r))
		return 1;
	for (int end = 0; end < 2; end++) {
		out->state[end] = r.sight[end].state;
		out->session[end] = r.sight[end].session;
	}
	out->n_counted = r.sight[1].n_counted;
	for (unsigned n = 0; n < out->n_counted; n++) {
		out->counted[n].counter = r.sight[1].counted[n].counter;
		out->counted[n].times = r.sight[1].counted[n].times;
	}
	return capture_is_over(&r);
}
