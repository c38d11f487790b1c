/* SPDX-License-Identifier: MIT
 *
 * filter.h - the seccomp filter: which calls wait for the supervisor, all others go on at once
 *
 * Made by libseccomp, which knows the calling conventions; loaded here, because its release in
 * Debian 12 does not know SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV.
 */
#ifndef TCPWHY_WRAP_FILTER_H
#define TCPWHY_WRAP_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>

#include "wrap/wrap.h"

#define FILTER_MAX 512 /* instructions */

struct filter {
	unsigned short length;
	struct sock_filter code[FILTER_MAX];
};

/* The filter for a cure: socket() if prepared, else the calls at which the cure sets something;
 * and io_uring_setup(), behind which such calls are not seen. 0 or -errno. */
int filter_make(const struct wrap_cure *cure, bool prepared, struct filter *out, struct err *err);

/* Puts the calling thread under it. The listener's descriptor (O_CLOEXEC), or -errno: -EACCES
 * without CAP_SYS_ADMIN and PR_SET_NO_NEW_PRIVS, -EBUSY if there is a listener already. */
int filter_load(const struct filter *f);

#endif
