/* SPDX-License-Identifier: MIT
 *
 * destroy.h - SOCK_DESTROY, one socket named by its cookie at a time, many in one message
 */
#ifndef TCPWHY_CURE_DESTROY_H
#define TCPWHY_CURE_DESTROY_H

#include "base/error.h"
#include "facts/snapshot.h"

struct destroy;

/* What the kernel answered. It is not proof: see apply.h. */
struct destroy_tally {
	size_t acknowledged;
	size_t gone; /* ENOENT, ESTALE: it ended by itself, or another socket has its place */
	size_t refused;
	int error; /* the errno of the first refusal, 0 none */
};

/* Opens the channel in the namespace of netns_fd; that descriptor is only used during the call. 0
 * or -errno with err->text. */
int destroy_open(int netns_fd, struct destroy **out, struct err *err);
void destroy_close(struct destroy *d);

/* Queues one mini-socket; asks the kernel when the queue is full. 0, or -errno with err->text if
 * the channel failed. Once the kernel refused for a reason that all share (EPERM, EOPNOTSUPP), no
 * more are asked for. */
int destroy_add(struct destroy *d, const struct snapshot_owner *owner, struct err *err);
/* Asks for what is still queued, and gives the sum. */
int destroy_finish(struct destroy *d, struct destroy_tally *tally, struct err *err);

#endif
