/* SPDX-License-Identifier: MIT
 *
 * hook.bpf.c - SO_REUSEADDR for the servers of a cgroup, source addresses for its clients
 *
 * Why programs on a cgroup: they act before the call does anything, on every program in the cgroup
 * however it is linked, and end with it. bind4 and bind6 (4.17) may set SO_REUSEADDR since 6.1
 * (sol_socket_sockopt()); connect4 and connect6 (4.17) may bind an address. Each of them lets the
 * call go on whatever comes of that.
 *
 * Contexts are of the UAPI (linux/bpf.h): fixed places, no CO-RE.
 */
#include "live/kernel.bpf.h"

#include <bpf/bpf_endian.h>

#include "cure/hook_rules.h"

#define AF_INET      2
#define AF_INET6     10
#define SOCK_STREAM  1
#define IPPROTO_TCP  6
#define SOL_SOCKET   1
#define SO_REUSEADDR 2

/* Of a bigger crowd of destinations the one longest unused begins anew. */
#define DESTINATIONS 4096

/* struct bpf_sock, its beginning. */
struct bpf_sock {
	__u32 bound_dev_if;
	__u32 family, type, protocol;
	__u32 mark, priority;
	__u32 src_ip4;
	__u32 src_ip6[4];
	__u32 src_port;
};

struct bpf_sock_addr {
	__u32 user_family;
	__u32 user_ip4;
	__u32 user_ip6[4];
	__u32 user_port; /* network order */
	__u32 family, type, protocol;
	__u32 msg_src_ip4;
	__u32 msg_src_ip6[4];
	struct bpf_sock *sk __attribute__((aligned(8)));
};

struct sockaddr_in4 {
	__u16 family;
	__be16 port;
	__be32 address;
	__u8 zero[8];
};

struct sockaddr_in6 {
	__u16 family;
	__be16 port;
	__be32 flow;
	__be32 address[4];
	__u32 scope;
};

struct destination {
	__be32 address[4];
	__u32 port_be;
};

char LICENSE[] SEC("license") = "Dual MIT/GPL";

const volatile struct hook_rules rules = {};

/* Whose turn it is, by destination: one turn for all would tie a program that talks to two
 * destinations by turns to every second address. */
struct {
	__uint(type, 9); /* BPF_MAP_TYPE_LRU_HASH */
	__uint(max_entries, DESTINATIONS);
	__type(key, struct destination);
	__type(value, __u32);
} turns SEC(".maps");

static __always_inline int is_tcp(const struct bpf_sock_addr *ctx)
{
	return ctx->type == SOCK_STREAM && ctx->protocol == IPPROTO_TCP;
}

/* ----------------------------------------------------------------------------------------
 * reuseaddr
 */

/* bind() to port 0 with SO_REUSEADDR looks at the owners of many a port before it takes one
 * (inet_csk_find_open_port()), so it is left alone. A socket that has the option, or whose owner
 * repairs it (TCP_REPAIR makes it 2), keeps what it has. */
static __always_inline void set_reuseaddr(struct bpf_sock_addr *ctx)
{
	int value = 0;

	if (!is_tcp(ctx) || !ctx->user_port)
		return;
	if (bpf_getsockopt(ctx, SOL_SOCKET, SO_REUSEADDR, &value, sizeof(value)) || value)
		return;
	value = 1;
	bpf_setsockopt(ctx, SOL_SOCKET, SO_REUSEADDR, &value, sizeof(value));
}

SEC("cgroup/bind4")
int tcpwhy_reuse4(struct bpf_sock_addr *ctx)
{
	set_reuseaddr(ctx);
	return 1;
}

SEC("cgroup/bind6")
int tcpwhy_reuse6(struct bpf_sock_addr *ctx)
{
	set_reuseaddr(ctx);
	return 1;
}

/* -------------------------------------------------------------------------------------------
 * spread
 */

/* Without an address and a port of its own; one with a port cannot be bound again
 * (__inet_bind()). */
static __always_inline int is_unbound(const struct bpf_sock_addr *ctx)
{
	const struct bpf_sock *sk = ctx->sk;

	return sk && !sk->src_port && !sk->src_ip4 && !sk->src_ip6[0] && !sk->src_ip6[1] &&
	       !sk->src_ip6[2] && !sk->src_ip6[3];
}

static __always_inline __u32 turn_of(const struct destination *to)
{
	__u32 *turn = bpf_map_lookup_elem(&turns, to), first, next;

	if (turn)
		return __sync_fetch_and_add(turn, 1);
	/* Should two begin at once, one of them is not counted. */
	first = bpf_get_prandom_u32();
	next = first + 1;
	bpf_map_update_elem(&turns, to, &next, 0);
	return first;
}

/* An address of [begin, begin + n), n not 0. The mask changes nothing: the verifier wants it. */
static __always_inline const volatile __u32 *pick(const struct destination *to, __u32 begin,
						  __u32 n)
{
	__u32 i = begin + turn_of(to) % n;

	return rules.addresses[i & (HOOK_ADDRESSES_MAX - 1)].words;
}

/* The zero address is this host too (__ip_route_output_key_hash(), tcp_v6_connect()). */
static __always_inline int is_here4(__be32 to)
{
	return !to || *(__u8 *)&to == 127;
}

static __always_inline void bind4(struct bpf_sock_addr *ctx, const struct destination *to)
{
	const volatile __u32 *from = pick(to, 0, rules.n4);
	struct sockaddr_in4 address = {.family = AF_INET};

	address.address = from[3];
	bpf_bind(ctx, (struct sockaddr *)&address, sizeof(address));
}

static __always_inline void bind6(struct bpf_sock_addr *ctx, const struct destination *to,
				  __u32 begin, __u32 n)
{
	const volatile __u32 *from = pick(to, begin, n);
	struct sockaddr_in6 address = {.family = AF_INET6};

	address.address[0] = from[0];
	address.address[1] = from[1];
	address.address[2] = from[2];
	address.address[3] = from[3];
	bpf_bind(ctx, (struct sockaddr *)&address, sizeof(address));
}

SEC("cgroup/connect4")
int tcpwhy_spread4(struct bpf_sock_addr *ctx)
{
	struct destination to = {.address = {0, 0, bpf_htonl(0xffff), ctx->user_ip4},
				 .port_be = ctx->user_port};

	if (rules.n4 && is_tcp(ctx) && is_here4(ctx->user_ip4) == rules.loopback4 &&
	    is_unbound(ctx))
		bind4(ctx, &to);
	return 1;
}

/* An IPv6 socket may go to an IPv4 address: Java's all do. */
static __always_inline void spread6(struct bpf_sock_addr *ctx)
{
	struct destination to = {
		.address = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]},
		.port_be = ctx->user_port};
	__u32 upper = to.address[0] | to.address[1];
	int here;

	if (!upper && to.address[2] == bpf_htonl(0xffff)) {
		if (rules.n4 && is_here4(to.address[3]) == rules.loopback4)
			bind6(ctx, &to, 0, rules.n4);
		return;
	}
	/* fe80::/10 is reached from addresses of its own kind only. */
	if ((to.address[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000))
		return;
	here = !upper && !to.address[2] && bpf_ntohl(to.address[3]) <= 1;
	if (rules.n6 && here == rules.loopback6)
		bind6(ctx, &to, rules.n4, rules.n6);
}

SEC("cgroup/connect6")
int tcpwhy_spread6(struct bpf_sock_addr *ctx)
{
	if (is_tcp(ctx) && is_unbound(ctx))
		spread6(ctx);
	return 1;
}
