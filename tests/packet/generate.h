/* SPDX-License-Identifier: MIT
 *
 * generate.h - random scripts that walk the lives of connections and disturb them
 *
 * A script is a function of its seed alone. A rough guess of each connection's state chooses steps
 * that lead on, and between them come segments that should not: every mix of flags, numbers at and
 * beyond every edge, timestamps newer, equal, older and none. The guess may be wrong.
 */
#ifndef PACKET_GENERATE_H
#define PACKET_GENERATE_H

#include "script.h"

void generate_script(uint64_t seed, struct script *s);

#endif
