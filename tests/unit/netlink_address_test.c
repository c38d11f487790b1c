/* SPDX-License-Identifier: MIT
 *
 * netlink_address_test.c - of live/address.c: local addresses and devices from rtnetlink
 */
#include "live/address.h"
#include "child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static _Alignas(struct nlmsghdr) char reply[8192];
static size_t reply_n;
static struct snapshot snap;
static struct address_vrfs vrfs;

static int begin(void **state)
{
	(void)state;
	memset(reply, 0, sizeof(reply));
	memset(&snap, 0, sizeof(snap));
	memset(&vrfs, 0, sizeof(vrfs));
	reply_n = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	free(snap.locals);
	free(snap.devices);
	return 0;
}

static void *put(uint16_t type, size_t size, struct nlmsghdr **nlh)
{
	*nlh = mnl_nlmsg_put_header(reply + reply_n);
	(*nlh)->nlmsg_type = type;
	return mnl_nlmsg_put_extra_header(*nlh, size);
}

static void done(struct nlmsghdr *nlh)
{
	reply_n += nlh->nlmsg_len;
}

static void parse(void)
{
	struct address_parse p = {.snap = &snap, .vrfs = &vrfs};

	assert_int_equal(address_take(reply, reply_n, &p), 0);
}

static void put_link(int index, const char *name, uint32_t master, uint32_t vrf_table)
{
	struct nlmsghdr *nlh;
	struct ifinfomsg *m = put(RTM_NEWLINK, sizeof(*m), &nlh);

	m->ifi_index = index;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	if (master)
		mnl_attr_put_u32(nlh, IFLA_MASTER, master);
	if (vrf_table) {
		struct nlattr *info = mnl_attr_nest_start(nlh, IFLA_LINKINFO), *data;

		mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "vrf");
		data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
		mnl_attr_put_u32(nlh, IFLA_VRF_TABLE, vrf_table);
		mnl_attr_nest_end(nlh, data);
		mnl_attr_nest_end(nlh, info);
	}
	done(nlh);
}

static void put_route(uint8_t type, const char *prefix, uint8_t len, uint32_t table)
{
	struct nlmsghdr *nlh;
	struct rtmsg *m = put(RTM_NEWROUTE, sizeof(*m), &nlh);

	m->rtm_family = AF_INET;
	m->rtm_type = type;
	m->rtm_dst_len = len;
	mnl_attr_put_u32(nlh, RTA_TABLE, table);
	if (len)
		mnl_attr_put_u32(nlh, RTA_DST, inet_addr(prefix));
	mnl_attr_put_u32(nlh, RTA_OIF, 3);
	done(nlh);
}

static void put_address6(uint32_t flags)
{
	struct in6_addr a = {.s6_addr = {0x20, 1, [15] = 7}};
	struct nlmsghdr *nlh;
	struct ifaddrmsg *m = put(RTM_NEWADDR, sizeof(*m), &nlh);

	m->ifa_family = AF_INET6;
	m->ifa_index = 3;
	mnl_attr_put(nlh, IFA_ADDRESS, sizeof(a), &a);
	mnl_attr_put_u32(nlh, IFA_FLAGS, flags);
	done(nlh);
}

static void test_devices_and_vrfs(void **state)
{
	(void)state;
	put_link(1, "lo", 0, 0);
	put_link(2, "red", 0, 10);
	put_link(3, "a-name-of-15-ch", 2, 0);
	put_link(-1, "none", 0, 0);
	parse();
	assert_int_equal(snap.devices_n, 3);
	assert_int_equal(snap.devices[1].l3mdev, 2);
	assert_int_equal(snap.devices[2].l3mdev, 2);
	assert_string_equal(snap.devices[2].name, "a-name-of-15-ch");
	assert_int_equal(vrfs.n, 1);
	assert_int_equal(vrfs.vrf[0].table, 10);
}

static void test_routes(void **state)
{
	(void)state;
	vrfs = (struct address_vrfs){.vrf = {{2, 10}}, .n = 1};
	put_route(RTN_LOCAL, "127.0.0.0", 8, RT_TABLE_LOCAL);
	put_route(RTN_BROADCAST, "10.0.0.255", 32, RT_TABLE_LOCAL);
	put_route(RTN_LOCAL, "10.0.0.1", 32, 10);
	put_route(RTN_LOCAL, NULL, 0, RT_TABLE_LOCAL); /* AnyIP: all of them */
	put_route(RTN_LOCAL, "10.0.0.2", 32, 11);      /* no VRF's table */
	put_route(RTN_UNICAST, "10.0.0.0", 24, RT_TABLE_LOCAL);
	put_route(RTN_LOCAL, "10.0.0.1", 33, RT_TABLE_LOCAL);
	parse();
	assert_int_equal(snap.locals_n, 4);
	assert_int_equal(snap.locals[0].prefix_len, 104);
	assert_int_equal(snap.locals[0].prefix.b[12], 127);
	assert_int_equal(snap.locals[0].kind, TCPWHY_LOCAL);
	assert_int_equal(snap.locals[1].kind, TCPWHY_LOCAL_BROADCAST);
	assert_int_equal(snap.locals[2].l3mdev, 2);
	assert_int_equal(snap.locals[3].prefix_len, 96);
}

/* ipv6_chk_addr() takes an optimistic address, not a tentative one. */
static void test_addresses6(void **state)
{
	(void)state;
	put_address6(0);
	put_address6(IFA_F_TENTATIVE);
	put_address6(IFA_F_TENTATIVE | IFA_F_OPTIMISTIC);
	put_address6(IFA_F_TENTATIVE | IFA_F_DADFAILED);
	parse();
	assert_int_equal(snap.locals_n, 4);
	assert_int_equal(snap.locals[0].kind, TCPWHY_LOCAL);
	assert_int_equal(snap.locals[1].kind, TCPWHY_LOCAL_TENTATIVE);
	assert_int_equal(snap.locals[2].kind, TCPWHY_LOCAL);
	assert_int_equal(snap.locals[3].kind, TCPWHY_LOCAL_TENTATIVE);
	assert_int_equal(snap.locals[0].prefix_len, 128);
	assert_int_equal(snap.locals[0].device, 3);
}

static void test_cut(void **state)
{
	size_t whole;

	(void)state;
	put_link(2, "red", 0, 10);
	whole = reply_n;
	for (reply_n = 0; reply_n < whole; reply_n++)
		parse();
	assert_int_equal(snap.devices_n, 0);
}

static bool knows(const char *address, unsigned len, enum tcpwhy_local kind)
{
	uint32_t be = inet_addr(address);

	for (size_t i = 0; i < snap.locals_n; i++) {
		const struct snapshot_local *l = &snap.locals[i];

		if (l->prefix_len == len && l->kind == kind &&
		    memcmp(l->prefix.b + 12, &be, 4) == 0)
			return true;
	}
	return false;
}

static int set_address(int fd, const char *device, const char *address)
{
	struct ifreq r = {.ifr_flags = 0};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {inet_addr(address)}};

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", device);
	memcpy(&r.ifr_addr, &in, sizeof(in));
	return ioctl(fd, SIOCSIFADDR, &r);
}

/* In a namespace of its own: lo down, then up with one more address. */
static int real(void)
{
	struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;

	if (unshare(CLONE_NEWNET))
		return 2;
	address_read(&snap);
	if (!snap.locals_known || !snap.devices_known || snap.locals_n || snap.devices_n != 1)
		return 3;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &up) || set_address(fd, "lo:1", "10.9.8.7"))
		return 4;
	address_read(&snap);
	if (!knows("127.0.0.0", 104, TCPWHY_LOCAL) || !knows("127.0.0.1", 128, TCPWHY_LOCAL) ||
	    !knows("10.9.8.7", 128, TCPWHY_LOCAL))
		return 5;
	return strcmp(snap.devices[0].name, "lo") == 0 && snap.devices[0].index == 1 ? 0 : 6;
}

static void test_real(void **state)
{
	(void)state;
	if (geteuid() != 0)
		unit_skip("needs root for a namespace of its own");
	child_run(real);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_devices_and_vrfs, begin, end),
		cmocka_unit_test_setup_teardown(test_routes, begin, end),
		cmocka_unit_test_setup_teardown(test_addresses6, begin, end),
		cmocka_unit_test_setup_teardown(test_cut, begin, end),
		cmocka_unit_test_setup_teardown(test_real, begin, end),
	};

	return unit_run("live/address", tests);
}
