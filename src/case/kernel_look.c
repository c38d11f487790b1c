/* SPDX-License-Identifier: MIT
 *
 * Sockets as the kernel shows them: those that a process holds, and those that nobody does
 *
 * A 4-tuple is asked for exactly (microseconds); only for what has none, and for the requests of a
 * listener, the host's sockets are listed (milliseconds).
 */
#include "case/kernel_state.h"

#include "base/assert.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

static bool is_request(const struct diag_sock *d)
{
	return d->state == TCPWHY_SYN_RECV && !d->inode;
}

/* The kernel's number counts a FIN that nobody has read yet. */
static uint32_t unread_of(const struct diag_sock *d)
{
	const bool has_fin = d->state == TCPWHY_CLOSE_WAIT || d->state == TCPWHY_LAST_ACK ||
			     d->state == TCPWHY_CLOSING;

	return d->state == TCPWHY_LISTEN ? 0 : d->rqueue - (has_fin && d->rqueue);
}

static void show(struct kernel_stage *k, const struct diag_sock *d, struct stage_sock *out)
{
	const bool listens = d->state == TCPWHY_LISTEN;
	const int sock = kernel_sock_of_inode(k, d->inode);

	*out = (struct stage_sock){
		.sock = sock,
		.local = d->local.addr,
		.port = d->local.port,
		.family = d->family,
		.state = d->state,
		.timewait = d->timewait,
		.request = is_request(d),
		.timer = d->timer,
		.expires_ns = d->timer ? (uint64_t)d->expires_ms * 1000000 : 0,
		.retransmits = d->retransmits,
		.unread = unread_of(d),
		.unacked = listens ? 0 : d->wqueue,
		.accept_queue = listens ? d->rqueue : 0,
		.backlog = listens ? d->wqueue : 0,
		.uid = sock >= 0 ? d->uid : 0,
		.device = d->device,
	};
	if (!listens && d->state != TCPWHY_BOUND) {
		out->peer = d->peer.addr;
		out->peer_port = d->peer.port;
	}
	kernel_numbers(k, out);
}

/* ------------------------------------------------------------------------------------------- lists
 */

struct listing {
	struct diag_sock *socks;
	size_t n;
};

/* Retries until all fit. Free socks. */
static int list_all(struct kernel_stage *k, int host, struct listing *l, struct err *err)
{
	size_t room = 256;

	for (;;) {
		l->socks = malloc(room * sizeof(*l->socks));
		if (!l->socks)
			return kernel_fail(err, -ENOMEM, "the sockets of a host");
		const int rc = stage_kernel_socks(k->scene, host, l->socks, room, &l->n, err);
		if (!rc && l->n <= room)
			return 0;
		free(l->socks);
		if (rc)
			return rc;
		room = l->n + l->n / 4;
	}
}

static uint32_t requests_of(const struct listing *l, const struct tcpwhy_addr *local, uint16_t port)
{
	uint32_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += is_request(&l->socks[i]) && l->socks[i].local.port == port &&
		     (address_is_any(local) || address_equal(local, &l->socks[i].local.addr));
	return n;
}

int kernel_list(struct stage *st, int host, struct stage_sock *out, size_t max, struct err *err)
{
	struct kernel_stage *k = kernel_of(st);
	struct listing l;
	const int rc = list_all(k, host, &l, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < l.n && i < max; i++) {
		show(k, &l.socks[i], &out[i]);
		if (out[i].state == TCPWHY_LISTEN)
			out[i].syn_queue = requests_of(&l, &out[i].local, out[i].port);
	}
	free(l.socks);
	return (int)l.n;
}

/* -------------------------------------------------------------------------------------- one of
 * them
 */

int kernel_find(struct stage *st, int host, const struct tcpwhy_addr *local, uint16_t port,
		const struct tcpwhy_addr *peer, uint16_t peer_port, struct stage_sock *out)
{
	struct kernel_stage *k = kernel_of(st);
	const struct endpoint l = {*local, port}, p = {*peer, peer_port};
	struct diag_sock d;
	struct err err;
	const int rc = stage_kernel_sock(k->scene, host, &l, &p, &d, &err);

	if (!rc)
		show(k, &d, out);
	return rc;
}

static int state_of(int fd, struct tcp_info *info)
{
	socklen_t len = sizeof(*info);

	*info = (struct tcp_info){0};
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) ? -errno : 0;
}

/* What the descriptor itself tells. */
static int look_at_fd(struct stage *st, int sock, const struct tcp_info *info,
		      struct stage_sock *out)
{
	const struct kernel_sock *s = kernel_sock_at(kernel_of(st), sock);
	int device = 0;
	socklen_t len = sizeof(device);

	*out = (struct stage_sock){.sock = sock,
				   .state = info->tcpi_state,
				   .family = s->v4 ? TCPWHY_IPV4 : TCPWHY_IPV6,
				   .uid = s->uid};
	const int rc = kernel_sockname(st, sock, &out->local, &out->port);
	if (rc)
		return rc;
	if (kernel_peername(st, sock, &out->peer, &out->peer_port) &&
	    out->state == TCPWHY_SYN_SENT) {
		/* getpeername() says ENOTCONN before the handshake is done */
		out->peer = s->peer.addr;
		out->peer_port = s->peer.port;
	}
	if (!getsockopt(s->fd, SOL_SOCKET, SO_BINDTOIFINDEX, &device, &len))
		out->device = (uint32_t)device;
	return 0;
}

/* A listener's queues: TCP_INFO has two of the numbers under other names (tcp_get_info()). */
static int look_at_listener(struct stage *st, const struct tcp_info *info, struct stage_sock *out)
{
	struct kernel_stage *k = kernel_of(st);
	struct listing l;
	struct err err;
	const int rc = list_all(k, kernel_sock_at(k, out->sock)->node, &l, &err);

	if (rc)
		return rc;
	out->accept_queue = info->tcpi_unacked;
	out->backlog = info->tcpi_sacked;
	out->syn_queue = requests_of(&l, &out->local, out->port);
	free(l.socks);
	return 0;
}

/* A socket in CLOSE that holds a port is listed as BOUND; its name alone may be that of a port it
 * had. */
static int look_at_closed(struct kernel_stage *k, struct stage_sock *out)
{
	const struct kernel_sock *s = kernel_sock_at(k, out->sock);
	struct listing l;
	struct err err;
	bool holds = false;

	if (!out->port)
		return 0;
	const int rc = list_all(k, s->node, &l, &err);
	if (rc)
		return rc;
	for (size_t i = 0; i < l.n && !holds; i++)
		holds = l.socks[i].inode == s->inode && l.socks[i].state == TCPWHY_BOUND;
	free(l.socks);
	if (holds)
		out->state = TCPWHY_BOUND;
	else
		out->port = 0;
	return 0;
}

int kernel_look(struct stage *st, int sock, struct stage_sock *out)
{
	struct kernel_stage *k = kernel_of(st);
	const struct kernel_sock *s = kernel_sock_at(k, sock);
	struct stage_sock found;
	struct tcp_info info;
	int rc = state_of(s->fd, &info);

	if (!rc)
		rc = look_at_fd(st, sock, &info, out);
	if (rc)
		return rc;
	if (out->state == TCPWHY_LISTEN)
		return look_at_listener(st, &info, out);
	if (out->state == TCPWHY_CLOSE)
		return look_at_closed(k, out);
	/* it may have left its 4-tuple since */
	if (!kernel_find(st, s->node, &out->local, out->port, &out->peer, out->peer_port, &found) &&
	    found.sock == sock)
		*out = found;
	return 0;
}

int kernel_destroy(struct stage *st, int host, const struct tcpwhy_addr *local, uint16_t port,
		   const struct tcpwhy_addr *peer, uint16_t peer_port, struct err *err)
{
	const struct endpoint l = {*local, port}, p = {*peer, peer_port};

	kernel_settle(kernel_of(st));
	return kernel_lacks(stage_kernel_destroy(kernel_of(st)->scene, host, &l, &p, err));
}
