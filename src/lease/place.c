/* SPDX-License-Identifier: MIT */
#include "lease/place.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* ------------------------------------------------------------------------------------ which one */

static uint64_t netns_cookie(void)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) || len != sizeof(cookie))
		cookie = 0;
	close(fd);
	return cookie;
}

static void read_boot_id(uint8_t id[static 16])
{
	char text[64];
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	unsigned digits = 0;

	memset(id, 0, 16);
	for (ssize_t i = 0; i < n && digits < 32; i++) {
		const char *hex = "0123456789abcdef", *at = memchr(hex, text[i], 16);

		if (!at)
			continue;
		id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | (at - hex));
		digits++;
	}
	if (fd >= 0)
		close(fd);
}

static int identify(struct place *place)
{
	struct stat st;

	place->id.cookie = netns_cookie();
	place->id.inode = stat("/proc/thread-self/ns/net", &st) ? 0 : st.st_ino;
	read_boot_id(place->id.boot_id);
	if (place->id.cookie)
		snprintf(place->name, sizeof(place->name), "ports-%llu",
			 (unsigned long long)place->id.cookie);
	else if (place->id.inode)
		snprintf(place->name, sizeof(place->name), "ports-inode-%llu",
			 (unsigned long long)place->id.inode);
	else
		return -ENOSYS;
	snprintf(place->range, sizeof(place->range), "%s.range", place->name);
	snprintf(place->gate, sizeof(place->gate), "%s.lock", place->name);
	return 0;
}

/* ----------------------------------------------------------------------------------- the folder */

static bool is_trusted(const struct stat *st)
{
	return st->st_uid == 0 || st->st_uid == geteuid();
}

/* The users of a pool come through its folder, whatever umask it was made with. /run/tcpwhy may be
 * older than the pool: others keep files in it that they alone may read, and so may have made it.
 */
static int let_through(int fd, const struct stat *st)
{
	if (st->st_uid != geteuid() || (st->st_mode & 0755) == 0755)
		return 0;
	return fchmod(fd, (st->st_mode & 07777) | 0755) ? -errno : 0;
}

static int open_folder(const char *path, bool make, bool shared)
{
	struct stat st;
	bool made = make && mkdir(path, 0755) == 0;
	int fd, error = 0;

	if (make && !made && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		error = -errno;
	/* Whoever may write there could put a file of root's from elsewhere in the pool's place. */
	else if (!is_trusted(&st) || st.st_mode & (S_IWGRP | S_IWOTH))
		error = -EPERM;
	else if (made || (make && shared))
		error = let_through(fd, &st);
	if (!error)
		return fd;
	close(fd);
	return error;
}

static int open_at(struct place *place, const char *path, bool make, bool shared)
{
	if ((size_t)snprintf(place->path, sizeof(place->path), "%s", path) >= sizeof(place->path))
		return -ENAMETOOLONG;
	place->folder = open_folder(place->path, make, shared);
	return place->folder < 0 ? place->folder : 0;
}

static bool has_pool(const struct place *place)
{
	struct stat st;

	return fstatat(place->folder, place->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The host's, if it is there or we may make it; else the user's own. */
static int open_default(struct place *place, bool make)
{
	const char *own = getenv("XDG_RUNTIME_DIR");
	int error = open_at(place, "/run/tcpwhy", make && geteuid() == 0, true);
	char path[sizeof(place->path)];

	if (!error &&
	    (has_pool(place) || faccessat(place->folder, ".", W_OK, AT_EACCESS) == 0 || !own))
		return 0;
	if (!own || own[0] != '/' || error == -EPERM)
		return error;
	if (!error)
		close(place->folder);
	place->folder = -1;
	if ((size_t)snprintf(path, sizeof(path), "%s/tcpwhy", own) >= sizeof(path))
		return -ENAMETOOLONG;
	return open_at(place, path, make, false);
}

int place_open(struct place *place, const char *path, bool make)
{
	int error;

	memset(place, 0, sizeof(*place));
	place->folder = place->lock = -1;
	error = identify(place);
	if (error)
		return error;
	return path ? open_at(place, path, make, false) : open_default(place, make);
}

void place_close(struct place *place)
{
	if (place->folder >= 0)
		close(place->folder);
	if (place->lock >= 0)
		close(place->lock);
	place->folder = place->lock = -1;
}

/* ------------------------------------------------------------------------------------ the files
 */

/* Without waiting, should it be a FIFO. */
static int open_plain(const struct place *place, const char *name, int flags, struct stat *st)
{
	int fd = openat(place->folder, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
			0600);
	int error = 0;

	if (fd < 0)
		return errno == ELOOP ? -EINVAL : -errno;
	if (fstat(fd, st))
		error = -errno;
	else if (!S_ISREG(st->st_mode))
		error = -EINVAL;
	else if (!is_trusted(st))
		error = -EPERM;
	if (!error)
		return fd;
	close(fd);
	return error;
}

int place_open_file(const struct place *place, const char *name, bool read_only, struct stat *st)
{
	return open_plain(place, name, read_only ? O_RDONLY : O_RDWR, st);
}

static const char *parse_port(const char *at, uint16_t *port)
{
	uint32_t value = 0;
	const char *start = at;

	while (*at >= '0' && *at <= '9' && value <= UINT16_MAX)
		value = value * 10 + (uint32_t)(*at++ - '0');
	if (at == start || !value || value > UINT16_MAX)
		return NULL;
	*port = (uint16_t)value;
	return at;
}

bool place_parse_range(const char *text, uint16_t *low, uint16_t *high)
{
	uint16_t first, last;

	text = parse_port(text, &first);
	if (!text || *text != '-')
		return false;
	text = parse_port(text + 1, &last);
	if (!text || *text || last < first)
		return false;
	*low = first;
	*high = last;
	return true;
}

bool place_has_range(const struct place *place)
{
	struct stat st;

	return fstatat(place->folder, place->range, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int place_read_range(const struct place *place, uint16_t *low, uint16_t *high)
{
	char text[32];
	struct stat st;
	ssize_t n;
	int fd = place_open_file(place, place->range, true, &st);

	if (fd < 0)
		return fd;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0 || text[n - 1] != '\n')
		return -EUCLEAN;
	text[n - 1] = '\0';
	return place_parse_range(text, low, high) ? 0 : -EUCLEAN;
}

/* Under another name first: a reader finds the old text or the new one. */
int place_write_range(const struct place *place, uint16_t low, uint16_t high)
{
	char text[32], fresh[sizeof(place->range) + 8];
	int n = snprintf(text, sizeof(text), "%u-%u\n", low, high);
	int fd, error = 0;

	snprintf(fresh, sizeof(fresh), "%s.new", place->range);
	if (unlinkat(place->folder, fresh, 0) && errno != ENOENT)
		return -errno;
	fd = openat(place->folder, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		    0644);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0644))
		error = -errno;
	else if (write(fd, text, (size_t)n) != n)
		error = -ENOSPC;
	close(fd);
	if (!error && renameat(place->folder, fresh, place->folder, place->range))
		error = -errno;
	return error;
}

int place_set_aside(const struct place *place, const char *name, char *aside, size_t size)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(aside, size, "%s.damaged-%lld.%09ld", name, (long long)now.tv_sec, now.tv_nsec);
	if (linkat(place->folder, name, place->folder, aside, 0) == 0)
		return 0;
	return renameat(place->folder, name, place->folder, aside) ? -errno : 0;
}

/* ------------------------------------------------------------------------------------- the lock */

void place_share_lock(const struct place *place)
{
	struct stat pool, own;

	if (fstatat(place->folder, place->name, &pool, AT_SYMLINK_NOFOLLOW) ||
	    !S_ISREG(pool.st_mode) || fstat(place->lock, &own))
		return;
	if (own.st_gid != pool.st_gid && fchown(place->lock, (uid_t)-1, pool.st_gid))
		pool.st_mode &= 0600;
	if ((own.st_mode & 07777) != (pool.st_mode & 0660))
		(void)!fchmod(place->lock, pool.st_mode & 0660);
}

static int lock_file(int fd)
{
	const struct timespec pause = {.tv_nsec = 10000000};

	for (int i = 0; i < 500; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		nanosleep(&pause, NULL);
	}
	return -EBUSY;
}

/* The file stays: one that is removed could be locked by who has it open, and another by who makes
 * it anew. */
int place_lock(struct place *place)
{
	struct stat st;
	int fd = open_plain(place, place->gate, O_RDWR | O_CREAT, &st), error;

	if (fd < 0)
		return fd;
	error = lock_file(fd);
	if (error) {
		close(fd);
		return error;
	}
	place->lock = fd;
	place_share_lock(place);
	return 0;
}
