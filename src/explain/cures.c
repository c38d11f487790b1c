/* SPDX-License-Identifier: MIT
 *
 * What would help, in the order in which one would try it: nothing, this socket, this program, this
 * namespace. Each cure is a function that describes a changed world or a changed request, has the
 * engine asked again, and gives up if the answer is not better.
 */
#include "explain/asked.h"
#include "explain/offer.h"

#include <string.h>

#include "base/address.h"
#include "base/text.h"

#define TIME_WAIT_NS (60u * 1000000000ull)

static bool try_change(struct offer *o, const struct load_change *c)
{
	o->trial = asked_try(o->a, c, NULL, NULL);
	return o->trial != TRIAL_NO;
}

static bool try_request(struct offer *o, const struct tcpwhy_bind_request *q)
{
	o->trial = asked_try(o->a, NULL, q, NULL);
	return o->trial != TRIAL_NO;
}

static uint64_t time_left(const struct asked *a)
{
	uint64_t end = a->verdict.last_expiry_ns, now = a->snap->taken_ns;

	return end > now ? end - now : 0;
}

/* ------------------------------------------------------------------------------- nothing, or time
 */

static bool offer_wait(struct offer *o)
{
	struct load_change change = {.wait_until_ns = o->a->verdict.last_expiry_ns};

	if (!asked_only_timed(&o->a->verdict) || !try_change(o, &change))
		return false;
	struct text t = offer_does(o);
	text_add(&t, "wait ");
	text_seconds(&t, time_left(o->a));
	/* A FIN that arrives in FIN_WAIT2 starts a TIME_WAIT of its own
	 * (tcp_timewait_state_process()). */
	offer_say(o->cure->costs, asked_holders(&o->a->verdict, TCPWHY_H_FW2_NEEDS_REUSE,
						TCPWHY_H_FW2_WITHOUT_REUSE)
					  ? "60 s more if the other side closes meanwhile"
					  : "nothing is changed");
	return true;
}

static bool offer_destroy(struct offer *o)
{
	const struct tcpwhy_verdict *v = &o->a->verdict;
	struct load_change change = {.destroy_time_wait = true, .destroy_fin_wait2 = true};
	bool orphans = asked_holders(v, TCPWHY_H_FW2_NEEDS_REUSE, TCPWHY_H_FW2_WITHOUT_REUSE);

	if (!o->a->question->bind.port || !try_change(o, &change))
		return false;
	offer_say(o->cure->does,
		  orphans ? "destroy the TIME_WAIT and orphaned FIN_WAIT2 sockets of this port"
			  : "destroy the TIME_WAIT sockets of this port");
	struct text t = text_in(o->cure->costs, sizeof(o->cure->costs));
	text_add(&t, "now; gives up the protection from old duplicates");
	if (v->last_expiry_ns) {
		text_add(&t, " for ");
		text_seconds(&t, time_left(o->a));
	}
	t = text_in(o->cure->command, sizeof(o->cure->command));
	text_add(&t, "tcpwhy fix destroy-time-wait");
	offer_target(&t, o->a->question, &o->a->question->bind.addr, o->a->question->bind.port);
	offer_whole(o->cure);
	return true;
}

/* --------------------------------------------------------------------------------- socket options
 */

/* Whether the option on the new socket is enough, or the owners must have had it too. */
enum sides { SIDES_NONE, SIDES_NEW, SIDES_BOTH };

static enum sides try_sides(struct offer *o, const struct tcpwhy_bind_request *with,
			    const struct load_change *both)
{
	if (try_request(o, with))
		return SIDES_NEW;
	o->trial = asked_try(o->a, both, with, NULL);
	return o->trial == TRIAL_NO ? SIDES_NONE : SIDES_BOTH;
}

static void say_sides(struct offer *o, enum sides sides, bool already, const char *option)
{
	struct text t = offer_does(o);

	o->late = sides == SIDES_BOTH;
	text_add(&t, "set ");
	text_add(&t, option);
	if (sides == SIDES_NEW) {
		text_add(&t, " on the new socket, before bind()");
		offer_say(o->cure->costs, "now: what holds the port has it already");
		return;
	}
	text_add(&t, already ? " before bind() in what holds the port, too"
			     : " before bind() on both the old and the new socket");
	offer_say(o->cure->costs,
		  asked_options_unknown(o->a)
			  ? "certain from the next start on; whether it is set now cannot be seen"
			  : "from the next start on: what holds the port now lacks it");
}

/* Nothing helps while it listens. But had its sockets the option, what they leave in TIME_WAIT
 * would not keep the next server out; mini-sockets that lack it already cannot be given it. */
static bool try_restart(struct offer *o, const struct tcpwhy_bind_request *with)
{
	struct load_change ended = {.end_living = true};
	struct load_change had = {.end_living = true, .reuse = true};
	struct tcpwhy_verdict v;

	if (!asked_holders(&o->a->verdict, TCPWHY_H_LISTENER, TCPWHY_H_LISTENER_OTHER_UID) ||
	    asked_try(o->a, &ended, with, NULL) != TRIAL_NO)
		return false;
	asked_try(o->a, NULL, with, &v);
	if (asked_holders(&v, TCPWHY_H_TW_NEEDS_REUSE, TCPWHY_H_FW2_WITHOUT_REUSE))
		return false;
	o->trial = asked_try(o->a, &had, with, NULL);
	return o->trial != TRIAL_NO;
}

/* The command is filled in when the server's process is known. */
static void say_restart(struct offer *o, bool already)
{
	o->late = true;
	offer_say(o->cure->does,
		  already ? "set SO_REUSEADDR on the sockets of the running server"
			  : "set SO_REUSEADDR on the sockets of the running server, and on the new "
			    "one");
	offer_say(o->cure->costs, "before that server is stopped: the TIME_WAIT of its connections "
				  "then keeps no server from the port that sets it, too");
}

static bool offer_reuseaddr(struct offer *o)
{
	struct tcpwhy_bind_request with = o->a->question->bind;
	struct load_change both = {.reuse = true};
	bool already = with.reuse != TCPWHY_REUSE_NO;

	with.reuse = TCPWHY_REUSE_CAN;
	if (!with.port)
		return false;
	enum sides sides = try_sides(o, &with, &both);
	if (sides == SIDES_NONE) {
		if (!try_restart(o, &with))
			return false;
		say_restart(o, already);
		return true;
	}
	say_sides(o, sides, already, "SO_REUSEADDR");
	offer_run(o->cure, "--reuseaddr");
	return true;
}

static bool offer_reuseport(struct offer *o)
{
	const struct tcpwhy_verdict *v = &o->a->verdict;
	struct tcpwhy_bind_request with = o->a->question->bind;
	struct load_change both = {.reuseport = true};
	bool already = with.reuseport;

	with.reuseport = true;
	if (!with.port)
		return false;
	enum sides sides = try_sides(o, &with, &both);
	if (sides == SIDES_NONE)
		return false;
	say_sides(o, sides, already, "SO_REUSEPORT");
	offer_run(o->cure, "--reuseport");
	if (asked_holders(v, TCPWHY_H_LISTENER, TCPWHY_H_LISTENER_OTHER_UID)) {
		struct text t = text_in(o->cure->costs, sizeof(o->cure->costs));
		text_add(&t,
			 sides == SIDES_NEW ? "now" : "once the listener was restarted with it");
		text_add(&t, "; both then listen, and share what comes to one address");
	}
	return true;
}

static bool offer_v6only_off(struct offer *o)
{
	struct tcpwhy_bind_request q = o->a->question->bind;

	q.v6only = false;
	if (!o->a->question->bind.v6only || !address_is_v4(&q.addr) || !try_request(o, &q))
		return false;
	offer_say(o->cure->does, "switch IPV6_V6ONLY off on the new socket, before bind()");
	offer_say(o->cure->costs, "now, this socket");
	return true;
}

static bool offer_v6only_on(struct offer *o)
{
	struct tcpwhy_bind_request q = o->a->question->bind;

	q.v6only = true;
	if (!address_is_any6(&q.addr) || o->a->question->bind.v6only || !try_request(o, &q))
		return false;
	offer_say(o->cure->does, "set IPV6_V6ONLY on the new socket, before bind()");
	offer_say(o->cure->costs,
		  "now; only IPv4 sockets are in the way, and IPv4 clients are not served");
	return true;
}

static bool offer_bind_device(struct offer *o)
{
	const struct snapshot *s = o->a->snap;
	struct tcpwhy_bind_request q = o->a->question->bind;

	if (o->a->verdict.rule != TCPWHY_RULE_BIND_LINK_LOCAL)
		return false;
	for (size_t i = 0; i < s->devices_n; i++) {
		q.device = s->devices[i].index;
		if (!try_request(o, &q))
			continue;
		struct text t = offer_does(o);
		text_add(&t, "name the device: %");
		text_add(&t, s->devices[i].name);
		text_add(&t, " (sin6_scope_id), or SO_BINDTODEVICE; asked as --device ");
		text_add(&t, s->devices[i].name);
		offer_say(o->cure->costs, "now, this socket");
		return true;
	}
	return false;
}

static bool offer_freebind(struct offer *o)
{
	struct tcpwhy_bind_request q = o->a->question->bind;

	q.freebind = true;
	if (o->a->question->bind.freebind || !try_request(o, &q))
		return false;
	offer_say(o->cure->does, "set IP_FREEBIND on the new socket, before bind()");
	offer_say(o->cure->costs, "now; nothing arrives until this host gets the address");
	return true;
}

/* --------------------------------------------------------------------------------- another address
 */

/* Better: not loopback, unless loopback was asked for; a whole address rather than one out of a
 * prefix. */
static unsigned address_rank(const struct snapshot_local *l, const struct tcpwhy_addr *asked)
{
	bool other_reach = address_is_loopback(&l->prefix) != address_is_loopback(asked);

	return (other_reach ? 2u : 0u) + (l->prefix_len != 128);
}

static bool address_usable(const struct snapshot_local *l, const struct tcpwhy_addr *asked)
{
	return l->kind == TCPWHY_LOCAL && address_is_v4(&l->prefix) == address_is_v4(asked) &&
	       !address_is_any(&l->prefix) && !address_is_link_local6(&l->prefix) &&
	       !address_is_multicast6(&l->prefix) && !address_equal(&l->prefix, asked);
}

/* The address itself, or for a prefix such as 127.0.0.0/8 its second one (127.0.0.2; the first is
 * the device's). */
static struct tcpwhy_addr address_of(const struct snapshot_local *l)
{
	struct tcpwhy_addr a = l->prefix;

	if (l->prefix_len < 127)
		a.b[15] |= 2;
	return a;
}

enum { ADDRESSES_TRIED = 32 };

static bool try_address(struct offer *o, const struct tcpwhy_addr *addr)
{
	struct tcpwhy_bind_request q = o->a->question->bind;
	char endpoint[ENDPOINT_TEXT_MAX];
	bool loopback = address_is_loopback(addr);

	q.addr = *addr;
	if (!try_request(o, &q))
		return false;
	struct text t = offer_does(o);
	text_add(&t, "bind to ");
	text_add(&t, endpoint_format(&q.addr, q.port, q.family == TCPWHY_IPV6, endpoint));
	text_add(&t, " instead");
	o->late = loopback && !address_is_loopback(&o->a->question->bind.addr);
	offer_say(o->cure->costs, loopback               ? "now; reachable from this host only"
				  : address_is_any(addr) ? "now; serves every address of this host"
							 : "now; clients must use that address");
	return true;
}

/* Whoever asked for an address that is not there is served by the wildcard too. */
static bool try_wildcard(struct offer *o)
{
	struct tcpwhy_addr any = {{0}};

	if (o->a->verdict.rule != TCPWHY_RULE_BIND_NOT_LOCAL)
		return false;
	if (address_is_v4(&o->a->question->bind.addr))
		any = address_v4_number(0);
	return try_address(o, &any);
}

static bool offer_address(struct offer *o)
{
	const struct snapshot *s = o->a->snap;
	const struct tcpwhy_addr asked = o->a->question->bind.addr;
	unsigned tried = 0;

	if (!o->a->verdict.holders && o->a->verdict.rule != TCPWHY_RULE_BIND_NOT_LOCAL &&
	    o->a->verdict.rule != TCPWHY_RULE_BIND_TENTATIVE)
		return false;
	for (unsigned rank = 0; rank <= 3; rank++) {
		if (rank == 2 && try_wildcard(o))
			return true;
		for (size_t i = 0; i < s->locals_n && tried < ADDRESSES_TRIED; i++) {
			const struct snapshot_local *l = &s->locals[i];
			if (!address_usable(l, &asked) || address_rank(l, &asked) != rank)
				continue;
			struct tcpwhy_addr other = address_of(l);
			tried++;
			if (!address_equal(&other, &asked) && try_address(o, &other))
				return true;
		}
	}
	return false;
}

/* ----------------------------------------------------------------------------- those who hold it
 */

static bool offer_end(struct offer *o)
{
	const struct tcpwhy_verdict *v = &o->a->verdict;
	struct load_change change = {.end_living = true};
	uint32_t living = asked_holders(v, TCPWHY_H_CONN_NEEDS_REUSE, TCPWHY_H_LISTENER_OTHER_UID);
	bool then_wait = false;

	if (!living)
		return false;
	if (!try_change(o, &change)) {
		change.wait_until_ns = o->a->snap->taken_ns + TIME_WAIT_NS;
		then_wait = true;
		if (!try_change(o, &change))
			return false;
	}
	struct text t = offer_does(o);
	text_add(&t, living == 1 ? "stop the process that has that socket open"
				 : "stop the processes that have these sockets open");
	offer_say(o->cure->costs,
		  then_wait
			  ? "its connections end, and may hold the port for 60 s more in TIME_WAIT"
			  : "ends what it serves");
	return true;
}

/* --------------------------------------------------------------------------------- this namespace
 */

/* With a tcp_fin_timeout above 60 s an orphan waits for the rest as a socket, before it is a
 * mini-socket (tcp_rcv_state_process()). */
static bool orphans_in_fin_wait2(const struct asked *a)
{
	for (size_t i = 0; a->why && i < a->few.snap.owners_n; i++) {
		const struct snapshot_owner *s = &a->few.snap.owners[i];
		if (a->why[i] != NOT_A_HOLDER && s->o.state == TCPWHY_FIN_WAIT2 &&
		    (s->o.timewait || load_is_orphan(s)))
			return true;
	}
	return false;
}

static bool offer_fin_timeout(struct offer *o)
{
	struct load_change change = {.end_fin_wait2 = true};

	if (!orphans_in_fin_wait2(o->a) || !try_change(o, &change))
		return false;
	o->late = true;
	offer_say(o->cure->does, "sysctl net.ipv4.tcp_fin_timeout=1");
	offer_sysctl(o->cure, o->a->question, "net.ipv4.tcp_fin_timeout", "1");
	offer_say(o->cure->costs,
		  "not this time: orphans made from now on leave FIN_WAIT2 after 1 s; a "
		  "peer that sends later gets a reset");
	return true;
}

/* With the ports that are reserved already; without a command if these are not known. */
static void command_reserve(struct offer *o, uint16_t port)
{
	const struct snapshot *s = o->a->snap;
	char value[CURE_COMMAND_MAX];
	struct text t = text_in(value, sizeof(value));
	uint32_t bits[2048];

	if (s->sysctls_unknown & SNAPSHOT_S_RESERVED)
		return;
	memcpy(bits, s->reserved, sizeof(bits));
	bits[port / 32] |= 1u << port % 32;
	offer_ports(&t, bits);
	offer_sysctl(o->cure, o->a->question, "net.ipv4.ip_local_reserved_ports", value);
}

static bool offer_reserve(struct offer *o)
{
	const struct asked *a = o->a;
	uint16_t port = a->question->bind.port;
	struct load_change change = {.reserve = port};

	if (!port || port < a->sysctls.port_low || port > a->sysctls.port_high ||
	    a->snap->reserved[port / 32] >> port % 32 & 1 || !try_change(o, &change))
		return false;
	struct text t = offer_does(o);
	text_add(&t, "add ");
	text_number(&t, port);
	text_add(&t, " to net.ipv4.ip_local_reserved_ports");
	command_reserve(o, port);
	o->late = true;
	offer_say(o->cure->costs,
		  "from now on connect() leaves this port alone; the present connection "
		  "stays until it ends");
	return true;
}

static bool offer_capability(struct offer *o)
{
	struct tcpwhy_bind_request q = o->a->question->bind;

	q.may_bind_low = TCPWHY_YES;
	if (o->a->question->bind.may_bind_low == TCPWHY_YES || !try_request(o, &q))
		return false;
	offer_say(o->cure->does,
		  "give the program CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=, "
		  "container: add NET_BIND_SERVICE)");
	offer_say(o->cure->costs, "from its next start on; it may then bind every low port");
	return true;
}

static bool offer_unprivileged(struct offer *o)
{
	const struct asked *a = o->a;
	struct tcpwhy_sysctls s = a->sysctls;
	struct load_change change = {.sysctls = &s};

	if (!a->question->bind.port || a->question->bind.port >= s.unprivileged_port_start)
		return false;
	s.unprivileged_port_start = a->question->bind.port;
	if (!try_change(o, &change))
		return false;
	char value[8];
	struct text t = text_in(value, sizeof(value));
	text_number(&t, s.unprivileged_port_start);
	t = offer_does(o);
	text_add(&t, "sysctl net.ipv4.ip_unprivileged_port_start=");
	text_add(&t, value);
	offer_sysctl(o->cure, a->question, "net.ipv4.ip_unprivileged_port_start", value);
	t = text_in(o->cure->costs, sizeof(o->cure->costs));
	text_add(&t, "now, this namespace; every user may then bind ports from ");
	text_number(&t, s.unprivileged_port_start);
	text_add(&t, " up");
	return true;
}

static bool offer_nonlocal(struct offer *o)
{
	struct tcpwhy_sysctls s = o->a->sysctls;
	struct load_change change = {.sysctls = &s};
	bool v4 = address_is_v4(&o->a->question->bind.addr);

	s.nonlocal_bind = s.nonlocal_bind || v4;
	s.nonlocal_bind6 = s.nonlocal_bind6 || !v4;
	if (!try_change(o, &change))
		return false;
	offer_say(o->cure->does,
		  v4 ? "sysctl net.ipv4.ip_nonlocal_bind=1" : "sysctl net.ipv6.ip_nonlocal_bind=1");
	offer_sysctl(o->cure, o->a->question,
		     v4 ? "net.ipv4.ip_nonlocal_bind" : "net.ipv6.ip_nonlocal_bind", "1");
	offer_say(o->cure->costs,
		  "now, every program of this namespace; a wrong address is then no "
		  "longer refused");
	return true;
}

static bool offer_wider_range(struct offer *o)
{
	struct tcpwhy_sysctls s;
	struct load_change change = {.sysctls = &s};

	if (o->a->question->bind.port || o->a->question->bind.range_low ||
	    o->a->question->bind.range_high)
		return false;
	for (unsigned i = 0; i < OFFER_RANGES; i++) {
		if (!offer_range(&o->a->sysctls, i, &s) || !try_change(o, &change))
			continue;
		offer_range_say(o->cure, o->a->question, &s);
		offer_say(o->cure->costs,
			  "now, this namespace; reserve the service ports that lie in it");
		return true;
	}
	return false;
}

static bool offer_autobind_reuse(struct offer *o)
{
	struct tcpwhy_sysctls s = o->a->sysctls;
	struct load_change change = {.sysctls = &s};
	struct tcpwhy_bind_request q = o->a->question->bind;

	bool already = q.reuse != TCPWHY_REUSE_NO;

	if (q.port || s.autobind_reuse)
		return false;
	s.autobind_reuse = true;
	q.reuse = TCPWHY_REUSE_CAN;
	o->trial = asked_try(o->a, &change, &q, NULL);
	if (o->trial == TRIAL_NO)
		return false;
	offer_say(o->cure->does, already ? "sysctl net.ipv4.ip_autobind_reuse=1"
					 : "sysctl net.ipv4.ip_autobind_reuse=1, and SO_REUSEADDR "
					   "on the new socket");
	/* Without --prepared it leaves bind() to port 0 alone; prepared sockets are of the caller's
	 * namespace, and CMD would have to leave it. */
	if (already || !offer_is_elsewhere(o->a->question))
		offer_sysctl(o->cure, o->a->question, "net.ipv4.ip_autobind_reuse", "1");
	if (!already)
		offer_and(o->cure, "tcpwhy run --reuseaddr --prepared -- CMD");
	offer_say(o->cure->costs,
		  "now, this namespace; works on ports whose holders have SO_REUSEADDR");
	return true;
}

/* --------------------------------------------------------------------------------- the port pool
 */

enum { POOL_TRIED = 16 };

/* Where a port of a pool would be bound; the engine holds the sockets of all ports when the
 * question is about port 0. */
static bool try_pool(struct offer *o, uint16_t low)
{
	struct tcpwhy_bind_request q = o->a->question->bind;

	for (q.port = low; q.port < low + POOL_TRIED; q.port++)
		if (try_request(o, &q))
			return true;
	return false;
}

static bool offer_lease(struct offer *o)
{
	const struct explain_question *q = o->a->question;
	uint16_t low = offer_pool_low(&o->a->sysctls);

	if (q->bind.port || q->bind.range_low || q->bind.range_high || !low || !try_pool(o, low))
		return false;
	offer_pool(o->cure, q, low);
	return true;
}

/* ------------------------------------------------------------------------------------------- all
 */

static const struct offer_row cures[] = {
	{"wait", CURE_NOTHING, offer_wait},
	{"destroy-time-wait", CURE_NOTHING, offer_destroy},
	{"reuseaddr-both", CURE_SOCKET, offer_reuseaddr},
	{"v6only-off", CURE_SOCKET, offer_v6only_off},
	{"v6only-on", CURE_SOCKET, offer_v6only_on},
	{"bind-device", CURE_SOCKET, offer_bind_device},
	{"end-owner", CURE_PROGRAM, offer_end},
	{"reuseport-both", CURE_PROGRAM, offer_reuseport},
	{"other-address", CURE_PROGRAM, offer_address},
	{"freebind", CURE_PROGRAM, offer_freebind},
	{"net-bind-service", CURE_PROGRAM, offer_capability},
	{"lease-port", CURE_PROGRAM, offer_lease},
	{"fin-timeout", CURE_NAMESPACE, offer_fin_timeout},
	{"reserve-port", CURE_NAMESPACE, offer_reserve},
	{"unprivileged-port-start", CURE_NAMESPACE, offer_unprivileged},
	{"nonlocal-bind", CURE_NAMESPACE, offer_nonlocal},
	{"autobind-reuse", CURE_NAMESPACE, offer_autobind_reuse},
	{"widen-range", CURE_NAMESPACE, offer_wider_range},
};

void cures_find(struct asked *a, struct result *out)
{
	offer_all(a, cures, sizeof(cures) / sizeof(cures[0]), out);
}

/* ----------------------------------------------------------------------------------------- owners
 */

static bool named_before(const struct result *r, size_t holder, unsigned owner)
{
	int pid = r->holders[holder].owners[owner].pid;

	for (size_t i = 0; i <= holder; i++)
		for (unsigned k = 0; k < (i == holder ? owner : r->holders[i].owners_n); k++)
			if (r->holders[i].owners[k].pid == pid)
				return true;
	return false;
}

enum { OWNERS_NAMED = 3 };

static unsigned add_owners(struct text *t, const struct result *r)
{
	unsigned n = 0;

	for (size_t i = 0; i < r->holders_n && i < EXPLAIN_HOLDERS; i++) {
		for (unsigned k = 0; k < r->holders[i].owners_n; k++) {
			const struct result_owner *o = &r->holders[i].owners[k];
			if (named_before(r, i, k) || ++n > OWNERS_NAMED)
				continue;
			text_add(t, n > 1 ? ", " : "");
			text_add(t, o->comm);
			text_char(t, '[');
			text_number(t, (uint64_t)o->pid);
			text_char(t, ']');
			if (o->unit[0]) {
				text_add(t, " of ");
				text_add(t, o->unit);
			}
		}
	}
	return n;
}

/* All of /proc could be read, and none in it has the socket open. */
static void tell_unowned(struct result *r)
{
	uint32_t n = 0;

	for (size_t i = 0; i < r->holders_n; i++)
		n += r->holders[i].seen.inode && !r->holders[i].owners_n &&
		     !r->holders[i].owners_unseen;
	if (!n || r->unknown_n == RESULT_UNKNOWN_MAX)
		return;
	struct text t = text_in(r->unknown[r->unknown_n++], sizeof(r->unknown[0]));
	text_add(&t, "who has ");
	text_counted(&t, n, "socket");
	text_add(&t, " open: no process of this PID namespace, or one that has just ended");
}

/* The process that has the server's listener open, or where none listens any more the one that has
 * every connection in the way; 0: none such is seen. */
static int server_of(const struct result *r)
{
	int pid = 0;

	for (size_t i = 0; i < r->holders_n; i++) {
		const struct result_holder *h = &r->holders[i];
		if (h->seen.o.state == TCPWHY_LISTEN)
			return h->owners_n ? h->owners[0].pid : 0;
	}
	if (r->verdict.holders != r->holders_n)
		return 0;
	for (size_t i = 0; i < r->holders_n; i++) {
		const struct result_holder *h = &r->holders[i];
		/* One that has not been answered yet did not come in. */
		bool connection = (h->why == TCPWHY_H_CONN_NEEDS_REUSE ||
				   h->why == TCPWHY_H_CONN_WITHOUT_REUSE) &&
				  h->seen.o.state != TCPWHY_SYN_SENT;
		if (!connection || !h->owners_n || (pid && h->owners[0].pid != pid))
			return 0;
		pid = h->owners[0].pid;
	}
	return pid;
}

static bool lacks_reuse(const struct result *r)
{
	for (size_t i = 0; i < r->holders_n; i++)
		if (r->holders[i].seen.o.reuse == TCPWHY_REUSE_NO)
			return true;
	return false;
}

/* The option is set on the sockets that are open, so it need not wait for the next start. */
static void name_server(struct cure *c, const struct result *r)
{
	int pid = lacks_reuse(r) ? server_of(r) : 0;
	bool restart = !c->command[0];

	if (!pid)
		return;
	struct text t = text_in(c->command, sizeof(c->command));
	text_add(&t, "tcpwhy fix reuseaddr --pid ");
	text_number(&t, (uint64_t)pid);
	text_add(&t, " --port ");
	text_number(&t, r->question.port);
	if (restart)
		return;
	offer_say(c->costs, "now, on the sockets that are open, too");
	if (r->question.reuse == TCPWHY_REUSE_NO)
		offer_and(c, "tcpwhy run --reuseaddr -- CMD");
}

static void name_end(struct cure *c, const struct result *r)
{
	char buf[CURE_TEXT_MAX];
	struct text t = text_in(buf, sizeof(buf));

	text_add(&t, "stop ");
	unsigned n = add_owners(&t, r);
	if (n > OWNERS_NAMED) {
		text_add(&t, " and ");
		text_counted(&t, n - OWNERS_NAMED, "more process");
		text_add(&t, n - OWNERS_NAMED > 1 ? "es" : "");
	}
	if (n)
		memcpy(c->does, buf, sizeof(buf));
}

void explain_name_owners(struct result *r)
{
	tell_unowned(r);
	for (size_t i = 0; i < r->cures_n; i++) {
		if (text_equal(r->cures[i].id, "end-owner"))
			name_end(&r->cures[i], r);
		else if (text_equal(r->cures[i].id, "reuseaddr-both"))
			name_server(&r->cures[i], r);
	}
}
