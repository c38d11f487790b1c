/* SPDX-License-Identifier: MIT
 *
 * sock.h - one run of `tcpwhy sock`: its sockets, and what the parts of the command share
 *
 * sock.c makes the calls in their order, sock_copy.c moves the data, sock_tell.c says what came of
 * each call. Real sockets: nothing is decided here by rules of ours.
 */
#ifndef TCPWHY_CLI_SOCK_H
#define TCPWHY_CLI_SOCK_H

#include <poll.h>
#include <time.h>

#include "cli/sock_options.h"
#include "live/netns.h"

struct sock_ends {
	struct tcpwhy_addr local, peer;
	uint16_t local_port, peer_port; /* peer_port 0: none */
	uint8_t family;
};

struct sock {
	const struct sock_options *o;
	struct netns ns;       /* where the sockets are */
	int listener, fd;      /* -1: none */
	struct sock_ends ends; /* of fd, kept: after a RST or both FINs the kernel names no peer */
	bool input_ended;      /* standard input; for good, also of the connections after this */
	int status;            /* to end with */
	struct timespec start; /* the times of -v count from here */
};

/* Waits until one of the descriptors is ready or ms are over (-1: no end); pollfds as in poll().
 * What poll() returned, or -1 once a signal asked to end: then nothing more is to be done but to
 * close. The only place that a signal gets through. */
int sock_wait(struct pollfd *fds, unsigned n, int ms);
/* Nothing but a signal ends it sooner; then false. */
bool sock_pause(struct sock *s, int ms);

/* Standard input to s->fd and s->fd to standard output, until one of them ends (with --half-close
 * both), or with --bulk the source or the sink. False if a call failed or a signal came; told. */
bool sock_copy(struct sock *s);

#endif
