/* SPDX-License-Identifier: MIT
 *
 * range.c - whether the kernel's own choices keep off a range of ports
 *
 * connect() and bind() to port 0 choose from ip_local_port_range without ip_local_reserved_ports
 * (inet_sk_get_local_port_range(), inet_is_local_reserved_port()). Both are read of the calling
 * thread's network namespace.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "live/sysctl.h"
#include "tcpwhy/lease.h"

/* NULL: no memory. */
static struct snapshot *read_sysctls(void)
{
	struct snapshot *snap = calloc(1, sizeof(*snap));

	if (snap)
		sysctl_read(snap);
	return snap;
}

static bool is_reserved(const struct snapshot *snap, uint32_t port)
{
	return snap->reserved[port / 32] >> port % 32 & 1;
}

/* How many ports of the range the kernel may choose. */
static unsigned count_open(const struct snapshot *snap, uint16_t low, uint16_t high)
{
	unsigned n = 0;

	for (uint32_t port = low; port <= high; port++)
		n += port >= snap->sysctls.port_low && port <= snap->sysctls.port_high &&
		     !is_reserved(snap, port);
	return n;
}

/* "80,1000-1005". False: no room. */
static bool print_ports(const uint32_t bitmap[static 2048], char *text, size_t size)
{
	size_t used = 0;

	*text = '\0';
	for (uint32_t port = 0, last; port <= UINT16_MAX; port = last + 1) {
		int n;

		last = port;
		if (!(bitmap[port / 32] >> port % 32 & 1))
			continue;
		while (last < UINT16_MAX && bitmap[(last + 1) / 32] >> (last + 1) % 32 & 1)
			last++;
		n = snprintf(text + used, size - used, last > port ? "%s%u-%u" : "%s%u",
			     used ? "," : "", port, last);
		if (n < 0 || (size_t)n >= size - used)
			return false;
		used += (size_t)n;
	}
	return true;
}

int tcpwhy_pool_reserved_ports(uint16_t low, uint16_t high, char *text, size_t size)
{
	struct snapshot *snap = read_sysctls();
	bool fits;

	if (!snap)
		return -ENOMEM;
	if (snap->sysctls_unknown & SNAPSHOT_S_RESERVED) {
		free(snap);
		return -EIO;
	}
	for (uint32_t port = low; port <= high; port++)
		snap->reserved[port / 32] |= 1u << port % 32;
	fits = size && print_ports(snap->reserved, text, size);
	free(snap);
	return fits ? 0 : -ENAMETOOLONG;
}

int tcpwhy_pool_check_range(uint16_t low, uint16_t high, struct tcpwhy_pool_why *why)
{
	struct snapshot *snap = read_sysctls();
	struct tcpwhy_pool_why unused;
	unsigned n;

	if (!snap)
		return -ENOMEM;
	why = why ? why : &unused;
	if (snap->sysctls_unknown & (SNAPSHOT_S_PORT_RANGE | SNAPSHOT_S_RESERVED)) {
		snprintf(why->text, sizeof(why->text),
			 "net.ipv4.ip_local_port_range or ip_local_reserved_ports cannot be read");
		free(snap);
		return -EIO;
	}
	n = count_open(snap, low, high);
	if (n)
		snprintf(why->text, sizeof(why->text),
			 "the kernel itself gives out %u ports of %u-%u: they lie in "
			 "net.ipv4.ip_local_port_range (%u-%u) and not in ip_local_reserved_ports",
			 n, low, high, snap->sysctls.port_low, snap->sysctls.port_high);
	free(snap);
	return n ? -ERANGE : 0;
}
