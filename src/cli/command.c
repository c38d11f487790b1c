/* SPDX-License-Identifier: MIT */
#include "cli/command.h"

#include <stdio.h>
#include <stdio_ext.h>

#include "report/report.h"

int command_written(const char *command, bool ok, int status)
{
	if (ok && !fflush(stdout) && !ferror(stdout))
		return status;
	fprintf(stderr, "tcpwhy%s%s: the answer could not be written\n", *command ? " " : "",
		command);
	/* Told once: main() looks again. */
	__fpurge(stdout);
	clearerr(stdout);
	return STATUS_UNDECIDED;
}

int command_failed(const char *command, bool json, const char *text)
{
	fprintf(stderr, "tcpwhy %s: %s\n", command, text);
	if (!json)
		return STATUS_UNDECIDED;
	return command_written(command, report_error_json(text, stdout), STATUS_UNDECIDED);
}
