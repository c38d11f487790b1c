/* SPDX-License-Identifier: MIT */
#include "cure/sysctl_pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	const char *fresh; /* inet_init_net() */
} pair[] = {
	{"net.ipv4.ip_local_port_range", "32768 60999"},
	{"net.ipv4.ip_unprivileged_port_start", "1024"},
};

/* 0 the range, 1 the first unprivileged port, -1 neither. */
static int place_of(const struct sysctl_key *key)
{
	for (int i = 0; i < 2; i++)
		if (!strcmp(key->name, pair[i].name))
			return i;
	return -1;
}

const struct sysctl_key *sysctl_pair_other(const struct sysctl_key *key)
{
	int at = place_of(key);

	return at < 0 ? NULL : sysctl_key_find(pair[!at].name);
}

/* Of a range, its first port. */
static unsigned long first_of(const char *value)
{
	return strtoul(value, NULL, 10);
}

bool sysctl_pair_allows(const struct sysctl_key *key, const char *value, const char *other)
{
	unsigned long a = first_of(value), b = first_of(other);

	return place_of(key) ? a <= b : a >= b;
}

const char *sysctl_pair_fresh(const struct sysctl_key *key)
{
	int at = place_of(key);

	return at < 0 ? NULL : pair[at].fresh;
}

bool sysctl_pair_makes_room(const struct sysctl_key *key, const char *value, const char *other,
			    char *out, size_t size)
{
	int at = place_of(key), n;
	unsigned long port = first_of(value), high;
	char *end;

	if (at < 0)
		return false;
	if (at == 0) {
		n = snprintf(out, size, "%lu", port);
	} else {
		(void)strtoul(other, &end, 10);
		high = strtoul(end, NULL, 10);
		n = snprintf(out, size, "%lu %lu", port, high < port ? 65535 : high);
	}
	return n >= 0 && (size_t)n < size;
}
