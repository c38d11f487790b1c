/* SPDX-License-Identifier: MIT
 *
 * explain.h - a question about a snapshot, answered in words
 *
 * The engine decides; this says what was decided, by whom it is caused, and what would help.
 * Nothing is said here that the engine did not answer: a cure stands in the result because the
 * engine, loaded with the cure applied, said ok, and a "no help" line because it did not. It never
 * looks at the system: processes are filled in by live, between explain_bind() and
 * explain_name_owners().
 */
#ifndef TCPWHY_EXPLAIN_EXPLAIN_H
#define TCPWHY_EXPLAIN_EXPLAIN_H

#include "facts/overview.h"
#include "facts/result.h"

#define EXPLAIN_HOLDERS 100 /* shown unless all are asked for */

struct explain_question {
	struct tcpwhy_bind_request bind;
	const char *device; /* name of bind.device, NULL none; with bind.device 0 there is no such
			       one */
	/* As the user gave them, for the commands of the cures; NULL and 0 if not given. */
	const char *netns;
	int pid;
	bool all_holders;
};

/* Asks the snapshot whether bind() (and listen()) would succeed under the rules of row. 0 with *out
 * filled (free it with result_free(), same memory), or -ENOMEM. row is borrowed
 * by out. */
int explain_bind(const struct snapshot *snap, const struct tcpwhy_row *row,
		 const struct explain_question *question, const struct tcpwhy_memory *memory,
		 struct result *out);

struct explain_connect {
	/* The bind() before connect(), unless from is FROM_ROUTE; .bind.family, .device, .netns and
	 * .pid in any case. */
	struct explain_question before;
	enum result_from from;
	struct tcpwhy_connect_request connect; /* .source: of the route. .port: as in before */
	int route_error; /* errno that the route gives to connect(); then .source means nothing */
};

/* Asks the snapshot whether connect() would find its port, after the bind() before it. Else as
 * explain_bind(). */
int explain_connect(const struct snapshot *snap, const struct tcpwhy_row *row,
		    const struct explain_connect *question, const struct tcpwhy_memory *memory,
		    struct result *out);

/* What is wrong in a namespace, from its numbers. netns and pid are as the user gave them, for the
 * commands; NULL and 0 if not given. Which TIME_WAIT may be taken over is asked of the engine; a
 * port range that is used up is only as good as the counts are: see explain_confirm(). 0, or
 * -ENOMEM. */
int explain_overview(const struct overview *seen, const struct tcpwhy_row *row, const char *netns,
		     int pid, const struct tcpwhy_memory *memory, struct diagnosis *out);

/* A finding about a destination, held against the answer to connect() there: takes over its cures,
 * and is a warning only if a port would be found after all. */
void explain_confirm(struct diagnosis *d, struct finding *f, const struct result *connect);

/* Once the holders have their processes: names them in the cure "end-owner", and says of how many
 * none was found. */
void explain_name_owners(struct result *r);

void result_free(struct result *r, const struct tcpwhy_memory *memory);

#endif
