/* SPDX-License-Identifier: MIT */
#include "live/itertcp.h"

#include "live/bindhash.h"
#include "live/collect.h"
#include "live/privilege.h"
#include "live/quiet.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Made by bpftool, which minds fewer warnings than we do. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Woverlength-strings"
#include "itertcp.skel.h"
#pragma GCC diagnostic pop

#define RECORDS 1024

/* A read may end inside a record: the rest waits at the buffer's start. */
static int read_records(int fd, struct bindhash_reader *reader)
{
	struct bindhash_record *buf = malloc(RECORDS * sizeof(*buf));
	size_t used = 0;
	int error = buf ? 0 : -ENOMEM;

	while (!error) {
		ssize_t n = read(fd, (char *)buf + used, RECORDS * sizeof(*buf) - used);
		size_t whole;

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			error = -errno;
		if (n <= 0)
			break;
		used += (size_t)n;
		whole = used / sizeof(*buf);
		reader->now_ns = collect_now_ns();
		error = bindhash_take(reader, buf, whole);
		used -= whole * sizeof(*buf);
		memmove(buf, buf + whole, used);
	}
	free(buf);
	return error;
}

static int run(struct itertcp *skel, struct bindhash_reader *reader)
{
	struct bpf_link *link = bpf_program__attach_iter(skel->progs.itertcp, NULL);
	int error, fd;

	if (!link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	error = fd < 0 ? -errno : read_records(fd, reader);
	if (fd >= 0)
		close(fd);
	bpf_link__destroy(link);
	return error;
}

int itertcp_read(const struct snapshot_scope *scope, struct snapshot *snap)
{
	size_t before = snap->owners_n;
	struct bindhash_reader reader = {
		.snap = snap, .tick_ns = bindhash_tick_ns(), .without_buckets = true};
	struct itertcp *skel;
	libbpf_print_fn_t print;
	int error;

	if (!privilege_may_trace())
		return -EPERM;
	print = quiet_begin();
	skel = itertcp__open();
	error = skel ? 0 : -errno;
	if (!error) {
		skel->rodata->port = scope->port;
		skel->rodata->all_ports = scope->all_ports;
		error = itertcp__load(skel);
	}
	if (!error)
		error = run(skel, &reader);
	if (skel)
		itertcp__destroy(skel);
	quiet_end(print);
	if (error)
		snap->owners_n = before;
	return error;
}

/* ---------------------------------------------------------------------------------------- merging
 */

struct place {
	uint64_t cookie;
	size_t at;
};

static int compare(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return (x->cookie > y->cookie) - (x->cookie < y->cookie);
}

static void take_flags(struct tcpwhy_owner *to, const struct tcpwhy_owner *from)
{
	to->reuse = from->reuse;
	to->reuseport = from->reuseport;
	to->v6only = from->v6only;
	to->connect_bind = from->connect_bind;
	if (to->timewait && from->timewait)
		to->timestamps = from->timestamps;
	if (from->uid_known) {
		to->uid_known = true;
		to->uid = from->uid;
	}
}

int itertcp_merge(struct snapshot *snap, const struct snapshot *flags)
{
	size_t n = snap->owners_n;
	struct place *places = malloc((n + 1) * sizeof(*places));
	int error = places ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && !error; i++)
		places[i] = (struct place){snap->owners[i].cookie, i};
	if (!error)
		qsort(places, n, sizeof(*places), compare);
	for (size_t i = 0; i < flags->owners_n && !error; i++) {
		const struct snapshot_owner *from = &flags->owners[i];
		struct place key = {.cookie = from->cookie};
		struct place *hit = NULL;

		if (from->cookie)
			hit = bsearch(&key, places, n, sizeof(*places), compare);
		if (hit)
			take_flags(&snap->owners[hit->at].o, &from->o);
		else
			error = collect_owner(snap, from);
	}
	free(places);
	return error;
}
