/* SPDX-License-Identifier: MIT */
#include "report/releases.h"

#include <string.h>

#include "report/fold.h"
#include "report/value.h"

enum { NAMES = 23, MARK = 4, OWN_CELL = 7 };

/* The bits of a row, or of a probe, that belong to one feature. */
static bool has(const struct tcpwhy_feature_info *f, uint32_t features, uint32_t packets)
{
	return (f->feature & features) || (f->packet & packets);
}

static bool row_has(const struct tcpwhy_row *row, const struct tcpwhy_feature_info *f)
{
	return has(f, row->features, row->packets);
}

static bool is_unverified(const struct tcpwhy_row *row, const struct tcpwhy_feature_info *f)
{
	return has(f, row->unverified, row->packets_unverified);
}

static bool is_asked(const struct releases *r, const struct tcpwhy_feature_info *f)
{
	return has(f, r->found->asked, r->found->packets_asked);
}

/* ----------------------------------------------------------------------------------------- screen
 */

static void right(struct fold *f, const char *s, int width)
{
	for (int n = fold_columns(s); n < width; n++)
		fold_plain(f, " ");
	fold_plain(f, s);
}

/* "4.19.y" stands as "4.19" above ".y": eleven of them fit eighty columns. */
static void split_name(const char *name, char upper[static 8], char lower[static 8])
{
	const char *dot = strchr(name, '.');
	const char *second = dot ? strchr(dot + 1, '.') : NULL;
	size_t n = second ? (size_t)(second - name) : strlen(name);

	snprintf(upper, 8, "%.*s", (int)(n < 7 ? n : 7), name);
	snprintf(lower, 8, "%.7s", second ? second : "");
}

/* A column is as wide as its name or the widest mark, and one between them. */
static int column_of(const struct tcpwhy_row *row)
{
	char upper[8], lower[8];

	split_name(row->name, upper, lower);
	const int width = (int)strlen(upper) + 1;
	return width > MARK ? width : MARK;
}

static void print_titles(struct fold *f)
{
	for (int line = 0; line < 2; line++) {
		right(f, "", NAMES);
		for (size_t i = 0; tcpwhy_row_at(i); i++) {
			char part[2][8];
			split_name(tcpwhy_row_at(i)->name, part[0], part[1]);
			right(f, part[line], column_of(tcpwhy_row_at(i)));
		}
		right(f, line ? "kernel" : "this", OWN_CELL);
		fold_newline(f);
	}
}

static const char *cell_of(const struct tcpwhy_row *row, const struct tcpwhy_feature_info *f)
{
	static const char *const words[2][2] = {{"-", "-?"}, {"yes", "y?"}};

	return words[row_has(row, f)][is_unverified(row, f)];
}

static void print_feature(struct fold *f, const struct releases *r,
			  const struct tcpwhy_feature_info *info)
{
	char own[16];

	fold_plain(f, info->id);
	fold_to(f, NAMES);
	for (size_t i = 0; tcpwhy_row_at(i); i++)
		right(f, cell_of(tcpwhy_row_at(i), info), column_of(tcpwhy_row_at(i)));
	/* The star stands beside the column. */
	snprintf(own, sizeof(own), "%s%s", cell_of(r->own, info), is_asked(r, info) ? "*" : "");
	right(f, own, OWN_CELL - !is_asked(r, info));
	fold_newline(f);
}

static void print_words(struct fold *f, const char *title, const char *words)
{
	fold_plain(f, title);
	f->indent = 10;
	fold_words(f, words);
	fold_newline(f);
	f->indent = 0;
}

static unsigned count_asked(const struct releases *r)
{
	unsigned n = 0;

	for (size_t i = 0; tcpwhy_feature_at(i); i++)
		n += is_asked(r, tcpwhy_feature_at(i));
	return n;
}

static void print_kernel(struct fold *f, const struct releases *r)
{
	unsigned asked = count_asked(r);
	char words[512];

	snprintf(words, sizeof(words), "%s: the rules of %s%s; %u of %u probes agree with it%s%s",
		 r->kernel, r->nearest->name,
		 r->exact ? "" : ", the nearest row: it was not made from a kernel of this name",
		 asked - r->otherwise, asked, r->otherwise ? ", the others are put right: " : "",
		 r->otherwise ? r->own->name : "");
	print_words(f, "kernel", words);
	if (r->found->unseen[0])
		print_words(f, "not tried", r->found->unseen);
}

/* Each feature with its sentence, instead of the table. */
static void print_sentences(struct fold *f)
{
	for (size_t i = 0; tcpwhy_feature_at(i); i++) {
		const struct tcpwhy_feature_info *info = tcpwhy_feature_at(i);
		fold_plain(f, info->id);
		fold_plain(f, "   ");
		fold_plain(f, info->since);
		fold_newline(f);
		f->indent = 4;
		fold_words(f, info->does);
		f->indent = 0;
		fold_newline(f);
	}
}

void report_releases_screen(const struct releases *r, bool explained, FILE *out)
{
	struct fold f = {.out = out};

	print_kernel(&f, r);
	fold_newline(&f);
	print_titles(&f);
	for (size_t i = 0; tcpwhy_feature_at(i); i++)
		print_feature(&f, r, tcpwhy_feature_at(i));
	fold_newline(&f);
	if (explained) {
		print_sentences(&f);
		fold_newline(&f);
	}
	print_words(&f, "?", "not read in that release's source");
	print_words(&f, "*",
		    "tried on this kernel, in a network namespace of its own that is gone");
	if (!explained)
		print_words(&f, "more", "tcpwhy lab --releases -v says what each feature does");
}

/* ------------------------------------------------------------------------------------------- JSON
 */

static json_t *features_of(const struct tcpwhy_row *row, bool *ok)
{
	json_t *list = json_object();

	for (size_t i = 0; tcpwhy_feature_at(i); i++) {
		const struct tcpwhy_feature_info *f = tcpwhy_feature_at(i);
		json_t *j = json_object();
		value_put(j, "present", json_boolean(row_has(row, f)), ok);
		value_put(j, "verified", json_boolean(!is_unverified(row, f)), ok);
		value_put(list, f->id, j, ok);
	}
	return list;
}

static json_t *rows_json(bool *ok)
{
	json_t *list = json_array();

	for (size_t i = 0; tcpwhy_row_at(i); i++) {
		json_t *j = json_object();
		value_put(j, "release", json_string(tcpwhy_row_at(i)->name), ok);
		value_put(j, "features", features_of(tcpwhy_row_at(i), ok), ok);
		value_append(list, j, ok);
	}
	return list;
}

static json_t *sentences_json(bool *ok)
{
	json_t *list = json_array();

	for (size_t i = 0; tcpwhy_feature_at(i); i++) {
		const struct tcpwhy_feature_info *f = tcpwhy_feature_at(i);
		json_t *j = json_object();
		value_put(j, "id", json_string(f->id), ok);
		value_put(j, "does", json_string(f->does), ok);
		value_put(j, "since", json_string(f->since), ok);
		value_append(list, j, ok);
	}
	return list;
}

static json_t *probed_json(const struct releases *r, bool *ok)
{
	json_t *list = json_array();

	for (size_t i = 0; tcpwhy_feature_at(i); i++) {
		const struct tcpwhy_feature_info *f = tcpwhy_feature_at(i);
		if (is_asked(r, f))
			value_append(list, json_string(f->id), ok);
	}
	return list;
}

static json_t *own_json(const struct releases *r, bool *ok)
{
	json_t *j = json_object();

	value_put(j, "kernel", value_string(r->kernel), ok);
	value_put(j, "release", json_string(r->own->name), ok);
	value_put(j, "nearest", json_string(r->nearest->name), ok);
	value_put(j, "exact", json_boolean(r->exact), ok);
	value_put(j, "features", features_of(r->own, ok), ok);
	value_put(j, "probed", probed_json(r, ok), ok);
	value_put(j, "otherwise", json_integer(r->otherwise), ok);
	value_put(j, "unseen", value_string_or_null(r->found->unseen), ok);
	return j;
}

bool report_releases_json(const struct releases *r, FILE *out)
{
	bool ok = true;
	json_t *j = json_object();

	value_put(j, "schema", json_integer(1), &ok);
	value_put(j, "this", own_json(r, &ok), &ok);
	value_put(j, "features", sentences_json(&ok), &ok);
	value_put(j, "releases", rows_json(&ok), &ok);
	if (ok)
		return value_print(j, out);
	json_decref(j);
	return false;
}
