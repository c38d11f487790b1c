/* SPDX-License-Identifier: MIT */
#include "engine/state.h"

#define CONFLICT "inet_bind_conflict(), every release"

static const struct tcpwhy_rule_info rules[TCPWHY_RULES] = {
	[TCPWHY_RULE_NONE] = {"none", "No rule stands in the way.", ""},
	[TCPWHY_RULE_BIND_FAMILY] = {"bind.family", "The address is not of the socket's family.",
				     "__inet_bind()"},
	[TCPWHY_RULE_BIND_NOT_LOCAL] =
		{"bind.address-not-local",
		 "The address belongs to no interface of this network namespace.",
		 "inet_addr_valid_or_nonlocal(), ipv6_chk_addr()"},
	[TCPWHY_RULE_BIND_TENTATIVE] =
		{"bind.address-tentative",
		 "Duplicate address detection has not finished for this address.",
		 "ipv6_chk_addr(), IFA_F_TENTATIVE"},
	[TCPWHY_RULE_BIND_PRIVILEGED] =
		{"bind.privileged-port",
		 "Ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE.",
		 "inet_port_requires_bind_service()"},
	[TCPWHY_RULE_BIND_ALREADY] = {"bind.already-bound",
				      "The socket has a port already, or is in use.",
				      "__inet_bind(), __inet6_bind()"},
	[TCPWHY_RULE_BIND_NO_DEVICE] = {"bind.no-device", "The device does not exist.",
					"__inet6_bind()"},
	[TCPWHY_RULE_BIND_MAPPED_V6ONLY] =
		{"bind.mapped-on-v6only",
		 "A v4-mapped address makes no sense on an IPV6_V6ONLY socket.", "__inet6_bind()"},
	[TCPWHY_RULE_BIND_LINK_LOCAL] = {"bind.link-local-needs-device",
					 "A link-local address is bound together with its device.",
					 "__inet6_bind()"},
	[TCPWHY_RULE_BIND_MULTICAST6] = {"bind.multicast",
					 "TCP cannot bind an IPv6 multicast address.",
					 "__inet6_bind()"},
	[TCPWHY_RULE_BIND_TW_NEEDS_REUSE] =
		{"bind.time-wait-needs-reuseaddr",
		 "The new socket lacks SO_REUSEADDR, without which it cannot pass a "
		 "connection in TIME_WAIT.",
		 CONFLICT},
	[TCPWHY_RULE_BIND_TW_WITHOUT_REUSE] =
		{"bind.time-wait-without-reuseaddr",
		 "A connection in TIME_WAIT did not have SO_REUSEADDR when it lived, so "
		 "SO_REUSEADDR on the new socket cannot pass it.",
		 CONFLICT},
	[TCPWHY_RULE_BIND_FW2_NEEDS_REUSE] =
		{"bind.fin-wait2-needs-reuseaddr",
		 "The new socket lacks SO_REUSEADDR, without which it cannot pass an "
		 "orphan in FIN_WAIT2.",
		 CONFLICT},
	[TCPWHY_RULE_BIND_FW2_WITHOUT_REUSE] =
		{"bind.fin-wait2-without-reuseaddr",
		 "An orphan in FIN_WAIT2 did not have SO_REUSEADDR when it was closed.", CONFLICT},
	[TCPWHY_RULE_BIND_CONN_NEEDS_REUSE] =
		{"bind.connection-needs-reuseaddr",
		 "The new socket lacks SO_REUSEADDR, without which it cannot share the "
		 "port with a connection.",
		 CONFLICT},
	[TCPWHY_RULE_BIND_CONN_WITHOUT_REUSE] =
		{"bind.connection-without-reuseaddr",
		 "A living connection on this port does not have SO_REUSEADDR.", CONFLICT},
	[TCPWHY_RULE_BIND_OUT_NEEDS_REUSE] =
		{"bind.outgoing-needs-reuseaddr",
		 "An outgoing connection was given this port by connect(); the new "
		 "socket lacks SO_REUSEADDR, without which it cannot share it.",
		 CONFLICT},
	[TCPWHY_RULE_BIND_OUT_WITHOUT_REUSE] =
		{"bind.outgoing-without-reuseaddr",
		 "An outgoing connection was given this port by connect(), and does not "
		 "have SO_REUSEADDR.",
		 CONFLICT},
	[TCPWHY_RULE_BIND_BOUND_NEEDS_REUSE] =
		{"bind.bound-needs-reuseaddr",
		 "A socket that only bound holds the port; the new socket lacks "
		 "SO_REUSEADDR, without which it cannot share it.",
		 CONFLICT},
	[TCPWHY_RULE_BIND_BOUND_WITHOUT_REUSE] =
		{"bind.bound-without-reuseaddr",
		 "A socket that only bound, and does not listen, holds the port "
		 "without SO_REUSEADDR.",
		 CONFLICT},
	[TCPWHY_RULE_BIND_BOUND_OTHER_UID] =
		{"bind.reuseport-other-uid",
		 "Both sockets have SO_REUSEPORT, but belong to different users.", CONFLICT},
	[TCPWHY_RULE_BIND_REUSEPORT_STEERED] =
		{"bind.reuseport-own-group",
		 "The new socket has a reuseport program of its own already, so it cannot "
		 "join the holder's group.",
		 "inet_csk_bind_conflict(), reuseport_cb_ok, 4.4+"},
	[TCPWHY_RULE_BIND_LISTENER] =
		{"bind.listener",
		 "Another socket listens on this port; SO_REUSEADDR never passes a listener.",
		 CONFLICT},
	[TCPWHY_RULE_BIND_LISTENER_OTHER_UID] =
		{"bind.listener-reuseport-other-uid",
		 "The listener has SO_REUSEPORT too, but belongs to another user.", CONFLICT},
	[TCPWHY_RULE_BIND_UNKNOWN] =
		{"bind.unknown",
		 "A socket holds the port; whether it conflicts depends on what could not be "
		 "seen.",
		 CONFLICT},
	[TCPWHY_RULE_BIND_RANGE_EXHAUSTED] = {"bind.range-exhausted",
					      "No port of ip_local_port_range is free for bind(0).",
					      "inet_csk_find_open_port()"},
	[TCPWHY_RULE_LISTEN_STATE] = {"listen.state",
				      "Only a socket that is not connected can listen.",
				      "inet_listen()"},
	[TCPWHY_RULE_LISTEN_SECOND_GATE] =
		{"listen.second-gate",
		 "bind() passed because of SO_REUSEADDR, but listen() checks again and "
		 "another owner does not allow it.",
		 "inet_csk_listen_start()"},
	[TCPWHY_RULE_CONNECT_STATE] = {"connect.state",
				       "The socket is connected, connecting or listening.",
				       "__inet_stream_connect()"},
	[TCPWHY_RULE_CONNECT_FAMILY] = {"connect.family",
					"The destination is not of the socket's family.",
					"tcp_v6_connect()"},
	[TCPWHY_RULE_CONNECT_RANGE_EXHAUSTED] =
		{"connect.no-port-for-destination",
		 "No port of ip_local_port_range is left for this destination.",
		 "__inet_hash_connect()"},
	[TCPWHY_RULE_CONNECT_TUPLE_TAKEN] =
		{"connect.tuple-taken", "Another connection has the same two addresses and ports.",
		 "__inet_check_established()"},
	[TCPWHY_RULE_NO_MEMORY] = {"memory", "No memory for the socket's bucket.",
				   "inet_bind_bucket_create()"},
};

const struct tcpwhy_rule_info *tcpwhy_rule_info(enum tcpwhy_rule rule)
{
	unsigned r = (unsigned)rule;

	return &rules[r < TCPWHY_RULES ? r : TCPWHY_RULE_NONE];
}

static const char *const states[] = {
	[TCPWHY_ESTABLISHED] = "ESTABLISHED",
	[TCPWHY_SYN_SENT] = "SYN_SENT",
	[TCPWHY_SYN_RECV] = "SYN_RECV",
	[TCPWHY_FIN_WAIT1] = "FIN_WAIT1",
	[TCPWHY_FIN_WAIT2] = "FIN_WAIT2",
	[TCPWHY_TIME_WAIT] = "TIME_WAIT",
	[TCPWHY_CLOSE] = "CLOSE",
	[TCPWHY_CLOSE_WAIT] = "CLOSE_WAIT",
	[TCPWHY_LAST_ACK] = "LAST_ACK",
	[TCPWHY_LISTEN] = "LISTEN",
	[TCPWHY_CLOSING] = "CLOSING",
	[TCPWHY_BOUND] = "BOUND",
};

const char *tcpwhy_state_name(enum tcpwhy_state state)
{
	unsigned s = (unsigned)state;

	return s < sizeof(states) / sizeof(states[0]) && states[s] ? states[s] : "?";
}
