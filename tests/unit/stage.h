/* SPDX-License-Identifier: MIT
 *
 * stage.h - what tests on network namespaces share: the permission to make them, two hosts and a
 * wire, sockets with deadlines
 */
#ifndef TCPWHY_TESTS_STAGE_H
#define TCPWHY_TESTS_STAGE_H

#include "unit.h"

#include "case/hostns.h"
#include "case/stage_kernel.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STAGE_PATIENCE_MS = 10000 }; /* a deadline; nothing waits for it to pass */

static char stage_refused[256]; /* why nothing can be played here; "" if it can */

/* First in main(), while there is one thread. */
static inline void stage_permit(void)
{
	struct err err = {""};

	if (hostns_permit(&err))
		snprintf(stage_refused, sizeof(stage_refused), "%s", err.text);
}

/* Skips where the system refuses namespaces, fails where the call does. */
#define STAGE_DO(call)                                                                             \
	do {                                                                                       \
		if (stage_refused[0])                                                              \
			unit_skip(stage_refused);                                                  \
		if ((call) < 0)                                                                    \
			fail_msg("%s: %s", #call, err.text);                                       \
	} while (0)

static inline uint64_t stage_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline uint64_t stage_deadline(void)
{
	return stage_now() + (uint64_t)STAGE_PATIENCE_MS * 1000000;
}

/* Fills the address of a call, of the address's own family. */
static inline socklen_t stage_sockaddr(struct sockaddr_storage *out, const struct tcpwhy_addr *a,
				       uint16_t port)
{
	memset(out, 0, sizeof(*out));
	if (address_is_v4(a)) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, a->b + 12, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, a->b, 16);
	return sizeof(*in6);
}

static inline struct endpoint stage_endpoint(const struct sockaddr_storage *a)
{
	struct endpoint e = {.port = ntohs(((const struct sockaddr_in *)a)->sin_port)};

	if (a->ss_family == AF_INET)
		e.addr = address_v4((const uint8_t *)&((const struct sockaddr_in *)a)->sin_addr);
	else
		memcpy(e.addr.b, &((const struct sockaddr_in6 *)a)->sin6_addr, 16);
	return e;
}

static inline struct endpoint stage_local(int fd)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	return stage_endpoint(&a);
}

static inline struct endpoint stage_peer(int fd)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);

	assert_int_equal(getpeername(fd, (struct sockaddr *)&a, &len), 0);
	return stage_endpoint(&a);
}

static inline struct tcpwhy_addr stage_addr(const char *text)
{
	struct tcpwhy_addr a;
	enum tcpwhy_family family;

	assert_true(address_parse(text, &a, &family));
	return a;
}

static inline void stage_poll(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	assert_int_equal(poll(&p, 1, STAGE_PATIENCE_MS), 1);
}

/* ----------------------------------------------------------------------------- sockets of a host
 */

static inline int stage_tcp(struct stage_kernel *s, int host, const struct tcpwhy_addr *a)
{
	struct err err;
	const int fd = stage_kernel_socket(s, host, address_is_v4(a) ? AF_INET : AF_INET6,
					   SOCK_STREAM | SOCK_NONBLOCK, &err);

	if (fd < 0)
		fail_msg("%s", err.text);
	return fd;
}

static inline int stage_listen(struct stage_kernel *s, int host, const struct tcpwhy_addr *a,
			       uint16_t port)
{
	struct sockaddr_storage to;
	const int fd = stage_tcp(s, host, a);

	assert_int_equal(bind(fd, (struct sockaddr *)&to, stage_sockaddr(&to, a, port)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

/* The SYN is sent. */
static inline int stage_connect(struct stage_kernel *s, int host, const struct tcpwhy_addr *a,
				uint16_t port)
{
	struct sockaddr_storage to;
	const int fd = stage_tcp(s, host, a);

	if (connect(fd, (struct sockaddr *)&to, stage_sockaddr(&to, a, port)))
		assert_int_equal(errno, EINPROGRESS);
	return fd;
}

/* Waits for the end of a connect(), or for an error, and returns its errno. */
static inline int stage_outcome(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	stage_poll(fd, POLLOUT);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	return error;
}

static inline int stage_accept(int listener)
{
	stage_poll(listener, POLLIN);
	const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(fd >= 0);
	return fd;
}

static inline void stage_say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Waits for exactly that text. */
static inline void stage_hear(int fd, const char *text)
{
	char got[256];
	size_t n = 0;

	while (n < strlen(text)) {
		stage_poll(fd, POLLIN);
		const ssize_t k = recv(fd, got + n, strlen(text) - n, 0);
		assert_true(k > 0);
		n += (size_t)k;
	}
	assert_memory_equal(got, text, n);
}

static inline uint64_t stage_count(struct stage_kernel *s, int host, const char *name)
{
	struct err err;
	uint64_t n;

	if (stage_kernel_counter(s, host, name, &n, &err))
		fail_msg("%s", err.text);
	return n;
}

/* ---------------------------------------------------------------- two hosts, a wire, a connection
 */

struct stage_pair {
	struct stage_kernel *s;
	int a, b, wire;
	struct relay *relay;
	struct capture *capture;
	struct tcpwhy_addr a_addr, b_addr; /* IPv4 */
	int listener, client, server;      /* -1 if they are not there */
};

#define STAGE_A4 "10.0.0.1"
#define STAGE_B4 "10.0.0.2"
#define STAGE_A6 "fd00::1"
#define STAGE_B6 "fd00::2"

/* Hosts a and b; both families. STAGE_DO(stage_pair_open(...)). */
static inline int stage_pair_open(struct stage_pair *p, bool relayed, uint64_t delay_ns,
				  struct err *err)
{
	const struct tcpwhy_addr a[] = {stage_addr(STAGE_A4), stage_addr(STAGE_A6)};
	const struct tcpwhy_addr b[] = {stage_addr(STAGE_B4), stage_addr(STAGE_B6)};
	struct stage_pair made = {
		.a_addr = a[0], .b_addr = b[0], .listener = -1, .client = -1, .server = -1};
	int rc = stage_kernel_new(&made.s, err);

	if (rc)
		return rc;
	made.a = stage_kernel_add_host(made.s, "a", err);
	made.b = made.a < 0 ? -1 : stage_kernel_add_host(made.s, "b", err);
	rc = made.b;
	if (made.b >= 0) {
		const struct stage_wire w = {
			.ends = {{made.a, a, 2}, {made.b, b, 2}},
			.relayed = relayed,
			.delay_ns = {delay_ns, delay_ns},
			.quickack = true,
		};
		made.wire = rc = stage_kernel_add_wire(made.s, &w, err);
	}
	if (rc < 0) {
		stage_kernel_free(made.s);
		return rc;
	}
	made.relay = stage_kernel_relay(made.s, made.wire);
	made.capture = stage_kernel_capture(made.s, made.wire);
	*p = made;
	return 0;
}

/* A connection from a to b, port 80. What is said is sent at once, each in a segment of its own. */
static inline void stage_pair_connect(struct stage_pair *p)
{
	p->listener = stage_listen(p->s, p->b, &p->b_addr, 80);
	p->client = stage_connect(p->s, p->a, &p->b_addr, 80);
	assert_int_equal(stage_outcome(p->client), 0);
	p->server = stage_accept(p->listener);
	assert_int_equal(setsockopt(p->client, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)),
			 0);
}

static inline void stage_pair_close(struct stage_pair *p)
{
	const int fds[] = {p->client, p->server, p->listener};

	for (size_t i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	stage_kernel_free(p->s);
}

#endif
