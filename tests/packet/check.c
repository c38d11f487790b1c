/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "differ/program.h"

/* A script without waits ends before the first retransmission can be due (RTO_MIN is 200 ms). */
#define BUSY_NS 150000000u
/* Jiffies of 4 ms, read twice and rounded up; and a timer is set within the step. */
#define TIMER_NS 16000000u
/* A cookie's TSval has options in its last six bits, and gives an RTT sample by so much too long.
 */
#define COOKIE_NS 64000000u
/* So close to a deadline which of the two is first is chance. */
#define EDGE_NS  12000000u
#define PAUSE_NS 100000000u
#define STEP_NS  1000000
#define MS       1000000u
#define TICK_NS  60000u

enum { AGREE_TRIES = 8, DELTAS = 8 };

struct check {
	struct kernel *k;
	struct model *m; /* NULL: kernel alone */
	const struct check_how *how;
	struct check_stats *stats;
	struct mismatch *mismatch;
	struct observed of_k, of_m;
	uint64_t start_ns, waited_ns;
	bool near_edge;                     /* a timer may have run in one of the two only */
	struct outside outside[WIRE_FLOWS]; /* as in struct wire */
	/* FIONREAD counts a FIN that comes after the FIN; recv() does not give it. */
	bool had_fin[SCRIPT_SOCKETS];
	size_t out_at; /* the next segment that an OUT line speaks of */
	/* The two announce other windows. What was sent relative to one comes back as an ACK. */
	struct flow delta_flow[DELTAS];
	uint32_t delta[DELTAS]; /* kernel's minus model's */
	size_t n_deltas;
};

static bool fail(struct check *c, enum check_class class, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static bool fail(struct check *c, enum check_class class, const char *format, ...)
{
	va_list args;

	c->mismatch->class = class;
	va_start(args, format);
	vsnprintf(c->mismatch->text, sizeof(c->mismatch->text), format, args);
	va_end(args);
	return false;
}

/* ------------------------------------------------------------------------------------ comparing */

static const char *result_text(const struct observed *o, char text[static 32])
{
	if (o->skipped)
		return "skipped";
	if (o->result <= 0)
		return errno_name((int)-o->result);
	snprintf(text, 32, "%lld", (long long)o->result);
	return text;
}

static bool same_result(struct check *c)
{
	char k[32], m[32];

	if (c->of_k.skipped == c->of_m.skipped && c->of_k.result == c->of_m.result)
		return true;
	return fail(c, CHECK_ANSWER, "kernel %s, model %s", result_text(&c->of_k, k),
		    result_text(&c->of_m, m));
}

/* The model's number in the kernel's terms. */
static uint32_t translate(const struct check *c, const struct flow *f, uint32_t model,
			  uint32_t kernel)
{
	for (size_t i = 0; i < c->n_deltas && i < DELTAS; i++)
		if (flow_equal(&c->delta_flow[i], f) && model + c->delta[i] == kernel)
			return kernel;
	return model;
}

static void describe(struct wire *w, const struct segment *s, char text[static WIRE_TEXT])
{
	struct flow f;
	const struct wire_flow *known = wire_flow_of(s, true, &f) ? wire_flow(w, &f) : NULL;

	if (known)
		wire_describe(known, s, text);
	else
		snprintf(text, WIRE_TEXT, "to somebody else");
}

static bool same_segment(const struct check *c, size_t i)
{
	struct segment k = c->of_k.out[i], m = c->of_m.out[i];
	char tk[WIRE_TEXT], tm[WIRE_TEXT];
	struct flow f;

	if (wire_flow_of(&k, true, &f)) {
		m.ack = translate(c, &f, m.ack, k.ack);
		m.sack_edge = translate(c, &f, m.sack_edge, k.sack_edge);
	}
	describe(&c->k->wire, &k, tk);
	describe(&c->m->wire, &m, tm);
	return !strcmp(tk, tm);
}

static void list_segments(struct wire *w, const struct observed *o, char *text, size_t size)
{
	char one[WIRE_TEXT];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < o->n_out && n + WIRE_TEXT + 4 < size; i++) {
		describe(w, &o->out[i], one);
		n += (size_t)snprintf(text + n, size - n, "%s%s", i ? "; " : "", one);
	}
	if (!o->n_out)
		snprintf(text, size, "nothing");
}

static bool same_segments(struct check *c)
{
	char k[480], m[480];
	bool same = c->of_k.n_out == c->of_m.n_out;

	for (size_t i = 0; same && i < c->of_k.n_out; i++)
		same = same_segment(c, i);
	if (same)
		return true;
	list_segments(&c->k->wire, &c->of_k, k, sizeof(k));
	list_segments(&c->m->wire, &c->of_m, m, sizeof(m));
	return fail(c, CHECK_SEGMENTS, "kernel sent %s\n#   model sent %s", k, m);
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

static uint64_t timer_tolerance(const struct check *c, const struct seen_flow *k)
{
	/* counted from the same start, but the kernel was asked later */
	uint64_t t = TIMER_NS + c->of_k.now_ns - c->of_m.now_ns;

	/* a pause between a segment and its ACK is a sample of the RTT, and the next ones wear off
	 */
	if (k->timer == HOST_TIMER_RETRANSMIT)
		t += c->waited_ns < PAUSE_NS ? c->waited_ns : PAUSE_NS;
	if (k->timer == HOST_TIMER_RETRANSMIT && c->of_k.counters[COUNTER_SyncookiesRecv])
		t += COOKIE_NS;
	/* the kernel's time-out is whole ticks, and so 204 ms, and each doubling of it */
	if (k->timer == HOST_TIMER_PROBE)
		t += k->left_ns / 32;
	/* the timer wheel is late by up to an eighth, and the next time-out begins there */
	if (k->retransmits)
		t += (c->of_k.now_ns - c->start_ns) / 6;
	return t;
}

static bool same_flow(struct check *c, size_t i)
{
	static const char *const names[] = {"none", "retransmit", "keepalive", "timewait", "probe"};
	const struct seen_flow *k = &c->of_k.flows[i], *m = &c->of_m.flows[i];
	const struct flow *f = &c->k->wire.flows[i].flow;

	if (k->state != m->state || k->timewait != m->timewait)
		return fail(c, CHECK_STATE, "%u>%u: kernel %s%s, model %s%s", f->peer_port,
			    f->host_port, tcpwhy_state_name(k->state), k->timewait ? " mini" : "",
			    tcpwhy_state_name(m->state), m->timewait ? " mini" : "");
	if (k->timer == m->timer && k->retransmits == m->retransmits &&
	    (!k->timer || distance(k->left_ns, m->left_ns) < timer_tolerance(c, k)))
		return true;
	return fail(c, CHECK_TIMER,
		    "%u>%u: kernel's timer %s %llu ms, %u retransmits; "
		    "model's %s %llu ms, %u retransmits",
		    f->peer_port, f->host_port, names[k->timer < 5 ? k->timer : 0],
		    (unsigned long long)k->left_ns / 1000000, k->retransmits,
		    names[m->timer < 5 ? m->timer : 0], (unsigned long long)m->left_ns / 1000000,
		    m->retransmits);
}

static bool is_after_fin(uint8_t state)
{
	return state == TCPWHY_CLOSE_WAIT || state == TCPWHY_LAST_ACK || state == TCPWHY_CLOSING ||
	       state == TCPWHY_CLOSE;
}

static bool same_sock(struct check *c, unsigned i)
{
	const struct seen_sock *k = &c->of_k.socks[i], *m = &c->of_m.socks[i];

	c->had_fin[i] = k->open && (c->had_fin[i] || is_after_fin(k->state));
	if (k->open != m->open || k->state != m->state || k->has_peer != m->has_peer ||
	    (k->unread != m->unread && !c->had_fin[i]))
		return fail(c, CHECK_SOCKET, "%c: kernel %s%s, %u unread, model %s%s, %u unread",
			    'a' + i, tcpwhy_state_name(k->state), k->has_peer ? " with a peer" : "",
			    k->unread, tcpwhy_state_name(m->state),
			    m->has_peer ? " with a peer" : "", m->unread);
	if (k->queue == m->queue && k->backlog == m->backlog)
		return true;
	return fail(c, CHECK_SOCKET, "%c: kernel's queue %u of %u, model's %u of %u", 'a' + i,
		    k->queue, k->backlog, m->queue, m->backlog);
}

static bool same_counters(struct check *c)
{
	char text[400];
	size_t n = 0;

	for (unsigned i = 0; i < COUNTER_COUNT && n + 64 < sizeof(text); i++) {
		if (c->of_k.counters[i] == c->of_m.counters[i])
			continue;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s kernel %llu model %llu",
				      n ? ", " : "", counter_name((enum counter)i),
				      (unsigned long long)c->of_k.counters[i],
				      (unsigned long long)c->of_m.counters[i]);
	}
	return !n || fail(c, CHECK_COUNTER, "%s", text);
}

static bool same_now(struct check *c)
{
	bool same = same_result(c) && same_segments(c);

	for (size_t i = 0; same && i < c->k->wire.n; i++)
		same = same_flow(c, i);
	for (unsigned i = 0; same && i < SCRIPT_SOCKETS; i++)
		same = same_sock(c, i);
	return same && same_counters(c);
}

/* ------------------------------------------------------------------------------------- assertions
 */

static bool is_number(const struct wire_flow *w, const struct number *n, uint32_t value)
{
	return wire_number(w, n) == value;
}

static bool matches(const struct wire_flow *w, const struct segment *s, const struct pattern *p)
{
	if ((s->flags & ~SEGMENT_PSH) != (p->flags & ~SEGMENT_PSH))
		return false;
	if (p->seq_given && !is_number(w, &p->seq, s->seq))
		return false;
	if (p->ack_given && !is_number(w, &p->ack, s->ack))
		return false;
	if (p->length_given && p->length != s->length)
		return false;
	if (p->no_timestamp && s->has_timestamp)
		return false;
	return !p->ecr_given || (s->has_timestamp && s->tsecr == (uint32_t)p->ecr);
}

static bool assert_out(struct check *c, const struct step *s)
{
	char text[480];
	struct flow f;

	if (s->seg.none) {
		if (c->out_at >= c->of_k.n_out)
			return true;
	} else if (c->out_at < c->of_k.n_out) {
		const struct segment *sent = &c->of_k.out[c->out_at++];
		const struct wire_flow *w =
			wire_flow_of(sent, true, &f) ? wire_flow(&c->k->wire, &f) : NULL;
		if (w && matches(w, sent, &s->seg))
			return true;
	}
	list_segments(&c->k->wire, &c->of_k, text, sizeof(text));
	return fail(c, CHECK_EXPECT, "sent %s", text);
}

static bool assert_state(struct check *c, unsigned wanted, unsigned is)
{
	return wanted == is || fail(c, CHECK_EXPECT, "the state is %s", tcpwhy_state_name(is));
}

static const struct seen_flow *seen_flow(struct check *c, const struct flow *f)
{
	static const struct seen_flow none = {.state = TCPWHY_CLOSE};

	for (size_t i = 0; i < c->k->wire.n; i++)
		if (flow_equal(&c->k->wire.flows[i].flow, f))
			return &c->of_k.flows[i];
	return &none;
}

static bool assert_timer(struct check *c, const struct step *s)
{
	const struct seen_flow *f = seen_flow(c, &s->flow);
	const int64_t ms = (int64_t)(f->left_ns / 1000000);

	return (f->timer == s->which && (!f->timer || (ms >= s->value[0] && ms <= s->value[1]))) ||
	       fail(c, CHECK_EXPECT, "timer %u, %lld ms left", f->timer, (long long)ms);
}

static bool assert_step(struct check *c, const struct step *s)
{
	char text[32];

	switch ((enum step_kind)s->kind) {
	case STEP_EXPECT:
		return (!c->of_k.skipped && c->of_k.result == s->value[0]) ||
		       fail(c, CHECK_EXPECT, "was %s", result_text(&c->of_k, text));
	case STEP_OUT:
		return assert_out(c, s);
	case STEP_STATE:
		return assert_state(c, s->which, seen_flow(c, &s->flow)->state);
	case STEP_SOCK:
		return assert_state(c, s->which, c->of_k.socks[s->sock].state);
	case STEP_TIMER:
		return assert_timer(c, s);
	case STEP_QUEUE:
		return c->of_k.socks[s->sock].queue == (uint64_t)s->value[0] ||
		       fail(c, CHECK_EXPECT, "the queue has %u", c->of_k.socks[s->sock].queue);
	case STEP_COUNTER:
		return c->of_k.counters[s->which] == (uint64_t)s->value[0] ||
		       fail(c, CHECK_EXPECT, "it counted %llu",
			    (unsigned long long)c->of_k.counters[s->which]);
	default:
		return true;
	}
}

/* ---------------------------------------------------------------------------------------- a step
 */

/* Both players know the same flows in the same order. */
static int know_flow(struct check *c, const struct flow *f)
{
	if (!wire_flow(&c->k->wire, f))
		return -ENOBUFS;
	return !c->m || wire_flow(&c->m->wire, f) ? 0 : -ENOBUFS;
}

/* A connection of the host's own begins. */
static int know_connect(struct check *c, const struct step *s)
{
	const uint16_t port = kernel_port(c->k, s->sock);

	if (!port)
		return 0;
	return know_flow(c, &(struct flow){.family = c->k->families[s->sock],
					   .host_port = port,
					   .peer_port = (uint16_t)s->value[0]});
}

/* The timestamp clock ticks in milliseconds, and a step shall be made by both in the same one. */
static uint64_t avoid_tick(void)
{
	uint64_t now = kernel_now();

	while (now % MS > MS - TICK_NS)
		now = kernel_now();
	return now;
}

/* The kernel has acted between start and now. */
static void note_tick(struct check *c, uint64_t start)
{
	c->near_edge |= start / MS != kernel_now() / MS;
}

static void advance(struct check *c, uint64_t now)
{
	if (!c->m)
		return;
	const uint64_t last = host_deadline(c->m->host);
	c->near_edge |= last <= now && now - last < EDGE_NS;
	model_advance(c->m, now, &c->of_m);
}

/* The kernel was looked at; may one of its timers have run meanwhile? */
static void note_deadline(struct check *c)
{
	const uint64_t next = host_deadline(c->m->host);

	c->near_edge |= next <= c->of_k.now_ns || next - c->of_k.now_ns < EDGE_NS;
}

/* Sends both players what the line means to each. */
static int send_both(struct check *c, const struct segment *k, const struct segment *m)
{
	const uint64_t start = avoid_tick();
	const int rc = kernel_inject(c->k, k);

	note_tick(c, start);
	advance(c, start);
	if (c->m)
		model_inject(c->m, m);
	return rc;
}

static bool leave_out(struct check *c, enum outside_reason why)
{
	if (why == OUTSIDE_NOT)
		return false;
	c->of_k.skipped = c->of_m.skipped = true;
	c->stats->outside[why]++;
	return true;
}

static int inject(struct check *c, const struct step *s)
{
	struct wire_flow *k = wire_flow(&c->k->wire, &s->flow);
	struct wire_flow *m = c->m ? wire_flow(&c->m->wire, &s->flow) : NULL;
	const size_t i = (size_t)(k - c->k->wire.flows);
	const struct segment to_k = wire_render(k, &s->flow, &s->seg);
	const struct segment to_m = m ? wire_render(m, &s->flow, &s->seg) : to_k;

	const enum outside_reason why =
		outside_segment(&c->outside[i], &c->of_k.flows[i], (struct outside_view){&to_k, k},
				(struct outside_view){m ? &to_m : NULL, m});

	if (leave_out(c, why))
		return 0;
	wire_sent(k, &to_k);
	if (m)
		wire_sent(m, &to_m);
	if (to_k.seq != to_m.seq) {
		c->delta_flow[c->n_deltas % DELTAS] = s->flow;
		c->delta[c->n_deltas++ % DELTAS] = to_k.seq - to_m.seq;
	}
	return send_both(c, &to_k, &to_m);
}

static void note_segments(struct wire *w, const struct observed *o)
{
	struct flow f;

	for (size_t i = 0; i < o->n_out; i++) {
		struct wire_flow *known =
			wire_flow_of(&o->out[i], true, &f) ? wire_flow(w, &f) : NULL;
		if (known)
			wire_note(known, &o->out[i]);
	}
}

static void trace(const struct check *c, const struct step *s)
{
	char text[STEP_TEXT], sent[960], result[32];

	step_print(s, text);
	fprintf(c->how->trace, "%-52s", text);
	if (s->kind != STEP_IN)
		fprintf(c->how->trace, " -> %s", result_text(&c->of_k, result));
	list_segments(&c->k->wire, &c->of_k, sent, sizeof(sent));
	fprintf(c->how->trace, " => %s", sent);
	if (c->of_k.n_out)
		fprintf(c->how->trace, " win %u", c->of_k.out[c->of_k.n_out - 1].window);
	for (size_t i = 0; i < c->k->wire.n; i++) {
		const struct seen_flow *f = &c->of_k.flows[i];
		fprintf(c->how->trace, " [%s%s t%u %llu]", tcpwhy_state_name(f->state),
			f->timewait ? "*" : "", f->timer, (unsigned long long)f->left_ns / 1000000);
	}
	fprintf(c->how->trace, "\n");
}

static void trace_counters(const struct check *c)
{
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		if (c->of_k.counters[i])
			fprintf(c->how->trace, " %s %llu", counter_name((enum counter)i),
				(unsigned long long)c->of_k.counters[i]);
	fprintf(c->how->trace, "\n");
}

static void pause_ns(long ns)
{
	nanosleep(&(struct timespec){0, ns}, NULL);
}

/* What a softirq is late with comes yet; a difference counts when it stays. */
static int compare(struct check *c)
{
	int rc = 0;

	for (int tries = 0; !rc && !same_now(c) && tries < AGREE_TRIES; tries++) {
		c->mismatch->class = CHECK_AGREE;
		pause_ns(STEP_NS);
		rc = kernel_look(c->k, &c->of_k);
		if (!rc && tries + 1 == AGREE_TRIES)
			same_now(c);
	}
	return rc;
}

static size_t flow_index(struct wire *w, const struct segment *s)
{
	struct flow f;
	const struct wire_flow *known = wire_flow_of(s, true, &f) ? wire_flow(w, &f) : NULL;

	return known ? (size_t)(known - w->flows) : WIRE_FLOWS;
}

/* Timers of two connections that end at the same tick run in any order: what they sent is told
 * connection by connection. On a busy machine that can be in any step. */
static void sort_segments(struct wire *w, struct observed *o)
{
	for (size_t i = 1; i < o->n_out; i++) {
		const struct segment s = o->out[i];
		size_t at = i;
		for (; at && flow_index(w, &o->out[at - 1]) > flow_index(w, &s); at--)
			o->out[at] = o->out[at - 1];
		o->out[at] = s;
	}
}

static void count_step(struct check *c, const struct step *s)
{
	c->stats->events++;
	if (s->kind == STEP_IN)
		c->stats->states[seen_flow(c, &s->flow)->state]++;
	if (s->kind == STEP_IN || !c->of_k.skipped)
		c->stats->kinds[s->kind]++;
}

static void begin_step(struct check *c)
{
	c->of_k.n_out = c->of_m.n_out = c->out_at = 0;
	c->of_k.result = c->of_m.result = 0;
	c->of_k.skipped = c->of_m.skipped = false;
}

static bool is_left_out(struct check *c, const struct step *s)
{
	if (s->kind == STEP_SYSCTL && c->k->lacks[s->which]) {
		c->of_k.skipped = c->of_m.skipped = true;
		c->stats->lacking++;
		return true;
	}
	/* the two would choose other ports */
	if (s->kind == STEP_CONNECT && !kernel_port(c->k, s->sock)) {
		c->of_k.skipped = c->of_m.skipped = true;
		return true;
	}
	return false;
}

static int make_call(struct check *c, const struct step *s)
{
	const uint64_t start = avoid_tick();

	if (is_left_out(c, s))
		return 0;
	kernel_call(c->k, s, &c->of_k);
	if (s->kind == STEP_WAIT)
		c->waited_ns += (uint64_t)s->value[0] * MS;
	else
		note_tick(c, start);
	advance(c, s->kind == STEP_WAIT ? kernel_now() : start);
	if (c->m)
		model_call(c->m, s, &c->of_m);
	return s->kind == STEP_CONNECT ? know_connect(c, s) : 0;
}

static int act(struct check *c, const struct step *s)
{
	int rc = 0;

	begin_step(c);
	if (s->kind == STEP_IN) {
		rc = know_flow(c, &s->flow);
		count_step(c, s);
		if (!rc)
			rc = inject(c, s);
	} else {
		rc = make_call(c, s);
	}
	if (!rc)
		rc = kernel_look(c->k, &c->of_k);
	sort_segments(&c->k->wire, &c->of_k);
	if (!rc && c->m) {
		model_look(c->m, &c->of_m);
		note_deadline(c);
		sort_segments(&c->m->wire, &c->of_m);
		rc = compare(c);
	}
	if (s->kind != STEP_IN)
		count_step(c, s);
	return rc;
}

static void check_assertion(struct check *c, const struct step *s)
{
	if (assert_step(c, s))
		return;
	if (c->how->trace)
		fprintf(c->how->trace, "   ^ %s\n", c->mismatch->text);
	if (!c->how->row || program_expects(c->how->row))
		return;
	c->stats->other_release++;
	c->mismatch->class = CHECK_AGREE;
}

static int play(struct check *c, const struct step *s)
{
	if (step_asserts(s->kind)) {
		check_assertion(c, s);
		return 0;
	}
	const int rc = act(c, s);
	c->stats->segments += c->of_k.n_out;
	if (c->how->trace)
		trace(c, s);
	if (rc || c->mismatch->class != CHECK_AGREE)
		return rc;
	note_segments(&c->k->wire, &c->of_k);
	if (c->m)
		note_segments(&c->m->wire, &c->of_m);
	return 0;
}

/* -------------------------------------------------------------------------------------- a script
 */

static bool took_too_long(const struct check *c)
{
	return kernel_now() - c->start_ns - c->waited_ns > BUSY_NS;
}

/* Twice as long as an edge is wide. */
static void pause_before(const struct check *c)
{
	for (size_t i = 0; i < c->how->n_pauses; i++)
		if (c->how->pauses[i] == c->mismatch->at)
			pause_ns(2 * EDGE_NS);
}

static int play_all(struct check *c, const struct script *s, struct err *err)
{
	int rc = 0;

	for (c->mismatch->at = 0; c->mismatch->at < s->n; c->mismatch->at++) {
		pause_before(c);
		rc = play(c, &s->steps[c->mismatch->at]);
		if (rc)
			snprintf(err->text, sizeof(err->text), "step %zu: %s", c->mismatch->at,
				 strerror(-rc));
		if (rc || c->mismatch->class != CHECK_AGREE)
			break;
	}
	if (!rc && took_too_long(c)) {
		c->mismatch->class = CHECK_VOID;
		c->stats->voids++;
	}
	c->mismatch->by_chance = c->near_edge;
	return rc;
}

int check_script(struct kernel *k, const struct script *s, const struct check_how *how,
		 struct check_stats *stats, struct mismatch *m, struct err *err)
{
	struct check *c = calloc(1, sizeof(*c));
	struct model *model = how->row ? calloc(1, sizeof(*model)) : NULL;
	int rc = c && (model || !how->row) ? kernel_reset(k, err) : -ENOMEM;

	*m = (struct mismatch){.class = CHECK_AGREE};
	if (!rc && model)
		rc = model_begin(model, how->row, k->lacks, &k->jiffies, kernel_now());
	if (!rc) {
		*c = (struct check){.k = k,
				    .m = model,
				    .how = how,
				    .stats = stats,
				    .mismatch = m,
				    .start_ns = kernel_now()};
		rc = play_all(c, s, err);
		stats->scripts++;
		for (unsigned i = 0; i < COUNTER_COUNT; i++)
			stats->counted[i] += c->of_k.counters[i];
		if (how->trace)
			trace_counters(c);
	}
	if (model)
		model_end(model);
	free(model);
	free(c);
	return rc;
}
