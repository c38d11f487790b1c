/* SPDX-License-Identifier: MIT */
#include "live/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEPTH_MAX 33 /* user namespaces nest 32 deep */

static bool has_capability(unsigned capability)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return false;
	return data[capability / 32].effective & (1u << capability % 32);
}

bool privilege_may_trace(void)
{
	return has_capability(CAP_SYS_ADMIN) ||
	       (has_capability(CAP_BPF) && has_capability(CAP_PERFMON));
}

const char *privilege_for_hooks(void)
{
	bool bpf = has_capability(CAP_BPF), net = has_capability(CAP_NET_ADMIN);

	if (has_capability(CAP_SYS_ADMIN) || (bpf && net))
		return NULL;
	if (!bpf && !net)
		return "BPF programs on a cgroup need CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN";
	return bpf ? "BPF programs on a cgroup need CAP_NET_ADMIN beside CAP_BPF"
		   : "BPF programs on a cgroup need CAP_BPF beside CAP_NET_ADMIN";
}

bool privilege_may_mount(void)
{
	return has_capability(CAP_SYS_ADMIN);
}

/* Walks from the owner up to our own user namespace. fd is closed. */
static enum tcpwhy_tri search_up(int fd, ino_t own, unsigned capability)
{
	bool made = false;

	for (int i = 0; i < DEPTH_MAX; i++) {
		struct stat st;
		uid_t uid;
		int parent;

		if (fstat(fd, &st))
			break;
		if (st.st_ino == own) {
			close(fd);
			return made || has_capability(capability) ? TCPWHY_YES : TCPWHY_NO;
		}
		/* Who made a child of our namespace has every capability in it and below. Of the
		 * last step up only: if the parent is not ours, the next step overwrites this. */
		made = ioctl(fd, NS_GET_OWNER_UID, &uid) == 0 && uid == geteuid();
		parent = ioctl(fd, NS_GET_PARENT);
		close(fd);
		fd = parent;
		if (fd < 0)
			return errno == EPERM ? TCPWHY_NO : TCPWHY_UNKNOWN;
	}
	close(fd);
	return TCPWHY_UNKNOWN;
}

static enum tcpwhy_tri capable_over(int netns_fd, unsigned capability)
{
	int owner = ioctl(netns_fd, NS_GET_USERNS);
	struct stat own;

	/* EPERM: the owner is not in our user namespace or below, so nothing we hold counts there.
	 */
	if (owner < 0)
		return errno == EPERM ? TCPWHY_NO : TCPWHY_UNKNOWN;
	if (stat("/proc/thread-self/ns/user", &own)) {
		close(owner);
		return TCPWHY_UNKNOWN;
	}
	return search_up(owner, own.st_ino, capability);
}

enum tcpwhy_tri privilege_may_bind_low(int netns_fd)
{
	return capable_over(netns_fd, CAP_NET_BIND_SERVICE);
}

enum tcpwhy_tri privilege_may_destroy(int netns_fd)
{
	return capable_over(netns_fd, CAP_NET_ADMIN);
}

/* A socket's uid is the fsuid of the thread that makes it (sock_alloc()). */
int privilege_become(uint32_t uid)
{
	/* setfsuid() reports no failure: the second call tells what came of the first. */
	syscall(SYS_setfsuid, uid);
	return (uint32_t)syscall(SYS_setfsuid, (uid_t)-1) == uid ? 0 : -EPERM;
}
