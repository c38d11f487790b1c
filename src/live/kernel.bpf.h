/* SPDX-License-Identifier: MIT
 *
 * kernel.bpf.h - the few kernel types our BPF programs read, by CO-RE
 *
 * Only the members we use; names and meaning are the kernel's, offsets come from the running
 * kernel's BTF at load. btfcache.c reads these declarations (from the object's own BTF) to know
 * which types a minimal BTF must have, so a member used here needs no second list.
 */
#ifndef TCPWHY_LIVE_KERNEL_BPF_H
#define TCPWHY_LIVE_KERNEL_BPF_H

/* The fixed-width types of linux/types.h, which needs headers of the host's architecture. */
typedef signed char __s8;
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32, __wsum;

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct hlist_node {
	struct hlist_node *next, **pprev;
};

struct hlist_head {
	struct hlist_node *first;
};

struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	struct net *net;
} possible_net_t;

typedef struct {
	__s64 counter;
} atomic64_t;

struct inet_bind_hashbucket {
	struct hlist_head chain;
};

struct inet_hashinfo {
	struct inet_bind_hashbucket *bhash;
	unsigned int bhash_size;
};

struct inet_timewait_death_row {
	struct inet_hashinfo *hashinfo;
};

struct netns_ipv4 {
	struct inet_timewait_death_row tcp_death_row;
};

/* 5.18 to 6.0 keep a pointer there. */
struct netns_ipv4___pointer {
	struct inet_timewait_death_row *tcp_death_row;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
	__u32 hash_mix;
	struct netns_ipv4 ipv4;
};

struct nsproxy {
	struct net *net_ns;
};

struct task_struct {
	struct nsproxy *nsproxy;
};

struct inet_bind_bucket {
	possible_net_t ib_net;
	int l3mdev;
	unsigned short port;
	signed char fastreuse;
	signed char fastreuseport;
	kuid_t fastuid;
	struct in6_addr fast_v6_rcv_saddr;
	__be32 fast_rcv_saddr;
	unsigned short fast_sk_family;
	_Bool fast_ipv6_only;
	struct hlist_node node;
	struct hlist_head bhash2; /* 6.8+ */
};

/* Before 6.8: the owners themselves, sockets and mini-sockets. */
struct inet_bind_bucket___owners {
	struct hlist_head owners;
};

struct inet_bind2_bucket {
	struct hlist_node bhash_node;
	struct hlist_head owners;
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned char skc_reuse : 4;
	unsigned char skc_reuseport : 1;
	unsigned char skc_ipv6only : 1;
	int skc_bound_dev_if;
	struct hlist_node skc_bind_node;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct inode {
	unsigned long i_ino;
};

struct socket {
	short type;
};

struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};

struct sock {
	struct sock_common __sk_common;
	__u8 sk_userlocks;
	struct socket *sk_socket;
	kuid_t sk_uid;
	unsigned long sk_ino; /* 6.17+ */
	struct sock_cgroup_data sk_cgrp_data;
};

struct timer_list {
	unsigned long expires;
};

struct inet_timewait_sock {
	struct sock_common __tw_common;
	unsigned char tw_substate;
	unsigned int tw_connect_bind : 1; /* 6.18+ */
	struct timer_list tw_timer;
};

struct tcp_timewait_sock {
	struct inet_timewait_sock tw_sk;
	int tw_ts_recent_stamp;
};

#pragma clang attribute pop

#endif
