/* SPDX-License-Identifier: MIT */
#include "live/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
#ifndef SO_ATTACH_REUSEPORT_CBPF
#define SO_ATTACH_REUSEPORT_CBPF 51
#endif

/* Ports of the private namespace: one for what is bound, some for listeners, and a range. */
enum { PORT = 20000, LISTENER = 21000, LOW = 22000 };

enum { SOCKETS_MAX = 12, HERE = 0x7f000001, BESIDE = 0x7f000002 };

/* One try: its sockets, closed at its end with a reset, so that none leaves a TIME_WAIT. */
struct trial {
	int fd[SOCKETS_MAX];
	unsigned n;
	bool failed; /* what should have worked did not: no answer */
};

/* ------------------------------------------------------------------------------ small questions
 */

/* Under /proc/sys/net/ipv4, which follows the namespace. */
static enum tcpwhy_tri sysctl_exists(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	if (!access(path, F_OK))
		return TCPWHY_YES;
	return errno == ENOENT ? TCPWHY_NO : TCPWHY_UNKNOWN;
}

static int read_all(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n = -1;

	if (fd < 0)
		return -errno;
	while (used < size - 1 && (n = read(fd, buf + used, size - 1 - used)) > 0)
		used += (size_t)n;
	close(fd);
	buf[used] = '\0';
	return n < 0 ? -EIO : 0;
}

static bool sysctl_write(const char *name, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool ok = write(fd, value, strlen(value)) == (ssize_t)strlen(value);
	close(fd);
	return ok;
}

static bool set_range(unsigned low, unsigned high)
{
	char value[32];

	snprintf(value, sizeof(value), "%u %u", low, high);
	return sysctl_write("ip_local_port_range", value);
}

/* A number of /proc/net/netstat, whose lines come in pairs: names, then values. -1: no such name.
 */
static long counter_of(const char *name)
{
	char text[16384], *names, *values, *at_name, *at_value;

	if (read_all("/proc/self/net/netstat", text, sizeof(text)))
		return -1;
	names = strtok_r(text, "\n", &at_name);
	values = strtok_r(NULL, "\n", &at_name);
	if (!names || !values)
		return -1;
	names = strtok_r(names, " ", &at_name);
	values = strtok_r(values, " ", &at_value);
	for (; names && values; names = strtok_r(NULL, " ", &at_name)) {
		if (!strcmp(names, name))
			return strtol(values, NULL, 10);
		values = strtok_r(NULL, " ", &at_value);
	}
	return -1;
}

/* ---------------------------------------------------------------------------- calls of a trial */

static int new_socket(struct trial *t)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || t->n == SOCKETS_MAX) {
		t->failed = true;
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return t->fd[t->n++] = fd;
}

static void set(struct trial *t, int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)))
		t->failed = true;
}

static struct sockaddr_in name_of(uint32_t addr, uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(addr)};
}

static int bind_to(int fd, uint32_t addr, uint16_t port)
{
	struct sockaddr_in name = name_of(addr, port);

	return bind(fd, (struct sockaddr *)&name, sizeof(name)) ? errno : 0;
}

/* A new socket with that option (0: none), bound; the errno of bind(). */
static int bound(struct trial *t, int option, uint32_t addr, uint16_t port, int *fd)
{
	*fd = new_socket(t);
	if (option)
		set(t, *fd, SOL_SOCKET, option, 1);
	return t->failed ? 0 : bind_to(*fd, addr, port);
}

static void must_bind(struct trial *t, int option, uint32_t addr, uint16_t port, int *fd)
{
	if (bound(t, option, addr, port, fd))
		t->failed = true;
}

static int listener(struct trial *t, uint16_t port, int backlog)
{
	int fd;

	must_bind(t, SO_REUSEADDR, HERE, port, &fd);
	if (!t->failed && listen(fd, backlog))
		t->failed = true;
	return fd;
}

/* The errno of connect(), without waiting: on its way is as good as there. */
static int connect_to(int fd, uint16_t port)
{
	struct sockaddr_in name = name_of(HERE, port);
	int error = connect(fd, (struct sockaddr *)&name, sizeof(name)) ? errno : 0;

	return error == EINPROGRESS ? 0 : error;
}

static int connected(struct trial *t, uint16_t port)
{
	int fd = new_socket(t);

	return t->failed ? 0 : connect_to(fd, port);
}

static uint8_t state_of(int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ? 0 : info.tcpi_state;
}

static void end(struct trial *t)
{
	const struct linger reset = {.l_onoff = 1};

	while (t->n) {
		int fd = t->fd[--t->n];
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
}

/* Waits a little for what the loopback does in the background. */
static bool soon(bool (*condition)(const struct trial *t, long than), const struct trial *t,
		 long than)
{
	const struct timespec pause = {.tv_nsec = 200000};

	for (int i = 0; i < 400; i++) {
		if (condition(t, than))
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

static enum tcpwhy_tri answer(struct trial *t, int error, int refused, bool there_if_refused)
{
	if (t->failed || (error && error != refused))
		return TCPWHY_UNKNOWN;
	return (error != 0) == there_if_refused ? TCPWHY_YES : TCPWHY_NO;
}

/* -------------------------------------------------------------------------- options and sysctls */

static enum tcpwhy_tri option_exists(struct trial *t, int option)
{
	int value;
	socklen_t len = sizeof(value);
	int fd = new_socket(t);

	if (t->failed)
		return TCPWHY_UNKNOWN;
	if (!getsockopt(fd, IPPROTO_IP, option, &value, &len))
		return TCPWHY_YES;
	return errno == ENOPROTOOPT ? TCPWHY_NO : TCPWHY_UNKNOWN;
}

static enum tcpwhy_tri try_bind_no_port(struct trial *t)
{
	return option_exists(t, IP_BIND_ADDRESS_NO_PORT);
}

static enum tcpwhy_tri try_socket_range(struct trial *t)
{
	return option_exists(t, IP_LOCAL_PORT_RANGE);
}

/* An option that exists finds the value too short (EINVAL). */
static enum tcpwhy_tri try_reuseport_groups(struct trial *t)
{
	int fd = new_socket(t);

	if (t->failed || !setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, "", 1))
		return TCPWHY_UNKNOWN;
	return errno == ENOPROTOOPT ? TCPWHY_NO : TCPWHY_YES;
}

/* A new namespace has the kernel's default, which came with the feature. */
static enum tcpwhy_tri try_tw_reuse_loopback(struct trial *t)
{
	char value[16];

	(void)t;
	if (read_all("/proc/sys/net/ipv4/tcp_tw_reuse", value, sizeof(value)))
		return TCPWHY_UNKNOWN;
	return value[0] == '2' ? TCPWHY_YES : TCPWHY_NO;
}

/* In a namespace of one's own the sysctl is there since it has no limit (6.0). */
static enum tcpwhy_tri try_challenge_unlimited(struct trial *t)
{
	char value[16];

	(void)t;
	if (read_all("/proc/sys/net/ipv4/tcp_challenge_ack_limit", value, sizeof(value)))
		return errno == ENOENT ? TCPWHY_NO : TCPWHY_UNKNOWN;
	return !strcmp(value, "2147483647\n") ? TCPWHY_YES : TCPWHY_NO;
}

/* ------------------------------------------------------------------------------------ behaviour */

/* The first socket loses its SO_REUSEADDR after bind(): only who trusts the bucket lets the second
 * in. */
static enum tcpwhy_tri try_fastreuse_dead(struct trial *t)
{
	int first, second;

	must_bind(t, SO_REUSEADDR, HERE, PORT, &first);
	set(t, first, SOL_SOCKET, SO_REUSEADDR, 0);
	return answer(t, bound(t, SO_REUSEADDR, HERE, PORT, &second), EADDRINUSE, true);
}

/* The same of SO_REUSEPORT, after a socket without it has made the bucket slow and another with it
 * should have made it fast again. */
static enum tcpwhy_tri try_reuseport_strict(struct trial *t)
{
	int first, slow, again, last;

	must_bind(t, SO_REUSEPORT, HERE, PORT, &first);
	must_bind(t, 0, BESIDE, PORT, &slow);
	must_bind(t, SO_REUSEPORT, HERE, PORT, &again);
	set(t, first, SOL_SOCKET, SO_REUSEPORT, 0);
	return answer(t, bound(t, SO_REUSEPORT, HERE, PORT, &last), EADDRINUSE, false);
}

/* TCP_REPAIR lets a socket into any bucket at once; without SO_REUSEPORT it makes the bucket slow,
 * if that is noted. */
static enum tcpwhy_tri try_fast_noted(struct trial *t)
{
	int first, forced = -1, last;

	must_bind(t, SO_REUSEPORT, HERE, PORT, &first);
	forced = new_socket(t);
	set(t, forced, IPPROTO_TCP, TCP_REPAIR, 1);
	if (!t->failed && bind_to(forced, HERE, PORT))
		t->failed = true;
	set(t, first, SOL_SOCKET, SO_REUSEPORT, 0);
	return answer(t, bound(t, SO_REUSEPORT, HERE, PORT, &last), EADDRINUSE, true);
}

/* bind(0) in a range of one port that another socket holds with the same option. */
static enum tcpwhy_tri try_share_by_chance(struct trial *t, int option)
{
	int first, second;

	t->failed |= !set_range(LOW, LOW);
	must_bind(t, option, HERE, LOW, &first);
	return answer(t, bound(t, option, HERE, 0, &second), EADDRINUSE, true);
}

static enum tcpwhy_tri try_reuseport_asked(struct trial *t)
{
	return try_share_by_chance(t, SO_REUSEPORT);
}

static enum tcpwhy_tri try_bind_any_apart(struct trial *t)
{
	return try_share_by_chance(t, SO_REUSEADDR);
}

/* Who searches by parity never finds the last port of an odd-sized range. */
static enum tcpwhy_tri try_bind_any_parity(struct trial *t)
{
	int fd;

	t->failed |= !set_range(LOW, LOW + 2);
	must_bind(t, 0, HERE, 0, &fd);
	must_bind(t, 0, HERE, 0, &fd);
	return answer(t, bound(t, 0, HERE, 0, &fd), EADDRINUSE, true);
}

static enum tcpwhy_tri try_connect_parity(struct trial *t)
{
	t->failed |= !set_range(LOW, LOW + 2);
	listener(t, LISTENER, 8);
	if (connected(t, LISTENER) || connected(t, LISTENER))
		t->failed = true;
	return answer(t, connected(t, LISTENER), EADDRNOTAVAIL, true);
}

/* The same in a socket's own range. */
static enum tcpwhy_tri try_socket_range_whole(struct trial *t)
{
	const int range = LOW | (LOW + 2) << 16;
	int error = 0;

	listener(t, LISTENER, 8);
	for (int i = 0; i < 3 && !error; i++) {
		int fd = new_socket(t);
		set(t, fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, range);
		error = t->failed ? 0 : connect_to(fd, LISTENER);
		t->failed |= error && i < 2;
	}
	return answer(t, error, EADDRNOTAVAIL, false);
}

/* A bind() of another address joins connect()'s only port and leaves; then connect() goes to
 * another destination. */
static enum tcpwhy_tri try_bucket_relaxes(struct trial *t)
{
	int joined;

	t->failed |= !set_range(LOW, LOW);
	listener(t, LISTENER, 8);
	listener(t, LISTENER + 1, 8);
	if (connected(t, LISTENER))
		t->failed = true;
	must_bind(t, 0, BESIDE, LOW, &joined);
	if (t->failed)
		return TCPWHY_UNKNOWN;
	close(joined);
	t->n--;
	return answer(t, connected(t, LISTENER + 1), EADDRNOTAVAIL, false);
}

static bool is_timewait_counted(const struct trial *t, long than)
{
	(void)t;
	return counter_of("TW") > than;
}

/* A connection from a bound port ends in TIME_WAIT there; bind() to its address comes next. */
static enum tcpwhy_tri try_time_wait_hidden(struct trial *t)
{
	long before = counter_of("TW");
	int client, server, accepted, again;
	struct pollfd ready = {.events = POLLIN};

	server = ready.fd = listener(t, LISTENER, 8);
	must_bind(t, 0, HERE, PORT, &client);
	if (t->failed || connect_to(client, LISTENER) || poll(&ready, 1, 200) != 1)
		return TCPWHY_UNKNOWN;
	accepted = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	shutdown(client, SHUT_WR);
	close(accepted);
	if (accepted < 0 || before < 0 || !soon(is_timewait_counted, t, before))
		return TCPWHY_UNKNOWN;
	return answer(t, bound(t, 0, HERE, PORT, &again), EADDRINUSE, false);
}

static bool is_overflow_counted(const struct trial *t, long than)
{
	(void)t;
	return counter_of("ListenOverflows") > than;
}

static bool is_connected(const struct trial *t, long fd)
{
	(void)t;
	return state_of((int)fd) == TCP_ESTABLISHED;
}

/* Backlog 1 holds two; the next one's SYN is dropped, or its ACK when it believes to be
 * connected. */
static enum tcpwhy_tri try_syn_drop_full(struct trial *t)
{
	long before = counter_of("ListenOverflows");
	int first, second;

	t->failed |= !set_range(LOW, LOW + 99);
	listener(t, LISTENER, 1);
	for (int i = 0; i < 2; i++) {
		first = new_socket(t);
		if (t->failed || connect_to(first, LISTENER) || !soon(is_connected, t, first))
			return TCPWHY_UNKNOWN;
	}
	second = new_socket(t);
	if (t->failed || connect_to(second, LISTENER) || before < 0 ||
	    !soon(is_overflow_counted, t, before))
		return TCPWHY_UNKNOWN;
	return state_of(second) == TCP_SYN_SENT ? TCPWHY_YES : TCPWHY_NO;
}

static bool is_drop_counted(const struct trial *t, long than)
{
	return counter_of("ListenDrops") > than || state_of(t->fd[t->n - 1]) == TCP_ESTABLISHED;
}

/* Without cookies a SYN queue of backlog 0 takes one request, or none. */
static enum tcpwhy_tri try_syn_queue_one_more(struct trial *t)
{
	long before = counter_of("ListenDrops");

	t->failed |= !set_range(LOW, LOW + 99) || !sysctl_write("tcp_syncookies", "0");
	listener(t, LISTENER, 0);
	if (connected(t, LISTENER) || t->failed || before < 0 || !soon(is_drop_counted, t, before))
		return TCPWHY_UNKNOWN;
	return state_of(t->fd[t->n - 1]) == TCP_ESTABLISHED ? TCPWHY_YES : TCPWHY_NO;
}

/* ----------------------------------------------------------------------------------------- tables
 */

/* Exactly one of feature and packet is set. */
struct probe_try {
	uint32_t feature, packet;
	enum tcpwhy_tri (*play)(struct trial *t); /* or: */
	const char *sysctl, *counter;
};

/* Looked up where the caller is: before 4.1x most sysctls were those of the first namespace alone.
 */
static const struct probe_try lookups[] = {
	{.feature = TCPWHY_F_LOW_PORTS_SYSCTL, .sysctl = "ip_unprivileged_port_start"},
	{.feature = TCPWHY_F_AUTOBIND_REUSE, .sysctl = "ip_autobind_reuse"},
	{.feature = TCPWHY_F_TW_REUSE_DELAY, .sysctl = "tcp_tw_reuse_delay"},
	{.packet = TCPWHY_P_TW_RECYCLE, .sysctl = "tcp_tw_recycle"},
	{.packet = TCPWHY_P_INVALID_RATELIMIT, .sysctl = "tcp_invalid_ratelimit"},
	{.packet = TCPWHY_P_SYN_LINEAR, .sysctl = "tcp_syn_linear_timeouts"},
	{.packet = TCPWHY_P_PAWS_OLD_ACK, .counter = "PAWSOldAck"},
	{.packet = TCPWHY_P_TW_PAWS_COUNTED, .counter = "PAWSTimewait"},
	{.packet = TCPWHY_P_SYN_RECV_TSECR, .counter = "TSEcrRejected"},
	{.packet = TCPWHY_P_BEYOND_WINDOW, .counter = "BeyondWindow"},
	{.feature = TCPWHY_F_BIND_NO_PORT, .play = try_bind_no_port},
	{.feature = TCPWHY_F_SOCK_PORT_RANGE, .play = try_socket_range},
	{.feature = TCPWHY_F_REUSEPORT_GROUPS, .play = try_reuseport_groups},
};

static const struct probe_try plays[] = {
	{.feature = TCPWHY_F_TW_REUSE_LOOPBACK, .play = try_tw_reuse_loopback},
	{.packet = TCPWHY_P_CHALLENGE_UNLIMITED, .play = try_challenge_unlimited},
	{.feature = TCPWHY_F_FASTREUSE_DEAD, .play = try_fastreuse_dead},
	{.feature = TCPWHY_F_REUSEPORT_STRICT, .play = try_reuseport_strict},
	{.feature = TCPWHY_F_FAST_NOTED, .play = try_fast_noted},
	{.feature = TCPWHY_F_REUSEPORT_ASKED, .play = try_reuseport_asked},
	{.feature = TCPWHY_F_BIND_ANY_APART, .play = try_bind_any_apart},
	{.feature = TCPWHY_F_BIND_ANY_PARITY, .play = try_bind_any_parity},
	{.feature = TCPWHY_F_CONNECT_PARITY, .play = try_connect_parity},
	{.feature = TCPWHY_F_SOCK_RANGE_WHOLE, .play = try_socket_range_whole},
	{.feature = TCPWHY_F_BUCKET_RELAXES, .play = try_bucket_relaxes},
	{.packet = TCPWHY_P_SYN_DROP_FULL, .play = try_syn_drop_full},
	{.packet = TCPWHY_P_SYNQ_ONE_MORE, .play = try_syn_queue_one_more},
	/* The last: it leaves a TIME_WAIT. */
	{.feature = TCPWHY_F_TW_HIDDEN, .play = try_time_wait_hidden},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static enum tcpwhy_tri try_one(const struct probe_try *p)
{
	struct trial t = {.n = 0};
	enum tcpwhy_tri there = TCPWHY_UNKNOWN;

	/* Where these cannot be seen, what is not there says nothing. */
	if (p->sysctl)
		return sysctl_exists("tcp_timestamps") == TCPWHY_YES ? sysctl_exists(p->sysctl)
								     : TCPWHY_UNKNOWN;
	if (p->counter)
		return counter_of("ListenDrops") < 0
			       ? TCPWHY_UNKNOWN
			       : (enum tcpwhy_tri)(counter_of(p->counter) >= 0);
	there = p->play(&t);
	end(&t);
	return there;
}

static void try_all(const struct probe_try *tries, size_t n, struct probe *out)
{
	for (size_t i = 0; i < n; i++) {
		enum tcpwhy_tri there = try_one(&tries[i]);
		if (there == TCPWHY_UNKNOWN)
			continue;
		out->asked |= tries[i].feature;
		out->packets_asked |= tries[i].packet;
		if (there == TCPWHY_YES) {
			out->found |= tries[i].feature;
			out->packets_found |= tries[i].packet;
		}
	}
}

/* ------------------------------------------------------------------------------------- the child
 */

static bool loopback_up(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool up = fd >= 0 && !ioctl(fd, SIOCSIFFLAGS, &lo);

	if (fd >= 0)
		close(fd);
	return up;
}

static bool enter_private(struct probe *out)
{
	/* Who may not make a namespace may be allowed it as root of a user namespace. */
	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
		snprintf(out->unseen, sizeof(out->unseen),
			 "no private network namespace could be made: %s", strerror(errno));
		return false;
	}
	if (loopback_up())
		return true;
	snprintf(out->unseen, sizeof(out->unseen),
		 "the loopback of the private network namespace did not come up");
	return false;
}

static void probe_in_child(int to_parent)
{
	struct probe out = {0};

	/* If we are interrupted, so is it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	try_all(lookups, COUNT(lookups), &out);
	if (enter_private(&out))
		try_all(plays, COUNT(plays), &out);
	_exit(write(to_parent, &out, sizeof(out)) != sizeof(out));
}

static bool read_answer(int from_child, struct probe *out)
{
	struct pollfd ready = {.fd = from_child, .events = POLLIN};
	int n;

	while ((n = poll(&ready, 1, PROBE_MS)) < 0 && errno == EINTR)
		;
	return n == 1 && read(from_child, out, sizeof(*out)) == sizeof(*out);
}

void probe_kernel(struct probe *out)
{
	int ends[2];
	pid_t child = -1;
	struct probe found = {0};

	*out = (struct probe){.unseen = "the process that tries it did not answer"};
	if (pipe2(ends, O_CLOEXEC))
		return;
	child = fork();
	if (!child)
		probe_in_child(ends[1]);
	close(ends[1]);
	if (child > 0) {
		if (read_answer(ends[0], &found))
			*out = found;
		kill(child, SIGKILL);
		while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
			;
	}
	close(ends[0]);
}
