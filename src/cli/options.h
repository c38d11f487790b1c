/* SPDX-License-Identifier: MIT
 *
 * options.h - the command line of `tcpwhy bind`, understood
 *
 * Only what the text itself says: nothing here looks at the system.
 */
#ifndef TCPWHY_CLI_OPTIONS_H
#define TCPWHY_CLI_OPTIONS_H

#include <stdio.h>

#include "base/error.h"
#include "tcpwhy/engine.h"

struct bind_options {
	struct tcpwhy_addr addr;
	enum tcpwhy_family family;
	uint16_t port;
	bool reuseaddr, reuseport, v6only, freebind, no_listen;
	const char *device; /* NULL none */
	bool uid_given;
	uint32_t uid;
	bool holders, try, json;
	const char *netns;            /* NULL: our own */
	int pid;                      /* 0: our own */
	const struct tcpwhy_row *row; /* NULL: of the running kernel */
	bool help, version;           /* then nothing else is looked at */
};

/* 0, or -EINVAL with err->text, one line that names what is wrong. */
int options_parse(int argc, char **argv, struct bind_options *out, struct err *err);
void options_help(FILE *out);

#endif
