/* SPDX-License-Identifier: MIT
 *
 * host.h - the TCP of one Linux network namespace: segment in, segment out, next deadline
 *
 * Above the engine's rule book of ports and identity: the handshake with its two queues, the close
 * in every order, TIME_WAIT answering what comes late, PAWS, resets and challenge ACKs, the timers,
 * and what each socket call returns. Still a model: no system call, no clock, no packet. The caller
 * brings segments, takes those that go out, and moves the clock to the next deadline.
 *
 * It does not know payload, congestion control (but that nothing new goes before what was sent
 * again is acknowledged), RTT sampling beyond the handshake, loss recovery but by time-out, the
 * dynamics of the own window, URG, Fast Open, AO, MD5 or MPTCP. Data is acknowledged at once. What
 * a route decides (source address, whether there is one) is the caller's.
 *
 * Kernel counterparts: tcp_v4_rcv(), tcp_conn_request(), tcp_check_req(),
 * tcp_rcv_state_process(), tcp_validate_incoming(), tcp_timewait_state_process(), tcp_close(),
 * tcp_retransmit_timer(), reqsk_timer_handler().
 *
 * Conventions are the engine's: host order, nanoseconds, v4-mapped addresses. Sockets are the
 * engine's handles: what tcpwhy_get() and the other questions tell of them holds here, too, but a
 * call that changes a socket must be made through this header.
 */
#ifndef TCPWHY_SEGMENT_HOST_H
#define TCPWHY_SEGMENT_HOST_H

#include "segment/counter.h"
#include "segment/segment.h"

struct host;

/* What /proc/sys/net says beside the engine's own. */
struct host_sysctls {
	uint32_t somaxconn;       /* net.core.somaxconn */
	uint32_t max_syn_backlog; /* tcp_max_syn_backlog */
	uint8_t syncookies;       /* tcp_syncookies: 0, 1, 2 = always */
	bool abort_on_overflow;   /* tcp_abort_on_overflow */
	bool rfc1337;             /* tcp_rfc1337 */
	bool tw_recycle;          /* tcp_tw_recycle, where there is one */
	bool sack;                /* tcp_sack */
	bool window_scaling;      /* tcp_window_scaling: windows are never scaled here, but SYN
				   * cookies ask for it */
	uint8_t syn_retries, synack_retries, syn_linear_timeouts, retries2, orphan_retries;
	uint32_t invalid_ratelimit_ms; /* tcp_invalid_ratelimit */
	uint32_t challenge_ack_limit;  /* tcp_challenge_ack_limit, a second */
};

struct host_config {
	const struct tcpwhy_row *row; /* borrowed for the host's life */
	struct tcpwhy_memory memory;
	/* A number in [0, n): initial sequence numbers, timestamp offsets, port choice. */
	uint32_t (*draw)(void *ctx, uint32_t n);
	/* A socket may answer otherwise than before: called from within host_segment_in() and
	 * host_advance(), after the fact; it may not call the host. May be NULL. */
	void (*ready)(void *ctx, tcpwhy_sock s);
	void *ctx;
	struct tcpwhy_perturb *perturb; /* as in struct tcpwhy_choice; may be NULL */
	uint32_t clock_ms;              /* what the timestamp clock shows at time 0 */
	uint32_t window;  /* announced while nothing waits to be read; 0: 65,535. Bytes. */
	uint16_t mss;     /* longest payload on IPv4, 20 less on IPv6, 12 less beside a timestamp;
			   * 0: 1,460; at least 68 */
	uint16_t hz;      /* of the kernel's clock; 0: 250 */
	bool wheel;       /* timers run as late as the kernel's (wheel.c); else when they are due */
	uint64_t jiffies; /* wheel: what the kernel's clock shows at time 0 */
};

/* A host without sockets and addresses, with the row's default sysctls, at time 0. NULL: no memory.
 */
struct host *host_new(const struct host_config *config);
void host_free(struct host *h);

/* Its rule book: addresses, devices and the engine's sysctls are set there; see above. Lives as
 * long as the host. */
struct tcpwhy_engine *host_engine(struct host *h);
const struct host_sysctls *host_sysctls(const struct host *h);
void host_set_sysctls(struct host *h, const struct host_sysctls *s);
uint64_t host_counter(const struct host *h, enum counter c);

/* -------------------------------------------------------------------------------------- segments
 */

/* A segment arrives. The receiver's address is taken to be this host's. Its answers wait in
 * host_segment_out(). */
void host_segment_in(struct host *h, const struct segment *s);
/* It will arrive after so many others, at this or other hosts: what it will need is fetched, so
 * that its time is not spent on waiting for memory. To be told at 3, 2 and 1; changes nothing. */
void host_expect(const struct host *h, const struct segment *s, unsigned others);
/* An ICMP error that a filter of this host answers while the call that sends is still going on. The
 * socket is locked then: the error is noted, and connect() learns of it at the next one. */
void host_error_in_call(struct host *h, const struct segment *s);
/* The next segment that leaves, oldest first. False: none. */
bool host_segment_out(struct host *h, struct segment *s);

/* When something happens by itself: a retransmission, the end of a request or of a TIME_WAIT.
 * UINT64_MAX: never. */
uint64_t host_deadline(const struct host *h);
/* Moves the clock there, firing in the order of time what lies between. Backwards is ignored. */
void host_advance(struct host *h, uint64_t now_ns);

/* ---------------------------------------------------------------------------------- socket calls
 */

/* As non-blocking sockets: what would wait gives -EAGAIN, -EINPROGRESS or -EALREADY. Each returns
 * what the call gives in the application, errno negated; -EBADF for a handle that is no longer a
 * process's. v, which may be NULL, gets the engine's verdict where a port is at stake. */
int host_socket(struct host *h, enum tcpwhy_family family, uint32_t uid, tcpwhy_sock *out);
int host_setsockopt(struct host *h, tcpwhy_sock s, enum tcpwhy_option option, uint64_t value);
int host_bind(struct host *h, tcpwhy_sock s, const struct tcpwhy_addr *addr, uint16_t port,
	      struct tcpwhy_verdict *v);
int host_listen(struct host *h, tcpwhy_sock s, int backlog, struct tcpwhy_verdict *v);
/* source: the address that the route gives, for a socket without one. */
int host_connect(struct host *h, tcpwhy_sock s, const struct tcpwhy_addr *peer, uint16_t peer_port,
		 const struct tcpwhy_addr *source, struct tcpwhy_verdict *v);
int host_accept(struct host *h, tcpwhy_sock listener, uint32_t uid, tcpwhy_sock *out);
/* Bytes taken or given; 0 from host_recv() is the end of the stream. Of bytes that wait for the
 * peer's ACK at most 2^30 are taken, then -EAGAIN. */
int64_t host_send(struct host *h, tcpwhy_sock s, uint32_t bytes);
int64_t host_recv(struct host *h, tcpwhy_sock s, uint32_t max_bytes);
int host_shutdown(struct host *h, tcpwhy_sock s, enum tcpwhy_how how);
int host_close(struct host *h, tcpwhy_sock s);
/* SOCK_DESTROY of what has the 4-tuple: socket, mini-socket or request. -ENOENT. */
int host_destroy(struct host *h, const struct tcpwhy_addr *local, uint16_t port,
		 const struct tcpwhy_addr *peer, uint16_t peer_port);
/* SO_ERROR: the pending error, which it clears, as a positive errno; 0 none. */
int host_error(struct host *h, tcpwhy_sock s);
/* getpeername() works: connected, and not closed since. */
bool host_has_peer(const struct host *h, tcpwhy_sock s);

/* ------------------------------------------------------------------------------------------ views
 */

/* The numbers are sock_diag's (idiag_timer). */
enum host_timer {
	HOST_TIMER_NONE,
	HOST_TIMER_RETRANSMIT,
	HOST_TIMER_KEEPALIVE,
	HOST_TIMER_TIMEWAIT,
	HOST_TIMER_PROBE /* the persist timer: the peer's window is closed */
};

/* What a socket, a mini-socket or a request is like now. */
struct host_view {
	tcpwhy_sock sock;     /* 0: a request, which has no handle */
	uint8_t state;        /* enum tcpwhy_state; a request: SYN_RECV */
	bool timewait;        /* a mini-socket */
	uint8_t timer;        /* enum host_timer */
	uint64_t expires_ns;  /* of the timer: what it was set to */
	uint32_t retransmits; /* since the last answer; of probes if that is the timer */
	uint32_t snd_una, snd_nxt, rcv_nxt;
	uint32_t window; /* announced and not used up, bytes */
	uint32_t unread; /* bytes that recv() would give */
	int error;       /* SO_ERROR would give it */
	/* of a listener */
	uint32_t accept_queue, backlog; /* sk_ack_backlog, sk_max_ack_backlog */
	uint32_t syn_queue, young;      /* requests; those whose SYN-ACK went out once */
};

/* -EBADF: not a live handle. */
int host_look(const struct host *h, tcpwhy_sock s, struct host_view *view);
/* One request after the other, from *cursor 0 on: its 4-tuple. False: no more. */
bool host_next_request(const struct host *h, uint32_t *cursor, struct tcpwhy_addr *local,
		       uint16_t *port, struct tcpwhy_addr *peer, uint16_t *peer_port);
/* The socket, mini-socket or request of a 4-tuple. False: none. */
bool host_find(const struct host *h, const struct tcpwhy_addr *local, uint16_t port,
	       const struct tcpwhy_addr *peer, uint16_t peer_port, struct host_view *view);

#endif
