/* SPDX-License-Identifier: MIT
 *
 * Applications: their connections, their timers, and what the stage tells them
 */
#include "case/app_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NOBODY = -0x40000000 };

/* ----------------------------------------------------------------------------------------- timers
 */

static bool sooner(const struct due *a, const struct due *b)
{
	return a->when_ns != b->when_ns ? a->when_ns < b->when_ns : a->order < b->order;
}

static void plan(struct apps *a, int what, uint64_t when_ns)
{
	struct due d = {.when_ns = when_ns, .order = a->order++, .what = what};

	if (a->heap_used == a->heap_size) {
		size_t size = a->heap_size ? a->heap_size * 2 : 64;
		struct due *grown = realloc(a->heap, size * sizeof(*grown));
		if (!grown)
			return; /* then it never happens */
		a->heap = grown;
		a->heap_size = size;
	}
	size_t at = a->heap_used++;
	while (at && sooner(&d, &a->heap[(at - 1) / 2])) {
		a->heap[at] = a->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	a->heap[at] = d;
}

static struct due take_first(struct apps *a)
{
	struct due first = a->heap[0], last = a->heap[--a->heap_used];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < a->heap_used) {
		if (child + 1 < a->heap_used && sooner(&a->heap[child + 1], &a->heap[child]))
			child++;
		if (!sooner(&a->heap[child], &last))
			break;
		a->heap[at] = a->heap[child];
		at = child;
	}
	a->heap[at] = last;
	return first;
}

uint64_t app_after(const struct apps *a, uint64_t n)
{
	uint64_t now = a->ops->now(a->st);

	return n < APP_FOREVER - now ? now + n : APP_FOREVER;
}

void conn_timer(struct apps *a, int conn, uint64_t when_ns)
{
	a->conns[conn].timer_ns = when_ns;
	if (when_ns != APP_FOREVER)
		plan(a, conn, when_ns);
}

void app_timer(struct apps *a, int app, uint64_t when_ns)
{
	a->apps[app].timer_ns = when_ns;
	if (when_ns != APP_FOREVER)
		plan(a, ~app, when_ns);
}

static uint64_t deadline(void *ctx)
{
	const struct apps *a = ctx;

	return a->heap_used && !a->is_broke ? a->heap[0].when_ns : APP_FOREVER;
}

static void fire_app(struct apps *a, int app, uint64_t when_ns)
{
	struct application *p = &a->apps[app];

	if (p->timer_ns != when_ns || p->stopped)
		return;
	p->timer_ns = APP_FOREVER;
	if (p->is_server)
		server_due(a, app);
	else
		client_due(a, app);
}

static void fire_conn(struct apps *a, int conn, uint64_t when_ns)
{
	struct conn *c = &a->conns[conn];

	if (c->app < 0 || c->timer_ns != when_ns)
		return;
	c->timer_ns = APP_FOREVER;
	if (c->state == CONN_SERVING)
		server_conn_due(a, conn);
	else
		client_conn_due(a, conn);
}

static void due(void *ctx)
{
	struct apps *a = ctx;
	uint64_t now = a->ops->now(a->st);

	while (!a->is_broke && a->heap_used && a->heap[0].when_ns <= now) {
		struct due d = take_first(a);
		if (d.what < 0)
			fire_app(a, ~d.what, d.when_ns);
		else
			fire_conn(a, d.what, d.when_ns);
	}
}

/* ------------------------------------------------------------------------------------ connections
 */

bool sock_map(struct apps *a, int sock, int what)
{
	if (sock >= a->socks) {
		int size = a->socks ? a->socks : 64;
		while (size <= sock)
			size *= 2;
		int *grown = realloc(a->conn_of, (size_t)size * sizeof(*grown));
		if (!grown)
			return false;
		for (int i = a->socks; i < size; i++)
			grown[i] = NOBODY;
		a->conn_of = grown;
		a->socks = size;
	}
	a->conn_of[sock] = what;
	return true;
}

static bool grow_conns(struct apps *a)
{
	int size = a->n_conns ? a->n_conns * 2 : 64;
	int *closing = realloc(a->closing, (size_t)size * sizeof(*closing));

	if (!closing)
		return false;
	a->closing = closing;
	struct conn *grown = realloc(a->conns, (size_t)size * sizeof(*grown));
	if (!grown)
		return false;
	for (int i = size - 1; i >= a->n_conns; i--) {
		grown[i] = (struct conn){.app = -1, .next = a->free_conn};
		a->free_conn = i;
	}
	a->conns = grown;
	a->n_conns = size;
	return true;
}

static void enter(struct apps *a, int conn)
{
	struct conn *c = &a->conns[conn];
	struct application *p = &a->apps[c->app];

	c->before = -1;
	c->after = p->first;
	if (p->first >= 0)
		a->conns[p->first].before = conn;
	p->first = conn;
}

static void leave(struct apps *a, const struct conn *c)
{
	if (c->before >= 0)
		a->conns[c->before].after = c->after;
	else
		a->apps[c->app].first = c->after;
	if (c->after >= 0)
		a->conns[c->after].before = c->before;
}

int conn_new(struct apps *a, int app, int sock, enum conn_state state)
{
	if ((a->free_conn < 0 && !grow_conns(a)) || !sock_map(a, sock, a->free_conn)) {
		a->ops->close(a->st, sock);
		return -1;
	}
	int i = a->free_conn;
	a->free_conn = a->conns[i].next;
	a->conns[i] = (struct conn){.app = app,
				    .sock = sock,
				    .partner = -1,
				    .older = -1,
				    .next = -1,
				    .state = state,
				    .began_ns = a->ops->now(a->st),
				    .timer_ns = APP_FOREVER};
	enter(a, i);
	a->ops->watch(a->st, sock, true);
	return i;
}

static void forget(struct apps *a, int conn)
{
	struct conn *c = &a->conns[conn];

	a->ops->close(a->st, c->sock);
	a->conn_of[c->sock] = NOBODY;
	leave(a, c);
	c->app = -1;
	c->next = a->free_conn;
	a->free_conn = conn;
}

void conn_close(struct apps *a, int conn)
{
	int partner = a->conns[conn].partner;
	struct application *p = &a->apps[a->conns[conn].app];

	if (p->is_server)
		p->figures.open--;
	else
		client_leave(a, conn);
	p->figures.closed++;
	forget(a, conn);
	if (partner < 0)
		return;
	a->conns[partner].partner = -1;
	if (!p->is_server) /* the request has failed: so has the one that it was for */
		conn_close(a, partner);
}

void app_count(struct application *p, int error)
{
	enum app_failure f = APP_EOTHER;

	if (error == EADDRINUSE)
		f = APP_EADDRINUSE;
	else if (error == EADDRNOTAVAIL)
		f = APP_EADDRNOTAVAIL;
	else if (error == ECONNREFUSED)
		f = APP_ECONNREFUSED;
	else if (error == ECONNRESET)
		f = APP_ECONNRESET;
	else if (error == ETIMEDOUT)
		f = APP_ETIMEDOUT;
	else if (error == EPIPE)
		f = APP_EPIPE;
	p->figures.failed[f]++;
}

void conn_fail(struct apps *a, int conn, int error)
{
	struct application *p = &a->apps[a->conns[conn].app];

	app_count(p, error);
	p->figures.closed--;
	conn_close(a, conn);
}

static void ready(void *ctx, int sock)
{
	struct apps *a = ctx;
	int what = sock < a->socks ? a->conn_of[sock] : NOBODY;

	if (what == NOBODY || a->is_broke)
		return;
	if (what < 0)
		server_listener_ready(a, ~what);
	else if (a->conns[what].state == CONN_SERVING)
		server_ready(a, what);
	else
		client_ready(a, what);
}

/* ------------------------------------------------------------------------------------ applications
 */

struct apps *apps_new(struct stage *st, uint64_t seed)
{
	struct apps *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->st = st;
	a->ops = st->ops;
	a->seed = seed;
	a->free_conn = -1;
	struct stage_driver d = {.ctx = a, .ready = ready, .deadline = deadline, .due = due};
	st->ops->drive(st, &d);
	return a;
}

void apps_budget(struct apps *a, bool (*goes_on)(void *ctx, uint64_t units), void *ctx)
{
	a->goes_on = goes_on;
	a->payer = ctx;
}

bool app_pays(struct apps *a, uint64_t units)
{
	if (a->goes_on && !a->is_broke)
		a->is_broke = !a->goes_on(a->payer, units);
	return !a->is_broke;
}

static int by_number(const void *a, const void *b)
{
	const int x = *(const int *)a, y = *(const int *)b;

	return x < y ? -1 : x > y;
}

/* In the order of their numbers. One may have gone with another's that was closed before it. */
static void close_all_of(struct apps *a, int app)
{
	size_t n = 0;

	for (int i = a->apps[app].first; i >= 0; i = a->conns[i].after)
		a->closing[n++] = i;
	if (n)
		qsort(a->closing, n, sizeof(*a->closing), by_number);
	for (size_t k = 0; k < n; k++)
		if (a->conns[a->closing[k]].app == app)
			conn_close(a, a->closing[k]);
}

static void close_all(struct apps *a)
{
	for (int i = 0; i < a->n_conns; i++)
		if (a->conns[i].app >= 0)
			conn_close(a, i);
}

static void stop_listening(struct apps *a, struct application *p)
{
	if (p->is_server && !p->stopped) {
		a->conn_of[p->listener] = NOBODY;
		a->ops->close(a->st, p->listener);
	}
	p->stopped = true;
}

void apps_stop(struct apps *a, int app)
{
	must(app >= 0 && app < a->n_apps);
	if (!a->apps[app].stopped)
		close_all_of(a, app);
	stop_listening(a, &a->apps[app]);
}

void apps_free(struct apps *a)
{
	if (!a)
		return;
	close_all(a);
	for (int i = 0; i < a->n_apps; i++) {
		stop_listening(a, &a->apps[i]);
		free(a->apps[i].ended);
	}
	a->ops->drive(a->st, NULL);
	free(a->apps);
	free(a->conns);
	free(a->closing);
	free(a->conn_of);
	free(a->heap);
	free(a);
}

static int new_application(struct apps *a, struct err *err)
{
	if (a->n_apps == a->apps_room) {
		int room = a->apps_room ? 2 * a->apps_room : 8;
		struct application *grown = realloc(a->apps, (size_t)room * sizeof(*grown));

		if (!grown) {
			strcpy(err->text, "no memory");
			return -ENOMEM;
		}
		a->apps = grown;
		a->apps_room = room;
	}
	a->apps[a->n_apps] = (struct application){.first = -1, .timer_ns = APP_FOREVER, .pool = -1};
	return a->n_apps;
}

int apps_add_server(struct apps *a, const struct app_server *s, struct err *err)
{
	int app = new_application(a, err);

	if (app < 0)
		return app;
	must(s->upstream < a->n_apps && (s->upstream < 0 || apps_is_client(a, s->upstream)));
	a->apps[app].is_server = true;
	a->apps[app].server = *s;
	int error = server_start(a, app, err);
	if (error)
		return error;
	return a->n_apps++;
}

int apps_add_client(struct apps *a, const struct app_client *c, struct err *err)
{
	int app = new_application(a, err);

	if (app < 0)
		return app;
	a->apps[app].client = *c;
	int error = client_start(a, app, err);
	if (error)
		return error;
	return a->n_apps++;
}

void apps_figures(const struct apps *a, int app, struct app_figures *f)
{
	must(app >= 0 && app < a->n_apps);
	*f = a->apps[app].figures;
}
