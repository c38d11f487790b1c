/* SPDX-License-Identifier: MIT
 *
 * generate.h - random scripts in which collisions are the rule
 *
 * A script is a function of its seed, and of how the row tells the age of a TIME_WAIT. Few ports,
 * few addresses, and a rough guess of what each socket is by now, so that most calls mean
 * something; the guess may be wrong, and one call in ten ignores it.
 */
#ifndef CONFORM_GENERATE_H
#define CONFORM_GENERATE_H

#include "script.h"

void generate_script(uint64_t seed, const struct tcpwhy_row *row, struct script *s);

#endif
