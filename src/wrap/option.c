/* SPDX-License-Identifier: MIT */
#include "wrap/option.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51 /* 6.3; Debian 12's headers are older */
#endif

/* The value of an option, or 0 if it is not asked for. */
typedef uint32_t wanted_fn(const struct wrap_cure *c);

static uint32_t reuseaddr(const struct wrap_cure *c)
{
	return c->reuseaddr;
}

static uint32_t reuseport(const struct wrap_cure *c)
{
	return c->reuseport;
}

static uint32_t no_port(const struct wrap_cure *c)
{
	return c->bind_address_no_port;
}

static uint32_t port_range(const struct wrap_cure *c)
{
	return (uint32_t)c->range_high << 16 | c->range_low;
}

/* IPPROTO_IP is right for IPv6 sockets too: ipv6_setsockopt() hands it on. */
static const struct option_row {
	const char *text;
	unsigned moments;
	int level, name;
	bool yields; /* to a value that the program has set */
	wanted_fn *wanted;
} rows[] = {
	{"SO_REUSEADDR", AT_BIND_PORT | AT_LISTEN_BOUND, SOL_SOCKET, SO_REUSEADDR, false,
	 reuseaddr},
	{"SO_REUSEPORT", AT_BIND_PORT | AT_LISTEN_BOUND, SOL_SOCKET, SO_REUSEPORT, false,
	 reuseport},
	{"IP_BIND_ADDRESS_NO_PORT", AT_BIND_ANY, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, false,
	 no_port},
	{"IP_LOCAL_PORT_RANGE", AT_BIND_ANY | AT_LISTEN_UNBOUND | AT_CONNECT, IPPROTO_IP,
	 IP_LOCAL_PORT_RANGE, true, port_range},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

unsigned option_moments(const struct wrap_cure *cure)
{
	/* A port of the pool. */
	unsigned moments = cure->lease ? AT_BIND_ANY | AT_LISTEN_UNBOUND : 0;

	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].wanted(cure))
			moments |= rows[i].moments;
	return moments;
}

/* 0 also if it cannot be asked: no protocol, family or range is 0. */
static uint32_t ask(int fd, int level, int name)
{
	uint32_t value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) ? 0 : value;
}

bool option_is_tcp(int fd)
{
	uint32_t protocol = ask(fd, SOL_SOCKET, SO_PROTOCOL), domain;

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP)
		return false;
	domain = ask(fd, SOL_SOCKET, SO_DOMAIN);
	return domain == AF_INET || domain == AF_INET6;
}

int option_set(const struct wrap_cure *cure, enum option_moment moment, int fd, const char **name)
{
	for (size_t i = 0; i < ROWS; i++) {
		const struct option_row *r = &rows[i];
		uint32_t value = r->wanted(cure);

		if (!value || !(moment == AT_SOCKET || r->moments & moment) ||
		    (r->yields && ask(fd, r->level, r->name)))
			continue;
		if (setsockopt(fd, r->level, r->name, &value, sizeof(value))) {
			*name = r->text;
			return -errno;
		}
	}
	return 0;
}
