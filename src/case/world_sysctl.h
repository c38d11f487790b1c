/* SPDX-License-Identifier: MIT
 *
 * world_sysctl.h - sysctls of a model host by the kernel's names, as text
 *
 * Only those that act on TCP's ports, handshakes and resets, and of those only what the host's
 * release has.
 */
#ifndef TCPWHY_CASE_WORLD_SYSCTL_H
#define TCPWHY_CASE_WORLD_SYSCTL_H

#include "base/error.h"
#include "segment/host.h"

/* 0; -ENOENT, -EINVAL, with err->text. */
int world_sysctl_set(struct host *h, const struct tcpwhy_row *row, const char *name,
		     const char *value, struct err *err);
/* And -ENAMETOOLONG. */
int world_sysctl_get(struct host *h, const struct tcpwhy_row *row, const char *name, char *value,
		     size_t size, struct err *err);

/* net.ipv4.ip_local_reserved_ports, "8080,9000-9010": a bit for each port. False: not such a list.
 */
bool world_sysctl_ports(const char *value, uint8_t bits[static 8192]);

#endif
