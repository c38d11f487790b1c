/* SPDX-License-Identifier: MIT
 *
 * borrow.h - a socket of another process, borrowed for a moment
 *
 * pidfd_getfd() (5.6) gives us a descriptor of the same socket: what we ask or set is the process's
 * own. A copy keeps the socket alive, so it is closed before anything else is done. A number of a
 * descriptor may be another socket a moment later; which socket a copy is, its cookie tells, which
 * no other socket of this boot has. Nothing is changed here.
 */
#ifndef TCPWHY_LIVE_BORROW_H
#define TCPWHY_LIVE_BORROW_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* The process reached last: descriptors of one come in a row. BORROW_NONE at the start. */
struct borrow {
	int pid, pidfd;
	uint64_t start; /* field 22 of /proc/PID/stat: with the pid, a process of this boot */
	char comm[16];  /* printable */
};
#define BORROW_NONE ((struct borrow){.pidfd = -1})

/* Holds the process; the one held before is let go. 0, or -errno: -ESRCH none of that id lives,
 * -EINVAL it is a thread, -ENOSYS a kernel before 5.3. */
int borrow_process(struct borrow *b, int pid);
/* Whether the process still lives: then what was read of its id is of this process. */
bool borrow_lives(const struct borrow *b);
void borrow_end(struct borrow *b);

/* A descriptor of ours for descriptor fd of the process held: the caller closes it at once.
 * -errno: -EBADF it is closed by now, -ESRCH the process has ended, -EPERM (borrow_tell()), -ENOSYS
 * a kernel before 5.6. */
int borrow_socket(const struct borrow *b, int fd);

struct borrowed {
	uint64_t cookie, netns_cookie; /* SO_COOKIE (4.12), SO_NETNS_COOKIE (5.14): 0 unknown */
	uint32_t inode;
	bool listens;
	int reuse; /* SO_REUSEADDR */
	uint16_t port;
};

/* What a borrowed descriptor is. False: no TCP socket of IPv4 or IPv6, or one without a cookie. */
bool borrow_ask(int copy, struct borrowed *out);

/* Calls found for each descriptor of the process that is a socket, until it returns other than 0.
 * 0, -errno if /proc/PID/fd cannot be read, or what found returned. */
int borrow_each(int pid, int (*found)(int fd, uint32_t inode, void *ctx), void *ctx);

/* What a failure to reach process pid means: which privilege is missing, or what else. */
void borrow_tell(int pid, int error, struct err *err);

#endif
