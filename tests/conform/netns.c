/* SPDX-License-Identifier: MIT */
#include "netns.h"

#include "base/address.h"
#include "case/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---------------------------------------------------------------------------------- the plan */

static struct tcpwhy_addr addr_v6(const char *text)
{
	struct tcpwhy_addr a;

	inet_pton(AF_INET6, text, a.b);
	return a;
}

struct tcpwhy_addr netns_silent(enum tcpwhy_family family)
{
	return family == TCPWHY_IPV4 ? address_v4_number(0x0a090077) : addr_v6("fd00::77");
}

void netns_addrs(struct netns_addr addrs[NETNS_ADDRS])
{
	const struct netns_addr all[NETNS_ADDRS] = {
		{address_v4_number(0x7f000000), 96 + 8, TCPWHY_LOCAL, NETNS_LO},
		{address_v4_number(0x7fffffff), 128, TCPWHY_LOCAL_BROADCAST, NETNS_LO},
		{address_v4_number(0x0a090001), 128, TCPWHY_LOCAL, NETNS_V0},
		{address_v4_number(0x0a0900ff), 128, TCPWHY_LOCAL_BROADCAST, NETNS_V0},
		{address_v4_number(0x0a090101), 128, TCPWHY_LOCAL, NETNS_V1},
		{address_v4_number(0x0a0901ff), 128, TCPWHY_LOCAL_BROADCAST, NETNS_V1},
		{addr_v6("::1"), 128, TCPWHY_LOCAL, NETNS_LO},
		{addr_v6("fd00::1"), 128, TCPWHY_LOCAL, NETNS_V0},
		{addr_v6("fd01::1"), 128, TCPWHY_LOCAL, NETNS_V1},
		{address_v4_number(0xffffffff), 128, TCPWHY_LOCAL_BROADCAST, 0},
	};

	memcpy(addrs, all, sizeof(all));
}

/* ------------------------------------------------------------------------------- making it */

/* New devices make no link-local addresses: those would come and go by themselves. */
static int no_link_locals(void)
{
	const int fd = open("/proc/sys/net/ipv6/conf/default/addr_gen_mode", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	const int rc = write(fd, "1", 1) == 1 ? 0 : -errno;
	close(fd);
	return rc;
}

/* Indexes are asked for, so that a script may name a device by its number on every kernel. */
static int add_veth(struct rtnl *r)
{
	const struct rtnl_end v0 = {.name = "v0", .index = NETNS_V0},
			      v1 = {.name = "v1", .index = NETNS_V1};
	const int rc = rtnl_add_veth(r, &v0, &v1);

	return rc ? rc : rtnl_set_up(r, NETNS_V1, true);
}

static struct rtnl_route local_route(unsigned device, const struct tcpwhy_addr *a,
				     uint8_t prefix_len)
{
	return (struct rtnl_route){
		.to = *a,
		.prefix_len = prefix_len,
		.device = device,
		.table = RT_TABLE_LOCAL,
		.type = RTN_LOCAL,
	};
}

/* The kernel's local route is replaced; source is the preferred one. */
static int make_quick_v4(struct rtnl *r, unsigned device, const struct tcpwhy_addr *a,
			 uint8_t prefix_len, const struct tcpwhy_addr *source)
{
	struct rtnl_route quick = local_route(device, a, prefix_len);

	quick.protocol = RTPROT_KERNEL;
	quick.scope = RT_SCOPE_HOST;
	quick.source = source;
	quick.quickack = true;
	return rtnl_add_route(r, &quick, true);
}

/* IPv6 cannot change a kernel route's metrics in place; the one without goes once the other one
 * stands. */
static int make_quick_v6(struct rtnl *r, unsigned device, const struct tcpwhy_addr *a)
{
	const struct rtnl_route slow = local_route(device, a, 128);
	struct rtnl_route quick = slow;

	quick.protocol = RTPROT_KERNEL;
	quick.metric = 1;
	quick.quickack = true;
	const int rc = rtnl_add_route(r, &quick, false);
	return rc ? rc : rtnl_del_route(r, &slow);
}

static int add_host_addr(struct rtnl *r, unsigned device, const struct tcpwhy_addr *a)
{
	const bool v4 = address_is_v4(a);
	const int rc = rtnl_add_addr(r, device, a, v4 ? 24 : 64, true);

	if (rc)
		return rc;
	return v4 ? make_quick_v4(r, device, a, 32, a) : make_quick_v6(r, device, a);
}

static int make_quick_loopback(struct rtnl *r)
{
	const struct tcpwhy_addr net = address_v4_number(0x7f000000),
				 host = address_v4_number(0x7f000001);
	const struct tcpwhy_addr host6 = addr_v6("::1");
	int rc = make_quick_v4(r, NETNS_LO, &host, 32, &host);

	if (!rc)
		rc = make_quick_v4(r, NETNS_LO, &net, 8, &host);
	if (!rc)
		rc = make_quick_v6(r, NETNS_LO, &host6);
	return rc;
}

/* A link address that is nobody's: the other end drops the frame, and no ARP ever fails. */
static int add_silent_neighbours(struct rtnl *r)
{
	static const uint8_t nobody[6] = {0x02, 0, 0, 0, 0, 0x77};
	const struct tcpwhy_addr silent4 = netns_silent(TCPWHY_IPV4),
				 silent6 = netns_silent(TCPWHY_IPV6);
	const int rc = rtnl_set_neighbour(r, NETNS_V0, &silent4, nobody);

	return rc ? rc : rtnl_set_neighbour(r, NETNS_V0, &silent6, nobody);
}

static int build(struct rtnl *r)
{
	struct netns_addr addrs[NETNS_ADDRS];
	int rc = no_link_locals();

	if (!rc)
		rc = rtnl_set_up(r, NETNS_LO, true);
	if (!rc)
		rc = make_quick_loopback(r);
	if (!rc)
		rc = add_veth(r);
	netns_addrs(addrs);
	for (size_t i = 0; !rc && i < NETNS_ADDRS; i++)
		if (addrs[i].device > NETNS_LO && addrs[i].kind == TCPWHY_LOCAL)
			rc = add_host_addr(r, addrs[i].device, &addrs[i].prefix);
	if (!rc)
		rc = add_silent_neighbours(r);
	return rc;
}

int netns_enter(struct err *err)
{
	struct rtnl r = {0};
	int rc = unshare(CLONE_NEWNET) ? -errno : 0;

	if (!rc)
		rc = rtnl_open(&r);
	if (!rc)
		rc = build(&r);
	if (rc)
		snprintf(err->text, sizeof(err->text),
			 "a network namespace for the scripts (step %u): %s", r.talk.seq,
			 strerror(-rc));
	rtnl_close(&r);
	return rc;
}
