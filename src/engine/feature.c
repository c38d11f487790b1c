/* SPDX-License-Identifier: MIT
 *
 * What the features of a row are called, and what each does
 */
#include "engine/state.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define PORT(bit, id, since, does)                                                                 \
	{                                                                                          \
		id, does, since, TCPWHY_F_##bit, 0                                                 \
	}
#define PACKET(bit, id, since, does)                                                               \
	{                                                                                          \
		id, does, since, 0, TCPWHY_P_##bit                                                 \
	}

static const struct tcpwhy_feature_info features[] = {
	PORT(BIND_NO_PORT, "bind-address-no-port", "4.2",
	     "IP_BIND_ADDRESS_NO_PORT exists: bind() takes an address, connect() the port."),
	PORT(REUSEPORT_GROUPS, "reuseport-groups", "4.5",
	     "A BPF program can steer a SO_REUSEPORT group, which then shares its port with no "
	     "socket outside."),
	PORT(BIND_ANY_PARITY, "bind-any-parity", "4.6",
	     "bind(0) takes odd offsets of the range first; with SO_REUSEADDR it searches one half "
	     "first."),
	PORT(CONNECT_PARITY, "connect-parity", "4.6",
	     "connect() takes even offsets of the range first; without, port after port."),
	PORT(REUSEPORT_ASKED, "reuseport-asked", "4.11",
	     "SO_REUSEPORT shares only a port that was asked for, not with bind(0)."),
	PORT(BIND_ANY_APART, "bind-any-apart", "4.11",
	     "bind(0) does not share a port when it found none free."),
	PORT(REUSEPORT_STRICT, "reuseport-strict", "4.11",
	     "A bucket can become fast for SO_REUSEPORT again, for one address."),
	PORT(FAST_NOTED, "fast-noted", "4.11",
	     "What a bind leaves in the bucket is noted after a fast accept, too."),
	PORT(LOW_PORTS_SYSCTL, "low-ports-sysctl", "4.11",
	     "net.ipv4.ip_unprivileged_port_start says which ports need a privilege; without, "
	     "those below 1024."),
	PORT(TW_REUSE_LOOPBACK, "tw-reuse-loopback", "4.19",
	     "net.ipv4.tcp_tw_reuse=2 is for loopback only; without, any value but 0 is on."),
	PORT(TW_REUSE_TICK, "tw-reuse-tick", "4.19",
	     "Without tcp_tw_reuse_delay a TIME_WAIT is old enough in the next second; before, in "
	     "the one after it."),
	PORT(PERTURB_TABLE, "perturb-table", "5.12 and stables",
	     "connect() starts its search by a table of hints; without, by one hint for the "
	     "machine."),
	PORT(START_REKEYED, "start-rekeyed", "5.18 and stables",
	     "The start of connect()'s search changes every ten seconds."),
	PORT(AUTOBIND_REUSE, "autobind-reuse", "5.7",
	     "net.ipv4.ip_autobind_reuse exists: bind(0) may share a port with SO_REUSEADDR."),
	PORT(TW_HIDDEN, "time-wait-hidden", "6.1 to 6.1.4",
	     "A bug: bind() to an address does not see TIME_WAIT."),
	PORT(MAPPED_ANY_HIDDEN, "mapped-any-hidden", "6.1.y",
	     "A bug: bind() of an IPv6 socket to a v4-mapped address does not see the v4-mapped "
	     "wildcard of another."),
	PORT(SOCK_PORT_RANGE, "socket-port-range", "6.3, 6.1.32",
	     "IP_LOCAL_PORT_RANGE exists: a socket has a range of its own."),
	PORT(SOCK_RANGE_WHOLE, "socket-range-whole", "6.8",
	     "connect() walks every port of IP_LOCAL_PORT_RANGE in one pass; without, an odd-sized "
	     "range loses its last port."),
	PORT(FASTREUSE_DEAD, "fastreuse-dead", "6.8",
	     "A bucket never becomes fast for SO_REUSEADDR: every owner is looked at."),
	PORT(TW_REUSE_NO_FW2, "tw-reuse-no-fin-wait2", "6.12, 6.1.113, 5.10.y",
	     "connect() never takes over an orphan's FIN_WAIT2."),
	PORT(TW_REUSE_DELAY, "tw-reuse-delay", "6.14",
	     "net.ipv4.tcp_tw_reuse_delay says in ms how old a TIME_WAIT must be to be taken "
	     "over."),
	PORT(BUCKET_RELAXES, "bucket-relaxes", "6.18",
	     "connect() may use a port again when the last socket that called bind() on it left."),

	PACKET(TW_RST_RESTARTS, "time-wait-rst-restarts", "before 4.19",
	       "A RST that tcp_rfc1337 lets pass restarts the 60 seconds of a TIME_WAIT."),
	PACKET(TW_RECYCLE, "tw-recycle", "before 4.12", "net.ipv4.tcp_tw_recycle exists."),
	PACKET(RECYCLE_WANTS_TS, "recycle-wants-stamp", "3.17 to 4.11",
	       "tcp_tw_recycle refuses a SYN without timestamp, too."),
	PACKET(COOKIES_ALWAYS, "cookies-always", "3.12",
	       "net.ipv4.tcp_syncookies=2 answers every SYN with a cookie."),
	PACKET(INVALID_RATELIMIT, "invalid-ratelimit", "4.0",
	       "Answers to segments without data that do not fit are limited to one per "
	       "tcp_invalid_ratelimit."),
	PACKET(SYNQ_BACKLOG, "syn-queue-backlog", "4.4",
	       "The SYN queue holds the backlog; before, a power of two of at most "
	       "tcp_max_syn_backlog."),
	PACKET(CHALLENGE_RANDOM, "challenge-random", "4.7",
	       "About 1,000 challenge ACKs a second for the machine; before, 100."),
	PACKET(RST_SACK_EDGE, "rst-sack-edge", "4.8",
	       "A RST at the right edge of the right-most SACK block resets."),
	PACKET(SYN_DROP_FULL, "syn-drop-full", "4.10, 4.9.y",
	       "A SYN is dropped whenever the accept queue is full; before, only while more than "
	       "one young request waits."),
	PACKET(RST_AFTER_FIN, "rst-after-fin", "4.11",
	       "A RST one before the next expected sequence resets after the peer's FIN."),
	PACKET(TS_OFFSET_TUPLE, "timestamps-by-tuple", "4.10, 4.11, and 2026",
	       "Timestamps start at random for each connection."),
	PACKET(TS_OFFSET_HOSTS, "timestamps-by-hosts", "4.12 to 2026",
	       "Timestamps start at random for each pair of hosts."),
	PACKET(SYN_AGAIN_AT_ONCE, "syn-again-at-once", "5.7",
	       "A wrong ACK in SYN_SENT has the SYN sent again at once; before, after its "
	       "time-out."),
	PACKET(TW_SYN_FORGETS, "time-wait-syn-forgets", "4.15 to 6.9",
	       "A bug: a SYN that takes over a TIME_WAIT gets a new sequence number, and no place "
	       "in a full SYN queue."),
	PACKET(TW_COUNTED_EARLY, "time-wait-early-count", "5.17",
	       "TW and TWKilled count a TIME_WAIT that begins; before, one whose time is over."),
	PACKET(CHALLENGE_UNLIMITED, "challenge-unlimited", "6.0",
	       "As many challenge ACKs as are asked for."),
	PACKET(SYN_LINEAR, "syn-linear-timeouts", "6.5",
	       "net.ipv4.tcp_syn_linear_timeouts: the first repeated SYNs follow each second."),
	PACKET(OLD_ACK_CLOSING, "old-ack-closing", "6.8",
	       "While closing, a segment with an old ACK is taken; before, it gets a challenge "
	       "ACK."),
	PACKET(PAWS_SYN_CHALLENGED, "paws-syn-challenged", "6.12",
	       "A SYN with an old timestamp gets a challenge ACK; before, it counts as PAWSEstab "
	       "and gets a duplicate ACK."),
	PACKET(SYNQ_ONE_MORE, "syn-queue-one-more", "6.14, 6.12.10, 6.1.125",
	       "The SYN queue is full beyond the backlog; before, at it."),
	PACKET(PAWS_OLD_ACK, "paws-old-ack", "6.14",
	       "An old timestamp on an old bare ACK is dropped without an answer (PAWSOldAck)."),
	PACKET(TW_PAWS_COUNTED, "time-wait-paws-counted", "6.14",
	       "What a TIME_WAIT refuses for its timestamp counts as PAWSTimewait; before, as "
	       "PAWSEstab."),
	PACKET(SYN_RECV_TSECR, "syn-recv-timestamp", "6.15",
	       "A timestamp that was never sent is refused in SYN_RECV (TSEcrRejected)."),
	PACKET(BEYOND_WINDOW, "beyond-window", "6.17",
	       "Data beyond the window is refused as a whole (BeyondWindow)."),
	PORT(BEYOND_EDGE_COUNTED, "beyond-edge-counted", "7.1",
	     "Data that begins where the window ends counts as BeyondWindow, too."),
	PORT(ZERO_WINDOW_TAKEN, "zero-window-taken", "6.6",
	     "A zero window counts even in a segment without anything else that is new."),
	PORT(ORPHAN_PROBES_END, "orphan-probes-end", "3.18",
	     "An orphan before a closed window is given up even if the peer answers each probe."),
	PORT(PROBES_EXACT, "probes-exact", "5.1, 4.19.y",
	     "A closed window is probed as often without an answer as the sysctl says; before, "
	     "once "
	     "more."),
	PACKET(UNSENT_ACK_ANSWERED, "unsent-ack-answered", "6.18.y",
	       "An ACK of what was never sent gets a challenge ACK in ESTABLISHED, too; before, "
	       "nothing."),
	PACKET(OLD_ACK_STAMP, "old-ack-stamp", "7.2, 6.12.y, 6.1.y",
	       "The timestamp of a segment with an old ACK is taken; before, only with a good "
	       "one."),
	PACKET(SYN_CHALLENGED, "syn-challenged", "after 3.10",
	       "A SYN without ACK in a connection gets a challenge ACK; before, nothing."),
	PACKET(CLOSING_ACK_CHECKED, "closing-ack-checked", "4.13",
	       "While closing, a wrong ACK drops the segment; before, its data and FIN are taken."),
	PACKET(CROSSED_SYN_ACK_PASSES, "crossed-syn-ack-passes", "6.11, 6.1.y",
	       "The SYN-ACK of a simultaneous open is taken; before, it gets a challenge ACK."),
	PACKET(ICMP_SPARES_REQUEST, "icmp-spares-request", "4.5",
	       "Of what IPv4 calls unreachable only a host or network ends a handshake at a "
	       "listener, of IPv6 only what they are not; before, any ICMP error."),
	PACKET(SYN_RECV_RST_EXACT, "syn-recv-rst-exact", "6.18.y, 6.12.105, 6.1.191",
	       "In SYN_RECV a RST that is in the window but not exact gets a challenge ACK."),
};

const struct tcpwhy_feature_info *tcpwhy_feature_at(size_t i)
{
	return i < COUNT(features) ? &features[i] : NULL;
}
