/* SPDX-License-Identifier: MIT */
#include "report/lab_rows.h"

#include <string.h>

#include "report/fold.h"
#include "report/value.h"

/* The next play of the model that went, from i on; plays_n: there is none. */
static unsigned next_row(const struct lab_case *c, unsigned i)
{
	while (i < c->plays_n && (!strcmp(c->plays[i]->stage, "kernel") || !play_went(c->plays[i])))
		i++;
	return i;
}

static void print_line(FILE *out, int indent, const char *first, const char *text)
{
	struct fold f = {.out = out};

	fold_to(&f, indent);
	f.indent = first[0] ? indent + 8 : indent;
	fold_plain(&f, first);
	fold_to(&f, f.indent);
	fold_words(&f, text);
	fold_newline(&f);
}

/* Of calls or of segments alone: a case may make other calls on another release, and then those are
 * not all that differs. */
static void compare(enum agree_on kind, const struct play *a, const struct play *b,
		    struct agreement *out)
{
	struct play only[2] = {*a, *b};

	for (int i = 0; i < 2; i++) {
		only[i].counters_n = 0;
		if (kind == AGREE_CALLS)
			only[i].segments_n = only[i].apart_segments = 0;
		else
			only[i].calls_n = only[i].apart_calls = 0;
	}
	agree_compare(&only[0], &only[1], out);
}

struct count {
	const char *name, *host;
	uint64_t before, now;
};

/* The i-th counter of both lists, each once: first those of b, then those that only a has. False
 * behind the last. */
static bool count_at(const struct play *a, const struct play *b, uint32_t i, struct count *out)
{
	const struct play *of = i < b->counters_n ? b : a;
	const uint32_t k = of == b ? i : i - b->counters_n;

	if (k >= of->counters_n)
		return false;
	const struct play_counter *c = &of->counters[k];
	*out = (struct count){c->name, of->nodes[c->node].name, agree_counter(a, c->node, c->name),
			      agree_counter(b, c->node, c->name)};
	if (of == a && out->now)
		out->now = out->before; /* it was told */
	return true;
}

static bool print_difference(enum agree_on kind, const struct play *a, const struct play *b,
			     int indent, FILE *out)
{
	struct agreement is;
	char line[PLAY_TEXT_MAX + 64];

	compare(kind, a, b, &is);
	if (is.differs == AGREE_ALL)
		return false;
	snprintf(line, sizeof(line), "%s differs from %s: %s", b->release, a->release, is.what);
	print_line(out, indent, "", line);
	print_line(out, indent + 2, a->release, is.model);
	print_line(out, indent + 2, b->release, is.kernel);
	return true;
}

static unsigned differing_counts(const struct play *a, const struct play *b)
{
	struct count c;
	unsigned n = 0;

	for (uint32_t i = 0; count_at(a, b, i, &c); i++)
		n += c.now != c.before;
	return n;
}

static bool print_counts(const struct play *a, const struct play *b, int indent, FILE *out)
{
	const unsigned n = differing_counts(a, b);
	struct fold f = {.out = out, .indent = indent + 2};
	struct count c;
	char item[160];
	unsigned told = 0;

	if (!n)
		return false;
	fold_to(&f, indent);
	snprintf(item, sizeof(item), "%s counts otherwise:", b->release);
	fold_words(&f, item);
	for (uint32_t i = 0; count_at(a, b, i, &c); i++) {
		if (c.now == c.before)
			continue;
		snprintf(item, sizeof(item), "%s %s %llu, not %llu%s", c.host, c.name,
			 (unsigned long long)c.now, (unsigned long long)c.before,
			 ++told < n ? ";" : "");
		fold_words(&f, item);
	}
	fold_newline(&f);
	return true;
}

static void print_pair(const struct play *a, const struct play *b, int indent, FILE *out)
{
	char line[PLAY_TEXT_MAX];
	bool differs = print_difference(AGREE_CALLS, a, b, indent, out);

	differs |= print_difference(AGREE_SEGMENTS, a, b, indent, out);
	differs |= print_counts(a, b, indent, out);
	if (differs)
		return;
	snprintf(line, sizeof(line), "%s does what %s does, call by call and segment by segment",
		 b->release, a->release);
	print_line(out, indent, "", line);
}

void lab_rows_print(const struct lab_case *c, int indent, FILE *out)
{
	unsigned i = next_row(c, 0), k;

	for (; (k = next_row(c, i + 1)) < c->plays_n; i = k)
		print_pair(c->plays[i], c->plays[k], indent, out);
}

static void difference_json(json_t *list, enum agree_on kind, const struct play *a,
			    const struct play *b, bool *ok)
{
	struct agreement is;

	compare(kind, a, b, &is);
	if (is.differs == AGREE_ALL)
		return;
	json_t *d = json_object();
	value_put(d, "differs_in", json_string(kind == AGREE_CALLS ? "calls" : "segments"), ok);
	value_put(d, "what", value_string_or_null(is.what), ok);
	value_put(d, "in_release", value_string_or_null(is.kernel), ok);
	value_put(d, "in_before", value_string_or_null(is.model), ok);
	value_append(list, d, ok);
}

static json_t *counts_json(const struct play *a, const struct play *b, bool *ok)
{
	json_t *list = json_array();
	struct count c;

	for (uint32_t i = 0; count_at(a, b, i, &c); i++) {
		if (c.now == c.before)
			continue;
		json_t *j = json_object();
		value_put(j, "host", value_string(c.host), ok);
		value_put(j, "counter", value_string(c.name), ok);
		value_put(j, "in_release", json_integer((json_int_t)c.now), ok);
		value_put(j, "in_before", json_integer((json_int_t)c.before), ok);
		value_append(list, j, ok);
	}
	return list;
}

static json_t *pair_json(const struct play *a, const struct play *b, bool *ok)
{
	json_t *j = json_object(), *list = json_array();

	value_put(j, "release", json_string(b->release), ok);
	value_put(j, "before", json_string(a->release), ok);
	difference_json(list, AGREE_CALLS, a, b, ok);
	difference_json(list, AGREE_SEGMENTS, a, b, ok);
	value_put(j, "differences", list, ok);
	value_put(j, "counters", counts_json(a, b, ok), ok);
	return j;
}

json_t *lab_rows_json(const struct lab_case *c, bool *ok)
{
	json_t *list = json_array();
	unsigned i = next_row(c, 0), k;

	for (; (k = next_row(c, i + 1)) < c->plays_n; i = k)
		value_append(list, pair_json(c->plays[i], c->plays[k], ok), ok);
	return list;
}
