/* SPDX-License-Identifier: MIT
 *
 * probe.h - what the running kernel does, tried where it hurts nobody
 *
 * A release number does not tell which features a stable branch or a distributor carried back. So
 * those that decide about bind() and connect() are tried: whether a sysctl, a socket option or a
 * counter exists, and how a few calls end on the loopback of a network namespace that is made for
 * it, in a child process, and goes with it. The caller's namespace is only read. It takes some
 * milliseconds, at most PROBE_MS.
 */
#ifndef TCPWHY_LIVE_PROBE_H
#define TCPWHY_LIVE_PROBE_H

#include "facts/probe.h"

enum { PROBE_MS = 1000 };

/* What could not be tried stands in neither word of out; if that is all behaviour, because no
 * namespace may be made, out->unseen says so. */
void probe_kernel(struct probe *out);

#endif
