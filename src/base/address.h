/* SPDX-License-Identifier: MIT
 *
 * address.h - one address type for IPv4 and IPv6
 *
 * IPv4 is kept v4-mapped, so equality is one compare and most "which family" branches vanish. The
 * family of a socket is another thing: an IPv6 socket may hold a v4-mapped address.
 */
#ifndef TCPWHY_BASE_ADDRESS_H
#define TCPWHY_BASE_ADDRESS_H

#include <string.h>

#include "tcpwhy/engine.h"

/* Longest text of address_format() and endpoint_format(), with the terminating zero. */
#define ADDRESS_TEXT_MAX  48
#define ENDPOINT_TEXT_MAX 56
#define ZONE_TEXT_MAX     16 /* IFNAMSIZ */

/* a.b.c.d from its four bytes in network order. */
struct tcpwhy_addr address_v4(const uint8_t bytes[4]);
/* a.b.c.d as a number in host order: 0x7f000001 is 127.0.0.1. */
static inline struct tcpwhy_addr address_v4_number(uint32_t n)
{
	return (struct tcpwhy_addr){.b = {[10] = 0xff,
					  [11] = 0xff,
					  [12] = (uint8_t)(n >> 24),
					  [13] = (uint8_t)(n >> 16),
					  [14] = (uint8_t)(n >> 8),
					  [15] = (uint8_t)n}};
}

static inline bool address_equal(const struct tcpwhy_addr *a, const struct tcpwhy_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* v4-mapped, 0.0.0.0 included */
static inline bool address_is_v4(const struct tcpwhy_addr *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(a->b, mapped, sizeof(mapped)) == 0;
}

/* host order; only if address_is_v4() */
static inline uint32_t address_v4_of(const struct tcpwhy_addr *a)
{
	return (uint32_t)a->b[12] << 24 | (uint32_t)a->b[13] << 16 | (uint32_t)a->b[14] << 8 |
	       a->b[15];
}

/* :: only */
static inline bool address_is_any6(const struct tcpwhy_addr *a)
{
	static const struct tcpwhy_addr any;

	return address_equal(a, &any);
}

/* :: or 0.0.0.0 */
static inline bool address_is_any(const struct tcpwhy_addr *a)
{
	return address_is_any6(a) || (address_is_v4(a) && address_v4_of(a) == 0);
}

/* 127/8, ::1 */
static inline bool address_is_loopback(const struct tcpwhy_addr *a)
{
	static const struct tcpwhy_addr loopback6 = {.b = {[15] = 1}};

	return address_is_v4(a) ? a->b[12] == 127 : address_equal(a, &loopback6);
}

bool address_is_link_local6(const struct tcpwhy_addr *a); /* fe80::/10 */
bool address_is_multicast6(const struct tcpwhy_addr *a);
bool address_is_multicast4(const struct tcpwhy_addr *a);
/* 255.255.255.255, which inet_addr_type() calls broadcast without looking at any route. */
bool address_is_broadcast4(const struct tcpwhy_addr *a);
/* Whether the first prefix_len bits (0..128, of the 16-byte form) are equal. */
bool address_in_prefix(const struct tcpwhy_addr *a, const struct tcpwhy_addr *prefix,
		       unsigned prefix_len);

/* Text of an address: a.b.c.d for v4-mapped, RFC 5952 for the others. Returns out. */
char *address_format(const struct tcpwhy_addr *a, char out[static ADDRESS_TEXT_MAX]);
/* "a.b.c.d:port" or "[v6]:port". mapped6 writes a v4-mapped address as [::ffff:a.b.c.d]. */
char *endpoint_format(const struct tcpwhy_addr *a, uint16_t port, bool mapped6,
		      char out[static ENDPOINT_TEXT_MAX]);

/* Parses an address without brackets. *family is the family of the text: ::ffff:1.2.3.4 is
 * TCPWHY_IPV6. False, with outputs untouched, if the text is none (zone ids are not taken). */
bool address_parse(const char *text, struct tcpwhy_addr *out, enum tcpwhy_family *family);
/* Parses "A:PORT", "[V6]:PORT", "*:PORT" or ":PORT" (both 0.0.0.0). NULL, or what is wrong with the
 * text, with outputs untouched. */
const char *endpoint_parse(const char *text, struct tcpwhy_addr *addr, enum tcpwhy_family *family,
			   uint16_t *port);
/* The same, and a link-local address may name its device, as in "[fe80::1%eth0]:80": zone gets the
 * name, "" if there is none. */
const char *endpoint_parse_zone(const char *text, struct tcpwhy_addr *addr,
				enum tcpwhy_family *family, uint16_t *port,
				char zone[static ZONE_TEXT_MAX]);

#endif
