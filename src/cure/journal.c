/* SPDX-License-Identifier: MIT */
#include "cure/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* base is not made, only the folder in it: a /run that is not there is not ours to make. */
static int open_in(struct journal *journal, const char *base, struct err *err)
{
	char dir[JOURNAL_PATH_MAX - 16];
	int error;

	if ((size_t)snprintf(dir, sizeof(dir), "%s/tcpwhy", base) >= sizeof(dir)) {
		snprintf(err->text, sizeof(err->text), "journal: the path of %.60s... is too long",
			 base);
		return -ENAMETOOLONG;
	}
	snprintf(journal->path, sizeof(journal->path), "%s/journal", dir);
	if (!mkdir(dir, 0755) || errno == EEXIST) {
		journal->fd = open(journal->path,
				   O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (journal->fd >= 0)
			return 0;
	}
	error = errno;
	snprintf(err->text, sizeof(err->text), "journal: cannot write %.160s: %s", journal->path,
		 strerror(error));
	return -error;
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
	/* What cannot be synced (a pipe given as journal) is no reason to refuse. */
	else if (fsync(journal->fd) && errno != EINVAL)
		error = errno;
	if (error)
		snprintf(err->text, sizeof(err->text), "journal: cannot append to %.160s: %s",
			 journal->path, strerror(error));
	return -error;
}
