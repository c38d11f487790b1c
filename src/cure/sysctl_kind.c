/* SPDX-License-Identifier: MIT
 *
 * What stands in the journal of a sysctl: how it stands now, and how it is taken back
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cure/sysctl.h"
#include "live/netns_id.h"
#include "live/sysctl.h"

/* A change, with the namespace and the key that its record names, opened. */
struct record {
	const struct sysctl_key *key;
	const char *old, *new;
	struct netns ns;
};

static void say(struct kind_look *out, enum kind_state state, const char *words)
{
	out->state = state;
	snprintf(out->words, sizeof(out->words), "%s", words);
}

/* False: *out says why there is nothing to look at. */
static bool open_record(const json_t *change, struct record *r, struct kind_look *out)
{
	const struct netns_id id = {
		.inode = (uint64_t)json_integer_value(json_object_get(change, "netns")),
		.cookie = (uint64_t)json_integer_value(json_object_get(change, "netns_cookie"))};
	struct err err;
	int rc;

	*r = (struct record){.key = sysctl_key_find(journal_text(change, "key")),
			     .old = json_string_value(json_object_get(change, "old")),
			     .new = json_string_value(json_object_get(change, "new")),
			     .ns = {.fd = -1}};
	if (kind_other_boot(change)) {
		say(out, KIND_GONE, "the host was booted since: nothing of it is left");
		return false;
	}
	if (!r->key || !r->old || !r->new || !id.inode) {
		say(out, KIND_UNSEEN, "the record is not one of this release");
		return false;
	}
	rc = netns_id_open(&id, &r->ns, &err);
	if (rc)
		say(out, rc == -ENOENT ? KIND_GONE : KIND_UNSEEN, err.text);
	return !rc;
}

/* The kernel takes a long list of ports by pages, so a kill can leave the ports of the wanted list
 * up to one of them. */
static bool is_begun(const struct record *r, const char *wanted, const char *seen)
{
	static const size_t words = 2048;
	uint32_t want[2048], have[2048];
	bool ended = false;

	if (r->key->form != SYSCTL_PORTS || !sysctl_parse_ports(wanted, want) ||
	    !sysctl_parse_ports(seen, have))
		return false;
	for (size_t i = 0; i < words * 32; i++) {
		bool w = want[i / 32] >> i % 32 & 1, h = have[i / 32] >> i % 32 & 1;

		if (h && (!w || ended))
			return false;
		ended |= w && !h;
	}
	return true;
}

static enum kind_state compare(const struct record *r, const char *seen)
{
	if (sysctl_key_same(r->key, r->old, seen))
		return KIND_BACK;
	if (sysctl_key_same(r->key, r->new, seen))
		return KIND_IN_FORCE;
	/* Only what is longer than a page is taken in parts. */
	if ((strlen(r->new) >= SYSCTL_VALUE_MAX - 2 && is_begun(r, r->new, seen)) ||
	    (strlen(r->old) >= SYSCTL_VALUE_MAX - 2 && is_begun(r, r->old, seen)))
		return KIND_PARTLY;
	return KIND_OTHER;
}

/* state->value is the caller's to free; NULL if it could not be read. */
static void look_at(const struct record *r, struct sysctl_state *state, struct kind_look *out)
{
	struct err err;

	*state = (struct sysctl_state){0};
	if (sysctl_look(&r->ns, r->key, state, &err)) {
		say(out, KIND_UNSEEN, err.text);
		return;
	}
	out->state = compare(r, state->value);
	char form[SYSCTL_VALUE_MAX];
	if (sysctl_key_value(r->key, state->value, form, sizeof(form)))
		snprintf(form, sizeof(form), "%s", state->value); /* not one that we know of */
	snprintf(out->words, sizeof(out->words), "%s is %.100s%s", r->key->name,
		 *form ? form : "empty", strlen(form) > 100 ? "..." : "");
}

static void look(const json_t *change, struct kind_look *out)
{
	struct sysctl_state state;
	struct record r;

	if (!open_record(change, &r, out))
		return;
	look_at(&r, &state, out);
	free(state.value);
	netns_close(&r.ns);
}

/* Writes the old value. */
static int take_back(const struct record *r, struct kind_look *after, struct err *err)
{
	int error = 0;
	int rc = sysctl_restore(&r->ns, r->key, r->old, &error, err);
	struct sysctl_state state;

	if (rc)
		return rc;
	if (error) {
		sysctl_refusal_there(&r->ns, r->key, r->old, error, err->text, sizeof(err->text));
		return error == EACCES ? -EPERM : -error;
	}
	look_at(r, &state, after);
	free(state.value);
	if (after->state == KIND_BACK)
		return 0;
	snprintf(err->text, sizeof(err->text), "written, but %.200s", after->words);
	return -EIO;
}

static int undo_open(const struct record *r, bool force, struct kind_look *after, struct err *err)
{
	struct sysctl_state state;

	look_at(r, &state, after);
	free(state.value);
	if (after->state == KIND_BACK)
		return 0;
	if (after->state == KIND_UNSEEN) {
		snprintf(err->text, sizeof(err->text), "%s", after->words);
		return -EIO;
	}
	if (after->state == KIND_OTHER && !force) {
		snprintf(err->text, sizeof(err->text),
			 "somebody changed it since: %.150s; --force sets it back all the same",
			 after->words);
		return -EBUSY;
	}
	return take_back(r, after, err);
}

static int undo(const json_t *change, bool force, struct kind_look *after, struct err *err)
{
	struct record r;
	int rc;

	if (!open_record(change, &r, after)) {
		if (after->state == KIND_GONE)
			return 0;
		snprintf(err->text, sizeof(err->text), "%s", after->words);
		return -EPERM;
	}
	rc = undo_open(&r, force, after, err);
	netns_close(&r.ns);
	return rc;
}

static void describe(const json_t *change, char what[static 128], char where[static 64])
{
	const char *old = journal_text(change, "old"), *new = journal_text(change, "new");
	const char *place = journal_text(change, "where");

	snprintf(what, 128, "%.60s %.24s%s -> %.24s%s", journal_text(change, "key"),
		 *old ? old : "\"\"", strlen(old) > 24 ? "..." : "", *new ? new : "\"\"",
		 strlen(new) > 24 ? "..." : "");
	for (char *c = what; *c; c++)
		*c = *c == '\t' ? ' ' : *c;
	/* "this namespace" is the namespace of who made the change. */
	if (!strcmp(place, "this namespace"))
		place = "";
	snprintf(where, 64, "%.36s%snet:[%lld]%s", place, *place ? " (" : "",
		 (long long)json_integer_value(json_object_get(change, "netns")),
		 *place ? ")" : "");
}

static bool same(const json_t *a, const json_t *b)
{
	static const char *const names[] = {"key", "netns", "netns_cookie", "boot"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!json_equal(json_object_get(a, names[i]), json_object_get(b, names[i])))
			return false;
	return true;
}

const struct kind sysctl_kind = {
	.action = "sysctl", .look = look, .undo = undo, .describe = describe, .same = same};
