/* SPDX-License-Identifier: MIT */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "logs/match.h"

#include <errno.h>
#include <pcre2.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "logs/endpoint.h"

/* A match may take so many steps of backtracking; ordinary failures take some hundreds. */
#define STEPS_MAX    100000
#define HEAP_MAX_KIB 4096 /* of the interpreter; the JIT has a fixed stack */
/* How far around a match the words of LOG_NOT_TCP count. */
#define NEAR 120

enum group { AT, HOST, PORT, WHY, CALL, GROUPS };

struct pattern {
	pcre2_code *code;
	int group[GROUPS]; /* number, 0 or less: it has none */
};

struct matcher {
	const struct tcpwhy_memory *memory;
	pcre2_general_context *general;
	pcre2_match_context *limits;
	pcre2_match_data *match;
	struct pattern formats[LOG_FORMATS_MAX];
	struct pattern contexts[LOG_CONTEXTS_MAX];
	struct pattern not_tcp;
};

/* ----------------------------------------------------------------------------------------- memory
 *
 * PCRE2 frees without the size that the caller's memory wants back: it is kept in front.
 */

union block {
	size_t size;
	max_align_t align;
};

static void *take(size_t size, void *ctx)
{
	const struct tcpwhy_memory *memory = ctx;
	union block *b = memory->resize(memory->ctx, NULL, 0, sizeof(*b) + size);

	if (!b)
		return NULL;
	b->size = size;
	return b + 1;
}

static void give_back(void *at, void *ctx)
{
	const struct tcpwhy_memory *memory = ctx;
	union block *b = at;

	if (b)
		memory->resize(memory->ctx, b - 1, sizeof(*b) + b[-1].size, 0);
}

/* -------------------------------------------------------------------------------------- compiling
 */

static bool compile(const char *text, pcre2_compile_context *how, struct pattern *out)
{
	static const char *const names[GROUPS] = {"at", "host", "port", "why", "call"};
	int error;
	size_t offset;

	out->code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_NEVER_UTF, &error,
				  &offset, how);
	/* The table is ours: only memory may be missing. */
	must(out->code || error == PCRE2_ERROR_HEAP_FAILED);
	if (!out->code)
		return false;
	/* Where code may not be written (SELinux, seccomp) the interpreter does the same. */
	pcre2_jit_compile(out->code, PCRE2_JIT_COMPLETE);
	for (int g = 0; g < GROUPS; g++)
		out->group[g] = pcre2_substring_number_from_name(out->code, (PCRE2_SPTR)names[g]);
	return true;
}

static bool compile_all(struct matcher *m)
{
	pcre2_compile_context *how = pcre2_compile_context_create(m->general);
	bool ok = how && compile(LOG_NOT_TCP, how, &m->not_tcp);

	for (size_t i = 0; ok && log_format_at(i); i++)
		ok = compile(log_format_at(i)->pattern, how, &m->formats[i]);
	for (size_t i = 0; ok && log_context_at(i); i++)
		ok = compile(log_context_at(i)->pattern, how, &m->contexts[i]);
	pcre2_compile_context_free(how);
	return ok;
}

struct matcher *matcher_new(const struct tcpwhy_memory *memory)
{
	struct matcher *m = memory->resize(memory->ctx, NULL, 0, sizeof(*m));

	if (!m)
		return NULL;
	memset(m, 0, sizeof(*m));
	m->memory = memory;
	/* PCRE2 hands the pointer back to take() and give_back(), which only read it. */
	m->general = pcre2_general_context_create(take, give_back, (void *)(uintptr_t)memory);
	m->limits = m->general ? pcre2_match_context_create(m->general) : NULL;
	m->match = m->limits ? pcre2_match_data_create(16, m->general) : NULL;
	if (!m->match || !compile_all(m)) {
		matcher_free(m);
		return NULL;
	}
	pcre2_set_match_limit(m->limits, STEPS_MAX);
	pcre2_set_heap_limit(m->limits, HEAP_MAX_KIB);
	return m;
}

void matcher_free(struct matcher *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < LOG_FORMATS_MAX; i++)
		pcre2_code_free(m->formats[i].code);
	for (size_t i = 0; i < LOG_CONTEXTS_MAX; i++)
		pcre2_code_free(m->contexts[i].code);
	pcre2_code_free(m->not_tcp.code);
	pcre2_match_data_free(m->match);
	pcre2_match_context_free(m->limits);
	pcre2_general_context_free(m->general);
	m->memory->resize(m->memory->ctx, m, sizeof(*m), 0);
}

/* --------------------------------------------------------------------------------------- matching
 */

static bool matches(struct matcher *m, const struct pattern *p, const char *line, size_t length)
{
	return pcre2_match(p->code, (PCRE2_SPTR)line, length, 0, 0, m->match, m->limits) > 0;
}

/* The text of a group of the last match; NULL if the row has none, or it took no part. */
static const char *group_text(const struct matcher *m, const struct pattern *p, enum group g,
			      const char *line, size_t *length)
{
	const size_t *ends = pcre2_get_ovector_pointer(m->match);
	int n = p->group[g];

	if (n <= 0 || ends[2 * n] == PCRE2_UNSET)
		return NULL;
	*length = ends[2 * n + 1] - ends[2 * n];
	return line + ends[2 * n];
}

static bool take_place(const struct matcher *m, const struct pattern *p, const char *line,
		       struct log_hit *hit)
{
	const char *text;
	size_t n;
	bool had = false;

	if ((text = group_text(m, p, AT, line, &n)))
		had |= endpoint_take(text, n, hit);
	if ((text = group_text(m, p, HOST, line, &n)))
		had |= endpoint_take_host(text, n, hit);
	if ((text = group_text(m, p, PORT, line, &n)))
		had |= endpoint_take_port(text, n, hit);
	return had;
}

static enum tcpwhy_call call_of(const char *word, size_t n)
{
	static const struct {
		const char *word;
		enum tcpwhy_call call;
	} words[] = {
		{"bind", TCPWHY_CALL_BIND},
		{"Bind", TCPWHY_CALL_BIND},
		{"listen", TCPWHY_CALL_BIND},
		{"Listen", TCPWHY_CALL_BIND},
		{"connect", TCPWHY_CALL_CONNECT},
		{"Connect", TCPWHY_CALL_CONNECT},
		{"finishConnect", TCPWHY_CALL_CONNECT},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (text_length(words[i].word) == n && !memcmp(word, words[i].word, n))
			return words[i].call;
	return TCPWHY_CALL_NONE;
}

/* Which call can it be, where the line does not say? */
static enum tcpwhy_call call_for(int error)
{
	switch (error) {
	case EADDRINUSE:
		return TCPWHY_CALL_BIND;
	case ECONNREFUSED:
		return TCPWHY_CALL_CONNECT;
	default: /* both calls fail with EADDRNOTAVAIL; a living connection times out too */
		return TCPWHY_CALL_NONE;
	}
}

static bool take_reason(const struct matcher *m, const struct log_format *f,
			const struct pattern *p, const char *line, struct log_hit *hit)
{
	size_t n;
	const char *why = group_text(m, p, WHY, line, &n);

	hit->error = f->error ? f->error : why ? log_reason(why, n) : 0;
	hit->call = f->call;
	const char *call = group_text(m, p, CALL, line, &n);
	if (hit->call == TCPWHY_CALL_NONE && call)
		hit->call = call_of(call, n);
	if (hit->call == TCPWHY_CALL_NONE)
		hit->call = call_for(hit->error);
	/* A living connection was reset: no call of these two was refused. */
	if (hit->error == ECONNRESET && hit->call == TCPWHY_CALL_BIND)
		hit->call = TCPWHY_CALL_NONE;
	return hit->error != 0;
}

/* How many bytes follow this one in UTF-8. Of C2 those below A0 are the controls C1. */
static unsigned followers(unsigned char c)
{
	return c < 0xc2 || c > 0xf4 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
}

/* A byte of C0 or C1; C1 also as it comes outside UTF-8. */
static bool is_control(const unsigned char *c, bool has_next, bool follows)
{
	if (*c < 0x20 || *c == 0x7f)
		return true;
	if (*c == 0xc2 && has_next && c[1] >= 0x80 && c[1] < 0xa0)
		return true;
	return *c >= 0x80 && *c < 0xa0 && !follows;
}

/* The beginning, fit to be shown: what would move a terminal is a space. */
static void copy_text(const char *line, size_t length, char out[static LOG_TEXT_MAX])
{
	unsigned follow = 0;
	size_t n = 0;

	while (length && (*line == ' ' || *line == '\t')) {
		line++;
		length--;
	}
	for (; n < length && n + 1 < LOG_TEXT_MAX; n++) {
		const unsigned char *c = (const unsigned char *)line + n;
		bool follows = follow && (*c & 0xc0) == 0x80;
		bool control = is_control(c, n + 1 < length, follows);
		out[n] = control ? ' ' : line[n];
		follow = follows ? follow - 1 : control ? 0 : followers(*c);
	}
	while (n && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

static bool is_tcp(struct matcher *m, const char *line, size_t length)
{
	const size_t *ends = pcre2_get_ovector_pointer(m->match);
	size_t from = ends[0] < NEAR ? 0 : ends[0] - NEAR;
	size_t to = length - ends[1] < NEAR ? length : ends[1] + NEAR;

	return !matches(m, &m->not_tcp, line + from, to - from);
}

const struct log_format *matcher_line(struct matcher *m, const char *line, size_t length,
				      struct log_hit *hit)
{
	const struct log_format *f;

	for (size_t i = 0; (f = log_format_at(i)); i++) {
		struct log_hit h = {.format = f->name, .family = TCPWHY_IPV4};
		if (!matches(m, &m->formats[i], line, length))
			continue;
		h.addr.b[10] = h.addr.b[11] = 0xff;
		if (!take_reason(m, f, &m->formats[i], line, &h))
			continue;
		take_place(m, &m->formats[i], line, &h);
		if (!h.addr_known && f->flags & (LOG_ANY6 | LOG_LOOPBACK6)) {
			memset(&h.addr, 0, sizeof(h.addr));
			h.family = TCPWHY_IPV6;
			h.addr_known = f->flags & LOG_LOOPBACK6;
			h.addr.b[15] = h.addr_known;
		}
		h.reuseaddr = f->flags & LOG_REUSES && h.call == TCPWHY_CALL_BIND;
		copy_text(line, length, h.text);
		if (!is_tcp(m, line, length))
			return NULL;
		*hit = h;
		return f;
	}
	return NULL;
}

bool matcher_context(struct matcher *m, enum log_family family, bool after, const char *line,
		     size_t length, struct log_hit *hit)
{
	const struct log_context *c;
	bool had = false;

	for (size_t i = 0; (c = log_context_at(i)); i++) {
		size_t n;
		if (c->family != family || c->after != after ||
		    !matches(m, &m->contexts[i], line, length))
			continue;
		const char *call = group_text(m, &m->contexts[i], CALL, line, &n);
		if (call && hit->call == TCPWHY_CALL_NONE)
			hit->call = call_of(call, n);
		if (!hit->port_known && take_place(m, &m->contexts[i], line, hit))
			hit->from_context = true;
		if (c->name)
			hit->format = c->name;
		had = true;
	}
	return had;
}
