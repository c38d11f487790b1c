/* SPDX-License-Identifier: MIT
 *
 * The ladders of plays that were put together by hand, and of random ones
 */
#include "unit.h"
#include "width.h"

#include <string.h>

#include "case/belief.h"
#include "report/fold.h"
#include "report/ladder.h"

enum { US = 1000, MS = 1000000 };

/* ------------------------------------------------------------------------------------------ plays
 */

static int node(struct play *p, const char *name, bool is_box)
{
	struct play_node *n = play_add_node(p);

	assert_non_null(n);
	snprintf(n->name, sizeof(n->name), "%s", name);
	n->is_box = is_box;
	return (int)p->nodes_n - 1;
}

static int host(struct play *p, const char *name)
{
	return node(p, name, false);
}

static int box(struct play *p, const char *name)
{
	return node(p, name, true);
}

static int join(struct play *p, int a, int b)
{
	struct play_link *link = play_add_link(p);

	assert_non_null(link);
	link->node[0] = a;
	link->node[1] = b;
	return (int)p->links_n - 1;
}

static void begin(struct play *p)
{
	memset(p, 0, sizeof(*p));
	strcpy(p->stage, "world");
	strcpy(p->release, "6.18.y");
}

/* client - lb - server, the links 0 and 1 */
static void begin_chain(struct play *p)
{
	begin(p);
	int client = host(p, "client"), lb = box(p, "lb"), server = host(p, "server");
	join(p, client, lb);
	join(p, lb, server);
}

/* client - nat - lb - server */
static void begin_two_boxes(struct play *p)
{
	begin(p);
	int client = host(p, "client"), nat = box(p, "nat"), lb = box(p, "lb");
	int server = host(p, "server");
	join(p, client, nat);
	join(p, nat, lb);
	join(p, lb, server);
}

/* old and young - nat - server */
static void begin_star(struct play *p)
{
	begin(p);
	int old = host(p, "old"), young = host(p, "young"), nat = box(p, "nat");
	int server = host(p, "server");
	join(p, old, nat);
	join(p, young, nat);
	join(p, nat, server);
}

/* From the end of a link; it arrives 10 us later. The ends of a connection are the ends of its
 * link. */
static struct play_segment *sends(struct play *p, uint64_t at_ns, int link, int end, uint8_t flags,
				  uint32_t seq, uint32_t ack, uint32_t length)
{
	struct play_segment *s = play_add_segment(p);

	assert_non_null(s);
	s->record = (struct line_record){.sent_ns = at_ns,
					 .arrived_ns = at_ns + 10 * US,
					 .link = link,
					 .direction = end ? LINE_FROM_1 : LINE_FROM_0,
					 .passage = LINE_DELIVERED};
	s->seen[0] = s->seen[1] = true;
	s->record.segment = (struct segment){.from_port = end ? 80 : 5000,
					     .to_port = end ? 5000 : 80,
					     .flags = flags,
					     .seq = seq,
					     .ack = ack,
					     .length = length};
	return s;
}

static struct play_call *calls(struct play *p, uint64_t at_ns, int who, const char *text,
			       const char *result)
{
	struct play_call *c = play_add_call(p);

	assert_non_null(c);
	c->at_ns = c->end_ns = at_ns;
	c->node = who;
	c->sent_before = c->sent_until = p->segments_n;
	snprintf(c->text, sizeof(c->text), "%s", text);
	snprintf(c->result, sizeof(c->result), "%s", result);
	return c;
}

static void shows(struct play_segment *s, uint8_t sender, uint8_t receiver)
{
	s->state[0] = sender;
	s->state[1] = receiver;
}

static void believes(struct play_segment *s, int end, enum session_state state)
{
	s->session[end] = (uint8_t)(state + 1);
}

/* -------------------------------------------------------------------------------------- the text
 */

static char *drawn_max(struct play *p, unsigned max)
{
	char *out = NULL;
	size_t n;
	FILE *f = open_memstream(&out, &n);

	assert_non_null(f);
	ladder_print(p, max, f);
	fclose(f);
	fits(out);
	return out;
}

static char *drawn(struct play *p)
{
	return drawn_max(p, 200);
}

static void has(const char *out, const char *line)
{
	if (!strstr(out, line))
		fail_msg("no \"%s\" in\n%s", line, out);
}

static void has_not(const char *out, const char *line)
{
	if (strstr(out, line))
		fail_msg("\"%s\" in\n%s", line, out);
}

static unsigned count(const char *out, const char *text)
{
	unsigned n = 0;

	for (; (out = strstr(out, text)); out += strlen(text))
		n++;
	return n;
}

static void done(struct play *p, char *out)
{
	free(out);
	play_free(p);
}

/* ------------------------------------------------------------------------------------------ chain
 */

/* A client opens, sends a RST that only the box believes, and the box resets both. */
static void test_three_views(void **state)
{
	struct play p;
	struct play_segment *s;

	(void)state;
	begin_chain(&p);
	calls(&p, 0, 0, "connect(10.0.0.254:80)", "ok")->waited = true;
	s = sends(&p, 0, 0, 0, SEGMENT_SYN, 100, 0, 0);
	shows(s, TCPWHY_SYN_SENT, 0);
	believes(s, 1, SESSION_OPEN);
	s = sends(&p, 10 * US, 1, 0, SEGMENT_SYN, 100, 0, 0);
	shows(s, 0, TCPWHY_SYN_RECV);
	believes(s, 0, SESSION_OPEN);
	s = sends(&p, 20 * US, 1, 1, SEGMENT_SYN | SEGMENT_ACK, 900, 101, 0);
	shows(s, TCPWHY_SYN_RECV, 0);
	believes(s, 1, SESSION_OPEN);
	s = sends(&p, 30 * US, 0, 1, SEGMENT_SYN | SEGMENT_ACK, 900, 101, 0);
	shows(s, 0, TCPWHY_ESTABLISHED);
	p.calls[0].end_ns = 40 * US;
	p.calls[0].sent_until = p.segments_n;
	s = sends(&p, MS, 0, 0, SEGMENT_RST, 101, 0, 0);
	shows(s, TCPWHY_ESTABLISHED, 0);
	believes(s, 1, SESSION_RESET);
	shows(sends(&p, MS + 10 * US, 1, 0, SEGMENT_RST, 101, 0, 0), 0, TCPWHY_ESTABLISHED);
	s = sends(&p, 5 * MS, 0, 1, SEGMENT_RST, 901, 0, 0);
	shows(s, 0, TCPWHY_CLOSE);
	strcpy(s->counted, "EstabResets +1");
	shows(sends(&p, 5 * MS, 1, 0, SEGMENT_RST, 103, 0, 0), 0, TCPWHY_CLOSE);
	char *out = drawn(&p);
	assert_string_equal(
		out,
		"world 6.18.y, times in ms            client            lb            server\n"
		"     0.000                           connect(10.0.0.254:80)\n"
		"     0.000 SYN 0                     SYN_SENT    ───── OPEN ───────▶ SYN_RECV\n"
		"     0.020 SYN,ACK 0 ack 1           ESTABLISHED ◀──── OPEN ──────── SYN_RECV\n"
		"     0.040                           connect() = ok\n"
		"     1.000 RST 1                     ESTABLISHED ───── RESET ──────▶ ESTABLISHED\n"
		"     5.000 RST 1                     CLOSE       ◀──── none\n"
		"                                     client: EstabResets +1\n"
		"     5.000 RST 3                                       none ───────▶ CLOSE\n");
	done(&p, out);
}

/* Behind the first of its direction; and an ACK whose other direction was not seen, until it was.
 */
static void test_numbers(void **state)
{
	struct play p;

	(void)state;
	begin_chain(&p);
	sends(&p, 0, 0, 0, SEGMENT_ACK, 1000, 4000000000, 10);
	sends(&p, MS, 0, 0, SEGMENT_RST, 201, 0, 0);
	sends(&p, 2 * MS, 0, 0, SEGMENT_FIN | SEGMENT_ACK, 990, 4000000000, 5);
	char *out = drawn(&p);
	has(out, " 0.000 ACK 0:10       ");
	has(out, " 1.000 RST -799 ");
	has(out, " 2.000 FIN,ACK -10:-5 ");
	has_not(out, " ack ");
	free(out);
	sends(&p, 3 * MS, 0, 1, SEGMENT_RST, 4000000003, 0, 0);
	out = drawn(&p);
	has(out, " 0.000 ACK 0:10 ack -3 ");
	has(out, " 3.000 RST 0 ");
	done(&p, out);
}

/* Of a box that keeps no sessions nothing is said: the arrow goes through. */
static void test_no_belief(void **state)
{
	struct play p;

	(void)state;
	begin_chain(&p);
	sends(&p, 0, 0, 0, SEGMENT_SYN, 1, 0, 0);
	sends(&p, 10 * US, 1, 0, SEGMENT_SYN, 1, 0, 0);
	sends(&p, MS, 0, 0, SEGMENT_SYN, 1, 0, 0);
	sends(&p, 3 * MS, 1, 1, SEGMENT_RST, 1, 0, 0);
	char *out = drawn(&p);
	has(out, " 0.000 SYN 0                                 ──────────────────▶\n");
	has(out, " 1.000 SYN 0                                 ────▶\n");
	has(out, " 3.000 RST 0                                       ◀────────────\n");
	has_not(out, "none");
	done(&p, out);
}

/* Where nobody looked, and where a box did not send, it is not said to have forgotten. */
static void test_not_asked(void **state)
{
	struct play p;

	(void)state;
	begin_chain(&p);
	believes(sends(&p, 0, 0, 0, SEGMENT_SYN, 1, 0, 0), 1, SESSION_OPEN);
	sends(&p, 3 * MS, 0, 0, SEGMENT_ACK, 2, 1, 0)->seen[1] = false;
	sends(&p, 4 * MS, 1, 0, SEGMENT_RST, 9, 0, 0)->record.origin = LINE_INJECTED;
	sends(&p, 5 * MS, 0, 0, SEGMENT_ACK, 3, 1, 0)->session[1] = BELIEF_UNASKED;
	char *out = drawn(&p);
	has(out, "OPEN");
	has_not(out, "none");
	done(&p, out);
}

/* Each host keeps its own order: what it does before the second hop keeps the hops apart. */
static void test_order(void **state)
{
	struct play p;

	(void)state;
	begin_chain(&p);
	for (int who = 0; who <= 2; who += 2) {
		uint64_t at_ns = (uint64_t)who * MS;
		sends(&p, at_ns, 0, 0, SEGMENT_ACK, 1, 1, 0);
		calls(&p, at_ns, who, "recv(100)", "0");
		sends(&p, at_ns + 10 * US, 1, 0, SEGMENT_ACK, 1, 1, 0);
	}
	char *out = drawn(&p);
	has(out, " 0.000 ACK 0                                 ──────────────────▶\n"
		 "     0.000                           recv(100) = 0\n");
	has(out,
	    " 2.000 ACK 0                                 ────▶\n"
	    "     2.000                                                         recv(100) = 0\n"
	    "     2.010 ACK 0                                       ────────────▶\n");
	done(&p, out);
}

/* Two segments in a row are not taken for each other, nor one for its repetition. */
static void test_in_a_row(void **state)
{
	struct play p;

	(void)state;
	begin_chain(&p);
	sends(&p, 0, 0, 0, SEGMENT_ACK, 1, 1, 0);
	sends(&p, 0, 0, 0, SEGMENT_ACK | SEGMENT_FIN, 1, 1, 0);
	sends(&p, 10 * US, 1, 0, SEGMENT_ACK, 1, 1, 0);
	sends(&p, 10 * US, 1, 0, SEGMENT_ACK | SEGMENT_FIN, 1, 1, 0);
	sends(&p, 5 * MS, 0, 0, SEGMENT_ACK | SEGMENT_FIN, 1, 1, 0);
	sends(&p, 9 * MS, 1, 0, SEGMENT_ACK | SEGMENT_FIN, 1, 1, 0);
	char *out = drawn(&p);
	has(out, " 0.000 ACK 0                                 ──────────────────▶\n");
	has(out, " 0.000 FIN,ACK 0                             ──────────────────▶\n");
	has(out, " 5.000 FIN,ACK 0                             ────▶\n");
	has(out, " 9.000 FIN,ACK 0                                   ────────────▶\n");
	assert_int_equal(count(out, "▶"), 4);
	done(&p, out);
}

static void test_fates(void **state)
{
	struct play p;
	struct play_segment *s;

	(void)state;
	begin_chain(&p);
	s = sends(&p, 0, 0, 0, SEGMENT_SYN, 1, 0, 0);
	s->record.passage = LINE_LOST;
	sends(&p, MS, 0, 0, SEGMENT_SYN, 1, 0, 0)->record.origin = LINE_COPIED;
	s = sends(&p, MS + US, 1, 0, SEGMENT_SYN, 1, 0, 0);
	s->record.passage = LINE_LOST;
	sends(&p, 2 * MS, 1, 0, SEGMENT_RST, 8, 0, 0)->record.origin = LINE_INJECTED;
	sends(&p, 3 * MS, 1, 1, SEGMENT_RST, 8, 0, 0)->record.passage = LINE_ON_ITS_WAY;
	char *out = drawn(&p);
	has(out, " 0.000 SYN 0, lost                           ────x\n");
	has(out, " 1.000 SYN 0, a copy, lost                   ──────────────────x\n");
	has(out, " 2.000 RST 7, injected                             ────────────▶\n");
	has(out, " 3.000 RST 0, held                                 |────────────\n");
	done(&p, out);
}

/* One that others overtake went, and came. */
static void test_overtaken(void **state)
{
	struct play p;
	struct play_segment *s;

	(void)state;
	begin_chain(&p);
	s = sends(&p, 0, 1, 1, SEGMENT_ACK, 1, 1, 100);
	shows(s, TCPWHY_ESTABLISHED, 0);
	s = sends(&p, 10 * US, 0, 1, SEGMENT_ACK, 1, 1, 100);
	shows(s, 0, TCPWHY_CLOSE_WAIT);
	s->record.arrived_ns = 2 * MS;
	strcpy(s->counted, "TW +1");
	sends(&p, MS, 0, 1, SEGMENT_ACK, 101, 1, 0);
	sends(&p, 2 * MS, 0, 0, SEGMENT_RST, 1, 0, 0);
	char *out = drawn(&p);
	has(out, " 0.000 ACK 0:100, held                       |────────────────── ESTABLISHED\n"
		 "     1.000 ");
	has(out, " 2.000 ACK 0:100 ack 0, late     CLOSE_WAIT  ◀────\n"
		 "                                     client: TW +1\n"
		 "     2.000 RST 0 ");
	done(&p, out);
}

/* Numbers of ten digits stand above their arrow, whole. */
static void test_wide(void **state)
{
	struct play p;
	struct play_segment *s;

	(void)state;
	begin_chain(&p);
	sends(&p, 0, 0, 0, SEGMENT_SYN, 0, 0, 0);
	sends(&p, 0, 0, 1, SEGMENT_SYN | SEGMENT_ACK, 0, 1, 0);
	s = sends(&p, UINT64_MAX / 2, 0, 0, SEGMENT_FIN | SEGMENT_ACK, 2000000000, 2000000001, 295);
	s->record.origin = LINE_INJECTED;
	shows(s, TCPWHY_ESTABLISHED, 0);
	calls(&p, UINT64_MAX / 2, 2, "bind([2001:db8:0:1::17]:8080)", "EADDRNOTAVAIL");
	calls(&p, UINT64_MAX / 2, 2,
	      "tcpwhy/fix/sysctl/--pid/4711/net.ipv4.tcp_tw_reuse=1/then/what/never/ends", "ok");
	char *out = drawn(&p);
	has(out, "\n           FIN,ACK 2000000000:2000000295 ack 2000000001, injected\n"
		 "                                     ESTABLISHED ────▶\n");
	has(out, " bind([2001:db8:0:1::17]:8080) = EADDRNOTAVAIL\n");
	has(out, "tcpwhy/fix/sysctl/--pid/4711/net.ipv4.tcp_tw_reuse=1/then/what/never/ends\n");
	done(&p, out);
}

static void test_notes(void **state)
{
	struct play p;

	(void)state;
	begin_chain(&p);
	calls(&p, 0, -1, "of nobody", "")->is_note = true;
	calls(&p, 0, 1, "of the box", "")->is_note = true;
	sends(&p, 0, 0, 0, SEGMENT_SYN, 0, 0, 0);
	char *out = drawn(&p);
	has(out, "     0.000 of nobody\n");
	has(out, "     0.000                                             of the box\n");
	done(&p, out);
}

/* ---------------------------------------------------------------------------------- what is a way
 */

/* Two phones at one box: they share a column, and each line says whose it is. */
static void test_star(void **state)
{
	struct play p;

	(void)state;
	begin_star(&p);
	sends(&p, 0, 0, 0, SEGMENT_SYN, 7, 0, 0);
	sends(&p, 10 * US, 2, 0, SEGMENT_SYN, 7, 0, 0);
	calls(&p, MS, 1, "connect(10.0.0.1:80)", "EINPROGRESS");
	sends(&p, MS, 1, 0, SEGMENT_SYN, 8, 0, 0);
	calls(&p, MS, 3, "listen(1)", "ok");
	sends(&p, MS + 10 * US, 2, 0, SEGMENT_SYN, 8, 0, 0);
	char *out = drawn(&p);
	has(out, "ms            old, young        nat           server\n");
	has(out, " 0.000 old: SYN 0                            ──────────────────▶\n");
	has(out, "                           young: connect(10.0.0.1:80) = EINPROGRESS\n");
	has(out, " 1.000 young: SYN 0                          ────▶\n");
	has(out, " 1.010 young: SYN 0                                ────────────▶\n");
	assert_int_equal(count(out, "6.18.y"), 1);
	done(&p, out);
}

static struct play_segment *from_port(struct play_segment *s, uint16_t port)
{
	if (s->record.direction == LINE_FROM_0)
		s->record.segment.from_port = port;
	else
		s->record.segment.to_port = port;
	return s;
}

/* Lines of two connections that run side by side say of which they are; in a row they need not. */
static void test_side_by_side(void **state)
{
	struct play p;

	(void)state;
	for (int crossed = 0; crossed < 2; crossed++) {
		begin(&p);
		join(&p, host(&p, "client"), host(&p, "server"));
		from_port(sends(&p, 0, 0, 0, SEGMENT_SYN, 7, 0, 0), 5001);
		from_port(sends(&p, 10 * US, 0, 1, SEGMENT_SYN | SEGMENT_ACK, 9, 8, 0), 5001);
		from_port(sends(&p, 20 * US, 0, 0, SEGMENT_SYN, 100, 0, 0), 5002);
		if (crossed)
			from_port(sends(&p, 30 * US, 0, 0, SEGMENT_ACK, 8, 10, 0), 5001);
		char *out = drawn(&p);
		if (crossed) {
			has(out, "── #1 SYN 0 ────────────────▶");
			has(out, "◀── #1 SYN,ACK 0 ack 1 ──────");
			has(out, "── #2 SYN 0 ────────────────▶");
			has(out, "── #1 ACK 1 ack 1 ──────────▶");
		} else {
			assert_int_equal(count(out, "#"), 0);
		}
		done(&p, out);
	}
}

/* Behind a box that gives it another port a connection keeps its number. */
static void test_side_by_side_behind_nat(void **state)
{
	struct play p;

	(void)state;
	begin(&p);
	int client = host(&p, "client"), nat = box(&p, "nat"), server = host(&p, "server");
	join(&p, client, nat);
	join(&p, nat, server);
	from_port(sends(&p, 0, 0, 0, SEGMENT_SYN, 7, 0, 0), 5001);
	from_port(sends(&p, 10 * US, 1, 0, SEGMENT_SYN, 7, 0, 0), 6001);
	from_port(sends(&p, 100 * US, 0, 0, SEGMENT_SYN, 50, 0, 0), 5002);
	/* over a slow link */
	from_port(sends(&p, 5 * MS, 1, 0, SEGMENT_SYN, 50, 0, 0), 6002);
	from_port(sends(&p, 200 * US, 1, 1, SEGMENT_SYN | SEGMENT_ACK, 9, 8, 0), 6001);
	from_port(sends(&p, 210 * US, 0, 1, SEGMENT_SYN | SEGMENT_ACK, 9, 8, 0), 5001);
	from_port(sends(&p, 9 * MS, 1, 1, SEGMENT_ACK, 1, 51, 0), 6002);
	char *out = drawn(&p);
	has(out, " #1 SYN 0 ");
	has(out, " #2 SYN 0 ");
	has(out, " #1 SYN,ACK 0 ack 1 ");
	has(out, " #2 ACK 0 ack 1 ");
	assert_int_equal(count(out, "#3"), 0);
	done(&p, out);
}

/* Too many to name them all in the title. */
static void test_crowd(void **state)
{
	struct play p;
	char name[32];

	(void)state;
	begin(&p);
	int lb = box(&p, "lb");
	join(&p, lb, host(&p, "server"));
	for (int i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "client%d", i);
		join(&p, host(&p, name), lb);
	}
	sends(&p, 0, 12, 0, SEGMENT_SYN, 7, 0, 0);
	sends(&p, 10 * US, 0, 0, SEGMENT_SYN, 7, 0, 0);
	char *out = drawn(&p);
	has(out, " 12 hosts ");
	has(out, " client11: SYN 0                       ──────────────────▶\n");
	done(&p, out);
}

/* However two links of a box were written, its hosts face each other. */
static void test_facing(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct play p;
		begin(&p);
		int a = host(&p, "a"), lb = box(&p, "lb"), b = host(&p, "b");
		join(&p, i & 1 ? lb : a, i & 1 ? a : lb);
		join(&p, i & 2 ? lb : b, i & 2 ? b : lb);
		sends(&p, 0, 0, i & 1, SEGMENT_SYN, 7, 0, 0);
		sends(&p, 10 * US, 1, !(i & 2), SEGMENT_SYN, 7, 0, 0);
		char *out = drawn(&p);
		/* Only written from right to left, b is on the left. */
		has(out, i == 1 ? " b                 lb            a\n"
				: " a                 lb            b\n");
		has(out, i == 1 ? "◀──────────────────\n" : "──────────────────▶\n");
		done(&p, out);
	}
}

static void test_two_boxes(void **state)
{
	struct play p;

	(void)state;
	begin_two_boxes(&p);
	for (int i = 0; i < 3; i++)
		believes(sends(&p, (uint64_t)i * 10 * US, i, 0, SEGMENT_SYN, 7, 0, 0), 1,
			 SESSION_CLOSING);
	shows(&p.segments[0], TCPWHY_SYN_SENT, 0);
	shows(&p.segments[2], 0, TCPWHY_SYN_RECV);
	p.segments[2].session[1] = 0;
	char *out = drawn(&p);
	has(out, "client          nat         lb          server\n");
	has(out, " 0.000 SYN 0             SYN_SENT    ─── CLOSING ─── CLOSING ──▶ SYN_RECV\n");
	done(&p, out);
}

/* Where no chain is, each link has its own ladder. */
static void test_no_chain(void **state)
{
	struct play p;
	char *out;

	(void)state;
	begin(&p); /* a switch */
	int hub = box(&p, "hub");
	for (int i = 0; i < 3; i++)
		join(&p, host(&p, "x"), hub);
	out = drawn(&p);
	assert_int_equal(count(out, "6.18.y"), 3);
	done(&p, out);

	begin(&p); /* three boxes */
	int a = host(&p, "a"), x = box(&p, "x"), y = box(&p, "y"), z = box(&p, "z");
	int b = host(&p, "b");
	join(&p, a, x);
	join(&p, x, y);
	join(&p, y, z);
	join(&p, z, b);
	out = drawn(&p);
	assert_int_equal(count(out, "6.18.y"), 4);
	done(&p, out);

	begin(&p); /* one host on both sides */
	a = host(&p, "a");
	x = box(&p, "x");
	join(&p, a, x);
	join(&p, x, a);
	out = drawn(&p);
	assert_int_equal(count(out, "6.18.y"), 2);
	done(&p, out);

	begin_chain(&p); /* two chains */
	int c = host(&p, "c"), w = box(&p, "w");
	join(&p, c, w);
	join(&p, 2, c);
	join(&p, w, 0);
	out = drawn(&p);
	assert_int_equal(count(out, "6.18.y"), 3);
	done(&p, out);
}

/* Between hosts: two columns, as ever. */
static void test_two_hosts(void **state)
{
	struct play p;
	struct play_segment *s;

	(void)state;
	begin(&p);
	join(&p, host(&p, "client"), host(&p, "server"));
	s = sends(&p, 0, 0, 0, SEGMENT_SYN, 7, 0, 0);
	shows(s, TCPWHY_SYN_SENT, 0);
	s->record.passage = LINE_LOST;
	char *out = drawn(&p);
	has(out, "world 6.18.y  client                                    server\n");
	has(out, "     0.000 ms SYN_SENT    ── SYN 0 ───────────────────x lost\n");
	done(&p, out);
}

/* client - server; a segment that takes as long as they all do, so that the others are late */
static void begin_pair(struct play *p)
{
	begin(p);
	const int client = host(p, "client"), server = host(p, "server");
	join(p, client, server);
	shows(sends(p, 0, 0, 0, SEGMENT_ACK, 1, 1, 0), TCPWHY_ESTABLISHED, TCPWHY_ESTABLISHED);
}

/* While it was held the client called, and became what the segment found. */
static void test_held_up(void **state)
{
	struct play p;
	struct play_segment *s;

	(void)state;
	begin_pair(&p);
	s = sends(&p, 10 * MS, 0, 1, SEGMENT_ACK, 1, 1, 10);
	shows(s, TCPWHY_ESTABLISHED, TCPWHY_FIN_WAIT2);
	s->record.arrived_ns = 90 * MS;
	strcpy(s->counted, "TW +1");
	calls(&p, 50 * MS, 0, "shutdown(write)", "ok");
	char *out = drawn(&p);
	has(out, "    10.000 ms             |── ACK 0:10 ack 0 ────────── ESTABLISHED, held\n"
		 "    50.000 ms shutdown(write) = ok\n"
		 "    90.000 ms FIN_WAIT2   ◀── ACK 0:10 ack 0 ────────── late\n"
		 "                          client: TW +1\n");
	done(&p, out);
	begin_pair(&p);
	s = sends(&p, 10 * MS, 0, 0, SEGMENT_ACK, 1, 1, 10);
	shows(s, TCPWHY_ESTABLISHED, TCPWHY_CLOSE_WAIT);
	s->record.arrived_ns = 90 * MS;
	sends(&p, 60 * MS, 0, 1, SEGMENT_ACK, 1, 1, 0);
	out = drawn(&p);
	has(out, " 10.000 ms ESTABLISHED ── ACK 0:10 ack 0 ──────────| held\n");
	has(out, " 90.000 ms             ── ACK 0:10 ack 0 ──────────▶ CLOSE_WAIT, late\n");
	done(&p, out);
}

/* One line where nothing happened meanwhile, and where the link is slow for all. */
static void test_slow(void **state)
{
	struct play p;
	struct play_segment *s;

	(void)state;
	begin_pair(&p);
	s = sends(&p, 10 * MS, 0, 0, SEGMENT_ACK, 1, 1, 10);
	s->record.arrived_ns = 90 * MS;
	calls(&p, 90 * MS, 1, "recv()", "10");
	char *out = drawn(&p);
	has_not(out, "late");
	done(&p, out);
	begin(&p);
	join(&p, host(&p, "client"), host(&p, "server"));
	for (unsigned i = 0; i < 3; i++) {
		s = sends(&p, i * MS, 0, 0, SEGMENT_ACK, 1 + 10 * i, 1, 10);
		s->record.arrived_ns = i * MS + 30 * MS;
	}
	out = drawn(&p);
	has_not(out, "late");
	done(&p, out);
}

/* For each link that a ladder shows. */
static void test_max(void **state)
{
	struct play p;

	(void)state;
	begin_chain(&p);
	for (int i = 0; i < 9; i++)
		calls(&p, 0, 0, "listen(1)", "ok");
	char *out = drawn_max(&p, 3);
	assert_int_equal(count(out, "listen"), 6);
	has(out, "              3 lines more\n");
	done(&p, out);
}

/* ----------------------------------------------------------------------------------------- random
 */

static uint32_t draw(uint64_t *x, uint32_t n)
{
	return (uint32_t)(unit_random(x) % n);
}

/* Of any width, and with bytes that no name has. */
static void draw_text(uint64_t *x, char *out, size_t size)
{
	const size_t n = draw(x, 3) ? draw(x, 12) : draw(x, (uint32_t)size);
	static const char bytes[] = "abcdefghij(:).= \t\x1b\xc3\xa9";

	for (size_t i = 0; i < n; i++)
		out[i] = bytes[draw(x, sizeof(bytes) - 1)];
	out[n] = '\0';
}

/* Near zero, near each other, or anything. */
static uint64_t draw_number(uint64_t *x)
{
	switch (draw(x, 3)) {
	case 0:
		return draw(x, 4);
	case 1:
		return draw(x, 5) * (uint64_t)US * 100;
	default:
		return unit_random(x) >> draw(x, 64);
	}
}

static void draw_topology(uint64_t *x, struct play *p)
{
	const uint32_t nodes = 2 + draw(x, 6), links = 1 + draw(x, 7);
	char name[32];

	for (uint32_t i = 0; i < nodes; i++) {
		draw_text(x, name, sizeof(name));
		node(p, name, !draw(x, 2));
	}
	for (uint32_t i = 0; i < links; i++)
		join(p, (int)draw(x, nodes), (int)draw(x, nodes));
}

static void draw_segment(uint64_t *x, struct play *p)
{
	struct play_segment *s = play_add_segment(p);
	const uint32_t names = draw(x, 2) ? 0 : draw(x, 8);

	assert_non_null(s);
	if (p->segments_n > 1 && draw(x, 2)) /* behind the box */
		*s = p->segments[p->segments_n - 2];
	else
		s->record.segment = (struct segment){.from_port = (uint16_t)draw(x, 3),
						     .to_port = (uint16_t)draw(x, 3),
						     .flags = (uint8_t)draw(x, 256),
						     .seq = (uint32_t)draw_number(x),
						     .ack = (uint32_t)draw_number(x),
						     .length = (uint32_t)draw_number(x)};
	s->record.link = (int)draw(x, p->links_n);
	s->record.direction = (uint8_t)draw(x, 2);
	s->record.passage = (uint8_t)draw(x, LINE_LOST + 1);
	s->record.origin = (uint8_t)draw(x, LINE_INJECTED + 1);
	s->record.sent_ns = draw_number(x);
	s->record.arrived_ns = draw(x, 2) ? s->record.sent_ns + draw_number(x) : 0;
	s->late = draw(x, 2);
	s->counted[0] = '\0';
	for (uint32_t i = 0; i < names; i++)
		strcat(s->counted, i ? ", TCPAbortOnData +1" : "ListenOverflows +1");
	for (int i = 0; i < 2; i++) {
		s->state[i] = (uint8_t)draw(x, TCPWHY_BOUND + 2);
		s->session[i] = (uint8_t)draw(x, 5);
		s->seen[i] = draw(x, 2);
	}
}

static void draw_call(uint64_t *x, struct play *p)
{
	struct play_call *c = play_add_call(p);

	assert_non_null(c);
	draw_text(x, c->text, sizeof(c->text));
	draw_text(x, c->result, sizeof(c->result));
	c->is_note = !draw(x, 3);
	c->node = (int)draw(x, p->nodes_n) - c->is_note;
	c->waited = draw(x, 2);
	c->at_ns = draw_number(x);
	c->end_ns = c->at_ns + draw(x, 1000);
	c->sent_before = draw(x, p->segments_n + 1);
	c->sent_until = draw(x, p->segments_n + 1);
}

/* No play is wider than a terminal, nor moves it. */
static void test_random(void **state)
{
	uint64_t x = unit_seed();

	static void (*const topologies[])(struct play *) = {begin_chain, begin_star,
							    begin_two_boxes};

	(void)state;
	for (uint32_t round = 0; round < 2000; round++) {
		struct play p;
		if (round % 4 < 3) {
			topologies[round % 4](&p);
		} else {
			begin(&p);
			draw_topology(&x, &p);
		}
		for (uint32_t i = draw(&x, 20); i > 0; i--)
			draw_segment(&x, &p);
		for (uint32_t i = draw(&x, 10); i > 0; i--)
			draw_call(&x, &p);
		char *out = drawn(&p);
		assert_null(strpbrk(out, "\t\x1b"));
		done(&p, out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three_views),  cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_no_belief),    cmocka_unit_test(test_not_asked),
		cmocka_unit_test(test_order),        cmocka_unit_test(test_in_a_row),
		cmocka_unit_test(test_fates),        cmocka_unit_test(test_overtaken),
		cmocka_unit_test(test_wide),         cmocka_unit_test(test_notes),
		cmocka_unit_test(test_star),         cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_side_by_side), cmocka_unit_test(test_side_by_side_behind_nat),
		cmocka_unit_test(test_facing),       cmocka_unit_test(test_two_boxes),
		cmocka_unit_test(test_no_chain),     cmocka_unit_test(test_two_hosts),
		cmocka_unit_test(test_held_up),      cmocka_unit_test(test_slow),
		cmocka_unit_test(test_max),          cmocka_unit_test(test_random),
	};

	return unit_run("ladder", tests);
}
