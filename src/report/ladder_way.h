/* SPDX-License-Identifier: MIT
 *
 * ladder_way.h - which links one ladder shows, and in which column each of their nodes stands
 *
 * Not the drawing (ladder.h). A link between two hosts is a ladder of two columns. Links that meet
 * in a box are one ladder: hosts, the box, hosts; with two boxes, joined by one link, hosts, box,
 * box, hosts. link(a, b) says that a is on the left; two hosts at one box face each other however
 * they were written. Hosts on one side share a column. Where no two sides are (a switch), where a
 * host is on both, or where three boxes meet, each link has its own ladder.
 */
#ifndef TCPWHY_REPORT_LADDER_WAY_H
#define TCPWHY_REPORT_LADDER_WAY_H

#include "case/play.h"

enum { WAY_COLUMNS = 4 };

struct way {
	int columns; /* 2: one link; else the first and the last are of hosts, the others boxes */
	unsigned nodes[WAY_COLUMNS]; /* how many stand there */
	int8_t *column;              /* of each node of the play; -1: it is not shown */
	bool *has_link;              /* each link of the play: whether it is shown */
};

/* False: no memory. */
bool way_init(struct way *w, const struct play *p);
void way_fini(struct way *w);
/* The ladder to which that link belongs. */
void way_find(struct way *w, const struct play *p, uint32_t link);

#endif
