/* SPDX-License-Identifier: MIT
 *
 * lease.c - a server on a port of the host's pool, with libtcpwhy-lease
 *
 * Leases a held port: the socket is bound already, so no bind() can fail. listen(), tell the others
 * which port it is, serve. Here the client is this process.
 *
 * make examples builds build/examples/lease; or, after make:
 * gcc -Iinclude examples/lease.c -Lbuild -l:libtcpwhy-lease.a -o lease
 *
 * Before it is run, once: tcpwhy port init 20000-29999
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tcpwhy/lease.h>

static int serve_one(int listener, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), served;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (client < 0 || connect(client, (struct sockaddr *)&to, sizeof(to)))
		return -1;
	served = accept(listener, NULL, NULL);
	close(served);
	close(client);
	return served < 0 ? -1 : 0;
}

int main(void)
{
	const struct tcpwhy_lease_wish wish = {.held = true};
	struct tcpwhy_pool_why why;
	struct tcpwhy_pool *pool;
	struct tcpwhy_lease lease;
	int error = tcpwhy_pool_open(NULL, false, &pool, &why);

	if (error) {
		fprintf(stderr, "lease: %s\n", why.text);
		return 1;
	}
	error = tcpwhy_lease(pool, &wish, &lease, 1);
	if (error < 0) {
		fprintf(stderr, "lease: no port: %s\n", strerror(-error));
		return 1;
	}
	if (listen(lease.fd, 128) || serve_one(lease.fd, lease.port)) {
		perror("lease");
		return 1;
	}
	printf("served one client on port %u\n", lease.port);
	tcpwhy_lease_release(pool, &lease, 1);
	tcpwhy_pool_close(pool);
	return 0;
}
