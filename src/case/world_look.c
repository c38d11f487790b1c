/* SPDX-License-Identifier: MIT
 *
 * What stands in the model's tables: sockets, counters, verdicts, sessions, the trace
 */
#include <errno.h>
#include <string.h>

#include "case/world_state.h"

/* ---------------------------------------------------------------------------------------- looking
 */

static void put_view(const struct stage_world *w, const struct host_view *v, struct stage_sock *out)
{
	uint64_t now = world_now(w->world);

	out->state = v->state;
	out->timewait = v->timewait;
	out->request = v->sock == 0;
	out->timer = v->timer;
	out->expires_ns =
		v->timer != HOST_TIMER_NONE && v->expires_ns > now ? v->expires_ns - now : 0;
	out->retransmits = v->retransmits;
	out->unread = v->unread;
	out->unacked = v->timewait ? 0 : v->snd_nxt - v->snd_una;
	out->has_numbers =
		v->state != TCPWHY_LISTEN && v->state != TCPWHY_CLOSE && v->state != TCPWHY_BOUND;
	out->snd_una = v->snd_una;
	out->snd_nxt = v->snd_nxt;
	out->rcv_nxt = v->rcv_nxt;
	out->window = v->window;
	out->accept_queue = v->accept_queue;
	out->backlog = v->backlog;
	out->syn_queue = v->syn_queue;
}

static void put_owner(const struct stage_world *w, int node, tcpwhy_sock s,
		      const struct tcpwhy_owner *o, struct stage_sock *out)
{
	out->sock = stage_world_number_of(w, node, s);
	out->local = o->local;
	out->peer = o->peer;
	out->port = o->port;
	out->peer_port = o->peer_port;
	out->family = o->family;
	out->state = o->state;
	out->timewait = o->timewait;
	out->uid = out->sock >= 0 ? o->uid : 0;
	out->device = o->device;
}

/* False: the engine has it no more. v: NULL if the engine alone knows it. */
static bool show_seen(struct stage_world *w, struct host *h, int node, tcpwhy_sock s,
		      const struct host_view *v, struct stage_sock *out)
{
	struct tcpwhy_owner o;

	*out = (struct stage_sock){.sock = -1};
	if (tcpwhy_get(host_engine(h), s, &o) < 0)
		return false;
	put_owner(w, node, s, &o, out);
	if (v)
		put_view(w, v, out);
	return true;
}

/* A socket of a crowd is known to the engine alone. */
static bool show(struct stage_world *w, int node, tcpwhy_sock s, struct stage_sock *out)
{
	struct host *h = stage_world_host_at(w, node);
	struct host_view v;

	return show_seen(w, h, node, s, host_look(h, s, &v) == 0 ? &v : NULL, out);
}

static void show_request(struct stage_world *w, const struct tcpwhy_owner *tuple,
			 const struct host_view *v, struct stage_sock *out)
{
	*out = (struct stage_sock){
		.sock = -1,
		.local = tuple->local,
		.peer = tuple->peer,
		.port = tuple->port,
		.peer_port = tuple->peer_port,
		.family = address_is_v4(&tuple->local) ? TCPWHY_IPV4 : TCPWHY_IPV6,
	};
	put_view(w, v, out);
}

int stage_world_look(struct stage *st, int sock, struct stage_sock *out)
{
	struct stage_world *w = self(st);
	const struct sock *k = stage_world_sock_at(w, sock);

	return show(w, k->node, k->sock, out) ? 0 : -EBADF;
}

int stage_world_find(struct stage *st, int host, const struct tcpwhy_addr *local, uint16_t port,
		     const struct tcpwhy_addr *peer, uint16_t peer_port, struct stage_sock *out)
{
	struct stage_world *w = self(st);
	struct tcpwhy_owner tuple = {
		.local = *local, .port = port, .peer = *peer, .peer_port = peer_port};
	struct host *h = stage_world_host_at(w, host);
	struct host_view v;

	if (!host_find(h, local, port, peer, peer_port, &v))
		return -ENOENT;
	if (v.sock)
		return show_seen(w, h, host, v.sock, &v, out) ? 0 : -ENOENT;
	show_request(w, &tuple, &v, out);
	return 0;
}

bool stage_world_has(struct stage *st, int host, const struct tcpwhy_addr *local, uint16_t port,
		     const struct tcpwhy_addr *peer, uint16_t peer_port)
{
	struct host *h = stage_world_host_at(self(st), host);

	return tcpwhy_find_tuple(host_engine(h), local, port, peer, peer_port, 0) != 0;
}

int stage_world_list(struct stage *st, int host, struct stage_sock *out, size_t max,
		     struct err *err)
{
	struct stage_world *w = self(st);
	struct host *h = stage_world_host_at(w, host);
	struct tcpwhy_cursor c = {.started = false};
	struct tcpwhy_owner o;
	struct host_view v;
	tcpwhy_sock s;
	uint32_t request = 0;
	size_t n = 0;

	(void)err;
	while (tcpwhy_next_owner(host_engine(h), &c, &s, &o)) {
		if (n < max)
			show(w, host, s, &out[n]);
		n++;
	}
	while (host_next_request(h, &request, &o.local, &o.port, &o.peer, &o.peer_port)) {
		if (n < max && host_find(h, &o.local, o.port, &o.peer, o.peer_port, &v))
			show_request(w, &o, &v, &out[n]);
		n++;
	}
	return (int)n;
}

int stage_world_destroy(struct stage *st, int host, const struct tcpwhy_addr *local, uint16_t port,
			const struct tcpwhy_addr *peer, uint16_t peer_port, struct err *err)
{
	struct stage_world *w = self(st);
	int error = host_destroy(stage_world_host_at(w, host), local, port, peer, peer_port);

	world_flush(w->world, (uint32_t)host);
	return error ? fail(err, error, "no socket has that 4-tuple") : 0;
}

/* A name may carry nstat's group before it. */
static bool is_counter(enum counter c, const char *name)
{
	const char *group = (unsigned)c < COUNTER_TCP_COUNT ? "Tcp" : "TcpExt";
	size_t len = strlen(group);

	return strcmp(counter_name(c), name) == 0 ||
	       (strncmp(name, group, len) == 0 && strcmp(counter_name(c), name + len) == 0);
}

int stage_world_counter(struct stage *st, int host, const char *name, uint64_t *value,
			struct err *err)
{
	struct host *h = stage_world_host_at(self(st), host);

	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		if (!is_counter((enum counter)i, name))
			continue;
		*value = host_counter(h, (enum counter)i);
		return 0;
	}
	snprintf(err->text, sizeof(err->text), "%s: the world has no such counter", name);
	return -ENOENT;
}

void stage_world_counters(struct stage *st, int host, uint64_t *values)
{
	struct host *h = stage_world_host_at(self(st), host);

	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		values[i] = host_counter(h, (enum counter)i);
}

bool stage_world_verdict(struct stage *st, int sock, struct tcpwhy_verdict *v)
{
	const struct sock *k = stage_world_sock_at(self(st), sock);

	if (!k->verdict)
		return false;
	*v = *k->verdict;
	return true;
}

int stage_world_sessions(struct stage *st, int box, struct session *out, size_t max,
			 struct err *err)
{
	struct stage_world *w = self(st);
	size_t n = world_sessions(w->world, (uint32_t)box, out, max);

	(void)err;
	for (size_t i = 0; i < n && i < max; i++)
		out[i].ends_ns = to_stage(out[i].ends_ns);
	return (int)n;
}

size_t stage_world_trace_count(struct stage *st)
{
	return world_trace_count(self(st)->world);
}

bool stage_world_trace(struct stage *st, size_t i, struct line_record *out)
{
	if (!world_trace(self(st)->world, i, out))
		return false;
	out->sent_ns = to_stage(out->sent_ns);
	out->arrived_ns = to_stage(out->arrived_ns);
	return true;
}

int stage_world_sight(struct stage *st, size_t i, struct stage_sight *out)
{
	(void)st, (void)i, (void)out;
	return -EOPNOTSUPP;
}
