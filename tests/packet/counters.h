/* SPDX-License-Identifier: MIT
 *
 * counters.h - the namespace's counters, from /proc/net/snmp and /proc/net/netstat
 */
#ifndef PACKET_COUNTERS_H
#define PACKET_COUNTERS_H

#include "segment/counter.h"

#include "base/error.h"

#include <stdint.h>

enum { COUNTERS_COLUMNS = 256 };

struct counters {
	int snmp, netstat;
	/* which counter the columns of the groups Tcp and TcpExt are */
	int16_t tcp[COUNTERS_COLUMNS], ext[COUNTERS_COLUMNS];
};

struct counted {
	uint64_t value[COUNTER_COUNT];
	uint64_t in_segs; /* Tcp: InSegs */
};

/* Those of the calling thread's namespace. 0 or -errno with err. */
int counters_open(struct counters *c, struct err *err);
void counters_close(struct counters *c);
/* 0, -EBADMSG for a file that lacks a counter, or another -errno. */
int counters_read(const struct counters *c, struct counted *out);

#endif
