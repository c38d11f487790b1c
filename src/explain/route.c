/* SPDX-License-Identifier: MIT */
#include "explain/route.h"

#include <errno.h>

#include "base/address.h"
#include "base/text.h"

static const struct route_rule to_many = {
	ENETUNREACH,
	{"connect.to-many", "TCP connects two ends: a multicast or broadcast address is none.",
	 "tcp_v4_connect(), tcp_v6_connect()"}};

static const struct route_rule without_device = {
	EINVAL,
	{"connect.link-local-without-device",
	 "A link-local address means something only together with a device: name it (--device; "
	 "sin6_scope_id in a program).",
	 "tcp_v6_connect()"}};

static const struct route_rule source_unusable = {
	EINVAL,
	{"connect.source-unusable",
	 "A loopback address is known to this host alone: as a source it cannot leave it "
	 "(route_localnet is off).",
	 "__mkroute_output()"}};

/* By errno; the last one is any other. */
static const struct route_rule rules[] = {
	{ENETUNREACH,
	 {"connect.no-route", "No route leads there, or the device it leads through is down.",
	  "ip_route_output_key_hash(), ip6_route_output_flags()"}},
	{EHOSTUNREACH,
	 {"connect.unreachable-route", "A route of type unreachable covers the destination.",
	  "fib_props[RTN_UNREACHABLE]"}},
	{EACCES,
	 {"connect.prohibit-route",
	  "A route or a routing rule of type prohibit covers the destination.",
	  "fib_props[RTN_PROHIBIT]"}},
	{EINVAL,
	 {"connect.blackhole-route",
	  "A route of type blackhole covers the destination, or the source address cannot be used "
	  "for it.",
	  "fib_props[RTN_BLACKHOLE]"}},
	{EADDRNOTAVAIL,
	 {"connect.no-source-address",
	  "The route is there, but this host has no address to come from that is valid and not "
	  "tentative (duplicate address detection).",
	  "ipv6_dev_get_saddr()"}},
	{0,
	 {"connect.route", "The routing tables refuse it.",
	  "ip_route_connect(), ip6_dst_lookup_flow()"}},
};

/* 255.255.255.255, or that of a subnet of this host (RTN_BROADCAST). */
static bool is_broadcast(const struct snapshot *snap, const struct tcpwhy_addr *peer)
{
	for (size_t i = 0; i < snap->locals_n; i++)
		if (snap->locals[i].kind == TCPWHY_LOCAL_BROADCAST &&
		    snap->locals[i].prefix_len == 128 &&
		    address_equal(&snap->locals[i].prefix, peer))
			return true;
	return address_is_broadcast4(peer);
}

const struct route_rule *route_rule_of(const struct snapshot *snap, const struct explain_connect *q)
{
	const struct tcpwhy_addr *peer = &q->connect.peer;
	size_t i = 0;

	if (q->route_error == EINVAL && address_is_link_local6(peer) && !q->connect.device)
		return &without_device;
	if (q->route_error == EINVAL && q->from != FROM_ROUTE && address_is_v4(peer) &&
	    address_is_loopback(&q->before.bind.addr) && !address_is_loopback(peer))
		return &source_unusable;
	if (q->route_error == ENETUNREACH &&
	    (address_is_multicast6(peer) || address_is_multicast4(peer) ||
	     is_broadcast(snap, peer)))
		return &to_many;
	while (rules[i].error && rules[i].error != q->route_error)
		i++;
	return &rules[i];
}

void route_because(const struct route_rule *rule, const struct explain_connect *q, char *out,
		   size_t size)
{
	char address[ADDRESS_TEXT_MAX];
	struct text t = text_in(out, size);

	text_add(&t, rule->info.because);
	text_add(&t, " Asked for: ");
	text_add(&t, address_format(&q->connect.peer, address));
	if (q->from != FROM_ROUTE && !address_is_any(&q->before.bind.addr)) {
		text_add(&t, " from ");
		text_add(&t, address_format(&q->before.bind.addr, address));
	}
	if (q->before.device) {
		text_add(&t, " through ");
		text_add(&t, q->before.device);
	}
	text_char(&t, '.');
}
