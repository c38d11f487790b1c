/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include <errno.h>
#include <string.h>

/* Every packet between two ends of a script arrives through lo. */
enum { LOOPBACK = 1 };

static tcpwhy_sock find_other(const struct wire *w, const struct tcpwhy_owner *o)
{
	return tcpwhy_find_tuple(w->e, &o->peer, o->peer_port, &o->local, o->port, LOOPBACK);
}

/* Who of a client's peer address already has the 4-tuple when its SYN arrives: nobody, a TIME_WAIT
 * that a listener may take over, or a leftover that answers with an ACK and dies of the RST that
 * the ACK provokes. */
static void end_leftover(struct wire *w, const struct tcpwhy_owner *client, bool to_listener)
{
	struct tcpwhy_owner left;
	const tcpwhy_sock s = find_other(w, client);

	if (!s || tcpwhy_get(w->e, s, &left) || left.state == TCPWHY_SYN_SENT)
		return;
	/* tcpwhy_incoming() looks with the listener's device, the packet with the one it came
	 * through: a TIME_WAIT bound to lo is found by that only, and ends all the same */
	const bool taken_over =
		to_listener && left.timewait && left.state == TCPWHY_TIME_WAIT && !left.device;
	if (!taken_over)
		tcpwhy_reset_in(w->e, s);
}

static void deliver(struct wire *w, tcpwhy_sock sender, const struct tcpwhy_owner *from,
		    enum tcpwhy_sent sent);

/* sk_shutdown outlives the ENOTCONN of shutdown(), a listener's children inherit it, and act on it
 * when they leave SYN_RECV (tcp_rcv_state_process()). */
static void shut_child(struct wire *w, tcpwhy_sock child)
{
	struct tcpwhy_owner before;
	enum tcpwhy_sent sent = TCPWHY_SENT_NOTHING;

	if (tcpwhy_get(w->e, child, &before) || tcpwhy_shutdown(w->e, child, TCPWHY_SHUT_WR, &sent))
		return;
	deliver(w, child, &before, sent);
}

int wire_connected(struct wire *w, unsigned client, int listener)
{
	struct tcpwhy_owner c;
	tcpwhy_sock child;
	int rc = tcpwhy_get(w->e, w->socks[client], &c);

	if (rc)
		return rc;
	if (listener < 0)
		return tcpwhy_established(w->e, w->socks[client]);
	end_leftover(w, &c, true);
	rc = tcpwhy_established(w->e, w->socks[client]);
	if (!rc)
		rc = tcpwhy_incoming(w->e, w->socks[listener], &c.peer, &c.local, c.port, &child);
	if (rc)
		return rc;
	if (w->n_children == WIRE_CHILDREN)
		return -ENOSPC;
	w->children[w->n_children++] = (struct wire_child){
		.listener = (unsigned)listener,
		.child = child,
		.local = {c.peer, c.peer_port},
		.peer = {c.local, c.port},
	};
	if (w->shut_early[listener])
		shut_child(w, child);
	return 0;
}

int wire_refused(struct wire *w, unsigned client)
{
	struct tcpwhy_owner c;
	const int rc = tcpwhy_get(w->e, w->socks[client], &c);

	if (rc)
		return rc;
	end_leftover(w, &c, false);
	return tcpwhy_reset_in(w->e, w->socks[client]);
}

static void forget_child(struct wire *w, size_t i)
{
	w->n_children--;
	memmove(&w->children[i], &w->children[i + 1], (w->n_children - i) * sizeof(w->children[0]));
}

bool wire_accept(struct wire *w, unsigned listener, struct wire_child *child)
{
	for (size_t i = 0; i < w->n_children; i++) {
		if (w->children[i].listener != listener)
			continue;
		*child = w->children[i];
		forget_child(w, i);
		return true;
	}
	return false;
}

static void deliver_rst(struct wire *w, const struct tcpwhy_owner *from)
{
	const tcpwhy_sock other = find_other(w, from);

	if (other)
		tcpwhy_reset_in(w->e, other);
}

/* A FIN to nobody is answered with a RST; else it is taken and acknowledged. */
static void deliver_fin(struct wire *w, tcpwhy_sock sender, const struct tcpwhy_owner *from)
{
	const tcpwhy_sock other = find_other(w, from);

	if (!other) {
		tcpwhy_reset_in(w->e, sender);
		return;
	}
	tcpwhy_fin_in(w->e, other);
	enum tcpwhy_sent sent;
	if (!tcpwhy_fin_acked(w->e, sender, &sent) && sent == TCPWHY_SENT_RST)
		tcpwhy_reset_in(w->e, other);
}

static void deliver(struct wire *w, tcpwhy_sock sender, const struct tcpwhy_owner *from,
		    enum tcpwhy_sent sent)
{
	switch (sent) {
	case TCPWHY_SENT_NOTHING:
		break;
	case TCPWHY_SENT_FIN:
		if (from->state != TCPWHY_SYN_SENT)
			deliver_fin(w, sender, from);
		break;
	case TCPWHY_SENT_RST:
		deliver_rst(w, from);
		break;
	}
}

/* A listener that ends resets whoever waits in its queue (inet_csk_listen_stop()). */
static void end_children(struct wire *w, unsigned listener, const struct tcpwhy_owner *alive,
			 size_t n)
{
	struct tcpwhy_owner after;
	struct wire_child dropped;

	if (!tcpwhy_get(w->e, w->socks[listener], &after) && after.state == TCPWHY_LISTEN)
		return;
	for (size_t i = 0; i < n; i++)
		if (alive[i].port)
			deliver_rst(w, &alive[i]);
	while (wire_accept(w, listener, &dropped))
		;
}

/* What the children of a listener are before it ends; port 0 for one that was reset already. */
static size_t list_children(const struct wire *w, unsigned listener, struct tcpwhy_owner *alive)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n_children; i++) {
		if (w->children[i].listener != listener)
			continue;
		if (tcpwhy_get(w->e, w->children[i].child, &alive[n]) ||
		    alive[n].state == TCPWHY_CLOSE)
			alive[n].port = 0;
		n++;
	}
	return n;
}

static int end(struct wire *w, unsigned sock, bool closes, enum tcpwhy_how how)
{
	struct tcpwhy_owner before = {0}, waiting[WIRE_CHILDREN];
	enum tcpwhy_sent sent = TCPWHY_SENT_NOTHING;
	const tcpwhy_sock s = w->socks[sock];
	const bool known = !tcpwhy_get(w->e, s, &before);
	const size_t n = list_children(w, sock, waiting);

	const int rc = closes ? tcpwhy_close(w->e, s, &sent) : tcpwhy_shutdown(w->e, s, how, &sent);
	if (known)
		deliver(w, s, &before, sent);
	if (!closes && rc == ENOTCONN && how != TCPWHY_SHUT_RD)
		w->shut_early[sock] = true;
	if (n)
		end_children(w, sock, waiting, n);
	return rc;
}

int wire_shutdown(struct wire *w, unsigned sock, enum tcpwhy_how how)
{
	return end(w, sock, false, how);
}

int wire_close(struct wire *w, unsigned sock)
{
	struct wire_child dropped;
	const int rc = end(w, sock, true, TCPWHY_SHUT_RDWR);

	while (wire_accept(w, sock, &dropped))
		;
	w->socks[sock] = 0;
	w->shut_early[sock] = false;
	return rc;
}
