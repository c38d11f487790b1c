/* SPDX-License-Identifier: MIT
 *
 * container.h - a process of a container, by the container's id; of a pod, by the pod's name
 *
 * No container manager is asked: cgroup paths name both, and /var/log/pods ties a pod's name to its
 * uid. The answer is one process, any of them, through which the namespaces can be reached. What
 * fits two containers, or lives in two network namespaces, is an error that lists them: nothing is
 * guessed. A process that ends meanwhile is passed over.
 */
#ifndef TCPWHY_LIVE_CONTAINER_H
#define TCPWHY_LIVE_CONTAINER_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

#define CONTAINER_ID_MAX 65 /* 64 hex digits */
#define POD_UID_MAX      64

/* What a cgroup path tells: "" where it names none. Of containers within containers the innermost,
 * and the pod around that one. */
struct container_name {
	char id[CONTAINER_ID_MAX];
	char pod_uid[POD_UID_MAX]; /* with '-', as the API server writes it */
};

/* From the text of a /proc/PID/cgroup, whatever it holds. */
void container_parse(const char *cgroup, struct container_name *out);

/* A folder of /var/log/pods, "NAMESPACE_NAME_UID". False if it is no such name. */
struct pod_folder {
	char namespace[64], name[254], uid[POD_UID_MAX];
};
bool pod_folder_parse(const char *text, struct pod_folder *out);

/* Where to look: a test has a tree of its own. */
struct container_roots {
	const char *proc, *pod_logs;
};
extern const struct container_roots container_system; /* /proc, /var/log/pods */

/* A process of the container whose id begins with id, at least six hex digits. 0, or -errno with
 * err->text: -EINVAL not such an id, -ENOENT none lives here, -ENOTUNIQ several containers or
 * several network namespaces, -EACCES a cgroup could not be read and none was found. */
int container_find(const struct container_roots *roots, const char *id, int *pid, struct err *err);
/* The same of the pod [NAMESPACE/]NAME. Where the folder of logs does not know the pod, the host
 * name of the pods' processes is compared with NAME: a namespace then cannot be told. */
int pod_find(const struct container_roots *roots, const char *name, int *pid, struct err *err);
/* Whether the process is in our own network namespace; true if it cannot be told. */
bool container_shares_netns(const struct container_roots *roots, int pid);

/* For changes of a namespace: as above in the running system, and -EPERM for a container or a pod
 * that has no network namespace of its own (hostNetwork: true, --network=host), because a change in
 * it would be one of the host's. */
int container_pid(const char *id, int *pid, struct err *err);
int pod_pid(const char *name, int *pid, struct err *err);

#endif
