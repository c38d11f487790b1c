/* SPDX-License-Identifier: MIT
 *
 * scene.h - snapshots made by hand, for the tests of what is built on them
 */
#ifndef TCPWHY_TESTS_SCENE_H
#define TCPWHY_TESTS_SCENE_H

#include <string.h>

#include "base/address.h"
#include "facts/snapshot.h"
#include "live/heap.h"
#include "unit.h"

#define SECOND       1000000000ull
#define SCENE_OWNERS 512

/* A namespace of 6.18 with lo and eth0 (10.0.0.5, 2001:db8::5), nothing unknown. */
struct scene {
	struct snapshot snap;
	struct snapshot_owner owners[SCENE_OWNERS];
	struct snapshot_local locals[8];
	struct snapshot_device devices[4];
	struct tcpwhy_bucket buckets[SCENE_OWNERS];
};

static inline struct tcpwhy_addr scene_addr(const char *text)
{
	struct tcpwhy_addr a;
	enum tcpwhy_family f;

	assert_true(address_parse(text, &a, &f));
	return a;
}

static inline void scene_local(struct scene *s, const char *prefix, uint8_t len, uint32_t device)
{
	assert_true(s->snap.locals_n < 8);
	s->locals[s->snap.locals_n++] =
		(struct snapshot_local){scene_addr(prefix), len, TCPWHY_LOCAL, device, 0};
}

static inline struct scene *scene_new(void)
{
	struct scene *s = calloc(1, sizeof(*s));
	const struct tcpwhy_row *row = tcpwhy_row_find("6.18.y");

	assert_non_null(s);
	assert_non_null(row);
	strcpy(s->snap.kernel, "6.18.44");
	s->snap.taken_ns = 1000 * SECOND;
	s->snap.sysctls = row->defaults;
	s->snap.owners = s->owners;
	s->snap.locals = s->locals;
	s->snap.devices = s->devices;
	s->snap.locals_known = s->snap.devices_known = true;
	s->devices[0] = (struct snapshot_device){1, 0, "lo"};
	s->devices[1] = (struct snapshot_device){2, 0, "eth0"};
	s->snap.devices_n = 2;
	scene_local(s, "127.0.0.0", 104, 1);
	scene_local(s, "::1", 128, 1);
	scene_local(s, "10.0.0.5", 128, 2);
	scene_local(s, "2001:db8::5", 128, 2);
	return s;
}

/* An owner of family by its text, all flags known, uid 1000, no option set. The caller changes what
 * it likes. */
static inline struct snapshot_owner *scene_owner(struct scene *s, enum tcpwhy_state state,
						 const char *local, uint16_t port)
{
	size_t i = s->snap.owners_n++;
	struct snapshot_owner *o = &s->owners[i];
	enum tcpwhy_family family;

	assert_true(i < SCENE_OWNERS);
	assert_true(address_parse(local, &o->o.local, &family));
	o->o.family = (uint8_t)family;
	o->o.port = port;
	o->o.state = (uint8_t)state;
	o->o.uid_known = true;
	o->o.uid = 1000;
	o->o.tag = i;
	o->inode = 5000 + (uint32_t)i;
	o->cookie = i + 1;
	return o;
}

static inline struct snapshot_owner *scene_peer(struct snapshot_owner *o, const char *peer,
						uint16_t port)
{
	o->o.peer = scene_addr(peer);
	o->o.peer_port = port;
	return o;
}

/* A mini-socket: TIME_WAIT, or an orphan's FIN_WAIT2. */
static inline struct snapshot_owner *scene_mini(struct scene *s, enum tcpwhy_state state,
						const char *local, uint16_t port, uint64_t left_ns)
{
	struct snapshot_owner *o = scene_owner(s, state, local, port);

	o->o.timewait = true;
	o->o.uid_known = false;
	o->o.expires_ns = s->snap.taken_ns + left_ns;
	o->inode = 0;
	return scene_peer(o, "10.0.0.9", (uint16_t)(40000 + s->snap.owners_n));
}

/* A bucket for each owner's port, as a listener without options leaves it. */
static inline void scene_buckets(struct scene *s)
{
	s->snap.buckets = s->buckets;
	s->snap.buckets_n = s->snap.owners_n;
	for (size_t i = 0; i < s->snap.owners_n; i++)
		s->buckets[i] = (struct tcpwhy_bucket){
			.port = s->owners[i].o.port,
			.known = true,
			.fast_family = TCPWHY_IPV4,
		};
}

#endif
