/* SPDX-License-Identifier: MIT */
#include "case/frame.h"

#include "base/text.h"

#include <string.h>

enum {
	ETHERNET = 14,
	ETHER_IPV4 = 0x0800,
	ETHER_IPV6 = 0x86dd,
	IPV4 = 20,
	IPV6 = 40,
	PROTOCOL_TCP = 6,
	TCP = 20,
	OPTIONS_MAX = 40,
	DEFAULT_TTL = 64,
};

enum option_kind {
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_MSS = 2,
	OPTION_WSCALE = 3,
	OPTION_SACK_PERMITTED = 4,
	OPTION_SACK = 5,
	OPTION_TIMESTAMPS = 8,
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint32_t n)
{
	p[0] = (uint8_t)(n >> 8);
	p[1] = (uint8_t)n;
}

static void put32(uint8_t *p, uint32_t n)
{
	put16(p, n >> 16);
	put16(p + 2, n & 0xffff);
}

/* ------------------------------------------------------------------------------------ checksum */

/* At most 65,575 bytes are summed: the carries fit. */
static uint32_t sum_words(const uint8_t *p, size_t len, uint32_t sum)
{
	for (; len > 1; p += 2, len -= 2)
		sum += get16(p);
	return len ? sum + (uint32_t)(p[0] << 8) : sum;
}

static uint16_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* Over the pseudo header and the segment. 0 if the segment holds its right checksum. */
static uint16_t tcp_checksum(const struct tcpwhy_addr *from, const struct tcpwhy_addr *to,
			     const uint8_t *tcp, size_t len)
{
	const size_t skip = address_is_v4(from) ? 12 : 0;
	uint32_t sum = PROTOCOL_TCP + (uint32_t)len;

	sum = sum_words(from->b + skip, 16 - skip, sum);
	sum = sum_words(to->b + skip, 16 - skip, sum);
	return sum_fold(sum_words(tcp, len, sum));
}

/* ------------------------------------------------------------------------------------- reading */

struct span {
	const uint8_t *at;
	size_t len;
};

static enum frame_kind read_ipv4(struct span ip, struct frame *f, struct span *tcp)
{
	if (ip.len < IPV4 || ip.at[0] >> 4 != 4)
		return FRAME_OTHER;
	const size_t header = (size_t)(ip.at[0] & 15) * 4, total = get16(ip.at + 2);
	const bool is_fragment = get16(ip.at + 6) & 0x3fff;

	if (ip.at[9] != PROTOCOL_TCP || is_fragment)
		return FRAME_OTHER;
	if (header < IPV4 || total < header || total > ip.len ||
	    sum_fold(sum_words(ip.at, header, 0)))
		return FRAME_BAD;
	f->ttl = ip.at[8];
	f->from = address_v4(ip.at + 12);
	f->to = address_v4(ip.at + 16);
	*tcp = (struct span){ip.at + header, total - header};
	return FRAME_TCP;
}

static enum frame_kind read_ipv6(struct span ip, struct frame *f, struct span *tcp)
{
	if (ip.len < IPV6 || ip.at[0] >> 4 != 6 || ip.at[6] != PROTOCOL_TCP)
		return FRAME_OTHER;
	const size_t total = get16(ip.at + 4);

	if (total > ip.len - IPV6)
		return FRAME_BAD;
	f->ttl = ip.at[7];
	memcpy(f->from.b, ip.at + 8, 16);
	memcpy(f->to.b, ip.at + 24, 16);
	*tcp = (struct span){ip.at + IPV6, total};
	/* v4-mapped addresses may not be on a wire, and would be taken for IPv4 here */
	return address_is_v4(&f->from) || address_is_v4(&f->to) ? FRAME_OTHER : FRAME_TCP;
}

static void read_sacks(const uint8_t *at, size_t len, struct frame *f)
{
	for (size_t i = 0; i + 8 <= len && f->n_sacks < FRAME_SACKS; i += 8)
		f->sacks[f->n_sacks++] = (struct frame_sack){get32(at + i), get32(at + i + 4)};
}

/* One option with its whole length. A wrong length makes it one that we do not know, as in
 * tcp_parse_options(). */
static void read_option(const uint8_t *o, size_t len, struct frame *f)
{
	if (o[0] == OPTION_MSS && len == 4) {
		f->has_mss = true;
		f->mss = get16(o + 2);
	} else if (o[0] == OPTION_WSCALE && len == 3) {
		f->has_wscale = true;
		f->wscale = o[2];
	} else if (o[0] == OPTION_SACK_PERMITTED && len == 2) {
		f->sack_permitted = true;
	} else if (o[0] == OPTION_TIMESTAMPS && len == 10) {
		f->has_timestamps = true;
		f->tsval = get32(o + 2);
		f->tsecr = get32(o + 6);
	} else if (o[0] == OPTION_SACK && len > 2 && (len - 2) % 8 == 0) {
		read_sacks(o + 2, len - 2, f);
	}
}

static void read_options(struct span o, struct frame *f)
{
	while (o.len && o.at[0] != OPTION_END) {
		size_t len = 1;

		if (o.at[0] != OPTION_NOP) {
			len = o.len > 1 ? o.at[1] : 0;
			if (len < 2 || len > o.len)
				return;
			read_option(o.at, len, f);
		}
		o.at += len;
		o.len -= len;
	}
}

static enum frame_kind read_tcp(struct span tcp, struct frame *f)
{
	if (tcp.len < TCP)
		return FRAME_BAD;
	const size_t header = (size_t)(tcp.at[12] >> 4) * 4;

	if (header < TCP || header > tcp.len || tcp_checksum(&f->from, &f->to, tcp.at, tcp.len))
		return FRAME_BAD;
	f->from_port = get16(tcp.at);
	f->to_port = get16(tcp.at + 2);
	f->seq = get32(tcp.at + 4);
	f->ack = get32(tcp.at + 8);
	f->flags = tcp.at[13];
	f->window = get16(tcp.at + 14);
	f->payload = tcp.at + header;
	f->payload_len = (uint16_t)(tcp.len - header);
	read_options((struct span){tcp.at + TCP, header - TCP}, f);
	return FRAME_TCP;
}

enum frame_kind frame_read(const uint8_t *bytes, size_t len, struct frame *f)
{
	struct frame read = {0};
	struct span tcp;
	enum frame_kind kind = FRAME_OTHER;

	if (len < ETHERNET || len > FRAME_MAX)
		return FRAME_OTHER;
	const struct span ip = {bytes + ETHERNET, len - ETHERNET};
	const uint16_t type = get16(bytes + 12);

	memcpy(read.to_mac, bytes, FRAME_MAC);
	memcpy(read.from_mac, bytes + FRAME_MAC, FRAME_MAC);
	if (type == ETHER_IPV4)
		kind = read_ipv4(ip, &read, &tcp);
	else if (type == ETHER_IPV6)
		kind = read_ipv6(ip, &read, &tcp);
	if (kind == FRAME_TCP)
		kind = read_tcp(tcp, &read);
	if (kind == FRAME_TCP)
		*f = read;
	return kind;
}

/* ------------------------------------------------------------------------------------ building */

static size_t put_option(uint8_t *at, enum option_kind kind, size_t len)
{
	at[0] = (uint8_t)kind;
	at[1] = (uint8_t)len;
	return len;
}

static size_t put_sacks(const struct frame *f, uint8_t *at)
{
	for (unsigned i = 0; i < f->n_sacks; i++) {
		put32(at + 2 + 8 * i, f->sacks[i].left);
		put32(at + 6 + 8 * i, f->sacks[i].right);
	}
	return put_option(at, OPTION_SACK, 2 + 8 * (size_t)f->n_sacks);
}

/* Returns the length, a multiple of four that may be beyond what a header can hold. */
static size_t put_options(const struct frame *f, uint8_t at[static 2 * OPTIONS_MAX])
{
	size_t n = 0;

	if (f->has_mss) {
		put16(at + n + 2, f->mss);
		n += put_option(at + n, OPTION_MSS, 4);
	}
	if (f->sack_permitted)
		n += put_option(at + n, OPTION_SACK_PERMITTED, 2);
	if (f->has_timestamps) {
		put32(at + n + 2, f->tsval);
		put32(at + n + 6, f->tsecr);
		n += put_option(at + n, OPTION_TIMESTAMPS, 10);
	}
	if (f->has_wscale) {
		at[n + 2] = f->wscale;
		n += put_option(at + n, OPTION_WSCALE, 3);
	}
	if (f->n_sacks)
		n += put_sacks(f, at + n);
	while (n % 4)
		at[n++] = OPTION_NOP;
	return n;
}

static void put_tcp(const struct frame *f, const uint8_t *options, size_t options_len, uint8_t *tcp)
{
	const size_t header = TCP + options_len;

	put16(tcp, f->from_port);
	put16(tcp + 2, f->to_port);
	put32(tcp + 4, f->seq);
	put32(tcp + 8, f->ack);
	tcp[12] = (uint8_t)(header / 4 << 4);
	tcp[13] = f->flags;
	put16(tcp + 14, f->window);
	memset(tcp + 16, 0, 4); /* checksum, urgent pointer */
	memcpy(tcp + TCP, options, options_len);
	if (f->payload_len)
		memcpy(tcp + header, f->payload, f->payload_len);
	put16(tcp + 16, tcp_checksum(&f->from, &f->to, tcp, header + f->payload_len));
}

static void put_ipv4(const struct frame *f, size_t tcp_len, uint8_t *ip)
{
	memset(ip, 0, IPV4);
	ip[0] = 0x45;
	put16(ip + 2, (uint32_t)(IPV4 + tcp_len));
	ip[6] = 0x40; /* don't fragment */
	ip[8] = f->ttl ? f->ttl : DEFAULT_TTL;
	ip[9] = PROTOCOL_TCP;
	memcpy(ip + 12, f->from.b + 12, 4);
	memcpy(ip + 16, f->to.b + 12, 4);
	put16(ip + 10, sum_fold(sum_words(ip, IPV4, 0)));
}

static void put_ipv6(const struct frame *f, size_t tcp_len, uint8_t *ip)
{
	memset(ip, 0, 8);
	ip[0] = 0x60;
	put16(ip + 4, (uint32_t)tcp_len);
	ip[6] = PROTOCOL_TCP;
	ip[7] = f->ttl ? f->ttl : DEFAULT_TTL;
	memcpy(ip + 8, f->from.b, 16);
	memcpy(ip + 24, f->to.b, 16);
}

size_t frame_build(const struct frame *f, uint8_t *out, size_t size)
{
	const bool v4 = address_is_v4(&f->from);
	const size_t ip_len = v4 ? IPV4 : IPV6;
	uint8_t options[2 * OPTIONS_MAX];

	if (v4 != address_is_v4(&f->to) || f->n_sacks > FRAME_SACKS)
		return 0;
	const size_t options_len = put_options(f, options);
	const size_t tcp_len = TCP + options_len + f->payload_len;
	const size_t whole = ETHERNET + ip_len + tcp_len;

	if (options_len > OPTIONS_MAX || whole > FRAME_MAX || whole > size)
		return 0;
	memcpy(out, f->to_mac, FRAME_MAC);
	memcpy(out + FRAME_MAC, f->from_mac, FRAME_MAC);
	put16(out + 12, v4 ? ETHER_IPV4 : ETHER_IPV6);
	(v4 ? put_ipv4 : put_ipv6)(f, tcp_len, out + ETHERNET);
	put_tcp(f, options, options_len, out + ETHERNET + ip_len);
	return whole;
}

/* Where TCP begins, and where the IP packet ends; false: it is no IP packet, or they lie elsewhere.
 */
static bool find_tcp(const uint8_t *head, size_t n, size_t *tcp, size_t *end)
{
	const uint16_t type = n < ETHERNET + IPV4 ? 0 : get16(head + 12);

	if (type == ETHER_IPV4) {
		*tcp = ETHERNET + (size_t)(head[ETHERNET] & 15) * 4;
		*end = ETHERNET + (size_t)get16(head + ETHERNET + 2);
	} else if (type == ETHER_IPV6 && n >= ETHERNET + IPV6) {
		*tcp = ETHERNET + IPV6;
		*end = ETHERNET + IPV6 + (size_t)get16(head + ETHERNET + 4);
	} else {
		return false;
	}
	return *tcp + TCP <= n && *tcp + TCP <= *end;
}

size_t frame_blank(const uint8_t *head, size_t n, uint8_t *out, size_t size)
{
	size_t tcp, end;

	if (!find_tcp(head, n, &tcp, &end))
		return 0;
	const size_t payload = tcp + (size_t)(head[tcp + 12] >> 4) * 4;
	struct frame f = {0};

	if (payload < tcp + TCP || payload > n || payload > end || end > size || end > FRAME_MAX)
		return 0;
	memcpy(out, head, payload);
	memset(out + payload, 0, end - payload);
	const struct span ip = {out + ETHERNET, end - ETHERNET};
	struct span segment;
	if ((get16(out + 12) == ETHER_IPV4 ? read_ipv4 : read_ipv6)(ip, &f, &segment) != FRAME_TCP)
		return 0;
	put16(out + tcp + 16, 0);
	put16(out + tcp + 16, tcp_checksum(&f.from, &f.to, out + tcp, end - tcp));
	return end;
}

uint32_t frame_seq_len(const struct frame *f)
{
	return f->payload_len + (f->flags & FRAME_SYN ? 1u : 0u) + (f->flags & FRAME_FIN ? 1u : 0u);
}

struct frame frame_reply(const struct frame *f)
{
	struct frame r = {
		.from = f->to,
		.to = f->from,
		.from_port = f->to_port,
		.to_port = f->from_port,
	};

	memcpy(r.to_mac, f->from_mac, FRAME_MAC);
	memcpy(r.from_mac, f->to_mac, FRAME_MAC);
	return r;
}

/* ---------------------------------------------------------------------------------------- text */

static void add_endpoint(struct text *t, const struct tcpwhy_addr *a, uint16_t port)
{
	char text[ENDPOINT_TEXT_MAX];

	text_add(t, endpoint_format(a, port, false, text));
}

static void add_field(struct text *t, const char *name, uint64_t n)
{
	text_char(t, ' ');
	text_add(t, name);
	text_char(t, ' ');
	text_number(t, n);
}

static void add_flags(struct text *t, uint8_t flags)
{
	static const char *const names[8] = {"FIN", "SYN", "RST", "PSH",
					     "ACK", "URG", "ECE", "CWR"};

	for (unsigned i = 0; i < 8; i++) {
		if (!(flags & 1u << i))
			continue;
		text_char(t, ' ');
		text_add(t, names[i]);
	}
}

static void add_options(struct text *t, const struct frame *f)
{
	if (f->has_mss)
		add_field(t, "mss", f->mss);
	if (f->sack_permitted)
		text_add(t, " sackok");
	if (f->has_timestamps) {
		add_field(t, "ts", f->tsval);
		add_field(t, "ecr", f->tsecr);
	}
	if (f->has_wscale)
		add_field(t, "wscale", f->wscale);
	for (unsigned i = 0; i < f->n_sacks; i++) {
		add_field(t, "sack", f->sacks[i].left);
		text_char(t, '-');
		text_number(t, f->sacks[i].right);
	}
}

char *frame_format(const struct frame *f, char out[static FRAME_TEXT_MAX])
{
	struct text t = text_in(out, FRAME_TEXT_MAX);

	add_endpoint(&t, &f->from, f->from_port);
	text_add(&t, " > ");
	add_endpoint(&t, &f->to, f->to_port);
	add_flags(&t, f->flags);
	add_field(&t, "seq", f->seq);
	if (f->flags & FRAME_ACK)
		add_field(&t, "ack", f->ack);
	add_field(&t, "win", f->window);
	add_field(&t, "len", f->payload_len);
	add_options(&t, f);
	return out;
}
