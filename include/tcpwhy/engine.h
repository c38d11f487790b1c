/* SPDX-License-Identifier: MIT
 *
 * engine.h - the rule book of one Linux network namespace for TCP ports and connection identity
 *
 * The engine answers what bind(), listen(), connect() and close() would do, and says by which rule.
 * It is a model: no system call is made, no clock is read, nothing global is written, and memory
 * comes only from the caller. The same calls with the same arguments give the same answers, byte
 * for byte.
 *
 * It knows ports, addresses, owners, TIME_WAIT and 4-tuples. It does not know segments, windows or
 * queues, and it does not route: the caller names the source address that a route would give.
 *
 * Kernel counterparts: inet_csk_get_port(), inet_csk_bind_conflict(), inet_csk_find_open_port(),
 * __inet_hash_connect(), __inet_check_established(), tcp_twsk_unique(), inet_bind_bucket and
 * inet_bind2_bucket, inet_timewait_sock.
 *
 * Conventions: ports, device numbers and uids are in host order. Addresses are 16 bytes in network
 * order, IPv4 as v4-mapped IPv6. Times are nanoseconds of one monotonic clock of the caller's.
 * Errors of the modelled kernel are Linux errno numbers inside a verdict; misuse of the library is
 * a negative errno from the function. Handles carry a generation: a handle of a closed socket is
 * refused with -EBADF.
 */
#ifndef TCPWHY_ENGINE_H
#define TCPWHY_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One address of either family. IPv4 a.b.c.d is ::ffff:a.b.c.d; 0.0.0.0 is ::ffff:0.0.0.0 and
 * differs from ::. */
struct tcpwhy_addr {
	uint8_t b[16];
};

enum tcpwhy_family { TCPWHY_IPV4 = 4, TCPWHY_IPV6 = 6 };

/* What can be true, false or not visible from where we look. */
enum tcpwhy_tri { TCPWHY_NO = 0, TCPWHY_YES = 1, TCPWHY_UNKNOWN = 2 };

/* The kernel's numbers (tcp_states.h). TIME_WAIT and FIN_WAIT2 may be mini-sockets: see
 * tcpwhy_owner.timewait. BOUND is a socket in CLOSE that holds a port; sock_diag asks for it with
 * bit 13. */
enum tcpwhy_state {
	TCPWHY_ESTABLISHED = 1,
	TCPWHY_SYN_SENT,
	TCPWHY_SYN_RECV,
	TCPWHY_FIN_WAIT1,
	TCPWHY_FIN_WAIT2,
	TCPWHY_TIME_WAIT,
	TCPWHY_CLOSE,
	TCPWHY_CLOSE_WAIT,
	TCPWHY_LAST_ACK,
	TCPWHY_LISTEN,
	TCPWHY_CLOSING,
	TCPWHY_BOUND = 13,
};

/* The kernel's name of a state ("TIME_WAIT"), or "?" for a number that is none. Never NULL. */
const char *tcpwhy_state_name(enum tcpwhy_state state);

/* Values of sk_reuse. FORCE is what TCP_REPAIR sets; it passes every bind. */
enum tcpwhy_reuse { TCPWHY_REUSE_NO, TCPWHY_REUSE_CAN, TCPWHY_REUSE_FORCE, TCPWHY_REUSE_UNKNOWN };

/* ------------------------------------------------------------------------------------- releases */

/* What a release does otherwise than another; a rule asks for the feature, never for a version. */
enum tcpwhy_feature {
	/* net.ipv4.ip_autobind_reuse exists (5.7) */
	TCPWHY_F_AUTOBIND_REUSE = 1u << 0,
	/* IP_LOCAL_PORT_RANGE exists (6.3, 6.1.32) */
	TCPWHY_F_SOCK_PORT_RANGE = 1u << 1,
	/* a bucket turns connect-only again when its explicit owners left (6.18) */
	TCPWHY_F_BUCKET_RELAXES = 1u << 2,
	/* net.ipv4.tcp_tw_reuse_delay in ms (6.14); before: whole seconds */
	TCPWHY_F_TW_REUSE_DELAY = 1u << 3,
	/* connect() never reuses a FIN_WAIT2 mini-socket (6.12, 6.1.113) */
	TCPWHY_F_TW_REUSE_NO_FW2 = 1u << 4,
	/* the bucket is never found empty when its first owner is noted: fastreuse stays 0 and
	 * fastreuseport becomes STRICT (6.8) */
	TCPWHY_F_FASTREUSE_DEAD = 1u << 5,
	/* connect() walks every port of IP_LOCAL_PORT_RANGE in one pass (6.8) */
	TCPWHY_F_SOCK_RANGE_WHOLE = 1u << 6,
	/* tcp_tw_reuse 2 is loopback only (4.19); before: any value but 0 is on */
	TCPWHY_F_TW_REUSE_LOOPBACK = 1u << 7,
	/* without tcp_tw_reuse_delay: old enough in the next second (4.19); before: in the one
	 * after it */
	TCPWHY_F_TW_REUSE_TICK = 1u << 8,
	/* IP_BIND_ADDRESS_NO_PORT exists (4.2) */
	TCPWHY_F_BIND_NO_PORT = 1u << 9,
	/* net.ipv4.ip_unprivileged_port_start exists (4.11); before: 1024 */
	TCPWHY_F_LOW_PORTS_SYSCTL = 1u << 10,
	/* a SO_REUSEPORT group can be steered by BPF, and then does not share its port with a
	 * socket outside (4.5) */
	TCPWHY_F_REUSEPORT_GROUPS = 1u << 11,
	/* fastreuseport can be raised again, as STRICT (4.11) */
	TCPWHY_F_REUSEPORT_STRICT = 1u << 12,
	/* what a bind leaves in the bucket is noted after a fast accept, too (4.11) */
	TCPWHY_F_FAST_NOTED = 1u << 13,
	/* SO_REUSEPORT shares only a port that was asked for, not with bind(0) (4.10 or 4.11) */
	TCPWHY_F_REUSEPORT_ASKED = 1u << 14,
	/* bind(0) does not share a port when its pass found none free (4.11) */
	TCPWHY_F_BIND_ANY_APART = 1u << 15,
	/* bind(0): odd offsets first (4.6), in halves with SO_REUSEADDR (4.2) */
	TCPWHY_F_BIND_ANY_PARITY = 1u << 16,
	/* connect(): even offsets first (4.6); before: port after port */
	TCPWHY_F_CONNECT_PARITY = 1u << 17,
	/* connect() starts by a table (5.12); before: by one hint for the machine */
	TCPWHY_F_PERTURB_TABLE = 1u << 18,
	/* connect() starts elsewhere every ten seconds (5.18) */
	TCPWHY_F_START_REKEYED = 1u << 19,
	/* a bug: TIME_WAIT is not in bhash2, so bind() to an address does not see it (6.1 to
	 * 6.1.4) */
	TCPWHY_F_TW_HIDDEN = 1u << 20,
	/* a bug: bind() of an IPv6 socket to a v4-mapped address does not see an IPv6 socket that
	 * is bound to the v4-mapped wildcard (6.1.y) */
	TCPWHY_F_MAPPED_ANY_HIDDEN = 1u << 21,
	/* data that begins where the window ends counts as BeyondWindow (7.1). Of segments; but in
	 * enum tcpwhy_packet_feature no bit is left that an enum constant can have. */
	TCPWHY_F_BEYOND_EDGE_COUNTED = 1u << 22,
	/* and these: the peer's window is taken for closed even if the segment that says so has
	 * nothing else that is new (6.6, not in 6.1.y); before, such a zero is passed over */
	TCPWHY_F_ZERO_WINDOW_TAKEN = 1u << 23,
	/* an orphan before a closed window is given up even if each probe is answered (3.18);
	 * before: never */
	TCPWHY_F_ORPHAN_PROBES_END = 1u << 24,
	/* as many probes as the sysctl says go without an answer (5.1, 4.19.y); before: one more */
	TCPWHY_F_PROBES_EXACT = 1u << 25,
};

/* The same for segments: what a release does otherwise with a handshake, a reset, a queue or a
 * TIME_WAIT. The engine itself does not ask them; they belong to the layer above it, which does. */
enum tcpwhy_packet_feature {
	/* a SYN is dropped whenever the accept queue is full (4.10, 4.9.y); before: only while more
	 * than one young request waits */
	TCPWHY_P_SYN_DROP_FULL = 1u << 0,
	/* the SYN queue holds the backlog (4.4); before: a power of two above it, of at most
	 * tcp_max_syn_backlog */
	TCPWHY_P_SYNQ_BACKLOG = 1u << 1,
	/* it is full beyond the backlog, not at it (6.14, 6.12.10, 6.1.125) */
	TCPWHY_P_SYNQ_ONE_MORE = 1u << 2,
	/* tcp_syncookies 2: always a cookie (3.12) */
	TCPWHY_P_COOKIES_ALWAYS = 1u << 3,
	/* a RST at the right edge of the right-most SACK block resets (4.8) */
	TCPWHY_P_RST_SACK_EDGE = 1u << 4,
	/* a RST one before what is next resets after the peer's FIN (4.11) */
	TCPWHY_P_RST_AFTER_FIN = 1u << 5,
	/* SYN_RECV: a RST in the window that is not exact gets a challenge ACK (6.18.y, 6.12.105,
	 * 6.1.191) */
	TCPWHY_P_SYN_RECV_RST_EXACT = 1u << 6,
	/* a timestamp that was never sent is refused in SYN_RECV (6.15) */
	TCPWHY_P_SYN_RECV_TSECR = 1u << 7,
	/* an old timestamp on an old bare ACK is dropped without an answer (6.14) */
	TCPWHY_P_PAWS_OLD_ACK = 1u << 8,
	/* data beyond the window is refused as a whole (6.17) */
	TCPWHY_P_BEYOND_WINDOW = 1u << 9,
	/* while closing, an old ACK is taken for what else the segment brings (6.8); before: a
	 * challenge ACK */
	TCPWHY_P_OLD_ACK_CLOSING = 1u << 10,
	/* an ACK of what was never sent gets a challenge ACK in ESTABLISHED, too (6.18.y); before:
	 * nothing */
	TCPWHY_P_UNSENT_ACK_ANSWERED = 1u << 23,
	/* the SYN-ACK of a simultaneous open passes (6.11, 6.1.y); before, it gets a challenge ACK,
	 * and the one that comes back makes the connection */
	TCPWHY_P_CROSSED_SYN_ACK_PASSES = 1u << 24,
	/* a SYN without ACK in a connection gets a challenge ACK (after 3.10, in 4.9); before:
	 * nothing */
	TCPWHY_P_SYN_CHALLENGED = 1u << 28,
	/* while closing, a segment with an ACK that is not acceptable is answered and dropped
	 * (4.13); before: its data and FIN are taken */
	TCPWHY_P_CLOSING_ACK_CHECKED = 1u << 29,
	/* at most one challenge ACK, duplicate ACK or answer of a TIME_WAIT to a segment without
	 * data per tcp_invalid_ratelimit (4.0) */
	TCPWHY_P_INVALID_RATELIMIT = 1u << 11,
	/* challenge ACKs of the whole machine: 100 a second (3.6 to 4.6), with this 1,000, by
	 * chance from half to one and a half of it (4.7) */
	TCPWHY_P_CHALLENGE_RANDOM = 1u << 12,
	/* and with this as many as are asked for (6.0) */
	TCPWHY_P_CHALLENGE_UNLIMITED = 1u << 13,
	/* a wrong ACK in SYN_SENT has the SYN sent again at once (5.7) */
	TCPWHY_P_SYN_AGAIN_AT_ONCE = 1u << 14,
	/* tcp_syn_linear_timeouts (6.5) */
	TCPWHY_P_SYN_LINEAR = 1u << 15,
	/* an accepted RST restarts a TIME_WAIT with tcp_rfc1337 (before 4.19) */
	TCPWHY_P_TW_RST_RESTARTS = 1u << 16,
	/* a segment refused by a TIME_WAIT for its timestamp counts as PAWSTimewait (6.14); before:
	 * as PAWSEstab */
	TCPWHY_P_TW_PAWS_COUNTED = 1u << 17,
	/* a TIME_WAIT is counted, as TW or TWKilled, when it begins (5.17); before: when its time
	 * is over, if nothing else ends it */
	TCPWHY_P_TW_COUNTED_EARLY = 1u << 22,
	/* the timestamp of a segment with an old ACK is taken, too (7.2, 6.12.y, 6.1.y) */
	TCPWHY_P_OLD_ACK_STAMP = 1u << 27,
	/* a bug: a SYN that takes over a TIME_WAIT is treated as any other: a sequence number of
	 * its own, and the SYN queue is asked (4.15 to 6.9) */
	TCPWHY_P_TW_SYN_FORGETS = 1u << 26,
	/* a SYN with an old timestamp gets a challenge ACK (6.12); before: what any old timestamp
	 * gets */
	TCPWHY_P_PAWS_SYN_CHALLENGED = 1u << 25,
	/* only an ICMP error that does not say why for good ends a handshake at a listener (4.5):
	 * of IPv4 host or network unreachable, of IPv6 the others; before, any */
	TCPWHY_P_ICMP_SPARES_REQUEST = 1u << 30,
	/* tcp_tw_recycle exists (before 4.12) */
	TCPWHY_P_TW_RECYCLE = 1u << 18,
	/* and refuses a SYN without timestamp, too (3.17 to 4.11) */
	TCPWHY_P_RECYCLE_WANTS_TS = 1u << 19,
	/* timestamps start at random: for each connection (4.10, 4.11; with the ports of 2026's
	 * stables) */
	TCPWHY_P_TS_OFFSET_TUPLE = 1u << 20,
	/* or for each pair of hosts (4.12) */
	TCPWHY_P_TS_OFFSET_HOSTS = 1u << 21,
};

struct tcpwhy_sysctls {
	uint16_t port_low, port_high;       /* net.ipv4.ip_local_port_range, inclusive */
	uint16_t unprivileged_port_start;   /* net.ipv4.ip_unprivileged_port_start */
	bool autobind_reuse;                /* net.ipv4.ip_autobind_reuse */
	bool nonlocal_bind, nonlocal_bind6; /* net.ipv{4,6}.ip_nonlocal_bind */
	bool l3mdev_accept;                 /* net.ipv4.tcp_l3mdev_accept */
	uint8_t timestamps; /* net.ipv4.tcp_timestamps, of connections made from now on: 0 none;
			     * 1; 2 and above without a random start */
	bool bindv6only;    /* net.ipv6.bindv6only: of sockets made from now on */
	uint8_t tw_reuse;   /* net.ipv4.tcp_tw_reuse: 0, 1, 2 = loopback only */
	uint32_t tw_reuse_delay_ms; /* net.ipv4.tcp_tw_reuse_delay */
	uint32_t max_tw_buckets;    /* net.ipv4.tcp_max_tw_buckets */
	uint32_t fin_timeout_s;     /* net.ipv4.tcp_fin_timeout */
};

struct tcpwhy_row {
	const char *name;  /* "6.18.y" */
	uint32_t features; /* of enum tcpwhy_feature */
	uint32_t packets;  /* of enum tcpwhy_packet_feature */
	/* Those whose being there, or not, was not read in that release's source. */
	uint32_t unverified, packets_unverified;
	struct tcpwhy_sysctls defaults;
};

/* The row of that name, or NULL. tcpwhy_row_at() enumerates, from old to new: NULL past the end.
 * Rows are constants. */
const struct tcpwhy_row *tcpwhy_row_find(const char *name);
const struct tcpwhy_row *tcpwhy_row_at(size_t i);

/* What a feature is called and does. Exactly one of feature and packet is not 0, and is one bit. */
struct tcpwhy_feature_info {
	const char *id;    /* "connect-parity": a promise, never renamed */
	const char *does;  /* one sentence for people, true where the feature is there */
	const char *since; /* releases that have it: "6.18", "before 4.12" */
	uint32_t feature;  /* of enum tcpwhy_feature */
	uint32_t packet;   /* of enum tcpwhy_packet_feature */
};

/* Every feature, those of ports before those of segments: NULL past the end. Constants. */
const struct tcpwhy_feature_info *tcpwhy_feature_at(size_t i);

/* --------------------------------------------------------------------------------------- verdict
 */

enum tcpwhy_answer { TCPWHY_OK, TCPWHY_REFUSED, TCPWHY_DEPENDS };
enum tcpwhy_call { TCPWHY_CALL_NONE, TCPWHY_CALL_BIND, TCPWHY_CALL_LISTEN, TCPWHY_CALL_CONNECT };

/* How a holder of the port stands to the one who asks. A verdict counts its holders by this; the
 * order is the order of weight: the heaviest class present names the rule. A class is decided by
 * the same predicate that decides the conflict (inet_bind_conflict()). */
enum tcpwhy_holder {
	TCPWHY_H_TW_NEEDS_REUSE,   /* TIME_WAIT that has SO_REUSEADDR; the new socket lacks it */
	TCPWHY_H_TW_WITHOUT_REUSE, /* TIME_WAIT whose socket lacked SO_REUSEADDR */
	TCPWHY_H_FW2_NEEDS_REUSE,  /* the same of an orphan's FIN_WAIT2 mini-socket */
	TCPWHY_H_FW2_WITHOUT_REUSE,
	TCPWHY_H_CONN_NEEDS_REUSE, /* a living connection, accepted or outgoing from a bound port */
	TCPWHY_H_CONN_WITHOUT_REUSE,
	TCPWHY_H_OUT_NEEDS_REUSE, /* a living outgoing connection whose port connect() chose */
	TCPWHY_H_OUT_WITHOUT_REUSE,
	TCPWHY_H_BOUND_NEEDS_REUSE, /* a socket that only bound */
	TCPWHY_H_BOUND_WITHOUT_REUSE,
	TCPWHY_H_BOUND_OTHER_UID,    /* both have SO_REUSEPORT, the uids differ */
	TCPWHY_H_REUSEPORT_STEERED,  /* both have SO_REUSEPORT, but the new socket is in a
					BPF-steered group of its own */
	TCPWHY_H_LISTENER,           /* a listener; SO_REUSEPORT is not on both sides */
	TCPWHY_H_LISTENER_OTHER_UID, /* a listener; both have SO_REUSEPORT, the uids differ */
	TCPWHY_H_UNKNOWN,            /* conflicts or not, depending on what could not be seen */
	TCPWHY_HOLDER_CLASSES
};

/* Why connect() may not take over a TIME_WAIT that stands at a port (tcp_twsk_unique()). */
enum tcpwhy_tw_reason {
	TCPWHY_TW_NO_TIMESTAMPS, /* the old connection had no TCP timestamps */
	TCPWHY_TW_FIN_WAIT2,     /* still in FIN_WAIT2 */
	TCPWHY_TW_REUSE_OFF,     /* net.ipv4.tcp_tw_reuse is 0 */
	TCPWHY_TW_LOOPBACK_ONLY, /* it is 2, and the connection was not on loopback */
	TCPWHY_TW_TOO_YOUNG,     /* younger than net.ipv4.tcp_tw_reuse_delay */
	TCPWHY_TW_REASONS
};

/* Rules by stable identifier. tcpwhy_rule_info() gives identifier, sentence and source. */
enum tcpwhy_rule {
	TCPWHY_RULE_NONE,
	TCPWHY_RULE_BIND_FAMILY,
	TCPWHY_RULE_BIND_NOT_LOCAL,
	TCPWHY_RULE_BIND_TENTATIVE,
	TCPWHY_RULE_BIND_PRIVILEGED,
	TCPWHY_RULE_BIND_ALREADY,
	TCPWHY_RULE_BIND_NO_DEVICE,
	TCPWHY_RULE_BIND_MAPPED_V6ONLY,
	TCPWHY_RULE_BIND_LINK_LOCAL,
	TCPWHY_RULE_BIND_MULTICAST6,
	TCPWHY_RULE_BIND_TW_NEEDS_REUSE,
	TCPWHY_RULE_BIND_TW_WITHOUT_REUSE,
	TCPWHY_RULE_BIND_FW2_NEEDS_REUSE,
	TCPWHY_RULE_BIND_FW2_WITHOUT_REUSE,
	TCPWHY_RULE_BIND_CONN_NEEDS_REUSE,
	TCPWHY_RULE_BIND_CONN_WITHOUT_REUSE,
	TCPWHY_RULE_BIND_OUT_NEEDS_REUSE,
	TCPWHY_RULE_BIND_OUT_WITHOUT_REUSE,
	TCPWHY_RULE_BIND_BOUND_NEEDS_REUSE,
	TCPWHY_RULE_BIND_BOUND_WITHOUT_REUSE,
	TCPWHY_RULE_BIND_BOUND_OTHER_UID,
	TCPWHY_RULE_BIND_REUSEPORT_STEERED,
	TCPWHY_RULE_BIND_LISTENER,
	TCPWHY_RULE_BIND_LISTENER_OTHER_UID,
	TCPWHY_RULE_BIND_UNKNOWN,
	TCPWHY_RULE_BIND_RANGE_EXHAUSTED,
	TCPWHY_RULE_LISTEN_STATE,
	TCPWHY_RULE_LISTEN_SECOND_GATE,
	TCPWHY_RULE_CONNECT_STATE,
	TCPWHY_RULE_CONNECT_FAMILY,
	TCPWHY_RULE_CONNECT_RANGE_EXHAUSTED,
	TCPWHY_RULE_CONNECT_TUPLE_TAKEN,
	TCPWHY_RULE_NO_MEMORY,
	TCPWHY_RULES
};

struct tcpwhy_rule_info {
	const char *id;      /* "bind.time-wait-without-reuseaddr": a promise, never renamed */
	const char *because; /* one sentence for people */
	const char *source;  /* kernel function, and since when if not always */
};

/* Borrowed constants; a number outside the enum gives the entry of TCPWHY_RULE_NONE. */
const struct tcpwhy_rule_info *tcpwhy_rule_info(enum tcpwhy_rule rule);

/* What a "depends" depends on (bits). */
enum tcpwhy_missing {
	TCPWHY_MISSING_REUSEADDR = 1u << 0, /* SO_REUSEADDR of an owner */
	TCPWHY_MISSING_REUSEPORT = 1u << 1, /* SO_REUSEPORT of an owner */
	TCPWHY_MISSING_UID = 1u << 2,       /* uid of an owner */
	TCPWHY_MISSING_V6ONLY = 1u << 3,    /* IPV6_V6ONLY of an owner */
	TCPWHY_MISSING_FAST = 1u << 4,      /* the bucket's fastreuse fields */
	TCPWHY_MISSING_OWNERS = 1u << 5,    /* sockets that only bound cannot be seen here */
	TCPWHY_MISSING_PRIVILEGE = 1u << 6, /* whether the asker has CAP_NET_BIND_SERVICE */
	TCPWHY_MISSING_LOCAL = 1u << 7,     /* the local addresses */
	TCPWHY_MISSING_SYSCTL = 1u << 8,    /* a sysctl that the rule reads */
	/* the kernel's random start: of an odd-sized range one search finds the last free port and
	 * another misses it */
	TCPWHY_MISSING_DRAW = 1u << 9,
	/* whether a TIME_WAIT's connection had TCP timestamps */
	TCPWHY_MISSING_TIMESTAMPS = 1u << 10,
	/* whether connect() or bind() chose an owner's port */
	TCPWHY_MISSING_CONNECT_BIND = 1u << 11,
	/* what a BPF program of the cgroup says */
	TCPWHY_MISSING_PROGRAM = 1u << 12,
	/* which of two sockets with one 4-tuple, one bound to a device, is met first */
	TCPWHY_MISSING_ORDER = 1u << 13,
	/* which port bind(0) shares; the engine does not say so, for bind() is certain */
	TCPWHY_MISSING_SHARED = 1u << 14,
};

/* Generation in the upper half, in the lower a small number from 1 that is used again later: a
 * caller may keep a table of its own by it. 0 is never a socket. */
typedef uint64_t tcpwhy_sock;

struct tcpwhy_verdict {
	enum tcpwhy_answer answer;
	int error; /* errno number that the call gives (or may give, for DEPENDS); 0 when ok */
	enum tcpwhy_call at; /* the call that fails */
	enum tcpwhy_rule rule;
	uint32_t missing; /* of enum tcpwhy_missing; 0 unless DEPENDS */
	uint16_t port;    /* the port bound or looked at; 0 if none was found */
	uint32_t holders; /* conflicting owners, of all classes */
	uint32_t by_class[TCPWHY_HOLDER_CLASSES];
	tcpwhy_sock first;       /* a holder of the heaviest class; 0 if none */
	uint64_t last_expiry_ns; /* when the last timed holder goes; 0 if any holder has no timer */
	/* bind(0) and connect(): ports of the range, by fate. They add up to range_total. */
	uint32_t range_total, range_free, range_reserved, range_taken, range_unknown;
	uint32_t range_reusable; /* connect(): a TIME_WAIT there may be taken over */
	uint32_t range_owned;    /* connect(): a bind() or a listener owns the port, for every
				    destination */
	uint32_t tw_kept[TCPWHY_TW_REASONS]; /* connect(): of range_taken, TIME_WAIT that may not be
						taken over */
	/* connect(), of range_taken: when the next port comes back by itself (expiry, or old enough
	 * to be taken over), 0 if none will; and how many within ten seconds from now. */
	uint64_t next_free_ns;
	uint32_t free_within_10s;
};

/* ---------------------------------------------------------------------------------------- engine
 */

struct tcpwhy_engine; /* one network namespace */

/* All memory of an engine comes from here. resize() works like realloc: old is NULL for a new
 * block, new_size 0 frees (its result is ignored); NULL is "no memory", and the engine then answers
 * ENOMEM where the kernel would. limit bounds the sum of all blocks, in bytes; 0 is no limit. */
struct tcpwhy_memory {
	void *(*resize)(void *ctx, void *old, size_t old_size, size_t new_size);
	void *ctx;
	size_t limit;
};

/* A new, empty namespace with the row's default sysctls and without addresses or devices; its clock
 * stands at 0. NULL: no memory. The row is borrowed for the life of the engine, *memory is copied;
 * what memory->ctx points to must outlive the engine. Free it with tcpwhy_engine_free(). */
struct tcpwhy_engine *tcpwhy_engine_new(const struct tcpwhy_row *row,
					const struct tcpwhy_memory *memory);
/* Gives all its memory back; every handle is void. NULL is nothing to do. */
void tcpwhy_engine_free(struct tcpwhy_engine *e);

/* Bytes that the engine holds now: the sum of its blocks, as memory->limit counts them. */
size_t tcpwhy_engine_bytes(const struct tcpwhy_engine *e);

/* Sysctls act on later calls only, as in the kernel. The pointer is borrowed until the next change.
 */
const struct tcpwhy_sysctls *tcpwhy_sysctls(const struct tcpwhy_engine *e);
/* All of them at once, copied. 0, or -EINVAL with nothing changed if port_low is 0 or above
 * port_high. */
int tcpwhy_set_sysctls(struct tcpwhy_engine *e, const struct tcpwhy_sysctls *s);
/* Puts a port into net.ipv4.ip_local_reserved_ports, or takes it out: skipped by bind(0) and
 * connect(), not by bind() to a given port (inet_is_local_reserved_port()). 0 or -ENOMEM. */
int tcpwhy_reserve_port(struct tcpwhy_engine *e, uint16_t port, bool reserved);

/* What kind of local address a prefix is. TENTATIVE (IPv6 DAD not finished) cannot be bound;
 * BROADCAST can (IPv4). */
enum tcpwhy_local { TCPWHY_LOCAL, TCPWHY_LOCAL_BROADCAST, TCPWHY_LOCAL_TENTATIVE };

/* A local prefix: every address in it can be bound. prefix_len counts bits of the 16-byte form:
 * IPv4 /32 is 128. device is its ifindex; l3mdev the VRF's ifindex or 0. Until the first call the
 * local addresses are unknown and an address check depends (TCPWHY_MISSING_LOCAL). 0, -EINVAL
 * (prefix_len above 128), -ENOMEM. inet_addr_type_table(), ipv6_chk_addr(). */
int tcpwhy_add_local(struct tcpwhy_engine *e, const struct tcpwhy_addr *prefix, unsigned prefix_len,
		     enum tcpwhy_local kind, uint32_t device, uint32_t l3mdev);
/* Says that there are no more, or none at all, as where lo is down. */
void tcpwhy_locals_known(struct tcpwhy_engine *e);
/* A device and the VRF it belongs to (0: none), by their ifindexes. Until the first call any device
 * is taken to exist. 0 or -ENOMEM. inet_sk_bound_l3mdev(). */
int tcpwhy_add_device(struct tcpwhy_engine *e, uint32_t device, uint32_t l3mdev);

/* Moves the clock. TIME_WAIT and orphan FIN_WAIT2 whose time has come end. Going backwards is
 * ignored. */
void tcpwhy_advance(struct tcpwhy_engine *e, uint64_t now_ns);
/* When the next of them ends; UINT64_MAX: none has a time. */
uint64_t tcpwhy_next_end(const struct tcpwhy_engine *e);
/* Where the clock stands: the latest now_ns of tcpwhy_advance(), 0 before the first. */
uint64_t tcpwhy_now(const struct tcpwhy_engine *e);

/* --------------------------------------------------------------- state that was seen, not made
 * here */

/* One owner of a port, as seen in a kernel or reported by the engine. */
struct tcpwhy_owner {
	struct tcpwhy_addr local, peer; /* peer is all zero if there is none */
	uint16_t port, peer_port;
	uint8_t family;            /* enum tcpwhy_family: of the socket, not of the address */
	uint8_t state;             /* enum tcpwhy_state */
	uint8_t reuse;             /* enum tcpwhy_reuse */
	uint8_t reuseport, v6only; /* enum tcpwhy_tri */
	uint8_t connect_bind;      /* tri: connect() chose the port */
	bool timewait;             /* a mini-socket: TIME_WAIT, or an orphan's FIN_WAIT2 */
	uint8_t timestamps;        /* tri. timewait: both ends used TCP timestamps */
	bool uid_known;
	uint32_t uid;
	uint32_t device;     /* SO_BINDTODEVICE ifindex, 0 none */
	uint32_t l3mdev;     /* VRF ifindex of the bucket it is in, 0 none */
	uint64_t expires_ns; /* timewait: absolute; 0 unknown or no timer */
	uint64_t tag;        /* the caller's; the engine only keeps it */
};

/* The state a bucket keeps beside its owners (inet_bind_bucket). -1 is "connect-only". */
struct tcpwhy_bucket {
	uint16_t port;
	uint32_t l3mdev;
	bool known;                      /* false: the fields below could not be seen */
	int8_t fastreuse, fastreuseport; /* -1, 0, 1 (2: STRICT) */
	uint32_t fastuid;
	struct tcpwhy_addr fast_addr; /* fast_v6_rcv_saddr, or fast_rcv_saddr as v4-mapped */
	uint32_t fast_addr4;          /* fast_rcv_saddr, network order */
	uint8_t fast_family;          /* enum tcpwhy_family */
	bool fast_v6only;
};

/* Puts an owner into the tables without asking any rule. Its bucket is made if missing, with fields
 * unknown unless tcpwhy_import_bucket() says otherwise, before or after. *out may be NULL. 0,
 * -EINVAL (state, family), -ENOMEM. */
int tcpwhy_import_owner(struct tcpwhy_engine *e, const struct tcpwhy_owner *o, tcpwhy_sock *out);
/* Sets the fields of the bucket of (port, l3mdev), which is made if missing. 0 or -ENOMEM. */
int tcpwhy_import_bucket(struct tcpwhy_engine *e, const struct tcpwhy_bucket *b);
/* Says that sockets which only bound may exist unseen: an "ok" then becomes "depends". */
void tcpwhy_import_blind(struct tcpwhy_engine *e, bool bound_unseen);
/* Says that something outside the rule book (a BPF program of the cgroup) is asked at each bind()
 * of an IPv4 or an IPv6 socket, and may refuse: an "ok" then becomes "depends"
 * (TCPWHY_MISSING_PROGRAM), with EPERM (BPF_CGROUP_RUN_PROG_INET4_BIND() and its kin). */
void tcpwhy_import_programs(struct tcpwhy_engine *e, bool ipv4, bool ipv6);

/* ------------------------------------------------------------------------------ questions, no
 * change */

struct tcpwhy_bind_request {
	struct tcpwhy_addr addr;
	uint16_t port;  /* 0: any */
	uint8_t family; /* enum tcpwhy_family: of the socket */
	uint8_t reuse;  /* enum tcpwhy_reuse, not UNKNOWN */
	bool reuseport,
		reuseport_cb; /* reuseport_cb: a BPF program was attached before bind(), 4.5+ */
	bool v6only, freebind, transparent;
	bool listen;                  /* and would listen() then succeed */
	enum tcpwhy_tri may_bind_low; /* CAP_NET_BIND_SERVICE in the namespace's user namespace */
	uint32_t device;              /* SO_BINDTODEVICE, 0 none */
	uint32_t uid;
	uint16_t range_low, range_high; /* IP_LOCAL_PORT_RANGE, 0 unset */
};

/* What bind(), and with .listen then listen(), would do now. Nothing changes; the result is certain
 * or DEPENDS. For port 0 the port is named only when exactly one is admissible. *v is written
 * whole, and is the caller's. inet_bind(), inet6_bind(), inet_csk_get_port(),
 * inet_csk_listen_start(). */
void tcpwhy_would_bind(const struct tcpwhy_engine *e, const struct tcpwhy_bind_request *q,
		       struct tcpwhy_verdict *v);

struct tcpwhy_connect_request {
	struct tcpwhy_addr peer,
		source; /* source: the address the route gives, or the one that was bound */
	uint16_t peer_port;
	uint16_t port;                  /* bound before connect(), 0: connect() chooses */
	uint8_t family;                 /* enum tcpwhy_family: of the socket */
	uint32_t device;                /* SO_BINDTODEVICE, 0 none */
	uint16_t range_low, range_high; /* IP_LOCAL_PORT_RANGE, 0 unset */
};

/* What connect() would do now about its port, and how the range stands for this destination. For a
 * bound port only whether the 4-tuple can be taken: ask tcpwhy_would_bind() for the port itself.
 * Nothing changes. The engine must hold the owners of every port of the range. The port is named
 * only if it is certain. Refused: EADDRNOTAVAIL, rule connect.no-port-for-destination or
 * connect.tuple-taken (then .first has it). *v as above. __inet_hash_connect(),
 * __inet_check_established(), tcp_twsk_unique(). */
void tcpwhy_would_connect(const struct tcpwhy_engine *e, const struct tcpwhy_connect_request *q,
			  struct tcpwhy_verdict *v);

/* The owners that stand in the way of q on q->port (on all ports of l3mdev for no other): the same
 * predicate that decided, one owner a call. Starts with a zeroed cursor. False at the end. Any
 * change of the engine ends a walk: start again. */
struct tcpwhy_cursor {
	uint32_t bucket, next;
	bool started;
};
bool tcpwhy_next_holder(const struct tcpwhy_engine *e, const struct tcpwhy_bind_request *q,
			struct tcpwhy_cursor *c, struct tcpwhy_owner *owner,
			enum tcpwhy_holder *holder);

/* Every owner, of every port, one a call, in no order that is promised. Starts with a zeroed
 * cursor; a change of the engine ends the walk. s may be NULL. False at the end, with outputs
 * untouched. */
bool tcpwhy_next_owner(const struct tcpwhy_engine *e, struct tcpwhy_cursor *c, tcpwhy_sock *s,
		       struct tcpwhy_owner *owner);
/* The bucket of (port, l3mdev), as a copy. False if there is none. */
bool tcpwhy_get_bucket(const struct tcpwhy_engine *e, uint16_t port, uint32_t l3mdev,
		       struct tcpwhy_bucket *b);

/* ------------------------------------------------------------------------------------ socket calls
 */

/* How a port is chosen when the call leaves it to the kernel. draw(ctx, n) is a number in [0, n),
 * the kernel's get_random_u32_below(). follow != 0: the kernel chose that port; the engine checks
 * that it was admissible and takes it, and answers with rule ..._RANGE_EXHAUSTED and EADDRINUSE /
 * EADDRNOTAVAIL if it was not. none: the kernel found no port; the engine finds none either if some
 * start of the search leads to that. */
struct tcpwhy_perturb;
struct tcpwhy_choice {
	uint32_t (*draw)(void *ctx, uint32_t n);
	void *ctx;
	uint16_t follow;
	bool none;
	struct tcpwhy_perturb *perturb; /* connect(): the start by key and table; NULL: drawn */
};

/* Where connect() starts to look: a keyed hash of (source, destination, destination port), another
 * one every ten seconds, plus what earlier connects added to the table's entry. draw() serves the
 * step only. For one key and the same draws the same ports are chosen. A live kernel's key is its
 * secret and is never read; the hash is SipHash-2-4 of the addresses, the port and the time, so it
 * is the kernel's in form, not in its byte order. A row without TCPWHY_F_START_REKEYED hashes
 * without the time; one without TCPWHY_F_PERTURB_TABLE has one hint for the whole machine, which is
 * table[0].
 * __inet_hash_connect(), secure_ipv4_port_ephemeral(). */
struct tcpwhy_perturb {
	uint64_t key[2];
	uint32_t *table; /* the caller's; one entry changes with every connect() */
	uint32_t size;   /* of the table: a power of two; the kernel's default is 65,536
			  * (5.18; before, 256) */
};

enum tcpwhy_option {
	TCPWHY_SO_REUSEADDR,        /* 0 or 1 */
	TCPWHY_SO_REUSEPORT,        /* 0 or 1 */
	TCPWHY_SO_BINDTODEVICE,     /* ifindex, 0 none; ENODEV */
	TCPWHY_SO_LINGER0,          /* 1: close() resets */
	TCPWHY_SO_ATTACH_REUSEPORT, /* a BPF program of a SO_REUSEPORT group; EINVAL without
				       SO_REUSEPORT */
	TCPWHY_IPV6_V6ONLY,         /* EINVAL once a port is held, ENOPROTOOPT on IPv4 */
	TCPWHY_IP_FREEBIND,
	TCPWHY_IP_TRANSPARENT,
	TCPWHY_IP_BIND_ADDRESS_NO_PORT,
	TCPWHY_IP_LOCAL_PORT_RANGE, /* low | high << 16; EINVAL if both are set and low > high */
	TCPWHY_TCP_REPAIR,          /* 1: sk_reuse becomes FORCE; 0: NO */
	TCPWHY_TCP_LINGER2,         /* seconds; -1: close() resets instead of FIN_WAIT2 */
};

/* A socket in CLOSE, without a port, of that user. may_bind_low: CAP_NET_BIND_SERVICE. *out is good
 * until tcpwhy_close(). 0, -EINVAL (family), -ENOMEM. */
int tcpwhy_socket(struct tcpwhy_engine *e, enum tcpwhy_family family, uint32_t uid,
		  bool may_bind_low, tcpwhy_sock *out);
/* The errno that setsockopt() gives, 0 if none; -EBADF for a stale handle, -EINVAL for no such
 * option. */
int tcpwhy_setsockopt(struct tcpwhy_engine *e, tcpwhy_sock s, enum tcpwhy_option option,
		      uint64_t value);

/* The socket calls. 0: the verdict says what the kernel answers, and the state has changed
 * accordingly; -EBADF: not a live handle, v untouched. connect() only takes port and 4-tuple and
 * goes to SYN_SENT; source is the address the route gives, used if the socket has none. If it took
 * the place of a TIME_WAIT, .first is the handle, stale now, that this one had. addr, peer and
 * source are borrowed for the call, as is choice, which is asked only where a port is chosen.
 * inet_csk_get_port(), inet_csk_listen_start(), tcp_v4_connect(). */
int tcpwhy_bind(struct tcpwhy_engine *e, tcpwhy_sock s, const struct tcpwhy_addr *addr,
		uint16_t port, const struct tcpwhy_choice *choice, struct tcpwhy_verdict *v);
int tcpwhy_listen(struct tcpwhy_engine *e, tcpwhy_sock s, const struct tcpwhy_choice *choice,
		  struct tcpwhy_verdict *v);
int tcpwhy_connect(struct tcpwhy_engine *e, tcpwhy_sock s, const struct tcpwhy_addr *peer,
		   uint16_t peer_port, const struct tcpwhy_addr *source,
		   const struct tcpwhy_choice *choice, struct tcpwhy_verdict *v);

/* connect() to AF_UNSPEC, and what a connect() that failed later does: back to CLOSE, ready to be
 * used again; a port or address that was not asked for is given back. Nothing is sent. 0, -EBADF.
 * tcp_disconnect(). */
int tcpwhy_disconnect(struct tcpwhy_engine *e, tcpwhy_sock s);

/* What arrives from the other side, at the level of identity: each of the following gives 0,
 * -EBADF, -EINVAL if the state does not allow it, or -ENOMEM. */

/* SYN_SENT: the handshake is done. tcp_finish_connect(). */
int tcpwhy_established(struct tcpwhy_engine *e, tcpwhy_sock s);
/* A handshake with a listener is done: a child in ESTABLISHED, not yet accepted, with the
 * listener's options; *child is its handle. A TIME_WAIT with the same 4-tuple ends (RFC 1122
 * 4.2.2.13). -EEXIST if a living socket has the 4-tuple. tcp_v4_syn_recv_sock(). */
int tcpwhy_incoming(struct tcpwhy_engine *e, tcpwhy_sock listener, const struct tcpwhy_addr *local,
		    const struct tcpwhy_addr *peer, uint16_t peer_port, tcpwhy_sock *child);
/* accept() took the child; it is of that user from then on. sock_graft(). */
int tcpwhy_accepted(struct tcpwhy_engine *e, tcpwhy_sock child, uint32_t uid);
/* The peer's FIN. tcp_fin(). */
int tcpwhy_fin_in(struct tcpwhy_engine *e, tcpwhy_sock s);
/* An acceptable RST, or SOCK_DESTROY: a mini-socket or an orphan is gone, and its handle stale.
 * tcp_reset(), tcp_abort(). */
int tcpwhy_reset_in(struct tcpwhy_engine *e, tcpwhy_sock s);
/* What the handshake agreed on: whether both ends use TCP timestamps. Until then a socket counts by
 * the sysctl. 0, -EBADF. */
int tcpwhy_timestamps(struct tcpwhy_engine *e, tcpwhy_sock s, bool both_use_them);
/* Moves the end of a mini-socket: a late segment restarts it, tcp_tw_recycle and a long
 * retransmission time-out choose another time. seen: a segment with a timestamp was taken, from
 * which tcp_tw_reuse counts the age before 6.14. 0, -EBADF, -EINVAL if s is no mini-socket,
 * -ENOMEM. inet_twsk_reschedule(), tcp_timewait_state_process(). */
int tcpwhy_timewait_end(struct tcpwhy_engine *e, tcpwhy_sock s, uint64_t expires_ns, bool seen);

enum tcpwhy_how { TCPWHY_SHUT_RD, TCPWHY_SHUT_WR, TCPWHY_SHUT_RDWR };
/* What leaves: nothing, a FIN or a RST. After shutdown() the handle stays; after close() it is an
 * orphan's, or a TIME_WAIT's, or stale. */
enum tcpwhy_sent { TCPWHY_SENT_NOTHING, TCPWHY_SENT_FIN, TCPWHY_SENT_RST };
/* Our FIN was acknowledged. *sent, which may be NULL: an orphan with a negative TCP_LINGER2 answers
 * with a RST. An orphan's handle is stale then: gone, or replaced by a mini-socket with a handle of
 * its own, which tcpwhy_find_tuple() tells; only where FIN_WAIT2 is to last longer than TIME_WAIT
 * does the full socket stay at first (tcp_rcv_state_process()). 0, -EBADF, -EINVAL as above. */
int tcpwhy_fin_acked(struct tcpwhy_engine *e, tcpwhy_sock s, enum tcpwhy_sent *sent);
/* The errno of shutdown() (ENOTCONN), 0, or -EBADF. *sent, which may be NULL, as for close().
 * inet_shutdown(), tcp_shutdown(). */
int tcpwhy_shutdown(struct tcpwhy_engine *e, tcpwhy_sock s, enum tcpwhy_how how,
		    enum tcpwhy_sent *sent);
/* close() of the last descriptor: the port is free, or an orphan or a mini-socket has it. What
 * leaves is in *sent, which may be NULL. 0, or -EBADF. tcp_close(), tcp_time_wait(). */
int tcpwhy_close(struct tcpwhy_engine *e, tcpwhy_sock s, enum tcpwhy_sent *sent);

/* The socket or mini-socket of a 4-tuple, 0 if none. A listener has no 4-tuple. device: the ifindex
 * that it is bound to, 0 none. __inet_lookup_established(). */
tcpwhy_sock tcpwhy_find_tuple(const struct tcpwhy_engine *e, const struct tcpwhy_addr *local,
			      uint16_t port, const struct tcpwhy_addr *peer, uint16_t peer_port,
			      uint32_t device);
/* That 4-tuple will be asked for soon: two to four questions before (is_next: one or two) this
 * saves the wait for memory. It changes nothing, and need not be true. */
void tcpwhy_expect_tuple(const struct tcpwhy_engine *e, const struct tcpwhy_addr *local,
			 uint16_t port, const struct tcpwhy_addr *peer, uint16_t peer_port,
			 bool is_next);
/* What the engine knows of a socket or mini-socket, as a copy; NULL: only whether it knows it. 0 or
 * -EBADF. */
int tcpwhy_get(const struct tcpwhy_engine *e, tcpwhy_sock s, struct tcpwhy_owner *owner);

#endif
