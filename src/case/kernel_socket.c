/* SPDX-License-Identifier: MIT
 *
 * Sockets of a host: descriptors of ours, made in its namespace, and their calls
 */
#include "case/kernel_state.h"

#include "base/assert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51 /* Linux 6.3 */
#endif

enum { CHUNK = 65536, CHUNKS = 1024, LOOPBACK = 1 };

static const uint8_t zeros[CHUNK];

/* ----------------------------------------------------------------------------------- their numbers
 */

struct kernel_sock *kernel_sock_at(struct kernel_stage *k, int sock)
{
	must(sock >= 0 && sock < k->n_socks && k->socks[sock].fd >= 0);
	return &k->socks[sock];
}

int kernel_sock_of_inode(const struct kernel_stage *k, uint32_t inode)
{
	int i = inode ? k->by_inode[inode % KERNEL_INODES] : -1;

	while (i >= 0 && k->socks[i].inode != inode)
		i = k->socks[i].next_inode;
	return i;
}

/* The line has room for all of them; what waits in it moves to its beginning. */
static bool grow(struct kernel_stage *k)
{
	const int size = k->n_socks ? 2 * k->n_socks : 64;
	int *line = malloc((size_t)size * sizeof(*line));
	struct kernel_sock *socks = realloc(k->socks, (size_t)size * sizeof(*socks));

	if (socks)
		k->socks = socks;
	if (!line || !socks) {
		free(line);
		return false;
	}
	for (size_t i = 0; i < k->line_used; i++)
		line[i] = k->line[(k->line_first + i) % (size_t)k->n_socks];
	free(k->line);
	k->line = line;
	k->line_first = 0;
	for (int i = size - 1; i >= k->n_socks; i--) {
		socks[i] = (struct kernel_sock){.fd = -1, .next_free = k->free_sock};
		k->free_sock = i;
	}
	k->n_socks = size;
	return true;
}

/* The number of a descriptor, which is closed where there is none to give. */
static int sock_new(struct kernel_stage *k, int node, int fd, bool v4, uint32_t uid)
{
	struct stat st;

	if (fstat(fd, &st) || (k->free_sock < 0 && !grow(k))) {
		close(fd);
		return -ENOMEM;
	}
	const int i = k->free_sock;
	struct kernel_sock *s = &k->socks[i];
	int *head = &k->by_inode[(uint32_t)st.st_ino % KERNEL_INODES];
	const bool waits = s->waits; /* the number may still be in line */

	k->free_sock = s->next_free;
	*s = (struct kernel_sock){.fd = fd,
				  .node = node,
				  .uid = uid,
				  .inode = (uint32_t)st.st_ino,
				  .v4 = v4,
				  .waits = waits,
				  .next_inode = *head};
	*head = i;
	return i;
}

static void sock_drop(struct kernel_stage *k, int i)
{
	struct kernel_sock *s = &k->socks[i];
	int *link = &k->by_inode[s->inode % KERNEL_INODES];

	while (*link != i)
		link = &k->socks[*link].next_inode;
	*link = s->next_inode;
	s->fd = -1;
	s->watched = false;
	s->next_free = k->free_sock;
	k->free_sock = i;
}

/* --------------------------------------------------------------------------------------- addresses
 */

union any_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* IPv4 stays IPv4 in an IPv4 socket; an IPv6 socket takes it v4-mapped. What an IPv4 socket cannot
 * take is handed over all the same: the answer is the kernel's. */
static socklen_t to_sockaddr(bool v4, const struct tcpwhy_addr *to, uint16_t port,
			     union any_addr *a)
{
	memset(a, 0, sizeof(*a));
	if (v4 && address_is_v4(to)) {
		a->in.sin_family = AF_INET;
		a->in.sin_port = htons(port);
		memcpy(&a->in.sin_addr, to->b + 12, 4);
		return sizeof(a->in);
	}
	a->in6.sin6_family = AF_INET6;
	a->in6.sin6_port = htons(port);
	memcpy(&a->in6.sin6_addr, to->b, 16);
	return sizeof(a->in6);
}

static void from_sockaddr(const union any_addr *a, struct tcpwhy_addr *addr, uint16_t *port)
{
	if (a->sa.sa_family == AF_INET) {
		*addr = address_v4((const uint8_t *)&a->in.sin_addr);
		*port = ntohs(a->in.sin_port);
		return;
	}
	memcpy(addr->b, &a->in6.sin6_addr, 16);
	*port = ntohs(a->in6.sin6_port);
}

/* ------------------------------------------------------------------------------------ their making
 */

struct birth {
	int domain;
	uint32_t uid;
};

/* In a thread of its own. The owner of a socket is the fsuid of who makes it. */
static int be_born(void *ctx)
{
	const struct birth *b = ctx;

	if (b->uid) {
		setfsuid(b->uid);
		if ((uint32_t)setfsuid((uid_t)-1) != b->uid)
			return STAGE_CANNOT; /* a user namespace knows but one user */
	}
	const int fd = socket(b->domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	return fd;
}

int kernel_socket(struct stage *st, int host, enum tcpwhy_family family, uint32_t uid)
{
	struct kernel_stage *k = kernel_of(st);
	const bool v4 = family == TCPWHY_IPV4;
	struct birth b = {v4 ? AF_INET : AF_INET6, uid};
	struct err err;

	must(k->begin_ns);
	const int fd = netns_run(stage_kernel_netns(k->scene, host), true, be_born, &b, &err);
	return fd < 0 ? fd : sock_new(k, host, fd, v4, uid);
}

/* An accepted socket is its caller's, too. */
int kernel_accept(struct stage *st, int sock)
{
	struct kernel_stage *k = kernel_of(st);
	const struct kernel_sock *s = kernel_sock_at(k, sock);
	const uint32_t uid = s->uid;

	const int own = uid ? setfsuid(uid) : 0;
	const int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	const int rc = fd < 0 ? -errno : 0;
	if (uid)
		setfsuid((uid_t)own);
	return rc ? rc : sock_new(k, s->node, fd, s->v4, uid);
}

int kernel_close(struct stage *st, int sock)
{
	struct kernel_stage *k = kernel_of(st);

	kernel_settle(k);
	const int rc = close(kernel_sock_at(k, sock)->fd) ? -errno : 0;

	sock_drop(k, sock);
	return rc;
}

int kernel_host_of(struct stage *st, int sock)
{
	return kernel_sock_at(kernel_of(st), sock)->node;
}

/* ----------------------------------------------------------------------------------------- options
 */

/* Options of one number: by family, where the families have different ones. */
static const struct number_option {
	int level, name, level6, name6;
} numbers[] = {
	[TCPWHY_SO_REUSEADDR] = {SOL_SOCKET, SO_REUSEADDR, SOL_SOCKET, SO_REUSEADDR},
	[TCPWHY_SO_REUSEPORT] = {SOL_SOCKET, SO_REUSEPORT, SOL_SOCKET, SO_REUSEPORT},
	[TCPWHY_IPV6_V6ONLY] = {IPPROTO_IPV6, IPV6_V6ONLY, IPPROTO_IPV6, IPV6_V6ONLY},
	[TCPWHY_IP_FREEBIND] = {IPPROTO_IP, IP_FREEBIND, IPPROTO_IPV6, IPV6_FREEBIND},
	[TCPWHY_IP_TRANSPARENT] = {IPPROTO_IP, IP_TRANSPARENT, IPPROTO_IPV6, IPV6_TRANSPARENT},
	[TCPWHY_IP_BIND_ADDRESS_NO_PORT] = {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, IPPROTO_IP,
					    IP_BIND_ADDRESS_NO_PORT},
	[TCPWHY_IP_LOCAL_PORT_RANGE] = {IPPROTO_IP, IP_LOCAL_PORT_RANGE, IPPROTO_IP,
					IP_LOCAL_PORT_RANGE},
	[TCPWHY_TCP_REPAIR] = {IPPROTO_TCP, TCP_REPAIR, IPPROTO_TCP, TCP_REPAIR},
	[TCPWHY_TCP_LINGER2] = {IPPROTO_TCP, TCP_LINGER2, IPPROTO_TCP, TCP_LINGER2},
};

static int set_linger0(int fd, bool on)
{
	const struct linger l = {on, 0};

	return setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)) ? -errno : 0;
}

/* The first socket of the group gets everything. */
static int attach(int fd)
{
	struct sock_filter first = {.code = BPF_RET | BPF_K, .k = 0};
	const struct sock_fprog program = {1, &first};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program))
		       ? -errno
		       : 0;
}

/* By name: a number that no device has would be taken (sock_bindtoindex()). */
static int bind_to_device(struct kernel_stage *k, const struct kernel_sock *s, uint64_t device)
{
	const char *name = device ? device == LOOPBACK ? "lo" : NULL : "";

	for (int l = 0; (size_t)l < k->n_links && !name; l++)
		for (int end = 0; end < 2; end++) {
			const struct rtnl_end e = stage_kernel_end(k->scene, l, end);
			if (k->links[l].ends[end].node == s->node && e.index == device)
				name = e.name;
		}
	if (!name)
		return -ENODEV;
	return setsockopt(s->fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name) + 1)
		       ? -errno
		       : 0;
}

int kernel_setsockopt(struct stage *st, int sock, enum tcpwhy_option option, uint64_t value)
{
	const struct kernel_sock *s = kernel_sock_at(kernel_of(st), sock);

	if (option == TCPWHY_SO_BINDTODEVICE)
		return bind_to_device(kernel_of(st), s, value);
	if (option == TCPWHY_SO_LINGER0)
		return set_linger0(s->fd, value);
	if (option == TCPWHY_SO_ATTACH_REUSEPORT)
		return attach(s->fd);
	if ((size_t)option >= sizeof(numbers) / sizeof(numbers[0]))
		return -EINVAL;
	const struct number_option *o = &numbers[option];
	const int number = (int)(uint32_t)value;
	const int rc = setsockopt(s->fd, s->v4 ? o->level : o->level6, s->v4 ? o->name : o->name6,
				  &number, sizeof(number));
	return rc ? -errno : 0;
}

/* ------------------------------------------------------------------------------------------- calls
 */

int kernel_bind(struct stage *st, int sock, const struct tcpwhy_addr *addr, uint16_t port)
{
	const struct kernel_sock *s = kernel_sock_at(kernel_of(st), sock);
	union any_addr a;
	const socklen_t len = to_sockaddr(s->v4, addr, port, &a);

	return bind(s->fd, &a.sa, len) ? -errno : 0;
}

int kernel_listen(struct stage *st, int sock, int backlog)
{
	kernel_settle(kernel_of(st));
	return listen(kernel_sock_at(kernel_of(st), sock)->fd, backlog) ? -errno : 0;
}

/* What connect() makes of an address that says "this host". */
static struct tcpwhy_addr meant(const struct tcpwhy_addr *a)
{
	if (!address_is_any(a))
		return *a;
	return address_is_v4(a) ? address_v4_number(INADDR_LOOPBACK)
				: (struct tcpwhy_addr){.b[15] = 1};
}

int kernel_connect(struct stage *st, int sock, const struct tcpwhy_addr *addr, uint16_t port)
{
	struct kernel_sock *s = kernel_sock_at(kernel_of(st), sock);
	union any_addr a;
	const socklen_t len = to_sockaddr(s->v4, addr, port, &a);

	kernel_settle(kernel_of(st));
	const int rc = connect(s->fd, &a.sa, len) ? -errno : 0;

	if (!rc || rc == -EINPROGRESS)
		s->peer = (struct endpoint){meant(addr), port};
	return rc;
}

/* One system call each: a second one could meet an error, which the kernel tells only once. */
int64_t kernel_send(struct stage *st, int sock, uint32_t bytes)
{
	const int fd = kernel_sock_at(kernel_of(st), sock)->fd;
	struct iovec all[CHUNKS];
	struct msghdr m = {.msg_iov = all};

	do {
		const uint32_t length = bytes < CHUNK ? bytes : CHUNK;
		all[m.msg_iovlen++] = (struct iovec){(void *)(uintptr_t)zeros, length};
		bytes -= length;
	} while (bytes && m.msg_iovlen < CHUNKS);
	const ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

/* Nobody wants the bytes: MSG_TRUNC lets the kernel forget them (tcp(7)). */
int64_t kernel_recv(struct stage *st, int sock, uint32_t max_bytes)
{
	const int fd = kernel_sock_at(kernel_of(st), sock)->fd;
	const ssize_t n = recv(fd, NULL, max_bytes, MSG_TRUNC);

	return n < 0 ? -errno : n;
}

int kernel_shutdown(struct stage *st, int sock, enum tcpwhy_how how)
{
	static const int hows[] = {[TCPWHY_SHUT_RD] = SHUT_RD,
				   [TCPWHY_SHUT_WR] = SHUT_WR,
				   [TCPWHY_SHUT_RDWR] = SHUT_RDWR};

	kernel_settle(kernel_of(st));
	return shutdown(kernel_sock_at(kernel_of(st), sock)->fd, hows[how]) ? -errno : 0;
}

int kernel_error(struct stage *st, int sock)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(kernel_sock_at(kernel_of(st), sock)->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		return -errno;
	return error;
}

int kernel_sockname(struct stage *st, int sock, struct tcpwhy_addr *addr, uint16_t *port)
{
	union any_addr a;
	socklen_t len = sizeof(a);

	if (getsockname(kernel_sock_at(kernel_of(st), sock)->fd, &a.sa, &len))
		return -errno;
	from_sockaddr(&a, addr, port);
	return 0;
}

int kernel_peername(struct stage *st, int sock, struct tcpwhy_addr *addr, uint16_t *port)
{
	union any_addr a;
	socklen_t len = sizeof(a);

	if (getpeername(kernel_sock_at(kernel_of(st), sock)->fd, &a.sa, &len))
		return -errno;
	from_sockaddr(&a, addr, port);
	return 0;
}
