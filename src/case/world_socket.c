/* SPDX-License-Identifier: MIT
 *
 * Sockets of the model's stage: their numbers, and what an application calls
 */
#include <stdlib.h>
#include <string.h>

#include "case/world_state.h"

/* ---------------------------------------------------------------------------------------- numbers
 */

struct sock *stage_world_sock_at(struct stage_world *w, int sock)
{
	must(sock >= 0 && sock < w->n_socks && w->socks[sock].node >= 0);
	return &w->socks[sock];
}

struct host *stage_world_host_at(struct stage_world *w, int host)
{
	must(w->started && host >= 0 && (size_t)host < w->n_nodes && w->nodes[host].row);
	return world_host(w->world, (uint32_t)host);
}

/* -1: nobody holds it. */
int stage_world_number_of(const struct stage_world *w, int node, tcpwhy_sock s)
{
	const struct node *n = &w->nodes[node];
	uint32_t i = (uint32_t)s;
	int sock = i < n->socks ? n->sock_of[i] : -1;

	return sock >= 0 && w->socks[sock].sock == s ? sock : -1;
}

static bool grow_numbers(struct node *n, uint32_t want)
{
	uint32_t size = n->socks ? n->socks : 32;

	if (want < n->socks)
		return true;
	while (size <= want)
		size *= 2;
	int *grown = realloc(n->sock_of, size * sizeof(*grown));
	if (!grown)
		return false;
	memset(grown + n->socks, 0xff, (size - n->socks) * sizeof(*grown));
	n->sock_of = grown;
	n->socks = size;
	return true;
}

/* The line has room for all of them. */
static bool grow_line(struct stage_world *w, size_t size)
{
	int *grown = malloc(size * sizeof(*grown));

	if (!grown)
		return false;
	for (size_t i = 0; i < w->line_used; i++)
		grown[i] = w->line[(w->line_first + i) % w->line_size];
	free(w->line);
	w->line = grown;
	w->line_size = size;
	w->line_first = 0;
	return true;
}

static bool grow_socks(struct stage_world *w)
{
	int size = w->n_socks ? w->n_socks * 2 : 64;

	if (!grow_line(w, (size_t)size))
		return false;
	struct sock *grown = realloc(w->socks, (size_t)size * sizeof(*grown));
	if (!grown)
		return false;
	for (int i = size - 1; i >= w->n_socks; i--) {
		grown[i] = (struct sock){.node = -1, .next_free = w->free_sock};
		w->free_sock = i;
	}
	w->socks = grown;
	w->n_socks = size;
	return true;
}

static int sock_new(struct stage_world *w, int node, tcpwhy_sock s)
{
	if ((w->free_sock < 0 && !grow_socks(w)) || !grow_numbers(&w->nodes[node], (uint32_t)s))
		return -ENOMEM;
	int i = w->free_sock;
	struct sock *k = &w->socks[i];
	w->free_sock = k->next_free;
	k->node = node;
	k->sock = s;
	k->watched = false;
	k->range = 0;
	w->nodes[node].sock_of[(uint32_t)s] = i;
	return i;
}

static void sock_drop(struct stage_world *w, int i)
{
	struct sock *k = stage_world_sock_at(w, i);
	struct node *n = &w->nodes[k->node];

	if (n->sock_of[(uint32_t)k->sock] == i)
		n->sock_of[(uint32_t)k->sock] = -1;
	free(k->verdict);
	k->verdict = NULL;
	k->watched = false;
	k->node = -1;
	k->next_free = w->free_sock;
	w->free_sock = i;
}

/* ------------------------------------------------------------------------------------ socket calls
 */

int stage_world_new_socket(struct stage *st, int host, enum tcpwhy_family family, uint32_t uid)
{
	struct stage_world *w = self(st);
	struct host *h = stage_world_host_at(w, host);
	tcpwhy_sock s;
	int error = host_socket(h, family, uid, &s);

	if (error)
		return error;
	int sock = sock_new(w, host, s);
	if (sock < 0)
		host_close(h, s);
	return sock;
}

/* The host of a socket; after the call, sent() carries away what it sent. */
struct host *stage_world_host_of_sock(struct stage_world *w, int sock)
{
	return stage_world_host_at(w, stage_world_sock_at(w, sock)->node);
}

static void sent(struct stage_world *w, int sock)
{
	world_flush(w->world, (uint32_t)stage_world_sock_at(w, sock)->node);
}

/* Applications that are driven make many calls, and nobody asks why. */
static struct tcpwhy_verdict *verdict_for(const struct stage_world *w, struct sock *k)
{
	if (!k->verdict && !w->driving)
		k->verdict = malloc(sizeof(*k->verdict));
	if (k->verdict)
		memset(k->verdict, 0, sizeof(*k->verdict));
	return k->verdict;
}

int stage_world_set_option(struct stage *st, int sock, enum tcpwhy_option option, uint64_t value)
{
	struct stage_world *w = self(st);
	struct sock *k = stage_world_sock_at(w, sock);
	int error = host_setsockopt(stage_world_host_of_sock(w, sock), k->sock, option, value);

	if (!error && option == TCPWHY_IP_LOCAL_PORT_RANGE)
		k->range = (uint32_t)value;
	return error;
}

int stage_world_bind_to(struct stage *st, int sock, const struct tcpwhy_addr *addr, uint16_t port)
{
	struct stage_world *w = self(st);
	struct sock *k = stage_world_sock_at(w, sock);

	return host_bind(stage_world_host_of_sock(w, sock), k->sock, addr, port, verdict_for(w, k));
}

int stage_world_listen_at(struct stage *st, int sock, int backlog)
{
	struct stage_world *w = self(st);
	struct sock *k = stage_world_sock_at(w, sock);

	return host_listen(stage_world_host_of_sock(w, sock), k->sock, backlog, verdict_for(w, k));
}

/* How the range stands for the destination: the call itself does not count. */
static void add_counts(struct tcpwhy_verdict *v, const struct sock *k, struct host *h,
		       const struct tcpwhy_owner *o, const struct tcpwhy_addr *to, uint16_t port,
		       const struct tcpwhy_addr *source)
{
	struct tcpwhy_connect_request q = {
		.peer = *to,
		.source = address_is_any(&o->local) ? *source : o->local,
		.peer_port = port,
		.port = o->port,
		.family = o->family,
		.device = o->device,
		.range_low = (uint16_t)k->range,
		.range_high = (uint16_t)(k->range >> 16),
	};
	struct tcpwhy_verdict of_call = *v;

	tcpwhy_would_connect(host_engine(h), &q, v);
	v->answer = of_call.answer;
	v->error = of_call.error;
	v->at = of_call.at;
	v->rule = of_call.rule;
	v->missing = 0;
	v->port = of_call.port;
	v->first = of_call.first;
}

/* A call that only asks how the one before ended leaves that one's verdict. */
static int first_connect(struct stage_world *w, struct sock *k, struct host *h,
			 const struct tcpwhy_owner *o, const struct tcpwhy_addr *to, uint16_t port,
			 const struct tcpwhy_addr *source)
{
	struct tcpwhy_verdict v = {.port = 0};
	int error = host_connect(h, k->sock, to, port, source, &v);
	struct tcpwhy_verdict *kept = error == -EINPROGRESS || v.error ? verdict_for(w, k) : NULL;

	if (!kept)
		return error;
	*kept = v;
	if (v.rule == TCPWHY_RULE_CONNECT_RANGE_EXHAUSTED)
		add_counts(kept, k, h, o, to, port, source);
	return error;
}

int stage_world_connect_to(struct stage *st, int sock, const struct tcpwhy_addr *addr,
			   uint16_t port)
{
	struct stage_world *w = self(st);
	struct sock *k = stage_world_sock_at(w, sock);
	struct host *h = stage_world_host_of_sock(w, sock);
	struct tcpwhy_addr to = *addr, source;
	struct tcpwhy_owner o;
	int error;

	/* It only asks how the one before went: no route is needed, and nothing is sent. */
	if (host_has_peer(h, k->sock))
		return host_connect(h, k->sock, addr, port, addr, NULL);
	if (tcpwhy_get(host_engine(h), k->sock, &o) < 0)
		return -EBADF;
	if (!world_route(w->world, (uint32_t)k->node, &to, o.device, &source))
		return -ENETUNREACH;
	if (o.state == TCPWHY_CLOSE || o.state == TCPWHY_BOUND)
		error = first_connect(w, k, h, &o, &to, port, &source);
	else
		error = host_connect(h, k->sock, &to, port, &source, NULL);
	sent(w, sock);
	return error;
}

int stage_world_accept_from(struct stage *st, int sock)
{
	struct stage_world *w = self(st);
	struct sock *k = stage_world_sock_at(w, sock);
	struct host *h = stage_world_host_of_sock(w, sock);
	struct tcpwhy_owner o;
	tcpwhy_sock s;
	int node = k->node;
	uint32_t uid = tcpwhy_get(host_engine(h), k->sock, &o) == 0 ? o.uid : 0;
	int error = host_accept(h, k->sock, uid, &s);

	if (error)
		return error;
	int accepted = sock_new(w, node, s);
	if (accepted < 0)
		host_close(h, s);
	world_flush(w->world, (uint32_t)node);
	return accepted;
}

int64_t stage_world_send_bytes(struct stage *st, int sock, uint32_t bytes)
{
	struct stage_world *w = self(st);
	int64_t n = host_send(stage_world_host_of_sock(w, sock), stage_world_sock_at(w, sock)->sock,
			      bytes);

	sent(w, sock);
	return n;
}

int64_t stage_world_recv_bytes(struct stage *st, int sock, uint32_t max_bytes)
{
	struct stage_world *w = self(st);
	int64_t n = host_recv(stage_world_host_of_sock(w, sock), stage_world_sock_at(w, sock)->sock,
			      max_bytes);

	sent(w, sock);
	return n;
}

int stage_world_shut(struct stage *st, int sock, enum tcpwhy_how how)
{
	struct stage_world *w = self(st);
	int error = host_shutdown(stage_world_host_of_sock(w, sock),
				  stage_world_sock_at(w, sock)->sock, how);

	sent(w, sock);
	return error;
}

int stage_world_close_sock(struct stage *st, int sock)
{
	struct stage_world *w = self(st);
	int error =
		host_close(stage_world_host_of_sock(w, sock), stage_world_sock_at(w, sock)->sock);

	sent(w, sock);
	sock_drop(w, sock);
	return error;
}

int stage_world_sock_error(struct stage *st, int sock)
{
	struct stage_world *w = self(st);

	return host_error(stage_world_host_of_sock(w, sock), stage_world_sock_at(w, sock)->sock);
}

int stage_world_sock_name(struct stage *st, int sock, struct tcpwhy_addr *addr, uint16_t *port)
{
	struct stage_world *w = self(st);
	struct tcpwhy_owner o;

	if (tcpwhy_get(host_engine(stage_world_host_of_sock(w, sock)),
		       stage_world_sock_at(w, sock)->sock, &o) < 0)
		return -EBADF;
	*addr = o.local;
	*port = o.port;
	return 0;
}

int stage_world_peer_name(struct stage *st, int sock, struct tcpwhy_addr *addr, uint16_t *port)
{
	struct stage_world *w = self(st);
	struct host *h = stage_world_host_of_sock(w, sock);
	tcpwhy_sock s = stage_world_sock_at(w, sock)->sock;
	struct tcpwhy_owner o;

	if (!host_has_peer(h, s) || tcpwhy_get(host_engine(h), s, &o) < 0)
		return -ENOTCONN;
	*addr = o.peer;
	*port = o.peer_port;
	return 0;
}

int stage_world_host_of(struct stage *st, int sock)
{
	return stage_world_sock_at(self(st), sock)->node;
}

uint32_t stage_world_device(struct stage *st, int host, int link)
{
	return world_device(self(st)->world, (uint32_t)host, (uint32_t)link);
}
