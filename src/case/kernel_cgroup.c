/* SPDX-License-Identifier: MIT
 *
 * A cgroup of a host's own, for the programs that are started in it from then on
 *
 * Removed with the stage; where the stage is killed, by the reaper.
 */
#include "case/kernel_state.h"

#include "live/cgroup2.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 50, ROUND_NS = 10000000 };

/* The namespace's number is in use for nothing else now: what has the name was left behind. */
static int make_folder(const char *path)
{
	if (mkdir(path, 0755) && (errno != EEXIST || rmdir(path) || mkdir(path, 0755)))
		return -errno;
	return 0;
}

static int cannot(struct err *err, int error, const char *what)
{
	snprintf(err->text, sizeof(err->text), "%.180s: %s", what, strerror(-error));
	return STAGE_CANNOT;
}

static int make(struct kernel_stage *k, struct kernel_node *node, int host, struct err *err)
{
	char path[sizeof(node->cgroup)], file[sizeof(path) + 16], mount[sizeof(path) - 48];

	if (!cgroup2_mount(mount, sizeof(mount)))
		return kernel_fail(err, STAGE_CANNOT, "no cgroups of version 2 are mounted here");
	snprintf(path, sizeof(path), "%s/tcpwhy-lab-%" PRIu64, mount,
		 stage_kernel_netns(k->scene, host)->inode);
	int rc = stage_kernel_remove_behind(k->scene, path, err);
	if (rc)
		return rc;
	rc = make_folder(path);
	if (rc)
		return cannot(err, rc, path);
	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	const int fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0) {
		rc = cannot(err, -errno, file);
		rmdir(path);
		return rc;
	}
	strcpy(node->cgroup, path);
	node->cgroup_procs = fd;
	return 0;
}

int kernel_cgroup(struct stage *st, int host, char *path, size_t size, struct err *err)
{
	struct kernel_stage *k = kernel_of(st);
	struct kernel_node *node = &k->nodes[host];
	const int rc = node->cgroup[0] ? 0 : make(k, node, host, err);

	if (rc)
		return rc;
	if (strlen(node->cgroup) >= size)
		return kernel_fail(err, -ENAMETOOLONG, node->cgroup);
	strcpy(path, node->cgroup);
	return 0;
}

/* What a program left beside itself (tcpwhy run does) leaves too, a little later. */
void kernel_cgroup_end(struct kernel_node *node)
{
	if (!node->cgroup[0])
		return;
	close(node->cgroup_procs);
	for (int i = 0; i < ROUNDS && rmdir(node->cgroup) && errno == EBUSY; i++)
		nanosleep(&(struct timespec){0, ROUND_NS}, NULL);
	node->cgroup[0] = '\0';
}
