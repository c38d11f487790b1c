/* SPDX-License-Identifier: MIT
 *
 * tally.h - all counters of counter.h at once, as the kernel's namespace has them
 *
 * After each step, so the columns of /proc/net/snmp and /proc/net/netstat are found once, when it
 * is opened (case/counters.h looks for one counter by its name).
 */
#ifndef PACKET_TALLY_H
#define PACKET_TALLY_H

#include "segment/counter.h"

#include "base/error.h"

#include <stdint.h>

enum { TALLY_COLUMNS = 256 };

struct tally {
	int snmp, netstat;
	/* which counter the columns of the groups Tcp and TcpExt are */
	int16_t tcp[TALLY_COLUMNS], ext[TALLY_COLUMNS];
};

struct counted {
	uint64_t value[COUNTER_COUNT];
	uint64_t in_segs; /* Tcp: InSegs */
};

/* Those of the calling thread's namespace. 0 or -errno with err. */
int tally_open(struct tally *c, struct err *err);
void tally_close(struct tally *c);
/* 0, -EBADMSG for a file that lacks a counter, or another -errno. */
int tally_read(const struct tally *c, struct counted *out);

#endif
