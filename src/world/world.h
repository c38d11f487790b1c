/* SPDX-License-Identifier: MIT
 *
 * world.h - several hosts joined by wires, with boxes between them, in virtual time
 *
 * Discrete events: a segment arrives, a host's timer fires, a session of a box ends. Events of one
 * instant happen in the order in which they were planned, and every draw comes from the seed, so
 * the same calls give the same history, byte for byte. No system call, no clock; memory only from
 * the caller.
 *
 * The sockets are those of segment/host.h: ask world_host(), make the call, then world_flush(). It
 * does not judge, and it has no applications.
 *
 * Nodes and links are numbers from 0 on; a wrong one is the caller's bug. Times are ns from the
 * world's beginning. Addresses, links and prefixes are known to all from world_start() on.
 */
#ifndef TCPWHY_WORLD_WORLD_H
#define TCPWHY_WORLD_WORLD_H

#include "segment/host.h"
#include "world/line.h"
#include "world/rule.h"

struct world;

struct world_config {
	struct tcpwhy_memory memory; /* of the world and of each host; the limit is for each */
	uint64_t seed;
	uint32_t trace_max; /* records that are kept; later segments are only counted */
	/* Something happened to a socket; as in struct host_config. May be NULL. */
	void (*ready)(void *ctx, uint32_t node, tcpwhy_sock s);
	void *ctx;
};

/* NULL: no memory. */
struct world *world_new(const struct world_config *config);
void world_free(struct world *w);

/* -------------------------------------------------------------------------------------- topology
 */

enum {
	WORLD_NODES = 4096,
	WORLD_CONTROLS = 4096,    /* in a world's life, removed ones included */
	WORLD_RULES = 32,         /* of a node */
	WORLD_SESSIONS = 1 << 20, /* of a box; what needs one more is dropped */
	WORLD_FLIGHTS = 1 << 22,  /* segments on their way; one more is lost */
};

struct world_machine {
	const struct tcpwhy_row *row; /* borrowed */
	uint32_t clock_ms, window;    /* as in struct host_config */
	uint16_t hz;
};

/* The new node's number; -ENOSPC, -ENOMEM. */
int world_add_host(struct world *w, const struct world_machine *m);
int world_add_box(struct world *w);

struct world_link {
	uint32_t node[2];
	/* Of the devices. The first of each family is the source of what leaves there. */
	const struct tcpwhy_addr *addrs[2];
	size_t n_addrs[2];
	uint64_t
		delay_ns[2]; /* of one way, from end 0 and from end 1; 0 is a short cable's 10 us */
	uint32_t loss_ppm[2];
	bool tapped; /* recorded */
};

/* The new link's number; -EEXIST: an address that another end has; -ENOMEM. */
int world_add_link(struct world *w, const struct world_link *l);
/* An address range of a host beyond its links': local, it takes them for its own; routed, the
 * others send them there. The length is of the 16-byte form. 0, -ENOMEM. */
int world_add_prefix(struct world *w, uint32_t host, const struct tcpwhy_addr *prefix, unsigned len,
		     bool local, bool routed);
/* 0, -ENOMEM. */
int world_start(struct world *w);

void world_set_delay(struct world *w, uint32_t link, enum line_direction d, uint64_t delay_ns);
void world_set_loss(struct world *w, uint32_t link, enum line_direction d, uint32_t loss_ppm);
/* 0; -ENOSPC: more than WORLD_RULES; -EOPNOTSUPP: translation on a host. */
int world_set_rules(struct world *w, uint32_t node, const struct rule *rules, size_t n);
/* Up to max, oldest first; how many there are. */
size_t world_sessions(const struct world *w, uint32_t box, struct session *out, size_t max);

/* ----------------------------------------------------------------------------------- line controls
 */

/* On any link, tapped or not. The control's number, -ENOSPC or -ENOMEM. What is held when it is
 * removed is lost. */
int world_add_control(struct world *w, uint32_t link, enum line_direction d,
		      const struct line_control *c);
void world_remove_control(struct world *w, uint32_t control);
unsigned world_fired(const struct world *w, uint32_t control);
unsigned world_held(const struct world *w, uint32_t control);
unsigned world_release(struct world *w, uint32_t control);
void world_inject(struct world *w, uint32_t link, enum line_direction d, const struct segment *s);

/* Segments so far on tapped links; the i-th, false: not kept. */
size_t world_trace_count(const struct world *w);
bool world_trace(const struct world *w, size_t i, struct line_record *out);

/* ----------------------------------------------------------------------------------------- hosts
 */

/* Brought to the world's time; for calls of host.h, after which world_flush() carries away what
 * they sent. */
struct host *world_host(struct world *w, uint32_t node);
void world_flush(struct world *w, uint32_t node);
/* The source address of what goes to peer, through a device if that is not 0; peer becomes what
 * connect() makes of it (0.0.0.0 is this host). False: no route. */
bool world_route(struct world *w, uint32_t node, struct tcpwhy_addr *peer, uint32_t device,
		 struct tcpwhy_addr *source);
/* ifindex of a host's end of a link, 0: it has none; lo is 1. */
uint32_t world_device(const struct world *w, uint32_t node, uint32_t link);

/* ------------------------------------------------------------------------------------------ time
 */

uint64_t world_now(const struct world *w);
/* When the next event happens; UINT64_MAX: never. */
uint64_t world_next(const struct world *w);
/* Plays it. */
void world_step(struct world *w);
/* Moves the clock, not beyond the next event. */
void world_jump(struct world *w, uint64_t now_ns);

/* What it holds beside its hosts, and the events played so far. */
size_t world_bytes(const struct world *w);
uint64_t world_events(const struct world *w);

#endif
