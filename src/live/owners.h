/* SPDX-License-Identifier: MIT
 *
 * owners.h - which processes have a socket open
 *
 * One walk of /proc for all wanted inodes. A process that ends meanwhile is passed over; one we may
 * not look into leaves its sockets without an owner, and the walk says that there was one.
 */
#ifndef TCPWHY_LIVE_OWNERS_H
#define TCPWHY_LIVE_OWNERS_H

#include "facts/result.h"

/* Called for each descriptor of a wanted socket: wanted[i] is the inode. 0 goes on, else ends the
 * walk. */
typedef int owners_found(size_t i, int pid, int fd, void *ctx);

/* Walks all processes for the n inodes of wanted, sorted and without 0. *unseen: some process could
 * not be looked into. 0, -errno if /proc cannot be read, or what found returned. */
int owners_walk(const uint32_t *wanted, size_t n, owners_found *found, void *ctx, bool *unseen);

/* The owners of each holder that has an inode. */
void owners_of(struct result_holder *holders, size_t n);

/* The unit of a process from the text of its /proc/PID/cgroup: "nginx.service", "docker
 * 3f4e5d6c7b8a", "pod 1a2b3c4d crio 0123456789ab"; "" if none is named there. */
void owners_unit(const char *cgroup, char *unit, size_t size);

#endif
