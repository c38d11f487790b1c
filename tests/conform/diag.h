/* SPDX-License-Identifier: MIT
 *
 * diag.h - sock_diag: one 4-tuple, every socket, and SOCK_DESTROY
 *
 * Only what scripts compare. A dump walks the hash tables of the whole machine (milliseconds), a
 * question for one 4-tuple does not (microseconds).
 */
#ifndef CONFORM_DIAG_H
#define CONFORM_DIAG_H

#include "script.h"

struct diag {
	struct mnl_socket *nl;
	unsigned seq;
};

/* One socket as the kernel shows it. state is BOUND for one that only bound. */
struct diag_sock {
	struct endpoint local, peer;
	uint8_t family; /* enum tcpwhy_family */
	uint8_t state;  /* enum tcpwhy_state */
	bool timewait;  /* a mini-socket */
	uint32_t device;
	uint32_t cookie[2];
};

/* 0 or -errno. The socket acts on the namespace in which it was opened. */
int diag_open(struct diag *d);
void diag_close(struct diag *d);

/* 0, -ENOENT, or another -errno. A listener never answers for a 4-tuple here. */
int diag_find(struct diag *d, const struct endpoint *local, const struct endpoint *peer,
	      struct diag_sock *found);

/* SOCK_DESTROY of exactly that socket. 0 or -errno. */
int diag_destroy(struct diag *d, const struct diag_sock *sock);

/* Fills up to max sockets of both families and all states; *n is how many there were. 0 or -errno;
 * -EINTR is a dump that was not consistent. */
int diag_dump(struct diag *d, struct diag_sock *socks, size_t max, size_t *n);

#endif
