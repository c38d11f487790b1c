/* SPDX-License-Identifier: MIT
 *
 * hooked.c - what a program meets whose cgroup has programs: one call, and what the socket is then
 *
 * hooked bind tcp4|tcp6|udp4|udp6 PORT       "reuseaddr N", or "EADDRINUSE"
 * hooked source tcp4|tcp6|udp4|udp6 ADDR PORT [OWN]  the address that connect() gave it, bound to
 * OWN before if that is given hooked many tcp4|tcp6 ADDR PORT MAX        connects until it is
 * refused, and prints how many it holds, and the errno hooked serve tcp4|tcp6 ADDR PORT listens,
 * takes one connection, closes it first (which leaves TIME_WAIT), and ends: "served", or an errno
 * The sockets live in the network namespace they are started in; tcp6 takes ::ffff:a.b.c.d too.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct place {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} a;
	socklen_t size;
};

static int fail(void)
{
	puts(strerrorname_np(errno));
	return 1;
}

static int open_socket(const char *kind)
{
	return socket(kind[3] == '6' ? AF_INET6 : AF_INET,
		      (kind[0] == 't' ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
}

/* "" is the wildcard. */
static struct place place_of(const char *kind, const char *address, const char *port)
{
	struct place p = {0};

	if (kind[3] == '6') {
		p.size = sizeof(p.a.v6);
		p.a.v6.sin6_family = AF_INET6;
		p.a.v6.sin6_port = htons((uint16_t)atoi(port));
		if (*address && inet_pton(AF_INET6, address, &p.a.v6.sin6_addr) != 1)
			exit(2);
		return p;
	}
	p.size = sizeof(p.a.v4);
	p.a.v4.sin_family = AF_INET;
	p.a.v4.sin_port = htons((uint16_t)atoi(port));
	if (*address && inet_pton(AF_INET, address, &p.a.v4.sin_addr) != 1)
		exit(2);
	return p;
}

static int do_bind(char **argv)
{
	struct place p = place_of(argv[0], "", argv[1]);
	int fd = open_socket(argv[0]), value = 0;
	socklen_t size = sizeof(value);

	if (fd < 0 || bind(fd, &p.a.any, p.size) ||
	    getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, &size))
		return fail();
	printf("reuseaddr %d\n", value);
	return 0;
}

static int do_source(char **argv)
{
	struct place to = place_of(argv[0], argv[1], argv[2]);
	int fd = open_socket(argv[0]);
	char text[INET6_ADDRSTRLEN];

	if (fd < 0)
		return fail();
	if (argv[3]) {
		struct place own = place_of(argv[0], argv[3], "0");

		if (bind(fd, &own.a.any, own.size))
			return fail();
	}
	if (connect(fd, &to.a.any, to.size) || getsockname(fd, &to.a.any, &to.size))
		return fail();
	if (to.a.any.sa_family == AF_INET)
		puts(inet_ntop(AF_INET, &to.a.v4.sin_addr, text, sizeof(text)));
	else
		puts(inet_ntop(AF_INET6, &to.a.v6.sin6_addr, text, sizeof(text)));
	return 0;
}

static int do_many(char **argv)
{
	struct place to = place_of(argv[0], argv[1], argv[2]);
	int held = 0, max = atoi(argv[3]);

	for (; held < max; held++) {
		int fd = open_socket(argv[0]);

		if (fd < 0 || connect(fd, &to.a.any, to.size))
			break;
	}
	printf("%d %s\n", held, held < max ? strerrorname_np(errno) : "all");
	return 0;
}

/* The client's end is in this process too: its SYN waits in the backlog. */
static int do_serve(char **argv)
{
	struct place p = place_of(argv[0], argv[1], argv[2]);
	int listener = open_socket(argv[0]), client = open_socket(argv[0]), served;
	char byte;

	if (listener < 0 || client < 0 || bind(listener, &p.a.any, p.size) || listen(listener, 5) ||
	    connect(client, &p.a.any, p.size))
		return fail();
	served = accept(listener, NULL, NULL);
	if (served < 0)
		return fail();
	close(served);
	/* The FIN is here: whoever closes now is the second. */
	if (read(client, &byte, 1) != 0)
		return fail();
	close(client);
	puts("served");
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *word;
		int (*run)(char **argv);
		int least, most;
	} calls[] = {
		{"bind", do_bind, 2, 2},
		{"source", do_source, 3, 4},
		{"many", do_many, 4, 4},
		{"serve", do_serve, 3, 3},
	};

	for (size_t i = 0; argc > 2 && i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strcmp(argv[1], calls[i].word) && argc - 2 >= calls[i].least &&
		    argc - 2 <= calls[i].most && strlen(argv[2]) == 4)
			return calls[i].run(argv + 2);
	fputs("usage: see the head of hooked.c\n", stderr);
	return 2;
}
