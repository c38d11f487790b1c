/* SPDX-License-Identifier: MIT
 *
 * text.h - sentences built in a fixed buffer, without stdio
 *
 * The pure folders may not call printf. A text never overflows: what does not fit is cut, the
 * result is always terminated.
 */
#ifndef TCPWHY_BASE_TEXT_H
#define TCPWHY_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *at;  /* the terminating zero */
	char *end; /* one past the buffer */
};

/* Starts an empty text in buf; size is at least 1. */
struct text text_in(char *buf, size_t size);

void text_add(struct text *t, const char *s);
void text_char(struct text *t, char c);
void text_number(struct text *t, uint64_t n); /* 28232 */
void text_count(struct text *t, uint64_t n);  /* 28,232 */
/* "58 s", "0.4 s", "3 min". Up to ten seconds and from three minutes on rounded up, between them to
 * the nearest second. */
void text_seconds(struct text *t, uint64_t ns);
/* "1 socket", "2 sockets": count, a space, and the noun with an s unless n is 1. */
void text_counted(struct text *t, uint64_t n, const char *noun);
/* A word for a shell: quoted only if it has to be, so that a command can be copied. */
void text_word(struct text *t, const char *s);

/* How many bytes at s, of which n can be read, are one control character that a terminal could act
 * on: 1, 2 (C1 in UTF-8, such as U+009B, which begins a sequence as ESC [ does) or 0. A byte of C1
 * that stands alone may be a part of another letter, and is none. */
size_t text_control(const char *s, size_t n);

/* Length of a string, and equality, for folders that may not call strlen and strcmp. */
size_t text_length(const char *s);
bool text_equal(const char *a, const char *b);

#endif
