/* SPDX-License-Identifier: MIT
 *
 * usage.h - a command line: what is wrong with it, in one line, and the lines of --help
 *
 * Not the line's meaning: that is each command's own table of options.
 */
#ifndef TCPWHY_CLI_USAGE_H
#define TCPWHY_CLI_USAGE_H

#include <stdio.h>

#include "base/error.h"

/* Writes err->text. -EINVAL. */
__attribute__((format(printf, 2, 3))) int usage_wrong(struct err *err, const char *format, ...);

/* The option at which getopt_long() just answered with this code: ':' or '?'. Its letters are below
 * 256, its words' codes are not. -EINVAL. */
int usage_unknown(char **argv, int code, struct err *err);

/* The rest of a line of --help, after its indent: "--name VALUE   line". value: NULL takes none.
 * width: of the left column. */
void usage_option(FILE *out, const char *name, const char *value, int width, const char *line);
/* "releases: 3.10, ..." as the options --release take them. */
void usage_releases(FILE *out);

#endif
