/* SPDX-License-Identifier: MIT
 *
 * reuse_view.h - one look at a server's sockets: where they are, who has them open, what they have
 *
 * The listing gives the sockets of a port, reuse_pick() says which are the server's, /proc who has
 * them open, and the socket itself, borrowed, whether it has SO_REUSEADDR. Changes nothing.
 */
#ifndef TCPWHY_CURE_REUSE_VIEW_H
#define TCPWHY_CURE_REUSE_VIEW_H

#include "base/error.h"
#include "cure/reuse_pick.h"
#include "live/borrow.h"
#include "live/live.h"

#define REUSE_PORTS_MAX     16
#define REUSE_SOCKETS_MAX   100000
#define REUSE_PROCESSES_MAX 64

struct reuse_ask {
	int pid;
	uint16_t port; /* 0: those it listens on */
	struct reuse_place place;
};

/* A socket that can be reached, through one of the descriptors that it is open by. */
struct reuse_socket {
	uint64_t cookie;
	uint64_t start; /* of pid */
	uint32_t inode;
	uint32_t owner; /* index in its port's snapshot */
	uint8_t port;   /* index of its port */
	uint8_t role;   /* REUSE_LISTENER, REUSE_CONNECTION */
	int8_t reuse;   /* SO_REUSEADDR; -1: it could not be borrowed */
	int pid, fd;    /* 0: no process was found */
	int error;      /* reuse < 0: why */
};

struct reuse_process {
	int pid;
	uint64_t start;
	char comm[16];
	size_t listeners, connections; /* of the server's sockets, those it has open */
};

struct reuse_port {
	uint16_t port;
	struct snapshot snap;
	uint8_t *roles; /* enum reuse_role of each owner */
};

struct reuse_view {
	struct reuse_port ports[REUSE_PORTS_MAX];
	size_t ports_n;
	struct reuse_socket *sockets; /* by inode, ascending */
	size_t n;
	struct reuse_process processes[REUSE_PROCESSES_MAX];
	size_t processes_n;
	bool processes_more;
	bool unseen; /* some process could not be looked into */
	uint64_t netns_cookie;
	size_t by_role[REUSE_ROLES];
	size_t lacking[REUSE_ROLES]; /* listeners, connections: reached, without the option */
	/* Queued, orphans, TIME_WAIT: those not known to have it. */
	size_t unset[REUSE_ROLES];
	size_t unreached;    /* listeners, connections that could not be borrowed */
	uint64_t longest_ns; /* what the last of TIME_WAIT without it has left, if that is known */
};

/* The ports that process pid listens on. 0 with *n from 1 on, or -errno with err->text: -EPERM the
 * privilege to reach it is missing, -ENOENT it listens on none, -ESRCH, -EINVAL, -ENOSYS, -E2BIG
 * more than REUSE_PORTS_MAX. */
int reuse_ports(int pid, uint16_t ports[static REUSE_PORTS_MAX], size_t *n, struct err *err);

/* Looks at those ports in the namespace of live. known: sockets of an earlier look, which count as
 * the process's own, in case it has ended since. 0 with *view filled (free it with
 * reuse_view_free()), or -errno with err->text: -ENOENT the process has no server there. */
int reuse_view_take(struct live *live, const struct reuse_ask *ask, const uint16_t *ports, size_t n,
		    const struct reuse_view *known, struct reuse_view *view, struct err *err);
void reuse_view_free(struct reuse_view *view);

/* "0.0.0.0:80 and [::]:81" or "port 80": where the server is. */
void reuse_view_where(const struct reuse_view *view, char *out, size_t size);

#endif
