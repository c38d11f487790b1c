/* SPDX-License-Identifier: MIT
 *
 * shrink.h - the shortest script that still disagrees in the same way
 *
 * Calls are left out, first in chunks, then one by one, then arguments are made simpler; whatever
 * still gives a mismatch of the same class at a call of the same kind is kept.
 */
#ifndef CONFORM_SHRINK_H
#define CONFORM_SHRINK_H

#include "check.h"

enum { SHRINK_TRIES = 3000 };

/* row as in check_script(). s and m become the shortest found. 0 or -errno with err. stop: given up
 * early when *stop is not 0. */
int shrink_script(struct kernel *k, const struct tcpwhy_row *row, struct script *s,
		  struct mismatch *m, const volatile int *stop, struct err *err);

#endif
