/* SPDX-License-Identifier: MIT
 *
 * What the stage's programs see of the file system: an empty /run and an empty BPF file system of
 * their own, and tcpwhy, the program that runs, in PATH
 *
 * Journals, port pools and pinned BPF programs lie there, so the user's own are neither met nor
 * changed, and all of it goes with the mount namespace, which nothing but a descriptor of ours and
 * the programs hold: kill -9 leaves nothing behind.
 */
#include "case/kernel_state.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOLDER         "/run/tcpwhy-lab"
#define SYSTEM_FOLDERS "/usr/sbin:/sbin"

/* In a child that has it to itself. 0, or the errno. */
static int arrange(const char *exe)
{
	/* What is mounted or taken away outside is seen here too, not the other way round. */
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) ||
	    mount("tcpwhy-lab", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") ||
	    mkdir(FOLDER, 0700) || symlink(exe, FOLDER "/tcpwhy") || mkdir(KERNEL_FILES, 0755))
		return errno;
	/* Without BPF, or the right to use it, there is nothing to be kept apart. */
	(void)!mount("tcpwhy-lab", "/sys/fs/bpf", "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		     "mode=0700");
	return 0;
}

/* Says how it went, and keeps the namespace until it is held. */
static _Noreturn void be_the_first(const char *exe, int tell, int wait)
{
	const int error = arrange(exe);
	char byte;

	if (write(tell, &error, sizeof(error)) == sizeof(error))
		(void)!read(wait, &byte, 1);
	_exit(0);
}

static int hold(pid_t pid, int told)
{
	char path[64];
	int error = EPIPE;

	if (read(told, &error, sizeof(error)) < 0)
		error = errno;
	if (error)
		return -error;
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The namespace's descriptor, or -errno. */
static int make(const char *exe)
{
	int told[2], waits[2], fd;

	if (pipe2(told, O_CLOEXEC))
		return -errno;
	if (pipe2(waits, O_CLOEXEC)) {
		fd = -errno;
		close(told[0]);
		close(told[1]);
		return fd;
	}
	const pid_t pid = fork();
	if (!pid) {
		close(waits[1]);
		be_the_first(exe, told[1], waits[0]);
	}
	fd = pid < 0 ? -errno : 0;
	close(told[1]);
	close(waits[0]);
	if (!fd)
		fd = hold(pid, told[0]);
	close(told[0]);
	close(waits[1]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return fd;
}

/* Our own environment with FOLDER before PATH, and behind it where an ordinary user's has not the
 * programs of cases. The texts are borrowed but for the first, which is the array's neighbour in
 * memory. */
static char **environment(void)
{
	const char *path = getenv("PATH"), *rest = path ? path : "/usr/bin:/bin";
	const size_t length = strlen("PATH=" FOLDER ":" SYSTEM_FOLDERS) + strlen(rest) + 2;
	size_t n = 0, used = 0;

	while (environ[n])
		n++;
	char **all = malloc((n + 2) * sizeof(*all) + length);
	if (!all)
		return NULL;
	all[used++] = (char *)(all + n + 2);
	snprintf(all[0], length, "PATH=" FOLDER ":%s:" SYSTEM_FOLDERS, rest);
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "PATH=", 5) != 0)
			all[used++] = environ[i];
	all[used] = NULL;
	return all;
}

int kernel_mounts_make(struct kernel_stage *k, struct err *err)
{
	char exe[sizeof(k->exe)];

	if (k->mounts >= 0)
		return 0;
	const ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (n < 0)
		return kernel_fail(err, -errno, "/proc/self/exe");
	exe[n] = '\0';
	char **all = environment();
	const int fd = all ? make(exe) : -ENOMEM;
	if (fd < 0) {
		free(all);
		kernel_fail(err, fd, "a mount namespace for programs");
		return fd == -EACCES ? STAGE_CANNOT : kernel_lacks(fd);
	}
	memcpy(k->exe, exe, sizeof(exe));
	k->environment = all;
	k->mounts = fd;
	return 0;
}

void kernel_mounts_end(struct kernel_stage *k)
{
	if (k->mounts >= 0)
		close(k->mounts);
	k->mounts = -1;
	free(k->environment);
	k->environment = NULL;
}
