/* SPDX-License-Identifier: MIT */
#include "netns.h"

#include "script.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER = 4096 };

struct rtnl {
	struct mnl_socket *nl;
	unsigned seq;
	char buf[BUFFER];
};

static struct nlmsghdr *rtnl_start(struct rtnl *r, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(r->buf);

	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	h->nlmsg_seq = ++r->seq;
	return h;
}

static int rtnl_talk(struct rtnl *r, struct nlmsghdr *h)
{
	const unsigned port = mnl_socket_get_portid(r->nl);

	if (mnl_socket_sendto(r->nl, h, h->nlmsg_len) < 0)
		return -errno;
	const ssize_t n = mnl_socket_recvfrom(r->nl, r->buf, sizeof(r->buf));
	if (n < 0)
		return -errno;
	return mnl_cb_run(r->buf, (size_t)n, r->seq, port, NULL, NULL) < 0 ? -errno : 0;
}

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
	struct nlmsghdr *h = rtnl_start(r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));

	ifi->ifi_index = NETNS_V0;
	mnl_attr_put_strz(h, IFLA_IFNAME, "v0");
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
	struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	struct nlattr *peer = mnl_attr_nest_start(h, VETH_INFO_PEER);
	ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));
	ifi->ifi_index = NETNS_V1;
	mnl_attr_put_strz(h, IFLA_IFNAME, "v1");
	mnl_attr_nest_end(h, peer);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	return rtnl_talk(r, h);
}

static int set_up(struct rtnl *r, int device)
{
	struct nlmsghdr *h = rtnl_start(r, RTM_NEWLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));

	ifi->ifi_index = device;
	ifi->ifi_flags = IFF_UP;
	ifi->ifi_change = IFF_UP;
	return rtnl_talk(r, h);
}

static void put_addr(struct nlmsghdr *h, uint16_t type, const struct tcpwhy_addr *a)
{
	if (address_is_v4(a))
		mnl_attr_put(h, type, 4, a->b + 12);
	else
		mnl_attr_put(h, type, 16, a->b);
}

static uint8_t address_family(const struct tcpwhy_addr *a)
{
	return address_is_v4(a) ? AF_INET : AF_INET6;
}

static int add_addr(struct rtnl *r, unsigned device, const struct tcpwhy_addr *a,
		    uint8_t prefix_len)
{
	struct nlmsghdr *h = rtnl_start(r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(h, sizeof(*ifa));

	ifa->ifa_family = address_family(a);
	ifa->ifa_prefixlen = prefix_len;
	ifa->ifa_flags = IFA_F_NODAD;
	ifa->ifa_index = device;
	put_addr(h, IFA_LOCAL, a);
	put_addr(h, IFA_ADDRESS, a);
	if (address_is_v4(a)) {
		struct tcpwhy_addr broadcast = *a;
		broadcast.b[15] = 255;
		put_addr(h, IFA_BROADCAST, &broadcast);
	}
	return rtnl_talk(r, h);
}

/* IPv4: the kernel's local route is replaced. IPv6: there is a second one. source is the preferred
 * one (IPv4). */
static int add_quick_route(struct rtnl *r, unsigned device, const struct tcpwhy_addr *a,
			   uint8_t prefix_len, const struct tcpwhy_addr *source)
{
	const bool v4 = address_is_v4(a);
	struct nlmsghdr *h = rtnl_start(r, RTM_NEWROUTE, v4 ? NLM_F_REPLACE : NLM_F_CREATE);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(h, sizeof(*rtm));

	rtm->rtm_family = address_family(a);
	rtm->rtm_dst_len = prefix_len;
	rtm->rtm_table = RT_TABLE_LOCAL;
	rtm->rtm_protocol = RTPROT_KERNEL;
	rtm->rtm_scope = v4 ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
	rtm->rtm_type = RTN_LOCAL;
	put_addr(h, RTA_DST, a);
	mnl_attr_put_u32(h, RTA_OIF, device);
	if (v4)
		put_addr(h, RTA_PREFSRC, source);
	else
		mnl_attr_put_u32(h, RTA_PRIORITY, 1);
	struct nlattr *metrics = mnl_attr_nest_start(h, RTA_METRICS);
	mnl_attr_put_u32(h, RTAX_QUICKACK, 1);
	mnl_attr_nest_end(h, metrics);
	return rtnl_talk(r, h);
}

/* IPv6 cannot change a kernel route's metrics in place; the one without goes once the other one
 * stands. */
static int del_slow_route(struct rtnl *r, unsigned device, const struct tcpwhy_addr *a)
{
	struct nlmsghdr *h = rtnl_start(r, RTM_DELROUTE, 0);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(h, sizeof(*rtm));

	rtm->rtm_family = AF_INET6;
	rtm->rtm_dst_len = 128;
	rtm->rtm_table = RT_TABLE_LOCAL;
	rtm->rtm_type = RTN_LOCAL;
	put_addr(h, RTA_DST, a);
	mnl_attr_put_u32(h, RTA_OIF, device);
	mnl_attr_put_u32(h, RTA_PRIORITY, 0);
	return rtnl_talk(r, h);
}

/* A link address that is nobody's: the other end drops the frame, and no ARP ever fails. */
static int add_silent_neighbour(struct rtnl *r, const struct tcpwhy_addr *a)
{
	static const uint8_t nobody[6] = {0x02, 0, 0, 0, 0, 0x77};
	struct nlmsghdr *h = rtnl_start(r, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
	struct ndmsg *ndm = mnl_nlmsg_put_extra_header(h, sizeof(*ndm));

	ndm->ndm_family = address_family(a);
	ndm->ndm_ifindex = NETNS_V0;
	ndm->ndm_state = NUD_PERMANENT;
	put_addr(h, NDA_DST, a);
	mnl_attr_put(h, NDA_LLADDR, sizeof(nobody), nobody);
	return rtnl_talk(r, h);
}

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

static int add_host_addr(struct rtnl *r, unsigned device, const struct tcpwhy_addr *a)
{
	const bool v4 = address_is_v4(a);
	int rc = add_addr(r, device, a, v4 ? 24 : 64);

	if (!rc)
		rc = add_quick_route(r, device, a, v4 ? 32 : 128, a);
	if (!rc && !v4)
		rc = del_slow_route(r, device, a);
	return rc;
}

static int make_quick_loopback(struct rtnl *r)
{
	const struct tcpwhy_addr net = address_v4_number(0x7f000000),
				 host = address_v4_number(0x7f000001);
	const struct tcpwhy_addr host6 = addr_v6("::1");
	int rc = add_quick_route(r, NETNS_LO, &host, 32, &host);

	if (!rc)
		rc = add_quick_route(r, NETNS_LO, &net, 8, &host);
	if (!rc)
		rc = add_quick_route(r, NETNS_LO, &host6, 128, &host6);
	if (!rc)
		rc = del_slow_route(r, NETNS_LO, &host6);
	return rc;
}

static int build(struct rtnl *r)
{
	const struct tcpwhy_addr silent4 = netns_silent(TCPWHY_IPV4),
				 silent6 = netns_silent(TCPWHY_IPV6);
	struct netns_addr addrs[NETNS_ADDRS];
	int rc = no_link_locals();

	if (!rc)
		rc = set_up(r, NETNS_LO);
	if (!rc)
		rc = make_quick_loopback(r);
	if (!rc)
		rc = add_veth(r);
	for (int d = NETNS_V0; !rc && d < NETNS_DEVICES; d++)
		rc = set_up(r, d);
	netns_addrs(addrs);
	for (size_t i = 0; !rc && i < NETNS_ADDRS; i++)
		if (addrs[i].device > NETNS_LO && addrs[i].kind == TCPWHY_LOCAL)
			rc = add_host_addr(r, addrs[i].device, &addrs[i].prefix);
	if (!rc)
		rc = add_silent_neighbour(r, &silent4);
	if (!rc)
		rc = add_silent_neighbour(r, &silent6);
	return rc;
}

int netns_enter(struct err *err)
{
	struct rtnl r = {0};
	int rc = 0;

	if (unshare(CLONE_NEWNET))
		rc = -errno;
	if (!rc && !(r.nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC)))
		rc = -errno;
	if (!rc && mnl_socket_bind(r.nl, 0, MNL_SOCKET_AUTOPID))
		rc = -errno;
	if (!rc)
		rc = build(&r);
	if (rc)
		snprintf(err->text, sizeof(err->text),
			 "a network namespace for the scripts (step %u): %s", r.seq, strerror(-rc));
	if (r.nl)
		mnl_socket_close(r.nl);
	return rc;
}
