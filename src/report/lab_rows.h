/* SPDX-License-Identifier: MIT
 *
 * lab_rows.h - what each release did otherwise than the one before it, of a case that was played in
 * several
 *
 * Of each pair the first difference alone (case/agree.h): what follows is its consequence more
 * often than not. Plays of the model; the kernel's is held against the model elsewhere.
 */
#ifndef TCPWHY_REPORT_LAB_ROWS_H
#define TCPWHY_REPORT_LAB_ROWS_H

#include <jansson.h>

#include "report/lab.h"

void lab_rows_print(const struct lab_case *c, int indent, FILE *out);
/* An array, the caller's. *ok becomes false where memory is short. */
json_t *lab_rows_json(const struct lab_case *c, bool *ok);

#endif
