/* SPDX-License-Identifier: MIT
 *
 * doctor.h - the question of `tcpwhy doctor`, for commands that come to it another way
 */
#ifndef TCPWHY_CLI_DOCTOR_H
#define TCPWHY_CLI_DOCTOR_H

#include "facts/overview.h"
#include "live/live.h"

/* One namespace, looked at. Too big for comfort on a stack. */
struct doctor_look {
	struct overview seen;
	struct diagnosis found;
};

/* netns and pid as the user gave them, for the commands of the cures. 0, or -errno with err->text.
 */
int doctor_ask(struct live *live, const char *netns, int pid, struct doctor_look *look,
	       struct err *err);

#endif
