/* SPDX-License-Identifier: MIT
 *
 * Sysctls of the namespace that would help bind().
 */
#include "explain/bind_offer.h"

#include <string.h>

#include "base/address.h"
#include "base/text.h"

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

bool bind_offer_fin_timeout(struct offer *o)
{
	struct load_change change = {.end_fin_wait2 = true};

	if (!orphans_in_fin_wait2(o->a) || !bind_try_change(o, &change))
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

bool bind_offer_reserve(struct offer *o)
{
	const struct asked *a = o->a;
	uint16_t port = a->question->bind.port;
	struct load_change change = {.reserve = port};

	if (!port || port < a->sysctls.port_low || port > a->sysctls.port_high ||
	    a->snap->reserved[port / 32] >> port % 32 & 1 || !bind_try_change(o, &change))
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

bool bind_offer_unprivileged(struct offer *o)
{
	const struct asked *a = o->a;
	struct tcpwhy_sysctls s = a->sysctls;
	struct load_change change = {.sysctls = &s};

	if (!a->question->bind.port || a->question->bind.port >= s.unprivileged_port_start)
		return false;
	s.unprivileged_port_start = a->question->bind.port;
	if (!bind_try_change(o, &change))
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

bool bind_offer_nonlocal(struct offer *o)
{
	struct tcpwhy_sysctls s = o->a->sysctls;
	struct load_change change = {.sysctls = &s};
	bool v4 = address_is_v4(&o->a->question->bind.addr);

	s.nonlocal_bind = s.nonlocal_bind || v4;
	s.nonlocal_bind6 = s.nonlocal_bind6 || !v4;
	if (!bind_try_change(o, &change))
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

bool bind_offer_wider_range(struct offer *o)
{
	struct tcpwhy_sysctls s;
	struct load_change change = {.sysctls = &s};

	if (o->a->question->bind.port || o->a->question->bind.range_low ||
	    o->a->question->bind.range_high)
		return false;
	for (unsigned i = 0; i < OFFER_RANGES; i++) {
		if (!offer_range(&o->a->sysctls, i, &s) || !bind_try_change(o, &change))
			continue;
		offer_range_say(o->cure, o->a->question, &s);
		offer_say(o->cure->costs,
			  "now, this namespace; reserve the service ports that lie in it");
		return true;
	}
	return false;
}

bool bind_offer_autobind_reuse(struct offer *o)
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
