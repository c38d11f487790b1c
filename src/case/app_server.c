/* SPDX-License-Identifier: MIT
 *
 * A server: it accepts at its pace, answers, and closes first or second
 */
#include "case/app_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { RECV_MAX = 1 << 20 };

static int call_listen(struct apps *a, const struct app_server *s, int sock, const char **call)
{
	int error = 0;

	*call = "setsockopt";
	if (s->reuseaddr)
		error = a->ops->setsockopt(a->st, sock, TCPWHY_SO_REUSEADDR, 1);
	if (error)
		return error;
	*call = "bind";
	error = a->ops->bind(a->st, sock, &s->addr, s->port);
	if (error)
		return error;
	*call = "listen";
	return a->ops->listen(a->st, sock, s->backlog);
}

int server_start(struct apps *a, int app, struct err *err)
{
	struct application *p = &a->apps[app];
	const char *call = "socket";
	int sock = a->ops->socket(a->st, p->server.host, p->server.family, 0);
	int error = sock < 0 ? sock : call_listen(a, &p->server, sock, &call);

	if (!error && !sock_map(a, sock, ~app))
		error = -ENOMEM;
	if (error) {
		snprintf(err->text, sizeof(err->text), "%s: %s", call, strerror(-error));
		if (sock >= 0)
			a->ops->close(a->st, sock);
		return error;
	}
	p->listener = sock;
	p->next_accept_ns = app_after(a, p->server.accept_after_ns);
	a->ops->watch(a->st, sock, true);
	return 0;
}

/* --------------------------------------------------------------------------------------- accept()
 */

static bool accept_one(struct apps *a, int app)
{
	struct application *p = &a->apps[app];
	int sock = a->ops->accept(a->st, p->listener);

	if (sock < 0)
		return false;
	int conn = conn_new(a, app, sock, CONN_SERVING);
	if (conn < 0)
		return true;
	p->figures.opened++;
	p->figures.open++;
	if (!p->server.request_bytes && p->server.closes_first)
		conn_timer(a, conn, app_after(a, p->server.hold_ns));
	return true;
}

/* As many as there are, or one and the next one later. */
static void accept_now(struct apps *a, int app)
{
	uint64_t every = a->apps[app].server.accept_every_ns;

	while (accept_one(a, app)) {
		if (!every)
			continue;
		a->apps[app].next_accept_ns = app_after(a, every);
		app_timer(a, app, a->apps[app].next_accept_ns);
		return;
	}
}

void server_listener_ready(struct apps *a, int app)
{
	struct application *p = &a->apps[app];

	if (p->next_accept_ns <= a->ops->now(a->st))
		accept_now(a, app);
	else if (p->timer_ns == APP_FOREVER)
		app_timer(a, app, p->next_accept_ns);
}

void server_due(struct apps *a, int app)
{
	accept_now(a, app);
}

/* --------------------------------------------------------------------------------- a connection */

void server_conn_due(struct apps *a, int conn)
{
	conn_close(a, conn);
}

void server_reply(struct apps *a, int conn)
{
	struct application *p = &a->apps[a->conns[conn].app];
	int64_t n = p->server.reply_bytes
			    ? a->ops->send(a->st, a->conns[conn].sock, p->server.reply_bytes)
			    : 0;

	if (n < 0) {
		conn_fail(a, conn, (int)-n);
		return;
	}
	p->figures.replies++;
	if (p->server.closes_first)
		conn_close(a, conn);
}

/* False: the connection is gone. */
static bool serve(struct apps *a, int conn)
{
	int app = a->conns[conn].app;
	struct application *p = &a->apps[app];

	p->figures.requests++;
	if (p->server.upstream < 0)
		server_reply(a, conn);
	else if (!client_request(a, p->server.upstream, conn))
		conn_fail(a, conn, EPIPE);
	return a->conns[conn].app == app;
}

static bool take_requests(struct apps *a, int conn)
{
	uint32_t size = a->apps[a->conns[conn].app].server.request_bytes;

	while (size && a->conns[conn].got >= size) {
		a->conns[conn].got -= size;
		if (!serve(a, conn))
			return false;
	}
	return true;
}

static void end_of_client(struct apps *a, int conn, int error)
{
	if (error)
		conn_fail(a, conn, error);
	else if (!a->apps[a->conns[conn].app].server.ignores_end)
		conn_close(a, conn);
}

void server_ready(struct apps *a, int conn)
{
	for (;;) {
		int64_t n = a->ops->recv(a->st, a->conns[conn].sock, RECV_MAX);
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			end_of_client(a, conn, (int)-n);
			return;
		}
		a->conns[conn].got += (uint32_t)n;
		if (!take_requests(a, conn))
			return;
	}
}
