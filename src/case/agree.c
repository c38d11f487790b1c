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

/* What was seen of a connection: of each side the first number, and the one behind its last. */
struct numbered {
	uint32_t first; /* its first segment, whose sender is side 0 */
	bool known[2];
	uint32_t seq[2], end[2];
};

/* A 4-tuple may be used again, and then still have segments of its past. A SYN begins a new
 * connection unless it repeats one, or crosses one; another segment is of the newest that it can be
 * of: it acknowledges what was sent there, or goes on where its side stands. */
static bool is_of(const struct numbered *c, int side, const struct segment *s)
{
	const uint32_t window = 65535;

	if (is_opening(s))
		return !c->known[side] || s->seq == c->seq[side];
	if (s->flags & SEGMENT_ACK)
		return c->known[!side] && s->ack - c->seq[!side] <= c->end[!side] - c->seq[!side];
	return c->known[side] && s->seq - c->seq[side] <= c->end[side] - c->seq[side] + window;
}

/* The connection of segment i and the side that sent it; n: none yet. */
static uint32_t connection_of(const struct play *p, const struct numbered *list, uint32_t n,
			      uint32_t i, int *side)
{
	const struct line_record *r = &p->segments[i].record;
	uint32_t newest = n;
	int newest_side = 0;

	for (uint32_t k = n; k-- > 0;) {
		int same = relation(&p->segments[list[k].first].record, r);
		*side = same < 0;
		if (same && is_of(&list[k], *side, &r->segment))
			return k;
		if (same && newest == n) {
			newest = k;
			newest_side = *side;
		}
	}
	*side = newest_side;
	if (newest < n && !is_opening(&r->segment))
		return newest;
	*side = 0;
	return n;
}

static void note_numbers(struct numbered *c, int side, const struct segment *s)
{
	uint32_t end = s->seq + s->length + !!(s->flags & SEGMENT_SYN) + !!(s->flags & SEGMENT_FIN);

	if (!c->known[side])
		c->seq[side] = c->end[side] = s->seq;
	c->known[side] = true;
	if ((int32_t)(end - c->end[side]) > 0)
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
	struct numbered *list = calloc(p->segments_n ? p->segments_n : 1, sizeof(*list));
	uint8_t *sides = malloc(p->segments_n + 1);
	const bool ok = list && sides;
	uint32_t n = 0;

	memset(out, 0, p->segments_n * sizeof(*out));
	for (uint32_t i = 0; ok && i < p->segments_n; i++) {
		const struct segment *s = &p->segments[i].record.segment;
		int side;
		uint32_t k = connection_of(p, list, n, i, &side);
		struct numbered *c = &list[k];
		if (k == n) {
			n++;
			c->first = i;
		}
		note_numbers(c, side, s);
		sides[i] = (uint8_t)side;
		out[i].connection = k;
		out[i].seq = (int32_t)(s->seq - c->seq[side]);
	}
	for (uint32_t i = 0; ok && i < p->segments_n; i++)
		number_ack(&p->segments[i].record.segment, &list[out[i].connection], sides[i],
			   &out[i]);
	free(list);
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

static bool is_equal(const struct line_record *a, const struct agree_numbers *na,
		     const struct line_record *b, const struct agree_numbers *nb)
{
	return (a->segment.flags & FLAGS) == (b->segment.flags & FLAGS) &&
	       a->segment.length == b->segment.length && na->seq == nb->seq &&
	       (!na->has_ack || !nb->has_ack || na->ack == nb->ack) && a->passage == b->passage &&
	       a->origin == b->origin;
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
