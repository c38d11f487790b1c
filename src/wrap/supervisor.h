/* SPDX-License-Identifier: MIT
 *
 * supervisor.h - the two processes beside the program: one answers, one waits to take its place
 *
 * If the last holder of the listener died, the kernel would answer every bind() with ENOSYS. So the
 * keeper holds it too. It sees the supervisor's death on a pidfd, finishes the question the dead
 * one was at, and starts a keeper of its own; the supervisor replaces a keeper that died. Both
 * leave when no task is left under the filter.
 *
 * All signals that can be blocked are blocked: what ends or stops a terminal's or a service's
 * processes must not end these before the last of them.
 */
#ifndef TCPWHY_WRAP_SUPERVISOR_H
#define TCPWHY_WRAP_SUPERVISOR_H

#include <sys/types.h>

#include "wrap/wrap.h"

/* What the supervisor says through the channel: once when it is there, once when it serves. */
struct supervisor_report {
	int error; /* 0 or an errno; then text says more */
	bool reachable;
	struct err err;
};

/* One end of a SOCK_SEQPACKET pair, and what the other end is. */
struct supervisor_channel {
	int fd;       /* ours */
	int other_fd; /* the caller's descriptor of its end: can it be borrowed? */
	pid_t first;  /* the caller, which will be the program */
};

/* The life of the supervisor, in a process made for it. Receives the listener through the channel.
 */
_Noreturn void supervisor_live(const struct supervisor_channel *channel,
			       const struct wrap_plan *plan);

#endif
