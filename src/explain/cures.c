/* SPDX-License-Identifier: MIT
 *
 * What would help, in the order in which one would try it: nothing, this socket, this program, this
 * namespace. Each cure is a function that describes a changed world or a changed request, has the
 * engine asked again, and gives up if the answer is not better.
 */
#include "explain/bind_offer.h"

#include "base/text.h"

#define TIME_WAIT_NS (60u * 1000000000ull)

bool bind_try_change(struct offer *o, const struct load_change *c)
{
	o->trial = asked_try(o->a, c, NULL, NULL);
	return o->trial != TRIAL_NO;
}

bool bind_try_request(struct offer *o, const struct tcpwhy_bind_request *q)
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

	if (!asked_only_timed(&o->a->verdict) || !bind_try_change(o, &change))
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

	if (!o->a->question->bind.port || !bind_try_change(o, &change))
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
	if (!bind_try_change(o, &change)) {
		change.wait_until_ns = o->a->snap->taken_ns + TIME_WAIT_NS;
		then_wait = true;
		if (!bind_try_change(o, &change))
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

/* --------------------------------------------------------------------------------- the port pool
 */

enum { POOL_TRIED = 16 };

/* Where a port of a pool would be bound; the engine holds the sockets of all ports when the
 * question is about port 0. */
static bool try_pool(struct offer *o, uint16_t low)
{
	struct tcpwhy_bind_request q = o->a->question->bind;

	for (q.port = low; q.port < low + POOL_TRIED; q.port++)
		if (bind_try_request(o, &q))
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
	{"reuseaddr-both", CURE_SOCKET, bind_offer_reuseaddr},
	{"v6only-off", CURE_SOCKET, bind_offer_v6only_off},
	{"v6only-on", CURE_SOCKET, bind_offer_v6only_on},
	{"bind-device", CURE_SOCKET, bind_offer_bind_device},
	{"end-owner", CURE_PROGRAM, offer_end},
	{"reuseport-both", CURE_PROGRAM, bind_offer_reuseport},
	{"other-address", CURE_PROGRAM, bind_offer_address},
	{"freebind", CURE_PROGRAM, bind_offer_freebind},
	{"net-bind-service", CURE_PROGRAM, bind_offer_capability},
	{"lease-port", CURE_PROGRAM, offer_lease},
	{"fin-timeout", CURE_NAMESPACE, bind_offer_fin_timeout},
	{"reserve-port", CURE_NAMESPACE, bind_offer_reserve},
	{"unprivileged-port-start", CURE_NAMESPACE, bind_offer_unprivileged},
	{"nonlocal-bind", CURE_NAMESPACE, bind_offer_nonlocal},
	{"autobind-reuse", CURE_NAMESPACE, bind_offer_autobind_reuse},
	{"widen-range", CURE_NAMESPACE, bind_offer_wider_range},
};

void cures_find(struct asked *a, struct result *out)
{
	offer_all(a, cures, sizeof(cures) / sizeof(cures[0]), out);
}
