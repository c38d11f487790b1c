/* SPDX-License-Identifier: MIT
 *
 * lease_test.c - leasing: what is given, to whom, until when
 */
#include "lease_fixture.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <linux/sched.h>

static struct tcpwhy_lease leases[PORTS + 1];

static int lease_n(unsigned n)
{
	return tcpwhy_lease(fix.pool, NULL, leases, n);
}

static struct tcpwhy_port listed;

static int take_listed(void *ctx, const struct tcpwhy_port *port)
{
	if (port->port != *(const uint16_t *)ctx)
		return 0;
	listed = *port;
	return 1;
}

static const struct tcpwhy_port *look_at(uint16_t port)
{
	assert_int_equal(tcpwhy_pool_list(fix.pool, take_listed, &port), 1);
	return &listed;
}

static void test_all_once(void **state)
{
	(void)state;
	FIXTURE_NEEDED();
	assert_nothing_lost();
	assert_int_equal(lease_n(PORTS + 1), PORTS);
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, &leases[PORTS], 1), -ENOSPC);
	assert_int_equal(tcpwhy_lease_release(fix.pool, leases, 1), 1);
	assert_int_equal(lease_n(2), 1);
}

/* The one that was given back longest ago is first, in whatever order they were leased. */
static void test_longest_unused_first(void **state)
{
	uint16_t order[PORTS];

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(lease_n(PORTS), PORTS);
	for (unsigned i = 0; i < PORTS; i++) {
		unsigned k = i * 37 % PORTS;

		order[i] = leases[k].port;
		assert_int_equal(tcpwhy_lease_release(fix.pool, &leases[k], 1), 1);
	}
	for (unsigned i = 0; i < PORTS; i++) {
		assert_int_equal(lease_n(1), 1);
		assert_int_equal(leases[0].port, order[i]);
	}
}

static void test_random(void **state)
{
	const struct tcpwhy_lease_wish random = {.random = true};
	bool seen[PORTS] = {false};
	unsigned in_order = 0;

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(tcpwhy_lease(fix.pool, &random, leases, PORTS), PORTS);
	for (unsigned i = 0; i < PORTS; i++) {
		assert_false(seen[leases[i].port - LOW]);
		seen[leases[i].port - LOW] = true;
		in_order += i && leases[i].port == leases[i - 1].port + 1;
	}
	assert_true(in_order < PORTS / 2);
	assert_int_equal(tcpwhy_lease_release(fix.pool, leases, PORTS), PORTS);
	assert_nothing_lost();
}

static void test_only_ones_own(void **state)
{
	struct tcpwhy_lease copy, forged;

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(lease_n(2), 2);
	copy = forged = leases[0];
	forged.token += UINT64_C(1) << 37;
	assert_int_equal(tcpwhy_lease_release(fix.pool, &forged, 1), 0);
	forged = leases[1];
	forged.port = leases[0].port;
	assert_int_equal(tcpwhy_lease_release(fix.pool, &forged, 1), 0);
	forged = (struct tcpwhy_lease){.token = copy.token, .fd = -1, .port = LOW - 1};
	assert_int_equal(tcpwhy_lease_release(fix.pool, &forged, 1), 0);
	assert_int_equal(tcpwhy_lease_release(fix.pool, leases, 2), 2);
	assert_int_equal(tcpwhy_lease_release(fix.pool, &copy, 1), 0);
	assert_nothing_lost();
}

/* ----------------------------------------------------------------------------- holders that die */

static void lease_all(void *ctx)
{
	(void)ctx;
	if (lease_n(PORTS) != PORTS)
		_exit(1);
}

static void test_holder_dies(void **state)
{
	pid_t pid;

	(void)state;
	FIXTURE_NEEDED();
	pid = child_start(lease_all, NULL);
	assert_int_equal(lease_n(1), -ENOSPC);
	assert_int_equal(look_at(LOW)->pid, pid);
	assert_int_equal(look_at(LOW)->state, TCPWHY_PORT_LEASED);
	child_kill(pid);
	assert_int_equal(look_at(LOW)->state, TCPWHY_PORT_ENDED);
	assert_nothing_lost();
}

static void test_zombie_is_dead(void **state)
{
	siginfo_t info;
	pid_t pid;

	(void)state;
	FIXTURE_NEEDED();
	pid = child_start(lease_all, NULL);
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_nothing_lost();
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Time in the unit of a process's start. */
static long ticks_now(void)
{
	return (long)(pool_now_ns() / (UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK)));
}

/* The same pid, really: clone3() lets root choose it. */
static void test_pid_comes_back(void **state)
{
	struct clone_args args = {.exit_signal = SIGCHLD, .set_tid_size = 1};
	pid_t pid, again;
	long tick;

	(void)state;
	FIXTURE_NEEDED();
	pid = child_start(lease_all, NULL);
	child_kill(pid);
	for (tick = ticks_now(); ticks_now() <= tick + 1;)
		continue;
	args.set_tid = (uint64_t)(uintptr_t)&pid;
	again = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (again == 0)
		for (;;)
			pause();
	if (again < 0 && (errno == EPERM || errno == ENOSYS))
		unit_skip("not allowed to choose a pid");
	if (again < 0 && errno == EEXIST)
		unit_skip("the pid was taken by another process");
	assert_int_equal(again, pid);
	assert_nothing_lost();
	child_kill(again);
}

/* Long before the pool is short, by calls of others. */
static void test_sweep_finds_it(void **state)
{
	struct tcpwhy_pool_state s;
	uint64_t until;

	(void)state;
	FIXTURE_NEEDED();
	child_kill(child_start(lease_all, NULL));
	assert_int_equal(tcpwhy_lease_revoke(fix.pool, LOW), 1);
	until = pool_now_ns() + UINT64_C(20000000000);
	do {
		assert_int_equal(lease_n(1), 1);
		assert_int_equal(tcpwhy_lease_release(fix.pool, leases, 1), 1);
		tcpwhy_pool_look(fix.pool, &s);
	} while (s.free < PORTS && pool_now_ns() < until);
	assert_int_equal(s.free, PORTS);
	assert_int_equal(s.recovered, PORTS - 1);
}

/* --------------------------------------------------------------------------------------- fork() */

static void use_what_is_not_mine(void *ctx)
{
	struct tcpwhy_lease own;

	(void)ctx;
	if (tcpwhy_lease_release(fix.pool, leases, 10) != 0)
		_exit(1);
	if (tcpwhy_lease(fix.pool, NULL, &own, 1) != 1)
		_exit(2);
	tcpwhy_pool_close(fix.pool);
}

static void test_child_owns_nothing(void **state)
{
	struct tcpwhy_pool_state s;
	pid_t pid;

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(lease_n(10), 10);
	pid = child_start(use_what_is_not_mine, NULL);
	tcpwhy_pool_look(fix.pool, &s);
	assert_int_equal(s.leased, 10);
	child_kill(pid);
	assert_int_equal(tcpwhy_lease_release(fix.pool, leases, 10), 10);
	assert_nothing_lost();
}

static void become_parent(void *ctx)
{
	lease_all(ctx);
	/* The grandchild has all that its parent has, but for the leases. */
	if (fork() == 0) {
		pid_t pid = getpid();

		*(pid_t *)ctx = pid;
		for (;;)
			pause();
	}
}

static void test_child_outlives_parent(void **state)
{
	pid_t pid, *grandchild = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)state;
	FIXTURE_NEEDED();
	assert_true(grandchild != MAP_FAILED);
	pid = child_start(become_parent, grandchild);
	while (!*(volatile pid_t *)grandchild)
		sched_yield();
	child_kill(pid);
	assert_nothing_lost();
	kill(*grandchild, SIGKILL);
	munmap(grandchild, 4096);
}

/* ------------------------------------------------------------------------------------ threads */

enum { THREADS = 6, THREAD_ROUNDS = 20000 };

static _Atomic int holders_of[PORTS];
static _Atomic int doubles, lost;

static void *lease_in_thread(void *ctx)
{
	struct tcpwhy_lease own[4];

	(void)ctx;
	for (int round = 0; round < THREAD_ROUNDS; round++) {
		int n = tcpwhy_lease(fix.pool, NULL, own, 4);

		for (int i = 0; i < n; i++)
			if (atomic_fetch_add(&holders_of[own[i].port - LOW], 1))
				atomic_fetch_add(&doubles, 1);
		for (int i = 0; i < n; i++)
			atomic_fetch_sub(&holders_of[own[i].port - LOW], 1);
		if (n != 4 || tcpwhy_lease_release(fix.pool, own, 4) != 4)
			atomic_fetch_add(&lost, 1);
	}
	return NULL;
}

/* One handle, whose entry in the table is made by all of them at once. */
static void test_threads(void **state)
{
	struct tcpwhy_pool_state s;
	pthread_t threads[THREADS];

	(void)state;
	FIXTURE_NEEDED();
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, lease_in_thread, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(doubles, 0);
	assert_int_equal(lost, 0);
	tcpwhy_pool_look(fix.pool, &s);
	assert_int_equal(s.holders, 1);
	assert_nothing_lost();
}

/* ------------------------------------------------------------------------ another PID namespace */

/* In a namespace of its own, where it is pid 1: only the lock tells that it lives. */
static void test_other_pid_namespace(void **state)
{
	struct clone_args args = {.exit_signal = SIGCHLD, .flags = CLONE_NEWPID};
	int ready[2];
	pid_t pid;
	char byte;

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(pipe(ready), 0);
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		unit_skip("not allowed to make a PID namespace");
	if (!pid) {
		lease_all(NULL);
		(void)!write(ready[1], "r", 1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(look_at(LOW)->pid, 1);
	assert_true(look_at(LOW)->foreign);
	assert_int_equal(lease_n(1), -ENOSPC);
	child_kill(pid);
	assert_nothing_lost();
	close(ready[0]);
}

/* ------------------------------------------------------------------------------- time and names */

static void end_time(uint16_t port)
{
	atomic_store(&fix.pool->at.slots[port - LOW].expires_ns, 1);
}

static void test_ttl(void **state)
{
	const struct tcpwhy_lease_wish for_an_hour = {.ttl_s = 3600};

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(tcpwhy_lease(fix.pool, &for_an_hour, leases, PORTS), PORTS);
	assert_in_range(look_at(LOW)->left_ns, UINT64_C(3500000000000), UINT64_C(3600000000000));
	assert_int_equal(lease_n(1), -ENOSPC);
	end_time(LOW + 5);
	assert_int_equal(look_at(LOW + 5)->state, TCPWHY_PORT_ENDED);
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, &leases[PORTS], 1), 1);
	assert_int_equal(leases[PORTS].port, LOW + 5);
	/* It is another's by now. */
	for (unsigned i = 0; i < PORTS; i++)
		assert_int_equal(tcpwhy_lease_release(fix.pool, &leases[i], 1), i != 5);
}

static void do_nothing(void *ctx)
{
	(void)ctx;
}

static void test_assign_to_process(void **state)
{
	pid_t pid;

	(void)state;
	FIXTURE_NEEDED();
	pid = child_start(do_nothing, NULL);
	assert_int_equal(lease_n(2), 2);
	assert_int_equal(tcpwhy_lease_assign(fix.pool, &leases[0], pid, 0), 0);
	assert_int_equal(tcpwhy_lease_assign(fix.pool, &leases[1], pid, 0), 0);
	assert_int_equal(look_at(leases[0].port)->pid, pid);
	assert_int_equal(tcpwhy_pool_recover(fix.pool), 0);
	assert_int_equal(tcpwhy_lease_assign(fix.pool, &leases[0], 0, 9), -ESTALE);
	child_kill(pid);
	assert_int_equal(tcpwhy_pool_recover(fix.pool), 2);
	assert_nothing_lost();
}

static void test_assign_to_time(void **state)
{
	uint16_t port;

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(lease_n(1), 1);
	port = leases[0].port;
	assert_int_equal(tcpwhy_lease_assign(fix.pool, &leases[0], 0, 0), -EINVAL);
	assert_int_equal(tcpwhy_lease_assign(fix.pool, &leases[0], -1, 5), -EINVAL);
	assert_int_equal(tcpwhy_lease_assign(fix.pool, &leases[0], INT32_MAX, 0), -ESRCH);
	assert_int_equal(tcpwhy_lease_assign(fix.pool, &leases[0], 0, 60), 0);
	assert_int_equal(look_at(port)->pid, 0);
	/* It stays without us. */
	tcpwhy_pool_close(fix.pool);
	assert_int_equal(fixture_open(), 0);
	assert_int_equal(look_at(port)->state, TCPWHY_PORT_LEASED);
	end_time(port);
	assert_nothing_lost();
}

static void test_close_gives_back(void **state)
{
	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(lease_n(PORTS), PORTS);
	tcpwhy_pool_close(fix.pool);
	assert_int_equal(fixture_open(), 0);
	assert_nothing_lost();
}

static void test_revoke(void **state)
{
	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(tcpwhy_lease_revoke(fix.pool, LOW - 1), -EINVAL);
	assert_int_equal(tcpwhy_lease_revoke(fix.pool, HIGH + 1), -EINVAL);
	assert_int_equal(tcpwhy_lease_revoke(fix.pool, LOW), 0);
	assert_int_equal(lease_n(PORTS), PORTS);
	assert_int_equal(tcpwhy_lease_revoke(fix.pool, leases[7].port), 1);
	assert_int_equal(tcpwhy_lease_release(fix.pool, &leases[7], 1), 0);
}

/* ----------------------------------------------------------------------------------------- held */

static int bind_to(uint16_t port, bool reuse)
{
	const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (reuse)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) == 0)
		return fd;
	close(fd);
	return -errno;
}

static void test_held(void **state)
{
	const struct tcpwhy_lease_wish held = {.held = true};
	struct tcpwhy_lease one;
	uint16_t port;
	int fd;

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(tcpwhy_lease(fix.pool, &held, &one, 1), 1);
	port = one.port;
	assert_true(one.fd > 2);
	assert_true(look_at(port)->held);
	assert_int_equal(bind_to(port, false), -EADDRINUSE);
	assert_int_equal(bind_to(port, true), -EADDRINUSE);
	assert_int_equal(listen(one.fd, 1), 0);
	assert_int_equal(tcpwhy_lease_release(fix.pool, &one, 1), 1);
	assert_int_equal(one.fd, -1);
	fd = bind_to(port, false);
	assert_true(fd >= 0);
	close(fd);
}

/* A foreign bind() took a port: reserved does not see it, probe and held pass it over. */
static void test_foreign_bind(void **state)
{
	const struct tcpwhy_lease_wish held = {.held = true}, probe = {.probe = true};
	int foreign;

	(void)state;
	FIXTURE_NEEDED();
	foreign = bind_to(LOW, false);
	assert_true(foreign >= 0);
	assert_int_equal(tcpwhy_lease(fix.pool, &held, leases, 2), 2);
	assert_int_equal(leases[0].port, LOW + 1);
	assert_int_equal(tcpwhy_lease_release(fix.pool, leases, 2), 2);
	assert_int_equal(tcpwhy_lease(fix.pool, &probe, leases, PORTS), PORTS - 1);
	assert_int_equal(tcpwhy_lease_release(fix.pool, leases, PORTS - 1), PORTS - 1);
	assert_int_equal(lease_n(PORTS), PORTS);
	close(foreign);
}

static void test_listening(void **state)
{
	const struct tcpwhy_lease_wish wish = {.listening = true};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct tcpwhy_lease one;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(tcpwhy_lease(fix.pool, &wish, &one, 1), 1);
	to.sin_port = htons(one.port);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	close(fd);
	assert_int_equal(tcpwhy_lease_release(fix.pool, &one, 1), 1);
}

static void test_bad_address(void **state)
{
	const struct sockaddr_in absent = {.sin_family = AF_INET, .sin_addr = {htonl(0xc0000201)}};
	struct tcpwhy_lease_wish wish = {.held = true,
					 .address = (const struct sockaddr *)&absent,
					 .address_len = sizeof(absent)};

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(tcpwhy_lease(fix.pool, &wish, leases, 3), -EADDRNOTAVAIL);
	wish.address_len = 4;
	assert_int_equal(tcpwhy_lease(fix.pool, &wish, leases, 3), -EINVAL);
	assert_nothing_lost();
}

/* ------------------------------------------------------------------------------------- handover */

static int pair[2];

static void give(void *ctx)
{
	const struct tcpwhy_lease_wish held = {.held = true};
	struct tcpwhy_lease one;

	(void)ctx;
	if (tcpwhy_lease(fix.pool, &held, &one, 1) != 1 ||
	    tcpwhy_lease_send(fix.pool, &one, pair[0]))
		_exit(1);
}

/* The giver dies before the taker takes: nobody else gets the port in between. */
static void test_handover(void **state)
{
	struct tcpwhy_lease one;
	pid_t pid;

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	pid = child_start(give, NULL);
	child_kill(pid);
	assert_int_equal(tcpwhy_pool_recover(fix.pool), 0);
	assert_int_equal(lease_n(PORTS), PORTS - 1);
	assert_int_equal(tcpwhy_lease_receive(fix.pool, pair[1], &one), 0);
	assert_int_equal(look_at(one.port)->pid, getpid());
	assert_int_equal(look_at(one.port)->left_ns, 0);
	assert_int_equal(bind_to(one.port, false), -EADDRINUSE);
	assert_int_equal(listen(one.fd, 1), 0);
	assert_int_equal(tcpwhy_lease_release(fix.pool, &one, 1), 1);
	assert_int_equal(tcpwhy_lease_release(fix.pool, leases, PORTS - 1), PORTS - 1);
	close(pair[0]);
	close(pair[1]);
	assert_nothing_lost();
}

static void test_handover_too_late(void **state)
{
	const struct tcpwhy_lease_wish held = {.held = true};
	struct tcpwhy_lease one, other;
	uint16_t port;

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	/* Its time is over, nobody took it: the taker still gets it. */
	assert_int_equal(tcpwhy_lease(fix.pool, &held, &one, 1), 1);
	port = one.port;
	assert_int_equal(tcpwhy_lease_send(fix.pool, &one, pair[0]), 0);
	end_time(port);
	assert_int_equal(tcpwhy_pool_recover(fix.pool), 1);
	assert_int_equal(tcpwhy_lease_receive(fix.pool, pair[1], &other), 0);
	assert_int_equal(other.port, port);
	/* Somebody took it. */
	assert_int_equal(tcpwhy_lease_send(fix.pool, &other, pair[0]), 0);
	end_time(port);
	assert_int_equal(lease_n(PORTS), PORTS);
	assert_int_equal(tcpwhy_lease_receive(fix.pool, pair[1], &other), -ESTALE);
	close(pair[0]);
	close(pair[1]);
}

static void test_handover_of_nonsense(void **state)
{
	struct tcpwhy_lease one = {.token = 1, .fd = 0, .port = LOW};

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(tcpwhy_lease_send(fix.pool, &one, pair[0]), -ESTALE);
	assert_int_equal(write(pair[0], "hello", 5), 5);
	assert_int_equal(tcpwhy_lease_receive(fix.pool, pair[1], &one), -EBADMSG);
	close(pair[0]);
	assert_int_equal(tcpwhy_lease_receive(fix.pool, pair[1], &one), -EBADMSG);
	close(pair[1]);
}

/* ------------------------------------------------------------- a handover that meets a rebuild */

static _Atomic pid_t taker;
static struct tcpwhy_lease taken;

static void *receive_in_thread(void *ctx)
{
	atomic_store(&taker, (pid_t)syscall(SYS_gettid));
	*(int *)ctx = tcpwhy_lease_receive(fix.pool, pair[1], &taken);
	return NULL;
}

/* Past its look at the pool: it has nothing else to sleep for than the message. */
static void await_sleep(void)
{
	char name[64], line[256] = "", state = 0;

	for (int i = 0; i < 20000 && state != 'S'; i++) {
		FILE *f;

		usleep(1000);
		snprintf(name, sizeof(name), "/proc/self/task/%d/stat", (int)atomic_load(&taker));
		f = atomic_load(&taker) ? fopen(name, "re") : NULL;
		if (f && fgets(line, sizeof(line), f))
			state = strrchr(line, ')')[2];
		if (f)
			fclose(f);
	}
	assert_int_equal(state, 'S');
}

/* What was sent to one end goes on to the other. */
static void pass_on(int from, int to)
{
	union {
		struct cmsghdr aligned;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char bytes[256];
	struct iovec part = {bytes, sizeof(bytes)};
	struct msghdr msg = {.msg_iov = &part,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(from, &msg, 0);
	int fd;

	assert_true(n > 0);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	part.iov_len = (size_t)n;
	assert_int_equal(sendmsg(to, &msg, 0), n);
	close(fd);
}

static void test_handover_meets_rebuild(void **state)
{
	const struct tcpwhy_lease_wish held = {.held = true};
	const struct tcpwhy_lease before = {.token = 7, .fd = 12345, .port = 9};
	struct tcpwhy_lease one;
	int way[2], got = 0;
	pthread_t thread;

	(void)state;
	FIXTURE_NEEDED();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, way), 0);
	assert_int_equal(tcpwhy_lease(fix.pool, &held, &one, 1), 1);
	assert_int_equal(tcpwhy_lease_send(fix.pool, &one, way[0]), 0);
	taken = before;
	atomic_store(&taker, 0);
	assert_int_equal(pthread_create(&thread, NULL, receive_in_thread, &got), 0);
	await_sleep();
	assert_int_equal(fixture_create(LOW, HIGH + 3), 0);
	pass_on(way[1], pair[0]);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(got, -ESTALE);
	assert_true(taken.token == before.token && taken.fd == before.fd);
	assert_int_equal(taken.port, before.port);
	for (int i = 0; i < 2; i++) {
		close(pair[i]);
		close(way[i]);
	}
}

int main(void)
{
#define POOL_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		POOL_TEST(test_all_once),
		POOL_TEST(test_longest_unused_first),
		POOL_TEST(test_random),
		POOL_TEST(test_only_ones_own),
		POOL_TEST(test_holder_dies),
		POOL_TEST(test_zombie_is_dead),
		POOL_TEST(test_pid_comes_back),
		POOL_TEST(test_sweep_finds_it),
		POOL_TEST(test_child_owns_nothing),
		POOL_TEST(test_child_outlives_parent),
		POOL_TEST(test_threads),
		POOL_TEST(test_other_pid_namespace),
		POOL_TEST(test_ttl),
		POOL_TEST(test_assign_to_process),
		POOL_TEST(test_assign_to_time),
		POOL_TEST(test_close_gives_back),
		POOL_TEST(test_revoke),
		POOL_TEST(test_held),
		POOL_TEST(test_foreign_bind),
		POOL_TEST(test_listening),
		POOL_TEST(test_bad_address),
		POOL_TEST(test_handover),
		POOL_TEST(test_handover_too_late),
		POOL_TEST(test_handover_of_nonsense),
		POOL_TEST(test_handover_meets_rebuild),
	};

	return unit_run("lease", tests);
}
