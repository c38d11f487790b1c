/* SPDX-License-Identifier: MIT
 *
 * relay_state.h - what the files of relay.h share: a relay, its frames on their way
 *
 *   relay.c         rules, the thread, what others ask
 *   relay_flight.c  frames: from a tap into our hands, out of them to the other end, and who looks
 *
 * All of it with the relay's lock.
 */
#ifndef TCPWHY_CASE_RELAY_STATE_H
#define TCPWHY_CASE_RELAY_STATE_H

#include "case/relay.h"

#include <pthread.h>

enum {
	RELAY_BATCH = 64,         /* frames of one side before the other side has its turn */
	RELAY_SETTLE_ROUNDS = 64, /* of one who has to wait: there may be no end */
};

/* A frame on its way. */
struct flight {
	struct flight *next; /* of those that are held back, or wait for the next frame */
	uint64_t due_ns, order;
	uint64_t taken_ns;
	size_t number;          /* in the capture */
	bool recorded, watched; /* watched: who stands at the ends looks */
	bool is_tcp;
	uint8_t from;
	struct frame segment;       /* if it is TCP */
	struct capture_sight sight; /* of its sender, until the capture is told */
	size_t len;
	uint8_t bytes[];
};

struct rule {
	bool used;
	uint8_t from;
	uint64_t order; /* the older is asked first */
	struct relay_rule is;
	unsigned matched, fired, held;
	struct flight *first, **last;
};

struct direction {
	uint64_t delay_ns;
	uint32_t loss_ppm;
	bool cut;
	struct flight *swapped;
	struct flight *came, **last_came; /* taken from the tap, and nothing decided yet */
	size_t n_came;
	struct relay_witness witness; /* of the end whence it comes; without ctx: none */
	struct relay_counts counts;
};

struct relay {
	pthread_mutex_t lock;
	pthread_cond_t fired;
	pthread_t thread;
	int wake; /* eventfd: something changed that the thread must see */
	bool stop;
	struct tap taps[2];
	uint8_t macs[2][FRAME_MAC];
	struct capture *capture;
	int wire;
	uint64_t random;
	struct direction dirs[2];
	struct rule rules[RELAY_RULES];
	uint64_t orders;
	uint64_t sleeps_till_ns;
	size_t pending; /* all flights that exist */
	size_t n_timed; /* those with an hour: a heap, the earliest first */
	struct flight *timed[RELAY_PENDING];
	uint8_t frame[FRAME_MAX];
};

uint64_t relay_clock(void); /* CLOCK_MONOTONIC */

/* A frame that comes into being at that side. NULL, and counted, if there is no room. */
struct flight *relay_flight_new(struct relay *r, enum relay_side from, const uint8_t *bytes,
				size_t len, enum capture_origin origin);
void relay_flight_free(struct relay *r, struct flight *f);

/* Takes what is there from a tap, up to a batch, records it and looks at who sent it. */
void relay_gather(struct relay *r, enum relay_side from);
/* The oldest that was taken and not decided; NULL: none. */
struct flight *relay_next_came(struct direction *d);
/* Looks at the sender of one that no tap gave. */
void relay_look_at_sender(struct relay *r, struct flight *f);

/* To its end, at once; 0 or -errno. It stays the caller's. */
int relay_hand_over(struct relay *r, struct flight *f);
/* These end it. */
void relay_deliver(struct relay *r, struct flight *f);
void relay_lose(struct relay *r, struct flight *f);
/* At its hour. */
void relay_plan(struct relay *r, struct flight *f, uint64_t due_ns);
/* Now, or when its hour comes; what had to wait for it follows at the same hour. */
void relay_dispatch(struct relay *r, struct flight *f, uint64_t now, uint64_t delay_ns);
void relay_deliver_due(struct relay *r, uint64_t now);
/* The first of those with an hour; there is one. */
struct flight *relay_pop(struct relay *r);

#endif
