/* SPDX-License-Identifier: MIT
 *
 * reuse_prove.h - what SO_REUSEADDR on a living server's sockets will do for its next start
 *
 * Asks the engine: every process has closed its sockets, a new server sets SO_REUSEADDR and binds
 * the same place. Once with the sockets as they are, once with the option on those that can be
 * reached. It decides nothing itself.
 */
#ifndef TCPWHY_CURE_REUSE_PROVE_H
#define TCPWHY_CURE_REUSE_PROVE_H

#include "cure/reuse_view.h"

struct reuse_proof {
	struct tcpwhy_bind_request restart;
	/* No connection is there that would leave a TIME_WAIT: asked with one added. */
	bool sample;
	struct tcpwhy_verdict before, after;
	/* As after, and what is dead already (TIME_WAIT, orphans) is gone too. */
	struct tcpwhy_verdict cleared;
};

/* Proves the restart at the place of a listener: the n-th of the view, each place once. 1 with
 * *proof filled; 0 if there are not so many; -ENOMEM. */
int reuse_prove(const struct reuse_view *view, size_t n, const struct tcpwhy_row *row,
		const struct tcpwhy_memory *memory, struct reuse_proof *proof);

#endif
