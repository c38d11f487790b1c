/* SPDX-License-Identifier: MIT */
#include "live/cgroup2.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define CGROUPS_LOOKED_AT 4096

static bool find_mount(bool whole, char *out, size_t size)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096], root[1024], point[1024];
	bool found = false;

	*out = '\0';
	while (f && !found && fgets(line, sizeof(line), f)) {
		const char *kind = strstr(line, " - ");

		if (!kind || strncmp(kind, " - cgroup2 ", 11) != 0 ||
		    sscanf(line, "%*s %*s %*s %1023s %1023s", root, point) != 2 ||
		    strlen(point) >= size)
			continue;
		found = !strcmp(root, "/");
		if (found || (!whole && !*out))
			snprintf(out, size, "%s", point);
	}
	if (f)
		fclose(f);
	return *out;
}

bool cgroup2_tree(char *out, size_t size)
{
	return find_mount(true, out, size);
}

bool cgroup2_mount(char *out, size_t size)
{
	return find_mount(false, out, size);
}

/* -EMEDIUMTYPE: there, but no cgroup of version 2. */
static int open_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0)
		return errno == ENOTDIR ? -EMEDIUMTYPE : -errno;
	if (!fstatfs(fd, &fs) && fs.f_type == CGROUP2_SUPER_MAGIC)
		return fd;
	close(fd);
	return -EMEDIUMTYPE;
}

static const char *what_is_wrong(int error)
{
	return error == -ENOENT ? "there is no such cgroup" : strerror(-error);
}

/* As a folder if it begins with a slash and is one of the tree; else below the mount. */
static int find_folder(const char *name, const char *mount, char *path, size_t size,
		       struct err *err)
{
	int fd = -ENOENT, first = -ENOENT;

	snprintf(path, size, "%s", name);
	if (*name == '/')
		fd = first = open_folder(name);
	if (fd < 0 && (size_t)snprintf(path, size, "%s/%s", mount, name + (*name == '/')) < size)
		fd = open_folder(path);
	if (fd >= 0)
		return fd;
	if (first == -EMEDIUMTYPE && fd == -ENOENT)
		fd = first;
	if (fd == -EMEDIUMTYPE)
		snprintf(err->text, sizeof(err->text),
			 "%.90s is no cgroup of version 2; these are the folders below %.90s", name,
			 mount);
	else
		snprintf(err->text, sizeof(err->text), "%.100s: %s (looked below %.100s too)", name,
			 what_is_wrong(fd), mount);
	return fd;
}

/* Without links and dots, as it will be looked for again. */
static int name_it(struct cgroup2 *cgroup, const char *path, struct err *err)
{
	char *real = realpath(path, NULL);
	bool fits = real && strlen(real) < sizeof(cgroup->path);

	if (fits)
		snprintf(cgroup->path, sizeof(cgroup->path), "%s", real);
	else
		snprintf(err->text, sizeof(err->text), "%.200s: the path is too long", path);
	free(real);
	return fits ? 0 : -ENAMETOOLONG;
}

int cgroup2_open(const char *name, struct cgroup2 *out, struct err *err)
{
	struct cgroup2 found = {.fd = -1};
	char mount[512], path[CGROUP2_PATH_MAX];
	struct stat st;
	int rc;

	if (!cgroup2_mount(mount, sizeof(mount))) {
		snprintf(err->text, sizeof(err->text),
			 "no cgroup tree of version 2 is mounted here (mount -t cgroup2 none DIR)");
		return -ENODEV;
	}
	found.fd = find_folder(name, mount, path, sizeof(path), err);
	if (found.fd < 0)
		return found.fd;
	rc = name_it(&found, path, err);
	if (!rc && fstat(found.fd, &st)) {
		rc = -errno;
		snprintf(err->text, sizeof(err->text), "%.200s: %s", path, strerror(-rc));
	}
	if (rc) {
		close(found.fd);
		return rc;
	}
	found.id = st.st_ino;
	/* Every cgroup but the first of all has a type (cgroup_base_files[]). */
	found.root = faccessat(found.fd, "cgroup.type", F_OK, 0) && errno == ENOENT;
	*out = found;
	return 0;
}

void cgroup2_close(struct cgroup2 *cgroup)
{
	if (cgroup->fd >= 0)
		close(cgroup->fd);
	cgroup->fd = -1;
}

/* A process of another PID namespace shows as 0. */
static int first_process(const char *folder)
{
	char path[CGROUP2_PATH_MAX + 16];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
	f = fopen(path, "re");
	while (f && pid <= 0 && fscanf(f, "%d", &pid) == 1)
		;
	if (f)
		fclose(f);
	return pid > 0 ? pid : 0;
}

int cgroup2_process(const struct cgroup2 *cgroup)
{
	char path[CGROUP2_PATH_MAX];
	char *const roots[] = {path, NULL};
	FTS *tree;
	FTSENT *entry;
	int pid = 0;

	snprintf(path, sizeof(path), "%s", cgroup->path);
	tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	for (unsigned n = 0; tree && !pid && n < CGROUPS_LOOKED_AT && (entry = fts_read(tree));) {
		if (entry->fts_info != FTS_D)
			continue;
		pid = first_process(entry->fts_path);
		n++;
	}
	if (tree)
		fts_close(tree);
	return pid;
}
