/* SPDX-License-Identifier: MIT
 *
 * An ICMP error about what was sent: tcp_v4_err(), tcp_v6_err(), tcp_req_err(), tcp_ld_RTO_revert()
 *
 * Only a handshake that we began ends by it. For a connection it is noted, for it may be forged or
 * pass (RFC 1122 4.2.3.9, RFC 5927); what was quoted must be under way.
 */
#include <errno.h>

#include "base/address.h"
#include "segment/state.h"

static bool is_v4(const struct segment *s)
{
	return address_is_v4(&s->to);
}

/* icmp_err_convert[], icmpv6_err_convert() */
static int errno_of(const struct segment *s)
{
	switch ((enum segment_error)s->error) {
	case SEGMENT_NO_ERROR:
	case SEGMENT_PORT_UNREACHABLE:
		break;
	case SEGMENT_HOST_UNREACHABLE:
		return EHOSTUNREACH;
	case SEGMENT_NO_ROUTE:
		return ENETUNREACH;
	case SEGMENT_ADMIN_PROHIBITED:
		return is_v4(s) ? EHOSTUNREACH : EACCES;
	}
	return ECONNREFUSED;
}

/* IPv4 asks what tells of a route, IPv6 what it holds to be fatal: they come to opposite answers.
 */
static bool ends_request(const struct host *h, const struct segment *s)
{
	const bool of_route = s->error == SEGMENT_HOST_UNREACHABLE || s->error == SEGMENT_NO_ROUTE;

	return !has(h, TCPWHY_P_ICMP_SPARES_REQUEST) || of_route == is_v4(s);
}

static void to_request(struct host *h, uint32_t request, const struct segment *s)
{
	if (s->seq != h->requests[request].snt_isn) {
		count(h, COUNTER_OutOfWindowIcmps);
	} else if (ends_request(h, s)) {
		request_drop(h, request);
		count(h, COUNTER_ListenDrops);
	}
}

/* Who says that there is no way shows that the last segment was not lost to a crowd: the time-out
 * need not have doubled (RFC 6069). */
static bool reverts(const struct tcb *t, const struct segment *s)
{
	return s->seq == t->snd_una &&
	       (s->error == SEGMENT_NO_ROUTE || (is_v4(s) && s->error == SEGMENT_HOST_UNREACHABLE));
}

static void to_socket(struct host *h, struct tcb *t, const struct segment *s, bool locked)
{
	const bool opens = t->state == TCPWHY_SYN_SENT || t->state == TCPWHY_SYN_RECV;

	if (seq_before(s->seq, t->snd_una) || seq_after(s->seq, t->snd_nxt)) {
		count(h, COUNTER_OutOfWindowIcmps);
		return;
	}
	if (opens && !locked) {
		tcb_done(h, t, errno_of(s));
		return;
	}
	t->soft_error = errno_of(s);
	if (!opens && !locked && reverts(t, s))
		retransmit_revert(h, t);
}

void icmp_error(struct host *h, const struct segment *s, bool locked)
{
	const tcpwhy_sock sock =
		tcpwhy_find_tuple(h->engine, &s->to, s->to_port, &s->from, s->from_port, s->device);
	struct tcb *t = sock ? tcb_of(h, sock) : NULL;
	const uint32_t request = t ? NIL : request_find(h, s);

	if (t && !t->mini) {
		to_socket(h, t, s, locked);
		ready(h, sock);
	} else if (request != NIL) {
		to_request(h, request, s);
	}
}
