/* SPDX-License-Identifier: MIT */
#include "live/live.h"

#include "live/address.h"
#include "live/bindhash.h"
#include "live/collect.h"
#include "live/netns.h"
#include "live/owners.h"
#include "live/privilege.h"
#include "live/procnet.h"
#include "live/sockdiag.h"
#include "live/sysctl.h"
#include "live/trybind.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

struct live {
	struct netns ns;
	unsigned avoid; /* of enum live_avoid */
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
	int error;

	if (look->live->avoid & LIVE_AVOID_BIND_HASH)
		return false;
	error = bindhash_read(!(look->live->avoid & LIVE_AVOID_BTF_CACHE), look->scope,
			      look->live->ns.inode, look->snap);
	if (error) {
		collect_missing(look->snap, "the bind hash: %s%s", strerror(-error),
				error == -EPERM ? " (needs CAP_BPF and CAP_PERFMON)" : "");
		return false;
	}
	look->snap->sources |= SNAPSHOT_BIND_HASH;
	return true;
}

static int look_list(struct look *look)
{
	int error = -EPERM;

	if (!(look->live->avoid & LIVE_AVOID_SOCK_DIAG)) {
		error = sockdiag_read(look->scope, look->snap);
		if (!error) {
			look->snap->sources |= SNAPSHOT_SOCK_DIAG;
			return 0;
		}
	}
	error = procnet_read(look->scope, look->snap);
	if (!error)
		look->snap->sources |= SNAPSHOT_PROC_NET;
	return error;
}

static int look_owners(struct look *look)
{
	int error;

	if (look_bindhash(look))
		return 0;
	error = look_list(look);
	if (error) {
		snprintf(look->err->text, sizeof(look->err->text),
			 "reading the TCP sockets: %s", strerror(-error));
		return error;
	}
	return 0;
}

static int look_inside(void *ctx)
{
	struct look *look = ctx;

	sysctl_read(look->snap);
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
	return error;
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

int live_try_bind(struct live *live, const struct tcpwhy_bind_request *q, int *error,
		  enum tcpwhy_call *at, struct err *err)
{
	struct attempt a = {q, error, at, err};

	return netns_run(&live->ns, true, attempt_inside, &a, err);
}
