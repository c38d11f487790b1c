/* SPDX-License-Identifier: MIT
 *
 * The kernel's timer wheel: when a timer really runs
 *
 * calc_wheel_index() since 4.8. Nothing runs early, and what is far away is kept in coarse buckets:
 * 63 ticks ahead and more in buckets of 8, 504 and more in buckets of 64, and so on. So at 250 Hz a
 * second takes up to 1.032 s, a minute up to 62.05 s, and timers that were set apart end together.
 */
#include "segment/state.h"

enum { LEVEL_BITS = 3, LEVELS = 9, FIRST_LEVEL_TICKS = 63 };

static uint64_t tick_ns(const struct host *h)
{
	return NS_PER_S / h->config.hz;
}

uint64_t wheel_whole_ticks(const struct host *h, uint64_t ns)
{
	const uint64_t tick = tick_ns(h);

	return h->config.wheel ? (ns + tick - 1) / tick * tick : ns;
}

uint64_t wheel_runs(const struct host *h, uint64_t when_ns)
{
	const uint64_t tick = tick_ns(h);
	unsigned shift = 0;

	if (!h->config.wheel || when_ns < now(h) || when_ns == NEVER)
		return when_ns;
	const uint64_t jiffies = h->config.jiffies + now(h) / tick;
	const uint64_t ticks = wheel_whole_ticks(h, when_ns - now(h)) / tick;
	while (shift < LEVEL_BITS * (LEVELS - 1) && ticks >= (uint64_t)FIRST_LEVEL_TICKS << shift)
		shift += LEVEL_BITS;
	/* a bucket runs when its last tick is over */
	const uint64_t runs = (((jiffies + ticks) >> shift) + 1) << shift;
	return (runs - h->config.jiffies) * tick;
}
