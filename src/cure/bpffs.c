/* SPDX-License-Identifier: MIT */
#include "cure/bpffs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "live/privilege.h"
#include "live/run_folder.h"

#define USUAL_MOUNT "/sys/fs/bpf"
#define RUN_FOLDER  "/run/tcpwhy"

#define LOCK_TRIES    500
#define LOCK_PAUSE_NS 20000000

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && fs.f_type == BPF_FS_MAGIC;
}

const char *bpffs_where(bool *mount)
{
	if (is_bpffs(USUAL_MOUNT)) {
		*mount = false;
		return BPFFS_FOLDER;
	}
	*mount = !is_bpffs(BPFFS_OWN_FOLDER);
	return BPFFS_OWN_FOLDER;
}

static bool is_own(const char *folder)
{
	return !strcmp(folder, BPFFS_OWN_FOLDER);
}

/* Our user's, and only ours to write. */
static int open_ours(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		rc = -errno;
	else if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		rc = -EPERM;
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

static int make_folder(const char *path)
{
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

/* Who makes, mounts or removes holds the lock of /run/tcpwhy: a folder that one finds empty is not
 * taken away while another is about to put a name into it. */
static int take_lock(struct err *err)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
	int rc = run_folder_make(RUN_FOLDER);
	int fd = rc ? rc : open_ours(RUN_FOLDER);

	rc = fd < 0 ? fd : -EAGAIN;
	for (unsigned i = 0; i < LOCK_TRIES && rc == -EAGAIN; i++) {
		rc = flock(fd, LOCK_EX | LOCK_NB) ? -errno : 0;
		if (rc == -EAGAIN)
			nanosleep(&pause, NULL);
	}
	if (!rc)
		return fd;
	snprintf(err->text, sizeof(err->text), RUN_FOLDER ": %s",
		 rc == -EPERM    ? "it is another user's, or others may write to it"
		 : rc == -EAGAIN ? "another tcpwhy works with it, for ten seconds now"
				 : strerror(-rc));
	if (fd >= 0)
		close(fd);
	return rc;
}

/* 0, or -errno: it is not ours, or is not there and could not be made in base. */
static int may_use(const char *folder, const char *base)
{
	int fd = open_ours(folder);

	if (fd >= 0)
		close(fd);
	if (fd != -ENOENT)
		return fd < 0 ? fd : 0;
	return faccessat(AT_FDCWD, base, W_OK | X_OK, AT_EACCESS) ? -errno : 0;
}

int bpffs_check(struct err *err)
{
	bool mount;
	const char *folder = bpffs_where(&mount);
	int rc = may_use(RUN_FOLDER, "/run");

	if (!rc && mount && !privilege_may_mount()) {
		snprintf(err->text, sizeof(err->text),
			 "the programs are kept in BPF's file system, which is not mounted: "
			 "mounting it "
			 "at %s needs CAP_SYS_ADMIN",
			 folder);
		return -EPERM;
	}
	if (rc)
		folder = RUN_FOLDER;
	else if (!is_own(folder))
		rc = may_use(folder, USUAL_MOUNT);
	if (rc)
		snprintf(err->text, sizeof(err->text),
			 "the programs are kept in a folder of the user's own, and %s is "
			 "another's, or "
			 "may not be made (%s): it takes root",
			 folder, strerrorname_np(-rc));
	return rc;
}

static int make(const char *folder)
{
	int rc = make_folder(folder);

	if (rc || !is_own(folder) || is_bpffs(folder))
		return rc;
	return mount("bpf", folder, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") ? -errno
											  : 0;
}

static const char *what_is_wrong(int error, const char *folder)
{
	if (error == -EMEDIUMTYPE)
		return "BPF's file system is not mounted there";
	if (error != -EPERM)
		return strerror(-error);
	return is_own(folder) ? "it is another user's, or mounting needs CAP_SYS_ADMIN (EPERM)"
			      : "it is another user's, or others may write to it (EPERM)";
}

/* A folder left of a mount that is gone holds no names. */
static int open_folder(const char *folder, bool wanted)
{
	int rc = wanted ? make(folder) : 0;
	int fd = rc ? rc : open_ours(folder);
	struct statfs fs;

	if (fd < 0)
		return fd;
	if (!fstatfs(fd, &fs) && fs.f_type == BPF_FS_MAGIC)
		return fd;
	close(fd);
	return wanted ? -EMEDIUMTYPE : -ENOENT;
}

int bpffs_open(const char *folder, bool wanted, struct bpffs *out, struct err *err)
{
	struct bpffs b = {.folder = is_own(folder) ? BPFFS_OWN_FOLDER : BPFFS_FOLDER,
			  .lock = take_lock(err)};

	if (b.lock < 0)
		return b.lock;
	b.fd = open_folder(b.folder, wanted);
	if (b.fd >= 0) {
		*out = b;
		return 0;
	}
	snprintf(err->text, sizeof(err->text), "%s: %s", b.folder, what_is_wrong(b.fd, b.folder));
	/* Made, and then of no use: gone again, if it is empty. */
	if (b.fd == -ENOENT || wanted)
		rmdir(b.folder);
	close(b.lock);
	return b.fd;
}

/* What the kernel itself puts into a new mount has a dot in its name, which it takes from nobody
 * else (bpf_lookup()). */
static bool is_empty(int folder)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	bool empty = dir;

	if (!dir && fd >= 0)
		close(fd);
	while (empty && (entry = readdir(dir)))
		empty = strchr(entry->d_name, '.');
	if (dir)
		closedir(dir);
	return empty;
}

bool bpffs_is_empty(const char *folder)
{
	int fd = open_folder(folder, false);
	bool empty = fd >= 0 && is_empty(fd);

	if (fd >= 0)
		close(fd);
	return empty;
}

void bpffs_close(struct bpffs *bpffs)
{
	bool empty = is_empty(bpffs->fd);

	/* A descriptor keeps the mount busy. */
	close(bpffs->fd);
	if (empty && is_own(bpffs->folder))
		umount2(bpffs->folder, UMOUNT_NOFOLLOW);
	if (empty)
		rmdir(bpffs->folder);
	close(bpffs->lock);
}
