/* SPDX-License-Identifier: MIT
 *
 * ladder.h - the segments of a play between two hosts, with what each end did and became
 *
 * Time runs down; the end that sent, or called, stands on its side. One ladder for each link.
 */
#ifndef TCPWHY_REPORT_LADDER_H
#define TCPWHY_REPORT_LADDER_H

#include <stdio.h>

#include "case/play.h"

/* At most max lines of each link; what is more is counted. */
void ladder_print(const struct play *p, unsigned max, FILE *out);

#endif
