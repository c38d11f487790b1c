/* SPDX-License-Identifier: MIT
 *
 * usage.h - what is wrong with a command line, in one line
 *
 * Not the line's meaning: that is each command's own table of options.
 */
#ifndef TCPWHY_CLI_USAGE_H
#define TCPWHY_CLI_USAGE_H

#include "base/error.h"

/* Writes err->text. -EINVAL. */
__attribute__((format(printf, 2, 3))) int usage_wrong(struct err *err, const char *format, ...);

/* The option at which getopt_long() just answered with this code: ':' or '?'. Its letters are below
 * 256, its words' codes are not. -EINVAL. */
int usage_unknown(char **argv, int code, struct err *err);

#endif
