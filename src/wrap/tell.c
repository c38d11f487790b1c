/* SPDX-License-Identifier: MIT */
#include "wrap/tell.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define COMM_MAX 16

static void name_of(pid_t tid, char comm[COMM_MAX + 1])
{
	char path[64];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, comm, COMM_MAX);
		close(fd);
	}
	comm[n < 0 ? 0 : n] = '\0';
	comm[strcspn(comm, "\n")] = '\0';
	/* The program chose it; a terminal or a log reads it. */
	for (char *c = comm; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

/* A line is shorter than PIPE_BUF: where there is room at all, it does not block. A call of the
 * program waits for us, and a full pipe may have no reader for long. */
static void write_line(const char *line)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (poll(&p, 1, 0) == 1 && p.revents & POLLOUT)
		dprintf(STDERR_FILENO, "tcpwhy run: %s\n", line);
}

void tell_once(const struct tell *t, enum told what, pid_t tid, const char *format, ...)
{
	char comm[COMM_MAX + 1], line[512];
	va_list args;
	int n;

	if (*t->said & what)
		return;
	*t->said |= what;
	name_of(tid, comm);
	n = snprintf(line, sizeof(line), "%s[%d] ", comm, (int)tid);
	va_start(args, format);
	vsnprintf(line + n, sizeof(line) - (size_t)n, format, args);
	va_end(args);
	if (t->by_stderr) {
		write_line(line);
		return;
	}
	openlog("tcpwhy run", LOG_NDELAY, LOG_DAEMON);
	syslog(LOG_WARNING, "%s", line);
	closelog();
}
