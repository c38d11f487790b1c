/* SPDX-License-Identifier: MIT */
#include "live/btfcache.h"
#include "live/bindhash_record.h"
#include "live/privilege.h"
#include "live/quiet.h"
#include "unit.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Made by bpftool, which minds fewer warnings than we do. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Woverlength-strings"
#include "bindhash.skel.h"
#pragma GCC diagnostic pop

#define PROGRAM 0x1234

static char folder[64];

static int begin(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/tcpwhy-btf-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	chmod(folder, 0700);
	btfcache_drop(folder, PROGRAM);
	return rmdir(folder);
}

/* struct sock_common { unsigned short skc_family; }, struct no_such___flavour { int x; } */
static struct btf *wanted(void)
{
	struct btf *btf = btf__new_empty();
	int u16 = btf__add_int(btf, "unsigned short", 2, 0);

	assert_true(u16 > 0);
	assert_true(btf__add_struct(btf, "sock_common", 2) > 0);
	assert_int_equal(btf__add_field(btf, "skc_family", u16, 0, 0), 0);
	assert_true(btf__add_struct(btf, "inet_timewait_sock___old", 2) > 0);
	assert_int_equal(btf__add_field(btf, "tw_substate", u16, 0, 0), 0);
	assert_true(btf__add_struct(btf, "no_such_struct", 2) > 0);
	assert_int_equal(btf__add_field(btf, "x", u16, 0, 0), 0);
	return btf;
}

static struct btf *kernel(void)
{
	struct btf *btf = btf__parse_raw("/sys/kernel/btf/vmlinux");

	if (!btf)
		unit_skip("this kernel has no BTF");
	return btf;
}

static const struct btf_member *member(const struct btf *btf, const char *type, const char *name)
{
	int id = btf__find_by_name_kind(btf, type, BTF_KIND_STRUCT);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;

	for (int i = 0; t && i < btf_vlen(t); i++) {
		const struct btf_member *m = btf_members(t) + i;

		if (strcmp(btf__name_by_offset(btf, m->name_off), name) == 0)
			return m;
	}
	return NULL;
}

static void test_reduce(void **state)
{
	struct btf *all = kernel(), *want = wanted();
	struct btf *small = btfcache_reduce(all, want);
	int id, all_id;

	(void)state;
	assert_non_null(small);
	id = btf__find_by_name_kind(small, "sock_common", BTF_KIND_STRUCT);
	all_id = btf__find_by_name_kind(all, "sock_common", BTF_KIND_STRUCT);
	assert_true(id > 0 && all_id > 0);
	/* The kernel's size and offset, not ours. */
	assert_int_equal(btf__type_by_id(small, (uint32_t)id)->size,
			 btf__type_by_id(all, (uint32_t)all_id)->size);
	assert_int_equal(member(small, "sock_common", "skc_family")->offset,
			 member(all, "sock_common", "skc_family")->offset);
	assert_non_null(member(small, "inet_timewait_sock", "tw_substate"));
	/* What was not declared is not there. */
	assert_null(member(small, "sock_common", "skc_state"));
	assert_true(btf__find_by_name_kind(small, "no_such_struct", BTF_KIND_STRUCT) < 0);
	assert_true(btf__type_cnt(small) < 100);
	btf__free(small);
	btf__free(want);
	btf__free(all);
}

static void test_make_and_open(void **state)
{
	struct btf *want = wanted();
	int fd;

	(void)state;
	btf__free(kernel());
	assert_int_equal(btfcache_open(folder, PROGRAM), -ENOENT);
	fd = btfcache_make(folder, PROGRAM, want);
	assert_true(fd >= 0);
	close(fd);
	fd = btfcache_open(folder, PROGRAM);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(btfcache_open(folder, PROGRAM + 1), -ENOENT);
	btfcache_drop(folder, PROGRAM);
	assert_int_equal(btfcache_open(folder, PROGRAM), -ENOENT);
	btf__free(want);
}

/* What another user could have written is not read; nor is anything kept where he could change it.
 */
static void test_others_may_not_write(void **state)
{
	struct btf *want = wanted();
	int fd;

	(void)state;
	btf__free(kernel());
	close(btfcache_make(folder, PROGRAM, want));
	assert_int_equal(chmod(folder, 0770), 0);
	assert_int_equal(btfcache_open(folder, PROGRAM), -EPERM);
	/* Still made, in memory. */
	fd = btfcache_make(folder, PROGRAM, want);
	assert_true(fd >= 0);
	assert_true(lseek(fd, 0, SEEK_END) > 100);
	close(fd);
	assert_int_equal(chmod(folder, 0700), 0);
	btf__free(want);
}

static void test_not_through_a_link(void **state)
{
	char link[80];

	(void)state;
	snprintf(link, sizeof(link), "%s.link", folder);
	assert_int_equal(symlink(folder, link), 0);
	assert_true(btfcache_open(link, PROGRAM) < 0);
	assert_int_equal(unlink(link), 0);
}

/* Renames a member in the BTF's string section; both names have the same length. */
static void rename_member(char *data, uint32_t n, const char *from, const char *to)
{
	size_t len = strlen(from) + 1;

	assert_int_equal(len, strlen(to) + 1);
	for (uint32_t i = 1; i + len <= n; i++) {
		if (data[i - 1] == '\0' && memcmp(data + i, from, len) == 0)
			memcpy(data + i, to, len);
	}
}

/* A file with the types of an older kernel: this one's, with members taken away or renamed. */
static int older_types(const char *const (*renames)[2], size_t renames_n)
{
	struct bindhash *skel = bindhash__open();
	struct btf *all = kernel(), *small;
	const void *raw;
	uint32_t n;
	char *data;
	int fd;

	assert_non_null(skel);
	small = btfcache_reduce(all, bpf_object__btf(skel->obj));
	assert_non_null(small);
	raw = btf__raw_data(small, &n);
	data = malloc(n);
	memcpy(data, raw, n);
	for (size_t i = 0; i < renames_n; i++)
		rename_member(data, n, renames[i][0], renames[i][1]);
	fd = memfd_create("older", MFD_CLOEXEC);
	assert_int_equal(write(fd, data, n), n);
	free(data);
	btf__free(small);
	btf__free(all);
	bindhash__destroy(skel);
	return fd;
}

static int load_with(int fd)
{
	struct bpf_object_open_opts opts = {.sz = sizeof(opts)};
	struct bindhash *skel;
	char path[64];
	int error;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	opts.btf_custom_path = path;
	skel = bindhash__open_opts(&opts);
	assert_non_null(skel);
	error = bindhash__load(skel);
	bindhash__destroy(skel);
	close(fd);
	return error;
}

/* The walk cannot run on another kernel's tables, but it must load: no path that such a kernel
 * takes may hold an access that its types do not have. */
static void test_loads_with_older_types(void **state)
{
	static const char *const since_6_8[][2] = {{"sk_ino", "xx_ino"},
						   {"tw_connect_bind", "xx_connect_bind"}};
	static const char *const before_6_8[][2] = {{"bhash2", "owners"},
						    {"bhash_node", "xxxxx_node"},
						    {"sk_ino", "xx_ino"},
						    {"tw_connect_bind", "xx_connect_bind"}};
	static const char *const before_6_1[][2] = {
		{"bhash2", "owners"},     {"inet_bind2_bucket", "inet_xxxxx_bucket"},
		{"sk_ino", "xx_ino"},     {"tw_connect_bind", "xx_connect_bind"},
		{"hash_mix", "xxxx_mix"}, {"l3mdev", "xxxdev"}};
	libbpf_print_fn_t before;

	(void)state;
	if (!privilege_may_trace() || geteuid() != 0)
		unit_skip("BPF programs may not be loaded");
	before = quiet_begin();
	if (load_with(older_types(NULL, 0)) != 0) {
		quiet_end(before);
		unit_skip("the program does not load on this kernel at all");
	}
	assert_int_equal(load_with(older_types(since_6_8, 2)), 0);
	assert_int_equal(load_with(older_types(before_6_8, 4)), 0);
	assert_int_equal(load_with(older_types(before_6_1, 6)), 0);
	quiet_end(before);
}

static void test_hash(void **state)
{
	(void)state;
	/* FNV-1a's own test values. */
	assert_int_equal(btfcache_hash("", 0), UINT64_C(0xcbf29ce484222325));
	assert_int_equal(btfcache_hash("a", 1), UINT64_C(0xaf63dc4c8601ec8c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reduce),
		cmocka_unit_test_setup_teardown(test_make_and_open, begin, end),
		cmocka_unit_test_setup_teardown(test_others_may_not_write, begin, end),
		cmocka_unit_test_setup_teardown(test_not_through_a_link, begin, end),
		cmocka_unit_test(test_loads_with_older_types),
		cmocka_unit_test(test_hash),
	};

	return unit_run("btfcache", tests);
}
