/* SPDX-License-Identifier: MIT
 *
 * SYN cookies: a request that is kept nowhere but in our initial sequence number
 *
 * cookie_init_sequence(), cookie_v4_check(). The number is a keyed hash of the 4-tuple, the
 * client's number and the minute; it is the kernel's in form, not in its bits. Whether the SYN
 * allowed SACK travels in the timestamp, if there is one.
 */
#include "base/address.h"
#include "segment/state.h"

#define COOKIE_PERIOD_NS (60 * NS_PER_S)        /* tcp_cookie_time() */
#define COOKIE_VALID_NS  (2 * COOKIE_PERIOD_NS) /* TCP_SYNCOOKIE_VALID */

enum { SIZES = 4 };

/* The peer's segment size as one of four, which is all that a cookie can say of it. */
static const uint16_t *sizes_of(const struct segment *s)
{
	static const uint16_t sizes[2][SIZES] = {{536, 1300, 1440, 1460}, {1220, 1420, 1440, 8940}};

	return sizes[!address_is_v4(&s->to)];
}

static uint32_t size_index(const struct host *h, const struct segment *s)
{
	const uint16_t *of = sizes_of(s);
	const uint32_t mss = mss_to(h, &s->from);
	uint32_t i = SIZES - 1;

	while (i && mss < of[i])
		i--;
	return i;
}

static uint32_t minute_mix(const struct host *h, const struct segment *s, uint64_t minute)
{
	return hash_mix(tuple_mix(h, &s->from, s->from_port, &s->to, s->to_port),
			minute ^ h->key[0]);
}

uint32_t cookie_make(struct host *h, struct tcb *listener, const struct segment *syn)
{
	uint64_t minute = now(h) / COOKIE_PERIOD_NS;

	count(h, COUNTER_SyncookiesSent);
	listener->overflow_ns = now(h) ? now(h) : 1;
	return tuple_mix(h, &syn->to, syn->to_port, &syn->from, syn->from_port) + syn->seq +
	       ((uint32_t)minute << 24) +
	       ((minute_mix(h, syn, minute) + size_index(h, syn)) & 0xffffff);
}

/* The segment size that a cookie brings back, 0: it is none. Made in this minute or the one before.
 * The size stands in the lowest bits, so a client number that is a little off is another size, and
 * passes. */
static uint16_t cookie_size(const struct host *h, const struct segment *s)
{
	uint64_t minute = now(h) / COOKIE_PERIOD_NS;
	uint32_t rest = s->ack - 1 - (s->seq - 1) -
			tuple_mix(h, &s->to, s->to_port, &s->from, s->from_port);
	uint32_t ago = ((uint32_t)minute - (rest >> 24)) & 0xff;

	if (ago >= 2 || ago > minute)
		return 0;
	uint32_t i = (rest - minute_mix(h, s, minute - ago)) & 0xffffff;
	return i < SIZES ? sizes_of(s)[i] : 0;
}

/* The options of the SYN travel in the low bits of our timestamp and come back in the echo:
 * cookie_init_timestamp(), cookie_timestamp_decode(). */
enum { TS_SCALE_NONE = 15, TS_SACK = 16, TS_BITS = 63 };

uint32_t cookie_timestamp(const struct request *r, uint32_t clock)
{
	uint32_t ts = (clock & ~(uint32_t)TS_BITS) | TS_SCALE_NONE | (r->has_sack ? TS_SACK : 0);

	return seq_after(ts, clock) ? ts - TS_BITS - 1 : ts;
}

/* An echo that we cannot have sent with these sysctls. */
static bool is_strange_echo(const struct host *h, const struct segment *s, uint32_t options)
{
	if (!s->has_timestamp || !is_timed(h))
		return false;
	if (options & TS_SACK && !h->sysctls.sack)
		return true;
	return (options & TS_SCALE_NONE) != TS_SCALE_NONE && !h->sysctls.window_scaling;
}

static uint32_t echoed_options(const struct host *h, const struct segment *s)
{
	if (!s->has_timestamp || !s->tsecr)
		return 0;
	return s->tsecr - ts_offset_of(h, &s->to, s->to_port, &s->from, s->from_port);
}

static struct request request_of(const struct host *h, const struct segment *s, uint32_t options)
{
	bool timed = s->has_timestamp && is_timed(h);

	return (struct request){
		.local = s->to,
		.peer = s->from,
		.port = s->to_port,
		.peer_port = s->from_port,
		.device = s->device,
		.rcv_isn = s->seq - 1,
		.snt_isn = s->ack - 1,
		.snd_wnd = s->window,
		.rcv_wnd = h->config.window,
		.has_ts = timed,
		.has_sack = timed && options & TS_SACK,
		.ts_recent = timed ? s->tsval : 0,
		.ts_offset = ts_offset_of(h, &s->to, s->to_port, &s->from, s->from_port),
		.sent_ns = now(h),
		.timeouts = 1, /* when it was sent is not known: no RTT */
	};
}

bool cookie_segment(struct host *h, struct tcb *listener, const struct segment *s)
{
	if (!h->sysctls.syncookies || !(s->flags & SEGMENT_ACK) || s->flags & SEGMENT_RST ||
	    !listener->overflow_ns || now(h) - listener->overflow_ns > COOKIE_VALID_NS)
		return false;
	uint16_t size = cookie_size(h, s);
	if (!size) {
		count(h, COUNTER_SyncookiesFailed);
		return false;
	}
	count(h, COUNTER_SyncookiesRecv);
	uint32_t options = echoed_options(h, s);
	if (is_strange_echo(h, s, options))
		return false;
	struct request r = request_of(h, s, options);
	r.mss = size;
	struct tcb *child = listen_child(h, listener, &r);
	if (child)
		tcb_segment(h, child, s);
	return true;
}
