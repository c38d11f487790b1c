/* SPDX-License-Identifier: MIT
 *
 * counter.h - what a host counts, under the kernel's names
 *
 * The names are those of /proc/net/snmp (Tcp) and /proc/net/netstat (TcpExt); nstat writes them
 * with the group in front. A counter that the row's release does not have stays 0.
 */
#ifndef TCPWHY_SEGMENT_COUNTER_H
#define TCPWHY_SEGMENT_COUNTER_H

/* clang-format off */
#define COUNTERS(X)                                                                                \
	/* Tcp */                                                                                  \
	X(ActiveOpens) X(PassiveOpens) X(AttemptFails) X(EstabResets) X(OutRsts) X(RetransSegs)     \
	/* TcpExt */                                                                               \
	X(OutOfWindowIcmps)                                                                        \
	X(SyncookiesSent) X(SyncookiesRecv) X(SyncookiesFailed) X(EmbryonicRsts)                    \
	X(TW) X(TWRecycled) X(TWKilled)                                                            \
	X(PAWSActive) X(PAWSPassive) X(PAWSEstab) X(PAWSTimewait) X(PAWSOldAck)                     \
	X(TSEcrRejected) X(BeyondWindow)                                                           \
	X(ListenOverflows) X(ListenDrops)                                                          \
	X(TCPAbortOnData) X(TCPAbortOnClose) X(TCPAbortOnTimeout) X(TCPAbortOnLinger)               \
	X(TCPTimeWaitOverflow) X(TCPReqQFullDoCookies) X(TCPReqQFullDrop)                           \
	X(TCPChallengeACK) X(TCPSYNChallenge)                                                      \
	X(TCPACKSkippedSynRecv) X(TCPACKSkippedPAWS) X(TCPACKSkippedSeq)                           \
	X(TCPACKSkippedFinWait2) X(TCPACKSkippedTimeWait) X(TCPACKSkippedChallenge)                \
	X(TCPTimeouts) X(TCPSynRetrans) X(TCPZeroWindowDrop) X(TCPWinProbe)
/* clang-format on */

enum counter {
#define COUNTER_ENUM(name) COUNTER_##name,
	COUNTERS(COUNTER_ENUM)
#undef COUNTER_ENUM
		COUNTER_COUNT
};

/* How many of them stand in the group Tcp; the rest is TcpExt. */
#define COUNTER_TCP_COUNT (COUNTER_RetransSegs + 1)

/* "ListenDrops"; NULL for a number that is none. */
const char *counter_name(enum counter c);

#endif
