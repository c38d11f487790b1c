/* SPDX-License-Identifier: MIT */
#include "case/conntrack.h"

#include "base/address.h"
#include "case/hostns.h"
#include "case/talk.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REQUEST = 256, ATTRIBUTES = 32 };

struct half {
	struct tcpwhy_addr from, to;
	uint16_t from_port, to_port;
	uint8_t protocol;
};

struct found {
	struct session s;
	uint64_t began;
};

struct listing {
	struct found *all;
	size_t n;
	int error;
};

void conntrack_note_times(const struct netns *ns)
{
	struct err err;

	/* it only orders what is listed */
	(void)hostns_set_sysctl(ns, "netfilter/nf_conntrack_timestamp", "1", &err);
}

/* -------------------------------------------------------------------------------------- attributes
 */

struct attributes {
	const struct nlattr *of[ATTRIBUTES];
};

static int keep(const struct nlattr *a, void *data)
{
	struct attributes *all = data;
	const uint16_t type = mnl_attr_get_type(a);

	if (type < ATTRIBUTES)
		all->of[type] = a;
	return MNL_CB_OK;
}

/* What is missing or too short counts as nothing. */
static struct attributes nested(const struct nlattr *a)
{
	struct attributes all = {{NULL}};

	if (a)
		mnl_attr_parse_nested(a, keep, &all);
	return all;
}

static const void *bytes(const struct nlattr *a, size_t n)
{
	return a && mnl_attr_get_payload_len(a) >= n ? mnl_attr_get_payload(a) : NULL;
}

static uint32_t number32(const struct nlattr *a)
{
	uint32_t be = 0;

	if (bytes(a, sizeof(be)))
		memcpy(&be, bytes(a, sizeof(be)), sizeof(be));
	return ntohl(be);
}

static uint16_t number16(const struct nlattr *a)
{
	uint16_t be = 0;

	if (bytes(a, sizeof(be)))
		memcpy(&be, bytes(a, sizeof(be)), sizeof(be));
	return ntohs(be);
}

static uint64_t number64(const struct nlattr *a)
{
	uint64_t be = 0;

	if (bytes(a, sizeof(be)))
		memcpy(&be, bytes(a, sizeof(be)), sizeof(be));
	return be64toh(be);
}

static uint8_t number8(const struct nlattr *a)
{
	return bytes(a, 1) ? *(const uint8_t *)bytes(a, 1) : 0;
}

static struct tcpwhy_addr addr_of(const struct attributes *ip, int v4, int v6)
{
	struct tcpwhy_addr a = {{0}};

	if (bytes(ip->of[v4], 4))
		return address_v4(bytes(ip->of[v4], 4));
	if (bytes(ip->of[v6], 16))
		memcpy(a.b, bytes(ip->of[v6], 16), 16);
	return a;
}

static struct half half_of(const struct nlattr *tuple)
{
	const struct attributes t = nested(tuple), ip = nested(t.of[CTA_TUPLE_IP]),
				port = nested(t.of[CTA_TUPLE_PROTO]);

	return (struct half){
		.from = addr_of(&ip, CTA_IP_V4_SRC, CTA_IP_V6_SRC),
		.to = addr_of(&ip, CTA_IP_V4_DST, CTA_IP_V6_DST),
		.from_port = number16(port.of[CTA_PROTO_SRC_PORT]),
		.to_port = number16(port.of[CTA_PROTO_DST_PORT]),
		.protocol = number8(port.of[CTA_PROTO_NUM]),
	};
}

static enum session_state state_of(const struct nlattr *protoinfo)
{
	const struct attributes info = nested(protoinfo), tcp = nested(info.of[CTA_PROTOINFO_TCP]);

	switch (number8(tcp.of[CTA_PROTOINFO_TCP_STATE])) {
	case TCP_CONNTRACK_CLOSE:
		return SESSION_RESET;
	case TCP_CONNTRACK_FIN_WAIT:
	case TCP_CONNTRACK_CLOSE_WAIT:
	case TCP_CONNTRACK_LAST_ACK:
	case TCP_CONNTRACK_TIME_WAIT:
		return SESSION_CLOSING;
	}
	return SESSION_OPEN;
}

/* ----------------------------------------------------------------------------------------- listing
 */

static int on_connection(const struct nlmsghdr *h, void *data)
{
	struct listing *l = data;
	struct attributes all = {{NULL}};

	mnl_attr_parse(h, sizeof(struct nfgenmsg), keep, &all);
	const struct half there = half_of(all.of[CTA_TUPLE_ORIG]),
			  back = half_of(all.of[CTA_TUPLE_REPLY]);
	if (there.protocol != IPPROTO_TCP ||
	    !(number32(all.of[CTA_STATUS]) & (IPS_SRC_NAT | IPS_DST_NAT)))
		return MNL_CB_OK;
	struct found *more = realloc(l->all, (l->n + 1) * sizeof(*more));
	if (!more) {
		l->error = -ENOMEM;
		return MNL_CB_OK;
	}
	l->all = more;
	more[l->n++] = (struct found){
		.s = {.client = there.from,
		      .server = there.to,
		      .as_client = back.to,
		      .as_server = back.from,
		      .client_port = there.from_port,
		      .server_port = there.to_port,
		      .as_client_port = back.to_port,
		      .as_server_port = back.from_port,
		      .state = state_of(all.of[CTA_PROTOINFO]),
		      .ends_ns = (uint64_t)number32(all.of[CTA_TIMEOUT]) * 1000000000},
		.began = number64(nested(all.of[CTA_TIMESTAMP]).of[CTA_TIMESTAMP_START]),
	};
	return MNL_CB_OK;
}

/* In the namespace. */
static int list(void *ctx)
{
	struct listing *l = ctx;
	struct talk t;
	char buf[REQUEST];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	int rc = talk_open(&t, NETLINK_NETFILTER);

	if (rc)
		return rc == -EPROTONOSUPPORT ? -EOPNOTSUPP : rc;
	h->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->nfgen_family = AF_UNSPEC;
	rc = talk_ask(&t, h, on_connection, l);
	talk_close(&t);
	if (rc)
		return rc == -EINVAL ? -EOPNOTSUPP : rc; /* no such subsystem */
	return l->error;
}

static int by_age(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return (x->began > y->began) - (x->began < y->began);
}

int conntrack_list(const struct netns *ns, struct session *out, size_t max, size_t *n,
		   struct err *err)
{
	struct listing l = {.all = NULL};

	err->text[0] = '\0';
	const int rc = netns_run(ns, false, list, &l, err);
	if (rc && !err->text[0])
		snprintf(err->text, sizeof(err->text), "%s",
			 rc == -EOPNOTSUPP ? "this kernel does not list tracked connections "
					     "(CONFIG_NF_CT_NETLINK)"
					   : strerror(-rc));
	if (!rc) {
		if (l.n)
			qsort(l.all, l.n, sizeof(*l.all), by_age);
		for (size_t i = 0; i < l.n && i < max; i++)
			out[i] = l.all[i].s;
		*n = l.n;
	}
	free(l.all);
	return rc;
}
