/* SPDX-License-Identifier: MIT
 *
 * restart.c - a server that is restarted while its old connections are in TIME_WAIT
 *
 * serve: listens, serves N clients (in this process), closes each connection first, and ends: N
 * TIME_WAIT stay on the port. start: the same server's next start, bind() and listen() and nothing
 * else; status 1 with the errno's text if refused. hold: listens with one connection open, says
 * "ready" and lives until its input ends: for what must survive a cure. worker: the same, but the
 * listener is closed, as in a worker whose server has ended. orphan: closes first and
 * ends the listener, but the client stays silent: an orphan FIN_WAIT2 stays on the port, until the
 * input ends.
 *
 * -r sets SO_REUSEADDR on the listener. Without it the server does what so many do: fixed address,
 * no SO_REUSEADDR, and the first close() is its own.
 *
 * make examples builds build/examples/restart; or, after make:
 * gcc -Iinclude -Isrc examples/restart.c -Lbuild -lbase -o restart
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"

struct place {
	struct sockaddr_storage sa;
	socklen_t len;
};

static bool place_parse(const char *text, struct place *out)
{
	struct tcpwhy_addr addr;
	enum tcpwhy_family family;
	uint16_t port;
	const char *wrong = endpoint_parse(text, &addr, &family, &port);

	if (wrong) {
		fprintf(stderr, "restart: %s: %s\n", text, wrong);
		return false;
	}
	memset(out, 0, sizeof(*out));
	if (family == TCPWHY_IPV4) {
		struct sockaddr_in *in = (struct sockaddr_in *)&out->sa;
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		in->sin_addr.s_addr = htonl(address_v4_of(&addr));
		out->len = sizeof(*in);
	} else {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->sa;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		memcpy(&in6->sin6_addr, addr.b, sizeof(addr.b));
		out->len = sizeof(*in6);
	}
	return true;
}

/* A listening socket, or -1 with the text of the call that failed on stderr. */
static int server_listen(const struct place *at, bool reuseaddr)
{
	const int one = 1;
	int fd = socket(at->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		perror("restart: socket");
		return -1;
	}
	if (reuseaddr && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one))) {
		perror("restart: SO_REUSEADDR");
	} else if (bind(fd, (const struct sockaddr *)&at->sa, at->len)) {
		perror("restart: bind");
	} else if (listen(fd, 128)) {
		perror("restart: listen");
	} else {
		return fd;
	}
	close(fd);
	return -1;
}

/* Connects to the listener (a wildcard reaches this host) and accepts the connection. */
static bool client_arrives(int listener, const struct place *at, int *client, int *served)
{
	*served = -1;
	*client = socket(at->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*client < 0 || connect(*client, (const struct sockaddr *)&at->sa, at->len)) {
		perror("restart: connect");
		return false;
	}
	*served = accept(listener, NULL, NULL);
	if (*served < 0)
		perror("restart: accept");
	return *served >= 0;
}

/* The server closes first, so TIME_WAIT is the server's: it holds the server's port. */
static bool serve_one(int listener, const struct place *at)
{
	char byte;
	int client, served;
	bool ok = client_arrives(listener, at, &client, &served);

	if (served >= 0)
		close(served);
	if (ok && read(client, &byte, 1) != 0)
		ok = false;
	if (client >= 0)
		close(client);
	return ok;
}

static int command_serve(const struct place *at, bool reuseaddr, int clients)
{
	int listener = server_listen(at, reuseaddr);

	if (listener < 0)
		return 1;
	for (int i = 0; i < clients; i++) {
		if (!serve_one(listener, at))
			return 1;
	}
	close(listener);
	printf("served %d clients, closed each connection first, ended\n", clients);
	return 0;
}

static int command_start(const struct place *at, bool reuseaddr)
{
	int listener = server_listen(at, reuseaddr);

	if (listener < 0)
		return 1;
	close(listener);
	puts("bind() and listen() succeeded");
	return 0;
}

/* Status 1 if the connection was broken meanwhile. */
static int command_hold(const struct place *at, bool reuseaddr, bool listening)
{
	char byte = 'x';
	int client, served;
	int listener = server_listen(at, reuseaddr);

	if (listener < 0 || !client_arrives(listener, at, &client, &served))
		return 1;
	if (!listening)
		close(listener);
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		continue;
	byte = 'x';
	if (write(client, &byte, 1) != 1 || read(served, &byte, 1) != 1)
		return 1;
	puts("the connection still works");
	return 0;
}

static int command_orphan(const struct place *at, bool reuseaddr)
{
	char byte;
	int client, served;
	int listener = server_listen(at, reuseaddr);

	if (listener < 0 || !client_arrives(listener, at, &client, &served))
		return 1;
	close(served);
	close(listener);
	/* The FIN has come, and was acknowledged: the server's end is in FIN_WAIT2. */
	if (read(client, &byte, 1) != 0)
		return 1;
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		continue;
	return 0;
}

int main(int argc, char **argv)
{
	bool reuseaddr = argc > 1 && !strcmp(argv[1], "-r");
	char **arg = argv + 1 + reuseaddr;
	int n = argc - 1 - reuseaddr;
	struct place at;

	if (n < 2 || !place_parse(arg[1], &at)) {
		fputs("usage: restart [-r] serve ADDR:PORT N | start|hold|worker|orphan "
		      "ADDR:PORT\n",
		      stderr);
		return 2;
	}
	if (!strcmp(arg[0], "serve") && n == 3)
		return command_serve(&at, reuseaddr, atoi(arg[2]));
	if (!strcmp(arg[0], "start"))
		return command_start(&at, reuseaddr);
	if (!strcmp(arg[0], "hold"))
		return command_hold(&at, reuseaddr, true);
	if (!strcmp(arg[0], "worker"))
		return command_hold(&at, reuseaddr, false);
	if (!strcmp(arg[0], "orphan"))
		return command_orphan(&at, reuseaddr);
	fprintf(stderr, "restart: no such command: %s\n", arg[0]);
	return 2;
}
