/* SPDX-License-Identifier: MIT
 *
 * result.h - the answer to one question (bind or connect), ready to be shown
 *
 * explain fills it, live adds the owners of the holders it names, report prints it. Arrays belong to whoever
 * made them; see result_free() in explain/explain.h.
 */
#ifndef TCPWHY_FACTS_RESULT_H
#define TCPWHY_FACTS_RESULT_H

#include "facts/cure.h"
#include "facts/snapshot.h"

#define RESULT_OWNERS_MAX 8
#define RESULT_CURES_MAX 12
#define RESULT_UNKNOWN_MAX 24
#define RESULT_TEXT_MAX 512

/* A process that has the socket open. */
struct result_owner {
	int pid;
	char comm[32];
	char unit[96];                  /* systemd unit, container or pod; "" unknown */
};

struct result_holder {
	struct snapshot_owner seen;
	enum tcpwhy_holder why;
	struct result_owner owners[RESULT_OWNERS_MAX];
	unsigned owners_n;
	bool owners_more;               /* more than RESULT_OWNERS_MAX */
	bool owners_unseen;             /* there may be one, but we may not look */
};

/* What really came of the bind(), if it was tried. */
struct result_try {
	bool done;
	int error;                      /* 0 for success */
	enum tcpwhy_call at;
};

/* What comes before connect(). */
enum result_from {
	FROM_ROUTE,      /* nothing: the route gives the source address, connect() the port */
	FROM_ADDRESS,    /* bind(ADDR, 0) with IP_BIND_ADDRESS_NO_PORT: connect() chooses the port */
	FROM_PORT,       /* bind(ADDR, PORT) */
	FROM_BIND_FIRST, /* bind(ADDR, 0): bind() chooses the port */
};

struct result_connect {
	enum result_from from;
	/* .source: where the connection comes from, if has_source. .port: bound before, or 0. */
	struct tcpwhy_connect_request request;
	bool has_source;                /* false: no route, or bind() was refused */
	uint16_t port_low, port_high;   /* of the range */
};

/* question is what bind() is asked: for a question about connect() the bind() before it, with FROM_ROUTE
 * nothing at all. connect is for a question about connect() only. */
struct result {
	enum tcpwhy_call call;          /* asked about: TCPWHY_CALL_BIND or TCPWHY_CALL_CONNECT */
	struct tcpwhy_bind_request question;
	struct result_connect connect;
	char device[16];                /* name of the question's device, "" none */
	char release[16];               /* row */
	char kernel[80];
	uint64_t taken_ns;
	uint32_t sources;               /* of enum snapshot_source */

	struct tcpwhy_verdict verdict;
	const struct tcpwhy_rule_info *rule; /* NULL when ok */
	char because[RESULT_TEXT_MAX];

	struct result_holder *holders;  /* the first holders_n of verdict.holders, heaviest class first */
	size_t holders_n;

	struct cure cures[RESULT_CURES_MAX];
	size_t cures_n;
	struct no_help no_help[RESULT_CURES_MAX];
	size_t no_help_n;
	char unknown[RESULT_UNKNOWN_MAX][SNAPSHOT_TEXT_MAX];
	size_t unknown_n;
	struct result_try tried;
};

#endif
