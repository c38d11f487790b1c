/* SPDX-License-Identifier: MIT */
#include "live/owners.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static bool is_forbidden(int error)
{
	return error == EACCES || error == EPERM;
}

/* "socket:[12345]" -> 12345; 0 if it is another thing, or may not be seen: a root without
 * CAP_SYS_PTRACE may open the folder, but not read what is in it (proc_fd_access_allowed()). */
static uint32_t socket_inode(int dir, const char *name, bool *unseen)
{
	char text[64], *end;
	ssize_t n = readlinkat(dir, name, text, sizeof(text) - 1);
	unsigned long inode;

	if (n < 0)
		*unseen |= is_forbidden(errno);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	if (strncmp(text, "socket:[", 8) != 0)
		return 0;
	inode = strtoul(text + 8, &end, 10);
	return *end == ']' && inode <= UINT32_MAX ? (uint32_t)inode : 0;
}

static int walk_process(int pid, const uint32_t *wanted, size_t n, owners_found *found, void *ctx,
			bool *unseen)
{
	char path[64];
	struct dirent *entry;
	int result = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir) {
		*unseen |= is_forbidden(errno);
		return 0;
	}
	while (result == 0 && (entry = readdir(dir))) {
		const uint32_t *hit;
		uint32_t inode;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		inode = socket_inode(dirfd(dir), entry->d_name, unseen);
		hit = inode ? bsearch(&inode, wanted, n, sizeof(*wanted), compare) : NULL;
		if (hit)
			result = found((size_t)(hit - wanted), pid, atoi(entry->d_name), ctx);
	}
	closedir(dir);
	return result;
}

int owners_walk(const uint32_t *wanted, size_t n, owners_found *found, void *ctx, bool *unseen)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int result = 0;

	if (!proc) {
		*unseen = true;
		return -errno;
	}
	while (result == 0 && (entry = readdir(proc))) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);

		if (pid > 0 && *end == '\0')
			result = walk_process((int)pid, wanted, n, found, ctx, unseen);
	}
	closedir(proc);
	return result;
}

static bool read_file(int pid, const char *name, char *buf, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n < 0)
		return false;
	buf[n] = '\0';
	return true;
}

/* A name a process gave itself may hold anything; what is shown is printable. */
static void read_comm(int pid, char *comm, size_t size)
{
	if (!read_file(pid, "comm", comm, size))
		comm[0] = '\0';
	comm[strcspn(comm, "\n")] = '\0';
	for (char *c = comm; *c; c++) {
		if (!isprint((unsigned char)*c))
			*c = '?';
	}
}

/* How container managers name their cgroups: a scope ("docker-ID.scope"), or a folder with the bare
 * ID below one of their own ("/docker/ID"). */
static const struct {
	const char *prefix, *folder, *shown;
} managers[] = {
	{"docker-", "docker", "docker"},
	{"libpod-", "libpod_parent", "podman"},
	{"crio-", "crio", "crio"},
	{"cri-containerd-", "containerd", "containerd"},
	{"cri-docker-", "cri-docker", "docker"},
	{"lxc.payload.", "lxc", "lxc"},
};

static size_t hex_length(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n && isxdigit((unsigned char)s[i]))
		i++;
	return i;
}

static bool ends_with(const char *s, size_t n, const char *tail)
{
	size_t len = strlen(tail);

	return n > len && memcmp(s + n - len, tail, len) == 0;
}

/* One part of the path, after the part parent. Fills what it recognises; later parts win. */
struct naming {
	char unit[64], pod[16], container[64];
};

static void name_container(struct naming *out, const char *manager, const char *id, size_t n)
{
	snprintf(out->container, sizeof(out->container), "%s %.*s", manager, n < 12 ? (int)n : 12,
		 id);
}

static void see_container(const char *part, size_t n, const char *parent, size_t parent_n,
			  struct naming *out)
{
	bool bare_id = n == 64 && hex_length(part, n) == 64;

	for (size_t i = 0; i < sizeof(managers) / sizeof(managers[0]); i++) {
		const char *prefix = managers[i].prefix, *folder = managers[i].folder;
		size_t len = strlen(prefix);

		if (n > len && memcmp(part, prefix, len) == 0 &&
		    (hex_length(part + len, n - len) >= 12 || prefix[len - 1] == '.')) {
			name_container(out, managers[i].shown, part + len, n - len);
			return;
		}
		if (bare_id && parent_n == strlen(folder) &&
		    memcmp(parent, folder, parent_n) == 0) {
			name_container(out, managers[i].shown, part, n);
			return;
		}
	}
	if (bare_id && out->container[0] == '\0')
		name_container(out, "container", part, n);
}

/* "kubepods-besteffort-pod1a2b3c4d_....slice" or "pod1a2b3c4d-...." */
static void see_pod(const char *part, size_t n, struct naming *out)
{
	for (size_t i = 0; i + 11 <= n; i++) {
		bool starts = i == 0 || part[i - 1] == '-';

		if (starts && memcmp(part + i, "pod", 3) == 0 && hex_length(part + i + 3, 8) == 8) {
			snprintf(out->pod, sizeof(out->pod), "%.8s", part + i + 3);
			return;
		}
	}
}

static void see_part(const char *part, size_t n, const char *parent, size_t parent_n,
		     struct naming *out)
{
	see_pod(part, n, out);
	see_container(part, n, parent, parent_n, out);
	if ((ends_with(part, n, ".service") || ends_with(part, n, ".scope") ||
	     ends_with(part, n, ".socket")) &&
	    n < sizeof(out->unit)) {
		memcpy(out->unit, part, n);
		out->unit[n] = '\0';
	}
}

static void see_path(const char *path, struct naming *out)
{
	const char *parent = path;
	size_t parent_n = 0;

	while (*path == '/') {
		size_t n;

		path++;
		n = strcspn(path, "/\n");
		see_part(path, n, parent, parent_n, out);
		parent = path;
		parent_n = n;
		path += n;
	}
}

void owners_unit(const char *cgroup, char *unit, size_t size)
{
	struct naming seen = {0};

	/* "0::/a/b" of version 2, "4:memory:/a/b" of version 1. */
	for (const char *line = cgroup; *line; line += strcspn(line, "\n")) {
		const char *path;

		line += *line == '\n';
		path = line + strcspn(line, "/\n");
		see_path(path, &seen);
	}
	if (seen.pod[0])
		snprintf(unit, size, "pod %s%s%s", seen.pod, seen.container[0] ? " " : "",
			 seen.container);
	else
		snprintf(unit, size, "%s", seen.container[0] ? seen.container : seen.unit);
	for (char *c = unit; *c; c++) {
		if (!isprint((unsigned char)*c))
			*c = '?';
	}
}

/* An inode that is looked for, and the holder it belongs to. */
struct want {
	uint32_t inode;
	size_t holder;
};

struct search {
	struct result_holder *holders;
	const struct want *wants;
	size_t n;
};

static int compare_wants(const void *a, const void *b)
{
	const struct want *x = a, *y = b;

	return (x->inode > y->inode) - (x->inode < y->inode);
}

static void add_owner(struct result_holder *h, int pid)
{
	struct result_owner *o;
	char cgroup[4096];

	for (unsigned i = 0; i < h->owners_n; i++) {
		if (h->owners[i].pid == pid)
			return;
	}
	if (h->owners_n == RESULT_OWNERS_MAX) {
		h->owners_more = true;
		return;
	}
	o = &h->owners[h->owners_n++];
	*o = (struct result_owner){.pid = pid};
	read_comm(pid, o->comm, sizeof(o->comm));
	if (read_file(pid, "cgroup", cgroup, sizeof(cgroup)))
		owners_unit(cgroup, o->unit, sizeof(o->unit));
}

/* Two holders may name one inode (a socket seen twice while it changed): they are neighbours. */
static int take_found(size_t i, int pid, int fd, void *ctx)
{
	struct search *search = ctx;
	uint32_t inode = search->wants[i].inode;

	(void)fd;
	while (i > 0 && search->wants[i - 1].inode == inode)
		i--;
	for (; i < search->n && search->wants[i].inode == inode; i++)
		add_owner(&search->holders[search->wants[i].holder], pid);
	return 0;
}

/* The inodes of the holders, sorted, in wants and in inodes. */
static size_t sort_wants(const struct result_holder *holders, size_t n, struct want *wants,
			 uint32_t *inodes)
{
	size_t wants_n = 0;

	for (size_t i = 0; i < n; i++) {
		if (holders[i].seen.inode)
			wants[wants_n++] = (struct want){holders[i].seen.inode, i};
	}
	qsort(wants, wants_n, sizeof(*wants), compare_wants);
	for (size_t i = 0; i < wants_n; i++)
		inodes[i] = wants[i].inode;
	return wants_n;
}

void owners_of(struct result_holder *holders, size_t n)
{
	struct want *wants = calloc(n + 1, sizeof(*wants));
	uint32_t *inodes = calloc(n + 1, sizeof(*inodes));
	struct search search = {holders, wants, 0};
	bool unseen = !wants || !inodes;

	for (size_t i = 0; i < n; i++) {
		holders[i].owners_n = 0;
		holders[i].owners_more = false;
	}
	if (!unseen)
		search.n = sort_wants(holders, n, wants, inodes);
	if (search.n)
		owners_walk(inodes, search.n, take_found, &search, &unseen);
	for (size_t i = 0; i < n; i++)
		holders[i].owners_unseen = holders[i].seen.inode && unseen && !holders[i].owners_n;
	free(wants);
	free(inodes);
}
