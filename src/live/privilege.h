/* SPDX-License-Identifier: MIT
 *
 * privilege.h - may this process bind low ports in a network namespace
 */
#ifndef TCPWHY_LIVE_PRIVILEGE_H
#define TCPWHY_LIVE_PRIVILEGE_H

#include "tcpwhy/engine.h"

/* ns_capable(net->user_ns, CAP_NET_BIND_SERVICE) of the calling process, from outside: it is held if it is effective
 * in a user namespace that owns the network namespace or contains the owner, or if the process made the owner. */
enum tcpwhy_tri privilege_may_bind_low(int netns_fd);

#endif
