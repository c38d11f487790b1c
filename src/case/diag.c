/* SPDX-License-Identifier: MIT */
#include "case/diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <string.h>

enum { LOOPBACK = 1 };

int diag_open(struct diag *d)
{
	return talk_open(&d->talk, NETLINK_SOCK_DIAG);
}

int diag_open_in(const struct netns *ns, struct diag *d, struct err *err)
{
	return talk_open_in(&d->talk, NETLINK_SOCK_DIAG, ns, "sock_diag", err);
}

void diag_close(struct diag *d)
{
	talk_close(&d->talk);
}

static struct tcpwhy_addr addr_of(uint8_t family, const uint32_t be[4])
{
	struct tcpwhy_addr a;

	if (family == AF_INET)
		return address_v4_number(ntohl(be[0]));
	memcpy(a.b, be, 16);
	return a;
}

static void read_sock(const struct inet_diag_msg *m, struct diag_sock *s)
{
	const struct inet_diag_sockid *id = &m->id;

	*s = (struct diag_sock){
		.local = {addr_of(m->idiag_family, id->idiag_src), ntohs(id->idiag_sport)},
		.peer = {addr_of(m->idiag_family, id->idiag_dst), ntohs(id->idiag_dport)},
		.family = m->idiag_family == AF_INET ? TCPWHY_IPV4 : TCPWHY_IPV6,
		/* a dump shows a socket in CLOSE only if bit 13 was asked and it holds a port */
		.state = m->idiag_state == TCPWHY_CLOSE ? TCPWHY_BOUND : m->idiag_state,
		.timewait = m->idiag_timer == DIAG_TIMER_TIME_WAIT,
		.timer = m->idiag_timer,
		.retransmits = m->idiag_retrans,
		.expires_ms = m->idiag_expires,
		.rqueue = m->idiag_rqueue,
		.wqueue = m->idiag_wqueue,
		.uid = m->idiag_uid,
		.inode = m->idiag_inode,
		.device = id->idiag_if,
		.cookie = {id->idiag_cookie[0], id->idiag_cookie[1]},
	};
}

static void put_addr(uint32_t be[4], bool v4, const struct tcpwhy_addr *a)
{
	memcpy(be, a->b + (v4 ? 12 : 0), v4 ? 4 : 16);
}

static struct nlmsghdr *put_request(char *buf, uint16_t type, const struct endpoint *local,
				    const struct endpoint *peer, uint32_t device)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct inet_diag_req_v2 *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));
	const bool v4 = address_is_v4(&local->addr) && address_is_v4(&peer->addr);

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | (type == SOCK_DESTROY ? NLM_F_ACK : 0);
	r->sdiag_family = v4 ? AF_INET : AF_INET6;
	r->sdiag_protocol = IPPROTO_TCP;
	r->idiag_states = ~0u;
	r->idiag_ext = 1 << (INET_DIAG_SKMEMINFO - 1);
	put_addr(r->id.idiag_src, v4, &local->addr);
	put_addr(r->id.idiag_dst, v4, &peer->addr);
	r->id.idiag_sport = htons(local->port);
	r->id.idiag_dport = htons(peer->port);
	r->id.idiag_if = device;
	r->id.idiag_cookie[0] = r->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	return h;
}

/* What came while a call holds the socket is dealt with when that call leaves it
 * (tcp_add_backlog(), release_sock()). */
static int on_meminfo(const struct nlattr *a, void *data)
{
	struct diag_sock *s = data;

	if (mnl_attr_get_type(a) == INET_DIAG_SKMEMINFO &&
	    mnl_attr_get_payload_len(a) >= (SK_MEMINFO_BACKLOG + 1) * sizeof(uint32_t))
		s->waiting = ((const uint32_t *)mnl_attr_get_payload(a))[SK_MEMINFO_BACKLOG];
	return MNL_CB_OK;
}

struct answer {
	struct diag_sock *socks;
	size_t max, n;
};

static int on_sock(const struct nlmsghdr *h, void *data)
{
	struct answer *a = data;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(struct inet_diag_msg))
		return MNL_CB_OK;
	if (a->n < a->max) {
		read_sock(mnl_nlmsg_get_payload(h), &a->socks[a->n]);
		mnl_attr_parse(h, sizeof(struct inet_diag_msg), on_meminfo, &a->socks[a->n]);
	}
	a->n++;
	return MNL_CB_OK;
}

int diag_meet(struct diag *d, const struct endpoint *local, const struct endpoint *peer,
	      unsigned device, struct diag_sock *met)
{
	char buf[256];
	struct diag_sock one;
	struct answer a = {.socks = &one, .max = 1};
	const int rc = talk_ask(
		&d->talk, put_request(buf, SOCK_DIAG_BY_FAMILY, local, peer, device), on_sock, &a);

	if (rc || !a.n)
		return rc ? rc : -ENOENT;
	*met = one;
	return 0;
}

int diag_find(struct diag *d, const struct endpoint *local, const struct endpoint *peer,
	      unsigned device, struct diag_sock *found)
{
	struct diag_sock met;
	const int rc = diag_meet(d, local, peer, device, &met);

	if (rc)
		return rc;
	if (met.state == TCPWHY_LISTEN || met.peer.port != peer->port)
		return -ENOENT;
	*found = met;
	return 0;
}

int diag_destroy(struct diag *d, const struct diag_sock *s)
{
	char buf[256];
	struct answer none = {0};
	/* a socket bound to a device is found only through it; the loopback is what an unbound one
	 * would see */
	struct nlmsghdr *h = put_request(buf, SOCK_DESTROY, &s->local, &s->peer,
					 s->device ? s->device : LOOPBACK);
	struct inet_diag_req_v2 *r = mnl_nlmsg_get_payload(h);

	r->id.idiag_cookie[0] = s->cookie[0];
	r->id.idiag_cookie[1] = s->cookie[1];
	return talk_ask(&d->talk, h, on_sock, &none);
}

/* The legacy request: family 0 is both families in one walk. */
int diag_dump(struct diag *d, struct diag_sock *socks, size_t max, size_t *n)
{
	char buf[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct inet_diag_req *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));
	struct answer a = {.socks = socks, .max = max};

	h->nlmsg_type = TCPDIAG_GETSOCK;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	r->idiag_states = ~0u;
	const int rc = talk_ask(&d->talk, h, on_sock, &a);
	if (!rc)
		*n = a.n;
	return rc;
}
