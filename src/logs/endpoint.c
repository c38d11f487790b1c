/* SPDX-License-Identifier: MIT */
#include "logs/endpoint.h"

#include <string.h>

#include "base/address.h"
#include "base/text.h"

/* What stands for "every address", or for none, where an address would stand. */
static const char *const nowhere[] = {"", "*", "null", "<null>", "undefined", "any", "0", "None"};

static const char *last_of(const char *from, const char *end, char c)
{
	while (end > from)
		if (*--end == c)
			return end;
	return NULL;
}

/* Past "http://", and past the name in Java's "name/address". */
static const char *skip_prefixes(const char *from, const char *end)
{
	for (const char *p = from; p + 3 <= end; p++)
		if (p[0] == ':' && p[1] == '/' && p[2] == '/')
			from = p + 3;
	const char *slash = last_of(from, end, '/');
	return slash ? slash + 1 : from;
}

static bool take_name(const char *name, struct log_hit *hit)
{
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++)
		if (text_equal(name, nowhere[i]))
			return true;
	if (text_equal(name, "localhost")) {
		hit->addr_known = address_parse("127.0.0.1", &hit->addr, &hit->family);
		return true;
	}
	if (!hit->addr_known) {
		struct text t = text_in(hit->host, sizeof(hit->host));
		text_add(&t, name);
	}
	return true;
}

/* Without brackets and zone, terminated. */
static bool trim(const char *from, const char *end, char out[static LOG_HOST_MAX])
{
	if (from < end && *from == '[')
		from++;
	if (from < end && end[-1] == ']')
		end--;
	for (const char *p = from; p < end; p++)
		if (*p == '%')
			end = p;
	size_t n = (size_t)(end - from);
	if (n >= LOG_HOST_MAX)
		return false;
	memcpy(out, from, n);
	out[n] = '\0';
	return text_length(out) == n;
}

bool endpoint_take_host(const char *text, size_t length, struct log_hit *hit)
{
	const char *end = text + length;
	char name[LOG_HOST_MAX];

	while (end > text && end[-1] == '/')
		end--;
	if (!trim(skip_prefixes(text, end), end, name))
		return false;
	if (!address_parse(name, &hit->addr, &hit->family))
		return take_name(name, hit);
	hit->addr_known = true;
	hit->host[0] = '\0';
	return true;
}

bool endpoint_take_port(const char *text, size_t length, struct log_hit *hit)
{
	uint32_t port = 0;

	if (length < 1 || length > 5)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		port = port * 10 + (uint32_t)(text[i] - '0');
	}
	/* No failure is about port 0: where it stands, the port was not known. */
	if (port < 1 || port > 65535)
		return false;
	hit->port = (uint16_t)port;
	hit->port_known = true;
	return true;
}

bool endpoint_take(const char *text, size_t length, struct log_hit *hit)
{
	const char *colon = last_of(text, text + length, ':');

	if (!colon || !endpoint_take_port(colon + 1, (size_t)(text + length - colon - 1), hit))
		return false;
	return endpoint_take_host(text, (size_t)(colon - text), hit);
}
