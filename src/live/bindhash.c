/* SPDX-License-Identifier: MIT */
#include "live/bindhash.h"

#include "base/address.h"
#include "live/btfcache.h"
#include "live/collect.h"
#include "live/privilege.h"
#include "live/quiet.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Made by bpftool, which minds fewer warnings than we do. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Woverlength-strings"
#include "bindhash.skel.h"
#pragma GCC diagnostic pop

/* One run gives 4,096 records, and a busy chain may be read again some times. */
#define RUNS_MAX (16u * COLLECT_OWNERS_MAX / BINDHASH_RECORDS)

uint64_t bindhash_tick_ns(void)
{
	struct timespec tick;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) || tick.tv_sec || tick.tv_nsec <= 0)
		return 4000000;
	return (uint64_t)tick.tv_nsec;
}

static int mark_bucket(struct bindhash_reader *reader)
{
	if (reader->marks_n == reader->marks_room) {
		size_t room = reader->marks_room ? 2 * reader->marks_room : 64;
		struct bindhash_mark *marks = realloc(reader->marks, room * sizeof(*marks));

		if (!marks)
			return -ENOMEM;
		reader->marks = marks;
		reader->marks_room = room;
	}
	reader->marks[reader->marks_n++] =
		(struct bindhash_mark){reader->taken, reader->snap->owners_n};
	return 0;
}

static int take_bucket(struct bindhash_reader *reader, const struct bindhash_record *r)
{
	struct tcpwhy_bucket b = {
		.port = r->port,
		.l3mdev = r->device,
		.known = true,
		.fastreuse = r->fastreuse,
		.fastreuseport = r->fastreuseport,
	};

	/* The kernel never clears the rest, and looks at it only here (sk_reuseport_match()). */
	if (r->fastreuseport > 0) {
		bool v6 = r->family == AF_INET6;

		b.fastuid = r->uid;
		b.fast_v6only = r->flags & BINDHASH_V6ONLY;
		b.fast_family = v6 ? TCPWHY_IPV6 : TCPWHY_IPV4;
		b.fast_addr = v6 ? collect_address(AF_INET6, r->local)
				 : collect_address(AF_INET, r->peer);
		memcpy(&b.fast_addr4, r->peer, sizeof(b.fast_addr4));
	}
	reader->in_bucket = true;
	reader->port = r->port;
	reader->l3mdev = r->device;
	reader->fastreuse = r->fastreuse;
	reader->fastreuseport = r->fastreuseport;
	if (reader->sink)
		return 0;
	if (mark_bucket(reader))
		return -ENOMEM;
	return collect_bucket(reader->snap, &b);
}

/* Kernels before 6.18 do not keep the bit. There a port that bind() named is locked, and a bucket
 * of -1 has only ports that connect() chose (__inet_hash_connect()); bind(0) looks like connect()
 * in the rest. */
static enum tcpwhy_tri connect_chose(const struct bindhash_reader *reader,
				     const struct bindhash_record *r)
{
	if (r->flags & BINDHASH_CONNECT_SHOWN)
		return r->flags & BINDHASH_CONNECT_BIND ? TCPWHY_YES : TCPWHY_NO;
	if (r->flags & BINDHASH_PORT_LOCKED)
		return TCPWHY_NO;
	return reader->in_bucket && reader->fastreuse == -1 ? TCPWHY_YES : TCPWHY_UNKNOWN;
}

static uint64_t expires_ns(const struct bindhash_reader *reader, int64_t left)
{
	uint64_t tick = reader->tick_ns;

	/* No timer of TCP runs for longer than a day; anything beyond is a record that was never a
	 * time. */
	if (left <= 0 || (uint64_t)left > UINT64_C(86400000000000) / tick)
		return reader->now_ns + (left > 0 ? 0 : 1);
	return reader->now_ns + (uint64_t)left * tick;
}

/* State of the kernel's number; false if no socket that holds a port can be in it. */
static bool take_state(const struct bindhash_record *r, uint8_t *state)
{
	if (r->flags & BINDHASH_TIMEWAIT) {
		*state = r->state;
		return r->state == TCPWHY_TIME_WAIT || r->state == TCPWHY_FIN_WAIT2;
	}
	*state = r->state == TCPWHY_CLOSE ? TCPWHY_BOUND : r->state;
	return r->state >= TCPWHY_ESTABLISHED && r->state <= TCPWHY_CLOSING &&
	       r->state != TCPWHY_TIME_WAIT;
}

/* connect() looks at a bucket only if both fields are below 0 (__inet_hash_connect()). */
static struct overview_port port_of(const struct bindhash_reader *reader,
				    const struct bindhash_record *r)
{
	bool owned = reader->fastreuse >= 0 || reader->fastreuseport >= 0;

	return (struct overview_port){
		.owned = owned ? TCPWHY_YES : TCPWHY_NO,
		.named = r->flags & BINDHASH_PORT_LOCKED ? TCPWHY_YES : TCPWHY_NO,
	};
}

static int take_owner(struct bindhash_reader *reader, const struct bindhash_record *r)
{
	struct snapshot_owner s = {
		.o.port = r->port,
		.o.peer_port = ntohs(r->peer_be),
		.o.family = r->family == AF_INET6 ? TCPWHY_IPV6 : TCPWHY_IPV4,
		.o.reuse = r->reuse <= TCPWHY_REUSE_FORCE ? r->reuse : TCPWHY_REUSE_UNKNOWN,
		.o.reuseport = r->flags & BINDHASH_REUSEPORT ? TCPWHY_YES : TCPWHY_NO,
		.o.v6only = r->flags & BINDHASH_V6ONLY ? TCPWHY_YES : TCPWHY_NO,
		.o.timewait = r->flags & BINDHASH_TIMEWAIT,
		.o.timestamps = r->flags & BINDHASH_TIMESTAMPS ? TCPWHY_YES : TCPWHY_NO,
		.o.uid_known = r->flags & BINDHASH_UID,
		.o.uid = r->uid,
		.o.device = r->device,
		.o.l3mdev = reader->in_bucket ? reader->l3mdev : 0,
		.cookie = r->cookie,
		.cgroup_id = r->cgroup_id,
		.inode = r->inode,
	};

	if ((r->family != AF_INET && r->family != AF_INET6) || !take_state(r, &s.o.state))
		return 0;
	if (reader->in_bucket ? r->port != reader->port : !reader->without_buckets)
		return 0;
	s.o.connect_bind = (uint8_t)connect_chose(reader, r);
	s.o.local = collect_address(r->family, r->local);
	if (r->peer_be)
		s.o.peer = collect_address(r->family, r->peer);
	if (s.o.timewait)
		s.o.expires_ns = expires_ns(reader, r->left);
	if (!reader->sink)
		return collect_owner(reader->snap, &s);
	reader->sink->owner(reader->sink->ctx, &s, port_of(reader, r));
	return 0;
}

int bindhash_take(struct bindhash_reader *reader, const struct bindhash_record *records, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct bindhash_record r = records[i];
		int error = 0;

		if (r.kind == BINDHASH_BUCKET && !reader->without_buckets)
			error = take_bucket(reader, &r);
		else if (r.kind == BINDHASH_OWNER)
			error = take_owner(reader, &r);
		if (error)
			return error;
		reader->taken++;
	}
	return 0;
}

void bindhash_rewind(struct bindhash_reader *reader, uint64_t base)
{
	while (reader->marks_n && reader->marks[reader->marks_n - 1].record >= base) {
		reader->marks_n--;
		reader->snap->owners_n = reader->marks[reader->marks_n].owners;
		reader->snap->buckets_n--;
		reader->in_bucket = false;
	}
	if (base >= reader->taken)
		return;
	if (reader->sink)
		reader->sink->twice += reader->taken - base;
	reader->taken = base;
}

static bool *incomplete(struct bindhash_reader *reader)
{
	return reader->sink ? &reader->sink->torn : &reader->snap->truncated;
}

/* Runs until the walk is complete, or the snapshot is full. */
static int walk(struct bindhash *skel, struct bindhash_reader *reader, uint64_t netns)
{
	struct bindhash_control *control = &skel->bss->control;
	int prog = bpf_program__fd(skel->progs.bindhash);

	for (unsigned run = 0; run < RUNS_MAX; run++) {
		struct bpf_test_run_opts opts = {.sz = sizeof(opts)};

		if (bpf_prog_test_run_opts(prog, &opts))
			return -errno;
		if (control->error)
			return control->error;
		if (control->netns != (uint32_t)netns)
			return -ESTALE;
		if (control->n > BINDHASH_RECORDS)
			return -EPROTO;
		bindhash_rewind(reader, control->base);
		reader->now_ns = control->now_ns;
		if (bindhash_take(reader, skel->bss->records, control->n))
			return -ENOMEM;
		if (!control->more) {
			*incomplete(reader) |= control->torn != 0;
			return 0;
		}
		if (*incomplete(reader))
			return 0;
	}
	*incomplete(reader) = true;
	return 0;
}

/* Opens and loads with the types in the file fd, the kernel's own if it is negative. */
static int load_with(int fd, struct bindhash **out)
{
	char path[64];
	struct bpf_object_open_opts opts = {.sz = sizeof(opts)};
	struct bindhash *skel;
	int error;

	/* By descriptor: what was checked is what is read. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd >= 0)
		opts.btf_custom_path = path;
	skel = bindhash__open_opts(&opts);
	if (!skel)
		return -errno;
	error = bindhash__load(skel);
	if (error) {
		bindhash__destroy(skel);
		return error;
	}
	*out = skel;
	return 0;
}

static int make_types(uint64_t program)
{
	struct bindhash *skel = bindhash__open();
	int fd = skel ? btfcache_make(BTFCACHE_FOLDER, program, bpf_object__btf(skel->obj))
		      : -ENOMEM;

	if (skel)
		bindhash__destroy(skel);
	return fd;
}

/* With the kept types if there are any, else with types made now, else with the kernel's own. */
static int load(bool cached, struct bindhash **out)
{
	size_t n;
	const void *elf = bindhash__elf_bytes(&n);
	uint64_t program = btfcache_hash(elf, n);
	int fd = -1, error;

	if (cached) {
		fd = btfcache_open(BTFCACHE_FOLDER, program);
		if (fd < 0)
			fd = make_types(program);
	}
	error = load_with(fd, out);
	if (fd < 0)
		return error;
	close(fd);
	if (error && error != -EPERM) {
		btfcache_drop(BTFCACHE_FOLDER, program);
		error = load_with(-1, out);
	}
	return error;
}

static void set_scope(struct bindhash_control *control, const struct snapshot_scope *scope)
{
	control->begin = 1;
	control->all_ports = scope->all_ports;
	control->port = scope->port;
	control->one_peer = scope->one_peer;
	control->peer_be = htons(scope->peer_port);
	memcpy(&control->peer_tail, scope->peer.b + 12, 4);
}

static int read_into(struct bindhash_reader *reader, bool cached,
		     const struct snapshot_scope *scope, uint64_t netns)
{
	libbpf_print_fn_t before;
	struct bindhash *skel = NULL;
	int error;

	if (!privilege_may_trace())
		return -EPERM;
	before = quiet_begin();
	error = load(cached, &skel);
	if (!error) {
		set_scope(&skel->bss->control, scope);
		error = walk(skel, reader, netns);
		bindhash__destroy(skel);
	}
	quiet_end(before);
	free(reader->marks);
	return error;
}

int bindhash_read(bool cached, const struct snapshot_scope *scope, uint64_t netns,
		  struct snapshot *snap)
{
	size_t owners = snap->owners_n, buckets = snap->buckets_n;
	struct bindhash_reader reader = {.snap = snap, .tick_ns = bindhash_tick_ns()};
	int error = read_into(&reader, cached, scope, netns);

	if (error) {
		snap->owners_n = owners;
		snap->buckets_n = buckets;
	}
	return error;
}

int bindhash_stream(bool cached, uint64_t netns, struct bindhash_sink *sink)
{
	const struct snapshot_scope all = {.all_ports = true, .owners_wanted = true};
	struct bindhash_reader reader = {.sink = sink, .tick_ns = bindhash_tick_ns()};

	return read_into(&reader, cached, &all, netns);
}
