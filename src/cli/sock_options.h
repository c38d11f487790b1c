/* SPDX-License-Identifier: MIT
 *
 * sock_options.h - the command line of `tcpwhy sock`, understood
 *
 * The letters are those of the classic sock program where it has them. Only what the text itself
 * says: nothing here looks at the system. Not for the commands that ask a question; their options
 * are cli/options.h.
 */
#ifndef TCPWHY_CLI_SOCK_OPTIONS_H
#define TCPWHY_CLI_SOCK_OPTIONS_H

#include <stdio.h>

#include "base/address.h"
#include "base/error.h"

/* A pause until a line comes on standard input. */
#define SOCK_ENTER (-1)

struct sock_options {
	struct tcpwhy_addr addr; /* a client's destination, a server's own address */
	enum tcpwhy_family family;
	uint16_t port;
	const char *local; /* as typed; NULL: not given */
	bool bound;        /* a client that binds first: --local or --port was given */
	struct tcpwhy_addr local_addr;
	uint16_t local_port; /* 0: none */
	bool server, keep, bulk;
	bool reuseaddr, reuseport, v6only, freebind, no_port, nodelay, half_close, verbose;
	const char *device; /* NULL none; --device, or the zone of a link-local address */
	char zone[ZONE_TEXT_MAX];
	int backlog;
	int port_given;     /* --port, or -1 */
	int linger;         /* seconds, or -1: SO_LINGER is not set */
	int rcvbuf, sndbuf; /* bytes, or -1: not set */
	int count, write_size, read_size;
	int pause_accept_ms, pause_start_ms, pause_each_ms, pause_close_ms; /* or SOCK_ENTER */
	const char *netns;                                                  /* NULL: our own */
	int pid;                                                            /* 0: our own */
	bool help, version; /* then nothing else is looked at */
};

/* Out keeps pointers into argv; it may not be copied, device may point into it. 0, or -EINVAL with
 * err->text, one line that names what is wrong, and out of no use. */
int sock_options_parse(int argc, char **argv, struct sock_options *out, struct err *err);
void sock_options_help(FILE *out);

#endif
