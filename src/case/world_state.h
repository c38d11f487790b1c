/* SPDX-License-Identifier: MIT
 *
 * world_state.h - the model as a stage: what its files share
 *
 *   stage_world.c   building, changes, time, who is ready
 *   world_socket.c  the numbers of sockets, and what an application calls
 *   world_look.c    what stands in the tables: sockets, counters, sessions, the trace
 */
#ifndef TCPWHY_CASE_WORLD_STATE_H
#define TCPWHY_CASE_WORLD_STATE_H

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "case/stage_world.h"
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
	bool is_full;    /* the limit has refused something */
	bool is_starved; /* the system has, of what the limit allows */
};

static inline struct stage_world *self(struct stage *st)
{
	return (struct stage_world *)st;
}

static inline int fail(struct err *err, int error, const char *text)
{
	snprintf(err->text, sizeof(err->text), "%s", text);
	return error;
}

static inline int no_memory(struct err *err)
{
	return fail(err, -ENOMEM, "no memory");
}

static inline uint64_t to_stage(uint64_t world_ns)
{
	return world_ns == NEVER ? NEVER : world_ns > BEGIN_NS ? world_ns - BEGIN_NS : 0;
}

/* ------------------------------------------------------------------------------- world_socket.c */
/* A socket by the stage's number, a host by its node's: a wrong one is the caller's bug. */
struct sock *stage_world_sock_at(struct stage_world *w, int sock);
struct host *stage_world_host_at(struct stage_world *w, int host);
/* The stage's number of a handle; -1: nobody holds it. */
int stage_world_number_of(const struct stage_world *w, int node, tcpwhy_sock s);
/* A socket's host, brought to the world's time. */
struct host *stage_world_host_of_sock(struct stage_world *w, int sock);
/* From here on as in struct stage_ops. */
int stage_world_new_socket(struct stage *st, int host, enum tcpwhy_family family, uint32_t uid);
int stage_world_set_option(struct stage *st, int sock, enum tcpwhy_option option, uint64_t value);
int stage_world_bind_to(struct stage *st, int sock, const struct tcpwhy_addr *addr, uint16_t port);
int stage_world_listen_at(struct stage *st, int sock, int backlog);
int stage_world_connect_to(struct stage *st, int sock, const struct tcpwhy_addr *addr,
			   uint16_t port);
int stage_world_accept_from(struct stage *st, int sock);
int64_t stage_world_send_bytes(struct stage *st, int sock, uint32_t bytes);
int64_t stage_world_recv_bytes(struct stage *st, int sock, uint32_t max_bytes);
int stage_world_shut(struct stage *st, int sock, enum tcpwhy_how how);
int stage_world_close_sock(struct stage *st, int sock);
int stage_world_sock_error(struct stage *st, int sock);
int stage_world_sock_name(struct stage *st, int sock, struct tcpwhy_addr *addr, uint16_t *port);
int stage_world_peer_name(struct stage *st, int sock, struct tcpwhy_addr *addr, uint16_t *port);
int stage_world_host_of(struct stage *st, int sock);
uint32_t stage_world_device(struct stage *st, int host, int link);

/* --------------------------------------------------------------------------------- world_look.c */
/* As in struct stage_ops. */
int stage_world_look(struct stage *st, int sock, struct stage_sock *out);
int stage_world_find(struct stage *st, int host, const struct tcpwhy_addr *local, uint16_t port,
		     const struct tcpwhy_addr *peer, uint16_t peer_port, struct stage_sock *out);
bool stage_world_has(struct stage *st, int host, const struct tcpwhy_addr *local, uint16_t port,
		     const struct tcpwhy_addr *peer, uint16_t peer_port);
int stage_world_list(struct stage *st, int host, struct stage_sock *out, size_t max,
		     struct err *err);
int stage_world_destroy(struct stage *st, int host, const struct tcpwhy_addr *local, uint16_t port,
			const struct tcpwhy_addr *peer, uint16_t peer_port, struct err *err);
void stage_world_counters(struct stage *st, int host, uint64_t *values);
int stage_world_counter(struct stage *st, int host, const char *name, uint64_t *value,
			struct err *err);
bool stage_world_verdict(struct stage *st, int sock, struct tcpwhy_verdict *v);
int stage_world_sessions(struct stage *st, int box, struct session *out, size_t max,
			 struct err *err);
size_t stage_world_trace_count(struct stage *st);
bool stage_world_trace(struct stage *st, size_t i, struct line_record *out);
int stage_world_sight(struct stage *st, size_t i, struct stage_sight *out);

#endif
