/* SPDX-License-Identifier: MIT
 *
 * diag.h - the kernel's sockets as a scene asks for them: one 4-tuple, or all of a namespace
 *
 * sock_diag, but not the reader of src/live: that one gathers what the rule book needs, this one
 * shows single sockets with their timers and queues, and destroys one. A dump walks the hash tables
 * of the whole machine (milliseconds), a question for one 4-tuple does not (microseconds).
 */
#ifndef TCPWHY_CASE_DIAG_H
#define TCPWHY_CASE_DIAG_H

#include "base/address.h"
#include "case/talk.h"

struct endpoint {
	struct tcpwhy_addr addr;
	uint16_t port; /* host order */
};

struct diag {
	struct talk talk;
};

/* idiag_timer */
enum diag_timer {
	DIAG_TIMER_NONE,
	DIAG_TIMER_RETRANSMIT,
	DIAG_TIMER_KEEPALIVE,
	DIAG_TIMER_TIME_WAIT,
	DIAG_TIMER_PROBE,
};

/* One socket as the kernel shows it. state is BOUND for one that only bound. */
struct diag_sock {
	struct endpoint local, peer;
	uint8_t family;      /* enum tcpwhy_family */
	uint8_t state;       /* enum tcpwhy_state; of a mini-socket its sub-state */
	bool timewait;       /* a mini-socket */
	uint8_t timer;       /* enum diag_timer */
	uint8_t retransmits; /* of what the timer is for */
	uint32_t expires_ms; /* until the timer fires */
	uint32_t rqueue;     /* bytes to be read; a listener: connections to be accepted */
	uint32_t wqueue;     /* bytes not acknowledged; a listener: its limit */
	uint32_t uid, inode; /* 0 for mini-sockets, requests and orphans */
	uint32_t device;
	uint32_t cookie[2];
	uint32_t waiting; /* diag_meet(): bytes that wait until a call leaves the socket */
};

/* Acts on the calling thread's namespace, later from any thread. 0 or -errno. */
int diag_open(struct diag *d);
/* Acts on another namespace. 0, or -errno with err->text. */
int diag_open_in(const struct netns *ns, struct diag *d, struct err *err);
void diag_close(struct diag *d);

/* As a segment that comes through this device would find it; a socket bound to another device is
 * not. 0, -ENOENT, or another -errno. A listener never answers for a 4-tuple here. */
int diag_find(struct diag *d, const struct endpoint *local, const struct endpoint *peer,
	      unsigned device, struct diag_sock *found);

/* The same, and where nothing has the 4-tuple the listener that a SYN would meet. */
int diag_meet(struct diag *d, const struct endpoint *local, const struct endpoint *peer,
	      unsigned device, struct diag_sock *met);

/* SOCK_DESTROY of exactly that socket. 0 or -errno. */
int diag_destroy(struct diag *d, const struct diag_sock *sock);

/* Fills up to max sockets of both families and all states; *n is how many there were. 0 or -errno;
 * -EINTR is a dump that was not consistent. */
int diag_dump(struct diag *d, struct diag_sock *socks, size_t max, size_t *n);

#endif
