/* SPDX-License-Identifier: MIT
 *
 * rawclient.c - a TCP client in user space that meets the TIME_WAIT of a real server
 *
 * A server that closes first keeps TIME_WAIT; its client's stack knows nothing of that and takes
 * the port again. The SYN is then accepted if it is newer than all that went before: by timestamp,
 * or by sequence number, and a client with random ones has an even chance. Otherwise an ACK comes
 * back, to which the client can only answer RST. That RST ends the TIME_WAIT (RFC 1337), so the
 * next SYN gets through; with tcp_rfc1337=1 the TIME_WAIT stays, and the user's connection fails.
 * Not every SYN is answered then: one ACK per TIME_WAIT in half a second (tcp_invalid_ratelimit).
 *
 * The server is this kernel's, in a network namespace of its own; the client writes and reads
 * frames at the other end of its wire. Connections are made one after the other.
 *
 * -p PICKER    uniform (default), sequential, rfc6056-1 to rfc6056-5: who chooses the source port
 * -r LOW-HIGH  the ports, 40000-40015
 * -n N         connections, 48
 * -t           TCP timestamps, by one clock for all connections
 * -f           net.ipv4.tcp_rfc1337=1 on the server
 * -s SEED      of ports and sequence numbers, 1: two runs are alike
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "case/diag.h"
#include "case/hostns.h"
#include "case/picker.h"
#include "case/remote.h"

#define MS UINT64_C(1000000)

/* SYN_AGAIN: short, as within a data centre; after SYNS of them the user is told that it failed. */
enum { HTTP = 80, SYN_AGAIN_MS = 50, SYNS = 3, PATIENCE_MS = 2000, SOCKETS = 4096 };

static const struct {
	const char *name;
	enum picker_kind kind;
} pickers[] = {
	{"uniform", PICKER_UNIFORM},     {"sequential", PICKER_SEQUENTIAL},
	{"rfc6056-1", PICKER_RFC6056_1}, {"rfc6056-2", PICKER_RFC6056_2},
	{"rfc6056-3", PICKER_RFC6056_3}, {"rfc6056-4", PICKER_RFC6056_4},
	{"rfc6056-5", PICKER_RFC6056_5},
};

struct plan {
	enum picker_kind kind;
	unsigned low, high, connections;
	long seed;
	bool timestamps, rfc1337;
};

struct stack {
	struct remote net;
	struct diag diag;
	int listener; /* the server's */
	struct picker picker;
	bool timestamps;
	/* the connection that is being made */
	uint16_t port;
	uint32_t seq, ack, tsecr;
};

struct tally {
	unsigned opened, failed, met, at_once, after_rst;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 * MS + (uint64_t)t.tv_nsec;
}

/* ------------------------------------------------------------------------------------ segments */

static void send_segment(const struct stack *s, uint8_t flags)
{
	const bool with_timestamp = s->timestamps && !(flags & FRAME_RST);
	const struct frame f = {
		.from = remote_our_addr(TCPWHY_IPV4),
		.to = remote_host_addr(TCPWHY_IPV4),
		.from_port = s->port,
		.to_port = HTTP,
		.flags = flags,
		.window = 65535,
		.seq = s->seq,
		.ack = flags & FRAME_ACK ? s->ack : 0,
		.has_mss = flags & FRAME_SYN,
		.mss = 1460,
		.has_timestamps = with_timestamp,
		.tsval = (uint32_t)(now_ns() / 1000),
		.tsecr = flags & FRAME_ACK ? s->tsecr : 0,
	};

	remote_send(&s->net, &f);
}

/* The next segment for this connection that has these flags; false if none came in time. */
static bool await(struct stack *s, uint8_t flags, uint64_t ms, struct frame *f)
{
	static uint8_t bytes[FRAME_MAX];
	const uint64_t deadline = now_ns() + ms * MS;

	while (!remote_receive(&s->net, bytes, sizeof(bytes), deadline, f)) {
		if (f->to_port != s->port || (f->flags & flags) != flags)
			continue;
		s->tsecr = f->tsval;
		return true;
	}
	return false;
}

/* -------------------------------------------------------------------------------- one connection
 */

/* Sends SYNs until one is accepted, at once after a RST, as Linux has it since 5.7; says what came
 * back. False: it failed. */
static bool open_connection(struct stack *s, bool *had_rst)
{
	const uint32_t isn = (uint32_t)mrand48();
	struct frame f;

	*had_rst = false;
	tap_drain(&s->net.tap); /* what came late for the connection before */
	for (int i = 0; i < SYNS; i++) {
		s->seq = isn;
		send_segment(s, FRAME_SYN);
		printf(" > SYN");
		if (!await(s, FRAME_ACK, SYN_AGAIN_MS, &f))
			continue;
		if (f.flags & FRAME_SYN) {
			printf(" < SYN ACK");
			s->seq = isn + 1;
			s->ack = f.seq + 1;
			send_segment(s, FRAME_ACK);
			return true;
		}
		printf(" < ACK > RST");
		*had_rst = true;
		s->seq = f.ack;
		send_segment(s, FRAME_RST);
	}
	return false;
}

/* The server closes as soon as it has accepted, and we after it: TIME_WAIT is the server's. */
static bool end_connection(struct stack *s)
{
	struct pollfd p = {s->listener, POLLIN, 0};
	struct frame f;

	if (poll(&p, 1, PATIENCE_MS) != 1)
		return false;
	close(accept(s->listener, NULL, NULL));
	if (!await(s, FRAME_FIN, PATIENCE_MS, &f))
		return false;
	s->ack = f.seq + 1;
	send_segment(s, FRAME_FIN | FRAME_ACK);
	s->seq++;
	while (await(s, FRAME_ACK, PATIENCE_MS, &f))
		if (f.ack == s->seq)
			return true;
	return false;
}

/* The server's kernel is asked, not our memory. */
static bool meets_time_wait(struct stack *s)
{
	const struct endpoint server = {remote_host_addr(TCPWHY_IPV4), HTTP};
	const struct endpoint client = {remote_our_addr(TCPWHY_IPV4), s->port};
	struct diag_sock found;

	return !diag_find(&s->diag, &server, &client, REMOTE_DEVICE, &found) && found.timewait;
}

static bool connect_once(struct stack *s, unsigned number, struct tally *t)
{
	const struct tcpwhy_addr us = remote_our_addr(TCPWHY_IPV4);
	const struct tcpwhy_addr server = remote_host_addr(TCPWHY_IPV4);
	bool had_rst;

	s->port = picker_port(&s->picker, &us, &server, HTTP, 0);
	const bool met = meets_time_wait(s);
	printf("%4u  port %d %s ", number, s->port, met ? "TIME_WAIT" : "-        ");
	const bool opened = open_connection(s, &had_rst);
	puts(opened ? "" : "  failed");
	t->opened += opened;
	t->failed += !opened;
	t->met += met;
	t->at_once += met && opened && !had_rst;
	t->after_rst += met && opened && had_rst;
	return !opened || end_connection(s);
}

/* --------------------------------------------------------------------------------------- the run
 */

static int open_server(struct stack *s, const struct plan *p, struct err *err)
{
	const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(HTTP)};
	int rc = hostns_permit(err);

	if (!rc)
		rc = remote_open(&s->net, err);
	if (!rc)
		rc = hostns_set_sysctl(&s->net.host, "ipv4/tcp_rfc1337", p->rfc1337 ? "1" : "0",
				       err);
	if (!rc)
		rc = diag_open_in(&s->net.host, &s->diag, err);
	if (rc)
		return rc;
	s->listener = hostns_socket(&s->net.host, AF_INET, SOCK_STREAM, 0, err);
	if (s->listener < 0)
		return s->listener;
	if (bind(s->listener, (const struct sockaddr *)&any, sizeof(any)) ||
	    listen(s->listener, 8)) {
		snprintf(err->text, sizeof(err->text), "the server: %s", strerror(errno));
		return -errno;
	}
	return 0;
}

static unsigned count_time_wait(struct stack *s)
{
	static struct diag_sock socks[SOCKETS];
	size_t n = 0;
	unsigned timewaits = 0;

	if (diag_dump(&s->diag, socks, SOCKETS, &n))
		return 0;
	for (size_t i = 0; i < n && i < SOCKETS; i++)
		timewaits += socks[i].timewait;
	return timewaits;
}

static void close_server(struct stack *s)
{
	if (s->listener >= 0)
		close(s->listener);
	diag_close(&s->diag);
	remote_close(&s->net);
}

static bool connect_all(struct stack *s, unsigned connections, struct tally *t, struct err *err)
{
	for (unsigned i = 1; i <= connections; i++) {
		if (!connect_once(s, i, t)) {
			snprintf(err->text, sizeof(err->text), "the server does not close");
			return false;
		}
	}
	return true;
}

static int play(const struct plan *p)
{
	struct stack s = {.net = {.host.fd = -1, .wire.fd = -1, .tap.fd = -1},
			  .listener = -1,
			  .timestamps = p->timestamps};
	struct tally t = {0};
	struct err err;

	srand48(p->seed);
	picker_init(&s.picker, p->kind, (uint16_t)p->low, (uint16_t)p->high, (uint64_t)p->seed);
	const bool good = !open_server(&s, p, &err) && connect_all(&s, p->connections, &t, &err);
	if (good) {
		printf("%u opened, %u failed; %u SYNs met a TIME_WAIT: %u accepted at once, "
		       "%u after a RST\n",
		       t.opened, t.failed, t.met, t.at_once, t.after_rst);
		printf("the server keeps %u in TIME_WAIT\n", count_time_wait(&s));
	} else {
		fprintf(stderr, "rawclient: %s\n", err.text);
	}
	close_server(&s);
	return good ? 0 : 1;
}

static bool take_option(int c, struct plan *p)
{
	switch (c) {
	case 'p':
		for (size_t i = 0; i < sizeof(pickers) / sizeof(pickers[0]); i++) {
			p->kind = pickers[i].kind;
			if (!strcmp(optarg, pickers[i].name))
				return true;
		}
		return false;
	case 'r':
		return sscanf(optarg, "%u-%u", &p->low, &p->high) == 2 && p->low &&
		       p->low <= p->high && p->high <= UINT16_MAX;
	case 'n':
		return sscanf(optarg, "%u", &p->connections) == 1 && p->connections < SOCKETS;
	case 's':
		return sscanf(optarg, "%ld", &p->seed) == 1;
	case 't':
		return p->timestamps = true;
	case 'f':
		return p->rfc1337 = true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct plan p = {
		.kind = PICKER_UNIFORM, .low = 40000, .high = 40015, .connections = 48, .seed = 1};
	bool good = true;

	for (int c; good && (c = getopt(argc, argv, "p:r:n:s:tf")) != -1;)
		good = take_option(c, &p);
	if (!good || optind < argc) {
		fputs("usage: rawclient [-tf] [-p PICKER] [-r LOW-HIGH] [-n N] [-s SEED]\n",
		      stderr);
		return 2;
	}
	return play(&p);
}
