/* SPDX-License-Identifier: MIT */
#include "lease/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

union place {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_storage room;
};

bool socket_has_ipv6(void)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* A socket can be made with ipv6.disable=0 and all addresses gone; bind() then fails. */
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

static int place_of(const struct tcpwhy_lease_wish *wish, bool ipv6, uint16_t port,
		    union place *out, socklen_t *len)
{
	memset(out, 0, sizeof(*out));
	if (wish->address) {
		if (wish->address_len > sizeof(*out) || wish->address_len < sizeof(out->in))
			return -EINVAL;
		memcpy(out, wish->address, wish->address_len);
	} else {
		out->any.sa_family = ipv6 ? AF_INET6 : AF_INET;
	}
	if (out->any.sa_family == AF_INET) {
		out->in.sin_port = htons(port);
		*len = sizeof(out->in);
	} else if (out->any.sa_family == AF_INET6) {
		out->in6.sin6_port = htons(port);
		*len = sizeof(out->in6);
	} else {
		return -EAFNOSUPPORT;
	}
	return 0;
}

/* SO_REUSEADDR only after listen(): two sockets that both have it may bind one port as long as
 * neither listens, and a held port is to be ours alone. From then on it does no harm, and lets the
 * TIME_WAIT of this server's connections be passed over by a restart that sets it too. */
static int take_port(int fd, const struct tcpwhy_lease_wish *wish, const union place *at,
		     socklen_t len)
{
	const int one = 1, zero = 0;

	if (at->any.sa_family == AF_INET6 && !wish->address &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)))
		return -errno;
	if (bind(fd, &at->any, len))
		return -errno;
	if (!wish->listening)
		return 0;
	if (listen(fd, SOMAXCONN) || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		return -errno;
	return 0;
}

int socket_bound(const struct tcpwhy_lease_wish *wish, bool ipv6, uint16_t port)
{
	union place at;
	socklen_t len;
	int fd, error = place_of(wish, ipv6, port, &at, &len);

	if (error)
		return error;
	fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	error = take_port(fd, wish, &at, len);
	if (!error)
		return fd;
	close(fd);
	return error;
}

bool socket_is_on(int fd, uint16_t port)
{
	union place at;
	socklen_t len = sizeof(at), size = sizeof(int);
	int protocol = 0;

	memset(&at, 0, sizeof(at));
	if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) || protocol != IPPROTO_TCP ||
	    getsockname(fd, &at.any, &len))
		return false;
	if (at.any.sa_family == AF_INET)
		return at.in.sin_port == htons(port);
	return at.any.sa_family == AF_INET6 && at.in6.sin6_port == htons(port);
}
