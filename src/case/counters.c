/* SPDX-License-Identifier: MIT */
#include "case/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* 6.18: netstat 5 KiB, snmp 2 KiB. */
enum { TEXT_MAX = 32768 };

/* By the thread, not by the process: /proc/net is the main thread's namespace. */
static int open_here(void *ctx)
{
	struct counters *c = ctx;

	c->netstat = open("/proc/thread-self/net/netstat", O_RDONLY | O_CLOEXEC);
	if (c->netstat < 0)
		return -errno;
	c->snmp = open("/proc/thread-self/net/snmp", O_RDONLY | O_CLOEXEC);
	return c->snmp < 0 ? -errno : 0;
}

int counters_open_in(const struct netns *ns, struct counters *c, struct err *err)
{
	struct counters opened = {-1, -1};

	err->text[0] = '\0';
	const int rc = netns_run(ns, false, open_here, &opened, err);
	if (!rc) {
		*c = opened;
		return 0;
	}
	counters_close(&opened);
	if (!err->text[0])
		snprintf(err->text, sizeof(err->text), "the counters of a namespace: %s",
			 strerror(-rc));
	return rc;
}

void counters_close(struct counters *c)
{
	if (c->netstat >= 0)
		close(c->netstat);
	if (c->snmp >= 0)
		close(c->snmp);
	*c = (struct counters){-1, -1};
}

static size_t word_length(const char *at)
{
	return strcspn(at, " \n");
}

/* The word behind the group's, or NULL at the end of the line. */
static const char *next_word(const char *at)
{
	at += word_length(at);
	return *at == ' ' ? at + 1 : NULL;
}

static bool is_name(const char *name, const char *group, size_t group_len, const char *word)
{
	const size_t len = word_length(word);
	const bool is_tcp = (group_len == 3 && !memcmp(group, "Tcp", 3)) ||
			    (group_len == 6 && !memcmp(group, "TcpExt", 6));

	if (is_tcp && strlen(name) == len && !memcmp(name, word, len))
		return true;
	return strlen(name) == group_len + len && !memcmp(name, group, group_len) &&
	       !memcmp(name + group_len, word, len);
}

static bool find_in_pair(const char *names, const char *values, const char *name, uint64_t *value)
{
	const char *group = names;
	const size_t group_len = strcspn(names, ":");

	names = next_word(names);
	values = next_word(values);
	while (names && values) {
		if (is_name(name, group, group_len, names)) {
			*value = strtoull(values, NULL, 10);
			return true;
		}
		names = next_word(names);
		values = next_word(values);
	}
	return false;
}

static const char *next_line(const char *at)
{
	at = at ? strchr(at, '\n') : NULL;
	return at && at[1] ? at + 1 : NULL;
}

bool counters_find(const char *text, const char *name, uint64_t *value)
{
	const char *names = text, *values;

	for (; (values = next_line(names)) != NULL; names = next_line(values))
		if (find_in_pair(names, values, name, value))
			return true;
	return false;
}

/* A read from the start makes the kernel write the text anew; it may come in pieces. */
static int read_text(int fd, char text[static TEXT_MAX])
{
	size_t n = 0;

	for (;;) {
		const ssize_t got = pread(fd, text + n, TEXT_MAX - 1 - n, (off_t)n);

		if (got < 0)
			return -errno;
		if (!got)
			break;
		n += (size_t)got;
		if (n == TEXT_MAX - 1)
			return -EFBIG;
	}
	text[n] = '\0';
	return 0;
}

int counters_read(const struct counters *c, const char *name, uint64_t *value)
{
	const int files[] = {c->netstat, c->snmp};
	char text[TEXT_MAX];

	for (size_t i = 0; i < 2; i++) {
		const int rc = read_text(files[i], text);

		if (rc)
			return rc;
		if (counters_find(text, name, value))
			return 0;
	}
	return -ENOENT;
}

/* ----------------------------------------------------------------------------------- many at once
 */

/* Whose line it is: 0 Tcp, 1 TcpExt, -1 another's. */
static int group_of(const char *line)
{
	if (!strncmp(line, "Tcp:", 4))
		return 0;
	return strncmp(line, "TcpExt:", 7) ? -1 : 1;
}

static uint16_t place_of(const char *word, const char *const *names, size_t n)
{
	const size_t len = word_length(word);

	for (size_t i = 0; i < n; i++)
		if (strlen(names[i]) == len && !memcmp(names[i], word, len))
			return (uint16_t)(i + 1);
	return 0;
}

void counters_learn_text(const char *text, const char *const *names, size_t n,
			 struct counters_plan *plan)
{
	for (const char *line = text; line; line = next_line(next_line(line))) {
		const int group = group_of(line);
		const char *word = group < 0 ? NULL : next_word(line);

		for (size_t i = 0; word && i < COUNTERS_COLUMNS; word = next_word(word), i++)
			plan->column[group][i] = place_of(word, names, n);
	}
}

void counters_find_all(const char *text, const struct counters_plan *plan, uint64_t *values)
{
	for (const char *line = next_line(text); line; line = next_line(next_line(line))) {
		const int group = group_of(line);
		const char *word = group < 0 ? NULL : next_word(line);

		for (size_t i = 0; word && i < COUNTERS_COLUMNS; word = next_word(word), i++)
			if (plan->column[group][i])
				values[plan->column[group][i] - 1] = strtoull(word, NULL, 10);
	}
}

int counters_learn(const struct counters *c, const char *const *names, size_t n,
		   struct counters_plan *plan)
{
	const int files[] = {c->netstat, c->snmp};
	char text[TEXT_MAX];

	*plan = (struct counters_plan){0};
	for (size_t i = 0; i < 2; i++) {
		const int rc = read_text(files[i], text);

		if (rc)
			return rc;
		counters_learn_text(text, names, n, plan);
	}
	return 0;
}

int counters_read_all(const struct counters *c, const struct counters_plan *plan, uint64_t *values)
{
	const int files[] = {c->netstat, c->snmp};
	char text[TEXT_MAX];

	for (size_t i = 0; i < 2; i++) {
		const int rc = read_text(files[i], text);

		if (rc)
			return rc;
		counters_find_all(text, plan, values);
	}
	return 0;
}
