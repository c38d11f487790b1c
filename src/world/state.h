/* SPDX-License-Identifier: MIT
 *
 * state.h - what a world is made of; private to src/world
 *
 *   node     a host or a box
 *   end      of a link, at a node: a device
 *   flight   a segment on its way: planned to arrive, or held by a control
 *   event    what happens at an instant: a flight arrives, a host's timer fires, a session ends
 */
#ifndef TCPWHY_WORLD_STATE_H
#define TCPWHY_WORLD_STATE_H

#include "base/address.h"
#include "base/assert.h"
#include "base/memory.h"
#include "world/world.h"

#define NS_PER_S UINT64_C(1000000000)
#define NEVER    UINT64_MAX

#define CABLE_NS    UINT64_C(10000) /* one way on a link without a delay of its own */
#define LOOPBACK_NS UINT64_C(1000)

enum { LOOPBACK = 1 }; /* lo's ifindex */

enum event_kind { EVENT_FLIGHT, EVENT_HOST, EVENT_SESSION };

struct event {
	uint32_t what; /* flight, node, session */
	uint32_t node; /* EVENT_SESSION: the box */
	uint32_t next; /* of the instant; or of the free ones */
	uint8_t kind;
};

/* A time for which something is planned. */
struct instant {
	uint64_t when_ns;
	uint32_t first,
		last; /* events, in the order of planning; free: first is the next free one */
};

/* An instant's place in the heap; order: of two of the same time the older one comes first. */
struct turn {
	uint64_t when_ns, order;
	uint32_t instant;
};

enum { INSTANTS_KNOWN = 512 }; /* a power of two */

/* A crowd does much at the same instant, so instants are sorted, not events. */
struct agenda {
	struct event *events;
	uint32_t events_size, events_used, events_free;
	struct instant *instants;
	uint32_t instants_size, instants_used, instants_free;
	struct turn *heap;
	uint32_t heap_size, heap_used;
	uint32_t known[INSTANTS_KNOWN]; /* by a mix of the time: the youngest of it + 1, or 0 */
	uint64_t order;
};

struct flight {
	struct segment s;
	uint32_t link;   /* NIL: within the node */
	uint32_t node;   /* then: where */
	uint32_t record; /* NIL: not kept */
	uint32_t next;   /* of what a control holds, or of the free ones */
	uint8_t direction;
};

struct flights {
	uint32_t first, last, count;
};

/* link * 2 + side. */
struct end {
	uint32_t node, device;
	struct tcpwhy_addr source[2]; /* the first of IPv4 and of IPv6; all zero: none */
	uint32_t *via; /* by node: the link towards this end, NIL none. NULL: not asked yet. */
};

struct link {
	uint64_t delay_ns[2];
	uint32_t loss_ppm[2], controls[2];
	struct flights swapped[2]; /* wait for the next segment */
	bool tapped;
};

struct control {
	struct line_control c;
	uint32_t link;
	unsigned seen, fired;
	struct flights held;
	uint8_t direction;
	bool used;
};

/* Whose an address is. */
struct address {
	struct tcpwhy_addr addr;
	uint32_t end, next;
};

struct prefix {
	struct tcpwhy_addr addr;
	uint32_t node;
	uint8_t len;
	bool local, routed;
};

/* What a box knows of a connection. Side 0 is the client's: of its last segment the numbers. */
struct tracked {
	struct session pub;
	struct balancer belief;
	uint64_t reset_ns; /* how long it lasts after a RST */
	uint64_t queued_ns, order;
	uint32_t acked[2];
	bool has_acked[2], fin[2];
	bool confirmed; /* a segment has passed */
	bool used;
	uint32_t next[2]; /* chains, by direction; free: next[0] */
};

struct box {
	struct tracked *sessions;
	uint32_t size, used, free;
	struct chains chains; /* session * 2 + direction */
	uint64_t begun;
	uint32_t turn; /* of the balancer */
	bool is_proxy; /* a balancer took it to user space, for good: box_segment() */
};

struct node {
	struct world *world;
	uint32_t number;
	struct host *host; /* NULL: a box */
	struct box box;
	struct rule *rules;
	uint32_t rules_size, n_rules;
	uint32_t devices; /* given out; lo is 1 */
	uint32_t *links;  /* in order */
	uint32_t links_size, n_links;
	uint64_t queued_ns; /* when its next timer is planned; NEVER */
	uint64_t random;
	struct tcpwhy_perturb perturb;
};

struct world {
	struct memory memory;
	struct world_config config;
	uint64_t now_ns, random, events;
	bool started;

	struct node **nodes;
	uint32_t nodes_size, n_nodes, n_hosts;
	struct link *links;
	struct end *ends;
	uint32_t links_size, ends_size, n_links;
	struct address *addresses;
	uint32_t addresses_size, n_addresses;
	struct chains by_address;
	struct prefix *prefixes;
	uint32_t prefixes_size, n_prefixes;
	uint32_t *queue; /* of the search for ways */

	struct agenda agenda;
	struct flight *flights;
	uint32_t flights_size, flights_used, flights_free;
	struct control *controls;
	uint32_t controls_size, n_controls;
	struct line_record *trace;
	uint32_t trace_size, trace_used;
	size_t trace_count;
};

static inline uint32_t other_node(const struct world *w, uint32_t link, uint32_t node)
{
	return w->ends[link * 2].node == node ? w->ends[link * 2 + 1].node : w->ends[link * 2].node;
}

/* The side of a link that is at the node. */
static inline uint8_t side_of(const struct world *w, uint32_t link, uint32_t node)
{
	return w->ends[link * 2].node == node ? 0 : 1;
}

/* ---------------------------------------------------------------------------------- world.c */
/* A number in [0, n). */
uint32_t draw_from(uint64_t *state, uint32_t n);
/* Gives it to the host's TCP. */
void host_take(struct world *w, uint32_t node, const struct segment *s, uint32_t device);

/* ---------------------------------------------------------------------------------- event.c */
void agenda_init(struct agenda *a);
void agenda_fini(struct memory *m, struct agenda *a);
/* False: no memory; then it never happens. */
bool event_plan(struct world *w, enum event_kind kind, uint64_t when_ns, uint32_t node,
		uint32_t what);
/* When the next one happens; NEVER. */
uint64_t event_next(const struct world *w);
/* There must be one. */
struct event event_take(struct world *w);
/* The flights among the next AHEAD events of the instant, by how many come before; else NIL. */
enum { AHEAD = 5 };
void event_ahead(const struct world *w, uint32_t flight[AHEAD]);

/* ---------------------------------------------------------------------------------- route.c */
int address_add(struct world *w, const struct tcpwhy_addr *a, uint32_t end);
/* Whether the node takes what goes there for its own. */
bool route_is_local(const struct world *w, uint32_t node, const struct tcpwhy_addr *a);
/* The link by which a segment leaves a node, by its route or the device that it names; NIL: none,
 * or it is the node's own. */
uint32_t route_link(struct world *w, uint32_t node, const struct segment *s, bool *local);

/* A segment leaves a node. Without a route it is lost. */
void node_send(struct world *w, uint32_t node, const struct segment *s);

/* ---------------------------------------------------------------------------------- wire.c */
void wire_send(struct world *w, uint32_t link, uint8_t direction, const struct segment *s);
/* Within a node. */
void wire_loop(struct world *w, uint32_t node, const struct segment *s);
void wire_arrive(struct world *w, uint32_t flight);
/* It will, after so many others. */
void wire_expect(const struct world *w, uint32_t flight, unsigned others);

/* ---------------------------------------------------------------------------------- filter.c */
/* The filter that stops a segment; NULL: it passes. */
const struct rule *filter_find(const struct node *n, enum rule_place place,
			       const struct segment *s);
/* What it answers. False: nothing. */
bool filter_answer(const struct rule *r, const struct segment *s, struct segment *answer);
bool rule_fits(const struct rule *r, const struct segment *s);
/* The RST that a filter sends in the name of the destination. False: none answers a RST. */
bool filter_reset(const struct segment *s, struct segment *reset);

/* ---------------------------------------------------------------------------------- box.c */
void box_segment(struct world *w, struct node *n, const struct segment *s);
/* Whether a box does nothing but pass on what is not for itself. */
bool box_is_plain(const struct node *n);

/* ---------------------------------------------------------------------------------- session.c */
/* The session of a segment, and its direction: 0 from the client. NIL: none. */
uint32_t session_find(const struct box *b, const struct segment *s, unsigned *direction);
/* For a client's first segment. after: as it shall leave; its source port is found here, if snat.
 * NIL: no room, or no port. */
uint32_t session_begin(struct world *w, struct node *n, const struct segment *s,
		       struct segment *after, bool snat);
void session_end(struct world *w, struct node *n, uint32_t i);
/* The segment as it leaves: the destination first, then the source. */
void session_translate_to(const struct tracked *t, unsigned direction, struct segment *s);
void session_translate_from(const struct tracked *t, unsigned direction, struct segment *s);
/* What the box learns from it. */
void session_learn(struct world *w, struct node *n, uint32_t i, unsigned direction,
		   const struct segment *s);
/* Its time may have come. */
void session_due(struct world *w, struct node *n, uint32_t i, uint64_t when_ns);

#endif
