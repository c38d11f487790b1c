/* SPDX-License-Identifier: MIT
 *
 * jiffies.h - the tick of the running kernel's clock, which its timer wheel turns by
 */
#ifndef PACKET_JIFFIES_H
#define PACKET_JIFFIES_H

#include <stdint.h>

struct jiffies {
	uint16_t hz;      /* CONFIG_HZ; 0: it could not be told */
	uint64_t at_zero; /* what the clock would have shown at CLOCK_MONOTONIC 0 */
};

/* By /proc/timer_list, which only root reads. */
struct jiffies jiffies_read(void);

#endif
