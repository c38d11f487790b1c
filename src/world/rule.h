/* SPDX-License-Identifier: MIT
 *
 * rule.h - what lies in the middle: address translation, load balancing, rejecting and dropping
 *
 * Plain data for both stages.
 */
#ifndef TCPWHY_WORLD_RULE_H
#define TCPWHY_WORLD_RULE_H

#include "segment/segment.h"

enum rule_action {
	RULE_SNAT,    /* what leaves gets the source address to[0]; the port stays if it is free */
	RULE_DNAT,    /* what comes goes to to[0] */
	RULE_BALANCE, /* a session goes to one of to[], in turn, and stays there: .balancer says
		       * how. Boxes only. */
	RULE_REJECT_RST,  /* answered with a RST in the name of the destination */
	RULE_REJECT_ICMP, /* answered with an ICMP error: .error */
	RULE_DROP,
};

/* Where a filter acts: what passes, what comes for the node itself, what the node itself sends. */
enum rule_place { RULE_FORWARD, RULE_IN, RULE_OUT };

enum { RULE_TARGETS = 8 };

/* What a load balancer believes and does. It forwards at the level of segments; it is no proxy.
 * Only a SYN begins a session. */
struct balancer {
	uint64_t idle_ns; /* a session without segments ends after that; 0: never */
	/* After a RST or both FINs a session ends after that: 10 s in the report. */
	uint64_t closed_ns;
	/* true: a RST is believed only if its number is what the receiver expects next. false: any
	 * RST is, as by the balancer of the report. */
	bool checks_rst;
	/* The two readings of the report. true: when a session ends, both sides get a RST. false:
	 * nobody is told. */
	bool resets_at_end;
	/* true: a segment that belongs to no session and begins none is answered with a RST. false:
	 * it is dropped. */
	bool resets_strays;
};

/* TCP that fits all that is said; a field of zeros says nothing. The first filter that fits acts,
 * and the first translation of a destination and of a source that fit a new session; filters see
 * real addresses: a destination after its translation, a source before. What answers a translated
 * segment is translated back. */
struct rule {
	enum rule_action action;
	enum rule_place place;          /* of reject and drop */
	struct tcpwhy_addr from, at;    /* source and destination prefixes */
	unsigned from_len, at_len;      /* in the 16-byte form; 0: any */
	uint16_t from_port, port;       /* source and destination port */
	uint8_t flags_set, flags_clear; /* enum segment_flag: all of these, none of those */
	uint8_t error; /* RULE_REJECT_ICMP: enum segment_error; 0: port unreachable */
	struct tcpwhy_addr to[RULE_TARGETS];
	uint8_t n_to;
	uint16_t to_port; /* RULE_DNAT, RULE_BALANCE; 0: the port stays */
	struct balancer balancer;
};

enum session_state { SESSION_OPEN, SESSION_CLOSING, SESSION_RESET };

/* One connection that a box translates, as it believes it to be. */
struct session {
	struct tcpwhy_addr client, server, as_client, as_server; /* as_: after the translation */
	uint16_t client_port, server_port, as_client_port, as_server_port;
	enum session_state state;
	uint64_t ends_ns; /* when it will end if nothing passes; UINT64_MAX: never */
};

#endif
