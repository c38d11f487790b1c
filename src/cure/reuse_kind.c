/* SPDX-License-Identifier: MIT
 *
 * What stands in the journal of SO_REUSEADDR on a living server: how its sockets stand now, and how
 * the option is taken back
 *
 * A socket is found by its inode, in whichever process has it open now, and is the one meant if its
 * cookie is the one of the record.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cure/journal.h"
#include "cure/kind.h"
#include "cure/reuse_view.h"
#include "live/borrow.h"
#include "live/owners.h"

enum fate { FATE_GONE, FATE_OFF, FATE_ON, FATE_UNSEEN };

struct recorded {
	uint64_t cookie, start;
	uint32_t inode;
	int pid;
	uint8_t fate; /* enum fate */
	int error;
};

struct looking {
	struct recorded *all; /* by inode, ascending */
	size_t n;
	bool set_back;
	struct borrow held;
	size_t by_fate[FATE_UNSEEN + 1];
	int error, error_pid; /* of the first that could not be reached */
};

/* ------------------------------------------------------------------------------------- the record
 */

static bool read_one(const json_t *entry, struct recorded *r)
{
	json_int_t inode = json_integer_value(json_array_get(entry, 1));
	json_int_t pid = json_integer_value(json_array_get(entry, 2));

	*r = (struct recorded){
		.cookie = (uint64_t)json_integer_value(json_array_get(entry, 0)),
		.start = (uint64_t)json_integer_value(json_array_get(entry, 3)),
	};
	if (!r->cookie || inode < 1 || inode > UINT32_MAX || pid < 1 || pid > INT32_MAX)
		return false;
	r->inode = (uint32_t)inode;
	r->pid = (int)pid;
	return true;
}

static int compare_inodes(const void *a, const void *b)
{
	const struct recorded *x = a, *y = b;

	return (x->inode > y->inode) - (x->inode < y->inode);
}

/* False: it is no record of this form. */
static bool read_record(const json_t *change, struct looking *l)
{
	const json_t *sockets = json_object_get(change, "sockets");
	size_t n = json_array_size(sockets);

	*l = (struct looking){.held = BORROW_NONE};
	if (!n || n > REUSE_SOCKETS_MAX)
		return false;
	l->all = calloc(n, sizeof(*l->all));
	for (; l->all && l->n < n; l->n++) {
		if (!read_one(json_array_get(sockets, l->n), &l->all[l->n]))
			break;
	}
	if (!l->all || l->n < n) {
		free(l->all);
		return false;
	}
	qsort(l->all, n, sizeof(*l->all), compare_inodes);
	return true;
}

/* --------------------------------------------------------------------------------------- the look
 */

/* The socket itself, or -EBADF: the descriptor or the inode is another's now. */
static int handle(struct looking *l, struct recorded *r, int fd)
{
	const int off = 0;
	struct borrowed b;
	int copy = borrow_socket(&l->held, fd), rc = 0;

	if (copy < 0)
		return copy;
	if (!borrow_ask(copy, &b) || b.cookie != r->cookie)
		rc = -EBADF;
	else if (l->set_back && b.reuse &&
		 (setsockopt(copy, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off)) ||
		  !borrow_ask(copy, &b)))
		rc = -errno;
	close(copy);
	if (!rc)
		r->fate = b.reuse ? FATE_ON : FATE_OFF;
	return rc;
}

static int take_found(size_t i, int pid, int fd, void *ctx)
{
	struct looking *l = ctx;
	struct recorded *r = &l->all[i];
	int rc;

	if (r->fate == FATE_ON || r->fate == FATE_OFF)
		return 0;
	rc = borrow_process(&l->held, pid);
	if (!rc)
		rc = handle(l, r, fd);
	if (rc == -EPERM || rc == -EACCES || rc == -ENOSYS) {
		r->fate = FATE_UNSEEN;
		r->error = rc == -EACCES ? EPERM : -rc;
		r->pid = pid;
	}
	return 0;
}

static int pass(int fd, uint32_t inode, void *ctx)
{
	(void)fd;
	(void)inode;
	(void)ctx;
	return 0;
}

/* No process that may be looked into has it. Its own process tells: if it has ended, or is open to
 * us and has it no more, the socket is closed. */
static void judge_lost(struct looking *l, struct recorded *r)
{
	int rc = borrow_process(&l->held, r->pid);

	if (!rc && l->held.start == r->start)
		rc = borrow_each(r->pid, pass, NULL);
	if (rc == -EPERM || rc == -EACCES) {
		r->fate = FATE_UNSEEN;
		r->error = EPERM;
	}
}

static int look_at_all(struct looking *l, bool set_back)
{
	uint32_t *inodes = calloc(l->n, sizeof(*inodes));
	bool unseen = false;
	int rc = -ENOMEM;

	l->set_back = set_back;
	l->error = 0;
	memset(l->by_fate, 0, sizeof(l->by_fate));
	for (size_t i = 0; inodes && i < l->n; i++) {
		inodes[i] = l->all[i].inode;
		l->all[i].fate = FATE_GONE;
	}
	if (inodes)
		rc = owners_walk(inodes, l->n, take_found, l, &unseen);
	free(inodes);
	for (size_t i = 0; !rc && i < l->n; i++) {
		struct recorded *r = &l->all[i];

		if (unseen && r->fate == FATE_GONE)
			judge_lost(l, r);
		l->by_fate[r->fate]++;
		if (r->fate == FATE_UNSEEN && !l->error) {
			l->error = r->error;
			l->error_pid = r->pid;
		}
	}
	return rc;
}

static void say(const struct looking *l, struct kind_look *out)
{
	const size_t on = l->by_fate[FATE_ON], off = l->by_fate[FATE_OFF];
	struct err err = {""};

	if (l->error) {
		borrow_tell(l->error_pid, l->error, &err);
		out->state = on ? KIND_PARTLY : KIND_UNSEEN;
		snprintf(out->words, sizeof(out->words), "%s", err.text);
		return;
	}
	out->state = on && off ? KIND_PARTLY : on ? KIND_IN_FORCE : off ? KIND_BACK : KIND_GONE;
	if (!on && !off)
		snprintf(out->words, sizeof(out->words), "all %zu sockets have been closed", l->n);
	else
		snprintf(out->words, sizeof(out->words),
			 "of %zu sockets %zu have SO_REUSEADDR, %zu do not, %zu have been closed",
			 l->n, on, off, l->by_fate[FATE_GONE]);
}

static bool open_record(const json_t *change, struct looking *l, struct kind_look *out)
{
	if (kind_other_boot(change)) {
		out->state = KIND_GONE;
		snprintf(out->words, sizeof(out->words),
			 "the host was booted since: nothing of it is left");
		return false;
	}
	if (!read_record(change, l)) {
		out->state = KIND_UNSEEN;
		snprintf(out->words, sizeof(out->words), "the record is not one of this release");
		return false;
	}
	return true;
}

static void close_record(struct looking *l)
{
	borrow_end(&l->held);
	free(l->all);
}

static void reuse_look(const json_t *change, struct kind_look *out)
{
	struct looking l;
	int rc;

	if (!open_record(change, &l, out))
		return;
	rc = look_at_all(&l, false);
	say(&l, out);
	if (rc) {
		out->state = KIND_UNSEEN;
		snprintf(out->words, sizeof(out->words), "%s", strerror(-rc));
	}
	close_record(&l);
}

/* --------------------------------------------------------------------------------------- the undo
 */

/* Looks first: while one of them cannot be reached, none is changed. */
static int set_back(struct looking *l, struct kind_look *after, struct err *err)
{
	int rc = look_at_all(l, false);

	if (!rc && l->error) {
		borrow_tell(l->error_pid, l->error, err);
		return -l->error;
	}
	/* A descriptor may be moved while /proc is read: then it is met the next time. */
	for (int i = 0; !rc && l->by_fate[FATE_ON] && i < 3; i++) {
		rc = look_at_all(l, true);
		if (!rc)
			rc = look_at_all(l, false);
	}
	if (rc)
		snprintf(err->text, sizeof(err->text), "/proc: %s", strerror(-rc));
	else
		say(l, after);
	return rc;
}

static int reuse_undo(const json_t *change, bool force, struct kind_look *after, struct err *err)
{
	struct looking l;
	int rc;

	(void)force; /* nobody else's value is met: only 1 is set back, and only to what it was */
	if (!open_record(change, &l, after)) {
		if (after->state == KIND_GONE)
			return 0;
		snprintf(err->text, sizeof(err->text), "%s", after->words);
		return -EINVAL;
	}
	rc = set_back(&l, after, err);
	close_record(&l);
	return rc;
}

/* ------------------------------------------------------------------------------------- the listing
 */

static void reuse_describe(const json_t *change, char what[static 128], char where[static 64])
{
	const json_t *first = json_array_get(json_object_get(change, "processes"), 0);
	size_t n = json_array_size(json_object_get(change, "sockets"));

	snprintf(what, 128, "SO_REUSEADDR on %zu socket%s of %.70s", n, n == 1 ? "" : "s",
		 journal_text(change, "where"));
	snprintf(where, 64, "%.20s[%d]", journal_text(first, "comm"),
		 (int)json_integer_value(json_object_get(change, "target")));
}

static bool reuse_same(const json_t *a, const json_t *b)
{
	struct looking x, y;
	bool same = false;

	if (!read_record(a, &x))
		return false;
	if (!read_record(b, &y)) {
		free(x.all);
		return false;
	}
	for (size_t i = 0, k = 0; i < x.n && k < y.n && !same;) {
		if (x.all[i].inode != y.all[k].inode)
			x.all[i].inode < y.all[k].inode ? i++ : k++;
		else
			same = x.all[i++].cookie == y.all[k].cookie;
	}
	free(x.all);
	free(y.all);
	return same;
}

const struct kind reuse_kind = {
	.action = "reuseaddr",
	.look = reuse_look,
	.undo = reuse_undo,
	.describe = reuse_describe,
	.same = reuse_same,
};
