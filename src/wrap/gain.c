/* SPDX-License-Identifier: MIT */
#include "wrap/gain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SCRIPTS_MAX 5 /* an interpreter may be a script (bprm's depth) */

static bool is_program(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) &&
	       !faccessat(AT_FDCWD, path, X_OK, AT_EACCESS);
}

static void find(const char *name, char *path, size_t size)
{
	const char *dirs = getenv("PATH");

	if (strchr(name, '/')) {
		snprintf(path, size, "%s", is_program(name) ? name : "");
		return;
	}
	if (!dirs)
		dirs = "/bin:/usr/bin";
	while (dirs) {
		int n = (int)strcspn(dirs, ":");

		/* An empty place is the current directory. */
		if (snprintf(path, size, "%.*s%s%s", n, dirs, n ? "/" : "./", name) < (int)size &&
		    is_program(path))
			return;
		dirs = dirs[n] ? dirs + n + 1 : NULL;
	}
	path[0] = '\0';
}

/* The bits of a script count for nothing, those of its interpreter do. */
static bool interpreter_of(const char *path, char *out, size_t size)
{
	char line[256] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);

	if (fd >= 0)
		close(fd);
	if (n < 3 || line[0] != '#' || line[1] != '!')
		return false;
	line[n] = '\0';
	char *from = line + 2 + strspn(line + 2, " \t");
	snprintf(out, size, "%.*s", (int)strcspn(from, " \t\n"), from);
	return *out;
}

static enum gain gain_of(const char *path)
{
	struct statvfs fs;
	struct stat st;

	if (stat(path, &st) || (!statvfs(path, &fs) && fs.f_flag & ST_NOSUID))
		return GAIN_NOTHING;
	if (st.st_mode & S_ISUID && st.st_uid != geteuid())
		return GAIN_USER;
	/* Without the group's x the bit means mandatory locking. */
	if ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st.st_gid != getegid())
		return GAIN_GROUP;
	/* Root has them anyway. */
	if (geteuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
		return GAIN_CAPABILITIES;
	return GAIN_NOTHING;
}

void gain_look(const char *name, struct gain_program *out)
{
	char at[sizeof(out->path)];

	find(name, out->path, sizeof(out->path));
	memcpy(at, out->path, sizeof(at));
	for (int i = 0; i < SCRIPTS_MAX && interpreter_of(at, at, sizeof(at)); i++)
		;
	out->gain = *at ? gain_of(at) : GAIN_NOTHING;
	out->unreadable = *at && faccessat(AT_FDCWD, at, R_OK, AT_EACCESS);
}
