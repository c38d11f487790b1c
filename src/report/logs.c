/* SPDX-License-Identifier: MIT */
#include "report/logs.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "report/fold.h"
#include "report/name.h"
#include "report/report.h"
#include "report/value.h"

#define LABEL 10

static const char *file_of(const struct logs_report *r, unsigned file)
{
	return file < r->files_n ? r->files[file] : "-";
}

/* ---------------------------------------------------------------------------------------- excerpt
 *
 * Of the screen: the paragraphs whose label is one of these, and of a numbered list the first.
 */

static bool is_label(const char *line, const char *label)
{
	return !strncmp(line, label, strlen(label)) && line[strlen(label)] == ' ';
}

static bool is_wanted(const char *line, bool first)
{
	return first || is_label(line, "why") || is_label(line, "cures");
}

void report_excerpt(const struct result *r, FILE *out)
{
	char *screen = NULL, *line, *rest;
	size_t size;
	FILE *to = open_memstream(&screen, &size);
	bool wanted = false, first = true;

	if (!to)
		return;
	report_screen(r, false, to);
	fclose(to);
	for (rest = screen; rest && (line = strsep(&rest, "\n")) != NULL; first = false) {
		bool second = strlen(line) > LABEL && line[0] == ' ' && line[LABEL] == '2' &&
			      line[LABEL + 1] == ' ';
		if (line[0] && line[0] != ' ')
			wanted = is_wanted(line, first);
		else if (!line[0] || second)
			wanted = false;
		if (wanted)
			fprintf(out, "%s\n", line);
	}
	free(screen);
}

/* ----------------------------------------------------------------------------------------- screen
 */

static void add_place(struct text *t, const struct log_hit *h)
{
	char endpoint[ENDPOINT_TEXT_MAX];

	text_char(t, ' ');
	if (h->addr_known || !h->host[0]) {
		bool v6 = h->family == TCPWHY_IPV6;
		name_endpoint(&h->addr, h->port, v6 ? TCPWHY_IPV6 : TCPWHY_IPV4, endpoint);
		/* Only what was told: ":8080" has no address, "10.0.0.1" no port. */
		char *colon = strrchr(endpoint, ':');
		if (!h->port_known)
			*colon = '\0';
		text_add(t, h->addr_known || !h->port_known ? endpoint : colon);
		return;
	}
	text_add(t, h->host);
	if (h->port_known) {
		text_char(t, ':');
		text_number(t, h->port);
	}
}

static void add_where(struct text *t, const struct logs_report *r, const struct log_group *g)
{
	text_counted(t, g->count, "line");
	text_add(t, ": ");
	if (r->files_n > 1) {
		text_add(t, file_of(r, g->first_file));
		text_char(t, ':');
	}
	text_number(t, g->first.line);
	if (g->count == 1)
		return;
	text_add(t, " to ");
	if (g->last_file != g->first_file) {
		text_add(t, file_of(r, g->last_file));
		text_char(t, ':');
	}
	text_number(t, g->last_line);
}

static void print_line(FILE *out, const char *label, const char *words)
{
	struct fold f = {.out = out, .indent = LABEL};

	fold_plain(&f, label);
	fold_to(&f, LABEL);
	fold_words(&f, words);
	fold_newline(&f);
}

static void print_group_title(const struct logs_report *r, size_t i, FILE *out)
{
	const struct log_group *g = &r->groups->group[i];
	const struct log_hit *h = &g->first;
	const char *call = name_call(h->call);
	char label[16], line[RESULT_TEXT_MAX];
	struct text t = text_in(label, sizeof(label));

	text_number(&t, i + 1);
	t = text_in(line, sizeof(line));
	text_add(&t, call ? call : "connection");
	if (h->addr_known || h->host[0] || h->port_known)
		add_place(&t, h);
	text_add(&t, " failed with ");
	text_add(&t, name_errno(h->error));
	text_add(&t, " (");
	text_add(&t, h->format);
	text_add(&t, ", ");
	add_where(&t, r, g);
	text_char(&t, ')');
	print_line(out, label, line);
}

/* What a port that would be found says about the failure; NULL if nothing. */
static const char *other_cause(const struct log_hit *h)
{
	if (h->call != TCPWHY_CALL_CONNECT)
		return NULL;
	if (h->error == ECONNREFUSED)
		return "a port is not what it lacked: the other end, or something on the way, "
		       "refused it";
	if (h->error == ETIMEDOUT)
		return "a port is not what it lacked: no answer came from the other end";
	return NULL;
}

static void print_answer(const struct logs_report *r, size_t i, FILE *out)
{
	const struct logs_answer *a = &r->answers[i];
	char line[RESULT_TEXT_MAX];
	struct text t = text_in(line, sizeof(line));

	if (a->why_not)
		print_line(out, "not asked", a->why_not);
	if (a->asked && a->same_as != i) {
		text_add(&t, "the same question as ");
		text_number(&t, a->same_as + 1);
		print_line(out, "", line);
		return;
	}
	if (a->text)
		fputs(a->text, out);
	const char *cause = other_cause(&r->groups->group[i].first);
	if (a->asked && a->answer == TCPWHY_OK && cause)
		print_line(out, "so", cause);
	/* A command is one word to the folding: whole, on a line of its own. */
	if (a->command[0])
		fprintf(out, "%-*s%s\n", LABEL, a->asked ? "more" : "ask", a->command);
}

void report_logs_group(const struct logs_report *r, size_t i, FILE *out)
{
	print_group_title(r, i, out);
	print_line(out, "", r->groups->group[i].first.text);
	print_answer(r, i, out);
}

static void count_answers(const struct logs_report *r, unsigned asked[static TCPWHY_DEPENDS + 1])
{
	for (size_t i = 0; i < r->groups->n; i++)
		if (r->answers[i].asked && r->answers[i].same_as == i)
			asked[r->answers[i].answer]++;
}

void report_logs_verdict(const struct logs_report *r, FILE *out)
{
	unsigned asked[TCPWHY_DEPENDS + 1] = {0};
	char line[RESULT_TEXT_MAX];
	struct text t = text_in(line, sizeof(line));

	if (!r->groups->hits && !r->files_read)
		return;
	if (!r->groups->hits)
		text_add(&t, "no failed bind, connect or connection");
	else
		text_counted(&t, r->groups->hits, "line");
	if (r->groups->hits)
		text_add(&t, r->groups->hits == 1 ? " tells of a failure" : " tell of failures");
	text_add(&t, " in ");
	text_counted(&t, r->lines, "line");
	text_add(&t, " of ");
	if (r->files_n == 1)
		text_add(&t, file_of(r, 0));
	else
		text_counted(&t, r->files_read, "file");
	count_answers(r, asked);
	if (asked[TCPWHY_REFUSED] + asked[TCPWHY_OK] + asked[TCPWHY_DEPENDS]) {
		text_add(&t, "; asked now: ");
		text_number(&t, asked[TCPWHY_REFUSED]);
		text_add(&t, " would fail, ");
		text_number(&t, asked[TCPWHY_OK]);
		text_add(&t, " would succeed");
	}
	if (asked[TCPWHY_DEPENDS]) {
		text_add(&t, ", ");
		text_number(&t, asked[TCPWHY_DEPENDS]);
		text_add(&t, asked[TCPWHY_DEPENDS] == 1 ? " depends" : " depend");
	}
	print_line(out, r->groups->hits ? "FOUND" : "NOTHING", line);
}

void report_logs_screen(const struct logs_report *r, FILE *out)
{
	char line[RESULT_TEXT_MAX];
	struct text t = text_in(line, sizeof(line));

	report_logs_verdict(r, out);
	for (size_t i = 0; i < r->groups->n; i++) {
		fputc('\n', out);
		report_logs_group(r, i, out);
	}
	if (!r->groups->lost)
		return;
	text_counted(&t, r->groups->lost, "line");
	text_add(&t, " of other kinds: more kinds than are kept apart");
	fputc('\n', out);
	print_line(out, "not shown", line);
}

/* ------------------------------------------------------------------------------------------- JSON
 */

static json_t *place_of(const char *file, uint64_t line, bool *ok)
{
	json_t *j = json_object();

	value_put(j, "file", value_string(file), ok);
	value_put(j, "line", json_integer((json_int_t)line), ok);
	return j;
}

/* The object of the question, as `tcpwhy bind --json` prints it; again for each group that has it.
 */
static json_t *answer_of(const struct logs_report *r, size_t i)
{
	const struct logs_answer *a = &r->answers[i];
	const char *text = a->asked ? r->answers[a->same_as].text : NULL;

	return text ? json_loads(text, 0, NULL) : json_null();
}

static json_t *group_of(const struct logs_report *r, size_t i, bool *ok)
{
	const struct log_group *g = &r->groups->group[i];
	const struct log_hit *h = &g->first;
	char address[ADDRESS_TEXT_MAX];
	json_t *j = json_object();

	address_format(&h->addr, address);
	value_put(j, "format", json_string(h->format), ok);
	value_put(j, "errno", json_string(name_errno(h->error)), ok);
	value_put(j, "call", value_string_or_null(name_call(h->call)), ok);
	value_put(j, "address", h->addr_known ? json_string(address) : json_null(), ok);
	value_put(j, "host", value_string_or_null(h->host), ok);
	value_put(j, "port", h->port_known ? json_integer(h->port) : json_null(), ok);
	value_put(j, "from_context", json_boolean(h->from_context), ok);
	value_put(j, "count", json_integer((json_int_t)g->count), ok);
	value_put(j, "first", place_of(file_of(r, g->first_file), h->line, ok), ok);
	value_put(j, "last", place_of(file_of(r, g->last_file), g->last_line, ok), ok);
	value_put(j, "text", value_string(h->text), ok);
	value_put(j, "command", value_string_or_null(r->answers[i].command), ok);
	value_put(j, "not_asked", value_string_or_null(r->answers[i].why_not), ok);
	value_put(j, "answer", answer_of(r, i), ok);
	return j;
}

static bool dump(json_t *j, size_t flags, bool ok, FILE *out)
{
	ok = ok && !json_dumpf(j, out, flags | JSON_REAL_PRECISION(6));
	json_decref(j);
	return ok && fputc('\n', out) != EOF && fflush(out) == 0;
}

bool report_logs_group_json(const struct logs_report *r, size_t i, FILE *out)
{
	bool ok = true;
	json_t *j = json_object();

	value_put(j, "schema", json_integer(1), &ok);
	value_put(j, "group", group_of(r, i, &ok), &ok);
	return dump(j, JSON_COMPACT, ok, out);
}

bool report_logs_json(const struct logs_report *r, FILE *out)
{
	bool ok = true;
	json_t *j = json_object(), *files = json_array(), *groups = json_array();

	for (size_t i = 0; i < r->files_n; i++)
		ok = !json_array_append_new(files, value_string(r->files[i])) && ok;
	for (size_t i = 0; i < r->groups->n; i++)
		ok = !json_array_append_new(groups, group_of(r, i, &ok)) && ok;
	value_put(j, "schema", json_integer(1), &ok);
	value_put(j, "files", files, &ok);
	value_put(j, "lines", json_integer((json_int_t)r->lines), &ok);
	value_put(j, "bytes", json_integer((json_int_t)r->bytes), &ok);
	value_put(j, "found", json_integer((json_int_t)r->groups->hits), &ok);
	value_put(j, "groups", groups, &ok);
	value_put(j, "lost", json_integer((json_int_t)r->groups->lost), &ok);
	return dump(j, JSON_INDENT(2), ok, out);
}
