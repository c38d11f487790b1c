/* SPDX-License-Identifier: MIT
 *
 * A crowd of real sockets in a namespace of its own, looked at in every way live can look, each
 * flag held against what the sockets were made with.
 */
#include "base/address.h"
#include "live/live.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* How sure a way of looking is of a socket's flags. */
enum way { BIND_HASH, ITER_TCP, PIDFD, SOCK_DIAG, UNPRIVILEGED, PROC_NET };

struct expected {
	const char *what;
	uint16_t port; /* 0: the ephemeral port of that socket */
	uint8_t state, family, reuse, reuseport, v6only, connect_bind;
	bool timewait, orphan; /* orphan: no inode */
	uint32_t uid, device;
};

struct crowd {
	struct expected all[32];
	size_t n;
};

static void add(struct crowd *c, struct expected e)
{
	if (e.family == 0)
		e.family = TCPWHY_IPV4;
	c->all[c->n++] = e;
}

#define NEED(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "# %s:%d: %s (errno %d)\n", __FILE__, __LINE__,            \
				#condition, errno);                                                \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static void loopback_up(void)
{
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	NEED(fd >= 0);
	NEED(ioctl(fd, SIOCSIFFLAGS, &r) == 0);
	close(fd);
}

static int tcp(int domain)
{
	int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);

	NEED(fd >= 0);
	return fd;
}

static void set(int fd, int level, int name)
{
	int on = 1;

	NEED(setsockopt(fd, level, name, &on, sizeof(on)) == 0);
}

static void bind4(int fd, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr = {htonl(INADDR_LOOPBACK)}};

	NEED(bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0);
}

static void bind6(int fd, const char *address, uint16_t port)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	NEED(inet_pton(AF_INET6, address, &in6.sin6_addr) == 1);
	NEED(bind(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0);
}

static int listener(uint16_t port, bool reuse)
{
	int fd = tcp(AF_INET);

	if (reuse)
		set(fd, SOL_SOCKET, SO_REUSEADDR);
	bind4(fd, port);
	NEED(listen(fd, 8) == 0);
	return fd;
}

static void connect4(int fd, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr = {htonl(INADDR_LOOPBACK)}};

	NEED(connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in in;
	socklen_t len = sizeof(in);

	NEED(getsockname(fd, (struct sockaddr *)&in, &len) == 0);
	return ntohs(in.sin_port);
}

/* Reads until the peer's FIN is there, so that the next close() meets a known state. */
static void wait_fin(int fd)
{
	char byte;

	NEED(read(fd, &byte, 1) == 0);
}

static void make_plain(struct crowd *c)
{
	int fd = tcp(AF_INET);

	bind4(fd, 1101);
	add(c, (struct expected){.what = "bound only", .port = 1101, .state = TCPWHY_BOUND});
	listener(1102, true);
	add(c, (struct expected){
		       .what = "listener", .port = 1102, .state = TCPWHY_LISTEN, .reuse = 1});
	fd = tcp(AF_INET);
	set(fd, SOL_SOCKET, SO_REUSEADDR);
	NEED(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) == 0);
	bind4(fd, 1111);
	add(c, (struct expected){.what = "bound to lo",
				 .port = 1111,
				 .state = TCPWHY_BOUND,
				 .reuse = 1,
				 .device = if_nametoindex("lo")});
	fd = tcp(AF_INET);
	set(fd, IPPROTO_TCP, TCP_REPAIR);
	bind4(fd, 1113);
	add(c, (struct expected){.what = "repair",
				 .port = 1113,
				 .state = TCPWHY_BOUND,
				 .reuse = TCPWHY_REUSE_FORCE});
}

static void make_v6(struct crowd *c)
{
	int fd = tcp(AF_INET6);

	bind6(fd, "::", 1107);
	add(c, (struct expected){.what = "dual stack",
				 .port = 1107,
				 .state = TCPWHY_BOUND,
				 .family = TCPWHY_IPV6});
	fd = tcp(AF_INET6);
	set(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	bind6(fd, "::", 1108);
	NEED(listen(fd, 1) == 0);
	add(c, (struct expected){.what = "v6only",
				 .port = 1108,
				 .state = TCPWHY_LISTEN,
				 .family = TCPWHY_IPV6,
				 .v6only = TCPWHY_YES});
	fd = tcp(AF_INET6);
	bind6(fd, "::ffff:127.0.0.1", 1114);
	add(c,
	    (struct expected){
		    .what = "mapped", .port = 1114, .state = TCPWHY_BOUND, .family = TCPWHY_IPV6});
}

/* A socket's uid is the fsuid of the thread that makes it. */
static void make_uids(struct crowd *c)
{
	uid_t uids[] = {1234, 0};
	uint16_t ports[] = {1110, 1109};

	for (int i = 0; i < 2; i++) {
		int fd;

		syscall(SYS_setfsuid, uids[i]);
		fd = tcp(AF_INET);
		set(fd, SOL_SOCKET, SO_REUSEPORT);
		bind4(fd, ports[i]);
		NEED(listen(fd, 1) == 0);
		add(c, (struct expected){.what = "reuseport",
					 .port = ports[i],
					 .state = TCPWHY_LISTEN,
					 .reuseport = TCPWHY_YES,
					 .uid = uids[i]});
	}
}

static void make_connections(struct crowd *c)
{
	int server = listener(1103, true), client = tcp(AF_INET), bound = tcp(AF_INET);

	connect4(client, 1103);
	NEED(accept4(server, NULL, NULL, SOCK_CLOEXEC) >= 0);
	add(c, (struct expected){.what = "connect-bound client",
				 .port = port_of(client),
				 .state = TCPWHY_ESTABLISHED,
				 .connect_bind = TCPWHY_YES});
	set(bound, SOL_SOCKET, SO_REUSEADDR);
	bind4(bound, 1112);
	connect4(bound, 1103);
	add(c,
	    (struct expected){
		    .what = "bound client", .port = 1112, .state = TCPWHY_ESTABLISHED, .reuse = 1});
	/* The child of that one waits in the accept queue, without an inode. */
	client = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	NEED(client >= 0);
	close(server);
}

/* The last segments are on their way when the calls have returned. */
static void wait_state(uint16_t port, enum tcpwhy_state state)
{
	struct snapshot_scope one = {.port = port, .owners_wanted = true};
	struct live_target own = {0};
	bool seen = false;

	for (int i = 0; i < 5000 && !seen; i++) {
		struct snapshot snap;
		struct live *live;
		struct err err;

		NEED(live_open(&own, LIVE_AVOID_BIND_HASH | LIVE_AVOID_ITER_TCP, &live, &err) == 0);
		NEED(live_snapshot(live, &one, &snap, &err) == 0);
		for (size_t k = 0; k < snap.owners_n; k++)
			seen |= snap.owners[k].o.state == state;
		snapshot_free(&snap);
		live_close(live);
	}
	NEED(seen);
}

/* A connection of the server on port that the server closes first; then the client, unless orphan.
 */
static void make_closed(struct crowd *c, uint16_t port, bool reuse, bool orphan)
{
	int server = listener(port, reuse), client = tcp(AF_INET), child;

	connect4(client, port);
	child = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	NEED(child >= 0);
	close(server);
	close(child);
	wait_fin(client);
	if (!orphan)
		close(client);
	wait_state(port, orphan ? TCPWHY_FIN_WAIT2 : TCPWHY_TIME_WAIT);
	add(c, (struct expected){.what = orphan ? "orphan" : "server's TIME_WAIT",
				 .port = port,
				 .state = orphan ? TCPWHY_FIN_WAIT2 : TCPWHY_TIME_WAIT,
				 .reuse = reuse,
				 .timewait = true});
}

static void make_client_timewait(struct crowd *c)
{
	int server = listener(1115, true), client = tcp(AF_INET), child;
	uint16_t port;

	connect4(client, 1115);
	port = port_of(client);
	child = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	NEED(child >= 0);
	close(client);
	wait_fin(child);
	close(child);
	close(server);
	wait_state(port, TCPWHY_TIME_WAIT);
	add(c, (struct expected){.what = "client's TIME_WAIT",
				 .port = port,
				 .state = TCPWHY_TIME_WAIT,
				 .timewait = true,
				 .connect_bind = TCPWHY_YES});
}

static void make_crowd(struct crowd *c)
{
	NEED(unshare(CLONE_NEWNET) == 0);
	loopback_up();
	make_plain(c);
	make_v6(c);
	make_uids(c);
	make_connections(c);
	make_closed(c, 1104, true, false);
	make_closed(c, 1105, false, false);
	make_closed(c, 1106, true, true);
	make_client_timewait(c);
}

/* ---------------------------------------------------------------------------------------- checking
 */

static const char *const way_names[] = {"bind hash", "iter/tcp",     "pidfd",
					"sock_diag", "unprivileged", "proc"};

static int failures;

static void differ(const struct expected *e, enum way way, const char *field, unsigned long want,
		   unsigned long got)
{
	fprintf(stderr, "# %s, port %u by %s: %s is %lu, not %lu\n", e->what, e->port,
		way_names[way], field, got, want);
	failures++;
}

static void same(const struct expected *e, enum way way, const char *field, unsigned long want,
		 unsigned long got)
{
	if (want != got)
		differ(e, way, field, want, got);
}

/* The value if it can be known that way; else it must be unknown. */
static void check_flags(const struct expected *e, enum way way, const struct tcpwhy_owner *o)
{
	bool bound = e->state == TCPWHY_BOUND;
	bool by_bpf = way == BIND_HASH || (way == ITER_TCP && !bound);
	bool known = by_bpf || ((way == PIDFD || way == ITER_TCP) && !e->timewait);

	same(e, way, "reuse", known ? e->reuse : TCPWHY_REUSE_UNKNOWN, o->reuse);
	same(e, way, "reuseport", known ? e->reuseport : TCPWHY_UNKNOWN, o->reuseport);
	same(e, way, "connect_bind", by_bpf ? e->connect_bind : TCPWHY_UNKNOWN, o->connect_bind);
	if (known || way == SOCK_DIAG || way == UNPRIVILEGED || e->family == TCPWHY_IPV4)
		same(e, way, "v6only", e->v6only, o->v6only);
	if (e->timewait && by_bpf)
		same(e, way, "timestamps", true, o->timestamps);
}

static void check_owner(const struct expected *e, enum way way, const struct snapshot_owner *s,
			uint64_t taken_ns)
{
	const struct tcpwhy_owner *o = &s->o;

	same(e, way, "family", e->family, o->family);
	same(e, way, "timewait", e->timewait, o->timewait);
	if (way != PROC_NET)
		same(e, way, "device", e->device, o->device);
	same(e, way, "uid_known", !e->timewait, o->uid_known);
	same(e, way, "uid", e->uid, o->uid);
	same(e, way, "has inode", !e->timewait, s->inode != 0);
	check_flags(e, way, o);
	if (e->timewait) {
		uint64_t left = o->expires_ns - taken_ns;

		if (left > UINT64_C(61000000000) || left < UINT64_C(30000000000))
			differ(e, way, "time left", 60, left / 1000000000);
	}
}

static void check_crowd(const struct crowd *c, enum way way, const struct snapshot *snap)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct expected *e = &c->all[i];
		unsigned found = 0;

		for (size_t k = 0; k < snap->owners_n; k++) {
			const struct snapshot_owner *s = &snap->owners[k];

			if (s->o.port == e->port && s->o.state == e->state) {
				check_owner(e, way, s, snap->taken_ns);
				found++;
			}
		}
		same(e, way, "seen", way == PROC_NET && e->state == TCPWHY_BOUND ? 0 : 1, found);
	}
}

static const struct tcpwhy_bucket *bucket_of(const struct snapshot *snap, uint16_t port)
{
	for (size_t i = 0; i < snap->buckets_n; i++) {
		if (snap->buckets[i].port == port)
			return &snap->buckets[i];
	}
	fprintf(stderr, "# no bucket of port %u\n", port);
	exit(1);
}

/* KERNEL.md 1.3: listen() asks again as a listener, which lowers fastreuse. */
static void check_buckets(const struct crowd *c, const struct snapshot *snap)
{
	const struct tcpwhy_bucket *b = bucket_of(snap, 1102);

	NEED(b->known && b->fastreuse == 0 && b->fastreuseport == 0);
	/* 1 by the rule; since 6.8 the first owner's address bucket is linked before the bucket is
	 * asked whether it is empty (inet_csk_update_fastreuse()), so it stays 0, and a first
	 * SO_REUSEPORT gives STRICT. */
	NEED(bucket_of(snap, 1111)->fastreuse >= 0);
	b = bucket_of(snap, 1110);
	NEED(b->fastreuseport > 0 && b->fastuid == 1234 && b->fast_family == TCPWHY_IPV4);
	for (size_t i = 0; i < c->n; i++) {
		if (c->all[i].connect_bind == TCPWHY_YES)
			NEED(bucket_of(snap, c->all[i].port)->fastreuse == -1);
	}
}

static void look(const struct crowd *c, enum way way, unsigned avoid, uint32_t sources)
{
	struct snapshot_scope all = {.all_ports = true, .owners_wanted = true};
	struct live_target own = {0};
	struct snapshot snap;
	struct live *live;
	struct err err = {0};

	NEED(live_open(&own, avoid, &live, &err) == 0);
	NEED(live_snapshot(live, &all, &snap, &err) == 0);
	if (snap.sources != sources && way == BIND_HASH) {
		printf("# skip: the bind hash cannot be read here (%s)\n",
		       snap.missing_n ? snap.missing[0] : "?");
	} else {
		NEED(snap.sources == sources);
		NEED(snap.bound_unseen == (way == PROC_NET));
		check_crowd(c, way, &snap);
		if (way == BIND_HASH)
			check_buckets(c, &snap);
	}
	NEED(snap.sysctls_unknown == 0 && snap.locals_known && snap.devices_known);
	snapshot_free(&snap);
	live_close(live);
}

/* The same by port: nothing else may be in it. */
static void look_by_port(const struct crowd *c, unsigned avoid)
{
	struct live_target own = {0};
	struct live *live;
	struct err err = {0};

	NEED(live_open(&own, avoid, &live, &err) == 0);
	for (size_t i = 0; i < c->n; i++) {
		struct snapshot_scope one = {.port = c->all[i].port, .owners_wanted = true};
		struct snapshot snap;
		bool seen = false;

		NEED(live_snapshot(live, &one, &snap, &err) == 0);
		for (size_t k = 0; k < snap.owners_n; k++) {
			NEED(snap.owners[k].o.port == c->all[i].port);
			seen |= snap.owners[k].o.state == c->all[i].state;
		}
		NEED(seen);
		snapshot_free(&snap);
	}
	live_close(live);
}

static bool goes_to(const struct tcpwhy_owner *o, uint16_t port)
{
	return o->peer_port == port && address_is_loopback(&o->peer);
}

/* One peer: all who have it, and one owner at least of each port that is not connect()'s alone. Who
 * else is there is as few as can be. */
static void look_at_peer(uint16_t peer_port, unsigned avoid)
{
	struct snapshot_scope all = {.all_ports = true, .owners_wanted = true}, peer = all;
	struct live_target own = {0};
	struct snapshot every, few;
	struct live *live;
	struct err err = {0};
	size_t wanted = 0, seen = 0;

	peer.one_peer = true;
	peer.peer = address_v4_number(0x7f000001);
	peer.peer_port = peer_port;
	NEED(live_open(&own, avoid, &live, &err) == 0);
	NEED(live_snapshot(live, &all, &every, &err) == 0);
	NEED(live_snapshot(live, &peer, &few, &err) == 0);
	for (size_t i = 0; i < every.owners_n; i++) {
		const struct tcpwhy_owner *o = &every.owners[i].o;
		bool owned = false;
		wanted += goes_to(o, peer_port);
		if (o->connect_bind != TCPWHY_NO && o->state != TCPWHY_LISTEN)
			continue;
		for (size_t k = 0; k < few.owners_n; k++)
			owned |= few.owners[k].o.port == o->port;
		NEED(owned);
	}
	for (size_t k = 0; k < few.owners_n; k++)
		seen += goes_to(&few.owners[k].o, peer_port);
	NEED(wanted > 0 && seen == wanted);
	NEED(few.owners_n < every.owners_n && few.buckets_n == every.buckets_n);
	snapshot_free(&every);
	snapshot_free(&few);
	live_close(live);
}

static int route_to(struct live *live, uint32_t to, uint32_t from, struct route *r)
{
	struct err err;

	*r = (struct route){.family = TCPWHY_IPV4,
			    .peer = address_v4_number(to),
			    .peer_port = 80,
			    .has_from = from != 0,
			    .from = address_v4_number(from)};
	NEED(live_route(live, r, &err) == 0);
	return r->error;
}

/* A namespace with lo alone. */
static void routes(void)
{
	struct live_target own = {0};
	struct live *live;
	struct route r;
	struct err err;

	NEED(unshare(CLONE_NEWNET) == 0);
	loopback_up();
	NEED(live_open(&own, 0, &live, &err) == 0);
	NEED(route_to(live, 0x7f000009, 0, &r) == 0);
	NEED(address_v4_of(&r.source) == 0x7f000001 && address_v4_of(&r.peer) == 0x7f000009);
	NEED(route_to(live, 0x7f000001, 0x7f000007, &r) == 0);
	NEED(address_v4_of(&r.source) == 0x7f000007);
	/* 0.0.0.0 is this host. */
	NEED(route_to(live, 0, 0, &r) == 0 && address_v4_of(&r.peer) == 0x7f000001);
	NEED(route_to(live, 0x0a000001, 0, &r) == ENETUNREACH);
	NEED(route_to(live, 0xe0000001, 0, &r) == ENETUNREACH);
	NEED(route_to(live, 0x7fffffff, 0, &r) == ENETUNREACH);
	live_close(live);
}

/* Runs fn in a child, which ends with 0 if all went well. */
static void in_child(void (*fn)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		fn();
		fflush(stdout);
		_exit(failures != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define ROOT_OR_SKIP()                                                                             \
	do {                                                                                       \
		if (geteuid() != 0)                                                                \
			unit_skip("needs root for a namespace of its own");                        \
	} while (0)

/* In a process that is nobody and has none of the sockets: they are another user's. */
static void look_as_nobody(const struct crowd *c)
{
	int status;
	pid_t pid = fork();

	NEED(pid >= 0);
	if (pid == 0) {
		close_range(3, ~0u, 0);
		NEED(setresgid(65534, 65534, 65534) == 0);
		NEED(setresuid(65534, 65534, 65534) == 0);
		failures = 0;
		look(c, UNPRIVILEGED, 0, SNAPSHOT_SOCK_DIAG);
		_exit(failures != 0);
	}
	NEED(waitpid(pid, &status, 0) == pid);
	NEED(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void every_way(void)
{
	struct crowd c = {0};

	make_crowd(&c);
	look(&c, BIND_HASH, 0, SNAPSHOT_BIND_HASH);
	look(&c, BIND_HASH, LIVE_AVOID_BTF_CACHE, SNAPSHOT_BIND_HASH);
	look(&c, ITER_TCP, LIVE_AVOID_BIND_HASH,
	     SNAPSHOT_ITER_TCP | SNAPSHOT_SOCK_DIAG | SNAPSHOT_PIDFD);
	look(&c, PIDFD, LIVE_AVOID_BIND_HASH | LIVE_AVOID_ITER_TCP,
	     SNAPSHOT_SOCK_DIAG | SNAPSHOT_PIDFD);
	look(&c, SOCK_DIAG, LIVE_AVOID_BIND_HASH | LIVE_AVOID_ITER_TCP | LIVE_AVOID_PIDFD,
	     SNAPSHOT_SOCK_DIAG);
	look(&c, PROC_NET,
	     LIVE_AVOID_BIND_HASH | LIVE_AVOID_ITER_TCP | LIVE_AVOID_PIDFD | LIVE_AVOID_SOCK_DIAG,
	     SNAPSHOT_PROC_NET);
	look_at_peer(1115, 0);
	look_at_peer(1115, LIVE_AVOID_BIND_HASH | LIVE_AVOID_ITER_TCP);
	look_at_peer(1115, LIVE_AVOID_BIND_HASH | LIVE_AVOID_ITER_TCP | LIVE_AVOID_SOCK_DIAG);
	look_by_port(&c, 0);
	look_by_port(&c, LIVE_AVOID_BIND_HASH | LIVE_AVOID_ITER_TCP);
	look_as_nobody(&c);
}

static void test_every_way(void **state)
{
	(void)state;
	ROOT_OR_SKIP();
	in_child(every_way);
}

static void test_routes(void **state)
{
	(void)state;
	ROOT_OR_SKIP();
	in_child(routes);
}

static void from_outside(void)
{
	struct snapshot_scope all = {.all_ports = true, .owners_wanted = true};
	struct live_target target = {0};
	struct crowd c = {0};
	struct snapshot snap;
	struct live *live;
	struct err err;
	int back = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int error;
	enum tcpwhy_call at;
	struct tcpwhy_bind_request q = {.addr = {{[10] = 0xff, 0xff, 127, 0, 0, 1}},
					.port = 1102,
					.family = TCPWHY_IPV4,
					.listen = true};
	char path[64];

	make_crowd(&c);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(),
		 open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
	target.netns = path;
	/* As "--netns": our own namespace is another one now. */
	NEED(setns(back, CLONE_NEWNET) == 0);
	NEED(live_open(&target, 0, &live, &err) == 0);
	NEED(live_snapshot(live, &all, &snap, &err) == 0);
	check_crowd(&c, snap.sources & SNAPSHOT_BIND_HASH ? BIND_HASH : ITER_TCP, &snap);
	NEED(snap.devices_n >= 1 && strcmp(snap.devices[0].name, "lo") == 0);
	NEED(live_device_index(live, "lo") == 1 && live_device_index(live, "nonesuch") == 0);
	NEED(live_try_bind(live, &q, &error, &at, &err) == 0);
	NEED(error == EADDRINUSE && at == TCPWHY_CALL_BIND);
	q.port = 1111;
	q.reuse = TCPWHY_REUSE_CAN;
	NEED(live_try_bind(live, &q, &error, &at, &err) == 0);
	NEED(error == 0 && at == TCPWHY_CALL_NONE);
	q.port = 80;
	q.may_bind_low = TCPWHY_NO;
	NEED(live_try_bind(live, &q, &error, &at, &err) == 0);
	NEED(error == EACCES && at == TCPWHY_CALL_BIND);
	/* And the process stayed where it was. */
	NEED(live_may_bind_low(live) == TCPWHY_YES);
	snapshot_free(&snap);
	live_close(live);
}

static void test_from_outside(void **state)
{
	(void)state;
	ROOT_OR_SKIP();
	in_child(from_outside);
}

static void owners(void)
{
	struct snapshot_scope one = {.port = 1102, .owners_wanted = true};
	struct live_target own = {0};
	struct result_holder h = {0};
	struct crowd c = {0};
	struct snapshot snap;
	struct live *live;
	struct err err;

	make_crowd(&c);
	NEED(live_open(&own, 0, &live, &err) == 0);
	NEED(live_snapshot(live, &one, &snap, &err) == 0);
	NEED(snap.owners_n == 1);
	h.seen = snap.owners[0];
	live_owners(live, &h, 1);
	NEED(h.owners_n == 1 && h.owners[0].pid == getpid() && !h.owners_more && !h.owners_unseen);
	NEED(strncmp(h.owners[0].comm, "live_test", 9) == 0);
	snapshot_free(&snap);
	live_close(live);
}

static void test_owners(void **state)
{
	(void)state;
	ROOT_OR_SKIP();
	in_child(owners);
}

/* ------------------------------------------------------------------------------------------- churn
 */

#define STABLE     200
#define CHURN_PORT 1200

static int reuseport_socket(void)
{
	int fd = tcp(AF_INET);

	set(fd, SOL_SOCKET, SO_REUSEPORT);
	bind4(fd, CHURN_PORT);
	return fd;
}

/* Sockets of the same port come and go, between those that stay and in front of them, until killed.
 */
static void churn_for_ever(void)
{
	int fds[16];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < 16; i++)
		fds[i] = reuseport_socket();
	for (size_t i = 0;; i = (i + 7) % 16) {
		close(fds[i]);
		fds[i] = reuseport_socket();
	}
}

static int compare_inodes(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* How many of the stable sockets are seen; each must be seen once. */
static size_t count_stable(const uint32_t *stable, const struct snapshot *snap)
{
	size_t seen = 0;

	for (size_t i = 0; i < snap->owners_n; i++) {
		uint32_t inode = snap->owners[i].inode;

		NEED(snap->owners[i].o.port == CHURN_PORT);
		if (bsearch(&inode, stable, STABLE, sizeof(inode), compare_inodes))
			seen++;
	}
	return seen;
}

static void stable_sockets(uint32_t *inodes, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		struct stat st;

		NEED(fstat(reuseport_socket(), &st) == 0);
		inodes[i] = (uint32_t)st.st_ino;
	}
}

/* A walk without locks must neither miss nor repeat what does not move. */
static void churn(void)
{
	struct snapshot_scope one = {.port = CHURN_PORT, .owners_wanted = true};
	struct live_target own = {0};
	uint32_t inodes[STABLE];
	struct live *live;
	struct err err;
	pid_t pid;

	NEED(unshare(CLONE_NEWNET) == 0);
	loopback_up();
	stable_sockets(inodes, 0, STABLE / 2);
	pid = fork();
	if (pid == 0)
		churn_for_ever();
	stable_sockets(inodes, STABLE / 2, STABLE);
	qsort(inodes, STABLE, sizeof(inodes[0]), compare_inodes);
	NEED(live_open(&own, 0, &live, &err) == 0);
	for (int i = 0; i < 200; i++) {
		struct snapshot snap;

		NEED(live_snapshot(live, &one, &snap, &err) == 0);
		/* Only the walk promises it: netlink may miss and repeat. */
		if (snap.sources == SNAPSHOT_BIND_HASH && !snap.truncated &&
		    count_stable(inodes, &snap) != STABLE) {
			fprintf(stderr, "# look %d saw %zu of %d\n", i, count_stable(inodes, &snap),
				STABLE);
			failures++;
		}
		snapshot_free(&snap);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	live_close(live);
}

static void test_churn(void **state)
{
	(void)state;
	ROOT_OR_SKIP();
	in_child(churn);
}

static void expect_refused(const struct live_target *target, int error)
{
	struct live *live = NULL;
	struct err err = {0};

	assert_int_equal(live_open(target, 0, &live, &err), error);
	assert_null(live);
	assert_true(err.text[0] != '\0');
}

static void test_no_such_namespace(void **state)
{
	(void)state;
	expect_refused(&(struct live_target){.netns = "no-such-name"}, -ENOENT);
	expect_refused(&(struct live_target){.netns = ""}, -ENOENT);
	expect_refused(&(struct live_target){.netns = ".."}, -ENOENT);
	expect_refused(&(struct live_target){.netns = "/no/such/path"}, -ENOENT);
	expect_refused(&(struct live_target){.netns = "/dev/null"}, -EINVAL);
	expect_refused(&(struct live_target){.netns = "/proc/self/ns/pid"}, -EINVAL);
	expect_refused(&(struct live_target){.pid = INT32_MAX}, -ENOENT);
	expect_refused(&(struct live_target){.pid = -1}, -EINVAL);
	expect_refused(&(struct live_target){.netns = "a", .pid = 1}, -EINVAL);
}

static void test_a_dead_process(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	expect_refused(&(struct live_target){.pid = pid}, -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_way),      cmocka_unit_test(test_routes),
		cmocka_unit_test(test_from_outside),   cmocka_unit_test(test_owners),
		cmocka_unit_test(test_churn),          cmocka_unit_test(test_no_such_namespace),
		cmocka_unit_test(test_a_dead_process),
	};

	return unit_run("live", tests);
}
