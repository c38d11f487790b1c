/* SPDX-License-Identifier: MIT */
#include "cure/hook_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "cure/bpffs.h"
#include "cure/journal.h"

uint64_t hook_record_mntns(void)
{
	struct stat st;

	return stat("/proc/self/ns/mnt", &st) ? 0 : st.st_ino;
}

/* Journals differ, and begin at 1 anew; so the names are not made of their ids. */
static uint64_t draw_token(void)
{
	struct timespec now;
	uint64_t token;

	if (getrandom(&token, sizeof(token), GRND_NONBLOCK) == sizeof(token))
		return token;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec << 32 | (uint64_t)now.tv_nsec;
}

void hook_record_plan(const struct hook_order *order, const struct cgroup2 *cgroup,
		      struct hook_record *out)
{
	const struct hook_point *at[HOOK_POINTS_MAX];
	uint64_t token = draw_token();

	*out = (struct hook_record){
		.order = *order, .cgroup_id = cgroup->id, .mntns = hook_record_mntns()};
	snprintf(out->cgroup, sizeof(out->cgroup), "%s", cgroup->path);
	out->folder = bpffs_where(&out->mounts);
	out->pins_n = hook_points(order, at);
	for (unsigned i = 0; i < out->pins_n; i++) {
		out->pins[i].at = at[i];
		snprintf(out->pins[i].name, sizeof(out->pins[i].name), "%016" PRIx64 "-%s", token,
			 at[i]->name);
	}
}

char *hook_record_path(const struct hook_record *record, unsigned pin,
		       char out[static HOOK_PATH_MAX])
{
	snprintf(out, HOOK_PATH_MAX, "%s/%s", record->folder, record->pins[pin].name);
	return out;
}

static json_t *write_seen(const struct hook_seen *seen, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:i, s:s}", "hook", seen[i].at->name, "id",
						(int)seen[i].id, "program", seen[i].name));
	return list;
}

json_t *hook_record_write(const struct hook_record *record, const struct hook_seen *seen, size_t n)
{
	char text[HOOK_TEXT_MAX], path[HOOK_PATH_MAX];
	json_t *pins = json_array(), *programs = write_seen(seen, n);

	for (unsigned i = 0; i < record->pins_n; i++) {
		const struct hook_point *at = record->pins[i].at;

		json_array_append_new(programs, json_pack("{s:s, s:s}", "hook", at->name, "program",
							  at->program));
		json_array_append_new(pins, json_pack("{s:s, s:s}", "hook", at->name, "pin",
						      hook_record_path(record, i, path)));
	}
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:b, s:o, s:o, s:o}", "action", "hook",
			 "hook", hook_format(&record->order, text), "cgroup", record->cgroup,
			 "cgroup_id", (json_int_t)record->cgroup_id, "mntns",
			 (json_int_t)record->mntns, "folder", record->folder, "mounts",
			 (int)record->mounts, "pins", pins, "old", write_seen(seen, n), "new",
			 programs);
}

static bool is_name(const char *text)
{
	return strlen(text) < HOOK_NAME_MAX &&
	       text[strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz-")] == '\0' && *text;
}

static bool read_pin(const json_t *pin, const struct hook_point *at, struct hook_record *out)
{
	const char *path = journal_text(pin, "pin");
	size_t folder = strlen(out->folder);

	if (strcmp(journal_text(pin, "hook"), at->name) != 0 ||
	    strncmp(path, out->folder, folder) != 0 || path[folder] != '/' ||
	    !is_name(path + folder + 1))
		return false;
	snprintf(out->pins[out->pins_n].name, HOOK_NAME_MAX, "%s", path + folder + 1);
	out->pins[out->pins_n++].at = at;
	return true;
}

static bool read_number(const json_t *change, const char *name, uint64_t *out)
{
	const json_t *number = json_object_get(change, name);

	*out = (uint64_t)json_integer_value(number);
	return json_is_integer(number) && json_integer_value(number) >= 0;
}

bool hook_record_read(const json_t *change, struct hook_record *out)
{
	const struct hook_point *at[HOOK_POINTS_MAX];
	const char *cgroup = journal_text(change, "cgroup");
	const char *folder = journal_text(change, "folder");
	const json_t *pins = json_object_get(change, "pins");
	struct err err;
	unsigned n;

	memset(out, 0, sizeof(*out));
	out->folder = !strcmp(folder, BPFFS_FOLDER)       ? BPFFS_FOLDER
		      : !strcmp(folder, BPFFS_OWN_FOLDER) ? BPFFS_OWN_FOLDER
							  : NULL;
	if (!out->folder || *cgroup != '/' || strlen(cgroup) >= sizeof(out->cgroup) ||
	    hook_parse(journal_text(change, "hook"), &out->order, &err) ||
	    !read_number(change, "cgroup_id", &out->cgroup_id) ||
	    !read_number(change, "mntns", &out->mntns))
		return false;
	snprintf(out->cgroup, sizeof(out->cgroup), "%s", cgroup);
	out->mounts = json_is_true(json_object_get(change, "mounts"));
	n = hook_points(&out->order, at);
	for (unsigned i = 0; i < n; i++)
		if (!read_pin(json_array_get(pins, i), at[i], out))
			return false;
	return json_array_size(pins) == n;
}
