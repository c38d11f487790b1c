/* SPDX-License-Identifier: MIT
 *
 * A world: made, joined, started, and played event by event
 */
#include <errno.h>
#include <string.h>

#include "world/state.h"

/* A table of connect()'s starts for each host (65,536 entries, 256 before 5.18, or one hint before
 * 5.12) is large where hosts are many: from then on it is small. */
enum { MANY_HOSTS = 32, SMALL_TABLE = 256, LARGE_TABLE = 65536 };

/* ----------------------------------------------------------------------------------------- chance
 */

static uint64_t random_word(uint64_t *x)
{
	uint64_t z = *x += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint32_t draw_from(uint64_t *state, uint32_t n)
{
	return (uint32_t)((random_word(state) >> 32) * n >> 32);
}

/* Each host draws for itself, so that what one does leaves the others as they are. */
static uint32_t draw_of_host(void *ctx, uint32_t n)
{
	struct node *node = ctx;

	return draw_from(&node->random, n);
}

/* --------------------------------------------------------------------------------------- building
 */

struct world *world_new(const struct world_config *config)
{
	struct memory m = {.from = config->memory};
	struct world *w = memory_new(&m, sizeof(*w));

	if (!w)
		return NULL;
	w->memory = m;
	w->config = *config;
	w->flights_free = NIL;
	agenda_init(&w->agenda);
	w->random = config->seed;
	random_word(&w->random);
	return w;
}

static void node_free(struct world *w, struct node *n)
{
	host_free(n->host);
	memory_drop(&w->memory, &n->box.sessions, n->box.size, sizeof(*n->box.sessions));
	memory_drop(&w->memory, &n->box.chains.head, n->box.chains.size, sizeof(uint32_t));
	memory_drop(&w->memory, &n->rules, n->rules_size, sizeof(*n->rules));
	memory_drop(&w->memory, &n->links, n->links_size, sizeof(*n->links));
	memory_drop(&w->memory, &n->perturb.table, n->perturb.table ? n->perturb.size : 0,
		    sizeof(uint32_t));
	memory_drop(&w->memory, &n, 1, sizeof(*n));
}

void world_free(struct world *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; i < w->n_links * 2; i++)
		memory_drop(&w->memory, &w->ends[i].via, w->ends[i].via ? w->n_nodes : 0,
			    sizeof(uint32_t));
	for (uint32_t i = 0; i < w->n_nodes; i++)
		node_free(w, w->nodes[i]);
	memory_drop(&w->memory, &w->nodes, w->nodes_size, sizeof(struct node *));
	memory_drop(&w->memory, &w->links, w->links_size, sizeof(*w->links));
	memory_drop(&w->memory, &w->ends, w->ends_size, sizeof(*w->ends));
	memory_drop(&w->memory, &w->addresses, w->addresses_size, sizeof(*w->addresses));
	memory_drop(&w->memory, &w->by_address.head, w->by_address.size, sizeof(uint32_t));
	memory_drop(&w->memory, &w->prefixes, w->prefixes_size, sizeof(*w->prefixes));
	memory_drop(&w->memory, &w->queue, w->queue ? w->n_nodes + 1 : 0, sizeof(*w->queue));
	agenda_fini(&w->memory, &w->agenda);
	memory_drop(&w->memory, &w->flights, w->flights_size, sizeof(*w->flights));
	memory_drop(&w->memory, &w->controls, w->controls_size, sizeof(*w->controls));
	memory_drop(&w->memory, &w->trace, w->trace_size, sizeof(*w->trace));
	struct memory m = w->memory;
	memory_drop(&m, &w, 1, sizeof(*w));
}

static void host_ready(void *ctx, tcpwhy_sock s)
{
	const struct node *n = ctx;
	const struct world_config *c = &n->world->config;

	if (c->ready)
		c->ready(c->ctx, n->number, s);
}

static struct node *add_node(struct world *w)
{
	must(!w->started);
	if (!memory_grow(&w->memory, &w->nodes, &w->nodes_size, w->n_nodes + 1,
			 sizeof(struct node *)))
		return NULL;
	struct node *n = memory_new(&w->memory, sizeof(*n));
	if (!n)
		return NULL;
	n->world = w;
	n->number = w->n_nodes;
	n->devices = LOOPBACK;
	n->queued_ns = NEVER;
	n->box.free = NIL;
	n->random = w->config.seed ^ (uint64_t)(w->n_nodes + 1) << 40;
	random_word(&n->random);
	w->nodes[w->n_nodes++] = n;
	return n;
}

static bool add_loopback(struct tcpwhy_engine *e)
{
	struct tcpwhy_addr v4 = address_v4_number(0x7f000000), v6 = {.b[15] = 1};

	return tcpwhy_add_device(e, LOOPBACK, 0) == 0 &&
	       tcpwhy_add_local(e, &v4, 104, TCPWHY_LOCAL, LOOPBACK, 0) == 0 &&
	       tcpwhy_add_local(e, &v6, 128, TCPWHY_LOCAL, LOOPBACK, 0) == 0;
}

static struct host *make_host(struct world *w, struct node *n, const struct world_machine *m)
{
	struct host_config config = {.row = m->row,
				     .memory = w->config.memory,
				     .draw = draw_of_host,
				     .ctx = n,
				     .ready = host_ready,
				     .perturb = &n->perturb,
				     .clock_ms = m->clock_ms,
				     .window = m->window,
				     .hz = m->hz};

	n->perturb.key[0] = random_word(&n->random);
	n->perturb.key[1] = random_word(&n->random);
	n->perturb.size = m->row->features & TCPWHY_F_PERTURB_TABLE ? LARGE_TABLE : 1;
	if (n->perturb.size > 1 && !(m->row->features & TCPWHY_F_START_REKEYED))
		n->perturb.size = SMALL_TABLE;
	return host_new(&config);
}

int world_add_host(struct world *w, const struct world_machine *m)
{
	if (w->n_nodes == WORLD_NODES)
		return -ENOSPC;
	struct node *n = add_node(w);
	if (!n)
		return -ENOMEM;
	n->host = make_host(w, n, m);
	if (!n->host || !add_loopback(host_engine(n->host))) {
		node_free(w, n);
		w->n_nodes--;
		return -ENOMEM;
	}
	w->n_hosts++;
	return (int)n->number;
}

int world_add_box(struct world *w)
{
	if (w->n_nodes == WORLD_NODES)
		return -ENOSPC;
	struct node *n = add_node(w);
	return n ? (int)n->number : -ENOMEM;
}

static int add_end(struct world *w, uint32_t end, const struct world_link *l)
{
	unsigned side = end % 2;
	struct node *n = w->nodes[l->node[side]];

	if (!memory_grow(&w->memory, &n->links, &n->links_size, n->n_links + 1, sizeof(*n->links)))
		return -ENOMEM;
	n->links[n->n_links++] = end / 2;
	w->ends[end] = (struct end){.node = n->number, .device = ++n->devices};
	if (n->host && tcpwhy_add_device(host_engine(n->host), n->devices, 0) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < l->n_addrs[side]; i++) {
		const struct tcpwhy_addr *a = &l->addrs[side][i];
		struct tcpwhy_addr *source = &w->ends[end].source[address_is_v4(a) ? 0 : 1];
		int error = address_add(w, a, end);
		if (!error && n->host)
			error = tcpwhy_add_local(host_engine(n->host), a, 128, TCPWHY_LOCAL,
						 n->devices, 0);
		if (error)
			return error;
		if (address_is_any6(source))
			*source = *a;
	}
	return 0;
}

int world_add_link(struct world *w, const struct world_link *l)
{
	uint32_t i = w->n_links;

	must(!w->started && l->node[0] < w->n_nodes && l->node[1] < w->n_nodes);
	must(l->node[0] != l->node[1]);
	if (!memory_grow(&w->memory, &w->links, &w->links_size, i + 1, sizeof(*w->links)) ||
	    !memory_grow(&w->memory, &w->ends, &w->ends_size, i * 2 + 2, sizeof(*w->ends)))
		return -ENOMEM;
	int error = add_end(w, i * 2, l);
	if (!error)
		error = add_end(w, i * 2 + 1, l);
	if (error)
		return error;
	struct link *made = &w->links[i];
	*made = (struct link){.tapped = l->tapped};
	memcpy(made->delay_ns, l->delay_ns, sizeof(made->delay_ns));
	memcpy(made->loss_ppm, l->loss_ppm, sizeof(made->loss_ppm));
	made->swapped[0] = made->swapped[1] = (struct flights){.first = NIL, .last = NIL};
	w->n_links++;
	return (int)i;
}

int world_add_prefix(struct world *w, uint32_t host, const struct tcpwhy_addr *prefix, unsigned len,
		     bool local, bool routed)
{
	must(!w->started && host < w->n_nodes && w->nodes[host]->host && len <= 128);
	if (!memory_grow(&w->memory, &w->prefixes, &w->prefixes_size, w->n_prefixes + 1,
			 sizeof(*w->prefixes)))
		return -ENOMEM;
	w->prefixes[w->n_prefixes++] = (struct prefix){.addr = *prefix,
						       .node = host,
						       .len = (uint8_t)len,
						       .local = local,
						       .routed = routed};
	return local ? tcpwhy_add_local(host_engine(w->nodes[host]->host), prefix, len,
					TCPWHY_LOCAL, LOOPBACK, 0)
		     : 0;
}

static bool make_table(struct world *w, struct node *n)
{
	struct tcpwhy_perturb *p = &n->perturb;

	if (p->size > SMALL_TABLE && w->n_hosts >= MANY_HOSTS)
		p->size = SMALL_TABLE;
	p->table = memory_new(&w->memory, p->size * sizeof(*p->table));
	for (uint32_t i = 0; p->table && i < p->size; i++)
		p->table[i] = (uint32_t)random_word(&n->random);
	return p->table;
}

int world_start(struct world *w)
{
	must(!w->started);
	for (uint32_t i = 0; i < w->n_nodes; i++)
		if (w->nodes[i]->host && !make_table(w, w->nodes[i]))
			return -ENOMEM;
	w->queue = memory_new(&w->memory, (w->n_nodes + 1) * sizeof(*w->queue));
	w->started = w->queue;
	return w->started ? 0 : -ENOMEM;
}

void world_set_delay(struct world *w, uint32_t link, enum line_direction d, uint64_t delay_ns)
{
	must(link < w->n_links);
	for (unsigned side = 0; side < 2; side++)
		if (d == LINE_BOTH || side == (unsigned)d)
			w->links[link].delay_ns[side] = delay_ns;
}

void world_set_loss(struct world *w, uint32_t link, enum line_direction d, uint32_t loss_ppm)
{
	must(link < w->n_links);
	for (unsigned side = 0; side < 2; side++)
		if (d == LINE_BOTH || side == (unsigned)d)
			w->links[link].loss_ppm[side] = loss_ppm;
}

static bool can(const struct node *n, const struct rule *r)
{
	bool translates =
		r->action == RULE_SNAT || r->action == RULE_DNAT || r->action == RULE_BALANCE;

	return !n->host || !translates;
}

int world_set_rules(struct world *w, uint32_t node, const struct rule *rules, size_t n)
{
	must(node < w->n_nodes);
	struct node *at = w->nodes[node];
	if (n > WORLD_RULES)
		return -ENOSPC;
	for (size_t i = 0; i < n; i++)
		if (!can(at, &rules[i]))
			return -EOPNOTSUPP;
	if (!memory_grow(&w->memory, &at->rules, &at->rules_size, (uint32_t)n, sizeof(*rules)))
		return -ENOMEM;
	if (n)
		memcpy(at->rules, rules, n * sizeof(*rules));
	at->n_rules = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		at->box.is_proxy |= rules[i].action == RULE_BALANCE;
	return 0;
}

/* ------------------------------------------------------------------------------------------ hosts
 */

struct host *world_host(struct world *w, uint32_t node)
{
	must(w->started && node < w->n_nodes && w->nodes[node]->host);
	host_advance(w->nodes[node]->host, w->now_ns);
	return w->nodes[node]->host;
}

/* The host's own filter answers before a call that sends returns: ICMP finds the socket locked. A
 * RST waits for the unlocking (the socket's backlog). */
static void leave(struct world *w, struct node *n, const struct segment *s, bool in_call)
{
	const struct rule *filter = filter_find(n, RULE_OUT, s);
	struct segment answer;

	if (!filter)
		node_send(w, n->number, s);
	else if (!filter_answer(filter, s, &answer))
		return;
	else if (answer.error && in_call)
		host_error_in_call(n->host, &answer);
	else
		wire_loop(w, n->number, &answer);
}

/* One timer event for a host is planned ahead; one that became too early only asks again. */
static void flush(struct world *w, uint32_t node, bool in_call)
{
	struct node *n = w->nodes[node];
	struct segment s;

	while (host_segment_out(n->host, &s))
		leave(w, n, &s, in_call);
	uint64_t due = host_deadline(n->host);
	if (due < n->queued_ns && event_plan(w, EVENT_HOST, due, node, node))
		n->queued_ns = due;
}

void world_flush(struct world *w, uint32_t node)
{
	flush(w, node, true);
}

void host_take(struct world *w, uint32_t node, const struct segment *s, uint32_t device)
{
	struct node *n = w->nodes[node];
	const struct rule *filter = filter_find(n, RULE_IN, s);
	struct segment arrived = *s, answer;

	if (filter) {
		if (filter_answer(filter, s, &answer))
			node_send(w, node, &answer);
		return;
	}
	arrived.device = device;
	host_segment_in(world_host(w, node), &arrived);
	flush(w, node, false);
}

/* ------------------------------------------------------------------------------------------- time
 */

uint64_t world_now(const struct world *w)
{
	return w->now_ns;
}

uint64_t world_next(const struct world *w)
{
	return event_next(w);
}

static void host_due(struct world *w, uint32_t node, uint64_t when_ns)
{
	struct node *n = w->nodes[node];

	if (n->queued_ns != when_ns)
		return;
	n->queued_ns = NEVER;
	world_host(w, node);
	flush(w, node, false);
}

/* In a crowd the next events are segments to other hosts, each far away in memory. */
static void look_ahead(const struct world *w)
{
	uint32_t flight[AHEAD];

	event_ahead(w, flight);
	for (unsigned others = 1; others < AHEAD; others++)
		if (flight[others] != NIL)
			wire_expect(w, flight[others], others);
}

void world_step(struct world *w)
{
	uint64_t when_ns = event_next(w);

	if (when_ns == NEVER)
		return;
	struct event e = event_take(w);
	look_ahead(w);
	w->now_ns = when_ns;
	w->events++;
	switch ((enum event_kind)e.kind) {
	case EVENT_FLIGHT:
		wire_arrive(w, e.what);
		break;
	case EVENT_HOST:
		host_due(w, e.what, when_ns);
		break;
	case EVENT_SESSION:
		session_due(w, w->nodes[e.node], e.what, when_ns);
		break;
	}
}

void world_jump(struct world *w, uint64_t now_ns)
{
	must(now_ns <= world_next(w));
	if (now_ns > w->now_ns)
		w->now_ns = now_ns;
}

size_t world_bytes(const struct world *w)
{
	return w->memory.bytes;
}

uint64_t world_events(const struct world *w)
{
	return w->events;
}
