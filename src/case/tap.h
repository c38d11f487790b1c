/* SPDX-License-Identifier: MIT
 *
 * tap.h - the end of a wire in our own hands
 *
 * A veth pair has two ends: one is a host's device, the other lies in a namespace of ours that has
 * no address and no route, so its kernel answers nothing. On that end an AF_PACKET socket receives
 * what the host sends and sends what the host shall receive. The host computes its checksums itself
 * and sends no frame beyond its MTU: both offloads are turned off, so what we read is what a wire
 * would carry.
 */
#ifndef TCPWHY_CASE_TAP_H
#define TCPWHY_CASE_TAP_H

#include "case/rtnl.h"

#include <sys/types.h>

struct tap {
	int fd; /* for poll(); never blocks; O_CLOEXEC */
};

/* One veth pair: the host's device, and the tap's in the namespace of wires. Both are up at the
 * end. Names, indexes and MACs are the caller's choice. */
struct tap_ends {
	struct rtnl_end host, wire;
};

/* Makes the pair and opens the socket on the wire's end; both ends need ns and index. 0, or
 * -errno with err->text. End with tap_close(); the devices go with their namespaces. */
int tap_open(const struct tap_ends *ends, struct tap *t, struct err *err);
/* The two halves of it, for devices that are there already: the device of a host sends frames that
 * a wire would carry, and a socket opens on a device. */
int tap_plain_frames(const struct rtnl_end *host, struct err *err);
int tap_attach(const struct rtnl_end *device, struct tap *t, struct err *err);
void tap_close(struct tap *t);

/* Sends one frame to the host. 0 or -errno: -EMSGSIZE beyond the MTU, -ENETDOWN, -ENOBUFS. */
int tap_send(const struct tap *t, const void *bytes, size_t len);

/* Takes the next frame that the host sent: its whole length, which is more than size if it was cut;
 * -EAGAIN if there is none, or another -errno. */
ssize_t tap_receive(const struct tap *t, void *buf, size_t size);

/* Takes and forgets what is there, and returns how many. */
size_t tap_drain(const struct tap *t);

#endif
