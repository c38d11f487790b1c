/* SPDX-License-Identifier: MIT
 *
 * process.h - who a process is, and whether it still lives
 *
 * A pid comes back; a pid with the time of its start does not. Both mean something only in the PID
 * namespace they were read in (and the start in its time namespace), so that namespace is part of
 * the name.
 */
#ifndef TCPWHY_LEASE_PROCESS_H
#define TCPWHY_LEASE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

struct process {
	uint32_t pid;
	uint64_t start;  /* in ticks since boot; 0 unknown */
	uint64_t ns_key; /* 0 unknown: /proc is not there */
};

/* The calling process. */
void process_self(struct process *out);
/* Another of our PID namespace. 0, or -ESRCH. */
int process_find(uint32_t pid, struct process *out);

/* Whether that process of *our* PID namespace lives. Yes if it cannot be told. A zombie does not:
 * nothing of it runs any more. */
bool process_lives(const struct process *p);

/* Of /proc/PID/stat: state, threads, start. False unless all are there. */
bool process_parse_stat(const char *text, char *state, uint64_t *threads, uint64_t *start);

#endif
