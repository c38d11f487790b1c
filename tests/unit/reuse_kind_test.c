/* SPDX-License-Identifier: MIT
 *
 * Sockets of another process, borrowed; and records of the journal, honest and not: what they are
 * in force of, and what undoing them touches. The other process is this test's own child.
 */
#include "cure/journal.h"
#include "cure/kind.h"
#include "live/borrow.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child with the sockets that this process had when it was made. */
struct other {
	pid_t pid;
	int fd; /* a bound TCP socket, here and there */
	int end[2];
	struct borrowed is;
	uint64_t start;
};

static int tcp(bool reuse)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = reuse;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static int option(int fd)
{
	socklen_t len = sizeof(int);
	int on = -1;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, &len), 0);
	return on;
}

/* A name with what could be taken for the end of it. */
static int start_other(void **state)
{
	struct other *o = calloc(1, sizeof(*o));
	struct borrow held = BORROW_NONE;
	char ready;
	int up[2];

	assert_non_null(o);
	o->fd = tcp(true);
	assert_int_equal(pipe(o->end), 0);
	assert_int_equal(pipe(up), 0);
	o->pid = fork();
	if (!o->pid) {
		prctl(PR_SET_NAME, ") R 1 (\n9");
		close(o->end[1]);
		(void)!write(up[1], "", 1);
		(void)!read(o->end[0], &ready, 1);
		_exit(0);
	}
	assert_int_equal(read(up[0], &ready, 1), 1);
	close(up[0]);
	close(up[1]);
	assert_true(borrow_ask(o->fd, &o->is));
	assert_int_equal(borrow_process(&held, o->pid), 0);
	o->start = held.start;
	borrow_end(&held);
	*state = o;
	return 0;
}

static void end_other(struct other *o)
{
	if (!o->pid)
		return;
	close(o->end[1]);
	waitpid(o->pid, NULL, 0);
	o->pid = 0;
}

static int stop_other(void **state)
{
	struct other *o = *state;

	end_other(o);
	close(o->end[0]);
	if (o->fd >= 0)
		close(o->fd);
	free(o);
	return 0;
}

/* ---------------------------------------------------------------------------------------- borrowed
 */

static void test_borrow(void **state)
{
	struct other *o = *state;
	struct borrow held = BORROW_NONE;
	struct borrowed b;
	int copy;

	assert_int_equal(borrow_process(&held, o->pid), 0);
	assert_string_equal(held.comm, ") R 1 (?9");
	assert_true(held.start > 0);
	assert_true(borrow_lives(&held));
	copy = borrow_socket(&held, o->fd);
	assert_true(copy >= 0);
	assert_true(borrow_ask(copy, &b));
	assert_int_equal(b.cookie, o->is.cookie);
	assert_int_equal(b.inode, o->is.inode);
	assert_true(b.listens && b.reuse && b.port);
	close(copy);
	assert_int_equal(borrow_socket(&held, 999), -EBADF);
	end_other(o);
	assert_false(borrow_lives(&held));
	assert_true(borrow_socket(&held, o->fd) < 0);
	borrow_end(&held);
	assert_int_equal(borrow_process(&held, INT32_MAX), -ESRCH);
}

static void test_no_tcp(void **state)
{
	static const struct {
		int domain, type;
	} cases[] = {{AF_UNIX, SOCK_STREAM}, {AF_INET, SOCK_DGRAM}, {AF_NETLINK, SOCK_RAW}};
	struct borrowed b;
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = socket(cases[i].domain, cases[i].type | SOCK_CLOEXEC, 0);

		assert_true(fd >= 0);
		assert_false(borrow_ask(fd, &b));
		close(fd);
	}
	assert_false(borrow_ask(file, &b));
	close(file);
}

/* ---------------------------------------------------------------------------------------- records
 */

static json_t *record(const struct other *o, uint64_t cookie, uint32_t inode, int pid)
{
	char boot[40];

	journal_boot(boot);
	return json_pack("{s:s, s:s, s:s, s:i, s:[{s:i, s:I, s:s}], s:[[I, I, i, I, i]]}", "action",
			 "reuseaddr", "boot", boot, "where", "127.0.0.1:1", "target", pid,
			 "processes", "pid", pid, "start", (json_int_t)o->start, "comm", "x",
			 "sockets", (json_int_t)cookie, (json_int_t)inode, pid,
			 (json_int_t)o->start, o->fd);
}

static enum kind_state look(const json_t *change)
{
	struct kind_look out = {0};

	kind_find("reuseaddr")->look(change, &out);
	assert_true(out.words[0]);
	return out.state;
}

static int undo(const json_t *change, enum kind_state *state)
{
	struct kind_look after = {0};
	struct err err;
	int rc = kind_find("reuseaddr")->undo(change, false, &after, &err);

	*state = after.state;
	return rc;
}

static void test_undo(void **state)
{
	struct other *o = *state;
	json_t *change = record(o, o->is.cookie, o->is.inode, o->pid);
	enum kind_state after;
	char what[128], where[64];

	assert_int_equal(look(change), KIND_IN_FORCE);
	assert_int_equal(option(o->fd), 1);
	assert_int_equal(undo(change, &after), 0);
	assert_int_equal(after, KIND_BACK);
	assert_int_equal(option(o->fd), 0);
	/* Again: it is so already. */
	assert_int_equal(undo(change, &after), 0);
	assert_int_equal(after, KIND_BACK);
	assert_int_equal(look(change), KIND_BACK);
	kind_find("reuseaddr")->describe(change, what, where);
	assert_string_equal(what, "SO_REUSEADDR on 1 socket of 127.0.0.1:1");
	json_decref(change);
}

/* Who has the socket now does not matter; and a descriptor that was recorded means nothing. */
static void test_moved(void **state)
{
	struct other *o = *state;
	json_t *change = record(o, o->is.cookie, o->is.inode, o->pid);
	enum kind_state after;

	end_other(o);
	assert_int_equal(look(change), KIND_IN_FORCE);
	assert_int_equal(undo(change, &after), 0);
	assert_int_equal(option(o->fd), 0);
	close(o->fd);
	o->fd = -1;
	assert_int_equal(look(change), KIND_GONE);
	assert_int_equal(undo(change, &after), 0);
	assert_int_equal(after, KIND_GONE);
	json_decref(change);
}

/* The inode of another socket, or the cookie of another: nothing is touched. */
static void test_other_socket(void **state)
{
	struct other *o = *state;
	int mine = tcp(true);
	struct borrowed b;
	json_t *change;
	enum kind_state after;

	assert_true(borrow_ask(mine, &b));
	change = record(o, o->is.cookie, b.inode, o->pid);
	assert_int_equal(look(change), KIND_GONE);
	assert_int_equal(undo(change, &after), 0);
	assert_int_equal(option(mine), 1);
	assert_int_equal(option(o->fd), 1);
	json_decref(change);
	change = record(o, o->is.cookie + 1, o->is.inode, o->pid);
	assert_int_equal(undo(change, &after), 0);
	assert_int_equal(option(o->fd), 1);
	json_object_set_new(change, "boot", json_string("another"));
	assert_int_equal(look(change), KIND_GONE);
	json_decref(change);
	close(mine);
}

static void test_bad_records(void **state)
{
	static const char *const texts[] = {
		"{}",
		"{\"sockets\":[]}",
		"{\"sockets\":{}}",
		"{\"sockets\":[1]}",
		"{\"sockets\":[[]]}",
		"{\"sockets\":[[0,1,1,1,1]]}",
		"{\"sockets\":[[1,0,1,1,1]]}",
		"{\"sockets\":[[1,-1,1,1,1]]}",
		"{\"sockets\":[[1,99999999999,1,1,1]]}",
		"{\"sockets\":[[1,1,0,1,1]]}",
		"{\"sockets\":[[1,1,99999999999,1,1]]}",
		"{\"sockets\":[[1,1,1,1,1],[\"a\",1,1,1,1]]}",
	};
	char what[128], where[64];
	enum kind_state after;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_t *change = json_loads(texts[i], 0, NULL);

		assert_non_null(change);
		assert_int_equal(look(change), KIND_UNSEEN);
		assert_int_equal(undo(change, &after), -EINVAL);
		kind_find("reuseaddr")->describe(change, what, where);
		assert_false(kind_find("reuseaddr")->same(change, change));
		json_decref(change);
	}
}

static void test_same(void **state)
{
	struct other *o = *state;
	json_t *a = record(o, 7, 70, 1), *b = record(o, 8, 80, 1), *both;
	const struct kind *kind = kind_find("reuseaddr");

	both = record(o, 9, 60, 1);
	json_array_extend(json_object_get(both, "sockets"), json_object_get(b, "sockets"));
	assert_true(kind->same(a, a));
	assert_false(kind->same(a, b));
	assert_false(kind->same(a, both));
	assert_true(kind->same(both, b));
	assert_true(kind->same(b, both));
	json_decref(a);
	json_decref(b);
	json_decref(both);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_borrow, start_other, stop_other),
		cmocka_unit_test(test_no_tcp),
		cmocka_unit_test_setup_teardown(test_undo, start_other, stop_other),
		cmocka_unit_test_setup_teardown(test_moved, start_other, stop_other),
		cmocka_unit_test_setup_teardown(test_other_socket, start_other, stop_other),
		cmocka_unit_test(test_bad_records),
		cmocka_unit_test_setup_teardown(test_same, start_other, stop_other),
	};

	return unit_run("reuse_kind", tests);
}
