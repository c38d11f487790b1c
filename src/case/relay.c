/* SPDX-License-Identifier: MIT
 *
 * The wire's will: rules and chance, the thread that moves the frames, and what others ask
 */
#include "case/relay_state.h"

#include "base/assert.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* ---------------------------------------------------------------------------------------- rules */

static bool fires(struct rule *rule, const struct frame *f)
{
	const struct relay_rule *is = &rule->is;

	if ((is->times && rule->fired == is->times) || !pick_takes(&is->pick, f))
		return false;
	const unsigned match = rule->matched++;
	if (match < is->skip)
		return false;
	return (match - is->skip) % (is->every ? is->every : 1) == 0;
}

static struct rule *next_rule(struct relay *r, enum relay_side from, const struct rule *after)
{
	struct rule *next = NULL;

	for (size_t i = 0; i < RELAY_RULES; i++) {
		struct rule *rule = &r->rules[i];
		const bool is_later = !after || rule->order > after->order;

		if (rule->used && rule->from == from && is_later &&
		    (!next || rule->order < next->order))
			next = rule;
	}
	return next;
}

static struct rule *deciding_rule(struct relay *r, enum relay_side from, const struct frame *f)
{
	struct rule *rule = next_rule(r, from, NULL);

	while (rule && !fires(rule, f))
		rule = next_rule(r, from, rule);
	return rule;
}

static void hold(struct rule *rule, struct flight *f)
{
	*rule->last = f;
	rule->last = &f->next;
	rule->held++;
}

static void copy(struct relay *r, const struct flight *f, uint64_t now, uint64_t delay_ns)
{
	struct flight *twin =
		relay_flight_new(r, (enum relay_side)f->from, f->bytes, f->len, CAPTURE_COPY);

	if (!twin)
		return;
	relay_look_at_sender(r, twin);
	relay_plan(r, twin, now + delay_ns);
}

/* splitmix64 */
static uint64_t draw(struct relay *r)
{
	uint64_t z = r->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Chance has the last word, as in the model (world/wire.c). */
static void go(struct relay *r, struct flight *f, uint64_t now, uint64_t delay_ns)
{
	const uint32_t loss = r->dirs[f->from].loss_ppm;

	if (loss && draw(r) % 1000000 < loss)
		relay_lose(r, f);
	else
		relay_dispatch(r, f, now, delay_ns);
}

static void apply(struct relay *r, struct rule *rule, struct flight *f, uint64_t now)
{
	struct direction *d = &r->dirs[f->from];
	const uint64_t extra = rule->is.delay_ns;

	switch (rule->is.action) {
	case RELAY_PASS:
		go(r, f, now, d->delay_ns);
		break;
	case RELAY_DROP:
		relay_lose(r, f);
		break;
	case RELAY_DELAY:
		go(r, f, now, d->delay_ns + extra);
		break;
	case RELAY_COPY:
		copy(r, f, now, d->delay_ns + extra);
		go(r, f, now, d->delay_ns);
		break;
	case RELAY_HOLD:
		hold(rule, f);
		break;
	case RELAY_SWAP:
		if (d->swapped)
			relay_dispatch(r, f, now, d->delay_ns);
		else
			d->swapped = f;
		break;
	}
	rule->fired++;
	pthread_cond_broadcast(&r->fired);
}

/* --------------------------------------------------------------------------------------- thread */

/* Decides what becomes of it. */
static void take(struct relay *r, struct flight *f)
{
	struct direction *d = &r->dirs[f->from];
	const uint64_t now = f->taken_ns;

	if (d->cut) {
		relay_lose(r, f);
		return;
	}
	struct rule *rule =
		f->is_tcp ? deciding_rule(r, (enum relay_side)f->from, &f->segment) : NULL;
	if (rule)
		apply(r, rule, f, now);
	else if (f->is_tcp)
		go(r, f, now, d->delay_ns);
	else
		relay_dispatch(r, f, now, d->delay_ns);
}

/* How many were taken. */
static int take_some(struct relay *r, enum relay_side from)
{
	int n = 0;

	relay_gather(r, from);
	for (struct flight *f; n < RELAY_BATCH && (f = relay_next_came(&r->dirs[from])) != NULL;
	     n++)
		take(r, f);
	return n;
}

/* 0: at once; UINT64_MAX: there is none. */
static uint64_t hour_of_work(const struct relay *r)
{
	if (r->dirs[RELAY_A].came || r->dirs[RELAY_B].came)
		return 0;
	return r->n_timed ? r->timed[0]->due_ns : UINT64_MAX;
}

/* Sleeps until a frame comes, the next one is due, or somebody calls. */
static void sleep_till_needed(struct relay *r, uint64_t due_ns)
{
	struct pollfd p[] = {{r->taps[RELAY_A].fd, POLLIN, 0},
			     {r->taps[RELAY_B].fd, POLLIN, 0},
			     {r->wake, POLLIN, 0}};
	const uint64_t now = relay_clock(), left = due_ns > now ? due_ns - now : 0;
	const struct timespec t = {(time_t)(left / 1000000000), (long)(left % 1000000000)};
	uint64_t calls;

	if (ppoll(p, 3, due_ns == UINT64_MAX ? NULL : &t, NULL) > 0 && p[2].revents)
		if (read(r->wake, &calls, sizeof(calls)) < 0)
			must(errno == EAGAIN || errno == EINTR);
}

static void *forward(void *arg)
{
	struct relay *r = arg;

	pthread_mutex_lock(&r->lock);
	while (!r->stop) {
		const uint64_t due = r->sleeps_till_ns = hour_of_work(r);

		pthread_mutex_unlock(&r->lock);
		sleep_till_needed(r, due);
		pthread_mutex_lock(&r->lock);
		take_some(r, RELAY_A);
		take_some(r, RELAY_B);
		relay_deliver_due(r, relay_clock());
	}
	pthread_mutex_unlock(&r->lock);
	for (int side = 0; side < 2; side++)
		tap_close(&r->taps[side]);
	return NULL;
}

static void call(struct relay *r)
{
	const uint64_t one = 1;

	must(write(r->wake, &one, sizeof(one)) == sizeof(one));
}

/* Signals are the program's business, not a helper thread's. */
static int start_thread(struct relay *r)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	const int error = pthread_create(&r->thread, NULL, forward, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

static void init(struct relay *r, const struct relay_config *config)
{
	pthread_condattr_t attr;

	memset(r, 0, sizeof(*r));
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->fired, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&r->lock, NULL);
	r->capture = config->capture;
	r->wire = config->wire;
	r->random = config->seed;
	for (int side = 0; side < 2; side++) {
		r->taps[side] = config->taps[side];
		memcpy(r->macs[side], config->macs[side], FRAME_MAC);
		r->dirs[side].delay_ns = config->delay_ns[side];
		r->dirs[side].loss_ppm = config->loss_ppm[side];
		r->dirs[side].last_came = &r->dirs[side].came;
	}
}

static void release_memory(struct relay *r)
{
	pthread_cond_destroy(&r->fired);
	pthread_mutex_destroy(&r->lock);
	if (r->wake >= 0)
		close(r->wake);
	free(r);
}

int relay_start(const struct relay_config *config, struct relay **out, struct err *err)
{
	struct relay *r = malloc(sizeof(*r));
	int rc = r ? 0 : -ENOMEM;

	if (!rc) {
		init(r, config);
		r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		rc = r->wake < 0 ? -errno : start_thread(r);
	}
	if (rc) {
		snprintf(err->text, sizeof(err->text), "a relay between two hosts: %s",
			 strerror(-rc));
		if (r)
			release_memory(r);
		return rc;
	}
	*out = r;
	return 0;
}

static void lose_list(struct relay *r, struct flight *f)
{
	for (struct flight *next; f; f = next) {
		next = f->next;
		relay_lose(r, f);
	}
}

void relay_end(struct relay *r)
{
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_mutex_unlock(&r->lock);
	call(r);
}

void relay_stop(struct relay *r)
{
	if (!r)
		return;
	relay_end(r);
	pthread_join(r->thread, NULL);
	while (r->n_timed)
		relay_lose(r, relay_pop(r));
	for (size_t i = 0; i < RELAY_RULES; i++)
		if (r->rules[i].used)
			lose_list(r, r->rules[i].first);
	for (int side = 0; side < 2; side++) {
		lose_list(r, r->dirs[side].swapped);
		lose_list(r, r->dirs[side].came);
	}
	must(r->pending == 0);
	release_memory(r);
}

/* ------------------------------------------------------------------------------- what others ask
 */

/* What their call took from a tap wakes the thread no more: it is told of it, and of an hour that
 * is earlier than the one that it sleeps for. */
static void unlock(struct relay *r)
{
	const bool is_work = hour_of_work(r) < r->sleeps_till_ns;

	pthread_mutex_unlock(&r->lock);
	if (is_work)
		call(r);
}

void relay_set_witness(struct relay *r, enum relay_side side, const struct relay_witness *w)
{
	pthread_mutex_lock(&r->lock);
	must(!w || r->capture);
	r->dirs[side].witness = w ? *w : (struct relay_witness){0};
	pthread_mutex_unlock(&r->lock);
}

void relay_settle(struct relay *r)
{
	pthread_mutex_lock(&r->lock);
	for (int round = 0; round < RELAY_SETTLE_ROUNDS; round++)
		if (!(take_some(r, RELAY_A) + take_some(r, RELAY_B)))
			break;
	unlock(r);
}

void relay_set_delay(struct relay *r, enum relay_side from, uint64_t delay_ns)
{
	pthread_mutex_lock(&r->lock);
	r->dirs[from].delay_ns = delay_ns;
	pthread_mutex_unlock(&r->lock);
}

void relay_set_loss(struct relay *r, enum relay_side from, uint32_t loss_ppm)
{
	pthread_mutex_lock(&r->lock);
	r->dirs[from].loss_ppm = loss_ppm;
	pthread_mutex_unlock(&r->lock);
}

void relay_cut(struct relay *r, enum relay_side from, bool cut)
{
	pthread_mutex_lock(&r->lock);
	r->dirs[from].cut = cut;
	pthread_mutex_unlock(&r->lock);
}

int relay_add_rule(struct relay *r, enum relay_side from, const struct relay_rule *is)
{
	int number = -ENOSPC;

	pthread_mutex_lock(&r->lock);
	for (int i = 0; i < RELAY_RULES && number < 0; i++) {
		struct rule *rule = &r->rules[i];

		if (rule->used)
			continue;
		*rule = (struct rule){.used = true,
				      .from = (uint8_t)from,
				      .order = r->orders++,
				      .is = *is,
				      .last = &rule->first};
		number = i;
	}
	pthread_mutex_unlock(&r->lock);
	return number;
}

static struct rule *rule_of(struct relay *r, int number)
{
	must(number >= 0 && number < RELAY_RULES && r->rules[number].used);
	return &r->rules[number];
}

void relay_del_rule(struct relay *r, int number)
{
	pthread_mutex_lock(&r->lock);
	struct rule *rule = rule_of(r, number);
	lose_list(r, rule->first);
	rule->used = false;
	pthread_mutex_unlock(&r->lock);
}

unsigned relay_fired(struct relay *r, int number)
{
	pthread_mutex_lock(&r->lock);
	const unsigned n = rule_of(r, number)->fired;
	pthread_mutex_unlock(&r->lock);
	return n;
}

unsigned relay_held(struct relay *r, int number)
{
	pthread_mutex_lock(&r->lock);
	const unsigned n = rule_of(r, number)->held;
	pthread_mutex_unlock(&r->lock);
	return n;
}

int relay_wait_fired(struct relay *r, int number, unsigned times, uint64_t deadline_ns)
{
	const struct timespec until = {(time_t)(deadline_ns / 1000000000),
				       (long)(deadline_ns % 1000000000)};
	int rc = 0;

	pthread_mutex_lock(&r->lock);
	while (rule_of(r, number)->fired < times && !rc)
		rc = pthread_cond_timedwait(&r->fired, &r->lock, &until);
	pthread_mutex_unlock(&r->lock);
	return -rc;
}

unsigned relay_release(struct relay *r, int number)
{
	pthread_mutex_lock(&r->lock);
	struct rule *rule = rule_of(r, number);
	const unsigned n = rule->held;
	struct flight *f = rule->first;

	rule->first = NULL;
	rule->last = &rule->first;
	rule->held = 0;
	for (struct flight *next; f; f = next) {
		next = f->next;
		f->next = NULL;
		relay_deliver(r, f);
	}
	unlock(r);
	return n;
}

int relay_inject(struct relay *r, enum relay_side from, const struct frame *f)
{
	struct frame addressed = *f;
	uint8_t bytes[FRAME_MAX];
	int rc = -ENOBUFS;

	memcpy(addressed.to_mac, r->macs[!from], FRAME_MAC);
	memcpy(addressed.from_mac, r->macs[from], FRAME_MAC);
	const size_t len = frame_build(&addressed, bytes, sizeof(bytes));
	if (!len)
		return -EMSGSIZE;
	pthread_mutex_lock(&r->lock);
	struct flight *flight = relay_flight_new(r, from, bytes, len, CAPTURE_INJECTED);
	if (flight) {
		relay_look_at_sender(r, flight);
		rc = relay_hand_over(r, flight);
		r->dirs[from].counts.injected += !rc;
		relay_flight_free(r, flight);
	}
	unlock(r);
	return rc;
}

struct relay_counts relay_counts(struct relay *r, enum relay_side from)
{
	pthread_mutex_lock(&r->lock);
	const struct relay_counts counts = r->dirs[from].counts;
	pthread_mutex_unlock(&r->lock);
	return counts;
}
