/* SPDX-License-Identifier: MIT
 *
 * sock_tell.h - what `tcpwhy sock` says of its calls, on standard error
 *
 * With -v every call with its result, and the state in which the kernel shows the socket after it.
 * Without, only a call that failed: its errno, what that means there, and the question to ask next.
 */
#ifndef TCPWHY_CLI_SOCK_TELL_H
#define TCPWHY_CLI_SOCK_TELL_H

#include "cli/sock.h"

enum sock_call {
	SOCK_SOCKET,
	SOCK_SETSOCKOPT,
	SOCK_BIND,
	SOCK_BIND_ANY, /* bind() to port 0: the kernel chooses one */
	SOCK_LISTEN,
	SOCK_CONNECT,
	SOCK_ACCEPT,
	SOCK_READ,
	SOCK_WRITE,
	SOCK_SHUTDOWN,
	SOCK_CLOSE,
};

/* Says that the call, with its arguments as text, returned result; a negative one is -errno. False,
 * with s->status set, if it failed. */
__attribute__((format(printf, 4, 5))) bool sock_tell(struct sock *s, enum sock_call call,
						     long result, const char *args, ...);
/* Something between the calls; only with -v. */
__attribute__((format(printf, 2, 3))) void sock_note(const struct sock *s, const char *format, ...);
/* Standard input or output failed. */
void sock_tell_io(struct sock *s, const char *what, int error);

/* The state of the socket as the kernel shows it (TCP_INFO), and its ends; only with -v. */
void sock_tell_state(const struct sock *s, int fd);
/* The same after shutdown(), once the peer has acknowledged the FIN; a second at most. */
void sock_tell_shut(const struct sock *s);
/* Takes down the ends of s->fd, which is connected, and tells its state. */
void sock_tell_connected(struct sock *s);
/* What the kernel keeps of the connection of s->ends, which is closed (sock_diag); only with -v.
 * Waits a second at most for the peer to do its part. */
void sock_tell_rest(const struct sock *s);

#endif
