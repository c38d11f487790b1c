/* SPDX-License-Identifier: MIT
 *
 * port.h - what the words of `tcpwhy port` share
 */
#ifndef TCPWHY_CLI_PORT_H
#define TCPWHY_CLI_PORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "live/live.h"
#include "tcpwhy/lease.h"

/* The command line, understood. */
struct port_request {
	struct live_target target;
	const char *folder; /* NULL: the usual one */
	uint16_t low, high; /* init */
	bool reserve;
	gid_t group;
	unsigned n; /* ports to lease */
	bool held, random, force;
	uint32_t ttl_s;
	pid_t owner;     /* lease: 0 is the process that called us */
	uint16_t *ports; /* release */
	unsigned ports_n;
	char **command; /* exec; ends with NULL */
	bool json;
};

/* In the namespace of the request; each returns an exit status. */
int port_list(const struct port_request *q);
int port_check(const struct port_request *q);

/* Of the ports that are withheld because their entry was damaged: how many, for how long, and why.
 * False: there is none. */
bool port_withheld(struct tcpwhy_pool *pool, char *out, size_t size);

/* " --netns NAME", " --pid N" or "": what a command needs to act in the namespace of the request.
 */
#define PORT_PLACE_MAX 1024
const char *port_place(const struct port_request *q, char out[static PORT_PLACE_MAX]);

/* Opens the pool of the calling thread's namespace; a notice (it was built anew) goes to stderr. 0,
 * or the status to end with after it was said why. */
int port_open(const struct port_request *q, bool read_only, struct tcpwhy_pool **out);

#endif
