/* SPDX-License-Identifier: MIT */
#include "live/address.h"

#include "live/collect.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ATTEMPTS 5

/* Attributes by type; what is beyond max or too short for its meaning is left out. */
struct attributes {
	const struct nlattr *at[64];
};

static int put_attribute(const struct nlattr *attr, void *ctx)
{
	struct attributes *a = ctx;

	if (mnl_attr_get_type(attr) < 64)
		a->at[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static bool get_u32(const struct attributes *a, unsigned type, uint32_t *value)
{
	if (!a->at[type] || mnl_attr_get_payload_len(a->at[type]) < sizeof(*value))
		return false;
	memcpy(value, mnl_attr_get_payload(a->at[type]), sizeof(*value));
	return true;
}

static bool is_text(const struct nlattr *attr, const char *text)
{
	size_t len = strlen(text) + 1;

	return attr && mnl_attr_get_payload_len(attr) >= len &&
	       memcmp(mnl_attr_get_payload(attr), text, len) == 0;
}

/* IFLA_LINKINFO of a VRF: its kind is "vrf", its data holds the table. */
static bool is_vrf(const struct nlattr *linkinfo, uint32_t *table)
{
	struct attributes info = {0}, data = {0};

	if (!linkinfo)
		return false;
	mnl_attr_parse_nested(linkinfo, put_attribute, &info);
	if (!is_text(info.at[IFLA_INFO_KIND], "vrf") || !info.at[IFLA_INFO_DATA])
		return false;
	mnl_attr_parse_nested(info.at[IFLA_INFO_DATA], put_attribute, &data);
	return get_u32(&data, IFLA_VRF_TABLE, table);
}

static int take_link(const struct nlmsghdr *nlh, struct address_parse *parse)
{
	struct address_vrfs *vrfs = parse->vrfs;
	struct snapshot_device device = {0};
	struct attributes a = {0};
	struct ifinfomsg m;
	uint32_t table;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(m))
		return 0;
	memcpy(&m, mnl_nlmsg_get_payload(nlh), sizeof(m));
	mnl_attr_parse(nlh, sizeof(m), put_attribute, &a);
	if (m.ifi_index <= 0 || !a.at[IFLA_IFNAME])
		return 0;
	device.index = (uint32_t)m.ifi_index;
	strncpy(device.name, mnl_attr_get_payload(a.at[IFLA_IFNAME]),
		mnl_attr_get_payload_len(a.at[IFLA_IFNAME]) < sizeof(device.name) - 1
			? mnl_attr_get_payload_len(a.at[IFLA_IFNAME])
			: sizeof(device.name) - 1);
	/* The master for now: whether that is a VRF is known when all devices are. */
	get_u32(&a, IFLA_MASTER, &device.l3mdev);
	if (is_vrf(a.at[IFLA_LINKINFO], &table)) {
		device.l3mdev = device.index;
		if (vrfs->n < ADDRESS_VRFS_MAX)
			vrfs->vrf[vrfs->n++] = (struct address_vrf){device.index, table};
		else
			vrfs->more = true;
	}
	return collect_device(parse->snap, &device);
}

static uint32_t vrf_of_table(const struct address_vrfs *vrfs, uint32_t table, bool *found)
{
	*found = table == RT_TABLE_LOCAL;
	for (size_t i = 0; i < vrfs->n; i++) {
		if (vrfs->vrf[i].table == table) {
			*found = true;
			return vrfs->vrf[i].device;
		}
	}
	return 0;
}

static int take_route(const struct nlmsghdr *nlh, struct address_parse *parse)
{
	struct snapshot_local local = {0};
	struct attributes a = {0};
	uint8_t prefix[4] = {0};
	struct rtmsg m;
	uint32_t table;
	bool ours;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(m))
		return 0;
	memcpy(&m, mnl_nlmsg_get_payload(nlh), sizeof(m));
	if (m.rtm_family != AF_INET || m.rtm_dst_len > 32 ||
	    (m.rtm_type != RTN_LOCAL && m.rtm_type != RTN_BROADCAST))
		return 0;
	mnl_attr_parse(nlh, sizeof(m), put_attribute, &a);
	if (!get_u32(&a, RTA_TABLE, &table))
		table = m.rtm_table;
	local.l3mdev = vrf_of_table(parse->vrfs, table, &ours);
	if (!ours)
		return 0;
	if (a.at[RTA_DST] && mnl_attr_get_payload_len(a.at[RTA_DST]) >= sizeof(prefix))
		memcpy(prefix, mnl_attr_get_payload(a.at[RTA_DST]), sizeof(prefix));
	else if (m.rtm_dst_len)
		return 0;
	local.prefix = collect_address(AF_INET, prefix);
	local.prefix_len = (uint8_t)(96 + m.rtm_dst_len);
	local.kind = m.rtm_type == RTN_LOCAL ? TCPWHY_LOCAL : TCPWHY_LOCAL_BROADCAST;
	get_u32(&a, RTA_OIF, &local.device);
	return collect_local(parse->snap, &local);
}

static uint32_t vrf_of_device(const struct snapshot *snap, uint32_t index)
{
	for (size_t i = 0; i < snap->devices_n; i++) {
		if (snap->devices[i].index == index)
			return snap->devices[i].l3mdev;
	}
	return 0;
}

static int take_address(const struct nlmsghdr *nlh, struct address_parse *parse)
{
	struct snapshot_local local = {.prefix_len = 128, .kind = TCPWHY_LOCAL};
	const struct nlattr *own;
	struct attributes a = {0};
	struct ifaddrmsg m;
	uint32_t flags;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(m))
		return 0;
	memcpy(&m, mnl_nlmsg_get_payload(nlh), sizeof(m));
	if (m.ifa_family != AF_INET6)
		return 0;
	mnl_attr_parse(nlh, sizeof(m), put_attribute, &a);
	/* On a point-to-point device IFA_ADDRESS is the peer's. */
	own = a.at[IFA_LOCAL] ? a.at[IFA_LOCAL] : a.at[IFA_ADDRESS];
	if (!own || mnl_attr_get_payload_len(own) < 16)
		return 0;
	if (!get_u32(&a, IFA_FLAGS, &flags))
		flags = m.ifa_flags;
	/* ipv6_chk_addr() passes over an address that duplicate detection has not cleared. */
	if ((flags & IFA_F_TENTATIVE) && !(flags & IFA_F_OPTIMISTIC))
		local.kind = TCPWHY_LOCAL_TENTATIVE;
	local.prefix = collect_address(AF_INET6, mnl_attr_get_payload(own));
	local.device = m.ifa_index;
	local.l3mdev = vrf_of_device(parse->snap, m.ifa_index);
	return collect_local(parse->snap, &local);
}

int address_take(const void *reply, size_t len, struct address_parse *parse)
{
	struct netlink_reply rest = {reply, len};
	const struct nlmsghdr *nlh;
	int error = 0;

	while (!error && (nlh = netlink_next(&rest, &parse->progress))) {
		if (nlh->nlmsg_type == RTM_NEWLINK)
			error = take_link(nlh, parse);
		else if (nlh->nlmsg_type == RTM_NEWROUTE)
			error = take_route(nlh, parse);
		else if (nlh->nlmsg_type == RTM_NEWADDR)
			error = take_address(nlh, parse);
	}
	return error;
}

static int take_reply(const void *reply, size_t len, void *ctx)
{
	return address_take(reply, len, ctx);
}

static int ask(struct mnl_socket *nl, struct nlmsghdr *nlh, struct address_parse *parse)
{
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	return netlink_dump(nl, nlh, &parse->progress, take_reply, parse);
}

static int ask_links(struct mnl_socket *nl, struct address_parse *parse)
{
	_Alignas(struct nlmsghdr) char buf[128] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = RTM_GETLINK;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return ask(nl, nlh, parse);
}

static int ask_addresses6(struct mnl_socket *nl, struct address_parse *parse)
{
	_Alignas(struct nlmsghdr) char buf[128] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *m;

	nlh->nlmsg_type = RTM_GETADDR;
	m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));
	m->ifa_family = AF_INET6;
	return ask(nl, nlh, parse);
}

/* table 0: all. A kernel that checks requests strictly (4.20) filters by table and type, so a
 * router's million routes stay where they are; an older one sends them all and we filter. */
static int ask_routes(struct mnl_socket *nl, uint32_t table, uint8_t type,
		      struct address_parse *parse)
{
	_Alignas(struct nlmsghdr) char buf[128] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtmsg *m;
	int error;

	nlh->nlmsg_type = RTM_GETROUTE;
	m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));
	m->rtm_family = AF_INET;
	m->rtm_type = type;
	if (table)
		mnl_attr_put_u32(nlh, RTA_TABLE, table);
	error = ask(nl, nlh, parse);
	/* A table that has never had a route. */
	return error == -ENOENT ? 0 : error;
}

static int ask_locals4(struct mnl_socket *nl, bool strict, struct address_parse *parse)
{
	int error = 0;

	if (!strict)
		return ask_routes(nl, 0, 0, parse);
	error = ask_routes(nl, RT_TABLE_LOCAL, RTN_LOCAL, parse);
	if (!error)
		error = ask_routes(nl, RT_TABLE_LOCAL, RTN_BROADCAST, parse);
	for (size_t i = 0; i < parse->vrfs->n && !error; i++) {
		error = ask_routes(nl, parse->vrfs->vrf[i].table, RTN_LOCAL, parse);
		if (!error)
			error = ask_routes(nl, parse->vrfs->vrf[i].table, RTN_BROADCAST, parse);
	}
	return error;
}

/* A device that is enslaved to something else than a VRF (a bridge, a bond) has no l3mdev. */
static void keep_vrf_masters(struct snapshot *snap, const struct address_vrfs *vrfs)
{
	for (size_t i = 0; i < snap->devices_n; i++) {
		bool vrf = false;

		for (size_t k = 0; k < vrfs->n; k++)
			vrf |= vrfs->vrf[k].device == snap->devices[i].l3mdev;
		if (!vrf)
			snap->devices[i].l3mdev = 0;
	}
}

static int read_once(struct mnl_socket *nl, bool strict, struct snapshot *snap,
		     struct address_vrfs *vrfs, bool *interrupted)
{
	struct address_parse parse = {.snap = snap, .vrfs = vrfs};
	int error;

	snap->devices_n = snap->locals_n = 0;
	*vrfs = (struct address_vrfs){0};
	error = ask_links(nl, &parse);
	if (error)
		return error;
	keep_vrf_masters(snap, vrfs);
	snap->devices_known = !parse.progress.interrupted;
	error = ask_locals4(nl, strict, &parse);
	/* A kernel without IPv6 answers this with IPv4's or not at all. */
	if (!error)
		error = ask_addresses6(nl, &parse);
	*interrupted = parse.progress.interrupted;
	return error == -EOPNOTSUPP || error == -EAFNOSUPPORT ? 0 : error;
}

void address_read(struct snapshot *snap)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	struct address_vrfs *vrfs = calloc(1, sizeof(*vrfs));
	bool interrupted = true, strict = false;
	int error = !nl ? -errno : !vrfs ? -ENOMEM : 0;
	int on = 1;

	if (!error)
		strict = mnl_socket_setsockopt(nl, NETLINK_GET_STRICT_CHK, &on, sizeof(on)) == 0;
	for (int i = 0; i < ATTEMPTS && interrupted && !error; i++)
		error = read_once(nl, strict, snap, vrfs, &interrupted);
	snap->locals_known = !error && !interrupted && !vrfs->more;
	if (!snap->locals_known)
		collect_missing(snap, "local addresses: %s",
				error ? strerror(-error)
				      : "they change faster than they can be read");
	if (!snap->devices_known)
		snap->devices_n = 0;
	if (!snap->locals_known)
		snap->locals_n = 0;
	free(vrfs);
	if (nl)
		mnl_socket_close(nl);
}
