/* SPDX-License-Identifier: MIT */
#include "counters.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT = 16384 };

int counters_open(struct counters *c, struct err *err)
{
	*c = (struct counters){
		.snmp = open("/proc/thread-self/net/snmp", O_RDONLY | O_CLOEXEC),
		.netstat = open("/proc/thread-self/net/netstat", O_RDONLY | O_CLOEXEC),
	};
	if (c->snmp >= 0 && c->netstat >= 0)
		return 0;
	snprintf(err->text, sizeof(err->text), "/proc/net/snmp and netstat: %s", strerror(errno));
	return -errno;
}

void counters_close(struct counters *c)
{
	close(c->snmp);
	close(c->netstat);
}

/* Which counter a column is; -1 for none of ours. */
static int column_of(const char *name, size_t len, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		const char *known = counter_name((enum counter)i);
		if (!strncmp(known, name, len) && !known[len])
			return (int)i;
	}
	return -1;
}

/* Two lines: the group's names, and as many values. Returns how many of ours were there. */
static unsigned read_group(const char *text, const char *group, unsigned from, unsigned to,
			   struct counted *out)
{
	const char *name = strstr(text, group);
	const char *value = name ? strstr(name + 1, group) : NULL;
	unsigned found = 0;

	if (!value)
		return 0;
	name += strlen(group);
	value += strlen(group);
	while (*name == ' ' && *value == ' ') {
		char *end;
		const size_t len = strcspn(++name, " \n");
		const uint64_t v = strtoull(value, &end, 10);
		const int which = column_of(name, len, from, to);
		if (which >= 0) {
			out->value[which] = v;
			found++;
		} else if (len == 6 && !memcmp(name, "InSegs", 6)) {
			out->in_segs = v;
		}
		name += len;
		value = end;
	}
	return found;
}

/* The newline in front lets each line be found by one. */
static int read_text(int fd, char text[static TEXT])
{
	const ssize_t n = pread(fd, text + 1, TEXT - 2, 0);

	if (n < 0)
		return -errno;
	text[0] = '\n';
	text[n + 1] = '\0';
	return 0;
}

int counters_read(const struct counters *c, struct counted *out)
{
	char text[TEXT];
	int rc = read_text(c->snmp, text);

	memset(out, 0, sizeof(*out));
	if (rc)
		return rc;
	if (read_group(text, "\nTcp:", 0, COUNTER_TCP_COUNT, out) != COUNTER_TCP_COUNT)
		return -EBADMSG;
	rc = read_text(c->netstat, text);
	if (rc)
		return rc;
	/* what no release has any more stays 0 (PAWSPassive) */
	return read_group(text, "\nTcpExt:", COUNTER_TCP_COUNT, COUNTER_COUNT, out) ? 0 : -EBADMSG;
}
