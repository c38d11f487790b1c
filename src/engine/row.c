/* SPDX-License-Identifier: MIT
 *
 * The rows: what each release does, as features, and the sysctls it starts with
 *
 * A name with a patch number is that release as it came out; .y is the end of its stable branch,
 * with what was carried back. Five branches were held against a kernel: 5.10.y as of 5.10.262,
 * 6.1.y as of 6.1.192, 6.12.y as of 6.12.117, 6.18.y as of 6.18.44, 7.2.y as of 7.2.13. What the
 * rows on both sides of another have in common counts as read in that one, too. Of 6.1.4 the slips
 * of bhash2 between v4-mapped and dual-stack addresses (6.1.21, 6.1.54, 6.1.85, 6.1.168) are not
 * modelled.
 */
#include "base/text.h"
#include "engine/state.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Each by the release whose set it takes over, and what it adds. */
enum {
	IN_3_10 = 0,
	IN_4_9_0 = TCPWHY_F_BIND_NO_PORT | TCPWHY_F_REUSEPORT_GROUPS | TCPWHY_F_BIND_ANY_PARITY |
		   TCPWHY_F_CONNECT_PARITY | TCPWHY_F_ORPHAN_PROBES_END,
	IN_4_9 = IN_4_9_0 | TCPWHY_F_PERTURB_TABLE | TCPWHY_F_START_REKEYED,
	IN_4_11 = IN_4_9_0 | TCPWHY_F_LOW_PORTS_SYSCTL | TCPWHY_F_REUSEPORT_STRICT |
		  TCPWHY_F_FAST_NOTED | TCPWHY_F_REUSEPORT_ASKED | TCPWHY_F_BIND_ANY_APART,
	IN_4_19 = IN_4_11 | TCPWHY_F_TW_REUSE_LOOPBACK | TCPWHY_F_TW_REUSE_TICK |
		  TCPWHY_F_PERTURB_TABLE | TCPWHY_F_START_REKEYED | TCPWHY_F_PROBES_EXACT,
	IN_5_7 = IN_4_19 | TCPWHY_F_AUTOBIND_REUSE,
	IN_5_10 = IN_5_7 | TCPWHY_F_TW_REUSE_NO_FW2,
	IN_6_3 = IN_5_10 | TCPWHY_F_SOCK_PORT_RANGE,
	IN_6_1 = IN_6_3 | TCPWHY_F_MAPPED_ANY_HIDDEN,
	IN_6_1_4 = IN_5_7 | TCPWHY_F_TW_HIDDEN,
	IN_6_12 = IN_6_3 | TCPWHY_F_SOCK_RANGE_WHOLE | TCPWHY_F_FASTREUSE_DEAD |
		  TCPWHY_F_ZERO_WINDOW_TAKEN,
	IN_6_18 = IN_6_12 | TCPWHY_F_TW_REUSE_DELAY | TCPWHY_F_BUCKET_RELAXES,
	IN_7_2 = IN_6_18 | TCPWHY_F_BEYOND_EDGE_COUNTED,
};

/* The same for segments. A later release can do without what an earlier one did. */
enum {
	PACKETS_3_10 = TCPWHY_P_TW_RST_RESTARTS | TCPWHY_P_TW_RECYCLE,
	PACKETS_4_9_0 = PACKETS_3_10 | TCPWHY_P_SYNQ_BACKLOG | TCPWHY_P_COOKIES_ALWAYS |
			TCPWHY_P_RST_SACK_EDGE | TCPWHY_P_INVALID_RATELIMIT |
			TCPWHY_P_CHALLENGE_RANDOM | TCPWHY_P_RECYCLE_WANTS_TS |
			TCPWHY_P_SYN_CHALLENGED | TCPWHY_P_ICMP_SPARES_REQUEST,
	PACKETS_4_9 = (PACKETS_4_9_0 | TCPWHY_P_SYN_DROP_FULL) & ~TCPWHY_P_TW_RST_RESTARTS,
	PACKETS_4_11 = PACKETS_4_9_0 | TCPWHY_P_SYN_DROP_FULL | TCPWHY_P_RST_AFTER_FIN |
		       TCPWHY_P_TS_OFFSET_TUPLE,
	PACKETS_4_19 = (PACKETS_4_11 | TCPWHY_P_TS_OFFSET_HOSTS | TCPWHY_P_CLOSING_ACK_CHECKED |
			TCPWHY_P_TW_SYN_FORGETS) &
		       ~(TCPWHY_P_TS_OFFSET_TUPLE | TCPWHY_P_TW_RST_RESTARTS | TCPWHY_P_TW_RECYCLE |
			 TCPWHY_P_RECYCLE_WANTS_TS),
	PACKETS_5_7 = PACKETS_4_19 | TCPWHY_P_SYN_AGAIN_AT_ONCE,
	PACKETS_5_10 = PACKETS_5_7 | TCPWHY_P_SYNQ_ONE_MORE,
	PACKETS_6_1_4 = PACKETS_5_7 | TCPWHY_P_CHALLENGE_UNLIMITED | TCPWHY_P_TW_COUNTED_EARLY,
	PACKETS_6_1 = (PACKETS_6_1_4 | TCPWHY_P_SYNQ_ONE_MORE | TCPWHY_P_SYN_RECV_RST_EXACT |
		       TCPWHY_P_TS_OFFSET_TUPLE | TCPWHY_P_OLD_ACK_CLOSING |
		       TCPWHY_P_OLD_ACK_STAMP | TCPWHY_P_CROSSED_SYN_ACK_PASSES) &
		      ~TCPWHY_P_TS_OFFSET_HOSTS,
	PACKETS_6_12 = (PACKETS_6_1 | TCPWHY_P_SYN_LINEAR | TCPWHY_P_PAWS_SYN_CHALLENGED) &
		       ~TCPWHY_P_TW_SYN_FORGETS,
	PACKETS_6_18 =
		(PACKETS_6_12 | TCPWHY_P_SYN_RECV_TSECR | TCPWHY_P_PAWS_OLD_ACK |
		 TCPWHY_P_BEYOND_WINDOW | TCPWHY_P_TW_PAWS_COUNTED | TCPWHY_P_UNSENT_ACK_ANSWERED) &
		~TCPWHY_P_OLD_ACK_STAMP,
	PACKETS_7_2 = PACKETS_6_18 | TCPWHY_P_OLD_ACK_STAMP,
};

/* Known by their sysctl or from one place only, or carried back at an unknown patch. */
#define PACKETS_DOUBT_4_9                                                                          \
	(TCPWHY_P_RECYCLE_WANTS_TS | TCPWHY_P_SYNQ_BACKLOG | TCPWHY_P_INVALID_RATELIMIT |          \
	 TCPWHY_P_ICMP_SPARES_REQUEST)

/* Read in 3.10 and at the end of 4.19.y, and not between. */
#define PROBES_DOUBT (TCPWHY_F_ORPHAN_PROBES_END | TCPWHY_F_PROBES_EXACT)

/* net.ipv4.tcp_max_tw_buckets is half of the kernel's table of connections, which grows with the
 * machine: these are those of a large one and, for 3.10, of a small one. */
#define DEFAULTS(high, reuse, buckets)                                                             \
	{                                                                                          \
		.port_low = 32768, .port_high = (high), .unprivileged_port_start = 1024,           \
		.timestamps = 1, .tw_reuse = (reuse), .tw_reuse_delay_ms = 1000,                   \
		.max_tw_buckets = (buckets), .fin_timeout_s = 60,                                  \
	}

static const struct tcpwhy_row rows[] = {
	{"3.10", IN_3_10, PACKETS_3_10, 0, TCPWHY_P_ICMP_SPARES_REQUEST, DEFAULTS(61000, 0, 16384)},
	{"4.9.0", IN_4_9_0, PACKETS_4_9_0, TCPWHY_F_REUSEPORT_ASKED | PROBES_DOUBT,
	 PACKETS_DOUBT_4_9 | TCPWHY_P_SYN_DROP_FULL, DEFAULTS(60999, 0, 131072)},
	{"4.9.y", IN_4_9, PACKETS_4_9,
	 TCPWHY_F_REUSEPORT_ASKED | TCPWHY_F_START_REKEYED | PROBES_DOUBT, PACKETS_DOUBT_4_9,
	 DEFAULTS(60999, 0, 131072)},
	{"4.11", IN_4_11, PACKETS_4_11,
	 TCPWHY_F_LOW_PORTS_SYSCTL | TCPWHY_F_REUSEPORT_STRICT | TCPWHY_F_FAST_NOTED |
		 TCPWHY_F_REUSEPORT_ASKED | TCPWHY_F_BIND_ANY_APART | PROBES_DOUBT,
	 PACKETS_DOUBT_4_9 | TCPWHY_P_RST_AFTER_FIN | TCPWHY_P_TS_OFFSET_TUPLE,
	 DEFAULTS(60999, 0, 131072)},
	{"4.19.y", IN_4_19, PACKETS_4_19, TCPWHY_F_START_REKEYED | TCPWHY_F_TW_REUSE_NO_FW2,
	 TCPWHY_P_SYNQ_BACKLOG, DEFAULTS(60999, 2, 131072)},
	{"5.10.y", IN_5_10, PACKETS_5_10, 0, 0, DEFAULTS(60999, 2, 131072)},
	{"6.1.4", IN_6_1_4, PACKETS_6_1_4, 0, TCPWHY_P_TW_COUNTED_EARLY,
	 DEFAULTS(60999, 2, 131072)},
	{"6.1.y", IN_6_1, PACKETS_6_1, 0, 0, DEFAULTS(60999, 2, 131072)},
	{"6.12.y", IN_6_12, PACKETS_6_12, 0, 0, DEFAULTS(60999, 2, 131072)},
	{"6.18.y", IN_6_18, PACKETS_6_18, 0, 0, DEFAULTS(60999, 2, 131072)},
	{"7.2.y", IN_7_2, PACKETS_7_2, 0, 0, DEFAULTS(60999, 2, 131072)},
};

const struct tcpwhy_row *tcpwhy_row_at(size_t i)
{
	return i < COUNT(rows) ? &rows[i] : NULL;
}

const struct tcpwhy_row *tcpwhy_row_find(const char *name)
{
	for (size_t i = 0; i < COUNT(rows); i++)
		if (text_equal(rows[i].name, name))
			return &rows[i];
	return NULL;
}
