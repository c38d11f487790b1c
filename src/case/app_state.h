/* SPDX-License-Identifier: MIT
 *
 * app_state.h - what applications are made of; private to app.c, app_server.c and app_client.c
 */
#ifndef TCPWHY_CASE_APP_STATE_H
#define TCPWHY_CASE_APP_STATE_H

#include "base/assert.h"
#include "case/app.h"

enum conn_state {
	CONN_CONNECTING, /* connect() is asked until it says how it ended */
	CONN_IDLE,       /* established, and nothing is asked: held, or in the pool */
	CONN_ASKING,     /* waits for a reply */
	CONN_ENDING,     /* waits for the other side's end */
	CONN_SERVING,    /* accepted */
};

struct conn {
	int app; /* -1: free */
	int sock;
	int partner;       /* proxy: the request's other connection, -1 none */
	int older, next;   /* of the pool; free: next */
	int before, after; /* of the application's, -1 none */
	enum conn_state state;
	uint32_t got; /* bytes of the request or the reply */
	uint32_t target;
	uint16_t port; /* of a client that watches them */
	bool pooled;
	uint64_t began_ns, timer_ns; /* timer: APP_FOREVER none */
};

_Static_assert(sizeof(struct conn) == 64, "a connection is one cache line");

struct application {
	int first;      /* of its connections, -1 */
	bool has_ghost; /* while ghosts are counted */
	bool is_server, stopped;
	struct app_server server;
	struct app_client client;
	struct app_figures figures;
	uint64_t timer_ns;
	/* a server */
	int listener;
	uint64_t next_accept_ns;
	/* a client */
	uint64_t begun, asking;
	size_t next_target;
	unsigned next_source;
	int pool;        /* the connection used last, -1 */
	uint64_t *ended; /* [target][port]: when a connection from there ended; 0 never */
};

/* What is due: a connection's or an application's (what < 0: ~what). Void if the owner's timer says
 * another time meanwhile. */
struct due {
	uint64_t when_ns, order;
	int what;
};

enum { APP_KNOWN = 1024 }; /* a power of two */

/* Attempts to connect, in instructions: a search that finds no port has asked for every one. */
enum { APP_ATTEMPT = 40, APP_SEARCH = 2000 };

struct apps {
	struct stage *st;
	const struct stage_ops *ops;
	uint64_t seed;
	bool (*goes_on)(void *ctx, uint64_t units); /* NULL: nobody asks for a price */
	void *payer;
	bool is_broke;
	unsigned watched; /* targets whose ports are watched */
	struct application *apps;
	int n_apps, apps_room;
	struct conn *conns;
	int n_conns, free_conn;
	int *closing; /* room for each connection once */
	int *conn_of; /* by socket: connection, ~application for a listener; or NOBODY */
	int socks;
	struct due *heap;
	size_t heap_size, heap_used;
	uint64_t order;
	/* Servers that were looked for, by a mix of address and port: application + 1, 0 none. */
	int known[APP_KNOWN];
};

/* ---------------------------------------------------------------------------------- app.c */
/* -1: no memory; then the socket is closed. */
int conn_new(struct apps *a, int app, int sock, enum conn_state state);
/* Closes it, tells its partner, and forgets it. */
void conn_close(struct apps *a, int conn);
/* The same, for that reason: a positive errno. */
void conn_fail(struct apps *a, int conn, int error);
void conn_timer(struct apps *a, int conn, uint64_t when_ns);
void app_timer(struct apps *a, int app, uint64_t when_ns);
bool sock_map(struct apps *a, int sock, int what);
void app_count(struct application *p, int error);
/* Whether somebody pays for that. */
bool app_pays(struct apps *a, uint64_t units);
/* n ns from now. */
uint64_t app_after(const struct apps *a, uint64_t n);

/* ---------------------------------------------------------------------------------- app_server.c
 */
int server_start(struct apps *a, int app, struct err *err);
void server_listener_ready(struct apps *a, int app);
void server_due(struct apps *a, int app);
void server_ready(struct apps *a, int conn);
void server_conn_due(struct apps *a, int conn);
/* The upstream's reply has come. */
void server_reply(struct apps *a, int conn);

/* ---------------------------------------------------------------------------------- app_client.c
 */
int client_start(struct apps *a, int app, struct err *err);
void client_due(struct apps *a, int app);
void client_ready(struct apps *a, int conn);
void client_conn_due(struct apps *a, int conn);
/* A request, on behalf of a proxy's connection (-1: none). False: it failed at once. */
bool client_request(struct apps *a, int app, int partner);
/* The connection is about to go. */
void client_leave(struct apps *a, int conn);

#endif
