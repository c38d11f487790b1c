/* SPDX-License-Identifier: MIT
 *
 * nat.h - the middle box: address translation, load balancing, reject and drop, by nftables
 *
 * A list of rules becomes the whole rule set of one namespace, in one transaction. Translations
 * need the kernel's connection tracking, and so do answers to them: what comes back is translated
 * back by the kernel itself. Rules are plain data; no text from outside goes into a rule set, but
 * for nat_run().
 */
#ifndef TCPWHY_CASE_NAT_H
#define TCPWHY_CASE_NAT_H

#include "base/address.h"
#include "live/netns.h"
#include "segment/segment.h"

#include <stddef.h>

enum nat_action {
	NAT_SOURCE, /* what leaves gets the source address to[0] (and a port, if there is one) */
	NAT_DESTINATION, /* goes to to[0], or in turn to each of to[] (a load balancer) */
	NAT_REJECT_RST,  /* is answered with a RST in the name of the destination */
	NAT_REJECT_ICMP, /* is answered with an ICMP error: .error */
	NAT_DROP,
};

/* Where filters act; translations have their place. */
enum nat_place { NAT_FORWARD, NAT_IN, NAT_OUT };

enum { NAT_TARGETS = 8 };

/* TCP of one family that fits all that is said; a field of zeros says nothing. */
struct nat_rule {
	enum nat_action action;
	enum nat_place place; /* of reject and drop */
	enum tcpwhy_family family;
	const struct tcpwhy_addr *from, *at; /* source and destination address; NULL: any */
	uint8_t from_len, at_len;            /* their prefixes, 0: all bits */
	uint16_t from_port, port;            /* source and destination port */
	uint8_t flags_set, flags_clear;      /* FRAME_SYN ... of frame.h */
	uint8_t error;                       /* enum segment_error; 0: port unreachable */
	struct tcpwhy_addr to[NAT_TARGETS];
	uint8_t n_to;
	uint16_t to_port; /* 0: the port stays */
};

/* Makes these rules, in this order, all that nftables does in the namespace; none removes all.
 * Connections that are tracked already keep their translation. 0, or -errno with err->text: what
 * the kernel lacks, if that is why (-EOPNOTSUPP). */
int nat_set(const struct netns *ns, const struct nat_rule *rules, size_t n, struct err *err);

/* Runs commands in nft's own language, for what the rules above cannot say. 0, or -errno. */
int nat_run(const struct netns *ns, const char *commands, struct err *err);

#endif
