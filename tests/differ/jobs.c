/* SPDX-License-Identifier: MIT */
#include "jobs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

volatile int jobs_stopped;

static void on_signal(int number)
{
	(void)number;
	jobs_stopped = 1;
}

void jobs_catch_signals(void)
{
	const struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static void wait_for(const pid_t *pids, unsigned n)
{
	for (unsigned left = n; left;) {
		const pid_t pid = wait(NULL);
		if (pid > 0) {
			left--;
			continue;
		}
		if (errno != EINTR)
			break;
		for (unsigned i = 0; i < n; i++)
			kill(pids[i], SIGTERM);
	}
}

unsigned jobs_run(unsigned n, int (*job)(void *ctx, unsigned number), void *ctx)
{
	pid_t pids[JOBS_MAX];
	unsigned started = 0;

	fflush(stdout);
	for (; started < n && started < JOBS_MAX; started++) {
		pids[started] = fork();
		if (!pids[started]) {
			/* nothing is left behind, whatever ends the parent */
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			const int status = job(ctx, started);
			fflush(stdout);
			_exit(status);
		}
		if (pids[started] < 0)
			break;
	}
	wait_for(pids, started);
	return started;
}
