/* SPDX-License-Identifier: MIT
 *
 * wrap.h - a program's TCP sockets get options that it does not set itself
 *
 * The calling process puts itself under a seccomp filter and then executes the program; two
 * processes beside it, the supervisor and its keeper, hold the filter's listener. At bind(),
 * listen() or connect() the kernel asks the supervisor, which borrows the socket (pidfd_getfd()),
 * sets the option and lets the call go on. Needs Linux 5.9 and no privilege. Static programs and
 * those that make their system calls themselves are served too; calls made through io_uring are not
 * seen.
 *
 * This is no sandbox: nothing is forbidden, so nothing hangs on what the program changes in its
 * memory between our look and the kernel's. Who dies when, and what follows: ARCHITECTURE.md.
 */
#ifndef TCPWHY_WRAP_WRAP_H
#define TCPWHY_WRAP_WRAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* What is set, and when: option.h. */
struct wrap_cure {
	bool reuseaddr, reuseport, bind_address_no_port;
	bool lease; /* sockets that ask for any port get one of the host's pool: leased.h */
	uint16_t range_low, range_high; /* IP_LOCAL_PORT_RANGE; 0 and 0: none */
};

struct wrap_plan {
	struct wrap_cure cure;
	/* Give out prepared sockets at socket() instead of borrowing the program's at bind(). Taken
	 * anyway where processes may not be looked into. */
	bool prepared;
	/* The caller's arguments: blanked in the supervisor, so that it is not found, and killed,
	 * by the program's name. */
	int argc;
	char **argv;
};

/* Whether the filter costs the program what exec() would give it: PR_SET_NO_NEW_PRIVS has to be
 * set, and is not yet. Without CAP_SYS_ADMIN no filter is taken otherwise. */
bool wrap_gives_up_privileges(void);

/* Starts both processes and puts the caller under the filter: it executes the program next, or
 * ends. 0, or -errno with err: -EBUSY if there is a listener already. After a failure the caller
 * may be under the filter and can only end. */
int wrap_start(const struct wrap_plan *plan, struct err *err);

#endif
