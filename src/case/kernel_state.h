/* SPDX-License-Identifier: MIT
 *
 * kernel_state.h - what the kernel stage holds, and its functions by noun, one file each
 *
 * Functions with a struct stage are those of struct stage_ops and are described there.
 */
#ifndef TCPWHY_CASE_KERNEL_STATE_H
#define TCPWHY_CASE_KERNEL_STATE_H

#include "case/kernel_stage.h"
#include "case/stage_kernel.h"

struct balance;
struct flow;
struct witness;

enum { KERNEL_NAME_MAX = 31, KERNEL_INODES = 4096, KERNEL_CONTROLS = 64, KERNEL_RULES = 32 };

struct kernel_node {
	char name[KERNEL_NAME_MAX + 1];
	bool is_box;
	struct balance *balance; /* NULL: the kernel forwards */
	struct rule *early;      /* a balancer's rules, until start() makes its links known */
	size_t n_early;
	char cgroup[512];        /* "": its programs are where we are */
	int cgroup_procs;        /* where a process writes itself in */
	struct witness *witness; /* of a host that a tapped link leads to */
};

/* The end of a link, for who looks at it. */
struct kernel_watch {
	struct witness *witness;
	unsigned device;
};

struct kernel_end {
	int node;
	struct tcpwhy_addr *addrs;
	size_t n_addrs;
};

/* Links, wires of the scene and numbers in the capture are the same. */
struct kernel_link {
	struct kernel_end ends[2];
	bool tapped, relayed;
	struct kernel_watch
		watches[2]; /* of the relay's sides; they stay where they are from start() */
};

struct kernel_prefix {
	int host;
	struct stage_prefix is;
};

struct kernel_sock {
	int fd; /* -1: free */
	int node;
	uint32_t uid, inode;
	bool v4;
	bool watched, waits;  /* waits: is in the line of those that are ready */
	struct endpoint peer; /* of the last connect() */
	int next_free, next_inode;
};

struct kernel_control {
	int link, rule; /* rule -1: removed */
	enum line_direction direction;
};

/* Who sends what next: the connections of the trace, by the end that sent. */
struct kernel_flows {
	struct flow *all; /* open addressing; size is a power of two, or 0 */
	size_t size, used;
	size_t read; /* records of the capture that it knows */
};

struct kernel_stage {
	struct stage base;
	struct kernel_stage_config config;
	struct stage_kernel *scene;
	struct capture *capture;
	uint64_t begin_ns; /* 0: not started */

	struct kernel_node *nodes;
	struct kernel_link *links;
	struct kernel_prefix *prefixes;
	size_t n_nodes, n_links, n_prefixes;
	struct kernel_control controls[KERNEL_CONTROLS];
	int n_controls;

	struct kernel_sock *socks;
	int n_socks, free_sock;
	int by_inode[KERNEL_INODES]; /* first of its chain, -1 */
	int *line;                   /* the ready ones, a ring with room for all */
	size_t line_first, line_used;
	int epoll;
	struct stage_driver driver;
	bool driven;

	struct kernel_flows flows;
	int *programs; /* pids that run */
	size_t n_programs;
	/* What they see; -1: there was none yet. */
	int mounts;
	char exe[512];
	char **environment;
};

static inline struct kernel_stage *kernel_of(struct stage *st)
{
	return (struct kernel_stage *)st;
}

uint64_t kernel_clock(void); /* CLOCK_MONOTONIC */
/* Writes the text, returns the error. */
int kernel_fail(struct err *err, int error, const char *what);
/* What the kernel or the system lacks is no failure: STAGE_CANNOT; else the error itself. */
int kernel_lacks(int error);
/* Too few namespaces, descriptors or threads are left. */
bool kernel_is_short(int error);
/* One element more; NULL: no memory, and the old array stays. */
void *kernel_grow(void *array, size_t n, size_t size);

/* kernel_routes.c: every way that follows from the links. */
int kernel_routes_make(struct kernel_stage *k, struct err *err);

/* kernel_rules.c */
int kernel_set_rules(struct stage *st, int node, const struct rule *rules, size_t n,
		     struct err *err);
/* Those that waited for start(). */
int kernel_rules_begin(struct kernel_stage *k, struct err *err);
int kernel_sessions(struct stage *st, int box, struct session *out, size_t max, struct err *err);

/* kernel_balance.c: a box in user space. */
int balance_new(struct kernel_stage *k, int box, struct balance **out, struct err *err);
void balance_free(struct balance *b);
int balance_set_rules(struct balance *b, const struct rule *rules, size_t n, struct err *err);
size_t balance_sessions(struct balance *b, struct session *out, size_t max);
/* Looks at the box's ends of tapped links from now on, and no more. */
void balance_watch(struct balance *b, bool on);

/* kernel_line.c */
int kernel_set_delay(struct stage *st, int link, enum line_direction d, uint64_t delay_ns,
		     struct err *err);
int kernel_set_loss(struct stage *st, int link, enum line_direction d, uint32_t loss_ppm,
		    struct err *err);
int kernel_add_control(struct stage *st, int link, enum line_direction d,
		       const struct line_control *c, struct err *err);
void kernel_remove_control(struct stage *st, int control);
unsigned kernel_fired(struct stage *st, int control);
unsigned kernel_held(struct stage *st, int control);
unsigned kernel_release(struct stage *st, int control);
int kernel_inject(struct stage *st, int link, enum line_direction d, const struct segment *s,
		  struct err *err);
size_t kernel_trace_count(struct stage *st);
bool kernel_trace(struct stage *st, size_t i, struct line_record *out);
size_t kernel_head(struct stage *st, size_t i, uint8_t out[static STAGE_HEAD]);
int kernel_sight(struct stage *st, size_t i, struct stage_sight *out);

/* kernel_numbers.c: fills in what the trace tells of a socket. */
void kernel_numbers(struct kernel_stage *k, struct stage_sock *s);

/* kernel_socket.c */
struct kernel_sock *kernel_sock_at(struct kernel_stage *k, int sock);
/* -1: nobody holds it. */
int kernel_sock_of_inode(const struct kernel_stage *k, uint32_t inode);
int kernel_socket(struct stage *st, int host, enum tcpwhy_family family, uint32_t uid);
int kernel_setsockopt(struct stage *st, int sock, enum tcpwhy_option option, uint64_t value);
int kernel_bind(struct stage *st, int sock, const struct tcpwhy_addr *addr, uint16_t port);
int kernel_listen(struct stage *st, int sock, int backlog);
int kernel_connect(struct stage *st, int sock, const struct tcpwhy_addr *addr, uint16_t port);
int kernel_accept(struct stage *st, int sock);
int64_t kernel_send(struct stage *st, int sock, uint32_t bytes);
int64_t kernel_recv(struct stage *st, int sock, uint32_t max_bytes);
int kernel_shutdown(struct stage *st, int sock, enum tcpwhy_how how);
int kernel_close(struct stage *st, int sock);
int kernel_error(struct stage *st, int sock);
int kernel_sockname(struct stage *st, int sock, struct tcpwhy_addr *addr, uint16_t *port);
int kernel_peername(struct stage *st, int sock, struct tcpwhy_addr *addr, uint16_t *port);
int kernel_host_of(struct stage *st, int sock);

/* kernel_look.c */
int kernel_look(struct stage *st, int sock, struct stage_sock *out);
int kernel_find(struct stage *st, int host, const struct tcpwhy_addr *local, uint16_t port,
		const struct tcpwhy_addr *peer, uint16_t peer_port, struct stage_sock *out);
int kernel_list(struct stage *st, int host, struct stage_sock *out, size_t max, struct err *err);
int kernel_destroy(struct stage *st, int host, const struct tcpwhy_addr *local, uint16_t port,
		   const struct tcpwhy_addr *peer, uint16_t peer_port, struct err *err);

/* kernel_witness.c: who looks at the ends of tapped links. */
int kernel_witness_begin(struct kernel_stage *k, struct err *err);
/* When the relays are no more. */
void kernel_witness_end(struct kernel_stage *k);
/* Before a call that may change a socket's state: what was sent so far has been looked at. */
void kernel_settle(struct kernel_stage *k);

/* kernel_time.c */
uint64_t kernel_now(struct stage *st);
uint64_t kernel_to_stage(const struct kernel_stage *k, uint64_t clock_ns);
int kernel_pause(struct stage *st, uint64_t ns, struct err *err);
int kernel_run_until(struct stage *st, int (*is_so)(void *ctx), void *ctx, uint64_t limit_ns,
		     struct err *err);
void kernel_drive(struct stage *st, const struct stage_driver *d);
int kernel_watch(struct stage *st, int sock, bool on);

/* kernel_mounts.c: a mount namespace for programs, made when the first one is started. 0, -errno
 * or STAGE_CANNOT with err->text. Afterwards there are the mount namespace, the path of tcpwhy and
 * an environment.
 */
#define KERNEL_FILES "/run/tcpwhy-files" /* a directory in it, of each host that was given some */
int kernel_mounts_make(struct kernel_stage *k, struct err *err);
void kernel_mounts_end(struct kernel_stage *k);

/* kernel_cgroup.c */
int kernel_cgroup(struct stage *st, int host, char *path, size_t size, struct err *err);
void kernel_cgroup_end(struct kernel_node *node);

/* kernel_program.c */
int kernel_run(struct stage *st, int host, const char *const argv[], uint64_t limit_ns, char *out,
	       size_t size, struct err *err);
int kernel_spawn(struct stage *st, int host, const char *const argv[], struct err *err);
int kernel_stop(struct stage *st, int pid, struct err *err);
void kernel_programs_end(struct kernel_stage *k);

/* kernel_file.c */
int kernel_file(struct stage *st, int host, const char *name, const char *text, size_t n,
		char *path, size_t size, struct err *err);

#endif
