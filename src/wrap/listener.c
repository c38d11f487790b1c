/* SPDX-License-Identifier: MIT */
#include "wrap/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS /* 6.6 */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

static int call(int fd, unsigned long request, void *argument)
{
	int rc = ioctl(fd, request, argument);

	return rc < 0 ? -errno : rc;
}

int listener_check(int fd)
{
	struct seccomp_notif_addfd nobody = {.srcfd = (__u32)fd};
	struct seccomp_notif_sizes sizes;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes))
		return -errno;
	if (sizes.seccomp_notif > NOTIFICATION_MAX || sizes.seccomp_notif_resp > NOTIFICATION_MAX)
		return -EMSGSIZE;
	/* Nobody asked: ENOENT. Before 5.9 the request is not known, and the end of the last task
	 * is not told either. */
	return call(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &nobody) == -ENOENT ? 0 : -ENOSYS;
}

void listener_wake_here(int fd)
{
	ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
}

int listener_receive(int fd, union notification *n)
{
	return call(fd, SECCOMP_IOCTL_NOTIF_RECV, n);
}

bool listener_waits(int fd, uint64_t id)
{
	return call(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

/* The kernel may know more of an answer than our headers. */
static int answer(int fd, struct seccomp_notif_resp resp)
{
	union {
		struct seccomp_notif_resp r;
		unsigned char room[NOTIFICATION_MAX];
	} u;

	memset(&u, 0, sizeof(u));
	u.r = resp;
	return call(fd, SECCOMP_IOCTL_NOTIF_SEND, &u);
}

int listener_go_on(int fd, uint64_t id)
{
	return answer(fd, (struct seccomp_notif_resp){.id = id,
						      .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE});
}

int listener_refuse(int fd, uint64_t id, int error)
{
	return answer(fd, (struct seccomp_notif_resp){.id = id, .error = -error});
}

int listener_return(int fd, uint64_t id, int64_t value)
{
	return answer(fd, (struct seccomp_notif_resp){.id = id, .val = value});
}

int listener_give(int fd, uint64_t id, int descriptor, bool cloexec)
{
	struct seccomp_notif_addfd add = {.id = id,
					  .flags = SECCOMP_ADDFD_FLAG_SEND,
					  .srcfd = (__u32)descriptor,
					  .newfd_flags = cloexec ? O_CLOEXEC : 0};
	int rc = call(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add);

	if (rc != -EINVAL)
		return rc < 0 ? rc : 0;
	add.flags = 0;
	rc = call(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
	return rc < 0 ? rc : listener_return(fd, id, rc);
}
