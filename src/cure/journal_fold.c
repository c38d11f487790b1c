/* SPDX-License-Identifier: MIT */
#include "cure/journal_fold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t id_of(const json_t *line)
{
	json_int_t id = json_integer_value(json_object_get(line, "id"));

	return id > 0 && (uint64_t)id <= JOURNAL_ID_MAX ? (uint64_t)id : 0;
}

/* From the newest: what a line after belongs to is seldom far away. */
static struct journal_entry *find(const struct journal_entries *entries, uint64_t id)
{
	for (size_t i = entries->n; i-- > 0;)
		if (entries->all[i].id == id)
			return &entries->all[i];
	return NULL;
}

/* The line before of a version that gave no ids: the newest of that process which has no end yet.
 */
static struct journal_entry *find_old(const struct journal_entries *entries, const json_t *line)
{
	const json_t *pid = json_object_get(line, "pid");

	for (size_t i = entries->n; i-- > 0;) {
		struct journal_entry *e = &entries->all[i];

		if (!e->id && !e->outcome && json_equal(json_object_get(e->change, "pid"), pid))
			return e;
	}
	return NULL;
}

/* Takes a reference of line. */
static int add(struct journal_entries *entries, size_t *room, uint64_t id, json_t *line)
{
	if (entries->n == *room) {
		size_t more = *room ? 2 * *room : 64;
		struct journal_entry *all = realloc(entries->all, more * sizeof(*all));

		if (!all)
			return -ENOMEM;
		entries->all = all;
		*room = more;
	}
	entries->all[entries->n++] = (struct journal_entry){.id = id, .change = json_incref(line)};
	return 0;
}

static void end(struct journal_entry *entry, json_t *line)
{
	json_decref(entry->outcome);
	entry->outcome = json_incref(line);
}

/* 1: not a line of ours. */
static int take_before(struct journal_entries *entries, size_t *room, uint64_t id, json_t *line,
		       uint64_t *last)
{
	/* Ids only grow; what says otherwise was not written by us. */
	if (!id || id <= *last || !*journal_text(line, "action"))
		return 1;
	*last = id;
	return add(entries, room, id, line);
}

static int take_after(const struct journal_entries *entries, uint64_t id, json_t *line)
{
	struct journal_entry *entry = id ? find(entries, id) : NULL;

	if (!entry || !*journal_text(line, "result"))
		return 1;
	end(entry, line);
	return 0;
}

/* A line with a result ends the one before it; there was nothing to undo. */
static int take_old(struct journal_entries *entries, size_t *room, json_t *line)
{
	struct journal_entry *entry;

	if (!*journal_text(line, "result"))
		return add(entries, room, 0, line);
	entry = find_old(entries, line);
	if (!entry)
		return 1;
	end(entry, line);
	return 0;
}

static json_int_t schema_of(const json_t *line)
{
	return json_integer_value(json_object_get(line, "schema"));
}

/* A line of this release, of an older or of a newer one; line NULL: it is torn. */
static bool has_form(const json_t *line, const char *text, size_t n)
{
	static const char begins[] = "{\"schema\":";
	const size_t all = sizeof(begins) - 1;

	if (!line)
		return !memcmp(text, begins, n < all ? n : all);
	return schema_of(line) > 0 &&
	       (*journal_text(line, "step") || *journal_text(line, "action"));
}

/* 0, 1 if it is not a line of ours, or -ENOMEM. */
static int take(struct journal_entries *entries, size_t *room, json_t *line, uint64_t *last)
{
	json_int_t schema = schema_of(line);
	const char *step = journal_text(line, "step");

	if (schema == 1 && *journal_text(line, "action"))
		return take_old(entries, room, line);
	if (schema > JOURNAL_SCHEMA) {
		entries->newer++;
		return 0;
	}
	if (schema != JOURNAL_SCHEMA)
		return 1;
	if (!strcmp(step, "before"))
		return take_before(entries, room, id_of(line), line, last);
	return !strcmp(step, "after") ? take_after(entries, id_of(line), line) : 1;
}

int journal_fold(const char *text, size_t size, struct journal_entries *entries, uint64_t *last)
{
	const char *end_of_text =
		size ? text + size : text; /* of an empty journal there is no text */
	struct journal_entries found = {0};
	bool first = true;
	size_t room = 0;

	*last = 0;
	while (text < end_of_text) {
		const char *newline = memchr(text, '\n', (size_t)(end_of_text - text));
		size_t n = (size_t)((newline ? newline : end_of_text) - text);
		json_t *line = n ? json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL) : NULL;
		int rc = line ? take(&found, &room, line, last) : n > 0;

		if (n && first) {
			found.foreign = !has_form(line, text, n);
			first = false;
		}
		json_decref(line);
		if (rc < 0) {
			journal_entries_free(&found);
			return rc;
		}
		found.skipped += (size_t)rc;
		text += n + (newline != NULL);
	}
	*entries = found;
	return 0;
}

void journal_entries_free(struct journal_entries *entries)
{
	for (size_t i = 0; i < entries->n; i++) {
		json_decref(entries->all[i].change);
		json_decref(entries->all[i].outcome);
	}
	free(entries->all);
	*entries = (struct journal_entries){0};
}

const char *journal_text(const json_t *change, const char *name)
{
	const char *text = json_string_value(json_object_get(change, name));

	return text ? text : "";
}

const char *journal_result(const struct journal_entry *entry)
{
	return entry->outcome ? journal_text(entry->outcome, "result") : "begun";
}
