/* SPDX-License-Identifier: MIT
 *
 * lease.h - a pool of listen ports that the processes of one network namespace share
 *
 * bind() to port 0 draws from the ephemeral range, which outgoing connections may have used up, and
 * it looks at every TIME_WAIT of it. A pool is a range apart from that one, in a file that all
 * processes map: a port is leased with one atomic instruction, comes back when it is released or
 * when its holder is gone, and the one that was given back longest ago is leased first, so that
 * what the last use left behind has ended. No daemon, no lock, no system call for a port.
 *
 * Two grades. A *reserved* lease is an entry in the pool and nothing else: programs that use the
 * pool keep off it, and ip_local_reserved_ports keeps the kernel's own choices off it, but a
 * foreign bind() to that very port still takes it. A *held* lease comes with a socket that is
 * bound; who gets the socket passed on (LISTEN_FDS, tcpwhy_lease_send()) needs no bind() any more.
 *
 * The namespace is that of the calling thread. Nothing here prints, exits, starts a thread or
 * installs a signal handler. A pool may be used by many threads at once, but for
 * tcpwhy_pool_close(). Ports are in host order. Functions return 0 or a count, or -errno; outputs
 * are untouched on failure. Whoever may write the pool's file is trusted not to truncate it in the
 * middle of a call (as with any mapping, that is SIGBUS); no other content of it, whoever wrote it,
 * leads to more than a wrong answer within the pool's range.
 *
 * After fork() the child owns none of its parent's leases: it cannot release them, and its own
 * begin with its first call. exec() keeps them, because the process is the same. Times are those of
 * CLOCK_BOOTTIME: a process in a time namespace of its own must not lease for a time.
 */
#ifndef TCPWHY_LEASE_H
#define TCPWHY_LEASE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TCPWHY_POOL_PORTS_MAX 32768

struct tcpwhy_pool;

/* Why a call failed, in one sentence; also a notice where that is said. Any of these may be NULL.
 */
struct tcpwhy_pool_why {
	char text[384];
};

/* ------------------------------------------------------------------------------------- the pool */

struct tcpwhy_pool_plan {
	uint16_t low, high; /* first and last port */
	const char *folder; /* NULL: /run/tcpwhy, or $XDG_RUNTIME_DIR/tcpwhy of who may not write
			     * there */
	gid_t group;        /* may use the pool too; (gid_t)-1: the user alone */
};

/* Makes the pool of this network namespace, or gives it another range, in which every port that is
 * leased must lie (handles that are open then answer -ESTALE). The same range again changes
 * nothing. -EINVAL no range, or too large; -ERANGE the kernel chooses ports from that range itself
 * (why says what to type); -EBUSY leased ports would be lost, or somebody else is at it; -EACCES,
 * -EROFS, ... from the file system. */
int tcpwhy_pool_create(const struct tcpwhy_pool_plan *plan, struct tcpwhy_pool_why *why);

/* Opens the pool of this network namespace. folder: as in the plan. read_only: for listing; needs
 * no right to write. *out is the caller's until tcpwhy_pool_close(); it holds a descriptor and a
 * mapping. A file that is damaged is set aside under another name and built anew from the range it
 * had, with what is sound in it; why->text then says so, else it is "". -ENOENT there is none;
 * -EPROTO it was made by a newer release, and is not touched; -EUCLEAN it is damaged, and cannot be
 * rebuilt by this user or in this way; -EPERM file or folder belong to a user who is neither root
 * nor the caller; -EUSERS too many processes use it. */
int tcpwhy_pool_open(const char *folder, bool read_only, struct tcpwhy_pool **out,
		     struct tcpwhy_pool_why *why);

/* Gives back what this process leased with the handle (descriptors stay open), and frees it. NULL
 * is nothing to do. In a child after fork() it gives back nothing of the parent's. */
void tcpwhy_pool_close(struct tcpwhy_pool *pool);

/* Before exec(), which leases survive: lets them be seen to live from other PID namespaces, too.
 * The pool's descriptor (64 or above, if there is room) then stays open in the new program. 0, or
 * -errno of fcntl(). */
int tcpwhy_pool_keep(struct tcpwhy_pool *pool);

/* ----------------------------------------------------------------------------------- the leases */

/* What to lease. All zero: reserved, the longest unused, until released. */
struct tcpwhy_lease_wish {
	bool held;      /* with a bound socket */
	bool listening; /* held, and listen() is done: the kernel already takes connections */
	bool random;    /* in no order */
	bool probe; /* reserved, but a port that is bound by others is passed over: costs a bind()
		     */
	uint32_t ttl_s;                 /* ends by itself after so many seconds; 0: does not */
	const struct sockaddr *address; /* of held and probe; its port is ignored. NULL: every
					 * address, IPv6 and IPv4 */
	socklen_t address_len;
};

struct tcpwhy_lease {
	uint64_t token; /* proves the lease; nothing else in it is promised */
	int fd;         /* the socket of a held one, O_CLOEXEC, the caller's; -1 none */
	uint16_t port;
};

/* Leases n ports into out[0] to out[n - 1]; wish is borrowed for the call, NULL is one that is all
 * zero. The descriptors are the caller's. The number leased, which is less than n if the pool has
 * no more; what of out[] is not leased may be cleared, fd -1. -ENOSPC it has none; -ESTALE the pool
 * was rebuilt or its file is gone: close, open again (leases stay good); -EROFS opened read-only;
 * -EUSERS as above; and what socket(), bind() or listen() say other than EADDRINUSE: then nothing
 * is leased. */
int tcpwhy_lease(struct tcpwhy_pool *pool, const struct tcpwhy_lease_wish *wish,
		 struct tcpwhy_lease *out, unsigned n);

/* Gives back n leases and closes their descriptors; leases[] is cleared, fd -1. The number that
 * were still leased by this process; others (released before, ended by their time, a parent's) are
 * passed over. -ESTALE as above, with leases as they were: release them with the pool opened anew;
 * -EROFS, -EUSERS. */
int tcpwhy_lease_release(struct tcpwhy_pool *pool, struct tcpwhy_lease *leases, unsigned n);

/* Makes the lease another process's, or with pid 0 the clock's alone. It ends with that process, or
 * after ttl_s seconds unless that is 0, whatever comes first. -ESRCH no such process; -EINVAL
 * neither; -ESTALE the lease is not, or no longer, this process's; -EROFS, -EUSERS. With 0
 * lease->token is another one: the old proves nothing any more. */
int tcpwhy_lease_assign(struct tcpwhy_pool *pool, struct tcpwhy_lease *lease, pid_t pid,
			uint32_t ttl_s);

/* Passes a held lease on through a connected Unix socket (SCM_RIGHTS). From then on it is nobody's
 * for ten seconds at most, so that the taker gets it even if the giver dies; the descriptor is
 * closed here. One message, sent as unix_fd blocks or not. -EINVAL the lease has no socket; else as
 * for tcpwhy_lease_assign(), or what sendmsg() says: then the descriptor is open still, and the
 * lease this process's if its time was not over. sendmsg(2), unix(7). */
int tcpwhy_lease_send(struct tcpwhy_pool *pool, struct tcpwhy_lease *lease, int unix_fd);
/* Takes it; the socket is the caller's, O_CLOEXEC. -EBADMSG if what came is no lease of this pool
 * with a socket bound to its port, -ESTALE if it came too late and the port is another's, or the
 * pool was rebuilt meanwhile, -EROFS, -EUSERS, or what recvmsg() says. A descriptor that came with
 * what is refused is closed. */
int tcpwhy_lease_receive(struct tcpwhy_pool *pool, int unix_fd, struct tcpwhy_lease *out);

/* Ends the lease of a port, whosever it is; a socket that is bound to it stays. 1, 0 if it is not
 * leased, -EINVAL if it is not of the pool, -EROFS, -ESTALE. */
int tcpwhy_lease_revoke(struct tcpwhy_pool *pool, uint16_t port);

/* -------------------------------------------------------------------------------- looking at it */

enum tcpwhy_port_state {
	TCPWHY_PORT_FREE,
	TCPWHY_PORT_LEASED,
	TCPWHY_PORT_ENDED, /* its process is gone, or its time is over: leased again when needed */
	TCPWHY_PORT_DAMAGED,  /* its entry makes no sense: not leased until it was withheld for a
				 while */
	TCPWHY_PORT_WITHHELD, /* its entry made none, so who has it is lost: free after left_ns */
};

struct tcpwhy_port {
	uint16_t port;
	enum tcpwhy_port_state state;
	bool held;
	bool foreign; /* pid is of another PID namespace, where the number means another process */
	pid_t pid;    /* of the holder; 0: nobody's, its time ends it */
	uid_t uid;    /* of the holder */
	uint64_t since_ns; /* leased, or given back, so long ago; 0 if never */
	uint64_t left_ns;  /* until its time is over; 0: it has none */
};

/* Calls take for each port, from the first to the last, until it returns something else than 0,
 * which is the result; *port is borrowed for that call. Others go on meanwhile: it is no picture of
 * one moment. 0, or -ESTALE as for tcpwhy_lease(). */
int tcpwhy_pool_list(struct tcpwhy_pool *pool,
		     int (*take)(void *ctx, const struct tcpwhy_port *port), void *ctx);

struct tcpwhy_pool_state {
	uint16_t low, high;
	unsigned free, leased, ended, damaged, withheld;
	unsigned holders;   /* processes that are noted, the ended ones too */
	uint64_t recovered; /* ports that came back from ended holders, since the pool was made */
	char path[256];
};
/* The same, counted. Of a pool that was rebuilt (-ESTALE of the others) no port is counted. */
void tcpwhy_pool_look(struct tcpwhy_pool *pool, struct tcpwhy_pool_state *out);

/* Looks at every holder and every port now, which leasing otherwise does little by little and when
 * the pool is short. The number of ports that came back, -EROFS, or -ESTALE. */
int tcpwhy_pool_recover(struct tcpwhy_pool *pool);

/* Whether the kernel itself could choose a port of the range (connect(), bind() to port 0), in this
 * network namespace. low and high are the first and the last port. 0, or -ERANGE with the sysctl at
 * fault in why; -EIO if the sysctls cannot be read, -ENOMEM. inet_get_local_port_range(),
 * inet_is_local_reserved_port(). */
int tcpwhy_pool_check_range(uint16_t low, uint16_t high, struct tcpwhy_pool_why *why);
/* The value of net.ipv4.ip_local_reserved_ports that also has the range: what stands there now, and
 * low to high, as the kernel takes it ("80,8000-8009"). size: of text, with the terminating zero.
 * 0, -ENAMETOOLONG if text has no room, -EIO, -ENOMEM. */
int tcpwhy_pool_reserved_ports(uint16_t low, uint16_t high, char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif
