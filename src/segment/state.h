/* SPDX-License-Identifier: MIT
 *
 * state.h - what a host is made of; private to src/segment
 *
 *   tcb      a socket or a mini-socket, beside the engine's record of the same number
 *   request  a handshake at a listener before its last ACK (request_sock); the engine knows none
 *
 * The engine decides who owns ports and 4-tuples and when a mini-socket ends; here stands what a
 * segment is measured by. Whoever changes the state of a connection tells the engine in the same
 * function.
 */
#ifndef TCPWHY_SEGMENT_STATE_H
#define TCPWHY_SEGMENT_STATE_H

#include "base/assert.h"
#include "base/memory.h"
#include "segment/host.h"

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define NEVER     UINT64_MAX

#define TIMEWAIT_NS     (60 * NS_PER_S)         /* TCP_TIMEWAIT_LEN */
#define RTO_INIT_NS     NS_PER_S                /* TCP_TIMEOUT_INIT */
#define RTO_MIN_NS      (200 * NS_PER_MS)       /* TCP_RTO_MIN */
#define RTO_FALLBACK_NS (3 * NS_PER_S)          /* TCP_TIMEOUT_FALLBACK */
#define RTO_MAX_NS      (120 * NS_PER_S)        /* TCP_RTO_MAX */
#define PAWS_IDLE_NS    (24 * 86400 * NS_PER_S) /* TCP_PAWS_24DAYS */
#define PAWS_MSL_NS     (60 * NS_PER_S)         /* TCP_PAWS_MSL */

/* Of everything that happens by itself, one heap. */
struct timer {
	uint64_t due_ns;    /* what it was set to */
	uint64_t when_ns;   /* when it runs: not before; 0: it is not set */
	uint64_t queued_ns; /* its entry in the heap has that time; 0: it has none */
};

struct deadline {
	uint64_t when_ns;
	uint32_t id; /* number << 1, or | 1 for a request */
};

/* Sequence numbers from, up to but not including, to. */
struct stretch {
	uint32_t from, to;
};

/* Data that came out of order, of one connection in ascending order, apart. The kernel's limit is
 * memory; what is more than PIECES here is dropped as if the segment had been lost. */
struct piece {
	struct stretch is;
	uint32_t next; /* the connection's next, or the next free one; 0: none */
};

enum { PIECES = 128, FINS = 4, SACKS = 4 };

enum { FLIGHT = 16 };

enum socket_state { UNCONNECTED, CONNECTING, CONNECTED, DISCONNECTING }; /* SS_ */

enum { SHUT_RECEIVE = 1, SHUT_SEND = 2 }; /* RCV_SHUTDOWN, SEND_SHUTDOWN */

struct tcb {
	tcpwhy_sock sock; /* whose; 0: nobody's. Stale when the engine dropped it. */
	struct tcpwhy_addr local, peer;
	uint16_t port, peer_port;
	uint32_t device;
	uint8_t state; /* enum tcpwhy_state; a mini-socket: TIME_WAIT or FIN_WAIT2 */
	uint8_t socket_state;
	uint8_t shut; /* sk_shutdown */
	bool mini : 1;
	bool orphan : 1;  /* SOCK_DEAD */
	bool pending : 1; /* in the accept queue */
	bool done : 1;    /* SOCK_DONE: recv() gives 0 whatever else is wrong */
	bool has_ts : 1, has_sack : 1;
	bool fin_queued : 1; /* write_seq counts it */
	bool ack_due : 1;    /* to be sent when the segment has been dealt with */
	bool linger0 : 1;
	bool rtt_known : 1;
	bool syn_out : 1;    /* our SYN is not acknowledged yet, whatever the state */
	bool syn_again : 1;  /* a SYN or SYN-ACK was sent twice: its answer tells no round trip */
	bool fin_unread : 1; /* the peer's FIN is in the receive queue */
	bool tw_kill : 1;    /* mini: lasts four seconds at most */
	bool overdue : 1;    /* an orphan in FIN_WAIT2 that cannot become a mini-socket; the engine
				has it in FIN_WAIT1 */
	uint16_t mss;        /* of a cookie's connection; 0: the host's */
	int16_t linger2_s;   /* TCP_LINGER2: 0 unset, negative off */
	int error;           /* sk_err, positive */
	int soft_error;      /* sk_err_soft: what an ICMP error said, until an ACK comes */

	uint32_t snd_wl1; /* the segment that the window was taken from */
	uint32_t snd_una, snd_nxt, write_seq, snd_wnd, max_window, bytes_acked;
	uint32_t rcv_nxt, rcv_wup, rcv_wnd; /* rcv_wnd from rcv_wup on */
	uint32_t unread;
	uint32_t ahead; /* the first piece that came before its turn; 0: none */
	uint8_t ahead_used;
	struct stretch
		sacks[SACKS]; /* of the SACK option: those of ahead that grew last, newest first */
	uint8_t sacks_used;
	uint8_t fins_used;
	uint32_t fins[FINS]; /* numbers of FINs that came before their turn; an honest peer has one
			      */
	uint32_t ts_recent, ts_offset, first_tsval;
	uint64_t ts_recent_ns; /* when it was seen; 0: none */
	uint64_t oow_ns;       /* last_oow_ack_time; 0: never */

	uint64_t rto_ns;         /* doubled by each time-out, until there is a sample: icsk_rto */
	uint64_t sampled_rto_ns; /* what the round trip gives */
	uint64_t sent_ns;        /* of what the one RTT sample is taken from */
	uint32_t flight[FLIGHT]; /* where each segment under way ends, oldest first */
	uint32_t again_end;      /* where ended what was sent again last */
	uint8_t flight_used;
	uint8_t probes;            /* without an answer: icsk_probes_out */
	uint8_t backoff;           /* icsk_backoff: how often the time-out has doubled */
	uint32_t retransmits;      /* icsk_retransmits: without those into a closed window */
	uint64_t retransmitted_ns; /* when the first of either kind was; 0: none */
	uint64_t acked_ns;         /* when the last acceptable ACK came: rcv_tstamp */
	uint8_t timer_kind;        /* enum host_timer */
	struct timer timer;

	/* a listener */
	uint32_t backlog, requests, young;
	uint32_t accept_first, accept_last, accept_used;
	uint64_t overflow_ns; /* when a cookie was last sent; 0: never */
	uint32_t queue_limit; /* of the SYN queue, before 4.4 */
	/* a child, and a listener in the list of them */
	uint32_t parent, next;
};

#define ORPHANED (NIL - 1) /* the listener of a request whose listener is gone */

struct request {
	struct tcpwhy_addr local, peer;
	uint16_t port, peer_port;
	uint32_t device, listener; /* device: the listener's; listener: number of its tcb; NIL: the
				      record is free */
	uint32_t next;             /* in the chain of its 4-tuple; free: the next free one */
	uint32_t rcv_isn, snt_isn, ts_recent, ts_offset, first_tsval, last_tsval;
	uint32_t snd_wnd, rcv_wnd;
	bool has_ts, has_sack, acked;
	uint16_t mss; /* that a cookie remembered; 0: the host's */
	bool orphan;  /* its listener is gone (4.4): so is it, at the next segment or time-out */
	uint32_t timeouts, retransmits; /* num_timeout, num_retrans */
	uint64_t oow_ns, sent_ns;
	struct timer timer;
};

/* A destination's last timestamp (tcp_metrics), for tcp_tw_recycle. */
struct remembered {
	struct tcpwhy_addr peer;
	uint32_t ts, next;
	uint64_t stamp_ns;
};

enum { TCB_CHUNK = 64 };

struct host {
	struct memory memory;
	struct tcpwhy_engine *engine;
	struct host_config config;
	struct host_sysctls sysctls;
	uint64_t counters[COUNTER_COUNT];
	uint64_t key[2]; /* of sequence numbers, timestamp offsets and cookies */

	struct tcb **chunks; /* tcbs never move */
	uint32_t chunks_size;
	uint32_t listeners; /* first of the list, NIL */

	struct request *requests;
	uint32_t requests_size, requests_used, requests_free;
	struct chains by_request;

	struct piece *pieces;
	uint32_t pieces_size, pieces_used, pieces_free;

	struct remembered *remembered;
	uint32_t remembered_size, remembered_used;
	struct chains by_remembered;

	struct deadline *heap;
	uint32_t heap_size, heap_used;

	struct segment *out;
	uint32_t out_size, out_first, out_used;

	uint64_t challenge_second;
	uint32_t challenges_left;
};

static inline bool has(const struct host *h, enum tcpwhy_packet_feature f)
{
	return h->config.row->packets & f;
}

/* Of segments, too, where enum tcpwhy_packet_feature had no bit left. */
static inline bool has_feature(const struct host *h, enum tcpwhy_feature f)
{
	return h->config.row->features & f;
}

static inline void count(struct host *h, enum counter c)
{
	h->counters[c]++;
}

static inline void ready(const struct host *h, tcpwhy_sock s)
{
	if (h->config.ready)
		h->config.ready(h->config.ctx, s);
}

static inline uint64_t now(const struct host *h)
{
	return tcpwhy_now(h->engine);
}

static inline bool is_timed(const struct host *h)
{
	return tcpwhy_sysctls(h->engine)->timestamps;
}

/* ---------------------------------------------------------------------------------- table.c */
/* The record of a live handle; NULL: the handle is stale, or was never given a record. */
struct tcb *tcb_of(const struct host *h, tcpwhy_sock s);
/* The same of a handle that the engine has just dropped. */
struct tcb *tcb_was(const struct host *h, tcpwhy_sock s);
/* A fresh record for a handle of the engine's. NULL: no memory. */
struct tcb *tcb_new(struct host *h, tcpwhy_sock s);
struct tcb *tcb_at(const struct host *h, uint32_t number);
static inline uint32_t tcb_number(tcpwhy_sock s)
{
	return (uint32_t)s - 1;
}
/* What the engine has at the tcb's 4-tuple: itself, its mini-socket, or 0. */
tcpwhy_sock tcb_tuple(const struct host *h, const struct tcb *t);
uint32_t request_find(const struct host *h, const struct segment *s);
uint32_t request_find_tuple(const struct host *h, const struct tcpwhy_addr *local, uint16_t port,
			    const struct tcpwhy_addr *peer, uint16_t peer_port);
uint32_t request_new(struct host *h, const struct segment *syn, uint32_t listener);
void request_drop(struct host *h, uint32_t r);
/* Its listener goes. */
void request_orphan(struct host *h, uint32_t r);
/* The listener for an address, NULL: none. */
struct tcb *listener_find(const struct host *h, const struct segment *s);
void listener_add(struct host *h, struct tcb *t);
void listener_remove(struct host *h, struct tcb *t);
/* Keyed hash of a 4-tuple. */
uint32_t tuple_mix(const struct host *h, const struct tcpwhy_addr *local, uint16_t port,
		   const struct tcpwhy_addr *peer, uint16_t peer_port);
/* secure_tcp_seq(), secure_tcp_ts_off(). */
uint32_t isn_of(const struct host *h, const struct tcpwhy_addr *local, uint16_t port,
		const struct tcpwhy_addr *peer, uint16_t peer_port);
uint32_t ts_offset_of(const struct host *h, const struct tcpwhy_addr *local, uint16_t port,
		      const struct tcpwhy_addr *peer, uint16_t peer_port);
uint32_t clock_ms(const struct host *h);

/* ---------------------------------------------------------------------------------- timer.c */
/* False: no memory; then it never fires. */
bool timer_set(struct host *h, struct timer *timer, uint32_t id, uint64_t due_ns);
/* Past the wheel: it runs then. */
bool timer_set_exact(struct host *h, struct timer *timer, uint32_t id, uint64_t when_ns);
void timer_clear(struct host *h, struct timer *timer);
void retransmit_start(struct host *h, struct tcb *t); /* rearms; stops if all is acknowledged */
void retransmit_stop(struct host *h, struct tcb *t);
/* Takes one doubling of the time-out back; what is due by then is sent again now. */
void retransmit_revert(struct host *h, struct tcb *t);
/* The last segment of the handshake: it tells the round trip, or not. */
void rtt_settle(struct host *h, struct tcb *t, const struct segment *s);
/* The first round trip that is known. */
void rtt_sample(const struct host *h, struct tcb *t, uint64_t rtt_ns);
/* A later one: the time-out is again what the round trip gives. */
void rtt_sampled(struct tcb *t);
/* 3.5 times the RTO: the least time for an orphan, and a recycled TIME_WAIT's. */
uint64_t rto_and_half(const struct tcb *t);
/* So often doubled, but two minutes at most. */
uint64_t time_backed_off(uint64_t ns, uint32_t times);
/* tcp_orphan_retries(). alive: not yet two minutes between two of them. */
uint32_t orphan_retries(const struct host *h, const struct tcb *t, bool alive);

/* ---------------------------------------------------------------------------------- flight.c */
/* A segment was sent that ends there. */
void flight_add(struct tcb *t, uint32_t end);
/* snd_una went on. True: the oldest segment is acknowledged as a whole. */
bool flight_acknowledged(const struct host *h, struct tcb *t);
/* Where the segment ends that is sent again: something must be under way. */
uint32_t flight_again(const struct host *h, struct tcb *t);

/* ---------------------------------------------------------------------------------- persist.c */
/* Sets the persist timer, if something waits, nothing is under way, and no timer runs. */
void persist_start(struct host *h, struct tcb *t);
/* An ACK came while nothing was under way. */
void persist_answered(struct host *h, struct tcb *t);
void persist_timer(struct host *h, struct tcb *t);

/* ---------------------------------------------------------------------------------- wheel.c */
/* When a timer runs that is set now: later than that, or then (host_config.wheel). */
uint64_t wheel_runs(const struct host *h, uint64_t when_ns);
/* As many ticks as are not less, as the kernel counts a time-out. */
uint64_t wheel_whole_ticks(const struct host *h, uint64_t ns);

/* ---------------------------------------------------------------------------------- output.c */
void send_syn(struct host *h, struct tcb *t);
void send_syn_ack(struct host *h, struct request *r);
/* The one with a cookie: its timestamp carries the options. */
void send_cookie_syn_ack(struct host *h, struct request *r);
/* The SYN-ACK of a socket that met the other's SYN (simultaneous open). */
void send_crossed_syn_ack(struct host *h, struct tcb *t);
void send_ack(struct host *h, struct tcb *t);
/* What waits, as far as the peer's window lets it go; else the persist timer runs. */
void send_waiting(struct host *h, struct tcb *t);
/* Even a piece that is smaller than what waits: tcp_write_wakeup(). False: nothing fits. */
bool send_what_fits(struct host *h, struct tcb *t);
/* The zero window probe. */
void send_probe(struct host *h, struct tcb *t);
void send_first_again(struct host *h, struct tcb *t);
void send_active_reset(struct host *h, struct tcb *t);
/* The RST that answers a segment of no connection (RFC 9293 3.10.7.1). None for a RST. */
void send_reset_for(struct host *h, const struct segment *s);
void send_request_ack(struct host *h, const struct request *r);
void send_mini_ack(struct host *h, const struct tcb *t);
/* Puts what the caller filled in onto the wire, answering s. */
void send_answer(struct host *h, const struct segment *s, struct segment *answer);
/* What a segment to there carries at most, without options; the peer announces the same. */
uint32_t mss_to(const struct host *h, const struct tcpwhy_addr *peer);
/* What a segment carries at most: less by a timestamp (tcp_current_mss()). */
uint32_t send_mss(const struct host *h, const struct tcb *t);
/* tcp_receive_window(): announced and not used up. */
uint32_t receive_window(const struct tcb *t);

/* ---------------------------------------------------------------------------------- validate.c */
/* tcp_validate_incoming(): whether a segment goes on to its ACK. Answers, or resets, if not. */
bool validate(struct host *h, struct tcb *t, const struct segment *s);
/* More than tcp_invalid_ratelimit is spent for this one: counted, and no answer. */
bool oow_limited(struct host *h, uint64_t *last_ns, enum counter skipped);
/* The same, but data is always answered. */
bool oow_limited_for(struct host *h, const struct segment *s, uint64_t *last_ns,
		     enum counter skipped);
void challenge_ack(struct host *h, struct tcb *t);
/* Whether the segment's window is newer than the one that is known. */
bool updates_window(const struct host *h, const struct tcb *t, const struct segment *s);
/* tcp_paws_check() fails: older than what was seen, by more than window. */
bool paws_fails(const struct host *h, uint32_t ts_recent, uint64_t ts_recent_ns, uint32_t tsval,
		uint32_t window);
bool seq_in_window(uint32_t seq, uint32_t end, uint32_t from, uint32_t to); /* tcp_in_window() */

/* ---------------------------------------------------------------------------------- receive.c */
void tcb_segment(struct host *h, struct tcb *t, const struct segment *s);
void ts_recent_set(struct host *h, struct tcb *t, uint32_t tsval);

/* ---------------------------------------------------------------------------------- call.c */
/* tcp_shutdown(): the FIN, if this side may still send one. */
void end_sending(struct host *h, struct tcb *t);

/* ---------------------------------------------------------------------------------- synsent.c */
void synsent_segment(struct host *h, struct tcb *t, const struct segment *s);

/* ---------------------------------------------------------------------------------- listen.c */
/* isn: of a SYN that a TIME_WAIT let pass; 0 else. */
void listen_segment(struct host *h, struct tcb *listener, const struct segment *s, uint32_t isn);
/* A child of the handshake, in SYN_RECV and in the accept queue. NULL: refused, counted. */
struct tcb *listen_child(struct host *h, struct tcb *listener, const struct request *r);
bool accept_queue_full(const struct tcb *listener);

/* ---------------------------------------------------------------------------------- cookie.c */
uint32_t cookie_make(struct host *h, struct tcb *listener, const struct segment *syn);
/* What the SYN-ACK with a cookie shows for a timestamp, before the offset. */
uint32_t cookie_timestamp(const struct request *r, uint32_t clock);
/* A last ACK that may bring a cookie back. True: it was dealt with. */
bool cookie_segment(struct host *h, struct tcb *listener, const struct segment *s);

/* ---------------------------------------------------------------------------------- ahead.c */
/* Data or a FIN that is not next. */
void ahead_add(struct host *h, struct tcb *t, const struct segment *s);
/* Takes what is next now. True: a FIN was the last of it; it is left to the caller to take. */
bool ahead_join(struct host *h, struct tcb *t);
void ahead_forget(struct host *h, struct tcb *t);

/* ---------------------------------------------------------------------------------- sack.c */
/* Data came before its turn, for the first time or again. */
void sack_note(struct tcb *t, struct stretch new);
/* rcv_nxt went on, and ahead with it. */
void sack_drop(struct tcb *t);
/* The right edge of the right-most block: of all that are known, and of those that an ACK shows. To
 * be asked only if there is one (sacks_used). */
uint32_t sack_edge(const struct tcb *t);
struct stretch sack_shown(const struct tcb *t);

/* ---------------------------------------------------------------------------------- request.c */
void request_segment(struct host *h, uint32_t r, const struct segment *s);
void request_timer(struct host *h, uint32_t r);

/* ---------------------------------------------------------------------------------- mini.c */
enum mini_answer { MINI_NOTHING, MINI_ACK, MINI_RST, MINI_SYN };
/* *isn, for MINI_SYN: the one the new connection starts with. */
enum mini_answer mini_segment(struct host *h, struct tcb *t, const struct segment *s,
			      uint32_t *isn);
/* tcp_fin_time() without the floor of the RTO. */
uint64_t fin_time(const struct host *h, const struct tcb *t);
/* To be called after the engine may have left a mini-socket in t's place: makes its record, sets
 * its end, counts. t is in CLOSE afterwards, or nobody's if it was an orphan. */
void mini_take(struct host *h, struct tcb *t);
/* Ends a mini-socket before its time. */
void mini_end(struct host *h, struct tcb *t);
/* Its time is over: before 5.17 it is counted now (tw_timer_handler()). */
void mini_timer(struct host *h, struct tcb *t);

/* ---------------------------------------------------------------------------------- recycle.c */
/* Whether a SYN is refused (tcp_peer_is_proven() before 4.12). */
bool recycle_refuses(const struct host *h, const struct segment *syn);
/* Whether it is asked about that SYN at all. */
bool recycle_asks(const struct host *h, const struct segment *syn);
/* A connection with timestamps ends in TIME_WAIT; true: it may be recycled. */
bool recycle_note(struct host *h, const struct tcb *t);
/* What an outgoing connection inherits: false if nothing. */
bool recycle_inherit(const struct host *h, struct tcb *t);

/* ---------------------------------------------------------------------------------- unreachable.c
 */
/* s has an error. locked: its socket's owner is within a call. */
void icmp_error(struct host *h, const struct segment *s, bool locked);

/* ---------------------------------------------------------------------------------- end.c */
/* tcp_done(): out of the engine's tables, with that error for the application (0 none). */
void tcb_done(struct host *h, struct tcb *t, int error);
/* tcp_reset(): an accepted RST. */
void tcb_reset(struct host *h, struct tcb *t);

#endif
