/* SPDX-License-Identifier: MIT
 *
 * cure.c - typing a cure as it was printed
 */
#include "crowd/crowd.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* By a shell, as a user would; the first word is the command under test. */
int cure_apply(const char *tcpwhy, const char *command)
{
	char line[1024];
	char *const args[] = {"sh", "-c", line, NULL};
	const char *rest = strchr(command, ' ');
	posix_spawn_file_actions_t actions;
	int status = -1;
	pid_t pid;

	if (!rest || (size_t)snprintf(line, sizeof(line), "%s%s", tcpwhy, rest) >= sizeof(line))
		return -1;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	const int error = posix_spawnp(&pid, "sh", &actions, NULL, args, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (error || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}
