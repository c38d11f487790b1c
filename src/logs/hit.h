/* SPDX-License-Identifier: MIT
 *
 * hit.h - one failed call, as an application's log tells it
 *
 * What the line says and no more: an address that is a name is not looked up, a port that is not
 * told is not guessed. Where the port came from a neighbouring line of the same stack trace or
 * message, that is said.
 */
#ifndef TCPWHY_LOGS_HIT_H
#define TCPWHY_LOGS_HIT_H

#include "tcpwhy/engine.h"

#define LOG_HOST_MAX 72
#define LOG_TEXT_MAX 200

struct log_hit {
	const char *format;    /* name of the application's format: "nginx"; a promise */
	int error;             /* EADDRINUSE, EADDRNOTAVAIL, ECONNRESET, ETIMEDOUT, ECONNREFUSED */
	enum tcpwhy_call call; /* BIND (listen() too), CONNECT, or NONE: another or not told */
	bool addr_known;       /* numeric, or localhost */
	bool port_known;
	bool from_context;       /* the port, or the address, stood in another line */
	bool reuseaddr;          /* this program sets SO_REUSEADDR before it binds */
	struct tcpwhy_addr addr; /* 0.0.0.0 unless addr_known */
	enum tcpwhy_family family;
	uint16_t port;           /* 0 unless port_known */
	uint64_t line;           /* from 1 */
	char host[LOG_HOST_MAX]; /* the address as a name, "" if there is none */
	char text[LOG_TEXT_MAX]; /* the beginning of the line; bytes beyond ASCII as they came */
};

#endif
