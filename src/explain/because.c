/* SPDX-License-Identifier: MIT */
#include "explain/asked.h"

#include "base/address.h"
#include "base/text.h"

/* How a class of holders is called, and what SO_REUSEADDR and SO_REUSEPORT would need there. */
struct holder_words {
	const char *one, *many, *behind;
	const char *needs;
};

/* one, many, and what is said behind either */
#define TIME_WAIT_ "A closed connection in TIME_WAIT", "closed connections in TIME_WAIT", ""
#define FIN_WAIT2_                                                                                 \
	"An orphaned connection in FIN_WAIT2", "orphaned connections in FIN_WAIT2",                \
		", which the other side has not closed,"
#define CONNECTION_ "A living connection", "living connections", ""
#define OUTGOING_   "An outgoing connection", "outgoing connections", ", whose port connect() chose,"
/* The same classes, of connections that nobody uses any more, or not yet. */
#define CLOSED_                                                                                    \
	"A connection that its process has closed",                                                \
		"connections that their processes have closed",                                    \
		", whose last data or FIN the other side has not acknowledged,"
#define OPENING_                                                                                   \
	"An outgoing connection that is still being opened",                                       \
		"outgoing connections that are still being opened", ""
#define BOUND_    "A bound socket", "bound sockets", ", neither listening nor connected,"
#define LISTENER_ "A listening socket", "listening sockets", ""

#define OLD_HAD_IT                                                                                 \
	"The old socket had SO_REUSEADDR; a new one gets past it by setting it too, before "       \
	"bind()."
#define OLD_HAD_NOT                                                                                \
	"SO_REUSEADDR lets a new socket past it only if the old socket had the option too; it "    \
	"had not."
#define HAS_IT                                                                                     \
	"That socket has SO_REUSEADDR; a new one gets past it by setting it too, before bind()."
#define HAS_NOT                                                                                    \
	"SO_REUSEADDR lets a new socket past it only if that socket has the option too; it has "   \
	"not."
#define ONE_UID                                                                                    \
	"Both sides have SO_REUSEPORT, but a port is shared only between sockets of one uid, and " \
	"the uids differ."

static const struct holder_words words[TCPWHY_HOLDER_CLASSES] = {
	[TCPWHY_H_TW_NEEDS_REUSE] = {TIME_WAIT_, OLD_HAD_IT},
	[TCPWHY_H_TW_WITHOUT_REUSE] = {TIME_WAIT_, OLD_HAD_NOT},
	[TCPWHY_H_FW2_NEEDS_REUSE] = {FIN_WAIT2_, OLD_HAD_IT},
	[TCPWHY_H_FW2_WITHOUT_REUSE] = {FIN_WAIT2_, OLD_HAD_NOT},
	[TCPWHY_H_CONN_NEEDS_REUSE] = {CONNECTION_, HAS_IT},
	[TCPWHY_H_CONN_WITHOUT_REUSE] = {CONNECTION_, HAS_NOT},
	[TCPWHY_H_OUT_NEEDS_REUSE] = {OUTGOING_, HAS_IT},
	[TCPWHY_H_OUT_WITHOUT_REUSE] = {OUTGOING_, HAS_NOT},
	[TCPWHY_H_BOUND_NEEDS_REUSE] = {BOUND_, HAS_IT},
	[TCPWHY_H_BOUND_WITHOUT_REUSE] = {BOUND_, HAS_NOT},
	[TCPWHY_H_BOUND_OTHER_UID] = {BOUND_, ONE_UID},
	[TCPWHY_H_REUSEPORT_STEERED] =
		{"A socket with SO_REUSEPORT", "sockets with SO_REUSEPORT", "",
		 "The new socket brings a BPF program of its own, and a port has one "
		 "SO_REUSEPORT group only."},
	[TCPWHY_H_LISTENER] =
		{LISTENER_,
		 "SO_REUSEADDR never helps against a listener; only SO_REUSEPORT on both, set "
		 "before bind() under one uid, lets two sockets listen here."},
	[TCPWHY_H_LISTENER_OTHER_UID] = {LISTENER_, ONE_UID},
	[TCPWHY_H_UNKNOWN] = {"A socket", "sockets", "", NULL},
};

/* ------------------------------------------------------------------------------------ the holders
 */

/* What becomes of connections that are not simply alive. */
enum stage { STAGE_LIVING, STAGE_OPENING, STAGE_CLOSED, STAGE_FIN_WAIT2, STAGE_MIXED, STAGES };

static enum stage stage_of(const struct snapshot_owner *s)
{
	if (s->o.state == TCPWHY_SYN_SENT)
		return STAGE_OPENING;
	if (!load_is_orphan(s))
		return STAGE_LIVING;
	return s->o.state == TCPWHY_FIN_WAIT2 ? STAGE_FIN_WAIT2 : STAGE_CLOSED;
}

/* The stage that all holders of the class are in. */
static enum stage common_stage(const struct asked *a, enum tcpwhy_holder c)
{
	enum stage common = STAGES;

	for (size_t i = 0; a->why && i < a->few.snap.owners_n; i++) {
		enum stage s = stage_of(&a->few.snap.owners[i]);
		if (a->why[i] != (uint8_t)c)
			continue;
		if (common != STAGES && s != common)
			return STAGE_MIXED;
		common = s;
	}
	return common == STAGES ? STAGE_LIVING : common;
}

static struct holder_words words_of(const struct asked *a, enum tcpwhy_holder c)
{
	static const struct holder_words by_stage[STAGES] = {
		[STAGE_OPENING] = {OPENING_, NULL},
		[STAGE_CLOSED] = {CLOSED_, NULL},
		[STAGE_FIN_WAIT2] = {FIN_WAIT2_, NULL},
		[STAGE_MIXED] = {"A connection", "connections", "", NULL},
	};
	struct holder_words w = words[c];

	if (c < TCPWHY_H_CONN_NEEDS_REUSE || c > TCPWHY_H_OUT_WITHOUT_REUSE)
		return w;
	enum stage stage = common_stage(a, c);
	if (stage == STAGE_LIVING)
		return w;
	struct holder_words other = by_stage[stage];
	other.needs = w.needs;
	if (stage == STAGE_OPENING || stage == STAGE_MIXED)
		other.behind = w.behind;
	return other;
}

static void add_local(struct text *t, const struct asked *a)
{
	struct tcpwhy_owner o;
	char local[ENDPOINT_TEXT_MAX];

	if (tcpwhy_get(a->engine, a->verdict.first, &o))
		return;
	text_add(t, " (");
	text_add(t, endpoint_format(&o.local, o.port, o.family == TCPWHY_IPV6, local));
	text_add(t, ")");
}

static void add_time_left(struct text *t, const struct asked *a)
{
	const struct tcpwhy_verdict *v = &a->verdict;

	if (!asked_only_timed(v) || v->last_expiry_ns <= a->snap->taken_ns)
		return;
	text_add(t, v->holders > 1 ? ", the last for another " : " for another ");
	text_seconds(t, v->last_expiry_ns - a->snap->taken_ns);
}

static void add_who_holds(struct text *t, const struct asked *a, enum tcpwhy_holder c)
{
	const struct holder_words w = words_of(a, c);
	uint32_t n = a->verdict.by_class[c];

	if (n > 1) {
		text_count(t, n);
		text_char(t, ' ');
		text_add(t, w.many);
	} else {
		text_add(t, w.one);
		if (a->verdict.holders == 1)
			add_local(t, a);
	}
	text_add(t, w.behind);
	text_add(t, n > 1 ? " hold port " : " holds port ");
	text_number(t, a->verdict.port);
	add_time_left(t, a);
	text_char(t, '.');
}

/* The other classes, by their names; two classes of one name are one group. */
static void add_others(struct text *t, const struct asked *a, enum tcpwhy_holder first)
{
	const struct tcpwhy_verdict *v = &a->verdict;
	bool any = false;

	for (unsigned c = TCPWHY_HOLDER_CLASSES; c-- > 0;) {
		if (!v->by_class[c] || c == (unsigned)first)
			continue;
		const struct holder_words w = words_of(a, (enum tcpwhy_holder)c);
		text_add(t, any ? ", " : " Also in the way: ");
		text_count(t, v->by_class[c]);
		text_char(t, ' ');
		text_add(t, v->by_class[c] == 1 ? w.one + 1 + (w.one[1] == 'n') : w.many);
		any = true;
	}
	if (any)
		text_char(t, '.');
}

/* What the new socket would need. Refused for certain does not mean that all is seen: without the
 * option itself, the new socket fails whatever the other side has. */
static const char *needs_of(const struct asked *a, enum tcpwhy_holder c)
{
	bool by_option = c < TCPWHY_H_BOUND_OTHER_UID;

	if (!words[c].needs || (by_option && asked_options_unknown(a)))
		return "SO_REUSEADDR or SO_REUSEPORT lets a new socket past only if both sides "
		       "have "
		       "it; what the other side has cannot be seen from here.";
	return words[c].needs;
}

static void write_conflict(const struct asked *a, enum tcpwhy_holder c, struct text *t)
{
	if (a->verdict.at == TCPWHY_CALL_LISTEN)
		text_add(t, "bind() would succeed, but listen() asks once more. ");
	add_who_holds(t, a, c);
	text_char(t, ' ');
	text_add(t, needs_of(a, c));
	add_others(t, a, c);
}

/* ---------------------------------------------------------------------------- the other refusals
 */

static void write_privileged(const struct asked *a, struct text *t)
{
	text_add(t, "Ports below ");
	text_count(t, a->sysctls.unprivileged_port_start);
	text_add(t, " (net.ipv4.ip_unprivileged_port_start) need CAP_NET_BIND_SERVICE, which uid ");
	text_number(t, a->question->bind.uid);
	text_add(t, a->verdict.answer == TCPWHY_DEPENDS ? " may lack." : " lacks.");
}

static void write_not_local(const struct asked *a, struct text *t)
{
	char address[ADDRESS_TEXT_MAX];

	text_add(t, address_format(&a->question->bind.addr, address));
	text_add(t, " is not an address of this network namespace");
	if (a->question->device) {
		text_add(t, " reachable through device ");
		text_add(t, a->question->device);
	}
	text_char(t, '.');
}

static void write_no_device(const struct asked *a, struct text *t)
{
	text_add(t, "There is no device ");
	text_add(t, a->question->device);
	text_add(t, " in this network namespace: setsockopt(SO_BINDTODEVICE) fails first.");
}

static void write_exhausted(const struct asked *a, struct text *t)
{
	const struct tcpwhy_verdict *v = &a->verdict;

	text_add(t, "None of the ");
	text_count(t, v->range_total);
	text_add(t, " ports that bind(0) may choose from is free for this address: ");
	text_count(t, v->range_taken);
	text_add(t, " taken, ");
	text_count(t, v->range_reserved);
	text_add(t, " reserved.");
}

static void write_depends(const struct asked *a, struct text *t)
{
	uint32_t n = a->verdict.holders;

	if (n) {
		text_counted(t, n, "socket");
		text_add(t, n == 1 ? " holds port " : " hold port ");
		text_number(t, a->verdict.port);
		add_time_left(t, a);
		text_add(t, ". The answer depends on ");
	} else {
		text_add(t, "Nothing that can be seen is in the way, but the answer depends on ");
	}
	unknown_missing(t, a->verdict.missing);
	text_add(t, ", which cannot be seen from here.");
}

/* --------------------------------------------------------------------------------------------- ok
 */

static uint32_t owners_of_port(const struct asked *a, uint16_t port)
{
	uint32_t n = 0;

	for (size_t i = 0; i < a->snap->owners_n; i++)
		n += a->snap->owners[i].o.port == port;
	return n;
}

static void write_ok(const struct asked *a, struct text *t)
{
	const struct tcpwhy_verdict *v = &a->verdict;
	uint16_t port = a->question->bind.port;
	uint32_t sharing = owners_of_port(a, port);

	if (!port) {
		text_count(t, v->range_free);
		text_add(t, " of ");
		text_count(t, v->range_total);
		text_add(t, " ports are free for bind(0) at this address.");
	} else if (!sharing) {
		text_add(t, "No socket holds port ");
		text_number(t, port);
		text_char(t, '.');
	} else {
		text_counted(t, sharing, "socket");
		text_add(t, sharing == 1 ? " holds port " : " hold port ");
		text_number(t, port);
		text_add(t, sharing == 1 ? " already, and does not conflict with this one."
					 : " already, and none conflicts with this one.");
	}
}

void because_write(const struct asked *a, char *out, size_t size)
{
	enum tcpwhy_holder c = asked_class(&a->verdict);
	struct text t = text_in(out, size);

	if (a->verdict.answer == TCPWHY_OK)
		write_ok(a, &t);
	else if (a->verdict.rule == TCPWHY_RULE_BIND_PRIVILEGED)
		write_privileged(a, &t);
	else if (a->verdict.answer == TCPWHY_DEPENDS)
		write_depends(a, &t);
	else if (c != TCPWHY_HOLDER_CLASSES)
		write_conflict(a, c, &t);
	else if (a->verdict.rule == TCPWHY_RULE_BIND_NOT_LOCAL)
		write_not_local(a, &t);
	else if (a->verdict.rule == TCPWHY_RULE_BIND_NO_DEVICE && a->question->device &&
		 !a->question->bind.device)
		write_no_device(a, &t);
	else if (a->verdict.rule == TCPWHY_RULE_BIND_RANGE_EXHAUSTED)
		write_exhausted(a, &t);
	else
		text_add(&t, tcpwhy_rule_info(a->verdict.rule)->because);
}
