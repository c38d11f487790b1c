/* SPDX-License-Identifier: MIT
 *
 * Ports of a pool for sockets, with a pool of its own in a folder of its own.
 */
#include "lease_fixture.h"

#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "wrap/leased.h"

/* As leased_open() leaves it, but of the pool of this test. */
static struct leased leased_here(void)
{
	struct leased l = {.pool = fix.pool, .shared = calloc(1, sizeof(*l.shared))};

	assert_non_null(l.shared);
	l.shared->next_look = 1000;
	return l;
}

static int tcp(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	return fd;
}

static int bind_any(struct leased *l, int fd, pid_t process)
{
	struct sockaddr_in at = {.sin_family = AF_INET};

	return leased_bind(l, fd, process, (struct sockaddr *)&at, sizeof(at));
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in6 at;
	socklen_t len = sizeof(at);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	return ntohs(at.sin6_port);
}

static unsigned leased_ports(void)
{
	struct tcpwhy_pool_state s;

	tcpwhy_pool_look(fix.pool, &s);
	return s.leased;
}

static void test_of_the_pool(void **state)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct leased l;
	int fd, fd6;

	(void)state;
	FIXTURE_NEEDED();
	l = leased_here();
	fd = tcp(AF_INET);
	fd6 = tcp(AF_INET6);
	assert_false(leased_has(&l, fd, getpid()));
	assert_int_equal(bind_any(&l, fd, getpid()), 0);
	assert_in_range(port_of(fd), LOW, HIGH);
	assert_true(leased_has(&l, fd, getpid()));
	assert_false(leased_has(&l, fd, getppid()));
	assert_int_equal(leased_bind(&l, fd6, getpid(), (struct sockaddr *)&v6, sizeof(v6)), 0);
	assert_in_range(port_of(fd6), LOW, HIGH);
	assert_int_not_equal(port_of(fd), port_of(fd6));
	assert_int_equal(leased_ports(), 2);
	/* A second bind() fails as the kernel's does, and costs no port. */
	assert_int_equal(bind_any(&l, fd, getpid()), -EINVAL);
	assert_int_equal(leased_ports(), 2);
	close(fd);
	close(fd6);
	free(l.shared);
}

static void test_closed_ports_come_back(void **state)
{
	struct leased l;
	int open[PORTS / 2];

	(void)state;
	FIXTURE_NEEDED();
	l = leased_here();
	for (int i = 0; i < PORTS / 2; i++) {
		int closed = tcp(AF_INET);

		open[i] = tcp(AF_INET);
		assert_int_equal(bind_any(&l, open[i], getpid()), 0);
		assert_int_equal(bind_any(&l, closed, getpid()), 0);
		close(closed);
	}
	assert_int_equal(leased_ports(), PORTS);
	/* The pool is empty: what was closed is found. */
	for (int i = 0; i < PORTS; i++) {
		int fd = tcp(AF_INET);

		assert_int_equal(bind_any(&l, fd, getpid()), 0);
		close(fd);
	}
	for (int i = 0; i < PORTS / 2; i++) {
		assert_true(leased_has(&l, open[i], getpid()));
		close(open[i]);
	}
	free(l.shared);
}

static void test_full(void **state)
{
	struct leased l;
	int fds[PORTS], fd = tcp(AF_INET);

	(void)state;
	FIXTURE_NEEDED();
	l = leased_here();
	for (int i = 0; i < PORTS; i++) {
		fds[i] = tcp(AF_INET);
		assert_int_equal(bind_any(&l, fds[i], getpid()), 0);
	}
	assert_int_equal(bind_any(&l, fd, getpid()), -ENOSPC);
	assert_int_equal(port_of(fd), 0);
	close(fds[7]);
	assert_int_equal(bind_any(&l, fd, getpid()), 0);
	for (int i = 0; i < PORTS; i++)
		if (i != 7)
			close(fds[i]);
	close(fd);
	free(l.shared);
}

static void test_what_others_bound_is_passed_over(void **state)
{
	struct leased l;
	int strangers[PORTS - 1], fd = tcp(AF_INET);

	(void)state;
	FIXTURE_NEEDED();
	l = leased_here();
	for (int i = 0; i < PORTS - 1; i++) {
		struct sockaddr_in at = {.sin_family = AF_INET,
					 .sin_port = htons((uint16_t)(LOW + i))};

		strangers[i] = tcp(AF_INET);
		assert_int_equal(bind(strangers[i], (struct sockaddr *)&at, sizeof(at)), 0);
	}
	/* 64 are tried at a time. */
	for (int i = 0; i < 3 && port_of(fd) == 0; i++)
		bind_any(&l, fd, getpid());
	assert_int_equal(port_of(fd), HIGH);
	assert_int_equal(leased_ports(), 1);
	for (int i = 0; i < PORTS - 1; i++)
		close(strangers[i]);
	close(fd);
	free(l.shared);
}

static void nothing(void *ctx)
{
	(void)ctx;
}

static void test_ends_with_the_process(void **state)
{
	struct leased l;
	pid_t process;
	int fd = tcp(AF_INET);

	(void)state;
	FIXTURE_NEEDED();
	l = leased_here();
	process = child_start(nothing, NULL);
	assert_int_equal(bind_any(&l, fd, process), 0);
	assert_int_equal(leased_ports(), 1);
	child_kill(process);
	tcpwhy_pool_recover(fix.pool);
	assert_int_equal(leased_ports(), 0);
	close(fd);
	assert_nothing_lost();
	free(l.shared);
}

/* A port that the pool gave to another is not taken back for being unused. */
static void test_leases_of_others_stay(void **state)
{
	struct tcpwhy_lease all[PORTS];
	struct leased l;
	int fd = tcp(AF_INET);

	(void)state;
	FIXTURE_NEEDED();
	l = leased_here();
	assert_int_equal(tcpwhy_lease(fix.pool, NULL, all, PORTS), PORTS);
	/* As if it had been ours, of a process that ended since. */
	for (int i = 0; i < PORTS; i++)
		l.shared->process[all[i].port] = (uint32_t)getppid();
	assert_int_equal(bind_any(&l, fd, getpid()), -ENOSPC);
	assert_int_equal(tcpwhy_lease_release(fix.pool, all, PORTS), PORTS);
	assert_int_equal(bind_any(&l, fd, getpid()), 0);
	close(fd);
	free(l.shared);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_of_the_pool),
		TEST(test_closed_ports_come_back),
		TEST(test_full),
		TEST(test_what_others_bound_is_passed_over),
		TEST(test_ends_with_the_process),
		TEST(test_leases_of_others_stay),
	};

	return unit_run("wrap_leased", tests);
}
