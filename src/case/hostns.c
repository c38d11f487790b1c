/* SPDX-License-Identifier: MIT */
#include "case/hostns.h"

#include "case/rtnl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LOOPBACK = 1 };

/* ------------------------------------------------------------------------------ user namespace */

static bool has_sys_admin(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &header, caps))
		return false;
	return caps[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN);
}

static int write_file(const char *path, const char *text)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC);
	const size_t len = strlen(text);
	int rc = 0;

	if (fd < 0)
		return -errno;
	const ssize_t n = write(fd, text, len);
	if (n < 0)
		rc = -errno;
	else if ((size_t)n != len)
		rc = -EIO;
	close(fd);
	return rc;
}

static int map_ids(unsigned uid, unsigned gid)
{
	char line[32];
	int rc;

	snprintf(line, sizeof(line), "0 %u 1", uid);
	rc = write_file("/proc/self/uid_map", line);
	/* a group map may be written without privilege only once groups cannot be dropped any more
	 */
	if (!rc)
		rc = write_file("/proc/self/setgroups", "deny");
	snprintf(line, sizeof(line), "0 %u 1", gid);
	if (!rc)
		rc = write_file("/proc/self/gid_map", line);
	return rc;
}

static const char *refusal(int error)
{
	switch (error) {
	case EPERM:
	case EACCES:
		return ": this system does not let unprivileged users make user namespaces "
		       "(kernel.unprivileged_userns_clone, "
		       "kernel.apparmor_restrict_unprivileged_userns, seccomp); run as root";
	case ENOSPC:
	case EUSERS:
		return ": too many user namespaces (user.max_user_namespaces); run as root";
	case EINVAL:
		return ": the process has more than one thread already, or the kernel has no user "
		       "namespaces";
	}
	return "";
}

int hostns_permit(struct err *err)
{
	const unsigned uid = geteuid(), gid = getegid();
	int rc = 0;

	if (has_sys_admin())
		return 0;
	if (unshare(CLONE_NEWUSER))
		rc = -errno;
	if (!rc)
		rc = map_ids(uid, gid);
	if (rc)
		snprintf(err->text, sizeof(err->text), "a user namespace: %s%.170s", strerror(-rc),
			 refusal(-rc));
	return rc;
}

/* --------------------------------------------------------------------------- network namespace */

struct birth {
	struct netns ns;
	struct err *err;
};

static int quiet(void)
{
	struct rtnl r = {0};
	int rc = write_file("/proc/sys/net/ipv6/conf/default/addr_gen_mode", "1");

	if (rc == -ENOENT) /* a kernel without IPv6 */
		rc = 0;
	if (!rc)
		rc = rtnl_open(&r);
	if (!rc)
		rc = rtnl_set_up(&r, LOOPBACK, true);
	rtnl_close(&r);
	return rc;
}

static int be_born(void *ctx)
{
	struct birth *b = ctx;
	int rc = unshare(CLONE_NEWNET) ? -errno : 0;

	if (!rc)
		rc = quiet();
	if (rc) {
		snprintf(b->err->text, sizeof(b->err->text), "a new network namespace: %s%s",
			 strerror(-rc), rc == -EPERM ? " (needs CAP_SYS_ADMIN)" : "");
		return rc;
	}
	return netns_open(NULL, 0, &b->ns, b->err);
}

int hostns_new(struct netns *ns, struct err *err)
{
	const struct netns here = {.fd = -1, .own = true};
	struct birth b = {.err = err};
	const int rc = netns_run(&here, true, be_born, &b, err);

	if (rc)
		return rc;
	*ns = b.ns;
	ns->own = false; /* it was the thread's; the thread is gone */
	return 0;
}

/* -------------------------------------------------------------------------------------- sysctl */

struct sysctl_errand {
	char path[PATH_MAX];
	const char *set;
	char *got;
	size_t size;
};

static int read_file(const char *path, char *text, size_t size)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, text, size);
	const int rc = n < 0 ? -errno : 0;
	close(fd);
	if (rc)
		return rc;
	if (n && text[n - 1] == '\n')
		n--;
	if ((size_t)n == size)
		return -ENAMETOOLONG;
	text[n] = '\0';
	return 0;
}

/* /proc/sys/net shows the namespace of the thread that looks. */
static int go_sysctl(void *ctx)
{
	struct sysctl_errand *e = ctx;

	return e->set ? write_file(e->path, e->set) : read_file(e->path, e->got, e->size);
}

static int sysctl(const struct netns *ns, const char *name, struct sysctl_errand *e,
		  struct err *err)
{
	const int n = snprintf(e->path, sizeof(e->path), "/proc/sys/net/%s", name);

	err->text[0] = '\0';
	int rc = n < 0 || (size_t)n >= sizeof(e->path) ? -ENAMETOOLONG
						       : netns_run(ns, false, go_sysctl, e, err);
	if (rc && !err->text[0])
		snprintf(err->text, sizeof(err->text), "sysctl net/%.80s%s%.60s: %s", name,
			 e->set ? " = " : "", e->set ? e->set : "",
			 rc == -ENOENT ? "this kernel has none of that name" : strerror(-rc));
	return rc;
}

int hostns_set_sysctl(const struct netns *ns, const char *name, const char *value, struct err *err)
{
	struct sysctl_errand e = {.set = value};

	return sysctl(ns, name, &e, err);
}

int hostns_get_sysctl(const struct netns *ns, const char *name, char *value, size_t size,
		      struct err *err)
{
	struct sysctl_errand e = {.got = value, .size = size};

	return sysctl(ns, name, &e, err);
}

/* -------------------------------------------------------------------------------------- socket */

struct socket_errand {
	int family, type, protocol;
};

static int go_socket(void *ctx)
{
	const struct socket_errand *e = ctx;
	const int fd = socket(e->family, e->type | SOCK_CLOEXEC, e->protocol);

	return fd < 0 ? -errno : fd;
}

int hostns_socket(const struct netns *ns, int family, int type, int protocol, struct err *err)
{
	struct socket_errand e = {family, type, protocol};

	err->text[0] = '\0';
	const int rc = netns_run(ns, false, go_socket, &e, err);
	if (rc < 0 && !err->text[0])
		snprintf(err->text, sizeof(err->text), "a socket: %s", strerror(-rc));
	return rc;
}
