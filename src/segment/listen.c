/* SPDX-License-Identifier: MIT
 *
 * A segment at a listener: the SYN queue and the accept queue
 *
 * tcp_conn_request(), tcp_v4_syn_recv_sock(), inet_csk_reqsk_queue_add().
 */
#include "segment/state.h"

/* sk_acceptq_is_full(): the queue holds one more than the backlog. */
bool accept_queue_full(const struct tcb *listener)
{
	return listener->accept_used > listener->backlog;
}

static bool syn_queue_full(const struct host *h, const struct tcb *listener)
{
	if (!has(h, TCPWHY_P_SYNQ_BACKLOG))
		return listener->requests >= listener->queue_limit;
	if (has(h, TCPWHY_P_SYNQ_ONE_MORE))
		return listener->requests > listener->backlog;
	return listener->requests >= listener->backlog;
}

static void drop(struct host *h)
{
	count(h, COUNTER_ListenDrops);
}

/* tcp_syn_flood_action(). */
static bool wants_cookie(struct host *h)
{
	count(h, h->sysctls.syncookies ? COUNTER_TCPReqQFullDoCookies : COUNTER_TCPReqQFullDrop);
	return h->sysctls.syncookies;
}

/* Without cookies the last quarter of tcp_max_syn_backlog is for peers that are known. None is. */
static bool is_reserved(const struct host *h, const struct tcb *listener)
{
	uint32_t most = h->sysctls.max_syn_backlog;

	return !h->sysctls.syncookies &&
	       (int64_t)most - (int64_t)listener->requests < (int64_t)(most >> 2);
}

static bool drops_for_accept_queue(const struct host *h, const struct tcb *listener)
{
	return accept_queue_full(listener) &&
	       (has(h, TCPWHY_P_SYN_DROP_FULL) || listener->young > 1);
}

static void read_options(const struct host *h, struct request *r, const struct segment *syn)
{
	r->has_ts = is_timed(h) && syn->has_timestamp;
	r->has_sack = h->sysctls.sack && syn->sack_permitted;
	r->ts_recent = r->has_ts ? syn->tsval : 0;
	r->ts_offset = ts_offset_of(h, &r->local, r->port, &r->peer, r->peer_port);
	r->rcv_wnd = h->config.window;
	r->first_tsval = clock_ms(h) + r->ts_offset;
	r->sent_ns = now(h);
}

/* A request that nobody keeps; without a timestamp there is no room for options. */
static void answer_with_cookie(struct host *h, struct tcb *listener, const struct segment *syn)
{
	struct request r = {.local = syn->to,
			    .peer = syn->from,
			    .port = syn->to_port,
			    .peer_port = syn->from_port,
			    .device = listener->device,
			    .rcv_isn = syn->seq};

	read_options(h, &r, syn);
	r.has_sack = r.has_sack && r.has_ts;
	r.snt_isn = cookie_make(h, listener, syn);
	send_cookie_syn_ack(h, &r);
}

static void keep_request(struct host *h, struct tcb *listener, const struct segment *syn,
			 uint32_t isn)
{
	uint32_t i = request_new(h, syn, tcb_number(listener->sock));

	if (i == NIL) {
		drop(h);
		return;
	}
	struct request *r = &h->requests[i];
	read_options(h, r, syn);
	r->snt_isn = isn ? isn : isn_of(h, &r->local, r->port, &r->peer, r->peer_port);
	timer_set(h, &r->timer, i << 1 | 1, now(h) + RTO_INIT_NS);
	send_syn_ack(h, r);
}

/* Where tcp_tw_recycle has a say, the reserve is not asked. */
static bool is_welcome(struct host *h, const struct tcb *listener, const struct segment *syn)
{
	if (!recycle_asks(h, syn))
		return !is_reserved(h, listener);
	if (!recycle_refuses(h, syn))
		return true;
	count(h, COUNTER_PAWSPassive);
	return false;
}

/* isn: a TIME_WAIT let the SYN pass; the SYN queue is then not asked. */
static void listen_syn(struct host *h, struct tcb *listener, const struct segment *syn,
		       uint32_t isn)
{
	bool always = h->sysctls.syncookies == 2 && has(h, TCPWHY_P_COOKIES_ALWAYS);
	bool cookie = false;

	if (!isn && (always || syn_queue_full(h, listener))) {
		cookie = wants_cookie(h);
		if (!cookie) {
			drop(h);
			return;
		}
	}
	if (drops_for_accept_queue(h, listener)) {
		count(h, COUNTER_ListenOverflows);
		drop(h);
		return;
	}
	if (cookie)
		answer_with_cookie(h, listener, syn);
	else if (isn || is_welcome(h, listener, syn))
		keep_request(h, listener, syn, isn);
	else
		drop(h);
}

void listen_segment(struct host *h, struct tcb *listener, const struct segment *s, uint32_t isn)
{
	if (!(s->flags & SEGMENT_SYN) && cookie_segment(h, listener, s))
		return;
	if (s->flags & SEGMENT_ACK)
		send_reset_for(h, s);
	else if ((s->flags & (SEGMENT_SYN | SEGMENT_RST | SEGMENT_FIN)) == SEGMENT_SYN)
		listen_syn(h, listener, s, isn);
}

/* -------------------------------------------------------------------------------------- a child */

static void enqueue(struct host *h, struct tcb *listener, struct tcb *child)
{
	uint32_t n = tcb_number(child->sock);

	child->pending = true;
	child->parent = tcb_number(listener->sock);
	if (listener->accept_last == NIL)
		listener->accept_first = n;
	else
		tcb_at(h, listener->accept_last)->next = n;
	listener->accept_last = n;
	listener->accept_used++;
	ready(h, listener->sock);
}

static void start_child(struct host *h, struct tcb *child, const struct request *r)
{
	child->state = TCPWHY_SYN_RECV;
	child->local = r->local;
	child->peer = r->peer;
	child->port = r->port;
	child->peer_port = r->peer_port;
	child->snd_una = child->snd_nxt = child->write_seq = r->snt_isn + 1;
	child->rcv_nxt = child->rcv_wup = r->rcv_isn + 1;
	child->rcv_wnd = r->rcv_wnd;
	child->snd_wnd = child->max_window = r->snd_wnd;
	child->has_ts = r->has_ts;
	child->has_sack = r->has_sack;
	child->mss = r->mss;
	child->ts_offset = r->ts_offset;
	if (r->has_ts)
		ts_recent_set(h, child, r->ts_recent);
	child->sent_ns = r->sent_ns;
	child->snd_wl1 = r->rcv_isn;
	child->syn_again = r->timeouts || r->retransmits;
	if (!child->syn_again)
		rtt_sample(h, child, now(h) - r->sent_ns);
}

struct tcb *listen_child(struct host *h, struct tcb *listener, const struct request *r)
{
	struct tcpwhy_owner o;
	struct tcb *child;
	tcpwhy_sock s;

	if (accept_queue_full(listener)) {
		count(h, COUNTER_ListenOverflows);
		drop(h);
		return NULL;
	}
	if (tcpwhy_incoming(h->engine, listener->sock, &r->local, &r->peer, r->peer_port, &s) < 0) {
		drop(h);
		return NULL;
	}
	child = tcb_new(h, s);
	if (!child) {
		tcpwhy_reset_in(h->engine, s);
		drop(h);
		return NULL;
	}
	count(h, COUNTER_PassiveOpens);
	start_child(h, child, r);
	child->shut = listener->shut;
	child->linger0 = listener->linger0;
	child->linger2_s = listener->linger2_s;
	tcpwhy_timestamps(h->engine, s, r->has_ts);
	child->device = tcpwhy_get(h->engine, s, &o) == 0 ? o.device : 0;
	enqueue(h, listener, child);
	return child;
}
