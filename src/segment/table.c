/* SPDX-License-Identifier: MIT
 *
 * The records beside the engine's, the requests, the listeners, and what is drawn for a 4-tuple
 */
#include <string.h>

#include "base/address.h"
#include "segment/state.h"

/* ------------------------------------------------------------------------------------- sockets */

struct tcb *tcb_at(const struct host *h, uint32_t number)
{
	must(number / TCB_CHUNK < h->chunks_size && h->chunks[number / TCB_CHUNK]);
	return &h->chunks[number / TCB_CHUNK][number % TCB_CHUNK];
}

struct tcb *tcb_was(const struct host *h, tcpwhy_sock s)
{
	uint32_t chunk = tcb_number(s) / TCB_CHUNK;

	if (!(uint32_t)s || chunk >= h->chunks_size || !h->chunks[chunk])
		return NULL;
	struct tcb *t = tcb_at(h, tcb_number(s));
	return t->sock == s ? t : NULL;
}

struct tcb *tcb_of(const struct host *h, tcpwhy_sock s)
{
	struct tcb *t = tcb_was(h, s);

	return t && tcpwhy_get(h->engine, s, NULL) == 0 ? t : NULL;
}

struct tcb *tcb_new(struct host *h, tcpwhy_sock s)
{
	uint32_t chunk = tcb_number(s) / TCB_CHUNK;

	if (!memory_grow(&h->memory, &h->chunks, &h->chunks_size, chunk + 1, sizeof(*h->chunks)))
		return NULL;
	if (!h->chunks[chunk])
		h->chunks[chunk] = memory_new(&h->memory, TCB_CHUNK * sizeof(struct tcb));
	if (!h->chunks[chunk])
		return NULL;
	struct tcb *t = tcb_at(h, tcb_number(s));
	if (t->sock)
		timer_clear(h, &t->timer);
	ahead_forget(h, t); /* of whoever had the number before */
	*t = (struct tcb){
		.sock = s,
		.state = TCPWHY_CLOSE,
		.rto_ns = RTO_INIT_NS,
		.sampled_rto_ns = RTO_INIT_NS,
		.accept_first = NIL,
		.accept_last = NIL,
		.parent = NIL,
		.next = NIL,
	};
	return t;
}

tcpwhy_sock tcb_tuple(const struct host *h, const struct tcb *t)
{
	return tcpwhy_find_tuple(h->engine, &t->local, t->port, &t->peer, t->peer_port, t->device);
}

/* ------------------------------------------------------------------------------------ requests */

uint32_t tuple_mix(const struct host *h, const struct tcpwhy_addr *local, uint16_t port,
		   const struct tcpwhy_addr *peer, uint16_t peer_port)
{
	uint64_t word[4], ports = (uint64_t)port << 16 | peer_port;
	uint32_t mix = hash_mix(h->key[0], h->key[1] ^ ports);

	memcpy(word, local->b, 16);
	memcpy(word + 2, peer->b, 16);
	for (unsigned i = 0; i < 4; i++)
		mix = hash_mix(word[i], (uint64_t)mix << 32 | i);
	return mix;
}

static uint32_t *request_chain(const struct host *h, const struct request *r)
{
	uint32_t mix = tuple_mix(h, &r->local, r->port, &r->peer, r->peer_port);

	return &h->by_request.head[mix & (h->by_request.size - 1)];
}

static void request_link(const struct host *h, uint32_t i)
{
	uint32_t *head = request_chain(h, &h->requests[i]);

	h->requests[i].next = *head;
	*head = i;
}

uint32_t request_find_tuple(const struct host *h, const struct tcpwhy_addr *local, uint16_t port,
			    const struct tcpwhy_addr *peer, uint16_t peer_port)
{
	if (!h->by_request.entries)
		return NIL;
	struct request key = {.local = *local, .peer = *peer, .port = port, .peer_port = peer_port};
	uint32_t i = *request_chain(h, &key);
	while (i != NIL) {
		const struct request *r = &h->requests[i];
		if (r->port == port && r->peer_port == peer_port &&
		    address_equal(&r->local, local) && address_equal(&r->peer, peer))
			break;
		i = r->next;
	}
	return i;
}

uint32_t request_find(const struct host *h, const struct segment *s)
{
	return request_find_tuple(h, &s->to, s->to_port, &s->from, s->from_port);
}

static bool request_room(struct host *h)
{
	if (h->requests_free == NIL && !memory_grow(&h->memory, &h->requests, &h->requests_size,
						    h->requests_used + 1, sizeof(*h->requests)))
		return false;
	if (!chains_want_more(&h->by_request))
		return true;
	if (!chains_resize(&h->memory, &h->by_request))
		return false;
	for (uint32_t i = 0; i < h->requests_used; i++)
		if (h->requests[i].listener != NIL)
			request_link(h, i);
	return true;
}

uint32_t request_new(struct host *h, const struct segment *syn, uint32_t listener)
{
	if (!request_room(h))
		return NIL;
	uint32_t i = h->requests_free;
	if (i != NIL)
		h->requests_free = h->requests[i].next;
	else
		i = h->requests_used++;
	h->requests[i] = (struct request){
		.local = syn->to,
		.peer = syn->from,
		.port = syn->to_port,
		.peer_port = syn->from_port,
		.device = tcb_at(h, listener)->device,
		.listener = listener,
		.rcv_isn = syn->seq,
		.snd_wnd = syn->window,
	};
	request_link(h, i);
	h->by_request.entries++;
	tcb_at(h, listener)->requests++;
	tcb_at(h, listener)->young++;
	return i;
}

static void leave_listener(struct host *h, struct request *r)
{
	struct tcb *listener = tcb_at(h, r->listener);

	listener->requests--;
	if (!r->timeouts)
		listener->young--;
}

void request_orphan(struct host *h, uint32_t i)
{
	struct request *r = &h->requests[i];

	if (!has(h, TCPWHY_P_SYNQ_BACKLOG)) {
		request_drop(h, i);
		return;
	}
	leave_listener(h, r);
	r->orphan = true;
	r->listener = ORPHANED;
}

void request_drop(struct host *h, uint32_t i)
{
	struct request *r = &h->requests[i];
	uint32_t *link = request_chain(h, r);

	while (*link != i)
		link = &h->requests[*link].next;
	*link = r->next;
	h->by_request.entries--;
	if (!r->orphan)
		leave_listener(h, r);
	timer_clear(h, &r->timer);
	r->listener = NIL;
	r->next = h->requests_free;
	h->requests_free = i;
}

/* ----------------------------------------------------------------------------------- listeners */

void listener_add(struct host *h, struct tcb *t)
{
	t->next = h->listeners;
	h->listeners = tcb_number(t->sock);
}

void listener_remove(struct host *h, struct tcb *t)
{
	uint32_t *link = &h->listeners;

	while (*link != tcb_number(t->sock))
		link = &tcb_at(h, *link)->next;
	*link = t->next;
	t->next = NIL;
}

/* compute_score(): an address or a device that was asked for weighs more than none; IPv4's own
 * sockets more than IPv6's that serve both. 0: not this one. */
static unsigned listener_score(const struct host *h, const struct tcb *t, const struct segment *s)
{
	struct tcpwhy_owner o;

	if (t->port != s->to_port || tcpwhy_get(h->engine, t->sock, &o) < 0)
		return 0;
	bool any = address_is_any(&o.local), v4 = address_is_v4(&s->to);
	if (!any && !address_equal(&o.local, &s->to))
		return 0;
	if (any && v4 && o.family == TCPWHY_IPV6 && o.v6only == TCPWHY_YES)
		return 0;
	if (any && !v4 && o.family == TCPWHY_IPV4)
		return 0;
	if (o.device && o.device != s->device)
		return 0;
	return 1u + (any ? 0 : 4u) + (o.device ? 4u : 0) + (o.family == TCPWHY_IPV4);
}

/* Among equals (SO_REUSEPORT) the 4-tuple decides, so one client meets one listener. */
struct tcb *listener_find(const struct host *h, const struct segment *s)
{
	unsigned best = 0, equals = 0;
	struct tcb *found = NULL;
	uint32_t mix = 0;

	for (uint32_t i = h->listeners; i != NIL; i = tcb_at(h, i)->next) {
		unsigned score = listener_score(h, tcb_at(h, i), s);
		if (score > best) {
			best = score;
			equals = 1;
			found = tcb_at(h, i);
			mix = tuple_mix(h, &s->to, s->to_port, &s->from, s->from_port);
		} else if (score && score == best && mix % ++equals == 0) {
			found = tcb_at(h, i);
			mix = hash_mix(mix, equals);
		}
	}
	return found;
}

/* ---------------------------------------------------------------------------- what is random */

/* Grows by one every 64 ns, so that a new connection of a 4-tuple starts above the old one's
 * numbers (RFC 6528). */
uint32_t isn_of(const struct host *h, const struct tcpwhy_addr *local, uint16_t port,
		const struct tcpwhy_addr *peer, uint16_t peer_port)
{
	return tuple_mix(h, local, port, peer, peer_port) + (uint32_t)(now(h) >> 6);
}

uint32_t ts_offset_of(const struct host *h, const struct tcpwhy_addr *local, uint16_t port,
		      const struct tcpwhy_addr *peer, uint16_t peer_port)
{
	if (tcpwhy_sysctls(h->engine)->timestamps != 1)
		return 0;
	if (has(h, TCPWHY_P_TS_OFFSET_TUPLE))
		return hash_mix(tuple_mix(h, local, port, peer, peer_port), h->key[1]);
	if (has(h, TCPWHY_P_TS_OFFSET_HOSTS))
		return hash_mix(tuple_mix(h, local, 0, peer, 0), h->key[1]);
	return 0;
}

uint32_t clock_ms(const struct host *h)
{
	return h->config.clock_ms + (uint32_t)(now(h) / NS_PER_MS);
}
