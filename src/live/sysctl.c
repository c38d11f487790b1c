/* SPDX-License-Identifier: MIT */
#include "live/sysctl.h"

#include "live/collect.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX (512 * 1024) /* 65,536 ports one by one are 380 KiB */

/* The whole text of a file under /proc/sys/net, which follows the calling thread's namespace.
 * Negative errno. */
static ssize_t read_text(const char *name, char *buf, size_t size)
{
	char path[128];
	size_t used = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (used < size - 1) {
		ssize_t n = read(fd, buf + used, size - 1 - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int error = errno;

			close(fd);
			return -error;
		}
		if (n == 0)
			break;
		used += (size_t)n;
	}
	close(fd);
	buf[used] = '\0';
	return (ssize_t)used;
}

/* Reads up to n numbers; 0, -errno, or -EBADMSG if the text is not that. */
static int read_numbers(const char *name, unsigned long *values, int n)
{
	char text[128], *at = text;
	ssize_t len = read_text(name, text, sizeof(text));

	if (len < 0)
		return (int)len;
	for (int i = 0; i < n; i++) {
		char *end;

		errno = 0;
		values[i] = strtoul(at, &end, 10);
		if (end == at || errno || values[i] > UINT32_MAX)
			return -EBADMSG;
		at = end;
	}
	return 0;
}

static void unknown(struct snapshot *snap, uint32_t bit, const char *name, int error)
{
	snap->sysctls_unknown |= bit;
	/* "ipv4/ip_x" is net.ipv4.ip_x */
	collect_missing(snap, "net.%.4s.%s: %s", name, name + 5,
			error == -EBADMSG ? "the value makes no sense" : strerror(-error));
}

/* One number; a sysctl this kernel has not got reads as 0. */
static uint32_t number(struct snapshot *snap, uint32_t bit, const char *name, bool may_lack)
{
	unsigned long value = 0;
	int error = read_numbers(name, &value, 1);

	if (error == -ENOENT && may_lack)
		return 0;
	if (error) {
		unknown(snap, bit, name, error);
		return 0;
	}
	return (uint32_t)value;
}

static void read_range(struct snapshot *snap)
{
	const char *name = "ipv4/ip_local_port_range";
	unsigned long v[2];
	int error = read_numbers(name, v, 2);

	if (!error && (v[0] == 0 || v[0] > v[1] || v[1] > UINT16_MAX))
		error = -EBADMSG;
	if (error) {
		unknown(snap, SNAPSHOT_S_PORT_RANGE, name, error);
		return;
	}
	snap->sysctls.port_low = (uint16_t)v[0];
	snap->sysctls.port_high = (uint16_t)v[1];
}

/* ip_unprivileged_port_start came with 4.11; before, the limit was 1024. It may be 65536: "all are
 * privileged". */
static void read_unprivileged(struct snapshot *snap)
{
	const char *name = "ipv4/ip_unprivileged_port_start";
	unsigned long value = 1024;
	int error = read_numbers(name, &value, 1);

	if (error && error != -ENOENT) {
		unknown(snap, SNAPSHOT_S_UNPRIVILEGED, name, error);
		return;
	}
	snap->sysctls.unprivileged_port_start = value > UINT16_MAX ? UINT16_MAX : (uint16_t)value;
}

static bool parse_port(const char **at, uint32_t *port)
{
	uint32_t value = 0;
	const char *start = *at;

	while (isdigit((unsigned char)**at) && value <= UINT16_MAX)
		value = value * 10 + (uint32_t)(*(*at)++ - '0');
	*port = value;
	return *at != start && value <= UINT16_MAX;
}

bool sysctl_parse_ports(const char *text, uint32_t bitmap[static 2048])
{
	uint32_t bits[2048] = {0};

	while (isspace((unsigned char)*text))
		text++;
	while (*text) {
		uint32_t low, high;

		if (!parse_port(&text, &low))
			return false;
		high = low;
		if (*text == '-') {
			text++;
			if (!parse_port(&text, &high) || high < low)
				return false;
		}
		for (uint32_t port = low; port <= high; port++)
			bits[port / 32] |= 1u << port % 32;
		if (*text == ',' && isdigit((unsigned char)text[1]))
			text++;
		else if (*text == '\n' || *text == '\0')
			break;
		else
			return false;
	}
	memcpy(bitmap, bits, sizeof(bits));
	return true;
}

static void read_reserved(struct snapshot *snap)
{
	const char *name = "ipv4/ip_local_reserved_ports";
	char *text = malloc(TEXT_MAX);
	ssize_t n = text ? read_text(name, text, TEXT_MAX) : -ENOMEM;
	int error = n < 0 ? (int)n : 0;

	if (!error && !sysctl_parse_ports(text, snap->reserved))
		error = -EBADMSG;
	free(text);
	if (error)
		unknown(snap, SNAPSHOT_S_RESERVED, name, error);
}

void sysctl_read(struct snapshot *snap)
{
	struct tcpwhy_sysctls *s = &snap->sysctls;

	read_range(snap);
	read_reserved(snap);
	read_unprivileged(snap);
	s->autobind_reuse = number(snap, SNAPSHOT_S_AUTOBIND_REUSE, "ipv4/ip_autobind_reuse", true);
	s->nonlocal_bind = number(snap, SNAPSHOT_S_NONLOCAL_BIND, "ipv4/ip_nonlocal_bind", false);
	s->nonlocal_bind6 = number(snap, SNAPSHOT_S_NONLOCAL_BIND, "ipv6/ip_nonlocal_bind", true);
	s->l3mdev_accept = number(snap, SNAPSHOT_S_L3MDEV_ACCEPT, "ipv4/tcp_l3mdev_accept", true);
	s->tw_reuse = (uint8_t)number(snap, SNAPSHOT_S_TW_REUSE, "ipv4/tcp_tw_reuse", false);
	s->tw_reuse_delay_ms = number(snap, SNAPSHOT_S_TW_REUSE, "ipv4/tcp_tw_reuse_delay", true);
	s->max_tw_buckets = number(snap, SNAPSHOT_S_OTHER, "ipv4/tcp_max_tw_buckets", false);
	s->fin_timeout_s = number(snap, SNAPSHOT_S_OTHER, "ipv4/tcp_fin_timeout", false);
	s->timestamps = (uint8_t)number(snap, SNAPSHOT_S_OTHER, "ipv4/tcp_timestamps", false);
	s->bindv6only = number(snap, SNAPSHOT_S_OTHER, "ipv6/bindv6only", true);
}
