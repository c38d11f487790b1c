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

enum { ARGS_MAX = 24, ARG_MAX_TEXT = 64, CURES_MAX = 16, COMMAND_MAX = 1024 };

/* A command line, argv[0] included. */
struct args {
	char text[ARGS_MAX][ARG_MAX_TEXT];
	char *list[ARGS_MAX + 1];
	size_t n;
};

/* A cure that is said to be proven, and is a command. */
struct said_cure {
	char id[32], command[COMMAND_MAX];
	double in_s; /* when it helps: 0 now, else so many seconds later; -1 not this time */
};

/* What was said, or what happened. */
struct outcome_pair {
	char answer[12], error[24], at[12];
	bool chance; /* depends on the random start of the kernel's search, on nothing unseen */
	struct said_cure cures[CURES_MAX];
	size_t cures_n;
};

struct tally {
	unsigned crowds, questions, ok, refused, chance, depends, wrong, changed;
	unsigned cured, cure_failed;
};

struct options {
	const char *tcpwhy;
	uint64_t seed;
	unsigned crowds;
	unsigned cures; /* to be typed; 0: only what destroys TIME_WAIT is, as often as it comes up
			 */
	bool no_depends, connect;
};

/* A question, and the call that it is about. The question is plain data: another process of this
 * program can be handed it, and makes the call there. */
struct asking {
	const void *question;
	size_t size;
	char kind; /* 'b' or 'c' */
	/* The machinery failed: false. */
	bool (*really)(const void *question, struct outcome_pair *happened);
	void (*after)(void *ctx); /* clears away what a call left, may be NULL */
	void *ctx;
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

/* cure.c: types the cures of an answer, each as it was printed: the call then works, the answer is
 * ok, what was changed is undone as was printed, and the answer is as before. Those that destroy
 * come last. False if one failed, which was printed and counted. */
bool cures_type(const struct options *o, const struct asking *q, struct args *a,
		const struct outcome_pair *said, struct tally *t);
/* The program that stands for CMD: makes the call of a question in the text that cures_type() gave
 * it. Its status: 0 if the call works, 1 if it is refused. */
int cures_call(const char *text);
/* /run and a cgroup of our own. False with err. */
bool cures_enter(struct err *err);
void cures_leave(void);

/* The calls of a question: struct question of crowd.c, struct ask of connect.c. */
bool bind_really(const void *question, struct outcome_pair *happened);
bool connect_really(const void *question, struct outcome_pair *happened);

/* connect.c: one crowd of connections that fills a port range, and questions about it, in the
 * namespace the process is in. False with err: the machinery failed. */
bool connect_crowd(const struct options *o, uint64_t seed, struct tally *t, struct err *err);

#endif
