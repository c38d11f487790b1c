/* SPDX-License-Identifier: MIT
 *
 * command.h - the commands, each in a file of its own, and what they share
 *
 * A command gets its own arguments (argv[0] is its word) and returns an exit status. Only this
 * folder prints or exits.
 */
#ifndef TCPWHY_CLI_COMMAND_H
#define TCPWHY_CLI_COMMAND_H

#include "tcpwhy/engine.h"

#define TCPWHY_VERSION "0.1.0"

/* Exit status: a promise. */
enum status {
	STATUS_OK = 0,      /* would succeed; done */
	STATUS_REFUSED = 1, /* would be refused; a problem was found */
	STATUS_USAGE = 2,
	STATUS_UNDECIDED = 3, /* could not decide, or could not look */
	/* Of a command that was to be executed, as of a shell, env(1) and timeout(1). */
	STATUS_NOT_EXECUTABLE = 126,
	STATUS_NOT_FOUND = 127,
};

int cmd_doctor(int argc, char **argv);
int cmd_bind(int argc, char **argv);
int cmd_connect(int argc, char **argv);
int cmd_fix(int argc, char **argv);
int cmd_lab(int argc, char **argv);
int cmd_log(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_port(int argc, char **argv);
int cmd_sock(int argc, char **argv);

/* What every command ends with: status, if ok and all of stdout was written, else a line on stderr
 * and STATUS_UNDECIDED. command "" is none. */
int command_written(const char *command, bool ok, int status);
/* It could not look: text on stderr, and as JSON on stdout if that was asked for. STATUS_UNDECIDED.
 */
int command_failed(const char *command, bool json, const char *text);

#endif
