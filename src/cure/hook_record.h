/* SPDX-License-Identifier: MIT
 *
 * hook_record.h - a hook as the journal tells it: the names it will have, before it has them
 */
#ifndef TCPWHY_CURE_HOOK_RECORD_H
#define TCPWHY_CURE_HOOK_RECORD_H

#include <jansson.h>

#include "cure/hook.h"

#define HOOK_NAME_MAX 40
#define HOOK_PATH_MAX 80

struct hook_record {
	struct hook_order order;
	char cgroup[CGROUP2_PATH_MAX];
	uint64_t cgroup_id;
	uint64_t mntns;     /* the mount namespace whose folder has the names; 0 unknown */
	const char *folder; /* BPFFS_FOLDER or BPFFS_OWN_FOLDER */
	bool mounts;        /* the folder was to be mounted first */
	struct {
		const struct hook_point *at;
		char name[HOOK_NAME_MAX];
	} pins[HOOK_POINTS_MAX];
	unsigned pins_n;
};

/* Fills a record with names that nothing has yet. */
void hook_record_plan(const struct hook_order *order, const struct cgroup2 *cgroup,
		      struct hook_record *out);
/* The journal's line before; seen is what acts there now. NULL: no memory. */
json_t *hook_record_write(const struct hook_record *record, const struct hook_seen *seen, size_t n);
/* False, with *out of no use, if it is not such a line: nothing else than names in our own folders
 * is ever read from one. */
bool hook_record_read(const json_t *change, struct hook_record *out);
/* Folder and name. */
char *hook_record_path(const struct hook_record *record, unsigned pin,
		       char out[static HOOK_PATH_MAX]);

/* The mount namespace we are in; 0 if it cannot be told. */
uint64_t hook_record_mntns(void);

#endif
