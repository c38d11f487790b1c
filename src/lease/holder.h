/* SPDX-License-Identifier: MIT
 *
 * holder.h - the table of processes that have leases
 *
 * A slot names its holder by index and generation. Who may write an entry is settled by the kernel:
 * one byte of the file, far beyond its end, stands for each entry, and only who has the lock of
 * that byte (an open file description's: F_OFD_SETLK) writes it. The lock goes with the process, so
 * an entry whose writing was cut short is found by the next one. The locks that come with fcntl's
 * F_SETLK would be lost when the process closes any descriptor of the file.
 *
 * The lock is the sign of life, too, where pid and start mean nothing: for whoever looks from
 * another PID namespace. A child of fork() shares it until it uses the pool, executes a program or
 * ends; so inside one PID namespace pid and start decide.
 */
#ifndef TCPWHY_LEASE_HOLDER_H
#define TCPWHY_LEASE_HOLDER_H

#include "lease/pool.h"

enum holder_flag {
	HOLDER_LOCKED = 1u << 0,   /* noted by itself: it has the lock of its byte */
	HOLDER_ASSIGNED = 1u << 1, /* noted by another on its behalf, and never ended by itself */
};

/* The calling process's entry, made at its first call; in a child of fork() a new one. 0, with *ref
 * set, or -EUSERS. */
int holder_me(struct tcpwhy_pool *pool, uint64_t *ref);
/* Ends our entry: slots that still name it are nobody's. Not that of a parent. */
void holder_leave(struct tcpwhy_pool *pool);

/* An entry of another process. 0, with *ref set, -ESRCH or -EUSERS. */
int holder_assigned(struct tcpwhy_pool *pool, uint32_t pid, uint64_t *ref);

/* Whether the entry is there, and of that generation: whether a slot that names it is somebody's.
 * Makes no system call. */
bool holder_is_noted(const struct layout *l, uint32_t index, uint32_t gen);

/* The entry in a new file. The byte's lock is the old file's, so it counts as noted by another from
 * now on: in its PID namespace it is known as before; from another it cannot be told, and lives. */
void holder_copy(const struct layout *from, const struct layout *to, uint32_t index);

/* Whether the entry's process is gone (asks the kernel, changes nothing). */
bool holder_is_dead(const struct tcpwhy_pool *pool, uint32_t index);

/* Looks whether the process of the entry lives (asking the kernel), and ends the entry if not. True
 * if it was ended. */
bool holder_retire_dead(struct tcpwhy_pool *pool, uint32_t index);

/* What the entry says, if it is sound. */
struct holder_view {
	struct process process;
	uint32_t flags, uid, gen;
};
bool holder_view(const struct layout *l, uint32_t index, struct holder_view *out);

#endif
