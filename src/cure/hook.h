/* SPDX-License-Identifier: MIT
 *
 * hook.h - BPF programs on a cgroup that set SO_REUSEADDR, or spread connections over addresses
 *
 * For programs that cannot be changed, nor started by `tcpwhy run`: everything in a cgroup and
 * below is met, from its next bind() or connect() on; sockets that are bound already are not. They
 * act on TCP only, never refuse a call, and are chained with what else is attached there. A program
 * lives as long as its link, and a link as long as its name in a bpffs (or the cgroup); see
 * bpffs.h.
 *
 * Here is what they are, their loading and attaching; hook_apply.h makes a change of it.
 */
#ifndef TCPWHY_CURE_HOOK_H
#define TCPWHY_CURE_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "cure/hook_rules.h"
#include "live/cgroup2.h"
#include "tcpwhy/engine.h"

enum hook_what {
	/* bind4, bind6: a bind() to a port gets SO_REUSEADDR. Not bind() to port 0, which it makes
	 * slow and does not help. */
	HOOK_REUSEADDR,
	/* connect4, connect6: a socket without an address gets the next of a list. The port stays
	 * connect()'s to choose, so n addresses hold n times the connections. */
	HOOK_SPREAD,
};

struct hook_order {
	enum hook_what what;
	struct tcpwhy_addr addresses[HOOK_ADDRESSES_MAX]; /* n4 of IPv4, then n6 of IPv6 */
	unsigned n4, n6;
};

/* "reuseaddr" or "spread=ADDR[,ADDR...]". 0, or -EINVAL with err->text and *out untouched. */
int hook_parse(const char *text, struct hook_order *out, struct err *err);
/* The same text again. */
#define HOOK_TEXT_MAX (16 + HOOK_ADDRESSES_MAX * 48)
char *hook_format(const struct hook_order *order, char out[static HOOK_TEXT_MAX]);

/* Where a program is attached. */
struct hook_point {
	const char *name;    /* "bind4", as in cgroup/bind4 */
	const char *program; /* "tcpwhy_reuse4": begins with tcpwhy_ */
	unsigned type;       /* enum bpf_attach_type */
};

#define HOOK_POINTS_MAX 2
/* The points an order needs: an IPv6 socket may go to an IPv4 address, so IPv4 addresses need
 * connect6 too. Gives their number. */
unsigned hook_points(const struct hook_order *order, const struct hook_point *out[HOOK_POINTS_MAX]);
/* The point of that name, NULL if it is none of ours. */
const struct hook_point *hook_point_find(const char *name);

/* A program that acts on a cgroup. */
struct hook_seen {
	const struct hook_point *at;
	uint32_t id;
	char name[16]; /* "" where it may not be asked for (CAP_SYS_ADMIN) */
	bool here;     /* attached to this cgroup, not to one above */
};

#define HOOK_SEEN_MAX 32
/* What acts at the points of order, in the kernel's order. 0 with *n, or -errno with err->text. */
int hook_look(const struct cgroup2 *cgroup, const struct hook_order *order,
	      struct hook_seen seen[HOOK_SEEN_MAX], size_t *n, struct err *err);
/* Whether a program there admits no other beside it (attached without BPF_F_ALLOW_MULTI): then
 * err->text names it. */
bool hook_is_shut_out(const struct cgroup2 *cgroup, const struct hook_order *order,
		      struct err *err);

struct hook_programs;

/* Loads the programs of order; attaches nothing. 0, or -errno with err->text: -EPERM without the
 * privilege, -EOPNOTSUPP if the kernel has no such programs. */
int hook_load(const struct hook_order *order, struct hook_programs **out, struct err *err);
void hook_unload(struct hook_programs *programs);

/* Attaches the program of one point, and pins its link as name in folder, a descriptor. 0 with the
 * program's *id, or -errno with err->text and nothing attached. */
int hook_pin(const struct hook_programs *programs, const struct hook_point *point,
	     const struct cgroup2 *cgroup, int folder, const char *name, uint32_t *id,
	     struct err *err);

/* What a name in a folder is. */
enum hook_pin_state {
	HOOK_PIN_NONE,
	HOOK_PIN_LIVE,   /* a link of ours, and its cgroup is the one asked for */
	HOOK_PIN_DEAD,   /* its cgroup is gone */
	HOOK_PIN_OTHER,  /* something else has the name */
	HOOK_PIN_UNSEEN, /* it may not be looked at */
};

enum hook_pin_state hook_pin_look(const char *path, const struct hook_point *point,
				  uint64_t cgroup_id);
/* Detaches what is pinned there at once, and takes the name away; a name that is not there is no
 * error. 0 or -errno. */
int hook_unpin(int folder, const char *name);

#endif
