/* SPDX-License-Identifier: MIT
 *
 * match.h - one line against the table of formats
 *
 * The patterns are compiled once, by PCRE2's JIT where the system lets it write code and for its
 * interpreter where not. A match has a limit of steps: a hostile line costs a bounded time and is
 * then not recognised.
 */
#ifndef TCPWHY_LOGS_MATCH_H
#define TCPWHY_LOGS_MATCH_H

#include "logs/format.h"
#include "logs/hit.h"

struct matcher;

/* NULL: no memory. memory is borrowed until matcher_free(). */
struct matcher *matcher_new(const struct tcpwhy_memory *memory);
void matcher_free(struct matcher *m);

/* The first row that recognises the line, or NULL; then *hit is filled but for its line number. */
const struct log_format *matcher_line(struct matcher *m, const char *line, size_t length,
				      struct log_hit *hit);
/* Completes *hit from a line before or after it. True if the line had something. */
bool matcher_context(struct matcher *m, enum log_family family, bool after, const char *line,
		     size_t length, struct log_hit *hit);

#endif
