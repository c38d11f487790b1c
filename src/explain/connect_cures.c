/* SPDX-License-Identifier: MIT
 *
 * What would give connect() a port, and what would not. As for bind(): each cure is a changed world
 * or request of which the engine is asked again.
 */
#include "explain/offer.h"

#include <string.h>

#include "base/address.h"

static bool is_exhausted(const struct asked *a)
{
	return a->verdict.rule == TCPWHY_RULE_CONNECT_RANGE_EXHAUSTED;
}

static bool try_change(struct offer *o, const struct load_change *c, struct tcpwhy_verdict *after)
{
	o->trial = asked_try_connect(o->a, c, NULL, after);
	return o->trial != TRIAL_NO;
}

static bool try_request(struct offer *o, const struct tcpwhy_connect_request *q,
			struct tcpwhy_verdict *after)
{
	o->trial = asked_try_connect(o->a, NULL, q, after);
	return o->trial != TRIAL_NO;
}

/* A change that helps at once, or as soon as the first port comes back under it: *when_ns is then
 * how long that takes, else 0. */
static bool try_soon(struct offer *o, struct load_change *c, uint64_t *when_ns)
{
	uint64_t now = o->a->snap->taken_ns, by_itself = o->a->verdict.next_free_ns;
	struct tcpwhy_verdict after;

	*when_ns = 0;
	if (try_change(o, c, &after))
		return true;
	/* Not sooner than without it: no cure. */
	if (after.next_free_ns <= now || (by_itself && after.next_free_ns >= by_itself))
		return false;
	c->wait_until_ns = after.next_free_ns;
	*when_ns = after.next_free_ns - now;
	return try_change(o, c, NULL);
}

/* "now" or "in 0.4 s". */
static void add_when(struct text *t, uint64_t when_ns)
{
	if (!when_ns) {
		text_add(t, "now");
		return;
	}
	text_add(t, "in ");
	text_seconds(t, when_ns);
}

/* ------------------------------------------------------------------------------- nothing, or time
 */

static bool offer_wait(struct offer *o)
{
	const struct tcpwhy_verdict *v = &o->a->verdict;
	uint64_t now = o->a->snap->taken_ns;
	uint64_t end = is_exhausted(o->a) ? v->next_free_ns : v->last_expiry_ns;
	struct load_change change = {.wait_until_ns = end};

	if (end <= now || !try_change(o, &change, NULL))
		return false;
	struct text t = offer_does(o);
	text_add(&t, "wait ");
	text_seconds(&t, end - now);
	t = text_in(o->cure->costs, sizeof(o->cure->costs));
	if (is_exhausted(o->a) && v->free_within_10s) {
		text_counted(&t, v->free_within_10s, "port");
		text_add(&t, v->free_within_10s == 1 ? " comes free" : " come free");
		text_add(&t, " within 10 s");
	} else {
		text_add(&t, "nothing is changed");
	}
	return true;
}

static void command_destroy_to(struct offer *o)
{
	const struct tcpwhy_connect_request *q = &o->a->connect->connect;
	const struct explain_question *before = &o->a->connect->before;
	struct text t = text_in(o->cure->command, sizeof(o->cure->command));
	char peer[ENDPOINT_TEXT_MAX], source[ADDRESS_TEXT_MAX];

	text_add(&t, "tcpwhy fix destroy-time-wait");
	offer_place(&t, before);
	text_add(&t, " --to ");
	text_word(&t, endpoint_format(&q->peer, q->peer_port, false, peer));
	text_add(&t, " --from ");
	text_add(&t, address_format(&q->source, source));
	offer_whole(o->cure);
}

/* Each of the TIME_WAIT that keep a port from connect() has this destination and source. */
static bool offer_destroy_to(struct offer *o)
{
	struct load_change change = {.destroy_time_wait = true, .destroy_fin_wait2 = true};
	struct tcpwhy_verdict after;
	uint32_t kept = asked_tw_kept(&o->a->verdict);

	if (!is_exhausted(o->a) || !kept || !try_change(o, &change, &after))
		return false;
	offer_say(o->cure->does, "destroy the TIME_WAIT sockets towards this destination");
	struct text t = text_in(o->cure->costs, sizeof(o->cure->costs));
	text_add(&t, "now: ");
	text_counted(&t, kept, "port");
	text_add(&t, "; gives up the protection from old duplicates of these connections");
	command_destroy_to(o);
	return true;
}

static bool offer_destroy(struct offer *o)
{
	const struct tcpwhy_connect_request *q = &o->a->connect->connect;
	struct load_change change = {.destroy_time_wait = true, .destroy_fin_wait2 = true};

	if (!q->port || !try_change(o, &change, NULL))
		return false;
	offer_say(o->cure->does, "destroy the TIME_WAIT sockets of this port");
	offer_say(o->cure->costs, "now; gives up the protection from old duplicates");
	struct text t = text_in(o->cure->command, sizeof(o->cure->command));
	text_add(&t, "tcpwhy fix destroy-time-wait");
	offer_target(&t, &o->a->connect->before, &q->source, q->port);
	offer_whole(o->cure);
	return true;
}

/* ------------------------------------------------------------------------------------ the program
 */

static bool offer_other_port(struct offer *o)
{
	struct tcpwhy_connect_request q = o->a->connect->connect;

	if (!q.port)
		return false;
	q.port = 0;
	if (!try_request(o, &q, NULL))
		return false;
	offer_say(o->cure->does, "bind the address only, with IP_BIND_ADDRESS_NO_PORT: connect() "
				 "then chooses the port");
	offer_say(o->cure->costs, "now; the connection comes from another port");
	return true;
}

static bool offer_end(struct offer *o)
{
	struct load_change change = {
		.end_living = true, .destroy_time_wait = true, .destroy_fin_wait2 = true};

	/* The TIME_WAIT that the closed connection leaves is taken over if it has timestamps. */
	if (!o->a->verdict.holders || asked_tw_kept(&o->a->verdict) ||
	    !try_change(o, &change, NULL))
		return false;
	o->late = true;
	offer_say(o->cure->does, "stop the process that has that connection open");
	offer_say(o->cure->costs, "ends what it serves");
	return true;
}

/* What stands in TIME_WAIT was opened and closed for one use. */
static bool offer_keep_alive(struct offer *o)
{
	struct load_change change = {.destroy_time_wait = true, .destroy_fin_wait2 = true};

	if (!is_exhausted(o->a) || !asked_tw_kept(&o->a->verdict) || !try_change(o, &change, NULL))
		return false;
	offer_say(o->cure->does, "keep connections open and use them again (keep-alive, a pool)");
	offer_say(o->cure->costs, "from now on: closing first leaves a TIME_WAIT for each");
	return true;
}

static bool offer_peer_closes(struct offer *o)
{
	struct load_change change = {.destroy_time_wait = true, .destroy_fin_wait2 = true};

	if (!is_exhausted(o->a) || !asked_tw_kept(&o->a->verdict) || !try_change(o, &change, NULL))
		return false;
	o->late = true;
	offer_say(o->cure->does, "let the other side close first");
	offer_say(o->cure->costs, "TIME_WAIT then stands there, where it takes no port");
	return true;
}

/* Those programs need the port of bind() for nothing. */
static bool offer_no_port(struct offer *o)
{
	struct load_change change = {.unbind = true};

	if (!is_exhausted(o->a) || !o->a->verdict.range_owned || !try_change(o, &change, NULL))
		return false;
	o->late = true;
	offer_say(o->cure->does, "in programs that bind() before they connect: set "
				 "IP_BIND_ADDRESS_NO_PORT and leave the port to connect()");
	offer_say(o->cure->costs, "from their next start on: a port that bind() took is lost to "
				  "all destinations");
	offer_run(o->cure, "--bind-address-no-port");
	return true;
}

/* ------------------------------------------------------------------------------- more 4-tuples */

static bool source_usable(const struct snapshot_local *l, const struct tcpwhy_connect_request *q)
{
	return l->kind == TCPWHY_LOCAL && address_is_v4(&l->prefix) == address_is_v4(&q->source) &&
	       !address_is_any(&l->prefix) && !address_is_multicast6(&l->prefix) &&
	       address_is_link_local6(&l->prefix) == address_is_link_local6(&q->source) &&
	       address_is_loopback(&l->prefix) == address_is_loopback(&q->source);
}

/* "4 ports", or "up to 4 ports" where some cannot be seen (who chose an owner's port, say). */
static void add_ports(struct text *t, const struct tcpwhy_verdict *after)
{
	if (after->range_unknown)
		text_add(t, "up to ");
	text_counted(t, after->range_free + after->range_reusable + after->range_unknown, "port");
}

static void say_more(struct offer *o, const struct tcpwhy_verdict *after, const char *more)
{
	struct text t = text_in(o->cure->costs, sizeof(o->cure->costs));

	add_ports(&t, after);
	text_add(&t, more);
}

enum { SOURCES_TRIED = 32, SOURCES_SPREAD = 8 };

/* Of a prefix its second address; the first is often the device's. */
static struct tcpwhy_addr source_of(const struct snapshot_local *l)
{
	struct tcpwhy_addr a = l->prefix;

	if (l->prefix_len < 127)
		a.b[15] |= 2;
	return a;
}

/* BPF programs give each of them in turn to sockets without an address. */
static void command_spread(struct offer *o, const struct tcpwhy_addr *sources, size_t n)
{
	char address[ADDRESS_TEXT_MAX];
	struct text t = text_in(o->cure->command, sizeof(o->cure->command));

	if (o->a->connect->from != FROM_ROUTE)
		return;
	text_add(&t, "tcpwhy fix hook");
	offer_place(&t, &o->a->connect->before);
	text_add(&t, " --cgroup CGROUP spread=");
	for (size_t i = 0; i < n; i++) {
		text_add(&t, i ? "," : "");
		text_add(&t, address_format(&sources[i], address));
	}
	offer_whole(o->cure);
}

/* A prefix that is local as a whole stands for an address that may be there by itself, too. */
static bool is_among(const struct tcpwhy_addr *sources, size_t n, const struct tcpwhy_addr *addr)
{
	for (size_t i = 0; i < n; i++)
		if (address_equal(&sources[i], addr))
			return true;
	return false;
}

/* Fills sources with those that find a port now, *after with the first one's verdict, and leaves
 * the trial of the first. */
static size_t try_sources(struct offer *o, struct tcpwhy_addr sources[static SOURCES_SPREAD],
			  struct tcpwhy_verdict *after)
{
	const struct snapshot *s = o->a->snap;
	struct tcpwhy_connect_request q = o->a->connect->connect;
	const struct tcpwhy_addr now = q.source;
	enum trial first = TRIAL_NO;
	unsigned tried = 0;
	size_t n = 0;

	for (size_t i = 0; i < s->locals_n && tried < SOURCES_TRIED && n < SOURCES_SPREAD; i++) {
		struct tcpwhy_verdict v;

		if (!source_usable(&s->locals[i], &o->a->connect->connect))
			continue;
		q.source = source_of(&s->locals[i]);
		tried++;
		if (address_equal(&q.source, &now) || is_among(sources, n, &q.source) ||
		    !try_request(o, &q, &v))
			continue;
		if (!n) {
			*after = v;
			first = o->trial;
		}
		sources[n++] = q.source;
	}
	o->trial = first;
	return n;
}

static bool offer_source(struct offer *o)
{
	struct tcpwhy_addr sources[SOURCES_SPREAD];
	char address[ADDRESS_TEXT_MAX];
	struct tcpwhy_verdict after;
	size_t n = is_exhausted(o->a) ? try_sources(o, sources, &after) : 0;

	if (!n)
		return false;
	struct text t = offer_does(o);
	text_add(&t, "bind to ");
	text_add(&t, address_format(&sources[0], address));
	text_add(&t, " before connect(), with IP_BIND_ADDRESS_NO_PORT");
	say_more(o, &after, " of its own; it must be routed back to this host");
	command_spread(o, sources, n);
	return true;
}

/* Whoever nobody is connected to, or from: the peer's port 0 is in no table. */
static bool offer_destination(struct offer *o)
{
	struct tcpwhy_connect_request q = o->a->connect->connect;
	struct tcpwhy_verdict after;

	q.peer_port = 0;
	if (!is_exhausted(o->a) || !try_request(o, &q, &after))
		return false;
	offer_say(o->cure->does, "connect to a second address or port of the service");
	say_more(o, &after, " more: each destination has its own");
	return true;
}

/* ---------------------------------------------------------------------------------- this namespace
 */

static bool offer_tw_reuse(struct offer *o)
{
	struct tcpwhy_sysctls s = o->a->sysctls;
	struct load_change change = {.sysctls = &s};
	uint64_t when_ns;

	if (!is_exhausted(o->a) || s.tw_reuse == 1)
		return false;
	s.tw_reuse = 1;
	if (!try_soon(o, &change, &when_ns))
		return false;
	offer_say(o->cure->does, "sysctl net.ipv4.tcp_tw_reuse=1");
	offer_sysctl(o->cure, &o->a->connect->before, "net.ipv4.tcp_tw_reuse", "1");
	struct text t = text_in(o->cure->costs, sizeof(o->cure->costs));
	add_when(&t, when_ns);
	text_add(&t, ", this namespace: a port comes back ");
	text_seconds(&t, s.tw_reuse_delay_ms * 1000000ull);
	text_add(&t, " after its connection closed, not 60 s");
	return true;
}

/* After a command, if there is one: for the other side's host there is none. */
static void and_tw_reuse(struct offer *o)
{
	struct cure second = {0};

	offer_sysctl(&second, &o->a->connect->before, "net.ipv4.tcp_tw_reuse", "1");
	if (second.command[0])
		offer_and(o->cure, second.command);
	else
		o->cure->command[0] = '\0';
}

static bool offer_timestamps(struct offer *o)
{
	struct tcpwhy_sysctls s = o->a->sysctls;
	struct load_change change = {.sysctls = &s, .timestamps = true};
	bool on = s.timestamps != 0, reuse = s.tw_reuse == 1;
	uint64_t when_ns;

	if (!o->a->verdict.tw_kept[TCPWHY_TW_NO_TIMESTAMPS])
		return false;
	s.timestamps = on ? s.timestamps : 1;
	if (!try_soon(o, &change, &when_ns)) {
		s.tw_reuse = 1;
		change.wait_until_ns = 0;
		if (reuse || !try_soon(o, &change, &when_ns))
			return false;
	}
	o->late = true;
	struct text t = offer_does(o);
	text_add(&t, on ? "let the other side use TCP timestamps (net.ipv4.tcp_timestamps=1 there)"
			: "sysctl net.ipv4.tcp_timestamps=1");
	if (!on)
		offer_sysctl(o->cure, &o->a->connect->before, "net.ipv4.tcp_timestamps", "1");
	if (s.tw_reuse == 1 && !reuse) {
		text_add(&t, ", and net.ipv4.tcp_tw_reuse=1 here");
		and_tw_reuse(o);
	}
	offer_say(o->cure->costs, "for connections from now on: without timestamps no TIME_WAIT "
				  "can be taken over");
	return true;
}

static bool offer_wider_range(struct offer *o)
{
	struct tcpwhy_sysctls s;
	struct load_change change = {.sysctls = &s};
	struct tcpwhy_verdict after;

	for (unsigned i = 0; i < OFFER_RANGES && is_exhausted(o->a); i++) {
		if (!offer_range(&o->a->sysctls, i, &s) || !try_change(o, &change, &after))
			continue;
		offer_range_say(o->cure, &o->a->connect->before, &s);
		struct text t = text_in(o->cure->costs, sizeof(o->cure->costs));
		text_add(&t, "now, this namespace: ");
		add_ports(&t, &after);
		text_add(&t, " more; reserve the service ports that lie in it");
		return true;
	}
	return false;
}

static bool offer_unreserve(struct offer *o)
{
	struct load_change change = {.unreserve = true};
	uint32_t reserved = o->a->verdict.range_reserved;

	if (!is_exhausted(o->a) || !reserved || !try_change(o, &change, NULL))
		return false;
	struct text t = offer_does(o);
	text_add(&t, "take some of the ");
	text_counted(&t, reserved, "port");
	text_add(&t, " of the range out of net.ipv4.ip_local_reserved_ports");
	offer_say(o->cure->costs, "now, this namespace: a service may then find its port taken");
	return true;
}

static const struct offer_row cures[] = {
	{"wait", CURE_NOTHING, offer_wait},
	{"destroy-time-wait", CURE_NOTHING, offer_destroy},
	{"destroy-time-wait", CURE_NOTHING, offer_destroy_to},
	{"bind-address-no-port", CURE_SOCKET, offer_other_port},
	{"keep-alive", CURE_PROGRAM, offer_keep_alive},
	{"more-sources", CURE_PROGRAM, offer_source},
	{"end-owner", CURE_PROGRAM, offer_end},
	{"bind-address-no-port", CURE_PROGRAM, offer_no_port},
	{"tw-reuse", CURE_NAMESPACE, offer_tw_reuse},
	{"timestamps-on", CURE_NAMESPACE, offer_timestamps},
	{"widen-range", CURE_NAMESPACE, offer_wider_range},
	{"unreserve-ports", CURE_NAMESPACE, offer_unreserve},
	{"more-destinations", CURE_HOST, offer_destination},
	{"peer-closes-first", CURE_HOST, offer_peer_closes},
};

void connect_cures_find(struct asked *a, struct result *out)
{
	offer_all(a, cures, sizeof(cures) / sizeof(cures[0]), out);
}

/* ---------------------------------------------------------------------------------------- no help
 */

static bool sysctls_help(struct asked *a, const struct tcpwhy_sysctls *s)
{
	struct load_change change = {.sysctls = s};
	struct tcpwhy_verdict after;

	return asked_try_connect(a, &change, NULL, &after) != TRIAL_NO ||
	       after.next_free_ns < a->verdict.next_free_ns;
}

static void tw_reuse(struct asked *a, struct result *out)
{
	const struct tcpwhy_verdict *v = &a->verdict;
	struct tcpwhy_sysctls s = a->sysctls;

	s.tw_reuse = 1;
	if (a->sysctls.tw_reuse == 1 || sysctls_help(a, &s))
		return;
	if (v->tw_kept[TCPWHY_TW_NO_TIMESTAMPS] == asked_tw_kept(v) && asked_tw_kept(v))
		no_help_add(out, "net.ipv4.tcp_tw_reuse",
			    "these connections had no TCP timestamps");
	else if (!asked_tw_kept(v))
		no_help_add(out, "net.ipv4.tcp_tw_reuse", "no TIME_WAIT is in the way");
}

static void fin_timeout(struct asked *a, struct result *out)
{
	struct tcpwhy_sysctls s = a->sysctls;

	s.fin_timeout_s = 1;
	if (asked_tw_kept(&a->verdict) && !sysctls_help(a, &s))
		no_help_add(out, "net.ipv4.tcp_fin_timeout",
			    "for FIN_WAIT2 only; TIME_WAIT is always 60 s");
}

void connect_no_help_find(struct asked *a, struct result *out)
{
	if (a->verdict.answer != TCPWHY_REFUSED)
		return;
	tw_reuse(a, out);
	fin_timeout(a, out);
	no_help_add(out, "SO_REUSEADDR", "for bind() only; connect() looks at the whole 4-tuple");
	if (asked_tw_kept(&a->verdict))
		no_help_add(out, "net.ipv4.tcp_tw_recycle",
			    "gone since 4.12; it broke clients behind NAT");
	if (is_exhausted(a) && !a->verdict.range_reserved)
		no_help_add(out, "net.ipv4.ip_local_reserved_ports",
			    "takes ports out of the range");
}
