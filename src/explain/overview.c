/* SPDX-License-Identifier: MIT
 *
 * What is wrong in a namespace: a table of rules over its numbers
 *
 * BAD is what fails now, WARN what will. Each rule looks at one thing and writes a finding, or not.
 */
#include <errno.h>
#include <string.h>

#include "base/address.h"
#include "base/text.h"
#include "explain/offer.h"

#define NEARLY_PERCENT 90

struct survey {
	const struct overview *seen;
	const struct tcpwhy_row *row;
	struct explain_question place; /* of commands: .netns and .pid */
	struct diagnosis *out;
};

/* A new finding; NULL when there is no room, which the sizes rule out. */
static struct finding *found(struct survey *s, enum severity severity, const char *rule)
{
	struct finding *f = &s->out->findings[s->out->findings_n];

	if (s->out->findings_n == DIAGNOSIS_FINDINGS)
		return NULL;
	*f = (struct finding){.rule = rule, .severity = severity, .destination = -1};
	s->out->findings_n++;
	return f;
}

static struct cure *add_cure(struct finding *f, const char *id, enum cure_reach reach,
			     const char *does, const char *costs)
{
	struct cure *c = &f->cures[f->cures_n++];
	struct text t;

	*c = (struct cure){.reach = reach};
	t = text_in(c->id, sizeof(c->id));
	text_add(&t, id);
	t = text_in(c->does, sizeof(c->does));
	text_add(&t, does);
	t = text_in(c->costs, sizeof(c->costs));
	text_add(&t, costs);
	return c;
}

/* "28,100 of 28,232" */
static void add_share(struct text *t, uint64_t n, uint64_t of)
{
	text_count(t, n);
	text_add(t, " of ");
	text_count(t, of);
}

static bool is_nearly_all(uint64_t n, uint64_t of)
{
	return of && n * 100 >= of * NEARLY_PERCENT;
}

/* Ports of the range that a search may find. */
static uint32_t usable_of(const struct overview *o)
{
	return o->range_total - o->range_reserved - o->range_unmet;
}

/* --------------------------------------------------------------------------------- destinations */

/* An owner such as is counted in one of a destination's classes. */
static struct tcpwhy_owner specimen(const struct survey *s, const struct overview_destination *d,
				    enum overview_wait wait)
{
	const uint64_t minute_ns = 60u * UINT64_C(1000000000);
	uint64_t now_ns = s->seen->taken_ns;

	return (struct tcpwhy_owner){
		.local = d->local,
		.peer = d->peer,
		.port = s->seen->sysctls.port_low,
		.peer_port = d->peer_port,
		.family = d->family,
		.device = d->device,
		.connect_bind = TCPWHY_YES,
		.timewait = true,
		.state = wait == OVERVIEW_FIN_WAIT2 ? TCPWHY_FIN_WAIT2 : TCPWHY_TIME_WAIT,
		.timestamps = wait == OVERVIEW_NO_TIMESTAMPS       ? TCPWHY_NO
			      : wait == OVERVIEW_TIMESTAMPS_UNSEEN ? TCPWHY_UNKNOWN
								   : TCPWHY_YES,
		/* As old as can be, or just made. */
		.expires_ns = wait == OVERVIEW_YOUNG ? now_ns + minute_ns : now_ns + 1,
	};
}

/* May connect() take the port of a TIME_WAIT of that class? The engine is asked about one of them.
 * 0, or -ENOMEM. */
static int ask_wait(const struct survey *s, const struct overview_destination *d,
		    enum overview_wait wait, const struct tcpwhy_memory *memory,
		    enum tcpwhy_tri *reusable)
{
	const struct tcpwhy_owner o = specimen(s, d, wait);
	const struct tcpwhy_bucket only = {.port = o.port,
					   .known = true,
					   .fastreuse = -1,
					   .fastreuseport = -1,
					   .fast_family = TCPWHY_IPV4};
	struct tcpwhy_connect_request q = {.source = d->local,
					   .peer = d->peer,
					   .peer_port = d->peer_port,
					   .family = d->family,
					   .device = d->device,
					   .range_low = o.port,
					   .range_high = o.port};
	struct tcpwhy_engine *e = tcpwhy_engine_new(s->row, memory);
	struct tcpwhy_verdict v;
	int r = -ENOMEM;

	if (e)
		r = tcpwhy_set_sysctls(e, &s->seen->sysctls);
	if (!r) {
		tcpwhy_advance(e, s->seen->taken_ns);
		r = tcpwhy_import_owner(e, &o, NULL);
	}
	if (!r)
		r = tcpwhy_import_bucket(e, &only);
	if (!r) {
		tcpwhy_would_connect(e, &q, &v);
		*reusable = v.range_reusable  ? TCPWHY_YES
			    : v.range_unknown ? TCPWHY_UNKNOWN
					      : TCPWHY_NO;
	}
	tcpwhy_engine_free(e);
	return r;
}

static int judge_destination(const struct survey *s, const struct overview_destination *d,
			     const struct tcpwhy_memory *memory, struct standing *out)
{
	uint32_t all = s->out->connect_free;
	struct standing st = {.taken = d->living};
	int r = 0;

	for (unsigned w = 0; !r && w < OVERVIEW_WAITS; w++) {
		enum tcpwhy_tri reusable = TCPWHY_NO;

		if (!d->waiting[w])
			continue;
		r = ask_wait(s, d, (enum overview_wait)w, memory, &reusable);
		if (reusable == TCPWHY_YES)
			st.reusable += d->waiting[w];
		else if (reusable == TCPWHY_UNKNOWN)
			st.unknown += d->waiting[w];
		else
			st.taken += d->waiting[w];
	}
	/* A listing is not of one moment: a port may be in it twice. */
	uint32_t held = st.taken + st.reusable + st.unknown;
	st.free = held < all ? all - held : 0;
	*out = st;
	return r;
}

static void add_place(struct text *t, const struct overview_destination *d)
{
	char local[ADDRESS_TEXT_MAX], peer[ENDPOINT_TEXT_MAX];

	text_add(t, "connect from ");
	text_add(t, address_format(&d->local, local));
	text_add(t, " to ");
	text_add(t, endpoint_format(&d->peer, d->peer_port, false, peer));
}

static void add_command(struct text *t, const struct survey *s,
			const struct overview_destination *d)
{
	char local[ADDRESS_TEXT_MAX];

	/* A device is given by name, which is not known here. */
	if (d->device)
		return;
	text_add(t, "tcpwhy connect");
	offer_target(t, &s->place, &d->peer, d->peer_port);
	text_add(t, " --from ");
	text_add(t, address_format(&d->local, local));
}

static void describe_ports(struct text *t, const struct survey *s, size_t i)
{
	const struct standing *st = &s->out->standing[i];

	add_share(t, st->taken, s->out->connect_free);
	text_add(t, " ports taken, ");
	text_count(t, st->reusable);
	text_add(t, " reusable, ");
	text_count(t, st->free);
	text_add(t, " free");
	if (st->unknown) {
		text_add(t, ", ");
		text_count(t, st->unknown);
		text_add(t, " unknown");
	}
}

/* Which port is left is not counted: an end of an odd-sized range is met by chance. */
static bool is_last_of_odd(const struct survey *s, const struct standing *st)
{
	return s->seen->range_total >= 5 && s->seen->range_total % 2 && st->taken &&
	       st->free + st->reusable + st->unknown == 1;
}

static void check_destination(struct survey *s, size_t i)
{
	const struct overview_destination *d = &s->seen->destinations[i];
	const struct standing *st = &s->out->standing[i];
	uint32_t all = s->out->connect_free;
	bool none = all && !st->free && !st->reusable && !st->unknown;
	bool by_chance = is_last_of_odd(s, st);
	struct finding *f;
	struct text t;

	if (!none && !by_chance && !is_nearly_all(st->taken, all))
		return;
	f = found(s, none ? SEVERITY_BAD : SEVERITY_WARN,
		  none ? "doctor.destination-exhausted" : "doctor.destination-nearly-exhausted");
	if (!f)
		return;
	f->destination = (int)i;
	t = text_in(f->title, sizeof(f->title));
	add_place(&t, d);
	text_add(&t, none ? " fails now" : " has few ports left");
	t = text_in(f->because, sizeof(f->because));
	text_add(&t,
		 none ? "connect() finds no local port for this destination: EADDRNOTAVAIL."
		      : "When the last port is taken, connect() to it fails with EADDRNOTAVAIL.");
	if (by_chance)
		text_add(&t, " The range is odd-sized: if the one left is its first or its last, "
			     "connect() finds it by chance.");
	t = text_in(f->evidence, sizeof(f->evidence));
	describe_ports(&t, s, i);
	t = text_in(f->ask, sizeof(f->ask));
	add_command(&t, s, d);
	add_cure(f, "keep-alive", CURE_PROGRAM,
		 "keep connections open and use them again (keep-alive, a pool)",
		 "a change in the program");
}

static void check_destinations(struct survey *s)
{
	for (size_t i = 0; i < s->seen->destinations_n; i++)
		check_destination(s, i);
}

/* ---------------------------------------------------------------------------------------- ports */

/* Both searches pass over a reserved port (inet_is_local_reserved_port()), whoever asks. */
static void check_reserved(struct survey *s)
{
	const struct overview *o = s->seen;
	struct finding *f;
	struct text t;

	if (usable_of(o))
		return;
	f = found(s, SEVERITY_BAD, "doctor.range-reserved");
	if (!f)
		return;
	t = text_in(f->title, sizeof(f->title));
	text_add(&t, "connect and bind(0) fail now: the ephemeral range is reserved");
	t = text_in(f->because, sizeof(f->because));
	text_add(&t, "A port in net.ipv4.ip_local_reserved_ports is given only to a bind() that "
		     "names it.");
	t = text_in(f->evidence, sizeof(f->evidence));
	add_share(&t, o->range_reserved, o->range_total);
	text_add(&t, " ports of the range are reserved");
	add_cure(f, "unreserve-ports", CURE_NAMESPACE,
		 "take some of the range out of net.ipv4.ip_local_reserved_ports",
		 "now, this namespace: a service may then find its port taken");
}

static void add_no_port(struct finding *f)
{
	struct cure *c = add_cure(
		f, "bind-address-no-port", CURE_SOCKET,
		"set IP_BIND_ADDRESS_NO_PORT where bind() to port 0 comes before connect()",
		"for programs that bind() to port 0 before they connect, from their next start on");

	offer_run(c, "--bind-address-no-port");
}

static void add_lease(struct survey *s, struct finding *f)
{
	uint16_t low = offer_pool_low(&s->seen->sysctls);

	if (low)
		offer_pool(add_cure(f, "lease-port", CURE_PROGRAM, "", ""), &s->place, low);
}

/* inet_csk_find_open_port() with a wildcard address meets every owner. */
static void check_bind0(struct survey *s)
{
	const struct overview *o = s->seen;
	uint32_t usable = usable_of(o);
	struct finding *f;
	struct text t;

	if (!is_nearly_all(o->range_held, usable))
		return;
	f = found(s, s->out->bind0_free ? SEVERITY_WARN : SEVERITY_BAD,
		  s->out->bind0_free ? "doctor.bind0-nearly-exhausted" : "doctor.bind0-exhausted");
	if (!f)
		return;
	t = text_in(f->title, sizeof(f->title));
	text_add(&t, s->out->bind0_free ? "bind(0.0.0.0:0) has few ports left"
					: "bind(0.0.0.0:0) fails now");
	t = text_in(f->because, sizeof(f->because));
	text_add(&t,
		 "bind(0) passes over every port of the range that any socket holds, whatever its "
		 "destination; connect() does not.");
	t = text_in(f->evidence, sizeof(f->evidence));
	add_share(&t, o->range_held, usable);
	text_add(&t, " ports of the range are held");
	t = text_in(f->ask, sizeof(f->ask));
	text_add(&t, "tcpwhy bind");
	offer_target(&t, &s->place, &(struct tcpwhy_addr){{[10] = 0xff, 0xff}}, 0);
	add_no_port(f);
	add_lease(s, f);
}

/* __inet_hash_connect() passes over a port that bind() owns, for every destination. */
static void check_bind_owns(struct survey *s)
{
	const struct overview *o = s->seen;
	uint32_t usable = usable_of(o);
	bool none = !s->out->connect_free;
	struct finding *f;
	struct text t;

	if (!is_nearly_all(o->range_owned, usable))
		return;
	f = found(s, none ? SEVERITY_BAD : SEVERITY_WARN, "doctor.bind-owns-the-range");
	if (!f)
		return;
	t = text_in(f->title, sizeof(f->title));
	text_add(&t, none ? "connect to anywhere fails now: bind() owns every port"
			  : "connect has few ports left, for any destination: bind() owns most");
	t = text_in(f->because, sizeof(f->because));
	text_add(&t,
		 "A port that was bound before connect() serves one connection; connect() passes "
		 "over it for every other destination.");
	t = text_in(f->evidence, sizeof(f->evidence));
	add_share(&t, o->range_owned, usable);
	text_add(&t, " ports of the range are owned by bind()");
	add_no_port(f);
}

/* One command for all such listeners: each of several would undo the one before. */
static void command_reserve(const struct survey *s, struct cure *c)
{
	const struct overview *o = s->seen;
	char value[CURE_COMMAND_MAX];
	struct text t = text_in(value, sizeof(value));
	uint32_t bits[2048];

	if (o->sysctls_unknown & SNAPSHOT_S_RESERVED)
		return;
	memcpy(bits, o->reserved, sizeof(bits));
	for (size_t i = 0; i < o->listeners_n; i++) {
		uint16_t port = o->listeners[i].who.seen.o.port;
		bits[port / 32] |= 1u << port % 32;
	}
	offer_ports(&t, bits);
	offer_sysctl(c, &s->place, "net.ipv4.ip_local_reserved_ports", value);
}

static void check_listener(struct survey *s, const struct overview_listener *l)
{
	const struct snapshot_owner *seen = &l->who.seen;
	char local[ENDPOINT_TEXT_MAX];
	struct finding *f = found(s, SEVERITY_WARN, "doctor.listener-in-ephemeral-range");
	struct text t;

	if (!f)
		return;
	t = text_in(f->title, sizeof(f->title));
	text_add(&t, "port ");
	text_number(&t, seen->o.port);
	if (l->who.owners_n) {
		text_add(&t, " (");
		text_add(&t, l->who.owners[0].comm);
		text_add(&t, ")");
	}
	text_add(&t, " is in the ephemeral range and not reserved");
	t = text_in(f->because, sizeof(f->because));
	text_add(&t, "While its listener is away, connect() or bind(0) of any program may take the "
		     "port; "
		     "the next start then fails with EADDRINUSE.");
	t = text_in(f->evidence, sizeof(f->evidence));
	text_add(&t, "listener on ");
	text_add(&t, endpoint_format(&seen->o.local, seen->o.port, seen->o.family == TCPWHY_IPV6,
				     local));
	if (l->named == TCPWHY_UNKNOWN)
		text_add(&t, "; whether bind() named the port cannot be seen");
	char does[CURE_TEXT_MAX];
	t = text_in(does, sizeof(does));
	text_add(&t, "add ");
	text_number(&t, seen->o.port);
	text_add(&t, " to net.ipv4.ip_local_reserved_ports");
	command_reserve(s,
			add_cure(f, "reserve-port", CURE_NAMESPACE, does,
				 "now, this namespace: connect() and bind(0) pass over the port"));
}

static void check_listeners(struct survey *s)
{
	for (size_t i = 0; i < s->seen->listeners_n; i++)
		check_listener(s, &s->seen->listeners[i]);
}

/* The kernel makes an odd number of ports even (inet_csk_find_open_port(), __inet_hash_connect()),
 * and warns of it in its log when the range is set. */
static void check_odd_range(struct survey *s)
{
	const struct overview *o = s->seen;
	uint32_t total = o->range_total;
	struct finding *f;
	struct text t;

	if (total % 2 == 0 || total < 3)
		return;
	f = found(s, SEVERITY_WARN, "doctor.odd-range");
	if (!f)
		return;
	t = text_in(f->title, sizeof(f->title));
	text_add(&t, o->bind0_by_chance || o->connect_by_chance
			     ? "the ephemeral range has an odd number of ports: its last free one "
			       "is found by chance"
			     : "the ephemeral range has an odd number of ports, and loses one");
	t = text_in(f->because, sizeof(f->because));
	if (total == 3)
		text_add(&t,
			 "bind(0) and connect() walk the range by twos as if it had one port less: "
			 "the last port is never found.");
	else
		text_add(&t, "bind(0) and connect() walk the range by twos as if it had one port "
			     "less: a "
			     "search misses the last port or the first, by chance.");
	if (o->bind0_by_chance || o->connect_by_chance) {
		text_add(&t, " It is the only one left for ");
		text_add(&t, !o->connect_by_chance ? "bind(0)."
			     : o->bind0_by_chance  ? "bind(0) and for connect()."
						   : "connect().");
	}
	t = text_in(f->evidence, sizeof(f->evidence));
	text_add(&t, "net.ipv4.ip_local_port_range is ");
	text_number(&t, s->seen->sysctls.port_low);
	text_add(&t, " to ");
	text_number(&t, s->seen->sysctls.port_high);
	struct cure *c = add_cure(f, "widen-range", CURE_NAMESPACE,
				  "set net.ipv4.ip_local_port_range to ends of different parity",
				  "now, this namespace");
	struct tcpwhy_sysctls even = s->seen->sysctls;
	if (even.port_high < 65535)
		even.port_high++;
	else
		even.port_low++;
	offer_range_say(c, &s->place, &even);
}

/* --------------------------------------------------------------------------------------- unseen */

static void unseen(struct survey *s, const char *what)
{
	struct text t;

	if (s->out->unseen_n == RESULT_UNKNOWN_MAX)
		return;
	t = text_in(s->out->unseen[s->out->unseen_n++], SNAPSHOT_TEXT_MAX);
	text_add(&t, what);
}

static void tell_counts(struct survey *s)
{
	const struct overview *o = s->seen;
	char line[SNAPSHOT_TEXT_MAX];
	struct text t = text_in(line, sizeof(line));

	if (o->twice) {
		text_add(&t, "up to ");
		text_counted(&t, o->twice, "socket");
		text_add(&t, " counted twice: the table changed meanwhile");
		unseen(s, line);
	}
	if (o->in_vrf) {
		t = text_in(line, sizeof(line));
		text_add(&t, "the ports of ");
		text_counted(&t, o->in_vrf, "socket");
		text_add(&t, " in a VRF");
		unseen(s, line);
	}
	if (o->listeners_total > o->listeners_n) {
		t = text_in(line, sizeof(line));
		text_counted(&t, o->listeners_total - o->listeners_n, "more listener");
		text_add(&t, " in the ephemeral range");
		unseen(s, line);
	}
	if (o->destinations_pushed) {
		t = text_in(line, sizeof(line));
		text_add(&t, "more destinations than are counted: each has at least what is said");
		unseen(s, line);
	}
}

static void tell_unseen(struct survey *s)
{
	const struct overview *o = s->seen;

	unseen(s, "UDP");
	for (size_t i = 0; i < o->missing_n; i++)
		unseen(s, o->missing[i]);
	if (o->bound_unseen)
		unseen(s, "sockets that only bound");
	if (o->owned_unseen)
		unseen(s, "which ports bind() owns, but for listeners");
	if (o->incomplete)
		unseen(s, "sockets of ports that kept changing");
	tell_counts(s);
}

/* ------------------------------------------------------------------------------------- the answer
 */

/* The BAD ones first, else in the order of the rules. */
static void rank(struct diagnosis *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->findings_n; i++) {
		struct finding f = d->findings[i];
		if (f.severity != SEVERITY_BAD)
			continue;
		memmove(&d->findings[n + 1], &d->findings[n], (i - n) * sizeof(f));
		d->findings[n++] = f;
	}
	d->bad = n;
	d->warn = d->findings_n - n;
}

int explain_overview(const struct overview *seen, const struct tcpwhy_row *row, const char *netns,
		     int pid, const struct tcpwhy_memory *memory, struct diagnosis *out)
{
	static void (*const rules[])(struct survey * s) = {check_destinations, check_reserved,
							   check_bind_owns,    check_bind0,
							   check_listeners,    check_odd_range};
	struct survey s = {
		.seen = seen, .row = row, .place = {.netns = netns, .pid = pid}, .out = out};
	struct text t = text_in(out->release, sizeof(out->release));
	int r = 0;

	memset(out, 0, sizeof(*out));
	text_add(&t, row->name);
	out->bind0_free = usable_of(seen) - seen->range_held;
	out->connect_free = usable_of(seen) - seen->range_owned;
	for (size_t i = 0; !r && i < seen->destinations_n; i++)
		r = judge_destination(&s, &seen->destinations[i], memory, &out->standing[i]);
	if (r)
		return r;
	for (size_t i = 0; seen->range_total && i < sizeof(rules) / sizeof(rules[0]); i++)
		rules[i](&s);
	rank(out);
	tell_unseen(&s);
	return 0;
}

void explain_confirm(struct diagnosis *d, struct finding *f, const struct result *connect)
{
	const char fails[] = " fails now";
	size_t n = text_length(f->title);

	f->cures_n = 0;
	for (size_t i = 0; i < connect->cures_n && f->cures_n < FINDING_CURES_MAX; i++)
		f->cures[f->cures_n++] = connect->cures[i];
	if (connect->verdict.answer == TCPWHY_REFUSED)
		return;
	f->severity = SEVERITY_WARN;
	f->rule = "doctor.destination-nearly-exhausted";
	if (n >= sizeof(fails) - 1 && text_equal(f->title + n - (sizeof(fails) - 1), fails)) {
		struct text t = text_in(f->title + n - (sizeof(fails) - 1), sizeof(fails));
		text_add(&t, " had none");
	}
	rank(d);
}
