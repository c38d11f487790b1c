/* SPDX-License-Identifier: MIT
 *
 * bindhash.bpf.c - walks the kernel's table of bound ports, for one network namespace
 *
 * Why a SEC("syscall") program: it runs when told, in the caller's namespace, needs no hook (fentry
 * and kprobes are off on hardened kernels), and may loop through bpf_loop() (5.17). What it reads
 * is in no netlink answer: sk_reuse and sk_reuseport of every owner, and the bucket's own fast
 * fields, which can be the trace of an owner long gone (inet_csk_update_fastreuse()).
 *
 * No lock is held. Every list node must point back at the pointer we came by (hlist pprev); one
 * that does not was moved meanwhile, and the chain is read again from its head, a bounded number of
 * times. The walk stops when the buffer is full and goes on where it stopped in the next run, under
 * the same test.
 */
#include "live/owner.bpf.h"

#define ATTEMPTS  16
#define STEPS     (1u << 22) /* of one run; BPF_MAX_LOOPS is 1 << 23 */
#define NODE_SIZE 256        /* more than an inet_bind_bucket of any release */

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct bindhash_control control;
struct bindhash_record records[BINDHASH_RECORDS];

static __u8 bucket_copy[NODE_SIZE];

/* A place in a list: the pointer we came by, and what it held. */
struct place {
	__u64 from, node;
};

static struct {
	__u64 net, bhash, jiffies;
	__u32 slot, last; /* the next slot, and the last */
	__u32 attempts;
	__u32 busy;        /* inside a chain */
	__u64 chain;       /* address of the chain's head */
	__u64 chain_start; /* number of the chain's first record */
	__u16 port;        /* of the bucket we are in */
	__u16 owned;       /* that bucket is not connect()'s alone */
	__u16 shown;       /* and an owner (1), a listening or bound one (2) shows it */
	struct place bucket, set, owner;
} at;

static __always_inline __u64 pointer_at(__u64 address)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

static __always_inline void place_at(struct place *p, __u64 from)
{
	p->from = from;
	p->node = pointer_at(from);
}

/* The chain changed under us: what was read of it is void. Given up after ATTEMPTS, with what was
 * read kept: duplicates do less harm than holes. */
static __always_inline int chain_again(void)
{
	at.owner.node = 0;
	at.set.node = 0;
	if (++at.attempts >= ATTEMPTS) {
		control.torn++;
		at.bucket.node = 0;
		return 0;
	}
	if (at.chain_start < control.base) {
		control.base = at.chain_start;
		control.n = 0;
	} else {
		control.n = at.chain_start - control.base;
	}
	place_at(&at.bucket, at.chain);
	return 0;
}

static __always_inline struct bindhash_record *next_record(void)
{
	__u64 n = control.n;

	if (n >= BINDHASH_RECORDS)
		return 0;
	return &records[n];
}

static __always_inline int is_peer(const struct sock_common *c)
{
	__u32 tail = c->skc_daddr;

	if (c->skc_dport != (__be16)control.peer_be)
		return 0;
	if (c->skc_family == AF_INET6 && bpf_core_field_exists(c->skc_v6_daddr))
		tail = *(__u32 *)(c->skc_v6_daddr.in6_u.u6_addr8 + 12);
	return tail == control.peer_tail;
}

/* connect() passes over a port that is not its own; elsewhere it meets those of its own peer. So a
 * host with 200,000 connections gives a record each only where they go to the same place. */
static __always_inline int is_wanted(const struct sock_common *c)
{
	__u16 bit = c->skc_state == TCP_LISTEN || c->skc_state == TCP_CLOSE ? 2 : 1;

	if (!control.one_peer || is_peer(c))
		return 1;
	if (!at.owned || at.shown & bit)
		return 0;
	at.shown |= bit;
	return 1;
}

static __always_inline int step_owner(void)
{
	struct bindhash_record *r = next_record();
	struct sock_common *c = OWNER_COMMON;
	__u64 p = at.owner.node - bpf_core_field_offset(struct sock_common, skc_bind_node);

	if (!r) {
		control.more = 1;
		return 1;
	}
	if (owner_fetch(p, 0, bpf_core_type_size(struct sock_common)) ||
	    (__u64)c->skc_bind_node.pprev != at.owner.from || c->skc_num != at.port ||
	    (__u64)c->skc_net.net != at.net)
		return chain_again();
	at.owner.from = at.owner.node;
	at.owner.node = (__u64)c->skc_bind_node.next;
	if (!is_wanted(c))
		return 0;
	if (owner_read(r, p, at.jiffies))
		return chain_again();
	if (r->state != TCP_NEW_SYN_RECV)
		control.n++;
	return 0;
}

/* 6.8+: the bucket lists its address buckets, these list the owners. */
static __always_inline int step_set(void)
{
	__u64 p = at.set.node - bpf_core_field_offset(struct inet_bind2_bucket, bhash_node);
	struct hlist_node node;

	if (bpf_probe_read_kernel(&node, sizeof(node), (void *)at.set.node) ||
	    (__u64)node.pprev != at.set.from)
		return chain_again();
	at.set.from = at.set.node;
	at.set.node = (__u64)node.next;
	place_at(&at.owner, p + bpf_core_field_offset(struct inet_bind2_bucket, owners));
	return 0;
}

static __always_inline void bucket_record(struct bindhash_record *r)
{
	struct inet_bind_bucket *tb = (struct inet_bind_bucket *)bucket_copy;

	__builtin_memset(r, 0, sizeof(*r));
	r->kind = BINDHASH_BUCKET;
	r->port = tb->port;
	r->fastreuse = tb->fastreuse;
	r->fastreuseport = tb->fastreuseport;
	r->uid = tb->fastuid.val;
	r->family = (__u8)tb->fast_sk_family;
	*(__u32 *)r->peer = tb->fast_rcv_saddr;
	if (tb->fast_ipv6_only)
		r->flags |= BINDHASH_V6ONLY;
	if (bpf_core_field_exists(tb->l3mdev))
		r->device = (__u32)tb->l3mdev;
	if (bpf_core_field_exists(tb->fast_v6_rcv_saddr))
		__builtin_memcpy(r->local, &tb->fast_v6_rcv_saddr, 16);
}

static __always_inline int step_bucket(void)
{
	struct bindhash_record *r = next_record();
	struct inet_bind_bucket *tb = (struct inet_bind_bucket *)bucket_copy;
	__u64 p = at.bucket.node - bpf_core_field_offset(struct inet_bind_bucket, node);
	__u32 size = bpf_core_type_size(struct inet_bind_bucket);

	if (!r) {
		control.more = 1;
		return 1;
	}
	if (size > NODE_SIZE)
		size = NODE_SIZE;
	if (bpf_probe_read_kernel(bucket_copy, size, (void *)p) ||
	    (__u64)tb->node.pprev != at.bucket.from)
		return chain_again();
	at.bucket.from = at.bucket.node;
	at.bucket.node = (__u64)tb->node.next;
	if ((__u64)tb->ib_net.net != at.net || (!control.all_ports && tb->port != control.port))
		return 0;
	at.port = tb->port;
	at.owned = tb->fastreuse >= 0 || tb->fastreuseport >= 0;
	at.shown = 0;
	bucket_record(r);
	control.n++;
	if (bpf_core_field_exists(tb->bhash2))
		place_at(&at.set, p + bpf_core_field_offset(struct inet_bind_bucket, bhash2));
	else
		place_at(&at.owner,
			 p + bpf_core_field_offset(struct inet_bind_bucket___owners, owners));
	return 0;
}

static __always_inline int step_slot(void)
{
	if (at.slot > at.last)
		return 1;
	at.chain = at.bhash + (__u64)at.slot * bpf_core_type_size(struct inet_bind_hashbucket) +
		   bpf_core_field_offset(struct inet_bind_hashbucket, chain);
	at.slot++;
	at.attempts = 0;
	at.chain_start = control.base + control.n;
	place_at(&at.bucket, at.chain);
	return 0;
}

/* One node of the deepest open list, so that every turn of the loop is small and the walk can stop
 * anywhere. */
static long step(__u32 i, void *ctx)
{
	(void)i;
	(void)ctx;
	if (at.owner.node)
		return step_owner();
	/* Asked here too: where there are no address buckets, the loader must not look into
	 * step_set(). */
	if (bpf_core_field_exists(struct inet_bind_bucket, bhash2) && at.set.node)
		return step_set();
	if (at.bucket.node)
		return step_bucket();
	return step_slot();
}

static __always_inline struct inet_hashinfo *hashinfo_of(struct net *net)
{
	struct netns_ipv4___pointer *later = (void *)&net->ipv4;

	if (bpf_core_field_exists(later->tcp_death_row))
		return BPF_CORE_READ(later, tcp_death_row, hashinfo);
	return BPF_CORE_READ(net, ipv4.tcp_death_row.hashinfo);
}

static __always_inline int begin(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct net *net = BPF_CORE_READ(task, nsproxy, net_ns);
	struct inet_hashinfo *info = hashinfo_of(net);
	__u32 size = BPF_CORE_READ(info, bhash_size);

	__builtin_memset(&at, 0, sizeof(at));
	at.net = (__u64)net;
	at.bhash = (__u64)BPF_CORE_READ(info, bhash);
	if (!at.net || !at.bhash || !size || (size & (size - 1)))
		return -22;
	at.last = size - 1;
	/* inet_bhashfn(): the port's place in this namespace. */
	if (!control.all_ports && bpf_core_field_exists(net->hash_mix)) {
		at.slot = (control.port + BPF_CORE_READ(net, hash_mix)) & (size - 1);
		at.last = at.slot;
	}
	control.netns = BPF_CORE_READ(net, ns.inum);
	control.layout = bpf_core_field_exists(struct inet_bind_bucket, bhash2) ? 2 : 1;
	control.base = 0;
	control.torn = 0;
	return 0;
}

SEC("syscall")
int bindhash(void *ctx)
{
	(void)ctx;
	if (control.begin) {
		control.begin = 0;
		control.error = begin();
		if (control.error)
			return 0;
	} else {
		control.base += control.n;
	}
	control.n = 0;
	control.more = 0;
	at.jiffies = bpf_jiffies64();
	control.now_ns = bpf_ktime_get_ns();
	if (bpf_loop(STEPS, step, 0, 0) >= STEPS)
		control.more = 1;
	return 0;
}
