/* SPDX-License-Identifier: MIT */
#include "live/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define OWN_PATH "/proc/thread-self/ns/net"

/* A path that is no namespace may be anything, so it is opened without side effects and asked what
 * it is. */
static int open_checked(const char *path, struct netns *ns)
{
	struct stat st;
	struct statfs fs;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || fstatfs(fd, &fs)) {
		int error = -errno;

		close(fd);
		return error;
	}
	if (fs.f_type != NSFS_MAGIC || ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
		close(fd);
		return -EINVAL;
	}
	ns->fd = fd;
	ns->inode = st.st_ino;
	return 0;
}

static int open_named(const char *name, struct netns *ns)
{
	static const char *const folders[] = {"/run/netns", "/var/run/netns"};
	char path[PATH_MAX];
	int error = -ENOENT;

	if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -ENOENT;
	for (size_t i = 0; i < 2 && error == -ENOENT; i++) {
		int n = snprintf(path, sizeof(path), "%s/%s", folders[i], name);

		if (n < 0 || (size_t)n >= sizeof(path))
			return -ENAMETOOLONG;
		error = open_checked(path, ns);
	}
	return error;
}

static int open_process(int pid, struct netns *ns)
{
	char path[64];
	int error;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	error = open_checked(path, ns);
	/* A process that is already a zombie has no namespaces, and readlink of them fails so. */
	return error == -ESRCH ? -ENOENT : error;
}

static int tell_name(int error, const char *name, struct err *err)
{
	const char *where = strchr(name, '/') ? "" : " under /run/netns";

	switch (error) {
	case -ENOENT:
	case -ENOTDIR:
		snprintf(err->text, sizeof(err->text), "no network namespace '%.150s'%s", name,
			 where);
		return -ENOENT;
	case -EACCES:
	case -EPERM:
		snprintf(err->text, sizeof(err->text),
			 "not allowed to open network namespace '%.150s'", name);
		return -EPERM;
	case -EINVAL:
		snprintf(err->text, sizeof(err->text), "'%.150s' is not a network namespace", name);
		return -EINVAL;
	}
	snprintf(err->text, sizeof(err->text), "network namespace '%.150s': %s", name,
		 strerror(-error));
	return error;
}

static int tell_process(int error, int pid, struct err *err)
{
	switch (error) {
	case -ENOENT:
		snprintf(err->text, sizeof(err->text), "no process %d", pid);
		return error;
	case -EACCES:
	case -EPERM:
		snprintf(err->text, sizeof(err->text),
			 "not allowed to open the network namespace of process %d (needs "
			 "CAP_SYS_PTRACE)",
			 pid);
		return -EPERM;
	}
	snprintf(err->text, sizeof(err->text), "network namespace of process %d: %s", pid,
		 strerror(-error));
	return error;
}

int netns_open(const char *name, int pid, struct netns *ns, struct err *err)
{
	struct netns found = {.fd = -1};
	struct stat st;
	int error;

	if (pid < 0 || (name && pid)) {
		snprintf(err->text, sizeof(err->text), "%s",
			 pid < 0 ? "a process id is a positive number"
				 : "a namespace and a process: only one of them");
		return -EINVAL;
	}
	if (name) {
		error = strchr(name, '/') ? open_checked(name, &found) : open_named(name, &found);
		if (error)
			return tell_name(error, name, err);
	} else if (pid) {
		error = open_process(pid, &found);
		if (error)
			return tell_process(error, pid, err);
	} else {
		error = open_checked(OWN_PATH, &found);
		if (error) {
			snprintf(err->text, sizeof(err->text), "our own network namespace (%s): %s",
				 OWN_PATH, strerror(-error));
			return error;
		}
	}
	found.own = stat(OWN_PATH, &st) == 0 && st.st_ino == found.inode;
	*ns = found;
	return 0;
}

void netns_close(struct netns *ns)
{
	if (ns->fd >= 0)
		close(ns->fd);
	ns->fd = -1;
}

struct errand {
	const struct netns *ns;
	int (*fn)(void *ctx);
	void *ctx;
	int result;
	int entered; /* 0, or the errno of setns() */
};

static void *go(void *arg)
{
	struct errand *e = arg;

	if (!e->ns->own && setns(e->ns->fd, CLONE_NEWNET)) {
		e->entered = errno;
		return NULL;
	}
	e->result = e->fn(e->ctx);
	return NULL;
}

int netns_run(const struct netns *ns, bool own_thread, int (*fn)(void *ctx), void *ctx,
	      struct err *err)
{
	struct errand e = {.ns = ns, .fn = fn, .ctx = ctx};
	pthread_t thread;
	int error;

	if (ns->own && !own_thread)
		return fn(ctx);
	error = pthread_create(&thread, NULL, go, &e);
	if (error) {
		snprintf(err->text, sizeof(err->text), "starting a thread: %s", strerror(error));
		return -error;
	}
	pthread_join(thread, NULL);
	if (e.entered) {
		snprintf(err->text, sizeof(err->text), "entering network namespace %llu: %s%s",
			 (unsigned long long)ns->inode, strerror(e.entered),
			 e.entered == EPERM ? " (needs CAP_SYS_ADMIN)" : "");
		return -e.entered;
	}
	return e.result;
}
