/* SPDX-License-Identifier: MIT
 *
 * snapshot.h - what was seen of a running kernel, in one plain struct
 *
 * The only thing that passes from src/live (which looks) to src/load (which fills an engine). No code, no
 * pointers into the reader. Everything that could not be seen is said: in a tri, in sysctls_unknown, in
 * bound_unseen, and for people in missing[].
 */
#ifndef TCPWHY_FACTS_SNAPSHOT_H
#define TCPWHY_FACTS_SNAPSHOT_H

#include "tcpwhy/engine.h"

#define SNAPSHOT_MISSING_MAX 16
#define SNAPSHOT_TEXT_MAX 160

/* Where the facts came from (bits); shown by --json and kept for tests. */
enum snapshot_source {
	SNAPSHOT_BIND_HASH = 1u << 0, /* the BPF walk of the bind hash: all flags, all owners */
	SNAPSHOT_ITER_TCP = 1u << 1,  /* BPF iter/tcp: flags, but no bound-only sockets */
	SNAPSHOT_PIDFD = 1u << 2,     /* pidfd_getfd + getsockopt of living processes' sockets */
	SNAPSHOT_SOCK_DIAG = 1u << 3,
	SNAPSHOT_PROC_NET = 1u << 4,  /* /proc/net/tcp, tcp6 */
};

/* Which sysctls could not be read (bits). */
enum snapshot_sysctl {
	SNAPSHOT_S_PORT_RANGE = 1u << 0,
	SNAPSHOT_S_RESERVED = 1u << 1,
	SNAPSHOT_S_UNPRIVILEGED = 1u << 2,
	SNAPSHOT_S_AUTOBIND_REUSE = 1u << 3,
	SNAPSHOT_S_NONLOCAL_BIND = 1u << 4,
	SNAPSHOT_S_L3MDEV_ACCEPT = 1u << 5,
	SNAPSHOT_S_TW_REUSE = 1u << 6,
	SNAPSHOT_S_OTHER = 1u << 7,
};

struct snapshot_owner {
	struct tcpwhy_owner o;   /* o.expires_ns is on the clock of snapshot.taken_ns; o.tag is this entry's index */
	uint64_t cookie;         /* sock_diag's; 0 unknown */
	uint64_t cgroup_id;      /* 0 unknown */
	uint32_t inode;          /* 0: none (mini-socket, orphan) or unknown */
};

struct snapshot_local {
	struct tcpwhy_addr prefix;
	uint8_t prefix_len;      /* of the 16-byte form: IPv4 /32 is 128 */
	uint8_t kind;            /* enum tcpwhy_local */
	uint32_t device, l3mdev;
};

struct snapshot_device {
	uint32_t index, l3mdev;
	char name[16];
};

/* What a question needs; live reads no more than this. */
struct snapshot_scope {
	bool all_ports;          /* else: only .port */
	uint16_t port;
	bool owners_wanted;      /* false: sysctls, addresses and devices only */
	/* What a connect() to that peer can meet, and no more: where a port belongs to connect() alone, its
	 * owners with this peer; where it does not, who shows that. A reader may give more: IPv4 peers are
	 * told apart by all, IPv6 ones by their last four bytes. */
	bool one_peer;
	struct tcpwhy_addr peer;
	uint16_t peer_port;
};

struct snapshot {
	char kernel[80];         /* uname -r */
	uint64_t netns;          /* inode of the namespace */
	uint64_t taken_ns;       /* CLOCK_MONOTONIC */
	uint32_t sources;        /* of enum snapshot_source */
	bool bound_unseen;       /* sockets that only bound cannot be seen from here */
	/* Something beside the rule book may refuse the bind() of an IPv4, an IPv6 socket. */
	bool bind_programs4, bind_programs6;
	/* A program of tcpwhy fix hook sets SO_REUSEADDR when such a socket binds a port. */
	bool reuse_hook4, reuse_hook6;
	bool truncated;          /* more owners exist than could be read */

	struct tcpwhy_sysctls sysctls;
	uint32_t sysctls_unknown; /* of enum snapshot_sysctl */
	uint32_t reserved[2048]; /* ip_local_reserved_ports, bit port % 32 of word port / 32 */
	bool locals_known, devices_known;

	struct snapshot_owner *owners;
	size_t owners_n;
	struct tcpwhy_bucket *buckets;
	size_t buckets_n;
	struct snapshot_local *locals;
	size_t locals_n;
	struct snapshot_device *devices;
	size_t devices_n;

	char missing[SNAPSHOT_MISSING_MAX][SNAPSHOT_TEXT_MAX]; /* sentences for people */
	size_t missing_n;
};

#endif
