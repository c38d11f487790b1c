/* SPDX-License-Identifier: MIT */
#include "live/live.h"

#include "live/address.h"
#include "live/bindhash.h"
#include "live/collect.h"
#include "live/itertcp.h"
#include "live/netns.h"
#include "live/outside.h"
#include "live/overview.h"
#include "live/owners.h"
#include "live/pidfd.h"
#include "live/privilege.h"
#include "live/probe.h"
#include "live/procnet.h"
#include "live/sockdiag.h"
#include "live/sysctl.h"
#include "live/trybind.h"
#include "load/load.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

struct live {
	struct netns ns;
	int pid;                      /* whose namespace it is, 0 not told */
	unsigned avoid;               /* of enum live_avoid */
	const struct tcpwhy_row *row; /* NULL: not looked for yet */
	struct load_settled settled;  /* what row may point to */
	live_supposition *suppose;    /* NULL: none */
	const void *suppose_ctx;
};

static int do_nothing(void *ctx)
{
	(void)ctx;
	return 0;
}

int live_open(const struct live_target *target, unsigned avoid, struct live **out, struct err *err)
{
	struct live *live = calloc(1, sizeof(*live));
	int error;

	if (!live) {
		snprintf(err->text, sizeof(err->text), "no memory");
		return -ENOMEM;
	}
	live->avoid = avoid;
	live->pid = target->pid;
	error = netns_open(target->netns, target->pid, &live->ns, err);
	if (error) {
		free(live);
		return error;
	}
	/* Whether we may enter is better known now than in the middle. */
	error = netns_run(&live->ns, false, do_nothing, NULL, err);
	if (error) {
		live_close(live);
		return error;
	}
	*out = live;
	return 0;
}

void live_close(struct live *live)
{
	if (!live)
		return;
	netns_close(&live->ns);
	free(live);
}

int live_netns_fd(const struct live *live)
{
	return live->ns.fd;
}

const struct netns *live_netns(const struct live *live)
{
	return &live->ns;
}

void live_suppose(struct live *live, live_supposition *suppose, const void *ctx)
{
	live->suppose = suppose;
	live->suppose_ctx = ctx;
}

static void read_sysctls(const struct live *live, struct snapshot *snap)
{
	sysctl_read(snap);
	if (live->suppose)
		live->suppose(snap, live->suppose_ctx);
}

const struct tcpwhy_row *live_row(struct live *live)
{
	struct utsname name = {0};
	struct probe found;

	if (live->row)
		return live->row;
	uname(&name);
	if (load_row_is_exact(name.release)) {
		live->row = load_row_for(name.release);
		return live->row;
	}
	probe_kernel(&found);
	load_settle(name.release, &found, &live->settled);
	live->row = &live->settled.row;
	return live->row;
}

void snapshot_free(struct snapshot *snap)
{
	free(snap->owners);
	free(snap->buckets);
	free(snap->locals);
	free(snap->devices);
	memset(snap, 0, sizeof(*snap));
}

/* What the read of one snapshot works with, inside the namespace. */
struct look {
	struct live *live;
	const struct snapshot_scope *scope;
	struct snapshot *snap;
	struct err *err;
};

static bool look_bindhash(struct look *look)
{
	bool cached = !(look->live->avoid & LIVE_AVOID_BTF_CACHE);
	int error;

	if (look->live->avoid & LIVE_AVOID_BIND_HASH)
		return false;
	error = bindhash_read(cached, look->scope, look->live->ns.inode, look->snap);
	if (error) {
		collect_missing(look->snap, "the bind hash: %s%s", strerror(-error),
				error == -EPERM ? " (needs CAP_BPF and CAP_PERFMON)" : "");
		return false;
	}
	look->snap->sources |= SNAPSHOT_BIND_HASH;
	return true;
}

static int look_diag(struct look *look)
{
	int error;

	if (look->live->avoid & LIVE_AVOID_SOCK_DIAG)
		return -EPERM;
	error = sockdiag_read(look->scope, look->snap);
	if (!error)
		look->snap->sources |= SNAPSHOT_SOCK_DIAG;
	else
		collect_missing(look->snap, "sock_diag: %s", strerror(-error));
	return error;
}

/* After sock_diag, which gives every socket the cookie the two are matched by. */
static int look_itertcp(struct look *look, bool listed)
{
	struct snapshot flags = {0};
	int error;

	if (look->live->avoid & LIVE_AVOID_ITER_TCP)
		return -EPERM;
	error = itertcp_read(look->scope, &flags);
	if (!error)
		error = itertcp_merge(look->snap, &flags);
	free(flags.owners);
	if (error)
		return error;
	look->snap->sources |= SNAPSHOT_ITER_TCP;
	if (!listed)
		look->snap->bound_unseen = true;
	return 0;
}

static int look_procnet(struct look *look)
{
	int error = procnet_read(look->scope, look->snap);

	if (!error)
		look->snap->sources |= SNAPSHOT_PROC_NET;
	return error;
}

/* Says what the flags of how many owners are not known of. */
static void tell_unknown(struct snapshot *snap, bool options_matter)
{
	size_t timewait = 0, others = 0;

	for (size_t i = 0; options_matter && i < snap->owners_n; i++) {
		const struct tcpwhy_owner *o = &snap->owners[i].o;

		if (o->reuse != TCPWHY_REUSE_UNKNOWN)
			continue;
		if (o->timewait)
			timewait++;
		else
			others++;
	}
	if (timewait)
		collect_missing(snap, "SO_REUSEADDR and SO_REUSEPORT of %zu TIME_WAIT", timewait);
	if (others)
		collect_missing(snap, "SO_REUSEADDR and SO_REUSEPORT of %zu socket%s", others,
				others == 1 ? "" : "s");
	if (snap->bound_unseen)
		collect_missing(snap, "sockets that only bound (this kernel or source lists none)");
}

/* The bucket that a socket is in, which only the bind hash shows (inet_sk_bound_l3mdev()). */
static void place_in_vrf(struct snapshot *snap)
{
	for (size_t i = 0; i < snap->owners_n && !snap->sysctls.l3mdev_accept; i++) {
		struct tcpwhy_owner *o = &snap->owners[i].o;

		for (size_t k = 0; k < snap->devices_n && o->device; k++)
			if (snap->devices[k].index == o->device)
				o->l3mdev = snap->devices[k].l3mdev;
	}
}

/* The bind hash shows all. Without it: who is there from netlink (or /proc), what flags they have
 * from iter/tcp, and then from the sockets of living processes. */
static int look_owners(struct look *look)
{
	bool listed;
	int error;

	if (look_bindhash(look))
		return 0;
	listed = look_diag(look) == 0;
	error = look_itertcp(look, listed);
	if (error && !listed) {
		error = look_procnet(look);
		if (error) {
			snprintf(look->err->text, sizeof(look->err->text),
				 "reading the TCP sockets: %s", strerror(-error));
			return error;
		}
	}
	/* The options of sockets are nothing to connect(). */
	if (!look->scope->one_peer && !(look->live->avoid & LIVE_AVOID_PIDFD) &&
	    pidfd_fill(look->snap) > 0)
		look->snap->sources |= SNAPSHOT_PIDFD;
	place_in_vrf(look->snap);
	tell_unknown(look->snap, !look->scope->one_peer);
	return 0;
}

static int look_inside(void *ctx)
{
	struct look *look = ctx;

	read_sysctls(look->live, look->snap);
	address_read(look->snap);
	look->snap->taken_ns = collect_now_ns();
	return look->scope->owners_wanted ? look_owners(look) : 0;
}

int live_snapshot(struct live *live, const struct snapshot_scope *scope, struct snapshot *snap,
		  struct err *err)
{
	struct look look = {live, scope, snap, err};
	struct utsname name;
	int error;

	memset(snap, 0, sizeof(*snap));
	if (uname(&name) == 0)
		snprintf(snap->kernel, sizeof(snap->kernel), "%s", name.release);
	snap->netns = live->ns.inode;
	error = netns_run(&live->ns, false, look_inside, &look, err);
	if (error)
		snapshot_free(snap);
	else
		outside_read(live->pid, snap);
	if (!error && live->suppose)
		live->suppose(snap, live->suppose_ctx);
	return error;
}

/* -------------------------------------------------------------------------------- the overview */

struct survey {
	struct live *live;
	struct overview *out;
	struct snapshot *seen; /* sysctls and what is missing; no owners */
	struct overview_count *count;
	struct err *err;
	bool bound_seen;
};

static void survey_owner(void *ctx, const struct snapshot_owner *owner, struct overview_port port)
{
	overview_socket(ctx, owner, port);
}

/* Netlink and /proc do not say who chose a port. */
static int survey_listed(const struct snapshot_owner *owner, void *ctx)
{
	const struct overview_port unknown = {TCPWHY_UNKNOWN, TCPWHY_UNKNOWN};

	overview_socket(ctx, owner, unknown);
	return 0;
}

static void survey_again(void *ctx)
{
	overview_again(ctx);
}

static bool survey_bindhash(struct survey *s, struct bindhash_sink *sink)
{
	int error;

	if (s->live->avoid & LIVE_AVOID_BIND_HASH)
		return false;
	error = bindhash_stream(!(s->live->avoid & LIVE_AVOID_BTF_CACHE), s->live->ns.inode, sink);
	if (!error) {
		s->seen->sources |= SNAPSHOT_BIND_HASH;
		s->bound_seen = true;
		return true;
	}
	collect_missing(s->seen, "the bind hash: %s%s", strerror(-error),
			error == -EPERM ? " (needs CAP_BPF and CAP_PERFMON)" : "");
	overview_again(s->count);
	return false;
}

static int survey_sockets(struct survey *s, struct bindhash_sink *sink)
{
	int error = -EPERM;

	if (survey_bindhash(s, sink))
		return 0;
	if (!(s->live->avoid & LIVE_AVOID_SOCK_DIAG))
		error = sockdiag_stream(survey_listed, survey_again, s->count, &s->bound_seen);
	if (!error) {
		s->seen->sources |= SNAPSHOT_SOCK_DIAG;
		return 0;
	}
	collect_missing(s->seen, "sock_diag: %s", strerror(-error));
	overview_again(s->count);
	error = procnet_stream(survey_listed, s->count);
	if (!error)
		s->seen->sources |= SNAPSHOT_PROC_NET;
	else
		snprintf(s->err->text, sizeof(s->err->text), "reading the TCP sockets: %s",
			 strerror(-error));
	return error;
}

static int survey_inside(void *ctx)
{
	struct survey *s = ctx;
	struct bindhash_sink sink = {.owner = survey_owner};
	int error;

	read_sysctls(s->live, s->seen);
	s->seen->taken_ns = collect_now_ns();
	s->count = overview_begin(s->seen);
	if (!s->count) {
		snprintf(s->err->text, sizeof(s->err->text), "no memory");
		return -ENOMEM;
	}
	sink.ctx = s->count;
	error = survey_sockets(s, &sink);
	overview_end(s->count, s->out);
	s->out->twice = sink.twice;
	s->out->incomplete = sink.torn;
	return error;
}

static void survey_tell(const struct survey *s)
{
	struct overview *out = s->out;
	const struct snapshot *seen = s->seen;
	struct utsname name;

	if (uname(&name) == 0)
		snprintf(out->kernel, sizeof(out->kernel), "%s", name.release);
	out->netns = s->live->ns.inode;
	out->taken_ns = seen->taken_ns;
	out->sources = seen->sources;
	out->sysctls = seen->sysctls;
	out->sysctls_unknown = seen->sysctls_unknown;
	out->bound_unseen = !s->bound_seen;
	memcpy(out->missing, seen->missing, sizeof(out->missing));
	out->missing_n = seen->missing_n;
}

int live_overview(struct live *live, struct overview *out, struct err *err)
{
	struct snapshot *seen = calloc(1, sizeof(*seen));
	struct survey s = {.live = live, .out = out, .seen = seen, .err = err};
	int error = -ENOMEM;

	if (!seen)
		snprintf(err->text, sizeof(err->text), "no memory");
	else
		error = netns_run(&live->ns, false, survey_inside, &s, err);
	if (!error)
		survey_tell(&s);
	free(seen);
	return error;
}

static int ask_sockstat(void *ctx)
{
	bool *some = ctx;

	*some = procnet_has_sockets();
	return 0;
}

bool live_has_sockets(struct live *live)
{
	bool some = true;
	struct err err;

	netns_run(&live->ns, false, ask_sockstat, &some, &err);
	return some;
}

void live_owners(struct live *live, struct result_holder *holders, size_t n)
{
	(void)live;
	owners_of(holders, n);
}

enum tcpwhy_tri live_may_bind_low(struct live *live)
{
	return privilege_may_bind_low(live->ns.fd);
}

enum tcpwhy_tri live_may_destroy(struct live *live)
{
	return privilege_may_destroy(live->ns.fd);
}

struct device_question {
	const char *name;
	unsigned index;
};

static int ask_device(void *ctx)
{
	struct device_question *q = ctx;

	q->index = if_nametoindex(q->name);
	return 0;
}

unsigned live_device_index(struct live *live, const char *name)
{
	struct device_question q = {.name = name};
	struct err err;

	if (netns_run(&live->ns, false, ask_device, &q, &err))
		return 0;
	return q.index;
}

struct attempt {
	const struct tcpwhy_bind_request *q;
	int *error;
	enum tcpwhy_call *at;
	struct err *err;
};

static int attempt_inside(void *ctx)
{
	struct attempt *a = ctx;

	return trybind_here(a->q, a->error, a->at, a->err);
}

struct route_question {
	struct route *route;
	struct err *err;
};

static int route_inside(void *ctx)
{
	struct route_question *q = ctx;

	return route_ask(q->route, q->err);
}

int live_route(struct live *live, struct route *r, struct err *err)
{
	struct route_question q = {r, err};

	return netns_run(&live->ns, true, route_inside, &q, err);
}

int live_try_bind(struct live *live, const struct tcpwhy_bind_request *q, int *error,
		  enum tcpwhy_call *at, struct err *err)
{
	struct attempt a = {q, error, at, err};

	return netns_run(&live->ns, true, attempt_inside, &a, err);
}
