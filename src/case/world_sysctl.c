/* SPDX-License-Identifier: MIT */
#include "case/world_sysctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum place { ENGINE, HOST };

/* A number within a struct, and when there is such a sysctl. */
struct number {
	const char *name;
	uint8_t place, offset, size;
	uint32_t low, high;
	uint32_t feature, packet; /* 0: always */
};

#define IN_ENGINE(field)                                                                           \
	ENGINE, offsetof(struct tcpwhy_sysctls, field), sizeof(((struct tcpwhy_sysctls *)0)->field)
#define IN_HOST(field)                                                                             \
	HOST, offsetof(struct host_sysctls, field), sizeof(((struct host_sysctls *)0)->field)

static const struct number numbers[] = {
	{"net.ipv4.ip_unprivileged_port_start", IN_ENGINE(unprivileged_port_start), 0, 65535,
	 TCPWHY_F_LOW_PORTS_SYSCTL, 0},
	{"net.ipv4.ip_autobind_reuse", IN_ENGINE(autobind_reuse), 0, 1, TCPWHY_F_AUTOBIND_REUSE, 0},
	{"net.ipv4.ip_nonlocal_bind", IN_ENGINE(nonlocal_bind), 0, 1, 0, 0},
	{"net.ipv6.ip_nonlocal_bind", IN_ENGINE(nonlocal_bind6), 0, 1, 0, 0},
	{"net.ipv6.bindv6only", IN_ENGINE(bindv6only), 0, 1, 0, 0},
	{"net.ipv4.tcp_timestamps", IN_ENGINE(timestamps), 0, 255, 0, 0},
	{"net.ipv4.tcp_tw_reuse", IN_ENGINE(tw_reuse), 0, 2, 0, 0},
	{"net.ipv4.tcp_tw_reuse_delay", IN_ENGINE(tw_reuse_delay_ms), 1, 60000,
	 TCPWHY_F_TW_REUSE_DELAY, 0},
	{"net.ipv4.tcp_max_tw_buckets", IN_ENGINE(max_tw_buckets), 0, INT32_MAX, 0, 0},
	{"net.ipv4.tcp_fin_timeout", IN_ENGINE(fin_timeout_s), 0, INT32_MAX, 0, 0},
	{"net.core.somaxconn", IN_HOST(somaxconn), 0, INT32_MAX, 0, 0},
	{"net.ipv4.tcp_max_syn_backlog", IN_HOST(max_syn_backlog), 0, INT32_MAX, 0, 0},
	{"net.ipv4.tcp_syncookies", IN_HOST(syncookies), 0, 2, 0, 0},
	{"net.ipv4.tcp_abort_on_overflow", IN_HOST(abort_on_overflow), 0, 1, 0, 0},
	{"net.ipv4.tcp_rfc1337", IN_HOST(rfc1337), 0, 1, 0, 0},
	{"net.ipv4.tcp_tw_recycle", IN_HOST(tw_recycle), 0, 1, 0, TCPWHY_P_TW_RECYCLE},
	{"net.ipv4.tcp_sack", IN_HOST(sack), 0, 1, 0, 0},
	{"net.ipv4.tcp_syn_retries", IN_HOST(syn_retries), 1, 127, 0, 0},
	{"net.ipv4.tcp_synack_retries", IN_HOST(synack_retries), 0, 255, 0, 0},
	{"net.ipv4.tcp_syn_linear_timeouts", IN_HOST(syn_linear_timeouts), 0, 127, 0,
	 TCPWHY_P_SYN_LINEAR},
	{"net.ipv4.tcp_retries2", IN_HOST(retries2), 0, 255, 0, 0},
	{"net.ipv4.tcp_orphan_retries", IN_HOST(orphan_retries), 0, 255, 0, 0},
	{"net.ipv4.tcp_invalid_ratelimit", IN_HOST(invalid_ratelimit_ms), 0, INT32_MAX, 0,
	 TCPWHY_P_INVALID_RATELIMIT},
	{"net.ipv4.tcp_challenge_ack_limit", IN_HOST(challenge_ack_limit), 0, INT32_MAX, 0, 0},
};

static const char range_name[] = "net.ipv4.ip_local_port_range";

static const struct number *number_find(const struct tcpwhy_row *row, const char *name)
{
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		const struct number *n = &numbers[i];
		if (strcmp(n->name, name) != 0)
			continue;
		bool there = (!n->feature || row->features & n->feature) &&
			     (!n->packet || row->packets & n->packet);
		return there ? n : NULL;
	}
	return NULL;
}

static uint32_t field_get(const struct number *n, const void *of)
{
	const char *at = (const char *)of + n->offset;
	uint8_t one;
	uint16_t two;
	uint32_t four;

	switch (n->size) {
	case 1:
		memcpy(&one, at, 1);
		return one;
	case 2:
		memcpy(&two, at, 2);
		return two;
	default:
		memcpy(&four, at, 4);
		return four;
	}
}

static void field_set(const struct number *n, void *of, uint32_t value)
{
	char *at = (char *)of + n->offset;
	uint8_t one = (uint8_t)value;
	uint16_t two = (uint16_t)value;

	if (n->size == 1)
		memcpy(at, &one, 1);
	else if (n->size == 2)
		memcpy(at, &two, 2);
	else
		memcpy(at, &value, 4);
}

/* The number at *text, which moves behind it. */
static bool read_number(const char **text, uint32_t high, uint32_t *value)
{
	char *end;

	if (**text < '0' || **text > '9')
		return false;
	errno = 0;
	unsigned long v = strtoul(*text, &end, 10);
	if (errno || v > high)
		return false;
	*text = end;
	*value = (uint32_t)v;
	return true;
}

static int unknown(const struct tcpwhy_row *row, const char *name, struct err *err)
{
	snprintf(err->text, sizeof(err->text), "%s: release %s has none, or it does not act here",
		 name, row->name);
	return -ENOENT;
}

static int bad_value(const char *name, const char *value, struct err *err)
{
	snprintf(err->text, sizeof(err->text), "%s: not such a value: %s", name, value);
	return -EINVAL;
}

static int set_range(struct tcpwhy_engine *e, const char *value, struct err *err)
{
	struct tcpwhy_sysctls s = *tcpwhy_sysctls(e);
	const char *at = value;
	uint32_t low, high;

	if (!read_number(&at, 65535, &low))
		return bad_value(range_name, value, err);
	at += strspn(at, " \t");
	if (!read_number(&at, 65535, &high) || *at || !low || low > high)
		return bad_value(range_name, value, err);
	s.port_low = (uint16_t)low;
	s.port_high = (uint16_t)high;
	return tcpwhy_set_sysctls(e, &s);
}

int world_sysctl_set(struct host *h, const struct tcpwhy_row *row, const char *name,
		     const char *value, struct err *err)
{
	struct tcpwhy_sysctls engine = *tcpwhy_sysctls(host_engine(h));
	struct host_sysctls host = *host_sysctls(h);
	const struct number *n = number_find(row, name);
	const char *at = value;
	uint32_t v;

	if (strcmp(name, range_name) == 0)
		return set_range(host_engine(h), value, err);
	if (!n)
		return unknown(row, name, err);
	if (!read_number(&at, n->high, &v) || *at || v < n->low)
		return bad_value(name, value, err);
	if (n->place == HOST) {
		field_set(n, &host, v);
		host_set_sysctls(h, &host);
		return 0;
	}
	field_set(n, &engine, v);
	return tcpwhy_set_sysctls(host_engine(h), &engine);
}

int world_sysctl_get(struct host *h, const struct tcpwhy_row *row, const char *name, char *value,
		     size_t size, struct err *err)
{
	const struct tcpwhy_sysctls *engine = tcpwhy_sysctls(host_engine(h));
	const struct number *n = number_find(row, name);
	int len;

	if (strcmp(name, range_name) == 0)
		len = snprintf(value, size, "%u\t%u", engine->port_low, engine->port_high);
	else if (!n)
		return unknown(row, name, err);
	else if (n->place == HOST)
		len = snprintf(value, size, "%u", field_get(n, host_sysctls(h)));
	else
		len = snprintf(value, size, "%u", field_get(n, engine));
	if (len >= 0 && (size_t)len < size)
		return 0;
	snprintf(err->text, sizeof(err->text), "%s: no room for its value", name);
	return -ENAMETOOLONG;
}

bool world_sysctl_ports(const char *value, uint8_t bits[static 8192])
{
	uint32_t low, high;

	memset(bits, 0, 8192);
	while (*value) {
		if (!read_number(&value, 65535, &low))
			return false;
		high = low;
		if (*value == '-' && (value++, !read_number(&value, 65535, &high)))
			return false;
		if (high < low || (*value && *value != ','))
			return false;
		value += *value == ',';
		for (uint32_t p = low; p <= high; p++)
			bits[p / 8] |= (uint8_t)(1u << p % 8);
	}
	return true;
}
