/* SPDX-License-Identifier: MIT */
#include "live/getroute.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/address.h"
#include "live/netlink.h"

#define REPLY 8192 /* one route; a nexthop group is told by its chosen hop */

static void put_address(struct nlmsghdr *nlh, uint16_t type, const struct tcpwhy_addr *a, bool v4)
{
	mnl_attr_put(nlh, type, v4 ? 4 : 16, v4 ? a->b + 12 : a->b);
}

static void put_question(struct nlmsghdr *nlh, const struct getroute *q)
{
	bool v4 = address_is_v4(&q->to);
	struct rtmsg *m;

	nlh->nlmsg_type = RTM_GETROUTE;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));
	m->rtm_family = v4 ? AF_INET : AF_INET6;
	m->rtm_dst_len = v4 ? 32 : 128;
	put_address(nlh, RTA_DST, &q->to, v4);
	if (q->has_source) {
		m->rtm_src_len = m->rtm_dst_len;
		put_address(nlh, RTA_SRC, &q->source, v4);
	}
	if (q->device)
		mnl_attr_put_u32(nlh, RTA_OIF, q->device);
	mnl_attr_put_u32(nlh, RTA_UID, q->uid);
	mnl_attr_put_u8(nlh, RTA_IP_PROTO, IPPROTO_TCP);
	if (q->source_port)
		mnl_attr_put_u16(nlh, RTA_SPORT, htons(q->source_port));
	if (q->port)
		mnl_attr_put_u16(nlh, RTA_DPORT, htons(q->port));
}

static int take_attribute(const struct nlattr *attr, void *ctx)
{
	struct getroute *q = ctx;
	bool v4 = address_is_v4(&q->to);
	const uint8_t *value = mnl_attr_get_payload(attr);
	size_t len = mnl_attr_get_payload_len(attr);

	if (mnl_attr_get_type(attr) == RTA_OIF && len >= sizeof(q->out))
		memcpy(&q->out, value, sizeof(q->out));
	if (mnl_attr_get_type(attr) != RTA_PREFSRC || len < (v4 ? 4 : 16))
		return MNL_CB_OK;
	q->has_preferred = true;
	if (v4)
		q->preferred = address_v4(value);
	else
		memcpy(q->preferred.b, value, sizeof(q->preferred.b));
	return MNL_CB_OK;
}

static int take_reply(const void *buf, size_t len, struct getroute *q)
{
	struct netlink_reply reply = {buf, len};
	struct netlink_progress progress = {0};
	const struct nlmsghdr *nlh = netlink_next(&reply, &progress);
	struct rtmsg m;

	if (progress.done && progress.error) {
		q->error = -progress.error;
		return 0;
	}
	if (!nlh || nlh->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(nlh) < sizeof(m))
		return -EPROTO;
	memcpy(&m, mnl_nlmsg_get_payload(nlh), sizeof(m));
	q->type = m.rtm_type;
	mnl_attr_parse(nlh, sizeof(m), take_attribute, q);
	return 0;
}

static int exchange(struct mnl_socket *nl, struct getroute *q)
{
	_Alignas(struct nlmsghdr) char buf[REPLY];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	ssize_t n;

	put_question(nlh, q);
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	do
		n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : take_reply(buf, (size_t)n, q);
}

int getroute_ask(struct getroute *q, struct err *err)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int error = nl ? 0 : -errno;

	q->error = 0;
	q->type = RTN_UNSPEC;
	q->out = 0;
	q->has_preferred = false;
	if (!error)
		error = exchange(nl, q);
	if (nl)
		mnl_socket_close(nl);
	if (error)
		snprintf(err->text, sizeof(err->text), "asking for the route: RTM_GETROUTE: %s",
			 strerror(-error));
	return error;
}
