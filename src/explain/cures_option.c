/* SPDX-License-Identifier: MIT
 *
 * What the program itself may do differently before bind(): an option, its device, a capability.
 */
#include "explain/bind_offer.h"

#include "base/address.h"
#include "base/text.h"

/* Whether the option on the new socket is enough, or the owners must have had it too. */
enum sides { SIDES_NONE, SIDES_NEW, SIDES_BOTH };

static enum sides try_sides(struct offer *o, const struct tcpwhy_bind_request *with,
			    const struct load_change *both)
{
	if (bind_try_request(o, with))
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

bool bind_offer_reuseaddr(struct offer *o)
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

bool bind_offer_reuseport(struct offer *o)
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

bool bind_offer_v6only_off(struct offer *o)
{
	struct tcpwhy_bind_request q = o->a->question->bind;

	q.v6only = false;
	if (!o->a->question->bind.v6only || !address_is_v4(&q.addr) || !bind_try_request(o, &q))
		return false;
	offer_say(o->cure->does, "switch IPV6_V6ONLY off on the new socket, before bind()");
	offer_say(o->cure->costs, "now, this socket");
	return true;
}

bool bind_offer_v6only_on(struct offer *o)
{
	struct tcpwhy_bind_request q = o->a->question->bind;

	q.v6only = true;
	if (!address_is_any6(&q.addr) || o->a->question->bind.v6only || !bind_try_request(o, &q))
		return false;
	offer_say(o->cure->does, "set IPV6_V6ONLY on the new socket, before bind()");
	offer_say(o->cure->costs,
		  "now; only IPv4 sockets are in the way, and IPv4 clients are not served");
	return true;
}

bool bind_offer_bind_device(struct offer *o)
{
	const struct snapshot *s = o->a->snap;
	struct tcpwhy_bind_request q = o->a->question->bind;

	if (o->a->verdict.rule != TCPWHY_RULE_BIND_LINK_LOCAL)
		return false;
	for (size_t i = 0; i < s->devices_n; i++) {
		q.device = s->devices[i].index;
		if (!bind_try_request(o, &q))
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

bool bind_offer_freebind(struct offer *o)
{
	struct tcpwhy_bind_request q = o->a->question->bind;

	q.freebind = true;
	if (o->a->question->bind.freebind || !bind_try_request(o, &q))
		return false;
	offer_say(o->cure->does, "set IP_FREEBIND on the new socket, before bind()");
	offer_say(o->cure->costs, "now; nothing arrives until this host gets the address");
	return true;
}

bool bind_offer_capability(struct offer *o)
{
	struct tcpwhy_bind_request q = o->a->question->bind;

	q.may_bind_low = TCPWHY_YES;
	if (o->a->question->bind.may_bind_low == TCPWHY_YES || !bind_try_request(o, &q))
		return false;
	offer_say(o->cure->does,
		  "give the program CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=, "
		  "container: add NET_BIND_SERVICE)");
	offer_say(o->cure->costs, "from its next start on; it may then bind every low port");
	return true;
}
