/* SPDX-License-Identifier: MIT
 *
 * word.h - the words that the script languages share: errno names, states, sockets
 *
 * What parses gives 0, or -EINVAL for a word that is none, and *out untouched.
 */
#ifndef DIFFER_WORD_H
#define DIFFER_WORD_H

#include <stddef.h>
#include <stdint.h>

/* "EADDRINUSE", "OK" for 0. A number that is none gives "?". */
const char *errno_name(int error);
int errno_parse(const char *word, int *out);

/* The place of a word in a list. */
int word_parse(const char *word, const char *const *names, size_t n, uint8_t *out);

/* "a" to "z" are 0 to 25. */
int word_parse_sock(const char *word, uint8_t *out);

/* enum tcpwhy_state, by its name. */
int word_parse_state(const char *word, uint8_t *out);

#endif
