/* SPDX-License-Identifier: MIT
 *
 * offer.h - a cure on its way into the result
 *
 * What would help bind() stands in cures.c and beside it (bind_offer.h), what would help connect()
 * in connect_cures.c; both are tables of offers, each of which describes a changed world or
 * request, has the engine asked again, and is dropped if the answer is not better.
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
/* Whether the question names a namespace, which may be another than that of the one who asks. */
bool offer_is_elsewhere(const struct explain_question *q);
/* The namespace of the question, as options of a command. */
void offer_place(struct text *t, const struct explain_question *q);
/* The same, what of its socket decides whom it meets, and an endpoint. */
void offer_target(struct text *t, const struct explain_question *q, const struct tcpwhy_addr *addr,
		  uint16_t port);

/* The command that sets an option of tcpwhy run in a program of the user's, who writes its command
 * line in the place of CMD. */
void offer_run(struct cure *c, const char *option);

/* The command that sets a sysctl (by its full name) where the question was asked. */
void offer_sysctl(struct cure *c, const struct explain_question *q, const char *key,
		  const char *value);
/* Another command that has to follow, or must not be run if the first one fails. */
void offer_and(struct cure *c, const char *command);
/* A command that was cut is none. */
void offer_whole(struct cure *c);

/* A bitmap of ports as the kernel takes it: "80,8000-8009". */
void offer_ports(struct text *t, const uint32_t *bits);

/* Wider ranges of ports, the nearest first: up to the last port, where no service is registered,
 * then from 10,000 on. Even numbers of ports, for an odd one loses one. False: there is none. */
enum { OFFER_RANGES = 2 };
bool offer_range(const struct tcpwhy_sysctls *now, unsigned i, struct tcpwhy_sysctls *wider);
/* What such a range is, as words and as a command. */
void offer_range_say(struct cure *c, const struct explain_question *q,
		     const struct tcpwhy_sysctls *s);

/* A range for a pool of ports beside the kernel's own: below it, or else above. 0: no room. */
enum { OFFER_POOL_PORTS = 1000 };
uint16_t offer_pool_low(const struct tcpwhy_sysctls *s);
/* The cure that takes the port of bind(0) from such a pool. */
void offer_pool(struct cure *c, const struct explain_question *q, uint16_t low);

#endif
