/* SPDX-License-Identifier: MIT */
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif
#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
#ifndef TCP_REPAIR_OFF_NO_WP
#define TCP_REPAIR_OFF_NO_WP (-1)
#endif

enum { ANSWER_MS = 1500, ENOUGH_TRIES = 10, POLL_STEP_NS = 200000, BACKLOG = 1000 };

union any_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

uint64_t kernel_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void pause_ns(long ns)
{
	nanosleep(&(struct timespec){ns / 1000000000, ns % 1000000000}, NULL);
}

/* What the kernel reads: a v6 socket takes v4 as mapped; a v4 socket is shown IPv6 as such, to be
 * refused. */
static socklen_t to_sockaddr(uint8_t family, const struct endpoint *at, union any_addr *a)
{
	memset(a, 0, sizeof(*a));
	if (family == TCPWHY_IPV4 && address_is_v4(&at->addr)) {
		a->in.sin_family = AF_INET;
		a->in.sin_port = htons(at->port);
		memcpy(&a->in.sin_addr, at->addr.b + 12, 4);
		return sizeof(a->in);
	}
	a->in6.sin6_family = AF_INET6;
	a->in6.sin6_port = htons(at->port);
	memcpy(&a->in6.sin6_addr, at->addr.b, 16);
	return sizeof(a->in6);
}

static struct endpoint from_sockaddr(const union any_addr *a)
{
	struct endpoint at;

	if (a->sa.sa_family == AF_INET) {
		at.addr = address_v4_number(ntohl(a->in.sin_addr.s_addr));
		at.port = ntohs(a->in.sin_port);
	} else {
		memcpy(at.addr.b, &a->in6.sin6_addr, 16);
		at.port = ntohs(a->in6.sin6_port);
	}
	return at;
}

/* The script's user makes the call: effective uid only, so that the way back stays open. */
static void become(uint32_t uid)
{
	if (syscall(SYS_setresuid, -1, uid, -1))
		abort();
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* which a change of uid takes away */
}

/* ------------------------------------------------------------------------------------ looking */

void kernel_look(const struct kernel *k, unsigned sock, struct seen *seen)
{
	const int fd = k->socks[sock].fd;
	union any_addr a = {0};
	socklen_t len = 1;

	*seen = (struct seen){0};
	/* one byte of tcp_info is its first field, the state */
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &seen->state, &len))
		return;
	len = sizeof(a);
	if (!getsockname(fd, &a.sa, &len))
		seen->local = from_sockaddr(&a);
	if (seen->state == TCPWHY_CLOSE && seen->local.port)
		seen->state = TCPWHY_BOUND;
	len = sizeof(a);
	if (!getpeername(fd, &a.sa, &len))
		seen->peer = from_sockaddr(&a);
}

static unsigned read_count(int fd, const char *key)
{
	char text[512];
	const ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	const char *found = strstr(text, key);
	return found ? (unsigned)strtoul(found + strlen(key), NULL, 10) : 0;
}

struct counts kernel_counts(const struct kernel *k)
{
	char text[512];
	const ssize_t n = pread(k->sockstat, text, sizeof(text) - 1, 0);
	struct counts c = {0};

	text[n > 0 ? n : 0] = '\0';
	const char *tcp = strstr(text, "TCP: inuse ");
	if (tcp && sscanf(tcp, "TCP: inuse %u orphan %*u tw %u", &c.inuse, &c.timewait) != 2)
		c = (struct counts){0};
	c.inuse += read_count(k->sockstat6, "TCP6: inuse ");
	return c;
}

/* Length of a listener's accept queue. */
static unsigned queue_length(int fd)
{
	struct tcp_info info;
	socklen_t len = offsetof(struct tcp_info, tcpi_sacked);

	memset(&info, 0, sizeof(info));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) || info.tcpi_state != TCP_LISTEN)
		return 0;
	return info.tcpi_unacked;
}

static void queue_lengths(const struct kernel *k, unsigned lengths[SCRIPT_SOCKETS])
{
	for (unsigned i = 0; i < SCRIPT_SOCKETS; i++)
		lengths[i] = k->socks[i].fd < 0 ? 0 : queue_length(k->socks[i].fd);
}

/* The client is connected before the last ACK has reached the listener, if the softirq was put off.
 */
static int find_child(const struct kernel *k, const unsigned before[SCRIPT_SOCKETS])
{
	unsigned now[SCRIPT_SOCKETS];

	for (int tries = 0; tries < 200; tries++) {
		queue_lengths(k, now);
		for (int i = 0; i < SCRIPT_SOCKETS; i++)
			if (now[i] > before[i])
				return i;
		pause_ns(POLL_STEP_NS);
	}
	return -1;
}

/* ------------------------------------------------------------------------------------- routes */

/* By name: SO_BINDTOIFINDEX takes any number. */
static int bind_to_device(int fd, uint32_t device)
{
	static const char *const names[] = {"", "lo", "v0", "v1", "none"};
	const char *name = names[device < 4 ? device : 4];

	return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name) + 1);
}

/* What the route gives, asked of the kernel with a UDP socket: connect() sends nothing. */
static void probe_route(struct route *r)
{
	const uint8_t family = address_is_v4(&r->to) ? TCPWHY_IPV4 : TCPWHY_IPV6;
	const int fd =
		socket(family == TCPWHY_IPV4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const struct endpoint from = {r->from, 0}, to = {r->to, 9};
	union any_addr a;
	socklen_t len = sizeof(a);
	int rc = fd < 0;

	if (!rc && r->device)
		rc = bind_to_device(fd, r->device);
	if (!rc && !address_is_any(&r->from))
		rc = bind(fd, &a.sa, to_sockaddr(family, &from, &a));
	if (!rc)
		rc = connect(fd, &a.sa, to_sockaddr(family, &to, &a));
	if (!rc)
		rc = getsockname(fd, &a.sa, &len);
	r->error = rc ? errno : 0;
	if (!rc)
		r->source = from_sockaddr(&a).addr;
	if (fd >= 0)
		close(fd);
}

static const struct route *find_route(struct kernel *k, const struct tcpwhy_addr *to,
				      const struct tcpwhy_addr *from, uint32_t device)
{
	for (size_t i = 0; i < k->n_routes; i++) {
		const struct route *r = &k->routes[i];
		if (r->device == device && address_equal(&r->to, to) &&
		    address_equal(&r->from, from))
			return r;
	}
	if (k->n_routes == KERNEL_ROUTES)
		k->n_routes = 0;
	struct route *r = &k->routes[k->n_routes++];
	*r = (struct route){.to = *to, .from = *from, .device = device};
	probe_route(r);
	return r;
}

static bool is_local(const struct tcpwhy_addr *a)
{
	struct netns_addr addrs[NETNS_ADDRS];

	netns_addrs(addrs);
	for (size_t i = 0; i < NETNS_ADDRS; i++)
		if (addrs[i].kind == TCPWHY_LOCAL &&
		    address_in_prefix(a, &addrs[i].prefix, addrs[i].prefix_len))
			return true;
	return false;
}

static bool is_group(const struct tcpwhy_addr *a)
{
	struct netns_addr addrs[NETNS_ADDRS];

	netns_addrs(addrs);
	for (size_t i = 0; i < NETNS_ADDRS; i++)
		if (addrs[i].kind == TCPWHY_LOCAL_BROADCAST && address_equal(a, &addrs[i].prefix))
			return true;
	return address_is_multicast4(a);
}

static bool has_device_listener(const struct kernel *k)
{
	for (unsigned i = 0; i < SCRIPT_SOCKETS; i++)
		if (k->socks[i].fd >= 0 && k->socks[i].device)
			return true;
	return false;
}

/* Packets of an IPv6 loopback address, or of a socket that is bound to lo, reach loopback addresses
 * only. */
static bool is_answered(const struct kernel *k, const struct tcpwhy_addr *source,
			const struct tcpwhy_addr *to)
{
	const bool from_loopback = address_is_loopback(source),
		   to_loopback = address_is_loopback(to);

	if (!is_local(to) || !is_local(source))
		return false;
	if (!address_is_v4(to) && from_loopback != to_loopback)
		return false;
	return (from_loopback && to_loopback) || !has_device_listener(k);
}

/* Would the SYN stay in the loopback world, or go to the one address that never answers? Refusals
 * that need no route are asked as well. Fills o->source. */
static bool is_routed(struct kernel *k, const struct call *c, struct outcome *o)
{
	const struct kernel_sock *s = &k->socks[c->sock];
	const struct tcpwhy_addr *to = &c->at.addr, *from = &o->before.local.addr;
	const bool v4 = address_is_v4(to);
	const struct tcpwhy_addr silent = netns_silent(v4 ? TCPWHY_IPV4 : TCPWHY_IPV6);
	const bool is_silent = address_equal(to, &silent);

	if (o->before.state != TCPWHY_CLOSE && o->before.state != TCPWHY_BOUND)
		return true;
	if ((s->family == TCPWHY_IPV4 && !v4) || (s->v6only && v4))
		return true;
	if (s->was_mapped && !v4)
		return false;
	if (s->shut_early) /* with itself it would be aborted in the middle of the handshake */
		return false;
	if (s->device && s->device != (is_silent ? NETNS_V0 : NETNS_LO))
		return false;
	/* a v6 socket bound to an address of the other kind takes a made-up source */
	if (address_is_v4(from) != v4 && !(address_is_any(from) && !address_is_v4(from)))
		return false;
	const struct tcpwhy_addr none = v4 ? address_v4_number(0) : (struct tcpwhy_addr){0};
	/* a group or broadcast address binds, but does not become the source */
	const bool no_source = address_is_any(from) || is_group(from);
	if (no_source && !address_is_any(from) && s->family == TCPWHY_IPV6)
		return false; /* there it stays the source, and no route takes it */
	const struct route *r = find_route(k, to, no_source ? &none : from, s->device);
	o->source = r->source;
	return !r->error && (is_silent || is_answered(k, &r->source, to));
}

/* ------------------------------------------------------------------------------------- options */

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

static int attach_steering(int fd)
{
	struct sock_filter first = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog program = {.len = 1, .filter = &first};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program));
}

static int set_option(int fd, enum tcpwhy_option option, const uint32_t v[2])
{
	const int value = (int)v[0];
	const struct linger linger = {value, 0};

	switch (option) {
	case TCPWHY_SO_REUSEADDR:
		return set_int(fd, SOL_SOCKET, SO_REUSEADDR, value);
	case TCPWHY_SO_REUSEPORT:
		return set_int(fd, SOL_SOCKET, SO_REUSEPORT, value);
	case TCPWHY_SO_BINDTODEVICE:
		return bind_to_device(fd, v[0]);
	case TCPWHY_SO_LINGER0:
		return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	case TCPWHY_SO_ATTACH_REUSEPORT:
		return attach_steering(fd);
	case TCPWHY_IPV6_V6ONLY:
		return set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, value);
	case TCPWHY_IP_FREEBIND:
		return set_int(fd, IPPROTO_IP, IP_FREEBIND, value);
	case TCPWHY_IP_TRANSPARENT:
		return set_int(fd, IPPROTO_IP, IP_TRANSPARENT, value);
	case TCPWHY_IP_BIND_ADDRESS_NO_PORT:
		return set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, value);
	case TCPWHY_IP_LOCAL_PORT_RANGE:
		return set_int(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, (int)(v[0] | v[1] << 16));
	case TCPWHY_TCP_REPAIR:
		return set_int(fd, IPPROTO_TCP, TCP_REPAIR, value ? value : TCP_REPAIR_OFF_NO_WP);
	case TCPWHY_TCP_LINGER2:
		return set_int(fd, IPPROTO_TCP, TCP_LINGER2, value);
	}
	return -1;
}

/* Options that would cut a living connection off its packets, or switch its TCP off, are not part
 * of scripts. */
static bool is_settable(const struct kernel_sock *s, enum tcpwhy_option option, uint8_t state)
{
	(void)s;
	const bool idle = state == TCPWHY_CLOSE || state == TCPWHY_BOUND;

	if (option == TCPWHY_TCP_REPAIR)
		return idle;
	if (option == TCPWHY_SO_BINDTODEVICE)
		return idle || state == TCPWHY_LISTEN;
	return true;
}

static void play_set(struct kernel *k, const struct call *c, struct outcome *o)
{
	struct kernel_sock *s = &k->socks[c->sock];
	const enum tcpwhy_option option = script_options[c->which].option;

	if (!is_settable(s, option, o->before.state)) {
		o->skipped = true;
		return;
	}
	if (set_option(s->fd, option, c->value)) {
		o->error = errno;
		return;
	}
	if (option == TCPWHY_SO_BINDTODEVICE)
		s->device = c->value[0];
	if (option == TCPWHY_TCP_REPAIR)
		s->repair = c->value[0];
	if (option == TCPWHY_IPV6_V6ONLY)
		s->v6only = c->value[0];
}

/* --------------------------------------------------------------------------------- other calls */

static int write_sysctl(enum script_sysctl which, const uint32_t value[2])
{
	char path[128], text[32];

	snprintf(path, sizeof(path), "/proc/sys/net/%s", script_sysctls[which].path);
	if (which == SYSCTL_RESERVED)
		snprintf(text, sizeof(text), value[0] ? "%u-%u" : "\n", value[0], value[1]);
	else
		snprintf(text, sizeof(text), script_sysctls[which].values == 2 ? "%d %d" : "%d",
			 (int)value[0], (int)value[1]);
	const int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	const int rc = write(fd, text, strlen(text)) < 0 ? errno : 0;
	close(fd);
	return rc;
}

static void play_sysctl(struct kernel *k, const struct call *c, struct outcome *o)
{
	o->lacking = o->skipped = k->lacks[c->which];
	if (o->skipped)
		return;
	o->error = write_sysctl(c->which, c->value);
	if (!o->error)
		memcpy(k->sysctls[c->which], c->value, sizeof(c->value));
}

static void play_socket(struct kernel *k, const struct call *c, struct outcome *o)
{
	struct kernel_sock *s = &k->socks[c->sock];
	const int domain = c->family == TCPWHY_IPV4 ? AF_INET : AF_INET6;
	int v6only = 0;
	socklen_t len = sizeof(v6only);

	if (s->fd >= 0) {
		o->skipped = true;
		return;
	}
	become(k->uid);
	const int fd = socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	o->error = fd < 0 ? errno : 0;
	become(0);
	if (domain == AF_INET6)
		getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &len);
	*s = (struct kernel_sock){.fd = fd, .family = c->family, .uid = k->uid, .v6only = v6only};
}

static void play_accept(struct kernel *k, const struct call *c, struct outcome *o)
{
	struct kernel_sock *s = &k->socks[c->sock];
	const struct kernel_sock *l = &k->socks[c->listener];

	if (s->fd >= 0 || l->fd < 0) {
		o->skipped = true;
		return;
	}
	become(k->uid);
	const int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	o->error = fd < 0 ? errno : 0;
	become(0);
	*s = (struct kernel_sock){.fd = fd,
				  .family = l->family,
				  .uid = k->uid,
				  .device = l->device,
				  .v6only = l->v6only};
}

static void play_bind(struct kernel *k, const struct call *c, struct outcome *o)
{
	const struct kernel_sock *s = &k->socks[c->sock];
	union any_addr a;
	const socklen_t len = to_sockaddr(s->family, &c->at, &a);

	become(s->uid);
	o->error = bind(s->fd, &a.sa, len) ? errno : 0;
	become(0);
}

static void play_listen(struct kernel *k, const struct call *c, struct outcome *o)
{
	const struct kernel_sock *s = &k->socks[c->sock];

	if (s->repair || s->was_mapped) {
		o->skipped = true;
		return;
	}
	become(s->uid);
	o->error = listen(s->fd, BACKLOG) ? errno : 0;
	become(0);
}

/* connect() until the answer is known. The second call is what moves the socket's own state on
 * (__inet_stream_connect()); EALREADY then means that the SYN is still unanswered. */
static int connect_through(int fd, const union any_addr *a, socklen_t len, bool is_silent)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	if (!connect(fd, &a->sa, len))
		return 0;
	if (errno != EINPROGRESS)
		return errno;
	if (!is_silent)
		poll(&p, 1, ANSWER_MS);
	if (!connect(fd, &a->sa, len))
		return 0;
	return errno == EALREADY ? EINPROGRESS : errno;
}

static void play_connect(struct kernel *k, const struct call *c, struct outcome *o)
{
	const struct kernel_sock *s = &k->socks[c->sock];
	unsigned before[SCRIPT_SOCKETS];
	const struct tcpwhy_addr silent4 = netns_silent(TCPWHY_IPV4),
				 silent6 = netns_silent(TCPWHY_IPV6);
	const bool is_silent =
		address_equal(&c->at.addr, &silent4) || address_equal(&c->at.addr, &silent6);
	union any_addr a;
	const socklen_t len = to_sockaddr(s->family, &c->at, &a);

	if (s->repair || !is_routed(k, c, o)) {
		o->skipped = true;
		return;
	}
	k->socks[c->sock].was_mapped |= s->family == TCPWHY_IPV6 && address_is_v4(&c->at.addr);
	queue_lengths(k, before);
	o->start_ns = kernel_now();
	become(s->uid);
	o->error = connect_through(s->fd, &a, len, is_silent);
	become(0);
	o->end_ns = kernel_now();
	if (o->error)
		return;
	kernel_look(k, c->sock, &o->after);
	const bool self = o->after.local.port == o->after.peer.port &&
			  address_equal(&o->after.local.addr, &o->after.peer.addr);
	if (!self && o->before.state != TCPWHY_ESTABLISHED)
		o->listener = find_child(k, before);
}

static void play_close(struct kernel *k, const struct call *c, struct outcome *o)
{
	close(k->socks[c->sock].fd);
	k->socks[c->sock] = (struct kernel_sock){.fd = -1};
	o->after = (struct seen){0};
}

static void play_tuple(struct kernel *k, const struct call *c, struct outcome *o)
{
	int rc = diag_find(&k->diag, &c->at, &c->peer, NETNS_LO, &o->tuple);

	if (!rc && c->kind == CALL_DESTROY)
		rc = o->tuple.timewait ? diag_destroy(&k->diag, &o->tuple) : -ENOENT;
	o->lacking = o->skipped = rc == -EOPNOTSUPP;
	o->error = -rc;
}

static bool has_sock(enum call_kind kind)
{
	return kind == CALL_SET || kind == CALL_BIND || kind == CALL_LISTEN ||
	       kind == CALL_CONNECT || kind == CALL_SHUTDOWN || kind == CALL_CLOSE;
}

static void play_one(struct kernel *k, const struct call *c, struct outcome *o)
{
	static const int how[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};

	switch (c->kind) {
	case CALL_SOCKET:
		play_socket(k, c, o);
		break;
	case CALL_SET:
		play_set(k, c, o);
		break;
	case CALL_BIND:
		play_bind(k, c, o);
		break;
	case CALL_LISTEN:
		play_listen(k, c, o);
		break;
	case CALL_CONNECT:
		play_connect(k, c, o);
		break;
	case CALL_ACCEPT:
		play_accept(k, c, o);
		break;
	case CALL_SHUTDOWN:
		o->error = shutdown(k->socks[c->sock].fd, how[c->which]) ? errno : 0;
		k->socks[c->sock].shut_early |= o->error && c->which != TCPWHY_SHUT_RD;
		break;
	case CALL_CLOSE:
		play_close(k, c, o);
		break;
	case CALL_UID:
		k->uid = c->value[0];
		break;
	case CALL_SYSCTL:
		play_sysctl(k, c, o);
		break;
	case CALL_WAIT:
		pause_ns((long)c->value[0] * 1000000);
		break;
	case CALL_DESTROY:
		play_tuple(k, c, o);
		break;
	case CALL_STATE:
		if (c->by_tuple)
			play_tuple(k, c, o);
		break;
	case CALL_SETTLE:
	case CALL_KINDS:
		break;
	}
}

void kernel_play(struct kernel *k, const struct call *c, struct outcome *o)
{
	*o = (struct outcome){.listener = -1};
	if (has_sock(c->kind)) {
		if (k->socks[c->sock].fd < 0) {
			o->skipped = true;
			return;
		}
		kernel_look(k, c->sock, &o->before);
	}
	o->start_ns = kernel_now();
	play_one(k, c, o);
	if (c->kind != CALL_CONNECT)
		o->end_ns = kernel_now();
	const bool made = c->kind == CALL_SOCKET || c->kind == CALL_ACCEPT;
	if ((has_sock(c->kind) || made) && k->socks[c->sock].fd >= 0)
		kernel_look(k, c->sock, &o->after);
}

/* ----------------------------------------------------------------------------- open and reset */

static void close_views(struct kernel *k)
{
	diag_close(&k->diag);
	if (k->sockstat >= 0)
		close(k->sockstat);
	if (k->sockstat6 >= 0)
		close(k->sockstat6);
}

/* What looks into the namespace that the process is in. */
static int open_views(struct kernel *k, struct err *err)
{
	k->sockstat = open("/proc/thread-self/net/sockstat", O_RDONLY | O_CLOEXEC);
	k->sockstat6 = open("/proc/thread-self/net/sockstat6", O_RDONLY | O_CLOEXEC);
	const int rc = k->sockstat < 0 || k->sockstat6 < 0 ? -errno : diag_open(&k->diag);
	if (rc)
		snprintf(err->text, sizeof(err->text), "sock_diag and sockstat: %s", strerror(-rc));
	for (unsigned i = 0; i < SYSCTLS; i++)
		k->sysctls[i][0] = UINT32_MAX; /* unlike any: the first reset writes them all */
	return rc;
}

/* Does a dump show a socket that only bound? */
static bool hides_bound(struct kernel *k)
{
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct endpoint any = {.addr = address_v4_number(0x7f000001)};
	struct diag_sock found;
	union any_addr a;
	size_t n = 0;

	bind(fd, &a.sa, to_sockaddr(TCPWHY_IPV4, &any, &a));
	const int rc = diag_dump(&k->diag, &found, 1, &n);
	close(fd);
	return !rc && !n;
}

int kernel_open(struct kernel *k, struct err *err)
{
	*k = (struct kernel){.diag = {.talk = {.nl = NULL}}};
	for (unsigned i = 0; i < SCRIPT_SOCKETS; i++)
		k->socks[i].fd = -1;
	int rc = open_views(k, err);
	if (!rc)
		rc = kernel_reset(k, err);
	if (rc) {
		kernel_close(k);
		return rc;
	}
	k->hides_bound = hides_bound(k);
	return 0;
}

static void close_all(struct kernel *k)
{
	for (unsigned i = 0; i < SCRIPT_SOCKETS; i++) {
		if (k->socks[i].fd < 0)
			continue;
		setsockopt(k->socks[i].fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0},
			   sizeof(struct linger));
		close(k->socks[i].fd);
		k->socks[i] = (struct kernel_sock){.fd = -1};
	}
	k->uid = 0;
}

void kernel_close(struct kernel *k)
{
	close_all(k);
	close_views(k);
}

static int reset_sysctls(struct kernel *k)
{
	/* The privileged ports end below the range, so whichever of the two goes up must go second.
	 */
	static const uint32_t low[2] = {0, 0};
	int rc = 0;

	if (memcmp(k->sysctls[SYSCTL_PORT_RANGE], script_sysctls[SYSCTL_PORT_RANGE].fresh,
		   sizeof(low)) ||
	    memcmp(k->sysctls[SYSCTL_UNPRIVILEGED], script_sysctls[SYSCTL_UNPRIVILEGED].fresh,
		   sizeof(low))) {
		rc = write_sysctl(SYSCTL_UNPRIVILEGED, low);
		k->sysctls[SYSCTL_UNPRIVILEGED][0] = 0;
	}
	for (unsigned i = 0; !rc && i < SYSCTLS; i++) {
		const uint32_t *fresh = script_sysctls[i].fresh;
		if (!memcmp(k->sysctls[i], fresh, sizeof(k->sysctls[i])))
			continue;
		rc = write_sysctl(i, fresh);
		k->lacks[i] = rc == ENOENT;
		if (k->lacks[i])
			rc = 0;
		memcpy(k->sysctls[i], fresh, sizeof(k->sysctls[i]));
	}
	return -rc;
}

/* Sockets without a descriptor: mini-sockets, and orphans that wait for an ACK. */
static int destroy_rest(struct kernel *k)
{
	enum { MAX = 512 };
	struct diag_sock *socks = calloc(MAX, sizeof(*socks));
	size_t n = 0;
	int rc = socks ? diag_dump(&k->diag, socks, MAX, &n) : -ENOMEM;

	for (size_t i = 0; !rc && i < n && i < MAX; i++)
		diag_destroy(&k->diag, &socks[i]);
	free(socks);
	return rc == -EINTR ? 0 : rc;
}

/* The old namespace ends, and what is in it, once nothing of ours is left there. */
static int renew_namespace(struct kernel *k, struct err *err)
{
	close_views(k);
	const int rc = netns_enter(err);
	return rc ? rc : open_views(k, err);
}

int kernel_reset(struct kernel *k, struct err *err)
{
	struct counts c = {0};
	int rc = 0;

	close_all(k);
	for (int tries = 0; !rc && tries < 50; tries++) {
		c = kernel_counts(k);
		if (!c.inuse && !c.timewait)
			break;
		if (tries == ENOUGH_TRIES) {
			rc = renew_namespace(k, err);
			if (rc)
				return rc;
			continue;
		}
		if (tries > 1)
			pause_ns(1000000);
		rc = destroy_rest(k);
	}
	if (!rc && (c.inuse || c.timewait))
		rc = -EBUSY;
	if (!rc)
		rc = reset_sysctls(k);
	if (rc)
		snprintf(err->text, sizeof(err->text),
			 "an empty namespace (%u sockets, %u TIME_WAIT): %s", c.inuse, c.timewait,
			 strerror(-rc));
	return rc;
}
