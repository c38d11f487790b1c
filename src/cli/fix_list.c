/* SPDX-License-Identifier: MIT
 *
 * tcpwhy fix list, tcpwhy fix undo: what stands in the journal, how it is now, and taken back
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/fix_options.h"
#include "cure/journal.h"
#include "cure/kind.h"
#include "report/fold.h"

/* ------------------------------------------------------------------------------------ one change
 */

/* A change of the journal, looked at. */
struct stand {
	const struct journal_entry *entry;
	const struct kind *kind; /* NULL: of another release */
	struct kind_look look;
	bool in_force; /* it can be undone, and is not */
	char state[64];
	char what[128], where[64];
};

/* What was refused or undone is not asked how it stands: somebody may have made the same since. */
static bool is_over(const char *result)
{
	return !strcmp(result, "undone") || !strcmp(result, "refused");
}

static void describe(struct stand *s)
{
	const json_t *change = s->entry->change;

	if (s->kind) {
		s->kind->describe(change, s->what, s->where);
		return;
	}
	snprintf(s->what, sizeof(s->what), "%.100s", journal_text(change, "action"));
}

static void say_state(struct stand *s, const char *result)
{
	bool begun = !strcmp(result, "begun");
	const char *word = kind_state_word(s->look.state);

	/* A line before without one after: a kill came between them. */
	if (begun && s->look.state == KIND_BACK)
		word = "never made, or undone";
	snprintf(s->state, sizeof(s->state), "%s%s", begun ? "begun, " : "", word);
}

static void look_at(const struct journal_entry *entry, struct stand *s)
{
	const char *result = journal_result(entry);

	*s = (struct stand){.entry = entry,
			    .kind = kind_find(journal_text(entry->change, "action"))};
	describe(s);
	if (is_over(result)) {
		snprintf(s->state, sizeof(s->state), "%s", result);
		s->look.state = KIND_BACK;
		return;
	}
	if (s->kind) {
		s->kind->look(entry->change, &s->look);
	} else {
		s->look.state = KIND_UNSEEN;
		snprintf(s->look.words, sizeof(s->look.words),
			 "this release does not know this kind of change");
	}
	s->in_force = s->look.state == KIND_IN_FORCE || s->look.state == KIND_PARTLY;
	say_state(s, result);
}

/* ------------------------------------------------------------------------------------------- list
 */

static json_t *json_of(const struct stand *s)
{
	const json_t *change = s->entry->change;

	return json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:O, s:O?}", "id",
			 s->entry->id ? json_integer((json_int_t)s->entry->id) : json_null(),
			 "when", journal_text(change, "when"), "action",
			 journal_text(change, "action"), "what", s->what, "where", s->where,
			 "result", journal_result(s->entry), "in_force", s->in_force, "state",
			 s->state, "change", change, "outcome", s->entry->outcome);
}

static bool list_json(const struct journal *journal, const struct journal_entries *entries)
{
	json_t *list = json_array(), *root;
	struct stand s;
	bool ok;

	for (size_t i = entries->n; i-- > 0;) {
		look_at(&entries->all[i], &s);
		json_array_append_new(list, json_of(&s));
	}
	root = json_pack("{s:i, s:s, s:s?, s:o, s:I}", "schema", 1, "fix", "list", "journal",
			 journal->fd < 0 ? NULL : journal->path, "changes", list, "skipped",
			 (json_int_t)entries->skipped);
	ok = root && !json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) &&
	     putchar('\n') != EOF;
	json_decref(root);
	return ok;
}

/* "7    2026-07-01 10:04  what  in where", and below it how that stands. What the journal says
 * moves no terminal (fold.h). */
static void print_line(const struct stand *s)
{
	const char *when = journal_text(s->entry->change, "when");
	struct fold f = {.out = stdout, .indent = 5};
	char id[64] = "-";

	if (s->entry->id)
		snprintf(id, sizeof(id), "%llu", (unsigned long long)s->entry->id);
	fold_plain(&f, id);
	fold_to(&f, f.indent);
	snprintf(id, sizeof(id), "%.10s %.5s  ", when, strlen(when) > 11 ? when + 11 : "");
	fold_plain(&f, id);
	fold_plain(&f, s->what);
	if (s->where[0]) {
		fold_plain(&f, "  in ");
		fold_plain(&f, s->where);
	}
	fold_newline(&f);
	fold_to(&f, f.indent);
	fold_plain(&f, s->state);
	if (s->look.words[0] && !s->in_force && s->look.state != KIND_BACK) {
		fold_plain(&f, ": ");
		fold_plain(&f, s->look.words);
	}
	fold_newline(&f);
}

static void list_text(const struct journal *journal, const struct journal_entries *entries)
{
	struct stand s;

	if (!entries->n)
		puts("no change stands in the journal");
	for (size_t i = entries->n; i-- > 0;) {
		look_at(&entries->all[i], &s);
		print_line(&s);
	}
	if (entries->skipped)
		printf("%zu line%s of %s: cut short, or not of this form\n", entries->skipped,
		       entries->skipped == 1 ? "" : "s", journal->path);
}

int fix_list(int argc, char **argv)
{
	const struct fix_verb verb = {.word = "list",
				      .usage = "usage: tcpwhy fix list [options]\n\n"
					       "What was changed, newest first, and how it stands "
					       "now: each is looked at.\n\n",
				      .takes = FIX_TAKES_JOURNAL | FIX_TAKES_JSON};
	struct journal_entries entries;
	struct journal journal;
	struct fix_options o;
	struct err err;
	int status;

	if (!fix_options_parse(&verb, argc, argv, &o, &status))
		return status;
	if (optind < argc)
		return fix_usage(&verb, "list takes no argument", argv[optind]);
	if (journal_open_read(&journal, o.journal, &err))
		return fix_failed(&o, err.text);
	status = journal_read(&journal, &entries, &err);
	if (!status) {
		bool ok = true;

		if (o.json)
			ok = list_json(&journal, &entries);
		else
			list_text(&journal, &entries);
		status = command_written("fix", ok, STATUS_OK);
		journal_entries_free(&entries);
	} else {
		status = fix_failed(&o, err.text);
	}
	journal_close(&journal);
	return status;
}

/* ------------------------------------------------------------------------------------------- undo
 */

static const char undo_usage[] =
	"usage: tcpwhy fix undo [ID] [options]\n\n"
	"Takes back the change with that id (tcpwhy fix list), or the newest one that is in\n"
	"force, and looks whether it is. What is back already stays so. Only what the journal\n"
	"names is touched.\n\n";

static bool read_id(const char *text, uint64_t *id)
{
	char *end;

	errno = 0;
	*id = strtoull(text, &end, 10);
	return *text >= '1' && *text <= '9' && !*end && !errno;
}

/* The newest in force, or NULL; *s is its stand. A newer one that cannot be looked at may be in
 * force too: then NULL, and *s is that one's. */
static const struct journal_entry *newest(const struct journal_entries *entries, struct stand *s)
{
	*s = (struct stand){0};
	for (size_t i = entries->n; i-- > 0;) {
		look_at(&entries->all[i], s);
		if (entries->all[i].id && s->look.state == KIND_UNSEEN)
			return NULL;
		if (entries->all[i].id && s->in_force)
			return s->entry;
	}
	s->look.state = KIND_BACK;
	return NULL;
}

/* No id was given, and none is known to be in force. */
static void tell_none(const struct stand *s, struct fixed *f)
{
	unsigned long long id = s->entry ? s->entry->id : 0;

	if (s->look.state != KIND_UNSEEN) {
		snprintf(f->answer, sizeof(f->answer), "no change is in force: nothing to do");
		return;
	}
	f->end = FIXED_REFUSED;
	f->error = EPERM;
	f->unprivileged = true;
	snprintf(f->answer, sizeof(f->answer), "change %llu may be in force: %s", id, s->what);
	fixed_add(f, "why", "%s", s->look.words);
	fixed_add(f, "hint", "tcpwhy fix undo ID takes back another one");
}

static const struct journal_entry *with_id(const struct journal_entries *entries, uint64_t id,
					   struct stand *s)
{
	for (size_t i = 0; i < entries->n; i++) {
		if (entries->all[i].id != id)
			continue;
		look_at(&entries->all[i], s);
		return s->entry;
	}
	return NULL;
}

/* A later change of the same thing that is in force: it must go first. */
static const struct journal_entry *later(const struct journal_entries *entries,
					 const struct stand *s)
{
	struct stand other;

	for (size_t i = entries->n; i-- > 0 && entries->all[i].id > s->entry->id;) {
		look_at(&entries->all[i], &other);
		if (other.in_force && other.kind == s->kind &&
		    s->kind->same(s->entry->change, other.entry->change))
			return other.entry;
	}
	return NULL;
}

static void mark_undone(struct journal *journal, const struct stand *s,
			const struct kind_look *after, struct fixed *f)
{
	struct err err;

	memcpy(f->journal, journal->path, sizeof(f->journal));
	if (journal_after(journal, s->entry->id,
			  json_pack("{s:s, s:s, s:s}", "result", "undone", "state",
				    kind_state_word(after->state), "seen", after->words),
			  &err))
		fixed_add(f, "why", "%s", err.text);
}

static void take_back(struct journal *journal, const struct stand *s, bool force, struct fixed *f)
{
	const bool was_back = s->look.state == KIND_BACK || s->look.state == KIND_GONE;
	struct kind_look after = {0};
	struct err err;
	int rc = s->kind->undo(s->entry->change, force, &after, &err);

	if (rc) {
		f->end = FIXED_REFUSED;
		f->error = -rc;
		f->unprivileged = rc == -EPERM;
		snprintf(f->answer, sizeof(f->answer), "change %llu is not undone: %s",
			 (unsigned long long)f->id, s->what);
		fixed_add(f, "why", "%s", err.text);
		return;
	}
	f->end = was_back ? FIXED_NOTHING : FIXED_UNDONE;
	snprintf(f->answer, sizeof(f->answer), "change %llu%s: %s", (unsigned long long)f->id,
		 !was_back                  ? " is undone"
		 : after.state == KIND_GONE ? " is gone by itself: nothing to do"
					    : " is not in force: nothing to do",
		 s->what);
	fixed_add(f, "now", "%s", after.words);
	/* What is gone went by itself, which is seen anew each time. */
	if (after.state != KIND_GONE)
		mark_undone(journal, s, &after, f);
}

static void refuse(struct fixed *f, int error, const struct stand *s, const char *why)
{
	f->end = FIXED_REFUSED;
	f->error = error;
	snprintf(f->answer, sizeof(f->answer), "change %llu is not undone: %s",
		 (unsigned long long)f->id, s->what);
	fixed_add(f, "why", "%s", why);
}

static void undo_entry(struct journal *journal, const struct journal_entries *entries,
		       const struct stand *s, const struct fix_options *o, struct fixed *f)
{
	const struct journal_entry *first = s->kind ? later(entries, s) : NULL;
	char why[128];

	f->id = s->entry->id;
	f->more = json_pack("{s:s, s:s, s:s}", "action", journal_text(s->entry->change, "action"),
			    "what", s->what, "where", s->where);
	if (is_over(journal_result(s->entry))) {
		f->end = FIXED_NOTHING;
		snprintf(f->answer, sizeof(f->answer), "change %llu was %s: nothing to do",
			 (unsigned long long)f->id, journal_result(s->entry));
	} else if (!s->kind) {
		refuse(f, ENOSYS, s, s->look.words);
	} else if (first && !o->force) {
		snprintf(why, sizeof(why),
			 "change %llu of the same is in force and came later: undo that first",
			 (unsigned long long)first->id);
		refuse(f, EBUSY, s, why);
	} else if (o->dry_run) {
		f->end = FIXED_DRY_RUN;
		snprintf(f->answer, sizeof(f->answer), "would undo change %llu: %s",
			 (unsigned long long)f->id, s->what);
		fixed_add(f, "now", "%s", s->look.words);
	} else {
		take_back(journal, s, o->force, f);
	}
}

/* The journal is open; locked, unless it is a dry run. */
static int undo_in(struct journal *journal, uint64_t id, struct fix_options *o)
{
	struct fixed f = {.verb = "undo", .end = FIXED_NOTHING};
	const struct journal_entry *entry;
	struct journal_entries entries;
	struct stand s;
	struct err err;

	if (journal_read(journal, &entries, &err))
		return fix_failed(o, err.text);
	entry = id ? with_id(&entries, id, &s) : newest(&entries, &s);
	if (entry) {
		undo_entry(journal, &entries, &s, o, &f);
	} else if (id) {
		journal_entries_free(&entries);
		snprintf(err.text, sizeof(err.text), "no change %llu stands in %.160s",
			 (unsigned long long)id, journal->path);
		return fix_failed(o, err.text);
	} else {
		tell_none(&s, &f);
	}
	journal_entries_free(&entries);
	return fix_end(&f, o);
}

int fix_undo(int argc, char **argv)
{
	const struct fix_verb verb = {.word = "undo",
				      .usage = undo_usage,
				      .takes = FIX_TAKES_CHANGE | FIX_TAKES_FORCE |
					       FIX_TAKES_JOURNAL | FIX_TAKES_JSON};
	struct journal journal;
	struct fix_options o;
	uint64_t id = 0;
	struct err err;
	int status;

	if (!fix_options_parse(&verb, argc, argv, &o, &status))
		return status;
	if (argc - optind > 1)
		return fix_usage(&verb, "one change at a time", argv[optind + 1]);
	if (optind < argc && !read_id(argv[optind], &id))
		return fix_usage(&verb, "not the id of a change", argv[optind]);
	/* Without a journal there is nothing to undo, and none is made. */
	if (journal_open_read(&journal, o.journal, &err))
		return fix_failed(&o, err.text);
	if (journal.fd >= 0 && !o.dry_run) {
		journal_close(&journal);
		if (journal_open(&journal, o.journal, &err))
			return fix_failed(&o, err.text);
	}
	status = undo_in(&journal, id, &o);
	journal_close(&journal);
	return status;
}
