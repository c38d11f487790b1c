/* SPDX-License-Identifier: MIT
 *
 * overview.h - how a namespace stands: its sockets in numbers, and what is wrong there
 *
 * live counts while it reads (struct overview: nothing in it grows with the number of sockets),
 * explain finds what is wrong (struct diagnosis), report shows both. No code.
 */
#ifndef TCPWHY_FACTS_OVERVIEW_H
#define TCPWHY_FACTS_OVERVIEW_H

#include "facts/cure.h"
#include "facts/result.h"

#define OVERVIEW_STATES       16 /* by enum tcpwhy_state */
#define OVERVIEW_DESTINATIONS 16 /* the busiest, handed on */
#define OVERVIEW_LISTENERS    16
#define OVERVIEW_NAME_MAX     96

/* TIME_WAIT towards a destination, by what connect() asks of it (tcp_twsk_unique()). */
enum overview_wait {
	OVERVIEW_OLD,   /* has timestamps, and is older than net.ipv4.tcp_tw_reuse_delay */
	OVERVIEW_YOUNG, /* has timestamps */
	OVERVIEW_NO_TIMESTAMPS,
	OVERVIEW_TIMESTAMPS_UNSEEN,
	OVERVIEW_FIN_WAIT2, /* a mini-socket in FIN_WAIT2 */
	OVERVIEW_WAITS
};

/* Connections from one local address to one peer, of those whose local port connect() looks at: in
 * the range, not reserved, not owned by a bind(). */
struct overview_destination {
	struct tcpwhy_addr local, peer;
	uint16_t peer_port;
	uint8_t family;
	uint32_t device;
	uint32_t living; /* not in TIME_WAIT */
	uint32_t waiting[OVERVIEW_WAITS];
	/* The table was full: up to this many more were counted before this entry got its place. */
	uint32_t maybe_more;
};

/* A listener whose port connect() could take while the listener is away. */
struct overview_listener {
	struct result_holder who;
	enum tcpwhy_tri named; /* bind() named the port; else bind(0) drew it */
};

struct overview {
	char kernel[80]; /* uname -r */
	uint64_t netns;
	char name[OVERVIEW_NAME_MAX]; /* of the namespace; "" our own */
	uint64_t taken_ns;
	uint32_t sources; /* of enum snapshot_source */
	struct tcpwhy_sysctls sysctls;
	uint32_t sysctls_unknown;
	uint32_t reserved[2048]; /* ports of ip_local_reserved_ports, a bit each */

	uint64_t sockets, by_state[OVERVIEW_STATES];
	uint64_t twice;  /* of them, up to so many were counted twice: the table changed under us */
	uint64_t in_vrf; /* of them, in buckets of a VRF: counted by state only */
	bool bound_unseen; /* sockets that only bound cannot be seen from here */
	bool owned_unseen; /* which ports bind() owns cannot be seen from here, but for listeners */
	bool incomplete;   /* chains of the bind hash were given up */

	/* Ports of the ephemeral range. */
	uint32_t range_total, range_reserved;
	uint32_t range_owned; /* not reserved, and connect() passes over them: bind() owns them */
	uint32_t range_held;  /* not reserved, and bind(0) to 0.0.0.0 passes over them */
	uint32_t range_unmet; /* not reserved, and in none of these counts: no search looks there */
	/* Of an odd-sized range one port is left, and it is an end: a search meets it by chance. */
	bool bind0_by_chance, connect_by_chance;

	struct overview_destination destinations[OVERVIEW_DESTINATIONS]; /* busiest first */
	size_t destinations_n;
	uint64_t destinations_seen; /* different ones; less than there are if any was pushed out */
	uint64_t destinations_pushed; /* entries pushed out of the full table */
	struct overview_listener listeners[OVERVIEW_LISTENERS]; /* one for each port */
	size_t listeners_n;
	uint32_t listeners_total;

	char missing[SNAPSHOT_MISSING_MAX][SNAPSHOT_TEXT_MAX];
	size_t missing_n;
};

enum severity { SEVERITY_WARN, SEVERITY_BAD };

#define FINDING_CURES_MAX 2

struct finding {
	const char *rule; /* "doctor.destination-exhausted": a promise */
	enum severity severity;
	char title[160]; /* what is wrong: half a sentence */
	char because[CURE_TEXT_MAX];
	char ask[CURE_TEXT_MAX];      /* the command that tells more, or "" */
	int destination;              /* index of the one it is about; -1 none */
	char evidence[CURE_TEXT_MAX]; /* the numbers */
	struct cure cures[FINDING_CURES_MAX];
	size_t cures_n;
};

/* A destination with the rules applied to it. */
struct standing {
	uint32_t taken, reusable, unknown, free; /* ports; taken may not be used, reusable may */
};

#define DIAGNOSIS_FINDINGS (2 * OVERVIEW_DESTINATIONS + OVERVIEW_LISTENERS + 4)

struct diagnosis {
	char release[16];
	struct standing standing[OVERVIEW_DESTINATIONS];
	uint32_t bind0_free;   /* for bind(0.0.0.0:0) */
	uint32_t connect_free; /* towards a destination nobody is connected to */
	struct finding findings[DIAGNOSIS_FINDINGS]; /* worst first */
	size_t findings_n, bad, warn;
	char unseen[RESULT_UNKNOWN_MAX][SNAPSHOT_TEXT_MAX];
	size_t unseen_n;
};

#endif
