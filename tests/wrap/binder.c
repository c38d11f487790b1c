/* SPDX-License-Identifier: MIT
 *
 * binder.c - programs of many kinds that bind() and set no option: what is run under tcpwhy run
 *
 * binder MODE PORT [N]. Every mode prints a line for each bind(): its result, and the options that
 * the socket then has. The sockets are made and bound by raw system calls where it says so, as in
 * programs without libc. Status 1 if a bind() failed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
#define THREADS_MAX 64
#define REISSUED    2000 /* calls under signals */

static struct sockaddr_in place(unsigned port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)port),
				    .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static unsigned option(int fd, int level, int name)
{
	unsigned value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) ? 0 : value;
}

static int report(int fd, const char *what, int error)
{
	unsigned range = option(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE);
	struct sockaddr_in at = {0};
	socklen_t len = sizeof(at);

	getsockname(fd, (struct sockaddr *)&at, &len);
	printf("%s %s reuseaddr=%u reuseport=%u no_port=%u range=%u-%u local=%u\n", what,
	       error ? strerrorname_np(error) : "ok", option(fd, SOL_SOCKET, SO_REUSEADDR),
	       option(fd, SOL_SOCKET, SO_REUSEPORT),
	       option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), range & 0xffff, range >> 16,
	       at.sin_family == AF_INET ? ntohs(at.sin_port) : 0);
	fflush(stdout);
	return error != 0;
}

static int bind_one(int type, unsigned port)
{
	struct sockaddr_in at = place(port);
	int fd = (int)syscall(SYS_socket, AF_INET, type, 0);
	long rc = syscall(SYS_bind, fd, &at, sizeof(at));

	return report(fd, "bind", rc ? errno : 0);
}

static int plain(unsigned port, unsigned n)
{
	int bad = 0;

	for (unsigned i = 0; i < n; i++)
		bad |= bind_one(SOCK_STREAM, port + (port ? i : 0));
	return bad;
}

static int udp(unsigned port, unsigned n)
{
	(void)n;
	return bind_one(SOCK_DGRAM, port);
}

static int unix_socket(unsigned port, unsigned n)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	socklen_t len;

	(void)n;
	/* Abstract: it leaves no file. */
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			  (size_t)snprintf(at.sun_path + 1, 32, "binder-%u-%d", port, getpid()));
	return report(fd, "bind", bind(fd, (struct sockaddr *)&at, len) ? errno : 0);
}

static int ipv6(unsigned port, unsigned n)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6,
				  .sin6_port = htons((uint16_t)port),
				  .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	(void)n;
	return report(fd, "bind", bind(fd, (struct sockaddr *)&at, sizeof(at)) ? errno : 0);
}

/* bind() to the port, then listen(); with port 0 listen() alone. */
static int listening(unsigned port, unsigned n)
{
	struct sockaddr_in at = place(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)n;
	if (port && bind(fd, (struct sockaddr *)&at, sizeof(at)))
		return report(fd, "bind", errno);
	return report(fd, "listen", listen(fd, 1) ? errno : 0);
}

/* bind() to port 0, which must leave the socket alone, then listen(). */
static int listen_any(unsigned port, unsigned n)
{
	struct sockaddr_in at = place(0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)port;
	(void)n;
	if (report(fd, "bind", bind(fd, (struct sockaddr *)&at, sizeof(at)) ? errno : 0))
		return 1;
	return report(fd, "listen", listen(fd, 1) ? errno : 0);
}

/* Sends its input to the port, and prints what comes until the other side closes: so TIME_WAIT
 * stays there. */
static int talk(unsigned port, unsigned n)
{
	struct sockaddr_in at = place(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char buf[4096];
	ssize_t got;

	(void)n;
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)))
		return 1;
	while ((got = read(STDIN_FILENO, buf, sizeof(buf))) > 0)
		if (write(fd, buf, (size_t)got) != got)
			return 1;
	while ((got = read(fd, buf, sizeof(buf))) > 0)
		if (write(STDOUT_FILENO, buf, (size_t)got) != got)
			return 1;
	return got != 0;
}

/* connect() to a port on which someone listens. */
static int connecting(unsigned port, unsigned n)
{
	struct sockaddr_in at = place(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)n;
	return report(fd, "connect", connect(fd, (struct sockaddr *)&at, sizeof(at)) ? errno : 0);
}

/* ------------------------------------------------------------------------------ threads, processes
 */

static void *thread(void *port)
{
	return bind_one(SOCK_STREAM, *(unsigned *)port) ? port : NULL;
}

static int threads(unsigned port, unsigned n)
{
	static unsigned ports[THREADS_MAX];
	pthread_t ids[THREADS_MAX];
	int bad = 0;

	n = n > THREADS_MAX ? THREADS_MAX : n;
	for (unsigned i = 0; i < n; i++) {
		ports[i] = port + i;
		if (pthread_create(&ids[i], NULL, thread, &ports[i]))
			return 1;
	}
	for (unsigned i = 0; i < n; i++) {
		void *result;

		pthread_join(ids[i], &result);
		bad |= result != NULL;
	}
	return bad;
}

static int forking(unsigned port, unsigned n)
{
	int bad = 0;

	for (unsigned i = 0; i < n; i++)
		if (fork() == 0)
			_exit(bind_one(SOCK_STREAM, port + i));
	/* As many as were started, and no stranger among them. */
	for (unsigned i = 0; i < n; i++) {
		int status;

		bad |= wait(&status) < 0 || status;
	}
	return bad | (wait(NULL) >= 0 || errno != ECHILD);
}

/* The classic daemon: the first process ends at once; the grandchild binds, and lives until its
 * input ends. Its output is the file that was its output; the standard error is closed. */
static int daemonising(unsigned port, unsigned n)
{
	char byte;

	(void)n;
	if (fork())
		_exit(0);
	setsid();
	if (fork())
		_exit(0);
	close(STDERR_FILENO);
	bind_one(SOCK_STREAM, port);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}

static int undumpable(unsigned port, unsigned n)
{
	prctl(PR_SET_DUMPABLE, 0);
	return plain(port, n);
}

/* In a user and network namespace of its own: a socket of another would be a grave mistake. */
static int elsewhere(unsigned port, unsigned n)
{
	struct sockaddr_in at = place(port);
	int fd;

	(void)n;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
		puts("no namespaces");
		return 0;
	}
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)))
		return report(fd, "bind", errno);
	report(fd, "bind", 0);
	/* The loopback device of a new namespace is down. */
	at = place(port + 1);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	return report(fd, "connect", connect(fd, (struct sockaddr *)&at, sizeof(at)) ? errno : 0) ==
	       0;
}

static int uring(unsigned port, unsigned n)
{
	char parameters[120] = {0};
	long fd = syscall(425, 2, parameters);

	if (fd < 0)
		printf("no io_uring: %s\n", strerrorname_np(errno));
	return plain(port, n);
}

/* ------------------------------------------------------------------------------------------
 * signals */

static atomic_bool done;

static void on_signal(int number)
{
	(void)number;
}

static void *bind_under_signals(void *port)
{
	unsigned interrupted = 0, wrong = 0;

	for (unsigned i = 0; i < REISSUED; i++) {
		struct sockaddr_in at = place(*(unsigned *)port);
		int fd = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
		long rc;

		do {
			rc = syscall(SYS_bind, fd, &at, sizeof(at));
			interrupted += rc && errno == EINTR;
		} while (rc && errno == EINTR);
		wrong += rc || !option(fd, SOL_SOCKET, SO_REUSEADDR);
		close(fd);
	}
	printf("bind %u interrupted %u wrong %u\n", REISSUED, interrupted, wrong);
	done = true;
	return wrong ? port : NULL;
}

/* A thread that binds, and one that never lets it rest, as Go's scheduler does. */
static int signalled(unsigned port, unsigned n)
{
	struct sigaction quick = {.sa_handler = on_signal};
	pthread_t id;
	void *result;

	if (n > 1)
		quick.sa_flags = SA_RESTART;
	sigaction(SIGURG, &quick, NULL);
	if (pthread_create(&id, NULL, bind_under_signals, &port))
		return 1;
	while (!done) {
		pthread_kill(id, SIGURG);
		sched_yield();
	}
	pthread_join(id, &result);
	return result != NULL;
}

/* --------------------------------------------------------------------------- 32-bit system calls
 */

#ifdef __x86_64__
static long call32(long number, long a, long b, long c)
{
	long rc;

	__asm__ volatile("int $0x80"
			 : "=a"(rc)
			 : "a"(number), "b"(a), "c"(b), "d"(c)
			 : "memory", "r8", "r9", "r10", "r11");
	return rc;
}

/* n 1: bind() itself; 2: by socketcall(); 3: socket() by socketcall(), too. */
static int compat(unsigned port, unsigned n)
{
	struct low {
		struct sockaddr_in at;
		uint32_t words[3];
	} *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
		      -1, 0);
	long fd, rc;

	if (low == MAP_FAILED || call32(20, 0, 0, 0) != getpid()) {
		puts("no 32-bit calls");
		return 0;
	}
	memcpy(low->words, (uint32_t[]){AF_INET, SOCK_STREAM, 0}, sizeof(low->words));
	fd = n == 3 ? call32(102, 1, (long)low->words, 0) : call32(359, AF_INET, SOCK_STREAM, 0);
	if (fd < 0)
		return report(-1, "socket", (int)-fd);
	low->at = place(port);
	memcpy(low->words, (uint32_t[]){(uint32_t)fd, (uint32_t)(uintptr_t)&low->at, 16},
	       sizeof(low->words));
	rc = n == 1 ? call32(361, fd, (long)&low->at, 16) : call32(102, 2, (long)low->words, 0);
	return report((int)fd, "bind", (int)-rc);
}
#else
static int compat(unsigned port, unsigned n)
{
	(void)port;
	(void)n;
	puts("no 32-bit calls");
	return 0;
}
#endif

/* --------------------------------------------------------------------------------- under the kills
 */

/* Binds without pause, and counts in the memory that descriptor 3 is: binds that were well, that
 * lacked the option, that failed with ENOSYS, that failed otherwise. */
static int restless(unsigned port, unsigned n)
{
	atomic_uint *counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0);

	(void)n;
	if (counts == MAP_FAILED)
		return 1;
	for (;;) {
		struct sockaddr_in at = place(port);
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		int error = bind(fd, (struct sockaddr *)&at, sizeof(at)) ? errno : 0;

		counts[error == ENOSYS                             ? 2
		       : error                                     ? 3
		       : option(fd, SOL_SOCKET, SO_REUSEADDR) == 1 ? 0
								   : 1]++;
		close(fd);
	}
}

static const struct {
	const char *name;
	int (*run)(unsigned port, unsigned n);
} modes[] = {{"plain", plain},         {"udp", udp},
	     {"unix", unix_socket},    {"ipv6", ipv6},
	     {"listen", listening},    {"listen-any", listen_any},
	     {"connect", connecting},  {"talk", talk},
	     {"threads", threads},     {"fork", forking},
	     {"daemon", daemonising},  {"undumpable", undumpable},
	     {"elsewhere", elsewhere}, {"io-uring", uring},
	     {"signals", signalled},   {"compat", compat},
	     {"restless", restless}};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 2 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(modes[i].name, argv[1]))
			return modes[i].run((unsigned)strtoul(argv[2], NULL, 10),
					    argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1);
	fputs("usage: binder MODE PORT [N]\n", stderr);
	return 2;
}
