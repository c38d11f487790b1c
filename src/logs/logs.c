/* SPDX-License-Identifier: MIT */
#include "logs/logs.h"

#include <string.h>

#include "base/assert.h"
#include "logs/match.h"
#include "logs/scan.h"

#define BUFFER 262144

_Static_assert(BUFFER >= 2 * (LOGS_HISTORY + LOGS_LINE_MAX), "room for what must be kept");

/* The last failure of a family: what follows in the same trace is about the same. */
struct told {
	enum log_family family;
	struct log_hit hit; /* .line 0: none */
};

struct logs {
	const struct tcpwhy_memory *memory;
	logs_found *found;
	void *ctx;
	struct matcher *matcher;
	struct scan scan;
	uint64_t line;      /* newlines before next, of this log */
	uint64_t all_lines; /* of the logs before */
	uint64_t bytes;
	size_t next; /* of buffer: what was not looked at yet; before it is history */
	size_t filled;
	bool skipping;    /* the rest of a line that was too long */
	unsigned waiting; /* lines that pending still waits for; 0: there is none */
	enum log_family pending_family;
	struct log_hit pending;
	struct told told;
	char buffer[BUFFER];
};

struct logs *logs_new(const struct tcpwhy_memory *memory, logs_found *found, void *ctx)
{
	struct logs *l = memory->resize(memory->ctx, NULL, 0, sizeof(*l));

	if (!l)
		return NULL;
	memset(l, 0, offsetof(struct logs, buffer));
	l->memory = memory;
	l->found = found;
	l->ctx = ctx;
	l->matcher = matcher_new(memory);
	if (!l->matcher) {
		logs_free(l);
		return NULL;
	}
	scan_init(&l->scan);
	return l;
}

void logs_free(struct logs *l)
{
	if (!l)
		return;
	matcher_free(l->matcher);
	l->memory->resize(l->memory->ctx, l, sizeof(*l), 0);
}

uint64_t logs_lines(const struct logs *l)
{
	return l->all_lines + l->line;
}

uint64_t logs_bytes(const struct logs *l)
{
	return l->bytes;
}

/* ------------------------------------------------------------------------------------ one failure
 */

static bool is_same_story(const struct logs *l, enum log_family family, const struct log_hit *hit)
{
	const struct told *t = &l->told;

	return t->hit.line && t->family == family && t->hit.error == hit->error &&
	       hit->line - t->hit.line <= LOGS_BEFORE;
}

static void copy_place(struct log_hit *hit, const struct log_hit *from)
{
	hit->addr = from->addr;
	hit->family = from->family;
	hit->addr_known = from->addr_known;
	hit->port = from->port;
	hit->port_known = from->port_known;
	memcpy(hit->host, from->host, sizeof(hit->host));
	hit->from_context = true;
}

/* Hands out what waited. Its own lines had the first say about its place. */
static void settle(struct logs *l)
{
	struct log_hit *hit = &l->pending;

	if (!l->waiting)
		return;
	l->waiting = 0;
	if (!hit->port_known && l->told.hit.port_known && is_same_story(l, l->pending_family, hit))
		copy_place(hit, &l->told.hit);
	if (l->pending_family != LOG_ALONE)
		l->told = (struct told){l->pending_family, *hit};
	l->found(l->ctx, hit);
}

/* The lines before, the nearest first, up to the last failure of the family: what stands before
 * that was about it. Only whole lines: what is older than LOGS_HISTORY may be gone from the buffer,
 * and is not looked at where it is not. */
static void look_back(struct logs *l, enum log_family family, size_t start, struct log_hit *hit)
{
	size_t oldest = start < LOGS_HISTORY ? 0 : start - LOGS_HISTORY;
	size_t end = start;

	uint64_t lines = LOGS_BEFORE;

	if (l->told.hit.line && l->told.family == family && hit->line - l->told.hit.line <= lines)
		lines = hit->line - l->told.hit.line - 1;
	for (uint64_t n = 0; n < lines && end > oldest && !hit->port_known; n++) {
		size_t from = --end; /* its newline */
		while (from > oldest && l->buffer[from - 1] != '\n')
			from--;
		if (from == oldest && oldest > 0)
			return;
		matcher_context(l->matcher, family, false, l->buffer + from, end - from, hit);
		end = from;
	}
}

static bool has_after(enum log_family family)
{
	const struct log_context *c;

	for (size_t i = 0; (c = log_context_at(i)); i++)
		if (c->family == family && c->after)
			return true;
	return false;
}

static void take_hit(struct logs *l, const struct log_format *f, struct log_hit *hit, size_t start)
{
	if (f->flags & LOG_DETAIL) {
		bool same = l->waiting && l->pending_family == f->family &&
			    l->pending.error == hit->error;
		if (same || is_same_story(l, f->family, hit))
			return;
	}
	if (f->flags & LOG_UDP) {
		settle(l);
		l->told = (struct told){f->family, *hit};
		return;
	}
	/* The cause may come first, and the line that names the port after it. */
	if (l->waiting && l->pending_family == f->family && l->pending.error == hit->error &&
	    !l->pending.port_known && hit->port_known)
		copy_place(&l->pending, hit);
	settle(l);
	if (!hit->port_known && f->family != LOG_ALONE)
		look_back(l, f->family, start, hit);
	l->pending = *hit;
	l->pending_family = f->family;
	l->waiting = LOGS_AFTER;
	if (!has_after(f->family) || (hit->port_known && !hit->from_context))
		settle(l);
}

/* The line is at buffer + start; its number is l->line + 1. */
static void judge(struct logs *l, size_t start, size_t length, bool suspect)
{
	const char *line = l->buffer + start;
	struct log_hit hit;

	if (length > LOGS_LINE_MAX)
		length = LOGS_LINE_MAX;
	if (length && line[length - 1] == '\r')
		length--;
	const struct log_format *f = suspect ? matcher_line(l->matcher, line, length, &hit) : NULL;
	if (f) {
		hit.line = l->line + 1;
		take_hit(l, f, &hit, start);
	} else if (l->waiting) {
		matcher_context(l->matcher, l->pending_family, true, line, length, &l->pending);
		if (--l->waiting == 0) {
			l->waiting = 1;
			settle(l);
		}
	}
}

/* ----------------------------------------------------------------------------------------- lines
 */

/* Whether a line has a literal in the part that is looked at. */
static bool is_suspect(const struct logs *l, const char *line, size_t length)
{
	size_t n = length < LOGS_LINE_MAX ? length : LOGS_LINE_MAX;

	return scan_find(&l->scan, line, line + n) != NULL;
}

/* The line at next, of which the buffer has all up to its newline (or to the end of the log). */
static void take_line(struct logs *l, size_t end)
{
	const char *from = l->buffer + l->next;
	size_t length = (size_t)(scan_newline(from, l->buffer + end) - from);
	bool newline = l->next + length < end;

	judge(l, l->next, length, is_suspect(l, from, length));
	l->next += length + newline;
	l->line++;
}

/* Moves next to the beginning of the next line that has a literal, or to end. */
static void seek(struct logs *l, size_t end)
{
	const char *from = l->buffer + l->next, *stop = l->buffer + end;
	const char *at = scan_find(&l->scan, from, stop);

	if (!at)
		at = stop;
	while (at > from && at[-1] != '\n')
		at--;
	l->line += scan_newlines(from, at);
	l->next += (size_t)(at - from);
}

/* Looks at [next, end), which are whole lines. */
static void take_lines(struct logs *l, size_t end)
{
	while (l->next < end) {
		if (!l->waiting)
			seek(l, end);
		if (l->next < end)
			take_line(l, end);
	}
}

/* Past the rest of a line that was too long. False: its end has not come yet. */
static bool skip(struct logs *l)
{
	const char *at = scan_newline(l->buffer + l->next, l->buffer + l->filled);

	l->next = (size_t)(at - l->buffer);
	if (l->next == l->filled)
		return false;
	l->next++;
	l->line++;
	l->skipping = false;
	return true;
}

static void cut_line(struct logs *l)
{
	const char *line = l->buffer + l->next;

	judge(l, l->next, LOGS_LINE_MAX, is_suspect(l, line, LOGS_LINE_MAX));
	l->next += LOGS_LINE_MAX;
	l->skipping = true;
}

/* Looks at what has become complete; fresh: where the bytes begin that came last. */
static void take_complete(struct logs *l, size_t fresh)
{
	size_t end = l->filled;

	if (l->skipping && !skip(l))
		return;
	size_t from = fresh > l->next ? fresh : l->next;
	while (end > from && l->buffer[end - 1] != '\n')
		end--;
	if (end > from)
		take_lines(l, end);
	if (l->filled - l->next > LOGS_LINE_MAX + 1) {
		cut_line(l);
		skip(l);
	}
}

/* Makes room: keeps the history and what was not looked at yet. */
static void compact(struct logs *l)
{
	/* One more, so that look_back() never takes the first byte for the beginning of the log. */
	size_t keep = l->next <= LOGS_HISTORY ? 0 : l->next - LOGS_HISTORY - 1;

	must(keep > 0);
	memmove(l->buffer, l->buffer + keep, l->filled - keep);
	l->filled -= keep;
	l->next -= keep;
}

void logs_feed(struct logs *l, const char *data, size_t size)
{
	l->bytes += size;
	while (size) {
		if (l->filled == BUFFER)
			compact(l);
		size_t room = BUFFER - l->filled;
		size_t n = size < room ? size : room;
		size_t fresh = l->filled;
		memcpy(l->buffer + fresh, data, n);
		l->filled += n;
		data += n;
		size -= n;
		take_complete(l, fresh);
	}
}

void logs_pause(struct logs *l)
{
	settle(l);
}

void logs_end(struct logs *l)
{
	if (l->skipping)
		l->line++;
	else if (l->next < l->filled)
		take_line(l, l->filled);
	settle(l);
	l->all_lines += l->line;
	l->line = 0;
	l->next = l->filled = 0;
	l->skipping = false;
	l->told.hit.line = 0;
}
