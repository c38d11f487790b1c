/* SPDX-License-Identifier: MIT
 *
 * tell.h - what the user should know while the program runs, each thing once
 *
 * To the standard error that the program was started with, as long as its first process lives: a
 * daemon's supervisor must not keep a pipe open that someone waits to see closed. After that, to
 * the system's log.
 */
#ifndef TCPWHY_WRAP_TELL_H
#define TCPWHY_WRAP_TELL_H

#include <stdbool.h>
#include <sys/types.h>

enum told {
	TOLD_OPTION = 1,      /* an option could not be set */
	TOLD_UNREACHABLE = 2, /* a task could not be reached */
	TOLD_IO_URING = 4,
	TOLD_ELSEWHERE = 8, /* no prepared socket for a task of another user or namespace */
	TOLD_PACKED = 16,   /* nor for a 32-bit program */
	TOLD_NO_PORT = 32,  /* the pool has none */
};

struct tell {
	bool by_stderr; /* or by the log */
	unsigned *said; /* of enum told; shared with who takes over */
};

__attribute__((format(printf, 4, 5))) void tell_once(const struct tell *t, enum told what,
						     pid_t tid, const char *format, ...);

#endif
