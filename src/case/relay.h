/* SPDX-License-Identifier: MIT
 *
 * relay.h - a wire with a will: delay, loss, copies, holding back, reordering, injection
 *
 * Two hosts, each on its own tap, and a thread between them. What tc-netem would do, but by
 * segment: a rule names the segments it speaks of and says what becomes of them, and the same
 * traffic meets the same fate. Only loss, where it is asked for, is drawn, from a seed. What is not
 * TCP is forwarded, with the wire's delay.
 *
 * A direction is named by the side from which the segment comes. All functions may be called from
 * any thread. Times are CLOCK_MONOTONIC, in ns.
 */
#ifndef TCPWHY_CASE_RELAY_H
#define TCPWHY_CASE_RELAY_H

#include "case/capture.h"
#include "case/tap.h"

enum relay_side { RELAY_A, RELAY_B };

enum relay_action {
	RELAY_PASS, /* ends the search: later rules are not asked */
	RELAY_DROP,
	RELAY_DELAY, /* by delay_ns more than the wire's own */
	RELAY_COPY,  /* is sent, and once more after delay_ns */
	RELAY_HOLD,  /* waits for relay_release() */
	RELAY_SWAP,  /* goes right behind the next frame of its direction that is sent */
};

/* The first rule that fires decides. Of the segments that the pick takes, the first skip pass by,
 * then the next one fires and each every-th after it (0 is as 1), until it has fired times times
 * (0: without end). */
struct relay_rule {
	struct pick pick;
	enum relay_action action;
	uint64_t delay_ns;
	unsigned skip, every, times;
};

enum {
	RELAY_RULES = 32,     /* at a time, both directions */
	RELAY_PENDING = 4096, /* frames on their way; beyond that they are lost, and counted */
};

struct relay_config {
	struct tap taps[2];      /* become the relay's, if it could be made */
	const uint8_t *macs[2];  /* of the two hosts' devices, for what is injected */
	struct capture *capture; /* borrowed; NULL: nothing is recorded */
	int wire;                /* its number in the records */
	uint64_t delay_ns[2];    /* the wire's own, by direction */
	uint32_t loss_ppm[2];    /* of TCP segments, of a million */
	uint64_t seed;           /* of the loss */
};

/* Who looks at one end of the wire as segments pass. Called with the relay's lock, by whatever
 * thread moves the segment: it may not call the relay. Only what is recorded is looked at, and of
 * the capture only the first records. */
struct relay_witness {
	void *ctx;
	size_t records;
	/* The segment has left that end. */
	void (*sent)(void *ctx, const struct frame *f, struct capture_sight *out);
	/* It is handed to that end now, and was; each before has its arrived. */
	void (*before)(void *ctx);
	void (*arrived)(void *ctx, const struct frame *f, struct capture_sight *out);
};

struct relay;

/* Begins to forward. 0, or -errno with err->text, and then the taps stay the caller's. */
int relay_start(const struct relay_config *config, struct relay **out, struct err *err);
/* Ends the thread; what is still on its way is lost. NULL is allowed. */
void relay_stop(struct relay *r);
/* Asks the thread to end and does not wait. Closing a tap takes some milliseconds: of many relays
 * ask each first, then stop each. */
void relay_end(struct relay *r);

/* Looks at that end from now on; NULL: no more. What the end sends because of a segment is taken
 * from it before the next one goes there, so that both looks are of that moment. A look that came
 * after the end had sent more, by which the state changed, is of that later moment: it counts as
 * not made. */
void relay_set_witness(struct relay *r, enum relay_side side, const struct relay_witness *w);
/* Moves what is there to be moved; afterwards all that came was looked at. For who is about to
 * change a state at one of the ends: the looks before it are then certain. */
void relay_settle(struct relay *r);

/* The wire's own delay for what comes from now on; what is on its way keeps its hour. */
void relay_set_delay(struct relay *r, enum relay_side from, uint64_t delay_ns);
/* The share of segments, of a million, that are lost by chance where no rule decides otherwise. */
void relay_set_loss(struct relay *r, enum relay_side from, uint32_t loss_ppm);
/* The switch: while it is cut a direction loses everything, rules are not asked. */
void relay_cut(struct relay *r, enum relay_side from, bool cut);

/* The rule's number, behind all others of its direction, or -ENOSPC. */
int relay_add_rule(struct relay *r, enum relay_side from, const struct relay_rule *rule);
/* What it holds back is lost. */
void relay_del_rule(struct relay *r, int rule);
/* How often the rule fired, and how many segments it holds now. */
unsigned relay_fired(struct relay *r, int rule);
unsigned relay_held(struct relay *r, int rule);
/* Waits until the rule has fired that often. 0 or -ETIMEDOUT. */
int relay_wait_fired(struct relay *r, int rule, unsigned times, uint64_t deadline_ns);
/* Sends what a RELAY_HOLD rule holds back, in its order and at once, and returns how many. The rule
 * goes on holding what comes later, unless it has fired often enough. */
unsigned relay_release(struct relay *r, int rule);

/* Sends a segment that no host sent to the side opposite to from, at once. Only the MACs of f are
 * not looked at. 0; -EMSGSIZE: cannot be built or sent; or another -errno. */
int relay_inject(struct relay *r, enum relay_side from, const struct frame *f);

/* Frames of one direction, those that are not TCP included. */
struct relay_counts {
	uint64_t taken, delivered, dropped, injected;
	uint64_t no_room; /* dropped because RELAY_PENDING was reached or memory was short */
};

struct relay_counts relay_counts(struct relay *r, enum relay_side from);

#endif
