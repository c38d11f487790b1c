/* SPDX-License-Identifier: MIT
 *
 * itertcp.bpf.c - every hashed TCP socket of a namespace, with its flags
 *
 * Why iter/tcp (5.9): where the bind hash cannot be walked (no bpf_loop() or SEC("syscall"), or
 * unknown tables) it still shows sk_reuse and sk_reuseport, of TIME_WAIT too. It visits the
 * listening and the established table, so sockets that only bound are not in it, and it sees no
 * buckets.
 */
#include "live/owner.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct seq_file;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

#pragma clang attribute pop

/* Set before load. */
const volatile __u32 port;
const volatile __u32 all_ports;

static struct bindhash_record record;

SEC("iter/tcp")
int itertcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *c = OWNER_COMMON;
	__u64 p = (__u64)ctx->sk_common;

	if (!p || owner_fetch(p, 0, bpf_core_type_size(struct sock_common)))
		return 0;
	if (c->skc_state == TCP_NEW_SYN_RECV || (!all_ports && c->skc_num != port))
		return 0;
	if (owner_read(&record, p, bpf_jiffies64()))
		return 0;
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}
