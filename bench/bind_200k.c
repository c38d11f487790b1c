/* SPDX-License-Identifier: MIT
 *
 * bind_200k.c - what `tcpwhy bind` costs beside a bare netlink count of the same sockets
 *
 * In a namespace of its own: 200,000 TIME_WAIT, once spread over many ports and once all on the
 * port asked for; and a namespace with nothing in it. In each, in turn: the command as a user runs
 * it (start of the process included) with its BTF cache thrown away, the same with the cache warm,
 * and a count of all TCP sockets of both families by one legacy request, in this process. Medians
 * of the rounds. TIME_WAIT lives sixty seconds, so what is still there is counted in every round.
 *
 * bind_200k [SOCKETS [ROUNDS]]    $TCPWHY is the command (build/tcpwhy)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 50
#define PORT       8080 /* the port asked for */

enum side { COLD, WARM, COUNT, SIDES };

struct plan {
	const char *name;
	unsigned sockets;
	bool one_port; /* the server closes first: all TIME_WAIT on PORT; else the client's ports */
};

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(path);
	close(fd);
}

/* Network, so that sysctls and sockets are ours; mounts, so that /run and the cache in it are. */
static void enter_own_namespace(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS))
		die("unshare (root?)");
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/run", "tmpfs", 0, NULL))
		die("mount");
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo))
		die("lo up");
	close(fd);
	write_file("/proc/sys/net/ipv4/tcp_max_tw_buckets", "1000000");
	write_file("/proc/sys/net/ipv4/ip_local_port_range", "10000 64999");
	write_file("/proc/sys/net/ipv4/tcp_tw_reuse", "0");
}

static struct sockaddr_in loopback(unsigned host, uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(0x7f000000u + host)};
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 64))
		die("listen");
	return fd;
}

/* One connection, closed first by the side that is to keep the TIME_WAIT. */
static bool leave_one(int listener, const struct sockaddr_in *from,
		      const struct sockaddr_in *server, bool server_first)
{
	const int one = 1;
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int served = -1;
	bool ok = client >= 0 && !setsockopt(client, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) &&
		  !bind(client, (const struct sockaddr *)from, sizeof(*from)) &&
		  !connect(client, (const struct sockaddr *)server, sizeof(*server));

	if (ok)
		served = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (served >= 0) {
		close(server_first ? served : client);
		close(server_first ? client : served);
	} else if (client >= 0) {
		close(client);
	}
	return ok && served >= 0;
}

/* Clients take 50,000 ports of each address in turn: a search by connect() gets slow past the half.
 */
static void leave_all(const struct plan *plan)
{
	struct sockaddr_in server = loopback(1, plan->one_port ? PORT : 9000);
	int listener = listen_on(ntohs(server.sin_port));

	for (unsigned i = 0; i < plan->sockets; i++) {
		struct sockaddr_in from = loopback(257 + i / 50000, (uint16_t)(10000 + i % 50000));

		if (!leave_one(listener, &from, &server, plan->one_port))
			die("connection");
	}
	close(listener);
}

/* One request of the old protocol with family 0 walks the table once for both families. */
static size_t count_bare(void)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req body;
	} request = {.header = {.nlmsg_len = sizeof(request),
				.nlmsg_type = TCPDIAG_GETSOCK,
				.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		     .body = {.idiag_states = UINT32_MAX}};
	static char buf[1 << 16] __attribute__((aligned(8)));
	struct mnl_socket *nl = mnl_socket_open(NETLINK_SOCK_DIAG);
	size_t n = 0;
	bool done = false;

	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(nl, &request, sizeof(request)) < 0)
		die("sock_diag");
	while (!done) {
		ssize_t got = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		int len = (int)got;

		if (got <= 0)
			die("sock_diag answer");
		for (const struct nlmsghdr *h = (const struct nlmsghdr *)buf; mnl_nlmsg_ok(h, len);
		     h = mnl_nlmsg_next(h, &len)) {
			done = done || h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR;
			n += h->nlmsg_type == TCPDIAG_GETSOCK;
		}
	}
	mnl_socket_close(nl);
	return n;
}

/* Runs a command without its output; its status, or -1. */
static int run_quietly(char *const argv[])
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static double time_tcpwhy(const char *tcpwhy, bool cold, int *status)
{
	char *const ask[] = {(char[256]){0}, "bind", "0.0.0.0:8080", NULL};
	char *const forget[] = {"rm", "-rf", "/run/tcpwhy", NULL};
	double start;

	snprintf(ask[0], 256, "%s", tcpwhy);
	if (cold && run_quietly(forget))
		die("rm");
	start = now_ms();
	*status = run_quietly(ask);
	return now_ms() - start;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *times, unsigned n)
{
	qsort(times, n, sizeof(*times), compare_doubles);
	return n % 2 ? times[n / 2] : (times[n / 2 - 1] + times[n / 2]) / 2;
}

/* In turn, so that what disturbs the machine disturbs all sides. */
static void measure(const struct plan *plan, unsigned rounds)
{
	const char *tcpwhy = getenv("TCPWHY") ? getenv("TCPWHY") : "build/tcpwhy";
	double times[SIDES][ROUNDS_MAX], ms[SIDES], made = now_ms();
	int status = 0;
	size_t least = SIZE_MAX;

	if (plan->sockets)
		leave_all(plan);
	made = now_ms() - made;
	for (unsigned r = 0; r < rounds; r++) {
		size_t n;
		double start;

		times[COLD][r] = time_tcpwhy(tcpwhy, true, &status);
		times[WARM][r] = time_tcpwhy(tcpwhy, false, &status);
		start = now_ms();
		n = count_bare();
		times[COUNT][r] = now_ms() - start;
		least = n < least ? n : least;
	}
	for (int s = 0; s < SIDES; s++)
		ms[s] = median(times[s], rounds);
	printf("%-9s %7zu sockets (made in %4.1f s)  cold %6.1f ms  warm %6.1f ms  count %6.1f ms  "
	       "ratio cold %.2f warm %.2f  status %d\n",
	       plan->name, least, made / 1e3, ms[COLD], ms[WARM], ms[COUNT], ms[COLD] / ms[COUNT],
	       ms[WARM] / ms[COUNT], status);
}

/* Each plan in a child of its own: its namespace ends with it, and its sockets with that. */
static int measure_apart(const struct plan *plan, unsigned rounds)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		enter_own_namespace();
		measure(plan, rounds);
		fflush(stdout);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("fork");
	return !WIFEXITED(status) || WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	unsigned sockets = argc > 1 ? (unsigned)atoi(argv[1]) : 200000;
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 15;
	const struct plan plans[] = {
		{"idle", 0, false}, {"spread", sockets, false}, {"one port", sockets, true}};
	int failed = 0;

	if (rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "bind_200k: 1 to %d rounds\n", ROUNDS_MAX);
		return 2;
	}
	for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++)
		failed |= measure_apart(&plans[i], rounds);
	return failed;
}
