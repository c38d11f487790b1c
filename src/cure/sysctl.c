/* SPDX-License-Identifier: MIT */
#include "cure/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cure/sysctl_pair.h"
#include "live/netns_id.h"

/* 65,536 ports one by one are 380 KiB. One read must fetch all: a second one finds the end
 * (proc_do_large_bitmap()). */
#define TEXT_MAX (512u * 1024)

#define PATH_ROOM 128

/* ---------------------------------------------------------------------------------- in the thread
 */

struct errand {
	char path[PATH_ROOM];
	const char *write; /* NULL: nothing is to be written */
	char *text;        /* read afterwards; NULL: it was not possible, see error */
	int closed;        /* errno of opening it for writing */
	int refused;       /* errno of writing */
	int error;         /* errno of reading */
};

/* The kernel takes a list of ports by pages: a write that follows another adds to it. */
static int write_all(int fd, const char *text)
{
	size_t all = strlen(text), done = 0;

	while (done < all) {
		ssize_t n = write(fd, text + done, all - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EIO;
		done += (size_t)n;
	}
	return 0;
}

static void read_back(struct errand *e)
{
	int fd = open(e->path, O_RDONLY | O_CLOEXEC);
	char *text = fd < 0 ? NULL : malloc(TEXT_MAX);
	ssize_t n = text ? read(fd, text, TEXT_MAX - 1) : -1;

	e->error = 0;
	if (n < 0) {
		e->error = errno;
		free(text);
	} else {
		text[n] = '\0';
		text[strcspn(text, "\n")] = '\0';
		/* What is not needed is given back: texts are kept, and most are short. */
		e->text = strdup(text);
		e->error = e->text ? 0 : ENOMEM;
		free(text);
	}
	if (fd >= 0)
		close(fd);
}

/* An empty list is a line of its own: a write of nothing changes nothing. */
static int write_value(struct errand *e)
{
	int fd = open(e->path, O_WRONLY | O_CLOEXEC);
	char *line;

	e->closed = fd < 0 ? errno : 0;
	if (fd < 0 || !e->write) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	line = malloc(strlen(e->write) + 2);
	if (line)
		sprintf(line, "%s\n", e->write);
	e->refused = line ? write_all(fd, line) : ENOMEM;
	free(line);
	close(fd);
	return 0;
}

static int go(void *ctx)
{
	struct errand *e = ctx;

	write_value(e);
	read_back(e);
	return 0;
}

/* 0 with e->text, or -errno with err->text. */
static int run(const struct netns *ns, const struct sysctl_key *key, const char *write,
	       struct errand *e, struct err *err)
{
	int rc;

	*e = (struct errand){.write = write};
	if (!sysctl_key_path(key, e->path, sizeof(e->path))) {
		snprintf(err->text, sizeof(err->text), "%.100s: the name is too long", key->name);
		return -ENAMETOOLONG;
	}
	rc = netns_run(ns, false, go, e, err);
	if (rc)
		return rc;
	if (e->text)
		return 0;
	snprintf(err->text, sizeof(err->text), "cannot read %.100s: %s", key->name,
		 strerror(e->error));
	return -e->error;
}

int sysctl_look(const struct netns *ns, const struct sysctl_key *key, struct sysctl_state *state,
		struct err *err)
{
	struct errand e;
	int rc = run(ns, key, NULL, &e, err);

	if (!rc)
		*state = (struct sysctl_state){.value = e.text, .closed = e.closed};
	return rc;
}

int sysctl_restore(const struct netns *ns, const struct sysctl_key *key, const char *value,
		   int *error, struct err *err)
{
	struct errand e;
	int rc = run(ns, key, value, &e, err);

	if (rc)
		return rc;
	*error = e.closed ? e.closed : e.refused;
	free(e.text);
	return 0;
}

void sysctl_refusal(int error, char *out, size_t size)
{
	switch (error) {
	case EACCES:
	case EPERM:
		snprintf(out, size,
			 "writing it needs CAP_NET_ADMIN over this network namespace (%s)",
			 strerrorname_np(error));
		return;
	case EROFS:
		snprintf(out, size,
			 "/proc/sys is mounted read-only here (EROFS), as in most containers: run "
			 "it on the host, with --container, --pod or --pid");
		return;
	case EINVAL:
		snprintf(out, size, "the kernel does not take this value (EINVAL)");
		return;
	default:
		snprintf(out, size, "the kernel refuses: %s", strerror(error));
		return;
	}
}

char *sysctl_forbidding(const struct netns *ns, const struct sysctl_key *key, const char *value)
{
	const struct sysctl_key *other = sysctl_pair_other(key);
	struct errand e;
	struct err err;

	if (!other || run(ns, other, NULL, &e, &err))
		return NULL;
	if (!sysctl_pair_allows(key, value, e.text))
		return e.text;
	free(e.text);
	return NULL;
}

void sysctl_refusal_there(const struct netns *ns, const struct sysctl_key *key, const char *value,
			  int error, char *out, size_t size)
{
	char *other = error == EINVAL ? sysctl_forbidding(ns, key, value) : NULL;

	if (other) {
		for (char *c = other; *c; c++)
			*c = *c == '\t' ? ' ' : *c;
		snprintf(out, size, "%s, which is %.40s there (EINVAL)", key->refusal, other);
	} else if (error == EINVAL && key->refusal) {
		snprintf(out, size, "the kernel does not take this value (EINVAL): %s",
			 key->refusal);
	} else {
		sysctl_refusal(error, out, size);
	}
	free(other);
}

static bool is_privilege(int error)
{
	return error == EPERM || error == EACCES;
}

/* ------------------------------------------------------------------------------------- the change
 */

static void refuse(struct sysctl_report *r, int error, const char *because)
{
	r->end = CHANGE_REFUSED;
	r->error = error;
	snprintf(r->because, sizeof(r->because), "%s", because);
}

static void refuse_value(const struct netns *ns, const struct sysctl_change *c,
			 struct sysctl_report *r, int error)
{
	char why[sizeof(r->because)];

	sysctl_refusal_there(ns, c->key, c->value, error, why, sizeof(why));
	refuse(r, error, why);
	r->unprivileged = is_privilege(error);
}

static json_t *intent(const struct sysctl_change *c, const struct netns_id *id, const char *old)
{
	return json_pack("{s:s, s:s, s:o, s:I, s:I, s:s, s:s}", "action", sysctl_kind.action, "key",
			 c->key->name, "where", journal_string(c->where), "netns",
			 (json_int_t)id->inode, "netns_cookie", (json_int_t)id->cookie, "old", old,
			 "new", c->value);
}

static json_t *outcome(const struct sysctl_report *r)
{
	return json_pack("{s:s, s:s?, s:s?}", "result", change_word(r->end), "seen", r->after,
			 "errno", r->error ? strerrorname_np(r->error) : NULL);
}

/* The end as the second look shows it. */
static void judge(const struct netns *ns, const struct sysctl_change *c, const struct errand *e,
		  struct sysctl_report *r)
{
	if (e->closed || e->refused)
		refuse_value(ns, c, r, e->closed ? e->closed : e->refused);
	if (sysctl_key_same(c->key, c->value, r->after)) {
		r->end = CHANGE_DONE;
	} else if (!sysctl_key_same(c->key, r->before, r->after)) {
		r->end = CHANGE_LEFT;
		snprintf(r->because, sizeof(r->because),
			 "it reads %.60s now: written, but not taken as it is", r->after);
	} else if (!r->error) {
		refuse(r, 0, "the kernel said yes, but the value is as before");
	}
}

static int write_and_look(const struct netns *ns, const struct sysctl_change *c,
			  struct journal *journal, struct sysctl_report *r, struct err *err)
{
	struct errand e;
	struct err why;
	int rc = run(ns, c->key, c->value, &e, err);

	if (rc)
		return rc;
	r->after = e.text;
	judge(ns, c, &e, r);
	if (journal_after(journal, r->id, outcome(r), &why) && !r->because[0])
		snprintf(r->because, sizeof(r->because), "%s", why.text);
	return 0;
}

/* The journal is open, and locked. */
static int change_locked(const struct netns *ns, const struct sysctl_change *c,
			 struct journal *journal, struct sysctl_report *r, struct err *err)
{
	struct netns_id id;
	struct errand e;
	struct err why;
	char *other;
	int rc = netns_id_of(ns, &id, err);

	if (!rc)
		rc = run(ns, c->key, NULL, &e, err);
	if (rc)
		return rc;
	r->before = e.text;
	if (sysctl_key_same(c->key, c->value, r->before)) {
		r->end = CHANGE_NOTHING;
		return 0;
	}
	/* What the kernel would refuse is not begun: the journal shows changes, not attempts. */
	other = e.closed ? NULL : sysctl_forbidding(ns, c->key, c->value);
	if (e.closed || other) {
		refuse_value(ns, c, r, e.closed ? e.closed : EINVAL);
		free(other);
		return 0;
	}
	rc = journal_before(journal, intent(c, &id, r->before), &r->id, &why);
	if (rc) {
		refuse(r, -rc, why.text);
		r->unprivileged = true;
		return 0;
	}
	memcpy(r->journal, journal->path, sizeof(r->journal));
	return write_and_look(ns, c, journal, r, err);
}

int sysctl_set(const struct netns *ns, const struct sysctl_change *change,
	       struct sysctl_report *report, struct err *err)
{
	struct sysctl_report r = {0};
	struct journal journal;
	struct err why;
	int rc = journal_open(&journal, change->journal, &why);

	if (rc) {
		refuse(&r, -rc, why.text);
		r.unprivileged = true;
		*report = r;
		return 0;
	}
	rc = change_locked(ns, change, &journal, &r, err);
	journal_close(&journal);
	if (rc)
		sysctl_report_free(&r);
	else
		*report = r;
	return rc;
}

void sysctl_report_free(struct sysctl_report *report)
{
	free(report->before);
	free(report->after);
	report->before = report->after = NULL;
}
