/* SPDX-License-Identifier: MIT
 *
 * shorten.h - the order in which a script that shows a mismatch is made shorter
 *
 * Steps are left out, first in chunks, then one by one; then single steps are made simpler; again,
 * until nothing more goes. What a step is, and whether the rest still shows the mismatch, is the
 * caller's: each function keeps what does, and then answers true.
 */
#ifndef DIFFER_SHORTEN_H
#define DIFFER_SHORTEN_H

#include <stdbool.h>
#include <stddef.h>

struct shorten {
	const size_t *n; /* how many steps the shortest script has now */
	bool (*leave_out)(void *ctx, size_t from, size_t n);
	bool (*simplify_whole)(void *ctx); /* NULL: there is no such way */
	bool (*simplify)(void *ctx, size_t step, unsigned way);
	unsigned ways; /* that simplify knows */
	void *ctx;
};

void shorten(const struct shorten *how);

#endif
