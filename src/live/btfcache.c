/* SPDX-License-Identifier: MIT */
#include "live/btfcache.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "live/run_folder.h"

#define COPIES_MAX   512 /* kernel types copied; the program needs about 80 */
#define BUILD_ID_MAX 64

uint64_t btfcache_hash(const void *bytes, size_t n)
{
	const uint8_t *b = bytes;
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ b[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* ------------------------------------------------------------------------------------- the file */

/* The GNU build id note of the running kernel, in hex. */
static bool build_id(char out[static BUILD_ID_MAX])
{
	_Alignas(Elf64_Nhdr) uint8_t notes[4096];
	int fd = open("/sys/kernel/notes", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, notes, sizeof(notes));
	size_t at = 0;

	if (fd >= 0)
		close(fd);
	while (n > 0 && at + sizeof(Elf64_Nhdr) <= (size_t)n) {
		Elf64_Nhdr h;
		size_t name = at + sizeof(h), desc, end;

		memcpy(&h, notes + at, sizeof(h));
		desc = name + ((h.n_namesz + 3u) & ~(size_t)3);
		end = desc + ((h.n_descsz + 3u) & ~(size_t)3);
		if (desc + h.n_descsz > (size_t)n)
			return false;
		if (h.n_type == NT_GNU_BUILD_ID && h.n_namesz == 4 &&
		    memcmp(notes + name, "GNU", 4) == 0 && h.n_descsz >= 8 &&
		    2 * h.n_descsz < BUILD_ID_MAX) {
			for (size_t i = 0; i < h.n_descsz; i++)
				snprintf(out + 2 * i, 3, "%02x", notes[desc + i]);
			return true;
		}
		at = end;
	}
	return false;
}

static bool file_name(uint64_t program, char *out, size_t size)
{
	char id[BUILD_ID_MAX];

	if (!build_id(id))
		return false;
	snprintf(out, size, "types-%s-%016llx.btf", id, (unsigned long long)program);
	return true;
}

/* Ours, and nobody else can have written it. */
static bool is_private(int fd, mode_t type)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type && st.st_uid == geteuid() &&
	       (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static int open_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (is_private(fd, S_IFDIR))
		return fd;
	close(fd);
	return -EPERM;
}

int btfcache_open(const char *folder, uint64_t program)
{
	char name[NAME_MAX];
	int dir, fd;

	if (!file_name(program, name, sizeof(name)))
		return -ENOENT;
	dir = open_folder(folder);
	if (dir < 0)
		return dir;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	close(dir);
	if (fd >= 0 && !is_private(fd, S_IFREG)) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

static int write_all(int fd, const void *data, size_t n)
{
	const uint8_t *at = data;

	while (n > 0) {
		ssize_t k = write(fd, at, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? -errno : -EIO;
		at += k;
		n -= (size_t)k;
	}
	return 0;
}

/* Written beside and renamed, so that no reader sees half a file. */
static int keep(const char *folder, uint64_t program, const void *data, size_t n)
{
	char name[NAME_MAX], beside[NAME_MAX];
	int dir, fd, error;

	if (!file_name(program, name, sizeof(name)))
		return -ENOENT;
	error = run_folder_make(folder);
	dir = error ? error : open_folder(folder);
	if (dir < 0)
		return dir;
	snprintf(beside, sizeof(beside), ".types-%ld", (long)getpid());
	unlinkat(dir, beside, 0);
	fd = openat(dir, beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	error = fd < 0 ? -errno : write_all(fd, data, n);
	if (fd >= 0)
		close(fd);
	if (!error && renameat(dir, beside, dir, name))
		error = -errno;
	if (error)
		unlinkat(dir, beside, 0);
	close(dir);
	return error;
}

static int in_memory(const void *data, size_t n)
{
	int fd = memfd_create("tcpwhy-types", MFD_CLOEXEC);
	int error = fd < 0 ? -errno : write_all(fd, data, n);

	if (error && fd >= 0)
		close(fd);
	return error ? error : fd;
}

void btfcache_drop(const char *folder, uint64_t program)
{
	char name[NAME_MAX];
	int dir = open_folder(folder);

	if (dir < 0)
		return;
	if (file_name(program, name, sizeof(name)))
		unlinkat(dir, name, 0);
	close(dir);
}

int btfcache_make(const char *folder, uint64_t program, const struct btf *wanted)
{
	struct btf *kernel = btf__parse_raw("/sys/kernel/btf/vmlinux");
	struct btf *small = kernel ? btfcache_reduce(kernel, wanted) : NULL;
	int error = -errno, fd;
	const void *data;
	uint32_t n;

	btf__free(kernel);
	if (!small)
		return error;
	data = btf__raw_data(small, &n);
	if (!data) {
		btf__free(small);
		return -ENOMEM;
	}
	fd = keep(folder, program, data, n) ? -ENOENT : btfcache_open(folder, program);
	if (fd < 0)
		fd = in_memory(data, n);
	btf__free(small);
	return fd;
}

/* ------------------------------------------------------------------------------------- the types
 */

struct copy {
	uint32_t from, to;
};

struct reduction {
	const struct btf *kernel, *wanted;
	struct btf *out;
	struct copy copies[COPIES_MAX];
	size_t n;
	int pointer; /* all pointers become void *: CO-RE never follows one */
};

/* Length of a name without its flavour: "netns_ipv4___pointer" stands for "netns_ipv4". */
static size_t plain_length(const char *name)
{
	const char *flavour = strstr(name, "___");

	return flavour && flavour != name ? (size_t)(flavour - name) : strlen(name);
}

static bool same_struct(const char *kernel, const char *wanted)
{
	size_t n = plain_length(wanted);

	return strncmp(kernel, wanted, n) == 0 && kernel[n] == '\0';
}

static bool declares(const struct reduction *r, const char *name)
{
	for (uint32_t id = 1; id < btf__type_cnt(r->wanted); id++) {
		const struct btf_type *t = btf__type_by_id(r->wanted, id);

		if (btf_is_composite(t) &&
		    same_struct(name, btf__name_by_offset(r->wanted, t->name_off)))
			return true;
	}
	return false;
}

/* The program may reach a member through unnamed unions that it does not declare, and may declare
 * unnamed ones of its own. */
static bool has_member(const struct reduction *r, const struct btf_type *t, const char *member)
{
	const struct btf_member *m = btf_members(t);

	for (int i = 0; i < btf_vlen(t); i++) {
		if (strcmp(btf__name_by_offset(r->wanted, m[i].name_off), member) == 0)
			return true;
	}
	return false;
}

static bool wants_member(const struct reduction *r, const char *type, const char *member)
{
	if (type[0] == '\0' || member[0] == '\0')
		return true;
	for (uint32_t id = 1; id < btf__type_cnt(r->wanted); id++) {
		const struct btf_type *t = btf__type_by_id(r->wanted, id);

		if (btf_is_composite(t) &&
		    same_struct(type, btf__name_by_offset(r->wanted, t->name_off)) &&
		    has_member(r, t, member))
			return true;
	}
	return false;
}

static int copy_type(struct reduction *r, uint32_t id);

/* Members first: a struct's fields must follow it without another type between. */
static int copy_members(struct reduction *r, const struct btf_type *t, const char *name, int *ids)
{
	const struct btf_member *m = btf_members(t);

	for (int i = 0; i < btf_vlen(t); i++) {
		ids[i] = -ENOENT;
		if (!wants_member(r, name, btf__name_by_offset(r->kernel, m[i].name_off)))
			continue;
		ids[i] = copy_type(r, m[i].type);
		if (ids[i] < 0)
			return ids[i];
	}
	return 0;
}

static int add_struct(struct reduction *r, const struct btf_type *t, const char *name,
		      const int *ids)
{
	const struct btf_member *m = btf_members(t);
	int id = btf_is_union(t) ? btf__add_union(r->out, name, t->size)
				 : btf__add_struct(r->out, name, t->size);

	for (int i = 0; i < btf_vlen(t) && id > 0; i++) {
		int error = 0;

		if (ids[i] >= 0)
			error = btf__add_field(r->out,
					       btf__name_by_offset(r->kernel, m[i].name_off),
					       ids[i], btf_member_bit_offset(t, (uint32_t)i),
					       btf_member_bitfield_size(t, (uint32_t)i));
		if (error)
			return error;
	}
	return id;
}

static int copy_struct(struct reduction *r, const struct btf_type *t)
{
	const char *name = btf__name_by_offset(r->kernel, t->name_off);
	int *ids = calloc((size_t)btf_vlen(t) + 1, sizeof(*ids));
	int id = ids ? copy_members(r, t, name, ids) : -ENOMEM;

	if (id == 0)
		id = add_struct(r, t, name, ids);
	free(ids);
	return id;
}

static int copy_array(struct reduction *r, const struct btf_type *t)
{
	const struct btf_array *a = btf_array(t);
	int element = copy_type(r, a->type);
	int index = element < 0 ? element : copy_type(r, a->index_type);

	return index < 0 ? index : btf__add_array(r->out, index, element, a->nelems);
}

static int copy_plain(struct reduction *r, const struct btf_type *t)
{
	const char *name = btf__name_by_offset(r->kernel, t->name_off);

	if (btf_is_int(t))
		return btf__add_int(r->out, name, t->size, btf_int_encoding(t));
	if (btf_is_any_enum(t))
		return btf__add_enum(r->out, name, t->size);
	if (btf_is_array(t))
		return copy_array(r, t);
	if (btf_is_composite(t))
		return copy_struct(r, t);
	if (btf_is_ptr(t)) {
		if (!r->pointer)
			r->pointer = btf__add_ptr(r->out, 0);
		return r->pointer;
	}
	return -EOPNOTSUPP;
}

/* The id of the copy. Typedefs, const and volatile are left out: CO-RE looks through them. */
static int copy_type(struct reduction *r, uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(r->kernel, id);
	int to;

	while (t && (btf_is_mod(t) || btf_is_typedef(t) || btf_is_type_tag(t))) {
		id = t->type;
		t = btf__type_by_id(r->kernel, id);
	}
	if (!t)
		return -EINVAL;
	for (size_t i = 0; i < r->n; i++) {
		if (r->copies[i].from == id)
			return (int)r->copies[i].to;
	}
	to = copy_plain(r, t);
	if (to <= 0)
		return to < 0 ? to : -EINVAL;
	if (r->n == COPIES_MAX)
		return -E2BIG;
	r->copies[r->n++] = (struct copy){id, (uint32_t)to};
	return to;
}

struct btf *btfcache_reduce(const struct btf *kernel, const struct btf *wanted)
{
	struct reduction *r = calloc(1, sizeof(*r));
	struct btf *out = btf__new_empty();
	int error = r && out ? 0 : -ENOMEM;

	if (!error)
		*r = (struct reduction){.kernel = kernel, .wanted = wanted, .out = out};
	for (uint32_t id = 1; id < btf__type_cnt(kernel) && !error; id++) {
		const struct btf_type *t = btf__type_by_id(kernel, id);
		const char *name;

		if (!btf_is_composite(t))
			continue;
		name = btf__name_by_offset(kernel, t->name_off);
		if (name[0] != '\0' && declares(r, name)) {
			int to = copy_type(r, id);

			error = to < 0 ? to : 0;
		}
	}
	free(r);
	if (error) {
		btf__free(out);
		errno = -error;
		return NULL;
	}
	return out;
}
