/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/plain.h"

static const struct {
	const char *word;
	int (*run)(int argc, char **argv);
	const char *line;
} commands[] = {
	{"doctor", cmd_doctor,
	 "what is wrong with TCP ports here, and how they stand; also without a command"},
	{"bind", cmd_bind,
	 "would this bind() and listen() succeed; if not: the rule, who holds it, what cures it"},
	{"connect", cmd_connect,
	 "would this connect() find a port; how many are left, and what brings the next"},
	{"log", cmd_log, "finds such failures in the logs of applications, and asks about each"},
	{"fix", cmd_fix, "applies a cure and checks that it worked"},
	{"run", cmd_run, "starts an unmodified program with the cure built in, without privileges"},
	{"port", cmd_port, "the host's pool of listen ports: lease, list, release"},
	{"sock", cmd_sock, "makes a TCP connection by hand, and tells each call of it"},
	{"lab", cmd_lab, "plays the cases, in the model of any release and on this kernel"},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *out)
{
	fputs("tcpwhy: why did this TCP bind() or connect() go the way it went, and what cures "
	      "it?\n\n"
	      "usage: tcpwhy [COMMAND] [ARGUMENTS]      tcpwhy COMMAND --help\n\n",
	      out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-8s %s\n", commands[i].word, commands[i].line);
	fputs("\nexit status: 0 would succeed, 1 would be refused, 2 usage, 3 could not decide or "
	      "look\n",
	      out);
}

static int run(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";

	if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) {
		print_usage(stdout);
		return STATUS_OK;
	}
	if (!strcmp(word, "--version") || !strcmp(word, "-V")) {
		puts("tcpwhy " TCPWHY_VERSION);
		return STATUS_OK;
	}
	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(word, commands[i].word))
			return commands[i].run(argc - 1, argv + 1);
	/* Its options stand without its word too. */
	if (argc == 1 || word[0] == '-')
		return cmd_doctor(argc, argv);
	fprintf(stderr, "tcpwhy: there is no command '%s'; tcpwhy --help lists them\n", word);
	return STATUS_USAGE;
}

/* Of the descriptors 0 to 2 those that are closed are taken, so that no file that is opened gets
 * their number and the answer. O_PATH: reading and writing still fail with EBADF, as if they were
 * closed; and a program that is executed finds them closed. */
static void keep_places(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/", O_PATH | O_CLOEXEC);
}

int main(int argc, char **argv)
{
	keep_places();
	plain_stderr();
	return command_written("", true, run(argc, argv));
}
