/* SPDX-License-Identifier: MIT
 *
 * Segments as they pass, and what the two ends look like then: states, counters, beliefs
 *
 * In the model nothing happens between two events, so it is looked at here. The kernel does not
 * wait: there the stage has looked (stage_ops.sight), and here it is only read.
 */
#include "case/belief.h"
#include "case/story_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void story_observe_begin(struct story *s)
{
	if (s->config->observe)
		s->counted = calloc(s->play->nodes_n, sizeof(*s->counted));
}

void story_observe_end(struct story *s)
{
	free(s->counted);
}

/* ----------------------------------------------------------------------------------- in the model
 */

enum {
	LISTED = 1024,      /* sockets of a host that are searched for a listener */
	COUNTED_NODES = 16, /* of a play whose hosts are asked after each event */
};

/* Rarely asked: only of a SYN that found no room, or nobody. */
static bool listens(const struct story *s, int host, const struct tcpwhy_addr *at, uint16_t port)
{
	struct stage_sock *socks = malloc(LISTED * sizeof(*socks));
	struct err err;
	int n = socks ? s->stage->ops->list(s->stage, host, socks, LISTED, &err) : 0;
	bool found = false;

	sandbox_spend(s->l, n > 0 ? (uint64_t)n / 16 : 0);
	for (int i = 0; i < n && i < LISTED && !found; i++)
		found = socks[i].state == TCPWHY_LISTEN && socks[i].port == port &&
			(address_is_any(&socks[i].local) || address_equal(&socks[i].local, at));
	free(socks);
	return found;
}

/* The state of the host that sent s, or of the one that got it. Without a socket a SYN is a
 * listener's, or nobody's. */
static uint8_t state_of(const struct story *s, int node, const struct segment *g, bool sender)
{
	const struct tcpwhy_addr *here = sender ? &g->from : &g->to;
	const struct tcpwhy_addr *there = sender ? &g->to : &g->from;
	const uint16_t port = sender ? g->from_port : g->to_port;
	struct stage_sock sock;

	if (!s->stage->ops->find(s->stage, node, here, port, there,
				 sender ? g->to_port : g->from_port, &sock))
		return sock.state;
	bool opening = (g->flags & (SEGMENT_SYN | SEGMENT_ACK)) == SEGMENT_SYN;
	return opening && !sender && listens(s, node, here, port) ? TCPWHY_LISTEN : TCPWHY_CLOSE;
}

/* What the host counted since the last event, but for connections that opened: the states show
 * those. */
static void count(struct story *s, int node, struct stage_sight *out)
{
	uint64_t now[COUNTER_COUNT];

	if (!s->counted)
		return;
	s->stage->ops->counters(s->stage, node, now);
	for (int i = COUNTER_AttemptFails; i < COUNTER_COUNT; i++) {
		const uint64_t times = now[i] - s->counted[node][i];
		if (!times || out->n_counted == STAGE_COUNTED)
			continue;
		out->counted[out->n_counted].counter = (uint8_t)i;
		out->counted[out->n_counted++].times =
			(uint16_t)(times < UINT16_MAX ? times : UINT16_MAX);
	}
	memcpy(s->counted[node], now, sizeof(now));
}

static uint8_t session_of(const struct story *s, int box, const struct segment *g)
{
	struct session sessions[BELIEF_SESSIONS];
	struct err err;
	int n = s->stage->ops->sessions(s->stage, box, NULL, 0, &err);

	if (n >= 0 && n <= BELIEF_SESSIONS)
		n = s->stage->ops->sessions(s->stage, box, sessions, BELIEF_SESSIONS, &err);
	return n >= 0 && n <= BELIEF_SESSIONS ? belief_of(sessions, (size_t)n, g) : BELIEF_UNASKED;
}

static void look_at(struct story *s, int end, int node, const struct segment *g,
		    struct stage_sight *out)
{
	if (s->play->nodes[node].is_box) {
		out->session[end] = session_of(s, node, g);
		return;
	}
	out->state[end] = state_of(s, node, g, end == 0);
	if (end == 1)
		count(s, node, out);
	else if (s->counted)
		s->stage->ops->counters(s->stage, node, s->counted[node]);
}

/* What a call or a timer counted is not of the segment that comes next. Asked after each event:
 * among hundreds of hosts that would be all that the play does. */
static void count_from_here(struct story *s)
{
	for (uint32_t i = 0; i < s->play->nodes_n && s->play->nodes_n <= COUNTED_NODES; i++)
		if (!s->play->nodes[i].is_box)
			s->stage->ops->counters(s->stage, (int)i, s->counted[i]);
}

/* --------------------------------------------------------------------------------------- on both
 */

static void note_counted(struct play_segment *seg, const struct stage_sight *sight)
{
	char *out = seg->counted;
	size_t n = 0;

	for (unsigned i = 0; i < sight->n_counted && n < sizeof(seg->counted); i++)
		n += (size_t)snprintf(out + n, sizeof(seg->counted) - n, "%s%s +%u", n ? ", " : "",
				      counter_name((enum counter)sight->counted[i].counter),
				      sight->counted[i].times);
}

/* Once at each end: a second look would be of a later moment. */
static void look_now(struct story *s, struct play_segment *seg)
{
	const struct line_record *r = &seg->record;
	const struct play_link *link = &s->play->links[r->link];
	const bool back = r->direction == LINE_FROM_1;
	struct stage_sight sight = {0};

	for (int end = 0; end < 2; end++) {
		if (seg->seen[end] || (end == 1 && r->passage != LINE_DELIVERED))
			continue;
		look_at(s, end, link->node[end ? !back : back], &r->segment, &sight);
		seg->state[end] = sight.state[end];
		seg->session[end] = sight.session[end];
		seg->seen[end] = true;
		if (end == 1)
			note_counted(seg, &sight);
	}
}

/* Where the stage has looked. */
static void read_sight(const struct play *p, struct play_segment *seg,
		       const struct stage_sight *sight, bool is_over)
{
	const struct play_link *link = &p->links[seg->record.link];
	const bool back = seg->record.direction == LINE_FROM_1;
	const bool arrived = seg->record.passage == LINE_DELIVERED;

	for (int end = 0; end < 2; end++) {
		seg->state[end] = sight->state[end];
		seg->session[end] = sight->session[end];
		seg->seen[end] |= is_over;
		seg->late |= is_over && !sight->state[end] && (end == 0 || arrived) &&
			     !p->nodes[link->node[end ? !back : back]].is_box;
	}
	note_counted(seg, sight);
}

/* Whether there is no more to come. */
static bool observe(struct story *s, uint32_t i)
{
	struct play_segment *seg = &s->play->segments[i];
	const bool has_end = seg->record.passage != LINE_ON_ITS_WAY;
	struct stage_sight sight;

	if (!s->config->observe || seg->record.link >= (int)s->play->links_n)
		return has_end;
	const int r = s->stage->ops->sight(s->stage, i, &sight);
	if (r == -EOPNOTSUPP)
		look_now(s, seg);
	else
		read_sight(s->play, seg, &sight, r != 0);
	return has_end && r != 0;
}

void story_read_trace(struct story *s)
{
	struct play *p = s->play;
	size_t n = s->stage->ops->trace_count(s->stage);

	/* What is not settled is read again each time. */
	if (n > s->open && s->open < PLAY_LIST_MAX)
		sandbox_spend(s->l, (n < PLAY_LIST_MAX ? n : PLAY_LIST_MAX) - s->open);

	p->segments_total = (uint32_t)n;
	for (uint32_t i = s->open; i < n && i < PLAY_LIST_MAX; i++) {
		if (i >= p->segments_n && !play_add_segment(p))
			return;
		if (!s->stage->ops->trace(s->stage, i, &p->segments[i].record)) {
			p->segments_n = i;
			return;
		}
		/* What is settled is not read again. */
		if (observe(s, i) && i == s->open)
			s->open++;
	}
}

void story_observe(struct story *s)
{
	if (!s->config->observe || !s->started)
		return;
	story_read_trace(s);
	if (s->counted && s->stage->ops->counters)
		count_from_here(s);
}
