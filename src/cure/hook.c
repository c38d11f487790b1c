/* SPDX-License-Identifier: MIT */
#include "cure/hook.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/address.h"
#include "live/quiet.h"

/* Made by bpftool, which minds fewer warnings than we do. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Woverlength-strings"
#include "hook.skel.h"
#pragma GCC diagnostic pop

/* The kernel takes 64 at a point of one cgroup (BPF_CGROUP_MAX_PROGS); those above come on top. */
#define IDS_MAX 128

enum { BIND4, BIND6, CONNECT4, CONNECT6, POINTS };

static const struct hook_point points[POINTS] = {
	[BIND4] = {"bind4", "tcpwhy_reuse4", BPF_CGROUP_INET4_BIND},
	[BIND6] = {"bind6", "tcpwhy_reuse6", BPF_CGROUP_INET6_BIND},
	[CONNECT4] = {"connect4", "tcpwhy_spread4", BPF_CGROUP_INET4_CONNECT},
	[CONNECT6] = {"connect6", "tcpwhy_spread6", BPF_CGROUP_INET6_CONNECT},
};

/* ----------------------------------------------------------------------------------------- orders
 */

static int reject(struct err *err, const char *wrong, const char *what)
{
	snprintf(err->text, sizeof(err->text), "%s: \"%.100s\"", wrong, what);
	return -EINVAL;
}

static const char *wrong_address(const struct tcpwhy_addr *a)
{
	if (address_is_any(a))
		return "no address to come from";
	if (address_is_multicast4(a) || address_is_multicast6(a) || address_is_broadcast4(a))
		return "an address of many is none to come from";
	if (address_is_link_local6(a))
		return "a link-local address belongs to one device and cannot be spread";
	return NULL;
}

static bool is_in(const struct hook_order *order, const struct tcpwhy_addr *a)
{
	for (unsigned i = 0; i < order->n4 + order->n6; i++)
		if (address_equal(&order->addresses[i], a))
			return true;
	return false;
}

/* IPv4 before IPv6, each in the order given. */
static void insert(struct hook_order *order, const struct tcpwhy_addr *a)
{
	unsigned n = order->n4 + order->n6;

	if (!address_is_v4(a)) {
		order->addresses[n] = *a;
		order->n6++;
		return;
	}
	memmove(&order->addresses[order->n4 + 1], &order->addresses[order->n4],
		order->n6 * sizeof(order->addresses[0]));
	order->addresses[order->n4++] = *a;
}

/* Of one family all are for destinations on this host, or none is. */
static bool mixes_loopback(const struct hook_order *order)
{
	for (unsigned i = 1; i < order->n4 + order->n6; i++)
		if (i != order->n4 && address_is_loopback(&order->addresses[i]) !=
					      address_is_loopback(&order->addresses[i - 1]))
			return true;
	return false;
}

static int parse_address(const char *text, size_t length, struct hook_order *order, struct err *err)
{
	char one[ADDRESS_TEXT_MAX];
	struct tcpwhy_addr address;
	enum tcpwhy_family family;
	const char *wrong;

	snprintf(one, sizeof(one), "%.*s", (int)length, text);
	if (length >= sizeof(one) || !address_parse(one, &address, &family))
		return reject(err, "not an address", one);
	wrong = wrong_address(&address);
	if (!wrong && is_in(order, &address))
		wrong = "an address stands there twice";
	if (!wrong && order->n4 + order->n6 == HOOK_ADDRESSES_MAX)
		wrong = "more than 64 addresses, from this one on";
	if (wrong)
		return reject(err, wrong, one);
	insert(order, &address);
	return 0;
}

int hook_parse(const char *text, struct hook_order *out, struct err *err)
{
	struct hook_order order = {.what = HOOK_SPREAD};
	const char *at = text + 7;
	int rc = 0;

	if (!strcmp(text, "reuseaddr")) {
		*out = (struct hook_order){.what = HOOK_REUSEADDR};
		return 0;
	}
	if (strncmp(text, "spread=", 7) != 0)
		return reject(err, "reuseaddr or spread=ADDR[,ADDR...], not", text);
	for (bool more = true; more && !rc;) {
		size_t n = strcspn(at, ",");

		rc = parse_address(at, n, &order, err);
		more = at[n] == ',';
		at += n + more;
	}
	if (!rc && mixes_loopback(&order))
		rc = reject(err, "loopback addresses and others cannot stand in for each other",
			    text);
	if (!rc)
		*out = order;
	return rc;
}

char *hook_format(const struct hook_order *order, char out[static HOOK_TEXT_MAX])
{
	size_t n;

	if (order->what == HOOK_REUSEADDR) {
		snprintf(out, HOOK_TEXT_MAX, "reuseaddr");
		return out;
	}
	n = (size_t)snprintf(out, HOOK_TEXT_MAX, "spread=");
	for (unsigned i = 0; i < order->n4 + order->n6; i++) {
		char one[ADDRESS_TEXT_MAX];

		n += (size_t)snprintf(out + n, HOOK_TEXT_MAX - n, "%s%s", i ? "," : "",
				      address_format(&order->addresses[i], one));
	}
	return out;
}

unsigned hook_points(const struct hook_order *order, const struct hook_point *out[HOOK_POINTS_MAX])
{
	bool reuse = order->what == HOOK_REUSEADDR;
	unsigned n = 0;

	if (reuse || order->n4)
		out[n++] = &points[reuse ? BIND4 : CONNECT4];
	out[n++] = &points[reuse ? BIND6 : CONNECT6];
	return n;
}

const struct hook_point *hook_point_find(const char *name)
{
	for (size_t i = 0; i < POINTS; i++)
		if (!strcmp(points[i].name, name))
			return &points[i];
	return NULL;
}

/* ---------------------------------------------------------------------------------------- looking
 */

/* What a descriptor is, as /proc names it: the info of a program, asked of a link, would be another
 * struct. */
static bool is_link(int fd)
{
	char path[32], name[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name) - 1);
	if (n < 0)
		return false;
	name[n] = '\0';
	return strstr(name, "bpf_link") || strstr(name, "bpf-link");
}

static void name_program(uint32_t id, char name[static 16])
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);

	*name = '\0';
	if (fd < 0)
		return;
	if (!bpf_obj_get_info_by_fd(fd, &info, &size))
		snprintf(name, 16, "%.15s", info.name);
	close(fd);
}

static int query(int cgroup, const struct hook_point *at, uint32_t how, uint32_t ids[IDS_MAX],
		 uint32_t *n, uint32_t *flags)
{
	*n = IDS_MAX;
	*flags = 0;
	/* More than that: those that there was room for. */
	if (bpf_prog_query(cgroup, (enum bpf_attach_type)at->type, how, flags, ids, n) &&
	    errno != ENOSPC)
		return -errno;
	if (*n > IDS_MAX)
		*n = IDS_MAX;
	return 0;
}

static bool has_id(const uint32_t *ids, uint32_t n, uint32_t id)
{
	for (uint32_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

static int look_at(const struct cgroup2 *cgroup, const struct hook_point *at,
		   struct hook_seen seen[HOOK_SEEN_MAX], size_t *n)
{
	uint32_t all[IDS_MAX], here[IDS_MAX], all_n, here_n, flags;
	int rc = query(cgroup->fd, at, BPF_F_QUERY_EFFECTIVE, all, &all_n, &flags);

	if (!rc)
		rc = query(cgroup->fd, at, 0, here, &here_n, &flags);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < all_n && *n < HOOK_SEEN_MAX; i++) {
		struct hook_seen *s = &seen[(*n)++];

		*s = (struct hook_seen){
			.at = at, .id = all[i], .here = has_id(here, here_n, all[i])};
		name_program(s->id, s->name);
	}
	return 0;
}

int hook_look(const struct cgroup2 *cgroup, const struct hook_order *order,
	      struct hook_seen seen[HOOK_SEEN_MAX], size_t *n, struct err *err)
{
	const struct hook_point *at[HOOK_POINTS_MAX];
	unsigned wanted = hook_points(order, at);
	int rc = 0;

	*n = 0;
	for (unsigned i = 0; i < wanted && !rc; i++) {
		rc = look_at(cgroup, at[i], seen, n);
		if (rc == -EPERM)
			snprintf(err->text, sizeof(err->text),
				 "asking which BPF programs a cgroup has needs CAP_NET_ADMIN");
		else if (rc)
			snprintf(err->text, sizeof(err->text),
				 "asking which programs %.100s has at cgroup/%s: %s", cgroup->path,
				 at[i]->name, strerror(-rc));
	}
	return rc;
}

/* Whether the cgroup of fd forbids another program there (hierarchy_allows_attach(),
 * __cgroup_bpf_attach()). *settled: those above have no say any more. */
static bool forbids(int fd, const struct hook_point *at, bool above, bool *settled, uint32_t *id)
{
	uint32_t ids[IDS_MAX], n, flags;

	if (query(fd, at, 0, ids, &n, &flags))
		return false;
	*settled = above && (n || flags & BPF_F_ALLOW_MULTI);
	if (!n || flags & BPF_F_ALLOW_MULTI || (above && flags & BPF_F_ALLOW_OVERRIDE))
		return false;
	*id = ids[0];
	return true;
}

static bool is_shut_out_at(const struct cgroup2 *cgroup, const struct hook_point *at,
			   struct err *err)
{
	char path[CGROUP2_PATH_MAX], name[16];
	struct cgroup2 c = {.fd = -1};
	bool settled = false, forbidden = false;
	uint32_t id = 0;

	snprintf(path, sizeof(path), "%s", cgroup->path);
	for (bool above = false; !settled && !forbidden; above = true) {
		char *slash = strrchr(path, '/');

		if (cgroup2_open(path, &c, err))
			break;
		forbidden = forbids(c.fd, at, above, &settled, &id);
		cgroup2_close(&c);
		if (forbidden || slash == path || c.root)
			break;
		*slash = '\0';
	}
	if (!forbidden)
		return false;
	name_program(id, name);
	snprintf(err->text, sizeof(err->text),
		 "BPF program %s (id %u) at cgroup/%s of %.120s admits no other beside it: it was "
		 "attached without BPF_F_ALLOW_MULTI",
		 *name ? name : "without a name", id, at->name, path);
	return true;
}

bool hook_is_shut_out(const struct cgroup2 *cgroup, const struct hook_order *order, struct err *err)
{
	const struct hook_point *at[HOOK_POINTS_MAX];
	unsigned n = hook_points(order, at);

	for (unsigned i = 0; i < n; i++)
		if (is_shut_out_at(cgroup, at[i], err))
			return true;
	return false;
}

/* ---------------------------------------------------------------------------------------- loading
 */

struct hook_programs {
	struct hook *skel;
};

static void set_rules(struct hook_rules *rules, const struct hook_order *order)
{
	for (unsigned i = 0; i < order->n4 + order->n6; i++)
		memcpy(rules->addresses[i].words, order->addresses[i].b, 16);
	rules->n4 = order->n4;
	rules->n6 = order->n6;
	rules->loopback4 = order->n4 && address_is_loopback(&order->addresses[0]);
	rules->loopback6 = order->n6 && address_is_loopback(&order->addresses[order->n4]);
}

/* Only what the order needs is given to the kernel. */
static void choose(const struct hook *skel, const struct hook_order *order)
{
	const struct hook_point *at[HOOK_POINTS_MAX];
	unsigned n = hook_points(order, at);
	struct bpf_program *program;

	bpf_object__for_each_program(program, skel->obj)
	{
		bool wanted = false;

		for (unsigned i = 0; i < n; i++)
			wanted |= !strcmp(bpf_program__name(program), at[i]->program);
		bpf_program__set_autoload(program, wanted);
	}
}

static int load_failed(int error, struct err *err)
{
	if (error == -EPERM) {
		snprintf(err->text, sizeof(err->text),
			 "BPF programs need CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, and those "
			 "of "
			 "the first user namespace (EPERM)");
		return error;
	}
	snprintf(err->text, sizeof(err->text),
		 "this kernel does not take the programs (%s): cgroup/bind and connect programs "
		 "come with 4.17, and with CONFIG_CGROUP_BPF",
		 strerrorname_np(-error));
	return error == -ENOMEM ? error : -EOPNOTSUPP;
}

int hook_load(const struct hook_order *order, struct hook_programs **out, struct err *err)
{
	struct hook_programs *programs = malloc(sizeof(*programs));
	libbpf_print_fn_t before = quiet_begin();
	int rc = -ENOMEM;

	if (programs)
		programs->skel = hook__open();
	if (programs && programs->skel) {
		set_rules(&programs->skel->rodata->rules, order);
		choose(programs->skel, order);
		rc = hook__load(programs->skel);
	}
	quiet_end(before);
	if (!rc) {
		*out = programs;
		return 0;
	}
	hook_unload(programs);
	return load_failed(rc, err);
}

void hook_unload(struct hook_programs *programs)
{
	if (programs && programs->skel)
		hook__destroy(programs->skel);
	free(programs);
}

/* ------------------------------------------------------------------------------------------- pins
 */

static int attach_failed(int error, const struct hook_point *point, const struct cgroup2 *cgroup,
			 struct err *err)
{
	const char *why = strerror(-error);

	if (error == -EPERM)
		why = "a program there admits no other beside it, or the privilege is missing "
		      "(EPERM)";
	else if (error == -EINVAL)
		why = "BPF links on cgroups come with 5.7 (EINVAL)";
	else if (error == -E2BIG)
		why = "it has 64 programs, and takes no more (E2BIG)";
	else if (error == -ENOENT || error == -ENODEV)
		why = "it was removed meanwhile";
	snprintf(err->text, sizeof(err->text), "cgroup/%s of %.100s: %s", point->name, cgroup->path,
		 why);
	return error;
}

static uint32_t program_of(int link)
{
	struct bpf_link_info info = {0};
	uint32_t size = sizeof(info);

	return bpf_obj_get_info_by_fd(link, &info, &size) ? 0 : info.prog_id;
}

/* By descriptor: the folder that was checked is the one written to. */
static void name_in(int folder, const char *name, char path[static 96])
{
	snprintf(path, 96, "/proc/self/fd/%d/%.60s", folder, name);
}

int hook_pin(const struct hook_programs *programs, const struct hook_point *point,
	     const struct cgroup2 *cgroup, int folder, const char *name, uint32_t *id,
	     struct err *err)
{
	const struct bpf_program *program =
		bpf_object__find_program_by_name(programs->skel->obj, point->program);
	int link = bpf_link_create(bpf_program__fd(program), cgroup->fd,
				   (enum bpf_attach_type)point->type, NULL);
	char path[96];
	int rc = 0;

	if (link < 0)
		return attach_failed(-errno, point, cgroup, err);
	name_in(folder, name, path);
	if (bpf_obj_pin(link, path)) {
		rc = -errno;
		snprintf(err->text, sizeof(err->text), "pinning %.60s: %s", name, strerror(-rc));
	} else {
		*id = program_of(link);
	}
	/* Not pinned, it is detached here. */
	close(link);
	return rc;
}

static bool is_ours(const struct bpf_link_info *info, const struct hook_point *point)
{
	char name[16];

	if (info->type != BPF_LINK_TYPE_CGROUP || info->cgroup.attach_type != point->type)
		return false;
	name_program(info->prog_id, name);
	return !*name || !strcmp(name, point->program);
}

enum hook_pin_state hook_pin_look(const char *path, const struct hook_point *point,
				  uint64_t cgroup_id)
{
	struct bpf_link_info info = {0};
	uint32_t size = sizeof(info);
	int fd = bpf_obj_get(path);
	bool known;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? HOOK_PIN_NONE : HOOK_PIN_UNSEEN;
	known = is_link(fd) && !bpf_obj_get_info_by_fd(fd, &info, &size) && is_ours(&info, point);
	close(fd);
	if (!known)
		return HOOK_PIN_OTHER;
	if (!info.cgroup.cgroup_id)
		return HOOK_PIN_DEAD;
	return info.cgroup.cgroup_id == cgroup_id ? HOOK_PIN_LIVE : HOOK_PIN_OTHER;
}

/* Without its name a link goes when the kernel comes to it; detached, it is gone now (5.9). */
static void detach(const char *path)
{
	int fd = bpf_obj_get(path);

	if (fd < 0)
		return;
	if (is_link(fd))
		bpf_link_detach(fd);
	close(fd);
}

int hook_unpin(int folder, const char *name)
{
	char path[96];

	name_in(folder, name, path);
	detach(path);
	return unlinkat(folder, name, 0) && errno != ENOENT ? -errno : 0;
}
