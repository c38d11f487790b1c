/* SPDX-License-Identifier: MIT
 *
 * Files for a host's programs, where only they see them (kernel_mounts.c)
 */
#include "case/kernel_state.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of one directory, and none that has a meaning. */
static bool is_plain(const char *name)
{
	return name[0] && name[0] != '.' && !strchr(name, '/');
}

/* In a child: only what may be called between fork() and exec() of a process with threads. */
static _Noreturn void put(const struct kernel_stage *k, const char *directory, const char *path,
			  const char *text, size_t n)
{
	if (setns(k->mounts, CLONE_NEWNS) || (mkdir(directory, 0755) && errno != EEXIST))
		_exit(errno);
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	const ssize_t done = fd < 0 ? -1 : write(fd, text, n);
	_exit(done < 0 ? errno : (size_t)done < n ? ENOSPC : 0);
}

static int put_and_wait(const struct kernel_stage *k, const char *directory, const char *path,
			const char *text, size_t n)
{
	const pid_t pid = fork();
	int status = 0;

	if (!pid)
		put(k, directory, path, text, n);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
}

int kernel_file(struct stage *st, int host, const char *name, const char *text, size_t n,
		char *path, size_t size, struct err *err)
{
	struct kernel_stage *k = kernel_of(st);
	char directory[sizeof(KERNEL_FILES) + 1 + KERNEL_NAME_MAX];

	must(host >= 0 && (size_t)host < k->n_nodes);
	if (!is_plain(name) || !is_plain(k->nodes[host].name))
		return kernel_fail(err, -EINVAL, "a file's name, and its host's, has no directory");
	int rc = kernel_mounts_make(k, err);
	if (rc)
		return rc;
	snprintf(directory, sizeof(directory), KERNEL_FILES "/%s", k->nodes[host].name);
	const int length = snprintf(path, size, "%s/%s", directory, name);
	if (length < 0 || (size_t)length >= size)
		return kernel_fail(err, -ENAMETOOLONG, name);
	rc = put_and_wait(k, directory, path, text, n);
	return rc ? kernel_fail(err, rc, path) : 0;
}
