/* SPDX-License-Identifier: MIT */
#include "cure/reuse_view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/address.h"
#include "base/text.h"
#include "live/owners.h"

#define WALKS_MAX 3

/* --------------------------------------------------------------------------- what a process has
 */

struct port_search {
	struct borrow held;
	uint16_t *ports;
	size_t n;
	bool more;
};

static int see_listener(int fd, uint32_t inode, void *ctx)
{
	struct port_search *s = ctx;
	struct borrowed b;
	int copy = borrow_socket(&s->held, fd);
	bool listens;

	(void)inode;
	if (copy == -EPERM || copy == -ENOSYS)
		return copy;
	if (copy < 0)
		return 0;
	listens = borrow_ask(copy, &b) && b.listens && b.port;
	close(copy);
	for (size_t i = 0; listens && i < s->n; i++)
		listens = s->ports[i] != b.port;
	if (!listens)
		return 0;
	if (s->n == REUSE_PORTS_MAX)
		s->more = true;
	else
		s->ports[s->n++] = b.port;
	return 0;
}

int reuse_ports(int pid, uint16_t ports[static REUSE_PORTS_MAX], size_t *n, struct err *err)
{
	struct port_search s = {.held = BORROW_NONE, .ports = ports};
	int rc = borrow_process(&s.held, pid);

	if (!rc)
		rc = borrow_each(pid, see_listener, &s);
	if (rc) {
		borrow_tell(pid, rc, err);
		rc = rc == -EACCES ? -EPERM : rc;
	} else if (s.more) {
		snprintf(err->text, sizeof(err->text),
			 "process %d (%s) listens on more than %d ports: name one by --port", pid,
			 s.held.comm, REUSE_PORTS_MAX);
		rc = -E2BIG;
	} else if (!s.n) {
		snprintf(
			err->text, sizeof(err->text),
			"process %d (%s) has no listening TCP socket; the port of connections that "
			"it serves can be named by --port",
			pid, s.held.comm);
		rc = -ENOENT;
	}
	borrow_end(&s.held);
	*n = s.n;
	return rc;
}

struct inodes {
	uint32_t *all;
	size_t n, room;
};

static int add_inode(struct inodes *list, uint32_t inode)
{
	if (list->n == list->room) {
		size_t room = list->room ? list->room * 2 : 256;
		uint32_t *all = realloc(list->all, room * sizeof(*all));

		if (!all)
			return -ENOMEM;
		list->all = all;
		list->room = room;
	}
	list->all[list->n++] = inode;
	return 0;
}

static int see_inode(int fd, uint32_t inode, void *ctx)
{
	(void)fd;
	return add_inode(ctx, inode);
}

static int compare_inodes(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Of the process and of an earlier look; a process that has ended has none. */
static int list_inodes(int pid, const struct reuse_view *known, struct inodes *list,
		       struct err *err)
{
	int rc = borrow_each(pid, see_inode, list);

	if (rc == -ESRCH && known)
		rc = 0;
	for (size_t i = 0; known && !rc && i < known->n; i++)
		rc = add_inode(list, known->sockets[i].inode);
	if (rc)
		borrow_tell(pid, rc, err);
	if (list->n)
		qsort(list->all, list->n, sizeof(*list->all), compare_inodes);
	return rc == -EACCES ? -EPERM : rc;
}

/* ---------------------------------------------------------------------------------- who has them
 */

struct walk {
	struct reuse_view *view;
	struct borrow held;
};

static struct reuse_process *process_of(struct reuse_view *view, const struct borrow *held)
{
	struct reuse_process *p;

	/* Descriptors of one process come in a row. */
	for (size_t i = view->processes_n; i-- > 0;) {
		if (view->processes[i].pid == held->pid)
			return &view->processes[i];
	}
	if (view->processes_n == REUSE_PROCESSES_MAX) {
		view->processes_more = true;
		return NULL;
	}
	p = &view->processes[view->processes_n++];
	*p = (struct reuse_process){.pid = held->pid, .start = held->start};
	memcpy(p->comm, held->comm, sizeof(p->comm));
	return p;
}

/* The number may be another socket by now: then it is passed over, and the look after this one
 * finds the right one elsewhere or not at all. */
static int borrow_one(struct walk *w, struct reuse_socket *s, int fd, struct borrowed *out)
{
	const struct snapshot_owner *seen = &w->view->ports[s->port].snap.owners[s->owner];
	int copy = borrow_socket(&w->held, fd);
	bool same;

	if (copy < 0)
		return copy;
	same = borrow_ask(copy, out) && out->inode == s->inode &&
	       (!seen->cookie || seen->cookie == out->cookie);
	close(copy);
	return same ? 0 : -EBADF;
}

static int take_found(size_t i, int pid, int fd, void *ctx)
{
	struct walk *w = ctx;
	struct reuse_socket *s = &w->view->sockets[i];
	struct reuse_process *p;
	struct borrowed b;
	int rc = borrow_process(&w->held, pid);

	if (!rc && s->reuse < 0)
		rc = borrow_one(w, s, fd, &b);
	if (rc) {
		if (s->reuse < 0 && (!s->error || rc == -EPERM || rc == -ENOSYS)) {
			s->error = -rc;
			s->pid = pid;
		}
		return 0;
	}
	p = process_of(w->view, &w->held);
	if (p)
		*(s->role == REUSE_LISTENER ? &p->listeners : &p->connections) += 1;
	if (s->reuse >= 0)
		return 0;
	s->cookie = b.cookie;
	s->reuse = (int8_t)b.reuse;
	s->pid = pid;
	s->fd = fd;
	s->start = w->held.start;
	s->error = 0;
	w->view->netns_cookie = b.netns_cookie;
	return 0;
}

static int walk_processes(struct reuse_view *view, struct err *err)
{
	struct walk w = {.view = view, .held = BORROW_NONE};
	uint32_t *inodes = calloc(view->n + 1, sizeof(*inodes));
	int rc = -ENOMEM;

	view->processes_n = 0;
	view->processes_more = false;
	for (size_t i = 0; inodes && i < view->n; i++)
		inodes[i] = view->sockets[i].inode;
	if (inodes)
		rc = owners_walk(inodes, view->n, take_found, &w, &view->unseen);
	borrow_end(&w.held);
	free(inodes);
	if (rc)
		snprintf(err->text, sizeof(err->text), "/proc: %s", strerror(-rc));
	return rc;
}

/* --------------------------------------------------------------------------- what closed meanwhile
 */

/* The listing alone, which is quick. */
static int list_again(struct live *live, const struct reuse_view *view, struct inodes *list,
		      struct err *err)
{
	const unsigned avoid = LIVE_AVOID_BIND_HASH | LIVE_AVOID_ITER_TCP | LIVE_AVOID_PIDFD;
	char path[64];
	struct live_target target = {.netns = path};
	struct live *quick;
	int rc;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", live_netns_fd(live));
	rc = live_open(&target, avoid, &quick, err);
	if (rc)
		return rc;
	for (size_t p = 0; p < view->ports_n && !rc; p++) {
		const struct snapshot_scope scope = {.port = view->ports[p].port,
						     .owners_wanted = true};
		struct snapshot snap;

		rc = live_snapshot(quick, &scope, &snap, err);
		for (size_t i = 0; !rc && i < snap.owners_n; i++)
			rc = snap.owners[i].inode ? add_inode(list, snap.owners[i].inode) : 0;
		snapshot_free(&snap);
	}
	live_close(quick);
	if (list->n)
		qsort(list->all, list->n, sizeof(*list->all), compare_inodes);
	return rc;
}

/* Those that nobody has open and that are listed no longer. The number of those that still are. */
static size_t drop_ended(struct reuse_view *view, const struct inodes *list)
{
	size_t n = 0, unfound = 0;

	for (size_t i = 0; i < view->n; i++) {
		const struct reuse_socket *s = &view->sockets[i];
		bool listed = list->n && bsearch(&s->inode, list->all, list->n, sizeof(s->inode),
						 compare_inodes);

		if (s->reuse < 0 && !listed) {
			view->ports[s->port].roles[s->owner] = REUSE_ENDED;
			continue;
		}
		unfound += s->reuse < 0;
		view->sockets[n++] = *s;
	}
	view->n = n;
	return unfound;
}

static size_t count_unfound(const struct reuse_view *view)
{
	size_t n = 0;

	for (size_t i = 0; i < view->n; i++)
		n += view->sockets[i].reuse < 0;
	return n;
}

/* On a busy server some close between the listing and /proc, or change hands while it is read: what
 * was not found and is listed still is looked for again. */
static int find_holders(struct live *live, struct reuse_view *view, struct err *err)
{
	int rc = walk_processes(view, err);

	for (int i = 0; !rc && i < WALKS_MAX && count_unfound(view); i++) {
		struct inodes list = {0};

		rc = list_again(live, view, &list, err);
		if (!rc && drop_ended(view, &list) && i + 1 < WALKS_MAX)
			rc = walk_processes(view, err);
		free(list.all);
	}
	return rc;
}

/* -------------------------------------------------------------------------------------- the look
 */

static int compare_sockets(const void *a, const void *b)
{
	return compare_inodes(&((const struct reuse_socket *)a)->inode,
			      &((const struct reuse_socket *)b)->inode);
}

static bool is_wanted(uint8_t role)
{
	return role == REUSE_LISTENER || role == REUSE_CONNECTION;
}

static void collect_port(struct reuse_view *view, size_t port)
{
	const struct reuse_port *p = &view->ports[port];

	for (size_t i = 0; i < p->snap.owners_n; i++) {
		if (!is_wanted(p->roles[i]) || !p->snap.owners[i].inode)
			continue;
		view->sockets[view->n++] = (struct reuse_socket){
			.inode = p->snap.owners[i].inode,
			.owner = (uint32_t)i,
			.port = (uint8_t)port,
			.role = p->roles[i],
			.reuse = -1,
		};
	}
}

/* A socket that changed while it was listed can be there twice. */
static void drop_twins(struct reuse_view *view)
{
	size_t n = 0;

	for (size_t i = 0; i < view->n; i++) {
		if (!n || view->sockets[n - 1].inode != view->sockets[i].inode)
			view->sockets[n++] = view->sockets[i];
	}
	view->n = n;
}

static int collect_sockets(struct reuse_view *view, struct err *err)
{
	size_t n = 0;

	for (size_t p = 0; p < view->ports_n; p++)
		for (size_t i = 0; i < view->ports[p].snap.owners_n; i++)
			n += is_wanted(view->ports[p].roles[i]);
	if (n > REUSE_SOCKETS_MAX) {
		snprintf(err->text, sizeof(err->text),
			 "%zu sockets are more than the %d that one change may name", n,
			 REUSE_SOCKETS_MAX);
		return -E2BIG;
	}
	view->sockets = calloc(n + 1, sizeof(*view->sockets));
	if (!view->sockets) {
		snprintf(err->text, sizeof(err->text), "no memory for %zu sockets", n);
		return -ENOMEM;
	}
	for (size_t p = 0; p < view->ports_n; p++)
		collect_port(view, p);
	qsort(view->sockets, view->n, sizeof(*view->sockets), compare_sockets);
	drop_twins(view);
	return 0;
}

static void count_dead(struct reuse_view *view, const struct snapshot *snap, size_t i, uint8_t role)
{
	const struct tcpwhy_owner *o = &snap->owners[i].o;

	if (o->reuse == TCPWHY_REUSE_CAN || o->reuse == TCPWHY_REUSE_FORCE)
		return;
	view->unset[role]++;
	if (role == REUSE_TIME_WAIT && o->expires_ns > snap->taken_ns + view->longest_ns)
		view->longest_ns = o->expires_ns - snap->taken_ns;
}

static void count(struct reuse_view *view)
{
	for (size_t p = 0; p < view->ports_n; p++) {
		const struct reuse_port *port = &view->ports[p];

		for (size_t i = 0; i < port->snap.owners_n; i++) {
			view->by_role[port->roles[i]]++;
			if (port->roles[i] > REUSE_CONNECTION && port->roles[i] != REUSE_ENDED)
				count_dead(view, &port->snap, i, port->roles[i]);
		}
	}
	for (size_t i = 0; i < view->n; i++) {
		view->unreached += view->sockets[i].reuse < 0;
		view->lacking[view->sockets[i].role] += view->sockets[i].reuse == 0;
	}
}

static int look_at_port(struct live *live, const struct reuse_ask *ask, uint16_t port,
			const struct inodes *inodes, struct reuse_view *view, struct err *err)
{
	const struct snapshot_scope scope = {.port = port, .owners_wanted = true};
	struct reuse_port *p = &view->ports[view->ports_n];
	int rc = live_snapshot(live, &scope, &p->snap, err);

	if (rc)
		return rc;
	view->ports_n++;
	p->port = port;
	p->roles = calloc(p->snap.owners_n + 1, 1);
	rc = p->roles ? reuse_pick(&p->snap, &ask->place, inodes->all, inodes->n, p->roles)
		      : -ENOMEM;
	if (rc < 0)
		snprintf(err->text, sizeof(err->text), "no memory for %zu sockets",
			 p->snap.owners_n);
	return rc;
}

static int tell_none(const struct reuse_ask *ask, struct err *err)
{
	char place[ENDPOINT_TEXT_MAX];

	if (ask->place.addr_given)
		endpoint_format(&ask->place.addr, ask->port, ask->place.family == TCPWHY_IPV6,
				place);
	else
		snprintf(place, sizeof(place), "port %u", ask->port);
	snprintf(err->text, sizeof(err->text),
		 "process %d has no listener, and no connection that came in, on %s of its network "
		 "namespace",
		 ask->pid, place);
	return -ENOENT;
}

int reuse_view_take(struct live *live, const struct reuse_ask *ask, const uint16_t *ports, size_t n,
		    const struct reuse_view *known, struct reuse_view *view, struct err *err)
{
	struct reuse_view *v = calloc(1, sizeof(*v));
	struct inodes inodes = {0};
	int rc, found = 0;

	if (!v) {
		snprintf(err->text, sizeof(err->text), "no memory");
		return -ENOMEM;
	}
	rc = list_inodes(ask->pid, known, &inodes, err);
	for (size_t i = 0; !rc && i < n && i < REUSE_PORTS_MAX; i++) {
		rc = look_at_port(live, ask, ports[i], &inodes, v, err);
		found |= rc > 0;
		rc = rc > 0 ? 0 : rc;
	}
	free(inodes.all);
	if (!rc && !found && !known)
		rc = tell_none(ask, err);
	if (!rc)
		rc = collect_sockets(v, err);
	if (!rc && v->n)
		rc = find_holders(live, v, err);
	if (rc) {
		reuse_view_free(v);
	} else {
		count(v);
		*view = *v;
	}
	free(v);
	return rc;
}

void reuse_view_free(struct reuse_view *view)
{
	for (size_t i = 0; i < view->ports_n; i++) {
		snapshot_free(&view->ports[i].snap);
		free(view->ports[i].roles);
	}
	free(view->sockets);
	memset(view, 0, sizeof(*view));
}

/* -------------------------------------------------------------------------------------- the words
 */

static void add_place(struct text *t, const char *place, bool first)
{
	text_add(t, first ? "" : ", ");
	text_add(t, place);
}

/* Workers with SO_REUSEPORT listen at one place, and stand there once. */
static bool stood_before(const struct reuse_port *p, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (p->roles[k] == REUSE_LISTENER &&
		    address_equal(&p->snap.owners[k].o.local, &p->snap.owners[i].o.local))
			return true;
	}
	return false;
}

void reuse_view_where(const struct reuse_view *view, char *out, size_t size)
{
	struct text t = text_in(out, size);
	bool first = true;

	for (size_t p = 0; p < view->ports_n; p++) {
		const struct reuse_port *port = &view->ports[p];
		char place[ENDPOINT_TEXT_MAX];
		bool listens = false;

		for (size_t i = 0; i < port->snap.owners_n; i++) {
			const struct tcpwhy_owner *o = &port->snap.owners[i].o;
			if (port->roles[i] != REUSE_LISTENER || stood_before(port, i))
				continue;
			endpoint_format(&o->local, o->port, o->family == TCPWHY_IPV6, place);
			add_place(&t, place, first);
			first = false;
			listens = true;
		}
		if (listens)
			continue;
		snprintf(place, sizeof(place), "port %u", port->port);
		add_place(&t, place, first);
		first = false;
	}
}
