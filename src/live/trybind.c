/* SPDX-License-Identifier: MIT */
#include "live/trybind.h"

#include "base/address.h"
#include "live/privilege.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the C library's headers. */
#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

static int tell(struct err *err, const char *what, int error)
{
	snprintf(err->text, sizeof(err->text), "trying the bind: %s: %s", what, strerror(error));
	return -error;
}

static int become(uint32_t uid, struct err *err)
{
	if (!privilege_become(uid))
		return 0;
	snprintf(err->text, sizeof(err->text), "trying the bind: not allowed to act as uid %u",
		 uid);
	return -EPERM;
}

/* The raw calls: the C library's would do it for every thread. */
static int give_up_low_ports(struct err *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return tell(err, "capget", errno);
	data[0].effective &= ~(1u << CAP_NET_BIND_SERVICE);
	if (syscall(SYS_capset, &header, data))
		return tell(err, "capset", errno);
	return 0;
}

struct option {
	bool wanted;
	int level, name, value;
	const char *what;
};

static int set_options(int fd, const struct tcpwhy_bind_request *q, struct err *err)
{
	bool v6 = q->family == TCPWHY_IPV6;
	const struct option options[] = {
		{v6, IPPROTO_IPV6, IPV6_V6ONLY, q->v6only, "IPV6_V6ONLY"},
		{q->reuse == TCPWHY_REUSE_CAN, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR"},
		{q->reuse == TCPWHY_REUSE_FORCE, IPPROTO_TCP, TCP_REPAIR, 1, "TCP_REPAIR"},
		{q->reuseport, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT"},
		/* For IPv6 sockets too: the flag is one (inet_can_nonlocal_bind()). */
		{q->freebind, IPPROTO_IP, IP_FREEBIND, 1, "IP_FREEBIND"},
		{q->transparent, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
		 v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, 1, "IP_TRANSPARENT"},
		{q->device != 0, SOL_SOCKET, SO_BINDTOIFINDEX, (int)q->device, "SO_BINDTOIFINDEX"},
		{q->range_low || q->range_high, IPPROTO_IP, IP_LOCAL_PORT_RANGE,
		 (int)(q->range_low | (uint32_t)q->range_high << 16), "IP_LOCAL_PORT_RANGE"},
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		const struct option *o = &options[i];

		if (o->wanted && setsockopt(fd, o->level, o->name, &o->value, sizeof(o->value)))
			return tell(err, o->what, errno);
	}
	return 0;
}

/* A program that always takes the first socket of the group. */
static int attach_group_program(int fd, struct err *err)
{
	struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	struct sock_fprog program = {.len = 1, .filter = code};

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)))
		return tell(err, "SO_ATTACH_REUSEPORT_CBPF", errno);
	return 0;
}

static socklen_t put_address(const struct tcpwhy_bind_request *q, struct sockaddr_storage *to)
{
	if (q->family == TCPWHY_IPV6) {
		struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(q->port)};

		memcpy(&in6.sin6_addr, q->addr.b, sizeof(q->addr.b));
		if (address_is_link_local6(&q->addr))
			in6.sin6_scope_id = q->device;
		memcpy(to, &in6, sizeof(in6));
		return sizeof(in6);
	}
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(q->port)};

	memcpy(&in.sin_addr, q->addr.b + 12, 4);
	memcpy(to, &in, sizeof(in));
	return sizeof(in);
}

static void bind_and_listen(int fd, const struct tcpwhy_bind_request *q, int *error,
			    enum tcpwhy_call *at)
{
	struct sockaddr_storage address;
	socklen_t len = put_address(q, &address);

	*error = 0;
	*at = TCPWHY_CALL_NONE;
	if (bind(fd, (struct sockaddr *)&address, len)) {
		*error = errno;
		*at = TCPWHY_CALL_BIND;
	} else if (q->listen && listen(fd, 1)) {
		*error = errno;
		*at = TCPWHY_CALL_LISTEN;
	}
}

int trybind_here(const struct tcpwhy_bind_request *q, int *error, enum tcpwhy_call *at,
		 struct err *err)
{
	int domain = q->family == TCPWHY_IPV6 ? AF_INET6 : AF_INET;
	int failed, fd;

	failed = become(q->uid, err);
	if (failed)
		return failed;
	fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return tell(err, "socket", errno);
	failed = set_options(fd, q, err);
	if (!failed && q->reuseport_cb)
		failed = attach_group_program(fd, err);
	if (!failed && q->may_bind_low == TCPWHY_NO)
		failed = give_up_low_ports(err);
	if (!failed)
		bind_and_listen(fd, q, error, at);
	close(fd);
	return failed;
}
