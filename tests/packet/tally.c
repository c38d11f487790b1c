/* SPDX-License-Identifier: MIT */
#include "tally.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT = 16384, NOT_OURS = -1, IN_SEGS = COUNTER_COUNT };

static const char tcp_group[] = "\nTcp:", ext_group[] = "\nTcpExt:";

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

static int16_t column_of(const char *name, size_t len, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		const char *known = counter_name((enum counter)i);
		if (!strncmp(known, name, len) && !known[len])
			return (int16_t)i;
	}
	return !from && len == 6 && !memcmp(name, "InSegs", 6) ? IN_SEGS : NOT_OURS;
}

/* The first of a group's two lines has the names. Returns how many are ours. */
static unsigned read_names(const char *text, const char *group, unsigned from, unsigned to,
			   int16_t column[static TALLY_COLUMNS])
{
	const char *name = strstr(text, group);
	unsigned found = 0;

	for (size_t i = 0; i < TALLY_COLUMNS; i++)
		column[i] = NOT_OURS;
	if (!name)
		return 0;
	name += strlen(group);
	for (size_t i = 0; *name == ' ' && i < TALLY_COLUMNS; i++) {
		const size_t len = strcspn(++name, " \n");
		column[i] = column_of(name, len, from, to);
		found += column[i] != NOT_OURS;
		name += len;
	}
	return found;
}

static int read_columns(struct tally *c)
{
	char text[TEXT];
	int rc = read_text(c->snmp, text);

	if (rc)
		return rc;
	/* and InSegs */
	if (read_names(text, tcp_group, 0, COUNTER_TCP_COUNT, c->tcp) != COUNTER_TCP_COUNT + 1)
		return -EBADMSG;
	rc = read_text(c->netstat, text);
	if (rc)
		return rc;
	/* what no release has any more stays 0 (PAWSPassive) */
	return read_names(text, ext_group, COUNTER_TCP_COUNT, COUNTER_COUNT, c->ext) ? 0 : -EBADMSG;
}

int tally_open(struct tally *c, struct err *err)
{
	*c = (struct tally){
		.snmp = open("/proc/thread-self/net/snmp", O_RDONLY | O_CLOEXEC),
		.netstat = open("/proc/thread-self/net/netstat", O_RDONLY | O_CLOEXEC),
	};
	const int rc = c->snmp < 0 || c->netstat < 0 ? -errno : read_columns(c);
	if (rc)
		snprintf(err->text, sizeof(err->text), "/proc/net/snmp and netstat: %s",
			 strerror(-rc));
	return rc;
}

void tally_close(struct tally *c)
{
	if (c->snmp >= 0)
		close(c->snmp);
	if (c->netstat >= 0)
		close(c->netstat);
}

static int read_values(const char *text, const char *group,
		       const int16_t column[static TALLY_COLUMNS], struct counted *out)
{
	const char *names = strstr(text, group);
	const char *value = names ? strstr(names + 1, group) : NULL;

	if (!value)
		return -EBADMSG;
	value += strlen(group);
	for (size_t i = 0; *value == ' ' && i < TALLY_COLUMNS; i++) {
		char *end;
		const uint64_t v = strtoull(value, &end, 10);
		if (column[i] == IN_SEGS)
			out->in_segs = v;
		else if (column[i] != NOT_OURS)
			out->value[column[i]] = v;
		value = end;
	}
	return 0;
}

int tally_read(const struct tally *c, struct counted *out)
{
	char text[TEXT];
	int rc = read_text(c->snmp, text);

	memset(out, 0, sizeof(*out));
	if (!rc)
		rc = read_values(text, tcp_group, c->tcp, out);
	if (!rc)
		rc = read_text(c->netstat, text);
	return rc ? rc : read_values(text, ext_group, c->ext, out);
}
