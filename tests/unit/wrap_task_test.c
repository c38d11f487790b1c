/* SPDX-License-Identifier: MIT
 *
 * Reaching into processes and threads that are made here.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wrap/task.h"

static const char marked[] = "a place in memory";

/* A child that did something, said so, and lives until it is killed. */
static pid_t child(void (*doing)(void))
{
	int ready[2];
	char byte = 0;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		doing();
		(void)!write(ready[1], &byte, 1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void nothing(void)
{
}

static void hide(void)
{
	prctl(PR_SET_DUMPABLE, 0);
}

static void other_user(void)
{
	(void)!setuid(65534);
}

static void other_namespace(void)
{
	(void)!unshare(CLONE_NEWNET);
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	assert_int_equal(fstat(a, &x) | fstat(b, &y), 0);
	return x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static void test_borrow(void **state)
{
	struct task_kept kept = {0, -1};
	int ends[2], copy;
	pid_t first, second;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	first = child(nothing);
	second = child(nothing);
	copy = task_borrow(&kept, first, ends[0]);
	if (copy == -EPERM || copy == -ENOSYS) {
		end(first);
		end(second);
		unit_skip("no process may be looked into here");
	}
	assert_true(copy >= 0);
	assert_true(same_file(copy, ends[0]));
	close(copy);
	/* From one to the other and back, and one that is not there. */
	for (int i = 0; i < 4; i++) {
		copy = task_borrow(&kept, i % 2 ? first : second, ends[1]);
		assert_true(copy >= 0);
		close(copy);
	}
	assert_int_equal(task_borrow(&kept, first, 9999), -EBADF);
	end(first);
	assert_int_equal(task_borrow(&kept, first, ends[0]), -ESRCH);
	copy = task_borrow(&kept, second, ends[0]);
	assert_true(copy >= 0);
	close(copy);
	end(second);
	assert_int_equal(task_borrow(&kept, second, ends[0]), -ESRCH);
	assert_int_equal(task_borrow(&kept, second, ends[0]), -ESRCH);
	close(ends[0]);
	close(ends[1]);
}

static void test_read(void **state)
{
	char text[sizeof(marked)];
	pid_t pid = child(nothing);
	int failed = task_read(pid, (uintptr_t)marked, text, sizeof(text));

	(void)state;
	if (failed == -EPERM) {
		end(pid);
		unit_skip("no process may be looked into here");
	}
	assert_int_equal(failed, 0);
	assert_string_equal(text, marked);
	assert_int_equal(task_read(pid, 8, text, sizeof(text)), -EFAULT);
	end(pid);
	assert_int_equal(task_read(pid, (uintptr_t)marked, text, sizeof(text)), -ESRCH);
}

static void *in_thread(void *ends)
{
	struct task_kept kept = {0, -1};
	int copy = task_borrow(&kept, gettid(), *(int *)ends);

	assert_true(gettid() != getpid());
	assert_int_equal(task_process(gettid()), getpid());
	/* The caller has shown that it is allowed. */
	assert_true(copy >= 0 && same_file(copy, *(int *)ends));
	close(copy);
	return NULL;
}

static void test_threads(void **state)
{
	struct task_kept kept = {0, -1};
	int ends[2], copy;
	pthread_t id;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	copy = task_borrow(&kept, getpid(), ends[0]);
	if (copy == -EPERM || copy == -ENOSYS)
		unit_skip("no process may be looked into here");
	assert_true(copy >= 0);
	close(copy);
	assert_int_equal(pthread_create(&id, NULL, in_thread, ends), 0);
	pthread_join(id, NULL);
	assert_int_equal(task_process(getpid()), getpid());
	assert_int_equal(task_process(-1), -1);
	close(ends[0]);
	close(ends[1]);
}

static void test_what_is_shared(void **state)
{
	pid_t like = child(nothing), hidden = child(hide), user, elsewhere;

	(void)state;
	assert_true(task_shares_netns(like) && task_shares_user(like));
	/* Both can be seen where nothing else can. */
	assert_true(task_shares_netns(hidden) && task_shares_user(hidden));
	end(like);
	end(hidden);
	assert_false(task_shares_netns(like) || task_shares_user(like));
	if (geteuid() != 0)
		unit_skip("needs root, to be another user and elsewhere");
	user = child(other_user);
	elsewhere = child(other_namespace);
	assert_false(task_shares_user(user));
	assert_true(task_shares_netns(user));
	assert_false(task_shares_netns(elsewhere));
	assert_true(task_shares_user(elsewhere));
	end(user);
	end(elsewhere);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_borrow),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_what_is_shared),
	};

	return unit_run("wrap_task", tests);
}
