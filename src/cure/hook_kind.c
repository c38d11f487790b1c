/* SPDX-License-Identifier: MIT
 *
 * How a hook that stands in the journal is now, and how it is taken back
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cure/bpffs.h"
#include "cure/hook_record.h"
#include "cure/journal.h"
#include "cure/kind.h"
#include "live/cgroup2.h"

/* Pins by what they are. */
struct tally {
	unsigned by[HOOK_PIN_UNSEEN + 1];
};

__attribute__((format(printf, 3, 4))) static void say(struct kind_look *out, enum kind_state state,
						      const char *format, ...)
{
	va_list args;

	out->state = state;
	va_start(args, format);
	vsnprintf(out->words, sizeof(out->words), format, args);
	va_end(args);
}

/* True too where no cgroup can be seen at all. */
static bool is_cgroup_there(const struct hook_record *record)
{
	struct cgroup2 c;
	struct err err;
	int rc = cgroup2_open(record->cgroup, &c, &err);
	bool there = !rc && c.id == record->cgroup_id;

	if (!rc)
		cgroup2_close(&c);
	return there || (rc && rc != -ENOENT);
}

/* Whether programs of this kind act there from a place that we do not see. */
static bool acts_there(const struct hook_record *record)
{
	struct hook_seen seen[HOOK_SEEN_MAX];
	struct cgroup2 c;
	struct err err;
	bool acts = false;
	size_t n = 0;

	if (cgroup2_open(record->cgroup, &c, &err))
		return false;
	if (c.id == record->cgroup_id && !hook_look(&c, &record->order, seen, &n, &err))
		for (size_t i = 0; i < n; i++)
			acts |= seen[i].here && !strcmp(seen[i].name, seen[i].at->program);
	cgroup2_close(&c);
	return acts;
}

/* No name is there. */
static void look_without(const struct hook_record *record, struct kind_look *out)
{
	bool mount;

	if (!is_cgroup_there(record))
		say(out, KIND_GONE, "the cgroup is gone, and nothing of it is left");
	else if (record->mntns && hook_record_mntns() != record->mntns && acts_there(record))
		say(out, KIND_UNSEEN,
		    "its names are in another mount namespace, and the cgroup has such programs");
	else if (record->mounts && !strcmp(bpffs_where(&mount), record->folder) && !mount &&
		 bpffs_is_empty(record->folder))
		say(out, KIND_NAMES,
		    "the cgroup is as before; the mount of %s is left, which undo removes",
		    record->folder);
	else
		say(out, KIND_BACK, "the cgroup has no such program of this change");
}

static void look_at(const struct hook_record *record, struct kind_look *out)
{
	char path[HOOK_PATH_MAX];
	struct tally t = {{0}};

	for (unsigned i = 0; i < record->pins_n; i++)
		t.by[hook_pin_look(hook_record_path(record, i, path), record->pins[i].at,
				   record->cgroup_id)]++;
	if (t.by[HOOK_PIN_UNSEEN])
		say(out, KIND_UNSEEN, "looking at names in %s needs root's privileges",
		    record->folder);
	else if (t.by[HOOK_PIN_OTHER])
		say(out, KIND_OTHER, "%s is another thing now", path);
	/* The kernel comes to the links of a removed cgroup some time later (cgroup_bpf_release()).
	 */
	else if (t.by[HOOK_PIN_LIVE] + t.by[HOOK_PIN_DEAD] && !is_cgroup_there(record))
		say(out, KIND_NAMES, "the cgroup is gone; names in %s are left, which undo removes",
		    record->folder);
	else if (t.by[HOOK_PIN_LIVE] == record->pins_n)
		say(out, KIND_IN_FORCE, "pinned as %s", hook_record_path(record, 0, path));
	else if (t.by[HOOK_PIN_LIVE])
		say(out, KIND_PARTLY, "%u of %u programs", t.by[HOOK_PIN_LIVE], record->pins_n);
	/* Also what an undo that was cut short has detached already. */
	else if (t.by[HOOK_PIN_DEAD])
		say(out, KIND_NAMES,
		    "its programs are detached; names in %s are left, which undo removes",
		    record->folder);
	else
		look_without(record, out);
}

static bool read_record(const json_t *change, struct hook_record *record, struct kind_look *out)
{
	if (kind_other_boot(change)) {
		say(out, KIND_GONE, "it ended with the boot that it was made under");
		return false;
	}
	if (hook_record_read(change, record))
		return true;
	say(out, KIND_UNSEEN, "the journal's line does not name a hook");
	return false;
}

static void look(const json_t *change, struct kind_look *out)
{
	struct hook_record record;

	if (read_record(change, &record, out))
		look_at(&record, out);
}

/* All of the names, and then the folder if it is empty. */
static int unpin_all(const struct hook_record *record, struct err *err)
{
	struct bpffs bpffs;
	int rc = bpffs_open(record->folder, false, &bpffs, err), failed = 0;

	if (rc)
		return rc == -ENOENT ? 0 : rc;
	for (unsigned i = 0; i < record->pins_n; i++) {
		rc = hook_unpin(bpffs.fd, record->pins[i].name);
		if (!rc)
			continue;
		failed = rc;
		snprintf(err->text, sizeof(err->text), "%s/%s: %s", record->folder,
			 record->pins[i].name, strerror(-rc));
	}
	bpffs_close(&bpffs);
	return failed;
}

static int undo(const json_t *change, bool force, struct kind_look *after, struct err *err)
{
	struct hook_record record;
	struct kind_look now;
	int rc;

	if (!read_record(change, &record, after)) {
		snprintf(err->text, sizeof(err->text), "%s", after->words);
		return after->state == KIND_GONE ? 0 : -EINVAL;
	}
	look_at(&record, &now);
	if (now.state == KIND_UNSEEN || (now.state == KIND_OTHER && !force)) {
		snprintf(err->text, sizeof(err->text), "%s", now.words);
		return now.state == KIND_UNSEEN ? -EPERM : -EBUSY;
	}
	rc = unpin_all(&record, err);
	if (!rc)
		look_at(&record, after);
	return rc;
}

/* Its end tells most of a path that is too long. */
static void shorten(const char *text, char *out, size_t size)
{
	size_t n = strlen(text);

	if (n < size)
		snprintf(out, size, "%s", text);
	else
		snprintf(out, size, "...%s", text + n - (size - 4));
}

static void describe(const json_t *change, char what[static 128], char where[static 64])
{
	snprintf(what, 128, "hook %s", journal_text(change, "hook"));
	shorten(journal_text(change, "cgroup"), where, 64);
}

/* Each has links of its own, and goes without the others. */
static bool same(const json_t *a, const json_t *b)
{
	(void)a;
	(void)b;
	return false;
}

const struct kind hook_kind = {
	.action = "hook", .look = look, .undo = undo, .describe = describe, .same = same};
