/* SPDX-License-Identifier: MIT */
#include "report/fixed.h"

#include <stdarg.h>
#include <string.h>

#include "report/fold.h"
#include "report/value.h"

#define LABEL_COLUMNS 10

static struct fixed_part *next_part(struct fixed *f, const char *label)
{
	struct fixed_part *p = &f->parts[f->n];

	if (f->n == FIXED_PARTS_MAX)
		return NULL;
	p->label = label;
	p->table = false;
	return p;
}

void fixed_add(struct fixed *f, const char *label, const char *format, ...)
{
	struct fixed_part *p = next_part(f, label);
	va_list args;

	if (!p)
		return;
	va_start(args, format);
	vsnprintf(p->words, sizeof(p->words), format, args);
	va_end(args);
	f->n += p->words[0] != '\0';
}

void fixed_add_table(struct fixed *f, const char *label, const char *lines)
{
	struct fixed_part *p = next_part(f, label);

	if (!p)
		return;
	snprintf(p->words, sizeof(p->words), "%s", lines);
	p->table = true;
	f->n += p->words[0] != '\0';
}

/* ------------------------------------------------------------------------------------- to people
 */

static void print_words(FILE *out, const char *label, const char *words)
{
	struct fold f = {.out = out, .indent = LABEL_COLUMNS};

	fold_plain(&f, label);
	fold_to(&f, f.indent);
	fold_words(&f, words);
	fold_newline(&f);
}

/* Between empty lines, as a table stands everywhere. */
static void print_table(FILE *out, const char *label, const char *lines)
{
	fputc('\n', out);
	for (bool first = true; *lines; first = false) {
		struct fold f = {.out = out};
		size_t n = strcspn(lines, "\n");
		char line[256];

		snprintf(line, sizeof(line), "%.*s", (int)n, lines);
		fold_plain(&f, first ? label : "");
		fold_to(&f, LABEL_COLUMNS);
		fold_plain(&f, line);
		fold_newline(&f);
		lines += n + (lines[n] == '\n');
	}
	fputc('\n', out);
}

void fixed_text(const struct fixed *f, FILE *out)
{
	static const char *const words[] = {"NOTHING", "DRY RUN", "DONE",
					    "LEFT",    "REFUSED", "UNDONE"};

	print_words(out, words[f->end], f->answer);
	for (size_t i = 0; i < f->n; i++) {
		const struct fixed_part *p = &f->parts[i];

		if (p->table)
			print_table(out, p->label, p->words);
		else
			print_words(out, p->label, p->words);
	}
	if (f->journal[0])
		print_words(out, "journal", f->journal);
}

/* ----------------------------------------------------------------------------------- to programs
 */

static json_t *error_name(int error)
{
	const char *name = error ? strerrorname_np(error) : NULL;

	return name ? json_string(name) : json_null();
}

/* The names that are a promise where they differ from the label; else a space is a _. */
static const char *name_of(const char *label, char name[static 32])
{
	if (!strcmp(label, "given up"))
		return "gives_up";
	if (!strcmp(label, "why"))
		return "refusal";
	snprintf(name, 32, "%s", label);
	for (char *c = name; *c; c++)
		if (*c == ' ')
			*c = '_';
	return name;
}

/* A label that comes twice is an array of words. */
static void add_part(json_t *root, const struct fixed_part *p)
{
	json_t *words = value_string(p->words), *old, *list;
	char room[32];
	const char *name = name_of(p->label, room);

	old = json_object_get(root, name);
	if (!old || json_is_null(old)) {
		json_object_set_new(root, name, words);
		return;
	}
	if (!json_is_array(old)) {
		list = json_pack("[O]", old);
		json_object_set_new(root, name, list);
		old = list;
	}
	json_array_append_new(old, words);
}

bool fixed_json(const struct fixed *f, FILE *out)
{
	static const char *const words[] = {"nothing", "dry-run", "done",
					    "left",    "refused", "undone"};
	json_t *root = json_pack("{s:i, s:s, s:s, s:o, s:o, s:n, s:n}", "schema", 1, "fix", f->verb,
				 "answer", words[f->end], "because", value_string(f->answer),
				 "errno", error_name(f->error), "refusal", "gives_up");
	bool ok = root != NULL;

	if (!ok)
		return false;
	json_object_set_new(root, "id", f->id ? json_integer((json_int_t)f->id) : json_null());
	json_object_set_new(root, "journal", value_string_or_null(f->journal));
	for (size_t i = 0; i < f->n; i++)
		if (!f->parts[i].table)
			add_part(root, &f->parts[i]);
	if (f->more)
		ok = !json_object_update(root, f->more);
	ok = ok && !json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) &&
	     fputc('\n', out) != EOF;
	json_decref(root);
	return ok;
}
