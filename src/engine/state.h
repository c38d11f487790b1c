/* SPDX-License-Identifier: MIT
 *
 * state.h - what an engine is made of; private to src/engine
 *
 * Records are slab entries addressed by 32-bit index, so tables may move when they grow. Hash
 * tables chain by index. A socket is in up to three lists: the owners of its address bucket, the
 * chain of its 4-tuple, and the deadlines.
 *
 *   bucket  (port, l3mdev)            inet_bind_bucket    "tb"
 *   bucket2 (bucket, local address)   inet_bind2_bucket   "tb2", owns the list of owners
 *   sock    a socket or a mini-socket (timewait)
 */
#ifndef TCPWHY_ENGINE_STATE_H
#define TCPWHY_ENGINE_STATE_H

#include "base/assert.h"
#include "base/memory.h"
#include "tcpwhy/engine.h"

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

/* TCP_TIMEWAIT_LEN: a compile-time constant of the kernel, in every release. */
#define TIMEWAIT_NS     (60 * NS_PER_S)
#define LOOPBACK_DEVICE 1u /* LOOPBACK_IFINDEX */

/* An address in a record: IPv4 as its number, IPv6 as index into the table of seen addresses. :: is
 * 0. */
struct ref {
	uint32_t v;
	bool six;
};

/* One cache line, at any number of sockets. What only a process can have set (range) and what only
 * a mini-socket has (its place in time) share the same bytes; so do the uid of a socket and the tag
 * of an imported one. */
struct sock {
	uint32_t local, peer; /* struct ref without its flag: see local6, peer6 */
	uint16_t port, peer_port;
	uint32_t device;
	union {
		uint32_t uid; /* if uid_known */
		uint32_t tag; /* of a mini-socket */
	};
	uint32_t bucket2;                /* NIL: holds no port */
	uint32_t owner_next, owner_prev; /* in bucket2 */
	uint32_t tuple_next; /* in the chain of its 4-tuple, if hashed; free: the next free one */
	uint32_t generation;
	uint8_t state;             /* enum tcpwhy_state; CLOSE for one that only bound; 0: free */
	uint8_t reuse;             /* enum tcpwhy_reuse */
	uint8_t reuseport, v6only; /* enum tcpwhy_tri */
	uint8_t linger2_s;         /* TCP_LINGER2, at most 120; 0: tcp_fin_timeout */
	bool six : 1;              /* the socket is IPv6 */
	bool local6 : 1, peer6 : 1;
	bool timewait : 1;                           /* a mini-socket */
	bool in_fifo : 1, in_heap : 1;               /* where its end is waited for */
	bool outgoing : 1, outgoing_unknown : 1;     /* SOCK_CONNECT_BIND, tw_connect_bind */
	bool timestamps : 1, timestamps_unknown : 1; /* both ends use them */
	bool uid_known : 1;
	bool addr_lock : 1, port_lock : 1; /* SOCK_BINDADDR_LOCK, SOCK_BINDPORT_LOCK */
	bool hashed : 1;                   /* is in the table of 4-tuples */
	bool orphan : 1;                   /* SOCK_DEAD: closed by the process */
	bool pending : 1;   /* a child that accept() has not taken; parent is its listener */
	bool connected : 1; /* struct socket is SS_CONNECTED: it was established once */
	bool freebind : 1, transparent : 1, no_port : 1, linger0 : 1, linger2_off : 1;
	bool reuseport_cb : 1; /* has a sk_reuseport_cb */
	bool may_bind_low : 1;
	union {
		struct { /* in_fifo */
			uint32_t next, prev;
		} fifo;
		struct { /* in_heap */
			uint32_t at;
			uint32_t entered_ms; /* tw_entry_stamp, if timewait */
		} heap;
		struct { /* neither */
			union {
				uint32_t parent; /* if pending */
				uint32_t import; /* else: the tag of a socket that was imported */
			};
			uint32_t range; /* IP_LOCAL_PORT_RANGE: low | high << 16 */
		};
	};
	uint64_t expires_ns; /* in_fifo, in_heap; 0 else, and for an import without a timer */
};

_Static_assert(sizeof(struct sock) == 64, "a record is one cache line");

/* fastreuse and its companions. known is false when they could not be seen. */
struct fast {
	bool known;
	int8_t reuse, reuseport; /* -1 connect-only; reuseport 1 ANY, 2 STRICT */
	uint8_t family;
	bool v6only;
	uint32_t uid;
	uint32_t addr4;  /* fast_rcv_saddr, host order */
	struct ref addr; /* fast_v6_rcv_saddr */
};

struct bucket {
	uint16_t port;
	bool used;
	uint32_t l3mdev;
	uint32_t next; /* hash chain; free records: the next free one */
	uint32_t first2;
	struct fast fast;
};

struct bucket2 {
	uint32_t bucket; /* NIL: the record is free */
	struct ref addr;
	uint32_t next, prev; /* of the same bucket; free records: the next free one */
	uint32_t first;      /* owner */
	int8_t fastreuse, fastreuseport;
};

struct slab {
	void *block;
	uint32_t size, used, free; /* entries there, ever used, first free */
};

/* Sockets lie in chunks that never move. */
#define SOCK_CHUNK 256u
struct sock_slab {
	struct sock **chunk;
	uint32_t chunks_size; /* entries of chunk */
	uint32_t used, free;  /* ever used, first free */
};

/* One bit a port, the parities apart, because a search steps by two. */
#define PORT_WORDS 512u
struct portbits {
	uint64_t word[2][PORT_WORDS]; /* [port % 2][port / 128], bit port / 2 % 64 */
};

/* The ports that connect() refuses to everyone in one VRF: their bucket exists and is not
 * connect-only. */
struct blocked {
	uint32_t l3mdev;
	struct portbits *bits;
};

struct local {
	struct tcpwhy_addr prefix;
	uint8_t prefix_len, kind;
	uint32_t device, l3mdev;
};

struct device {
	uint32_t index, l3mdev;
};

struct tcpwhy_engine {
	struct memory memory;
	const struct tcpwhy_row *row;
	struct tcpwhy_sysctls sysctls;
	struct portbits *reserved; /* NULL: none */
	struct blocked *blocked;
	uint32_t blocked_size, blocked_used;
	bool blocked_blind; /* there was no memory for a bit: connect() goes port by port */
	uint64_t now_ns;

	struct sock_slab socks;
	struct slab buckets, buckets2;
	struct chains by_tuple, by_port, by_destination;
	struct portset *sets;
	uint32_t sets_size, sets_used, sets_free;
	uint32_t fifo_first, fifo_last; /* TIME_WAIT by expires_ns */
	uint32_t fifo_unripe;           /* the first that was not old enough when last looked */
	uint32_t ripe_delay_ms;         /* the tcp_tw_reuse_delay by which that was told */
	uint32_t *heap;                 /* the other deadlines, by expires_ns */
	uint32_t heap_size, heap_used;
	uint64_t next_end_ns; /* of both the first; UINT64_MAX: none */
	uint32_t timewaits;   /* mini-sockets: what tcp_max_tw_buckets counts */

	struct tcpwhy_addr *seen; /* IPv6 addresses; 0 is :: */
	uint32_t seen_size, seen_next_size, seen_used;
	struct chains by_seen;
	uint32_t *seen_next;

	struct local *locals;
	uint32_t locals_size, locals_used;
	struct device *devices;
	uint32_t devices_size, devices_used;
	bool locals_known, devices_known;
	bool has_vrf; /* some bucket's; else none needs to be looked at for it */

	bool bound_unseen;
	bool programs4, programs6; /* something else may refuse bind() */
	bool tuples_pending;       /* imported owners are not hashed by 4-tuple yet */
	bool timers_pending;       /* nor in the heap */
	uint32_t last2;            /* bucket2 of the last import */
};

static inline bool has(const struct tcpwhy_engine *e, enum tcpwhy_feature feature)
{
	return e->row->features & feature;
}

/* ------------------------------------------------------------------------------- intern.c */
bool ref_of(struct tcpwhy_engine *e, const struct tcpwhy_addr *a,
	    struct ref *out); /* false: no memory */
bool ref_find(const struct tcpwhy_engine *e, const struct tcpwhy_addr *a,
	      struct ref *out); /* false: never seen */
struct tcpwhy_addr ref_address(const struct tcpwhy_engine *e, struct ref r);
static inline bool ref_equal(struct ref a, struct ref b)
{
	return a.v == b.v && a.six == b.six;
}

static inline bool ref_is_any(struct ref r)
{
	return r.v == 0;
}

static inline bool ref_is_any6(struct ref r)
{
	return r.six && r.v == 0;
}
/* sk_rcv_saddr of a socket with that address, host order: 127.0.0.6 (LOOPBACK4_IPV6) stands for
 * native IPv6. */
uint32_t ref_rcv4(struct ref r);

/* ------------------------------------------------------------------------------- socket.c */
static inline struct sock *sock_at(const struct tcpwhy_engine *e, uint32_t i)
{
	must(i < e->socks.used);
	return &e->socks.chunk[i / SOCK_CHUNK][i % SOCK_CHUNK];
}

static inline uint8_t sock_family(const struct sock *s)
{
	return s->six ? TCPWHY_IPV6 : TCPWHY_IPV4;
}

static inline enum tcpwhy_tri sock_connect_bind(const struct sock *s)
{
	return s->outgoing_unknown ? TCPWHY_UNKNOWN : s->outgoing ? TCPWHY_YES : TCPWHY_NO;
}

static inline enum tcpwhy_tri sock_timestamps(const struct sock *s)
{
	return s->timestamps_unknown ? TCPWHY_UNKNOWN : s->timestamps ? TCPWHY_YES : TCPWHY_NO;
}

struct sock *sock_live(const struct tcpwhy_engine *e, tcpwhy_sock s,
		       uint32_t *index); /* NULL: stale */
tcpwhy_sock sock_handle(const struct tcpwhy_engine *e, uint32_t i);
uint32_t sock_new(struct tcpwhy_engine *e); /* NIL: no memory */
void sock_drop(struct tcpwhy_engine *e, uint32_t i);
static inline struct ref sock_local(const struct sock *s)
{
	return (struct ref){.v = s->local, .six = s->local6};
}

static inline struct ref sock_peer(const struct sock *s)
{
	return (struct ref){.v = s->peer, .six = s->peer6};
}
void sock_set_local(struct sock *s, struct ref r);
void sock_set_peer(struct sock *s, struct ref r, uint16_t port);
void sock_report(const struct tcpwhy_engine *e, uint32_t i, struct tcpwhy_owner *o);
uint32_t device_l3mdev(const struct tcpwhy_engine *e, uint32_t device); /* inet_sk_bound_l3mdev() */

/* ------------------------------------------------------------------------------- bucket.c */
static inline struct bucket *bucket_at(const struct tcpwhy_engine *e, uint32_t b)
{
	must(b < e->buckets.used);
	return (struct bucket *)e->buckets.block + b;
}

static inline struct bucket2 *bucket2_at(const struct tcpwhy_engine *e, uint32_t b2)
{
	must(b2 < e->buckets2.used);
	return (struct bucket2 *)e->buckets2.block + b2;
}
uint32_t bucket_find(const struct tcpwhy_engine *e, uint16_t port, uint32_t l3mdev);
uint32_t bucket_need(struct tcpwhy_engine *e, uint16_t port, uint32_t l3mdev); /* made if missing */
uint32_t bucket2_find(const struct tcpwhy_engine *e, uint32_t b, struct ref addr);
uint32_t bucket2_need(struct tcpwhy_engine *e, uint32_t b, struct ref addr);
void bucket_drop_if_empty(struct tcpwhy_engine *e, uint32_t b);
/* To be told after every change of a bucket's fields: keeps the blocked ports of connect(). */
void bucket_changed(struct tcpwhy_engine *e, uint32_t b);
const struct portbits *blocked_ports(const struct tcpwhy_engine *e, uint32_t l3mdev);
void bucket2_drop_if_empty(struct tcpwhy_engine *e, uint32_t b2);
/* Touches the records that owner_remove() will write to. */
void owner_prefetch(const struct tcpwhy_engine *e, const struct sock *s);
void owner_add(struct tcpwhy_engine *e, uint32_t i, uint32_t b2);
/* Takes a socket out of its bucket: inet_put_port(), inet_twsk_bind_unhash(). */
void owner_remove(struct tcpwhy_engine *e, uint32_t i);
/* Moves an owner to the bucket2 of another address: inet_bhash2_update_saddr(). False: no memory.
 */
bool owner_move(struct tcpwhy_engine *e, uint32_t i, struct ref addr);

/* ------------------------------------------------------------------------------- conflict.c */
/* The side that asks for a port. */
struct claim {
	struct ref addr;
	uint8_t family;
	uint8_t reuse; /* enum tcpwhy_reuse */
	bool reuseport, reuseport_cb, v6only;
	bool listening; /* the state is LISTEN: no fast accept by fastreuse */
	uint32_t device, l3mdev, uid;
	uint32_t self; /* its record, NIL if it has none */
};

/* relax and reuseport_ok of inet_csk_bind_conflict(). pair_apart: without reuseport_ok even
 * SO_REUSEADDR on both sides does not let a SO_REUSEPORT pair share (5.7). */
struct scan_mode {
	bool relax, reuseport_ok, pair_apart;
};
extern const struct scan_mode scan_explicit;

/* Counts what a scan found. */
struct tally {
	uint32_t by_class[TCPWHY_HOLDER_CLASSES];
	uint32_t holders, missing;
	uint32_t first; /* of the heaviest class */
	enum tcpwhy_holder heaviest;
	bool untimed;
	uint64_t last_expiry_ns;
};

enum tcpwhy_tri pair_conflict(const struct tcpwhy_engine *e, const struct claim *c, uint32_t owner,
			      struct scan_mode mode, enum tcpwhy_holder *why, uint32_t *missing);
/* Whether owners with that address can stand in the way of a claim to a specific address; true for
 * a wildcard. */
bool bucket2_matters(const struct claim *c, struct ref addr);
/* Scans all owners of a bucket that can stand in the way. tally may be NULL: then stops at the
 * first. */
enum tcpwhy_tri bucket_conflict(const struct tcpwhy_engine *e, uint32_t b, const struct claim *c,
				struct scan_mode mode, struct tally *tally);
/* Whether the bucket lets the claim pass without a scan. */
enum tcpwhy_tri fast_matches(const struct tcpwhy_engine *e, const struct fast *f,
			     const struct claim *c); /* the same without TCP_REPAIR's pass */
enum tcpwhy_tri fast_accepts(const struct tcpwhy_engine *e, const struct fast *f,
			     const struct claim *c);
/* Notes a bind to a given port, or one that chose the port (any). */
void fast_update(const struct tcpwhy_engine *e, struct fast *f, const struct claim *c,
		 bool was_empty, bool any);

/* ------------------------------------------------------------------------------- portsearch.c */
struct range {
	uint32_t low, high; /* inclusive */
};
/* The halves of a range, lower first, that bind(0) with SO_REUSEADDR takes one after the other. */
bool range_splits(const struct tcpwhy_engine *e, const struct claim *c, struct range r);
struct range range_half(struct range r, unsigned n);
/* Whether bind(0) passes the port over. *missing gets what makes it unknown. */
enum tcpwhy_tri port_refuses(const struct tcpwhy_engine *e, const struct claim *c, uint16_t port,
			     struct scan_mode mode, uint32_t *missing);
/* How bind(0) asks bucket_conflict(). */
struct scan_mode scan_any(const struct tcpwhy_engine *e, bool relax);
/* net.ipv4.ip_autobind_reuse, where there is one. */
bool autobind_reuses(const struct tcpwhy_engine *e);
struct range range_of(const struct tcpwhy_engine *e, uint32_t sock_range);
bool port_is_reserved(const struct tcpwhy_engine *e, uint16_t port);
/* bind(0): the port found, 0 if none. Without a choice nothing is drawn and the port is given only
 * if one alone is admissible; verdict gets answer, counts and what is missing. */
uint16_t port_search(const struct tcpwhy_engine *e, const struct claim *c, struct range r,
		     const struct tcpwhy_choice *choice, struct tcpwhy_verdict *v);

/* ------------------------------------------------------------------------------- portshare.c */
/* port_search() before 4.11; for a choice the caller concludes. */
uint16_t portshare_search(const struct tcpwhy_engine *e, const struct claim *c, struct range r,
			  const struct tcpwhy_choice *choice, struct tcpwhy_verdict *v);

/* ------------------------------------------------------------------------------- perturb.c */
/* The offset of the start, before it is made even, and the entry of the table it came from. */
uint32_t perturb_start(const struct tcpwhy_engine *e, const struct tcpwhy_perturb *p,
		       const struct sock *s, uint32_t remaining, uint32_t *entry);
/* After a success at that distance from the start of its pass. */
void perturb_advance(const struct tcpwhy_engine *e, const struct tcpwhy_choice *choice,
		     uint32_t entry, uint32_t walked, uint32_t step);

/* ------------------------------------------------------------------------------- tuple.c */
struct tuple {
	struct ref local, peer;
	uint16_t port, peer_port;
	uint32_t device, l3mdev; /* of the one who looks */
};
uint32_t tuple_find(const struct tcpwhy_engine *e, const struct tuple *t);
void tuple_prefetch(const struct tcpwhy_engine *e, const struct sock *s, uint16_t port);
/* Whether that owner has the 4-tuple and answers to the device. */
bool tuple_matches(const struct tcpwhy_engine *e, uint32_t i, const struct tuple *t);
bool tuple_add(struct tcpwhy_engine *e, uint32_t i);
void tuple_remove(struct tcpwhy_engine *e, uint32_t i);
bool tuples_ready(struct tcpwhy_engine *e);

/* ------------------------------------------------------------------------------- portset.c */
struct portset;
/* A connect-bound socket's 4-tuple enters or leaves the set of its destination. False: no memory.
 */
bool portset_add(struct tcpwhy_engine *e, uint32_t i);
void portset_remove(struct tcpwhy_engine *e, uint32_t i);
/* A TIME_WAIT of the list became old enough to be taken over, or is no longer so. */
void portset_ripen(struct tcpwhy_engine *e, uint32_t i, bool ripe);
/* The port that the search of connect() finds from that start; 0 if none. *slow: the sets cannot
 * tell. */
uint16_t portset_search(const struct tcpwhy_engine *e, const struct tuple *t, struct range r,
			uint32_t step, uint32_t offset, bool *slow, bool *takes_over);
void portset_free_all(struct tcpwhy_engine *e);
static inline void portbits_put(struct portbits *b, uint16_t port, bool on)
{
	uint64_t *word = &b->word[port % 2][port / 128], bit = UINT64_C(1) << port / 2 % 64;

	*word = on ? *word | bit : *word & ~bit;
}
static inline bool portbits_has(const struct portbits *b, uint16_t port)
{
	return b->word[port % 2][port / 128] >> port / 2 % 64 & 1;
}

/* ------------------------------------------------------------------------------- place.c */
enum fate { FREE, REUSABLE, RESERVED, OWNED, TAKEN, UNSEEN };

/* What stands at one port. */
struct place {
	enum fate fate;
	uint32_t holder;            /* TAKEN, REUSABLE, UNSEEN: who has the 4-tuple, NIL nobody */
	enum tcpwhy_tw_reason kept; /* TAKEN by a TIME_WAIT: why */
	uint32_t missing;
};

struct destination {
	const struct tcpwhy_engine *e;
	struct tuple tuple; /* without the local port */
	bool is_known;      /* both addresses were ever seen: else no 4-tuple can match */
};

/* To a connect() that chooses its port, and to one whose port was bound. */
struct place place_look(const struct destination *d, uint16_t port);
struct place place_bound(const struct destination *d, uint16_t port);

/* ------------------------------------------------------------------------------- timewait.c */
/* The end of a TIME_WAIT (in the FIFO), or of anything else (in the heap). False: no memory. */
bool deadline_set(struct tcpwhy_engine *e, uint32_t i, uint64_t when_ns);
/* Imported mini-sockets get their deadlines. */
void timers_ready(struct tcpwhy_engine *e);
/* A mini-socket goes from FIN_WAIT2 to TIME_WAIT. False: no memory. */
bool timewait_enter(struct tcpwhy_engine *e, uint32_t i);
void fifo_add(struct tcpwhy_engine *e, uint32_t i, uint64_t when_ns);
void deadline_clear(struct tcpwhy_engine *e, uint32_t i);
/* Marks the TIME_WAITs that became old enough since the last call. */
void timewait_ripen(struct tcpwhy_engine *e);
bool timewait_is_loopback(const struct tcpwhy_engine *e, const struct sock *tw);
/* Whether net.ipv4.tcp_tw_reuse holds for the destination of tw. */
bool timewait_reuse_on(const struct tcpwhy_engine *e, const struct sock *tw);
/* tcp_time_wait(): leaves a mini-socket of i in that state, unless tcp_max_tw_buckets forbids. */
void timewait_park(struct tcpwhy_engine *e, uint32_t i, enum tcpwhy_state substate,
		   uint64_t lasts_ns);
void timewait_kill(struct tcpwhy_engine *e, uint32_t i);
/* TCPWHY_TW_REASONS: it may. *missing gets what could not be seen; the answer then supposes the
 * best. */
enum tcpwhy_tw_reason timewait_kept(const struct tcpwhy_engine *e, uint32_t tw, bool port_was_bound,
				    uint32_t *missing);
/* When it stops being in the way of connect() to its destination: by age or by its end. 0: unknown.
 */
uint64_t timewait_free_at(const struct tcpwhy_engine *e, uint32_t tw);
/* An orphan in FIN_WAIT2: parks it, or waits for the part of its time beyond TIME_WAIT's. */
void orphan_wait(struct tcpwhy_engine *e, uint32_t i);

/* ------------------------------------------------------------------------------- connect.c */
/* 1: every port of the range in one pass; 2: even offsets, then odd ones. */
uint32_t connect_step(const struct tcpwhy_engine *e, uint32_t sock_range);
/* tcp_disconnect(): CLOSE, and the address that was not asked for is given back. */
void sock_disconnect(struct tcpwhy_engine *e, uint32_t i);

/* ------------------------------------------------------------------------------- connection.c */
/* tcp_done(): CLOSE, out of the tables; the record stays while the process holds it. */
void sock_done(struct tcpwhy_engine *e, uint32_t i);
/* The children that accept() did not take end with their listener (inet_csk_listen_stop()). */
void reset_pending(struct tcpwhy_engine *e, uint32_t listener);

/* ------------------------------------------------------------------------------- verdict.c */
void verdict_ok(struct tcpwhy_verdict *v, uint16_t port);
void verdict_refuse(struct tcpwhy_verdict *v, enum tcpwhy_call at, int error,
		    enum tcpwhy_rule rule);
void verdict_tally(const struct tcpwhy_engine *e, struct tcpwhy_verdict *v, const struct tally *t);

#endif
