/* SPDX-License-Identifier: MIT */
#include "lease/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lease/layout.h"

/* The words after the name, which may itself hold spaces and parentheses: state is the third of
 * all, num_threads the 20th, starttime the 22nd (proc_pid_stat(5)). */
bool process_parse_stat(const char *text, char *state, uint64_t *threads, uint64_t *start)
{
	const char *at = strrchr(text, ')');
	unsigned long long n[23] = {0};
	char *end;

	if (!at || at[1] != ' ' || !at[2] || at[3] != ' ')
		return false;
	*state = at[2];
	at += 3;
	for (int field = 4; field <= 22; field++) {
		if (*at != ' ')
			return false;
		/* Some fields are negative; none of the two that are wanted. */
		n[field] = strtoull(at + 1, &end, 10);
		if (end == at + 1)
			return false;
		at = end;
	}
	*threads = n[20];
	*start = n[22];
	return true;
}

static bool read_stat(const char *path, char *state, uint64_t *threads, uint64_t *start)
{
	char text[1024];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return process_parse_stat(text, state, threads, start);
}

/* A /proc of another PID namespace, left over in a mount namespace, would tell of other processes.
 */
static bool proc_is_ours(void)
{
	char text[32];
	ssize_t n = readlink("/proc/self", text, sizeof(text) - 1);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return strtol(text, NULL, 10) == getpid();
}

static uint64_t own_ns_key(void)
{
	struct stat pid, time = {0};

	if (stat("/proc/self/ns/pid", &pid))
		return 0;
	(void)stat("/proc/self/ns/time", &time); /* not before 5.6 */
	return layout_mix(pid.st_ino, time.st_ino) | 1;
}

void process_self(struct process *out)
{
	uint64_t threads;
	char state;

	*out = (struct process){.pid = (uint32_t)getpid(), .ns_key = own_ns_key()};
	if (!read_stat("/proc/self/stat", &state, &threads, &out->start))
		out->start = 0;
}

static bool read_other(uint32_t pid, char *state, uint64_t *threads, uint64_t *start)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	return proc_is_ours() && read_stat(path, state, threads, start);
}

int process_find(uint32_t pid, struct process *out)
{
	struct process p = {.pid = pid, .ns_key = own_ns_key()};
	uint64_t threads;
	char state;

	if (!pid || pid > INT32_MAX || (kill((pid_t)pid, 0) && errno == ESRCH))
		return -ESRCH;
	if (!read_other(pid, &state, &threads, &p.start))
		p.start = 0;
	*out = p;
	return 0;
}

/* kill() first: with /proc mounted hidepid, a process of another user has no entry there. */
bool process_lives(const struct process *p)
{
	uint64_t threads, start;
	char state;

	if (!p->pid || p->pid > INT32_MAX)
		return false;
	if (kill((pid_t)p->pid, 0) && errno == ESRCH)
		return false;
	if (!read_other(p->pid, &state, &threads, &start))
		return true;
	if (p->start && start != p->start)
		return false;
	/* The first thread may end before the others, and is then a zombie of a living process. */
	return !((state == 'Z' || state == 'X') && threads <= 1);
}
