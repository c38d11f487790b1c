/* SPDX-License-Identifier: MIT */
#include "live/run_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int run_folder_make(const char *path)
{
	int fd, rc;

	if (mkdir(path, 0755))
		return errno == EEXIST ? 0 : -errno;
	/* The umask took bits away. */
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = fchmod(fd, 0755) ? -errno : 0;
	close(fd);
	return rc;
}
