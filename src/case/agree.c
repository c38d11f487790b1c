/* SPDX-License-Identifier: MIT */
#include "case/agree.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLAGS (SEGMENT_FIN | SEGMENT_SYN | SEGMENT_RST | SEGMENT_ACK)

/* --------------------------------------------------------------------------------------- numbers
 */

static bool is_end(const struct tcpwhy_addr *a, uint16_t port, const struct tcpwhy_addr *b,
		   uint16_t other)
{
	return port == other && address_equal(a, b);
}

/* 1: the same connection and direction, -1: the other direction, 0: another connection. */
static int relation(const struct line_record *a, const struct line_record *b)
{
	const struct segment *x = &a->segment, *y = &b->segment;

	if (a->link != b->link)
		return 0;
	if (is_end(&x->from, x->from_port, &y->from, y->from_port) &&
	    is_end(&x->to, x->to_port, &y->to, y->to_port))
		return 1;
	return is_end(&x->from, x->from_port, &y->to, y->to_port) &&
			       is_end(&x->to, x->to_port, &y->from, y->from_port)
		       ? -1
		       : 0;
}

static bool is_opening(const struct segment *s)
{
	return (s->flags & (SEGMENT_SYN | SEGMENT_ACK)) == SEGMENT_SYN;
}

static bool is_syn_ack(const struct segment *s)
{
	return (s->flags & (SEGMENT_SYN | SEGMENT_ACK)) == (SEGMENT_SYN | SEGMENT_ACK);
}

static uint32_t end_of(const struct segment *s)
{
	return s->seq + s->length + !!(s->flags & SEGMENT_SYN) + !!(s->flags & SEGMENT_FIN);
}

/* What was seen of a connection. */
struct numbered {
	uint32_t first; /* its first segment, whose sender is side 0 */
	bool known[2];
	uint32_t seq[2]; /* of the first segment of each side */
	/* Without RSTs, which have their numbers from what they answer. */
	bool spoke[2];
	uint32_t from[2], end[2]; /* the first number, and the one behind the last */
	bool fin[2], reset;
};

/* What a window without scaling takes, and what is more likely near by intent than by chance. */
enum { WINDOW = 65535, NEAR = 1 << 20 };

static bool is_over(const struct numbered *c)
{
	return c->reset || (c->fin[0] && c->fin[1]);
}

/* How far from what the side sent; NEAR: far. */
static uint32_t distance(const struct numbered *c, int side, uint32_t number)
{
	const uint32_t before = c->from[side] - number, behind = number - c->end[side];
	const uint32_t least = before < behind ? before : behind;

	if (!c->spoke[side])
		return NEAR;
	if (number - c->from[side] <= c->end[side] - c->from[side])
		return 0;
	return least < NEAR ? least : NEAR;
}

static bool goes_on(const struct numbered *c, int side, uint32_t seq)
{
	return c->spoke[side] && seq - c->from[side] <= c->end[side] - c->from[side] + WINDOW;
}

static bool is_syn_of(const struct numbered *c, int side, const struct segment *s)
{
	return !c->known[side] || (c->spoke[side] && s->seq == c->from[side]);
}

/* How ill the segment fits in; NEAR: not at all. A SYN is of a connection that it repeats, or in
 * which it crosses one; another segment acknowledges what was sent there, or goes on where its side
 * stands. */
static uint32_t misfit(const struct numbered *c, int side, const struct segment *s)
{
	if (is_opening(s))
		return is_syn_of(c, side, s) ? 0 : distance(c, side, s->seq) | 1;
	if (s->flags & SEGMENT_ACK && c->spoke[!side])
		return distance(c, !side, s->ack);
	if (goes_on(c, side, s->seq))
		return !!(s->flags & SEGMENT_ACK);
	return distance(c, side, s->seq);
}

/* The number of a SYN is taken up by a SYN,ACK, or refused by a RST. One into a connection that
 * goes on gets a challenge, if anything (RFC 5961). */
static bool is_answered(const struct play *p, uint32_t i)
{
	const struct line_record *syn = &p->segments[i].record;

	for (uint32_t k = i + 1; k < p->segments_n; k++) {
		const struct segment *s = &p->segments[k].record.segment;
		if (s->flags & SEGMENT_ACK && s->flags & (SEGMENT_SYN | SEGMENT_RST) &&
		    s->ack == syn->segment.seq + 1 && relation(syn, &p->segments[k].record) < 0)
			return true;
	}
	return false;
}

/* What begins a connection where the 4-tuple has one, c, already: a host's SYN, an injected one if
 * there was something to it, and a host's SYN,ACK, of which c has another number. */
static bool begins(const struct play *p, uint32_t i, const struct numbered *c, int side)
{
	const struct line_record *r = &p->segments[i].record;
	const bool injected = r->origin == LINE_INJECTED;

	if (is_opening(&r->segment))
		return !is_syn_of(c, side, &r->segment) &&
		       (!injected || is_over(c) || is_answered(p, i));
	return is_syn_ack(&r->segment) && !injected && !is_syn_of(c, side, &r->segment);
}

/* A RST has its number from what it answers, or none if that had no ACK. */
static bool is_answer(const struct segment *rst, const struct segment *s)
{
	if (rst->flags & SEGMENT_ACK)
		return rst->seq == 0 && !(s->flags & SEGMENT_ACK) && rst->ack == end_of(s);
	return s->flags & SEGMENT_ACK && s->ack == rst->seq;
}

/* The segment that RST i answers: the first that has no answer yet; i: none. */
static uint32_t answered_by(const struct play *p, const bool *answered, uint32_t i)
{
	const struct line_record *rst = &p->segments[i].record;

	if (!(rst->segment.flags & SEGMENT_RST) || rst->origin == LINE_INJECTED)
		return i;
	for (uint32_t k = 0; k < i; k++) {
		const struct line_record *r = &p->segments[k].record;
		if (!answered[k] && !(r->segment.flags & SEGMENT_RST) &&
		    is_answer(&rst->segment, &r->segment) && relation(rst, r) < 0)
			return k;
	}
	return i;
}

/* Those of the 4-tuple, the newest first, from before *k on; 0: no more. */
static int next_same(const struct play *p, const struct numbered *list, uint32_t i, uint32_t *k)
{
	while (*k > 0) {
		--*k;
		int same = relation(&p->segments[list[*k].first].record, &p->segments[i].record);
		if (same)
			return same;
	}
	return 0;
}

/* The one that fits best, of such the newest; n: the 4-tuple has none. */
static uint32_t likely(const struct play *p, const struct numbered *list, uint32_t n, uint32_t i,
		       int *side)
{
	const struct segment *s = &p->segments[i].record.segment;
	uint32_t found = n, least = 0;
	int same;

	*side = 0;
	for (uint32_t k = n; (same = next_same(p, list, i, &k));) {
		const int its = same < 0;
		const uint32_t is = misfit(&list[k], its, s);
		if (found == n || is < least) {
			found = k;
			least = is;
			*side = its;
		}
	}
	return found;
}

/* A SYN,ACK that is repeated keeps its number. */
static uint32_t repeated(const struct play *p, const struct numbered *list, uint32_t n, uint32_t i,
			 int *side)
{
	const struct segment *s = &p->segments[i].record.segment;
	int same;

	for (uint32_t k = n; is_syn_ack(s) && (same = next_same(p, list, i, &k));) {
		*side = same < 0;
		if (list[k].spoke[*side] && list[k].from[*side] == s->seq &&
		    !misfit(&list[k], *side, s))
			return k;
	}
	return n;
}

/* The connection of segment i and the side that sent it; n: it begins one. */
static uint32_t connection_of(const struct play *p, const struct numbered *list, uint32_t n,
			      uint32_t i, int *side)
{
	uint32_t k = repeated(p, list, n, i, side);

	if (k < n)
		return k;
	k = likely(p, list, n, i, side);
	if (k < n && begins(p, i, &list[k], *side)) {
		*side = 0;
		return n;
	}
	return k;
}

/* The SYN of a SYN,ACK with a connection of its own was taken for a repeated one. */
static void note_syn_of(struct numbered *c, const struct line_record *r)
{
	if (!is_syn_ack(&r->segment) || r->origin == LINE_INJECTED)
		return;
	c->known[1] = c->spoke[1] = true;
	c->seq[1] = c->from[1] = r->segment.ack - 1;
	c->end[1] = r->segment.ack;
}

/* Whether a RST or FIN counts: what is injected has to hit the number. */
static bool is_valid(const struct numbered *c, int side, const struct line_record *r)
{
	if (!c->spoke[side])
		return false;
	return r->segment.seq == c->end[side] ||
	       (r->origin != LINE_INJECTED && !distance(c, side, r->segment.seq));
}

static void note_numbers(struct numbered *c, int side, const struct line_record *r)
{
	const struct segment *s = &r->segment;
	const uint32_t end = end_of(s);

	if (!c->known[side])
		c->seq[side] = s->seq;
	c->known[side] = true;
	if (s->flags & SEGMENT_RST) {
		c->reset |= is_valid(c, side, r);
		return;
	}
	if (!c->spoke[side])
		c->from[side] = c->end[side] = s->seq;
	c->spoke[side] = true;
	c->fin[side] |= s->flags & SEGMENT_FIN && is_valid(c, side, r);
	/* What is injected may have any number. */
	if ((int32_t)(end - c->end[side]) > 0 &&
	    (r->origin != LINE_INJECTED || end - c->end[side] <= WINDOW))
		c->end[side] = end;
}

/* Once all are known: the other direction may begin behind it. */
static void number_ack(const struct segment *s, const struct numbered *c, int side,
		       struct agree_numbers *out)
{
	out->has_ack = s->flags & SEGMENT_ACK && c->known[!side];
	out->ack = out->has_ack ? (int32_t)(s->ack - c->seq[!side]) : 0;
}

void agree_number(const struct play *p, struct agree_numbers *out)
{
	struct numbered *list = calloc(p->segments_n + 1, sizeof(*list));
	bool *answered = calloc(p->segments_n + 1, sizeof(*answered));
	uint8_t *sides = calloc(p->segments_n + 1, 1);
	const bool ok = list && answered && sides;
	uint32_t n = 0;

	memset(out, 0, p->segments_n * sizeof(*out));
	for (uint32_t i = 0; ok && i < p->segments_n; i++) {
		const struct line_record *r = &p->segments[i].record;
		const uint32_t answers = answered_by(p, answered, i);
		int side = !sides[answers];
		uint32_t k =
			answers < i ? out[answers].connection : connection_of(p, list, n, i, &side);
		answered[answers] = answers < i;
		if (k == n) {
			list[n].first = i;
			note_syn_of(&list[n++], r);
		}
		note_numbers(&list[k], side, r);
		sides[i] = (uint8_t)side;
		out[i].connection = k;
		out[i].seq = (int32_t)(r->segment.seq - list[k].seq[side]);
	}
	for (uint32_t i = 0; ok && i < p->segments_n; i++)
		number_ack(&p->segments[i].record.segment, &list[out[i].connection], sides[i],
			   &out[i]);
	free(list);
	free(answered);
	free(sides);
}

/* -------------------------------------------------------------------------------------- comparing
 */

__attribute__((format(printf, 2, 3))) static void say(char out[static PLAY_TEXT_MAX],
						      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(out, PLAY_TEXT_MAX, format, args);
	va_end(args);
}

/* The next that is no note; n if there is none. */
static uint32_t next_call(const struct play *p, uint32_t i)
{
	while (i < p->calls_n && p->calls[i].is_note)
		i++;
	return i;
}

static bool is_cut(const struct play *p)
{
	return p->end == PLAY_SLOW || p->end == PLAY_CANNOT;
}

static void say_call(char out[static PLAY_TEXT_MAX], const struct play *p, uint32_t i)
{
	if (i >= p->calls_n)
		say(out, "nothing more");
	else
		say(out, "%s: %s = %s", p->nodes[p->calls[i].node].name, p->calls[i].text,
		    p->calls[i].result);
}

static bool compare_calls(const struct play *m, const struct play *k, struct agreement *out)
{
	uint32_t i = next_call(m, 0), j = next_call(k, 0);
	bool cut = is_cut(m) || is_cut(k);

	for (; i < m->calls_n && j < k->calls_n; i = next_call(m, i + 1), j = next_call(k, j + 1)) {
		const struct play_call *a = &m->calls[i], *b = &k->calls[j];
		/* The call in which one was cut short has no result there. */
		if (cut && (!a->result[0] || !b->result[0]))
			return true;
		if (a->node != b->node || strcmp(a->text, b->text) != 0 ||
		    strcmp(a->result, b->result) != 0)
			break;
		out->calls++;
	}
	if ((i >= m->calls_n && j >= k->calls_n) || (cut && (i >= m->calls_n || j >= k->calls_n)))
		return true;
	out->differs = AGREE_CALLS;
	say(out->what, "call %u", out->calls + 1);
	say_call(out->model, m, i);
	say_call(out->kernel, k, j);
	return false;
}

static bool is_kind(const struct play *p, const struct agree_numbers *n, uint32_t i,
		    uint32_t connection, int link, int direction)
{
	const struct line_record *r = &p->segments[i].record;

	return n[i].connection == connection && r->link == link && r->direction == direction;
}

static uint32_t next_segment(const struct play *p, const struct agree_numbers *n, uint32_t i,
			     uint32_t connection, int link, int direction)
{
	while (i < p->segments_n && !is_kind(p, n, i, connection, link, direction))
		i++;
	return i;
}

/* A number that the case itself gives, or none at all as in the RST to a SYN, is the same in both
 * as it is: from drawn ones it cannot be counted. */
static bool is_equal(const struct line_record *a, const struct agree_numbers *na,
		     const struct line_record *b, const struct agree_numbers *nb)
{
	const struct segment *s = &a->segment, *t = &b->segment;

	return (s->flags & FLAGS) == (t->flags & FLAGS) && s->length == t->length &&
	       (na->seq == nb->seq || s->seq == t->seq) &&
	       (!na->has_ack || !nb->has_ack || na->ack == nb->ack || s->ack == t->ack) &&
	       a->passage == b->passage && a->origin == b->origin;
}

static void say_segment(char out[static PLAY_TEXT_MAX], const struct play *p,
			const struct agree_numbers *n, uint32_t i)
{
	static const char *const passages[] = {", on its way", "", ", lost"};

	if (i >= p->segments_n) {
		say(out, "nothing more");
		return;
	}
	const struct line_record *r = &p->segments[i].record;
	uint8_t f = r->segment.flags;
	char ack[20] = "";
	if (n[i].has_ack)
		snprintf(ack, sizeof(ack), " ack %d", n[i].ack);
	say(out, "%s > %s: %s%s%s%sseq %d%s, %u bytes%s at %.3f ms",
	    p->nodes[p->links[r->link].node[r->direction]].name,
	    p->nodes[p->links[r->link].node[!r->direction]].name, f & SEGMENT_SYN ? "SYN " : "",
	    f & SEGMENT_FIN ? "FIN " : "", f & SEGMENT_RST ? "RST " : "",
	    f & SEGMENT_ACK ? "ACK " : "", n[i].seq, ack, r->segment.length, passages[r->passage],
	    (double)r->sent_ns / 1e6);
}

/* One connection on one link in one direction. */
static bool compare_way(const struct play *m, const struct agree_numbers *nm, const struct play *k,
			const struct agree_numbers *nk, uint32_t first, struct agreement *out)
{
	const uint32_t connection = nm[first].connection;
	const int link = m->segments[first].record.link;
	const int way = m->segments[first].record.direction;
	const bool cut = is_cut(m) || is_cut(k);
	uint32_t i = first, j = next_segment(k, nk, 0, connection, link, way);

	for (; i < m->segments_n && j < k->segments_n;
	     i = next_segment(m, nm, i + 1, connection, link, way),
	     j = next_segment(k, nk, j + 1, connection, link, way)) {
		if (!is_equal(&m->segments[i].record, &nm[i], &k->segments[j].record, &nk[j]))
			break;
		out->segments++;
	}
	if ((i >= m->segments_n && j >= k->segments_n) ||
	    (cut && (i >= m->segments_n || j >= k->segments_n)))
		return true;
	out->differs = AGREE_SEGMENTS;
	say(out->what, "connection %u, segments from %s", connection + 1,
	    m->nodes[m->links[link].node[way]].name);
	say_segment(out->model, m, nm, i);
	say_segment(out->kernel, k, nk, j);
	return false;
}

/* Whether an earlier segment is of the same connection, link and direction. */
static bool is_first(const struct play *p, const struct agree_numbers *n, uint32_t i)
{
	const struct line_record *r = &p->segments[i].record;

	return next_segment(p, n, 0, n[i].connection, r->link, r->direction) == i;
}

static bool compare_segments(const struct play *m, const struct play *k, struct agreement *out)
{
	struct agree_numbers *nm = malloc((m->segments_n + 1) * sizeof(*nm));
	struct agree_numbers *nk = malloc((k->segments_n + 1) * sizeof(*nk));
	bool same = nm && nk;

	if (same) {
		agree_number(m, nm);
		agree_number(k, nk);
	}
	for (uint32_t i = 0; same && i < m->segments_n; i++)
		if (is_first(m, nm, i))
			same = compare_way(m, nm, k, nk, i, out);
	if (same && !is_cut(m) && !is_cut(k) && m->segments_n != k->segments_n) {
		same = false;
		out->differs = AGREE_SEGMENTS;
		say(out->what, "segments in all");
		say(out->model, "%u", m->segments_total);
		say(out->kernel, "%u", k->segments_total);
	}
	free(nm);
	free(nk);
	return same;
}

uint64_t agree_counter(const struct play *p, int node, const char *name)
{
	for (uint32_t i = 0; i < p->counters_n; i++)
		if (p->counters[i].node == node && !strcmp(p->counters[i].name, name))
			return p->counters[i].value;
	return 0;
}

/* Each counter of one, held against the other; back: what the other has beyond. */
static bool compare_counters(const struct play *m, const struct play *k, bool back,
			     struct agreement *out)
{
	const struct play *p = back ? k : m;

	for (uint32_t i = 0; i < p->counters_n; i++) {
		const struct play_counter *c = &p->counters[i];
		uint64_t a = agree_counter(m, c->node, c->name),
			 b = agree_counter(k, c->node, c->name);
		if (a == b) {
			out->counters += !back;
			continue;
		}
		out->differs = AGREE_COUNTERS;
		say(out->what, "counter %s of %s", c->name, p->nodes[c->node].name);
		say(out->model, "%llu", (unsigned long long)a);
		say(out->kernel, "%llu", (unsigned long long)b);
		return false;
	}
	return true;
}

/* What came before apart(). Its lists are those of p. */
static struct play compared_part(const struct play *p)
{
	struct play part = *p;

	if (!p->apart[0])
		return part;
	part.end = PLAY_DONE;
	part.calls_n = p->apart_calls;
	part.segments_n = part.segments_total = p->apart_segments;
	return part;
}

void agree_compare(const struct play *model, const struct play *kernel, struct agreement *out)
{
	const struct play m = compared_part(model), k = compared_part(kernel);

	memset(out, 0, sizeof(*out));
	if (!compare_calls(&m, &k, out) || !compare_segments(&m, &k, out) || is_cut(&m) ||
	    is_cut(&k))
		return;
	out->with_counters = true;
	if (compare_counters(&m, &k, false, out))
		compare_counters(&m, &k, true, out);
}
