/* SPDX-License-Identifier: MIT
 *
 * hook_probe.h - whether a hook does what it is for: a socket in the cgroup is the judge
 *
 * That the programs are attached says nothing of what the kernel lets them do: before 6.1
 * bpf_setsockopt() loads, and refuses SO_REUSEADDR. So a child is made in the cgroup, in an empty
 * network namespace of its own, makes one call on a socket of each family, and looks at the socket.
 * No packet leaves, and no port of anybody is touched.
 */
#ifndef TCPWHY_CURE_HOOK_PROBE_H
#define TCPWHY_CURE_HOOK_PROBE_H

#include "cure/hook.h"

enum hook_probed {
	HOOK_PROBE_UNTRIED, /* no child could be made there; error tells why */
	HOOK_PROBE_ACTS,
	HOOK_PROBE_IDLE, /* the programs are there, and the socket is as without them */
};

/* Takes milliseconds; three seconds at most, in a frozen cgroup. */
enum hook_probed hook_probe(const struct hook_order *order, const struct cgroup2 *cgroup,
			    int *error);

#endif
