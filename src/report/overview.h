/* SPDX-License-Identifier: MIT
 *
 * overview.h - how one or many namespaces stand, shown
 */
#ifndef TCPWHY_REPORT_OVERVIEW_H
#define TCPWHY_REPORT_OVERVIEW_H

#include <jansson.h>
#include <stdio.h>

#include "facts/overview.h"

/* Which namespaces were looked at, when it was all of them. */
struct report_all {
	size_t namespaces, empty; /* found; without sockets, and so not shown */
	size_t failed;            /* vanished, or may not be entered */
	bool unseen;              /* there may be more: processes of others */
};

/* The first line: how many problems. where is "this namespace" or its name. */
void report_overview(const struct overview *o, const struct diagnosis *d, const char *where,
		     FILE *out);
/* The last lines, after each namespace was shown. */
void report_all_screen(const struct report_all *all, FILE *out);

/* One namespace as an object without "schema"; NULL: no memory. */
json_t *report_overview_json(const struct overview *o, const struct diagnosis *d);
/* Steals one such object and prints it with "schema". False: no memory, or out failed. */
bool report_one_json(json_t *one, FILE *out);
/* Steals the array of them. */
bool report_all_json(const struct report_all *all, const char *kernel, json_t *list, FILE *out);

#endif
