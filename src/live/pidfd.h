/* SPDX-License-Identifier: MIT
 *
 * pidfd.h - asking the sockets of living processes for their options
 *
 * pidfd_getfd() (5.6) lends us the socket, getsockopt() tells SO_REUSEADDR, SO_REUSEPORT and
 * IPV6_V6ONLY. Works without BPF, and without privilege for processes we may ptrace. Nothing is
 * changed.
 */
#ifndef TCPWHY_LIVE_PIDFD_H
#define TCPWHY_LIVE_PIDFD_H

#include "facts/snapshot.h"

/* Fills the flags of owners that have an inode and unknown flags. The number of owners filled, or
 * -errno. */
long pidfd_fill(struct snapshot *snap);

#endif
