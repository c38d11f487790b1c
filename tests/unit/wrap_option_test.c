/* SPDX-License-Identifier: MIT
 *
 * Which options real sockets have after each moment.
 */
#include "unit.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wrap/option.h"

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

static const struct wrap_cure all = {.reuseaddr = true,
				     .reuseport = true,
				     .bind_address_no_port = true,
				     .range_low = 40000,
				     .range_high = 41000};

static int tcp(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	return fd;
}

static unsigned option(int fd, int level, int name)
{
	unsigned value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) ? 0 : value;
}

static bool has_range(void)
{
	int fd = tcp(AF_INET);
	uint32_t value = 0;
	bool has = !setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &value, sizeof(value));

	close(fd);
	return has;
}

static void test_moments(void **state)
{
	enum { ADDR = 1, PORT = 2, NO_PORT = 4, RANGE = 8 };
	static const struct {
		enum option_moment moment;
		unsigned set;
	} rows[] = {{AT_BIND_PORT, ADDR | PORT},
		    {AT_BIND_ANY, NO_PORT | RANGE},
		    {AT_LISTEN_BOUND, ADDR | PORT},
		    {AT_LISTEN_UNBOUND, RANGE},
		    {AT_CONNECT, RANGE},
		    {AT_SOCKET, ADDR | PORT | NO_PORT | RANGE}};
	unsigned moments = 0;

	(void)state;
	if (!has_range())
		unit_skip("this kernel has no IP_LOCAL_PORT_RANGE");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *name = NULL;
		int fd = tcp(i % 2 ? AF_INET6 : AF_INET);
		unsigned set;

		/* Twice is once. */
		assert_int_equal(option_set(&all, rows[i].moment, fd, &name), 0);
		assert_int_equal(option_set(&all, rows[i].moment, fd, &name), 0);
		set = (option(fd, SOL_SOCKET, SO_REUSEADDR) ? ADDR : 0) |
		      (option(fd, SOL_SOCKET, SO_REUSEPORT) ? PORT : 0) |
		      (option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT) ? NO_PORT : 0) |
		      (option(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE) == (41000u << 16 | 40000) ? RANGE
											     : 0);
		assert_int_equal(set, rows[i].set);
		close(fd);
		moments |= rows[i].moment;
	}
	assert_int_equal(option_moments(&all), moments & ~(unsigned)AT_SOCKET);
}

static void test_only_what_was_asked(void **state)
{
	const struct wrap_cure none = {0}, port = {.reuseport = true}, lease = {.lease = true};
	const char *name;
	int fd = tcp(AF_INET);

	(void)state;
	assert_int_equal(option_moments(&none), 0);
	assert_int_equal(option_set(&none, AT_SOCKET, fd, &name), 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEADDR), 0);
	assert_int_equal(option_moments(&lease), AT_BIND_ANY | AT_LISTEN_UNBOUND);
	assert_int_equal(option_moments(&port), AT_BIND_PORT | AT_LISTEN_BOUND);
	assert_int_equal(option_set(&port, AT_BIND_PORT, fd, &name), 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEADDR), 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEPORT), 1);
	close(fd);
}

static void test_range_of_the_program(void **state)
{
	const uint32_t own = 50001u << 16 | 50000;
	const char *name;
	int fd = tcp(AF_INET);

	(void)state;
	if (!has_range())
		unit_skip("this kernel has no IP_LOCAL_PORT_RANGE");
	assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &own, sizeof(own)), 0);
	assert_int_equal(option_set(&all, AT_CONNECT, fd, &name), 0);
	assert_int_equal(option(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE), own);
	close(fd);
}

static void test_what_is_tcp(void **state)
{
	static const struct {
		int family, type;
		bool tcp;
	} rows[] = {{AF_INET, SOCK_STREAM, true},
		    {AF_INET6, SOCK_STREAM, true},
		    {AF_INET, SOCK_DGRAM, false},
		    {AF_UNIX, SOCK_STREAM, false},
		    {AF_UNIX, SOCK_DGRAM, false}};
	int ends[2];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = socket(rows[i].family, rows[i].type | SOCK_CLOEXEC, 0);

		if (fd < 0 && errno == EAFNOSUPPORT)
			continue;
		assert_int_equal(option_is_tcp(fd), rows[i].tcp);
		close(fd);
	}
	assert_int_equal(pipe(ends), 0);
	assert_false(option_is_tcp(ends[0]));
	close(ends[0]);
	close(ends[1]);
	assert_false(option_is_tcp(-1));
}

static void test_failure_is_named(void **state)
{
	const char *name = NULL;
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(option_set(&all, AT_BIND_PORT, ends[0], &name), -ENOTSOCK);
	assert_string_equal(name, "SO_REUSEADDR");
	assert_int_equal(option_set(&all, AT_BIND_ANY, ends[0], &name), -ENOTSOCK);
	assert_string_equal(name, "IP_BIND_ADDRESS_NO_PORT");
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moments),
		cmocka_unit_test(test_only_what_was_asked),
		cmocka_unit_test(test_range_of_the_program),
		cmocka_unit_test(test_what_is_tcp),
		cmocka_unit_test(test_failure_is_named),
	};

	return unit_run("wrap_option", tests);
}
