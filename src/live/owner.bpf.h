/* SPDX-License-Identifier: MIT
 *
 * owner.bpf.h - one socket or mini-socket, read into a record
 *
 * Shared by the bind hash walk and iter/tcp. A socket is copied in one or two pieces and taken
 * apart in the copy: a probe read for each field would cost twenty calls an owner.
 */
#ifndef TCPWHY_LIVE_OWNER_BPF_H
#define TCPWHY_LIVE_OWNER_BPF_H

#include "live/kernel.bpf.h"
#include "live/bindhash_record.h"

#define AF_INET           2
#define AF_INET6          10
#define TCP_TIME_WAIT     6
#define TCP_CLOSE         7
#define TCP_LISTEN        10
#define TCP_NEW_SYN_RECV  12
#define BINDPORT_LOCK     8  /* SOCK_BINDPORT_LOCK of sk_userlocks */
#define CONNECT_BIND_LOCK 16 /* SOCK_CONNECT_BIND, 6.18 */

#define OWNER_COPY 640 /* more than a tcp_timewait_sock of any release */

static __u8 owner_copy[OWNER_COPY];

#define OWNER_COMMON ((struct sock_common *)owner_copy)

/* Copies bytes [from, to) of the object at p to the same place in owner_copy. */
static __always_inline int owner_fetch(__u64 p, __u32 from, __u32 to)
{
	if (to > OWNER_COPY || from >= to)
		return -1;
	return (int)bpf_probe_read_kernel(owner_copy + from, to - from, (void *)(p + from));
}

static __always_inline void owner_addresses(struct bindhash_record *r)
{
	struct sock_common *c = OWNER_COMMON;

	__builtin_memset(r->local, 0, sizeof(r->local));
	__builtin_memset(r->peer, 0, sizeof(r->peer));
	if (r->family == AF_INET) {
		*(__u32 *)r->local = c->skc_rcv_saddr;
		*(__u32 *)r->peer = c->skc_daddr;
	} else if (bpf_core_field_exists(c->skc_v6_daddr)) {
		__builtin_memcpy(r->local, &c->skc_v6_rcv_saddr, 16);
		__builtin_memcpy(r->peer, &c->skc_v6_daddr, 16);
	}
}

/* TIME_WAIT and FIN_WAIT2 mini-sockets. They keep no uid, inode or cgroup. */
static __always_inline int owner_timewait(struct bindhash_record *r, __u64 p, __u64 jiffies)
{
	struct tcp_timewait_sock *tw = (struct tcp_timewait_sock *)owner_copy;

	if (owner_fetch(p, bpf_core_type_size(struct sock_common),
			bpf_core_type_size(struct tcp_timewait_sock)))
		return -1;
	r->state = tw->tw_sk.tw_substate;
	r->flags |= BINDHASH_TIMEWAIT;
	if (tw->tw_ts_recent_stamp)
		r->flags |= BINDHASH_TIMESTAMPS;
	r->left = (__s64)(tw->tw_sk.tw_timer.expires - jiffies);
	if (bpf_core_field_exists(struct inet_timewait_sock, tw_connect_bind)) {
		r->flags |= BINDHASH_CONNECT_SHOWN;
		if (BPF_CORE_READ_BITFIELD(&tw->tw_sk, tw_connect_bind))
			r->flags |= BINDHASH_CONNECT_BIND;
	}
	return 0;
}

/* The number of the socket's inode: 0 for an orphan, and for a child that accept() has not taken.
 */
static __always_inline __u32 owner_inode(struct sock *sk, struct socket *socket)
{
	unsigned long ino = 0;
	char *alloc;

	if (bpf_core_field_exists(sk->sk_ino))
		return (__u32)BPF_CORE_READ(sk, sk_ino);
	if (!socket)
		return 0;
	alloc = (char *)socket - bpf_core_field_offset(struct socket_alloc, socket);
	ino = BPF_CORE_READ((struct socket_alloc *)alloc, vfs_inode.i_ino);
	return (__u32)ino;
}

static __always_inline void owner_socket(struct bindhash_record *r, __u64 p)
{
	struct sock *sk = (struct sock *)p;
	struct socket *socket = BPF_CORE_READ(sk, sk_socket);
	__u64 locks = BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks);

	if (locks & BINDPORT_LOCK)
		r->flags |= BINDHASH_PORT_LOCKED;
	/* The flag has no name in BTF; its twin in the mini-socket does. */
	if (bpf_core_field_exists(struct inet_timewait_sock, tw_connect_bind)) {
		r->flags |= BINDHASH_CONNECT_SHOWN;
		if (locks & CONNECT_BIND_LOCK)
			r->flags |= BINDHASH_CONNECT_BIND;
	}
	/* The uid the conflict rule compares: sk_uid since 6.17, before that sock_i_uid(), which is
	 * 0 for a socket without a file. */
	if (socket || bpf_core_field_exists(sk->sk_ino))
		r->uid = BPF_CORE_READ(sk, sk_uid.val);
	r->flags |= BINDHASH_UID;
	r->inode = owner_inode(sk, socket);
	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		r->cgroup_id = BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
}

/* Takes apart the socket whose sock_common is in owner_copy. Negative if its memory went away. */
static __always_inline int owner_read(struct bindhash_record *r, __u64 p, __u64 jiffies)
{
	struct sock_common *c = OWNER_COMMON;

	r->kind = BINDHASH_OWNER;
	r->flags = 0;
	r->family = (__u8)c->skc_family;
	r->state = c->skc_state;
	r->reuse = BPF_CORE_READ_BITFIELD(c, skc_reuse);
	r->fastreuse = 0;
	r->fastreuseport = 0;
	r->pad = 0;
	r->port = c->skc_num;
	r->peer_be = c->skc_dport;
	r->device = (__u32)c->skc_bound_dev_if;
	r->uid = 0;
	r->inode = 0;
	r->left = 0;
	r->cookie = (__u64)c->skc_cookie.counter;
	r->cgroup_id = 0;
	if (BPF_CORE_READ_BITFIELD(c, skc_reuseport))
		r->flags |= BINDHASH_REUSEPORT;
	if (BPF_CORE_READ_BITFIELD(c, skc_ipv6only))
		r->flags |= BINDHASH_V6ONLY;
	owner_addresses(r);
	if (r->state == TCP_TIME_WAIT)
		return owner_timewait(r, p, jiffies);
	owner_socket(r, p);
	return 0;
}

#endif
