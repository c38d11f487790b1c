/* SPDX-License-Identifier: MIT
 *
 * task.h - reaching into a task of the program: its sockets, its memory, its namespace
 *
 * A task is known by its thread id. To be reached it must be ours (same user, dumpable, allowed by
 * Yama and by the container's own filter), or we must have CAP_SYS_PTRACE.
 */
#ifndef TCPWHY_WRAP_TASK_H
#define TCPWHY_WRAP_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The task reached last: most programs bind from one. {0, -1} at the start. */
struct task_kept {
	pid_t tid;
	int pidfd;
};

/* A descriptor of ours for the task's file: the same socket. -errno if it cannot be had. */
int task_borrow(struct task_kept *kept, pid_t tid, int fd);
/* Exactly n bytes of its memory. 0 or -errno. */
int task_read(pid_t tid, uint64_t at, void *out, size_t n);

/* What may be asked of a task that cannot be reached. */
pid_t task_process(pid_t tid); /* or -1 */
bool task_shares_netns(pid_t tid);
bool task_shares_user(pid_t tid);

#endif
