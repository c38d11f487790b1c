/* SPDX-License-Identifier: MIT */
#include "cure/sysctl_suppose.h"

#include <stdlib.h>
#include <string.h>

#include "live/sysctl.h"

static void set_range(struct snapshot *snap, const char *value)
{
	char *end;
	unsigned long low = strtoul(value, &end, 10), high = strtoul(end, NULL, 10);

	snap->sysctls.port_low = (uint16_t)low;
	snap->sysctls.port_high = (uint16_t)high;
}

static void set_reserved(struct snapshot *snap, const char *value)
{
	sysctl_parse_ports(value, snap->reserved);
}

static uint32_t number(const char *value)
{
	return (uint32_t)strtoul(value, NULL, 10);
}

/* 65536 is "all are privileged", and has no place in 16 bits: see live/sysctl.c. */
static void set_unprivileged(struct snapshot *snap, const char *value)
{
	uint32_t n = number(value);

	snap->sysctls.unprivileged_port_start = n > UINT16_MAX ? UINT16_MAX : (uint16_t)n;
}

static void set_autobind_reuse(struct snapshot *snap, const char *value)
{
	snap->sysctls.autobind_reuse = number(value);
}

static void set_nonlocal(struct snapshot *snap, const char *value)
{
	snap->sysctls.nonlocal_bind = number(value);
}

static void set_nonlocal6(struct snapshot *snap, const char *value)
{
	snap->sysctls.nonlocal_bind6 = number(value);
}

static void set_l3mdev_accept(struct snapshot *snap, const char *value)
{
	snap->sysctls.l3mdev_accept = number(value);
}

static void set_tw_reuse(struct snapshot *snap, const char *value)
{
	snap->sysctls.tw_reuse = (uint8_t)number(value);
}

static void set_tw_reuse_delay(struct snapshot *snap, const char *value)
{
	snap->sysctls.tw_reuse_delay_ms = number(value);
}

static void set_bindv6only(struct snapshot *snap, const char *value)
{
	snap->sysctls.bindv6only = number(value);
}

/* Those that act on what is there now. tcp_timestamps, tcp_fin_timeout and tcp_max_tw_buckets act
 * on sockets to come, of which nothing can be asked yet. */
static const struct {
	const char *name;
	uint32_t bit; /* of enum snapshot_sysctl: known from now on; 0: others share it */
	void (*set)(struct snapshot *snap, const char *value);
} rows[] = {
	{"net.ipv4.ip_local_port_range", SNAPSHOT_S_PORT_RANGE, set_range},
	{"net.ipv4.ip_local_reserved_ports", SNAPSHOT_S_RESERVED, set_reserved},
	{"net.ipv4.ip_unprivileged_port_start", SNAPSHOT_S_UNPRIVILEGED, set_unprivileged},
	{"net.ipv4.ip_autobind_reuse", SNAPSHOT_S_AUTOBIND_REUSE, set_autobind_reuse},
	{"net.ipv4.ip_nonlocal_bind", 0, set_nonlocal},
	{"net.ipv6.ip_nonlocal_bind", 0, set_nonlocal6},
	{"net.ipv4.tcp_l3mdev_accept", SNAPSHOT_S_L3MDEV_ACCEPT, set_l3mdev_accept},
	{"net.ipv4.tcp_tw_reuse", 0, set_tw_reuse},
	{"net.ipv4.tcp_tw_reuse_delay", 0, set_tw_reuse_delay},
	{"net.ipv6.bindv6only", 0, set_bindv6only},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

bool sysctl_decides(const struct sysctl_key *key)
{
	for (size_t i = 0; i < ROWS; i++)
		if (!strcmp(rows[i].name, key->name))
			return true;
	return false;
}

void sysctl_suppose(struct snapshot *snap, const void *supposed)
{
	const struct sysctl_supposed *s = supposed;

	for (size_t i = 0; i < ROWS; i++) {
		if (strcmp(rows[i].name, s->key->name) != 0)
			continue;
		rows[i].set(snap, s->value);
		snap->sysctls_unknown &= ~rows[i].bit;
	}
}
