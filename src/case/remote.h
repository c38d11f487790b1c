/* SPDX-License-Identifier: MIT
 *
 * remote.h - one host with the real kernel's TCP, and we are every other host of its world
 *
 * For tests that send segments by hand: the host has one device, all its routes lead to us, and
 * neighbours are permanent on both sides, so there is neither ARP nor neighbour discovery; what
 * else its kernel sends (reports of multicast groups) is passed over. ACKs are not delayed
 * (quickack). The host has both families; any remote address will do.
 */
#ifndef TCPWHY_CASE_REMOTE_H
#define TCPWHY_CASE_REMOTE_H

#include "case/frame.h"
#include "case/tap.h"

enum { REMOTE_DEVICE = 2 }; /* the host's device */

struct remote {
	struct netns host; /* hostns_socket(&r->host, ...) makes the host's sockets */
	struct netns wire;
	struct tap tap;
};

/* 0, or -errno with err->text. Close with remote_close(). Opening takes about 2 ms,
 * closing 5 to 9 (packet_release() waits for RCU): reuse one for many short tests. */
int remote_open(struct remote *r, struct err *err);
void remote_close(struct remote *r);

/* 10.9.0.1 or fd00::1, the host's own address, and 10.9.0.2 or fd00::2, its gateway: us. */
struct tcpwhy_addr remote_host_addr(enum tcpwhy_family family);
struct tcpwhy_addr remote_our_addr(enum tcpwhy_family family);

/* Sends a segment to the host; the MACs of f are not looked at. 0; -EMSGSIZE for one that cannot be
 * built or sent, or another -errno. */
int remote_send(const struct remote *r, const struct frame *f);

/* The host's next TCP segment, waiting until the deadline (CLOCK_MONOTONIC, ns; 0: not at all).
 * What is not TCP is passed over. f->payload lies in buf. 0; -ETIMEDOUT; -EBADMSG: a TCP segment
 * that cannot be read. */
int remote_receive(const struct remote *r, uint8_t *buf, size_t size, uint64_t deadline_ns,
		   struct frame *f);

#endif
