/* SPDX-License-Identifier: MIT
 *
 * The socket calls, as a non-blocking application sees them
 *
 * __inet_stream_connect(), inet_listen(), inet_csk_accept(), tcp_sendmsg(), tcp_recvmsg(),
 * inet_shutdown(), tcp_close().
 */
#include <errno.h>

#include "base/address.h"
#include "segment/state.h"

/* The record of a socket that a process holds. */
static struct tcb *held(const struct host *h, tcpwhy_sock s)
{
	struct tcb *t = tcb_of(h, s);

	return t && !t->mini && !t->orphan && !t->pending ? t : NULL;
}

static struct tcpwhy_choice choice_of(const struct host *h)
{
	return (struct tcpwhy_choice){
		.draw = h->config.draw, .ctx = h->config.ctx, .perturb = h->config.perturb};
}

int host_socket(struct host *h, enum tcpwhy_family family, uint32_t uid, tcpwhy_sock *out)
{
	tcpwhy_sock s;
	enum tcpwhy_sent sent;
	int error = tcpwhy_socket(h->engine, family, uid, true, &s);

	if (error)
		return error;
	if (!tcb_new(h, s)) {
		tcpwhy_close(h->engine, s, &sent);
		return -ENOMEM;
	}
	*out = s;
	return 0;
}

int host_setsockopt(struct host *h, tcpwhy_sock s, enum tcpwhy_option option, uint64_t value)
{
	struct tcb *t = held(h, s);
	int error;

	if (!t)
		return -EBADF;
	error = tcpwhy_setsockopt(h->engine, s, option, value);
	if (error)
		return error < 0 ? error : -error;
	if (option == TCPWHY_SO_LINGER0)
		t->linger0 = value;
	else if (option == TCPWHY_SO_BINDTODEVICE)
		t->device = (uint32_t)value;
	else if (option == TCPWHY_TCP_LINGER2 && (int64_t)value < 0)
		t->linger2_s = -1;
	else if (option == TCPWHY_TCP_LINGER2)
		t->linger2_s = (int16_t)(value < 120 ? value : 120); /* TCP_FIN_TIMEOUT_MAX */
	return 0;
}

int host_bind(struct host *h, tcpwhy_sock s, const struct tcpwhy_addr *addr, uint16_t port,
	      struct tcpwhy_verdict *v)
{
	struct tcpwhy_choice choice = choice_of(h);
	struct tcpwhy_verdict own;

	if (!held(h, s))
		return -EBADF;
	v = v ? v : &own;
	int error = tcpwhy_bind(h->engine, s, addr, port, &choice, v);
	return error ? error : -v->error;
}

/* nr_table_entries before 4.4: the power of two above the backlog, and at least 8. */
static uint32_t queue_limit(const struct host *h, uint32_t backlog)
{
	uint32_t most = h->sysctls.max_syn_backlog, limit = 1;
	uint32_t want = backlog < most ? backlog : most;

	want = want > 8 ? want : 8;
	while (limit < want + 1 && limit < 1u << 30)
		limit <<= 1;
	return limit;
}

int host_listen(struct host *h, tcpwhy_sock s, int backlog, struct tcpwhy_verdict *v)
{
	struct tcpwhy_choice choice = choice_of(h);
	struct tcb *t = held(h, s);
	struct tcpwhy_verdict own;
	struct tcpwhy_owner o;

	if (!t)
		return -EBADF;
	if (t->socket_state != UNCONNECTED)
		return -EINVAL; /* also after a connect() whose end nobody has asked for */
	v = v ? v : &own;
	int error = tcpwhy_listen(h->engine, s, &choice, v);
	if (error || v->error)
		return error ? error : -v->error;
	/* A negative backlog is a very large one. */
	t->backlog =
		(uint32_t)backlog < h->sysctls.somaxconn ? (uint32_t)backlog : h->sysctls.somaxconn;
	if (t->state == TCPWHY_LISTEN)
		return 0;
	must(tcpwhy_get(h->engine, s, &o) == 0);
	t->state = TCPWHY_LISTEN;
	t->port = o.port;
	t->queue_limit = queue_limit(h, t->backlog);
	listener_add(h, t);
	return 0;
}

/* ------------------------------------------------------------------------------------- connect */

/* A port whose TIME_WAIT was taken over: the new connection goes on where the old one ended. */
static void succeed(struct host *h, struct tcb *t, tcpwhy_sock old)
{
	struct tcb *m = tcb_was(h, old);

	count(h, COUNTER_TWRecycled);
	if (!m || !m->mini)
		return; /* one that was seen, not made here */
	t->snd_una = m->snd_nxt + 65535 + 2;
	t->snd_una += !t->snd_una;
	t->ts_recent = m->ts_recent;
	t->ts_recent_ns = m->ts_recent_ns;
	timer_clear(h, &m->timer);
	m->sock = 0;
}

/* What an earlier attempt of the same socket left behind goes. */
static void start_over(struct tcb *t, tcpwhy_sock s)
{
	*t = (struct tcb){
		.sock = s,
		.shut = t->shut, /* a shutdown() that gave ENOTCONN is remembered */
		.linger0 = t->linger0,
		.linger2_s = t->linger2_s,
		.rto_ns = RTO_INIT_NS,
		.sampled_rto_ns = RTO_INIT_NS,
		.accept_first = NIL,
		.accept_last = NIL,
		.parent = NIL,
		.next = NIL,
	};
}

static void start_connect(struct host *h, struct tcb *t, tcpwhy_sock taken_over)
{
	struct tcpwhy_owner o;

	ahead_forget(h, t);
	start_over(t, t->sock);
	must(tcpwhy_get(h->engine, t->sock, &o) == 0);
	t->local = o.local;
	t->port = o.port;
	t->peer = o.peer;
	t->peer_port = o.peer_port;
	t->device = o.device;
	t->state = TCPWHY_SYN_SENT;
	t->socket_state = CONNECTING;
	t->ts_offset = ts_offset_of(h, &t->local, t->port, &t->peer, t->peer_port);
	t->snd_una = isn_of(h, &t->local, t->port, &t->peer, t->peer_port);
	if (taken_over)
		succeed(h, t, taken_over);
	else
		recycle_inherit(h, t);
	t->snd_nxt = t->write_seq = t->snd_una + 1;
	flight_add(t, t->snd_nxt);
	t->syn_out = true;
	t->first_tsval = clock_ms(h) + t->ts_offset;
	t->sent_ns = now(h);
	count(h, COUNTER_ActiveOpens);
	send_syn(h, t);
	retransmit_start(h, t);
}

/* The call after the one that sent the SYN: how that ended. */
static int connect_again(struct host *h, struct tcb *t)
{
	if (t->state == TCPWHY_SYN_SENT || t->state == TCPWHY_SYN_RECV)
		return -EALREADY;
	if (t->state != TCPWHY_CLOSE) {
		t->socket_state = CONNECTED;
		return 0;
	}
	int error = t->error ? t->error : ECONNABORTED;
	t->error = 0;
	tcpwhy_disconnect(h->engine, t->sock);
	t->socket_state = UNCONNECTED;
	t->shut = 0;
	t->unread = 0;
	t->done = t->fin_unread = false;
	return -error;
}

/* A request of a listener that is gone has its 4-tuple still (__inet_check_established()). Only a
 * bound socket can meet it: connect() chooses no port that a listener has, and a port that nobody
 * has is taken without a look. The port, or 0. */
static uint16_t met_request(const struct host *h, tcpwhy_sock s, const struct tcpwhy_addr *peer,
			    uint16_t peer_port, const struct tcpwhy_addr *source)
{
	struct tcpwhy_owner o;

	if (!h->requests_used || tcpwhy_get(h->engine, s, &o) || !o.port)
		return 0;
	const struct tcpwhy_addr *local = address_is_any(&o.local) ? source : &o.local;
	return request_find_tuple(h, local, o.port, peer, peer_port) == NIL ? 0 : o.port;
}

int host_connect(struct host *h, tcpwhy_sock s, const struct tcpwhy_addr *peer, uint16_t peer_port,
		 const struct tcpwhy_addr *source, struct tcpwhy_verdict *v)
{
	struct tcpwhy_choice choice = choice_of(h);
	struct tcb *t = held(h, s);
	struct tcpwhy_verdict own;

	if (!t)
		return -EBADF;
	if (t->socket_state == CONNECTED)
		return -EISCONN;
	if (t->socket_state == CONNECTING)
		return connect_again(h, t);
	if (t->socket_state == DISCONNECTING)
		return -EINVAL;
	v = v ? v : &own;
	uint16_t met = t->state == TCPWHY_CLOSE ? met_request(h, s, peer, peer_port, source) : 0;
	if (met) {
		*v = (struct tcpwhy_verdict){.error = EADDRNOTAVAIL,
					     .at = TCPWHY_CALL_CONNECT,
					     .answer = TCPWHY_REFUSED,
					     .rule = TCPWHY_RULE_CONNECT_TUPLE_TAKEN,
					     .port = met};
		return -EADDRNOTAVAIL;
	}
	int error = tcpwhy_connect(h->engine, s, peer, peer_port, source, &choice, v);
	if (error || v->error)
		return error ? error : -v->error;
	start_connect(h, t, v->first);
	return -EINPROGRESS;
}

/* -------------------------------------------------------------------------------------- accept */

static struct tcb *dequeue(struct host *h, struct tcb *listener)
{
	struct tcb *child = tcb_at(h, listener->accept_first);

	listener->accept_first = child->next;
	if (child->next == NIL)
		listener->accept_last = NIL;
	listener->accept_used--;
	child->next = child->parent = NIL;
	child->pending = false;
	return child;
}

int host_accept(struct host *h, tcpwhy_sock listener, uint32_t uid, tcpwhy_sock *out)
{
	struct tcb *t = held(h, listener);

	if (!t)
		return -EBADF;
	if (t->state != TCPWHY_LISTEN)
		return -EINVAL;
	if (!t->accept_used)
		return -EAGAIN;
	struct tcb *child = dequeue(h, t);
	tcpwhy_accepted(h->engine, child->sock, uid);
	child->socket_state = CONNECTED;
	*out = child->sock;
	return 0;
}

/* ------------------------------------------------------------------------------- send and recv */

static int take_error(struct tcb *t)
{
	int error = t->error;

	t->error = 0;
	return error;
}

/* Of the send buffer's limits one is kept: sequence numbers must stay comparable. */
#define SEND_MOST (UINT32_C(1) << 30)

int64_t host_send(struct host *h, tcpwhy_sock s, uint32_t bytes)
{
	struct tcb *t = held(h, s);
	int error;

	if (!t)
		return -EBADF;
	if (t->state == TCPWHY_SYN_SENT || t->state == TCPWHY_SYN_RECV) {
		error = take_error(t);
		return error ? -error : -EAGAIN;
	}
	if ((t->state != TCPWHY_ESTABLISHED && t->state != TCPWHY_CLOSE_WAIT) || t->error ||
	    t->shut & SHUT_SEND) {
		error = take_error(t);
		return error ? -error : -EPIPE;
	}
	uint32_t room = SEND_MOST - (t->write_seq - t->snd_una);
	if (bytes && !room)
		return -EAGAIN;
	bytes = bytes < room ? bytes : room;
	t->write_seq += bytes;
	send_waiting(h, t);
	return bytes;
}

int64_t host_recv(struct host *h, tcpwhy_sock s, uint32_t max_bytes)
{
	struct tcb *t = held(h, s);

	if (!t)
		return -EBADF;
	if (t->state == TCPWHY_LISTEN)
		return -ENOTCONN;
	if (t->unread) {
		uint32_t bytes = t->unread < max_bytes ? t->unread : max_bytes;
		t->unread -= bytes;
		if (!t->unread)
			t->fin_unread = false;
		return bytes;
	}
	t->fin_unread = false;
	if (t->done)
		return 0;
	if (t->error)
		return -take_error(t);
	if (t->shut & SHUT_RECEIVE)
		return 0;
	return t->state == TCPWHY_CLOSE ? -ENOTCONN : -EAGAIN;
}

int host_error(struct host *h, tcpwhy_sock s)
{
	struct tcb *t = held(h, s);

	if (!t)
		return -EBADF;
	const int error = take_error(t);
	if (error)
		return error;
	const int soft = t->soft_error;
	t->soft_error = 0;
	return soft;
}

bool host_has_peer(const struct host *h, tcpwhy_sock s)
{
	const struct tcb *t = held(h, s);

	return t && t->peer_port && t->state != TCPWHY_CLOSE && t->state != TCPWHY_SYN_SENT &&
	       t->state != TCPWHY_LISTEN;
}

/* ------------------------------------------------------------------------- shutdown and close */

static void queue_fin(struct host *h, struct tcb *t)
{
	t->fin_queued = true;
	t->write_seq++;
	t->shut |= SHUT_SEND;
	send_waiting(h, t);
}

/* tcp_need_reset(): the other side has to be told. */
static bool needs_reset(const struct tcb *t)
{
	switch ((enum tcpwhy_state)t->state) {
	case TCPWHY_ESTABLISHED:
	case TCPWHY_CLOSE_WAIT:
	case TCPWHY_FIN_WAIT1:
	case TCPWHY_FIN_WAIT2:
	case TCPWHY_SYN_RECV:
		return true;
	case TCPWHY_CLOSING:
	case TCPWHY_LAST_ACK:
		return t->snd_nxt != t->write_seq;
	case TCPWHY_SYN_SENT:
	case TCPWHY_TIME_WAIT:
	case TCPWHY_CLOSE:
	case TCPWHY_LISTEN:
	case TCPWHY_BOUND:
		break;
	}
	return false;
}

/* tcp_set_state(TCP_CLOSE) without tcp_done(). */
static void count_abort(struct host *h, const struct tcb *t)
{
	if (t->state == TCPWHY_ESTABLISHED || t->state == TCPWHY_CLOSE_WAIT)
		count(h, COUNTER_EstabResets);
}

/* What nobody accepted is reset (inet_csk_listen_stop()), what was not complete is forgotten. The
 * engine does the same of its own. */
static void stop_listening(struct host *h, struct tcb *t)
{
	while (t->accept_used) {
		struct tcb *child = dequeue(h, t);
		if (needs_reset(child)) {
			count_abort(h, child);
			send_active_reset(h, child);
		}
		retransmit_stop(h, child);
		child->sock = 0;
	}
	for (uint32_t i = 0; i < h->requests_used && t->requests; i++)
		if (h->requests[i].listener == tcb_number(t->sock))
			request_orphan(h, i);
	listener_remove(h, t);
	t->state = TCPWHY_CLOSE;
}

/* tcp_disconnect(): back to a socket that can be used again. */
static void disconnect(struct host *h, struct tcb *t)
{
	bool listening = t->state == TCPWHY_LISTEN;

	if (listening)
		stop_listening(h, t);
	retransmit_stop(h, t);
	t->state = TCPWHY_CLOSE;
	t->socket_state = UNCONNECTED;
	t->shut = 0;
	if (!listening)
		t->error = ECONNRESET;
}

static uint8_t shut_by(enum tcpwhy_how how)
{
	return how == TCPWHY_SHUT_RD   ? SHUT_RECEIVE
	       : how == TCPWHY_SHUT_WR ? SHUT_SEND
				       : SHUT_RECEIVE | SHUT_SEND;
}

static bool is_connected(const struct tcb *t)
{
	return t->state != TCPWHY_SYN_SENT && t->state != TCPWHY_SYN_RECV &&
	       t->state != TCPWHY_CLOSE;
}

void end_sending(struct host *h, struct tcb *t)
{
	enum tcpwhy_sent sent;

	must(tcpwhy_shutdown(h->engine, t->sock, TCPWHY_SHUT_WR, &sent) == 0);
	if (t->state == TCPWHY_ESTABLISHED)
		t->state = TCPWHY_FIN_WAIT1;
	else if (t->state == TCPWHY_CLOSE_WAIT)
		t->state = TCPWHY_LAST_ACK;
	else
		return;
	queue_fin(h, t);
}

/* In CLOSE it is refused and remembered all the same. In SYN_RECV the FIN waits for the end of
 * the handshake. */
int host_shutdown(struct host *h, tcpwhy_sock s, enum tcpwhy_how how)
{
	struct tcb *t = held(h, s);
	enum tcpwhy_sent sent;

	if (!t)
		return -EBADF;
	if (t->socket_state == CONNECTING)
		t->socket_state = is_connected(t) ? CONNECTED : DISCONNECTING;
	if (t->state == TCPWHY_SYN_SENT || (t->state == TCPWHY_LISTEN && how != TCPWHY_SHUT_WR)) {
		disconnect(h, t);
		return -tcpwhy_shutdown(h->engine, s, how, &sent);
	}
	if (t->state == TCPWHY_LISTEN)
		return 0;
	t->shut |= shut_by(how);
	if (t->state == TCPWHY_CLOSE)
		return -ENOTCONN;
	if (t->state == TCPWHY_SYN_RECV || how == TCPWHY_SHUT_RD)
		return 0;
	end_sending(h, t);
	return 0;
}

/* The connection ends here, with a RST where the other side must know. */
static void close_at_once(struct host *h, struct tcb *t, bool reset)
{
	enum tcpwhy_sent sent;

	count_abort(h, t);
	if (reset)
		send_active_reset(h, t);
	retransmit_stop(h, t);
	tcpwhy_setsockopt(h->engine, t->sock, TCPWHY_SO_LINGER0, 1);
	tcpwhy_close(h->engine, t->sock, &sent);
	t->sock = 0;
}

static bool is_synchronised(const struct tcb *t)
{
	return t->state != TCPWHY_CLOSE && t->state != TCPWHY_LISTEN && t->state != TCPWHY_SYN_SENT;
}

/* What is left is an orphan's, which closes in order. */
static void close_in_order(struct host *h, struct tcb *t)
{
	enum tcpwhy_sent sent;
	uint8_t state = t->state;

	tcpwhy_close(h->engine, t->sock, &sent);
	t->orphan = true;
	t->fin_unread = false; /* close() empties the receive queue */
	t->shut = SHUT_RECEIVE | SHUT_SEND;
	if (state == TCPWHY_ESTABLISHED || state == TCPWHY_SYN_RECV) {
		t->state = TCPWHY_FIN_WAIT1;
		queue_fin(h, t);
	} else if (state == TCPWHY_CLOSE_WAIT) {
		t->state = TCPWHY_LAST_ACK;
		queue_fin(h, t);
	} else if (state == TCPWHY_FIN_WAIT2) {
		mini_take(h, t);
	}
}

int host_close(struct host *h, tcpwhy_sock s)
{
	struct tcb *t = held(h, s);

	if (!t)
		return -EBADF;
	if (t->state == TCPWHY_LISTEN)
		stop_listening(h, t);
	if (!is_synchronised(t)) {
		if (t->linger0 && t->state == TCPWHY_SYN_SENT)
			count(h, COUNTER_TCPAbortOnData);
		close_at_once(h, t, false);
	} else if (t->unread) {
		count(h, COUNTER_TCPAbortOnClose);
		close_at_once(h, t, true);
	} else if (t->linger0) {
		count(h, COUNTER_TCPAbortOnData);
		close_at_once(h, t, needs_reset(t));
	} else if (t->state == TCPWHY_FIN_WAIT2 && t->linger2_s < 0) {
		count(h, COUNTER_TCPAbortOnLinger);
		close_at_once(h, t, true);
	} else {
		close_in_order(h, t);
	}
	return 0;
}

/* ------------------------------------------------------------------------------------- destroy */

static void abort_socket(struct host *h, struct tcb *t)
{
	if (t->mini) {
		mini_end(h, t);
		return;
	}
	if (needs_reset(t))
		send_active_reset(h, t);
	tcb_done(h, t, ECONNABORTED);
}

/* tcp_abort(). */
int host_destroy(struct host *h, const struct tcpwhy_addr *local, uint16_t port,
		 const struct tcpwhy_addr *peer, uint16_t peer_port)
{
	tcpwhy_sock s = tcpwhy_find_tuple(h->engine, local, port, peer, peer_port, 0);
	struct tcb *t = s ? tcb_of(h, s) : NULL;
	uint32_t request = t ? NIL : request_find_tuple(h, local, port, peer, peer_port);

	if (t) {
		abort_socket(h, t);
		ready(h, s);
	} else if (request != NIL) {
		request_drop(h, request);
	} else {
		return -ENOENT;
	}
	return 0;
}
