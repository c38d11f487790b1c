/* SPDX-License-Identifier: MIT
 *
 * logs.h - a log, read piece by piece: failed calls come out
 *
 * Bytes go in as they come, in pieces of any size; each failure is handed to the caller, in the
 * order of their lines. What comes out does not depend on where the pieces were cut. Memory is
 * constant: of a line the first LOGS_LINE_MAX bytes are looked at, and of the lines before it
 * LOGS_BEFORE lines in at most LOGS_HISTORY bytes, which is where a stack trace tells the port.
 *
 * Any bytes are taken: text that is not UTF-8, NULs, lines that end in \r\n or not at all.
 */
#ifndef TCPWHY_LOGS_LOGS_H
#define TCPWHY_LOGS_LOGS_H

#include "logs/hit.h"

#define LOGS_LINE_MAX 65536
#define LOGS_HISTORY  16384
#define LOGS_BEFORE   24 /* lines looked at before a failure without a port */
#define LOGS_AFTER    24 /* lines waited for after one */

struct logs;
typedef void logs_found(void *ctx, const struct log_hit *hit);

/* NULL: no memory. memory, found and ctx are borrowed until logs_free(). */
struct logs *logs_new(const struct tcpwhy_memory *memory, logs_found *found, void *ctx);
void logs_free(struct logs *l);

void logs_feed(struct logs *l, const char *data, size_t size);
/* Nothing more came for a while: hands out a failure whose neighbouring lines were waited for. The
 * half line at the end still waits for its rest. */
void logs_pause(struct logs *l);
/* The end: the last line need not have a newline. What is fed next is the first line of another
 * log. */
void logs_end(struct logs *l);

/* Lines and bytes of all logs so far; a half line counts from logs_end() on. */
uint64_t logs_lines(const struct logs *l);
uint64_t logs_bytes(const struct logs *l);

#endif
