/* SPDX-License-Identifier: MIT */
#include "script.h"

#include <arpa/inet.h>
#include "differ/lines.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[CALL_KINDS] = {
	[CALL_SOCKET] = "socket",     [CALL_SET] = "set",         [CALL_BIND] = "bind",
	[CALL_LISTEN] = "listen",     [CALL_CONNECT] = "connect", [CALL_ACCEPT] = "accept",
	[CALL_SHUTDOWN] = "shutdown", [CALL_CLOSE] = "close",     [CALL_DESTROY] = "destroy",
	[CALL_UID] = "uid",           [CALL_SYSCTL] = "sysctl",   [CALL_WAIT] = "wait",
	[CALL_STATE] = "state",       [CALL_SETTLE] = "settle",
};

const struct script_option script_options[SCRIPT_OPTIONS] = {
	{"reuseaddr", TCPWHY_SO_REUSEADDR, 1},
	{"reuseport", TCPWHY_SO_REUSEPORT, 1},
	{"device", TCPWHY_SO_BINDTODEVICE, 1},
	{"linger0", TCPWHY_SO_LINGER0, 1},
	{"steer", TCPWHY_SO_ATTACH_REUSEPORT, 1},
	{"v6only", TCPWHY_IPV6_V6ONLY, 1},
	{"freebind", TCPWHY_IP_FREEBIND, 1},
	{"transparent", TCPWHY_IP_TRANSPARENT, 1},
	{"no-port", TCPWHY_IP_BIND_ADDRESS_NO_PORT, 1},
	{"port-range", TCPWHY_IP_LOCAL_PORT_RANGE, 2},
	{"repair", TCPWHY_TCP_REPAIR, 1},
	{"linger2", TCPWHY_TCP_LINGER2, 1},
};

const struct script_sysctl_info script_sysctls[SYSCTLS] = {
	[SYSCTL_PORT_RANGE] = {"ip_local_port_range",
			       "ipv4/ip_local_port_range",
			       2,
			       {20000, 20007}},
	[SYSCTL_RESERVED] = {"ip_local_reserved_ports", "ipv4/ip_local_reserved_ports", 2, {0, 0}},
	[SYSCTL_AUTOBIND_REUSE] = {"ip_autobind_reuse", "ipv4/ip_autobind_reuse", 1, {0, 0}},
	[SYSCTL_UNPRIVILEGED] = {"ip_unprivileged_port_start",
				 "ipv4/ip_unprivileged_port_start",
				 1,
				 {1024, 0}},
	[SYSCTL_NONLOCAL] = {"ip_nonlocal_bind", "ipv4/ip_nonlocal_bind", 1, {0, 0}},
	[SYSCTL_NONLOCAL6] = {"ip6_nonlocal_bind", "ipv6/ip_nonlocal_bind", 1, {0, 0}},
	[SYSCTL_BINDV6ONLY] = {"bindv6only", "ipv6/bindv6only", 1, {0, 0}},
	[SYSCTL_TW_REUSE] = {"tcp_tw_reuse", "ipv4/tcp_tw_reuse", 1, {2, 0}},
	[SYSCTL_TW_REUSE_DELAY] = {"tcp_tw_reuse_delay", "ipv4/tcp_tw_reuse_delay", 1, {1000, 0}},
	[SYSCTL_MAX_TW] = {"tcp_max_tw_buckets", "ipv4/tcp_max_tw_buckets", 1, {4096, 0}},
	[SYSCTL_FIN_TIMEOUT] = {"tcp_fin_timeout", "ipv4/tcp_fin_timeout", 1, {60, 0}},
	[SYSCTL_TIMESTAMPS] = {"tcp_timestamps", "ipv4/tcp_timestamps", 1, {1, 0}},
};

static const char *const how_names[] = {"rd", "wr", "rdwr"};

const char *call_kind_name(enum call_kind kind)
{
	return kind_names[kind];
}

static int parse_number(const char *text, unsigned long max, uint32_t *out)
{
	char *end;

	errno = 0;
	const long value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < -1 || (value > 0 && (unsigned long)value > max))
		return -EINVAL;
	*out = (uint32_t)value;
	return 0;
}

static void print_endpoint(const struct endpoint *at, char text[static ENDPOINT_TEXT_MAX])
{
	endpoint_format(&at->addr, at->port, false, text);
}

static int parse_endpoint(const char *text, struct endpoint *at)
{
	enum tcpwhy_family family;

	return endpoint_parse(text, &at->addr, &family, &at->port) ? -EINVAL : 0;
}

/* ---------------------------------------------------------------------------------- printing */

static void print_values(char *text, const char *word, const char *name, const uint32_t *value,
			 unsigned n)
{
	if (n == 2)
		snprintf(text, CALL_TEXT, "%s %s %d %d", word, name, (int)value[0], (int)value[1]);
	else
		snprintf(text, CALL_TEXT, "%s %s %d", word, name, (int)value[0]);
}

static void print_set(const struct call *c, char *text)
{
	const struct script_option *o = &script_options[c->which];
	char word[16];

	snprintf(word, sizeof(word), "set %c", 'a' + c->sock);
	print_values(text, word, o->name, c->value, o->values);
}

static void print_tuple(const struct call *c, char *text)
{
	char local[ENDPOINT_TEXT_MAX], peer[ENDPOINT_TEXT_MAX];
	const char *word = kind_names[c->kind];
	const bool state = c->kind == CALL_STATE;

	print_endpoint(&c->at, local);
	print_endpoint(&c->peer, peer);
	snprintf(text, CALL_TEXT, "%s %s %s%s%s", word, local, peer, state ? " " : "",
		 state ? tcpwhy_state_name(c->which) : "");
}

void call_print(const struct call *c, char *text)
{
	const char name = (char)('a' + c->sock);
	const char *word = kind_names[c->kind];
	char at[ENDPOINT_TEXT_MAX];

	switch (c->kind) {
	case CALL_SOCKET:
		snprintf(text, CALL_TEXT, "%c = socket %u", name, c->family);
		break;
	case CALL_SET:
		print_set(c, text);
		break;
	case CALL_BIND:
	case CALL_CONNECT:
		print_endpoint(&c->at, at);
		snprintf(text, CALL_TEXT, "%s %c %s", word, name, at);
		break;
	case CALL_LISTEN:
	case CALL_CLOSE:
		snprintf(text, CALL_TEXT, "%s %c", word, name);
		break;
	case CALL_ACCEPT:
		snprintf(text, CALL_TEXT, "%c = accept %c", name, 'a' + c->listener);
		break;
	case CALL_SHUTDOWN:
		snprintf(text, CALL_TEXT, "shutdown %c %s", name, how_names[c->which]);
		break;
	case CALL_DESTROY:
		print_tuple(c, text);
		break;
	case CALL_UID:
	case CALL_WAIT:
		snprintf(text, CALL_TEXT, "%s %u", word, c->value[0]);
		break;
	case CALL_SYSCTL:
		print_values(text, word, script_sysctls[c->which].name, c->value,
			     script_sysctls[c->which].values);
		break;
	case CALL_STATE:
		if (c->by_tuple)
			print_tuple(c, text);
		else
			snprintf(text, CALL_TEXT, "state %c %s", name, tcpwhy_state_name(c->which));
		break;
	case CALL_SETTLE:
	case CALL_KINDS:
		snprintf(text, CALL_TEXT, "settle");
		break;
	}
}

void script_print(const struct script *s, FILE *out)
{
	char text[CALL_TEXT];

	for (size_t i = 0; i < s->n; i++) {
		call_print(&s->calls[i], text);
		fprintf(out, "%s\n", text);
		if (s->calls[i].expect != EXPECT_NOTHING)
			fprintf(out, "expect %s\n", errno_name(s->calls[i].expect));
	}
}

/* ----------------------------------------------------------------------------------- parsing */

static int parse_values(const struct words *w, size_t from, unsigned n, struct call *c)
{
	if (w->n != from + n)
		return -EINVAL;
	for (unsigned i = 0; i < n; i++)
		if (parse_number(w->w[from + i], INT32_MAX, &c->value[i]))
			return -EINVAL;
	return 0;
}

static int parse_set(const struct words *w, struct call *c)
{
	if (w->n < 3 || word_parse_sock(w->w[1], &c->sock))
		return -EINVAL;
	for (uint8_t i = 0; i < SCRIPT_OPTIONS; i++) {
		if (strcmp(script_options[i].name, w->w[2]))
			continue;
		c->which = i;
		return parse_values(w, 3, script_options[i].values, c);
	}
	return -EINVAL;
}

static int parse_sysctl(const struct words *w, struct call *c)
{
	for (uint8_t i = 0; w->n > 1 && i < SYSCTLS; i++) {
		if (strcmp(script_sysctls[i].name, w->w[1]))
			continue;
		c->which = i;
		return parse_values(w, 2, script_sysctls[i].values, c);
	}
	return -EINVAL;
}

static int parse_shutdown(const struct words *w, struct call *c)
{
	return w->n != 3 || word_parse_sock(w->w[1], &c->sock)
		       ? -EINVAL
		       : word_parse(w->w[2], how_names, 3, &c->which);
}

static int parse_state_call(const struct words *w, struct call *c)
{
	if (w->n == 3)
		return word_parse_sock(w->w[1], &c->sock) || word_parse_state(w->w[2], &c->which)
			       ? -EINVAL
			       : 0;
	c->by_tuple = true;
	return w->n != 4 || parse_endpoint(w->w[1], &c->at) || parse_endpoint(w->w[2], &c->peer) ||
			       word_parse_state(w->w[3], &c->which)
		       ? -EINVAL
		       : 0;
}

/* "a = socket 4", "c = accept a" */
static int parse_made(const struct words *w, struct call *c)
{
	uint32_t family;

	if (w->n != 4 || word_parse_sock(w->w[0], &c->sock))
		return -EINVAL;
	if (!strcmp(w->w[2], "accept")) {
		c->kind = CALL_ACCEPT;
		return word_parse_sock(w->w[3], &c->listener);
	}
	c->kind = CALL_SOCKET;
	if (strcmp(w->w[2], "socket") || parse_number(w->w[3], 6, &family))
		return -EINVAL;
	c->family = (uint8_t)family;
	return family == TCPWHY_IPV4 || family == TCPWHY_IPV6 ? 0 : -EINVAL;
}

static int parse_kind(const struct words *w, struct call *c)
{
	switch (c->kind) {
	case CALL_SET:
		return parse_set(w, c);
	case CALL_BIND:
	case CALL_CONNECT:
		return w->n != 3 || word_parse_sock(w->w[1], &c->sock) ||
				       parse_endpoint(w->w[2], &c->at)
			       ? -EINVAL
			       : 0;
	case CALL_LISTEN:
	case CALL_CLOSE:
		return w->n != 2 ? -EINVAL : word_parse_sock(w->w[1], &c->sock);
	case CALL_SHUTDOWN:
		return parse_shutdown(w, c);
	case CALL_DESTROY:
		return w->n != 3 || parse_endpoint(w->w[1], &c->at) ||
				       parse_endpoint(w->w[2], &c->peer)
			       ? -EINVAL
			       : 0;
	case CALL_UID:
	case CALL_WAIT:
		return parse_values(w, 1, 1, c);
	case CALL_SYSCTL:
		return parse_sysctl(w, c);
	case CALL_STATE:
		return parse_state_call(w, c);
	case CALL_SETTLE:
		return w->n == 1 ? 0 : -EINVAL;
	case CALL_SOCKET:
	case CALL_ACCEPT:
	case CALL_KINDS:
		break;
	}
	return -EINVAL;
}

static int parse_expect(const struct words *w, struct script *s)
{
	return w->n != 2 || !s->n ? -EINVAL : errno_parse(w->w[1], &s->calls[s->n - 1].expect);
}

static int parse_call(const struct words *w, struct call *c)
{
	if (w->n > 1 && !strcmp(w->w[1], "="))
		return parse_made(w, c);
	for (c->kind = 0; c->kind < CALL_KINDS; c->kind++)
		if (!strcmp(kind_names[c->kind], w->w[0]))
			return parse_kind(w, c);
	return -EINVAL;
}

static int parse_line(const struct words *w, void *ctx)
{
	struct script *s = ctx;
	struct call c = {.expect = EXPECT_NOTHING};

	if (!strcmp(w->w[0], "expect"))
		return parse_expect(w, s);
	if (s->n == SCRIPT_CALLS)
		return -EINVAL;
	const int rc = parse_call(w, &c);
	if (!rc)
		s->calls[s->n++] = c;
	return rc;
}

int script_parse(const char *text, struct script *s, struct err *err)
{
	struct script *parsed = calloc(1, sizeof(*parsed));
	int rc = -ENOMEM;

	if (parsed)
		rc = lines_parse(text, "call", parse_line, parsed, err);
	else
		snprintf(err->text, sizeof(err->text), "no memory");
	if (!rc)
		*s = *parsed;
	free(parsed);
	return rc;
}

int script_read(const char *path, struct script *s, struct err *err)
{
	char *text = lines_read(path, err);
	const int rc = text ? script_parse(text, s, err) : -EINVAL;

	free(text);
	return rc;
}
