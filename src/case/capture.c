/* SPDX-License-Identifier: MIT */
#include "case/capture.h"

#include "base/assert.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct capture {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t max, n;  /* n counts on beyond max */
	size_t cleared; /* numbers below this one were forgotten */
	struct capture_record records[];
};

struct capture *capture_new(size_t max)
{
	struct capture *c = malloc(sizeof(*c) + max * sizeof(c->records[0]));
	pthread_condattr_t attr;

	if (!c)
		return NULL;
	*c = (struct capture){.max = max};
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, &attr);
	pthread_condattr_destroy(&attr);
	return c;
}

void capture_free(struct capture *c)
{
	if (!c)
		return;
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* Numbers go on over a clear, so that one given before it settles nothing. */
size_t capture_add(struct capture *c, const struct capture_record *r)
{
	pthread_mutex_lock(&c->lock);
	const size_t place = c->n++;
	const size_t number = c->cleared + place;
	if (place < c->max) {
		c->records[place] = *r;
		c->records[place].frame.payload = NULL;
		pthread_cond_broadcast(&c->changed);
	}
	pthread_mutex_unlock(&c->lock);
	return number;
}

/* NULL: it was not kept, or is forgotten. */
static struct capture_record *record_of(struct capture *c, size_t number)
{
	const size_t place = number - c->cleared;
	const bool is_kept = number >= c->cleared && place < c->n && place < c->max;

	return is_kept ? &c->records[place] : NULL;
}

void capture_settle(struct capture *c, size_t number, enum capture_fate fate, uint64_t when_ns)
{
	pthread_mutex_lock(&c->lock);
	struct capture_record *r = record_of(c, number);
	if (r) {
		must(r->fate == CAPTURE_ON_ITS_WAY ||
		     (r->fate == CAPTURE_ARRIVED && fate == CAPTURE_REFUSED));
		r->fate = (uint8_t)fate;
		r->arrived_ns = fate == CAPTURE_ARRIVED ? when_ns : 0;
		pthread_cond_broadcast(&c->changed);
	}
	pthread_mutex_unlock(&c->lock);
}

void capture_see(struct capture *c, size_t number, int end, const struct capture_sight *sight)
{
	must(end == 0 || end == 1);
	pthread_mutex_lock(&c->lock);
	struct capture_record *r = record_of(c, number);
	if (r) {
		r->sight[end] = *sight;
		r->seen[end] = true;
		pthread_cond_broadcast(&c->changed);
	}
	pthread_mutex_unlock(&c->lock);
}

bool capture_is_over(const struct capture_record *r)
{
	if (r->fate == CAPTURE_ON_ITS_WAY)
		return false;
	return !r->watched || (r->seen[0] && (r->seen[1] || r->fate != CAPTURE_ARRIVED));
}

size_t capture_count(struct capture *c)
{
	pthread_mutex_lock(&c->lock);
	const size_t n = c->n;
	pthread_mutex_unlock(&c->lock);
	return n;
}

bool capture_get(struct capture *c, size_t i, struct capture_record *r)
{
	pthread_mutex_lock(&c->lock);
	const bool there = i < c->n && i < c->max;
	if (there)
		*r = c->records[i];
	pthread_mutex_unlock(&c->lock);
	return there;
}

void capture_clear(struct capture *c)
{
	pthread_mutex_lock(&c->lock);
	c->cleared += c->n;
	c->n = 0;
	pthread_mutex_unlock(&c->lock);
}

static bool find(const struct capture *c, const struct pick *p, int side, int fate, size_t *i,
		 struct capture_record *r)
{
	const size_t end = c->n < c->max ? c->n : c->max;

	for (size_t k = *i; k < end; k++) {
		const struct capture_record *at = &c->records[k];

		if ((side >= 0 && at->side != side) || (fate >= 0 && at->fate != fate) ||
		    !pick_takes(p, &at->frame))
			continue;
		*i = k;
		*r = *at;
		return true;
	}
	return false;
}

int capture_wait(struct capture *c, const struct pick *p, int side, int fate, uint64_t deadline_ns,
		 size_t *i, struct capture_record *r)
{
	const struct timespec until = {(time_t)(deadline_ns / 1000000000),
				       (long)(deadline_ns % 1000000000)};
	int rc = 0;

	pthread_mutex_lock(&c->lock);
	while (!find(c, p, side, fate, i, r) && !rc)
		rc = pthread_cond_timedwait(&c->changed, &c->lock, &until);
	pthread_mutex_unlock(&c->lock);
	return -rc;
}
