/* SPDX-License-Identifier: MIT
 *
 * A host: made, set up, looked at, and the way of a segment to its socket (tcp_v4_rcv())
 */
#include <errno.h>
#include <string.h>

#include "segment/state.h"

/* ------------------------------------------------------------------------------------- a host */

static struct host_sysctls default_sysctls(const struct tcpwhy_row *row)
{
	bool unlimited = row->packets & TCPWHY_P_CHALLENGE_UNLIMITED;
	bool random = row->packets & TCPWHY_P_CHALLENGE_RANDOM;

	return (struct host_sysctls){
		/* 4096 since 5.4, which the rows tell by the feature of 5.7 */
		.somaxconn = row->features & TCPWHY_F_AUTOBIND_REUSE ? 4096 : 128,
		.max_syn_backlog = 4096, /* by memory: of a large machine */
		.syncookies = 1,
		.sack = true,
		.window_scaling = true,
		.syn_retries = 6,
		.synack_retries = 5,
		.syn_linear_timeouts = row->packets & TCPWHY_P_SYN_LINEAR ? 4 : 0,
		.retries2 = 15,
		.invalid_ratelimit_ms = 500,
		.challenge_ack_limit = unlimited ? INT32_MAX
				       : random  ? 1000
						 : 100,
	};
}

static uint64_t draw_key(const struct host_config *c)
{
	uint64_t key = 0;

	for (unsigned i = 0; i < 4; i++)
		key = key << 16 | c->draw(c->ctx, 1u << 16);
	return key;
}

struct host *host_new(const struct host_config *config)
{
	struct host *h = config->memory.resize(config->memory.ctx, NULL, 0, sizeof(*h));

	if (!h)
		return NULL;
	memset(h, 0, sizeof(*h));
	h->memory = (struct memory){.from = config->memory, .bytes = sizeof(*h)};
	h->config = *config;
	if (!h->config.window)
		h->config.window = 65535;
	if (!h->config.mss)
		h->config.mss = 1460;
	if (!h->config.hz)
		h->config.hz = 250;
	h->listeners = h->requests_free = NIL;
	h->sysctls = default_sysctls(config->row);
	h->key[0] = draw_key(config);
	h->key[1] = draw_key(config);
	h->engine = tcpwhy_engine_new(config->row, &config->memory);
	if (!h->engine) {
		host_free(h);
		return NULL;
	}
	return h;
}

void host_free(struct host *h)
{
	if (!h)
		return;
	tcpwhy_engine_free(h->engine);
	for (uint32_t i = 0; i < h->chunks_size; i++)
		memory_drop(&h->memory, &h->chunks[i], h->chunks[i] ? TCB_CHUNK : 0,
			    sizeof(struct tcb));
	memory_drop(&h->memory, &h->chunks, h->chunks_size, sizeof(*h->chunks));
	memory_drop(&h->memory, &h->requests, h->requests_size, sizeof(*h->requests));
	memory_drop(&h->memory, &h->by_request.head, h->by_request.size, sizeof(uint32_t));
	memory_drop(&h->memory, &h->pieces, h->pieces_size, sizeof(*h->pieces));
	memory_drop(&h->memory, &h->remembered, h->remembered_size, sizeof(*h->remembered));
	memory_drop(&h->memory, &h->by_remembered.head, h->by_remembered.size, sizeof(uint32_t));
	memory_drop(&h->memory, &h->heap, h->heap_size, sizeof(*h->heap));
	memory_drop(&h->memory, &h->out, h->out_size, sizeof(*h->out));
	struct tcpwhy_memory memory = h->memory.from;
	memory.resize(memory.ctx, h, sizeof(*h), 0);
}

struct tcpwhy_engine *host_engine(struct host *h)
{
	return h->engine;
}

const struct host_sysctls *host_sysctls(const struct host *h)
{
	return &h->sysctls;
}

void host_set_sysctls(struct host *h, const struct host_sysctls *s)
{
	h->sysctls = *s;
}

uint64_t host_counter(const struct host *h, enum counter c)
{
	return (unsigned)c < COUNTER_COUNT ? h->counters[c] : 0;
}

/* ---------------------------------------------------------------------- the way of a segment */

/* A request that lost its listener is no longer in the way. */
static void to_listener_or_nobody(struct host *h, const struct segment *s, uint32_t request)
{
	if (request != NIL)
		request_drop(h, request);
	struct tcb *listener = listener_find(h, s);

	if (listener)
		listen_segment(h, listener, s, 0);
	else
		send_reset_for(h, s);
}

/* A new SYN ends the TIME_WAIT, if somebody listens. */
static void to_successor(struct host *h, struct tcb *mini, const struct segment *s, uint32_t isn)
{
	struct tcb *listener = listener_find(h, s);

	if (!listener) {
		send_mini_ack(h, mini);
		return;
	}
	mini_end(h, mini);
	listen_segment(h, listener, s, isn);
}

static void to_mini(struct host *h, struct tcb *mini, const struct segment *s)
{
	uint32_t isn = 0;

	switch (mini_segment(h, mini, s, &isn)) {
	case MINI_NOTHING:
		break;
	case MINI_ACK:
		send_mini_ack(h, mini);
		break;
	case MINI_RST:
		send_reset_for(h, s);
		break;
	case MINI_SYN:
		to_successor(h, mini, s, isn);
		break;
	}
}

static void to_socket(struct host *h, struct tcb *t, const struct segment *s)
{
	tcpwhy_sock sock = t->sock; /* gone, perhaps, afterwards */

	tcb_segment(h, t, s);
	ready(h, sock);
}

void host_error_in_call(struct host *h, const struct segment *s)
{
	icmp_error(h, s, true);
}

void host_segment_in(struct host *h, const struct segment *s)
{
	if (s->error) {
		icmp_error(h, s, false);
		return;
	}
	tcpwhy_sock sock =
		tcpwhy_find_tuple(h->engine, &s->to, s->to_port, &s->from, s->from_port, s->device);
	struct tcb *t = sock ? tcb_of(h, sock) : NULL;
	uint32_t request = t ? NIL : request_find(h, s);

	if (t && t->mini)
		to_mini(h, t, s);
	else if (t)
		to_socket(h, t, s);
	else if (request != NIL && !h->requests[request].orphan)
		request_segment(h, request, s);
	else
		to_listener_or_nobody(h, s, request);
}

/* ---------------------------------------------------------------------------------------- views */

static void look(const struct host *h, const struct tcb *t, struct host_view *v)
{
	struct tcpwhy_owner o;

	*v = (struct host_view){
		.sock = t->sock,
		.state = t->state,
		.timewait = t->mini,
		.timer = t->timer_kind,
		.expires_ns = t->timer.when_ns ? t->timer.due_ns : 0,
		.retransmits = t->timer_kind == HOST_TIMER_PROBE ? t->probes : t->retransmits,
		.snd_una = t->snd_una,
		.snd_nxt = t->snd_nxt,
		.rcv_nxt = t->rcv_nxt,
		.window = t->mini ? t->rcv_wnd : receive_window(t),
		.unread = t->unread,
		.error = t->error ? t->error : t->soft_error,
		.accept_queue = t->accept_used,
		.backlog = t->backlog,
		.syn_queue = t->requests,
		.young = t->young,
	};
	if (t->mini && tcpwhy_get(h->engine, t->sock, &o) == 0) {
		v->timer = HOST_TIMER_TIMEWAIT;
		v->expires_ns = h->config.wheel ? t->timer.due_ns : o.expires_ns;
	}
	if (t->state == TCPWHY_CLOSE && tcpwhy_get(h->engine, t->sock, &o) == 0)
		v->state = o.state; /* BOUND, if it holds a port */
}

int host_look(const struct host *h, tcpwhy_sock s, struct host_view *view)
{
	const struct tcb *t = tcb_of(h, s);

	if (!t)
		return -EBADF;
	look(h, t, view);
	return 0;
}

bool host_find(const struct host *h, const struct tcpwhy_addr *local, uint16_t port,
	       const struct tcpwhy_addr *peer, uint16_t peer_port, struct host_view *view)
{
	tcpwhy_sock s = tcpwhy_find_tuple(h->engine, local, port, peer, peer_port, 0);
	const struct tcb *t = s ? tcb_of(h, s) : NULL;
	uint32_t i;

	if (t) {
		look(h, t, view);
		return true;
	}
	i = request_find_tuple(h, local, port, peer, peer_port);
	if (i == NIL)
		return false;
	const struct request *r = &h->requests[i];
	*view = (struct host_view){
		.state = TCPWHY_SYN_RECV,
		.timer = HOST_TIMER_RETRANSMIT,
		.expires_ns = r->timer.due_ns,
		.retransmits = r->retransmits,
		.snd_una = r->snt_isn,
		.snd_nxt = r->snt_isn + 1,
		.rcv_nxt = r->rcv_isn + 1,
		.window = r->rcv_wnd,
	};
	return true;
}

bool host_next_request(const struct host *h, uint32_t *cursor, struct tcpwhy_addr *local,
		       uint16_t *port, struct tcpwhy_addr *peer, uint16_t *peer_port)
{
	while (*cursor < h->requests_used) {
		const struct request *r = &h->requests[(*cursor)++];
		if (r->listener == NIL)
			continue;
		*local = r->local;
		*port = r->port;
		*peer = r->peer;
		*peer_port = r->peer_port;
		return true;
	}
	return false;
}
