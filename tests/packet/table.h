/* SPDX-License-Identifier: MIT
 *
 * table.h - what must agree cell by cell: every state times every segment that matters there
 *
 * Each table is a product of short lists; each cell is a script with a name that says what it is,
 * "rst/LAST_ACK/ts/rcv-1/RA". Cells that wait for a timer share one script.
 */
#ifndef PACKET_TABLE_H
#define PACKET_TABLE_H

#include "script.h"

enum { CELL_NAME = 128 };

/* Cell number i of all tables, 0 and up, in IPv4 or IPv6. False past the end. */
bool table_cell(size_t i, enum tcpwhy_family family, struct script *s, char name[static CELL_NAME]);

#endif
