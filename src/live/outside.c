/* SPDX-License-Identifier: MIT */
#include "live/outside.h"

#include "live/cgroup2.h"
#include "live/collect.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* More programs than that are there, but not named. */
#define PROGRAMS_MAX 8

static const struct {
	enum bpf_attach_type type;
	bool ipv6;
	const char *name;
} hooks[] = {
	{BPF_CGROUP_INET4_BIND, false, "bind4"},
	{BPF_CGROUP_INET4_POST_BIND, false, "post_bind4"},
	{BPF_CGROUP_INET6_BIND, true, "bind6"},
	{BPF_CGROUP_INET6_POST_BIND, true, "post_bind6"},
};

/* The path of the process's cgroup in version 2; false if it is in none that can be seen. */
static bool find_cgroup(int pid, char *out, size_t size)
{
	char path[64] = "/proc/self/cgroup", line[4096];
	bool found = false;
	FILE *f;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		found = strncmp(line, "0::/", 4) == 0 && !strstr(line, "/..") &&
			(size_t)snprintf(out, size, "%s", line + 3) < size;
	}
	if (f)
		fclose(f);
	return found;
}

static int open_cgroup(int pid)
{
	char mount[1024], cgroup[2048], path[PATH_MAX];

	if (!cgroup2_tree(mount, sizeof(mount)) || !find_cgroup(pid, cgroup, sizeof(cgroup)))
		return -1;
	snprintf(path, sizeof(path), "%s%s", mount, cgroup);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Its name, where it may be asked for. */
static void name_of(uint32_t id, struct bpf_prog_info *info)
{
	uint32_t size = sizeof(*info);
	int fd = bpf_prog_get_fd_by_id(id);

	memset(info, 0, sizeof(*info));
	if (fd < 0)
		return;
	if (bpf_obj_get_info_by_fd(fd, info, &size))
		info->name[0] = '\0';
	close(fd);
}

/* tcpwhy fix hook's: it refuses nothing, and what it does is known. */
static bool take_our_own(const struct bpf_prog_info *info, bool ipv6, struct snapshot *snap)
{
	if (strcmp(info->name, ipv6 ? "tcpwhy_reuse6" : "tcpwhy_reuse4") != 0)
		return false;
	if (ipv6)
		snap->reuse_hook6 = true;
	else
		snap->reuse_hook4 = true;
	return true;
}

/* Those of the ancestors too: what acts is asked for. */
static void read_hook(int cgroup, size_t hook, struct snapshot *snap)
{
	uint32_t ids[PROGRAMS_MAX] = {0}, n = PROGRAMS_MAX, flags = 0;
	bool ipv6 = hooks[hook].ipv6;

	/* ENOSPC: there are more, and n is their number. */
	if (bpf_prog_query(cgroup, hooks[hook].type, BPF_F_QUERY_EFFECTIVE, &flags, ids, &n) &&
	    errno != ENOSPC)
		return;
	for (uint32_t i = 0; i < n; i++) {
		struct bpf_prog_info info = {0};

		if (i < PROGRAMS_MAX)
			name_of(ids[i], &info);
		if (take_our_own(&info, ipv6, snap))
			continue;
		if (ipv6)
			snap->bind_programs6 = true;
		else
			snap->bind_programs4 = true;
		if (i >= PROGRAMS_MAX)
			break;
		collect_missing(snap, "what BPF program %s (id %u, cgroup/%s) says to bind()",
				info.name[0] ? info.name : "without a name", ids[i],
				hooks[hook].name);
	}
}

static bool selinux_enforces(void)
{
	int fd = open("/sys/fs/selinux/enforce", O_RDONLY | O_CLOEXEC);
	char c = '0';
	bool on = fd >= 0 && read(fd, &c, 1) == 1 && c == '1';

	if (fd >= 0)
		close(fd);
	return on;
}

void outside_read(int pid, struct snapshot *snap)
{
	int cgroup = open_cgroup(pid);

	for (size_t i = 0; cgroup >= 0 && i < sizeof(hooks) / sizeof(hooks[0]); i++)
		read_hook(cgroup, i, snap);
	if (cgroup >= 0)
		close(cgroup);
	/* Most programs are not confined, or may bind: said, but no reason to doubt each answer. */
	if (selinux_enforces())
		collect_missing(snap,
				"what the policy of SELinux, which is enforcing, says to bind()");
}
