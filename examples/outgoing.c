/* SPDX-License-Identifier: MIT
 *
 * outgoing.c - a client that opens connection after connection, and a server that lets it close
 * first
 *
 * serve: accepts on every address it is given, and closes what its client closed; says "ready" and
 * lives until its input ends. connect: opens N connections to DST and prints the local end of each,
 * or what call failed with which errno; the number of those that failed is its status (at most 99).
 * Each is closed first by this side and waited for, so that TIME_WAIT stays here; with -k all are
 * kept open until the input ends.
 *
 * -f ADDR[:PORT]  bind() that first: without a port by IP_BIND_ADDRESS_NO_PORT
 * -b              leave that option out: bind() chooses the port
 * -r              SO_REUSEADDR        -t  IP_TRANSPARENT        -k  keep them open
 *
 * make examples builds build/examples/outgoing; or, after make:
 * gcc -Iinclude -Isrc examples/outgoing.c -Lbuild -lbase -o outgoing
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strerrorname_np() */
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"

enum { FDS_MAX = 1024 };

struct place {
	struct sockaddr_storage sa;
	socklen_t len;
};

struct plan {
	bool has_from, bind_first, reuseaddr, transparent, keep;
	struct place from, to;
};

static void place_of(const struct tcpwhy_addr *addr, enum tcpwhy_family family, uint16_t port,
		     struct place *out)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (family == TCPWHY_IPV4) {
		in.sin_addr.s_addr = htonl(address_v4_of(addr));
		memcpy(&out->sa, &in, sizeof(in));
		out->len = sizeof(in);
	} else {
		memcpy(&in6.sin6_addr, addr->b, sizeof(addr->b));
		memcpy(&out->sa, &in6, sizeof(in6));
		out->len = sizeof(in6);
	}
}

static bool place_parse(const char *text, struct place *out)
{
	struct tcpwhy_addr addr;
	enum tcpwhy_family family;
	uint16_t port = 0;

	if (!address_parse(text, &addr, &family)) {
		const char *wrong = endpoint_parse(text, &addr, &family, &port);
		if (wrong) {
			fprintf(stderr, "outgoing: %s %s\n", text, wrong);
			return false;
		}
	}
	place_of(&addr, family, port, out);
	return true;
}

static bool has_port(const struct place *p)
{
	struct sockaddr_in in;

	/* sin_port and sin6_port are in the same place. */
	memcpy(&in, &p->sa, sizeof(in));
	return in.sin_port != 0;
}

/* ------------------------------------------------------------------------------------- server */

static int server_listen(const struct place *at)
{
	const int one = 1;
	int fd = socket(at->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) &&
	    !bind(fd, (const struct sockaddr *)&at->sa, at->len) && !listen(fd, 128))
		return fd;
	perror("outgoing: serve");
	return -1;
}

/* A client that sent its FIN is closed, too. */
static void serve_once(struct pollfd *fds, int *n, int listeners)
{
	char byte;

	for (int i = 1; i <= listeners; i++) {
		if (fds[i].revents && *n < FDS_MAX)
			fds[(*n)++] = (struct pollfd){accept(fds[i].fd, NULL, NULL), POLLIN, 0};
	}
	for (int i = listeners + 1; i < *n; i++) {
		if (!fds[i].revents || read(fds[i].fd, &byte, 1) > 0)
			continue;
		close(fds[i].fd);
		fds[i--] = fds[--*n];
	}
}

static int command_serve(int places, char **text)
{
	static struct pollfd fds[FDS_MAX];
	struct place at;
	int n = 1;
	char byte;

	fds[0] = (struct pollfd){STDIN_FILENO, POLLIN, 0};
	for (; n <= places; n++) {
		if (!place_parse(text[n - 1], &at))
			return 2;
		fds[n] = (struct pollfd){server_listen(&at), POLLIN, 0};
		if (fds[n].fd < 0)
			return 1;
	}
	puts("ready");
	fflush(stdout);
	while (poll(fds, (nfds_t)n, -1) >= 0) {
		if (fds[0].revents && read(STDIN_FILENO, &byte, 1) <= 0)
			break;
		serve_once(fds, &n, places);
	}
	return 0;
}

/* ------------------------------------------------------------------------------------- client */

static int say_failed(const char *call, int fd)
{
	printf("%s %s\n", strerrorname_np(errno), call);
	if (fd >= 0)
		close(fd);
	return -1;
}

static int client_socket(const struct plan *p)
{
	const int one = 1;
	int fd = socket(p->to.sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return say_failed("socket", fd);
	if (p->reuseaddr)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (p->transparent && setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &one, sizeof(one)))
		return say_failed("IP_TRANSPARENT", fd);
	if (!p->bind_first && !has_port(&p->from))
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	return fd;
}

static int client_connect(const struct plan *p)
{
	struct place local = {.len = sizeof(local.sa)};
	struct sockaddr_in in;
	int fd = client_socket(p);

	if (fd < 0)
		return fd;
	if (p->has_from && bind(fd, (const struct sockaddr *)&p->from.sa, p->from.len))
		return say_failed("bind", fd);
	if (connect(fd, (const struct sockaddr *)&p->to.sa, p->to.len))
		return say_failed("connect", fd);
	getsockname(fd, (struct sockaddr *)&local.sa, &local.len);
	memcpy(&in, &local.sa, sizeof(in));
	printf("port %d\n", ntohs(in.sin_port));
	return fd;
}

/* Our FIN first; the server's answers it, and TIME_WAIT is ours. */
static void close_first(int fd)
{
	char byte;

	shutdown(fd, SHUT_WR);
	while (read(fd, &byte, 1) > 0)
		continue;
	close(fd);
}

static int command_connect(const struct plan *p, int wanted)
{
	int failed = 0;
	char byte;

	for (int i = 0; i < wanted; i++) {
		int fd = client_connect(p);
		failed += fd < 0;
		if (fd >= 0 && !p->keep)
			close_first(fd);
	}
	if (p->keep) {
		puts("ready");
		fflush(stdout);
		while (read(STDIN_FILENO, &byte, 1) > 0)
			continue;
	}
	return failed < 99 ? failed : 99;
}

int main(int argc, char **argv)
{
	struct plan p = {0};
	bool good = true;

	for (int c; (c = getopt(argc, argv, "f:brtk")) != -1;) {
		if (c == 'f')
			good = p.has_from = place_parse(optarg, &p.from);
		p.bind_first |= c == 'b';
		p.reuseaddr |= c == 'r';
		p.transparent |= c == 't';
		p.keep |= c == 'k';
		good = good && c != '?';
	}
	argc -= optind;
	argv += optind;
	if (good && argc >= 2 && !strcmp(argv[0], "serve"))
		return command_serve(argc - 1, argv + 1);
	if (good && argc == 3 && !strcmp(argv[0], "connect") && place_parse(argv[1], &p.to))
		return command_connect(&p, atoi(argv[2]));
	fputs("usage: outgoing serve ADDR:PORT... | outgoing [-brtk] [-f ADDR[:PORT]] connect "
	      "DST:PORT N\n",
	      stderr);
	return 2;
}
