/* SPDX-License-Identifier: MIT */
#include "live/collect.h"

#include "base/address.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define FIRST 64 /* elements of the first allocation; a power of two */

/* Room for one more element behind n. The capacity is implied: FIRST, then the next power of two.
 */
static int grow(void **array, size_t n, size_t size)
{
	size_t capacity;
	void *bigger;

	if (n != 0 && (n < FIRST || (n & (n - 1)) != 0))
		return 0;
	capacity = n == 0 ? FIRST : 2 * n;
	if (capacity > SIZE_MAX / size)
		return -ENOMEM;
	bigger = realloc(*array, capacity * size);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	return 0;
}

int collect_owner(struct snapshot *snap, const struct snapshot_owner *owner)
{
	void *array = snap->owners;

	if (snap->owners_n >= COLLECT_OWNERS_MAX) {
		snap->truncated = true;
		return 0;
	}
	if (grow(&array, snap->owners_n, sizeof(*owner)))
		return -ENOMEM;
	snap->owners = array;
	snap->owners[snap->owners_n] = *owner;
	snap->owners[snap->owners_n].o.tag = snap->owners_n;
	snap->owners_n++;
	return 0;
}

int collect_bucket(struct snapshot *snap, const struct tcpwhy_bucket *bucket)
{
	void *array = snap->buckets;

	if (grow(&array, snap->buckets_n, sizeof(*bucket)))
		return -ENOMEM;
	snap->buckets = array;
	snap->buckets[snap->buckets_n++] = *bucket;
	return 0;
}

int collect_local(struct snapshot *snap, const struct snapshot_local *local)
{
	void *array = snap->locals;

	if (grow(&array, snap->locals_n, sizeof(*local)))
		return -ENOMEM;
	snap->locals = array;
	snap->locals[snap->locals_n++] = *local;
	return 0;
}

int collect_device(struct snapshot *snap, const struct snapshot_device *device)
{
	void *array = snap->devices;

	if (grow(&array, snap->devices_n, sizeof(*device)))
		return -ENOMEM;
	snap->devices = array;
	snap->devices[snap->devices_n++] = *device;
	return 0;
}

static bool first_of_port(uint32_t *ports, uint16_t port)
{
	uint32_t bit = 1u << port % 32;
	bool first = !(ports[port / 32] & bit);

	ports[port / 32] |= bit;
	return first;
}

bool collect_wanted(struct collect_filter *f, const struct tcpwhy_owner *o)
{
	const struct snapshot_scope *scope = f->scope;

	if (!scope->all_ports && o->port != scope->port)
		return false;
	if (!scope->one_peer)
		return true;
	if (o->peer_port == scope->peer_port && memcmp(o->peer.b + 12, scope->peer.b + 12, 4) == 0)
		return true;
	if (o->state == TCPWHY_LISTEN || o->state == TCPWHY_BOUND || o->connect_bind == TCPWHY_NO)
		return first_of_port(f->owned, o->port);
	return o->connect_bind == TCPWHY_UNKNOWN && first_of_port(f->unknown, o->port);
}

void collect_missing(struct snapshot *snap, const char *format, ...)
{
	char text[SNAPSHOT_TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (size_t i = 0; i < snap->missing_n; i++) {
		if (strcmp(snap->missing[i], text) == 0)
			return;
	}
	if (snap->missing_n < SNAPSHOT_MISSING_MAX)
		memcpy(snap->missing[snap->missing_n++], text, sizeof(text));
}

struct tcpwhy_addr collect_address(int family, const void *bytes)
{
	struct tcpwhy_addr addr;

	if (family == AF_INET)
		return address_v4(bytes);
	memcpy(addr.b, bytes, sizeof(addr.b));
	return addr;
}

uint64_t collect_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
