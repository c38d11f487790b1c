/* SPDX-License-Identifier: MIT
 *
 * address.h - devices and local addresses of a namespace, by rtnetlink
 *
 * IPv4 asks the route tables, as bind() does (inet_addr_type_table()): routes of type local and
 * broadcast in table local and in each VRF's table, so 127.0.0.0/8 and AnyIP prefixes are seen.
 * IPv6 asks the devices' addresses (ipv6_chk_addr()).
 */
#ifndef TCPWHY_LIVE_ADDRESS_H
#define TCPWHY_LIVE_ADDRESS_H

#include "facts/snapshot.h"
#include "live/netlink.h"

#define ADDRESS_VRFS_MAX 256

/* A VRF: its device and the route table it owns. */
struct address_vrf {
	uint32_t device, table;
};

struct address_vrfs {
	struct address_vrf vrf[ADDRESS_VRFS_MAX];
	size_t n;
	bool more; /* there are more than that */
};

/* What a reply is put into. */
struct address_parse {
	struct snapshot *snap;
	struct address_vrfs *vrfs;
	struct netlink_progress progress;
};

/* Takes apart one rtnetlink reply, whatever bytes it holds. 0 or -ENOMEM. */
int address_take(const void *reply, size_t len, struct address_parse *parse);

/* Fills devices and locals of snap, of the calling thread's namespace. What could not be read is
 * said by devices_known, locals_known and missing[]. */
void address_read(struct snapshot *snap);

#endif
