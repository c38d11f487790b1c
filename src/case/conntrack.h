/* SPDX-License-Identifier: MIT
 *
 * conntrack.h - the translated TCP connections of a namespace, as its kernel believes them to be
 *
 * ctnetlink, read only. What is tracked without a translation is passed over.
 */
#ifndef TCPWHY_CASE_CONNTRACK_H
#define TCPWHY_CASE_CONNTRACK_H

#include "live/netns.h"
#include "world/rule.h"

#include <stddef.h>

/* So that they can be told by age: connections that begin later have a time
 * (nf_conntrack_timestamp; where the kernel has it not, the order is any). */
void conntrack_note_times(const struct netns *ns);

/* Fills up to max, oldest first, with ends_ns counted from now; *n is how many there were. 0;
 * -EOPNOTSUPP: the kernel has no ctnetlink; or another -errno; with err->text. */
int conntrack_list(const struct netns *ns, struct session *out, size_t max, size_t *n,
		   struct err *err);

#endif
