/* SPDX-License-Identifier: MIT
 *
 * build.h - a pool's file, made whole before it gets its name
 */
#ifndef TCPWHY_LEASE_BUILD_H
#define TCPWHY_LEASE_BUILD_H

#include "lease/layout.h"
#include "lease/place.h"

/* Makes the file for these ports and gives it the pool's name, in place of one that has it. The
 * place is locked by the caller. old, if there is one, is the place of the file before, already
 * retired: what is sound in it and says that a port is leased is taken over; a port whose word is
 * damaged is withheld, and so is what is leased by an entry that is damaged. st gives owner and
 * mode: NULL: the user's own. 0 or -errno. */
int build_pool(const struct place *place, uint16_t low, uint16_t high, const struct layout *old,
	       const struct stat *like);

/* Whether a lease of old that is not over lies outside the range. */
bool build_would_lose(const struct layout *old, uint16_t low, uint16_t high, uint64_t now_ns);

#endif
