/* SPDX-License-Identifier: MIT
 *
 * format.h - how applications write that a bind(), connect() or connection failed: the table
 *
 * A row is a pattern of PCRE2 and what its groups mean, by their names:
 *
 *   at    address and port in one word: "[::]:80", "localhost/127.0.0.1:80"
 *   host  the address, or a name            port  the port, alone
 *   why   the reason: a text of strerror(), a name ("EADDRINUSE") or a number of Linux
 *   call  "bind", "listen", "connect", "dial", where the row does not know it
 *
 * Every line that a row should find must have one of the literals of scan.c. Rows are tried in
 * their order: the particular before the general.
 */
#ifndef TCPWHY_LOGS_FORMAT_H
#define TCPWHY_LOGS_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpwhy/engine.h"

/* What may be told by a neighbouring line, of the same family only. */
enum log_family {
	LOG_ALONE, /* all in one line */
	LOG_JAVA,
	LOG_NODE,
	LOG_PYTHON,
	LOG_POSTGRES,
	LOG_MYSQL,
	LOG_MONGO,
	LOG_REDIS,
	LOG_SYSTEMD,
	LOG_DOTNET,
};

enum log_flag {
	LOG_REUSES = 1u << 0, /* the program sets SO_REUSEADDR before bind(), by its own source */
	LOG_ANY6 = 1u << 1,   /* no address means [::] to it, for both families */
	LOG_DETAIL = 1u << 2, /* more about a failure that was told in a line before, if it was */
	LOG_UDP = 1u << 3,    /* not TCP, and so are the details that follow: nothing is told */
	LOG_LOOPBACK6 = 1u << 4, /* its address is [::1] */
};

struct log_format {
	const char *name;
	enum log_family family;
	enum tcpwhy_call call; /* NONE: by group "call", or by the reason */
	unsigned flags;        /* of enum log_flag */
	int error;             /* 0: by group "why" */
	const char *pattern;
};

/* Lines that are no failure but complete one: groups at, host, port, call as above. */
struct log_context {
	enum log_family family;
	bool after;       /* looked for in the lines after the failure; else in those before */
	const char *name; /* the format is this then; NULL it stays */
	const char *pattern;
};

/* NULL after the last. */
const struct log_format *log_format_at(size_t i);
const struct log_context *log_context_at(size_t i);

/* What "why" says, as errno; 0 if it says nothing known. */
int log_reason(const char *text, size_t length);

/* Around a match these mean that it is not about TCP: other sockets, daemons that speak UDP, what
 * systemd's programs ask by D-Bus, and devices. */
#define LOG_NOT_TCP                                                                                \
	"\\b[Uu][Dd][Pp]|\\bunix[:/]|AF_UNIX|AF_LOCAL|\\.sock\\b|\\bon socket \"|SOCK_DGRAM|"      \
	"\\bsendto\\b|\\bstatsd\\b|\\b(?:QUIC|quic)\\b|\\bntpd\\b|\\bDHCP|"                        \
	"\\bD-?Bus\\b|\\bto (?:system |session |user )?bus: |"                                     \
	"Failed to (?:reload daemon|issue method call|get properties|list units|activate "         \
	"service)|"                                                                                \
	"Failed to (?:re)?(?:start|stop) (?:session scope|\\S{1,80}\\.(?:service|scope|socket)):|" \
	"[Bb]luetooth|\\bhci\\d|\\bkernel: "

#define LOG_FORMATS_MAX  160
#define LOG_CONTEXTS_MAX 32

#endif
