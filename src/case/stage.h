/* SPDX-License-Identifier: MIT
 *
 * stage.h - where a case is played: hosts, links, boxes and sockets, in the model or on the kernel
 *
 * One interface, two stages behind it. The world (stage_world.h) has virtual time and any release;
 * the kernel (stage_kernel.h) has network namespaces, real time and the release that runs. A case
 * that needs what a stage lacks is told so (STAGE_CANNOT and a reason); it is no failure.
 *
 * It does not judge and has no language: the Lua of the cases and the applications of app.h stand
 * on it, and it plays what they call.
 *
 * Conventions: ports and uids in host order, IPv4 addresses v4-mapped, times in ns from the stage's
 * beginning. Hosts and boxes are nodes and share one numbering, links and line controls have one
 * each, from 0 on; sockets are numbers that may be used again after close. A number that was never
 * given out is the caller's bug. Every function returns 0 (or the result it names), -errno, or
 * STAGE_CANNOT; where it takes struct err *err, which may not be NULL, the last two come with
 * err->text. The socket calls return what the application would see, without a text. One thread.
 *
 * Call it as stage->ops->bind(stage, sock, ...).
 */
#ifndef TCPWHY_CASE_STAGE_H
#define TCPWHY_CASE_STAGE_H

#include "base/address.h"
#include "base/error.h"
#include "world/line.h"
#include "world/rule.h"

/* Not an errno: this stage cannot do that, and err->text says why. Told by whoever is asked first,
 * so most cases end with it while they build, before anything was played. */
enum { STAGE_CANNOT = -4096 };

/* ------------------------------------------------------------------------------------- topology
 */

/* A machine with TCP. lo is up: 127.0.0.0/8 and ::1 work without any link. */
struct stage_host {
	const char *name;    /* unique among nodes; copied */
	const char *release; /* a row's name; NULL: the running kernel's row, or the newest. The
			      * kernel stage cannot play another than its own. */
	uint32_t clock_ms;   /* what its timestamp clock shows at the beginning. World only, but for
			      * 0: a clock as it comes. */
	uint32_t window;     /* bytes a socket announces, 0: 65,535. World only, but for 0. */
	uint16_t hz;         /* of the kernel's clock, 0: as it comes. World only, but for 0. */
};

/* A machine in the middle: it forwards by the derived routes, and does what its rules say. Without
 * rules it is a router, or a switch. */
struct stage_box {
	const char *name;
};

struct stage_link_end {
	int node;
	/* Of the device there. The first of each family is the source of what leaves here, unless
	 * the socket says otherwise. Each is a host's alone (/32, /128). Copied. */
	const struct tcpwhy_addr *addrs;
	size_t n_addrs;
};

/* Two nodes, joined. Routes between all addresses follow from the links: the way with the fewest
 * boxes, through boxes only, and the older link among equals. They are made by start(). */
struct stage_link {
	struct stage_link_end ends[2];
	uint64_t delay_ns[2]; /* of one way, by direction (LINE_FROM_0, LINE_FROM_1) */
	uint32_t loss_ppm[2]; /* lost by chance, of a million, drawn from the seed */
	bool tapped;          /* its segments are recorded and obey line controls. The kernel stage
			       * pays about 10 us a segment, and cannot delay or lose without. */
};

/* A prefix beyond the addresses of links, for IP_TRANSPARENT and IP_FREEBIND. */
struct stage_prefix {
	struct tcpwhy_addr addr;
	unsigned len; /* in the 16-byte form: IPv4 /24 is 120 */
	bool local;   /* the host takes every address in it for its own (ip route add local) */
	bool routed;  /* all others send what goes there to this host */
};

/* ------------------------------------------------------------------------------------- sockets
 */

/* A socket, mini-socket or request as sock_diag shows it. */
struct stage_sock {
	int sock; /* its number, -1: nobody holds it (TIME_WAIT, orphan, request, accept queue) */
	struct tcpwhy_addr local, peer; /* peer is all zero if there is none */
	uint16_t port, peer_port;
	uint8_t family; /* enum tcpwhy_family */
	uint8_t state;  /* enum tcpwhy_state; BOUND for one that only bound */
	bool timewait;  /* a mini-socket: TIME_WAIT, or an orphan's FIN_WAIT2 */
	bool request;   /* SYN_RECV in the SYN queue */
	uint8_t timer; /* as idiag_timer: 0 none, 1 retransmit, 2 keepalive, 3 TIME_WAIT, 4 probe */
	uint64_t expires_ns; /* of the timer, from now; 0 none */
	uint32_t retransmits;
	uint32_t unread, unacked; /* bytes; 0 of a listener */
	/* A listener: connections to be accepted, its limit, and requests. */
	uint32_t accept_queue, backlog, syn_queue;
	uint32_t uid; /* 0 if nobody holds it */
	uint32_t device;
	/* What its segments are measured by. The kernel stage knows it from the trace: false for a
	 * connection whose segments did not cross a tapped link. */
	bool has_numbers;
	uint32_t snd_una, snd_nxt, rcv_nxt;
	uint32_t window; /* announced and not used up, bytes */
};

/* ------------------------------------------------------------------------------------- segments
 */

enum { STAGE_COUNTED = 8, STAGE_HEAD = 192 };

/* What the two ends of a tapped link looked like: the sender when a segment had just left it, the
 * receiver when it had just come. */
struct stage_sight {
	uint8_t state[2];   /* of a host, enum tcpwhy_state; 0: not seen for certain */
	uint8_t session[2]; /* of a box, enum session_state + 1; 0: none that it knows of;
			     * BELIEF_UNASKED */
	uint8_t n_counted;
	/* What the receiver counted because of it (enum counter), but for connections that opened.
	 */
	struct {
		uint8_t counter;
		uint16_t times;
	} counted[STAGE_COUNTED];
};

/* ---------------------------------------------------------------------------------- applications
 */

/* Code that acts while time passes: the applications of app.h. Its functions are called from
 * within pause() and run_until(), never from within another call, and may make any call of the
 * stage but these two and drive(). */
struct stage_driver {
	void *ctx;
	/* A watched socket may answer otherwise than with -EAGAIN, -EINPROGRESS or -EALREADY now:
	 * connected, refused, something to accept, to read or to write. Called at least once for
	 * each such change, and once, with the state it has, after watch(). */
	void (*ready)(void *ctx, int sock);
	/* When due() wants to be called; UINT64_MAX: not. Asked after each call of the driver. */
	uint64_t (*deadline)(void *ctx);
	void (*due)(void *ctx);
};

/* ------------------------------------------------------------------------------------ the stage
 */

struct stage;

struct stage_ops {
	const char *name; /* "world", "kernel" */

	/* Ends everything. Programs that still run are killed. */
	void (*free)(struct stage *st);

	/* -- building: all of it before start(), which makes addresses and routes known. */

	/* The new node's number; -EEXIST: the name is taken; -EINVAL: empty or too long (31). */
	int (*add_host)(struct stage *st, const struct stage_host *h, struct err *err);
	int (*add_box)(struct stage *st, const struct stage_box *b, struct err *err);
	/* The new link's number. -EINVAL: an address that another end has. */
	int (*add_link)(struct stage *st, const struct stage_link *l, struct err *err);
	int (*add_prefix)(struct stage *st, int host, const struct stage_prefix *p,
			  struct err *err);
	int (*start)(struct stage *st, struct err *err);

	/* -- what may be changed at any time */

	/* A sysctl of the host by the kernel's name, "net.ipv4.tcp_tw_reuse", and its value as text
	 * without a newline. -ENOENT: this release has none of that name (the world: or it does not
	 * act on TCP); -EINVAL: not such a value. net.ipv4.ip_local_reserved_ports is among them.
	 */
	int (*set_sysctl)(struct stage *st, int host, const char *name, const char *value,
			  struct err *err);
	int (*get_sysctl)(struct stage *st, int host, const char *name, char *value, size_t size,
			  struct err *err);
	/* These are all rules of the node from now on; none removes all. Sessions go on. */
	int (*set_rules)(struct stage *st, int node, const struct rule *rules, size_t n,
			 struct err *err);
	/* For what is sent from now on; what is on its way keeps its hour. */
	int (*set_delay)(struct stage *st, int link, enum line_direction d, uint64_t delay_ns,
			 struct err *err);
	int (*set_loss)(struct stage *st, int link, enum line_direction d, uint32_t loss_ppm,
			struct err *err);

	/* -- line controls of a tapped link; LINE_BOTH is no direction of theirs */

	/* The control's number, behind all others of its direction. -ENOSPC: a world has no more;
	 * STAGE_CANNOT: the kernel stage has none left. */
	int (*add_control)(struct stage *st, int link, enum line_direction d,
			   const struct line_control *c, struct err *err);
	/* What it holds is lost. */
	void (*remove_control)(struct stage *st, int control);
	/* How often it fired, and how many segments it holds. */
	unsigned (*fired)(struct stage *st, int control);
	unsigned (*held)(struct stage *st, int control);
	/* Sends what it holds, in order, at once, and returns how many. It goes on holding unless
	 * it fired often enough. */
	unsigned (*release)(struct stage *st, int control);
	/* A written segment enters the link's middle in that direction, as if its sender had sent
	 * it. Controls are not asked. */
	int (*inject)(struct stage *st, int link, enum line_direction d, const struct segment *s,
		      struct err *err);

	/* -- socket calls, as of non-blocking sockets: a result >= 0 or -errno */

	/* The socket's number. */
	int (*socket)(struct stage *st, int host, enum tcpwhy_family family, uint32_t uid);
	/* Options and values of the engine (engine.h); SO_BINDTODEVICE takes what device() gave,
	 * SO_LINGER0 is SO_LINGER on with 0 s, SO_ATTACH_REUSEPORT any program. */
	int (*setsockopt)(struct stage *st, int sock, enum tcpwhy_option option, uint64_t value);
	int (*bind)(struct stage *st, int sock, const struct tcpwhy_addr *addr, uint16_t port);
	int (*listen)(struct stage *st, int sock, int backlog);
	/* -EINPROGRESS, then -EALREADY, then how it ended; -ENETUNREACH where no route leads. */
	int (*connect)(struct stage *st, int sock, const struct tcpwhy_addr *addr, uint16_t port);
	/* The connection's number, -EAGAIN. */
	int (*accept)(struct stage *st, int sock);
	/* Bytes; what they hold is nobody's business. 0 from recv() is the end of the stream. */
	int64_t (*send)(struct stage *st, int sock, uint32_t bytes);
	int64_t (*recv)(struct stage *st, int sock, uint32_t max_bytes);
	int (*shutdown)(struct stage *st, int sock, enum tcpwhy_how how);
	/* The number is free at once. */
	int (*close)(struct stage *st, int sock);
	/* SO_ERROR, positive, which it clears; 0 none. */
	int (*error)(struct stage *st, int sock);
	/* getsockname(), getpeername(). 0, -ENOTCONN. */
	int (*sockname)(struct stage *st, int sock, struct tcpwhy_addr *addr, uint16_t *port);
	int (*peername)(struct stage *st, int sock, struct tcpwhy_addr *addr, uint16_t *port);
	/* The host whose socket it is. */
	int (*host_of)(struct stage *st, int sock);
	/* The ifindex of the host's end of a link. */
	uint32_t (*device)(struct stage *st, int host, int link);

	/* -- looking */

	/* A socket that a process holds. */
	int (*look)(struct stage *st, int sock, struct stage_sock *out);
	/* What has a 4-tuple: socket, mini-socket, request. -ENOENT. */
	int (*find)(struct stage *st, int host, const struct tcpwhy_addr *local, uint16_t port,
		    const struct tcpwhy_addr *peer, uint16_t peer_port, struct stage_sock *out);
	/* Whether there is one, and more than a request. NULL: find() has to be asked. */
	bool (*has)(struct stage *st, int host, const struct tcpwhy_addr *local, uint16_t port,
		    const struct tcpwhy_addr *peer, uint16_t peer_port);
	/* All of the host, those that only bound included, up to max, in no order; returns how many
	 * there are. out may be NULL with max 0. */
	int (*list)(struct stage *st, int host, struct stage_sock *out, size_t max,
		    struct err *err);
	/* SOCK_DESTROY of what has the 4-tuple. -ENOENT. */
	int (*destroy)(struct stage *st, int host, const struct tcpwhy_addr *local, uint16_t port,
		       const struct tcpwhy_addr *peer, uint16_t peer_port, struct err *err);
	/* By the kernel's name, "ListenOverflows". -ENOENT: this release has none of that name. */
	int (*counter)(struct stage *st, int host, const char *name, uint64_t *value,
		       struct err *err);
	/* All of them, by enum counter. NULL: each has to be asked. */
	void (*counters)(struct stage *st, int host, uint64_t *values);
	/* What the rule book said to the socket's last bind(), listen() or connect(), with the
	 * counts of the range where connect() found no port; false: this stage has none, or the
	 * driver made the call. */
	bool (*verdict)(struct stage *st, int sock, struct tcpwhy_verdict *v);
	/* Sessions of a box, up to max, oldest first; returns how many there are. */
	int (*sessions)(struct stage *st, int box, struct session *out, size_t max,
			struct err *err);
	/* Segments so far on all tapped links, in the order in which they reached the middle, and
	 * the i-th of them. False: there is none, or it was not kept (only the first ones are). */
	size_t (*trace_count)(struct stage *st);
	bool (*trace)(struct stage *st, size_t i, struct line_record *out);
	/* The first bytes of that segment's frame, as it was, enough for all headers; how many. 0:
	 * nobody kept it. NULL: there are no frames in this stage. */
	size_t (*head)(struct stage *st, size_t i, uint8_t out[static STAGE_HEAD]);
	/* Whether the system refused memory that the stage's own bound allows. NULL: it has none. */
	bool (*is_starved)(struct stage *st);
	/* What was seen at that segment's ends. 1; 0: there is more to come, and out is what there
	 * is; -EOPNOTSUPP: nothing happens unasked in this stage, so who looks between two events
	 * sees the same. */
	int (*sight)(struct stage *st, size_t i, struct stage_sight *out);

	/* -- time. The world jumps from event to event, the kernel waits. */

	uint64_t (*now)(struct stage *st);
	/* Lets that much time pass. */
	int (*pause)(struct stage *st, uint64_t ns, struct err *err);
	/* Lets time pass until is_so(ctx) gives 1 (0: not yet), at most limit_ns. It is asked once
	 * before, then whenever something may have changed, and may make any call of the stage but
	 * pause, run_until and drive. 0; -ETIMEDOUT, without a text; or the negative that is_so
	 * gave. */
	int (*run_until)(struct stage *st, int (*is_so)(void *ctx), void *ctx, uint64_t limit_ns,
			 struct err *err);

	/* -- applications */

	/* One driver at a time; NULL: none. Copied. */
	void (*drive)(struct stage *st, const struct stage_driver *d);
	/* Whether the driver hears of this socket. Close ends it. */
	int (*watch)(struct stage *st, int sock, bool on);

	/* -- of one stage only */

	/* World: the listener gets n connections from each of the peer addresses, n_peers of them
	 * from peer on, from ports from port on: identity only, no segments. *bytes: what the rule
	 * book took for them. For crowds of a million. */
	int (*crowd)(struct stage *st, int listener, const struct tcpwhy_addr *local,
		     const struct tcpwhy_addr *peer, uint32_t n_peers, uint16_t port, uint32_t n,
		     uint64_t *bytes, struct err *err);
	/* Kernel: the path of a cgroup (version 2) of the host's own, in which its programs are
	 * started from now on. STAGE_CANNOT also where none can be made; -ENAMETOOLONG. */
	int (*cgroup)(struct stage *st, int host, char *path, size_t size, struct err *err);
	/* Kernel: runs a program in the host's network namespace until its end and gives its
	 * status; out, which may be NULL, gets what it wrote, cut and terminated. -ENOENT and
	 * others: it could not be executed; -ETIMEDOUT: it was killed after limit_ns. argv[0] is
	 * looked for in PATH, and "tcpwhy" is the program that runs; there is no shell. The stage's
	 * programs share an empty /run and an empty BPF file system, which go with it: what they
	 * leave there nobody else sees. */
	int (*run)(struct stage *st, int host, const char *const argv[], uint64_t limit_ns,
		   char *out, size_t size, struct err *err);
	/* Kernel: starts a program there and goes on; its pid. It ends with stop() or free(). */
	int (*spawn)(struct stage *st, int host, const char *const argv[], struct err *err);
	int (*stop)(struct stage *st, int pid, struct err *err);
	/* Kernel: a file of that name for the host's programs, in a directory of the host's below
	 * their /run; path gets where. It takes the place of an older one. -EINVAL: a name with a
	 * directory, or that begins with a dot. */
	int (*file)(struct stage *st, int host, const char *name, const char *text, size_t n,
		    char *path, size_t size, struct err *err);
};

/* The first member of what a stage is. */
struct stage {
	const struct stage_ops *ops;
};

#endif
