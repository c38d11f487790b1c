/* SPDX-License-Identifier: MIT */
#include "base/address.h"

#include <string.h>

#include "base/text.h"

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

struct tcpwhy_addr address_v4(const uint8_t bytes[4])
{
	struct tcpwhy_addr a;

	memcpy(a.b, mapped_prefix, sizeof(mapped_prefix));
	memcpy(a.b + 12, bytes, 4);
	return a;
}

bool address_is_link_local6(const struct tcpwhy_addr *a)
{
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

bool address_is_multicast6(const struct tcpwhy_addr *a)
{
	return a->b[0] == 0xff;
}

bool address_is_multicast4(const struct tcpwhy_addr *a)
{
	return address_is_v4(a) && (a->b[12] & 0xf0) == 0xe0;
}

bool address_is_broadcast4(const struct tcpwhy_addr *a)
{
	return address_is_v4(a) && address_v4_of(a) == 0xffffffff;
}

bool address_in_prefix(const struct tcpwhy_addr *a, const struct tcpwhy_addr *prefix,
		       unsigned prefix_len)
{
	unsigned bytes = prefix_len / 8, bits = prefix_len % 8;

	if (memcmp(a->b, prefix->b, bytes) != 0)
		return false;
	if (!bits)
		return true;
	return (uint8_t)(a->b[bytes] ^ prefix->b[bytes]) >> (8 - bits) == 0;
}

/* ------------------------------------------------------------------------------------- to text */

static void add_v4(struct text *t, const struct tcpwhy_addr *a)
{
	for (unsigned i = 12; i < 16; i++) {
		if (i > 12)
			text_char(t, '.');
		text_number(t, a->b[i]);
	}
}

static unsigned group_at(const struct tcpwhy_addr *a, unsigned i)
{
	return (unsigned)a->b[2 * i] << 8 | a->b[2 * i + 1];
}

static void add_hex(struct text *t, unsigned group)
{
	bool started = false;

	for (int shift = 12; shift >= 0; shift -= 4) {
		unsigned digit = group >> shift & 0xf;
		if (digit || started || shift == 0) {
			text_char(t, "0123456789abcdef"[digit]);
			started = true;
		}
	}
}

/* The longest run of two or more zero groups, the first of equals (RFC 5952 4.2). */
static unsigned zero_run(const struct tcpwhy_addr *a, unsigned *length)
{
	unsigned best = 8, best_len = 1;

	for (unsigned i = 0; i < 8; i++) {
		unsigned n = 0;
		while (i + n < 8 && group_at(a, i + n) == 0)
			n++;
		if (n > best_len) {
			best = i;
			best_len = n;
		}
		i += n;
	}
	*length = best_len;
	return best;
}

static void add_v6(struct text *t, const struct tcpwhy_addr *a)
{
	unsigned run_len, run = zero_run(a, &run_len);

	for (unsigned i = 0; i < 8; i++) {
		if (i == run) {
			text_add(t, "::");
			i += run_len - 1;
			continue;
		}
		if (i && i != run + run_len)
			text_char(t, ':');
		add_hex(t, group_at(a, i));
	}
}

char *address_format(const struct tcpwhy_addr *a, char out[static ADDRESS_TEXT_MAX])
{
	struct text t = text_in(out, ADDRESS_TEXT_MAX);

	if (address_is_v4(a))
		add_v4(&t, a);
	else
		add_v6(&t, a);
	return out;
}

char *endpoint_format(const struct tcpwhy_addr *a, uint16_t port, bool mapped6,
		      char out[static ENDPOINT_TEXT_MAX])
{
	struct text t = text_in(out, ENDPOINT_TEXT_MAX);
	bool v4 = address_is_v4(a);

	if (v4 && !mapped6) {
		add_v4(&t, a);
	} else {
		text_char(&t, '[');
		if (v4) {
			text_add(&t, "::ffff:");
			add_v4(&t, a);
		} else {
			add_v6(&t, a);
		}
		text_char(&t, ']');
	}
	text_char(&t, ':');
	text_number(&t, port);
	return out;
}

/* ----------------------------------------------------------------------------------- from text */

/* Decimal 0..max without sign, white space or needless leading zeros. Returns past it, NULL if
 * none. */
static const char *parse_decimal(const char *s, unsigned max, unsigned *out)
{
	unsigned n = 0;
	const char *start = s;

	while (*s >= '0' && *s <= '9') {
		n = n * 10 + (unsigned)(*s++ - '0');
		if (n > max || s - start > 5)
			return NULL;
	}
	if (s == start || (s - start > 1 && *start == '0'))
		return NULL;
	*out = n;
	return s;
}

static const char *parse_v4(const char *s, uint8_t out[4])
{
	for (unsigned i = 0; i < 4; i++) {
		unsigned n;
		if (i && *s++ != '.')
			return NULL;
		s = parse_decimal(s, 255, &n);
		if (!s)
			return NULL;
		out[i] = (uint8_t)n;
	}
	return s;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static const char *parse_group(const char *s, uint8_t out[2])
{
	unsigned n = 0, digits = 0;

	for (; hex_digit(*s) >= 0; s++, digits++) {
		if (digits == 4)
			return NULL;
		n = n << 4 | (unsigned)hex_digit(*s);
	}
	if (!digits)
		return NULL;
	out[0] = (uint8_t)(n >> 8);
	out[1] = (uint8_t)n;
	return s;
}

/* Puts the zeros that "::" stands for where they belong. gap is the byte after which it stood, or
 * -1. */
static bool spread_gap(uint8_t bytes[16], unsigned used, int gap)
{
	if (gap < 0)
		return used == 16;
	if (used > 14)
		return false;
	unsigned tail = used - (unsigned)gap;
	memmove(bytes + 16 - tail, bytes + gap, tail);
	memset(bytes + gap, 0, 16 - used);
	return true;
}

static bool parse_v6(const char *s, uint8_t out[16])
{
	uint8_t bytes[16] = {0};
	unsigned used = 0;
	int gap = -1;

	if (s[0] == ':' && s[1] == ':') {
		gap = 0;
		s += 2;
	}
	while (*s) {
		uint8_t quad[4];
		const char *end = parse_v4(s, quad);
		if (end && !*end && used <= 12) {
			memcpy(bytes + used, quad, 4);
			used += 4;
			break;
		}
		if (used > 14 || !(s = parse_group(s, bytes + used)))
			return false;
		used += 2;
		if (!*s)
			break;
		if (*s++ != ':' || (!*s && (gap < 0 || (unsigned)gap != used)))
			return false;
		if (*s == ':') {
			if (gap >= 0)
				return false;
			gap = (int)used;
			s++;
		}
	}
	if (!spread_gap(bytes, used, gap))
		return false;
	memcpy(out, bytes, 16);
	return true;
}

bool address_parse(const char *text, struct tcpwhy_addr *out, enum tcpwhy_family *family)
{
	uint8_t quad[4];
	const char *end = parse_v4(text, quad);

	if (end && !*end) {
		*out = address_v4(quad);
		*family = TCPWHY_IPV4;
		return true;
	}
	if (!parse_v6(text, out->b))
		return false;
	*family = TCPWHY_IPV6;
	return true;
}

/* Copies [from, to) into a terminated buffer. */
static bool cut(const char *from, const char *to, char *out, size_t size)
{
	size_t n = (size_t)(to - from);

	if (n >= size)
		return false;
	memcpy(out, from, n);
	out[n] = '\0';
	return true;
}

static const char *last_colon(const char *s)
{
	const char *found = NULL;

	for (; *s; s++)
		if (*s == ':')
			found = s;
	return found;
}

/* The '%' in [from, to), or to. */
static const char *zone_mark(const char *from, const char *to)
{
	while (from < to && *from != '%')
		from++;
	return from;
}

const char *endpoint_parse_zone(const char *text, struct tcpwhy_addr *addr,
				enum tcpwhy_family *family, uint16_t *port,
				char zone[static ZONE_TEXT_MAX])
{
	char name[ZONE_TEXT_MAX] = "";
	char host[ADDRESS_TEXT_MAX];
	const char *colon = last_colon(text), *from = text, *to = colon;
	struct tcpwhy_addr a = address_v4_number(0);
	enum tcpwhy_family f = TCPWHY_IPV4;
	unsigned number;
	bool brackets = *text == '[';

	if (!colon)
		return "has no port (ADDRESS:PORT is wanted)";
	if (brackets) {
		from++;
		if (colon <= from || colon[-1] != ']')
			return "has no ']' before the port";
		to--;
	}
	const char *mark = zone_mark(from, to);
	if (mark < to && (mark + 1 == to || !cut(mark + 1, to, name, sizeof(name))))
		return "has no name of a device behind '%' (1 to 15 bytes)";
	if (!cut(from, mark, host, sizeof(host)))
		return "has an address that is too long";
	if (host[0] && !text_equal(host, "*") && !address_parse(host, &a, &f))
		return "has no numeric address (names are not looked up)";
	if ((host[0] && !brackets && f == TCPWHY_IPV6) || (brackets && f == TCPWHY_IPV4))
		return "has an IPv6 address without brackets, or brackets around another ([::1]:80 "
		       "is wanted)";
	if (name[0] && !address_is_link_local6(&a))
		return "has a device behind '%', which only a link-local IPv6 address has";
	const char *end = parse_decimal(colon + 1, 65535, &number);
	if (!end || *end)
		return "has no port between 0 and 65535";
	*addr = a;
	*family = f;
	*port = (uint16_t)number;
	memcpy(zone, name, sizeof(name));
	return NULL;
}

const char *endpoint_parse(const char *text, struct tcpwhy_addr *addr, enum tcpwhy_family *family,
			   uint16_t *port)
{
	enum tcpwhy_family f;
	struct tcpwhy_addr a;
	uint16_t p;
	char zone[ZONE_TEXT_MAX];
	const char *wrong = endpoint_parse_zone(text, &a, &f, &p, zone);

	if (wrong)
		return wrong;
	if (zone[0])
		return "names a device behind '%', which has no place here";
	*addr = a;
	*family = f;
	*port = p;
	return NULL;
}
