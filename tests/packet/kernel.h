/* SPDX-License-Identifier: MIT
 *
 * kernel.h - plays the steps of a script on the real kernel
 *
 * A host of src/case/remote.h: a network namespace with one wire, and its other end is ours. The
 * process enters the host's namespace and stays there. Everything by which TCP would answer later,
 * twice or on a guess is turned off there: delayed ACKs, early retransmits, RACK, cached metrics.
 */
#ifndef PACKET_KERNEL_H
#define PACKET_KERNEL_H

#include "jiffies.h"
#include "tally.h"
#include "player.h"

#include "case/diag.h"
#include "case/remote.h"

struct kernel {
	struct remote remote;
	struct diag diag;
	struct tally tally;
	struct jiffies jiffies;
	int sockstat, sockstat6;
	int fds[SCRIPT_SOCKETS];
	uint8_t families[SCRIPT_SOCKETS];
	uint32_t sysctls[SYSCTLS];
	bool lacks[SYSCTLS]; /* an older kernel has no such sysctl */
	uint64_t injected;   /* segments that the host must have taken */
	uint64_t zero[COUNTER_COUNT];
	struct wire wire;
};

/* 0 or -errno with err. The process must have one thread. */
int kernel_open(struct kernel *k, struct err *err);
void kernel_close(struct kernel *k);

/* Back to a host without sockets, with the sysctls every script starts with; to a new host where
 * something cannot be destroyed (a TIME_WAIT before 6.0, an orphan). 0 or -errno. */
int kernel_reset(struct kernel *k, struct err *err);

/* An acting step, but for STEP_IN. */
void kernel_call(struct kernel *k, const struct step *s, struct observed *o);
/* 0 or -errno. */
int kernel_inject(struct kernel *k, const struct segment *s);
/* Waits until all that was injected is through, and takes what came and what is to be seen. More
 * segments are added to those that o has. 0 or -errno. */
int kernel_look(struct kernel *k, struct observed *o);

/* The port that a socket is bound to; 0: none, or no socket. */
uint16_t kernel_port(const struct kernel *k, unsigned sock);

uint64_t kernel_now(void);

#endif
