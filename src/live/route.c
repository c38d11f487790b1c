/* SPDX-License-Identifier: MIT */
#include "live/route.h"

#include "base/address.h"
#include "live/getroute.h"
#include "live/privilege.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

static int tell(struct err *err, const char *what, int error)
{
	snprintf(err->text, sizeof(err->text), "asking for the route: %s: %s", what,
		 strerror(error));
	return -error;
}

static socklen_t put_address(const struct route *r, const struct tcpwhy_addr *a, uint16_t port,
			     struct sockaddr_storage *to)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (r->family == TCPWHY_IPV4) {
		memcpy(&in.sin_addr, a->b + 12, 4);
		memcpy(to, &in, sizeof(in));
		return sizeof(in);
	}
	memcpy(&in6.sin6_addr, a->b, sizeof(a->b));
	if (address_is_link_local6(a))
		in6.sin6_scope_id = r->device;
	memcpy(to, &in6, sizeof(in6));
	return sizeof(in6);
}

static struct tcpwhy_addr take_address(const struct sockaddr_storage *from)
{
	struct tcpwhy_addr a;

	if (from->ss_family == AF_INET)
		return address_v4((const uint8_t *)&((const struct sockaddr_in *)from)->sin_addr);
	memcpy(a.b, &((const struct sockaddr_in6 *)from)->sin6_addr, sizeof(a.b));
	return a;
}

/* A socket that is bound as the TCP one would be. Whether the address is there is no matter here:
 * that is the answer of bind(). *out stays as it is if the address is none at all. */
static int prepare(const struct route *r, int *out, int *refused, struct err *err)
{
	int on = 1, device = (int)r->device;
	struct sockaddr_storage address;
	int fd =
		socket(r->family == TCPWHY_IPV4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return tell(err, "socket", errno);
	if (device && setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &device, sizeof(device))) {
		int error = errno;
		close(fd);
		return tell(err, "SO_BINDTOIFINDEX", error);
	}
	setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (r->has_from &&
	    bind(fd, (struct sockaddr *)&address, put_address(r, &r->from, 0, &address))) {
		*refused = errno;
		close(fd);
		return 0;
	}
	*out = fd;
	return 0;
}

static int try_connect(int fd, const struct route *r)
{
	struct sockaddr_storage address;
	socklen_t len = put_address(r, &r->peer, r->peer_port, &address);

	return connect(fd, (struct sockaddr *)&address, len) ? errno : 0;
}

/* connect() takes a port of UDP's own for the socket, from the range; where that is used up any
 * other one serves (inet_autobind()). */
static void take_any_port(int fd, const struct route *r)
{
	struct tcpwhy_addr from = r->from;
	struct sockaddr_storage address;

	if (!r->has_from && r->family == TCPWHY_IPV4)
		from = address_v4_number(0);
	for (uint16_t port = 65535; port >= 1024; port--) {
		socklen_t len = put_address(r, &from, port, &address);
		if (!bind(fd, (struct sockaddr *)&address, len))
			return;
	}
}

/* TCP has no way to many: tcp_v4_connect() and tcp_v6_connect() say ENETUNREACH. A broadcast
 * address is one that UDP refuses without SO_BROADCAST and takes with it. */
static int error_of(int fd, const struct route *r)
{
	int error = try_connect(fd, r), on = 1;

	if (error == EAGAIN) {
		take_any_port(fd, r);
		error = try_connect(fd, r);
	}
	if (address_is_multicast6(&r->peer) || address_is_multicast4(&r->peer))
		return ENETUNREACH;
	if (error != EACCES || !address_is_v4(&r->peer))
		return error;
	setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	return try_connect(fd, r) ? EACCES : ENETUNREACH;
}

/* What the UDP socket says. *refused: bind() refused already. */
static int ask_socket(struct route *r, bool *refused, struct err *err)
{
	struct sockaddr_storage local = {0}, peer = {0};
	socklen_t local_len = sizeof(local), peer_len = sizeof(peer);
	int fd = -1, failed = prepare(r, &fd, &r->error, err);

	*refused = fd < 0;
	if (failed || fd < 0)
		return failed;
	r->error = error_of(fd, r);
	if (!r->error && !getsockname(fd, (struct sockaddr *)&local, &local_len) &&
	    !getpeername(fd, (struct sockaddr *)&peer, &peer_len)) {
		r->source = take_address(&local);
		r->peer = take_address(&peer);
	}
	close(fd);
	return 0;
}

static bool has_source(const struct route *r)
{
	return r->has_from && !address_is_any(&r->from);
}

/* Whether the answer of the tables replaces that of the socket. EPERM is none of theirs, but of
 * IPsec or a BPF program; a link-local address needs its device before any lookup. */
static bool is_for_tables(const struct route *r)
{
	if (r->error == EPERM || address_is_any(&r->peer) || address_is_multicast6(&r->peer) ||
	    address_is_multicast4(&r->peer))
		return false;
	if (r->has_from && !address_is_any6(&r->from) &&
	    address_is_v4(&r->from) != address_is_v4(&r->peer))
		return false;
	/* With a device RTM_GETROUTE finds IPv6 routes that a socket's lookup refuses (::1 and
	 * addresses of another device, asked through lo): there the socket is right. */
	return address_is_v4(&r->peer) || (!r->device && !address_is_link_local6(&r->peer));
}

/* IPv6 looks at the device strictly unless a source is named, which only a socket's lookup does
 * then, too (ip6_route_output_flags()): such a reply is none. */
static bool is_elsewhere(const struct getroute *q)
{
	return q->has_source && q->device && !address_is_v4(&q->to) && !q->error &&
	       q->out != q->device;
}

/* Without a source there are two lookups, the second from the address that the first one chose
 * (ip_route_connect(), ip6_dst_lookup_tail()). False: nothing was learned. */
static bool look_up(const struct route *r, struct getroute *q, struct tcpwhy_addr *source)
{
	struct err ignored;

	if (getroute_ask(q, &ignored) || is_elsewhere(q))
		return false;
	if (q->has_source)
		*source = q->source;
	if (q->has_source || (q->error && (r->error || address_is_v4(&q->to))))
		return true;
	if (!q->error && !q->has_preferred) {
		q->error = EADDRNOTAVAIL;
		return true;
	}
	/* A route for one source only: the socket knows the source. */
	*source = q->error ? r->source : q->preferred;
	q->source = *source;
	q->has_source = true;
	return !getroute_ask(q, &ignored) && !is_elsewhere(q);
}

/* The tables are asked as TCP, and their answer counts; the socket's is the one to fall back on. */
static void ask_tables(struct route *r)
{
	struct getroute q = {.to = r->peer,
			     .has_source = has_source(r),
			     .source = r->from,
			     .device = r->device,
			     .uid = r->uid,
			     .source_port = r->from_port,
			     .port = r->peer_port};
	struct tcpwhy_addr source = r->source;

	if (!is_for_tables(r) || !look_up(r, &q, &source))
		return;
	r->error = q.error;
	if (!q.error && (q.type == RTN_BROADCAST || q.type == RTN_MULTICAST))
		r->error = ENETUNREACH;
	if (!r->error)
		r->source = source;
}

/* __inet_bind() takes a multicast or broadcast address to receive by, but leaves inet_saddr 0: the
 * source is the route's. __inet6_bind() knows no such exception. */
static bool is_no_source(const struct route *r)
{
	struct getroute q = {.to = r->from, .device = r->device, .uid = r->uid};
	struct err ignored;

	if (!r->has_from || r->family != TCPWHY_IPV4)
		return false;
	if (address_is_multicast4(&r->from) || address_is_broadcast4(&r->from))
		return true;
	return !address_is_any(&r->from) && !getroute_ask(&q, &ignored) && !q.error &&
	       q.type == RTN_BROADCAST;
}

int route_ask(struct route *r, struct err *err)
{
	bool refused;

	if (privilege_become(r->uid)) {
		snprintf(err->text, sizeof(err->text),
			 "asking for the route: not allowed to act as uid %u", r->uid);
		return -EPERM;
	}
	if (is_no_source(r))
		r->has_from = false;
	int failed = ask_socket(r, &refused, err);
	if (!failed && !refused)
		ask_tables(r);
	return failed;
}
