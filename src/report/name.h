/* SPDX-License-Identifier: MIT
 *
 * name.h - names that both forms of a report use
 */
#ifndef TCPWHY_REPORT_NAME_H
#define TCPWHY_REPORT_NAME_H

#include "base/address.h"

/* "EADDRINUSE". Never NULL. */
const char *name_errno(int error);
/* "bind", "listen", "connect"; NULL for none. */
const char *name_call(enum tcpwhy_call call);
/* The address as a socket of that family shows it: an IPv6 socket's 1.2.3.4 is ::ffff:1.2.3.4.
 * Returns out. */
char *name_address(const struct tcpwhy_addr *a, uint8_t family, char out[static ENDPOINT_TEXT_MAX]);
char *name_endpoint(const struct tcpwhy_addr *a, uint16_t port, uint8_t family,
		    char out[static ENDPOINT_TEXT_MAX]);
bool name_has_peer(const struct tcpwhy_owner *o);

#endif
