/* SPDX-License-Identifier: MIT */
#include "live/namespaces.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOUNT_LINE 8192 /* longer lines (overlayfs) are no namespaces */

/* Found by inode: a hash beside the list, so that ten thousand processes of one namespace cost one
 * look each. */
struct search {
	struct namespaces *list;
	uint32_t *slot; /* index + 1 */
	size_t slots;
};

static size_t slot_of(const struct search *s, uint64_t inode)
{
	size_t i = (size_t)(inode * UINT64_C(0x9e3779b97f4a7c15) >> 40) & (s->slots - 1);

	while (s->slot[i] && s->list->all[s->slot[i] - 1].inode != inode)
		i = (i + 1) & (s->slots - 1);
	return i;
}

static int grow(struct search *s)
{
	struct namespaces *list = s->list;
	size_t room = list->room ? 2 * list->room : 64, slots = 4 * room;
	struct namespace_place *all = realloc(list->all, room * sizeof(*all));
	uint32_t *slot = all ? calloc(slots, sizeof(*slot)) : NULL;

	if (all)
		list->all = all;
	if (!slot)
		return -ENOMEM;
	free(s->slot);
	s->slot = slot;
	s->slots = slots;
	list->room = room;
	for (size_t i = 0; i < list->n; i++)
		slot[slot_of(s, list->all[i].inode)] = (uint32_t)i + 1;
	return 0;
}

/* The place of a namespace that was not there yet; NULL if it was, or there is no more room. */
static struct namespace_place *add(struct search *s, uint64_t inode, int *error)
{
	struct namespaces *list = s->list;

	if (list->n == list->room && list->room < NAMESPACES_MAX)
		*error = grow(s);
	if (*error)
		return NULL;
	size_t i = slot_of(s, inode);
	if (s->slot[i])
		return NULL;
	if (list->n == list->room) {
		list->full = true;
		return NULL;
	}
	struct namespace_place *p = &list->all[list->n++];
	memset(p, 0, sizeof(*p));
	p->inode = inode;
	s->slot[i] = (uint32_t)list->n;
	return p;
}

static bool inode_of_link(const char *path, uint64_t *inode)
{
	unsigned long long n;
	char target[64];
	ssize_t len = readlink(path, target, sizeof(target) - 1);

	if (len <= 0)
		return false;
	errno = 0;
	target[len] = '\0';
	if (sscanf(target, "net:[%llu]", &n) != 1)
		return false;
	*inode = n;
	return true;
}

static int find_own(struct search *s)
{
	const char *path = "/proc/thread-self/ns/net";
	struct namespace_place *p;
	uint64_t inode;
	int error = 0;

	if (!inode_of_link(path, &inode))
		return 0;
	p = add(s, inode, &error);
	if (p)
		snprintf(p->path, sizeof(p->path), "%s", path);
	return error;
}

/* A name beats a process: it is what people type. */
static int find_named(struct search *s)
{
	DIR *dir = opendir("/run/netns");
	struct dirent *entry;
	int error = 0;

	while (dir && !error && (entry = readdir(dir))) {
		struct namespace_place *p;
		struct stat st;
		char path[160];

		if (entry->d_name[0] == '.' ||
		    snprintf(path, sizeof(path), "/run/netns/%s", entry->d_name) >=
			    (int)sizeof(path) ||
		    stat(path, &st))
			continue;
		p = add(s, st.st_ino, &error);
		if (!p)
			continue;
		memcpy(p->path, path, sizeof(path));
		snprintf(p->name, sizeof(p->name), "%.*s", OVERVIEW_NAME_MAX - 1, entry->d_name);
	}
	if (dir)
		closedir(dir);
	return error;
}

static void name_process(struct namespace_place *p, const char *pid)
{
	char path[64], comm[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		ssize_t n = read(fd, comm, sizeof(comm) - 1);

		comm[n > 0 ? n - 1 : 0] = '\0'; /* without the newline */
		close(fd);
	}
	snprintf(p->name, sizeof(p->name), "pid %.16s (%s)", pid, comm);
}

static int find_processes(struct search *s)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int error = 0;

	while (dir && !error && (entry = readdir(dir))) {
		struct namespace_place *p;
		uint64_t inode;
		char path[64];

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%.16s/ns/net", entry->d_name);
		if (!inode_of_link(path, &inode)) {
			s->list->unseen |= errno == EACCES || errno == EPERM;
			continue;
		}
		p = add(s, inode, &error);
		if (!p)
			continue;
		memcpy(p->path, path, sizeof(path));
		name_process(p, entry->d_name);
	}
	if (dir)
		closedir(dir);
	return error;
}

/* ------------------------------------------------------------------------------------ mountinfo */

/* Copies a field up to the next space; \040 is a space there. False if it does not fit. */
static bool unescape(const char *from, char *to, size_t size)
{
	size_t n = 0;

	for (; *from && *from != ' ' && *from != '\n'; from++) {
		unsigned octal;

		if (n + 1 >= size)
			return false;
		if (*from == '\\' && sscanf(from + 1, "%3o", &octal) == 1 && octal < 256) {
			to[n++] = (char)octal;
			for (int i = 0; i < 3 && from[1] >= '0' && from[1] <= '7'; i++)
				from++;
		} else {
			to[n++] = *from;
		}
	}
	to[n] = '\0';
	return n > 0;
}

bool namespaces_mount(const char *line, uint64_t *inode, char *path, size_t size)
{
	unsigned long long n;
	int at = 0;

	/* id parent major:minor root mountpoint ... - nsfs ... */
	if (!strstr(line, " - nsfs ") ||
	    sscanf(line, "%*u %*u %*u:%*u net:[%llu] %n", &n, &at) != 1 || !at)
		return false;
	*inode = n;
	return unescape(line + at, path, size);
}

static int find_mounted(struct search *s)
{
	FILE *file = fopen("/proc/thread-self/mountinfo", "re");
	char line[MOUNT_LINE];
	int error = 0;

	while (file && !error && fgets(line, sizeof(line), file)) {
		struct namespace_place *p;
		uint64_t inode;
		char path[160];

		if (!namespaces_mount(line, &inode, path, sizeof(path)))
			continue;
		p = add(s, inode, &error);
		if (!p)
			continue;
		memcpy(p->path, path, sizeof(path));
		snprintf(p->name, sizeof(p->name), "%.*s", OVERVIEW_NAME_MAX - 1, path);
	}
	if (file)
		fclose(file);
	return error;
}

int namespaces_find(struct namespaces *list)
{
	struct search s = {.list = list};
	int error;

	memset(list, 0, sizeof(*list));
	error = find_own(&s);
	if (!error)
		error = find_named(&s);
	if (!error)
		error = find_processes(&s);
	if (!error)
		error = find_mounted(&s);
	free(s.slot);
	if (error)
		namespaces_free(list);
	return error;
}

void namespaces_free(struct namespaces *list)
{
	free(list->all);
	memset(list, 0, sizeof(*list));
}
