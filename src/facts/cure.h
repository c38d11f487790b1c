/* SPDX-License-Identifier: MIT
 *
 * cure.h - one thing that would help, or would not, and what it costs
 */
#ifndef TCPWHY_FACTS_CURE_H
#define TCPWHY_FACTS_CURE_H

#include <stdbool.h>

/* In order of reach: nothing, this socket, this program, this namespace, this host. */
enum cure_reach { CURE_NOTHING, CURE_SOCKET, CURE_PROGRAM, CURE_NAMESPACE, CURE_HOST };

#define CURE_ID_MAX 32
#define CURE_TEXT_MAX 256
#define CURE_COMMAND_MAX 1024

struct cure {
	char id[CURE_ID_MAX];           /* "destroy-time-wait": a promise */
	enum cure_reach reach;
	char does[CURE_TEXT_MAX];       /* what to do, in words */
	char costs[CURE_TEXT_MAX];      /* what is given up, and when it acts */
	char command[CURE_COMMAND_MAX]; /* complete command line, or "" if there is none */
	bool proven;                    /* the engine, re-run with it, answers ok */
};

/* Something people try that does not help here, and why not. */
struct no_help {
	char what[CURE_TEXT_MAX];
	char because[CURE_TEXT_MAX];
};

#endif
