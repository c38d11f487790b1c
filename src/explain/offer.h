/* SPDX-License-Identifier: MIT
 *
 * offer.h - a cure on its way into the result
 *
 * What would help bind() stands in cures.c, what would help connect() in connect_cures.c; both are
 * tables of offers, each of which describes a changed world or request, has the engine asked again,
 * and is dropped if the answer is not better.
 */
#ifndef TCPWHY_EXPLAIN_OFFER_H
#define TCPWHY_EXPLAIN_OFFER_H

#include "base/text.h"
#include "explain/asked.h"

struct offer {
	struct asked *a;
	struct cure *cure;
	enum trial trial;
	bool late; /* it does not help this time, or only a little: ranked after those that do */
};

struct offer_row {
	const char *id;
	enum cure_reach reach;
	bool (*offer)(struct offer *o); /* true: the cure is written and tried */
};

/* Puts those that help this time into out, then the others. */
void offer_all(struct asked *a, const struct offer_row *rows, size_t n, struct result *out);

struct text offer_does(struct offer *o);
/* Writes a whole text of a cure. */
void offer_say(char *out, const char *s);
/* The namespace of the question, what of its socket decides whom it meets, and an endpoint, as
 * arguments of a command. */
void offer_target(struct text *t, const struct explain_question *q, const struct tcpwhy_addr *addr,
		  uint16_t port);

/* The command that sets an option of tcpwhy run in a program of the user's, who writes its command
 * line in the place of CMD. */
void offer_run(struct cure *c, const char *option);

#endif
