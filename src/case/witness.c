/* SPDX-License-Identifier: MIT */
#include "case/witness.h"

#include "case/counters.h"
#include "case/diag.h"
#include "segment/counter.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PATIENCE = 200 }; /* looks at a socket that a call holds */

struct witness {
	pthread_mutex_t lock;
	struct diag diag;
	struct counters counters;
	struct counters_plan plan;
	uint64_t before[COUNTER_COUNT], after[COUNTER_COUNT];
	bool has_before;
};

static int learn(struct witness *w)
{
	const char *names[COUNTER_COUNT];

	for (int i = 0; i < COUNTER_COUNT; i++)
		names[i] = counter_name((enum counter)i);
	return counters_learn(&w->counters, names, COUNTER_COUNT, &w->plan);
}

int witness_open(const struct netns *ns, struct witness **out, struct err *err)
{
	struct witness *w = calloc(1, sizeof(*w));

	if (!w) {
		snprintf(err->text, sizeof(err->text), "a witness: %s", strerror(ENOMEM));
		return -ENOMEM;
	}
	w->counters = (struct counters){-1, -1};
	pthread_mutex_init(&w->lock, NULL);
	int rc = diag_open_in(ns, &w->diag, err);
	if (!rc)
		rc = counters_open_in(ns, &w->counters, err);
	if (!rc) {
		rc = learn(w);
		if (rc)
			snprintf(err->text, sizeof(err->text), "the counters of a namespace: %s",
				 strerror(-rc));
	}
	if (rc)
		witness_close(w);
	else
		*out = w;
	return rc;
}

void witness_close(struct witness *w)
{
	if (!w)
		return;
	counters_close(&w->counters);
	diag_close(&w->diag);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/* ---------------------------------------------------------------------------------------- states
 */

/* While a call holds the receiver's socket what came waits, and so do we: calls do not last. */
static int meet(struct witness *w, unsigned device, const struct endpoint *here,
		const struct endpoint *there, bool sender, struct diag_sock *met)
{
	static const struct timespec moment = {0, 20000};
	int rc = diag_meet(&w->diag, here, there, device, met);

	if (sender)
		return rc;
	for (int i = 0; i < PATIENCE && !rc && met->waiting; i++) {
		nanosleep(&moment, NULL);
		rc = diag_meet(&w->diag, here, there, device, met);
	}
	return !rc && met->waiting ? -EAGAIN : rc;
}

/* Where nothing has the 4-tuple a SYN met the listener, if there is one; all else met nobody. */
static uint8_t state_of(struct witness *w, unsigned device, const struct frame *f, bool sender)
{
	const struct endpoint from = {f->from, f->from_port}, to = {f->to, f->to_port};
	const struct endpoint *here = sender ? &from : &to, *there = sender ? &to : &from;
	const bool opening = (f->flags & (FRAME_SYN | FRAME_ACK)) == FRAME_SYN;
	struct diag_sock met;
	const int rc = meet(w, device, here, there, sender, &met);

	if (rc && rc != -ENOENT)
		return 0;
	if (!rc && met.state != TCPWHY_LISTEN && met.peer.port == there->port)
		return met.state;
	return !rc && met.state == TCPWHY_LISTEN && opening && !sender ? TCPWHY_LISTEN
								       : TCPWHY_CLOSE;
}

void witness_sent(struct witness *w, unsigned device, const struct frame *f,
		  struct capture_sight *out)
{
	pthread_mutex_lock(&w->lock);
	*out = (struct capture_sight){.state = state_of(w, device, f, true)};
	pthread_mutex_unlock(&w->lock);
}

/* -------------------------------------------------------------------------------------- counters
 */

void witness_before(struct witness *w)
{
	pthread_mutex_lock(&w->lock);
	w->has_before = !counters_read_all(&w->counters, &w->plan, w->before);
}

/* Without connections that opened: the states show those. */
static void count(struct witness *w, struct capture_sight *out)
{
	if (!w->has_before || counters_read_all(&w->counters, &w->plan, w->after))
		return;
	for (int i = COUNTER_AttemptFails; i < COUNTER_COUNT; i++) {
		const uint64_t times = w->after[i] - w->before[i];

		if (!times || out->n_counted == CAPTURE_COUNTED)
			continue;
		out->counted[out->n_counted++] = (struct capture_count){
			(uint8_t)i, (uint16_t)(times < UINT16_MAX ? times : UINT16_MAX)};
	}
}

void witness_arrived(struct witness *w, unsigned device, const struct frame *f,
		     struct capture_sight *out)
{
	*out = (struct capture_sight){.state = state_of(w, device, f, false)};
	count(w, out);
	pthread_mutex_unlock(&w->lock);
}
