/* SPDX-License-Identifier: MIT
 *
 * kernel.h - plays the calls of a script on the real kernel and records what it answered
 *
 * Works in the namespace of netns.h that the process entered before. Every socket is non-blocking;
 * connect is waited for, bounded. A call that would leave the loopback world (no route, a device on
 * which nobody answers) is not made and marked skipped, and so is one on a socket that does not
 * exist.
 */
#ifndef CONFORM_KERNEL_H
#define CONFORM_KERNEL_H

#include "netns.h"
#include "script.h"

/* What a descriptor shows of its socket. */
struct seen {
	uint8_t state; /* enum tcpwhy_state; BOUND for CLOSE with a port */
	struct endpoint local;
	struct endpoint peer; /* port 0: getpeername() says ENOTCONN */
};

struct kernel_sock {
	int fd;         /* -1: no such socket */
	uint8_t family; /* enum tcpwhy_family */
	uint32_t uid;   /* who made it; bind, listen and connect are made by the same */
	uint32_t device;
	bool repair;
	bool v6only;
	bool was_mapped; /* an IPv6 socket that once called an IPv4 address: it keeps IPv4's
			    operations */
	bool shut_early; /* shutdown() came before there was a connection */
};

struct route {
	struct tcpwhy_addr to, from, source;
	uint32_t device;
	int error;
};

enum { KERNEL_ROUTES = 128 };

struct kernel {
	struct kernel_sock socks[SCRIPT_SOCKETS];
	struct diag diag;
	int sockstat, sockstat6;
	uint32_t uid; /* of the script, now */
	uint32_t sysctls[SYSCTLS][2];
	/* what an older kernel has not: */
	bool lacks[SYSCTLS]; /* such a sysctl */
	bool hides_bound;    /* a dump shows no socket that only bound (before 6.8) */
	struct route routes[KERNEL_ROUTES];
	size_t n_routes;
};

struct outcome {
	bool skipped;
	bool lacking; /* and why: this kernel has no such sysctl, or cannot do it */
	int error;    /* errno, 0 for success; EINPROGRESS: SYN_SENT and nobody answers */
	uint64_t start_ns, end_ns;
	struct seen before, after; /* of the socket of the call */
	struct tcpwhy_addr source; /* connect: what the route gives to a socket without address */
	int listener;              /* connect: who has the child; -1 none */
	struct diag_sock tuple;    /* destroy, state: what the kernel has there */
};

/* Counters of the namespace: hashed sockets of both families without TIME_WAIT, and mini-sockets.
 */
struct counts {
	unsigned inuse, timewait;
};

/* 0 or -errno with err. The process must be in the namespace already. */
int kernel_open(struct kernel *k, struct err *err);
void kernel_close(struct kernel *k);

/* Back to a namespace without sockets and with the sysctls every script starts with; to a new one
 * where something cannot be destroyed (a TIME_WAIT, before 6.0). 0 or -errno. */
int kernel_reset(struct kernel *k, struct err *err);

void kernel_play(struct kernel *k, const struct call *c, struct outcome *o);
void kernel_look(const struct kernel *k, unsigned sock, struct seen *seen);
struct counts kernel_counts(const struct kernel *k);
uint64_t kernel_now(void);

#endif
