/* SPDX-License-Identifier: MIT
 *
 * asked.h - one question being answered: what the files of this folder share
 */
#ifndef TCPWHY_EXPLAIN_ASKED_H
#define TCPWHY_EXPLAIN_ASKED_H

#include "explain/explain.h"
#include "load/load.h"

struct asked {
	const struct snapshot *snap; /* everything seen */
	struct load_distinct few;    /* the same with alike owners once: what the engine is given */
	uint8_t *why;                /* of each owner of few: enum tcpwhy_holder, or NOT_A_HOLDER */
	const struct tcpwhy_row *row;
	struct tcpwhy_sysctls sysctls; /* as seen, with the row's where not */
	struct tcpwhy_engine *engine;
	const struct explain_question *question;
	const struct explain_connect *connect; /* NULL: the question is bind()'s alone */
	const struct tcpwhy_memory *memory;
	struct tcpwhy_verdict verdict;
	bool no_memory; /* a proof could not be run */
};

#define NOT_A_HOLDER 255

/* What a trial says of a change. */
enum trial {
	TRIAL_NO,      /* still refused, or no clearer than before */
	TRIAL_AS_SEEN, /* ok but for what cannot be seen anyway (sockets that only bound, say) */
	TRIAL_PROVEN,  /* ok */
};

/* Asks q of the world with the change applied; either may be NULL (as it is). v may be NULL. */
enum trial asked_try(struct asked *a, const struct load_change *change,
		     const struct tcpwhy_bind_request *q, struct tcpwhy_verdict *v);

/* The same of connect(). */
enum trial asked_try_connect(struct asked *a, const struct load_change *change,
			     const struct tcpwhy_connect_request *q, struct tcpwhy_verdict *v);
/* TIME_WAIT and FIN_WAIT2 mini-sockets that keep a port from connect(). */
uint32_t asked_tw_kept(const struct tcpwhy_verdict *v);

/* Holders of the classes [from, to]. */
uint32_t asked_holders(const struct tcpwhy_verdict *v, enum tcpwhy_holder from,
		       enum tcpwhy_holder to);
/* The class that decided; TCPWHY_HOLDER_CLASSES if no holder did. */
enum tcpwhy_holder asked_class(const struct tcpwhy_verdict *v);
/* Whether SO_REUSEADDR or SO_REUSEPORT of a socket on the port could not be seen. */
bool asked_options_unknown(const struct asked *a);
bool asked_only_timed(const struct tcpwhy_verdict *v);

/* because.c: what was decided, in one to three sentences. */
void because_write(const struct asked *a, char *out, size_t size);
/* holders.c: weigh finds a->why and makes the verdict count every owner seen, not one of each kind;
 * rank shows the heaviest first. 0 or -ENOMEM. */
int holders_weigh(struct asked *a);
int holders_rank(const struct asked *a, struct result *out);
/* cures.c, no_help.c, unknown.c */
void cures_find(struct asked *a, struct result *out);
void no_help_find(struct asked *a, struct result *out);
void unknown_list(const struct asked *a, struct result *out);
void no_help_add(struct result *out, const char *what, const char *because);
/* connect_because.c, connect_cures.c: the same of connect(). */
void connect_because_write(const struct asked *a, char *out, size_t size);
void connect_cures_find(struct asked *a, struct result *out);
void connect_no_help_find(struct asked *a, struct result *out);
/* holders.c: the one holder of a 4-tuple. 0 or -ENOMEM. */
int holders_one(const struct asked *a, struct result *out);
/* "whether a holder has SO_REUSEADDR and ..." for each bit of enum tcpwhy_missing. */
struct text;
void unknown_missing(struct text *t, uint32_t missing);

#endif
