/* SPDX-License-Identifier: MIT
 *
 * hook_rules.h - what hook.c tells hook.bpf.c before it is loaded; plain data for both compilers
 */
#ifndef TCPWHY_CURE_HOOK_RULES_H
#define TCPWHY_CURE_HOOK_RULES_H

#define HOOK_ADDRESSES_MAX 64 /* a power of two */

/* IPv4 as ::ffff:a.b.c.d. */
struct hook_address {
	unsigned words[4]; /* network order */
};

struct hook_rules {
	struct hook_address addresses[HOOK_ADDRESSES_MAX]; /* n4 of IPv4, then n6 of IPv6 */
	unsigned n4, n6;
	int loopback4, loopback6; /* 1: they are loopback addresses, and for such destinations */
};

#endif
