/* SPDX-License-Identifier: MIT
 *
 * privilege.h - what this process may do: bind low ports of a namespace, read kernel memory by BPF
 */
#ifndef TCPWHY_LIVE_PRIVILEGE_H
#define TCPWHY_LIVE_PRIVILEGE_H

#include "tcpwhy/engine.h"

/* ns_capable(net->user_ns, CAP_NET_BIND_SERVICE) of the calling process, from outside: it is held
 * if it is effective in a user namespace that owns the network namespace or contains the owner, or
 * if the process made the owner. */
enum tcpwhy_tri privilege_may_bind_low(int netns_fd);
/* The same of CAP_NET_ADMIN, which sock_diag_destroy() asks for. */
enum tcpwhy_tri privilege_may_destroy(int netns_fd);

/* Whether BPF programs that read kernel memory can be worth a try: CAP_BPF and CAP_PERFMON, or
 * CAP_SYS_ADMIN. */
bool privilege_may_trace(void);

/* What is missing to attach BPF programs to cgroups, in words; NULL if nothing is. */
const char *privilege_for_hooks(void);

/* CAP_SYS_ADMIN, which mount() asks for. */
bool privilege_may_mount(void);

/* Makes the sockets of the calling thread belong to uid from now on. 0, or -EPERM. */
int privilege_become(uint32_t uid);

#endif
