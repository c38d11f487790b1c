/* SPDX-License-Identifier: MIT */
#include "case/rtnl.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <time.h>

/* The largest request is a veth pair, about 250 bytes. */
enum { REQUEST = 1024 };

int rtnl_open(struct rtnl *r)
{
	return talk_open(&r->talk, NETLINK_ROUTE);
}

int rtnl_open_in(const struct netns *ns, struct rtnl *r, struct err *err)
{
	return talk_open_in(&r->talk, NETLINK_ROUTE, ns, "rtnetlink", err);
}

void rtnl_close(struct rtnl *r)
{
	talk_close(&r->talk);
}

static struct nlmsghdr *start(char buf[static REQUEST], uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	return h;
}

static int change(struct rtnl *r, struct nlmsghdr *h)
{
	return talk_ask(&r->talk, h, NULL, NULL);
}

static uint8_t family_of(const struct tcpwhy_addr *a)
{
	return address_is_v4(a) ? AF_INET : AF_INET6;
}

static void put_addr(struct nlmsghdr *h, uint16_t type, const struct tcpwhy_addr *a)
{
	if (address_is_v4(a))
		mnl_attr_put(h, type, 4, a->b + 12);
	else
		mnl_attr_put(h, type, 16, a->b);
}

/* The link message's head and the attributes that both ends have. */
static void put_end(struct nlmsghdr *h, const struct rtnl_end *end, bool up)
{
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));

	ifi->ifi_index = (int)end->index;
	ifi->ifi_flags = ifi->ifi_change = up ? IFF_UP : 0;
	mnl_attr_put_strz(h, IFLA_IFNAME, end->name);
	if (end->mac)
		mnl_attr_put(h, IFLA_ADDRESS, 6, end->mac);
	if (end->ns)
		mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)end->ns->fd);
}

int rtnl_add_veth(struct rtnl *r, const struct rtnl_end *one, const struct rtnl_end *other)
{
	char buf[REQUEST];
	struct nlmsghdr *h = start(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);

	put_end(h, one, true);
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
	struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	struct nlattr *peer = mnl_attr_nest_start(h, VETH_INFO_PEER);
	put_end(h, other, false);
	mnl_attr_nest_end(h, peer);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	return change(r, h);
}

static struct nlmsghdr *start_link(char buf[static REQUEST], uint16_t type, unsigned device,
				   bool up)
{
	struct nlmsghdr *h = start(buf, type, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));

	ifi->ifi_index = (int)device;
	ifi->ifi_flags = up ? IFF_UP : 0;
	ifi->ifi_change = IFF_UP;
	return h;
}

int rtnl_del_link(struct rtnl *r, unsigned device)
{
	char buf[REQUEST];

	return change(r, start_link(buf, RTM_DELLINK, device, false));
}

int rtnl_set_up(struct rtnl *r, unsigned device, bool up)
{
	char buf[REQUEST];

	return change(r, start_link(buf, RTM_NEWLINK, device, up));
}

static int ask(struct rtnl *r, struct nlmsghdr *h, mnl_cb_t read, void *ctx)
{
	h->nlmsg_flags = NLM_F_REQUEST; /* the answer is the acknowledgement */
	return talk_ask(&r->talk, h, read, ctx);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void nap(void)
{
	nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static int read_qdisc(const struct nlattr *a, void *ctx)
{
	if (mnl_attr_get_type(a) == IFLA_QDISC)
		*(bool *)ctx = strcmp(mnl_attr_get_str(a), "noop") != 0;
	return MNL_CB_OK;
}

static int read_link(const struct nlmsghdr *h, void *active)
{
	return mnl_attr_parse(h, sizeof(struct ifinfomsg), read_qdisc, active);
}

/* An inactive device has the queue that drops everything. */
static int is_active(struct rtnl *r, unsigned device, bool *active)
{
	char buf[REQUEST];
	struct nlmsghdr *h = start_link(buf, RTM_GETLINK, device, false);

	*active = false;
	mnl_attr_put_u32(h, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return ask(r, h, read_link, active);
}

int rtnl_wait_active(struct rtnl *r, unsigned device, uint64_t deadline_ns)
{
	for (bool active;; nap()) {
		const int rc = is_active(r, device, &active);

		if (rc || active)
			return rc;
		if (now_ns() >= deadline_ns)
			return -ETIMEDOUT;
	}
}

static int read_route_type(const struct nlmsghdr *h, void *ctx)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(h);

	*(bool *)ctx = rtm->rtm_type == RTN_LOCAL;
	return MNL_CB_OK;
}

/* addrconf_dad_work() gives an IPv6 address its local route in the background, also without
 * duplicate address detection; until then what comes for it is dropped. */
static int wait_local(struct rtnl *r, const struct tcpwhy_addr *a)
{
	const uint64_t deadline = now_ns() + 10000000000u;

	for (bool local = false;; nap()) {
		char buf[REQUEST];
		struct nlmsghdr *h = start(buf, RTM_GETROUTE, 0);
		struct rtmsg *rtm = mnl_nlmsg_put_extra_header(h, sizeof(*rtm));

		rtm->rtm_family = AF_INET6;
		rtm->rtm_dst_len = 128;
		put_addr(h, RTA_DST, a);
		const int rc = ask(r, h, read_route_type, &local);
		if (local)
			return 0;
		if (rc && rc != -ENETUNREACH && rc != -EHOSTUNREACH)
			return rc;
		if (now_ns() >= deadline)
			return -ETIMEDOUT;
	}
}

int rtnl_add_addr(struct rtnl *r, unsigned device, const struct tcpwhy_addr *a, uint8_t prefix_len,
		  bool prefix_route)
{
	char buf[REQUEST];
	struct nlmsghdr *h = start(buf, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(h, sizeof(*ifa));

	ifa->ifa_family = family_of(a);
	ifa->ifa_prefixlen = prefix_len;
	ifa->ifa_index = device;
	/* the header's flags have eight bits; IFA_FLAGS replaces them */
	mnl_attr_put_u32(h, IFA_FLAGS, IFA_F_NODAD | (prefix_route ? 0 : IFA_F_NOPREFIXROUTE));
	put_addr(h, IFA_LOCAL, a);
	put_addr(h, IFA_ADDRESS, a);
	if (address_is_v4(a) && prefix_len < 31) {
		const uint32_t host_bits = UINT32_MAX >> prefix_len;
		const struct tcpwhy_addr broadcast =
			address_v4_number(address_v4_of(a) | host_bits);
		put_addr(h, IFA_BROADCAST, &broadcast);
	}
	const int rc = change(r, h);
	return rc || address_is_v4(a) ? rc : wait_local(r, a);
}

static struct nlmsghdr *start_route(char buf[static REQUEST], uint16_t type, uint16_t flags,
				    const struct rtnl_route *route)
{
	struct nlmsghdr *h = start(buf, type, flags);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(h, sizeof(*rtm));

	rtm->rtm_family = family_of(&route->to);
	rtm->rtm_dst_len = route->prefix_len;
	rtm->rtm_table = route->table ? route->table : RT_TABLE_MAIN;
	rtm->rtm_type = route->type ? route->type : RTN_UNICAST;
	rtm->rtm_scope = route->scope;
	if (route->prefix_len)
		put_addr(h, RTA_DST, &route->to);
	if (route->via)
		put_addr(h, RTA_GATEWAY, route->via);
	if (route->source)
		put_addr(h, RTA_PREFSRC, route->source);
	if (route->device)
		mnl_attr_put_u32(h, RTA_OIF, route->device);
	if (route->metric)
		mnl_attr_put_u32(h, RTA_PRIORITY, route->metric);
	return h;
}

int rtnl_add_route(struct rtnl *r, const struct rtnl_route *route, bool replace)
{
	char buf[REQUEST];
	struct nlmsghdr *h =
		start_route(buf, RTM_NEWROUTE, replace ? NLM_F_REPLACE : NLM_F_CREATE, route);
	struct rtmsg *rtm = mnl_nlmsg_get_payload(h);

	rtm->rtm_protocol = route->protocol ? route->protocol : RTPROT_STATIC;
	if (route->quickack) {
		struct nlattr *metrics = mnl_attr_nest_start(h, RTA_METRICS);
		mnl_attr_put_u32(h, RTAX_QUICKACK, 1);
		mnl_attr_nest_end(h, metrics);
	}
	return change(r, h);
}

int rtnl_del_route(struct rtnl *r, const struct rtnl_route *route)
{
	char buf[REQUEST];

	return change(r, start_route(buf, RTM_DELROUTE, 0, route));
}

int rtnl_set_neighbour(struct rtnl *r, unsigned device, const struct tcpwhy_addr *a,
		       const uint8_t mac[static 6])
{
	char buf[REQUEST];
	struct nlmsghdr *h = start(buf, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
	struct ndmsg *ndm = mnl_nlmsg_put_extra_header(h, sizeof(*ndm));

	ndm->ndm_family = family_of(a);
	ndm->ndm_ifindex = (int)device;
	ndm->ndm_state = NUD_PERMANENT;
	put_addr(h, NDA_DST, a);
	mnl_attr_put(h, NDA_LLADDR, 6, mac);
	return change(r, h);
}
