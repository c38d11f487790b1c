/* SPDX-License-Identifier: MIT */
#include "case/relay.h"

#include "base/assert.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
	BATCH = 64,         /* frames of one side before the other side has its turn */
	SETTLE_ROUNDS = 64, /* of one who has to wait: there may be no end */
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
	struct frame segment; /* if it is TCP */
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

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---------------------------------------------------------------------------- frames on their way
 */

static bool earlier(const struct flight *a, const struct flight *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void heap_push(struct relay *r, struct flight *f)
{
	size_t i = r->n_timed++;

	for (; i && earlier(f, r->timed[(i - 1) / 2]); i = (i - 1) / 2)
		r->timed[i] = r->timed[(i - 1) / 2];
	r->timed[i] = f;
}

static struct flight *heap_pop(struct relay *r)
{
	struct flight *top = r->timed[0], *moved = r->timed[--r->n_timed];
	size_t i = 0;

	for (size_t child; (child = 2 * i + 1) < r->n_timed; i = child) {
		if (child + 1 < r->n_timed && earlier(r->timed[child + 1], r->timed[child]))
			child++;
		if (!earlier(r->timed[child], moved))
			break;
		r->timed[i] = r->timed[child];
	}
	r->timed[i] = moved;
	return top;
}

static bool is_watched(const struct relay *r, int side)
{
	const struct relay_witness *w = &r->dirs[side].witness;

	return w->ctx && capture_count(r->capture) < w->records;
}

/* ------------------------------------------------------------------------------------ recording */

static void record(struct relay *r, struct flight *f, enum capture_origin origin)
{
	struct capture_record rec = {
		.sent_ns = f->taken_ns,
		.wire = r->wire,
		.side = f->from,
		.fate = CAPTURE_ON_ITS_WAY,
		.origin = (uint8_t)origin,
		.len = (uint16_t)(f->len < UINT16_MAX ? f->len : UINT16_MAX),
	};

	if (!r->capture || !f->is_tcp)
		return;
	rec.frame = f->segment;
	memcpy(rec.bytes, f->bytes, f->len < CAPTURE_BYTES ? f->len : CAPTURE_BYTES);
	for (int side = 0; side < 2; side++)
		rec.watched |= is_watched(r, side);
	f->number = capture_add(r->capture, &rec);
	f->recorded = true;
	f->watched = rec.watched;
}

/* NULL, and counted, if there is no room. */
static struct flight *flight_new(struct relay *r, enum relay_side from, const uint8_t *bytes,
				 size_t len, enum capture_origin origin)
{
	struct flight *f = r->pending < RELAY_PENDING ? malloc(sizeof(*f) + len) : NULL;

	if (!f) {
		r->dirs[from].counts.no_room++;
		r->dirs[from].counts.dropped++;
		return NULL;
	}
	r->pending++;
	*f = (struct flight){.from = (uint8_t)from, .len = len, .taken_ns = now_ns()};
	memcpy(f->bytes, bytes, len);
	f->is_tcp = frame_read(f->bytes, len, &f->segment) == FRAME_TCP;
	record(r, f, origin);
	return f;
}

/* --------------------------------------------------------------------------- what a tap has for us
 */

static bool is_same_way(const struct frame *a, const struct frame *b)
{
	return a->from_port == b->from_port && a->to_port == b->to_port &&
	       address_equal(&a->from, &b->from) && address_equal(&a->to, &b->to);
}

/* Who sends one of these has another state than before, or a new socket. */
static bool changes_state(const struct frame *f)
{
	const uint8_t flags = f->flags & (FRAME_SYN | FRAME_FIN | FRAME_RST | FRAME_ACK);

	return flags == FRAME_SYN || flags & (FRAME_FIN | FRAME_RST);
}

/* A segment that changes its sender's state came right behind f. */
static bool is_outdated(const struct flight *f)
{
	for (const struct flight *g = f->next; g; g = g->next)
		if (g->is_tcp && changes_state(&g->segment) &&
		    is_same_way(&f->segment, &g->segment))
			return true;
	return false;
}

static void look_at_sender(struct relay *r, struct flight *f)
{
	const struct relay_witness *w = &r->dirs[f->from].witness;
	struct capture_sight sight = {0};

	if (!f->watched)
		return;
	if (w->ctx && !is_outdated(f))
		w->sent(w->ctx, &f->segment, &sight);
	capture_see(r->capture, f->number, 0, &sight);
}

/* False: there is none. NULL: there was no room for it, or it is no frame. */
static bool receive(struct relay *r, enum relay_side from, struct flight **f)
{
	const ssize_t n = tap_receive(&r->taps[from], r->frame, sizeof(r->frame));

	*f = NULL;
	if (n >= 0 && (size_t)n <= sizeof(r->frame)) {
		r->dirs[from].counts.taken++;
		*f = flight_new(r, from, r->frame, (size_t)n, CAPTURE_SENT);
	}
	return n >= 0;
}

/* Takes what is there, up to a batch, and only then looks: what came last tells whether a look is
 * of the moment that is meant. */
static void gather(struct relay *r, enum relay_side from)
{
	struct direction *d = &r->dirs[from];
	struct flight **fresh = d->last_came, *f;

	for (int i = 0; i < BATCH && d->n_came < BATCH && receive(r, from, &f); i++) {
		if (!f)
			continue;
		*d->last_came = f;
		d->last_came = &f->next;
		d->n_came++;
	}
	for (f = *fresh; f; f = f->next)
		look_at_sender(r, f);
}

static struct flight *next_came(struct direction *d)
{
	struct flight *f = d->came;

	if (!f)
		return NULL;
	d->came = f->next;
	if (!d->came)
		d->last_came = &d->came;
	d->n_came--;
	f->next = NULL;
	return f;
}

/* What the receiver of f sent since was no answer of its kernel's: a program acted, and the look
 * may be of after that. A kernel's RST has an ACK only where what it answers has none. */
static bool was_overtaken(const struct direction *back, const struct flight *f)
{
	const struct frame *to = &f->segment;

	for (const struct flight *g = back->came; g; g = g->next) {
		const struct frame *is = &g->segment;
		if (!g->is_tcp || is->from_port != to->to_port || is->to_port != to->from_port ||
		    !address_equal(&is->from, &to->to) || !address_equal(&is->to, &to->from) ||
		    !changes_state(is))
			continue;
		if (!(is->flags & FRAME_RST) || (is->flags & to->flags & FRAME_ACK))
			return true;
	}
	return false;
}

/* ------------------------------------------------------------------------------------- delivery */

static void settle(struct relay *r, const struct flight *f, enum capture_fate fate, uint64_t when)
{
	if (f->recorded)
		capture_settle(r->capture, f->number, fate, when);
}

static void flight_free(struct relay *r, struct flight *f)
{
	r->pending--;
	free(f);
}

static void lose(struct relay *r, struct flight *f)
{
	r->dirs[f->from].counts.dropped++;
	settle(r, f, CAPTURE_LOST, 0);
	flight_free(r, f);
}

/* The frame goes to its end; 0 or -errno. */
static int hand_over(struct relay *r, struct flight *f)
{
	const struct relay_witness *w = &r->dirs[!f->from].witness;
	const bool is_seen = f->watched && w->ctx;
	struct capture_sight sight = {0};

	/* before the answer to it can come, or its receiver look into the capture */
	settle(r, f, CAPTURE_ARRIVED, now_ns());
	if (is_seen)
		w->before(w->ctx);
	const int rc = tap_send(&r->taps[!f->from], f->bytes, f->len);
	if (rc)
		settle(r, f, CAPTURE_REFUSED, 0);
	if (is_seen)
		w->arrived(w->ctx, &f->segment, &sight);
	if (f->watched)
		gather(r, (enum relay_side) !f->from);
	if (is_seen && was_overtaken(&r->dirs[!f->from], f))
		sight.state = 0;
	if (f->watched)
		capture_see(r->capture, f->number, 1, &sight);
	return rc;
}

static void deliver(struct relay *r, struct flight *f)
{
	struct direction *d = &r->dirs[f->from];

	if (!hand_over(r, f))
		d->counts.delivered++;
	else
		d->counts.dropped++;
	flight_free(r, f);
}

/* Sends, now or when its hour comes; what had to wait for it follows at the same hour. */
static void dispatch(struct relay *r, struct flight *f, uint64_t now, uint64_t delay_ns)
{
	struct direction *d = &r->dirs[f->from];
	struct flight *behind = d->swapped;

	d->swapped = NULL;
	for (; f; f = behind, behind = NULL) {
		if (!delay_ns) {
			deliver(r, f);
			continue;
		}
		f->due_ns = now + delay_ns;
		f->order = r->orders++;
		heap_push(r, f);
	}
}

static void deliver_due(struct relay *r, uint64_t now)
{
	while (r->n_timed && r->timed[0]->due_ns <= now)
		deliver(r, heap_pop(r));
}

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
		flight_new(r, (enum relay_side)f->from, f->bytes, f->len, CAPTURE_COPY);

	if (!twin)
		return;
	look_at_sender(r, twin);
	twin->due_ns = now + delay_ns;
	twin->order = r->orders++;
	heap_push(r, twin);
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
		lose(r, f);
	else
		dispatch(r, f, now, delay_ns);
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
		lose(r, f);
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
			dispatch(r, f, now, d->delay_ns);
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
		lose(r, f);
		return;
	}
	struct rule *rule =
		f->is_tcp ? deciding_rule(r, (enum relay_side)f->from, &f->segment) : NULL;
	if (rule)
		apply(r, rule, f, now);
	else if (f->is_tcp)
		go(r, f, now, d->delay_ns);
	else
		dispatch(r, f, now, d->delay_ns);
}

/* How many were taken. */
static int take_some(struct relay *r, enum relay_side from)
{
	int n = 0;

	gather(r, from);
	for (struct flight *f; n < BATCH && (f = next_came(&r->dirs[from])) != NULL; n++)
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
	const uint64_t now = now_ns(), left = due_ns > now ? due_ns - now : 0;
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
		deliver_due(r, now_ns());
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
		lose(r, f);
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
		lose(r, heap_pop(r));
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
	for (int round = 0; round < SETTLE_ROUNDS; round++)
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
		deliver(r, f);
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
	struct flight *flight = flight_new(r, from, bytes, len, CAPTURE_INJECTED);
	if (flight) {
		look_at_sender(r, flight);
		rc = hand_over(r, flight);
		r->dirs[from].counts.injected += !rc;
		flight_free(r, flight);
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
