/* SPDX-License-Identifier: MIT
 *
 * A box in user space: a load balancer with its sessions and what it believes of a RST
 *
 * The kernel has no such thing, and there shall be but one: the model's own box (world/box.c)
 * decides here, too. Each segment that reaches the box is given to a small world of the same links
 * at the same instant; what that box sends is put on the real wires, the payload with it. So only
 * the ends of a balanced connection are the kernel's.
 *
 * The box's own kernel is kept from forwarding: a rule drops all that comes in or goes out. So ICMP
 * from either side ends here, and in the model's box, too.
 */
#include "case/kernel_state.h"

#include "base/assert.h"
#include "case/belief.h"
#include "world/world.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	FRAMES = 64,          /* of one link before the next has its turn */
	TRACE_MAX = 1 << 20,  /* segments through a box; then it forwards no more */
	SAID = 128,           /* segments of a box on one wire before its relay takes them */
	ANYTHING_NS = 100000, /* more than a cable of the model, less than what anyone waits for */
};

/* The world's clock at the stage's beginning: before it lies the kernel's "never". */
#define WORLD_BEGIN_NS UINT64_C(1000000000)

/* What the box believed when it sent a segment. */
struct said {
	struct frame frame; /* its numbers and ports */
	uint8_t session;
};

struct port {
	struct balance *b;
	struct said said[SAID]; /* a ring: until the relay has taken them from the wire */
	unsigned first_said, n_said;
	int link;
	uint8_t from; /* the direction of what comes to the box */
	struct tap tap;
	struct rtnl_end own, other;
};

struct balance {
	struct kernel_stage *k;
	uint32_t box;
	pthread_mutex_t lock; /* of the world */
	struct world *world;
	pthread_t thread;
	bool runs, stop, watched; /* watched: relays ask what it believes */
	uint64_t sleeps_till;     /* on the world's clock */
	int wake;
	struct port *ports;
	struct pollfd *polls; /* of each port, and wake */
	size_t n_ports, said; /* records of the world's trace that were put on the wires */
	uint8_t frame[FRAME_MAX], built[FRAME_MAX];
};

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	(void)ctx, (void)old_size;
	if (new_size)
		return realloc(old, new_size);
	free(old);
	return NULL;
}

/* ------------------------------------------------------------------------------------- its world
 */

static int add_nodes(struct balance *b)
{
	const struct tcpwhy_row *row = b->k->config.row ? b->k->config.row : tcpwhy_row_at(0);
	const struct world_machine machine = {.row = row};

	for (size_t i = 0; i < b->k->n_nodes; i++) {
		const int rc = b->k->nodes[i].is_box ? world_add_box(b->world)
						     : world_add_host(b->world, &machine);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int add_links(struct balance *b)
{
	for (size_t i = 0; i < b->k->n_links; i++) {
		const struct kernel_link *l = &b->k->links[i];
		struct world_link w = {.tapped = true};
		for (unsigned side = 0; side < 2; side++) {
			w.node[side] = (uint32_t)l->ends[side].node;
			w.addrs[side] = l->ends[side].addrs;
			w.n_addrs[side] = l->ends[side].n_addrs;
		}
		const int rc = world_add_link(b->world, &w);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < b->k->n_prefixes; i++) {
		const struct kernel_prefix *p = &b->k->prefixes[i];
		const int rc = world_add_prefix(b->world, (uint32_t)p->host, &p->is.addr, p->is.len,
						p->is.local, p->is.routed);
		if (rc < 0)
			return rc;
	}
	return world_start(b->world);
}

/* What the box sends goes no further in the world: its neighbours are real. */
static int keep_to_itself(struct balance *b)
{
	const struct line_control drop = {.action = LINE_DROP};

	for (size_t i = 0; i < b->n_ports; i++) {
		const int rc = world_add_control(b->world, (uint32_t)b->ports[i].link,
						 (enum line_direction) !b->ports[i].from, &drop);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int make_world(struct balance *b)
{
	const struct world_config c = {
		.memory = {.resize = resize}, .seed = b->k->config.seed, .trace_max = TRACE_MAX};
	int rc;

	b->world = world_new(&c);
	rc = b->world ? add_nodes(b) : -ENOMEM;
	if (!rc)
		rc = add_links(b);
	return rc ? rc : keep_to_itself(b);
}

/* ---------------------------------------------------------------------------------- what goes out
 */

static struct port *port_of(struct balance *b, int link)
{
	for (size_t i = 0; i < b->n_ports; i++)
		if (b->ports[i].link == link)
			return &b->ports[i];
	return NULL;
}

/* With the lock. */
static uint8_t belief(struct balance *b, const struct segment *s)
{
	struct session sessions[BELIEF_SESSIONS];
	const size_t n = world_sessions(b->world, b->box, NULL, 0);

	if (n > BELIEF_SESSIONS)
		return BELIEF_UNASKED;
	return belief_of(sessions, world_sessions(b->world, b->box, sessions, n), s);
}

/* Of many the oldest is forgotten. */
static void remember(struct balance *b, struct port *p, const struct frame *f,
		     const struct segment *s)
{
	if (p->n_said == SAID) {
		p->first_said = (p->first_said + 1) % SAID;
		p->n_said--;
	}
	p->said[(p->first_said + p->n_said++) % SAID] = (struct said){*f, belief(b, s)};
}

/* The frame that came in, readdressed, or a new one: a RST of the box's own. */
static void put_on_wire(struct balance *b, const struct line_record *r, const struct frame *came)
{
	struct port *p = port_of(b, r->link);
	const struct segment *s = &r->segment;
	struct frame f = {.flags = s->flags, .seq = s->seq, .ack = s->ack};

	if (!p || r->origin != LINE_SENT || r->direction == p->from)
		return;
	if (came && came->seq == s->seq && came->payload_len == s->length &&
	    (came->flags & 0x1f) == s->flags)
		f = *came;
	f.from = s->from;
	f.from_port = s->from_port;
	f.to = s->to;
	f.to_port = s->to_port;
	memcpy(f.from_mac, p->own.mac, FRAME_MAC);
	memcpy(f.to_mac, p->other.mac, FRAME_MAC);
	const size_t len = frame_build(&f, b->built, sizeof(b->built));
	if (b->watched)
		remember(b, p, &f, s);
	/* what the device does not take is lost, as on any wire */
	if (len)
		(void)tap_send(&p->tap, b->built, len);
}

/* With the lock. came is the frame that caused it, NULL: time did. */
static void put_out(struct balance *b, const struct frame *came)
{
	struct line_record r;

	for (; world_trace(b->world, b->said, &r); b->said++)
		put_on_wire(b, &r, came);
}

static void play_until(struct balance *b, uint64_t ns)
{
	while (world_next(b->world) <= ns)
		world_step(b->world);
	if (world_now(b->world) < ns)
		world_jump(b->world, ns);
}

static uint64_t world_clock(const struct balance *b)
{
	return kernel_to_stage(b->k, kernel_clock()) + WORLD_BEGIN_NS;
}

/* ---------------------------------------------------------------------------------- what comes in
 */

static struct segment segment_of(const struct frame *f)
{
	return (struct segment){.from = f->from,
				.to = f->to,
				.from_port = f->from_port,
				.to_port = f->to_port,
				.flags = f->flags & 0x1f,
				.seq = f->seq,
				.ack = f->flags & FRAME_ACK ? f->ack : 0,
				.length = f->payload_len};
}

/* With the lock. */
static void take(struct balance *b, const struct port *p, size_t len)
{
	struct frame f;

	if (frame_read(b->frame, len, &f) != FRAME_TCP)
		return;
	const struct segment s = segment_of(&f);
	play_until(b, world_clock(b));
	put_out(b, NULL);
	world_inject(b->world, (uint32_t)p->link, (enum line_direction)p->from, &s);
	play_until(b, world_now(b->world) + ANYTHING_NS);
	put_out(b, &f);
}

/* With the lock. */
static void take_some(struct balance *b, struct port *p)
{
	for (int i = 0; i < FRAMES; i++) {
		const ssize_t n = tap_receive(&p->tap, b->frame, sizeof(b->frame));
		if (n < 0)
			return;
		if ((size_t)n <= sizeof(b->frame))
			take(b, p, (size_t)n);
	}
}

/* Until a frame, a session's end, or a call. */
static void sleep_till_needed(struct balance *b, uint64_t next)
{
	const uint64_t now = world_clock(b), left = next > now ? next - now : 0;
	const struct timespec t = {(time_t)(left / 1000000000), (long)(left % 1000000000)};
	uint64_t calls;

	for (size_t i = 0; i < b->n_ports; i++)
		b->polls[i] = (struct pollfd){b->ports[i].tap.fd, POLLIN, 0};
	b->polls[b->n_ports] = (struct pollfd){b->wake, POLLIN, 0};
	if (ppoll(b->polls, b->n_ports + 1, next == UINT64_MAX ? NULL : &t, NULL) > 0 &&
	    b->polls[b->n_ports].revents)
		must(read(b->wake, &calls, sizeof(calls)) > 0 || errno == EAGAIN);
}

static void wake(struct balance *b)
{
	const uint64_t one = 1;

	must(write(b->wake, &one, sizeof(one)) == sizeof(one));
}

static void *serve(void *arg)
{
	struct balance *b = arg;

	pthread_mutex_lock(&b->lock);
	while (!b->stop) {
		const uint64_t next = b->sleeps_till = world_next(b->world);
		pthread_mutex_unlock(&b->lock);
		sleep_till_needed(b, next);
		pthread_mutex_lock(&b->lock);
		for (size_t i = 0; i < b->n_ports; i++)
			take_some(b, &b->ports[i]);
		play_until(b, world_clock(b));
		put_out(b, NULL);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

/* --------------------------------------------------------------------------------- beginning, end
 */

/* The neighbour's device shall send what a wire carries, and our socket hear it. */
static int open_port(struct balance *b, int link, int side, struct err *err)
{
	struct port *p = &b->ports[b->n_ports];

	*p = (struct port){.b = b,
			   .link = link,
			   .from = (uint8_t)!side,
			   .own = stage_kernel_end(b->k->scene, link, side),
			   .other = stage_kernel_end(b->k->scene, link, !side)};
	int rc = tap_plain_frames(&p->other, err);
	if (!rc)
		rc = tap_attach(&p->own, &p->tap, err);
	if (!rc)
		b->n_ports++;
	return rc;
}

static int open_ports(struct balance *b, struct err *err)
{
	static const char silence[] =
		"flush ruleset\n"
		"table inet tcpwhy {\n"
		"chain in { type filter hook prerouting priority -400; policy drop; }\n"
		"chain out { type filter hook output priority -400; policy drop; }\n"
		"}\n";
	int rc = nat_run(stage_kernel_netns(b->k->scene, (int)b->box), silence, err);

	for (size_t l = 0; l < b->k->n_links && !rc; l++)
		for (int side = 0; side < 2 && !rc; side++)
			if (b->k->links[l].ends[side].node == (int)b->box)
				rc = open_port(b, (int)l, side, err);
	return rc;
}

/* Signals are the program's business, not a helper thread's. */
static int start_thread(struct balance *b)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	const int error = pthread_create(&b->thread, NULL, serve, b);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	b->runs = !error;
	return -error;
}

static int begin(struct balance *b, struct err *err)
{
	b->ports = calloc(b->k->n_links + 1, sizeof(*b->ports));
	b->polls = calloc(b->k->n_links + 1, sizeof(*b->polls));
	b->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!b->ports || !b->polls || b->wake < 0)
		return kernel_fail(err, -ENOMEM, "a load balancer");
	int rc = open_ports(b, err);
	if (rc)
		return rc;
	rc = make_world(b);
	if (!rc)
		rc = start_thread(b);
	return rc ? kernel_fail(err, rc, "a load balancer") : 0;
}

int balance_new(struct kernel_stage *k, int box, struct balance **out, struct err *err)
{
	struct balance *b = malloc(sizeof(*b));

	if (!b)
		return kernel_fail(err, -ENOMEM, "a load balancer");
	memset(b, 0, sizeof(*b));
	b->k = k;
	b->box = (uint32_t)box;
	b->wake = -1;
	pthread_mutex_init(&b->lock, NULL);
	const int rc = begin(b, err);
	if (rc) {
		balance_free(b);
		return rc;
	}
	balance_watch(b, k->config.looks > 0);
	*out = b;
	return 0;
}

void balance_free(struct balance *b)
{
	if (!b)
		return;
	balance_watch(b, false);
	if (b->runs) {
		pthread_mutex_lock(&b->lock);
		b->stop = true;
		pthread_mutex_unlock(&b->lock);
		wake(b);
		pthread_join(b->thread, NULL);
	}
	for (size_t i = 0; i < b->n_ports; i++)
		tap_close(&b->ports[i].tap);
	world_free(b->world);
	if (b->wake >= 0)
		close(b->wake);
	pthread_mutex_destroy(&b->lock);
	free(b->ports);
	free(b->polls);
	free(b);
}

/* ------------------------------------------------------------------------------------ its witness
 */

static bool is_it(const struct said *s, const struct frame *f)
{
	return s->frame.seq == f->seq && s->frame.flags == f->flags &&
	       s->frame.from_port == f->from_port && s->frame.to_port == f->to_port;
}

/* What it sent on a wire is taken from there in that order. */
static void sent(void *ctx, const struct frame *f, struct capture_sight *out)
{
	struct port *p = ctx;

	pthread_mutex_lock(&p->b->lock);
	for (bool found = false; p->n_said && !found; p->n_said--) {
		const struct said *oldest = &p->said[p->first_said];
		found = is_it(oldest, f);
		if (found)
			out->session = oldest->session;
		p->first_said = (p->first_said + 1) % SAID;
	}
	pthread_mutex_unlock(&p->b->lock);
}

static void before(void *ctx)
{
	(void)ctx;
}

/* It lies in the port's tap: the box acts on it here, before anything else comes. */
static void arrived(void *ctx, const struct frame *f, struct capture_sight *out)
{
	struct port *p = ctx;
	const struct segment s = segment_of(f);

	pthread_mutex_lock(&p->b->lock);
	take_some(p->b, p);
	out->session = belief(p->b, &s);
	/* the thread has heard of nothing, and a session may end sooner now */
	if (world_next(p->b->world) < p->b->sleeps_till)
		wake(p->b);
	pthread_mutex_unlock(&p->b->lock);
}

void balance_watch(struct balance *b, bool on)
{
	if (on == b->watched)
		return;
	b->watched = on;
	for (size_t i = 0; i < b->n_ports; i++) {
		struct port *p = &b->ports[i];
		const struct relay_witness w = {p, b->k->config.looks, sent, before, arrived};

		if (b->k->links[p->link].tapped)
			relay_set_witness(stage_kernel_relay(b->k->scene, p->link),
					  (enum relay_side) !p->from, on ? &w : NULL);
	}
}

/* ------------------------------------------------------------------------------------- its callers
 */

int balance_set_rules(struct balance *b, const struct rule *rules, size_t n, struct err *err)
{
	pthread_mutex_lock(&b->lock);
	const int rc = world_set_rules(b->world, b->box, rules, n);
	pthread_mutex_unlock(&b->lock);
	return rc ? kernel_fail(err, rc, "rules") : 0;
}

size_t balance_sessions(struct balance *b, struct session *out, size_t max)
{
	/* what is due by now has happened, though the thread may not have had its turn */
	pthread_mutex_lock(&b->lock);
	play_until(b, world_clock(b));
	put_out(b, NULL);
	const size_t n = world_sessions(b->world, b->box, out, max);
	pthread_mutex_unlock(&b->lock);
	for (size_t i = 0; i < n && i < max; i++)
		if (out[i].ends_ns != UINT64_MAX)
			out[i].ends_ns = out[i].ends_ns > WORLD_BEGIN_NS
						 ? out[i].ends_ns - WORLD_BEGIN_NS
						 : 0;
	return n;
}
