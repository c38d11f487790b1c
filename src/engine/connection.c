/* SPDX-License-Identifier: MIT
 *
 * From the handshake to the last FIN, as far as it changes who owns what
 *
 * The caller says what arrives; segments, timers of retransmission and queues are not known here.
 * tcp_set_state(), tcp_done(), tcp_fin(), tcp_close(), tcp_shutdown(), inet_csk_clone_lock(),
 * __inet_inherit_port().
 */
#include <errno.h>
#include <string.h>

#include "engine/state.h"

void sock_done(struct tcpwhy_engine *e, uint32_t i)
{
	struct sock *s = sock_at(e, i);

	if (s->state == TCPWHY_LISTEN)
		s->reuseport_cb = false;
	s->state = TCPWHY_CLOSE;
	tuple_remove(e, i);
	deadline_clear(e, i);
	/* A port that bind(0), listen() or connect() chose goes now, one that was asked for stays
	 * until close(). */
	if (s->bucket2 != NIL && (!s->port_lock || s->orphan))
		owner_remove(e, i);
	if (s->orphan)
		sock_drop(e, i);
}

int tcpwhy_established(struct tcpwhy_engine *e, tcpwhy_sock handle)
{
	uint32_t i;
	struct sock *s = sock_live(e, handle, &i);

	if (!s)
		return -EBADF;
	if (s->state != TCPWHY_SYN_SENT)
		return -EINVAL;
	s->state = TCPWHY_ESTABLISHED;
	s->connected = true;
	return 0;
}

int tcpwhy_timestamps(struct tcpwhy_engine *e, tcpwhy_sock handle, bool both_use_them)
{
	uint32_t i;
	struct sock *s = sock_live(e, handle, &i);

	if (!s || s->timewait)
		return -EBADF;
	s->timestamps = both_use_them;
	s->timestamps_unknown = false;
	return 0;
}

/* What a child takes from its listener (inet_csk_clone_lock()): not the port lock, not the
 * reuseport group. */
static void clone_listener(const struct tcpwhy_engine *e, struct sock *child,
			   const struct sock *listener)
{
	uint32_t generation = child->generation;

	*child = *listener;
	child->generation = generation;
	child->bucket2 = child->owner_next = child->owner_prev = child->tuple_next = NIL;
	child->state = TCPWHY_ESTABLISHED;
	child->port_lock = child->reuseport_cb = child->connected = false;
	child->outgoing = child->outgoing_unknown = false;
	child->pending = true;
	child->timestamps = e->sysctls.timestamps != 0;
	child->range = 0;
}

/* The 4-tuple must be free; a TIME_WAIT there has let the SYN pass and ends. */
static int make_way(struct tcpwhy_engine *e, const struct tuple *t)
{
	uint32_t i = tuple_find(e, t);

	if (i == NIL)
		return 0;
	if (!sock_at(e, i)->timewait)
		return -EEXIST;
	timewait_kill(e, i);
	return 0;
}

static int add_child(struct tcpwhy_engine *e, uint32_t child, uint32_t b, const struct tuple *t)
{
	struct sock *s = sock_at(e, child);

	sock_set_local(s, t->local);
	sock_set_peer(s, t->peer, t->peer_port);
	uint32_t b2 = bucket2_need(e, b, t->local);
	if (b2 == NIL) {
		sock_drop(e, child);
		return -ENOMEM;
	}
	owner_add(e, child, b2);
	if (!tuple_add(e, child)) {
		owner_remove(e, child);
		sock_drop(e, child);
		return -ENOMEM;
	}
	return 0;
}

int tcpwhy_incoming(struct tcpwhy_engine *e, tcpwhy_sock listener, const struct tcpwhy_addr *local,
		    const struct tcpwhy_addr *peer, uint16_t peer_port, tcpwhy_sock *child)
{
	uint32_t l;
	struct sock *s = sock_live(e, listener, &l);
	struct tuple t = {.peer_port = peer_port};

	if (!s)
		return -EBADF;
	if (s->state != TCPWHY_LISTEN)
		return -EINVAL;
	t.port = s->port;
	t.device = s->device;
	t.l3mdev = device_l3mdev(e, s->device);
	if (!tuples_ready(e) || !ref_of(e, local, &t.local) || !ref_of(e, peer, &t.peer))
		return -ENOMEM;
	int error = make_way(e, &t);
	if (error)
		return error;
	uint32_t i = sock_new(e);
	if (i == NIL)
		return -ENOMEM;
	s = sock_at(e, l);
	clone_listener(e, sock_at(e, i), s);
	sock_at(e, i)->parent = l;
	error = add_child(e, i, bucket2_at(e, s->bucket2)->bucket, &t);
	if (!error && child)
		*child = sock_handle(e, i);
	return error;
}

int tcpwhy_accepted(struct tcpwhy_engine *e, tcpwhy_sock handle, uint32_t uid)
{
	uint32_t i;
	struct sock *s = sock_live(e, handle, &i);

	if (!s)
		return -EBADF;
	if (!s->pending)
		return -EINVAL;
	s->pending = false;
	s->parent = 0;
	s->connected = true;
	s->uid = uid; /* sock_graft(): the inode that accept() made */
	return 0;
}

int tcpwhy_fin_in(struct tcpwhy_engine *e, tcpwhy_sock handle)
{
	uint32_t i;
	struct sock *s = sock_live(e, handle, &i);

	if (!s)
		return -EBADF;
	if (s->timewait)
		return timewait_enter(e, i) ? 0 : -ENOMEM;
	switch ((enum tcpwhy_state)s->state) {
	case TCPWHY_ESTABLISHED:
		s->state = TCPWHY_CLOSE_WAIT;
		return 0;
	case TCPWHY_FIN_WAIT1:
		s->state = TCPWHY_CLOSING;
		return 0;
	case TCPWHY_FIN_WAIT2:
		timewait_park(e, i, TCPWHY_TIME_WAIT, TIMEWAIT_NS);
		return 0;
	case TCPWHY_SYN_SENT:
	case TCPWHY_SYN_RECV:
	case TCPWHY_TIME_WAIT:
	case TCPWHY_CLOSE:
	case TCPWHY_CLOSE_WAIT:
	case TCPWHY_LAST_ACK:
	case TCPWHY_LISTEN:
	case TCPWHY_CLOSING:
	case TCPWHY_BOUND:
		break;
	}
	return -EINVAL;
}

int tcpwhy_fin_acked(struct tcpwhy_engine *e, tcpwhy_sock handle, enum tcpwhy_sent *sent)
{
	uint32_t i;
	struct sock *s = sock_live(e, handle, &i);

	if (!s)
		return -EBADF;
	if (sent)
		*sent = s->orphan && s->linger2_off && s->state == TCPWHY_FIN_WAIT1
				? TCPWHY_SENT_RST
				: TCPWHY_SENT_NOTHING;
	if (s->state == TCPWHY_FIN_WAIT1) {
		s->state = TCPWHY_FIN_WAIT2;
		if (s->orphan)
			orphan_wait(e, i);
	} else if (s->state == TCPWHY_CLOSING) {
		timewait_park(e, i, TCPWHY_TIME_WAIT, TIMEWAIT_NS);
	} else if (s->state == TCPWHY_LAST_ACK) {
		sock_done(e, i);
	} else {
		return -EINVAL;
	}
	return 0;
}

int tcpwhy_reset_in(struct tcpwhy_engine *e, tcpwhy_sock handle)
{
	uint32_t i;
	struct sock *s = sock_live(e, handle, &i);

	if (!s)
		return -EBADF;
	if (s->timewait) {
		timewait_kill(e, i);
		return 0;
	}
	if (s->state == TCPWHY_CLOSE || s->state == TCPWHY_LISTEN)
		return -EINVAL;
	if (s->state == TCPWHY_SYN_SENT && !s->orphan)
		sock_disconnect(e, i);
	else
		sock_done(e, i);
	return 0;
}

void reset_pending(struct tcpwhy_engine *e, uint32_t listener)
{
	for (uint32_t i = 0; i < e->socks.used; i++) {
		struct sock *s = sock_at(e, i);
		if (!s->state || !s->pending || s->parent != listener)
			continue;
		s->pending = false;
		s->orphan = true;
		sock_done(e, i);
	}
}

/* tcp_close_state(): the next state, and whether a FIN goes out. */
static enum tcpwhy_sent send_fin(struct sock *s)
{
	if (s->state == TCPWHY_ESTABLISHED)
		s->state = TCPWHY_FIN_WAIT1;
	else if (s->state == TCPWHY_CLOSE_WAIT)
		s->state = TCPWHY_LAST_ACK;
	else
		return TCPWHY_SENT_NOTHING;
	return TCPWHY_SENT_FIN;
}

int tcpwhy_shutdown(struct tcpwhy_engine *e, tcpwhy_sock handle, enum tcpwhy_how how,
		    enum tcpwhy_sent *sent)
{
	enum tcpwhy_sent unseen;
	uint32_t i;
	struct sock *s = sock_live(e, handle, &i);

	if (!s || s->orphan || s->timewait)
		return -EBADF;
	sent = sent ? sent : &unseen;
	*sent = TCPWHY_SENT_NOTHING;
	if (s->state == TCPWHY_CLOSE)
		return ENOTCONN;
	if (s->state == TCPWHY_SYN_SENT || (s->state == TCPWHY_LISTEN && how != TCPWHY_SHUT_WR)) {
		if (s->state == TCPWHY_LISTEN) {
			*sent = TCPWHY_SENT_RST;
			reset_pending(e, i);
		}
		sock_disconnect(e, i);
	} else if (how != TCPWHY_SHUT_RD) {
		*sent = send_fin(s);
	}
	return 0;
}

static bool is_synchronised(uint8_t state)
{
	return state != TCPWHY_CLOSE && state != TCPWHY_LISTEN && state != TCPWHY_SYN_SENT;
}

int tcpwhy_close(struct tcpwhy_engine *e, tcpwhy_sock handle, enum tcpwhy_sent *sent)
{
	enum tcpwhy_sent unseen;
	uint32_t i;
	struct sock *s = sock_live(e, handle, &i);

	if (!s || s->orphan || s->timewait || s->pending)
		return -EBADF;
	sent = sent ? sent : &unseen;
	*sent = TCPWHY_SENT_NOTHING;
	if (s->hashed) {
		tuple_prefetch(e, s, s->port);
		owner_prefetch(e, s);
	}
	s->orphan = true;
	if (s->state == TCPWHY_LISTEN) {
		*sent = TCPWHY_SENT_RST;
		reset_pending(e, i);
	}
	if (!is_synchronised(s->state)) {
		sock_done(e, i);
	} else if (s->linger0) {
		*sent = TCPWHY_SENT_RST;
		sock_done(e, i);
	} else if (s->state == TCPWHY_FIN_WAIT2) {
		*sent = s->linger2_off ? TCPWHY_SENT_RST : TCPWHY_SENT_NOTHING;
		orphan_wait(e, i);
	} else {
		*sent = send_fin(s);
	}
	return 0;
}
