/* SPDX-License-Identifier: MIT */
#include "case/kernel_stage.h"

#include "base/assert.h"
#include "case/hostns.h"
#include "case/kernel_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

uint64_t kernel_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int kernel_fail(struct err *err, int error, const char *what)
{
	if (error == STAGE_CANNOT)
		snprintf(err->text, sizeof(err->text), "%s", what);
	else
		snprintf(err->text, sizeof(err->text), "%s: %s", what, strerror(-error));
	return error;
}

bool kernel_is_short(int error)
{
	return error == -ENOSPC || error == -EMFILE || error == -ENFILE || error == -EAGAIN;
}

int kernel_lacks(int error)
{
	const bool lacks = error == -EOPNOTSUPP || error == -EPERM || kernel_is_short(error);

	return lacks ? STAGE_CANNOT : error;
}

void *kernel_grow(void *array, size_t n, size_t size)
{
	const bool is_full = !(n & (n - 1)); /* 0, or a power of two */

	return is_full ? realloc(array, (n ? 2 * n : 1) * size) : array;
}

/* ------------------------------------------------------------------------------------- hosts,
 * boxes
 */

/* Names as in stage_kernel.h. The first four are of the IP layer: nothing but the routes that were
 * made decides. The others are what the model leaves out. */
static const struct {
	const char *name, *value;
} fixed[] = {
	{"ipv4/conf/all/rp_filter", "0"},
	{"ipv4/conf/default/rp_filter", "0"},
	{"ipv4/conf/all/send_redirects", "0"},
	{"ipv4/conf/default/send_redirects", "0"},
	{"ipv4/tcp_early_retrans", "0"},
	{"ipv4/tcp_recovery", "0"},
	{"ipv4/tcp_reordering", "127"},
	{"ipv4/tcp_frto", "0"},
	{"ipv4/tcp_dsack", "0"},
	{"ipv4/tcp_autocorking", "0"},
	{"ipv4/tcp_comp_sack_nr", "0"},
	{"ipv4/tcp_no_metrics_save", "1"},
	{"ipv4/tcp_moderate_rcvbuf", "0"},
	{"ipv4/tcp_fastopen", "0"},
	{"ipv4/tcp_window_scaling", "0"},
	{"ipv4/tcp_ecn", "0"},
};

/* In the host. One that this kernel has not does nothing there either. */
static int fix(void *ctx)
{
	(void)ctx;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		char path[128];

		snprintf(path, sizeof(path), "/proc/sys/net/%s", fixed[i].name);
		const int fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0)
			return -errno;
		const int rc = write(fd, fixed[i].value, strlen(fixed[i].value)) < 0 ? -errno : 0;
		close(fd);
		if (rc)
			return rc;
	}
	return 0;
}

/* A misuse, whose text says it all. */
static int fail_plainly(struct err *err, const char *text)
{
	snprintf(err->text, sizeof(err->text), "%s", text);
	return -EINVAL;
}

static int new_node(struct kernel_stage *k, const char *name, bool is_box, struct err *err)
{
	must(!k->begin_ns);
	if (!*name || strlen(name) > KERNEL_NAME_MAX)
		return fail_plainly(err, "a name has 1 to 31 characters");
	struct kernel_node *nodes = kernel_grow(k->nodes, k->n_nodes, sizeof(*nodes));
	if (!nodes)
		return kernel_fail(err, -ENOMEM, name);
	k->nodes = nodes;
	const int node = stage_kernel_add_host(k->scene, name, err);
	if (node < 0)
		return kernel_lacks(node);
	must((size_t)node == k->n_nodes);
	nodes[node] = (struct kernel_node){.is_box = is_box};
	strcpy(nodes[node].name, name);
	k->n_nodes++;
	err->text[0] = '\0';
	int rc = netns_run(stage_kernel_netns(k->scene, node), false, fix, NULL, err);
	if (rc && !err->text[0])
		kernel_fail(err, rc, "the sysctls of a new host");
	if (!rc && is_box)
		rc = stage_kernel_forward(k->scene, node, err);
	return rc ? kernel_lacks(rc) : node;
}

static int add_host(struct stage *st, const struct stage_host *h, struct err *err)
{
	struct kernel_stage *k = kernel_of(st);
	const char *own = k->config.row ? k->config.row->name : NULL;

	if (h->release && (!own || strcmp(h->release, own) != 0)) {
		snprintf(err->text, sizeof(err->text),
			 "host %.31s wants release %.16s; the kernel that runs is %s", h->name,
			 h->release, own ? own : "none of the rows");
		return STAGE_CANNOT;
	}
	if (h->clock_ms || h->window || h->hz)
		return kernel_fail(err, STAGE_CANNOT,
				   "a real kernel's timestamp clock, window and HZ are its own");
	return new_node(k, h->name, false, err);
}

static int add_box(struct stage *st, const struct stage_box *b, struct err *err)
{
	return new_node(kernel_of(st), b->name, true, err);
}

/* ------------------------------------------------------------------------------------------- links
 */

static bool has_addr(const struct kernel_end *e, const struct tcpwhy_addr *a)
{
	for (size_t i = 0; i < e->n_addrs; i++)
		if (address_equal(&e->addrs[i], a))
			return true;
	return false;
}

static bool is_taken(const struct kernel_stage *k, const struct stage_link *l)
{
	for (unsigned side = 0; side < 2; side++)
		for (size_t i = 0; i < l->ends[side].n_addrs; i++)
			for (size_t j = 0; j < k->n_links; j++)
				if (has_addr(&k->links[j].ends[0], &l->ends[side].addrs[i]) ||
				    has_addr(&k->links[j].ends[1], &l->ends[side].addrs[i]))
					return true;
	return false;
}

static int keep_ends(struct kernel_link *kept, const struct stage_link *l)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct stage_link_end *e = &l->ends[i];
		const size_t bytes = e->n_addrs * sizeof(*e->addrs);
		struct kernel_end *k = &kept->ends[i];

		*k = (struct kernel_end){.node = e->node, .n_addrs = e->n_addrs};
		k->addrs = malloc(bytes ? bytes : 1);
		if (!k->addrs)
			return -ENOMEM;
		if (bytes)
			memcpy(k->addrs, e->addrs, bytes);
	}
	return 0;
}

static void link_fini(struct kernel_link *l)
{
	free(l->ends[0].addrs);
	free(l->ends[1].addrs);
}

static int make_wire(struct kernel_stage *k, const struct stage_link *l, bool relayed,
		     struct err *err)
{
	struct stage_wire w = {
		.relayed = relayed,
		.delay_ns = {l->delay_ns[0], l->delay_ns[1]},
		.loss_ppm = {l->loss_ppm[0], l->loss_ppm[1]},
		.seed = k->config.seed,
		.unrecorded = !l->tapped,
		.capture = k->capture,
		.quickack = true,
	};

	for (unsigned i = 0; i < 2; i++)
		w.ends[i] =
			(struct stage_end){l->ends[i].node, l->ends[i].addrs, l->ends[i].n_addrs};
	return stage_kernel_add_wire(k->scene, &w, err);
}

static int add_link(struct stage *st, const struct stage_link *l, struct err *err)
{
	struct kernel_stage *k = kernel_of(st);
	const bool relayed =
		l->tapped || l->delay_ns[0] || l->delay_ns[1] || l->loss_ppm[0] || l->loss_ppm[1];
	struct kernel_link kept = {.tapped = l->tapped, .relayed = relayed};

	must(!k->begin_ns);
	if (l->ends[0].node == l->ends[1].node)
		return kernel_fail(err, -EINVAL, "a link joins two nodes");
	if (is_taken(k, l))
		return kernel_fail(err, -EINVAL, "another end has that address");
	struct kernel_link *links = kernel_grow(k->links, k->n_links, sizeof(*links));
	if (links)
		k->links = links;
	if (!links || keep_ends(&kept, l)) {
		link_fini(&kept);
		return kernel_fail(err, -ENOMEM, "a link");
	}
	const int link = make_wire(k, l, relayed, err);
	if (link < 0) {
		link_fini(&kept);
		return kernel_lacks(link);
	}
	must((size_t)link == k->n_links);
	links[k->n_links++] = kept;
	return link;
}

static int add_prefix(struct stage *st, int host, const struct stage_prefix *p, struct err *err)
{
	struct kernel_stage *k = kernel_of(st);
	struct kernel_prefix *prefixes = kernel_grow(k->prefixes, k->n_prefixes, sizeof(*prefixes));

	must(!k->begin_ns && host >= 0 && (size_t)host < k->n_nodes);
	if (!prefixes)
		return kernel_fail(err, -ENOMEM, "a prefix");
	k->prefixes = prefixes;
	prefixes[k->n_prefixes++] = (struct kernel_prefix){host, *p};
	return 0;
}

static int start(struct stage *st, struct err *err)
{
	struct kernel_stage *k = kernel_of(st);
	int rc = kernel_routes_make(k, err);

	if (rc)
		return kernel_lacks(rc);
	k->begin_ns = kernel_clock();
	rc = kernel_rules_begin(k, err);
	if (!rc)
		rc = kernel_witness_begin(k, err);
	return kernel_lacks(rc);
}

static uint32_t device(struct stage *st, int host, int link)
{
	struct kernel_stage *k = kernel_of(st);

	must(link >= 0 && (size_t)link < k->n_links);
	for (int end = 0; end < 2; end++)
		if (k->links[link].ends[end].node == host)
			return stage_kernel_device(k->scene, link, end);
	return 0;
}

/* ----------------------------------------------------------------------------------------- sysctls
 */

/* "net.ipv4.tcp_x" is "ipv4/tcp_x" below /proc/sys/net. False: it is no name of that kind, and
 * would lead elsewhere. */
static bool path_of(const char *name, char path[static 128])
{
	const size_t len = strlen(name);
	size_t i;

	if (strncmp(name, "net.", 4) != 0 || len - 4 >= 128 || strstr(name, ".."))
		return false;
	for (i = 4; i < len; i++) {
		if (name[i] == '/')
			return false;
		path[i - 4] = name[i] == '.' ? '/' : name[i];
	}
	path[i - 4] = '\0';
	return true;
}

static int no_such_sysctl(const char *name, struct err *err)
{
	snprintf(err->text, sizeof(err->text), "%.100s: no name of a network sysctl", name);
	return -ENOENT;
}

static int set_sysctl(struct stage *st, int host, const char *name, const char *value,
		      struct err *err)
{
	char path[128];

	if (!path_of(name, path))
		return no_such_sysctl(name, err);
	return hostns_set_sysctl(stage_kernel_netns(kernel_of(st)->scene, host), path, value, err);
}

/* Values of several numbers come with tabs; the model's have blanks. */
static int get_sysctl(struct stage *st, int host, const char *name, char *value, size_t size,
		      struct err *err)
{
	char path[128];

	if (!path_of(name, path))
		return no_such_sysctl(name, err);
	const int rc = hostns_get_sysctl(stage_kernel_netns(kernel_of(st)->scene, host), path,
					 value, size, err);
	for (char *c = value; !rc && *c; c++)
		if (*c == '\t')
			*c = ' ';
	return rc;
}

static int counter(struct stage *st, int host, const char *name, uint64_t *value, struct err *err)
{
	return stage_kernel_counter(kernel_of(st)->scene, host, name, value, err);
}

static bool verdict(struct stage *st, int sock, struct tcpwhy_verdict *v)
{
	(void)st, (void)sock, (void)v;
	return false;
}

static int crowd(struct stage *st, int listener, const struct tcpwhy_addr *local,
		 const struct tcpwhy_addr *peer, uint32_t n_peers, uint16_t port, uint32_t n,
		 uint64_t *bytes, struct err *err)
{
	(void)st, (void)listener, (void)local, (void)peer, (void)n_peers, (void)port, (void)n,
		(void)bytes;
	return kernel_fail(err, STAGE_CANNOT, "crowds without segments live in the model only");
}

/* ---------------------------------------------------------------------------------- beginning, end
 */

static void stage_free(struct stage *st)
{
	struct kernel_stage *k = kernel_of(st);

	if (!k)
		return;
	kernel_programs_end(k);
	kernel_mounts_end(k);
	for (int i = 0; i < k->n_socks; i++)
		if (k->socks[i].fd >= 0)
			close(k->socks[i].fd);
	for (size_t i = 0; i < k->n_nodes; i++) {
		kernel_cgroup_end(&k->nodes[i]);
		balance_free(k->nodes[i].balance);
		free(k->nodes[i].early);
	}
	stage_kernel_free(k->scene);
	kernel_witness_end(k);
	capture_free(k->capture);
	if (k->epoll >= 0)
		close(k->epoll);
	for (size_t i = 0; i < k->n_links; i++)
		link_fini(&k->links[i]);
	free(k->nodes);
	free(k->links);
	free(k->prefixes);
	free(k->socks);
	free(k->line);
	free(k->flows.all);
	free(k->programs);
	free(k);
}

static const struct stage_ops ops = {
	.name = "kernel",
	.free = stage_free,
	.add_host = add_host,
	.add_box = add_box,
	.add_link = add_link,
	.add_prefix = add_prefix,
	.start = start,
	.set_sysctl = set_sysctl,
	.get_sysctl = get_sysctl,
	.set_rules = kernel_set_rules,
	.set_delay = kernel_set_delay,
	.set_loss = kernel_set_loss,
	.add_control = kernel_add_control,
	.remove_control = kernel_remove_control,
	.fired = kernel_fired,
	.held = kernel_held,
	.release = kernel_release,
	.inject = kernel_inject,
	.socket = kernel_socket,
	.setsockopt = kernel_setsockopt,
	.bind = kernel_bind,
	.listen = kernel_listen,
	.connect = kernel_connect,
	.accept = kernel_accept,
	.send = kernel_send,
	.recv = kernel_recv,
	.shutdown = kernel_shutdown,
	.close = kernel_close,
	.error = kernel_error,
	.sockname = kernel_sockname,
	.peername = kernel_peername,
	.host_of = kernel_host_of,
	.device = device,
	.look = kernel_look,
	.find = kernel_find,
	.list = kernel_list,
	.destroy = kernel_destroy,
	.counter = counter,
	.verdict = verdict,
	.sessions = kernel_sessions,
	.trace_count = kernel_trace_count,
	.trace = kernel_trace,
	.head = kernel_head,
	.sight = kernel_sight,
	.now = kernel_now,
	.pause = kernel_pause,
	.run_until = kernel_run_until,
	.drive = kernel_drive,
	.watch = kernel_watch,
	.crowd = crowd,
	.cgroup = kernel_cgroup,
	.run = kernel_run,
	.spawn = kernel_spawn,
	.stop = kernel_stop,
	.file = kernel_file,
};

enum { DESCRIPTORS = 1 << 16 };

/* Every socket of a scene is a descriptor of ours; 1,024 are too few for a mesh. */
static void allow_descriptors(void)
{
	struct rlimit l, wanted;

	if (getrlimit(RLIMIT_NOFILE, &l) || l.rlim_cur >= DESCRIPTORS)
		return;
	wanted = (struct rlimit){DESCRIPTORS, l.rlim_max > DESCRIPTORS ? l.rlim_max : DESCRIPTORS};
	/* more than the limit's limit needs privilege; refused: then so many there are, and
	 * socket() says EMFILE */
	if (!setrlimit(RLIMIT_NOFILE, &wanted))
		return;
	l.rlim_cur = l.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &l);
}

int kernel_stage_new(const struct kernel_stage_config *config, struct stage **out, struct err *err)
{
	if (access("/proc/self/ns/net", F_OK))
		return kernel_fail(err, STAGE_CANNOT,
				   "/proc is not there, and namespaces are in it");
	if (hostns_permit(err))
		return STAGE_CANNOT;
	struct kernel_stage *k = calloc(1, sizeof(*k));
	if (!k)
		return kernel_fail(err, -ENOMEM, "a stage");
	k->base.ops = &ops;
	k->config = *config;
	k->free_sock = k->mounts = -1;
	memset(k->by_inode, 0xff, sizeof(k->by_inode));
	allow_descriptors();
	k->epoll = epoll_create1(EPOLL_CLOEXEC);
	k->capture = capture_new(config->trace_max ? config->trace_max : KERNEL_STAGE_TRACE);
	int rc = k->epoll < 0 ? -errno : k->capture ? 0 : -ENOMEM;
	if (rc)
		kernel_fail(err, rc, "a stage");
	else
		rc = stage_kernel_new(&k->scene, err);
	if (rc) {
		stage_free(&k->base);
		return kernel_lacks(rc);
	}
	*out = &k->base;
	return 0;
}
