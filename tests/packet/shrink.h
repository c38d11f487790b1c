/* SPDX-License-Identifier: MIT
 *
 * shrink.h - the shortest script that still disagrees in the same way
 *
 * Steps are left out, first in chunks, then one by one, then fields are made simpler; whatever
 * still gives a mismatch of the same class at a step of the same kind is kept.
 */
#ifndef PACKET_SHRINK_H
#define PACKET_SHRINK_H

#include "check.h"

enum { SHRINK_TRIES = 2000 };

/* s and m become the shortest found. 0 or -errno with err. stop: given up early when *stop is not
 * 0. */
int shrink_script(struct kernel *k, const struct check_how *how, struct script *s,
		  struct mismatch *m, const volatile int *stop, struct err *err);

#endif
