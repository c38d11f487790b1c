/* SPDX-License-Identifier: MIT
 *
 * bindhash_record.h - what the BPF programs write and bindhash.c reads
 *
 * A stream of records of one size: a bucket, then its owners. iter/tcp writes owners only. Shared
 * with BPF, hence the kernel's names for the types.
 */
#ifndef TCPWHY_LIVE_BINDHASH_RECORD_H
#define TCPWHY_LIVE_BINDHASH_RECORD_H

#ifndef __bpf__ /* kernel.bpf.h has them */
#include <linux/types.h>
#endif

enum bindhash_kind { BINDHASH_BUCKET = 1, BINDHASH_OWNER = 2 };

/* A record's flags. */
enum bindhash_flag {
	BINDHASH_REUSEPORT = 1u << 0,
	BINDHASH_V6ONLY = 1u << 1,
	BINDHASH_TIMEWAIT = 1u << 2,      /* a mini-socket */
	BINDHASH_TIMESTAMPS = 1u << 3,    /* timewait: both ends used TCP timestamps */
	BINDHASH_CONNECT_BIND = 1u << 4,  /* connect() chose the port; see CONNECT_SHOWN */
	BINDHASH_CONNECT_SHOWN = 1u << 5, /* this kernel keeps that bit (6.18) */
	BINDHASH_PORT_LOCKED = 1u << 6,   /* SOCK_BINDPORT_LOCK: bind() named the port */
	BINDHASH_UID = 1u << 7,
};

struct bindhash_record {
	__u8 kind; /* enum bindhash_kind */
	__u8 flags;
	__u8 family; /* AF_INET, AF_INET6: of the socket; of a bucket: fast_sk_family */
	__u8 state;  /* TCP_*: of a mini-socket its sub-state */
	__u8 reuse;  /* sk_reuse */
	__s8 fastreuse, fastreuseport;
	__u8 pad;
	__u16 port;    /* host order */
	__u16 peer_be; /* network order */
	__u32 device;  /* of a bucket: l3mdev */
	__u32 uid;     /* of a bucket: fastuid */
	__u32 inode;
	__s64 left; /* timewait: jiffies until its timer fires, may be past */
	__u64 cookie;
	__u64 cgroup_id;
	__u8 local[16]; /* AF_INET: first 4 bytes. Of a bucket: fast_v6_rcv_saddr */
	__u8 peer[16];  /* AF_INET: first 4 bytes. Of a bucket: fast_rcv_saddr in the first 4 */
};

#define BINDHASH_RECORDS 4096 /* one run fills at most this many */

/* Between the walker and who runs it. Set the inputs, run; while .more, take the records and run
 * again. */
struct bindhash_control {
	/* in */
	__u32 port; /* used unless all_ports */
	__u32 all_ports;
	__u32 begin; /* 1: start from the beginning */
	/* What a connect() to that peer can meet (snapshot_scope.one_peer). The tail is the last
	 * four bytes of its address, as they lie in memory. */
	__u32 one_peer;
	__u32 peer_tail;
	__u32 peer_be;
	/* out */
	__u32 netns; /* inode number of the namespace walked */
	__u32 more;  /* the buffer is full: run again */
	__u32 torn;  /* chains that kept changing and were given up */
	__u64 base;  /* number of the first record in the buffer; what the reader has beyond is void
		      */
	__u64 n;     /* records in the buffer */
	__u64 now_ns;
	__s32 error;  /* 0, or a negative errno */
	__u32 layout; /* 1: bucket -> owners, 2: bucket -> address buckets -> owners (6.8) */
};

#endif
