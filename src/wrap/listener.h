/* SPDX-License-Identifier: MIT
 *
 * listener.h - the descriptor through which the kernel asks, and is answered
 */
#ifndef TCPWHY_WRAP_LISTENER_H
#define TCPWHY_WRAP_LISTENER_H

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for a notification of any kernel. */
#define NOTIFICATION_MAX 1024

union notification {
	struct seccomp_notif n;
	unsigned char room[NOTIFICATION_MAX];
};

/* 0 if the kernel has what we need (5.9), or -errno. */
int listener_check(int fd);
/* From 6.6 on a call and its answer then wake each other on the same processor, which saves some
 * microseconds; else nothing. */
void listener_wake_here(int fd);

/* The next question into *n, which must be all zero. 0, or -errno: -ENOENT if who asked has died
 * meanwhile. *n is written before the kernel returns, even to a process that is being killed: so a
 * second process that shares the memory knows what was asked. */
int listener_receive(int fd, union notification *n);
/* Whether the question still waits for an answer; false also if the id is another's. */
bool listener_waits(int fd, uint64_t id);
/* The call goes on, or returns error (a positive errno), or returns value. */
int listener_go_on(int fd, uint64_t id);
int listener_refuse(int fd, uint64_t id, int error);
int listener_return(int fd, uint64_t id, int64_t value);
/* The call returns a new descriptor of ours. Before 5.14 that takes two steps: if the program is
 * interrupted between them, it has the descriptor and does not know. */
int listener_give(int fd, uint64_t id, int descriptor, bool cloexec);

#endif
