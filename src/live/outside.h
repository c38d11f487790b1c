/* SPDX-License-Identifier: MIT
 *
 * outside.h - what may refuse a bind() beside the rules of TCP ports
 *
 * BPF programs attached to a cgroup (they may refuse with EPERM, or rewrite the address) and an
 * enforcing SELinux, which is only named. Their presence can be seen, their answer cannot; but for
 * the programs of tcpwhy fix hook, whose effect is known. Landlock cannot be seen from outside of
 * the process it binds.
 */
#ifndef TCPWHY_LIVE_OUTSIDE_H
#define TCPWHY_LIVE_OUTSIDE_H

#include "facts/snapshot.h"

/* Looks at the cgroup of pid, 0 for our own, with its ancestors, and fills bind_programs4, 6,
 * reuse_hook4, 6 and missing of snap. What may not be asked (CAP_NET_ADMIN) is not said. */
void outside_read(int pid, struct snapshot *snap);

#endif
