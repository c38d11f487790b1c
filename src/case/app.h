/* SPDX-License-Identifier: MIT
 *
 * app.h - applications of a case: servers, clients, pools and proxies, many connections each
 *
 * Small programs over the socket calls of a stage, so they play in the model and on the kernel, and
 * a mesh of a hundred thousand connections costs no script. They know no protocol: a request is so
 * many bytes, a reply so many. What a case does by hand, call by call, needs none of this.
 *
 * They are the stage's driver from apps_new() on and act while its time passes. Applications are
 * numbers from 0 on; a wrong one is the caller's bug. Their failures are figures, not errors.
 */
#ifndef TCPWHY_CASE_APP_H
#define TCPWHY_CASE_APP_H

#include "case/picker.h"
#include "case/stage.h"

#define APP_FOREVER UINT64_MAX

struct apps;

/* The stage has been started and outlives them. NULL: no memory. */
struct apps *apps_new(struct stage *st, uint64_t seed);
/* Whoever pays for them: asked with a price in instructions, as sandbox.h counts, before each
 * attempt to connect. After the first false they do nothing more. */
void apps_budget(struct apps *a, bool (*goes_on)(void *ctx, uint64_t units), void *ctx);
/* Closes what is open. */
void apps_free(struct apps *a);

struct app_server {
	int host;
	struct tcpwhy_addr addr;
	uint16_t port;
	enum tcpwhy_family family;
	int backlog;
	bool reuseaddr;
	uint64_t accept_after_ns; /* it listens, but does not accept before */
	uint64_t accept_every_ns; /* at most one accept() in that time; 0: as they come */
	/* A request, and its reply. 0 bytes are asked: the server says nothing and waits. */
	uint32_t request_bytes, reply_bytes;
	bool closes_first; /* after the reply, or after hold_ns where nothing is asked */
	uint64_t hold_ns;
	bool ignores_end; /* of the other side: stays in CLOSE_WAIT */
	/* A proxy: each request is one of that client, whose reply it passes on. -1: none. */
	int upstream;
};

enum { APP_SOURCES = 64 };

struct app_client {
	int host;
	enum tcpwhy_family family;
	/* Destinations, in turn. Borrowed for the application's life. */
	const struct app_target {
		struct tcpwhy_addr addr;
		uint16_t port;
	} * targets;
	size_t n_targets;
	uint64_t total;    /* requests (connections, without keep-alive); 0: only for proxies */
	uint64_t begin_ns; /* from now */
	uint64_t every_ns; /* one in that time; 0: all at once */
	/* Sources, in turn; none: the route's. */
	struct tcpwhy_addr sources[APP_SOURCES];
	uint8_t n_sources;
	bool transparent;     /* IP_TRANSPARENT */
	bool no_port;         /* IP_BIND_ADDRESS_NO_PORT, where a source is bound without a port */
	bool reuseaddr;       /* SO_REUSEADDR; always where a picker chooses */
	struct picker picker; /* PICKER_KERNEL: none */
	uint32_t request_bytes, reply_bytes; /* 0: it asks nothing */
	bool keep_alive;    /* a connection serves the next request; the pool grows as needed */
	uint64_t idle_ns;   /* and is closed when idle for so long; APP_FOREVER */
	bool waits_for_end; /* the server closes first */
	uint64_t hold_ns;   /* without a request: closes after that; APP_FOREVER */
	/* Whether the server's TIME_WAIT at the chosen 4-tuple is looked for, and the time until a
	 * port comes back is taken. */
	bool watches_ports;
};

/* The application's number; -errno or STAGE_CANNOT with err->text. A server's bind() or listen()
 * that fails is such an error. */
int apps_add_server(struct apps *a, const struct app_server *s, struct err *err);
int apps_add_client(struct apps *a, const struct app_client *c, struct err *err);
/* Closes what it has open, and begins nothing more. Its figures stay. */
void apps_stop(struct apps *a, int app);

enum app_failure {
	APP_EADDRINUSE,
	APP_EADDRNOTAVAIL,
	APP_ECONNREFUSED,
	APP_ECONNRESET,
	APP_ETIMEDOUT,
	APP_EPIPE,
	APP_EOTHER,
	APP_FAILURES
};

struct app_figures {
	uint64_t opened;      /* connect() or accept() */
	uint64_t established; /* of connect(): the handshake was seen to be done */
	uint64_t open;        /* now, established */
	uint64_t waiting;     /* now, in connect() */
	uint64_t requests, replies;
	uint64_t closed; /* in order, by either side */
	uint64_t failed[APP_FAILURES];
	uint64_t slow;       /* connect() took more than half a second */
	uint64_t longest_ns; /* the longest connect() that succeeded */
	uint64_t last_ns;    /* when the last one did */
	/* of a client that watches ports */
	uint64_t collisions;              /* the server had TIME_WAIT at the 4-tuple */
	uint64_t returns, returns_in_60s; /* ports that were used before */
	uint64_t soonest_return_ns, total_return_ns;
	uint64_t passed_over; /* ports that were proposed and were not free */
};

void apps_figures(const struct apps *a, int app, struct app_figures *f);

/* Connections that the client (-1: any) has as established, and that the server's host does not
 * have so: no socket, or a request. Asks the stage for each one open. */
uint64_t apps_ghosts(struct apps *a, int client);

/* The same of all clients in one pass, and how many clients have some. */
uint64_t apps_all_ghosts(struct apps *a, unsigned *clients);

/* Whether a client has begun all it was to do, and nothing waits: for run_until(). */
bool apps_is_done(const struct apps *a, int client);
/* Only a client can be a server's upstream. */
bool apps_is_client(const struct apps *a, int app);

#endif
