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
#include "report/value.h"

/* ------------------------------------------------------------------------------------ one change
 */

/* A change of the journal, looked at. */
struct stand {
	const struct journal_entry *entry;
	const struct kind *kind; /* NULL: of another release */
	struct kind_look look;
	bool in_force; /* it can be undone, and is not; also where only names are left */
	bool unseen;   /* it may be in force: it could not be looked at */
	char state[64];
	char what[128], where[64];
};

/* What was refused, undone or given up is not asked how it stands: somebody may have made the same
 * since. */
static bool is_over(const char *result)
{
	return !strcmp(result, "undone") || !strcmp(result, "refused") ||
	       !strcmp(result, "given up");
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
	s->in_force = s->look.state == KIND_IN_FORCE || s->look.state == KIND_PARTLY ||
		      s->look.state == KIND_NAMES;
	s->unseen = s->look.state == KIND_UNSEEN;
	say_state(s, result);
}

/* ------------------------------------------------------------------------------------------- list
 */

/* The next change of the same thing: what it found was this one's. NULL: there is none. */
static const struct journal_entry *next_of_same(const struct journal_entries *entries, size_t i,
						const struct kind *kind)
{
	for (size_t k = i + 1; k < entries->n; k++) {
		const struct journal_entry *e = &entries->all[k];

		if (!is_over(journal_result(e)) &&
		    kind_find(journal_text(e->change, "action")) == kind &&
		    kind->same(entries->all[i].change, e->change))
			return e;
	}
	return NULL;
}

static void look_at_listed(const struct journal_entries *entries, size_t i, struct stand *s)
{
	const struct journal_entry *next;
	size_t used;

	look_at(&entries->all[i], s);
	if (s->look.state != KIND_OTHER)
		return;
	next = next_of_same(entries, i, s->kind);
	used = strlen(s->state);
	if (next && next->id)
		snprintf(s->state + used, sizeof(s->state) - used, ", by change %llu",
			 (unsigned long long)next->id);
}

static json_t *json_of(const struct stand *s)
{
	const json_t *change = s->entry->change;

	return json_pack("{s:o, s:s, s:s, s:o, s:o, s:s, s:b, s:s, s:O, s:O?}", "id",
			 s->entry->id ? json_integer((json_int_t)s->entry->id) : json_null(),
			 "when", journal_text(change, "when"), "action",
			 journal_text(change, "action"), "what", value_string(s->what), "where",
			 value_string(s->where), "result", journal_result(s->entry), "in_force",
			 s->in_force, "state", s->state, "change", change, "outcome",
			 s->entry->outcome);
}

static bool list_json(const struct journal *journal, const struct journal_entries *entries)
{
	json_t *list = json_array(), *root;
	struct stand s;
	bool ok = true;

	for (size_t i = entries->n; i-- > 0;) {
		look_at_listed(entries, i, &s);
		value_append(list, json_of(&s), &ok);
	}
	root = json_pack("{s:i, s:s, s:o, s:o, s:I, s:I}", "schema", 1, "fix", "list", "journal",
			 value_string_or_null(journal->fd < 0 ? NULL : journal->path), "changes",
			 list, "skipped", (json_int_t)entries->skipped, "newer",
			 (json_int_t)entries->newer);
	return value_print(root, stdout) && ok;
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
	if (s->look.words[0] && s->look.state != KIND_IN_FORCE && s->look.state != KIND_PARTLY &&
	    s->look.state != KIND_BACK) {
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
		look_at_listed(entries, i, &s);
		print_line(&s);
	}
	if (entries->newer)
		printf("%zu line%s of %s: written by a newer release, and not understood\n",
		       entries->newer, entries->newer == 1 ? "" : "s", journal->path);
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
	"names is touched. With --force also where somebody else changed it since; and the record\n"
	"of a change that cannot be looked at is given up.\n\n";

static bool read_id(const char *text, uint64_t *id)
{
	char *end;

	errno = 0;
	*id = strtoull(text, &end, 10);
	return *text >= '1' && *text <= '9' && !*end && !errno;
}

/* Newer ones that cannot be looked at are passed over; they may be in force too. */
struct passed {
	size_t n;
	struct stand first; /* the newest of them */
};

/* The newest in force, or NULL; *s is its stand. */
static const struct journal_entry *newest(const struct journal_entries *entries, struct stand *s,
					  struct passed *passed)
{
	for (size_t i = entries->n; i-- > 0;) {
		look_at(&entries->all[i], s);
		if (!entries->all[i].id)
			continue;
		if (s->in_force)
			return s->entry;
		if (s->unseen && !passed->n++)
			passed->first = *s;
	}
	return NULL;
}

/* What was passed over, and how it is taken back or got rid of. */
static void tell_passed(const struct passed *passed, const struct fix_options *o, struct fixed *f)
{
	unsigned long long id = passed->n ? passed->first.entry->id : 0;
	char more[48] = "", command[FIX_COMMAND_MAX];

	if (!passed->n)
		return;
	if (passed->n > 1)
		snprintf(more, sizeof(more), "; and %zu older", passed->n - 1);
	fixed_add(f, "passed", "change %llu, which may be in force: %s (%s)%s", id,
		  passed->first.what, passed->first.look.words, more);
	fixed_add(f, "hint",
		  "%s takes it back once it can be looked at; with --force its record is given up",
		  fix_undo_command(o, id, command));
}

/* No id was given, and none is known to be in force. */
static void tell_none(const struct passed *passed, struct fixed *f)
{
	if (!passed->n) {
		snprintf(f->answer, sizeof(f->answer), "no change is in force: nothing to do");
		return;
	}
	f->end = FIXED_REFUSED;
	f->error = EPERM;
	f->unprivileged = true;
	snprintf(f->answer, sizeof(f->answer), "change %llu may be in force: %s",
		 (unsigned long long)passed->first.entry->id, passed->first.what);
	fixed_add(f, "why", "%s", passed->first.look.words);
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

/* A later change of the same thing that is in force, or may be: it must go first. */
static const struct journal_entry *later(const struct journal_entries *entries,
					 const struct stand *s)
{
	struct stand other;

	for (size_t i = entries->n; i-- > 0 && entries->all[i].id > s->entry->id;) {
		look_at(&entries->all[i], &other);
		if ((other.in_force || other.unseen) && other.kind == s->kind &&
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

/* It cannot be looked at, and perhaps never will: its record is in nobody's way any more. */
static void give_up(struct journal *journal, const struct stand *s, const struct fix_options *o,
		    struct fixed *f)
{
	struct err err;

	f->end = o->dry_run ? FIXED_DRY_RUN : FIXED_DONE;
	snprintf(f->answer, sizeof(f->answer), "change %llu %s given up: %s",
		 (unsigned long long)f->id, o->dry_run ? "would be" : "is", s->what);
	fixed_add(f, "now", "not looked at: %s. If it is in force, it stays so", s->look.words);
	if (o->dry_run)
		return;
	memcpy(f->journal, journal->path, sizeof(f->journal));
	if (!journal_after(journal, s->entry->id,
			   json_pack("{s:s, s:s}", "result", "given up", "because", s->look.words),
			   &err))
		return;
	f->end = FIXED_REFUSED;
	f->unprivileged = true;
	snprintf(f->answer, sizeof(f->answer), "change %llu is not given up: %s",
		 (unsigned long long)f->id, s->what);
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
	if (!was_back || after.state != KIND_GONE)
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
	f->more = json_pack("{s:s, s:o, s:o}", "action", journal_text(s->entry->change, "action"),
			    "what", value_string(s->what), "where", value_string(s->where));
	if (is_over(journal_result(s->entry))) {
		f->end = FIXED_NOTHING;
		snprintf(f->answer, sizeof(f->answer), "change %llu was %s: nothing to do",
			 (unsigned long long)f->id, journal_result(s->entry));
	} else if (s->unseen && o->force) {
		give_up(journal, s, o, f);
	} else if (!s->kind) {
		refuse(f, ENOSYS, s, s->look.words);
	} else if (first && !o->force) {
		snprintf(why, sizeof(why),
			 "change %llu of the same came later and is in force, or may be: undo that "
			 "first",
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
	struct passed passed = {0};
	struct stand s;
	struct err err;

	if (journal_read(journal, &entries, &err))
		return fix_failed(o, err.text);
	entry = id ? with_id(&entries, id, &s) : newest(&entries, &s, &passed);
	if (entry) {
		undo_entry(journal, &entries, &s, o, &f);
	} else if (id) {
		journal_entries_free(&entries);
		snprintf(err.text, sizeof(err.text), "no change %llu stands in %.160s",
			 (unsigned long long)id, journal->path);
		return fix_failed(o, err.text);
	} else {
		tell_none(&passed, &f);
	}
	tell_passed(&passed, o, &f);
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
