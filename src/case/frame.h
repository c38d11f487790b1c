/* SPDX-License-Identifier: MIT
 *
 * frame.h - TCP segments as frames of an Ethernet: taken apart and put together
 *
 * What the relay looks at, the capture shows and tests send. Only Ethernet without VLAN tags, IPv4
 * and IPv6 without fragments, TCP. Options that are not named here are passed over when reading.
 * No input can make the reader look beyond its length. It makes no system call.
 *
 * Numbers are in host order; addresses as everywhere (IPv4 v4-mapped); MACs as on the wire.
 * RFC 9293 3.1, RFC 7323 2 and 3, RFC 2018.
 */
#ifndef TCPWHY_CASE_FRAME_H
#define TCPWHY_CASE_FRAME_H

#include "base/address.h"

enum {
	FRAME_FIN = 0x01,
	FRAME_SYN = 0x02,
	FRAME_RST = 0x04,
	FRAME_PSH = 0x08,
	FRAME_ACK = 0x10,
	FRAME_URG = 0x20,
	FRAME_ECE = 0x40,
	FRAME_CWR = 0x80,
};

enum {
	FRAME_MAX = 14 + 65535, /* no frame that is built or read is longer */
	FRAME_MAC = 6,
	FRAME_SACKS = 4,
	FRAME_TEXT_MAX = 384,
};

struct frame_sack {
	uint32_t left, right; /* right is one past the last byte */
};

/* One TCP segment. An option is there if its has_ says so. */
struct frame {
	uint8_t to_mac[FRAME_MAC], from_mac[FRAME_MAC];
	struct tcpwhy_addr from, to;
	uint16_t from_port, to_port;
	uint8_t ttl; /* hop limit; frame_build() writes 64 for 0 */
	uint8_t flags;
	uint16_t window; /* as on the wire, not scaled */
	uint32_t seq, ack;
	bool has_mss, has_wscale, has_timestamps, sack_permitted;
	uint16_t mss;
	uint8_t wscale;
	uint32_t tsval, tsecr;
	uint8_t n_sacks;
	struct frame_sack sacks[FRAME_SACKS];
	uint16_t payload_len;
	const uint8_t *payload; /* borrowed: of the bytes that were read, or to be sent */
};

enum frame_kind {
	FRAME_TCP,   /* a whole segment */
	FRAME_OTHER, /* ARP, ICMP, UDP, a fragment, an IPv6 extension header ... */
	FRAME_BAD,   /* TCP by its header, but cut, or its lengths or checksums are wrong */
};

/* Takes apart. *f is filled only for FRAME_TCP; f->payload lies in bytes. */
enum frame_kind frame_read(const uint8_t *bytes, size_t len, struct frame *f);

/* Puts together, with right lengths and checksums; options in the order MSS, SACK permitted,
 * timestamps, window scale, SACK blocks. Returns the length, or 0 if it does not fit: into out,
 * into 40 bytes of options, or into an IP packet. from and to must be of one family. */
size_t frame_build(const struct frame *f, uint8_t *out, size_t size);

/* The frame whose first bytes these are, all of its headers among them, with zeros for payload and
 * the checksum that belongs to them. Returns its length; 0: it is no segment that frame_read()
 * would have taken, or does not fit. */
size_t frame_blank(const uint8_t *head, size_t n, uint8_t *out, size_t size);

/* Sequence numbers that the segment takes: payload, and one each for SYN and FIN. */
uint32_t frame_seq_len(const struct frame *f);

/* What answers f: both ends exchanged, MACs too; nothing else is set. */
struct frame frame_reply(const struct frame *f);

/* "10.0.0.1:40000 > 10.0.0.2:80 SYN ACK seq 1 ack 2 win 65535 len 0 <mss 1460 ...>"; returns out.
 */
char *frame_format(const struct frame *f, char out[static FRAME_TEXT_MAX]);

#endif
