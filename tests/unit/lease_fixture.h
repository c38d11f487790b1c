/* SPDX-License-Identifier: MIT
 *
 * lease_fixture.h - a pool in a folder of its own, and processes that use it and die
 */
#ifndef TCPWHY_TESTS_LEASE_FIXTURE_H
#define TCPWHY_TESTS_LEASE_FIXTURE_H

#include "child.h"

#include "lease/pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { LOW = 20000, PORTS = 100, HIGH = LOW + PORTS - 1 };

struct fixture {
	char folder[64];
	struct tcpwhy_pool *pool;
	struct tcpwhy_pool_why why;
	char refused[sizeof(
		struct tcpwhy_pool_why)]; /* why nothing can be tested here; "" if it can */
};

static struct fixture fix;

static inline int fixture_create(uint16_t low, uint16_t high)
{
	const struct tcpwhy_pool_plan plan = {low, high, fix.folder, (gid_t)-1};

	return tcpwhy_pool_create(&plan, &fix.why);
}

static inline int fixture_open(void)
{
	return tcpwhy_pool_open(fix.folder, false, &fix.pool, &fix.why);
}

/* The pool's file. */
static inline int fixture_file(int flags)
{
	struct dirent *entry;
	DIR *dir = opendir(fix.folder);
	int fd = -1;

	while (dir && fd < 0 && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, "ports-", 6) && !strchr(entry->d_name, '.'))
			fd = openat(dirfd(dir), entry->d_name, flags | O_CLOEXEC);
	closedir(dir);
	assert_true(fd >= 0);
	return fd;
}

static inline int fixture_setup(void **state)
{
	int error;

	(void)state;
	memset(&fix, 0, sizeof(fix));
	strcpy(fix.folder, "/tmp/tcpwhy-lease-test.XXXXXX");
	assert_non_null(mkdtemp(fix.folder));
	error = fixture_create(LOW, HIGH);
	/* Another range of ephemeral ports than Linux's own. */
	if (error == -ERANGE)
		snprintf(fix.refused, sizeof(fix.refused), "%s", fix.why.text);
	else
		assert_int_equal(error, 0);
	if (!error)
		assert_int_equal(fixture_open(), 0);
	return 0;
}

static inline int fixture_teardown(void **state)
{
	char command[96];

	(void)state;
	tcpwhy_pool_close(fix.pool);
	snprintf(command, sizeof(command), "rm -rf %s", fix.folder);
	return system(command);
}

#define FIXTURE_NEEDED()                                                                           \
	do {                                                                                       \
		if (fix.refused[0])                                                                \
			unit_skip(fix.refused);                                                    \
	} while (0)

/* A child that runs fn(ctx), says so, and lives until it is killed. */
static inline pid_t child_start(void (*fn)(void *ctx), void *ctx)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		fn(ctx);
		(void)!write(ready[1], "r", 1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

/* All ports of the pool can be leased at once, each one once; they are given back. */
static inline void assert_nothing_lost(void)
{
	struct tcpwhy_lease leases[PORTS + 1];
	bool seen[PORTS] = {false};

	assert_int_equal(tcpwhy_lease(fix.pool, NULL, leases, PORTS + 1), PORTS);
	for (int i = 0; i < PORTS; i++) {
		assert_in_range(leases[i].port, LOW, HIGH);
		assert_false(seen[leases[i].port - LOW]);
		seen[leases[i].port - LOW] = true;
	}
	assert_int_equal(tcpwhy_lease_release(fix.pool, leases, PORTS), PORTS);
}

#endif
