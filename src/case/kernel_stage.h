/* SPDX-License-Identifier: MIT
 *
 * kernel_stage.h - the running kernel as a stage: real namespaces, real time, the release that runs
 *
 * stage.h over the pieces that make a scene (stage_kernel.h). Hosts are namespaces; a box is one
 * that forwards, with rules by nftables; a load balancer, which the kernel has not, takes the box's
 * frames into user space and asks the model's own box (kernel_balance.c).
 *
 * So that a kernel and the model can be compared, hosts differ from fresh ones in what the model
 * leaves out: no window scaling, no probes of loss, no reordering but by time-out, no metrics of
 * old connections, ACKs at once, TCP_NODELAY. What a case sets by itself stays as it says.
 *
 * What this stage cannot: other releases, clocks and windows of one's own, crowds.
 */
#ifndef TCPWHY_CASE_KERNEL_STAGE_H
#define TCPWHY_CASE_KERNEL_STAGE_H

#include "case/stage.h"

struct kernel_stage_config {
	/* The kernel's own row: the release that hosts may name. NULL: they may name none. */
	const struct tcpwhy_row *row;
	uint64_t seed;      /* of loss */
	uint32_t trace_max; /* records that are kept; 0: KERNEL_STAGE_TRACE */
	uint32_t looks;     /* of those, the first ones whose ends are looked at (sight()) */
	bool slow;          /* pause() may take longer than KERNEL_STAGE_QUICK_NS */
};

enum { KERNEL_STAGE_TRACE = 65536 };
#define KERNEL_STAGE_QUICK_NS UINT64_C(5000000000)

/* While there is one thread: without privilege the process goes into a user namespace of its own
 * (hostns_permit()). Raises the soft limit of descriptors to the hard one. 0; STAGE_CANNOT: not
 * allowed here, or not by this kernel; or -errno; with err->text. */
int kernel_stage_new(const struct kernel_stage_config *config, struct stage **out, struct err *err);

#endif
