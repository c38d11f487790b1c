/* SPDX-License-Identifier: MIT
 *
 * jobs.h - several processes that do the same work, and the end by Ctrl-C
 */
#ifndef DIFFER_JOBS_H
#define DIFFER_JOBS_H

enum { JOBS_MAX = 64 };

/* Not 0 from SIGINT or SIGTERM on, once they are caught. */
extern volatile int jobs_stopped;
void jobs_catch_signals(void);

/* Calls job in n processes at once, with its number, and waits for all of them. The result is its
 * exit status, which nobody looks at. How many could be started. */
unsigned jobs_run(unsigned n, int (*job)(void *ctx, unsigned number), void *ctx);

#endif
