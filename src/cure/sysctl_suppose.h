/* SPDX-License-Identifier: MIT
 *
 * sysctl_suppose.h - what was seen of a kernel, as it would be with a sysctl changed
 *
 * The same numbers that src/live reads, put into the snapshot instead of those seen: the proof of a
 * change asks the engine about that world. Pure.
 */
#ifndef TCPWHY_CURE_SYSCTL_SUPPOSE_H
#define TCPWHY_CURE_SYSCTL_SUPPOSE_H

#include "cure/sysctl_key.h"
#include "facts/snapshot.h"

struct sysctl_supposed {
	const struct sysctl_key *key;
	const char *value; /* sysctl_key_value() */
};

/* Whether the rules of bind() and connect() ask for it at all. */
bool sysctl_decides(const struct sysctl_key *key);
/* Puts the value of supposed (struct sysctl_supposed) into snap; a sysctl that decides nothing
 * changes nothing. A live_supposition (live.h). */
void sysctl_suppose(struct snapshot *snap, const void *supposed);

#endif
