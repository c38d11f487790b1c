/* SPDX-License-Identifier: MIT
 *
 * value.h - JSON values as every report makes them
 */
#ifndef TCPWHY_REPORT_VALUE_H
#define TCPWHY_REPORT_VALUE_H

#include <jansson.h>
#include <stdbool.h>

/* Text that came from outside (the name of a process) need not be UTF-8, which JSON is: what is not
 * becomes '?'. */
json_t *value_string(const char *s);
/* null for NULL and "". */
json_t *value_string_or_null(const char *s);
/* Steals every value; jansson ignores a NULL object and fails on a NULL value, so one check at the
 * end is enough. */
void value_put(json_t *object, const char *name, json_t *value, bool *ok);
void value_append(json_t *array, json_t *value, bool *ok);
/* Prints it, indented, ends the line, and drops it. False: NULL, or out failed. */
bool value_print(json_t *root, FILE *out);

#endif
