/* SPDX-License-Identifier: MIT */
#include "case/stage_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "case/world_sysctl.h"
#include "world/world.h"

/* The world's clock at the stage's beginning: at 0 the kernel's "never" would begin. */
#define BEGIN_NS UINT64_C(1000000000)
#define NEVER    UINT64_MAX

enum { NAME_MAX_LEN = 31, IDLE_CALLS = 1 << 20 };

struct node {
	char name[NAME_MAX_LEN + 1];
	const struct tcpwhy_row *row; /* NULL: a box */
	int *sock_of;                 /* by the engine's number: the socket's, or -1 */
	uint32_t socks;
	char *reserved; /* net.ipv4.ip_local_reserved_ports as it was written; NULL: "" */
};

struct sock {
	int node; /* -1: free */
	tcpwhy_sock sock;
	uint32_t range;      /* IP_LOCAL_PORT_RANGE: low | high << 16 */
	bool watched, waits; /* waits: is in the line of those that are ready */
	int next_free;
	struct tcpwhy_verdict *verdict; /* of the last call; NULL: none, or never wanted */
};

struct stage_world {
	struct stage base;
	struct world *world;
	struct stage_world_config config;
	bool started;

	struct node *nodes;
	size_t n_nodes;
	bool *tapped; /* by link */
	size_t n_links;
	struct sock *socks;
	int n_socks, free_sock;
	int *line; /* the ready ones, a ring */
	size_t line_size, line_first, line_used;

	struct stage_driver driver;
	bool driven, driving; /* driving: a call of the driver's is on its way */
	size_t bytes, bytes_max;
};

static struct stage_world *self(struct stage *st)
{
	return (struct stage_world *)st;
}

static int fail(struct err *err, int error, const char *text)
{
	snprintf(err->text, sizeof(err->text), "%s", text);
	return error;
}

static int no_memory(struct err *err)
{
	return fail(err, -ENOMEM, "no memory");
}

/* ----------------------------------------------------------------------------------------- memory
 */

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	struct stage_world *w = ctx;
	size_t bytes = w->bytes - old_size + new_size;

	if (new_size > old_size && w->config.memory_limit && bytes > w->config.memory_limit)
		return NULL;
	if (!new_size) {
		free(old);
		w->bytes = bytes;
		return NULL;
	}
	void *grown = realloc(old, new_size);
	if (!grown)
		return NULL;
	w->bytes = bytes;
	if (bytes > w->bytes_max)
		w->bytes_max = bytes;
	return grown;
}

struct stage_world_cost stage_world_cost(const struct stage *st)
{
	const struct stage_world *w = (const struct stage_world *)st;

	return (struct stage_world_cost){
		.bytes = w->bytes, .bytes_max = w->bytes_max, .events = world_events(w->world)};
}

/* ----------------------------------------------------------------------------------- socket
 * numbers
 */

static struct sock *sock_at(struct stage_world *w, int sock)
{
	must(sock >= 0 && sock < w->n_socks && w->socks[sock].node >= 0);
	return &w->socks[sock];
}

static struct host *host_at(struct stage_world *w, int host)
{
	must(w->started && host >= 0 && (size_t)host < w->n_nodes && w->nodes[host].row);
	return world_host(w->world, (uint32_t)host);
}

/* -1: nobody holds it. */
static int number_of(const struct stage_world *w, int node, tcpwhy_sock s)
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
	struct sock *k = sock_at(w, i);
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

/* ---------------------------------------------------------------------------------- who is ready
 */

/* In line once, so there is room; a number that was given out again meanwhile gets a call too many,
 * which is allowed. */
static void line_up(struct stage_world *w, int sock)
{
	if (w->socks[sock].waits)
		return;
	w->line[(w->line_first + w->line_used++) % w->line_size] = sock;
	w->socks[sock].waits = true;
}

static void heard(void *ctx, uint32_t node, tcpwhy_sock s)
{
	struct stage_world *w = ctx;
	int sock = number_of(w, (int)node, s);

	if (sock >= 0 && w->socks[sock].watched)
		line_up(w, sock);
}

static void drive(struct stage *st, const struct stage_driver *d)
{
	struct stage_world *w = self(st);

	w->driven = d;
	if (d)
		w->driver = *d;
}

static int watch(struct stage *st, int sock, bool on)
{
	struct stage_world *w = self(st);

	sock_at(w, sock)->watched = on;
	if (on)
		line_up(w, sock);
	return 0;
}

/* --------------------------------------------------------------------------------------- building
 */

static int new_node(struct stage_world *w, const char *name, struct err *err)
{
	must(!w->started);
	if (!*name || strlen(name) > NAME_MAX_LEN)
		return fail(err, -EINVAL, "a name has 1 to 31 characters");
	for (size_t i = 0; i < w->n_nodes; i++)
		if (strcmp(w->nodes[i].name, name) == 0) {
			snprintf(err->text, sizeof(err->text), "%s is there already", name);
			return -EEXIST;
		}
	struct node *grown = realloc(w->nodes, (w->n_nodes + 1) * sizeof(*grown));
	if (!grown)
		return no_memory(err);
	w->nodes = grown;
	grown[w->n_nodes] = (struct node){.row = NULL};
	strcpy(grown[w->n_nodes].name, name);
	return 0;
}

static int of_world(int error, const char *what, struct err *err)
{
	if (error < 0)
		snprintf(err->text, sizeof(err->text), "%s: %s", what, strerror(-error));
	return error;
}

static int add_host(struct stage *st, const struct stage_host *h, struct err *err)
{
	struct stage_world *w = self(st);
	const struct tcpwhy_row *row = h->release ? tcpwhy_row_find(h->release) : w->config.row;

	if (!row) {
		snprintf(err->text, sizeof(err->text), "%s: no such release", h->release);
		return -EINVAL;
	}
	int error = new_node(w, h->name, err);
	if (error)
		return error;
	struct world_machine m = {
		.row = row, .clock_ms = h->clock_ms, .window = h->window, .hz = h->hz};
	int node = world_add_host(w->world, &m);
	if (node >= 0)
		w->nodes[w->n_nodes++].row = row;
	return of_world(node, h->name, err);
}

static int add_box(struct stage *st, const struct stage_box *b, struct err *err)
{
	struct stage_world *w = self(st);
	int error = new_node(w, b->name, err);

	if (error)
		return error;
	int node = world_add_box(w->world);
	if (node >= 0)
		w->n_nodes++;
	return of_world(node, b->name, err);
}

static int add_link(struct stage *st, const struct stage_link *l, struct err *err)
{
	struct stage_world *w = self(st);
	struct world_link link = {.tapped = l->tapped};
	bool *grown = realloc(w->tapped, w->n_links + 1);

	if (!grown)
		return no_memory(err);
	w->tapped = grown;
	for (unsigned i = 0; i < 2; i++) {
		must((size_t)l->ends[i].node < w->n_nodes);
		link.node[i] = (uint32_t)l->ends[i].node;
		link.addrs[i] = l->ends[i].addrs;
		link.n_addrs[i] = l->ends[i].n_addrs;
		link.delay_ns[i] = l->delay_ns[i];
		link.loss_ppm[i] = l->loss_ppm[i];
	}
	if (link.node[0] == link.node[1])
		return fail(err, -EINVAL, "a link joins two nodes");
	int n = world_add_link(w->world, &link);
	if (n == -EEXIST)
		return fail(err, -EINVAL, "another end has that address");
	if (n >= 0)
		w->tapped[w->n_links++] = l->tapped;
	return of_world(n, "link", err);
}

static int add_prefix(struct stage *st, int host, const struct stage_prefix *p, struct err *err)
{
	struct stage_world *w = self(st);

	return of_world(
		world_add_prefix(w->world, (uint32_t)host, &p->addr, p->len, p->local, p->routed),
		"prefix", err);
}

static int start(struct stage *st, struct err *err)
{
	struct stage_world *w = self(st);
	int error = world_start(w->world);

	if (error)
		return no_memory(err);
	w->started = true;
	return 0;
}

/* ---------------------------------------------------------------------------------------- changes
 */

static const char reserved_name[] = "net.ipv4.ip_local_reserved_ports";

static int set_reserved(struct stage_world *w, int host, const char *value, struct err *err)
{
	uint8_t bits[8192];
	char *kept = strdup(value);

	if (!kept || !world_sysctl_ports(value, bits)) {
		free(kept);
		snprintf(err->text, sizeof(err->text), "%s: not such a value: %s", reserved_name,
			 value);
		return -EINVAL;
	}
	struct tcpwhy_engine *e = host_engine(host_at(w, host));
	for (unsigned p = 1; p < 65536; p++)
		tcpwhy_reserve_port(e, (uint16_t)p, bits[p / 8] >> p % 8 & 1);
	free(w->nodes[host].reserved);
	w->nodes[host].reserved = kept;
	return 0;
}

static int set_sysctl(struct stage *st, int host, const char *name, const char *value,
		      struct err *err)
{
	struct stage_world *w = self(st);

	if (strcmp(name, reserved_name) == 0)
		return set_reserved(w, host, value, err);
	return world_sysctl_set(host_at(w, host), w->nodes[host].row, name, value, err);
}

static int get_sysctl(struct stage *st, int host, const char *name, char *value, size_t size,
		      struct err *err)
{
	struct stage_world *w = self(st);
	const char *reserved = w->nodes[host].reserved ? w->nodes[host].reserved : "";

	if (strcmp(name, reserved_name) != 0)
		return world_sysctl_get(host_at(w, host), w->nodes[host].row, name, value, size,
					err);
	if ((size_t)snprintf(value, size, "%s", reserved) >= size)
		return fail(err, -ENAMETOOLONG, "no room for the reserved ports");
	return 0;
}

static int set_rules(struct stage *st, int node, const struct rule *rules, size_t n,
		     struct err *err)
{
	struct stage_world *w = self(st);
	int error = world_set_rules(w->world, (uint32_t)node, rules, n);

	if (error == -EOPNOTSUPP)
		return fail(err, STAGE_CANNOT, "the world translates addresses in boxes only");
	return of_world(error, "rules", err);
}

static int set_delay(struct stage *st, int link, enum line_direction d, uint64_t delay_ns,
		     struct err *err)
{
	(void)err;
	world_set_delay(self(st)->world, (uint32_t)link, d, delay_ns);
	return 0;
}

static int set_loss(struct stage *st, int link, enum line_direction d, uint32_t loss_ppm,
		    struct err *err)
{
	(void)err;
	world_set_loss(self(st)->world, (uint32_t)link, d, loss_ppm);
	return 0;
}

static int is_tapped(const struct stage_world *w, int link, struct err *err)
{
	must(link >= 0 && (size_t)link < w->n_links);
	return w->tapped[link] ? 0 : fail(err, -EINVAL, "that link is not tapped");
}

static int add_control(struct stage *st, int link, enum line_direction d,
		       const struct line_control *c, struct err *err)
{
	struct stage_world *w = self(st);
	int error = is_tapped(w, link, err);

	if (error)
		return error;
	return of_world(world_add_control(w->world, (uint32_t)link, d, c), "line control", err);
}

static void remove_control(struct stage *st, int control)
{
	world_remove_control(self(st)->world, (uint32_t)control);
}

static unsigned fired(struct stage *st, int control)
{
	return world_fired(self(st)->world, (uint32_t)control);
}

static unsigned held(struct stage *st, int control)
{
	return world_held(self(st)->world, (uint32_t)control);
}

static unsigned release(struct stage *st, int control)
{
	return world_release(self(st)->world, (uint32_t)control);
}

static int inject(struct stage *st, int link, enum line_direction d, const struct segment *s,
		  struct err *err)
{
	struct stage_world *w = self(st);
	int error = is_tapped(w, link, err);

	if (!error)
		world_inject(w->world, (uint32_t)link, d, s);
	return error;
}

/* ------------------------------------------------------------------------------------ socket calls
 */

static int new_socket(struct stage *st, int host, enum tcpwhy_family family, uint32_t uid)
{
	struct stage_world *w = self(st);
	struct host *h = host_at(w, host);
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
static struct host *host_of_sock(struct stage_world *w, int sock)
{
	return host_at(w, sock_at(w, sock)->node);
}

static void sent(struct stage_world *w, int sock)
{
	world_flush(w->world, (uint32_t)sock_at(w, sock)->node);
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

static int set_option(struct stage *st, int sock, enum tcpwhy_option option, uint64_t value)
{
	struct stage_world *w = self(st);
	struct sock *k = sock_at(w, sock);
	int error = host_setsockopt(host_of_sock(w, sock), k->sock, option, value);

	if (!error && option == TCPWHY_IP_LOCAL_PORT_RANGE)
		k->range = (uint32_t)value;
	return error;
}

static int bind_to(struct stage *st, int sock, const struct tcpwhy_addr *addr, uint16_t port)
{
	struct stage_world *w = self(st);
	struct sock *k = sock_at(w, sock);

	return host_bind(host_of_sock(w, sock), k->sock, addr, port, verdict_for(w, k));
}

static int listen_at(struct stage *st, int sock, int backlog)
{
	struct stage_world *w = self(st);
	struct sock *k = sock_at(w, sock);

	return host_listen(host_of_sock(w, sock), k->sock, backlog, verdict_for(w, k));
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

static int connect_to(struct stage *st, int sock, const struct tcpwhy_addr *addr, uint16_t port)
{
	struct stage_world *w = self(st);
	struct sock *k = sock_at(w, sock);
	struct host *h = host_of_sock(w, sock);
	struct tcpwhy_addr to = *addr, source;
	struct tcpwhy_owner o;
	int error;

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

static int accept_from(struct stage *st, int sock)
{
	struct stage_world *w = self(st);
	struct sock *k = sock_at(w, sock);
	struct host *h = host_of_sock(w, sock);
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

static int64_t send_bytes(struct stage *st, int sock, uint32_t bytes)
{
	struct stage_world *w = self(st);
	int64_t n = host_send(host_of_sock(w, sock), sock_at(w, sock)->sock, bytes);

	sent(w, sock);
	return n;
}

static int64_t recv_bytes(struct stage *st, int sock, uint32_t max_bytes)
{
	struct stage_world *w = self(st);
	int64_t n = host_recv(host_of_sock(w, sock), sock_at(w, sock)->sock, max_bytes);

	sent(w, sock);
	return n;
}

static int shut(struct stage *st, int sock, enum tcpwhy_how how)
{
	struct stage_world *w = self(st);
	int error = host_shutdown(host_of_sock(w, sock), sock_at(w, sock)->sock, how);

	sent(w, sock);
	return error;
}

static int close_sock(struct stage *st, int sock)
{
	struct stage_world *w = self(st);
	int error = host_close(host_of_sock(w, sock), sock_at(w, sock)->sock);

	sent(w, sock);
	sock_drop(w, sock);
	return error;
}

static int sock_error(struct stage *st, int sock)
{
	struct stage_world *w = self(st);

	return host_error(host_of_sock(w, sock), sock_at(w, sock)->sock);
}

static int sock_name(struct stage *st, int sock, struct tcpwhy_addr *addr, uint16_t *port)
{
	struct stage_world *w = self(st);
	struct tcpwhy_owner o;

	if (tcpwhy_get(host_engine(host_of_sock(w, sock)), sock_at(w, sock)->sock, &o) < 0)
		return -EBADF;
	*addr = o.local;
	*port = o.port;
	return 0;
}

static int peer_name(struct stage *st, int sock, struct tcpwhy_addr *addr, uint16_t *port)
{
	struct stage_world *w = self(st);
	struct host *h = host_of_sock(w, sock);
	tcpwhy_sock s = sock_at(w, sock)->sock;
	struct tcpwhy_owner o;

	if (!host_has_peer(h, s) || tcpwhy_get(host_engine(h), s, &o) < 0)
		return -ENOTCONN;
	*addr = o.peer;
	*port = o.peer_port;
	return 0;
}

static int host_of(struct stage *st, int sock)
{
	return sock_at(self(st), sock)->node;
}

static uint32_t device(struct stage *st, int host, int link)
{
	return world_device(self(st)->world, (uint32_t)host, (uint32_t)link);
}

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
	out->sock = number_of(w, node, s);
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

/* False: the engine has it no more. A socket of a crowd is known to the engine alone. */
static bool show(struct stage_world *w, int node, tcpwhy_sock s, struct stage_sock *out)
{
	struct host *h = host_at(w, node);
	struct tcpwhy_owner o;
	struct host_view v;

	*out = (struct stage_sock){.sock = -1};
	if (tcpwhy_get(host_engine(h), s, &o) < 0)
		return false;
	put_owner(w, node, s, &o, out);
	if (host_look(h, s, &v) == 0)
		put_view(w, &v, out);
	return true;
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

static int look(struct stage *st, int sock, struct stage_sock *out)
{
	struct stage_world *w = self(st);
	const struct sock *k = sock_at(w, sock);

	return show(w, k->node, k->sock, out) ? 0 : -EBADF;
}

static int find(struct stage *st, int host, const struct tcpwhy_addr *local, uint16_t port,
		const struct tcpwhy_addr *peer, uint16_t peer_port, struct stage_sock *out)
{
	struct stage_world *w = self(st);
	struct tcpwhy_owner tuple = {
		.local = *local, .port = port, .peer = *peer, .peer_port = peer_port};
	struct host_view v;

	if (!host_find(host_at(w, host), local, port, peer, peer_port, &v))
		return -ENOENT;
	if (v.sock)
		return show(w, host, v.sock, out) ? 0 : -ENOENT;
	show_request(w, &tuple, &v, out);
	return 0;
}

static int list(struct stage *st, int host, struct stage_sock *out, size_t max, struct err *err)
{
	struct stage_world *w = self(st);
	struct host *h = host_at(w, host);
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

static int destroy(struct stage *st, int host, const struct tcpwhy_addr *local, uint16_t port,
		   const struct tcpwhy_addr *peer, uint16_t peer_port, struct err *err)
{
	struct stage_world *w = self(st);
	int error = host_destroy(host_at(w, host), local, port, peer, peer_port);

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

static int counter(struct stage *st, int host, const char *name, uint64_t *value, struct err *err)
{
	struct host *h = host_at(self(st), host);

	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		if (!is_counter((enum counter)i, name))
			continue;
		*value = host_counter(h, (enum counter)i);
		return 0;
	}
	snprintf(err->text, sizeof(err->text), "%s: the world has no such counter", name);
	return -ENOENT;
}

static bool verdict(struct stage *st, int sock, struct tcpwhy_verdict *v)
{
	const struct sock *k = sock_at(self(st), sock);

	if (!k->verdict)
		return false;
	*v = *k->verdict;
	return true;
}

static uint64_t to_stage(uint64_t world_ns)
{
	return world_ns == NEVER ? NEVER : world_ns > BEGIN_NS ? world_ns - BEGIN_NS : 0;
}

static int sessions(struct stage *st, int box, struct session *out, size_t max, struct err *err)
{
	struct stage_world *w = self(st);
	size_t n = world_sessions(w->world, (uint32_t)box, out, max);

	(void)err;
	for (size_t i = 0; i < n && i < max; i++)
		out[i].ends_ns = to_stage(out[i].ends_ns);
	return (int)n;
}

static size_t trace_count(struct stage *st)
{
	return world_trace_count(self(st)->world);
}

static bool trace(struct stage *st, size_t i, struct line_record *out)
{
	if (!world_trace(self(st)->world, i, out))
		return false;
	out->sent_ns = to_stage(out->sent_ns);
	out->arrived_ns = to_stage(out->arrived_ns);
	return true;
}

/* ------------------------------------------------------------------------------------------- time
 */

static uint64_t now(struct stage *st)
{
	return to_stage(world_now(self(st)->world));
}

static void tell_ready(struct stage_world *w)
{
	w->driving = true;
	while (w->line_used) {
		int sock = w->line[w->line_first];
		w->line_first = (w->line_first + 1) % w->line_size;
		w->line_used--;
		w->socks[sock].waits = false;
		if (w->driven && w->socks[sock].node >= 0 && w->socks[sock].watched)
			w->driver.ready(w->driver.ctx, sock);
	}
	w->driving = false;
}

static uint64_t driver_deadline(const struct stage_world *w)
{
	uint64_t at = w->driven ? w->driver.deadline(w->driver.ctx) : NEVER;

	if (at >= NEVER - BEGIN_NS)
		return NEVER;
	at += BEGIN_NS;
	return at > world_now(w->world) ? at : world_now(w->world);
}

/* What happens next, if it does until then: the world's events of an instant before the driver's.
 */
static bool step(struct stage_world *w, uint64_t limit_ns)
{
	uint64_t next = world_next(w->world), due = driver_deadline(w);

	if (next > limit_ns && due > limit_ns)
		return false;
	if (next <= due) {
		world_step(w->world);
	} else {
		world_jump(w->world, due);
		w->driving = true;
		w->driver.due(w->driver.ctx);
	}
	tell_ready(w);
	return true;
}

static int run_until(struct stage *st, int (*is_so)(void *ctx), void *ctx, uint64_t limit_ns,
		     struct err *err)
{
	struct stage_world *w = self(st);
	uint64_t last = world_now(w->world);
	uint64_t limit = limit_ns < NEVER - 1 - last ? last + limit_ns : NEVER - 1;
	unsigned idle = 0;

	must(w->started);
	tell_ready(w);
	for (;;) {
		int answer = is_so(ctx);
		if (answer)
			return answer < 0 ? answer : 0;
		if (!step(w, limit))
			break;
		idle = world_now(w->world) == last ? idle + 1 : 0;
		last = world_now(w->world);
		if (idle == IDLE_CALLS)
			return fail(err, -ELOOP, "a million events at one instant");
	}
	world_jump(w->world, limit);
	return -ETIMEDOUT;
}

static int never(void *ctx)
{
	(void)ctx;
	return 0;
}

static int pause_for(struct stage *st, uint64_t ns, struct err *err)
{
	int error = run_until(st, never, NULL, ns, err);

	return error == -ETIMEDOUT ? 0 : error;
}

/* --------------------------------------------------------------------------------- of this stage
 */

static int add_member(struct tcpwhy_engine *e, tcpwhy_sock listener,
		      const struct tcpwhy_addr *local, const struct tcpwhy_addr *peer,
		      uint16_t port)
{
	tcpwhy_sock child;
	int error = tcpwhy_incoming(e, listener, local, peer, port, &child);

	return error ? error : tcpwhy_accepted(e, child, 0);
}

static struct tcpwhy_addr address_after(const struct tcpwhy_addr *a, uint32_t n)
{
	struct tcpwhy_addr b = *a;
	uint32_t sum = n;

	for (unsigned i = 16; i-- && sum;) {
		sum += b.b[i];
		b.b[i] = (uint8_t)sum;
		sum >>= 8;
	}
	return b;
}

static int crowd(struct stage *st, int listener, const struct tcpwhy_addr *local,
		 const struct tcpwhy_addr *peer, uint32_t n_peers, uint16_t port, uint32_t n,
		 uint64_t *bytes, struct err *err)
{
	struct stage_world *w = self(st);
	struct tcpwhy_engine *e = host_engine(host_of_sock(w, listener));
	size_t before = tcpwhy_engine_bytes(e);

	if (!port || n > 65536u - port)
		return fail(err, -EINVAL, "a peer has no more than 65,535 ports");
	for (uint32_t i = 0; i < n_peers; i++) {
		struct tcpwhy_addr a = address_after(peer, i);
		for (uint32_t j = 0; j < n; j++) {
			int error = add_member(e, sock_at(w, listener)->sock, local, &a,
					       (uint16_t)(port + j));
			if (error)
				return of_world(error, "crowd", err);
		}
	}
	*bytes = tcpwhy_engine_bytes(e) - before;
	return 0;
}

static const char no_programs[] = "programs run on the kernel stage only";

static int cgroup(struct stage *st, int host, char *path, size_t size, struct err *err)
{
	(void)st, (void)host, (void)path, (void)size;
	return fail(err, STAGE_CANNOT, no_programs);
}

static int run(struct stage *st, int host, const char *const argv[], uint64_t limit_ns, char *out,
	       size_t size, struct err *err)
{
	(void)st, (void)host, (void)argv, (void)limit_ns, (void)out, (void)size;
	return fail(err, STAGE_CANNOT, no_programs);
}

static int spawn(struct stage *st, int host, const char *const argv[], struct err *err)
{
	(void)st, (void)host, (void)argv;
	return fail(err, STAGE_CANNOT, no_programs);
}

static int stop(struct stage *st, int pid, struct err *err)
{
	(void)st, (void)pid;
	return fail(err, STAGE_CANNOT, no_programs);
}

static int file(struct stage *st, int host, const char *name, const char *text, size_t n,
		char *path, size_t size, struct err *err)
{
	(void)st, (void)host, (void)name, (void)text, (void)n, (void)path, (void)size;
	return fail(err, STAGE_CANNOT, no_programs);
}

/* -------------------------------------------------------------------------------- beginning, end
 */

static void stage_free(struct stage *st)
{
	struct stage_world *w = self(st);

	if (!w)
		return;
	world_free(w->world);
	for (size_t i = 0; i < w->n_nodes; i++) {
		free(w->nodes[i].sock_of);
		free(w->nodes[i].reserved);
	}
	for (int i = 0; i < w->n_socks; i++)
		free(w->socks[i].verdict);
	free(w->nodes);
	free(w->tapped);
	free(w->socks);
	free(w->line);
	free(w);
}

static const struct stage_ops ops = {
	.name = "world",
	.free = stage_free,
	.add_host = add_host,
	.add_box = add_box,
	.add_link = add_link,
	.add_prefix = add_prefix,
	.start = start,
	.set_sysctl = set_sysctl,
	.get_sysctl = get_sysctl,
	.set_rules = set_rules,
	.set_delay = set_delay,
	.set_loss = set_loss,
	.add_control = add_control,
	.remove_control = remove_control,
	.fired = fired,
	.held = held,
	.release = release,
	.inject = inject,
	.socket = new_socket,
	.setsockopt = set_option,
	.bind = bind_to,
	.listen = listen_at,
	.connect = connect_to,
	.accept = accept_from,
	.send = send_bytes,
	.recv = recv_bytes,
	.shutdown = shut,
	.close = close_sock,
	.error = sock_error,
	.sockname = sock_name,
	.peername = peer_name,
	.host_of = host_of,
	.device = device,
	.look = look,
	.find = find,
	.list = list,
	.destroy = destroy,
	.counter = counter,
	.verdict = verdict,
	.sessions = sessions,
	.trace_count = trace_count,
	.trace = trace,
	.now = now,
	.pause = pause_for,
	.run_until = run_until,
	.drive = drive,
	.watch = watch,
	.crowd = crowd,
	.cgroup = cgroup,
	.run = run,
	.spawn = spawn,
	.stop = stop,
	.file = file,
};

int stage_world_new(const struct stage_world_config *config, struct stage **out, struct err *err)
{
	struct stage_world *w = calloc(1, sizeof(*w));

	if (!w)
		return no_memory(err);
	w->base.ops = &ops;
	w->config = *config;
	w->free_sock = -1;
	struct world_config c = {
		.memory = {.resize = resize, .ctx = w},
		.seed = config->seed,
		.trace_max = config->trace_max ? config->trace_max : STAGE_WORLD_TRACE,
		.ready = heard,
		.ctx = w,
	};
	w->world = world_new(&c);
	if (!w->world) {
		stage_free(&w->base);
		return no_memory(err);
	}
	world_jump(w->world, BEGIN_NS);
	*out = &w->base;
	return 0;
}
