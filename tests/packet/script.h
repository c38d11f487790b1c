/* SPDX-License-Identifier: MIT
 *
 * script.h - a list of socket calls and segments that can be played on a kernel host and on a model
 *
 * Text, one step a line, '#' starts a comment. The host has one address of each family; we are the
 * one peer at the other end of its wire, with any port.
 *
 *	sysctl tcp_syncookies 0                  see script_sysctls[]
 *	a = socket 4                             family 4 or 6; a to z are the sockets
 *	set a reuseaddr 1                        reuseaddr, linger0, linger2, v6only
 *	bind a 80                                any address of the host, this port
 *	listen a 3
 *	in 1001>80 S seq 1000 ts 10 sackok       a segment from our port 1001; in6: IPv6
 *	out SA ack 1001 ecr 10                   asserts: the next answer to the step before
 *	out none                                 asserts: no answer is left
 *	in 1001>80 A seq 1001 ack iss+1 ts 11
 *	c = accept a
 *	connect b 1002                           to our port 1002
 *	send c 100
 *	recv c 1000
 *	expect 100                               asserts: what the call before gave, or EAGAIN, ...
 *	error c                                  SO_ERROR
 *	shutdown c wr                            rd, wr or rdwr
 *	close c
 *	wait 1000                                milliseconds; what left meanwhile is told
 *	                                         connection by connection
 *	state 1001>80 TIME_WAIT                  asserts: of the 4-tuple; CLOSE is none. state6:
 *IPv6 sock c CLOSE_WAIT                        asserts: what the descriptor shows timer 1001>80
 *timewait 59000 60000       asserts: none, retransmit, keepalive, timewait; ms left queue a 1
 *asserts: length of the accept queue counter PAWSEstab 1                      asserts: counted
 *since the script began
 *
 * Flags are letters of FSRPA, or - for none. Numbers of our sequence space are absolute, or
 * rcv, edge, sack +-K: the ACK that the host sent last, the right edge of the window it announced
 * with it, the right-most SACK edge it showed. Numbers of the host's are iss, nxt, una +-K: its
 * initial number, the number after its last, what we acknowledged last. So each player renders a
 * segment with its own random numbers. TSvals of ours are absolute; ecr is +-K of the TSval that
 * the host sent last, or a number. Defaults: ack nxt, win 64000, no timestamp.
 *
 * A call on a socket that does not exist is skipped, so that any line can be left out of a script
 * and what remains is a script again.
 */
#ifndef PACKET_SCRIPT_H
#define PACKET_SCRIPT_H

#include "segment/counter.h"
#include "segment/segment.h"

#include "base/error.h"
#include "differ/word.h"

#include <stdio.h>

enum { SCRIPT_SOCKETS = 26, SCRIPT_STEPS = 600, SCRIPT_WINDOW = 64000 };

enum step_kind {
	STEP_SYSCTL,
	STEP_SOCKET,
	STEP_SET,
	STEP_BIND,
	STEP_LISTEN,
	STEP_CONNECT,
	STEP_ACCEPT,
	STEP_SEND,
	STEP_RECV,
	STEP_ERROR,
	STEP_SHUTDOWN,
	STEP_CLOSE,
	STEP_WAIT,
	STEP_IN,
	/* those below act on nothing: they assert what the step before them gave */
	STEP_EXPECT,
	STEP_OUT,
	STEP_STATE,
	STEP_SOCK,
	STEP_TIMER,
	STEP_QUEUE,
	STEP_COUNTER,
	STEP_KINDS
};

static inline bool step_asserts(enum step_kind kind)
{
	return kind >= STEP_EXPECT;
}

/* A 4-tuple of the script. */
struct flow {
	uint8_t family; /* enum tcpwhy_family, of the packets */
	uint16_t peer_port, host_port;
};

static inline bool flow_equal(const struct flow *a, const struct flow *b)
{
	return a->family == b->family && a->peer_port == b->peer_port &&
	       a->host_port == b->host_port;
}

/* What a sequence number counts from. */
enum base { BASE_ZERO, BASE_RCV, BASE_EDGE, BASE_SACK, BASE_ISS, BASE_NXT, BASE_UNA, BASES };

struct number {
	uint8_t base; /* enum base */
	int64_t offset;
};

/* The fields of a segment that a line names. */
struct pattern {
	uint8_t flags; /* enum segment_flag */
	struct number seq, ack;
	uint32_t length, window, tsval;
	bool has_timestamp, sack_permitted;
	bool ecr_given, ecr_relative;
	int64_t ecr;
	bool none; /* OUT: no answer */
	/* OUT: which fields are asserted */
	bool seq_given, ack_given, length_given, no_timestamp;
};

struct step {
	uint8_t kind;     /* enum step_kind */
	uint8_t sock;     /* 0 is a; SOCKET, ACCEPT: the new one */
	uint8_t listener; /* ACCEPT */
	uint8_t which; /* SET, SYSCTL, COUNTER: index; SHUTDOWN: enum tcpwhy_how; STATE, SOCK: enum
			  tcpwhy_state; TIMER: its kind */
	struct flow flow;   /* IN, STATE, TIMER; SOCKET: only the family */
	int64_t value[2];   /* numbers of the line; EXPECT: -errno for a name */
	struct pattern seg; /* IN, OUT */
};

struct script {
	size_t n;
	struct step steps[SCRIPT_STEPS];
};

enum script_option { OPTION_REUSEADDR, OPTION_LINGER0, OPTION_LINGER2, OPTION_V6ONLY, OPTIONS };

extern const char *const script_option_names[OPTIONS];

enum script_sysctl {
	SYSCTL_TIMESTAMPS,
	SYSCTL_MAX_TW,
	SYSCTL_FIN_TIMEOUT,
	SYSCTL_SOMAXCONN,
	SYSCTL_MAX_SYN_BACKLOG,
	SYSCTL_SYNCOOKIES,
	SYSCTL_ABORT_ON_OVERFLOW,
	SYSCTL_RFC1337,
	SYSCTL_SACK,
	SYSCTL_SYN_RETRIES,
	SYSCTL_SYNACK_RETRIES,
	SYSCTL_LINEAR_TIMEOUTS,
	SYSCTL_RETRIES2,
	SYSCTL_ORPHAN_RETRIES,
	SYSCTL_INVALID_RATELIMIT,
	SYSCTL_CHALLENGE_LIMIT,
	SYSCTLS
};

struct script_sysctl_info {
	const char *name;
	const char *path; /* below /proc/sys/net */
	uint32_t fresh;   /* what every script starts with */
};

extern const struct script_sysctl_info script_sysctls[SYSCTLS];

const char *step_kind_name(enum step_kind kind);

/* "FSRPA", as far as set; "-". */
enum { FLAGS_TEXT = 8 };
char *flags_format(uint8_t flags, char out[static FLAGS_TEXT]);

/* One step as its line, without the newline. */
enum { STEP_TEXT = 192 };
void step_print(const struct step *s, char text[static STEP_TEXT]);
void script_print(const struct script *s, const char *before, FILE *out);

/* 0, or -EINVAL with the line in err; the script is untouched then. */
int script_parse(const char *text, struct script *s, struct err *err);
int script_read(const char *path, struct script *s, struct err *err);

#endif
