/* SPDX-License-Identifier: MIT */
#include "report/lab.h"

#include <stdlib.h>

#include "report/lab_rows.h"
#include "report/ladder.h"
#include "report/value.h"

static const char *const verdict_words[] = {
	[LAB_HOLDS] = "holds",
	[LAB_BROKEN] = "broken",
	[LAB_WRONG] = "wrong",
	[LAB_NOT_PLAYED] = "not-played",
};

static const char *const end_words[] = {
	[PLAY_DONE] = "done",   [PLAY_CANNOT] = "cannot", [PLAY_SLOW] = "slow",
	[PLAY_WRONG] = "wrong", [PLAY_FAILED] = "failed",
};

static json_t *releases_of(const struct play_head *h, bool *ok)
{
	json_t *list = json_array();

	for (size_t i = 0; tcpwhy_row_at(i); i++)
		if (h->rows >> i & 1)
			value_append(list, json_string(tcpwhy_row_at(i)->name), ok);
	return list;
}

static json_t *head_of(const struct lab_case *c, bool *ok)
{
	const struct play_head *h = &c->head;
	json_t *j = json_object();

	value_put(j, "case", value_string(h->name), ok);
	value_put(j, "wrong", value_string_or_null(c->wrong), ok);
	value_put(j, "about", value_string(h->about), ok);
	value_put(j, "claim", value_string_or_null(h->claim), ok);
	value_put(j, "truth", value_string_or_null(h->truth), ok);
	value_put(j, "source", value_string_or_null(h->source), ok);
	value_put(j, "releases", releases_of(h, ok), ok);
	value_put(j, "model", json_boolean(h->world), ok);
	value_put(j, "kernel", json_boolean(h->kernel), ok);
	return j;
}

static json_t *expects_of(const struct play *p, bool *ok)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < p->expects_n; i++) {
		const struct play_expect *e = &p->expects[i];
		json_t *j = json_object();
		value_put(j, "line", json_integer(e->line), ok);
		value_put(j, "text", value_string(e->text), ok);
		value_put(j, "holds", e->skipped ? json_null() : json_boolean(e->holds), ok);
		value_put(j, "got", e->skipped ? json_null() : value_string(e->got), ok);
		value_put(j, "wanted", e->skipped ? json_null() : value_string(e->want), ok);
		value_put(j, "skipped", value_string_or_null(e->skipped ? e->got : ""), ok);
		value_append(list, j, ok);
	}
	return list;
}

static json_t *figures_of(const struct play *p, bool *ok)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < p->figures_n; i++) {
		json_t *row = json_array();
		for (int k = 0; k < PLAY_CELLS && p->figures[i].cell[k][0]; k++)
			value_append(row, value_string(p->figures[i].cell[k]), ok);
		value_append(list, row, ok);
	}
	return list;
}

static json_t *capture_of(const struct play *p, const struct lab_capture *c, bool *ok)
{
	if (!c || !c->file)
		return json_null();
	json_t *j = json_object();
	value_put(j, "file", value_string(c->file), ok);
	value_put(j, "wrong", value_string_or_null(c->wrong), ok);
	value_put(j, "segments", json_integer(p->captured), ok);
	value_put(j, "not_kept", json_integer(p->uncaptured), ok);
	return j;
}

/* ----------------------------------------------------------------------------------- the ladder
 */

static json_t *seconds_of(uint64_t ns)
{
	return json_real((double)ns / 1e9);
}

static json_t *flags_of(uint8_t flags, bool *ok)
{
	json_t *list = json_array();

	for (size_t i = 0; i < LADDER_FLAGS; i++)
		if (flags & ladder_flags[i].flag)
			value_append(list, json_string(ladder_flags[i].name), ok);
	return list;
}

static json_t *states_of(const struct play_segment *s, bool *ok)
{
	json_t *list = json_array();

	for (int i = 0; i < 2; i++)
		value_append(
			list,
			s->state[i] ? json_string(tcpwhy_state_name((enum tcpwhy_state)s->state[i]))
				    : json_null(),
			ok);
	return list;
}

/* What a box at either end believes of the session. */
static json_t *sessions_of(const struct play_segment *s, bool *ok)
{
	json_t *list = json_array();

	for (int i = 0; i < 2; i++)
		value_append(list, value_string_or_null(ladder_session(s->session[i])), ok);
	return list;
}

static json_t *segment_of(const struct play *p, const struct play_segment *s,
			  const struct agree_numbers *n, bool *ok)
{
	static const char *const passages[] = {
		[LINE_ON_ITS_WAY] = "held", [LINE_DELIVERED] = "delivered", [LINE_LOST] = "lost"};
	static const char *const origins[] = {
		[LINE_SENT] = "sent", [LINE_INJECTED] = "injected", [LINE_COPIED] = "copied"};
	const struct line_record *r = &s->record;
	const struct play_link *link = &p->links[r->link];
	const bool back = r->direction == LINE_FROM_1;
	json_t *j = json_object();

	value_put(j, "time_s", seconds_of(r->sent_ns), ok);
	value_put(j, "link", json_integer(r->link), ok);
	value_put(j, "connection", json_integer(n->connection), ok);
	value_put(j, "from", value_string(p->nodes[link->node[back]].name), ok);
	value_put(j, "to", value_string(p->nodes[link->node[!back]].name), ok);
	value_put(j, "flags", flags_of(r->segment.flags, ok), ok);
	value_put(j, "seq", json_integer(n->seq), ok);
	value_put(j, "ack", n->has_ack ? json_integer(n->ack) : json_null(), ok);
	value_put(j, "length", json_integer(r->segment.length), ok);
	value_put(j, "states", states_of(s, ok), ok);
	value_put(j, "sessions", sessions_of(s, ok), ok);
	value_put(j, "counted", value_string_or_null(s->counted), ok);
	value_put(j, "passage", json_string(passages[r->passage]), ok);
	value_put(j, "origin", json_string(origins[r->origin]), ok);
	return j;
}

static json_t *call_of(const struct play *p, const struct play_call *c, bool *ok)
{
	json_t *j = json_object();

	value_put(j, "time_s", seconds_of(c->at_ns), ok);
	value_put(j, "end_s", seconds_of(c->end_ns), ok);
	value_put(j, "host", c->node < 0 ? json_null() : value_string(p->nodes[c->node].name), ok);
	value_put(j, "line", json_integer(c->line), ok);
	value_put(j, "note", json_boolean(c->is_note), ok);
	value_put(j, "text", value_string(c->text), ok);
	value_put(j, "result", value_string_or_null(c->result), ok);
	return j;
}

static json_t *ladder_of(const struct play *p, bool *ok)
{
	struct agree_numbers *numbers = malloc((p->segments_n + 1) * sizeof(*numbers));
	json_t *j = json_object(), *calls = json_array(), *segments = json_array();

	*ok &= numbers != NULL;
	if (numbers)
		agree_number(p, numbers);
	for (uint32_t i = 0; numbers && i < p->segments_n; i++)
		value_append(segments, segment_of(p, &p->segments[i], &numbers[i], ok), ok);
	for (uint32_t i = 0; i < p->calls_n; i++)
		value_append(calls, call_of(p, &p->calls[i], ok), ok);
	value_put(j, "calls", calls, ok);
	value_put(j, "segments", segments, ok);
	free(numbers);
	return j;
}

/* ---------------------------------------------------------------------------------- plays, cases
 */

static json_t *play_of(const struct play *p, const struct lab_capture *capture, bool with_ladder,
		       bool *ok)
{
	json_t *j = json_object();

	value_put(j, "stage", json_string(p->stage), ok);
	value_put(j, "release", value_string(p->release), ok);
	value_put(j, "end", json_string(end_words[p->end]), ok);
	value_put(j, "why", value_string_or_null(p->why), ok);
	value_put(j, "calls", json_integer(p->calls_total), ok);
	value_put(j, "segments", json_integer(p->segments_total), ok);
	value_put(j, "lasted_s", json_real((double)(p->lasted_ns / 1000000) / 1000), ok);
	value_put(j, "took_s", json_real((double)(p->took_ns / 1000000) / 1000), ok);
	value_put(j, "expectations", expects_of(p, ok), ok);
	value_put(j, "figures", figures_of(p, ok), ok);
	value_put(j, "capture", capture_of(p, capture, ok), ok);
	value_put(j, "ladder", with_ladder ? ladder_of(p, ok) : json_null(), ok);
	return j;
}

static json_t *counter_of(const struct lab_case *c, const struct play_counter *counter, bool *ok)
{
	const uint64_t model = agree_counter(c->model, counter->node, counter->name),
		       kernel = agree_counter(c->kernel, counter->node, counter->name);
	json_t *j = json_object();

	value_put(j, "host", value_string(c->model->nodes[counter->node].name), ok);
	value_put(j, "counter", value_string(counter->name), ok);
	value_put(j, "model", json_integer((json_int_t)model), ok);
	value_put(j, "kernel", json_integer((json_int_t)kernel), ok);
	return j;
}

/* Those that one of the two has: what is 0 in both is not kept. */
static json_t *counters_of(const struct lab_case *c, bool *ok)
{
	const struct play *m = c->model, *k = c->kernel;
	json_t *list;

	if (!c->agreement.with_counters)
		return json_null();
	list = json_array();
	for (uint32_t i = 0; i < m->counters_n; i++)
		value_append(list, counter_of(c, &m->counters[i], ok), ok);
	for (uint32_t i = 0; i < k->counters_n; i++)
		if (!agree_counter(m, k->counters[i].node, k->counters[i].name))
			value_append(list, counter_of(c, &k->counters[i], ok), ok);
	return list;
}

static json_t *agreement_of(const struct lab_case *c, bool *ok)
{
	static const char *const words[] = {"nothing", "calls", "segments", "counters"};
	const struct agreement *a = &c->agreement;

	if (!c->compared)
		return json_null();
	json_t *j = json_object();
	value_put(j, "agrees", json_boolean(a->differs == AGREE_ALL), ok);
	value_put(j, "differs_in", json_string(words[a->differs]), ok);
	value_put(j, "calls", json_integer(a->calls), ok);
	value_put(j, "segments", json_integer(a->segments), ok);
	value_put(j, "counters", json_integer(a->counters), ok);
	value_put(j, "counters_compared", counters_of(c, ok), ok);
	value_put(j, "apart", value_string_or_null(c->kernel->apart), ok);
	value_put(j, "what", value_string_or_null(a->what), ok);
	value_put(j, "in_model", value_string_or_null(a->model), ok);
	value_put(j, "on_kernel", value_string_or_null(a->kernel), ok);
	return j;
}

static bool print(json_t *list, FILE *out, bool ok)
{
	json_t *root = json_object();

	value_put(root, "schema", json_integer(1), &ok);
	value_put(root, "cases", list, &ok);
	if (ok)
		return value_print(root, out);
	json_decref(root);
	return false;
}

/* As on the screen: both sides of a disagreement are there unasked. */
static bool shows_ladder(const struct lab_case *c, const struct play *p, bool verbose)
{
	const bool differs = c->compared && c->agreement.differs != AGREE_ALL;

	return verbose || (differs && (p == c->model || p == c->kernel));
}

static json_t *plays_of(const struct lab_case *c, bool verbose, bool *ok)
{
	json_t *plays = json_array();

	for (unsigned i = 0; i < c->plays_n; i++)
		value_append(plays,
			     play_of(c->plays[i], c->captures[i],
				     shows_ladder(c, c->plays[i], verbose), ok),
			     ok);
	return plays;
}

bool report_lab_json(const struct lab_case *cases, size_t n, bool verbose, FILE *out)
{
	json_t *list = json_array();
	bool ok = true;

	for (size_t i = 0; i < n; i++) {
		json_t *j = head_of(&cases[i], &ok);
		value_put(j, "verdict", json_string(verdict_words[lab_verdict(&cases[i])]), &ok);
		value_put(j, "plays", plays_of(&cases[i], verbose, &ok), &ok);
		value_put(j, "agreement", agreement_of(&cases[i], &ok), &ok);
		value_put(j, "releases_compared",
			  cases[i].by_row ? lab_rows_json(&cases[i], &ok) : json_null(), &ok);
		value_append(list, j, &ok);
	}
	return print(list, out, ok);
}

bool report_lab_list_json(const struct lab_case *cases, size_t n, FILE *out)
{
	json_t *list = json_array();
	bool ok = true;

	for (size_t i = 0; i < n; i++)
		value_append(list, head_of(&cases[i], &ok), &ok);
	return print(list, out, ok);
}
