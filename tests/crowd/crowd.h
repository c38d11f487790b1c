/* SPDX-License-Identifier: MIT
 *
 * crowd.h - asking the command as a user would, and keeping the score
 */
#ifndef CROWD_H
#define CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { ARGS_MAX = 24, ARG_MAX_TEXT = 64 };

/* A command line, argv[0] included. */
struct args {
	char text[ARGS_MAX][ARG_MAX_TEXT];
	char *list[ARGS_MAX + 1];
	size_t n;
};

/* What was said, or what happened. */
struct outcome_pair {
	char answer[12], error[24], at[12];
	bool chance;    /* depends on the random start of the kernel's search, on nothing unseen */
	char cure[256]; /* the command of a proven destroy-time-wait, "" none */
};

struct tally {
	unsigned crowds, questions, ok, refused, chance, depends, wrong, changed;
	unsigned cured, cure_failed;
};

struct options {
	const char *tcpwhy;
	uint64_t seed;
	unsigned crowds;
	bool no_depends, connect;
};

/* A number below n from the state at *x. */
uint32_t below(uint64_t *x, uint32_t n);

void args_add(struct args *a, const char *text);
void args_add_if(struct args *a, bool wanted, const char *text);
void args_print(const struct args *a);

/* Runs the command; false if no JSON came. */
bool ask_tcpwhy(const char *tcpwhy, struct args *a, struct outcome_pair *said);
void note(struct outcome_pair *out, int error, const char *at);

/* How an answer compares with what happened. WRONG is counted, but not yet printed. */
enum score { SCORE_GOOD, SCORE_DEPENDS, SCORE_WRONG };
/* The command is asked again if they differ: what a timer or the real call changed meanwhile is no
 * fault of the first answer. */
enum score score(const struct options *o, struct args *a, const struct outcome_pair *said,
		 const struct outcome_pair *happened, struct tally *t);

/* cure.c: types the command of a cure, as it was printed. Its status, -1 if it could not be run. */
int cure_apply(const char *tcpwhy, const char *command);

/* connect.c: one crowd of connections that fills a port range, and questions about it, in the
 * namespace the process is in. False with err: the machinery failed. */
bool connect_crowd(const struct options *o, uint64_t seed, struct tally *t, struct err *err);

#endif
