/* SPDX-License-Identifier: MIT
 *
 * counters.h - a namespace's SNMP counters, by the kernel's names
 *
 * /proc/net/netstat and /proc/net/snmp. Opened once inside the namespace, read again and again from
 * any thread. A name is that of the file, "ListenOverflows" or "AttemptFails", or nstat's, with the
 * group before it: "TcpExtListenOverflows", "TcpAttemptFails", "IpInDiscards".
 */
#ifndef TCPWHY_CASE_COUNTERS_H
#define TCPWHY_CASE_COUNTERS_H

#include "live/netns.h"

#include <stddef.h>

struct counters {
	int netstat, snmp; /* descriptors */
};

/* 0, or -errno with err->text. */
int counters_open_in(const struct netns *ns, struct counters *c, struct err *err);
void counters_close(struct counters *c);

/* 0; -ENOENT: this kernel has no counter of that name; or another -errno. */
int counters_read(const struct counters *c, const char *name, uint64_t *value);

enum { COUNTERS_COLUMNS = 256 }; /* of a group; what stands behind is not found */

/* Where the counters of a list stand in Tcp and in TcpExt: their place in the list + 1, 0 for
 * others. Lines of other groups come and go (IcmpMsg). */
struct counters_plan {
	uint16_t column[2][COUNTERS_COLUMNS];
};

/* Many at once, again and again: learn the places, then read the numbers only. The names are
 * without a group; the value of one that this kernel has not is left alone. 0 or -errno. */
int counters_learn(const struct counters *c, const char *const *names, size_t n,
		   struct counters_plan *plan);
int counters_read_all(const struct counters *c, const struct counters_plan *plan, uint64_t *values);
/* The same in the text of such a file. */
void counters_learn_text(const char *text, const char *const *names, size_t n,
			 struct counters_plan *plan);
void counters_find_all(const char *text, const struct counters_plan *plan, uint64_t *values);

/* The same in the text of such a file: pairs of lines, "Group: name name" and "Group: 1 2". A name
 * without a group is looked for in Tcp and TcpExt only. False if it is not there. */
bool counters_find(const char *text, const char *name, uint64_t *value);

#endif
