/* SPDX-License-Identifier: MIT
 *
 * plain.h - what is told on the standard error moves no terminal
 *
 * A message repeats words of the command line, names of files and what others wrote, and any of
 * them may hold an escape sequence. They all go through one stream, so it is done there and not by
 * each who prints.
 */
#ifndef TCPWHY_CLI_PLAIN_H
#define TCPWHY_CLI_PLAIN_H

/* From now on every control character written to stderr but tab and newline is a '?'
 * (text_control()). What is meant for a terminal is written to STDERR_FILENO. Without
 * memory for it nothing changes. */
void plain_stderr(void);

#endif
