/* SPDX-License-Identifier: MIT
 *
 * options.h - the command line of a question, understood
 *
 * `tcpwhy bind` and `tcpwhy connect` share most of their options, and one struct. Only what the
 * text itself says: nothing here looks at the system.
 */
#ifndef TCPWHY_CLI_OPTIONS_H
#define TCPWHY_CLI_OPTIONS_H

#include <stdio.h>

#include "base/error.h"
#include "tcpwhy/engine.h"

struct question_options {
	struct tcpwhy_addr addr; /* bind: the address; connect: the destination */
	enum tcpwhy_family family;
	uint16_t port;
	bool from_given; /* connect: bind() comes first */
	struct tcpwhy_addr from;
	uint16_t from_port; /* 0: none */
	bool bind_first;    /* without IP_BIND_ADDRESS_NO_PORT */
	bool reuseaddr, reuseport, v6only, freebind, no_listen;
	const char *device; /* NULL none; --device, or the zone of a link-local address */
	char zone[16];      /* "" none */
	bool uid_given;
	uint32_t uid;
	bool holders, try, json;
	const char *netns;            /* NULL: our own */
	int pid;                      /* 0: our own */
	const struct tcpwhy_row *row; /* NULL: of the running kernel */
	bool help, version;           /* then nothing else is looked at */
};

/* Whose options they are. */
enum options_of { OPTIONS_BIND = 1, OPTIONS_CONNECT = 2 };

/* 0, or -EINVAL with err->text, one line that names what is wrong. */
int options_parse(enum options_of of, int argc, char **argv, struct question_options *out,
		  struct err *err);
void options_help(enum options_of of, FILE *out);

#endif
