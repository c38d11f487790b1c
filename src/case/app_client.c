/* SPDX-License-Identifier: MIT
 *
 * A client: it connects at a rate, asks, keeps connections for the next request, or closes
 */
#include "case/app_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)
#define SLOW_NS  (NS_PER_S / 2)

enum {
	RECV_MAX = 1 << 20,
	ATTEMPTS = 4096,
	WATCHED_TARGETS = 8,
	WATCHED_IN_ALL = 64, /* half a megabyte each */
	PORTS = 65536,
};

int client_start(struct apps *a, int app, struct err *err)
{
	struct application *p = &a->apps[app];
	const struct app_client *c = &p->client;

	must(c->n_targets && c->n_sources <= APP_SOURCES);
	if (c->watches_ports && c->n_targets > WATCHED_TARGETS) {
		snprintf(err->text, sizeof(err->text), "ports of at most %d targets are watched",
			 WATCHED_TARGETS);
		return -EINVAL;
	}
	if (c->watches_ports && c->n_targets > WATCHED_IN_ALL - a->watched) {
		snprintf(err->text, sizeof(err->text),
			 "ports of at most %d targets in all are watched", WATCHED_IN_ALL);
		return -EINVAL;
	}
	if (c->watches_ports)
		a->watched += (unsigned)c->n_targets;
	if (c->watches_ports)
		p->ended = calloc(c->n_targets * PORTS, sizeof(*p->ended));
	if (c->watches_ports && !p->ended) {
		snprintf(err->text, sizeof(err->text), "no memory");
		return -ENOMEM;
	}
	if (c->total)
		app_timer(a, app, app_after(a, c->begin_ns));
	return 0;
}

/* -------------------------------------------------------------------------------------- the pool
 */

static void pool_leave(struct application *p, struct apps *a, int conn)
{
	struct conn *c = &a->conns[conn];

	if (!c->pooled)
		return;
	if (p->pool == conn)
		p->pool = c->older;
	else
		a->conns[c->next].older = c->older;
	if (c->older >= 0)
		a->conns[c->older].next = c->next;
	c->pooled = false;
	c->older = c->next = -1;
	c->timer_ns = APP_FOREVER;
}

static void pool_enter(struct application *p, struct apps *a, int conn)
{
	struct conn *c = &a->conns[conn];

	c->pooled = true;
	c->older = p->pool;
	c->next = -1;
	if (p->pool >= 0)
		a->conns[p->pool].next = conn;
	p->pool = conn;
	conn_timer(a, conn, app_after(a, p->client.idle_ns));
}

void client_leave(struct apps *a, int conn)
{
	struct conn *c = &a->conns[conn];
	struct application *p = &a->apps[c->app];

	pool_leave(p, a, conn);
	if (c->state == CONN_CONNECTING)
		p->figures.waiting--;
	else
		p->figures.open--;
	if (c->state == CONN_ASKING)
		p->asking--;
	if (p->ended && c->port)
		p->ended[c->target * PORTS + c->port] = a->ops->now(a->st) + 1;
}

/* ---------------------------------------------------------------------------------- a connection
 */

static int options(struct apps *a, const struct app_client *c, int sock)
{
	bool reuse = c->reuseaddr || c->picker.kind != PICKER_KERNEL;
	int error = 0;

	if (reuse)
		error = a->ops->setsockopt(a->st, sock, TCPWHY_SO_REUSEADDR, 1);
	if (!error && c->transparent)
		error = a->ops->setsockopt(a->st, sock, TCPWHY_IP_TRANSPARENT, 1);
	if (!error && c->no_port)
		error = a->ops->setsockopt(a->st, sock, TCPWHY_IP_BIND_ADDRESS_NO_PORT, 1);
	return error;
}

static int bind_source(struct apps *a, struct app_client *c, const struct app_target *t, int sock,
		       const struct tcpwhy_addr *source, uint32_t attempt)
{
	struct tcpwhy_addr from =
		c->family == TCPWHY_IPV4 ? address_v4_number(0) : (struct tcpwhy_addr){.b[0] = 0};

	if (source)
		from = *source;
	if (c->picker.kind != PICKER_KERNEL)
		return a->ops->bind(a->st, sock, &from,
				    picker_port(&c->picker, &from, &t->addr, t->port, attempt));
	return source ? a->ops->bind(a->st, sock, &from, 0) : 0;
}

/* A socket that is on its way, or -errno. */
static int try_connect(struct apps *a, struct app_client *c, const struct app_target *t,
		       const struct tcpwhy_addr *source, uint32_t attempt)
{
	int sock = a->ops->socket(a->st, c->host, c->family, 0);

	if (sock < 0)
		return sock;
	int error = options(a, c, sock);
	if (!error)
		error = bind_source(a, c, t, sock, source, attempt);
	if (!error)
		error = a->ops->connect(a->st, sock, &t->addr, t->port);
	if (!error || error == -EINPROGRESS)
		return sock;
	a->ops->close(a->st, sock);
	return error;
}

static int open_socket(struct apps *a, struct application *p, const struct app_target *t)
{
	struct app_client *c = &p->client;
	const struct tcpwhy_addr *source =
		c->n_sources ? &c->sources[p->next_source++ % c->n_sources] : NULL;
	uint32_t attempts = 1;

	if (c->picker.kind != PICKER_KERNEL)
		attempts =
			picker_ports(&c->picker) < ATTEMPTS ? picker_ports(&c->picker) : ATTEMPTS;
	for (uint32_t i = 0;; i++) {
		if (!app_pays(a, APP_ATTEMPT))
			return -ECANCELED;
		int sock = try_connect(a, c, t, source, i);
		bool taken = sock == -EADDRINUSE || sock == -EADDRNOTAVAIL;
		if (taken && c->picker.kind == PICKER_KERNEL)
			app_pays(a, APP_SEARCH);
		if (!taken || i + 1 == attempts)
			return sock;
		p->figures.passed_over++;
	}
}

/* The host of the server at a target, among the applications; -1. */
static bool serves(const struct application *p, const struct app_target *t)
{
	return p->is_server && p->server.port == t->port &&
	       address_equal(&p->server.addr, &t->addr);
}

/* An address is one host's, so who once was right stays so. */
static int server_host(struct apps *a, const struct app_target *t)
{
	const unsigned mix = t->addr.b[15] | (unsigned)t->addr.b[14] << 8;
	int *known = &a->known[(mix ^ t->port * 2654435761u >> 16) % APP_KNOWN];

	if (*known && serves(&a->apps[*known - 1], t))
		return a->apps[*known - 1].server.host;
	for (int i = 0; i < a->n_apps; i++) {
		if (!serves(&a->apps[i], t))
			continue;
		*known = i + 1;
		return a->apps[i].server.host;
	}
	return -1;
}

/* Before the SYN can arrive: no time has passed since connect(). */
static void watch_port(struct apps *a, int conn)
{
	struct conn *c = &a->conns[conn];
	struct application *p = &a->apps[c->app];
	const struct app_target *t = &p->client.targets[c->target];
	int host = server_host(a, t);
	struct app_figures *f = &p->figures;
	struct tcpwhy_addr from;
	struct stage_sock there;

	if (a->ops->sockname(a->st, c->sock, &from, &c->port) < 0)
		return;
	if (host >= 0 &&
	    a->ops->find(a->st, host, &t->addr, t->port, &from, c->port, &there) == 0 &&
	    there.timewait)
		f->collisions++;
	uint64_t ended = p->ended[c->target * PORTS + c->port];
	if (!ended)
		return;
	uint64_t away = a->ops->now(a->st) + 1 - ended;
	f->returns++;
	f->returns_in_60s += away < 60 * NS_PER_S;
	f->total_return_ns += away;
	if (f->returns == 1 || away < f->soonest_return_ns)
		f->soonest_return_ns = away;
}

static bool open_conn(struct apps *a, int app, int partner)
{
	struct application *p = &a->apps[app];
	uint32_t target = (uint32_t)(p->next_target++ % p->client.n_targets);
	int sock = open_socket(a, p, &p->client.targets[target]);

	if (sock < 0) {
		app_count(p, -sock);
		return false;
	}
	int conn = conn_new(a, app, sock, CONN_CONNECTING);
	if (conn < 0) {
		app_count(p, ENOMEM);
		return false;
	}
	a->conns[conn].target = target;
	a->conns[conn].partner = partner;
	if (partner >= 0)
		a->conns[partner].partner = conn;
	p->figures.opened++;
	p->figures.waiting++;
	if (p->ended)
		watch_port(a, conn);
	return true;
}

/* ------------------------------------------------------------------------------------- a request
 */

static void replied(struct apps *a, int conn)
{
	struct conn *c = &a->conns[conn];
	struct application *p = &a->apps[c->app];
	int partner = c->partner;

	p->asking--;
	p->figures.replies++;
	c->partner = -1;
	c->state = CONN_IDLE;
	if (p->client.waits_for_end)
		c->state = CONN_ENDING;
	else if (p->client.keep_alive)
		pool_enter(p, a, conn);
	else
		conn_close(a, conn);
	if (partner >= 0) {
		a->conns[partner].partner = -1;
		server_reply(a, partner);
	}
}

/* False: it failed, and the connection is gone. */
static bool ask(struct apps *a, int conn)
{
	struct conn *c = &a->conns[conn];
	struct application *p = &a->apps[c->app];
	int64_t n;

	c->state = CONN_ASKING;
	c->got = 0;
	p->asking++;
	p->figures.requests++;
	n = a->ops->send(a->st, c->sock, p->client.request_bytes);
	if (n < 0) {
		conn_fail(a, conn, (int)-n);
		return false;
	}
	if (!p->client.reply_bytes)
		replied(a, conn);
	return true;
}

bool client_request(struct apps *a, int app, int partner)
{
	struct application *p = &a->apps[app];
	int conn = p->pool;

	if (p->stopped)
		return false;
	if (conn < 0)
		return open_conn(a, app, partner);
	pool_leave(p, a, conn);
	a->conns[conn].partner = partner;
	if (partner >= 0)
		a->conns[partner].partner = conn;
	ask(a, conn);
	return true;
}

static void established(struct apps *a, int conn)
{
	struct conn *c = &a->conns[conn];
	struct application *p = &a->apps[c->app];
	uint64_t now = a->ops->now(a->st), took = now - c->began_ns;

	c->state = CONN_IDLE;
	p->figures.waiting--;
	p->figures.open++;
	p->figures.established++;
	p->figures.slow += took > SLOW_NS;
	p->figures.last_ns = now;
	if (took > p->figures.longest_ns)
		p->figures.longest_ns = took;
	if (p->client.request_bytes)
		ask(a, conn);
	else if (p->client.waits_for_end)
		c->state = CONN_ENDING;
	else
		conn_timer(a, conn, app_after(a, p->client.hold_ns));
}

static void connecting(struct apps *a, int conn)
{
	const struct conn *c = &a->conns[conn];
	const struct app_target *t = &a->apps[c->app].client.targets[c->target];
	int error = a->ops->connect(a->st, c->sock, &t->addr, t->port);

	if (error == -EALREADY || error == -EINPROGRESS)
		return;
	if (error && error != -EISCONN)
		conn_fail(a, conn, -error);
	else
		established(a, conn);
}

/* Whether something may still come; another connection that has its place has not begun. */
static bool is_open(const struct conn *c)
{
	return c->app >= 0 && c->state != CONN_CONNECTING && c->state != CONN_SERVING;
}

/* Until there is nothing: a stage tells of what came once, and the end may come with the reply. */
static void reading(struct apps *a, int conn)
{
	while (is_open(&a->conns[conn])) {
		struct conn *c = &a->conns[conn];
		uint32_t size = a->apps[c->app].client.reply_bytes;
		int64_t n = a->ops->recv(a->st, c->sock, RECV_MAX);
		if (n == -EAGAIN)
			return;
		if (n < 0 || (n == 0 && c->state == CONN_ASKING)) {
			conn_fail(a, conn, n ? (int)-n : EPIPE);
			return;
		}
		if (n == 0) {
			conn_close(a, conn);
			return;
		}
		c->got += (uint32_t)n;
		if (c->state == CONN_ASKING && c->got >= size)
			replied(a, conn);
	}
}

void client_ready(struct apps *a, int conn)
{
	if (a->conns[conn].state == CONN_CONNECTING)
		connecting(a, conn);
	reading(a, conn);
}

void client_conn_due(struct apps *a, int conn)
{
	conn_close(a, conn);
}

void client_due(struct apps *a, int app)
{
	struct application *p = &a->apps[app];
	uint64_t every = p->client.every_ns, begun;

	do {
		begun = ++p->begun;
		client_request(a, app, -1);
	} while (!every && begun < p->client.total && !a->is_broke);
	if (begun < p->client.total)
		app_timer(a, app, app_after(a, every));
}

/* ------------------------------------------------------------------------------------------ views
 */

bool apps_is_done(const struct apps *a, int client)
{
	const struct application *p = &a->apps[client];

	return p->begun >= p->client.total && !p->figures.waiting && !p->asking;
}

bool apps_is_client(const struct apps *a, int app)
{
	return !a->apps[app].is_server;
}

static bool is_ghost(struct apps *a, const struct conn *c)
{
	const struct app_target *t = &a->apps[c->app].client.targets[c->target];
	int host = server_host(a, t);
	struct tcpwhy_addr from;
	struct stage_sock there;
	uint16_t port;

	if (host < 0 || a->ops->sockname(a->st, c->sock, &from, &port) < 0)
		return false;
	if (a->ops->has)
		return !a->ops->has(a->st, host, &t->addr, t->port, &from, port);
	return a->ops->find(a->st, host, &t->addr, t->port, &from, port, &there) < 0 ||
	       there.request;
}

static bool is_ghost_of(struct apps *a, int client, const struct conn *c)
{
	bool asked = client < 0 ? c->app >= 0 : c->app == client;

	return asked && c->state != CONN_CONNECTING && c->state != CONN_SERVING && is_ghost(a, c);
}

uint64_t apps_all_ghosts(struct apps *a, unsigned *clients)
{
	uint64_t ghosts = 0;

	*clients = 0;
	for (int i = 0; i < a->n_apps; i++)
		a->apps[i].has_ghost = false;
	for (int i = 0; i < a->n_conns; i++) {
		const struct conn *c = &a->conns[i];
		if (!is_ghost_of(a, -1, c))
			continue;
		ghosts++;
		*clients += !a->apps[c->app].has_ghost;
		a->apps[c->app].has_ghost = true;
	}
	return ghosts;
}

uint64_t apps_ghosts(struct apps *a, int client)
{
	uint64_t ghosts = 0;

	for (int i = 0; i < a->n_conns; i++) {
		const struct conn *c = &a->conns[i];
		if (is_ghost_of(a, client, c))
			ghosts++;
	}
	return ghosts;
}
