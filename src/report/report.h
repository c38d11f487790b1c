/* SPDX-License-Identifier: MIT
 *
 * report.h - a result, shown
 *
 * For people (report_screen(), which may change at any time) and for programs (report_json(), whose
 * names are a promise with a version). Neither decides or looks at anything: what is not in the
 * result is not shown.
 */
#ifndef TCPWHY_REPORT_REPORT_H
#define TCPWHY_REPORT_REPORT_H

#include <stdio.h>

#include "facts/result.h"

/* Verdict, why, rule, holders (the first few, or all that r has), cures, and what could not be
 * seen. */
void report_screen(const struct result *r, bool all_holders, FILE *out);

/* One object, indented, ended by a newline. False: no memory, or out failed. */
bool report_json(const struct result *r, FILE *out);

/* Why there is no answer, as one object with schema and error. False: no memory, or out failed. */
bool report_error_json(const char *text, FILE *out);

/* Whether the kernel answered what was predicted (anything agrees with "depends"). r->tried.done.
 */
bool report_try_agrees(const struct result *r);

#endif
