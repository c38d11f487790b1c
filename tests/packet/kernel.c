/* SPDX-License-Identifier: MIT */
#include "kernel.h"

#include "case/hostns.h"

#include "base/address.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_BYTES = 65536, SETTLE_NS = 100000000, ENOUGH_TRIES = 10 };

/* What is the same in every script. */
static const struct {
	const char *path, *value;
} fixed_sysctls[] = {
	{"ipv4/tcp_early_retrans", "0"},   {"ipv4/tcp_recovery", "0"},
	{"ipv4/tcp_reordering", "127"},    {"ipv4/tcp_frto", "0"},
	{"ipv4/tcp_dsack", "0"},           {"ipv4/tcp_autocorking", "0"},
	{"ipv4/tcp_comp_sack_nr", "0"},    {"ipv4/tcp_no_metrics_save", "1"},
	{"ipv4/tcp_moderate_rcvbuf", "0"}, {"ipv4/tcp_fastopen", "0"},
	{"ipv4/tcp_window_scaling", "0"},  {"ipv4/tcp_ecn", "0"},
};

static const uint8_t payload[MAX_BYTES];

uint64_t kernel_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ------------------------------------------------------------------------------------- the calls
 */

union any_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static socklen_t to_sockaddr(uint8_t family, const struct tcpwhy_addr *to, uint16_t port,
			     union any_addr *a)
{
	memset(a, 0, sizeof(*a));
	if (family == TCPWHY_IPV4) {
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

static int64_t result_of(int64_t rc)
{
	return rc < 0 ? -errno : rc;
}

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

static int64_t keep(struct kernel *k, const struct step *s, uint8_t family, int fd)
{
	if (fd < 0)
		return -errno;
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	k->fds[s->sock] = fd;
	k->families[s->sock] = family;
	return 0;
}

static int64_t call_set(int fd, const struct step *s)
{
	const int value = (int)s->value[0];
	const struct linger linger = {value, 0};

	switch ((enum script_option)s->which) {
	case OPTION_REUSEADDR:
		return set_int(fd, SOL_SOCKET, SO_REUSEADDR, value);
	case OPTION_LINGER0:
		return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	case OPTION_LINGER2:
		return set_int(fd, IPPROTO_TCP, TCP_LINGER2, value);
	case OPTION_V6ONLY:
		return set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, value);
	case OPTIONS:
		break;
	}
	return -1;
}

static int64_t call_bind(const struct kernel *k, const struct step *s)
{
	const uint8_t family = k->families[s->sock];
	const struct tcpwhy_addr any = {0};
	union any_addr a;

	return bind(k->fds[s->sock], &a.sa, to_sockaddr(family, &any, (uint16_t)s->value[0], &a));
}

static int64_t call_connect(const struct kernel *k, const struct step *s)
{
	const uint8_t family = k->families[s->sock];
	const struct tcpwhy_addr peer = wire_peer(family);
	union any_addr a;

	return connect(k->fds[s->sock], &a.sa,
		       to_sockaddr(family, &peer, (uint16_t)s->value[0], &a));
}

static int64_t call_recv(int fd, int64_t bytes)
{
	static uint8_t buf[MAX_BYTES];

	return recv(fd, buf, bytes < MAX_BYTES ? (size_t)bytes : MAX_BYTES, MSG_DONTWAIT);
}

static int64_t call_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) ? -1 : error;
}

static int64_t call_socket(struct kernel *k, const struct step *s)
{
	const int domain = s->flow.family == TCPWHY_IPV4 ? AF_INET : AF_INET6;

	return keep(k, s, s->flow.family,
		    socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

static int64_t call_close(struct kernel *k, unsigned sock)
{
	const int rc = close(k->fds[sock]);

	k->fds[sock] = -1;
	return rc;
}

static int write_sysctl(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	const int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	const int rc = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static int set_sysctl(struct kernel *k, enum script_sysctl which, uint32_t value)
{
	char text[16];

	if (k->sysctls[which] == value)
		return 0;
	snprintf(text, sizeof(text), "%u", value);
	const int rc = write_sysctl(script_sysctls[which].path, text);
	k->lacks[which] = rc == -ENOENT;
	if (!rc || k->lacks[which])
		k->sysctls[which] = value;
	return k->lacks[which] ? 0 : rc;
}

static void sleep_ms(int64_t ms)
{
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static int64_t call_on(struct kernel *k, const struct step *s, int fd)
{
	static const int how[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};

	switch ((enum step_kind)s->kind) {
	case STEP_SET:
		return call_set(fd, s);
	case STEP_BIND:
		return call_bind(k, s);
	case STEP_LISTEN:
		return listen(fd, (int)s->value[0]);
	case STEP_CONNECT:
		return call_connect(k, s);
	case STEP_SEND:
		return send(fd, payload, (size_t)s->value[0] % (size_t)MAX_BYTES,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
	case STEP_RECV:
		return call_recv(fd, s->value[0]);
	case STEP_ERROR:
		return call_error(fd);
	case STEP_SHUTDOWN:
		return shutdown(fd, how[s->which]);
	case STEP_CLOSE:
		return call_close(k, s->sock);
	default:
		return 0;
	}
}

void kernel_call(struct kernel *k, const struct step *s, struct observed *o)
{
	const bool makes = s->kind == STEP_SOCKET || s->kind == STEP_ACCEPT;

	o->skipped = (k->fds[s->sock] >= 0) == makes ||
		     (s->kind == STEP_ACCEPT && k->fds[s->listener] < 0);
	o->result = 0;
	if (s->kind == STEP_SYSCTL || s->kind == STEP_WAIT)
		o->skipped = false;
	if (o->skipped)
		return;
	if (s->kind == STEP_SYSCTL)
		o->result = set_sysctl(k, s->which, (uint32_t)s->value[0]);
	else if (s->kind == STEP_WAIT)
		sleep_ms(s->value[0]);
	else if (s->kind == STEP_SOCKET)
		o->result = call_socket(k, s);
	else if (s->kind == STEP_ACCEPT)
		o->result = keep(
			k, s, k->families[s->listener],
			accept4(k->fds[s->listener], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
	else
		o->result = result_of(call_on(k, s, k->fds[s->sock]));
}

uint16_t kernel_port(const struct kernel *k, unsigned sock)
{
	union any_addr a = {0};
	socklen_t len = sizeof(a);

	/* it is at the same place in both families' sockaddr */
	if (k->fds[sock] < 0 || getsockname(k->fds[sock], &a.sa, &len))
		return 0;
	return ntohs(a.in.sin_port);
}

/* ------------------------------------------------------------------------------------- segments */

int kernel_inject(struct kernel *k, const struct segment *s)
{
	const struct frame f = {
		.from = s->from,
		.to = s->to,
		.from_port = s->from_port,
		.to_port = s->to_port,
		.flags = s->flags,
		.window = (uint16_t)s->window,
		.seq = s->seq,
		.ack = s->ack,
		.has_mss = s->flags & SEGMENT_SYN,
		.mss = 1460,
		.has_timestamps = s->has_timestamp,
		.tsval = s->tsval,
		.tsecr = s->tsecr,
		.sack_permitted = s->sack_permitted,
		.payload_len = (uint16_t)s->length,
		.payload = payload,
	};
	const int rc = remote_send(&k->remote, &f);

	if (!rc)
		k->injected++;
	return rc;
}

static struct segment from_frame(const struct frame *f)
{
	struct segment s = {
		.from = f->from,
		.to = f->to,
		.from_port = f->from_port,
		.to_port = f->to_port,
		.flags = f->flags & (FRAME_FIN | FRAME_SYN | FRAME_RST | FRAME_PSH | FRAME_ACK),
		.sack_permitted = f->sack_permitted,
		.has_timestamp = f->has_timestamps,
		.has_sack = f->n_sacks,
		.seq = f->seq,
		.ack = f->ack,
		.length = f->payload_len,
		.window = f->window,
		.tsval = f->tsval,
		.tsecr = f->tsecr,
	};

	for (unsigned i = 0; i < f->n_sacks; i++)
		if (!i || seq_after(f->sacks[i].right, s.sack_edge))
			s.sack_edge = f->sacks[i].right;
	return s;
}

static int take_segments(struct kernel *k, struct observed *o)
{
	static uint8_t buf[FRAME_MAX];
	struct frame f;
	int rc;

	while (!(rc = remote_receive(&k->remote, buf, sizeof(buf), 0, &f))) {
		if (o->n_out == PLAYER_OUT)
			return -ENOBUFS;
		o->out[o->n_out++] = from_frame(&f);
	}
	return rc == -ETIMEDOUT ? 0 : rc;
}

/* Segments are processed in the sender's softirq, or soon after it; the host counts each first. */
static int settle(struct kernel *k, struct observed *o)
{
	const uint64_t until = kernel_now() + SETTLE_NS;
	struct counted now;
	int rc;

	while (!(rc = tally_read(&k->tally, &now)) && now.in_segs < k->injected) {
		if (kernel_now() > until)
			return -ETIMEDOUT;
		sched_yield();
	}
	for (unsigned i = 0; !rc && i < COUNTER_COUNT; i++)
		o->counters[i] = now.value[i] - k->zero[i];
	return rc ? rc : take_segments(k, o);
}

/* -------------------------------------------------------------------------------------- looking */

static void look_sock(int fd, struct seen_sock *s)
{
	struct tcp_info info;
	union any_addr a;
	socklen_t len = offsetof(struct tcp_info, tcpi_lost);
	int unread = 0;

	*s = (struct seen_sock){.open = fd >= 0};
	if (fd < 0)
		return;
	memset(&info, 0, sizeof(info));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		return;
	s->state = info.tcpi_state;
	if (s->state == TCPWHY_LISTEN) {
		s->queue = info.tcpi_unacked;
		s->backlog = info.tcpi_sacked;
		return;
	}
	len = sizeof(a);
	s->has_peer = !getpeername(fd, &a.sa, &len);
	if (!ioctl(fd, FIONREAD, &unread))
		s->unread = (uint32_t)unread;
}

static int find(struct kernel *k, const struct flow *f, struct diag_sock *found)
{
	const struct endpoint host = {wire_host(f->family), f->host_port},
			      peer = {wire_peer(f->family), f->peer_port};

	return diag_find(&k->diag, &host, &peer, REMOTE_DEVICE, found);
}

static int look_flow(struct kernel *k, const struct flow *f, struct seen_flow *s)
{
	struct diag_sock found;
	const int rc = find(k, f, &found);

	*s = (struct seen_flow){.state = TCPWHY_CLOSE};
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	*s = (struct seen_flow){
		.state = found.state,
		.timewait = found.timewait,
		.timer = found.timer,
		.left_ns = found.expires_ms * 1000000ull,
		.retransmits = found.retransmits,
	};
	return 0;
}

int kernel_look(struct kernel *k, struct observed *o)
{
	int rc = settle(k, o);

	for (size_t i = 0; !rc && i < k->wire.n; i++)
		rc = look_flow(k, &k->wire.flows[i].flow, &o->flows[i]);
	for (unsigned i = 0; i < SCRIPT_SOCKETS; i++)
		look_sock(k->fds[i], &o->socks[i]);
	o->now_ns = kernel_now();
	return rc;
}

/* ------------------------------------------------------------------------------- open and reset */

static int enter(struct kernel *k, struct err *err)
{
	cpu_set_t one;

	/* on one core the veth's softirq cannot run beside us */
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	if (!setns(k->remote.host.fd, CLONE_NEWNET) && !sched_setaffinity(0, sizeof(one), &one))
		return 0;
	snprintf(err->text, sizeof(err->text), "entering the host: %s", strerror(errno));
	return -errno;
}

static int fix_sysctls(struct err *err)
{
	for (size_t i = 0; i < sizeof(fixed_sysctls) / sizeof(fixed_sysctls[0]); i++) {
		const int rc = write_sysctl(fixed_sysctls[i].path, fixed_sysctls[i].value);
		if (!rc || rc == -ENOENT)
			continue;
		snprintf(err->text, sizeof(err->text), "%s: %s", fixed_sysctls[i].path,
			 strerror(-rc));
		return rc;
	}
	return 0;
}

static int open_views(struct kernel *k, struct err *err)
{
	int rc = tally_open(&k->tally, err);

	k->jiffies = jiffies_read();
	if (rc)
		return rc;
	k->sockstat = open("/proc/thread-self/net/sockstat", O_RDONLY | O_CLOEXEC);
	k->sockstat6 = open("/proc/thread-self/net/sockstat6", O_RDONLY | O_CLOEXEC);
	rc = k->sockstat < 0 || k->sockstat6 < 0 ? -errno : diag_open(&k->diag);
	if (rc)
		snprintf(err->text, sizeof(err->text), "sockstat and sock_diag: %s", strerror(-rc));
	return rc;
}

/* IPv6 takes nothing before the kernel has noticed that the new link is up. A SYN to a port where
 * nobody listens is answered with a RST. */
static int wait_for_link(struct kernel *k, uint8_t family, struct err *err)
{
	static uint8_t buf[FRAME_MAX];
	const struct segment syn = {.from = wire_peer(family),
				    .to = wire_host(family),
				    .from_port = 1,
				    .to_port = 1,
				    .flags = SEGMENT_SYN};
	struct frame f;
	int rc = -ETIMEDOUT;

	for (int tries = 0; rc == -ETIMEDOUT && tries < 500; tries++) {
		rc = kernel_inject(k, &syn);
		if (!rc)
			rc = remote_receive(&k->remote, buf, sizeof(buf), kernel_now() + 10000000,
					    &f);
	}
	if (rc)
		snprintf(err->text, sizeof(err->text), "the host does not answer to IPv%u: %s",
			 family, strerror(-rc));
	return rc;
}

/* A host that nothing has happened to. */
static int open_host(struct kernel *k, struct err *err)
{
	*k = (struct kernel){.tally = {.snmp = -1, .netstat = -1}, .sockstat = -1, .sockstat6 = -1};
	for (unsigned i = 0; i < SCRIPT_SOCKETS; i++)
		k->fds[i] = -1;
	for (unsigned i = 0; i < SYSCTLS; i++)
		k->sysctls[i] = UINT32_MAX; /* unlike any: the first reset writes them all */
	int rc = remote_open(&k->remote, err);
	if (rc)
		return rc;
	rc = enter(k, err);
	if (!rc)
		rc = fix_sysctls(err);
	if (!rc)
		rc = open_views(k, err);
	if (!rc)
		rc = wait_for_link(k, TCPWHY_IPV4, err);
	if (!rc)
		rc = wait_for_link(k, TCPWHY_IPV6, err);
	if (rc)
		kernel_close(k);
	return rc;
}

int kernel_open(struct kernel *k, struct err *err)
{
	int rc = open_host(k, err);

	if (rc)
		return rc;
	rc = kernel_reset(k, err);
	if (rc)
		kernel_close(k);
	return rc;
}

static void close_all(struct kernel *k)
{
	const struct linger now = {1, 0};

	for (unsigned i = 0; i < SCRIPT_SOCKETS; i++) {
		if (k->fds[i] < 0)
			continue;
		setsockopt(k->fds[i], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		call_close(k, i);
	}
}

void kernel_close(struct kernel *k)
{
	close_all(k);
	diag_close(&k->diag);
	tally_close(&k->tally);
	if (k->sockstat >= 0)
		close(k->sockstat);
	if (k->sockstat6 >= 0)
		close(k->sockstat6);
	remote_close(&k->remote);
}

/* Sockets, orphans among them, and mini-sockets. */
static unsigned count_left(const struct kernel *k)
{
	char text[512];
	unsigned inuse = 0, inuse6 = 0, timewait = 0;
	ssize_t n = pread(k->sockstat, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	const char *tcp = strstr(text, "TCP: inuse ");
	if (tcp && sscanf(tcp, "TCP: inuse %u orphan %*u tw %u", &inuse, &timewait) != 2)
		return UINT32_MAX;
	n = pread(k->sockstat6, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	tcp = strstr(text, "TCP6: inuse ");
	if (tcp && sscanf(tcp, "TCP6: inuse %u", &inuse6) != 1)
		return UINT32_MAX;
	return inuse + inuse6 + timewait;
}

/* What has no descriptor: requests, orphans, mini-sockets. Sockstat does not count requests. */
static void destroy_rest(struct kernel *k)
{
	struct diag_sock found;

	for (size_t i = 0; i < k->wire.n; i++)
		if (!find(k, &k->wire.flows[i].flow, &found))
			diag_destroy(&k->diag, &found);
}

static int begin_counting(struct kernel *k)
{
	struct counted now;
	const int rc = tally_read(&k->tally, &now);

	memcpy(k->zero, now.value, sizeof(k->zero));
	k->injected = now.in_segs;
	return rc;
}

int kernel_reset(struct kernel *k, struct err *err)
{
	unsigned left = 0;
	int rc = 0;

	close_all(k);
	for (int tries = 0; tries < 200; tries++) {
		if (tries == ENOUGH_TRIES) {
			kernel_close(k);
			rc = open_host(k, err);
			if (rc)
				return rc;
		}
		destroy_rest(k);
		left = count_left(k);
		if (!left)
			break;
		sleep_ms(tries > 5);
	}
	if (left)
		rc = -EBUSY;
	for (unsigned i = 0; !rc && i < SYSCTLS; i++)
		rc = set_sysctl(k, i, script_sysctls[i].fresh);
	tap_drain(&k->remote.tap);
	k->wire.n = 0;
	if (!rc)
		rc = begin_counting(k);
	if (rc)
		snprintf(err->text, sizeof(err->text), "an empty host (%u sockets left): %s", left,
			 strerror(-rc));
	return rc;
}
