/* SPDX-License-Identifier: MIT */
#include "cure/reuse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "live/netns.h"

#define WAIT_MS 50 /* for accept(), between two looks */

struct change {
	const struct reuse_ask *ask;
	struct live *live;
	struct borrow held;
	uint16_t ports[REUSE_PORTS_MAX];
	size_t ports_n;
	struct journal journal;
	uint64_t *noted; /* cookies in the journal, ascending */
	size_t noted_n;
	struct reuse_report *report;
};

/* ------------------------------------------------------------------------------------ the record
 */

static int compare_cookies(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool is_noted(const struct change *c, uint64_t cookie)
{
	return c->noted_n &&
	       bsearch(&cookie, c->noted, c->noted_n, sizeof(cookie), compare_cookies);
}

static json_t *json_processes(const struct reuse_view *view)
{
	json_t *list = json_array();

	for (size_t i = 0; i < view->processes_n; i++) {
		const struct reuse_process *p = &view->processes[i];

		json_array_append_new(list, json_pack("{s:i, s:I, s:o}", "pid", p->pid, "start",
						      (json_int_t)p->start, "comm",
						      journal_string(p->comm)));
	}
	return list;
}

/* [cookie, inode, pid, start, fd] of each that lacks the option and is not noted yet. */
static json_t *json_sockets(const struct change *c, const struct reuse_view *view)
{
	json_t *list = json_array();

	for (size_t i = 0; i < view->n; i++) {
		const struct reuse_socket *s = &view->sockets[i];

		if (s->reuse != 0 || is_noted(c, s->cookie))
			continue;
		json_array_append_new(list, json_pack("[I, I, i, I, i]", (json_int_t)s->cookie,
						      (json_int_t)s->inode, s->pid,
						      (json_int_t)s->start, s->fd));
	}
	return list;
}

static json_t *record_of(const struct change *c, const struct reuse_view *view)
{
	char where[512];

	reuse_view_where(view, where, sizeof(where));
	return json_pack("{s:s, s:i, s:s, s:I, s:I, s:s, s:i, s:i, s:o, s:o}", "action",
			 "reuseaddr", "target", c->ask->pid, "where", where, "netns",
			 (json_int_t)view->ports[0].snap.netns, "netns_cookie",
			 (json_int_t)view->netns_cookie, "option", "SO_REUSEADDR", "old", 0, "new",
			 1, "processes", json_processes(view), "sockets", json_sockets(c, view));
}

/* After the line stands: the sockets it names. */
static int note(struct change *c, const struct reuse_view *view)
{
	uint64_t *all = realloc(c->noted, (c->noted_n + view->n + 1) * sizeof(*all));
	size_t n = c->noted_n;

	if (!all)
		return -ENOMEM;
	c->noted = all;
	for (size_t i = 0; i < view->n; i++) {
		if (view->sockets[i].reuse == 0 && !is_noted(c, view->sockets[i].cookie))
			all[n++] = view->sockets[i].cookie;
	}
	c->noted_n = n;
	qsort(all, n, sizeof(*all), compare_cookies);
	return 0;
}

/* Those that are not in the journal yet: a line before. */
static int write_before(struct change *c, const struct reuse_view *view)
{
	struct reuse_report *r = c->report;
	json_t *record = record_of(c, view);
	struct err err = {"no memory"};
	int rc = record ? 0 : -ENOMEM;

	if (record && !json_array_size(json_object_get(record, "sockets"))) {
		json_decref(record);
		return 0;
	}
	if (!rc && r->ids_n)
		rc = json_object_set_new(record, "with", json_integer((json_int_t)r->ids[0]))
			     ? -ENOMEM
			     : 0;
	if (!rc) {
		rc = journal_before(&c->journal, record, &r->ids[r->ids_n], &err);
		r->ids_n += rc == 0;
	}
	if (!rc)
		rc = note(c, view);
	if (rc)
		snprintf(r->because, sizeof(r->because), "%s", err.text);
	r->unprivileged |= rc && !r->ids_n;
	return rc;
}

/* The first change has the sum; what came while it was made only its end. */
static void write_after(struct change *c)
{
	struct reuse_report *r = c->report;
	struct err err;

	for (size_t i = r->ids_n; i-- > 0;) {
		json_t *outcome = json_pack("{s:s, s:I, s:I, s:I}", "result", change_word(r->end),
					    "set", (json_int_t)r->set, "ended",
					    (json_int_t)r->ended, "left", (json_int_t)r->left);

		if (journal_after(&c->journal, r->ids[i], outcome, &err) && !r->because[0])
			snprintf(r->because, sizeof(r->because), "%s", err.text);
	}
}

/* ------------------------------------------------------------------------------------ the change
 */

/* The copy is the very socket, or nothing is done with it. */
static int set_one(struct change *c, const struct reuse_socket *s)
{
	const int on = 1;
	struct borrowed b;
	int copy, rc = borrow_process(&c->held, s->pid);

	if (rc)
		return rc;
	if (c->held.start != s->start)
		return -ESRCH;
	copy = borrow_socket(&c->held, s->fd);
	if (copy < 0)
		return copy;
	if (!borrow_ask(copy, &b) || b.cookie != s->cookie)
		rc = -EBADF;
	else if (setsockopt(copy, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)))
		rc = -errno;
	else if (!borrow_ask(copy, &b) || !b.reuse)
		rc = -EINVAL;
	close(copy);
	return rc;
}

/* What failed for another reason than that it is gone is told; the next look shows what is left. */
static void set_all(struct change *c, const struct reuse_view *view, uint8_t role)
{
	struct reuse_report *r = c->report;

	for (size_t i = 0; i < view->n; i++) {
		const struct reuse_socket *s = &view->sockets[i];
		struct err err;
		int rc = s->role == role && s->reuse == 0 ? set_one(c, s) : 0;

		if (!rc || rc == -EBADF || rc == -ESRCH)
			continue;
		borrow_tell(s->pid, rc, &err);
		r->error = -rc;
		memcpy(r->because, err.text, sizeof(r->because));
	}
}

/* Whether a connection that waits for accept() surely lacks the option: that is seen, or it waited
 * before the listener had it. */
static bool waits_without(const struct reuse_view *first, const struct snapshot_owner *now)
{
	if (now->o.reuse == TCPWHY_REUSE_NO)
		return true;
	if (now->o.reuse != TCPWHY_REUSE_UNKNOWN || !now->cookie)
		return false;
	for (size_t p = 0; p < first->ports_n; p++) {
		const struct reuse_port *port = &first->ports[p];

		for (size_t i = 0; i < port->snap.owners_n; i++) {
			if (port->roles[i] == REUSE_QUEUED &&
			    port->snap.owners[i].cookie == now->cookie)
				return true;
		}
	}
	return false;
}

static size_t count_queued(const struct reuse_view *first, const struct reuse_view *now)
{
	size_t n = 0;

	for (size_t p = 0; p < now->ports_n; p++) {
		const struct reuse_port *port = &now->ports[p];

		for (size_t i = 0; i < port->snap.owners_n; i++)
			n += port->roles[i] == REUSE_QUEUED &&
			     waits_without(first, &port->snap.owners[i]);
	}
	return n;
}

static size_t lacking(const struct reuse_view *view)
{
	return view->lacking[REUSE_LISTENER] + view->lacking[REUSE_CONNECTION];
}

static void take_stock(struct change *c, const struct reuse_view *now)
{
	struct reuse_report *r = c->report;
	size_t there = 0;

	r->set = 0;
	for (size_t i = 0; i < now->n; i++) {
		if (now->sockets[i].reuse < 0 || !is_noted(c, now->sockets[i].cookie))
			continue;
		there++;
		r->set += now->sockets[i].reuse > 0;
	}
	r->ended = c->noted_n - there;
	r->queued = count_queued(&r->view, now);
	r->left = lacking(now) + now->unreached + r->queued;
}

static void pause_ms(long ms)
{
	const struct timespec t = {.tv_nsec = ms * 1000000};

	nanosleep(&t, NULL);
}

/* Until a look finds none without the option. A connection that came between a look and the
 * listener's change is found by the next one; who waits for accept() is waited for a little. */
static int rounds(struct change *c, struct err *err)
{
	struct reuse_report *r = c->report;
	const struct reuse_view *view = &r->view;
	struct reuse_view later = {0};
	int rc = 0;

	for (int round = 0; round < REUSE_ROUNDS_MAX && !rc; round++) {
		struct reuse_view next;

		if (write_before(c, view))
			break;
		set_all(c, view, REUSE_LISTENER);
		set_all(c, view, REUSE_CONNECTION);
		rc = reuse_view_take(c->live, c->ask, c->ports, c->ports_n, view, &next, err);
		if (rc)
			break;
		reuse_view_free(&later);
		later = next;
		view = &later;
		take_stock(c, view);
		if (!r->left)
			break;
		if (!lacking(view))
			pause_ms(WAIT_MS);
	}
	reuse_view_free(&later);
	return rc;
}

static void judge(struct reuse_report *r)
{
	if (r->ids_n && !r->left) {
		r->end = CHANGE_DONE;
		r->error = 0;
		r->because[0] = '\0';
		return;
	}
	r->end = r->ids_n && (r->set || r->ended) ? CHANGE_LEFT : CHANGE_REFUSED;
	if (r->because[0])
		return;
	snprintf(r->because, sizeof(r->because), "%s",
		 r->left > r->queued
			 ? "some could not be reached: no process that may be looked into has them "
			   "open by a descriptor"
			 : "they wait for accept(), so no process has them open yet; do it again "
			   "once the server has taken them");
}

/* -------------------------------------------------------------------------------------- the look
 */

/* Who holds what cannot be reached is refused; one that nobody has open any more is no matter. */
static int find_forbidden(const struct reuse_view *view, struct reuse_report *r)
{
	for (size_t i = 0; i < view->n; i++) {
		const struct reuse_socket *s = &view->sockets[i];
		struct err err;

		if (s->reuse >= 0 ||
		    (s->error != EPERM && s->error != EACCES && s->error != ENOSYS))
			continue;
		borrow_tell(s->pid, s->error, &err);
		memcpy(r->because, err.text, sizeof(r->because));
		return s->error;
	}
	if (!view->unreached || !view->unseen)
		return 0;
	snprintf(r->because, sizeof(r->because),
		 "%zu of the sockets are open in processes that may not be looked into: that needs "
		 "CAP_SYS_PTRACE",
		 view->unreached);
	return EPERM;
}

/* What closed between the listing and /proc is not there in another look. */
static int look(struct change *c, struct reuse_view *view, struct err *err)
{
	int rc = 0;

	for (int i = 0; i < 3; i++) {
		rc = reuse_view_take(c->live, c->ask, c->ports, c->ports_n, NULL, view, err);
		if (rc || !view->unreached || i == 2)
			break;
		reuse_view_free(view);
	}
	return rc;
}

static int prove(struct change *c, const struct tcpwhy_memory *memory, struct err *err)
{
	struct reuse_report *r = c->report;
	int rc = 1;

	while (rc > 0 && r->proofs_n < REUSE_PROOFS_MAX) {
		rc = reuse_prove(&r->view, r->proofs_n, live_row(c->live), memory,
				 &r->proofs[r->proofs_n]);
		r->proofs_n += rc > 0;
	}
	if (rc < 0)
		snprintf(err->text, sizeof(err->text), "no memory for the proof");
	return rc < 0 ? rc : 0;
}

/* With the journal's lock held, so that no other change comes between this look and the change. */
static int carry_out(struct change *c, struct err *err)
{
	struct reuse_report *r = c->report;
	struct reuse_view view;
	int rc = look(c, &view, err);

	if (rc)
		return rc;
	reuse_view_free(&r->view);
	r->view = view;
	r->error = find_forbidden(&r->view, r);
	if (r->error || !lacking(&r->view)) {
		r->unprivileged = r->error != 0;
		r->end = r->error ? CHANGE_REFUSED : CHANGE_NOTHING;
		return 0;
	}
	rc = rounds(c, err);
	judge(r);
	write_after(c);
	return rc;
}

static int open_and_carry_out(struct change *c, const struct change_how *how, struct err *err)
{
	struct reuse_report *r = c->report;
	struct err why;
	int rc = journal_open(&c->journal, how->journal, &why);

	if (rc) {
		r->end = CHANGE_REFUSED;
		r->error = -rc;
		r->unprivileged = true;
		memcpy(r->because, why.text, sizeof(r->because));
		return 0;
	}
	rc = carry_out(c, err);
	if (r->ids_n)
		memcpy(r->journal, c->journal.path, sizeof(r->journal));
	journal_close(&c->journal);
	return rc;
}

static int act(struct change *c, const struct change_how *how, const struct tcpwhy_memory *memory,
	       struct err *err)
{
	struct reuse_report *r = c->report;
	int rc = look(c, &r->view, err);

	r->own_netns = live_netns(c->live)->own;
	if (!rc)
		rc = prove(c, memory, err);
	if (rc)
		return rc;
	r->error = find_forbidden(&r->view, r);
	r->unprivileged = r->error != 0;
	if (!lacking(&r->view) && !r->error) {
		r->end = CHANGE_NOTHING;
		return 0;
	}
	if (how->dry_run)
		r->record = record_of(c, &r->view);
	r->end = how->dry_run ? CHANGE_DRY_RUN : CHANGE_REFUSED;
	return how->dry_run || r->error ? 0 : open_and_carry_out(c, how, err);
}

/* The process is held by a pidfd over all of it: its namespace is not that of a later one. */
static int open_target(struct change *c, struct err *err)
{
	const struct live_target target = {.pid = c->ask->pid};
	int rc = borrow_process(&c->held, c->ask->pid);

	if (rc) {
		borrow_tell(c->ask->pid, rc, err);
		return rc;
	}
	if (c->ask->port) {
		c->ports[0] = c->ask->port;
		c->ports_n = 1;
	} else {
		rc = reuse_ports(c->ask->pid, c->ports, &c->ports_n, err);
	}
	if (!rc)
		rc = live_open(&target, 0, &c->live, err);
	if (!rc && !borrow_lives(&c->held)) {
		borrow_tell(c->ask->pid, -ESRCH, err);
		live_close(c->live);
		rc = -ESRCH;
	}
	return rc;
}

int reuse_apply(const struct reuse_ask *ask, const struct change_how *how,
		const struct tcpwhy_memory *memory, struct reuse_report *report, struct err *err)
{
	struct change c = {.ask = ask, .held = BORROW_NONE, .report = report};
	int rc;

	memset(report, 0, sizeof(*report));
	rc = open_target(&c, err);
	if (!rc) {
		rc = act(&c, how, memory, err);
		live_close(c.live);
	}
	borrow_end(&c.held);
	free(c.noted);
	if (rc)
		reuse_report_free(report);
	return rc;
}

void reuse_report_free(struct reuse_report *report)
{
	reuse_view_free(&report->view);
	json_decref(report->record);
	report->record = NULL;
}
