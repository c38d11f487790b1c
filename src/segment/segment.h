/* SPDX-License-Identifier: MIT
 *
 * segment.h - one TCP segment, or an ICMP error about one, as far as a connection's fate hangs on
 * it
 *
 * No payload, only its length; no urgent pointer, no window scaling (a window is in bytes), and of
 * SACK only the option in a SYN and the right-most block. Congestion control does not live here, so
 * nothing more is needed.
 */
#ifndef TCPWHY_SEGMENT_SEGMENT_H
#define TCPWHY_SEGMENT_SEGMENT_H

#include "tcpwhy/engine.h"

/* The bits of the TCP header. */
enum segment_flag {
	SEGMENT_FIN = 1u << 0,
	SEGMENT_SYN = 1u << 1,
	SEGMENT_RST = 1u << 2,
	SEGMENT_PSH = 1u << 3,
	SEGMENT_ACK = 1u << 4,
};

/* What an ICMP error says (RFC 792, RFC 4443 3.1): as nftables names them. */
enum segment_error {
	SEGMENT_NO_ERROR,
	SEGMENT_PORT_UNREACHABLE,
	SEGMENT_HOST_UNREACHABLE, /* IPv6: address unreachable */
	SEGMENT_NO_ROUTE,         /* IPv4: network unreachable */
	SEGMENT_ADMIN_PROHIBITED, /* IPv4: communication administratively prohibited */
};

/* With an error it is no segment but ICMP about one, written as that one's answer: addresses and
 * ports are exchanged, seq is the one that is quoted, and nothing else counts. Who sent it does not
 * matter to TCP. */
struct segment {
	struct tcpwhy_addr from, to;
	uint16_t from_port, to_port;
	uint32_t device; /* arriving: on it, ifindex; leaving: its socket is bound to it, or 0 */
	uint8_t flags;   /* of enum segment_flag */
	uint8_t error;   /* enum segment_error; 0: a segment */
	bool sack_permitted; /* only in a SYN */
	bool has_timestamp, has_sack;
	uint32_t seq, ack; /* ack is 0 without SEGMENT_ACK */
	uint32_t length;   /* of the payload */
	uint32_t window;   /* bytes */
	uint32_t tsval, tsecr;
	/* has_sack: the right-most block's left and right edge. Nobody here asks for the left one:
	 * it is for captures. */
	uint32_t sack_left, sack_edge;
};

/* Sequence numbers wrap (RFC 9293 3.4): a before b, a after b. */
static inline bool seq_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool seq_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

/* The number after the last that the segment takes: SYN and FIN take one each. */
static inline uint32_t segment_end(const struct segment *s)
{
	return s->seq + s->length + (s->flags & SEGMENT_SYN ? 1 : 0) +
	       (s->flags & SEGMENT_FIN ? 1 : 0);
}

#endif
