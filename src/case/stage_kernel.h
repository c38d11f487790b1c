/* SPDX-License-Identifier: MIT
 *
 * stage_kernel.h - a scene on the running kernel: named hosts, wires, what lies between them
 *
 * A host is a network namespace of its own; a wire is a veth pair, or two with our relay between
 * them; a middle box is a host that forwards, with the rules of nat.h. All of it is anonymous and
 * held by descriptors, so it ends with the process, kill -9 included. It is not the cases' language
 * and does not judge: it makes, shows and waits.
 *
 * Connections that are open when the process dies are ended by a reaper (reaper.h), so nothing is
 * left a moment later.
 *
 * Neighbours are permanent and routes are given, so there is no ARP and no neighbour discovery. An
 * address is a host's alone (/32, /128); the other end of its wire reaches it at once, others by
 * stage_kernel_add_route(). Names of TCP's sysctls and counters are the kernel's.
 *
 * Hosts and wires are numbers from 0 on; a wrong one is the caller's bug. One thread at a time may
 * call for one stage; its relays and captures may be used from any. Errors are -errno with
 * err->text. Deadlines are CLOCK_MONOTONIC, in ns.
 */
#ifndef TCPWHY_CASE_STAGE_KERNEL_H
#define TCPWHY_CASE_STAGE_KERNEL_H

#include "case/diag.h"
#include "case/nat.h"
#include "case/relay.h"

struct stage_kernel;

/* Call hostns_permit() once before the first one. */
int stage_kernel_new(struct stage_kernel **out, struct err *err);
/* Sockets that were made in a host stay descriptors of their owner, but are destroyed: their calls
 * fail with ECONNABORTED. NULL is allowed. */
void stage_kernel_free(struct stage_kernel *s);

/* ------------------------------------------------------------------------------------- building */

enum { STAGE_NAME_MAX = 32 };

/* The new host's number; -EEXIST if the name is taken, -EINVAL if it is empty or too long. */
int stage_kernel_add_host(struct stage_kernel *s, const char *name, struct err *err);
/* -ENOENT if there is none. */
int stage_kernel_find_host(const struct stage_kernel *s, const char *name);

struct stage_end {
	int host;
	const struct tcpwhy_addr *addrs; /* of its device; the first is the source by default */
	size_t n_addrs;
};

struct stage_wire {
	struct stage_end ends[2]; /* 0 is RELAY_A, 1 is RELAY_B */
	bool relayed;             /* with a relay and a capture, which cost about 10 us a segment */
	uint64_t delay_ns[2];     /* of a relayed one, by direction */
	uint32_t loss_ppm[2];     /* as well */
	uint64_t seed;            /* of the loss */
	bool unrecorded;          /* a relay without a capture */
	struct capture *capture;  /* borrowed: one for several wires; NULL: one of its own */
	size_t capture_max;       /* records of its own; 0: as many as STAGE_CAPTURE_MAX */
	bool quickack;            /* both ends acknowledge at once */
};

enum { STAGE_CAPTURE_MAX = 4096 };

/* The new wire's number. */
int stage_kernel_add_wire(struct stage_kernel *s, const struct stage_wire *w, struct err *err);
/* One more address of that end. */
int stage_kernel_add_addr(struct stage_kernel *s, int wire, int end, const struct tcpwhy_addr *a,
			  struct err *err);
/* The device of that end, with its name and MAC (borrowed); the index is one of its host. */
struct rtnl_end stage_kernel_end(const struct stage_kernel *s, int wire, int end);
unsigned stage_kernel_device(const struct stage_kernel *s, int wire, int end);

/* The way to a prefix (in the address's own family; 0 is the default route) is through a neighbour.
 */
int stage_kernel_add_route(struct stage_kernel *s, int host, const struct tcpwhy_addr *to,
			   uint8_t prefix_len, const struct tcpwhy_addr *via, bool quickack,
			   struct err *err);
/* The way to a prefix (in the address's own family) is through the device of that end, to whoever
 * is at the other one, addresses or not. */
int stage_kernel_add_way(struct stage_kernel *s, int wire, int end, const struct tcpwhy_addr *to,
			 uint8_t prefix_len, struct err *err);
/* The host takes every address of the prefix for its own. */
int stage_kernel_add_local(struct stage_kernel *s, int host, const struct tcpwhy_addr *prefix,
			   uint8_t prefix_len, struct err *err);
/* The host forwards from now on, both families. */
int stage_kernel_forward(struct stage_kernel *s, int host, struct err *err);

/* The empty folder is removed when this process is gone, if it still is there. */
int stage_kernel_remove_behind(struct stage_kernel *s, const char *folder, struct err *err);

/* ------------------------------------------------------------------------------------- what is
 * there */

/* Where nat_set(), hostns_set_sysctl(), netns_run() go. Borrowed, the stage's. */
const struct netns *stage_kernel_netns(const struct stage_kernel *s, int host);
/* NULL for a wire that is not relayed, and the second for one that is not recorded. */
struct relay *stage_kernel_relay(const struct stage_kernel *s, int wire);
struct capture *stage_kernel_capture(const struct stage_kernel *s, int wire);

/* socket(2) in a host; the descriptor is the caller's, O_CLOEXEC, and works in any thread. */
int stage_kernel_socket(struct stage_kernel *s, int host, int family, int type, struct err *err);

/* -ENOENT if the kernel has no counter of that name. */
int stage_kernel_counter(struct stage_kernel *s, int host, const char *name, uint64_t *value,
			 struct err *err);

/* The socket of a 4-tuple, not a listener, bound to a device or not. -ENOENT if there is none. */
int stage_kernel_sock(struct stage_kernel *s, int host, const struct endpoint *local,
		      const struct endpoint *peer, struct diag_sock *found, struct err *err);
/* SOCK_DESTROY of it. -ENOENT; -EOPNOTSUPP: this kernel has no SOCK_DESTROY. */
int stage_kernel_destroy(struct stage_kernel *s, int host, const struct endpoint *local,
			 const struct endpoint *peer, struct err *err);
/* Every TCP socket of the host, up to max; *n is how many there were. */
int stage_kernel_socks(struct stage_kernel *s, int host, struct diag_sock *socks, size_t max,
		       size_t *n, struct err *err);

/* -------------------------------------------------------------------------------------- waiting */

/* Asks again and again, about once a millisecond, until is_so(ctx) or the deadline. 0, -ETIMEDOUT,
 * or the negative that is_so gave; it gives 1 for yes and 0 for not yet. */
int stage_kernel_wait(int (*is_so)(void *ctx), void *ctx, uint64_t deadline_ns);

/* Until the counter is at least that. On -ETIMEDOUT err->text says what it is. */
int stage_kernel_wait_counter(struct stage_kernel *s, int host, const char *name, uint64_t at_least,
			      uint64_t deadline_ns, struct err *err);

/* Until the 4-tuple is in that state (enum tcpwhy_state; TCPWHY_CLOSE: there is no such socket). A
 * mini-socket counts as its sub-state. */
int stage_kernel_wait_state(struct stage_kernel *s, int host, const struct endpoint *local,
			    const struct endpoint *peer, enum tcpwhy_state state,
			    uint64_t deadline_ns, struct err *err);

#endif
