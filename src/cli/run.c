/* SPDX-License-Identifier: MIT
 *
 * run.c - starts an unmodified program with socket options that it does not set itself
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/command.h"
#include "wrap/gain.h"
#include "wrap/option.h"
#include "wrap/wrap.h"

struct run_request {
	struct wrap_plan plan;
	bool force;
	char **command;
};

static const char usage_text[] =
	"usage: tcpwhy run CURE... [OPTION...] [--] COMMAND [ARGUMENT...]\n"
	"\n"
	"Runs a program whose TCP sockets get options that it does not set itself: no privilege, "
	"no\n"
	"change to the program, for it and all that it starts.\n"
	"\n"
	"  --reuseaddr             SO_REUSEADDR, at bind() to a port and at listen()\n"
	"  --reuseport             SO_REUSEPORT, likewise\n"
	"  --bind-address-no-port  IP_BIND_ADDRESS_NO_PORT, at bind() to port 0\n"
	"  --local-port-range A-B  IP_LOCAL_PORT_RANGE, where a port is chosen (6.3)\n"
	"  --lease                 a port of the host's pool (tcpwhy port), at bind() to port 0\n"
	"                          and at listen() without bind()\n"
	"  --prepared              sets them at socket() already, for programs that cannot be\n"
	"                          looked into; SO_REUSEADDR then slows bind() to port 0\n"
	"  --force                 though the program's setuid bit or capabilities will not count\n"
	"\n"
	"Calls made through io_uring are not seen. Needs Linux 5.9.\n"
	"\n"
	"Exit status: the command's; 2 usage; 3 it was not started; 126, 127 it could not be\n"
	"executed, was not found.\n";

static int usage(const char *wrong, const char *what)
{
	fprintf(stderr, "tcpwhy run: %s%s%s\n", wrong, what ? ": " : "", what ? what : "");
	fputs("Try: tcpwhy run --help\n", stderr);
	return STATUS_USAGE;
}

static int refuse(const char *text)
{
	fprintf(stderr, "tcpwhy run: %s\n", text);
	return STATUS_UNDECIDED;
}

static bool read_port(const char **at, char after, uint16_t *port)
{
	unsigned long n = 0;
	const char *s = *at;

	for (; *s >= '0' && *s <= '9' && n <= UINT16_MAX; s++)
		n = n * 10 + (unsigned long)(*s - '0');
	if (s == *at || *s != after || n < 1 || n > UINT16_MAX)
		return false;
	*port = (uint16_t)n;
	*at = s + 1;
	return true;
}

static bool read_range(const char *text, struct wrap_cure *c)
{
	return read_port(&text, '-', &c->range_low) && read_port(&text, '\0', &c->range_high) &&
	       c->range_low <= c->range_high;
}

/* The kernel leaves out a half that lies outside the sysctl's range, and says nothing
 * (inet_sk_get_local_port_range()). */
static int check_range(const struct wrap_cure *c)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	int low = 0, high = 0;
	bool read = f && fscanf(f, "%d %d", &low, &high) == 2;

	if (f)
		fclose(f);
	if (!c->range_low || !read || (c->range_low >= low && c->range_high <= high))
		return STATUS_OK;
	fprintf(stderr,
		"tcpwhy run: %u-%u is not within net.ipv4.ip_local_port_range (%d %d): the kernel "
		"would ignore it\n",
		c->range_low, c->range_high, low, high);
	return STATUS_UNDECIDED;
}

/* Whether the kernel knows the options at all. */
static int check_options(const struct wrap_cure *c)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), failed;
	const char *name;

	if (fd < 0)
		return STATUS_OK;
	failed = option_set(c, AT_SOCKET, fd, &name);
	close(fd);
	if (!failed)
		return STATUS_OK;
	fprintf(stderr, "tcpwhy run: this kernel has no %s: %s\n", name, strerror(-failed));
	return STATUS_UNDECIDED;
}

/* The program as it lies there: found, executable, whole without privileges. */
static int check_program(struct run_request *q)
{
	static const char *const gains[] = {"", "another user (setuid)", "another group (setgid)",
					    "capabilities"};
	struct gain_program *p = calloc(1, sizeof(*p));
	int status = STATUS_OK;

	if (!p)
		return refuse("no memory");
	gain_look(q->command[0], p);
	if (!p->path[0]) {
		bool there = strchr(q->command[0], '/') && !access(q->command[0], F_OK);
		fprintf(stderr, "tcpwhy run: %s: %s\n", q->command[0],
			there ? "cannot be executed" : "not found");
		status = there ? STATUS_NOT_EXECUTABLE : STATUS_NOT_FOUND;
	} else if (p->gain != GAIN_NOTHING && !q->force && wrap_gives_up_privileges()) {
		fprintf(stderr,
			"tcpwhy run: %s is given %s when it is executed, and here would not be: a "
			"filter without CAP_SYS_ADMIN rules that out (no_new_privs); --force runs "
			"it without\n",
			p->path, gains[p->gain]);
		status = STATUS_UNDECIDED;
	}
	if (p->unreadable)
		q->plan.prepared = true;
	free(p);
	return status;
}

static int parse_options(int argc, char **argv, struct run_request *q)
{
	enum {
		REUSEADDR = 'a',
		REUSEPORT = 'p',
		NO_PORT = 'n',
		RANGE = 'r',
		LEASE = 'l',
		PREPARED = 's',
		FORCE = 'f'
	};
	static const struct option options[] = {
		{"reuseaddr", no_argument, NULL, REUSEADDR},
		{"reuseport", no_argument, NULL, REUSEPORT},
		{"bind-address-no-port", no_argument, NULL, NO_PORT},
		{"local-port-range", required_argument, NULL, RANGE},
		{"lease", no_argument, NULL, LEASE},
		{"prepared", no_argument, NULL, PREPARED},
		{"force", no_argument, NULL, FORCE},
		{NULL, 0, NULL, 0}};
	struct wrap_cure *cure = &q->plan.cure;
	int c;

	optind = 1;
	opterr = 0;
	/* "+": the command's options are its own. */
	while ((c = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
		if (c == REUSEADDR)
			cure->reuseaddr = true;
		else if (c == REUSEPORT)
			cure->reuseport = true;
		else if (c == NO_PORT)
			cure->bind_address_no_port = true;
		else if (c == LEASE)
			cure->lease = true;
		else if (c == PREPARED)
			q->plan.prepared = true;
		else if (c == FORCE)
			q->force = true;
		else if (c == ':')
			return usage("this option needs a value", argv[optind - 1]);
		else if (c != RANGE)
			return usage("no such option", argv[optind - 1]);
		else if (!read_range(optarg, cure))
			return usage("not a range of ports (A-B)", optarg);
	}
	q->command = argv + optind;
	if (!*q->command)
		return usage("no command", NULL);
	if (!cure->reuseaddr && !cure->reuseport && !cure->bind_address_no_port &&
	    !cure->range_low && !cure->lease)
		return usage("nothing to set: name a cure before the command", NULL);
	if (cure->lease && cure->bind_address_no_port)
		return usage("--lease and --bind-address-no-port exclude each other", NULL);
	return STATUS_OK;
}

int cmd_run(int argc, char **argv)
{
	struct run_request q = {.plan = {.argc = argc, .argv = argv}};
	struct err err;
	int status;

	if (argc > 1 && !strcmp(argv[1], "--help")) {
		fputs(usage_text, stdout);
		return command_written("run", true, STATUS_OK);
	}
	status = parse_options(argc, argv, &q);
	if (!status)
		status = check_options(&q.plan.cure);
	if (!status)
		status = check_range(&q.plan.cure);
	if (!status)
		status = check_program(&q);
	if (status)
		return status;
	if (wrap_start(&q.plan, &err))
		return command_failed("run", false, err.text);
	execvp(q.command[0], q.command);
	fprintf(stderr, "tcpwhy run: %s: %s\n", q.command[0], strerror(errno));
	return errno == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
}
