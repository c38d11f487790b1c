/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "wire.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "differ/program.h"
#include "live/heap.h"

enum { MAX_OWNERS = 512 };

/* How long both sides may take to agree: softirqs and timers that are late. */
#define AGREE_NS  150000000u
#define STEP_NS   100000
#define MS        1000000u
#define SECOND_NS (1000ull * MS)
#define TW_LEN_NS (60 * SECOND_NS)
/* The kernel's seconds advance at a tick of at most 10 ms. */
#define TICK_NS (10 * MS)

struct check {
	struct kernel *k;
	const struct tcpwhy_row *row;
	struct tcpwhy_engine *e; /* NULL: kernel alone */
	struct wire w;
	struct check_stats *stats;
	struct mismatch *m;
	uint64_t blur_ns; /* longest call so far that may have made a TIME_WAIT: its age is known to
			     that */
	bool near_edge;
	bool unsure_age; /* a TIME_WAIT came to be while the second changed */
	bool ambiguous; /* two sockets share a 4-tuple: whose packets are whose is the hash's affair
			 */
	uint32_t draw;
};

static bool fail(struct check *c, enum check_class class, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static bool fail(struct check *c, enum check_class class, const char *format, ...)
{
	va_list args;

	c->m->class = class;
	va_start(args, format);
	vsnprintf(c->m->text, sizeof(c->m->text), format, args);
	va_end(args);
	return false;
}

/* ------------------------------------------------------------------------------ the engine's side
 */

/* Any number is as good as another where the kernel's choice is not followed. In a range of odd
 * size the start decides whether its last free port is found: after a refusal the one start that
 * may miss it is tried. */
static uint32_t draw(void *ctx, uint32_t n)
{
	uint32_t *state = ctx;

	*state = *state * 1664525u + 1013904223u;
	return n ? (*state >> 8) % n : 0;
}

/* port: the one the kernel chose; 0: it was asked for none, or its search found none. */
static struct tcpwhy_choice choose(struct check *c, uint16_t port)
{
	return (struct tcpwhy_choice){.draw = draw, .ctx = &c->draw, .follow = port, .none = !port};
}

static bool set_sysctls(struct check *c)
{
	uint32_t(*const v)[2] = c->k->sysctls;
	const struct tcpwhy_sysctls s = {
		.port_low = (uint16_t)v[SYSCTL_PORT_RANGE][0],
		.port_high = (uint16_t)v[SYSCTL_PORT_RANGE][1],
		.unprivileged_port_start = (uint16_t)v[SYSCTL_UNPRIVILEGED][0],
		.autobind_reuse = v[SYSCTL_AUTOBIND_REUSE][0],
		.nonlocal_bind = v[SYSCTL_NONLOCAL][0],
		.nonlocal_bind6 = v[SYSCTL_NONLOCAL6][0],
		.timestamps = (uint8_t)v[SYSCTL_TIMESTAMPS][0],
		.bindv6only = v[SYSCTL_BINDV6ONLY][0],
		.tw_reuse = (uint8_t)v[SYSCTL_TW_REUSE][0],
		.tw_reuse_delay_ms = v[SYSCTL_TW_REUSE_DELAY][0],
		.max_tw_buckets = v[SYSCTL_MAX_TW][0],
		.fin_timeout_s = v[SYSCTL_FIN_TIMEOUT][0],
	};

	return !tcpwhy_set_sysctls(c->e, &s);
}

static bool set_reserved(struct check *c, const uint32_t range[2], bool reserved)
{
	for (uint32_t p = range[0]; p && p <= range[1] && p <= 65535; p++)
		if (tcpwhy_reserve_port(c->e, (uint16_t)p, reserved))
			return false;
	return true;
}

static bool make_engine(struct check *c)
{
	struct netns_addr addrs[NETNS_ADDRS];
	bool ok = true;

	c->e = tcpwhy_engine_new(c->row, &heap_memory);
	if (!c->e)
		return false;
	c->w.e = c->e;
	netns_addrs(addrs);
	for (uint32_t d = NETNS_LO; ok && d < NETNS_DEVICES; d++)
		ok = !tcpwhy_add_device(c->e, d, 0);
	for (size_t i = 0; ok && i < NETNS_ADDRS; i++)
		ok = !tcpwhy_add_local(c->e, &addrs[i].prefix, addrs[i].prefix_len, addrs[i].kind,
				       addrs[i].device, 0);
	tcpwhy_advance(c->e, kernel_now());
	return ok && set_sysctls(c);
}

/* ------------------------------------------------------------------------------------ the edges */

static void sleep_until(uint64_t ns)
{
	const struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static bool ages_by_second(const struct check *c)
{
	return !(c->row->features & TCPWHY_F_TW_REUSE_DELAY);
}

/* When connect() may take over a TIME_WAIT. */
static uint64_t of_age(const struct check *c, uint64_t entered_ns)
{
	const unsigned seconds = c->row->features & TCPWHY_F_TW_REUSE_TICK ? 1 : 2;

	if (ages_by_second(c))
		return (entered_ns / SECOND_NS + seconds) * SECOND_NS;
	return entered_ns + (uint64_t)c->k->sysctls[SYSCTL_TW_REUSE_DELAY][0] * MS;
}

/* When the verdict of connect(), or a FIN_WAIT2 mini-socket's life, turns: 0 if not within slack of
 * [from, to]. */
static uint64_t find_edge(const struct check *c, const struct call *call, uint64_t from,
			  uint64_t to)
{
	const uint64_t slack = 3 * MS + c->blur_ns + (ages_by_second(c) ? TICK_NS : 0);
	struct tcpwhy_cursor walk = {0};
	struct tcpwhy_owner o;
	uint64_t latest = 0;

	while (tcpwhy_next_owner(c->e, &walk, NULL, &o)) {
		if (!o.timewait || !o.expires_ns)
			continue;
		const bool fw2 = o.state == TCPWHY_FIN_WAIT2;
		if (!fw2 && call->kind != CALL_CONNECT)
			continue;
		/* timers of a second fire up to 64 ms late */
		const uint64_t turn = fw2 ? o.expires_ns : of_age(c, o.expires_ns - TW_LEN_NS);
		const uint64_t late = fw2 ? 100 * MS : slack;
		if (to + slack >= turn && from <= turn + late && turn + late > latest)
			latest = turn + late;
	}
	return latest;
}

static bool may_end_connection(enum call_kind kind)
{
	return kind == CALL_CLOSE || kind == CALL_SHUTDOWN || kind == CALL_CONNECT;
}

static void avoid_edges(struct check *c, const struct call *call)
{
	for (int tries = 0; tries < 20; tries++) {
		const uint64_t now = kernel_now();
		uint64_t edge = find_edge(c, call, now, now + 2 * MS);
		if (!edge && ages_by_second(c) && may_end_connection(call->kind) &&
		    now % SECOND_NS > SECOND_NS - 3 * TICK_NS)
			edge = (now / SECOND_NS + 1) * SECOND_NS + TICK_NS;
		if (!edge)
			break;
		c->stats->waited++;
		sleep_until(edge + MS);
	}
	tcpwhy_advance(c->e, kernel_now());
}

/* ---------------------------------------------------------------------------- the calls, on the
 * engine */

static bool same_answer(struct check *c, int engine, int kernel, const struct tcpwhy_verdict *v)
{
	if (engine == kernel && (!v || v->answer != TCPWHY_DEPENDS))
		return true;
	const struct tcpwhy_rule_info *rule = v ? tcpwhy_rule_info(v->rule) : NULL;
	return fail(c, CHECK_ANSWER, "kernel %s, engine %s%s%s%s", errno_name(kernel),
		    errno_name(engine), v && v->answer == TCPWHY_DEPENDS ? " (depends)" : "",
		    rule && rule->id ? " by " : "", rule && rule->id ? rule->id : "");
}

static bool told(struct check *c, const char *what, int rc)
{
	return !rc || fail(c, CHECK_ENGINE, "%s: the engine says %s", what, errno_name(-rc));
}

static uint64_t option_value(const struct call *call)
{
	if (script_options[call->which].values == 2)
		return call->value[0] | (uint64_t)call->value[1] << 16;
	return (uint64_t)(int64_t)(int32_t)call->value[0];
}

static bool follow_set(struct check *c, const struct call *call, const struct outcome *o)
{
	const enum tcpwhy_option option = script_options[call->which].option;
	const int rc = tcpwhy_setsockopt(c->e, c->w.socks[call->sock], option, option_value(call));

	if (rc < 0)
		return told(c, "setsockopt", rc);
	return same_answer(c, rc, o->error, NULL);
}

static bool follow_bind(struct check *c, const struct call *call, const struct outcome *o)
{
	const bool chosen = !o->error && !call->at.port;
	const struct tcpwhy_choice choice = choose(c, chosen ? o->after.local.port : 0);
	struct tcpwhy_verdict v = {0};
	const int rc = tcpwhy_bind(c->e, c->w.socks[call->sock], &call->at.addr, call->at.port,
				   &choice, &v);

	return told(c, "bind", rc) && same_answer(c, v.error, o->error, &v);
}

/* Not what getsockname() shows: it remembers the port of a connection that is over. */
static bool holds_port(const struct check *c, unsigned sock)
{
	struct tcpwhy_owner o;

	return !tcpwhy_get(c->e, c->w.socks[sock], &o) && o.port;
}

static bool follow_listen(struct check *c, const struct call *call, const struct outcome *o)
{
	const bool open = !holds_port(c, call->sock);
	const struct tcpwhy_choice choice = choose(c, open && !o->error ? o->after.local.port : 0);
	struct tcpwhy_verdict v = {0};
	const int rc = tcpwhy_listen(c->e, c->w.socks[call->sock], &choice, &v);

	return told(c, "listen", rc) && same_answer(c, v.error, o->error, &v);
}

/* Does the engine have a socket of that 4-tuple, and the kernel no longer? */
struct leftover {
	bool was, is;
};

static struct leftover find_leftover(struct check *c, const struct endpoint *local,
				     const struct endpoint *peer)
{
	struct diag_sock found;
	struct leftover l = {.was = tcpwhy_find_tuple(c->e, &local->addr, local->port, &peer->addr,
						      peer->port, NETNS_LO)};

	l.is = l.was && !diag_find(&c->k->diag, local, peer, NETNS_LO, &found);
	return l;
}

/* The port of a refused connect() is gone before it can be read. It shows only in what the SYN
 * ended: a TIME_WAIT of its own 4-tuple that it took over, or one at the other end. Can it have
 * been this port? pass 0: something ended there; pass 1: there was nothing to end. */
static bool may_be_refused_port(struct check *c, const struct call *call, const struct outcome *o,
				uint16_t port, int pass)
{
	const struct endpoint local = {o->source, port};

	/* that would have been a connection to itself, and not refused */
	if (port == call->at.port && address_equal(&o->source, &call->at.addr))
		return false;
	const struct leftover mine = find_leftover(c, &local, &call->at);
	const struct leftover other = find_leftover(c, &call->at, &local);
	return (mine.was || other.was) == !pass && !mine.is && !other.is;
}

static bool connect_refused(struct check *c, const struct call *call, const struct outcome *o,
			    struct tcpwhy_verdict *v)
{
	const tcpwhy_sock s = c->w.socks[call->sock];
	const struct tcpwhy_sysctls *sys = tcpwhy_sysctls(c->e);
	int rc = 0;

	for (int pass = 0; pass < 2; pass++)
		for (uint32_t p = sys->port_low; p <= sys->port_high; p++) {
			const uint16_t port = (uint16_t)p;
			if (!may_be_refused_port(c, call, o, port, pass))
				continue;
			const struct tcpwhy_choice choice = choose(c, port);
			rc = tcpwhy_connect(c->e, s, &call->at.addr, call->at.port, &o->source,
					    &choice, v);
			if (rc || !v->error)
				return told(c, "connect", rc);
		}
	return true;
}

/* With SO_BINDTODEVICE on one of them, the kernel lets two sockets have the same 4-tuple
 * (inet_match() compares the device of the one in the table with that of the new one). With an
 * unknown port (0: refused) any connection to the same place may have been met. */
static bool may_share_tuple(const struct check *c, const struct call *call, const struct outcome *o,
			    uint16_t port)
{
	const uint32_t device = c->k->socks[call->sock].device;
	struct tcpwhy_cursor walk = {0};
	struct tcpwhy_owner other;

	while (tcpwhy_next_owner(c->e, &walk, NULL, &other))
		if (other.peer_port == call->at.port &&
		    address_equal(&other.peer, &call->at.addr) &&
		    address_equal(&other.local, &o->source) && other.device != device &&
		    (!port || port == other.port))
			return true;
	return false;
}

static bool follow_connect(struct check *c, const struct call *call, const struct outcome *o)
{
	const tcpwhy_sock s = c->w.socks[call->sock];
	const bool went_out = !o->error || o->error == EINPROGRESS || o->error == ECONNREFUSED;
	const bool open = !holds_port(c, call->sock), free_port = went_out && open;
	struct tcpwhy_verdict v = {.error = EADDRNOTAVAIL};

	c->near_edge = find_edge(c, call, o->start_ns, o->end_ns) != 0;
	if (went_out && may_share_tuple(c, call, o, open && o->error ? 0 : o->after.local.port)) {
		c->ambiguous = true;
		return true;
	}
	if (free_port && o->error == ECONNREFUSED) {
		if (!connect_refused(c, call, o, &v))
			return false;
	} else {
		const struct tcpwhy_choice choice = choose(c, free_port ? o->after.local.port : 0);
		const int rc = tcpwhy_connect(c->e, s, &call->at.addr, call->at.port, &o->source,
					      &choice, &v);
		if (!told(c, "connect", rc))
			return false;
	}
	if (free_port && v.error && o->after.local.port)
		return fail(c, CHECK_ANSWER, "kernel took port %u, engine says %s",
			    o->after.local.port, errno_name(v.error));
	if (!same_answer(c, v.error, went_out ? 0 : o->error, &v))
		return false;
	if (o->error == ECONNREFUSED)
		return told(c, "refused", wire_refused(&c->w, call->sock));
	if (!o->error)
		return told(c, "connected", wire_connected(&c->w, call->sock, o->listener));
	return true;
}

static bool follow_accept(struct check *c, const struct call *call, const struct outcome *o)
{
	struct tcpwhy_owner l;
	struct wire_child child;

	if (tcpwhy_get(c->e, c->w.socks[call->listener], &l) || l.state != TCPWHY_LISTEN)
		return same_answer(c, EINVAL, o->error, NULL);
	if (!wire_accept(&c->w, call->listener, &child))
		return same_answer(c, EAGAIN, o->error, NULL);
	if (!same_answer(c, 0, o->error, NULL))
		return false;
	c->w.socks[call->sock] = child.child;
	const int rc = tcpwhy_accepted(c->e, child.child, c->k->socks[call->sock].uid);
	return told(c, "accepted", rc == -EBADF ? 0 : rc);
}

static bool follow_tuple(struct check *c, const struct call *call, const struct outcome *o)
{
	const uint32_t device = NETNS_LO;
	const tcpwhy_sock s = tcpwhy_find_tuple(c->e, &call->at.addr, call->at.port,
						&call->peer.addr, call->peer.port, device);
	struct tcpwhy_owner owner = {0};
	const bool found = s && !tcpwhy_get(c->e, s, &owner);

	if (call->kind == CALL_STATE) {
		const uint8_t state = found ? owner.state : TCPWHY_CLOSE;
		const uint8_t kernel = o->error ? TCPWHY_CLOSE : o->tuple.state;
		return state == kernel || fail(c, CHECK_STATE, "kernel %s, engine %s",
					       tcpwhy_state_name(kernel), tcpwhy_state_name(state));
	}
	const bool timewait = found && owner.timewait;
	if (!same_answer(c, timewait ? 0 : ENOENT, o->error, NULL))
		return false;
	return !timewait || told(c, "destroy", tcpwhy_reset_in(c->e, s));
}

static bool follow_sysctl(struct check *c, const struct call *call, const struct outcome *o,
			  const uint32_t reserved[2])
{
	if (o->error)
		return true; /* the kernel's own limits of a sysctl are not the engine's business */
	if (call->which == SYSCTL_RESERVED)
		return (set_reserved(c, reserved, false) && set_reserved(c, call->value, true)) ||
		       fail(c, CHECK_ENGINE, "tcpwhy_reserve_port");
	return set_sysctls(c) || fail(c, CHECK_ENGINE, "tcpwhy_set_sysctls");
}

static bool follow_socket(struct check *c, const struct call *call)
{
	const uint32_t uid = c->k->uid;
	const int rc = tcpwhy_socket(c->e, call->family, uid, !uid, &c->w.socks[call->sock]);

	return told(c, "socket", rc);
}

static bool follow(struct check *c, const struct call *call, const struct outcome *o,
		   const uint32_t reserved[2])
{
	switch (call->kind) {
	case CALL_SOCKET:
		return follow_socket(c, call);
	case CALL_SET:
		return follow_set(c, call, o);
	case CALL_BIND:
		return follow_bind(c, call, o);
	case CALL_LISTEN:
		return follow_listen(c, call, o);
	case CALL_CONNECT:
		return follow_connect(c, call, o);
	case CALL_ACCEPT:
		return follow_accept(c, call, o);
	case CALL_SHUTDOWN:
		return same_answer(c, wire_shutdown(&c->w, call->sock, call->which), o->error,
				   NULL);
	case CALL_CLOSE:
		wire_close(&c->w, call->sock);
		return true;
	case CALL_DESTROY:
		return follow_tuple(c, call, o);
	case CALL_STATE:
		return !call->by_tuple || follow_tuple(c, call, o);
	case CALL_SYSCTL:
		return follow_sysctl(c, call, o, reserved);
	case CALL_UID:
	case CALL_WAIT:
	case CALL_SETTLE:
	case CALL_KINDS:
		break;
	}
	return true;
}

/* --------------------------------------------------------------------------------- comparing */

static bool is_connected(uint8_t state)
{
	return state != TCPWHY_CLOSE && state != TCPWHY_BOUND && state != TCPWHY_LISTEN &&
	       state != TCPWHY_SYN_SENT;
}

static bool same_seen(struct check *c, unsigned sock)
{
	struct seen k;
	struct tcpwhy_owner e = {.state = TCPWHY_CLOSE};
	char kl[ENDPOINT_TEXT_MAX], kp[ENDPOINT_TEXT_MAX], el[ENDPOINT_TEXT_MAX],
		ep[ENDPOINT_TEXT_MAX];

	kernel_look(c->k, sock, &k);
	if (tcpwhy_get(c->e, c->w.socks[sock], &e))
		e = (struct tcpwhy_owner){.state = TCPWHY_CLOSE};
	/* getsockname() still shows the port of a connection that is over: only a dump tells that
	 * it is not held */
	if (k.state == TCPWHY_BOUND && e.state == TCPWHY_CLOSE && !e.port)
		return true;
	const struct endpoint local = {e.local, e.port}, peer = {e.peer, e.peer_port};
	const bool held = k.local.port || k.state != TCPWHY_CLOSE;
	if (k.state == e.state && k.local.port == e.port &&
	    (!held || address_equal(&k.local.addr, &e.local)) &&
	    (!is_connected(k.state) ||
	     (k.peer.port == e.peer_port && address_equal(&k.peer.addr, &e.peer))))
		return true;
	endpoint_format(&k.local.addr, k.local.port, false, kl);
	endpoint_format(&k.peer.addr, k.peer.port, false, kp);
	endpoint_format(&local.addr, local.port, false, el);
	endpoint_format(&peer.addr, peer.port, false, ep);
	return fail(c, CHECK_STATE, "%c: kernel %s %s %s, engine %s %s %s", 'a' + sock,
		    tcpwhy_state_name(k.state), kl, kp, tcpwhy_state_name(e.state), el, ep);
}

static bool same_counts(struct check *c)
{
	const struct counts k = kernel_counts(c->k);
	struct counts e = {0};
	struct tcpwhy_cursor walk = {0};
	struct tcpwhy_owner o;

	while (tcpwhy_next_owner(c->e, &walk, NULL, &o)) {
		if (o.timewait)
			e.timewait++;
		else if (o.state != TCPWHY_BOUND && o.state != TCPWHY_CLOSE)
			e.inuse++;
	}
	return (k.inuse == e.inuse && k.timewait == e.timewait) ||
	       fail(c, CHECK_COUNT, "kernel %u sockets and %u mini-sockets, engine %u and %u",
		    k.inuse, k.timewait, e.inuse, e.timewait);
}

static bool same_now(struct check *c)
{
	for (unsigned i = 0; i < SCRIPT_SOCKETS; i++)
		if (c->k->socks[i].fd >= 0 && !same_seen(c, i))
			return false;
	return same_counts(c);
}

/* The kernel settles by itself, in softirqs and timers: a difference counts when it stays. */
static bool same_soon(struct check *c)
{
	const uint64_t until = kernel_now() + AGREE_NS;

	while (!same_now(c)) {
		if (kernel_now() > until)
			return false;
		nanosleep(&(struct timespec){0, STEP_NS}, NULL);
	}
	c->m->class = CHECK_AGREE;
	return true;
}

static int compare_socks(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct diag_sock));
}

/* Only what both sides know, and nothing else: rows are compared as bytes. */
static struct diag_sock make_row(const struct diag_sock *s)
{
	struct diag_sock row;

	memset(&row, 0, sizeof(row));
	row.local = s->local;
	if (s->peer.port)
		row.peer = s->peer;
	row.family = s->family;
	row.state = s->state;
	row.timewait = s->timewait;
	row.device = s->device;
	return row;
}

static size_t engine_table(const struct check *c, struct diag_sock *rows)
{
	struct tcpwhy_cursor walk = {0};
	struct tcpwhy_owner o;
	size_t n = 0;

	while (n < MAX_OWNERS && tcpwhy_next_owner(c->e, &walk, NULL, &o)) {
		if (o.state == TCPWHY_BOUND && c->k->hides_bound)
			continue;
		const struct diag_sock s = {
			.local = {o.local, o.port},
			.peer = {o.peer, o.peer_port},
			.family = o.family,
			.state = o.state,
			.timewait = o.timewait,
			.device = o.device,
		};
		rows[n++] = make_row(&s);
	}
	qsort(rows, n, sizeof(*rows), compare_socks);
	return n;
}

static int kernel_table(const struct check *c, struct diag_sock *rows, size_t *n)
{
	int rc = -EINTR;

	for (int tries = 0; rc == -EINTR && tries < 5; tries++)
		rc = diag_dump(&c->k->diag, rows, MAX_OWNERS, n);
	if (rc)
		return rc;
	if (*n > MAX_OWNERS)
		*n = MAX_OWNERS;
	for (size_t i = 0; i < *n; i++) {
		const struct diag_sock s = rows[i];
		rows[i] = make_row(&s);
	}
	qsort(rows, *n, sizeof(*rows), compare_socks);
	return 0;
}

static void print_row(const struct diag_sock *s, char *text, size_t size)
{
	char local[ENDPOINT_TEXT_MAX], peer[ENDPOINT_TEXT_MAX];

	endpoint_format(&s->local.addr, s->local.port, false, local);
	endpoint_format(&s->peer.addr, s->peer.port, false, peer);
	snprintf(text, size, "%s %s %s%s v%u dev %u", local, peer, tcpwhy_state_name(s->state),
		 s->timewait ? " mini" : "", s->family, s->device);
}

static bool same_tables_now(struct check *c)
{
	struct diag_sock k[MAX_OWNERS + 1], e[MAX_OWNERS + 1];
	char text[200], other[200];
	size_t nk = 0;
	const int rc = kernel_table(c, k, &nk);
	const size_t ne = engine_table(c, e);

	c->stats->dumps++;
	if (rc)
		return fail(c, CHECK_TABLE, "the dump failed: %s", errno_name(-rc));
	for (size_t i = 0; i < nk || i < ne; i++) {
		const int order = i == nk ? 1 : i == ne ? -1 : compare_socks(&k[i], &e[i]);
		if (!order)
			continue;
		const struct diag_sock none = {.family = 0};
		print_row(i < nk ? &k[i] : &none, text, sizeof(text));
		print_row(i < ne ? &e[i] : &none, other, sizeof(other));
		return fail(c, CHECK_TABLE, "only the %s has one row: kernel %s, engine %s",
			    order < 0 ? "kernel" : "engine", text, other);
	}
	return true;
}

static bool same_tables(struct check *c)
{
	const uint64_t until = kernel_now() + AGREE_NS;

	while (!same_tables_now(c)) {
		if (kernel_now() > until)
			return false;
		nanosleep(&(struct timespec){0, 10 * STEP_NS}, NULL);
	}
	c->m->class = CHECK_AGREE;
	return true;
}

static bool as_expected(struct check *c, const struct call *call, const struct outcome *o)
{
	struct seen seen = {0};

	if (o->lacking)
		return true;
	if (call->expect != EXPECT_NOTHING && (o->skipped || o->error != call->expect))
		return fail(c, CHECK_EXPECT, "expected %s, was %s", errno_name(call->expect),
			    o->skipped ? "skipped" : errno_name(o->error));
	if (call->kind != CALL_STATE || o->skipped)
		return true;
	if (call->by_tuple) {
		seen.state = o->error ? TCPWHY_CLOSE : o->tuple.state;
	} else if (c->k->socks[call->sock].fd >= 0) {
		kernel_look(c->k, call->sock, &seen);
	}
	/* the port that getsockname() remembers is no sign of being bound: the tables tell */
	if (call->which == TCPWHY_CLOSE && seen.state == TCPWHY_BOUND)
		return true;
	return seen.state == call->which ||
	       fail(c, CHECK_EXPECT, "expected %s, was %s", tcpwhy_state_name(call->which),
		    tcpwhy_state_name(seen.state));
}

/* ------------------------------------------------------------------------------------ a script */

static void count(struct check_stats *stats, const struct call *call, const struct outcome *o)
{
	stats->calls++;
	stats->lacking += o->lacking;
	if (o->skipped)
		stats->skipped[call->kind]++;
	else if (o->error)
		stats->refused[call->kind]++;
	else
		stats->ok[call->kind]++;
}

static void note_duration(struct check *c, const struct outcome *o)
{
	if (o->end_ns - o->start_ns > c->blur_ns)
		c->blur_ns = o->end_ns - o->start_ns;
	c->unsure_age |= ages_by_second(c) && o->start_ns / SECOND_NS != o->end_ns / SECOND_NS;
}

static bool play(struct check *c, const struct call *call)
{
	struct outcome o;
	const uint32_t reserved[2] = {c->k->sysctls[SYSCTL_RESERVED][0],
				      c->k->sysctls[SYSCTL_RESERVED][1]};

	c->near_edge = false;
	if (c->e)
		avoid_edges(c, call);
	kernel_play(c->k, call, &o);
	count(c->stats, call, &o);
	if (c->e && !o.skipped) {
		tcpwhy_advance(c->e, call->kind == CALL_WAIT ? o.end_ns : o.start_ns);
		if (!follow(c, call, &o, reserved))
			return false;
		if (c->ambiguous)
			return true;
		if (may_end_connection(call->kind))
			note_duration(c, &o);
		if (!same_soon(c))
			return false;
		if (call->kind == CALL_SETTLE && !same_tables(c))
			return false;
	}
	if (as_expected(c, call, &o))
		return true;
	if (!c->row || program_expects(c->row))
		return false;
	c->stats->other_release++;
	c->m->class = CHECK_AGREE;
	return true;
}

static bool play_all(struct check *c, const struct script *s)
{
	for (c->m->at = 0; c->m->at < s->n; c->m->at++) {
		if (!play(c, &s->calls[c->m->at]))
			return false;
		if (c->ambiguous) {
			c->stats->ambiguous += c->ambiguous;
			return true;
		}
	}
	if (s->n)
		c->m->at = s->n - 1;
	return !c->e || same_tables(c);
}

int check_script(struct kernel *k, const struct script *s, const struct tcpwhy_row *row,
		 struct check_stats *stats, struct mismatch *m, struct err *err)
{
	struct check *c = calloc(1, sizeof(*c));
	int rc = c ? kernel_reset(k, err) : -ENOMEM;

	*m = (struct mismatch){.class = CHECK_AGREE};
	if (!rc) {
		*c = (struct check){.k = k, .stats = stats, .m = m, .row = row, .draw = 1};
		if (row && !make_engine(c))
			fail(c, CHECK_ENGINE, "no engine");
		else
			play_all(c, s);
		stats->scripts++;
		if (m->class != CHECK_AGREE && (c->near_edge || c->unsure_age)) {
			stats->ties++;
			m->class = CHECK_AGREE;
		}
		if (c->e)
			tcpwhy_engine_free(c->e);
	}
	free(c);
	return rc;
}
