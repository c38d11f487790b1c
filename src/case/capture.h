/* SPDX-License-Identifier: MIT
 *
 * capture.h - what passed a wire: every TCP segment, when it left, when it came, what befell it
 *
 * Bounded: the first ones are kept, later ones are only counted (a scene is told from its
 * beginning). One thread writes while others read or wait. A record keeps the segment's fields and
 * the first bytes of the frame, enough for all headers; not the whole payload.
 */
#ifndef TCPWHY_CASE_CAPTURE_H
#define TCPWHY_CASE_CAPTURE_H

#include "case/pick.h"

#include <stddef.h>

enum { CAPTURE_BYTES = 192, CAPTURE_COUNTED = 8 };

/* The direction is named by the side from which a segment comes. */
enum capture_fate {
	CAPTURE_ON_ITS_WAY, /* delayed or held back; later one of the others */
	CAPTURE_ARRIVED,
	CAPTURE_LOST,    /* a rule or the switch dropped it, or there was no room for it */
	CAPTURE_REFUSED, /* the receiving device did not take it */
};

enum capture_origin {
	CAPTURE_SENT, /* by the host of that side */
	CAPTURE_COPY, /* by the wire, of one that a host sent */
	CAPTURE_INJECTED,
};

/* An end of the wire when the segment had just left it, or had just come. */
struct capture_sight {
	uint8_t state;   /* of a host, enum tcpwhy_state; 0: not seen, or not for certain */
	uint8_t session; /* of a box, enum session_state + 1; 0: it knows of none;
			  * BELIEF_UNASKED */
	uint8_t n_counted;
	/* What the host counted because of it (enum counter); more kinds are not kept. */
	struct capture_count {
		uint8_t counter;
		uint16_t times;
	} counted[CAPTURE_COUNTED];
};

struct capture_record {
	uint64_t sent_ns;    /* CLOCK_MONOTONIC, when it reached the middle of the wire */
	uint64_t arrived_ns; /* when it was handed to the other side; 0 if it was not */
	int wire;            /* whatever number the relay was given */
	uint8_t side;        /* 0 or 1: whence */
	uint8_t fate;        /* enum capture_fate */
	uint8_t origin;      /* enum capture_origin */
	struct frame frame;  /* without payload pointer */
	uint16_t len;        /* of the whole frame */
	uint8_t bytes[CAPTURE_BYTES];
	struct capture_sight sight[2]; /* of the sender, of the receiver */
	bool watched;                  /* they are looked at */
	bool seen[2];                  /* and have been */
};

struct capture;

/* Room for max records. NULL if there is no memory. */
struct capture *capture_new(size_t max);
void capture_free(struct capture *c);

/* Adds a segment that is on its way and returns its number for capture_settle(); beyond the room it
 * is only counted, and the number is one that settles nothing. */
size_t capture_add(struct capture *c, const struct capture_record *r);
/* One that arrived may still turn out to be refused. */
void capture_settle(struct capture *c, size_t number, enum capture_fate fate, uint64_t when_ns);
/* What end 0, the sender, or end 1 looked like. */
void capture_see(struct capture *c, size_t number, int end, const struct capture_sight *sight);
/* Whether nothing of the record will change any more. */
bool capture_is_over(const struct capture_record *r);

/* Segments so far, those that found no room included. */
size_t capture_count(struct capture *c);
/* The i-th record. False beyond the last one that is kept. */
bool capture_get(struct capture *c, size_t i, struct capture_record *r);
/* Forgets all; records that are on their way settle nothing any more. */
void capture_clear(struct capture *c);

/* Looks for the first record at or after *i that the pick takes, from that side (or -1) and with
 * that fate (or -1), and waits for it until the deadline (CLOCK_MONOTONIC, ns; 0: not at all). *i
 * becomes its number. 0 or -ETIMEDOUT. */
int capture_wait(struct capture *c, const struct pick *p, int side, int fate, uint64_t deadline_ns,
		 size_t *i, struct capture_record *r);

#endif
