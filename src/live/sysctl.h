/* SPDX-License-Identifier: MIT
 *
 * sysctl.h - the sysctls that bind() and connect() look at, of the calling thread's namespace
 */
#ifndef TCPWHY_LIVE_SYSCTL_H
#define TCPWHY_LIVE_SYSCTL_H

#include "facts/snapshot.h"

/* Fills snap->sysctls and reserved; a value that could not be read or makes no sense stays 0 and
 * sets its bit in sysctls_unknown. A sysctl that this kernel does not have (IPv6 off, no
 * tcp_l3mdev_accept) is known to be 0. */
void sysctl_read(struct snapshot *snap);

/* Parses the text of ip_local_reserved_ports ("80,1000-1005") into a bitmap. False, with the bitmap
 * untouched, unless all of it is such a list. */
bool sysctl_parse_ports(const char *text, uint32_t bitmap[static 2048]);

#endif
