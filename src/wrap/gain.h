/* SPDX-License-Identifier: MIT
 *
 * gain.h - what executing a program gives it: another user, another group, capabilities
 *
 * Under PR_SET_NO_NEW_PRIVS it would start without them, and fail later in its own words.
 */
#ifndef TCPWHY_WRAP_GAIN_H
#define TCPWHY_WRAP_GAIN_H

#include <stdbool.h>

enum gain { GAIN_NOTHING, GAIN_USER, GAIN_GROUP, GAIN_CAPABILITIES };

struct gain_program {
	char path[4096]; /* where execvp() finds it; "" if it does not */
	enum gain gain;
	/* The caller may not read it: the kernel then makes the process unreachable (would_dump()).
	 */
	bool unreadable;
};

/* Looks at what execvp(name) would execute, or at the interpreter that a script names. */
void gain_look(const char *name, struct gain_program *out);

#endif
