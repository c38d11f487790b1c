/* SPDX-License-Identifier: MIT */
#include "case/remote.h"

#include "case/hostns.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const uint8_t host_mac[FRAME_MAC] = {2, 0, 0, 0, 0, 1},
		     our_mac[FRAME_MAC] = {2, 0, 0, 0, 0, 2};

static struct tcpwhy_addr addr_v6(uint8_t last)
{
	return (struct tcpwhy_addr){{0xfd, [15] = last}};
}

struct tcpwhy_addr remote_host_addr(enum tcpwhy_family family)
{
	return family == TCPWHY_IPV4 ? address_v4_number(0x0a090001) : addr_v6(1);
}

struct tcpwhy_addr remote_our_addr(enum tcpwhy_family family)
{
	return family == TCPWHY_IPV4 ? address_v4_number(0x0a090002) : addr_v6(2);
}

/* A host address without a prefix: all that is not the host itself goes through the gateway. */
static int lead_to_us(struct rtnl *rtnl, enum tcpwhy_family family)
{
	const bool v4 = family == TCPWHY_IPV4;
	const struct tcpwhy_addr host = remote_host_addr(family), us = remote_our_addr(family),
				 any = v4 ? address_v4_number(0) : (struct tcpwhy_addr){0};
	const struct rtnl_route gateway = {.to = us,
					   .prefix_len = v4 ? 32 : 128,
					   .device = REMOTE_DEVICE,
					   .scope = v4 ? RT_SCOPE_LINK : 0,
					   .quickack = true};
	const struct rtnl_route rest = {
		.to = any, .via = &us, .device = REMOTE_DEVICE, .quickack = true};
	int rc = rtnl_add_addr(rtnl, REMOTE_DEVICE, &host, v4 ? 32 : 128, false);

	if (!rc)
		rc = rtnl_set_neighbour(rtnl, REMOTE_DEVICE, &us, our_mac);
	if (!rc)
		rc = rtnl_add_route(rtnl, &gateway, false);
	if (!rc)
		rc = rtnl_add_route(rtnl, &rest, false);
	return rc;
}

static int build(struct remote *r, struct err *err)
{
	const struct tap_ends ends = {
		.host = {.name = "eth0", .index = REMOTE_DEVICE, .ns = &r->host, .mac = host_mac},
		.wire = {.name = "tap0", .index = REMOTE_DEVICE, .ns = &r->wire, .mac = our_mac},
	};
	struct rtnl rtnl;
	int rc = hostns_new(&r->wire, err);

	if (!rc)
		rc = hostns_new(&r->host, err);
	if (!rc)
		rc = tap_open(&ends, &r->tap, err);
	if (!rc)
		rc = rtnl_open_in(&r->host, &rtnl, err);
	if (rc)
		return rc;
	rc = lead_to_us(&rtnl, TCPWHY_IPV4);
	if (!rc)
		rc = lead_to_us(&rtnl, TCPWHY_IPV6);
	rtnl_close(&rtnl);
	if (rc)
		snprintf(err->text, sizeof(err->text), "addresses and routes of a host: %s",
			 strerror(-rc));
	return rc;
}

int remote_open(struct remote *r, struct err *err)
{
	struct remote made = {.host.fd = -1, .wire.fd = -1, .tap.fd = -1};
	const int rc = build(&made, err);

	if (rc)
		remote_close(&made);
	else
		*r = made;
	return rc;
}

void remote_close(struct remote *r)
{
	tap_close(&r->tap);
	netns_close(&r->host);
	netns_close(&r->wire);
}

int remote_send(const struct remote *r, const struct frame *f)
{
	uint8_t bytes[FRAME_MAX];
	struct frame addressed = *f;

	memcpy(addressed.to_mac, host_mac, FRAME_MAC);
	memcpy(addressed.from_mac, our_mac, FRAME_MAC);
	const size_t len = frame_build(&addressed, bytes, sizeof(bytes));
	return len ? tap_send(&r->tap, bytes, len) : -EMSGSIZE;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* 0 once there is something, -ETIMEDOUT at the deadline. */
static int wait_for_frame(const struct remote *r, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = r->tap.fd, .events = POLLIN};
	const uint64_t now = now_ns();
	const uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
	const struct timespec t = {(time_t)(left / 1000000000), (long)(left % 1000000000)};
	const int n = ppoll(&p, 1, &t, NULL);

	if (n > 0 || (n < 0 && errno == EINTR))
		return 0;
	return n ? -errno : -ETIMEDOUT;
}

int remote_receive(const struct remote *r, uint8_t *buf, size_t size, uint64_t deadline_ns,
		   struct frame *f)
{
	for (;;) {
		const ssize_t n = tap_receive(&r->tap, buf, size);

		if (n == -EAGAIN) {
			const int rc = wait_for_frame(r, deadline_ns);
			if (rc)
				return rc;
			continue;
		}
		if (n < 0)
			return (int)n;
		const size_t len = (size_t)n < size ? (size_t)n : size;
		const enum frame_kind kind = frame_read(buf, len, f);
		if (kind != FRAME_OTHER)
			return kind == FRAME_TCP ? 0 : -EBADMSG;
	}
}
