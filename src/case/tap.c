/* SPDX-License-Identifier: MIT */
#include "case/tap.h"

#include "case/hostns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	RECEIVE_BUFFER = 4 << 20, /* frames that wait for us: some thousand small ones */
	PATIENCE_S = 10,          /* with a carrier that is not noticed */
};

/* Without transmit checksums a device loses scatter-gather and with it segmentation
 * (netdev_fix_features()). */
int tap_plain_frames(const struct rtnl_end *host, struct err *err)
{
	struct ethtool_value off = {.cmd = ETHTOOL_STXCSUM, .data = 0};
	struct ifreq ifr = {.ifr_data = (char *)&off};
	const int fd = hostns_socket(host->ns, AF_INET, SOCK_DGRAM, 0, err);
	int rc = 0;

	if (fd < 0)
		return fd;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", host->name);
	if (ioctl(fd, SIOCETHTOOL, &ifr)) {
		rc = -errno;
		snprintf(err->text, sizeof(err->text), "turning off the offloads of %s: %s",
			 host->name, strerror(errno));
	}
	close(fd);
	return rc;
}

static int bind_to(int fd, const struct rtnl_end *wire, struct err *err)
{
	const struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)wire->index,
	};
	const int yes = 1, room = RECEIVE_BUFFER;

	/* _FORCE needs privilege over the first user namespace; without it there is less room */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (!setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes)) &&
	    !bind(fd, (const struct sockaddr *)&to, sizeof(to)))
		return 0;
	const int rc = -errno;
	snprintf(err->text, sizeof(err->text), "a packet socket on %s: %s", wire->name,
		 strerror(-rc));
	return rc;
}

static uint64_t in_seconds(unsigned seconds)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return ((uint64_t)t.tv_sec + seconds) * 1000000000 + (uint64_t)t.tv_nsec;
}

static int make_pair(const struct tap_ends *ends, struct err *err)
{
	struct rtnl host = {0}, wire = {0};
	int rc = rtnl_open_in(ends->host.ns, &host, err);

	if (!rc)
		rc = rtnl_open_in(ends->wire.ns, &wire, err);
	if (!rc) {
		rc = rtnl_add_veth(&host, &ends->host, &ends->wire);
		if (!rc)
			rc = rtnl_set_up(&wire, ends->wire.index, true);
		if (!rc)
			rc = rtnl_wait_active(&host, ends->host.index, in_seconds(PATIENCE_S));
		if (!rc)
			rc = rtnl_wait_active(&wire, ends->wire.index, in_seconds(PATIENCE_S));
		if (rc)
			snprintf(err->text, sizeof(err->text), "a veth pair %s, %s: %s%s",
				 ends->wire.name, ends->host.name, strerror(-rc),
				 rc == -EOPNOTSUPP ? " (the kernel has no veth: CONFIG_VETH)" : "");
	}
	rtnl_close(&host);
	rtnl_close(&wire);
	return rc;
}

int tap_open(const struct tap_ends *ends, struct tap *t, struct err *err)
{
	int rc = make_pair(ends, err);

	if (!rc)
		rc = tap_plain_frames(&ends->host, err);
	return rc ? rc : tap_attach(&ends->wire, t, err);
}

int tap_attach(const struct rtnl_end *device, struct tap *t, struct err *err)
{
	/* protocol 0: it receives nothing before it is bound to its device */
	const int fd = hostns_socket(device->ns, AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0, err);
	if (fd < 0)
		return fd;
	const int rc = bind_to(fd, device, err);
	if (rc) {
		close(fd);
		return rc;
	}
	*t = (struct tap){.fd = fd};
	return 0;
}

void tap_close(struct tap *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

int tap_send(const struct tap *t, const void *bytes, size_t len)
{
	ssize_t n;

	do
		n = send(t->fd, bytes, len, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

ssize_t tap_receive(const struct tap *t, void *buf, size_t size)
{
	ssize_t n;

	do
		n = recv(t->fd, buf, size, MSG_TRUNC);
	while (n < 0 && (errno == EINTR || errno == ENETDOWN)); /* said once after the link fell */
	return n < 0 ? -errno : n;
}

size_t tap_drain(const struct tap *t)
{
	char byte;
	size_t n = 0;

	while (tap_receive(t, &byte, sizeof(byte)) >= 0)
		n++;
	return n;
}
