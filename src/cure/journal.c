/* SPDX-License-Identifier: MIT */
#include "cure/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Somebody else's folder or file could be changed, or read, behind our back. */
static int check_ours(int fd, mode_t type)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if ((st.st_mode & S_IFMT) != type)
		return type == S_IFDIR ? -ENOTDIR : -EINVAL;
	return st.st_uid == geteuid() ? 0 : -EPERM;
}

/* base is not made, only the folder in it: a /run that is not there is not ours to make. The folder
 * itself may not be a symbolic link. */
static int open_folder(const char *dir)
{
	int fd, rc;

	if (mkdir(dir, 0755) && errno != EEXIST)
		return -errno;
	fd = open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = check_ours(fd, S_IFDIR);
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

/* Without waiting, should it be a FIFO that nobody reads. */
static int open_file(int folder)
{
	int fd = openat(folder, "journal",
			O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	int rc;

	if (fd < 0)
		return -errno;
	rc = check_ours(fd, S_IFREG);
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

static int open_in(struct journal *journal, const char *base, struct err *err)
{
	char dir[JOURNAL_PATH_MAX - 16];
	int folder, fd;

	if ((size_t)snprintf(dir, sizeof(dir), "%s/tcpwhy", base) >= sizeof(dir)) {
		snprintf(err->text, sizeof(err->text), "journal: the path of %.60s... is too long",
			 base);
		return -ENAMETOOLONG;
	}
	snprintf(journal->path, sizeof(journal->path), "%s/journal", dir);
	folder = open_folder(dir);
	fd = folder < 0 ? folder : open_file(folder);
	if (folder >= 0)
		close(folder);
	if (fd < 0) {
		snprintf(err->text, sizeof(err->text), "journal: cannot write %.160s: %s",
			 journal->path,
			 fd == -EINVAL  ? "it is no plain file"
			 : fd == -EPERM ? "it, or its folder, belongs to another user"
					: strerror(-fd));
		return fd;
	}
	journal->fd = fd;
	return 0;
}

int journal_open(struct journal *journal, struct err *err)
{
	const char *own = getenv("XDG_RUNTIME_DIR");
	int rc = -EACCES;

	journal->fd = -1;
	/* Root of a user namespace is uid 0 too, and may not write the host's /run. */
	if (geteuid() == 0 || !own || own[0] != '/')
		rc = open_in(journal, "/run", err);
	if (rc < 0 && own && own[0] == '/')
		rc = open_in(journal, own, err);
	return rc;
}

void journal_close(struct journal *journal)
{
	if (journal->fd >= 0)
		close(journal->fd);
	journal->fd = -1;
}

int journal_append(struct journal *journal, const char *line, struct err *err)
{
	size_t all = strlen(line);
	ssize_t written = write(journal->fd, line, all);
	int error = 0;

	if (written < 0)
		error = errno;
	else if ((size_t)written != all)
		error = ENOSPC;
	else if (fsync(journal->fd))
		error = errno;
	if (error)
		snprintf(err->text, sizeof(err->text), "journal: cannot append to %.160s: %s",
			 journal->path, strerror(error));
	return -error;
}
