/* SPDX-License-Identifier: MIT */
#include "live/borrow.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* ----------------------------------------------------------------------------------- the process
 */

static bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return false;
	text[n] = '\0';
	return true;
}

/* "PID (COMM) S 1 2 ...": the name may hold anything, ')' and line ends too; the start is the 22nd
 * field, the state the third. */
static bool parse_stat(const char *text, struct borrow *b)
{
	const char *open = strchr(text, '('), *end = strrchr(text, ')');
	size_t n;

	if (!open || !end || end < open)
		return false;
	n = (size_t)(end - open - 1);
	if (n >= sizeof(b->comm))
		n = sizeof(b->comm) - 1;
	memcpy(b->comm, open + 1, n);
	b->comm[n] = '\0';
	for (char *c = b->comm; *c; c++) {
		if (!isprint((unsigned char)*c))
			*c = '?';
	}
	end++;
	for (int field = 3; field < 22; field++) {
		end += strspn(end, " ");
		end += strcspn(end, " ");
	}
	b->start = strtoull(end, NULL, 10);
	return b->start != 0;
}

/* A pidfd can be polled: it is readable once the process has ended. */
bool borrow_lives(const struct borrow *b)
{
	struct pollfd p = {.fd = b->pidfd, .events = POLLIN};

	return b->pidfd >= 0 && poll(&p, 1, 0) == 0;
}

void borrow_end(struct borrow *b)
{
	if (b->pidfd >= 0)
		close(b->pidfd);
	*b = BORROW_NONE;
}

int borrow_process(struct borrow *b, int pid)
{
	struct borrow next = {.pid = pid};
	char path[64], text[1024];

	if (b->pidfd >= 0 && b->pid == pid && borrow_lives(b))
		return 0;
	borrow_end(b);
	next.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (next.pidfd < 0) {
		/* A thread that is not its process's first: EINVAL, from 6.9 on ENOENT. */
		return errno == ENOENT ? -EINVAL : -errno;
	}
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (!read_text(path, text, sizeof(text)) || !parse_stat(text, &next) ||
	    !borrow_lives(&next)) {
		close(next.pidfd);
		return -ESRCH;
	}
	*b = next;
	return 0;
}

int borrow_each(int pid, int (*found)(int fd, uint32_t inode, void *ctx), void *ctx)
{
	struct dirent *entry;
	char path[64];
	int result = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	while (!result && (entry = readdir(dir))) {
		unsigned long long inode;
		char text[64];
		ssize_t n;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		n = readlinkat(dirfd(dir), entry->d_name, text, sizeof(text) - 1);
		if (n < 0 && (errno == EACCES || errno == EPERM))
			result = -EPERM;
		text[n > 0 ? n : 0] = '\0';
		if (n <= 0 || strncmp(text, "socket:[", 8) != 0)
			continue;
		inode = strtoull(text + 8, NULL, 10);
		if (inode && inode <= UINT32_MAX)
			result = found(atoi(entry->d_name), (uint32_t)inode, ctx);
	}
	closedir(dir);
	return result;
}

/* ------------------------------------------------------------------------------------ the socket
 */

int borrow_socket(const struct borrow *b, int fd)
{
	int copy = (int)syscall(SYS_pidfd_getfd, b->pidfd, fd, 0);

	return copy < 0 ? -errno : copy;
}

static bool ask(int fd, int name, void *value, size_t size)
{
	socklen_t len = (socklen_t)size;

	return getsockopt(fd, SOL_SOCKET, name, value, &len) == 0 && len == size;
}

static uint16_t port_of(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} name = {0};
	socklen_t len = sizeof(name);

	if (getsockname(fd, &name.any, &len))
		return 0;
	return ntohs(name.any.sa_family == AF_INET6 ? name.v6.sin6_port : name.v4.sin_port);
}

bool borrow_ask(int copy, struct borrowed *out)
{
	struct borrowed b = {0};
	int domain, protocol, listens;
	struct stat st;

	if (fstat(copy, &st) || !S_ISSOCK(st.st_mode) ||
	    !ask(copy, SO_DOMAIN, &domain, sizeof(domain)) ||
	    (domain != AF_INET && domain != AF_INET6) ||
	    !ask(copy, SO_PROTOCOL, &protocol, sizeof(protocol)) || protocol != IPPROTO_TCP ||
	    !ask(copy, SO_REUSEADDR, &b.reuse, sizeof(b.reuse)) ||
	    !ask(copy, SO_ACCEPTCONN, &listens, sizeof(listens)) ||
	    !ask(copy, SO_COOKIE, &b.cookie, sizeof(b.cookie)))
		return false;
	if (!ask(copy, SO_NETNS_COOKIE, &b.netns_cookie, sizeof(b.netns_cookie)))
		b.netns_cookie = 0;
	b.inode = (uint32_t)st.st_ino;
	b.listens = listens != 0;
	b.port = port_of(copy);
	*out = b;
	return true;
}

/* -------------------------------------------------------------------------------------- failures
 */

/* Yama asks on top of it: 1 lets only parents, 2 only CAP_SYS_PTRACE, 3 nobody. */
static int yama_scope(void)
{
	char text[16];

	return read_text("/proc/sys/kernel/yama/ptrace_scope", text, sizeof(text)) ? atoi(text) : 0;
}

static void tell_forbidden(int pid, struct err *err)
{
	int scope = yama_scope();

	if (scope >= 3)
		snprintf(err->text, sizeof(err->text),
			 "the sockets of process %d cannot be reached (EPERM): "
			 "kernel.yama.ptrace_scope is %d, which forbids it to everybody",
			 pid, scope);
	else
		snprintf(err->text, sizeof(err->text),
			 "the sockets of process %d cannot be reached (EPERM): that needs "
			 "CAP_SYS_PTRACE over it%s",
			 pid,
			 scope ? ", as kernel.yama.ptrace_scope is set"
			       : ", or the same user and a process that may be dumped");
}

void borrow_tell(int pid, int error, struct err *err)
{
	switch (error < 0 ? -error : error) {
	case EPERM:
	case EACCES:
		tell_forbidden(pid, err);
		return;
	case ESRCH:
		snprintf(err->text, sizeof(err->text), "no process %d", pid);
		return;
	case EINVAL:
		snprintf(err->text, sizeof(err->text),
			 "%d is a thread, not the process it belongs to", pid);
		return;
	case ENOSYS:
		snprintf(err->text, sizeof(err->text),
			 "pidfd_getfd() is not there (ENOSYS): the kernel is older than 5.6, or a "
			 "container's filter hides it");
		return;
	}
	snprintf(err->text, sizeof(err->text), "the sockets of process %d: %s", pid,
		 strerror(error < 0 ? -error : error));
}
