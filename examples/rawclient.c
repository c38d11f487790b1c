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
 * rawclient -h shows the options. make examples builds build/examples/rawclient; or, after make:
 * gcc -Iinclude -Isrc examples/rawclient.c -Lbuild -lcase -llive -lload -lengine -lbase -lmnl -lbpf
 *     -o rawclient
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
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
enum { HTTP = 80, SYN_AGAIN_MS = 50, SYNS = 3, PATIENCE_MS = 2000, CONNECTIONS_MAX = 4095 };

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
	const struct tcpwhy_row *row; /* not NULL: that release's connect() is asked for a port */
	unsigned low, high, connections;
	long seed;
	bool timestamps, rfc1337, help;
};

struct stack {
	struct remote net;
	struct diag diag;
	int listener; /* the server's */
	struct picker picker;
	struct tcpwhy_engine *rules; /* not NULL: instead of the picker */
	struct tcpwhy_perturb perturb;
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

/* ------------------------------------------------------------------------------------ the port */

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	(void)ctx;
	(void)old_size;
	if (new_size)
		return realloc(old, new_size);
	free(old);
	return NULL;
}

static uint32_t draw(void *ctx, uint32_t n)
{
	(void)ctx;
	return (uint32_t)((uint64_t)(uint32_t)mrand48() * n >> 32);
}

/* What a release keeps for connect(): a hint for the whole machine, or a table of them. */
static bool open_rules(struct stack *s, const struct plan *p)
{
	enum { TABLE = 65536, TABLE_BEFORE_5_18 = 256 };
	static uint32_t table[TABLE];
	const struct tcpwhy_memory memory = {.resize = resize};

	if (!p->row)
		return true;
	s->rules = tcpwhy_engine_new(p->row, &memory);
	if (!s->rules)
		return false;
	struct tcpwhy_sysctls sysctls = *tcpwhy_sysctls(s->rules);
	sysctls.port_low = (uint16_t)p->low;
	sysctls.port_high = (uint16_t)p->high;
	tcpwhy_set_sysctls(s->rules, &sysctls);
	s->perturb = (struct tcpwhy_perturb){
		.key = {(uint64_t)mrand48(), (uint64_t)mrand48()}, .table = table, .size = 1};
	if (p->row->features & TCPWHY_F_PERTURB_TABLE)
		s->perturb.size =
			p->row->features & TCPWHY_F_START_REKEYED ? TABLE : TABLE_BEFORE_5_18;
	return true;
}

/* The one connection that this stack has will be over before the next: its ports are all free, so
 * the rules may forget it at once. Their clock stands, so that two runs are alike: the key is not
 * changed every ten seconds. */
static uint16_t ask_rules(struct stack *s, const struct tcpwhy_addr *us,
			  const struct tcpwhy_addr *server)
{
	const struct tcpwhy_choice choice = {.draw = draw, .perturb = &s->perturb};
	struct tcpwhy_verdict v = {0};
	enum tcpwhy_sent sent;
	tcpwhy_sock sock;

	if (tcpwhy_socket(s->rules, TCPWHY_IPV4, 0, false, &sock))
		return 0;
	tcpwhy_connect(s->rules, sock, server, HTTP, us, &choice, &v);
	tcpwhy_close(s->rules, sock, &sent);
	return v.answer == TCPWHY_OK ? v.port : 0;
}

static uint16_t choose_port(struct stack *s)
{
	const struct tcpwhy_addr us = remote_our_addr(TCPWHY_IPV4);
	const struct tcpwhy_addr server = remote_host_addr(TCPWHY_IPV4);

	return s->rules ? ask_rules(s, &us, &server)
			: picker_port(&s->picker, &us, &server, HTTP, 0);
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
	bool had_rst;

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
	static struct diag_sock socks[CONNECTIONS_MAX + 1]; /* and the listener */
	const size_t room = sizeof(socks) / sizeof(socks[0]);
	size_t n = 0;
	unsigned timewaits = 0;

	if (diag_dump(&s->diag, socks, room, &n))
		return 0;
	for (size_t i = 0; i < n && i < room; i++)
		timewaits += socks[i].timewait;
	return timewaits;
}

static void close_server(struct stack *s)
{
	if (s->listener >= 0)
		close(s->listener);
	diag_close(&s->diag);
	remote_close(&s->net);
	tcpwhy_engine_free(s->rules);
}

static bool connect_all(struct stack *s, unsigned connections, struct tally *t, struct err *err)
{
	for (unsigned i = 1; i <= connections; i++) {
		s->port = choose_port(s);
		if (!s->port || !connect_once(s, i, t)) {
			snprintf(err->text, sizeof(err->text), "%s",
				 s->port ? "the server does not close" : "no port is free");
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
	struct err err = {"no memory"};

	srand48(p->seed);
	picker_init(&s.picker, p->kind, (uint16_t)p->low, (uint16_t)p->high, (uint64_t)p->seed);
	bool good = open_rules(&s, p) && !open_server(&s, p, &err) &&
		    connect_all(&s, p->connections, &t, &err);
	if (good) {
		printf("%u opened, %u failed; %u SYNs met a TIME_WAIT: %u accepted at once, "
		       "%u after a RST\n",
		       t.opened, t.failed, t.met, t.at_once, t.after_rst);
		printf("the server keeps %u in TIME_WAIT\n", count_time_wait(&s));
	}
	if (good && (fflush(stdout) || ferror(stdout))) {
		snprintf(err.text, sizeof(err.text), "standard output: %s", strerror(errno));
		good = false;
	}
	if (!good)
		fprintf(stderr, "rawclient: %s\n", err.text);
	close_server(&s);
	return good ? 0 : 1;
}

/* -------------------------------------------------------------------------------- the arguments */

static void help(FILE *out)
{
	fputs("usage: rawclient [-tf] [-p PICKER] [-r LOW-HIGH] [-n N] [-s SEED]\n\n"
	      "-p PICKER    who chooses the source port: uniform (default), sequential, rfc6056-1 "
	      "to\n"
	      "             rfc6056-5, or a release of Linux, by the rules of its connect():\n"
	      "            ",
	      out);
	for (size_t i = 0; tcpwhy_row_at(i); i++)
		fprintf(out, " %s", tcpwhy_row_at(i)->name);
	fputs("\n"
	      "-r LOW-HIGH  the ports, 40000-40015\n"
	      "-n N         connections, at most 4095 (48)\n"
	      "-t           TCP timestamps, by one clock for all connections\n"
	      "-f           net.ipv4.tcp_rfc1337=1 on the server\n"
	      "-s SEED      of ports and sequence numbers, 1: two runs are alike\n"
	      "-h, --help   show this\n\n"
	      "exit status: 0 played, whatever failed in it; 1 could not play; 2 usage\n",
	      out);
}

static bool read_number(const char *text, long min, long max, long *out)
{
	char *end;

	errno = 0;
	*out = strtol(text, &end, 10);
	return end != text && !*end && !errno && *out >= min && *out <= max;
}

static bool take_picker(const char *name, struct plan *p)
{
	p->row = tcpwhy_row_find(name);
	for (size_t i = 0; !p->row && i < sizeof(pickers) / sizeof(pickers[0]); i++) {
		p->kind = pickers[i].kind;
		if (!strcmp(name, pickers[i].name))
			return true;
	}
	return p->row;
}

/* What the value should have been; NULL: it is good. */
static const char *take_option(int c, struct plan *p)
{
	long n = 0;
	char more;

	switch (c) {
	case 'p':
		return take_picker(optarg, p) ? NULL : "a picker or a release (see -h)";
	case 'r':
		return sscanf(optarg, "%u-%u%c", &p->low, &p->high, &more) == 2 && p->low &&
				       p->low <= p->high && p->high <= UINT16_MAX
			       ? NULL
			       : "LOW-HIGH, two ports from 1 to 65535";
	case 'n':
		if (!read_number(optarg, 1, CONNECTIONS_MAX, &n))
			return "a number from 1 to 4095";
		p->connections = (unsigned)n;
		return NULL;
	case 's':
		return read_number(optarg, LONG_MIN, LONG_MAX, &p->seed) ? NULL : "a number";
	case 't':
		p->timestamps = true;
		return NULL;
	case 'f':
		p->rfc1337 = true;
		return NULL;
	default:
		p->help = true;
		return NULL;
	}
}

static bool take_arguments(int argc, char **argv, struct plan *p)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};
	const char *wanted = NULL;

	for (int c; (c = getopt_long(argc, argv, "p:r:n:s:tfh", longs, NULL)) != -1;) {
		if (c == '?')
			return false;
		wanted = take_option(c, p);
		if (wanted) {
			fprintf(stderr, "rawclient: -%c: '%s' is not %s\n", c, optarg, wanted);
			return false;
		}
	}
	if (optind < argc && !p->help)
		fprintf(stderr, "rawclient: '%s' is one argument too many\n", argv[optind]);
	return optind >= argc || p->help;
}

int main(int argc, char **argv)
{
	struct plan p = {
		.kind = PICKER_UNIFORM, .low = 40000, .high = 40015, .connections = 48, .seed = 1};

	if (!take_arguments(argc, argv, &p)) {
		fputs("rawclient -h shows the options\n", stderr);
		return 2;
	}
	if (!p.help)
		return play(&p);
	help(stdout);
	return fflush(stdout) ? 1 : 0;
}
