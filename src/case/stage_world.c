/* SPDX-License-Identifier: MIT */
#include "case/stage_world.h"

#include <stdlib.h>
#include <string.h>

#include "case/world_state.h"
#include "case/world_sysctl.h"

/* ----------------------------------------------------------------------------------------- memory
 */

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	struct stage_world *w = ctx;
	size_t bytes = w->bytes - old_size + new_size;

	if (new_size > old_size && w->config.memory_limit && bytes > w->config.memory_limit) {
		w->is_full = true;
		return NULL;
	}
	if (!new_size) {
		free(old);
		w->bytes = bytes;
		return NULL;
	}
	void *grown = realloc(old, new_size);
	if (!grown) {
		w->is_starved = true;
		return NULL;
	}
	w->bytes = bytes;
	if (bytes > w->bytes_max)
		w->bytes_max = bytes;
	return grown;
}

static bool is_starved(struct stage *st)
{
	return ((const struct stage_world *)st)->is_starved;
}

struct stage_world_cost stage_world_cost(const struct stage *st)
{
	const struct stage_world *w = (const struct stage_world *)st;

	return (struct stage_world_cost){
		.bytes = w->bytes, .bytes_max = w->bytes_max, .events = world_events(w->world)};
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
	int sock = stage_world_number_of(w, (int)node, s);

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

	stage_world_sock_at(w, sock)->watched = on;
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
	struct tcpwhy_engine *e = host_engine(stage_world_host_at(w, host));
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
	return world_sysctl_set(stage_world_host_at(w, host), w->nodes[host].row, name, value, err);
}

static int get_sysctl(struct stage *st, int host, const char *name, char *value, size_t size,
		      struct err *err)
{
	struct stage_world *w = self(st);
	const char *reserved = w->nodes[host].reserved ? w->nodes[host].reserved : "";

	if (strcmp(name, reserved_name) != 0)
		return world_sysctl_get(stage_world_host_at(w, host), w->nodes[host].row, name,
					value, size, err);
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
	error = world_add_control(w->world, (uint32_t)link, d, c);
	if (error == -ENOSPC) {
		snprintf(err->text, sizeof(err->text), "more than %d line controls in one play",
			 WORLD_CONTROLS);
		return error;
	}
	return of_world(error, "line control", err);
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
		/* a segment that was lost for that is no loss that anybody modelled */
		if (w->is_full)
			return no_memory(err);
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
	struct tcpwhy_engine *e = host_engine(stage_world_host_of_sock(w, listener));
	size_t before = tcpwhy_engine_bytes(e);

	if (!port || n > 65536u - port)
		return fail(err, -EINVAL, "a peer has no more than 65,535 ports");
	for (uint32_t i = 0; i < n_peers; i++) {
		struct tcpwhy_addr a = address_after(peer, i);
		for (uint32_t j = 0; j < n; j++) {
			int error = add_member(e, stage_world_sock_at(w, listener)->sock, local, &a,
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
	.socket = stage_world_new_socket,
	.setsockopt = stage_world_set_option,
	.bind = stage_world_bind_to,
	.listen = stage_world_listen_at,
	.connect = stage_world_connect_to,
	.accept = stage_world_accept_from,
	.send = stage_world_send_bytes,
	.recv = stage_world_recv_bytes,
	.shutdown = stage_world_shut,
	.close = stage_world_close_sock,
	.error = stage_world_sock_error,
	.sockname = stage_world_sock_name,
	.peername = stage_world_peer_name,
	.host_of = stage_world_host_of,
	.device = stage_world_device,
	.look = stage_world_look,
	.find = stage_world_find,
	.has = stage_world_has,
	.list = stage_world_list,
	.destroy = stage_world_destroy,
	.counter = stage_world_counter,
	.counters = stage_world_counters,
	.verdict = stage_world_verdict,
	.sessions = stage_world_sessions,
	.is_starved = is_starved,
	.trace_count = stage_world_trace_count,
	.trace = stage_world_trace,
	.sight = stage_world_sight,
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
