/* SPDX-License-Identifier: MIT
 *
 * script.h - a list of socket calls that can be played on a kernel and on the engine
 *
 * Text, one call a line, '#' starts a comment:
 *
 *	a = socket 4                             family 4 or 6; a to z are the sockets
 *	set a reuseaddr 1                        options: see script_options[]; made with all
 *privileges bind a 127.0.0.1:20001                   [addr]:port for IPv6; a v6 socket takes v4
 *addresses as mapped listen a connect b 127.0.0.1:20001 c = accept a shutdown b wr rd, wr or rdwr
 *	close b
 *	destroy 127.0.0.1:20001 127.0.0.1:20003  SOCK_DESTROY of that TIME_WAIT (local, peer)
 *	uid 1000                                 of sockets made or accepted from now on
 *	sysctl ip_local_port_range 20000 20007   see script_sysctls[]
 *	wait 50                                  milliseconds
 *	state a CLOSE_WAIT                       asserts; also: state LOCAL PEER TIME_WAIT
 *	settle                                   compares the complete tables
 *	expect EADDRINUSE                        the answer of the call before: OK or an errno name
 *
 * A call on a socket that does not exist is skipped, so that any line can be left out of a script
 *and what remains is a script again.
 */
#ifndef CONFORM_SCRIPT_H
#define CONFORM_SCRIPT_H

#include "tcpwhy/engine.h"

#include "base/address.h"
#include "base/error.h"
#include "differ/word.h"
#include "case/diag.h" /* struct endpoint */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { SCRIPT_SOCKETS = 26, SCRIPT_CALLS = 512 };

enum call_kind {
	CALL_SOCKET,
	CALL_SET,
	CALL_BIND,
	CALL_LISTEN,
	CALL_CONNECT,
	CALL_ACCEPT,
	CALL_SHUTDOWN,
	CALL_CLOSE,
	CALL_DESTROY,
	CALL_UID,
	CALL_SYSCTL,
	CALL_WAIT,
	CALL_STATE,
	CALL_SETTLE,
	CALL_KINDS
};

enum { EXPECT_NOTHING = -1 };

struct call {
	enum call_kind kind;
	uint8_t sock;     /* SOCKET, ACCEPT: the new one */
	uint8_t listener; /* ACCEPT */
	uint8_t family;   /* SOCKET: enum tcpwhy_family */
	uint8_t which;    /* SET, SYSCTL: index of the table; SHUTDOWN: enum tcpwhy_how; STATE: the
			     state */
	bool by_tuple;    /* STATE: of local and peer, not of sock */
	struct endpoint at;   /* BIND, CONNECT: the address; DESTROY, STATE: local */
	struct endpoint peer; /* DESTROY, STATE */
	uint32_t value[2];    /* SET, SYSCTL, UID, WAIT (ms) */
	int expect;           /* errno, 0 for OK, or EXPECT_NOTHING */
};

struct script {
	size_t n;
	struct call calls[SCRIPT_CALLS];
};

/* How many numbers follow the name of an option or sysctl. */
struct script_option {
	const char *name;
	enum tcpwhy_option option;
	uint8_t values;
};

enum script_sysctl {
	SYSCTL_PORT_RANGE,
	SYSCTL_RESERVED, /* first and last reserved port; 0 0 for none */
	SYSCTL_AUTOBIND_REUSE,
	SYSCTL_UNPRIVILEGED,
	SYSCTL_NONLOCAL,
	SYSCTL_NONLOCAL6,
	SYSCTL_BINDV6ONLY,
	SYSCTL_TW_REUSE,
	SYSCTL_TW_REUSE_DELAY,
	SYSCTL_MAX_TW,
	SYSCTL_FIN_TIMEOUT,
	SYSCTL_TIMESTAMPS,
	SYSCTLS
};

struct script_sysctl_info {
	const char *name;
	const char *path; /* below /proc/sys/net */
	uint8_t values;
	uint32_t fresh[2]; /* what every script starts with */
};

enum { SCRIPT_OPTIONS = 12 };
extern const struct script_option script_options[SCRIPT_OPTIONS];
extern const struct script_sysctl_info script_sysctls[SYSCTLS];

const char *call_kind_name(enum call_kind kind);

/* One call as its line, without the expectation and without the newline. */
enum { CALL_TEXT = 192 };
void call_print(const struct call *c, char *text);
void script_print(const struct script *s, FILE *out);

/* 0, or -EINVAL with the line in err; the script is untouched then. */
int script_parse(const char *text, struct script *s, struct err *err);
int script_read(const char *path, struct script *s, struct err *err);

#endif
