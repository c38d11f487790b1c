/* SPDX-License-Identifier: MIT
 *
 * Real time: waiting for conditions, and the driver's turns
 *
 * Sockets that are watched wake us by epoll; everything else that a condition may look at (states,
 * counters, segments) makes no noise, so it is asked for about every millisecond.
 */
#include "case/kernel_state.h"

#include "base/assert.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#define NAP_NS UINT64_C(1000000)
#define NEVER  UINT64_MAX

enum { EVENTS = 64 };

uint64_t kernel_to_stage(const struct kernel_stage *k, uint64_t clock_ns)
{
	return k->begin_ns && clock_ns > k->begin_ns ? clock_ns - k->begin_ns : 0;
}

uint64_t kernel_now(struct stage *st)
{
	return kernel_to_stage(kernel_of(st), kernel_clock());
}

/* ----------------------------------------------------------------------------------- who is ready
 */

/* In line once, so there is room. A number that was given out again gets a call too many, which is
 * allowed. */
static void line_up(struct kernel_stage *k, int sock)
{
	if (k->socks[sock].waits)
		return;
	k->line[(k->line_first + k->line_used++) % (size_t)k->n_socks] = sock;
	k->socks[sock].waits = true;
}

void kernel_drive(struct stage *st, const struct stage_driver *d)
{
	struct kernel_stage *k = kernel_of(st);

	k->driven = d;
	if (d)
		k->driver = *d;
}

/* Edges: each thing that happens wakes us once, whatever the driver makes of it. */
int kernel_watch(struct stage *st, int sock, bool on)
{
	struct kernel_stage *k = kernel_of(st);
	struct kernel_sock *s = kernel_sock_at(k, sock);
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				.data.u32 = (uint32_t)sock};

	if (on != s->watched && epoll_ctl(k->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, s->fd, &e))
		return -errno;
	s->watched = on;
	if (on)
		line_up(k, sock);
	return 0;
}

static void hear(struct kernel_stage *k)
{
	struct epoll_event events[EVENTS];
	int n;

	do {
		n = epoll_wait(k->epoll, events, EVENTS, 0);
		for (int i = 0; i < n; i++)
			if (k->socks[events[i].data.u32].watched)
				line_up(k, (int)events[i].data.u32);
	} while (n == EVENTS);
}

static void tell(struct kernel_stage *k)
{
	while (k->line_used) {
		const int sock = k->line[k->line_first];

		k->line_first = (k->line_first + 1) % (size_t)k->n_socks;
		k->line_used--;
		k->socks[sock].waits = false;
		if (k->driven && k->socks[sock].fd >= 0 && k->socks[sock].watched)
			k->driver.ready(k->driver.ctx, sock);
	}
}

/* ------------------------------------------------------------------------------------------- waits
 */

/* On our clock. */
static uint64_t driver_deadline(const struct kernel_stage *k)
{
	const uint64_t at = k->driven ? k->driver.deadline(k->driver.ctx) : NEVER;

	return at < NEVER - k->begin_ns ? at + k->begin_ns : NEVER;
}

/* The driver's turn: what its sockets had to say, and what is due. */
static void drive_on(struct kernel_stage *k)
{
	hear(k);
	tell(k);
	if (driver_deadline(k) <= kernel_clock()) {
		k->driver.due(k->driver.ctx);
		tell(k);
	}
}

/* Until something may have happened. */
static void sleep_till(struct kernel_stage *k, uint64_t limit)
{
	const uint64_t now = kernel_clock(), due = driver_deadline(k);
	const uint64_t until = due < limit ? due : limit;
	const uint64_t left = k->line_used || until <= now ? 0 : until - now;
	const struct timespec t = {(time_t)(left / 1000000000), (long)(left % 1000000000)};
	struct pollfd p = {k->epoll, POLLIN, 0};

	/* an interrupted sleep is a short one */
	(void)ppoll(&p, 1, &t, NULL);
}

static uint64_t limit_of(uint64_t limit_ns)
{
	const uint64_t now = kernel_clock();

	return limit_ns < NEVER - now ? now + limit_ns : NEVER;
}

int kernel_run_until(struct stage *st, int (*is_so)(void *ctx), void *ctx, uint64_t limit_ns,
		     struct err *err)
{
	struct kernel_stage *k = kernel_of(st);
	const uint64_t limit = limit_of(limit_ns);

	(void)err;
	must(k->begin_ns);
	for (;;) {
		const uint64_t now = kernel_clock();

		drive_on(k);
		const int answer = is_so(ctx);
		if (answer)
			return answer < 0 ? answer : 0;
		if (now >= limit)
			return -ETIMEDOUT;
		sleep_till(k, limit - now < NAP_NS ? limit : now + NAP_NS);
	}
}

int kernel_pause(struct stage *st, uint64_t ns, struct err *err)
{
	struct kernel_stage *k = kernel_of(st);
	const uint64_t limit = limit_of(ns);

	must(k->begin_ns);
	if (ns > KERNEL_STAGE_QUICK_NS && !k->config.slow)
		return kernel_fail(err, STAGE_CANNOT,
				   "a pause of more than 5 s in real time: only with --slow");
	for (;;) {
		const bool is_over = kernel_clock() >= limit;

		drive_on(k);
		if (is_over)
			return 0;
		sleep_till(k, limit);
	}
}
