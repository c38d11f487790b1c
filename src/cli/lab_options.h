/* SPDX-License-Identifier: MIT
 *
 * lab_options.h - the command line of `tcpwhy lab`, understood
 *
 * Only what the text itself says: nothing here looks at the system, nor for the cases named.
 */
#ifndef TCPWHY_CLI_LAB_OPTIONS_H
#define TCPWHY_CLI_LAB_OPTIONS_H

#include <stdio.h>

#include "base/error.h"
#include "tcpwhy/engine.h"

enum { LAB_ROWS_MAX = 16 };

struct lab_options {
	bool releases, list;
	bool verbose, json, slow;
	bool no_world, no_kernel;                    /* --stage: the other one alone plays */
	bool compare;                                /* what the releases do otherwise is told */
	const char *pcap;                            /* NULL: no capture; "-" standard output */
	const struct tcpwhy_row *rows[LAB_ROWS_MAX]; /* none: those that each case names */
	unsigned rows_n;
	char **cases; /* of argv; none: all */
	int cases_n;
	bool help, version;
};

/* 0, or -EINVAL with err->text, one line that names what is wrong. argv is reordered. */
int lab_options_parse(int argc, char **argv, struct lab_options *out, struct err *err);
void lab_options_help(FILE *out);

#endif
