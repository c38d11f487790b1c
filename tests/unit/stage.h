/* SPDX-License-Identifier: MIT
 *
 * stage.h - what tests on network namespaces share: the permission to make them, deadlines
 */
#ifndef TCPWHY_TESTS_STAGE_H
#define TCPWHY_TESTS_STAGE_H

#include "unit.h"

#include "case/hostns.h"
#include "base/address.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static char stage_refused[256]; /* why nothing can be played here; "" if it can */

/* First in main(), while there is one thread. */
static inline void stage_permit(void)
{
	struct err err = {""};

	if (hostns_permit(&err))
		snprintf(stage_refused, sizeof(stage_refused), "%s", err.text);
}

/* Skips where the system refuses namespaces, fails where the call does. */
#define STAGE_DO(call)                                                                             \
	do {                                                                                       \
		if (stage_refused[0])                                                              \
			unit_skip(stage_refused);                                                  \
		if ((call) < 0)                                                                    \
			fail_msg("%s: %s", #call, err.text);                                       \
	} while (0)

/* The CLOCK_MONOTONIC time, in ns, some milliseconds from now. */
static inline uint64_t stage_in_ms(uint64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec + ms * 1000000;
}

/* Fills the address of a call; IPv4 unless a is none. */
static inline socklen_t stage_sockaddr(struct sockaddr_storage *out, const struct tcpwhy_addr *a,
				       uint16_t port)
{
	memset(out, 0, sizeof(*out));
	if (address_is_v4(a)) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, a->b + 12, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, a->b, 16);
	return sizeof(*in6);
}

#endif
